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


# ---- isolation by protection keys ----

RIGHTS = r"""
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <x86intrin.h>
static sigjmp_buf back;
static void on_signal(int number, siginfo_t *info, void *context)
{
	siglongjmp(back, number * 1000 + (info->si_code & 0xff));
}
static unsigned rdpkru(void)
{
	unsigned rights;
	__asm__ volatile("rdpkru" : "=a"(rights) : "c"(0) : "edx");
	return rights;
}
__attribute__((noinline)) static void wrpkru(unsigned rights)
{
	__asm__ volatile("xor %%ecx, %%ecx; xor %%edx, %%edx; wrpkru" :: "a"(rights) : "ecx", "edx", "memory");
}
#define TRY(what, ...) do { int got = sigsetjmp(back, 1); \
	if (!got) { __VA_ARGS__; printf("%s: none\n", what); } else printf("%s: %d\n", what, got); } while (0)
static unsigned char area[4096] __attribute__((aligned(64)));
static void xrstor(unsigned mask, long offset)
{
	__asm__ volatile("xor %%edx, %%edx; xrstor (%1,%2,2)" :: "a"(mask), "r"(area), "r"(offset / 2) : "edx", "memory");
}
static void vectors(void)
{
	unsigned pkru_at, a, c, d;
	double kept = 2.5, other = 1.25;
	__asm__ volatile("cpuid" : "=a"(a), "=b"(pkru_at), "=c"(c), "=d"(d) : "a"(0xd), "c"(9));
	__asm__ volatile("movsd %0, %%xmm7; xor %%edx, %%edx; mov $0xff, %%eax; xsave %1; movsd %2, %%xmm7"
		:: "m"(kept), "m"(area), "m"(other) : "eax", "edx", "xmm7", "memory");
	xrstor(1, 0); /* without them */
	__asm__ volatile("movsd %%xmm7, %0" : "=m"(kept));
	printf("not asked for: %g\n", kept);
	xrstor(0xff, 0);
	__asm__ volatile("movsd %%xmm7, %0" : "=m"(kept));
	printf("asked for: %g\n", kept);
	area[513] |= 2;
	memcpy(area + pkru_at, "\x50\0\0\0", 4);
	xrstor(0x200, 0);
	printf("keys by XRSTOR: %08x\n", rdpkru());
	area[513] &= ~2;
	xrstor(0x200, 0);
	printf("initial keys: %08x\n", rdpkru());
	TRY("not aligned", xrstor(0xff, 32));
	area[520] = 1;
	TRY("a bad header", xrstor(0xff, 0));
	area[520] = 0;
	TRY("the kernel's memory", __asm__ volatile("xor %%edx, %%edx; xrstor (%1)" :: "a"(7), "r"(KERNEL) : "edx"));
}
int main(void)
{
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGILL, &action, NULL);
	wrpkru(0);
	printf("all keys: %08x\n", rdpkru());
	TRY("kernel memory", *(volatile long *)KERNEL);
	wrpkru(~3u);
	printf("no keys: %08x\n", rdpkru());
	wrpkru(0x55555550);
	printf("few keys: %08x\n", rdpkru());
	TRY("ecx is 1", __asm__ volatile("xor %%edx, %%edx; mov $1, %%ecx; wrpkru" :: "a"(0) : "ecx", "edx"));
	TRY("ud2", __asm__ volatile("ud2"));
	TRY("ud0", __asm__ volatile("xor %%ecx, %%ecx; xor %%edx, %%edx; .byte 0x0f, 0xff, 0xef" :: "a"(0) : "ecx", "edx"));
	vectors();
	static const unsigned char makes[][12] = {
		{ 0x31, 0xc9, 0x31, 0xd2, 0x31, 0xc0, 0x0f, 0x01, 0xef, 0xc3 },
		{ 0xb8, 0x0f, 0x01, 0xef, 0x00, 0xc3 },
	};
	for (int i = 0; i < 2; i++) {
		unsigned char *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		memcpy(code + 1000, makes[i], sizeof(makes[i]));
		if (mprotect(code, 4096, PROT_READ | PROT_EXEC) < 0) {
			printf("made code: %m\n");
			continue;
		}
		wrpkru(0x55555550);
		((void (*)(void))(code + 1000))();
		printf("made code: %08x\n", rdpkru());
	}
	puts("all done");
	return 42;
}
""".replace("KERNEL", "0xffff800000200000ul")

REPORTS = ["all keys: fc000000", "kernel memory: 11004", "no keys: fffffffc", "few keys: fd555550", "ecx is 1: 11128", "ud2: 4002", "ud0: 4002",
           "not asked for: 1.25", "asked for: 2.5", "keys by XRSTOR: fc000050", "initial keys: fc000000",
           "not aligned: 11128", "a bad header: 11128", "the kernel's memory: 11128", "made code: fc000000",
           "made code: Permission denied", "all done"]


def write_source(name, text):
    path = os.path.join(WORK, name + ".c")
    with open(path, "w") as file:
        file.write(text)
    return path


@test
def a_program_that_changes_its_keys_does_not_get_the_systems():
    source = write_source("rights", RIGHTS)
    for how in (["-static"], []):
        program = build("rights" + "".join(how), "gcc", "-O1", *how, "-o", "{}", source)
        for cores in (1, 2):
            status, output = end(with_libraries(program) if not how else program, cores=cores,
                                 options=["--append", "isolation=require"])
            equal((status, application_lines(output)), (42, REPORTS), output)


@test
def lazy_binding_goes_through_the_dynamic_linker():
    """Each first call of a function ends in its XRSTOR, with arguments in vector registers."""
    source = write_source("lazy", "#include <math.h>\n#include <stdio.h>\n"
                          'int main(int c, char **v) { printf("%g %g %g\\n", pow(c + 1, 10), fmod(c + 6, 4), '
                          "hypot(c + 2, c + 3)); return 0; }\n")
    program = build("lazy", "gcc", "-O1", "-fno-builtin", "-Wl,-z,lazy", "-o", "{}", source, "-lm")
    for isolation in ("require", "off"):
        status, output = end(with_libraries(program), options=["--append", "isolation=" + isolation])
        equal((status, application_lines(output)), (0, ["1024 3 5"]), output)


@test
def a_program_with_the_bytes_in_other_instructions_is_refused():
    source = write_source("chance", "int main(void) { __asm__ volatile(\"rol $15, %%r15d; add %%ebp, %%edi\" "
                          '::: "r15", "rdi", "cc"); return 7; }\n')
    program = build("chance", "gcc", "-O1", "-static", "-o", "{}", source)
    refused(program, 126, "/init holds WRPKRU at 0x", "isolation=off", "/init is refused by the isolation")
    equal(end(program, options=["--append", "isolation=off"])[0], 7, "status with isolation=off")
    # In a library the dynamic linker says so.
    library = build("libchance.so", "gcc", "-shared", "-fPIC", "-o", "{}",
                    write_source("chance_library", 'int answer(void) { __asm__ volatile("rol $15, %%r15d; add %%ebp, '
                                 '%%edi" ::: "r15", "rdi", "cc"); return 7; }\n'))
    user = build("chance-user", "gcc", "-Wl,-rpath,/lib", "-o", "{}",
                 write_source("chance_user", "int answer(void); int main(void) { return answer(); }\n"), library)
    files = {**with_libraries(user), "/lib/libchance.so": contents(library), library: contents(library)}
    refused(files, 127, "libchance.so holds WRPKRU at 0x", "isolation=off")
    equal(end(files, options=["--append", "isolation=off"])[0], 7, "status with isolation=off")


@test
def lavra_run_takes_a_program():
    """`lavra run PROGRAM` finds the image, and brings a dynamic program's libraries along."""
    for program in (build_c("services", "-static"), build_c("services")):
        result = subprocess.run([LAVRA, "run", program, "--net", "none", "--cores", "2", "--", "word", "$CORES"],
                                capture_output=True, text=True, timeout=150, stdin=subprocess.DEVNULL)
        equal(result.returncode, 42, "status; " + result.stdout + result.stderr)
        check("start with 2 arguments <word> <2>" in result.stdout, result.stdout)
