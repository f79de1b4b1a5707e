"""gdb commands for a running image; `make gdb` loads them.

    lavra-cores     what each core runs
    lavra-threads   every thread, with its state and the core where it is
    lavra-counters  the counters of each core
    lavra-on N CMD  run a gdb command as core N sees memory

QEMU shows each virtual CPU as a gdb thread, and gdb reads memory through that CPU's page tables:
so a core-local variable shows the value of the selected one.
"""
import gdb


def cores():
    return sorted(gdb.selected_inferior().threads(), key=lambda thread: thread.num)


def on_each_core(function):
    selected = gdb.selected_thread()
    try:
        for number, thread in enumerate(cores()):
            thread.switch()
            function(number)
    finally:
        selected.switch()


def describe(thread):
    name = thread["name"].string(errors="replace")
    return f"thread {int(thread['tid'])} {name!r} {thread['state']}"


class Cores(gdb.Command):
    """What each core runs."""

    def __init__(self):
        super().__init__("lavra-cores", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        def show(number):
            frame = gdb.newest_frame()
            where = frame.name() or hex(frame.pc())
            current = gdb.parse_and_eval("current")
            what = describe(current.dereference()) if int(current) else "before its first thread"
            print(f"core {number}: {what}, in {where}")

        on_each_core(show)


class Threads(gdb.Command):
    """Every thread of the application and of the kernel."""

    def __init__(self):
        super().__init__("lavra-threads", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        head = gdb.parse_and_eval("&all_threads")
        thread_type = gdb.lookup_type("struct thread")
        offset = next(f.bitpos // 8 for f in thread_type.fields() if f.name == "all_link")
        link = head["next"]
        while link != head:
            thread = gdb.Value(int(link) - offset).cast(thread_type.pointer())
            print(f"{hex(int(thread))}: {describe(thread.dereference())} on core {int(thread['core'])}")
            link = link["next"]


class Counters(gdb.Command):
    """The counters of each core, those that are not zero."""

    def __init__(self):
        super().__init__("lavra-counters", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        def show(number):
            counters = gdb.parse_and_eval("counters")
            values = ", ".join(f"{f.name} {int(counters[f.name])}" for f in counters.type.fields()
                               if int(counters[f.name]))
            print(f"core {number}: {values or 'nothing yet'}")

        on_each_core(show)


class On(gdb.Command):
    """lavra-on CORE COMMAND: run a gdb command as that core sees memory."""

    def __init__(self):
        super().__init__("lavra-on", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        number, _, command = argument.partition(" ")
        selected = gdb.selected_thread()
        try:
            cores()[int(number)].switch()
            gdb.execute(command)
        except (ValueError, IndexError):
            raise gdb.GdbError("lavra-on CORE COMMAND, with a core that exists")
        finally:
            selected.switch()


Cores()
Threads()
Counters()
On()
