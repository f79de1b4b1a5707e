"""Files that come with an image: archives of the loader's (initrd), folders that the launcher packs."""
import os
import random
import re
import signal
import stat
import subprocess
import tempfile
import time

from guest import BUILD, LAVRA
from tap import check, equal, test

IMAGE = os.path.join(BUILD, "tests/system/files/files")


def boot(*arguments, memory="128M", options=(), machine="q35"):
    command = [LAVRA, "run", IMAGE, "--net", "none", "--memory", memory, "--machine", machine, *options]
    result = subprocess.run(command + ["--", *arguments], capture_output=True, text=True, timeout=120,
                            stdin=subprocess.DEVNULL)
    return result.returncode, result.stdout + result.stderr


def fnv(data):
    value = 0xcbf29ce484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    return value


def describe(top, path=""):
    """The lines that the image prints for the folder."""
    name, mode = "/tree" + path, os.lstat(top + path).st_mode
    if stat.S_ISDIR(mode):
        lines = [f"directory {stat.S_IMODE(mode):o} {name}"]
        for entry in os.listdir(top + path):
            lines += describe(top, path + "/" + entry)
        return lines
    if stat.S_ISLNK(mode):
        return [f"link {name} {os.readlink(top + path)}"]
    if stat.S_ISREG(mode):
        status = os.lstat(top + path)
        with open(top + path, "rb") as file:
            content = file.read()
        return [f"file {stat.S_IMODE(mode):o} {name} {len(content)} {fnv(content):016x} "
                f"{status.st_nlink} {int(status.st_mtime)}"]
    return [f"node {mode:o} {name} 0 0"]


def make_tree(folder):
    """A folder with one of everything, in `folder`/tree."""
    top, chance = os.path.join(folder, "tree"), random.Random(1)
    os.makedirs(top + "/etc/deep/er")
    os.mkdir(top + "/empty", 0o700)
    for path, size in (("one", 1), ("none", 0), ("etc/page", 4096), ("etc/deep/er/some", 70001),
                       ("etc/" + "n" * 150, 33)):
        with open(os.path.join(top, path), "wb") as file:
            file.write(chance.randbytes(size))
    os.chmod(top + "/one", 0o4755)
    os.symlink("etc/page", top + "/soft")
    os.symlink("/no/where", top + "/dangling")
    os.link(top + "/etc/page", top + "/hard")
    os.mkfifo(top + "/pipe", 0o600)
    os.utime(top + "/one", (1, 1234567890))
    return top


def listing(output):
    return sorted(line for line in output.replace("\r", "").splitlines()
                  if re.match(r"(directory|file|link|node|failed) ", line))


def unpacks(folder, options, **more):
    status, output = boot("list", "/tree", options=options, **more)
    equal(status, 0, "status; " + output)
    expected, found = sorted(describe(folder + "/tree")), listing(output)
    check(expected == found, "missing: %s; too much: %s" % (
        "\n".join(set(expected) - set(found)), "\n".join(set(found) - set(expected))))


@test
def archives_are_unpacked_as_they_are():
    with tempfile.TemporaryDirectory() as folder:
        make_tree(folder)
        for command in ("find tree | cpio --quiet -o -H newc", "find tree | cpio --quiet -o -H crc",
                        "tar --format=gnu -cf - tree", "tar --format=posix -cf - tree"):
            archive = os.path.join(folder, "archive")
            subprocess.run(f"({command}) > {archive}", shell=True, check=True, cwd=folder)
            unpacks(folder, ["--initrd", archive])


@test
def a_folder_is_packed_by_the_launcher():
    with tempfile.TemporaryDirectory() as folder:
        make_tree(folder)
        for machine in ("q35", "microvm"):
            unpacks(folder, ["--files", folder], machine=machine)
        archive = os.path.join(folder, "archive")
        subprocess.run("echo tree/one | cpio --quiet -o -H newc > archive", shell=True, check=True, cwd=folder)
        with open(folder + "/tree/one", "wb") as file:
            file.write(b"newer")
        unpacks(folder, ["--files", folder, "--initrd", archive])


@test
def what_is_unpacked_is_freed():
    with tempfile.TemporaryDirectory() as folder:
        frees = []
        for size in (0, 40):
            with open(folder + "/large", "wb") as file:
                file.truncate(size << 20)
            status, output = boot("memory", options=["--files", folder], memory="128M")
            equal(status, 0, "status; " + output)
            frees.append([int(n) for n in re.search(r"free (\d+) total (\d+)", output).groups()])
        (free0, total0), (free1, total1) = frees
        check(abs(total0 - total1) < 1024, f"the archive's memory stays lost: {total0} KiB, then {total1}")
        check(free0 - free1 < 41 << 10, f"more than the file is lost: {free0} KiB free, then {free1}")


@test
def damaged_archives_end_the_image_with_the_place():
    with tempfile.TemporaryDirectory() as folder:
        make_tree(folder)
        cpio = subprocess.run("find tree | sort | cpio --quiet -o -H newc", shell=True, check=True, cwd=folder,
                              capture_output=True).stdout
        tar = subprocess.run("tar --format=gnu --sort=name -cf - tree", shell=True, check=True, cwd=folder,
                             capture_output=True).stdout
        middle = cpio.index(b"070701", 500)
        gzip = subprocess.run(["gzip"], input=cpio, capture_output=True, check=True).stdout
        for data, *parts in (
                (cpio[:middle] + b"x" + cpio[middle + 1:], f"at byte {middle}:", "no cpio header"),
                (cpio[:len(cpio) // 2], "cut off"),
                (tar[:1024] + b"x" + tar[1025:], "at byte 1024:", "checksum of a tar header"),
                (tar[:20000], "cut off"),
                (gzip, "at byte 0:", "gunzip"),
                (b"hello, world", "neither cpio")):
            archive = os.path.join(folder, "archive")
            with open(archive, "wb") as file:
                file.write(data)
            status, output = boot("list", "/tree", options=["--initrd", archive])
            equal(status, 2, "status; " + output)
            for part in ("the initrd cannot be unpacked", *parts):
                check(part in output, f"{part!r} is not said: {output}")


@test
def files_that_do_not_fit_are_refused():
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/large", "wb") as file:
            file.truncate(120 << 20)
        status, output = boot("memory", options=["--files", folder], memory="128M")
        equal(status, 123, "status; " + output)
        needed = re.search(r"the files take 121 MiB .* at least --memory (\d+)", output)
        check(needed, "the message: " + output)
        status, output = boot("memory", options=["--files", folder], memory=needed[1] + "M")
        equal(status, 0, "status; " + output)
        # And by the image, if nobody asked before.
        subprocess.run("echo large | cpio --quiet -o -H newc > archive", shell=True, check=True, cwd=folder)
        past_the_launcher = ["--qemu-option=-initrd", "--qemu-option=" + folder + "/archive"]
        status, output = boot("memory", options=past_the_launcher, memory="128M")
        equal(status, 2, "status; " + output)
        check("/large does not fit into memory" in output, "the message: " + output)


@test
def a_killed_launcher_leaves_nothing():
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(folder + "/files")
        with open(folder + "/files/f", "wb") as file:
            file.write(b"x" * 100000)
        scratch = folder + "/scratch"
        os.mkdir(scratch)
        process = subprocess.Popen([LAVRA, "run", IMAGE, "--net", "none", "--files", folder + "/files", "--gdb"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env=dict(os.environ, TMPDIR=scratch))
        time.sleep(1)
        equal(process.poll(), None, "the launcher has ended")
        process.send_signal(signal.SIGKILL)
        process.wait()
        equal(os.listdir(scratch), [], "files left behind")


@test
def variables_and_arguments_reach_the_image():
    status, output = boot("list", "/no where", options=["--env", "A=two words", "--aslr", "off"])
    equal(status, 1, "status; " + output)
    check("failed /no where: No such file" in output, output)


@test
def addresses_are_chosen_at_random():
    def addresses(*options):
        output = boot("addresses", options=options)[1]
        return re.search(r"addresses (\S+) (\S+) (\S+)", output).groups()

    for first, second in zip(addresses(), addresses()):
        check(first != second, f"{first} in two boots")
    equal(addresses("--aslr", "off"), addresses("--aslr", "off"), "addresses without")
