"""Which cores do what: by boot options, and while the image runs."""
import concurrent.futures

from guest import Guest, lavra, lavra_ends, wrk
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
    for words, why in (("net=1-", "list of cores"), ("app=0 isolate=0", "leaves no core"), ("idle=maybe", "must be halt"),
                       ("idle=poll:x", "list of cores")):
        with Guest(net="none", cores=2, extra=("--append", words)) as guest:
            equal(guest.process.wait(timeout=30), 2, f"status with {words}")
            check(why in guest.console(), f"{words}: {guest.console()}")


def tune(guest, *options):
    return lavra_ends("tune", guest.process.pid, *options).stdout


@test
def queues_are_on_the_cores_that_are_named():
    with Guest(net="tap", cores=4, extra=("--append", "net=1,3 app=0-1")) as guest:
        guest.wait_up()
        check("network queue 0: core 1\nnetwork queue 1: core 3\n" in tune(guest), "queues of cores 1 and 3: " + tune(guest))
        load = wrk(guest, connections=32, seconds=2)
        equal(load["errors"], 0, "errors of wrk")
        received, opened = column(guest, "rx_packets"), column(guest, "connections_opened")
        check(received[1] and received[3] and not received[0] and not received[2], f"frames received by each core: {received}")
        check(not opened[0] and not opened[2], f"connections of each core: {opened}")


@test
def queues_move_under_load_and_nothing_is_lost():
    with Guest(net="tap", cores=2) as guest:
        guest.wait_up()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            load = pool.submit(wrk, guest, connections=32, seconds=6)
            # Both to one core, then exchanged, then as at first.
            for queue, core in ((0, 1), (1, 0), (0, 0), (0, 1), (1, 1), (0, 0), (1, 0), (1, 1), (0, 1), (0, 0)) * 2:
                shown = tune(guest, "--queue", queue, "--cores", core)
                check(f"network queue {queue}: core {core}\n" in shown, f"queue {queue} on core {core}: {shown}")
            result = load.result()
        equal(result["errors"], 0, "errors of wrk")
        check(result["requests"] > 100, f"{result['requests']} requests")
        equal(sum(column(guest, "network_restarts")), 0, "networks that began anew")
        # Core 0 gives its queue away: what comes now is the other's.
        tune(guest, "--queue", "0", "--cores", "1")
        before, opened = column(guest, "rx_packets"), column(guest, "connections_opened")
        equal(wrk(guest, connections=16, seconds=1)["errors"], 0, "errors of wrk")
        after, opened_after = column(guest, "rx_packets"), column(guest, "connections_opened")
        equal(after[0], before[0], "frames that core 0 received without a queue")
        check(after[1] > before[1] + 16, f"frames that core 1 received: {before[1]}, then {after[1]}")
        equal(opened_after[0], opened[0], "connections that came to core 0 without a queue")


@test
def a_queue_that_cannot_move_stays():
    with Guest(net="tap", cores=2) as guest:
        guest.wait_up()
        for options, why in ((("--queue", "2", "--cores", "0"),
                              "no queue has moved: the image 'httpd' has no network queue 2 (--queue); 'lavra tune' "
                              "lists"),
                             (("--queue", "0", "--cores", "5"),
                              "nothing has changed: the image 'httpd' has no core 5 (--cores); its last one is core 1"),
                             (("--queue", "0", "--cores", "0-1"), "one core"),
                             (("--queue", "0"), "one core"),
                             (("--queue", "x", "--cores", "1"), "takes a number"),
                             (("--queue", "0", "--thread", "1", "--cores", "1"), "call of its own")):
            result = lavra("tune", guest.process.pid, *options)
            check(result.returncode != 0 and why in result.stderr, f"lavra tune {' '.join(options)}: {result.stderr}")
        check("network queue 0: core 0\nnetwork queue 1: core 1\n" in tune(guest), "the queues are where they were")
