"""What bench/plugins count, against a program of which it is known."""
import os
import subprocess
import sys

from guest import BUILD, LAVRA, ROOT
from tap import check, equal, test

sys.path.append(os.path.join(ROOT, "bench"))
from counting import Counters  # noqa: E402
from profiling import Profile, executed  # noqa: E402
from symbols import APPLICATION, KERNEL, STACK, Symbols  # noqa: E402

IMAGE = os.path.join(BUILD, "tests", "system", "counted", "counted")
MEMORY_MIB = 128


def run(arguments, options, cores):
    done = subprocess.run([LAVRA, "run", IMAGE, "--net", "none", "--cores", str(cores), "--memory", f"{MEMORY_MIB}M",
                           *options, "--", *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=120)
    equal(done.returncode, 0, f"status of counted {arguments}, which said {done.stdout[-500:]} {done.stderr[-500:]}")


def profiled(symbols, loops, rounds=0):
    """(totals of each function, changes of lines) of a whole boot"""
    profile = Profile(symbols, MEMORY_MIB, record=True)
    run((loops, rounds), profile.launcher_options, cores=2)
    totals, look = {}, profile.look()
    for (_, idle, address), counts in executed(None, look).items():
        name = symbols.function(address)[0]
        total = totals.setdefault((name, idle), [0, 0, 0])
        for i, count in enumerate(counts):
            total[i] += count
    return totals, profile.changes(0, look.nchanges)


@test
def what_cannot_be_measured_is_told_before():
    scale = os.path.join(ROOT, "bench", "scale")
    for words, because in ((["--compare", "/nowhere.json"], "--compare /nowhere.json: No such file"),
                           (["--compare", scale], "is no baseline"),
                           (["--save-baseline", "/proc/nowhere/x.json"], "name a file that can be written"),
                           (["--count", "--json", ROOT], "name a file that can be written"),
                           (["--count", "--server", "redis", "--modes", "close"], "httpd alone")):
        done = subprocess.run([sys.executable, scale, *words], capture_output=True, text=True, timeout=60)
        equal((done.returncode, done.stdout), (2, ""), f"status and output with {words}: {done.stderr}")
        check(because in done.stderr, f"{words}: {done.stderr}")


@test
def a_loop_is_counted_exactly_by_function():
    symbols = Symbols(IMAGE + ".elf")
    for loops in (1000, 3333333):
        totals, _ = profiled(symbols, loops)
        equal(totals.get(("counted_loop", False)), [3 * loops + 1, loops, 0],
              f"instructions, atomics, WRPKRU of {loops} loops of three instructions, and a return")
        check(("counted_loop", True) not in totals, "the loop was counted as idle")
        equal(totals.get(("counted_fill", False)), [3, 0, 0],
              "a string instruction of 1,000 elements, which counts once, and the two around it")
        check(totals.get(("idle_wait", True), [0])[0] > 0, "no instruction of the idle loop was counted as idle")


@test
def a_line_that_changes_cores_is_counted_exactly():
    symbols, rounds = Symbols(IMAGE + ".elf"), 500
    _, changes = profiled(symbols, 1, rounds)
    found = {}
    for change in changes:
        code, data = symbols.function(change.code)[0], symbols.variable(change.data)
        if data == "counted_line":
            key = change.kind, change.vcpu, code, symbols.function(change.writer_code)[0], change.writer
            found[key] = found.get(key, 0) + 1
        check(data != "counted_own", f"the line that only {code} uses changed cores")
    equal(found, {("read", 1, "counted_read", "counted_write", 0): rounds,
                  ("take", 0, "counted_write", "counted_write", 0): rounds - 1},
          "changes of the line that core 0 writes and core 1 reads")


@test
def more_virtual_CPUs_than_a_line_can_tell_apart_are_refused():
    profile = Profile(lines_mib=MEMORY_MIB)
    done = subprocess.run([LAVRA, "run", IMAGE, "--net", "none", "--cores", "58", *profile.launcher_options, "--", "1"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    check(done.returncode != 0, "58 virtual CPUs were accepted")
    check("57 virtual CPUs at most, and this machine has 58" in done.stdout + done.stderr,
          f"the refusal says: {done.stdout}{done.stderr}")


@test
def the_total_of_a_loop_is_counted():
    """count.c knows no functions: the loop is the difference of two boots, whose rest differs a little."""
    totals = []
    for loops in (100000, 10100000):
        counters = Counters()
        run((loops,), counters.launcher_options, cores=1)
        totals.append(counters.totals())
    for name, of_loop in (("instructions", 3), ("atomics", 1), ("wrpkru", 0)):
        counted = (totals[1][name] - totals[0][name]) / 10000000
        check(abs(counted - of_loop) < 0.05, f"{name} of a loop: {counted}, expected {of_loop}")


@test
def addresses_are_known_by_who_executes_there():
    symbols = Symbols(IMAGE + ".elf")
    for name, folder, who in (("main", "application", APPLICATION), ("core_poll", "sched", KERNEL),
                              ("tcp_input", "lwip", STACK), ("interface_poll", "net", STACK),
                              ("sem_post", "libc (musl)", APPLICATION)):
        equal(symbols.function(symbols.addresses[name] + 1), (name, folder, who), f"where {name} is")
    equal(symbols.variable(symbols.addresses["counted_line"] + 8), "counted_line", "the variable in the middle of a line")
    equal(symbols.variable(0x1000), "(memory of the application)", "the variable at a low address")
