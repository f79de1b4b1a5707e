"""How bench/scale starts what it measures: an image, the same server on a Linux guest, the same program natively."""
import os
import platform
import re
import subprocess
import sys
import time

import guest as system
from guest import BUILD, GUEST_IP, HOST_IP, PREFIX, TAP, Guest, image

HERE = os.path.dirname(os.path.abspath(__file__))
NATIVE = os.path.join(BUILD, "bench", "httpd", "native")


def host_cores():
    return sorted(os.sched_getaffinity(0))


def accelerator():
    """What QEMU is told, and the processor's model for it."""
    with open("/proc/cpuinfo") as info:
        flags = info.read()
    real = (" vmx" in flags or " svm" in flags) and os.access("/dev/kvm", os.R_OK | os.W_OK)
    return ("kvm", "host") if real else ("tcg,thread=multi", "max")


def machine():
    """What figures depend on, and a comparison looks at."""
    with open("/proc/cpuinfo") as info:
        model = re.search(r"^model name\s*: (.*)$", info.read(), re.MULTILINE)
    version = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True).stdout
    return {"accelerator": accelerator()[0].split(",")[0], "host_cores": len(host_cores()),
            "processor": " ".join(model[1].split()) if model else platform.machine(),
            "qemu": version.split("version ")[-1].split()[0] if version else "not there",
            "kernel": platform.release(), "when": time.strftime("%Y-%m-%d %H:%M")}


def own_image(server, bodies):
    """The image's file; httpd with files of given sizes is an image of its own (bench/build-httpd)."""
    return os.path.join(BUILD, "bench", "httpd", "httpd") if bodies and server == "httpd" else image(server)


def prepare(servers, rivals, bodies):
    """Build what is needed, before this process has a network of its own. Returns the rivals that are there."""
    environment = dict(os.environ, BUILD=BUILD)
    sizes = [str(body) for body in bodies if body]
    if "httpd" in servers and (sizes or set(rivals) - {"lavra"}):
        if subprocess.run([os.path.join(HERE, "build-httpd")] + sizes, env=environment).returncode:
            sys.exit("bench: apps/httpd cannot be compiled for the comparison (above)")
    if "linux" in rivals:
        for server in servers:
            if subprocess.run([os.path.join(HERE, "linux", "make-guest"), server], env=environment).returncode:
                print("bench: going on without the Linux guest\n", file=sys.stderr)
                return [rival for rival in rivals if rival != "linux"]
    return rivals


def lavra_guest(server, options, cores):
    file = own_image(server.name, server.options.body)
    if not os.path.exists(file):
        sys.exit(f"bench: {file} is not there: make APP={server.name}")
    system.make_tap(cores)
    command = [system.LAVRA, "run", file, "--cores", str(cores), "--memory", options.memory, "--net", "tap:" + TAP,
               "--ip", f"{GUEST_IP}/{PREFIX},{HOST_IP}", "--isolation", options.isolation[0]]
    arguments = server.arguments(cores)
    return Guest(cores=cores, command=command + (["--"] + arguments if arguments else []))


def linux_guest(server, options, cores):
    folder = os.path.join(BUILD, "bench", "linux")
    accel, cpu = accelerator()
    system.make_tap(cores)
    command = ["qemu-system-x86_64", "-M", "q35", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
               "-accel", accel, "-cpu", cpu, "-smp", str(cores), "-m", options.memory,
               "-kernel", os.path.join(folder, "vmlinuz"), "-initrd", os.path.join(folder, server.name + ".gz"),
               "-append", f"console=ttyS0 quiet panic=-1 tsc=reliable guest_ip={GUEST_IP}/{PREFIX},{HOST_IP} "
               + " ".join(["--"] + server.linux_command(cores)),
               "-netdev", f"tap,id=net0,ifname={TAP},script=no,downscript=no,vhost=off" +
               (f",queues={cores}" if cores > 1 else ""),
               "-device", "virtio-net-pci,netdev=net0,romfile=" +
               (f",mq=on,vectors={2 * cores + 2}" if cores > 1 else ""),
               "-serial", "stdio"]
    return Guest(cores=cores, command=command)


def native_process(server, options, cores):
    """On so many cores of this machine, reached over loopback."""
    mine = ",".join(map(str, host_cores()[:cores]))
    native = Guest(cores=cores, net="none", command=["taskset", "-c", mine, NATIVE, "--port", str(server.port)])
    native.port = server.port
    return native


START = {"lavra": lavra_guest, "linux": linux_guest, "native": native_process}


def threads_of(process):
    """QEMU's, oldest first: its own, one for the RCU, one for each virtual CPU."""
    return sorted(map(int, os.listdir(f"/proc/{process}/task")))


def pin(guest):
    """Virtual CPU i runs on host core i, modulo their number."""
    cores = host_cores()
    process, deadline = guest.process.pid, time.monotonic() + 10
    while time.monotonic() < deadline:
        with open(f"/proc/{process}/task/{process}/children") as children:
            process = int((children.read().split() or [process])[0])
        threads = threads_of(process)
        if len(threads) >= 2 + guest.cores:
            for i, thread in enumerate(threads[2:2 + guest.cores]):
                os.sched_setaffinity(thread, {cores[i % len(cores)]})
            return
        time.sleep(0.02)
    sys.exit("bench: the threads of the virtual CPUs were not found")
