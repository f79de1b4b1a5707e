"""`lavra domain`: libvirt starts what it prints."""
import os
import re
import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree

from guest import GUEST_IP, HOST_IP, PREFIX, TAP, Guest, image, lavra, make_tap
from tap import check, equal, test
from test_pin import allowed, own_cpus

TAP_OPTIONS = ["--net", "tap:" + TAP, "--ip", f"{GUEST_IP}/{PREFIX},{HOST_IP}"]

# libvirt as this user, without daemons, all its files in one folder. (Its package makes a user, which it looks
# for even so.) No sandbox of its own around QEMU: that
# needs rights that a container may not have.
QEMU_CONF = """stdio_handler = "file"
user = "+{user}"
group = "+{group}"
security_driver = "none"
namespaces = [ ]
remember_owner = 0
dynamic_ownership = 0
"""


def domain(*options, app="httpd", machine=None):
    result = lavra("domain", image(app), *options, machine=machine)
    equal(result.returncode, 0, f"status with {options}: {result.stderr}")
    return result.stdout


@test
def domains_are_as_the_schema_says():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "domain.xml")
        archive = os.path.join(folder, "files & <more>.cpio")
        subprocess.run(["cpio", "-o", "-H", "newc"], input=b"", stdout=open(archive, "wb"), stderr=subprocess.DEVNULL,
                       check=True)
        for options, machine in (([], None), (["--net", "none", "--machine", "pc"], None),
                                 (["--cores", "4", "--pin", "auto", *TAP_OPTIONS], "pack:2 numa:1 core:4 pu:2"),
                                 (["--cores", "16", "--pin", "auto"], "pack:2 die:2 core:2 pu:2"),
                                 (["--smp", "sockets=2,dies=2,threads=2", "--env", "A=<&>\"", "--", "it's", "a&b"],
                                  None),
                                 (["--initrd", archive, "--qemu-option", "-d", "--qemu-option", "guest_errors"], None)):
            text = domain(*options, machine=machine)
            with open(path, "w") as file:
                file.write(text)
            result = subprocess.run(["virt-xml-validate", path, "domain"], capture_output=True, text=True, timeout=60)
            equal(result.returncode, 0, f"virt-xml-validate with {options}: {result.stdout}{result.stderr}\n{text}")


@test
def a_domain_has_the_pin_map_and_the_command_line_of_a_run():
    machine = "pack:2 numa:1 core:4 pu:2"
    options = ["--cores", "4", "--pin", "numa:1", *TAP_OPTIONS, "--append", "cores=3", "--", "one", "it's two"]
    root = ElementTree.fromstring(domain(*options, machine=machine))
    run = lavra("run", image("httpd"), *options[:-3], "--dry-run", *options[-3:], machine=machine).stdout
    pins = [(pin.get("vcpu"), pin.get("cpuset")) for pin in root.iter("vcpupin")]
    equal(pins, re.findall(r"^# vCPU (\d+) on CPU (\d+)$", run, re.M), "pins")
    equal([root.find("cputune/emulatorpin").get("cpuset")],
          re.findall(r"^# QEMU's other threads on CPU (.*)$", run, re.M), "CPUs of the other threads")
    equal(root.find("numatune/memory").get("nodeset"), "1", "node of the memory")
    equal(root.find("devices/interface/driver").get("queues"), "4", "queues")
    equal(root.find("os/cmdline").text, f"ip={GUEST_IP}/{PREFIX},{HOST_IP} cores=3 -- one \"it's two\"", "command line")
    equal(root.find("cpu/topology").attrib, {"sockets": "1", "dies": "1", "cores": "4", "threads": "1"}, "shape")


@test
def libvirt_starts_a_domain_on_the_cpus_of_the_map():
    cpus = own_cpus()
    cores = 2
    make_tap(cores)
    with tempfile.TemporaryDirectory(prefix="lavra-libvirt-") as folder:
        console, path = os.path.join(folder, "console"), os.path.join(folder, "domain.xml")
        text = domain("--cores", str(cores), *(["--pin", "auto"] if len(cpus) >= cores else []), *TAP_OPTIONS)
        root = ElementTree.fromstring(text)
        # The console into a file: nobody looks at a terminal here.
        for name in ("devices/serial", "devices/console"):
            root.find(name).set("type", "file")
            ElementTree.SubElement(root.find(name), "source").set("path", console)
        ElementTree.register_namespace("qemu", "http://libvirt.org/schemas/domain/qemu/1.0")
        ElementTree.ElementTree(root).write(path)
        libvirt = os.path.join(folder, "root")
        os.makedirs(os.path.join(libvirt, "etc"))
        with open(os.path.join(libvirt, "etc", "qemu.conf"), "w") as file:
            file.write(QEMU_CONF.format(user=os.getuid(), group=os.getgid()))
        with Guest(net="tap", cores=cores, command=["virt-qemu-run", "-r", libvirt, path]) as guest:
            try:
                guest.wait_up(timeout=120)
            except RuntimeError as error:
                raise RuntimeError(f"{error}\n{open(console).read() if os.path.exists(console) else 'no console'}")
            equal(guest.get("/hello.txt")[1], b"Hello, world!\n", "body")
            if len(cpus) >= cores:
                pid = qemu_below(guest.process.pid)
                found = {name: lists for name, lists in allowed(pid).items() if name.startswith("CPU ")}
                found = {name.split("/")[0]: lists for name, lists in found.items()}
                expected = {f"CPU {pin.get('vcpu')}": {pin.get("cpuset")} for pin in root.iter("vcpupin")}
                equal(found, expected, "CPUs of the virtual CPUs' threads")
        with open(console) as file:
            said = file.read()
        check(f"{cores} queue pairs" in said, said)


def qemu_below(libvirt):
    """The QEMU that libvirt has started: it is nobody's child; its domain's name is among its words."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline") as file:
                words = file.read().split("\0")
            ours = os.readlink(f"/proc/{pid}/ns/net") == os.readlink(f"/proc/{libvirt}/ns/net")
        except OSError:
            continue
        if ours and words[0].endswith("qemu-system-x86_64") and "guest=lavra-httpd,debug-threads=on" in words:
            return int(pid)
    raise AssertionError("no QEMU of libvirt runs")


@test
def what_a_domain_cannot_have_is_told():
    for options, status, because in ((["--publish", "8080:80"], 2, "--net tap"), (["--gdb"], 2, "--gdb"),
                                     (["--machine", "microvm"], 2, "q35"), (["--files", "/etc"], 123, "--initrd"),
                                     (["--pin", "60000"], 123, "no CPU 60000")):
        result = lavra("domain", image("hello"), *options)
        equal(result.returncode, status, f"status with {options}: {result.stderr}")
        check(because in result.stderr, f"{options}: {result.stderr}")
        equal(result.stdout, "", f"output with {options}")
