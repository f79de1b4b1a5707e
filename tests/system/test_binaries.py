"""Programs that were made for Linux run unmodified: C with two C libraries, linked in every way there is, Rust,
Go, and programs that somebody else has built. The same file runs on Linux first where that says what is
right. What refuses to run says why."""
import atexit
import hashlib
import os
import re
import shutil
import struct
import subprocess
import tempfile

from cpio import newc
from guest import BUILD, LAVRA, ROOT, Guest, image, wrk
from tap import Skip, check, equal, test

SOURCES = os.path.join(ROOT, "tests/programs")
WORK = tempfile.mkdtemp(prefix="lavra-binaries-")
atexit.register(shutil.rmtree, WORK, ignore_errors=True)
WARNINGS = ["-O2", "-Wall", "-Wextra", "-Wno-unused-parameter"]


def need(tool):
    if not shutil.which(tool):
        raise Skip(f"{tool} is not installed")
    return tool


def contents(path):
    with open(path, "rb") as file:
        return file.read()


def build(name, *command, environment=None):
    """The path of a program that the command makes; {} in it stands for the path."""
    path = os.path.join(WORK, name)
    if not os.path.exists(path):
        command = [word.replace("{}", path) for word in command]
        result = subprocess.run(command, capture_output=True, text=True, cwd=SOURCES, timeout=600,
                                env={**os.environ, **(environment or {})})
        if result.returncode:
            raise RuntimeError(f"{' '.join(command)}: {result.stderr}")
    return path


def build_c(source, *how, compiler="gcc"):
    name = "-".join([source, compiler, *how]).replace("/", "")
    return build(name, need(compiler), *WARNINGS, *how, "-pthread", "-o", "{}", source + ".c")


def with_libraries(program):
    """The program as /init, and the dynamic linker and the libraries that it names."""
    files = {"/init": contents(program)}
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, timeout=60).stdout
    for path in re.findall(r"(/\S+) \(0x", listed):
        files[path] = contents(os.path.realpath(path))
    return files


def initrd(files):
    """--qemu-option words that hand the files to the image."""
    with tempfile.NamedTemporaryFile(dir=WORK, delete=False) as archive:
        archive.write(newc(files))
    return ["--qemu-option", "-initrd", "--qemu-option", archive.name]


def end(files, *arguments, cores=2, memory="128M", options=(), timeout=150):
    """Run /init to its end: (status, what it and the kernel said)."""
    if isinstance(files, (str, bytes)):
        files = {"/init": contents(files) if isinstance(files, str) else files}
    command = [LAVRA, "run", image("linux"), "--net", "none", "--cores", str(cores), "--memory", memory,
               *initrd(files), *options]
    result = subprocess.run(command + ["--", *arguments], capture_output=True, text=True, errors="replace",
                            timeout=timeout, stdin=subprocess.DEVNULL)
    return result.returncode, result.stdout + result.stderr


def application_lines(output):
    """What the application said: the kernel's lines begin with one of its words."""
    return [line for line in output.splitlines()
            if not re.match(r"Lavra,|lavra:|memory:|clock:|isolation:|core \d|virtio-net:|smp:|net:|\s*$", line)]


def runs_like_on_linux(program, files=None):
    words = ["file", "/etc/motto", "two words"]
    for cores in (1, 2, 4):
        status, output = end({"/etc/motto": b"unmodified\n", **(files or {"/init": contents(program)})}, *words,
                             cores=cores)
        equal(status, 42, f"status at {cores} cores; {output}")
        said = application_lines(output)
        for line in ("start with 3 arguments <file> </etc/motto> <two words>", "memory", "time", "threads", "signals",
                     "files: unmodified", "files", "sockets", "all done"):
            check(line in said, f"{line!r} is missing at {cores} cores:\n{output}")
        # Other processes are refused as a call of Linux that does not exist, and the console says so.
        for line in ("fork: Function not implemented", "posix_spawn: Function not implemented"):
            check(line in said, f"{line!r} is missing at {cores} cores:\n{output}")
        check("system call fork" in output, output)


@test
def registers_are_kept_by_the_syscall_instruction():
    program = build_c("registers", "-static")
    on_linux = subprocess.run([program], capture_output=True, text=True, timeout=60)
    equal(on_linux.returncode, 0, "status on Linux; " + on_linux.stdout)
    for cores in (1, 2, 4):
        status, output = end(program, cores=cores)
        equal(status, 0, f"status at {cores} cores; {output}")
        equal(application_lines(output), on_linux.stdout.splitlines(), f"at {cores} cores")


@test
def a_static_program_with_glibc_runs():
    runs_like_on_linux(build_c("services", "-static"))


@test
def a_static_position_independent_program_runs():
    runs_like_on_linux(build_c("services", "-static-pie"))


@test
def a_dynamic_program_with_glibc_runs():
    program = build_c("services")
    runs_like_on_linux(program, with_libraries(program))
    program = build_c("services", "-no-pie")
    runs_like_on_linux(program, with_libraries(program))


@test
def a_static_program_with_musl_runs():
    runs_like_on_linux(build_c("services", "-static", compiler="musl-gcc"))


@test
def a_dynamic_program_with_musl_runs():
    program = build_c("services", compiler="musl-gcc")
    linker = "/lib/ld-musl-x86_64.so.1"
    runs_like_on_linux(program, {"/init": contents(program), linker: contents(linker)})


@test
def the_vdso_tells_the_time():
    program = build_c("vdso")
    on_linux = subprocess.run([program], capture_output=True, text=True, timeout=60)
    equal(on_linux.returncode, 0, "status on Linux; " + on_linux.stdout)
    for cores in (1, 4):
        status, output = end(with_libraries(program), cores=cores)
        equal(status, 0, f"status at {cores} cores; {output}")
        equal(application_lines(output), on_linux.stdout.splitlines(), f"at {cores} cores")


@test
def addresses_are_random_unless_asked():
    source = os.path.join(WORK, "where.c")
    with open(source, "w") as file:
        file.write("#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\n"
                   'int main(void) { int x; printf("%p %p %p %p\\n", (void *)main, (void *)&x, sbrk(0), '
                   "malloc(1 << 20)); }\n")
    program = build("where", "gcc", "-static-pie", "-o", "{}", source)
    lines = [application_lines(end(program)[1])[-1].split() for _ in range(3)]
    for what, of_all in zip(("code", "stack", "heap", "mmap"), zip(*lines)):
        equal(len(set(of_all)), 3, f"different addresses of {what}, {of_all}")
    lines = [application_lines(end(program, options=["--append", "aslr=off"])[1])[-1] for _ in range(2)]
    equal(lines[0], lines[1], "addresses with aslr=off")


# ---- servers ----

class Server(Guest):
    def __init__(self, files, cores, memory="256M", arguments=()):
        super().__init__(app="linux", cores=cores, memory=memory, extra=initrd(files), arguments=arguments)


def serves(program, cores, answers, ending):
    with Server({"/init": contents(program)}, cores) as guest:
        guest.wait_up()
        for _ in range(3):
            for path, body in answers.items():
                status, got, _ = guest.get(path, timeout=30)
                equal((status, got.decode()), (200, body), f"{path} at {cores} cores; console:\n{guest.console()}")
        # Connections whose threads wander between the cores, and new ones.
        load = wrk(guest, "/hello.txt", 32, 2)
        check(load["errors"] == 0 and load["requests"] > 100, f"{load} at {cores} cores; console:\n{guest.console()}")
        # The image ends without a word to its peers.
        with guest.connect() as connection:
            connection.sendall(b"GET /exit HTTP/1.1\r\nHost: guest\r\n\r\n")
            equal(guest.process.wait(20), ending, "status; console:\n" + guest.console())


@test
def a_go_server_serves():
    need("go")
    cache = os.path.join(BUILD, "go-cache")
    program = build("server-go", "go", "build", "-o", "{}", "server.go",
                    environment={"CGO_ENABLED": "0", "GOCACHE": cache, "GO111MODULE": "off", "GOFLAGS": ""})
    for cores in (1, 2, 4):
        serves(program, cores, {
            "/hello.txt": "Hello, world!\n",
            "/preempt": "preempted\n",
            "/garbage": "made 100000\n",
            "/fault": "recovered: runtime error: invalid memory address or nil pointer dereference\n",
        }, 3)


@test
def a_rust_server_serves():
    need("rustc")
    program = build("server-rs", "rustc", "-O", "-C", "target-feature=+crt-static", "-o", "{}", "server.rs")
    for cores in (1, 2, 4):
        serves(program, cores, {"/hello.txt": "Hello, world!\n", "/catch": "caught: true\n",
                                "/threads": "threads: 8\n", "/served": "1\n"}, 4)


# ---- what others have built ----

@test
def busybox_of_the_distribution_runs():
    program = shutil.which("busybox")
    if not program or b"/ld-linux" in contents(program)[:4096]:
        raise Skip("there is no statically linked busybox (package busybox-static)")
    files = {"/bin/busybox": contents(program), "/bin/ls": "busybox", "/bin/sha256sum": "busybox",
             "/here/motto": b"unmodified\n",
             "/script": b"#!/bin/busybox sh\nwhile read line; do echo read $line; done < /here/motto\n"
                        b"echo $(( 6 * 7 )) $0 $#\nexit 9\n"}
    status, output = end(files, "-1", "/here", options=["--append", "init=/bin/ls"])
    equal((status, application_lines(output)), (0, ["motto"]), output)
    status, output = end(files, "/here/motto", options=["--append", "init=/bin/sha256sum"])
    equal((status, application_lines(output)[-1].split()[0]), (0, hashlib.sha256(b"unmodified\n").hexdigest()), output)
    status, output = end(files, "a", "b", options=["--append", "init=/script"])
    equal((status, application_lines(output)), (9, ["read unmodified", "42 /script 2"]), output)


@test
def python_of_the_distribution_runs():
    program = "/usr/bin/python3"
    if not os.path.exists(program):
        raise Skip("there is no /usr/bin/python3")
    version, library = subprocess.run(
        [program, "-I", "-S", "-c",
         "import sys, os; print('%d.%d' % sys.version_info[:2], os.path.dirname(os.__file__))"],
        capture_output=True, text=True, check=True).stdout.split()
    files = with_libraries(os.path.realpath(program))
    files["/usr/bin/python3"] = files.pop("/init")
    for folder in ("", "encodings", "collections", "importlib", "json", "re", "http", "email", "urllib", "concurrent",
                   "concurrent/futures", "html"):
        for name in os.listdir(os.path.join(library, folder)) if os.path.isdir(os.path.join(library, folder)) else ():
            path = os.path.join(library, folder, name)
            if name.endswith(".py") and os.path.isfile(path):
                files[path] = contents(path)
    files["/init"] = b"""#!/usr/bin/python3 -ISB
import hashlib, http.server, json, os, sys, threading, time
print(sys.version.split()[0], json.dumps({"cores": os.cpu_count()}), flush=True)
total = [0] * 4
def work(i):
    for _ in range(1000):
        total[i] += 1
        if _ % 200 == 0:
            time.sleep(0.001)
threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"Hello, world!\\n" if self.path == "/hello.txt" else json.dumps(total).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("0.0.0.0", 80), Handler).serve_forever()
"""
    for cores in (1, 2):
        with Server(files, cores, memory="512M") as guest:
            guest.wait_up(timeout=120)
            for _ in range(5):
                equal(guest.get("/total")[1], b"[1000, 1000, 1000, 1000]", "what four threads have counted")
            check(version in guest.console(), guest.console())


# ---- refusals ----

def refused(files, status, *words, options=()):
    got, output = end(files, options=options)
    equal(got, status, "status; " + output)
    for word in words:
        check(word in output, f"{word!r} is not said:\n{output}")


@test
def what_cannot_run_says_why():
    program = bytearray(contents(build_c("registers", "-static")))

    def changed(offset, data):
        return bytes(program[:offset]) + data + bytes(program[offset + len(data):])

    refused({"/etc/motto": b""}, 127, "/init does not exist")
    refused({"/init": None}, 126, "/init is not a regular file")
    refused(b"", 126, "/init is not an ELF file")
    refused(b"hello\n", 126, "/init is not an ELF file")
    refused(changed(4, b"\1"), 126, "/init is a 32-bit program")
    refused(changed(18, struct.pack("<H", 183)), 126, "/init is for another processor (ELF machine 183")
    refused(bytes(program[:len(program) // 2]), 126, "/init is truncated")
    refused(bytes(program[:100]), 126, "/init is truncated")
    # The flags of the first program header that is to be loaded.
    headers = struct.unpack_from("<Q", program, 32)[0]
    loaded = next(headers + 56 * i for i in range(99) if program[headers + 56 * i:headers + 56 * i + 4] == b"\1\0\0\0")
    refused(changed(loaded + 4, struct.pack("<I", 7)), 126, "writable and executable at once: refused")
    refused(b"#!/no/such/thing\n", 127, "/no/such/thing does not exist")
    refused(b"#!/init\n", 126, "too many times")
    dynamic = contents(build_c("services"))
    refused(dynamic, 127, "/lib64/ld-linux-x86-64.so.2 does not exist")
    refused({"/x": b"x"}, 126, "/x is not an ELF file", options=["--append", "init=/x"])


@test
def a_32_bit_system_call_ends_the_program():
    source = os.path.join(WORK, "int80.c")
    with open(source, "w") as file:
        file.write('int main(void) { __asm__ volatile("int $0x80" :: "a"(20)); return 0; }\n')
    status, output = end(build("int80", "gcc", "-static", "-o", "{}", source))
    equal(status, 139, "status; " + output)
    check("int 0x80" in output, output)


@test
def text_and_constants_are_protected():
    source = os.path.join(WORK, "protected.c")
    with open(source, "w") as file:
        file.write("#include <stdlib.h>\n#include <stdint.h>\nstatic const char constant[] = \"constant\";\n"
                   "static char code[] = \"\\xc3\";\n"
                   "int main(int argc, char **argv) {\n"
                   "  switch (atoi(argv[1])) {\n"
                   "  case 0: *(volatile char *)(uintptr_t)main = 0; break;\n"
                   "  case 1: *(volatile char *)(uintptr_t)constant = 0; break;\n"
                   "  case 2: ((void (*)(void))(uintptr_t)code)(); break;\n"
                   "  case 3: *(volatile char *)0 = 0; break;\n"
                   "  }\n  return 0;\n}\n")
    program = build("protected", "gcc", "-static", "-o", "{}", source)
    for case in range(4):
        status, output = end(program, str(case))
        equal(status, 139, f"status of case {case}; {output}")
    equal(end(program, "4")[0], 0, "status of a program that does nothing wrong")


@test
def lavra_run_takes_a_program():
    """`lavra run PROGRAM` finds the image, and brings a dynamic program's libraries along."""
    for program in (build_c("services", "-static"), build_c("services")):
        result = subprocess.run([LAVRA, "run", program, "--net", "none", "--cores", "2", "--", "word"],
                                capture_output=True, text=True, timeout=150, stdin=subprocess.DEVNULL)
        equal(result.returncode, 42, "status; " + result.stdout + result.stderr)
        check("start with 1 arguments <word>" in result.stdout, result.stdout)
