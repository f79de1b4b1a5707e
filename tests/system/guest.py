"""Boot an image and talk to it, in a network namespace that ends with this process.

Used by the system tests and by bench/. Everything here runs inside a namespace of its
own (enter_namespace), so no traffic leaves the machine, addresses cannot clash, and
nothing is left behind.
"""
import ctypes
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

from tap import equal

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(ROOT, "build")))
LAVRA = os.path.join(BUILD, "lavra")
WRK_REPORT = os.path.join(ROOT, "tests", "system", "wrk_report.lua")

GUEST_IP, HOST_IP, PREFIX, TAP = "10.77.0.2", "10.77.0.1", 24, "tap0"


def image(app):
    return os.path.join(BUILD, "apps", app, app)


def enter_namespace():
    """Run this program again inside new network namespace; returns once it is there."""
    if os.environ.get("LAVRA_IN_NS"):
        run("ip link set lo up")
        return
    command = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
    probe = subprocess.run(command + ["true"], capture_output=True, text=True)
    if probe.returncode:
        sys.exit("a network namespace is needed and could not be made: " + probe.stderr.strip() +
                 "\nRun as root, or allow unprivileged user namespaces.")
    os.environ["LAVRA_IN_NS"] = "1"
    os.execvp(command[0], command + [sys.executable] + sys.argv)


def run(command, check=True):
    result = subprocess.run(command.split(), capture_output=True, text=True, timeout=60)
    if check and result.returncode:
        raise RuntimeError(f"{command}: {result.stderr.strip() or f'status {result.returncode}'}")
    return result


def make_tap(queues):
    """A tap interface with as many queues as the guest has cores."""
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        raise RuntimeError("tap interfaces need /dev/net/tun, which this user cannot open: "
                           "load the module tun, allow the device in the container, or run as root")
    run(f"ip link del {TAP}", check=False)
    run(f"ip tuntap add dev {TAP} mode tap" + (" multi_queue" if queues > 1 else ""))
    run(f"ip addr add {HOST_IP}/{PREFIX} dev {TAP}")
    run(f"ip link set {TAP} up")


def tap_counts():
    """What went over the tap, in the guest's eyes: rx_packets, rx_bytes, tx_packets, tx_bytes."""
    table = json.loads(run(f"ip -json -statistics link show {TAP}").stdout)[0]["stats64"]
    # What the host sends the guest receives.
    return {f"{ours}_{what}": table[theirs][what] for ours, theirs in (("rx", "tx"), ("tx", "rx"))
            for what in ("packets", "bytes")}


def skip_address_resolution():
    """Tell the host the guest's address, so that no wait between ARP retries is in a time from boot on."""
    run(f"ip neigh replace {GUEST_IP} lladdr 52:54:00:12:34:56 nud permanent dev {TAP}")


def lavra(*words, machine=None):
    """The launcher with these words, to its end; on a machine as hwloc describes it."""
    environment = dict(os.environ)
    if machine:
        environment["HWLOC_SYNTHETIC"] = machine
    return subprocess.run([LAVRA, *map(str, words)], capture_output=True, text=True, timeout=120,
                          stdin=subprocess.DEVNULL, env=environment)


def lavra_ends(*words, status=0):
    """The same, which has to end with this status."""
    result = lavra(*words)
    equal(result.returncode, status, f"status of lavra {words}: {result.stderr}")
    return result


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Guest:
    """A running image. Use as a context manager: it is stopped at the end, whatever happens."""

    def __init__(self, app="httpd", cores=2, memory="128M", net="tap", machine="q35", extra=(), arguments=(),
                 command=None):
        self.cores, self.net = cores, net
        self.log = tempfile.NamedTemporaryFile("w+b", prefix="lavra-console-")
        self.address, self.port = (GUEST_IP, 80) if net == "tap" else ("127.0.0.1", 8080)
        if command is None:
            command = [LAVRA, "run", image(app), "--cores", str(cores), "--memory", memory, "--machine", machine]
            if net == "tap":
                make_tap(cores)
                command += ["--net", "tap:" + TAP, "--ip", f"{GUEST_IP}/{PREFIX},{HOST_IP}"]
            else:
                command += ["--net", "user", "--publish", f"127.0.0.1:{self.port}:80"]
            command += list(extra)
            if arguments:
                command += ["--"] + list(arguments)
        self.started = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT,
                                        preexec_fn=die_with_parent)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def console(self):
        with open(self.log.name, errors="replace") as log:
            return log.read()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()

    def wait_up(self, timeout=60):
        """Seconds from start to the first complete HTTP answer."""
        end, patience = time.monotonic() + timeout, 0.2
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"the guest ended with status {self.process.returncode}:\n{self.console()}")
            try:
                # A SYN that nobody was there to hear is sent again after a second: give up sooner.
                self.connect(timeout=0.05).close()
                patience = min(2 * patience, 5)
                status, _, _ = self.get("/hello.txt", timeout=patience)
                if status == 200:
                    return time.monotonic() - self.started
            except (OSError, http.client.HTTPException):
                time.sleep(0.005)
        raise RuntimeError(f"no HTTP answer within {timeout} s; console:\n{self.console()}")

    def wait_for_port(self, port, timeout=60):
        """Seconds from start to the first connection that is taken at `port`."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"the guest ended with status {self.process.returncode}:\n{self.console()}")
            try:
                socket.create_connection((self.address, port), timeout=0.1).close()
                return time.monotonic() - self.started
            except OSError:
                time.sleep(0.005)
        raise RuntimeError(f"nothing answers at port {port} within {timeout} s; console:\n{self.console()}")

    def connect(self, timeout=10):
        return socket.create_connection((self.address, self.port), timeout=timeout)

    def get(self, path, timeout=10, method="GET", body=None, headers=None):
        connection = http.client.HTTPConnection(self.address, self.port, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            connection.close()

    def metrics(self):
        """{name: {core or None: value}}"""
        table = {}
        for line in self.get("/metrics")[1].decode().splitlines():
            match = re.match(r'(\w+)(?:\{core="(\d+)"\})? (\d+)$', line)
            if match:
                core = int(match[2]) if match[2] else None
                table.setdefault(match[1], {})[core] = int(match[3])
        return table

    def total(self, name):
        return sum(self.metrics().get(name, {}).values())

    def requests_per_core(self):
        counts = self.metrics()["httpd_requests_total"]
        return [counts[core] for core in sorted(counts)]


def wrk(guest, path="/", connections=64, seconds=3, close=False):
    """One run of wrk: requests, rate in requests/s, p50, p99, p999 of the latency in ms, errors."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", WRK_REPORT]
    if close:
        command += ["-H", "Connection: close"]
    host = f"[{guest.address}]" if ":" in guest.address else guest.address
    done = subprocess.run(command + [f"http://{host}:{guest.port}{path}"], capture_output=True, text=True,
                          timeout=seconds + 60)
    report = re.search(r"^REPORT (.*)$", done.stdout, re.MULTILINE)
    if not report:
        raise RuntimeError("wrk said: " + (done.stderr or done.stdout))
    requests, microseconds, p50, p99, p999, errors = map(int, report[1].split())
    return {"requests": requests, "rate": requests * 1e6 / microseconds, "p50": p50 / 1e3, "p99": p99 / 1e3,
            "p999": p999 / 1e3, "errors": errors}
