"""`lavra inspect`: what it says of an image is what binutils say."""
import json
import os
import re
import shutil
import subprocess
import tempfile

from guest import BUILD, image, lavra
from tap import check, equal, test


def inspect(path):
    result = lavra("inspect", path, "--json")
    equal(result.returncode, 0, "status: " + result.stderr)
    return json.loads(result.stdout)


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


@test
def an_image_is_told_of_as_binutils_do():
    path = image("httpd")
    report = inspect(path)
    equal(report["bytes"], os.path.getsize(path), "bytes")
    equal(report["names_from"], path + ".elf", "where names are from")
    loaded = re.findall(r"^  LOAD +\S+ (0x\w+) (0x\w+) (0x\w+) (0x\w+) ([R ])([W ])([E ])", output("readelf", "-lW", path), re.M)
    equal([(int(row["address"], 16), int(row["physical"], 16), row["file"], row["memory"], row["flags"])
           for row in report["memory_map"]],
          [(*(int(number, 16) for number in row[:4]), "".join(c if c != " " else "-" for c in row[4:]).lower()
            .replace("e", "x")) for row in loaded], "segments")
    sizes = [line.split() for line in output("nm", "--size-sort", "-S", "-r", "-t", "d", path + ".elf").splitlines()]
    equal([row["bytes"] for row in report["largest_symbols"]], [int(row[1]) for row in sizes[:20]], "largest sizes")
    calls = set(re.findall(r" called_sys_(\w+)$", output("nm", path + ".elf"), re.M))
    equal({row["name"] for row in report["system_calls"]}, calls, "system calls")
    check({"read", "epoll_wait", "writev"} <= calls, f"the calls of httpd: {calls}")
    status = {row["name"]: row["status"] for row in report["system_calls"]}
    equal((status["read"], status["socket"]), ("complete", "partial"), "status of read and socket")
    check("unknown" not in status.values(), f"calls that docs/posix.md does not know: {status}")


@test
def sizes_by_folder_add_up_to_the_image():
    path = image("httpd")
    rows = {row["folder"]: row for row in inspect(path)["folders"]}
    total = rows.pop("all")
    for kind in ("all", "text", "rodata", "data", "bss"):
        equal(sum(row[kind] for row in rows.values()), total[kind], f"sum of {kind}")
    whole = int(output("size", path).splitlines()[1].split()[3])
    check(abs(whole - total["all"]) <= 64, f"{total['all']} bytes by folder, {whole} in the file")
    check({"net", "lwip", "sched", "application", "libc (musl)"} <= set(rows), f"folders: {set(rows)}")


@test
def protection_domains_cover_the_writable_pages():
    report = inspect(image("httpd"))
    writable = [row for row in report["memory_map"] if "w" in row["flags"]]
    equal(len(writable), 1, "writable segments")
    start = int(writable[0]["address"], 16)
    covered = sorted((int(row["address"], 16), row["bytes"]) for row in report["domains"])
    equal(covered[0][0], start, "begin of the first")
    for (address, size), (following, _) in zip(covered, covered[1:]):
        check(address + size <= following < address + size + 4096, f"{address:x} + {size} is followed by {following:x}")
    equal((covered[-1][0] + covered[-1][1] + 4095) // 4096 * 4096, start + writable[0]["memory"], "end of the last")
    equal({row["domain"] for row in report["domains"]}, {"application", "kernel", "network", "all"}, "domains")


@test
def an_image_tells_how_it_was_built():
    with tempfile.TemporaryDirectory() as folder:
        source, path = os.path.join(folder, "a.c"), os.path.join(folder, "a")
        with open(source, "w") as file:
            file.write("#include <unistd.h>\nint main(void) { return fork() > 0; }\n")
        environment = dict(os.environ, LAVRA_MALLOC="musl", LAVRA_ISOLATION="off", LAVRA_ARGUMENTS="one two=3")
        subprocess.run([os.path.join(BUILD, "lavra-gcc"), source, "-o", path], env=environment, check=True, timeout=120)
        report = inspect(path)
        found = {name: report["build"][name] for name in ("name", "malloc", "isolation", "arguments")}
        equal(found, {"name": "a", "malloc": "musl", "isolation": "off", "arguments": "one two=3"}, "build")
        check(any("GCC" in compiler for compiler in report["build"]["compilers"]), str(report["build"]))
        calls = {row["name"]: row["status"] for row in report["system_calls"]}
        equal(calls.get("fork"), "absent", f"status of fork among {calls}")
        equal(report["folders"], None, "folders of an image of lavra-gcc")
        # Stripped, with the file of another image beside it: the calls are still known, and the names are not.
        subprocess.run(["strip", path], check=True)
        shutil.copy(image("httpd") + ".elf", path + ".elf")
        report = inspect(path)
        equal((report["names_from"], report["largest_symbols"]), (None, None), "names beside another's")
        equal({row["name"]: row["status"] for row in report["system_calls"]}, calls, "calls of the stripped image")
        text = lavra("inspect", path)
        equal(text.returncode, 0, "status: " + text.stderr)
        check("of another build" in text.stdout and "fork, absent: ENOSYS" in text.stdout, text.stdout)


@test
def what_is_no_image_is_told():
    with tempfile.TemporaryDirectory() as folder:
        cut = os.path.join(folder, "cut")
        with open(image("hello"), "rb") as whole, open(cut, "wb") as part:
            part.write(whole.read(100000))
        for words, status, because in (([], 2, "which image"), (["a", "b"], 2, "one image"), (["--colour"], 2, "--colour"),
                                       ([os.path.join(folder, "none")], 123, "No such file"), (["/bin/sh"], 123, "no image"),
                                       ([__file__], 123, "no ELF file"), ([cut], 123, "damaged")):
            result = lavra("inspect", *words)
            equal(result.returncode, status, f"status with {words}: {result.stderr}")
            check(because in result.stderr, f"{words}: {result.stderr}")
