"""What a network does to packets: pieces, losses, and peers that take more than they give back."""
import socket
import struct
import time

from guest import GUEST_IP, HOST_IP, Guest, tap_counts
from packets import echo_request
from tap import check, equal, test


def icmp_socket():
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    raw.settimeout(0.5)
    return raw


def ping(raw, length, identifier):
    """Send one and wait for its answer, which must be the same data."""
    request = echo_request(bytes(i & 0xFF for i in range(length)), identifier, length & 0xFFFF)
    raw.sendto(request, (GUEST_IP, 0))
    end = time.monotonic() + 3
    while time.monotonic() < end:
        try:
            packet = raw.recv(70000)
        except TimeoutError:
            continue
        answer = packet[(packet[0] & 15) * 4:]
        if answer[:1] == b"\0" and answer[4:8] == request[4:8]:
            return answer[8:] == request[8:]
    return False


def fragment(offset, data, more, identifier=7, protocol=17, source=HOST_IP):
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(data), identifier, (0x2000 if more else 0) | offset // 8, 64,
                     protocol, 0)
    return ip + socket.inet_aton(source) + socket.inet_aton(GUEST_IP) + data


def wait_until_taken(packets):
    """Wait until the guest has taken so many from the tap."""
    end = time.monotonic() + 10
    while tap_counts()["rx_packets"] < packets:
        check(time.monotonic() < end, f"the guest did not take {packets} packets: {tap_counts()}")
        time.sleep(0.001)


@test
def packets_in_pieces():
    with Guest(cores=2) as guest:
        guest.wait_up()
        raw = icmp_socket()
        for number, length in enumerate((0, 1, 100, 1472, 1473, 3000, 8000, 20000, 60000, 65507)):
            check(ping(raw, length, 1000 + number), f"no answer to a ping of {length} bytes")
        # Missing, overlapping and empty pieces: nothing comes of them, and they do not stay.
        pieces = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        taken = tap_counts()["rx_packets"]
        for number in range(2000):
            kind = number % 4
            for offset, size, more in (((0, 64, True), (128, 64, True)), ((0, 64, True), (32, 64, False)),
                                       ((0, 8, True), (0, 8, True)), ((65528, 64, False), (64, 0, True)))[kind]:
                pieces.sendto(fragment(offset, bytes(size), more, number, 17 if number % 8 < 4 else 6), (GUEST_IP, 0))
            if number % 100 == 99:  # a tap holds 1,000 packets for a guest that is late, and drops more unsaid
                taken += 200
                wait_until_taken(taken)
        equal(guest.get("/hello.txt")[0], 200, "service after odd pieces")
        # Another socket: the guest may have told the first of each packet that it gave up.
        check(ping(icmp_socket(), 20000, 2000), "no answer to a ping in pieces after odd pieces")


@test
def readers_who_do_not_read_get_no_more_than_there_is():
    request = b"GET /style.css HTTP/1.1\r\nHost: x\r\n\r\n" * 1000
    with Guest(cores=2, memory="32M") as guest:
        guest.wait_up()
        held = []
        try:
            for _ in range(1000):
                held.append(guest.connect())
                held[-1].setblocking(False)
            for _ in range(2):
                for connection in held:
                    try:
                        connection.send(request)
                    except OSError:
                        pass  # it has enough, or the server had enough of us
                equal(guest.get("/hello.txt", timeout=20)[0], 200, "service beside them")
            check(guest.total("lavra_pages_free") > 500, "the network left no memory to the application")
        finally:
            for connection in held:
                connection.close()
        for _ in range(40):
            if guest.total("lavra_tcp_control_blocks") <= 2:
                break
            time.sleep(0.25)
        check(guest.total("lavra_tcp_control_blocks") <= 2, "connections stay")
        check(guest.total("lavra_object_bytes") < 2 << 20, "their data stays")
