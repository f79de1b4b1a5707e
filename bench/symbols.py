"""Where an address of an image lies: its function or variable, and the folder of the source tree that it is from."""
import bisect
import re
import subprocess

# Who executes. The network stack is lwIP, what adapts it, and the driver: what lies in the network's domain.
APPLICATION, KERNEL, STACK, IDLE = "application", "kernel", "stack", "idle"
WHO = (APPLICATION, KERNEL, STACK, IDLE)

IMAGE_BASE, KERNEL_HALF = 0xffffffff80000000, 1 << 63


def folder_of(path):
    """The folder that a reader of the tree knows, of the path that the compiler was given."""
    path = re.sub(r"^(\./)+", "", path)
    for part, name in (("musl/", "libc (musl)"), ("mimalloc/", "malloc (mimalloc)"), ("lwip/", "lwip"),
                       ("posix/libc/", "libc (of this tree)"), (".gates", "gates"), ("ck_", "smp")):
        if part in path:
            return name
    match = re.match(r"(posix/fs|posix/elf|net/calls|arch|mm|smp|sched|drivers|net|posix|include)\b", path)
    return match[1] if match else ""


class Symbols:
    """Of an image with its symbols (the .elf beside it)."""

    def __init__(self, elf):
        self.elf = elf
        self.texts, self.variables, self.addresses = [], [], {}
        output = subprocess.run(["nm", "-n", "--defined-only", elf], capture_output=True, text=True, check=True).stdout
        for line in output.splitlines():
            address, kind, *names = line.split(maxsplit=2)
            if not names:
                continue
            name = names[0]
            address = int(address, 16)
            self.addresses.setdefault(name, address)
            table = self.texts if kind in "tTwW" else self.variables
            # Several names of one address: the first one, unless that is only a label of a range.
            if table and table[-1][0] == address and not re.search(r"_(start|end)$", table[-1][1]):
                continue
            if table and table[-1][0] == address:
                table[-1] = (address, name)
            else:
                table.append((address, name))
        self.text_addresses = [address for address, _ in self.texts]
        self.variable_addresses = [address for address, _ in self.variables]
        self.folders = self.read_folders()

    def read_folders(self):
        output = subprocess.run(["addr2line", "-e", self.elf], capture_output=True, text=True, check=True,
                                input="".join(f"{address:#x}\n" for address in self.text_addresses)).stdout
        return [folder_of(line.rsplit(":", 1)[0]) for line in output.splitlines()]

    def within(self, address, name):
        start, end = self.addresses.get(f"{name}_start"), self.addresses.get(f"{name}_end")
        return start is not None and end is not None and start <= address < end

    def who(self, address):
        if self.within(address, "network_text"):
            return STACK
        if self.within(address, "kernel_text") or self.addresses["text_start"] <= address < \
                self.addresses["boot_text_end"]:
            return KERNEL
        return APPLICATION

    def function(self, address):
        """(name, folder, who)"""
        who = self.who(address)
        if not self.addresses["text_start"] <= address < self.addresses["text_end"]:
            return ("(a program that was loaded)", "application", APPLICATION) if address < KERNEL_HALF \
                else (f"(code at {address:#x})", "", KERNEL)
        i = bisect.bisect_right(self.text_addresses, address) - 1
        name, folder = self.texts[i][1], self.folders[i]
        if name.startswith("ck_"):  # Concurrency Kit comes without lines
            folder = "smp"
        elif who == APPLICATION and not folder.endswith(")"):
            folder = "application"
        return name, folder, who

    def variable(self, address):
        """What lies at an address of data; memory that has no name by the half that it is in."""
        if address < KERNEL_HALF:
            return "(memory of the application)"
        if not self.addresses["image_start"] <= address < self.addresses["data_end"]:
            return "(memory of the kernel)"
        i = bisect.bisect_right(self.variable_addresses, address) - 1
        return self.variables[i][1] if i >= 0 else f"(data at {address:#x})"
