"""The boot options that say which cores do what."""
from guest import Guest, wrk
from tap import check, equal, test


def column(guest, name):
    """Of /proc/lavra/cores, as httpd shows it: core by core."""
    per_core = guest.metrics()[f"lavra_{name}_total"]
    return [per_core[core] for core in sorted(per_core)]


@test
def stack_and_application_are_on_cores_of_their_own():
    with Guest(net="tap", cores=4, extra=("--append", "net=0-1 app=2-3")) as guest:
        guest.wait_up()
        load = wrk(guest, connections=32, seconds=3)
        equal(load["errors"], 0, "errors of wrk")
        check(load["requests"] > 100, f"{load['requests']} requests")
        received, opened = column(guest, "rx_packets"), column(guest, "connections_opened")
        check(all(received[:2]) and not any(received[2:]), f"frames received by each core: {received}")
        check(sum(opened[:2]) >= 32 and not any(opened[2:]), f"connections of each core: {opened}")
        served = guest.requests_per_core()
        check(sum(served) >= load["requests"], f"requests by each thread: {served}")
        check("2 threads" in guest.console(), "httpd has a thread for each core that it may use")


@test
def isolated_cores_have_no_threads_that_did_not_ask():
    with Guest(net="tap", cores=2, extra=("--append", "isolate=1")) as guest:
        guest.wait_up()
        equal(wrk(guest, connections=8, seconds=1)["errors"], 0, "errors of wrk")
        # It says so when it serves already.
        check("1 thread" in guest.console(), "httpd has a thread for core 0: " + guest.console())


@test
def what_cannot_be_is_refused():
    for words, why in (("net=1-2", "from core 0 on"), ("app=0 isolate=0", "leaves no core"), ("idle=maybe", "must be halt"),
                       ("idle=poll:x", "list of cores")):
        with Guest(net="none", cores=2, extra=("--append", words)) as guest:
            equal(guest.process.wait(timeout=30), 2, f"status with {words}")
            check(why in guest.console(), f"{words}: {guest.console()}")
