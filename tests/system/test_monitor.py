"""What an image tells of its cores, over memory and over /metrics, agrees with what others counted."""
import concurrent.futures
import fcntl
import http.client
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import time

from guest import GUEST_IP, LAVRA, Guest, die_with_parent, image, lavra, lavra_ends, tap_counts, wrk
from tap import check, equal, test

METRICS_PORT = 9100


def folder():
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/") and os.path.isdir(runtime) and os.stat(runtime).st_uid == os.geteuid():
        return os.path.join(runtime, "lavra")
    return f"/tmp/lavra-{os.geteuid()}"


def file_of(pid):
    names = os.listdir(folder()) if os.path.isdir(folder()) else []
    return [os.path.join(folder(), name) for name in names if name.endswith(f".{pid}.monitor")]


def top(*arguments, check_status=True):
    return (lavra_ends if check_status else lavra)("top", *arguments)


def counters(guest):
    """The cores' counters, added up, when they have come to rest."""
    time.sleep(0.3)  # what is not yet told is told within 0.1 s
    return json.loads(top(guest.process.pid, "--once", "--json", "--interval", "0.1").stdout)["total"]["counters"]


def scrape(guest, path="/metrics", method="GET"):
    connection = http.client.HTTPConnection(guest.address, METRICS_PORT, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), dict(answer.getheaders())
    finally:
        connection.close()


def metric(text, name):
    """Over all cores."""
    values = re.findall(rf'^lavra_{name}(?:\{{core="\d+"\}})? (\d+)$', text, re.M)
    check(values, f"/metrics has no lavra_{name}")
    return sum(map(int, values))


def differences(after, before):
    return {name: after[name] - before[name] for name in before}


@test
def counters_agree_with_the_load_and_with_the_tap():
    with Guest(net="tap", cores=2, extra=("--metrics", str(METRICS_PORT))) as guest:
        guest.wait_up()
        before, tap_before, served = counters(guest), tap_counts(), guest.total("httpd_requests_total")
        text_before = scrape(guest)[1]
        load = wrk(guest, connections=32, seconds=3)
        equal(load["errors"], 0, "errors of wrk")
        served = guest.total("httpd_requests_total") - served
        text = scrape(guest)[1]
        did, wire = differences(counters(guest), before), differences(tap_counts(), tap_before)
        # wrk counts what was answered; a request of each connection is under way at its end. The others are
        # the reads of httpd's own counters, and nobody else asked.
        check(load["requests"] <= served <= load["requests"] + 32 + 1,
              f"wrk counted {load['requests']} requests, httpd {served}")
        # wrk's connections, one to try, two to httpd's counters, two scrapes; a SYN may be sent twice.
        check(32 + 4 <= did["connections_opened"] <= 32 + 6, f"{did['connections_opened']} connections were opened")
        # A request takes a call to read, one to write, and at most one to wait.
        check(2 * served <= did["system_calls"] <= 3 * served + 1000,
              f"{did['system_calls']} calls for {served} requests")
        check(2 * served <= did["socket_requests"] <= 3 * served + 1000,
              f"{did['socket_requests']} requests of sockets for {served} requests")
        # What is sent again both count, and all was quiet at the four looks, but for an ARP or a multicast.
        for name, count in wire.items():
            check(abs(did[name] - count) <= (16 if "packets" in name else 16 * 150),
                  f"{name}: the guest counted {did[name]}, the tap {count}")
        # /metrics was asked before that, and after.
        for name in ("rx_packets", "system_calls", "socket_requests"):
            scraped = metric(text, name + "_total") - metric(text_before, name + "_total")
            check(abs(scraped - did[name]) <= 0.01 * did[name] + 50,
                  f"{name}: {scraped} by /metrics, {did[name]} by lavra top")


@test
def top_shows_load_while_it_lasts():
    with Guest(net="tap", cores=2) as guest:
        guest.wait_up()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            load = pool.submit(wrk, guest, connections=32, seconds=4)
            time.sleep(0.7)
            sample = json.loads(top(guest.process.pid, "--once", "--json", "--interval", "2").stdout)
            table = top(guest.process.pid, "--once", "--interval", "0.5").stdout
            rate = load.result()["rate"]
        busy = sample["total"]["busy"]
        check(busy > 0.3, f"two cores under load are busy for {busy}")
        # Two requests of sockets for each of wrk's; wrk's rate is over a longer time, on a host that is shared.
        per_request = sample["total"]["rates"]["socket_requests"] / rate
        check(1 < per_request < 5, f"{per_request} requests of sockets by the request")
        lines = table.splitlines()
        equal(len(lines), 4, "lines of the table")
        check(lines[0].split()[:3] == ["CORE", "BUSY%", "RX/s"], "titles: " + lines[0])
        equal([line.split()[0] for line in lines[1:]], ["0", "1", "all"], "rows")
        time.sleep(0.3)
        idle = json.loads(top(guest.process.pid, "--once", "--json").stdout)
        check(idle["total"]["busy"] < 0.2, f"an image without load is busy for {idle['total']['busy']}")
        check(all(core["halts"] for core in idle["cores"]), "a core without work does not halt")
        equal(len(json.loads(top(guest.process.pid, "--once", "--json", "--cores", "1").stdout)["cores"]), 1,
              "cores that were asked for")


@test
def metrics_are_served_and_nothing_else():
    with Guest(net="tap", cores=2, extra=("--metrics", str(METRICS_PORT))) as guest:
        guest.wait_up()
        status, text, headers = scrape(guest)
        equal(status, 200, "status")
        equal(int(headers["Content-Length"]), len(text), "length")
        for line in text.splitlines():
            check(re.match(r'# (HELP|TYPE) lavra_\w+ \S|lavra_\w+(\{core="[01]"\})? \d+$', line), "a line: " + line)
        check(metric(text, "uptime_ns") > 0 and metric(text, "cores") == 2, "totals are wrong")
        equal(scrape(guest, "/")[0], 404, "another path")
        equal(scrape(guest, method="POST")[0], 405, "another method")
        status, body, headers = scrape(guest, method="HEAD")
        equal((status, body), (200, ""), "HEAD")
        for request, status in ((b"x" * 3000, 431), (b"GET\r\n\r\n", 400)):
            with socket.create_connection((guest.address, METRICS_PORT), timeout=10) as connection:
                connection.sendall(request)
                answer = connection.recv(4096)
            check(answer.startswith(b"HTTP/1.1 %d " % status), f"for {request[:20]}: {answer[:60]}")
        # Many at once, while some say nothing and one is closed in the middle.
        silent = [socket.create_connection((guest.address, METRICS_PORT), timeout=10) for _ in range(3)]
        silent[0].close()
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: scrape(guest), range(64)))
        equal({status for status, _, _ in answers}, {200}, "statuses of many")
        silent[1].settimeout(15)
        equal(silent[1].recv(1), b"", "a silent connection, after its time")
        silent[1].close()
        silent[2].close()
        equal(guest.get("/hello.txt")[0], 200, "the application")


@test
def the_port_of_metrics_is_not_the_applications():
    with Guest(net="tap", cores=2, extra=("--metrics", "80")) as guest:
        check(guest.process.wait(30) != 0, "httpd could listen")
        said = guest.console()
        equal(said.count("the application wants port 80, which metrics=80 has"), 1, "times it is said in: " + said)
        check("cannot listen on port 80: Address in use" in said, said)
    # Nothing serves it without a network, so it is free.
    with Guest(net="none", command=[LAVRA, "run", image("httpd"), "--net", "none", "--metrics", "80"]) as guest:
        time.sleep(1)
        check(guest.process.poll() is None, guest.console())


@test
def top_works_without_a_network():
    command = [LAVRA, "run", image("httpd"), "--net", "none", "--cores", "2", "--metrics", str(METRICS_PORT)]
    with Guest(net="none", command=command) as guest:
        time.sleep(1)
        found = json.loads(top(guest.process.pid, "--once", "--json", "--interval", "0.2").stdout)
        equal([core["core"] for core in found["cores"]], [0, 1], "cores")
        check(found["total"]["counters"]["system_calls"] > 0, "it has made no system call")
        equal(found["total"]["counters"]["rx_packets"], 0, "received frames")
        check("there is no network" in guest.console(), "it does not say that /metrics is not served")


@test
def without_monitor_there_is_none():
    with Guest(net="tap", cores=1, extra=("--monitor", "off")) as guest:
        guest.wait_up()
        equal(file_of(guest.process.pid), [], "files")
        result = top(guest.process.pid, "--once", check_status=False)
        equal(result.returncode, 123, "status of lavra top: " + result.stdout)
        check("no image" in result.stderr, "lavra top says " + result.stderr)


@test
def files_go_when_the_launcher_ends_or_is_killed():
    for number in (signal.SIGTERM, signal.SIGINT):
        with Guest(net="none", command=[LAVRA, "run", image("httpd"), "--net", "none"]) as guest:
            time.sleep(0.5)
            equal(len(file_of(guest.process.pid)), 1, "files of a running image")
            equal(os.stat(folder()).st_mode & 0o777, 0o700, "mode of the folder")
            guest.process.send_signal(number)
            guest.process.wait(15)
            equal(file_of(guest.process.pid), [], f"files after signal {number}")
    with Guest(net="none", command=[LAVRA, "run", image("httpd"), "--net", "none"]) as guest:
        time.sleep(0.5)
        guest.process.kill()
        guest.process.wait(15)
        equal(len(file_of(guest.process.pid)), 1, "files of a killed launcher")
        result = top(guest.process.pid, "--once", check_status=False)
        equal(result.returncode, 123, "status of lavra top for what is gone")
        equal(file_of(guest.process.pid), [], "files after somebody looked")


@test
def several_images_are_told_apart():
    command = [LAVRA, "run", image("httpd"), "--net", "none"]
    with Guest(net="none", command=command) as one, Guest(net="none", command=command) as other:
        time.sleep(1)
        result = top("httpd", "--once", check_status=False)
        equal(result.returncode, 123, "status of lavra top")
        for guest in (one, other):
            check(f"pid {guest.process.pid}" in result.stderr, "they are not listed: " + result.stderr)
        for guest in (one, other):
            found = json.loads(top(guest.process.pid, "--once", "--json", "--interval", "0.1").stdout)
            equal(found["pid"], guest.process.pid, "whose it is")
        result = top(one.process.pid, "--once", "--cores", "2-63", check_status=False)
        equal(result.returncode, 123, "status of lavra top with cores that are not there")
        check("last one is core 0" in result.stderr, "it says " + result.stderr)


class Screen:
    """lavra top on a terminal of a given size."""

    def __init__(self, pid, columns, lines):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen([LAVRA, "top", str(pid), "--interval", "0.2"], stdin=slave, stdout=slave,
                                        stderr=slave, preexec_fn=die_with_parent)

    def read_until(self, pattern, timeout=10):
        """What is drawn until `pattern` is in it."""
        drawn, end = "", time.monotonic() + timeout
        while time.monotonic() < end:
            if select.select([self.master], [], [], 0.1)[0]:
                drawn += os.read(self.master, 65536).decode()
                if re.search(pattern, drawn):
                    return drawn
        raise AssertionError(f"the screen never shows {pattern}: {drawn[-2000:]!r}")

    def press(self, keys):
        os.write(self.master, keys.encode())

    def end(self):
        status = self.process.wait(10)
        same = termios.tcgetattr(self.slave)[3] == self.before[3]
        os.close(self.master)
        os.close(self.slave)
        return status, same


@test
def a_terminal_is_drawn_on_and_left_as_it_was():
    with Guest(net="none", command=[LAVRA, "run", image("httpd"), "--net", "none", "--cores", "2"]) as guest:
        screen = Screen(guest.process.pid, 60, 20)
        drawn = screen.read_until(r"q quit")
        for line in re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", drawn).splitlines():
            check(len(line) <= 60, f"a line is longer than the terminal: {line!r}")
        check("CORE" in drawn and "columns)" in drawn, f"the table is not there: {drawn!r}")
        screen.press(">")
        screen.read_until(r"by BUSY%")
        screen.press("r")
        screen.read_until(r"by BUSY%, reverse")
        screen.press("<<")
        screen.read_until(r"by PKRU/s, reverse")
        screen.press("p")
        screen.read_until(r"paused")
        screen.press("f")
        screen.read_until(r"cores \(as")
        screen.press("1\r")
        screen.read_until(r"\n +1 [^\n]*\n +all ")
        screen.press("q")
        equal(screen.end(), (0, True), "status, and whether the terminal is as before")
        # An image that ends ends it.
        screen = Screen(guest.process.pid, 200, 50)
        screen.read_until(r"PKRU/s")
        guest.stop()
        screen.read_until(r"has ended")
        equal(screen.end(), (0, True), "status, and whether the terminal is as before")
