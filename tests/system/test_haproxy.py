"""HAProxy on Lavra in front of two servers on the host."""
import hashlib
import http.server
import os
import random
import tempfile
import threading
import time

from guest import HOST_IP, Guest, wrk
from tap import check, equal, test

CONFIGURATION = """
global
    nbthread {cores}
    maxconn 2000
    log stderr local0
defaults
    mode http
    timeout connect 5s
    timeout client 20s
    timeout server 20s
    option redispatch
frontend web
    bind :80
    stats enable
    stats uri /haproxy-stats
    default_backend servers
backend servers
    balance roundrobin
    option httpchk GET /health
    server one {host}:8001 check inter 300ms fall 2 rise 2
    server two {host}:8002 check inter 300ms fall 2 rise 2
frontend raw
    mode tcp
    bind :81
    default_backend raw
backend raw
    mode tcp
    server one {host}:8001
"""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    large = random.Random(443).randbytes(1 << 20)

    def do_GET(self):
        self.reply({"/large": self.large}.get(self.path, f"server {self.server.server_port}\n".encode()))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.reply(hashlib.sha256(body).hexdigest().encode())

    def reply(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Backend(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port):
        super().__init__((HOST_IP, port), Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def handle_error(self, *_):
        """The proxy resets connections that it does not need any more."""

    def end(self):
        self.shutdown()
        self.server_close()


def servers_that_answer(guest, turns=20):
    return {guest.get("/")[1] for _ in range(turns)}


def serve_on(cores):
    with tempfile.TemporaryDirectory() as folder:
        os.makedirs(os.path.join(folder, "etc/haproxy"))
        with open(os.path.join(folder, "etc/haproxy/haproxy.cfg"), "w") as file:
            file.write(CONFIGURATION.format(cores=cores, host=HOST_IP))
        with Guest(app="haproxy", cores=cores, memory="256M", extra=["--files", folder]) as guest:
            one, two = Backend(8001), Backend(8002)
            try:
                guest.wait_for_port(80)
                balances(guest)
                carries_bodies(guest)
                load = wrk(guest, connections=16, seconds=1)
                equal(load["errors"], 0, "wrk errors")
                check(load["requests"] > 20, f"wrk completed only {load['requests']} requests")
                # A server that is gone is left out, and taken in again when it is back.
                two.end()
                wait_for(guest, {b"server 8001\n"})
                two = Backend(8002)
                wait_for(guest, {b"server 8001\n", b"server 8002\n"})
            finally:
                one.end()
                two.end()
            check(guest.process.poll() is None, "the guest ended: " + guest.console())


def balances(guest):
    wait_for(guest, {b"server 8001\n", b"server 8002\n"})
    status, body, _ = guest.get("/haproxy-stats;csv")
    equal(status, 200, "status of the statistics")
    check(b"servers,one," in body and b"servers,two," in body, f"statistics: {body[:200]!r}")


def carries_bodies(guest):
    equal(guest.get("/large")[1], Handler.large, "1 MiB from a server")
    body = random.Random(444).randbytes(1 << 20)
    equal(guest.get("/", method="POST", body=body)[1], hashlib.sha256(body).hexdigest().encode(), "1 MiB to a server")
    guest.port = 81
    equal(guest.get("/large")[1], Handler.large, "1 MiB over the proxy of plain TCP")
    guest.port = 80


def wait_for(guest, expected, patience=15):
    end = time.monotonic() + patience
    while (seen := servers_that_answer(guest)) != expected:
        check(time.monotonic() < end, f"{seen} answer, not {expected}; console:\n{guest.console()}")


@test
def haproxy_on_one_core():
    serve_on(1)


@test
def haproxy_on_two_cores():
    serve_on(2)


@test
def haproxy_on_four_cores():
    serve_on(4)
