"""How images end: the status that reaches the caller, and what the console says of it."""
import os
import subprocess

from guest import BUILD, LAVRA
from tap import check, equal, test

IMAGE = os.path.join(BUILD, "tests/system/endings/endings")


def end(*arguments, cores=2, memory="64M", options=()):
    command = [LAVRA, "run", IMAGE, "--net", "none", "--cores", str(cores), "--memory", memory, *options]
    result = subprocess.run(command + ["--", *arguments], capture_output=True, text=True, timeout=60,
                            stdin=subprocess.DEVNULL)
    return result.returncode, result.stdout + result.stderr


def says(output, *parts):
    for part in parts:
        check(part in output, f"{part!r} is not in the report:\n{output}")


@test
def every_exit_status_reaches_the_caller():
    for status in (0, 1, 42, 127, 128, 255):
        equal(end("exit", str(status))[0], status, "status")


@test
def a_null_pointer_is_reported_with_its_function():
    status, output = end("null")
    equal(status, 139, "status; " + output)
    says(output, "write_to_null", "a null pointer")


@test
def a_crash_on_another_thread_names_it():
    status, output = end("thread")
    equal(status, 139, "status; " + output)
    says(output, "thread 2", "write_to_constant", "crash")


@test
def text_constants_and_data_are_protected():
    for what, function in (("text", "write_to_text"), ("constant", "write_to_constant"), ("data", "execute_data")):
        status, output = end(what)
        equal(status, 139, f"status of {what}; {output}")
        says(output, function)


@test
def an_access_that_a_key_forbids_is_told_with_owner_and_rights():
    for what, function, *parts in (
            ("key", "read_with_closed_key", "reading 0x", "key 1, page of the application (its memory)", "pkru fd555554"),
            ("direct-map", "write_to_the_direct_map", "writing 0xffff800000800000",
             "key 15, page of the kernel (direct map of 0x800000)"),
            ("kernel", "read_kernel_memory", "reading 0xffffc000", "key 15, page of the kernel (")):
        status, output = end(what)
        equal(status, 139, f"status of {what}; {output}")
        says(output, "application: page fault", "its protection key forbids it", function, "thread 1", "on core", *parts)


@test
def a_stack_overflow_meets_the_guard_page():
    status, output = end("stack")
    equal(status, 139, "status; " + output)
    says(output, "overflow_the_stack", "stack")


@test
def a_division_by_zero_is_a_sigfpe():
    equal(end("divide")[0], 136, "status")


@test
def abort_is_a_sigabrt():
    status, output = end("abort")
    equal(status, 134, "status; " + output)
    says(output, "SIGABRT")


@test
def a_panic_tells_all_it_knows():
    status, output = end("panic", cores=4)
    equal(status, 125, "status; " + output)
    says(output, "asked for by a test", "thread 1", "rip ", "backtrace", "sys_ask_for_panic", "main")
    status, output = end("assertion")
    equal(status, 125, "status; " + output)
    says(output, "kernel_panic.c", "one == 2", "sys_ask_for_failed_assertion")


@test
def the_kernel_is_guarded_against_itself():
    status, output = end("settled", cores=4)
    equal(status, 125, "status; " + output)
    says(output, "panic", "sys_ask_to_change_what_is_settled", "the page is read-only")
    status, output = end("smash")
    equal(status, 125, "status; " + output)
    says(output, "panic", "stack smashed", "__stack_chk_fail")


@test
def a_kernel_stack_ends_at_a_guard_page():
    status, output = end("kernel-stack")
    # Without protection keys a system call runs on the application's stack.
    if "isolation: application, kernel and network" in output:
        equal(status, 125, "status; " + output)
        says(output, "panic", "descend", "guard page of a kernel stack")


@test
def memory_that_runs_out_is_said():
    status, output = end("memory", memory="64M")
    check(status not in (0, 99), f"status {status}; {output}")
    says(output, "memory")


@test
def an_absent_system_call_is_said_once():
    status, output = end("absent")
    equal(status, 0, "status; " + output)
    equal(output.count("system call fork (57)"), 1, "messages about fork")
    equal(output.count("fork: -1"), 2, "answers to fork")
