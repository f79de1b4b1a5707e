/*
 * Tracing is switched on and off while all cores run over the places where events happen.
 */
#include "tests/guest/test.h"

#include "lavra/trace.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

long sys_trace_switch(int on);
long sys_trace_count(unsigned event);

static atomic_bool stop;
static atomic_ulong calls;

static void *call_for_ever(void *unused)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	uint64_t value = 1;

	while (!atomic_load(&stop)) {
		if (write(fd, &value, sizeof(value)) != sizeof(value) ||
		    read(fd, &value, sizeof(value)) != sizeof(value) || value != 1)
			CHECK(!"an eventfd gives back what it was given");
		sched_yield();
		atomic_fetch_add(&calls, 1);
	}
	close(fd);
	return NULL;
}

static void wait_for_calls(unsigned long more)
{
	unsigned long until = atomic_load(&calls) + more;

	while (atomic_load(&calls) < until)
		usleep(100);
}

TEST(it_is_switched_while_all_cores_call)
{
	pthread_t threads[2 * 64];
	int nthreads = 2 * test_cores;
	long before;

	if (sys_trace_switch(false) != 0)
		SKIP("no memory is shared with the host");
	atomic_store(&stop, false);
	for (int i = 0; i < nthreads; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, call_for_ever, NULL), 0);
	for (int round = 0; round < 20; round++) {
		CHECK_EQ(sys_trace_switch(true), 0);
		before = sys_trace_count(0);
		wait_for_calls(50);
		CHECK(sys_trace_count(0) > before);
		CHECK_EQ(sys_trace_switch(false), 0);
		before = sys_trace_count(0);
		wait_for_calls(50);
		CHECK_EQ(sys_trace_count(0), before);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < nthreads; i++)
		pthread_join(threads[i], NULL);
}

TEST(every_kind_of_event_is_written)
{
	static const enum trace_event kinds[] = { TRACE_SWITCH,	 TRACE_WAKE,	  TRACE_HALT,
						  TRACE_RUN,	 TRACE_INTERRUPT, TRACE_CALL,
						  TRACE_CALL_END };
	pthread_t thread;

	if (sys_trace_switch(true) != 0)
		SKIP("no memory is shared with the host");
	atomic_store(&stop, false);
	CHECK_EQ(pthread_create(&thread, NULL, call_for_ever, NULL), 0);
	usleep(20000);
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	usleep(20000);
	CHECK_EQ(sys_trace_switch(false), 0);
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (sys_trace_count(kinds[i]) == 0)
			test_failed(__FILE__, __LINE__, "events of this kind", kinds[i], 0, true);
}
