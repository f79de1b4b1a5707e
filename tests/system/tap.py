"""Tests that report in the Test Anything Protocol: @test functions run in order."""
import time
import traceback

_tests = []


class Skip(Exception):
    """Raise it with a reason where a test cannot run here."""


def test(function):
    _tests.append(function)
    return function


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def equal(got, expected, what):
    if got != expected:
        raise AssertionError(f"{what}: got {got!r}, expected {expected!r}")


def run_all(only=""):
    """Run the tests whose name contains `only`. Returns how many failed."""
    failed = 0
    tests = [t for t in _tests if only.replace(" ", "_") in t.__name__]
    if not tests:
        print(f"1..0 # no test has '{only}' in its name", flush=True)
        return 1
    print(f"1..{len(tests)}", flush=True)
    for number, function in enumerate(tests, 1):
        name = function.__name__.replace("_", " ")
        start = time.monotonic()
        try:
            function()
            print(f"ok {number} - {name} # {time.monotonic() - start:.1f} s", flush=True)
        except Skip as reason:
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
        except Exception:
            failed += 1
            print(f"not ok {number} - {name}", flush=True)
            for line in traceback.format_exc().splitlines():
                print("# " + line, flush=True)
    return failed
