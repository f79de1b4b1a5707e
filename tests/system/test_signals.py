"""The guest tests of signals, timers and faults as programs for Linux: on this machine, which shows that they
expect what Linux does, and unmodified on Lavra, where signals then come by Linux's frames everywhere."""
import subprocess

from guest import LAVRA, ROOT
from tap import equal, test
from test_binaries import build, need

FILES = ["signal", "signal_frame", "signal_queue", "fault", "timer", "futex", "process", "preempt", "interrupt"]
# glibc's cancellation, by its own account, may lose what a call has done.
EXPECTED_OF_GLIBC = {"not ok - posix_interrupt: cancellation_loses_no_data"}


def guest_tests(compiler):
    sources = [f"{ROOT}/tests/guest/{name}.c" for name in ["main", *(f"posix_{file}" for file in FILES)]]
    return build(f"guest-tests-{compiler}", need(compiler), "-std=gnu11", "-O2", "-static", "-fno-pie", "-no-pie",
                 "-D_GNU_SOURCE", f"-I{ROOT}", "-w", "-o", "{}", *sources, "-pthread",
                 "-Wl,--defsym,test_cases_start=__start_test_cases,--defsym,test_cases_end=__stop_test_cases")


def failures(command):
    """What failed, and how many tests there were."""
    output = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=240,
                            stdin=subprocess.DEVNULL).stdout
    lines = [line.rstrip() for line in output.splitlines()]
    plan = [int(line[3:]) for line in lines if line.startswith("1..")]
    if not plan:
        raise AssertionError(f"it did not come to its end:\n{output[-3000:]}")
    failed = {"not ok - " + line.split(" - ", 1)[1] for line in lines if line.startswith("not ok ")}
    return failed, plan[0], output


def all_pass(command, expected):
    failed, count, output = failures(command)
    said = "\n".join(line for line in output.splitlines() if not line.startswith(("# run", "ok ")))
    equal(failed - expected, set(), f"failures\n{said}")
    if count < 50:
        raise AssertionError(f"only {count} tests ran")


@test
def guest_tests_of_signals_expect_what_linux_does():
    all_pass([guest_tests("gcc")], EXPECTED_OF_GLIBC)


def on_lavra(compiler, expected):
    program = guest_tests(compiler)
    for cores in (1, 2, 4):
        all_pass([LAVRA, "run", program, "--net", "none", "--cores", str(cores), "--memory", "256M"], expected)


@test
def signals_in_a_linux_binary_with_glibc():
    on_lavra("gcc", EXPECTED_OF_GLIBC)


@test
def signals_in_a_linux_binary_with_musl():
    on_lavra("musl-gcc", set())
