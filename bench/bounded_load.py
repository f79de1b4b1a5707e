"""A load of a given number of requests, for guests that a plugin slows down: a closed loop, in which each connection
has one request under way. Connections that are kept are made before, so that what is measured is the steady state; where
each request has a connection of its own, one begins when another has ended."""
import errno
import select
import socket
import time

TIMEOUT_S = 60


def http_length(answer):
    """The length of a complete answer, or 0."""
    header_end = answer.find(b"\r\n\r\n")
    if header_end < 0:
        return 0
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError("the server answered: " + answer[:header_end].decode(errors="replace"))
    at = answer.lower().find(b"content-length:")
    if not 0 <= at < header_end:
        raise RuntimeError("an answer without Content-Length: " + answer[:header_end].decode(errors="replace"))
    length = header_end + 4 + int(answer[at + 15:answer.index(b"\r\n", at)])
    return length if len(answer) >= length else 0


def memcached_length(answer):
    if answer.startswith((b"STORED\r\n", b"END\r\n")) or (answer.startswith(b"VALUE ") and answer.endswith(b"END\r\n")):
        return len(answer)
    if answer.endswith(b"\r\n") and not answer.startswith(b"VALUE "):
        raise RuntimeError("memcached answered: " + answer.decode(errors="replace"))
    return 0


def redis_length(answer):
    end = answer.find(b"\r\n")
    if end < 0:
        return 0
    if answer.startswith(b"-"):
        raise RuntimeError("redis answered: " + answer.decode(errors="replace"))
    length = end + 2
    if answer.startswith(b"$") and answer[1:end] != b"-1":
        length += int(answer[1:end]) + 2
    return length if len(answer) >= length else 0


def redis_request(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


class Protocol:
    """The requests of a server, in turn, and how an answer to one ends. Each connection begins at another one, so
    that they do not all ask for the same at the same time."""

    def __init__(self, requests, answer_length):
        self.requests, self.answer_length = requests, answer_length


KEYS = 1000


def protocol_of(server, path="/", close=False):
    value = b"x" * 100
    if server == "httpd":
        last = "Connection: close\r\n" if close else ""
        return Protocol([f"GET {path} HTTP/1.1\r\nHost: bench\r\n{last}\r\n".encode()], http_length)
    requests = []
    for number in range(KEYS):
        key = b"key%d" % number
        if server == "memcached":
            requests += [b"set %s 0 0 100\r\n%s\r\n" % (key, value)] + [b"get %s\r\n" % key] * 9
        else:
            requests += [redis_request(b"SET", key, value), redis_request(b"GET", key)]
    return Protocol(requests, memcached_length if server == "memcached" else redis_length)


class Connection:
    def __init__(self, address, turn):
        self.socket = socket.create_connection(address, timeout=TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answer = b""
        self.turn = turn


class BoundedLoad:
    def __init__(self, address, connections, protocol):
        self.protocol = protocol
        self.epoll = select.epoll()
        self.connections = {}
        for number in range(connections):
            connection = Connection(address, number * len(protocol.requests) // connections)
            self.connections[connection.socket.fileno()] = connection
            self.epoll.register(connection.socket, select.EPOLLIN)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for connection in self.connections.values():
            connection.socket.close()
        self.epoll.close()

    def send(self, connection):
        requests = self.protocol.requests
        connection.socket.sendall(requests[connection.turn % len(requests)])
        connection.turn += 1

    def run(self, requests):
        """Exactly so many requests and answers."""
        sent = answered = 0
        for connection in self.connections.values():
            if sent < requests:
                self.send(connection)
                sent += 1
        heard = time.monotonic()
        while answered < requests:
            ready = self.epoll.poll(1)
            if not ready and time.monotonic() - heard > TIMEOUT_S:
                raise RuntimeError(f"{requests - answered} of {requests} requests have no answer after {TIMEOUT_S} s")
            for fd, _ in ready:
                connection = self.connections[fd]
                data = connection.socket.recv(1 << 20)
                if not data:
                    raise RuntimeError("the server closed a connection that it should have kept")
                heard = time.monotonic()
                connection.answer += data
                if self.protocol.answer_length(connection.answer):
                    connection.answer = b""
                    answered += 1
                    if sent < requests:
                        self.send(connection)
                        sent += 1


class ClosingLoad:
    """The same with a connection for each request, which the server closes when it has answered. None is open between
    two runs."""

    def __init__(self, address, connections, protocol):
        self.address, self.at_once, self.protocol = address, connections, protocol
        self.epoll = select.epoll()
        self.connections = {}  # (socket, what it was answered) by descriptor

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for connection, _ in self.connections.values():
            connection.close()
        self.epoll.close()

    def begin(self):
        connection = socket.socket()
        connection.setblocking(False)
        error = connection.connect_ex(self.address)
        if error not in (0, errno.EINPROGRESS):
            raise OSError(error, "connect: " + errno.errorcode[error])
        self.connections[connection.fileno()] = connection, b""
        self.epoll.register(connection, select.EPOLLOUT)

    def advance(self, fd, events):
        """What can be done for a connection: True if that was its end."""
        connection, answer = self.connections[fd]
        if events & select.EPOLLOUT:
            connection.sendall(self.protocol.requests[0])
            self.epoll.modify(fd, select.EPOLLIN)
            return False
        data = connection.recv(1 << 20)
        self.connections[fd] = connection, answer + data
        if data:
            return False
        if not self.protocol.answer_length(answer):
            raise RuntimeError("the server closed a connection before it had answered")
        del self.connections[fd]
        connection.close()
        return True

    def run(self, requests):
        """Exactly so many connections, each with a request, an answer and its end."""
        begun = ended = 0
        heard = time.monotonic()
        while ended < requests:
            while begun < requests and begun - ended < self.at_once:
                self.begin()
                begun += 1
            ready = self.epoll.poll(1)
            if ready:
                heard = time.monotonic()
            elif time.monotonic() - heard > TIMEOUT_S:
                raise RuntimeError(f"{requests - ended} of {requests} connections have not ended after {TIMEOUT_S} s")
            for fd, events in ready:
                ended += self.advance(fd, events)
