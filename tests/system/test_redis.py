"""Redis on Lavra: a client's session, redis-cli, redis-benchmark, files, and Redis' own test suite."""
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time

from guest import BUILD, GUEST_IP, Guest
from tap import Skip, check, equal, test

PORT = 6379


class Redis:
    """A connection that speaks RESP2. Errors come back as Exception objects."""

    def __init__(self, guest):
        self.socket = socket.create_connection((guest.address, PORT), timeout=20)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def send(self, *words):
        words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))

    def answer(self):
        line = self.file.readline()
        check(line.endswith(b"\r\n"), f"the connection ended in {line!r}")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return RuntimeError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        check(kind == b"*", f"an answer begins with {line!r}")
        return None if rest == b"-1" else [self.answer() for _ in range(int(rest))]

    def do(self, *words):
        self.send(*words)
        return self.answer()


def guest_with_redis(cores, *arguments):
    threads = ["--io-threads", str(cores), "--io-threads-do-reads", "yes"] if cores > 1 else []
    return Guest(app="redis", cores=cores, memory="256M",
                 arguments=["/etc/redis/redis.conf", "--protected-mode", "no", "--enable-debug-command", "yes", *threads, *arguments])


def commands_work(guest):
    with Redis(guest) as redis:
        equal(redis.do("PING"), "PONG", "PING")
        equal(redis.do("SET", "a", "1"), "OK", "SET")
        equal(redis.do("INCRBY", "a", 41), 42, "INCRBY")
        equal(redis.do("RPUSH", "list", *range(100)), 100, "RPUSH")
        equal(redis.do("LRANGE", "list", 0, -1), [str(i).encode() for i in range(100)], "LRANGE")
        equal(redis.do("HSET", "hash", "f", "v", "g", "w"), 2, "HSET")
        equal(sorted(redis.do("HGETALL", "hash")), [b"f", b"g", b"v", b"w"], "HGETALL")
        equal(redis.do("ZADD", "sorted", 3, "c", 1, "a", 2, "b"), 3, "ZADD")
        equal(redis.do("ZRANGE", "sorted", 0, -1), [b"a", b"b", b"c"], "ZRANGE")
        equal(redis.do("EVAL", "return redis.call('incr', KEYS[1]) * 2", 1, "a"), 86, "a script in Lua")
        check(isinstance(redis.do("LPUSH", "a", 1), RuntimeError), "a command on the wrong type is an error")
        for size in (0, 100, 65536, 3 << 20):
            value = os.urandom(size)
            equal(redis.do("SET", "large", value), "OK", f"SET of {size} bytes")
            equal(redis.do("GET", "large"), value, f"GET of {size} bytes")
        redis.do("SET", "short", "x", "PX", 50)
        time.sleep(0.2)
        equal(redis.do("GET", "short"), None, "an expired key")
        for number in range(1000):  # all at once, then all answers
            redis.send("SET", f"pipe{number}", number)
        equal([redis.answer() for _ in range(1000)], ["OK"] * 1000, "pipelined SETs")


def clients_hear_of_each_other(guest):
    with Redis(guest) as subscriber, Redis(guest) as publisher, Redis(guest) as waiter:
        equal(subscriber.do("SUBSCRIBE", "news"), [b"subscribe", b"news", 1], "SUBSCRIBE")
        equal(publisher.do("PUBLISH", "news", "now"), 1, "PUBLISH")
        equal(subscriber.answer(), [b"message", b"news", b"now"], "the message")
        waiter.send("BLPOP", "queue", 10)
        publisher.do("LPUSH", "queue", "item")
        equal(waiter.answer(), [b"queue", b"item"], "BLPOP")


def files_work(guest):
    with Redis(guest) as redis:
        redis.do("FLUSHALL")
        for number in range(500):
            redis.do("SET", f"k{number}", "v" * number)
        digest = redis.do("DEBUG", "DIGEST")
        equal(redis.do("SAVE"), "OK", "SAVE")
        equal(redis.do("DEBUG", "RELOAD"), "OK", "a reload from the file")
        equal(redis.do("DEBUG", "DIGEST"), digest, "the data after the reload")
        answer = redis.do("BGSAVE")
        check(isinstance(answer, RuntimeError), f"BGSAVE needs fork and says so: {answer!r}")


def benchmark_runs(guest):
    done = subprocess.run(["redis-benchmark", "-h", GUEST_IP, "-p", str(PORT), "-t",
                           "ping,set,get,incr,lpush,rpop,sadd,hset,zadd,lrange_100,mset", "-n", "1000", "-c", "50",
                           "-q"], capture_output=True, text=True, timeout=120)
    equal(done.returncode, 0, "redis-benchmark: " + done.stdout + done.stderr)
    check(done.stdout.count("requests per second") >= 11 and "ERR" not in done.stdout + done.stderr,
          "redis-benchmark said: " + done.stdout + done.stderr)


def serve_on(cores):
    if not shutil.which("redis-benchmark"):
        raise Skip("redis-benchmark is not installed (package redis-tools)")
    with guest_with_redis(cores) as guest:
        guest.wait_for_port(PORT)
        commands_work(guest)
        clients_hear_of_each_other(guest)
        files_work(guest)
        benchmark_runs(guest)
        check(guest.process.poll() is None, "the guest ended: " + guest.console())


@test
def redis_on_one_core():
    serve_on(1)


@test
def redis_on_two_cores():
    serve_on(2)


@test
def redis_on_four_cores():
    serve_on(4)


@test
def redis_keeps_its_append_only_file():
    with guest_with_redis(2, "--appendonly", "yes", "--dir", "/tmp") as guest:
        guest.wait_for_port(PORT)
        with Redis(guest) as redis:
            for number in range(300):
                equal(redis.do("SET", f"k{number}", number), "OK", "SET")
            digest = redis.do("DEBUG", "DIGEST")
            equal(redis.do("DEBUG", "LOADAOF"), "OK", "a reload from the append-only file")
            equal(redis.do("DEBUG", "DIGEST"), digest, "the data after the reload")


# ---- Redis' own test suite ----

# Files of the suite whose tests do not measure time. REDIS_UNITS=all runs every file, which takes long.
UNITS = """unit/auth unit/protocol unit/keyspace unit/info unit/info-command unit/type/string unit/type/incr
    unit/type/list unit/type/set unit/type/hash unit/type/stream-cgroups unit/sort unit/multi unit/quit unit/acl
    unit/acl-v2 unit/slowlog unit/scripting unit/introspection-2 unit/limits unit/bitops unit/bitfield unit/geo
    unit/hyperloglog unit/pubsub unit/pubsubshard unit/functions unit/tracking unit/networking"""

# What of the suite is left out, and why: a test's name, or a tag with a minus.
NEEDS_FORK = "saving in the background, also for a replica, needs fork"
NEEDS_ONE_CLOCK = "client and server must read the same clock, to the millisecond"
SKIPPED = {
    "-needs:repl": NEEDS_FORK,
    "SWAPDB wants to wake blocked client, but the key already expired": NEEDS_FORK,
    "MULTI + LPUSH + EXPIRE + DEBUG SLEEP on blocked client, key already expired": NEEDS_FORK,
    "propagation with eviction": NEEDS_FORK,
    "propagation with eviction in MULTI": NEEDS_FORK,
    "SCAN: Lazy-expire should not be wrapped in MULTI/EXEC": NEEDS_FORK,
    "RANDOMKEY: Lazy-expire should not be wrapped in MULTI/EXEC": NEEDS_FORK,
    "BGSAVE": NEEDS_FORK,
    "MULTI with BGREWRITEAOF": NEEDS_FORK,
    "MULTI with config set appendonly": NEEDS_FORK,
    "Same dataset digest if saving/reloading as AOF?": NEEDS_FORK,
    "EXPIRES after a reload (snapshot + append only file rewrite)": NEEDS_FORK,
    "EXPIRES after AOF reload (without rewrite)": NEEDS_FORK,
    "Consumer without PEL is present in AOF after AOFRW": NEEDS_FORK,
    "Empty stream with no lastid can be rewrite into AOF correctly": NEEDS_FORK,
    "Empty stream can be rewrite into AOF correctly": NEEDS_FORK,
    "Stream can be rewrite into AOF correctly after XDEL lastid": NEEDS_FORK,
    "RESTORE can set an absolute expire": NEEDS_ONE_CLOCK,
    "GETEX EXAT option": NEEDS_ONE_CLOCK,
    "GETEX PXAT option": NEEDS_ONE_CLOCK,
    "Extended SET EXAT option": NEEDS_ONE_CLOCK,
    "Extended SET PXAT option": NEEDS_ONE_CLOCK,
    "SET - use KEEPTTL option, TTL should not be removed after loadaof": "loads the log of the whole suite within 10 s",
    "CONFIG SET rollback on apply error": "takes a port of the client's machine away from the server",
    "LATENCY of expire events are correctly collected": "a time decides",
    "SRANDMEMBER with a dict containing long chain": "asks for the server's process number; fails on Linux too",
}
# Some of its servers have an append-only file, which can be turned on later only with fork.
LOG = ["--appendonly", "yes", "--appendfsync", "no", "--auto-aof-rewrite-percentage", "0"]


def suite_folder(folder):
    """The suite as Redis' sources have it, beside the clients of this system."""
    source = os.path.join(BUILD, "apps", "redis", "work", "redis")
    shutil.copytree(os.path.join(source, "tests"), os.path.join(folder, "tests"))
    shutil.copy(os.path.join(source, "runtest"), folder)
    os.makedirs(os.path.join(folder, "src"))
    for program in ("redis-cli", "redis-benchmark"):
        os.symlink(shutil.which(program), os.path.join(folder, "src", program))
    # Never started: the server is elsewhere.
    os.symlink(shutil.which("true"), os.path.join(folder, "src", "redis-server"))
    return folder


@test
def redis_passes_its_own_test_suite():
    if not shutil.which("tclsh") or not shutil.which("redis-cli"):
        raise Skip("the suite needs tclsh and redis-cli (packages tcl, redis-tools)")
    with tempfile.TemporaryDirectory() as folder, guest_with_redis(
            2, "--enable-protected-configs", "yes", *LOG) as guest:
        guest.wait_for_port(PORT)
        command = ["./runtest", "--host", GUEST_IP, "--port", str(PORT)]
        units = os.environ.get("REDIS_UNITS", UNITS)
        for unit in units.split() if units != "all" else ():
            command += ["--single", unit]
        for name in SKIPPED:
            command += ["--tags", name] if name.startswith("-") else ["--skiptest", name]
        log_path = os.path.join(BUILD, "tests", "redis-suite.log")
        with open(log_path, "w") as log:
            try:
                status = subprocess.run(command, cwd=suite_folder(folder), stdout=log, stderr=log, timeout=900).returncode
            except subprocess.TimeoutExpired:
                status = "no end within 900 s"
        with open(log_path) as log:
            output = re.sub(r"\x1b\[[0-9;]*m", "", log.read())
        failed = [line for line in output.splitlines() if line.startswith(("[err]", "[exception]", "[timeout]"))]
        passed = output.count("[ok]:")
        print(f"# Redis' own suite: {passed} tests passed, {len(failed)} failed, {len(SKIPPED)} left out")
        equal(failed, [], "tests of the suite")
        equal(status, 0, f"the end of the suite ({log_path}): " + output[-2000:])
        check(passed > 50, f"only {passed} tests ran")
