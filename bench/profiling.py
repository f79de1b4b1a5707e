"""Where a guest executes and which cache lines change cores, as bench/plugins/profile.c tells it."""
import array
import collections
import mmap
import os
import struct
import tempfile

from guest import BUILD
from symbols import IDLE, WHO

PLUGIN = os.path.join(BUILD, "bench", "plugins", "profile.so")

# The layout of the plugin's file.
LAYOUT_VERSION, HEADER_SIZE, VCPU_SIZE, BLOCK_SIZE, CHANGE_SIZE, MODES = 1, 4096, 128, 16, 32, 2
NBLOCKS_AT, NCHANGES_AT, RECORDING_AT = 32, 40, 48
KINDS = ("read", "write", "take")

Change = collections.namedtuple("Change", "kind vcpu writer code data writer_code")


class Profile:
    """Give launcher_options to the launcher; look() twice, and take the difference."""

    def __init__(self, symbols=None, lines_mib=0, record=False):
        # Sparse: only what is written takes room.
        self.file = tempfile.NamedTemporaryFile(prefix="lavra-profile-")
        words = f"{PLUGIN},table={self.file.name}"
        if symbols:
            words += f",idle={symbols.addresses['idle_wait']:#x},busy={symbols.addresses['core_poll']:#x}"
        if lines_mib:
            words += f",lines={lines_mib}" + (",record=on" if record else "")
        self.qemu_options = ["-plugin", words]
        self.launcher_options = ["--accel", "tcg"]
        for word in self.qemu_options:
            self.launcher_options += ["--qemu-option", word]
        self.map = None

    def open(self):
        """Once QEMU has begun."""
        self.map = mmap.mmap(self.file.fileno(), 0)
        version, self.nvcpus, self.blocks_max, self.changes_max = struct.unpack_from("=4Q", self.map, 0)
        if version != LAYOUT_VERSION:
            raise RuntimeError(f"{PLUGIN} writes layout {version}, and bench/profiling.py reads {LAYOUT_VERSION}: "
                               "build both from one tree (make bench-tools)")
        self.blocks_at = HEADER_SIZE + self.nvcpus * VCPU_SIZE
        self.counts_at = self.blocks_at + self.blocks_max * BLOCK_SIZE
        self.changes_at = self.counts_at + self.nvcpus * MODES * self.blocks_max * 8

    def word(self, at):
        return struct.unpack_from("=Q", self.map, at)[0]

    def words(self, at, count):
        words = array.array("Q")
        words.frombytes(self.map[at:at + 8 * count])
        return words

    def record(self, on):
        """Note changes of lines from now on, or no more."""
        struct.pack_into("=Q", self.map, RECORDING_AT, int(on))

    def look(self):
        if not self.map:
            self.open()
        return Look(self)

    def blocks(self, count):
        """(address, instructions, atomics, wrpkru) of each"""
        return list(struct.iter_unpack("=QIHH", self.map[self.blocks_at:self.blocks_at + count * BLOCK_SIZE]))

    def changes(self, first, last):
        if last > self.changes_max:
            raise RuntimeError(f"{last} lines changed cores, and the plugin's table has room for {self.changes_max}: "
                               "ask for fewer requests")
        raw = self.map[self.changes_at + first * CHANGE_SIZE:self.changes_at + last * CHANGE_SIZE]
        return [Change(KINDS[kind], vcpu, writer - 1, code, data, writer_code)
                for code, data, writer_code, kind, vcpu, writer in struct.iter_unpack("=QQQBBB5x", raw)]


class Look:
    """All counts at a moment."""

    def __init__(self, profile):
        self.profile = profile
        self.nblocks = min(profile.word(NBLOCKS_AT), profile.blocks_max)
        self.nchanges = profile.word(NCHANGES_AT)
        self.lost = [profile.words(HEADER_SIZE + v * VCPU_SIZE, 8)[3] for v in range(profile.nvcpus)]
        self.unwatched = sum(profile.words(HEADER_SIZE + v * VCPU_SIZE, 8)[4] for v in range(profile.nvcpus))
        self.counts = [[profile.words(profile.counts_at + (v * MODES + m) * profile.blocks_max * 8, self.nblocks)
                        for m in range(MODES)] for v in range(profile.nvcpus)]


def executed(before, after):
    """{(vcpu, idle, address): [instructions, atomics, wrpkru]} between two looks, or since the start (None)."""
    if after.lost != (before.lost if before else [0] * len(after.lost)):
        raise RuntimeError(f"the plugin's table of {after.profile.blocks_max} blocks is full, and some that executed are "
                           "not in it: boot anew, and load for less long")
    result = collections.defaultdict(lambda: [0, 0, 0])
    blocks = after.profile.blocks(after.nblocks)
    for vcpu, modes in enumerate(after.counts):
        for mode, counts in enumerate(modes):
            counts_before = before.counts[vcpu][mode] if before else []
            for i, count in enumerate(counts):
                if i < len(counts_before):
                    count -= counts_before[i]
                if count:
                    address, instructions, atomics, wrpkru = blocks[i]
                    totals = result[vcpu, bool(mode), address]
                    totals[0] += count * instructions
                    totals[1] += count * atomics
                    totals[2] += count * wrpkru
    return result


class Window:
    """What was executed for `requests` requests, by symbol."""

    def __init__(self, symbols, before, after, requests, seconds):
        self.requests, self.seconds = requests, seconds
        self.by_vcpu = [dict.fromkeys(WHO, 0) for _ in range(after.profile.nvcpus)]
        self.by_symbol = collections.defaultdict(lambda: [0, 0, 0])  # of (name, folder, who)
        self.atomics = self.wrpkru = 0
        names = {}
        for (vcpu, idle, address), (instructions, atomics, wrpkru) in executed(before, after).items():
            if address not in names:
                names[address] = symbols.function(address)
            name, folder, who = names[address]
            if idle:
                who = IDLE
            self.by_vcpu[vcpu][who] += instructions
            self.atomics += atomics
            self.wrpkru += wrpkru
            totals = self.by_symbol[name, folder, who]
            for i, value in enumerate((instructions, atomics, wrpkru)):
                totals[i] += value
        self.changes = after.profile.changes(before.nchanges, after.nchanges)
        self.unwatched = after.unwatched - before.unwatched

    def instructions(self, who=WHO):
        """Per request."""
        return sum(vcpu[kind] for vcpu in self.by_vcpu for kind in who) / self.requests

    def symbol_instructions(self, who=WHO):
        """{(name, folder): instructions a request}"""
        table = collections.Counter()
        for (name, folder, kind), totals in self.by_symbol.items():
            if kind in who:
                table[name, folder] += totals[0] / self.requests
        return table
