"""What a server must bear: afterwards it serves on, and nothing has leaked."""
import os
import random
import socket
import struct
import time

from guest import GUEST_IP, HOST_IP, TAP, Guest
from packets import checksum
from tap import check, equal, test

# What must come back to what it was (/metrics); pages may stay in caches up to a bound.
RESOURCES = ("lavra_descriptors", "lavra_tcp_control_blocks", "lavra_sockets", "httpd_connections")
PAGES_SLACK = 1024

_guest = None
_baseline = None


def resources(guest):
    metrics = guest.metrics()
    return {name: sum(metrics[name].values()) for name in RESOURCES}, sum(metrics["lavra_pages_free"].values())


def shared_guest():
    """One guest bears everything, so that a fault's traces would show in the next test."""
    global _guest, _baseline
    if _guest is None:
        _guest = Guest(net="tap", cores=2, memory="128M")
        _guest.wait_up()
        for _ in range(200):
            _guest.get("/hello.txt")
        time.sleep(3)
        _baseline = resources(_guest)
    return _guest


def serves_as_before():
    guest = _guest
    check(guest.process.poll() is None, "the guest ended: " + guest.console())
    for path in ("/", "/hello.txt"):
        equal(guest.get(path)[0], 200, "status of " + path)
    # Closing takes as long as TIME_WAIT and the client's own ends take; bounded.
    for _ in range(60):
        now, free = resources(guest)
        if now == _baseline[0] and free + PAGES_SLACK >= _baseline[1]:
            return
        time.sleep(0.5)
    raise AssertionError(f"not given back: {now}, {free} free pages; before: {_baseline[0]}, {_baseline[1]}")


def reset(connection):
    """Close with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@test
def half_open_connections():
    guest = shared_guest()
    held = [guest.connect() for _ in range(100)]
    for connection in held:
        connection.sendall(b"GET / HT")
    equal(guest.get("/hello.txt")[0], 200, "service beside half-open connections")
    for connection in held:
        connection.close()
    serves_as_before()


@test
def resets_at_every_stage():
    guest = shared_guest()
    request = b"GET /style.css HTTP/1.1\r\nHost: x\r\n\r\n"
    for stage in range(6):
        for _ in range(30):
            connection = guest.connect()
            if stage == 1:
                connection.sendall(request[:7])
            elif stage == 2:
                connection.sendall(request)
            elif stage == 3:
                connection.sendall(request)
                connection.recv(1)
            elif stage == 4:
                connection.sendall(request * 50)
            elif stage == 5:
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
            reset(connection)
    serves_as_before()


@test
def ten_thousand_connections_in_sequence():
    guest = shared_guest()
    request = b"GET /hello.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    for number in range(10000):
        with guest.connect() as connection:
            connection.sendall(request)
            answer = b""
            while chunk := connection.recv(4096):
                answer += chunk
        check(answer.endswith(b"Hello, world!\n"), f"connection {number} got {answer!r}")
    serves_as_before()


@test
def two_thousand_connections_at_once():
    guest = shared_guest()
    held = []
    try:
        for _ in range(2000):
            held.append(guest.connect())
        for connection in held:
            connection.sendall(b"GET /hello.txt HTTP/1.1\r\nHost: x\r\n\r\n")
        for number, connection in enumerate(held):
            answer = b""
            while not answer.endswith(b"Hello, world!\n"):
                chunk = connection.recv(4096)
                check(chunk, f"connection {number} ended after {answer!r}")
                answer += chunk
    finally:
        for connection in held:
            connection.close()
    serves_as_before()


@test
def malformed_requests():
    guest = shared_guest()
    cases = [
        (b"\x00\x01\x02\x03", b"400"),
        (b"GET\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: y\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", b"505"),
        (b"GET /" + b"a" * 4000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 9000 + b"\r\n\r\n", b"431"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"501"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", b"400"),
    ]
    for request, status in cases:
        with guest.connect() as connection:
            connection.sendall(request)
            answer = b""
            while chunk := connection.recv(4096):
                answer += chunk
        equal(answer.split(b" ")[1:2], [status], f"answer to {request[:60]!r}")
    serves_as_before()


@test
def a_client_that_sends_and_reads_one_byte_at_a_time():
    guest = shared_guest()
    request = b"GET /hello.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    slow = guest.connect(timeout=20)
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    for byte in request[:8]:
        slow.sendall(bytes([byte]))
        time.sleep(0.5)
        equal(guest.get("/hello.txt")[0], 200, "service beside a slow client")
    slow.sendall(request[8:])
    answer = b""
    while chunk := slow.recv(1):
        answer += chunk
    check(answer.endswith(b"Hello, world!\n"), f"the slow client got {answer!r}")
    slow.close()
    serves_as_before()


def frame_socket():
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    raw.bind((TAP, 0))
    return raw


def mac_of_guest():
    with open("/proc/net/arp") as table:
        for line in table:
            if line.startswith(GUEST_IP + " "):
                return bytes.fromhex(line.split()[3].replace(":", ""))
    raise AssertionError("the guest is not in the ARP table")


def syn(mac, source, port, sequence):
    tcp = struct.pack("!HHIIBBHHH", port, 80, sequence, 0, 0x50, 0x02, 65535, 0, 0)
    addresses = socket.inet_aton(source) + socket.inet_aton(GUEST_IP)
    tcp = tcp[:16] + struct.pack("!H", checksum(addresses + struct.pack("!BBH", 0, 6, len(tcp)) + tcp)) + tcp[18:]
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0) + addresses
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    return mac + b"\x02\0\0\0\0\x01" + b"\x08\0" + ip + tcp


@test
def a_flood_of_syn_then_normal_service():
    guest = shared_guest()
    raw, mac, chance = frame_socket(), mac_of_guest(), random.Random(1)
    for number in range(20000):
        source = f"10.77.0.{100 + number % 100}"
        try:
            raw.send(syn(mac, source, chance.randrange(1024, 65536), chance.randrange(1 << 32)))
        except OSError:
            time.sleep(0.001)
        if number % 2000 == 0:
            equal(guest.get("/hello.txt", timeout=20)[0], 200, "service during the flood")
    raw.close()
    equal(guest.get("/hello.txt", timeout=20)[0], 200, "service after the flood")
    serves_as_before()


@test
def random_frames():
    guest = shared_guest()
    raw, mac, chance = frame_socket(), mac_of_guest(), random.Random(2)
    good = syn(mac, HOST_IP, 4000, 1)
    for number in range(20000):
        kind = number % 4
        if kind == 0:
            frame = chance.randbytes(chance.randrange(14, 1500))
        elif kind == 1:
            frame = mac + chance.randbytes(6) + b"\x08\0" + chance.randbytes(chance.randrange(0, 200))
        elif kind == 2:
            frame = mac + chance.randbytes(6) + b"\x08\x06" + chance.randbytes(chance.randrange(0, 60))
        else:
            frame = bytearray(good + chance.randbytes(chance.randrange(0, 40)))
            for _ in range(chance.randrange(1, 6)):
                # Not the addresses: the host must not learn wrong ones from the answers.
                frame[chance.randrange(14, len(frame))] = chance.randrange(256)
            frame = bytes(frame)
        try:
            raw.send(frame)
        except OSError:
            time.sleep(0.001)
    raw.close()
    serves_as_before()


@test
def the_guest_that_bore_it_all_stops_cleanly():
    guest = shared_guest()
    check("panic" not in guest.console(), guest.console())
    guest.stop()
