"""nginx on Lavra: files of every size, ranges, keep-alive, load; its files come with --files."""
import hashlib
import http.client
import os
import random
import subprocess
import tempfile

from guest import Guest, wrk
from tap import check, equal, test

CONFIGURATION = """
daemon off;
master_process off;
error_log /dev/stderr;
pid /tmp/nginx.pid;
events { worker_connections 1024; }
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    types { text/html html; text/plain txt; }
    default_type application/octet-stream;
    server {
        listen 80 reuseport;
        root /srv;
        location /echo { return 200 "you asked for $request_uri\\n"; }
        location /copy/ { alias /srv/; sendfile off; }
    }
}
"""
SIZES = {"empty.bin": 0, "one.bin": 1, "page.bin": 4096, "odd.bin": 100003, "large.bin": 1 << 20}


def make_files(folder):
    source = random.Random(80)
    os.makedirs(os.path.join(folder, "etc/nginx"))
    os.makedirs(os.path.join(folder, "srv/deep/er"))
    with open(os.path.join(folder, "etc/nginx/nginx.conf"), "w") as file:
        file.write(CONFIGURATION)
    with open(os.path.join(folder, "srv/index.html"), "w") as file:
        file.write("<title>nginx on Lavra</title>\n")
    with open(os.path.join(folder, "srv/deep/er/hello.txt"), "w") as file:
        file.write("Hello from below\n")
    contents = {name: source.randbytes(size) for name, size in SIZES.items()}
    for name, content in contents.items():
        with open(os.path.join(folder, "srv", name), "wb") as file:
            file.write(content)
    return contents


def files_are_right(guest, contents):
    for folder in ("/", "/copy/"):
        for name, content in contents.items():
            status, body, headers = guest.get(folder + name)
            equal((status, len(body)), (200, len(content)), folder + name)
            equal(hashlib.sha256(body).digest(), hashlib.sha256(content).digest(), "bytes of " + folder + name)
    equal(guest.get("/")[1], b"<title>nginx on Lavra</title>\n", "the index page")
    equal(guest.get("/deep/er/hello.txt")[1], b"Hello from below\n", "a file in a folder")
    equal(guest.get("/echo")[1], b"you asked for /echo\n", "an answer without a file")
    equal(guest.get("/none")[0], 404, "status of a missing file")
    equal(guest.get("/../etc/nginx/nginx.conf")[0], 400, "status of a path that leads out")


def ranges_are_right(guest, large):
    for first, last in ((0, 0), (0, 99), (4095, 4097), (1000000, len(large) - 1)):
        status, body, _ = guest.get("/large.bin", headers={"Range": f"bytes={first}-{last}"})
        equal(status, 206, "status of a range")
        equal(body, large[first:last + 1], f"bytes {first} to {last}")
    status, body, _ = guest.get("/large.bin", headers={"Range": "bytes=-7"})
    equal((status, body), (206, large[-7:]), "the last bytes")
    equal(guest.get("/large.bin", headers={"Range": f"bytes={len(large)}-"})[0], 416, "a range past the end")
    etag = guest.get("/large.bin")[2]["ETag"]
    equal(guest.get("/large.bin", headers={"If-None-Match": etag})[0], 304, "status of an unchanged file")


def keep_alive_works(guest, contents):
    connection = http.client.HTTPConnection(guest.address, 80, timeout=20)
    for turn in range(100):
        name = sorted(contents)[turn % len(contents)]
        connection.request("GET", "/" + name)
        equal(connection.getresponse().read(), contents[name], f"{name} on a connection that is kept")
    connection.close()


def curl_is_served(guest, large):
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out")
        done = subprocess.run(["curl", "-sS", "--max-time", "20", "-o", out, "-r", "100-200000",
                               f"http://{guest.address}/large.bin"], capture_output=True, text=True)
        equal(done.returncode, 0, "curl: " + done.stderr)
        with open(out, "rb") as file:
            equal(file.read(), large[100:200001], "what curl got")


def serve_on(cores):
    with tempfile.TemporaryDirectory() as folder:
        contents = make_files(folder)
        with Guest(app="nginx", cores=cores, extra=["--files", folder]) as guest:
            guest.wait_for_port(80)
            files_are_right(guest, contents)
            ranges_are_right(guest, contents["large.bin"])
            keep_alive_works(guest, contents)
            curl_is_served(guest, contents["large.bin"])
            for path in ("/", "/page.bin", "/large.bin"):
                load = wrk(guest, path=path, connections=32, seconds=3)
                equal(load["errors"], 0, "wrk errors for " + path)
                check(load["requests"] > 20, f"wrk completed only {load['requests']} requests of {path}")
            check(guest.process.poll() is None, "the guest ended: " + guest.console())


@test
def nginx_on_one_core():
    serve_on(1)


@test
def nginx_on_two_cores():
    serve_on(2)


@test
def nginx_on_four_cores():
    serve_on(4)


@test
def nginx_with_its_default_configuration():
    with Guest(app="nginx", cores=2) as guest:
        guest.wait_for_port(80)
        equal(guest.get("/")[0], 200, "status of /")
