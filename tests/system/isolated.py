"""Images whose isolation is tested: their symbols, where memory lies, and starting them."""
import os
import subprocess

from guest import BUILD, GUEST_IP, HOST_IP, LAVRA, PREFIX, TAP, Guest, make_tap
from tap import Skip

IMAGE_OFFSET, DIRECT_MAP = 0xffffffff80000000, 0xffff800000000000


class Image:
    """tests/system/NAME"""

    def __init__(self, name):
        self.path = os.path.join(BUILD, "tests/system", name, name)
        self.symbols = {}

    def symbol(self, name):
        if not self.symbols:
            listing = subprocess.run(["nm", self.path + ".elf"], capture_output=True, text=True, check=True).stdout
            for line in listing.splitlines():
                fields = line.split()
                if len(fields) == 3:
                    self.symbols.setdefault(fields[2], int(fields[0], 16))
        return self.symbols[name]

    def start(self, cores, wait, *arguments, options=()):
        """A guest, after wait(guest). Without options it has isolation, or the test is skipped."""
        make_tap(cores)
        guest = Guest(net="tap", cores=cores, command=[
            LAVRA, "run", self.path, "--cores", str(cores), "--memory", "128M", "--net", "tap:" + TAP,
            "--ip", f"{GUEST_IP}/{PREFIX},{HOST_IP}", *options, "--", *arguments])
        try:
            wait(guest)
            if "isolation: application, kernel and network" not in guest.console() and not options:
                raise Skip("this processor has no protection keys")
        except BaseException:
            guest.stop()
            raise
        return guest


def alias(address):
    """Where the direct map has a byte of the image."""
    return address - IMAGE_OFFSET + DIRECT_MAP
