"""What a guest executes, counted by bench/plugins/count.c."""
import os
import struct
import tempfile

from guest import BUILD

PLUGIN = os.path.join(BUILD, "bench", "plugins", "count.so")
NAMES = ("instructions", "atomics", "wrpkru")
WORDS = 8  # for each virtual CPU


class Counters:
    """Give qemu_options to the launcher, and take the difference of two totals."""

    def __init__(self):
        self.file = tempfile.NamedTemporaryFile(prefix="lavra-count-")
        self.launcher_options = ["--accel", "tcg", "--qemu-option", "-plugin",
                                 "--qemu-option", f"{PLUGIN},counters={self.file.name}"]

    def totals(self):
        with open(self.file.name, "rb") as file:
            content = file.read()
        words = struct.unpack(f"={len(content) // 8}Q", content)
        return {name: sum(words[i::WORDS]) for i, name in enumerate(NAMES)}


def difference(after, before):
    return {name: after[name] - before[name] for name in NAMES}
