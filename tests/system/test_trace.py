"""lavra trace and lavra tune, with a server that serves meanwhile."""
import concurrent.futures
import contextlib
import json
import os
import re
import subprocess
import tempfile
import time

from guest import LAVRA, Guest, lavra_ends as lavra, wrk
from tap import check, equal, test
from test_monitor import counters

CORES, CALLS = 1, 2  # the processes of a trace's file
DEVICE_VECTORS = range(0x30, 0xF0)  # arch/x86_64/apic.h


def trace(guest, seconds=0.5):
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        said = lavra("trace", guest.process.pid, "--seconds", seconds, "--out", file.name).stdout
        lost = int(re.search(r"(\d+) lost", said).group(1))
        return json.load(file)["traceEvents"], lost


@contextlib.contextmanager
def load(guest, seconds, connections):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        result = pool.submit(wrk, guest, seconds=seconds, connections=connections)
        time.sleep(0.3)
        yield
        equal(result.result()["errors"], 0, "errors of wrk")


def serves(guest):
    equal(guest.get("/")[0], 200, "status of GET /")


def slices(events, process):
    return [e for e in events if e["ph"] == "X" and e["pid"] == process]


def threads(guest):
    """Of lavra tune: thread -> (core, may use)."""
    table = lavra("tune", guest.process.pid).stdout
    return {int(row[0]): (int(row[1]), row[2])
            for row in re.findall(r"^ *(\d+) .{16} +(\d+) +[\d.]+  (\S+)$", table, re.M)}


def idle_modes(guest):
    return re.findall(r"^core \d+ without work: (\w+)$", lavra("tune", guest.process.pid).stdout, re.M)


@test
def a_trace_shows_what_cores_and_threads_do():
    with Guest(net="tap", cores=2) as guest:
        guest.wait_up()
        with load(guest, seconds=4, connections=8):
            events, lost = trace(guest)
        check(lost < len(events), f"{lost} events were lost, and {len(events)} not")
        equal({e["tid"] for e in slices(events, CORES) if e["tid"] < 1000}, {0, 1}, "cores with something to show")
        called = {e["name"] for e in slices(events, CALLS)}
        check({"read", "write", "epoll_pwait"} <= called, f"system calls: {called}")
        check(any(e["ph"] == "C" and e["args"]["received"] for e in events), "frames were received")
        for event in slices(events, CORES) + slices(events, CALLS):
            check(event["dur"] >= 0, f"an event that ends before it begins: {event}")
        # One after the other on a track.
        for core in (0, 1):
            on_core = sorted((e["ts"], e["dur"]) for e in slices(events, CORES) if e["tid"] == core)
            for (at, lasts), (following, _) in zip(on_core, on_core[1:]):
                check(at + lasts <= following + 0.002, f"core {core} does two things at {following}")
        serves(guest)


@test
def a_device_interrupt_is_counted_once():
    with Guest(net="tap", cores=2) as guest:
        guest.wait_up()
        before = counters(guest)["interrupts"]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            traced = pool.submit(trace, guest, 3)
            time.sleep(0.5)
            for _ in range(40):
                serves(guest)
                time.sleep(0.02)  # the core halts, so each request interrupts it
            events, lost = traced.result()
        counted = counters(guest)["interrupts"] - before
        equal(lost, 0, "events that were lost")
        matches = (re.fullmatch(r"interrupt (\d+)", event["name"]) for event in slices(events, CORES))
        seen = sum(int(match[1]) in DEVICE_VECTORS for match in matches if match)
        check(seen >= 40, f"40 requests made {seen} device interrupts")
        # A few come before and after the trace: an ARP, a multicast.
        check(seen <= counted <= seen + 16, f"{seen} device interrupts were traced, {counted} counted")


@test
def a_trace_is_switched_on_and_off_under_load():
    with Guest(net="tap", cores=4) as guest:
        guest.wait_up()
        with load(guest, seconds=12, connections=32):
            for _ in range(8):
                events, _ = trace(guest, 0.1)
                check(slices(events, CALLS), "the trace has no system call")
        serves(guest)


@test
def threads_move_while_they_serve():
    with Guest(net="tap", cores=2) as guest:
        guest.wait_up()
        before = threads(guest)
        pinned = [tid for tid, (_, may) in before.items() if may == "1"]
        check(pinned, f"no thread of httpd is bound to core 1: {before}")
        with load(guest, seconds=3, connections=8):
            lavra("tune", guest.process.pid, "--thread", pinned[0], "--cores", "0")
        equal(threads(guest)[pinned[0]], (0, "0"), "where the thread is, and may be")
        serves(guest)
        for tid, cores, why in ((pinned[0], "7", "the image 'httpd' has no core 7 (--cores); its last one is core 1"),
                                (pinned[0], "3,5-6", "the image 'httpd' has no cores 3,5-6 (--cores)"),
                                (pinned[0], "0,7", "the image 'httpd' has no core 7 (--cores); its last one is core 1"),
                                (4000, "0", "no thread has moved: the image 'httpd' has no thread 4000 (--thread); 'lavra "
                                            "tune' lists")):
            said = lavra("tune", guest.process.pid, "--thread", tid, "--cores", cores, status=123).stderr
            check(why in said, said)
        said = lavra("tune", guest.process.pid, "--poll", "busy", "--cores", "2", status=123).stderr
        check("nothing has changed: the image 'httpd' has no core 2" in said, said)


@test
def idle_cores_do_what_they_are_told():
    with Guest(net="tap", cores=2) as guest:
        guest.wait_up()
        equal(idle_modes(guest), ["irq", "irq"], "at first")
        lavra("tune", guest.process.pid, "--poll", "busy", "--cores", "1")
        equal(idle_modes(guest), ["irq", "busy"], "told one core")
        events, _ = trace(guest)
        halts = {e["tid"] for e in slices(events, CORES) if e["name"] == "halted"}
        check(0 in halts and 1 not in halts, f"cores that halt: {halts}")
        lavra("tune", guest.process.pid, "--poll", "adaptive")
        equal(idle_modes(guest), ["adaptive", "adaptive"], "told both")
        said = lavra("trace", guest.process.pid, "--out", "/nowhere/x.json", status=123).stderr
        check("/nowhere/x.json: No such file or directory (give --out" in said, said)
        serves(guest)


@test
def without_an_image_they_say_so():
    for command in ("trace", "tune"):
        said = lavra(command, "nothing-of-that-name", status=123).stderr
        check("lavra run" in said, said)
        check("--help" in lavra(command, "--nonsense", "1", status=2).stderr, "an unknown option")


@test
def an_image_that_ends_ends_its_trace():
    with Guest(net="tap", cores=1) as guest:
        guest.wait_up()
        with tempfile.TemporaryDirectory() as folder:
            running = subprocess.Popen([LAVRA, "trace", str(guest.process.pid), "--seconds", "60", "--out",
                                        os.path.join(folder, "cut.json")], stdout=subprocess.PIPE, text=True)
            time.sleep(1)  # it records by now
            guest.stop()
            said, _ = running.communicate(timeout=30)
            equal(running.returncode, 0, "status of lavra trace")
            check(" of 1 core, " in said, said)
            with open(os.path.join(folder, "cut.json")) as file:
                json.load(file)
