"""bench/spread.py: medians, comparison with a baseline, and where no line of scaling is drawn."""
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", "system"), os.path.join(ROOT, "bench")]
from spread import (MACHINE, POINT, Scaling, Summary, by_point, compare, differences, judge,  # noqa: E402
                    moved_rivals, shared_reason, spread, summary, with_ratios)
from tap import check, equal, run_all, test  # noqa: E402

POINT_OF_LAVRA = ("httpd", "lavra", 1, 64, "keep-alive", 0)


def runs_of(rates, cores=1, rival="lavra", **more):
    point = dict(zip(POINT, ("httpd", rival, cores, 64, "keep-alive", 0)))
    return [{**point, "rate": rate, "p99": 1.0, **more} for rate in rates]


@test
def a_summary_has_median_and_range():
    equal(summary(runs_of([30, 10, 20]), "rate"), Summary(20, 10, 30, 3), "of an odd number of runs")
    equal(summary(runs_of([10, 20, 30, 100]), "rate"), Summary(25, 10, 100, 4), "of an even number of runs")
    equal(spread(Summary(20, 10, 30, 3)), 1.0, "spread")
    equal(spread(Summary(0, 0, 0, 3)), 0.0, "spread around nothing")


@test
def a_figure_that_no_run_has_has_no_summary():
    runs = runs_of([10, 20])
    equal(summary(runs, "p999"), None, "summary of a figure that is not there")
    runs[0]["p999"], runs[1]["p999"] = None, 3.0
    equal(summary(runs, "p999"), Summary(3.0, 3.0, 3.0, 1), "summary of the only run that has it")


@test
def runs_of_one_point_are_its_repetitions():
    points = by_point(runs_of([1, 2]) + runs_of([3], cores=2) + runs_of([4]))
    equal([[run["rate"] for run in runs] for runs in points.values()], [[1, 2, 4], [3]], "rates by point")


@test
def a_difference_within_the_ranges_is_inside_the_spread():
    equal(judge(Summary(100, 90, 110, 3), Summary(108, 105, 115, 3)), "inside the spread", "ranges that meet")
    equal(judge(Summary(100, 90, 110, 3), Summary(115, 110, 120, 3)), "inside the spread", "ranges that touch")
    equal(judge(Summary(100, 90, 110, 3), Summary(120, 111, 125, 3)), "higher, outside the spread", "a higher one")
    equal(judge(Summary(100, 90, 110, 3), Summary(80, 70, 89, 3)), "lower, outside the spread", "a lower one")


@test
def a_single_run_has_no_spread():
    for before, after in ((1, 3), (3, 1)):
        text = judge(Summary(100, 100, 100, before), Summary(200, 200, 200, after))
        check(text.startswith("not known"), f"{before} and {after} runs were judged: {text}")


@test
def a_comparison_is_of_points_that_both_have():
    before = runs_of([100, 101, 102]) + runs_of([50, 51, 52], cores=4)
    after = runs_of([80, 81, 82]) + runs_of([10, 11, 12], cores=2)
    verdicts = compare(before, after)
    equal([(v.point[2], v.figure, v.text) for v in verdicts],
          [(1, "rate", "lower, outside the spread"), (1, "p99", "inside the spread")], "verdicts")
    equal(round(verdicts[0].change, 3), -0.198, "change of the median")


@test
def a_ratio_is_of_runs_of_the_same_turn():
    runs = with_ratios(runs_of([100, 200, 300]) + runs_of([50, 50, 100], rival="linux"))
    equal([run.get("times_linux") for run in runs], [2.0, 4.0, 3.0, None, None, None], "ratios")
    equal(summary(by_point(runs)[POINT_OF_LAVRA], "times_linux"), Summary(3.0, 2.0, 4.0, 3), "their summary")


@test
def a_rival_that_moved_tells_of_the_machine():
    before = runs_of([100, 101, 102]) + runs_of([50, 51, 52], rival="linux")
    faster = runs_of([200, 201, 202]) + runs_of([100, 101, 102], rival="linux")
    verdicts = compare(before, faster)
    equal(moved_rivals(verdicts), ["linux"], "rivals that moved")
    equal([v.text for v in verdicts if v.figure == "times_linux"], ["inside the spread"], "the ratio")
    equal(moved_rivals(compare(before, before)), [], "rivals that moved where nothing did")


@test
def other_machines_are_not_compared():
    here = {"accelerator": "tcg", "host_cores": 2, "processor": "A", "qemu": "7.2"}
    equal(differences(here, dict(here, when="later"), MACHINE), [], "differences of one machine from itself")
    equal(differences(here, dict(here, accelerator="kvm"), MACHINE), ["accelerator: tcg then, kvm now"],
          "differences by the accelerator")
    equal(len(differences({}, here, MACHINE)), 4, "differences from a baseline that does not say")


@test
def a_line_is_drawn_up_to_the_cores_of_the_host():
    rates = {cores: Summary(100 * cores, 90, 110, 3) for cores in (4, 1, 2)}
    scaling = Scaling(rates, host_cores=2)
    equal(scaling.line, [1, 2], "points of the line")
    equal(scaling.refused, [4], "points without a line")
    equal(scaling.efficiency(), {1: 1.0, 2: 1.0}, "efficiency, of points of the line alone")
    check("4 virtual CPUs" in scaling.reason() and "2 cores" in scaling.reason(), f"the reason: {scaling.reason()}")


@test
def nothing_is_refused_on_a_large_host():
    scaling = Scaling({1: Summary(100, 90, 110, 3), 4: Summary(200, 190, 210, 3)}, host_cores=8)
    equal((scaling.line, scaling.refused, scaling.reason()), ([1, 4], [], None), "line, points without, reason")
    equal(scaling.efficiency(), {1: 1.0, 4: 0.5}, "efficiency")


@test
def without_a_point_of_one_core_there_is_no_efficiency():
    equal(Scaling({2: Summary(100, 90, 110, 3)}, host_cores=2).efficiency(), {}, "efficiency")


@test
def cores_that_the_load_shares_are_named():
    reason = shared_reason({1, 2, 4}, host_cores=2)
    check(reason and reason.startswith("At 2 virtual CPUs the load shares this machine's 2 cores"), f"it says: {reason}")
    equal(shared_reason({1, 2}, host_cores=4), None, "the reason on a large host")


sys.exit(1 if run_all() else 0)
