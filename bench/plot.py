"""Plots of a scaling run: requests per second, efficiency and latency against virtual CPUs, as SVG and PNG.

    bench/plot.py RESULTS.json PREFIX       what bench/scale wrote, and where the plots go
"""
import json
import os
import sys

import matplotlib
matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

from spread import POINT, Scaling, by_point, shared_reason, summary  # noqa: E402


def series_of(runs):
    """{name: {cores: runs}}; the name says what differs among the series of these runs."""
    fields = [field for field in POINT if field != "cores"]
    told = [field for field in fields if len({run[field] for run in runs}) > 1] or ["rival"]
    series = {}
    for point, of_point in by_point(runs).items():
        values = dict(zip(POINT, point))
        name = ", ".join(label(field, values[field]) for field in told)
        series.setdefault(name, {})[values["cores"]] = of_point
    return series


def label(field, value):
    return {"connections": f"{value} connections", "body": f"body {value}"}.get(field, str(value))


def draw(runs, machine, title, prefix):
    """Write prefix.svg and prefix.png."""
    matplotlib.rcParams["svg.hashsalt"] = "lavra"
    figure, (rates, efficiencies, latencies) = pyplot.subplots(1, 3, figsize=(14, 5))
    all_cores, reason = sorted({run["cores"] for run in runs}), None
    for number, (name, by_cores) in enumerate(series_of(runs).items()):
        color = f"C{number % 10}"
        scaling = Scaling({cores: summary(of_point, "rate") for cores, of_point in by_cores.items()},
                          machine["host_cores"])
        reason = reason or scaling.reason()
        draw_rates(rates, scaling, name, color)
        efficiency = scaling.efficiency()
        efficiencies.plot(list(efficiency), list(efficiency.values()), "o-", color=color, label=name)
        draw_latencies(latencies, by_cores, scaling, color)
    for figure_name, marker, line_style in PERCENTILES:
        latencies.plot([], [], marker + line_style, color="0.3", markersize=4, label=figure_name.replace("p999", "p99.9"))
    shared = shared_reason(all_cores, machine["host_cores"])
    notes = [note for note in ("Grey: " + reason if reason else None, shared) if note]
    finish(figure, (rates, efficiencies, latencies), all_cores, machine, title, "\n".join(notes))
    figure.savefig(f"{prefix}.svg", metadata={"Date": None})
    figure.savefig(f"{prefix}.png", dpi=110)
    pyplot.close(figure)


def draw_rates(axes, scaling, name, color):
    def bars(of_cores, style, **more):
        points = [scaling.rates[cores] for cores in of_cores]
        axes.errorbar(of_cores, [p.median for p in points], fmt=style, color=color, capsize=3,
                      yerr=[[p.median - p.low for p in points], [p.high - p.median for p in points]], **more)

    bars(scaling.line, "o-", label=name)
    if scaling.refused:
        bars(scaling.refused, "x", label=None if scaling.line else name)


PERCENTILES = (("p50", "o", "-"), ("p99", "s", "--"), ("p999", "^", ":"))


def draw_latencies(axes, by_cores, scaling, color):
    """The colors are those of the other plots."""
    for figure, marker, line_style in PERCENTILES:
        points = {cores: summary(by_cores[cores], figure) for cores in scaling.rates}
        for of_cores, style, fill in ((scaling.line, marker + line_style, color), (scaling.refused, marker, "none")):
            known = [cores for cores in of_cores if points[cores]]
            axes.plot(known, [points[cores].median for cores in known], style, color=color, markersize=4,
                      markerfacecolor=fill)


def finish(figure, axes, all_cores, machine, title, notes):
    for one, what in zip(axes, ("requests/s", "efficiency: rate per virtual CPU, of one's", "latency, ms")):
        one.set_xlabel("virtual CPUs")
        one.set_title(what)
        one.set_xticks(all_cores)
        one.set_xlim(min(all_cores) - 0.3, max(all_cores) + 0.3)
        one.grid(alpha=0.3)
        if what != "latency, ms":
            one.set_ylim(bottom=0)
        else:
            one.set_yscale("log")
        if max(all_cores) > machine["host_cores"]:
            one.axvspan(machine["host_cores"] + 0.15, max(all_cores) + 0.3, color="0.9")
        handles, labels = one.get_legend_handles_labels()
        if handles:
            one.legend(handles, labels, fontsize=7)
    figure.suptitle(f"{title}\n{machine['accelerator']}, {machine['host_cores']} host cores, {machine['processor']}",
                    fontsize=10)
    figure.text(0.5, 0.01, notes, ha="center", fontsize=7)
    figure.tight_layout(rect=(0, 0.06 if notes else 0, 1, 1))


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: bench/plot.py RESULTS.json PREFIX")
    with open(sys.argv[1]) as file:
        results = json.load(file)
    draw(results["runs"], results["machine"], f"{results['title']}, isolation={results['isolation']}", sys.argv[2])


main()
