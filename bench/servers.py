"""The servers that bench/scale measures: how each is started on Lavra and on the Linux guest, when it is
up, and what load it gets. A load returns requests, rate, p50, p99 and, where the client tells it, p999 in ms, and errors;
and as issued all its requests, if not all are among the measured ones."""
import csv
import io
import json
import os
import subprocess
import time

from guest import BUILD, GUEST_IP, wrk


class Httpd:
    """Our own server: GET of one path, on connections that are kept or closed after each answer."""
    name, port = "httpd", 80

    def __init__(self, options):
        self.options = options
        kept = "closed" if options.close else "keep-alive"
        self.path = f"/body-{options.body}" if options.body else options.path
        self.title = f"httpd, GET {self.path}, {options.connections} {kept} connections, wrk -t1"

    def arguments(self, cores):
        return []

    def linux_command(self, cores):
        return []

    def load(self, guest, seconds):
        return wrk(guest, self.path, self.options.connections, seconds, self.options.close)

    def per_core(self, guest):
        return guest.requests_per_core()


class Redis:
    """GET and SET, half and half, of 100 bytes by redis-benchmark, with as many io-threads as cores."""
    name, port = "redis", 6379

    def __init__(self, options):
        self.options = options
        self.bytes = options.body or 100
        self.title = (f"redis, SET and GET of {self.bytes} bytes, {options.connections} connections, redis-benchmark, "
                      f"io-threads = {options.threads or 'cores'}")

    def arguments(self, cores):
        number = self.options.threads or cores
        threads = ["--io-threads", str(number), "--io-threads-do-reads", "yes"] if number > 1 else []
        # Saving once a day after a thousand million changes is to save never: there is no empty word
        # on the Linux kernel's command line.
        return ["--protected-mode", "no", "--save", "86400", "1000000000",
                "--port", str(self.port)] + threads

    def linux_command(self, cores):
        return ["/bin/redis-server"] + self.arguments(cores)

    def load(self, guest, seconds):
        requests, rows, issued = 2000, [], 0
        # It takes a number of requests, not a time: the first, small run says how many.
        while True:
            begun = time.monotonic()
            rows = self.benchmark(requests)
            took = time.monotonic() - begun
            issued += requests * len(rows)
            if took >= seconds / 2:
                break
            requests = min(int(requests * max(2, seconds / max(took, 0.05))), requests * 100)
        total = sum(requests / float(row["rps"]) for row in rows)
        return {"requests": requests * len(rows), "issued": issued, "rate": requests * len(rows) / total,
                "p50": max(float(row["p50_latency_ms"]) for row in rows),
                "p99": max(float(row["p99_latency_ms"]) for row in rows), "errors": 0}

    def benchmark(self, requests):
        done = subprocess.run(["redis-benchmark", "-h", GUEST_IP, "-p", str(self.port), "-t", "set,get",
                               "-d", str(self.bytes),
                               "-c", str(self.options.connections), "-n", str(requests), "--csv"],
                              capture_output=True, text=True, timeout=300)
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        if done.returncode or len(rows) != 2:
            raise RuntimeError(f"redis-benchmark: {done.stderr or done.stdout}")
        return rows

    def per_core(self, guest):
        return []


class Memcached:
    """Nine gets and one set of 100 bytes; every answer is checked (bench/memcached_load.c)."""
    name, port = "memcached", 11211

    def __init__(self, options):
        self.options = options
        self.bytes = options.body or 100
        self.title = (f"memcached, 90 % get and 10 % set of {self.bytes} bytes, {options.connections} connections, "
                      f"threads = {options.threads or 'cores'}")

    def arguments(self, cores):
        return ["-m", "64", "-t", str(self.options.threads or cores), "-U", "0", "-l", "0.0.0.0"]

    def linux_command(self, cores):
        return ["/bin/memcached", "-u", "root"] + self.arguments(cores)

    def load(self, guest, seconds):
        done = subprocess.run([os.path.join(BUILD, "bench", "memcached_load"), GUEST_IP, str(self.port),
                               str(self.options.connections), str(seconds), str(self.bytes)],
                              capture_output=True, text=True, timeout=seconds + 60)
        if not done.stdout:
            raise RuntimeError(done.stderr)
        return json.loads(done.stdout)

    def per_core(self, guest):
        return []


SERVERS = {"httpd": Httpd, "redis": Redis, "memcached": Memcached}
