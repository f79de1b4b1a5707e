"""Faults in one core's network stack: it begins anew, and the others go on (tests/system/stack)."""
import re
import socket
import threading
import time

from guest import GUEST_IP
from isolated import Image, alias
from tap import check, equal, test

IMAGE = Image("stack")
MISTAKES_PORT, ECHO_PORT = 9, 7


def symbol(name):
    return IMAGE.symbol(name)


def started(cores):
    return IMAGE.start(cores, lambda guest: guest.wait_for_port(80))


class Client:
    """A connection that stays, and the core that serves it."""

    def __init__(self):
        self.socket = socket.create_connection((GUEST_IP, 80), timeout=10)
        self.core = self.ask()

    def ask(self):
        self.socket.sendall(b"which\n")
        answer = self.socket.recv(64)
        check(answer.startswith(b"core "), f"answer {answer!r}")
        return int(answer.split()[1])

    def is_closed(self):
        try:
            self.ask()
        except (OSError, AssertionError):
            return True
        return False

    def close(self):
        self.socket.close()


def make_mistake(guest, mistake, number=0):
    """Returns the core whose network made it."""
    before = len(guest.console())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(f"{mistake:5} {number:016x}".encode(), (GUEST_IP, MISTAKES_PORT))
    for _ in range(200):
        begun = re.search(r"network: core (\d+) has begun anew; connections closed: \d+", guest.console()[before:])
        if begun:
            return int(begun.group(1)), guest.console()[before:]
        check(guest.process.poll() is None, "the image ended:\n" + guest.console())
        time.sleep(0.05)
    raise AssertionError(f"{mistake} {number:x}: nothing was reported:\n" + guest.console()[before:])


def answers_datagrams():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(5)
        asker.sendto(b"which", (GUEST_IP, ECHO_PORT))
        return asker.recv(64).startswith(b"core ")


class Load:
    """Requests on a set of connections, over and over, in a thread of its own."""

    def __init__(self, clients):
        self.clients, self.failed, self.served = clients, {}, 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stop.is_set():
            for client in self.clients:
                if client in self.failed:
                    continue
                try:
                    equal(client.ask(), client.core, "the core of a connection")
                    self.served += 1
                except (OSError, AssertionError) as failure:
                    self.failed[client] = failure

    def end(self):
        self.stop.set()
        self.thread.join()


def places():
    """Where the network may not write: what, and the address."""
    for name in ("kernel_pml4", "domain", "trap_stacks", "boot_image_tables", "__stack_chk_guard", "current"):
        yield name, symbol(name)
        yield f"{name} by the direct map", alias(symbol(name))
    yield "the application's data", symbol("application_data_start")
    yield "text", symbol("main")


def goes_on(cores):
    guest = started(cores)
    try:
        for what, address in places():
            clients = [Client() for _ in range(4 * cores)]
            load = Load(clients)
            failed, report = make_mistake(guest, "write", address)
            time.sleep(0.3)
            load.end()
            check("network: page fault writing" in report and "network_mistake" in report, report)
            for client in clients:
                equal(client in load.failed or client.is_closed(), client.core == failed,
                      f"{what}: the connection of core {client.core} ended, and core {failed} had failed: "
                      f"{load.failed.get(client)}")
                client.close()
            check(cores == 1 or load.served, "nobody was served beside")
            check(answers_datagrams(), "datagrams are answered")
        for mistake, number in (("reads", symbol("kernel_pml4")), ("calls", symbol("gate_call")), ("calls", 0x1000),
                                ("calls", symbol("rights_write")), ("calls", symbol("arch_map")), ("stack", 0),
                                ("trap_", 0)):
            _, report = make_mistake(guest, mistake, number)
            check("network: " in report, report)
            client = Client()
            client.close()
        check("panic" not in guest.console(), guest.console())
    finally:
        guest.stop()


@test
def stack_begins_anew_on_1_core():
    goes_on(1)


@test
def stack_of_one_core_begins_anew_and_the_other_goes_on():
    goes_on(2)


@test
def stack_of_one_core_begins_anew_and_three_others_go_on():
    goes_on(4)


@test
def stack_that_fails_again_and_again_ends_the_image():
    guest = started(1)
    try:
        for _ in range(40):
            try:
                make_mistake(guest, "trap_")
            except AssertionError:
                break
        equal(guest.process.wait(20), 139, "status")
        check("times in 10 s: the image ends" in guest.console(), guest.console())
    finally:
        guest.stop()
