"""Machines, memory sizes, core counts; the messages of what goes wrong."""
import re
import subprocess

from guest import LAVRA, Guest, image
from tap import check, equal, test


def boots(**how):
    with Guest(net="user", **how) as guest:
        guest.wait_up()
        equal(guest.get("/hello.txt")[1], b"Hello, world!\n", f"body with {how}")
        return guest.console()


@test
def boots_on_q35():
    boots(machine="q35")


@test
def boots_on_pc():
    boots(machine="pc")


@test
def boots_on_microvm():
    boots(machine="microvm")


@test
def serves_with_32_MiB():
    boots(memory="32M")


@test
def serves_with_16_GiB():
    boots(memory="16G")


@test
def brings_up_64_cores():
    console = boots(cores=64, memory="512M")
    equal(sum(line.startswith("core ") for line in console.splitlines()), 64, "core lines on the console")


@test
def the_topology_is_the_one_that_was_given():
    """Core lines against the -smp option, for threads, packages, and numbers that are no power of two."""
    for sockets, cores, threads in ((1, 4, 1), (1, 2, 2), (2, 2, 2), (2, 3, 1), (1, 3, 2), (3, 1, 2)):
        count = sockets * cores * threads
        result = run_to_end("hello", "--cores", str(count), "--qemu-option", "-smp", "--qemu-option",
                            f"{count},sockets={sockets},cores={cores},threads={threads}")
        found = re.findall(r"^core (\d+): apic \d+, package (\d+), core (\d+), thread (\d+)$", result.stdout, re.M)
        expected = [(str(n), str(n // (cores * threads)), str(n // threads % cores), str(n % threads))
                    for n in range(count)]
        equal(found, expected, f"cores with {sockets} sockets, {cores} cores, {threads} threads")


def run_to_end(app, *options, arguments=()):
    command = [LAVRA, "run", image(app), "--net", "none", *options]
    if arguments:
        command += ["--", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


@test
def hello_ends_with_status_0():
    result = run_to_end("hello")
    equal(result.returncode, 0, "exit status; output: " + result.stdout)
    check("hello" in result.stdout.lower(), result.stdout)


@test
def an_unknown_boot_option_is_named():
    result = run_to_end("hello", "--append", "colour=blue")
    check(result.returncode != 0, "an unknown option was accepted")
    check("colour" in result.stdout + result.stderr, result.stdout + result.stderr)


@test
def a_missing_image_is_named():
    result = run_to_end("no-such-app")
    check(result.returncode != 0 and "no-such-app" in result.stderr, result.stderr)
