"""memcached on Lavra, by the text protocol, its own conformance client, and load whose bytes are checked."""
import json
import os
import random
import shutil
import socket
import subprocess

from guest import BUILD, GUEST_IP, Guest
from tap import Skip, check, equal, test

PORT = 11211


class Session:
    """A connection that speaks memcached's text protocol."""

    def __init__(self, guest):
        self.socket = socket.create_connection((guest.address, PORT), timeout=10)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def say(self, line, value=None):
        self.socket.sendall(line.encode() + b"\r\n" + (value + b"\r\n" if value is not None else b""))

    def line(self):
        return self.file.readline().rstrip(b"\r\n").decode()

    def ask(self, line, value=None):
        self.say(line, value)
        return self.line()

    def values(self, command):
        """{key: (flags, cas or None, bytes)} of a get or gets."""
        self.say(command)
        found = {}
        while (line := self.line()) != "END":
            words = line.split()
            equal(words[0], "VALUE", f"answer to {command!r}")
            size = int(words[3])
            found[words[1]] = (int(words[2]), int(words[4]) if len(words) > 4 else None, self.file.read(size))
            equal(self.file.read(2), b"\r\n", "end of a value")
        return found


def guest_with_memcached(cores, *arguments):
    return Guest(app="memcached", cores=cores, arguments=["-m", "64", "-U", "0", "-t", str(cores), *arguments])


def commands_work(guest):
    with Session(guest) as session:
        check(session.ask("version").startswith("VERSION 1."), "version")
        equal(session.ask("set one 7 0 5", b"first"), "STORED", "set")
        equal(session.ask("add one 0 0 1", b"x"), "NOT_STORED", "add of a key that is there")
        equal(session.ask("replace none 0 0 1", b"x"), "NOT_STORED", "replace of a key that is not there")
        equal(session.ask("append one 0 0 2", b"!!"), "STORED", "append")
        equal(session.ask("prepend one 0 0 2", b"<<"), "STORED", "prepend")
        equal(session.values("get one none"), {"one": (7, None, b"<<first!!")}, "get")
        cas = session.values("gets one")["one"][1]
        equal(session.ask(f"cas one 0 0 3 {cas}", b"cas"), "STORED", "cas")
        equal(session.ask(f"cas one 0 0 3 {cas}", b"old"), "EXISTS", "cas with an old value")
        equal(session.ask("set number 0 0 2", b"40"), "STORED", "set of a number")
        equal(session.ask("incr number 2"), "42", "incr")
        equal(session.ask("decr number 50"), "0", "decr")
        equal(session.ask("touch number 100"), "TOUCHED", "touch")
        equal(session.ask("delete number"), "DELETED", "delete")
        equal(session.ask("delete number"), "NOT_FOUND", "delete again")
        session.say("set quiet 0 0 1 noreply", b"q")
        equal(session.values("get quiet"), {"quiet": (0, None, b"q")}, "after a set without a reply")
        equal(session.ask("nonsense"), "ERROR", "a command that does not exist")
        equal(session.ask("set gone 0 -1 1", b"x"), "STORED", "set of what is over at once")
        equal(session.values("get gone"), {}, "get of what is over")


def large_values_come_back(guest):
    source = random.Random(11211)
    with Session(guest) as session:
        for size in (0, 1, 100, 1460, 4096, 65536, 1000000):
            value = source.randbytes(size)
            equal(session.ask(f"set large 0 0 {size}", value), "STORED", f"set of {size} bytes")
            equal(session.values("get large")["large"][2], value, f"get of {size} bytes")
        check(session.ask(f"set toolarge 0 0 {2 << 20}", bytes(2 << 20)).startswith("SERVER_ERROR"),
              "2 MiB are refused")


def many_keys_over_many_connections(guest):
    sessions = [Session(guest) for _ in range(40)]
    for number in range(2000):
        equal(sessions[number % 40].ask(f"set k{number} 0 0 {len(str(number))}", str(number).encode()), "STORED", "set")
    for number in range(0, 2000, 50):
        keys = [f"k{n}" for n in range(number, number + 50)]
        found = sessions[(number // 50) % 40].values("get " + " ".join(keys))
        equal({k: v[2] for k, v in found.items()}, {k: k[1:].encode() for k in keys}, "values")
    sessions[0].say("stats")
    statistics = {}
    while (line := sessions[0].line()) != "END":
        _, name, value = line.split(" ", 2)
        statistics[name] = value
    equal(statistics["threads"], str(guest.cores), "threads")
    check(int(statistics["curr_connections"]) >= 40, "connections in the statistics")
    equal(sessions[0].ask("flush_all"), "OK", "flush_all")
    equal(sessions[1].values("get k1"), {}, "after flush_all")
    for session in sessions:
        session.socket.close()


def load_is_answered(guest):
    done = subprocess.run([os.path.join(BUILD, "bench", "memcached_load"), GUEST_IP, str(PORT), "64", "2"],
                          capture_output=True, text=True, timeout=60)
    equal(done.returncode, 0, f"memcached_load: {done.stdout} {done.stderr}")
    result = json.loads(done.stdout)
    equal(result["errors"], 0, "wrong answers")
    check(result["requests"] > 200, f"only {result['requests']} requests in 2 s")


def serve_on(cores):
    with guest_with_memcached(cores) as guest:
        guest.wait_for_port(PORT)
        commands_work(guest)
        large_values_come_back(guest)
        many_keys_over_many_connections(guest)
        load_is_answered(guest)
        check(guest.process.poll() is None, "the guest ended: " + guest.console())


@test
def memcached_on_one_core():
    serve_on(1)


@test
def memcached_on_two_cores():
    serve_on(2)


@test
def memcached_on_four_cores():
    serve_on(4)


@test
def memcached_passes_its_own_conformance_client():
    if not shutil.which("memccapable"):
        raise Skip("memccapable is not installed (package libmemcached-tools)")
    with guest_with_memcached(2) as guest:
        guest.wait_for_port(PORT)
        done = subprocess.run(["memccapable", "-h", GUEST_IP, "-p", str(PORT)], capture_output=True, text=True, timeout=120)
        failed = [line for line in done.stdout.splitlines() if "FAIL" in line]
        equal(failed, [], "memccapable")
        check("[pass]" in done.stdout, "memccapable said: " + done.stdout + done.stderr)


@test
def memcached_listens_on_all_cores_at_once():
    """Whoever comes after the first connection was taken is not refused, whichever core it meets."""
    for _ in range(4):
        with guest_with_memcached(4) as guest:
            guest.wait_for_port(PORT)
            for _ in range(32):
                socket.create_connection((guest.address, PORT), timeout=10).close()
