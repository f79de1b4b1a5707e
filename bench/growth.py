"""What a request costs as the number of cores grows: bench/scale --count.

Wall time on a small host says little about scaling. These figures do not depend on the host: instructions of each
virtual CPU by who executes them, atomic instructions, and cache lines that change cores.
"""
import collections
import csv
import itertools
import json
import os
import time

import guest as system
from bounded_load import BoundedLoad, ClosingLoad, protocol_of
from guest import BUILD, Guest, image
from profiling import KINDS, Profile, Window
from symbols import APPLICATION, IDLE, KERNEL, STACK, WHO, Symbols

MEMORY_MIB = 256
# RAM of devices counts as well (the monitor has 16 MiB), and QEMU may place it in front of the memory.
WATCHED_MIB = MEMORY_MIB + 64
BUSY = (APPLICATION, KERNEL, STACK)
# Timers of a second and less have run on every core: a core's first look at what core 0 made for it is over.
SETTLE_S = 3
# Where a line that changes cores for a request is against the design.
SPARED_FOLDERS = ("net", "net/calls", "lwip", "sched", "mm")
TRANSFERS_TARGET, GROWTH_TARGET = 0.5, 0.03


def count(options, server, symbols, mode, cores, isolation, lines):
    """A window of options.requests requests in the steady state of a guest of its own."""
    profile = Profile(symbols, WATCHED_MIB if lines else 0)
    with Guest(app=options.server, cores=cores, memory=f"{MEMORY_MIB}M", arguments=server.arguments(cores),
               extra=["--isolation", isolation] + profile.launcher_options) as guest:
        system.skip_address_resolution()
        guest.wait_for_port(server.port)
        close = mode == "close"
        # Those that are kept are all open before it is counted, and have been served.
        with (ClosingLoad if close else BoundedLoad)((guest.address, server.port), options.connections,
                                                     protocol_of(options.server, options.path, close)) as load:
            up = time.monotonic()
            while time.monotonic() - up < SETTLE_S:
                load.run(options.warm_up)
            profile.look()
            profile.record(True)
            before, begun = profile.look(), time.monotonic()
            load.run(options.requests)
            seconds, after = time.monotonic() - begun, profile.look()
            profile.record(False)
        return Window(symbols, before, after, options.requests, seconds)


class Cost:
    """Of a request, on kept connections or one of its own, with a number of cores, isolated or not."""

    def __init__(self, options, server, symbols, mode, cores, isolation):
        self.mode, self.cores, self.isolation = mode, cores, isolation
        self.window = count(options, server, symbols, mode, cores, isolation, lines=False)
        # Watching lines makes the guest slow, and so the batches that it works in different: a run of its own.
        self.lines = count(options, server, symbols, mode, cores, isolation, lines=True)
        self.transfers = attribute(symbols, self.lines)

    def instructions(self, who=BUSY):
        return self.window.instructions(who)

    def transfers_total(self):
        return sum(self.transfers.values())

    def transfers_in(self, folders):
        return sum(count for key, count in self.transfers.items() if key[1][1] in folders)

    def as_dict(self):
        requests = self.window.requests
        return {"mode": self.mode, "cores": self.cores, "isolation": self.isolation, "requests": requests,
                "by_vcpu": [{who: n / requests for who, n in vcpu.items()} for vcpu in self.window.by_vcpu],
                "atomics": self.window.atomics / requests, "wrpkru": self.window.wrpkru / requests,
                "symbols": [{"symbol": name, "folder": folder, "who": who, "instructions": totals[0] / requests,
                             "atomics": totals[1] / requests}
                            for (name, folder, who), totals in self.window.by_symbol.items()],
                "transfers": [{"kind": kind, "code": code[0], "folder": code[1], "data": data, "writer": writer[0],
                               "count": count} for (kind, code, data, writer), count in self.transfers.items()]}


    def as_row(self):
        """What the table says of all virtual CPUs."""
        requests = self.window.requests
        return {"mode": self.mode, "isolation": self.isolation, "cores": self.cores, "requests": requests,
                **{who: self.instructions((who,)) for who in WHO}, "without_idle": self.instructions(),
                "atomics": self.window.atomics / requests, "wrpkru": self.window.wrpkru / requests,
                "transfers": self.transfers_total(), "rate": requests / self.window.seconds}


def attribute(symbols, window):
    """{(kind, function, variable, function that wrote last): transfers a request}"""
    table = collections.Counter()
    for change in window.changes:
        writer = symbols.function(change.writer_code)[:2] if change.writer >= 0 else ("(nobody)", "")
        table[change.kind, symbols.function(change.code)[:2], symbols.variable(change.data), writer] += \
            1 / window.requests
    return table


def name_of(cost):
    return f"{cost.mode}, isolation={cost.isolation}, {cost.cores} core{'s' * (cost.cores > 1)}"


def print_costs(costs):
    print("\nA request takes: instructions of each virtual CPU, by who executes them; atomic read-modify-write "
          "instructions;\nwrites of PKRU; and cache lines of 64 bytes that change cores. What is done by time, and not "
          "by request, is in it\nand weighs more than it would at full speed: the rate at which was counted stands last. "
          "With close\na request has a connection of its own, whose begin and end are in it.")
    print(f"{'':10} {'isolation':>9} {'cores':>5} {'vCPU':>4} " + " ".join(f"{who:>11}" for who in WHO) +
          f" {'without idle':>12} {'atomics':>8} {'WRPKRU':>7} {'transfers':>9} {'req/s':>6}")
    for cost in costs:
        for vcpu, counts in enumerate(cost.window.by_vcpu):
            if cost.cores > 1:
                print(f"{'':10} {'':9} {'':5} {vcpu:4} " +
                      " ".join(f"{counts[who] / cost.window.requests:11.0f}" for who in WHO) +
                      f" {sum(counts[who] for who in BUSY) / cost.window.requests:12.0f}")
        row = cost.as_row()
        print(f"{cost.mode:10} {cost.isolation:>9} {cost.cores:5} {'all':>4} " +
              " ".join(f"{row[who]:11.0f}" for who in WHO) +
              f" {row['without_idle']:12.0f} {row['atomics']:8.2f} {row['wrpkru']:7.2f} {row['transfers']:9.3f} "
              f"{row['rate']:6.0f}")
        if cost.lines.unwatched:
            print(f"  ({cost.lines.unwatched} accesses lie beyond the {WATCHED_MIB} MiB that are watched)")


def print_transfers(cost, rows):
    print(f"\nLines that change cores for a request, {name_of(cost)}: "
          f"{cost.transfers_total():.3f} (" +
          ", ".join(f"{kind} {sum(n for key, n in cost.transfers.items() if key[0] == kind):.3f}" for kind in KINDS) +
          ")")
    print(f"{'a request':>9} {'kind':6} {'by the code':34} {'folder':12} {'at the data':30} written by")
    for (kind, code, data, writer), n in cost.transfers.most_common(rows):
        print(f"{n:9.4f} {kind:6} {code[0][:34]:34} {code[1]:12} {data[:30]:30} {writer[0]}")
    left = len(cost.transfers) - rows
    if left > 0:
        print(f"{sum(n for _, n in cost.transfers.most_common()[rows:]):9.4f} {'':6} ({left} more)")


def print_growth(one, many, rows):
    """Which functions take more instructions on `many` cores than on one."""
    before, after = (cost.window.symbol_instructions(BUSY) for cost in (one, many))
    growth = {key: after[key] - before[key] for key in before.keys() | after.keys()}
    total = many.instructions() - one.instructions()
    print(f"\nWhat grows from {one.cores} core{'s' * (one.cores > 1)}, {name_of(many)}: {one.instructions():.0f} to "
          f"{many.instructions():.0f} instructions a request ({total / one.instructions():+.1%})")
    print(f"{'more':>9} {f'{one.cores} cores':>9} {f'{many.cores} cores':>9}  function")
    for key in sorted(growth, key=lambda key: -abs(growth[key]))[:rows]:
        print(f"{growth[key]:+9.1f} {before[key]:9.1f} {after[key]:9.1f}  {key[0]} ({key[1]})")


def print_profile(off, on, rows):
    """The functions that take most, with isolation off and on, side by side."""
    tables = {"off": off.window.symbol_instructions(WHO), "on": on.window.symbol_instructions(WHO)}
    keys = set()
    for table in tables.values():
        keys |= {key for key, _ in table.most_common(rows)}
    print(f"\nInstructions a request by function, {off.mode}, {off.cores} core{'s' * (off.cores > 1)}: "
          f"{sum(tables['off'].values()):.0f} with isolation=off, {sum(tables['on'].values()):.0f} with on")
    print(f"{'off':>9} {'on':>9} {'more':>9}  function")
    for key in sorted(keys, key=lambda key: -max(tables["off"][key], tables["on"][key])):
        off_n, on_n = tables["off"][key], tables["on"][key]
        print(f"{off_n:9.1f} {on_n:9.1f} {on_n - off_n:+9.1f}  {key[0]} ({key[1]})")


def print_targets(costs):
    if len({cost.cores for cost in costs}) > 1:
        print("\nAgainst the design")
    first = {}
    for cost in costs:
        base = first.setdefault((cost.mode, cost.isolation), cost)
        if cost.cores == base.cores:
            continue
        growth = cost.instructions() / base.instructions() - 1
        spared = cost.transfers_in(SPARED_FOLDERS)
        print(f"  {name_of(cost)}: {cost.transfers_total():.3f} lines change cores "
              f"({'under' if cost.transfers_total() < TRANSFERS_TARGET else 'NOT under'} {TRANSFERS_TARGET}), "
              f"{spared:.3f} of them in net/, sched/ and mm/ (0 wanted); {growth:+.1%} instructions "
              f"({'within' if abs(growth) <= GROWTH_TARGET else 'NOT within'} {GROWTH_TARGET:.0%})")


def write_results(options, costs):
    """The table as CSV, and all as JSON."""
    prefix = options.output or os.path.join(BUILD, "bench", "count", options.server)
    os.makedirs(os.path.dirname(os.path.abspath(prefix)), exist_ok=True)
    written = [name for name in (prefix + ".json", options.json) if name]
    for name in written:
        with open(name, "w") as file:
            json.dump([cost.as_dict() for cost in costs], file, indent=1)
    written.append(prefix + ".csv")
    with open(written[-1], "w", newline="") as file:
        table = csv.DictWriter(file, costs[0].as_row())
        table.writeheader()
        table.writerows(cost.as_row() for cost in costs)
    print("\nWritten: " + " ".join(written))


def run(options, server):
    """The figures of every mode, with and without isolation, on every number of cores; prints the tables."""
    symbols = Symbols(image(options.server) + ".elf")
    costs = []
    print(f"{options.server}, {options.requests} requests on {options.connections} connections in the steady state, "
          "QEMU's translator", flush=True)
    for mode, isolation, cores in itertools.product(options.modes, options.isolations, options.cores):
        costs.append(Cost(options, server, symbols, mode, cores, isolation))
    print_costs(costs)
    if options.server == "httpd":  # others share what they share
        print_targets(costs)
    for mode in options.modes:
        by_isolation = {isolation: [cost for cost in costs if (cost.mode, cost.isolation) == (mode, isolation)]
                        for isolation in options.isolations}
        for of_cores in by_isolation.values():
            for cost in of_cores:
                if cost.cores > 1:
                    print_transfers(cost, options.rows)
            if len(of_cores) > 1:
                print_growth(of_cores[0], of_cores[-1], options.rows)
        if set(by_isolation) >= {"off", "on"}:
            print_profile(by_isolation["off"][0], by_isolation["on"][0], options.rows)
    write_results(options, costs)
