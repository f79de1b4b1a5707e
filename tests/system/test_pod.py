"""`lavra pod`: the manifest is YAML with the fields of KubeVirt's VirtualMachine, of the types that they have.

KubeVirt's own schema (api/openapi-spec/swagger.json) is large and not part of this tree; the fields below are
those of it that are used, with its types.
"""
import yaml

from guest import image, lavra
from tap import check, equal, test

CPU = {"sockets": int, "cores": int, "threads": int, "model": str, "dedicatedCpuPlacement": bool,
       "isolateEmulatorThread": bool}
PORT = {"port": int, "protocol": str}
INTERFACE = {"name": str, "model": str, "masquerade": {}, "ports": [PORT]}
DEVICES = {"autoattachGraphicsDevice": bool, "autoattachMemBalloon": bool, "autoattachPodInterface": bool,
           "networkInterfaceMultiqueue": bool, "interfaces": [INTERFACE]}
DOMAIN = {"firmware": {"kernelBoot": {"kernelArgs": str, "container": {"image": str, "kernelPath": str}}}, "cpu": CPU,
          "machine": {"type": str}, "memory": {"guest": str},
          "resources": {"requests": {"memory": str}, "limits": {"memory": str}}, "devices": DEVICES}
INSTANCE = {"architecture": str, "terminationGracePeriodSeconds": int, "domain": DOMAIN,
            "networks": [{"name": str, "pod": {}}]}
METADATA = {"name": str, "labels": {"kubevirt.io/domain": str},
            "annotations": {"kubevirt.io/placePCIDevicesOnRootComplex": str}}
MACHINE = {"apiVersion": str, "kind": str, "metadata": METADATA,
           "spec": {"runStrategy": str, "template": {"metadata": METADATA, "spec": INSTANCE}}}


def check_fields(value, kind, path="VirtualMachine"):
    if isinstance(kind, dict):
        check(isinstance(value, dict), f"{path} is {value!r}, no mapping")
        for name, inner in value.items():
            check(name in kind, f"{path} has no field {name}")
            check_fields(inner, kind[name], f"{path}.{name}")
    elif isinstance(kind, list):
        check(isinstance(value, list) and value, f"{path} is {value!r}, no list with an element")
        for inner in value:
            check_fields(inner, kind[0], f"{path}[]")
    else:
        equal(type(value), kind, f"type of {path}")


def pod(*options):
    result = lavra("pod", image("httpd"), "--container", "example/httpd:1", *options)
    equal(result.returncode, 0, f"status with {options}: {result.stderr}")
    machine = yaml.safe_load(result.stdout)
    check_fields(machine, MACHINE)
    return machine["spec"]["template"]["spec"]


@test
def manifests_have_the_fields_of_kubevirt():
    spec = pod("--cores", "2", "--publish", "80:80", "--publish", "53:5353/udp", "--memory", "1G")
    domain = spec["domain"]
    equal(domain["cpu"], {"sockets": 1, "cores": 2, "threads": 1, "model": "host-passthrough",
                          "dedicatedCpuPlacement": True, "isolateEmulatorThread": True}, "cpu")
    equal(domain["firmware"]["kernelBoot"], {"container": {"image": "example/httpd:1", "kernelPath": "/httpd"}},
          "kernel boot")
    equal(domain["memory"]["guest"], "1024Mi", "memory")
    equal(domain["devices"]["networkInterfaceMultiqueue"], True, "multiqueue")
    equal(domain["devices"]["interfaces"][0]["ports"], [{"port": 80, "protocol": "TCP"},
                                                         {"port": 5353, "protocol": "UDP"}], "ports")
    cpu = pod("--smp", "sockets=2,dies=2,threads=2", "--pin", "off")["domain"]["cpu"]
    equal(cpu, {"sockets": 4, "cores": 1, "threads": 2, "model": "host-passthrough"}, "cpu with --smp and --pin off")
    check("networks" not in pod("--net", "none"), "a network with --net none")


@test
def the_command_line_comes_through_yaml():
    line = "aslr=off 'env=A=\"x\\y' cores=1 -- 'a: b' #c \"it's\" -"
    spec = pod("--aslr", "off", "--env", "A=\"x\\y", "--append", "cores=1", "--", "a: b", "#c", "it's", "-")
    found = spec["domain"]["firmware"]["kernelBoot"]["kernelArgs"]
    # What needs quotes has them, and the rest is as it was given.
    equal(found.replace("'", "").replace('"', "").split(), line.replace("'", "").replace('"', "").split(), "words")


@test
def what_a_pod_cannot_have_is_told():
    name = ["--container", "example/httpd:1"]
    for options, because in (([], "--container"), ([*name, "--pin", "0"], "auto"), ([*name, "--net", "tap:t0"], "none"),
                             ([*name, "--files", "/etc"], "lavra-gcc"), ([*name, "--machine", "pc"], "q35"),
                             ([*name, "--gdb"], "lavra run"), (["--container"], "wants a name")):
        result = lavra("pod", image("httpd"), *options)
        equal(result.returncode, 2, f"status with {options}: {result.stderr}")
        check(because in result.stderr, f"{options}: {result.stderr}")
        equal(result.stdout, "", f"output with {options}")
