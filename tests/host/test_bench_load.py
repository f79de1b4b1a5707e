"""bench/bounded_load.py: where answers end, and a load of exactly so many requests."""
import os
import socket
import sys
import threading

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", "system"), os.path.join(ROOT, "bench")]
from bounded_load import BoundedLoad, ClosingLoad, http_length, memcached_length, protocol_of, redis_length  # noqa: E402
from tap import equal, run_all, test  # noqa: E402

HTTP = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def raises(function, *arguments):
    try:
        function(*arguments)
    except RuntimeError:
        return True
    return False


@test
def an_answer_ends_where_its_length_says():
    for whole, length_of in ((HTTP, http_length), (b"VALUE key 0 3\r\nabc\r\nEND\r\n", memcached_length),
                             (b"STORED\r\n", memcached_length), (b"$3\r\nabc\r\n", redis_length),
                             (b"$-1\r\n", redis_length), (b"+OK\r\n", redis_length)):
        for size in range(len(whole)):
            equal(length_of(whole[:size]), 0, f"the length of {whole[:size]}, of which more is to come")
        equal(length_of(whole), len(whole), f"the length of {whole}")


@test
def a_refusal_is_not_counted_as_an_answer():
    for answer, length_of in ((b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", http_length),
                              (b"SERVER_ERROR out of memory\r\n", memcached_length), (b"-ERR no\r\n", redis_length)):
        equal(raises(length_of, answer), True, f"whether {answer} is refused")


class Server:
    """Answers each request, in two pieces, and counts it; closes a connection after so many if told."""

    def __init__(self, close_after=None, answer=HTTP):
        self.answer, self.accepted = answer, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.close_after, self.requests, self.lock = close_after, 0, threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        served = 0
        while served != self.close_after and connection.recv(65536).endswith(b"\r\n\r\n"):
            with self.lock:
                self.requests += 1
            connection.sendall(self.answer[:30])
            connection.sendall(self.answer[30:])
            served += 1
        connection.close()


@test
def a_load_sends_exactly_its_requests():
    for connections, requests in ((1, 1), (8, 3), (8, 100)):
        server = Server()
        with BoundedLoad(server.address, connections, protocol_of("httpd")) as load:
            load.run(requests)
            load.run(requests)
        equal(server.requests, 2 * requests, f"requests of two loads of {requests} on {connections} connections")
        server.listener.close()


@test
def a_connection_that_the_server_closes_ends_the_load():
    server = Server(close_after=2)
    with BoundedLoad(server.address, 1, protocol_of("httpd")) as load:
        equal(raises(load.run, 10), True, "whether a lost connection is told")
    server.listener.close()


@test
def a_closing_load_makes_a_connection_for_each_request():
    for connections, requests in ((1, 1), (8, 3), (8, 100)):
        server = Server(close_after=1)
        with ClosingLoad(server.address, connections, protocol_of("httpd", close=True)) as load:
            load.run(requests)
            load.run(requests)
            equal(load.connections, {}, "connections that are open after a load")
        equal((server.accepted, server.requests), (2 * requests, 2 * requests),
              f"connections and requests of two loads of {requests}, {connections} at a time")
        server.listener.close()


@test
def a_closing_load_ends_if_an_answer_is_cut_off():
    server = Server(close_after=1, answer=HTTP[:-1])
    with ClosingLoad(server.address, 1, protocol_of("httpd", close=True)) as load:
        equal(raises(load.run, 10), True, "whether half an answer is told")
    server.listener.close()


sys.exit(1 if run_all() else 0)
