"""Where virtual CPUs run, what the guest is told of it, and the picture of both."""
import os
import re
import shlex
import signal
import subprocess
import tempfile
import time
import xml.etree.ElementTree as ElementTree

from guest import LAVRA, Guest, image, lavra
from tap import Skip, check, equal, test

# hwloc's words for machines. All are regular, so that a guest can be given the shape of the whole.
MACHINES = [
    "pack:1 core:1 pu:1", "pack:1 core:4 pu:1", "pack:1 core:2 pu:2", "pack:2 core:1 pu:1", "pack:2 core:2 pu:2",
    "pack:1 core:3 pu:1", "pack:1 core:5 pu:1", "pack:1 core:3 pu:2", "pack:3 core:1 pu:2", "pack:3 core:3 pu:1",
    "pack:2 numa:1 core:3 pu:1", "pack:1 numa:2 core:2 pu:2", "pack:1 die:2 core:2 pu:1", "pack:2 die:2 core:1 pu:2",
    "pack:7 core:1 pu:1", "pack:2 numa:1 core:4 pu:2",
]


def processors_of(machine):
    """Of each processor, in hwloc's order: package, core within it, thread within that. By hwloc's own program."""
    output = subprocess.run(["lstopo-no-graphics", "-i", machine, "--of", "xml"], capture_output=True, text=True,
                            timeout=30, check=True).stdout
    found = []

    def visit(item, package, core):
        for child in item.findall("object"):
            kind = child.get("type")
            if kind == "Package":
                package[0] += 1
                package[1] = -1
            elif kind == "Core":
                package[1] += 1
                core = [-1]
            elif kind == "PU":
                core[0] += 1
                found.append((package[0], package[1], core[0]))
            visit(child, package, core)

    visit(ElementTree.fromstring(output), [-1, -1], [-1])
    return found


def given_shape(machine, count):
    """What follows -smp in the command for that machine."""
    result = lavra("run", image("hello"), "--net", "none", "--cores", str(count), "--pin", "auto", "--dry-run",
                   machine=machine)
    equal(result.returncode, 0, f"status for {machine}: {result.stderr}")
    words = shlex.split(result.stdout, comments=True)
    return words[words.index("-smp") + 1]


@test
def guests_find_the_shape_of_the_machine_they_are_pinned_to():
    for machine in MACHINES:
        expected = processors_of(machine)
        count, _, shape = given_shape(machine, len(expected)).partition(",")
        equal(int(count), len(expected), f"virtual CPUs for {machine}")
        result = lavra("run", image("hello"), "--net", "none", "--smp", shape)
        equal(result.returncode, 0, f"status with {shape}: {result.stderr}")
        found = [tuple(map(int, three)) for three in
                 re.findall(r"^core \d+: apic \d+, package (\d+), core (\d+), thread (\d+)$", result.stdout, re.M)]
        equal(found, expected, f"what the guest found with {shape}, for {machine}")


def allowed(pid):
    """{thread's name: CPUs that it may run on} of a process; a name that comes twice must agree."""
    table = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/status") as status:
                fields = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
        except FileNotFoundError:
            continue  # it has ended
        table.setdefault(fields["Name"], set()).add(fields["Cpus_allowed_list"])
    return table


def qemu_of(launcher):
    with open(f"/proc/{launcher}/task/{launcher}/children") as children:
        return int(children.read().split()[0])


def pinned(*options, cores):
    """The threads of a served guest, and what it prints."""
    names = ["--qemu-option", "-name", "--qemu-option", "lavra,debug-threads=on"]
    with Guest(net="user", cores=cores, extra=[*options, *names]) as guest:
        guest.wait_up()
        equal(guest.get("/hello.txt")[1], b"Hello, world!\n", f"body with {options}")
        return allowed(qemu_of(guest.process.pid)), guest.console()


def check_threads(threads, cpus, others, what):
    """`cpus`: of each virtual CPU; `others`: of all other threads."""
    for name, found in threads.items():
        virtual = re.match(r"CPU (\d+)/", name)
        equal(found, {cpus[int(virtual[1])] if virtual else others}, f"CPUs of thread '{name}' {what}")
    equal(sum(name.startswith("CPU ") for name in threads), len(cpus), f"threads of virtual CPUs {what}")


def own_cpus():
    return sorted(os.sched_getaffinity(0))


def cpu_list(cpus):
    """As /proc writes it."""
    runs, start = [], None
    for cpu in cpus:
        if start is None or cpu != last + 1:
            start = cpu
            runs.append(str(cpu))
        else:
            runs[-1] = f"{start}-{cpu}"
        last = cpu
    return ",".join(runs)


@test
def threads_are_where_the_map_says():
    cpus = own_cpus()
    # Without --pin all may run everywhere.
    threads, _ = pinned(cores=1)
    check_threads(threads, [cpu_list(cpus)], cpu_list(cpus), "without --pin")
    # auto, by the map that --dry-run prints.
    for cores in range(1, min(len(cpus), 4) + 1):
        words = ["--pin", "auto"]
        result = lavra("run", image("httpd"), "--cores", str(cores), *words, "--dry-run")
        map_cpus = re.findall(r"^# vCPU \d+ on CPU (\d+)$", result.stdout, re.M)
        others = re.findall(r"^# QEMU's other threads on CPU (.*)$", result.stdout, re.M)
        equal(len(map_cpus), cores, "virtual CPUs in the map: " + result.stdout)
        threads, _ = pinned(*words, cores=cores)
        check_threads(threads, map_cpus, others[0], f"with --pin auto and {cores} cores")


@test
def a_list_is_taken_in_its_order():
    cpus = own_cpus()
    if len(cpus) < 2:
        raise Skip("one CPU has one order")
    first, second = str(cpus[0]), str(cpus[1])
    threads, _ = pinned("--pin", f"{second},{first}", cores=2)
    check_threads(threads, [second, first], cpu_list(cpus[2:] or cpus), "with the list turned round")
    threads, _ = pinned("--pin", f"{second},{first}", cores=1)
    check_threads(threads, [second], first, "with a CPU for the other threads")


@test
def what_cannot_be_pinned_is_told():
    cpus = own_cpus()
    many = min(64, len(cpus) + 1)
    for words, because in ((["--pin", "60000"], "no CPU 60000"), (["--pin", "numa:999"], "no NUMA node 999"),
                           (["--pin", str(cpus[0]), "--cores", "2"], "names 1 CPU for 2 virtual ones")):
        result = lavra("run", image("hello"), "--net", "none", *words)
        equal(result.returncode, 123, f"status with {words}: {result.stderr}")
        check(because in result.stderr, f"{words}: {result.stderr}")
    # Fewer CPUs than virtual ones: it runs, and says so once.
    if many > len(cpus):
        result = lavra("run", image("hello"), "--net", "none", "--cores", str(many), "--pin", "auto")
        equal(result.returncode, 0, "status: " + result.stderr)
        equal(result.stderr.count("nothing is pinned"), 1, "times it is said in: " + result.stderr)
    # A machine that is only told of.
    result = lavra("run", image("hello"), "--net", "none", "--pin", "auto", machine="pack:2 core:2 pu:1")
    equal(result.returncode, 123, "status: " + result.stderr)
    check("HWLOC_SYNTHETIC" in result.stderr, result.stderr)


def fake_qemu(folder, text):
    path = os.path.join(folder, "qemu")
    with open(path, "w") as file:
        file.write("#!/bin/sh\n" + text)
    os.chmod(path, 0o755)
    return path


@test
def a_qemu_that_cannot_be_asked_is_told():
    with tempfile.TemporaryDirectory() as folder:
        for text, status, because in (("exit 0", 123, "QEMU ended before it answered"),
                                      ("echo no such thing >&2; exit 1", 124, "QEMU failed with status 1"),
                                      ("exec sleep 60 <&- 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-", 123,
                                       "QEMU ended before it answered")):
            before = time.monotonic()
            result = lavra("run", image("hello"), "--net", "none", "--pin", "auto", "--qemu", fake_qemu(folder, text))
            equal(result.returncode, status, f"status with '{text}': {result.stderr}")
            check(because in result.stderr, f"'{text}': {result.stderr}")
            check(time.monotonic() - before < 30, f"'{text}' took {time.monotonic() - before:.0f} s")


@test
def a_signal_ends_the_wait_for_qemu():
    with tempfile.TemporaryDirectory() as folder:
        command = [LAVRA, "run", image("hello"), "--net", "none", "--pin", "auto", "--qemu",
                   fake_qemu(folder, "exec sleep 60")]
        launcher = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(1)
        launcher.send_signal(signal.SIGTERM)
        _, errors = launcher.communicate(timeout=20)
        equal(launcher.returncode, 128 + signal.SIGTERM, "status: " + errors)


@test
def an_exit_status_comes_out_of_a_pinned_guest():
    result = lavra("run", image("hello"), "--net", "none", "--pin", "auto")
    equal(result.returncode, 0, "status: " + result.stdout + result.stderr)
    check("hello" in result.stdout.lower(), result.stdout)


@test
def the_topology_is_shown_and_drawn():
    with tempfile.TemporaryDirectory() as folder:
        picture = os.path.join(folder, "map.svg")
        for machine in MACHINES:
            count = len(processors_of(machine))
            result = lavra("topology", "--cores", str(count), "--svg", picture, machine=machine)
            equal(result.returncode, 0, f"status for {machine}: {result.stderr}")
            equal(len(re.findall(r"^ .* CPU \d+ +vCPU \d+", result.stdout, re.M)), count, result.stdout)
            equal(len(re.findall(r"^ .* vCPU \d+ +on CPU \d+", result.stdout, re.M)), count, result.stdout)
            root = ElementTree.parse(picture).getroot()
            texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
            for cpu in range(count):
                check(f"vCPU {cpu}" in texts and f"on CPU {cpu}" in texts, f"CPU {cpu} is missing in {texts}")
        result = lavra("topology", "--svg", os.path.join(folder, "no", "map.svg"))
        equal(result.returncode, 123, "status: " + result.stderr)
        check("map.svg" in result.stderr, result.stderr)
    equal(lavra("topology", "extra").returncode, 2, "status with a word too many")
