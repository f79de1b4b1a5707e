"""The server answers, over user networking and over multiqueue tap, on every core."""
import http.client
import os
import socket
import struct
import subprocess

from guest import Guest, ROOT, wrk
from packets import echo_request
from tap import check, equal, test


def read_file(name):
    with open(os.path.join(ROOT, "apps/httpd/files", name), "rb") as file:
        return file.read()


def pages_are_right(guest):
    for name in ("hello.txt", "style.css", "live.js"):
        status, body, headers = guest.get("/" + name)
        equal(status, 200, "status of /" + name)
        equal(body, read_file(name), "body of /" + name)
        equal(int(headers["Content-Length"]), len(body), "length of /" + name)
    status, body, _ = guest.get("/")
    equal(status, 200, "status of /")
    check(body.count(b"<tr><td>") == guest.cores, f"the table of / has not {guest.cores} rows: {body!r}")
    equal(guest.get("/missing")[0], 404, "status of a missing file")
    equal(guest.get("/", method="DELETE")[0], 405, "status of DELETE")
    status, body, headers = guest.get("/hello.txt", method="HEAD")
    equal((status, body, headers["Content-Length"]), (200, b"", "14"), "HEAD")


def keep_alive_works(guest):
    connection = http.client.HTTPConnection(guest.address, guest.port, timeout=10)
    for _ in range(200):
        connection.request("GET", "/hello.txt")
        equal(connection.getresponse().read(), b"Hello, world!\n", "keep-alive body")
    connection.close()


def pipelining_works(guest):
    one = b"GET /hello.txt HTTP/1.1\r\nHost: x\r\n\r\n"
    with guest.connect() as connection:
        connection.sendall(one * 499 + one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    equal(answer.count(b"HTTP/1.1 200 OK"), 500, "pipelined answers")
    equal(answer.count(b"Hello, world!\n"), 500, "pipelined bodies")


@test
def curl_over_user_networking():
    with Guest(net="user", cores=2) as guest:
        guest.wait_up()
        output = subprocess.run(["curl", "-sS", "--max-time", "10", f"http://{guest.address}:{guest.port}/"],
                                capture_output=True, text=True)
        equal(output.returncode, 0, "curl: " + output.stderr)
        check("<title>Lavra</title>" in output.stdout, "curl got " + output.stdout)
        pages_are_right(guest)
        keep_alive_works(guest)
        pipelining_works(guest)


def serve_on(cores):
    with Guest(net="tap", cores=cores) as guest:
        guest.wait_up()
        pages_are_right(guest)
        keep_alive_works(guest)
        pipelining_works(guest)
        before = guest.requests_per_core()
        # The host's hash spreads connections: a few times 64, so that chance does not decide.
        for _ in range(3):
            load = wrk(guest, connections=64, seconds=1)
            equal(load["errors"], 0, "wrk errors")
            check(load["requests"] > 100, f"wrk completed only {load['requests']} requests")
        spread = [b - a for a, b in zip(before, guest.requests_per_core())]
        fair = sum(spread) / cores
        check(min(spread) * 2 >= fair, f"a core has under half of its fair share: {spread}")
        check(guest.process.poll() is None, "the guest ended: " + guest.console())


@test
def every_core_answers_ping():
    with Guest(net="tap", cores=2) as guest, socket.socket(socket.AF_INET, socket.SOCK_RAW,
                                                            socket.IPPROTO_ICMP) as raw:
        guest.wait_up()
        raw.settimeout(5)
        for number in range(64):
            body = bytes(number for _ in range(2 * 10 * number + 8))
            raw.sendto(echo_request(body, 0x4C61, number), (guest.address, 0))
            answer = raw.recv(4096)[20:]
            equal((answer[0], struct.unpack("!H", answer[6:8])[0]), (0, number), "echo reply")
            equal(answer[8:], body, "body of the echo reply")
        check(all(guest.metrics()["lavra_rx_packets_total"].values()), "a core received nothing")


@test
def wrk_over_tap_on_1_core():
    serve_on(1)


@test
def wrk_over_tap_on_2_cores_is_spread():
    serve_on(2)


@test
def wrk_over_tap_on_4_cores_is_spread():
    serve_on(4)


@test
def one_queue_is_steered_to_all_cores():
    with Guest(net="user", cores=2) as guest:
        guest.wait_up()
        before = guest.requests_per_core()
        for _ in range(64):
            equal(guest.get("/hello.txt")[0], 200, "status")
        after = guest.requests_per_core()
        spread = [b - a for a, b in zip(before, after)]
        check(min(spread) >= 8, f"64 connections through one queue were served by {spread}")
