"""IPv6 beside IPv4, and names: real clients, a router's advertisements, a name server, neighbors who lie."""
import os
import socket
import struct
import subprocess
import tempfile
import threading
import time

from guest import BUILD, GUEST_IP, HOST_IP, PREFIX, ROOT, TAP, Guest, run, wrk
from tap import check, equal, test
from test_monitor import METRICS_PORT, scrape
from test_serve import keep_alive_works, pages_are_right, pipelining_works

HOST6, GUEST6 = "fd77::1", "fd77::2"
PREFIX6, FORMED6 = "fd78::", "fd78::5054:ff:fe12:3456"  # from the address of QEMU's first device
LINK_LOCAL6 = "fe80::5054:ff:fe12:3456"
ALL_NODES = "ff02::1"


class Guest6(Guest):
    """A guest on the tap; `ip6` is the boot option, None for what it does without."""

    def __init__(self, ip6=f"{GUEST6}/64,{HOST6}", extra=(), **kwargs):
        extra = list(extra) + (["--append", "ip6=" + ip6] if ip6 else [])
        super().__init__(net="tap", extra=extra, **kwargs)
        run(f"ip -6 addr add {HOST6}/64 dev {TAP} nodad")

    def speak6(self, address=GUEST6):
        """From here on the helpers use IPv6."""
        self.address = address
        return self

    def wait_console(self, text, timeout=20):
        end = time.monotonic() + timeout
        while text not in self.console():
            check(time.monotonic() < end, f"{text!r} is not on the console:\n{self.console()}")
            time.sleep(0.05)


def wait_for_link_local():
    """The host's own address on the tap is tried for a second or two before it can speak as a router."""
    end = time.monotonic() + 10
    while not run(f"ip -6 -o addr show dev {TAP} scope link -tentative").stdout.strip():
        check(time.monotonic() < end, "the tap has no link-local address")
        time.sleep(0.1)


def icmp6_socket(hop_limit=255):
    raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    raw.settimeout(0.5)
    for option in (socket.IPV6_UNICAST_HOPS, socket.IPV6_MULTICAST_HOPS):
        raw.setsockopt(socket.IPPROTO_IPV6, option, hop_limit)
    raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex(TAP))
    return raw


def ping6(raw, address, length, identifier):
    data = bytes(i & 0xFF for i in range(length))
    request = struct.pack("!BBHHH", 128, 0, 0, identifier, length & 0xFFFF) + data
    raw.sendto(request, (address, 0))
    end = time.monotonic() + 3
    while time.monotonic() < end:
        try:
            answer = raw.recv(70000)
        except TimeoutError:
            continue
        if answer[0] == 129 and answer[4:8] == request[4:8]:
            return answer[8:] == data
    return False


def advertise(raw, prefix=PREFIX6, valid=3600, preferred=1800, lifetime=1800, bits=64, flags=0xC0, extra=b"",
              to=ALL_NODES):
    """A router advertisement (RFC 4861, 4.2) from the host."""
    message = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, lifetime, 0, 0)
    message += struct.pack("!BBBBIII16s", 3, 4, bits, flags, valid, preferred, 0,
                           socket.inet_pton(socket.AF_INET6, prefix)) + extra
    raw.sendto(message, (to, 0, 0, socket.if_nametoindex(TAP)))


def serve_on(cores):
    with Guest6(cores=cores) as guest:
        guest.wait_up()
        equal(guest.get("/hello.txt")[0], 200, "over IPv4")
        guest.speak6()
        guest.wait_up()  # its address is tried for a second first
        pages_are_right(guest)
        keep_alive_works(guest)
        pipelining_works(guest)
        output = subprocess.run(["curl", "-6", "-sS", "--max-time", "10", f"http://[{GUEST6}]/"],
                                capture_output=True, text=True)
        equal(output.returncode, 0, "curl: " + output.stderr)
        check("<title>Lavra</title>" in output.stdout, "curl got " + output.stdout)
        result = wrk(guest, seconds=2, connections=32)
        equal(result["errors"], 0, "errors of wrk over IPv6")
        check(result["requests"] > 500, f"wrk made {result['requests']} requests")
        # Both families at the same time.
        other = threading.Thread(target=lambda: run(f"wrk -c16 -d2s http://{GUEST_IP}/hello.txt"))
        other.start()
        result = wrk(guest, path="/hello.txt", seconds=2, connections=16)
        other.join()
        equal(result["errors"], 0, "errors of wrk beside IPv4")
        check(all(guest.requests_per_core()), f"a core served nothing: {guest.requests_per_core()}")


@test
def ipv6_at_one_core():
    serve_on(1)


@test
def ipv6_at_two_cores():
    serve_on(2)


@test
def ipv6_at_four_cores():
    serve_on(4)


@test
def ipv6_pings_and_packets_in_pieces():
    with Guest6(cores=2) as guest:
        guest.wait_up()
        guest.speak6().wait_up()
        raw = icmp6_socket(64)
        for number, length in enumerate((0, 1, 1000, 1452, 1453, 3000, 8000, 20000, 60000)):
            check(ping6(raw, GUEST6, length, 1000 + number), f"no answer to a ping of {length} bytes")
        check(ping6(raw, f"{LINK_LOCAL6}%{TAP}", 100, 2000), "no answer from the link-local address")
        # Over a link of the smallest MTU that IPv6 knows.
        run(f"ip link set {TAP} mtu 1280")
        body = guest.get("/style.css")[1]
        equal(len(body), os.path.getsize(os.path.join(ROOT, "apps/httpd/files/style.css")), "style.css, MTU 1280")


@test
def ipv6_addresses_from_a_router():
    with Guest6(ip6=None, cores=2) as guest:
        guest.wait_up()
        run(f"ip -6 addr add fd78::1/64 dev {TAP} nodad")
        wait_for_link_local()
        raw = icmp6_socket()
        # What nobody may obey, and then the right one.
        advertise(raw, prefix="fd79::", bits=65)
        advertise(raw, prefix="fd79::", valid=10, preferred=20)
        advertise(raw, prefix="ff0e::")
        advertise(icmp6_socket(64), prefix="fd79::")
        advertise(raw, extra=struct.pack("!BBHI16s", 25, 3, 0, 1800, socket.inet_pton(socket.AF_INET6, "fd78::53")))
        guest.wait_console(f"net: {FORMED6} (router advertisement)")
        check("fd79" not in guest.console() and "ff0e" not in guest.console(), guest.console())
        guest.speak6(FORMED6).wait_up()
        pages_are_right(guest)
        check(ping6(icmp6_socket(64), FORMED6, 100, 7), "no answer to a ping")
        # The router takes it back: a valid time is never cut below two hours (RFC 4862, 5.5.3), so it stays.
        advertise(raw, valid=1, preferred=1)
        time.sleep(3)
        equal(guest.get("/hello.txt")[0], 200, "after the prefix was taken back")


@test
def ipv6_address_of_somebody_else():
    # An answer for whatever address is tried: the guest must not use it.
    stop = threading.Event()

    def claim():
        packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x86DD))
        packets.bind((TAP, 0))
        packets.settimeout(0.1)
        raw = icmp6_socket()
        while not stop.is_set():
            try:
                frame = packets.recv(2000)
            except TimeoutError:
                continue
            wanted = socket.inet_pton(socket.AF_INET6, GUEST6)
            if len(frame) >= 78 and frame[20] == 58 and frame[54] == 135 and frame[62:78] == wanted:
                raw.sendto(struct.pack("!BBHI16sBB6s", 136, 0, 0, 0x20000000, wanted, 2, 1, b"\2\0\0\0\0\7"),
                           (ALL_NODES, 0, 0, socket.if_nametoindex(TAP)))

    guest = Guest6(cores=2)
    thread = threading.Thread(target=claim)
    thread.start()
    try:
        with guest:
            guest.wait_up()
            guest.wait_console(f"net: warning: {GUEST6} is somebody else's")
            check(not ping6(icmp6_socket(64), GUEST6, 10, 1), "the address of somebody else is used")
            equal(guest.get("/hello.txt")[0], 200, "IPv4 beside it")
    finally:
        stop.set()
        thread.join()


def serves_metrics(guest):
    status, text, _ = scrape(guest)
    equal(status, 200, "status of /metrics at " + guest.address)
    check("lavra_rx_packets_total" in text, f"{guest.address} told: {text[:300]}")


@test
def metrics_are_served_over_both_families():
    with Guest6(cores=2, extra=("--metrics", str(METRICS_PORT))) as guest:
        guest.wait_up()
        serves_metrics(guest)
        guest.speak6()
        guest.wait_up()
        serves_metrics(guest)


@test
def ipv6_off_is_off():
    with Guest6(ip6="off", cores=1, extra=("--metrics", str(METRICS_PORT))) as guest:
        guest.wait_up()
        serves_metrics(guest)
        check(not ping6(icmp6_socket(64), f"{LINK_LOCAL6}%{TAP}", 10, 1), "an answer in spite of ip6=off")
        wait_for_link_local()
        advertise(icmp6_socket())
        time.sleep(3)
        check("router advertisement" not in guest.console(), guest.console())


@test
def ipv6_of_user_networking():
    with Guest(net="user", cores=2) as guest:
        guest.wait_up()
        end = time.monotonic() + 20
        while "fec0::5054:ff:fe12:3456 (router advertisement)" not in guest.console():
            check(time.monotonic() < end, "no address from QEMU's router:\n" + guest.console())
            time.sleep(0.1)
        equal(guest.get("/hello.txt")[0], 200, "IPv4 beside it")


# ---- names ----

class NameServer(threading.Thread):
    """Knows one name; says of others that they do not exist."""

    def __init__(self, address, family):
        super().__init__()
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        self.socket.settimeout(0.1)
        self.running, self.asked = True, set()

    def answer(self, query):
        end, name = 12, []
        while query[end]:
            name.append(query[end + 1:end + 1 + query[end]].decode())
            end += 1 + query[end]
        name, kind = ".".join(name), struct.unpack("!H", query[end + 1:end + 3])[0]
        self.asked.add(name)
        question, known = query[12:end + 5], name == "server.lavra.test"
        data = {1: socket.inet_aton(HOST_IP), 28: socket.inet_pton(socket.AF_INET6, HOST6)}.get(kind) if known else None
        record = struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(data)) + data if data else b""
        return (query[:2] + struct.pack("!HHHHH", 0x8180 if known else 0x8183, 1, 1 if data else 0, 0, 0) + question +
                record)

    def run(self):
        while self.running:
            try:
                query, peer = self.socket.recvfrom(512)
            except TimeoutError:
                continue
            self.socket.sendto(self.answer(query), peer)

    def stop(self):
        self.running = False
        self.join()
        self.socket.close()


def resolver():
    """The image of tests/programs/resolve.c."""
    # Spelt as it was for the build: another spelling of the folder is another flag, and all is compiled anew.
    build = os.path.relpath(BUILD, ROOT) if BUILD.startswith(ROOT + "/") else BUILD
    run(f"make -s -C {ROOT} BUILD={build} lavra-gcc", check=False)
    path = os.path.join(tempfile.mkdtemp(prefix="lavra-resolve-"), "resolve")
    result = subprocess.run([os.path.join(BUILD, "lavra-gcc"), "-O2", os.path.join(ROOT, "tests/programs/resolve.c"),
                             "-o", path], capture_output=True, text=True, timeout=300)
    if result.returncode:
        raise RuntimeError(result.stderr)
    return path


def resolve(path, dns, *names, ip6=f"{GUEST6}/64,{HOST6}", cores=2):
    """{name: rest of its line}"""
    command = [os.path.join(BUILD, "lavra"), "run", path, "--cores", str(cores), "--net", "tap:" + TAP, "--ip",
               f"{GUEST_IP}/{PREFIX},{HOST_IP}", "--append", "ip6=" + ip6]
    if dns:
        command += ["--append", "dns=" + dns]
    output = subprocess.run(command + ["--"] + list(names), capture_output=True, text=True, timeout=120).stdout
    return dict(line.split(": ", 1) for line in output.splitlines() if ": " in line), output


@test
def names_from_a_server():
    from guest import make_tap
    path = resolver()
    make_tap(2)
    run(f"ip -6 addr add {HOST6}/64 dev {TAP} nodad")
    server = NameServer(HOST_IP, socket.AF_INET)
    server.start()
    try:
        names = ["-4", "server.lavra.test", "-6", "server6", "localhost", "nobody.lavra.test"]
        found, output = resolve(path, HOST_IP, *names)
        check(found.get("server.lavra.test", "").startswith(HOST_IP), output)
        check(found.get("localhost", "").startswith("::1"), output)
        check("error" in found.get("nobody.lavra.test", ""), output)
        check("server.lavra.test" in server.asked and "localhost" not in server.asked, str(server.asked))
        found, output = resolve(path, HOST_IP, "-6", "server.lavra.test")
        check(found.get("server.lavra.test", "").startswith(HOST6), output)
    finally:
        server.stop()
    # A server that does not answer: an error in bounded time.
    started = time.monotonic()
    found, output = resolve(path, HOST_IP, "-4", "server.lavra.test")
    check("error" in found.get("server.lavra.test", ""), output)
    check(time.monotonic() - started < 30, f"it took {time.monotonic() - started:.0f} s")


@test
def names_from_a_server_of_ipv6():
    from guest import make_tap
    path = resolver()
    make_tap(2)
    run(f"ip -6 addr add {HOST6}/64 dev {TAP} nodad")
    server = NameServer(HOST6, socket.AF_INET6)
    server.start()
    try:
        found, output = resolve(path, HOST6, "-6", "server.lavra.test", "-4", "server.lavra.test")
        check(found.get("server.lavra.test", "").startswith(HOST_IP), output)
    finally:
        server.stop()
