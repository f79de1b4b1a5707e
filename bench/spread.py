"""Medians and spread of repeated runs, comparison with a baseline, and how far a line of scaling may be drawn.

A run is a dict: what was measured (the fields of POINT), and figures of it. Runs of one point are repetitions.
"""
import collections
import statistics

POINT = ("server", "rival", "cores", "connections", "mode", "body")
FIGURES = ("rate", "p50", "p99", "p999")

Summary = collections.namedtuple("Summary", "median low high count")
Verdict = collections.namedtuple("Verdict", "point figure before after change text")


def point_of(run):
    return tuple(run[field] for field in POINT)


def by_point(runs):
    """{point: its runs}, in the order in which points were first measured."""
    points = {}
    for run in runs:
        points.setdefault(point_of(run), []).append(run)
    return points


def summary(runs, figure):
    """Of the runs that have the figure; None if none has."""
    values = [run[figure] for run in runs if run.get(figure) is not None]
    return Summary(statistics.median(values), min(values), max(values), len(values)) if values else None


def spread(of):
    """From lowest to highest, as a share of the median."""
    return (of.high - of.low) / of.median if of.median else 0.0


def judge(before, after):
    """What a difference of two summaries is worth: 'inside the spread' where their ranges meet."""
    if before.count < 2 or after.count < 2:
        return "not known: no spread of a single run (--repeat 3)"
    if after.low <= before.high and before.low <= after.high:
        return "inside the spread"
    return "higher, outside the spread" if after.median > before.median else "lower, outside the spread"


def with_ratios(runs):
    """The runs, those of Lavra with their rate as a multiple of each rival's in the same turn (times_linux, ...)."""
    points = by_point(runs)
    for (server, rival, *rest), others in points.items():
        for own, other in zip(points.get((server, "lavra", *rest), []) if rival != "lavra" else [], others):
            if other["rate"]:
                own["times_" + rival] = own["rate"] / other["rate"]
    return runs


def compare(before_runs, after_runs, figures=("rate", "p99", "times_linux", "times_native")):
    """A Verdict for each figure of each point that both have measured."""
    before, after = by_point(with_ratios(before_runs)), by_point(with_ratios(after_runs))
    verdicts = []
    for point in after:
        for figure in figures:
            old = summary(before.get(point, []), figure)
            new = summary(after[point], figure)
            if old and new:
                change = new.median / old.median - 1 if old.median else 0.0
                verdicts.append(Verdict(point, figure, old, new, change, judge(old, new)))
    return verdicts


def moved_rivals(verdicts):
    """Rivals whose rate differs by more than the spread: they are what they were, so the machine is not."""
    return sorted({v.point[1] for v in verdicts if v.point[1] != "lavra" and v.figure == "rate" and "outside" in v.text})


MACHINE = ("accelerator", "host_cores", "processor", "qemu")
SETTINGS = ("isolation", "path", "memory", "threads", "pin", "seconds")


def differences(before, after, names):
    """Why two sets of runs must not be compared: what differs between two dicts about them."""
    return [f"{name}: {before.get(name)} then, {after.get(name)} now"
            for name in names if before.get(name) != after.get(name)]


class Scaling:
    """Figures of one series over its numbers of cores, and how far a line may join them.

    More virtual CPUs than the host has cores take turns: what is measured there is the host's scheduler, so
    those points are not part of a line and have no efficiency.
    """

    def __init__(self, rates, host_cores):
        """rates: {cores: Summary}"""
        self.rates = dict(sorted(rates.items()))
        self.line = [cores for cores in self.rates if cores <= host_cores]
        self.refused = [cores for cores in self.rates if cores > host_cores]
        self.host_cores = host_cores

    def efficiency(self):
        """{cores: rate per core, as a share of that of one core}, where there is a line and a point of one core."""
        if 1 not in self.line or not self.rates[1].median:
            return {}
        return {cores: self.rates[cores].median / cores / self.rates[1].median for cores in self.line}

    def reason(self):
        """Why some points are not joined, or None."""
        if not self.refused:
            return None
        these = ", ".join(map(str, self.refused))
        return (f"No line of scaling is drawn to {these} virtual CPUs: this machine has {self.host_cores} "
                f"core{'s' * (self.host_cores != 1)}, on which more virtual CPUs take turns. These points are marked; "
                f"measure on a host with at least {max(self.refused)} cores, and some more for the load.")


def shared_reason(all_cores, host_cores, load_threads=1):
    """Which points have a core of the host too few for themselves and the load together; or None."""
    shared = [cores for cores in sorted(all_cores) if cores <= host_cores < cores + load_threads]
    if not shared:
        return None
    return (f"At {', '.join(map(str, shared))} virtual CPUs the load shares this machine's {host_cores} "
            f"core{'s' * (host_cores != 1)} with what it measures: less than that can do is seen.")
