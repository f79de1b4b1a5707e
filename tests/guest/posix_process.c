/* What the program is told of itself and may set: identity, limits, scheduling, prctl(), membarrier(). */
#include "tests/guest/test.h"

#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

TEST(there_are_no_children)
{
	siginfo_t info;
	int status;

	CHECK(wait(&status) == -1 && errno == ECHILD);
	CHECK(waitpid(-1, &status, WNOHANG) == -1 && errno == ECHILD);
	CHECK(waitid(P_ALL, 0, &info, WEXITED) == -1 && errno == ECHILD);
}

TEST(one_may_become_whom_one_is)
{
	uid_t uid = getuid();
	gid_t gid = getgid();

	CHECK_EQ(setuid(uid), 0);
	CHECK_EQ(setgid(gid), 0);
	CHECK_EQ(setreuid((uid_t)-1, uid), 0);
	CHECK_EQ(setregid(gid, (gid_t)-1), 0);
	CHECK_EQ(setresuid(uid, uid, uid), 0);
	CHECK_EQ(setresgid(gid, (gid_t)-1, gid), 0);
	CHECK_EQ(setfsuid(uid), (int)uid);
	if (uid == 0)
		SKIP("this user may do anything");
	CHECK(setuid(0) == -1 && errno == EPERM);
	CHECK(setgid(0) == -1 && errno == EPERM);
	CHECK(setresuid(0, uid, uid) == -1 && errno == EPERM);
	CHECK(setgroups(0, NULL) == -1 && errno == EPERM);
	CHECK(sethostname("x", 1) == -1 && errno == EPERM);
}

TEST(there_are_no_capabilities)
{
	struct {
		uint32_t version;
		int tid;
	} header = { 0x20080522, 0 };
	uint32_t data[6];

	memset(data, 0xff, sizeof(data));
	CHECK_EQ(syscall(SYS_capget, &header, data), 0);
	if (getuid() != 0)
		for (int i = 0; i < 6; i++)
			CHECK_EQ(data[i], 0);
	CHECK_EQ(syscall(SYS_capset, &header, data), 0);
	header.version = 1;
	CHECK(syscall(SYS_capget, &header, data) == -1 && errno == EINVAL);
	CHECK_EQ(header.version, 0x20080522);
}

TEST(prctl_remembers)
{
	char name[17] = "";
	int word = -1;

	CHECK_EQ(prctl(PR_SET_NAME, "a name that is too long"), 0);
	CHECK_EQ(prctl(PR_GET_NAME, name), 0);
	CHECK(strcmp(name, "a name that is ") == 0);
	CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
	CHECK_EQ(prctl(PR_SET_DUMPABLE, 0), 0);
	CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
	CHECK(prctl(PR_SET_DUMPABLE, 7) == -1 && errno == EINVAL);
	CHECK_EQ(prctl(PR_SET_DUMPABLE, 1), 0);
	CHECK_EQ(prctl(PR_SET_PDEATHSIG, SIGTERM), 0);
	CHECK_EQ(prctl(PR_GET_PDEATHSIG, &word), 0);
	CHECK_EQ(word, SIGTERM);
	CHECK(prctl(PR_SET_PDEATHSIG, 100) == -1 && errno == EINVAL);
	CHECK_EQ(prctl(PR_SET_PDEATHSIG, 0), 0);
	CHECK_EQ(prctl(PR_SET_KEEPCAPS, 1), 0);
	CHECK_EQ(prctl(PR_GET_KEEPCAPS), 1);
	CHECK_EQ(prctl(PR_SET_KEEPCAPS, 0), 0);
	CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) == -1 && errno == EINVAL);
	CHECK_EQ(prctl(PR_CAPBSET_READ, 0), 1);
	CHECK(prctl(PR_CAPBSET_READ, 1000) == -1 && errno == EINVAL);
	CHECK(prctl(123456789) == -1 && errno == EINVAL);
	CHECK_EQ(personality(0xffffffff), PER_LINUX);
}

TEST(limits_are_told_and_set)
{
	struct rlimit limit, lower;

	for (int resource = 0; resource < 16; resource++) {
		CHECK_EQ(getrlimit(resource, &limit), 0);
		CHECK(limit.rlim_cur <= limit.rlim_max);
		CHECK_EQ(setrlimit(resource, &limit), 0);
	}
	CHECK(getrlimit(99, &limit) == -1 && errno == EINVAL);
	CHECK_EQ(getrlimit(RLIMIT_STACK, &limit), 0);
	lower = limit;
	lower.rlim_cur = 1 << 20;
	CHECK_EQ(setrlimit(RLIMIT_STACK, &lower), 0);
	CHECK_EQ(getrlimit(RLIMIT_STACK, &lower), 0);
	CHECK_EQ(lower.rlim_cur, 1 << 20);
	CHECK_EQ(setrlimit(RLIMIT_STACK, &limit), 0);
	lower.rlim_cur = 2;
	lower.rlim_max = 1;
	CHECK(setrlimit(RLIMIT_STACK, &lower) == -1 && errno == EINVAL);
	CHECK_EQ(prlimit(getpid(), RLIMIT_CORE, NULL, &limit), 0);
	CHECK(prlimit(30000, RLIMIT_CORE, NULL, &limit) == -1 && errno == ESRCH);
}

TEST(the_policy_is_the_usual_one)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attributes;
	struct timespec interval = { 0 };
	struct sched_param param = { .sched_priority = 1 };

	CHECK_EQ(syscall(SYS_sched_getattr, 0, &attributes, 48, 0), 0);
	CHECK_EQ(attributes.size, 48);
	CHECK_EQ(attributes.policy, SCHED_OTHER);
	CHECK_EQ(syscall(SYS_sched_setattr, 0, &attributes, 0), 0);
	CHECK(syscall(SYS_sched_getattr, 0, &attributes, 10, 0) == -1 && errno == EINVAL);
	CHECK_EQ(syscall(SYS_sched_rr_get_interval, 0, &interval), 0);
	CHECK_EQ(syscall(SYS_sched_get_priority_max, SCHED_FIFO), 99);
	CHECK_EQ(syscall(SYS_sched_get_priority_min, SCHED_RR), 1);
	CHECK_EQ(syscall(SYS_sched_get_priority_max, SCHED_OTHER), 0);
	CHECK_EQ(syscall(SYS_sched_getscheduler, 0), SCHED_OTHER);
	if (getuid() != 0) {
		CHECK(syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &param) == -1 &&
		      errno == EPERM);
		errno = 0;
		CHECK_EQ(getpriority(PRIO_PROCESS, 0), 0);
		CHECK(setpriority(PRIO_PROCESS, 0, -5) == -1 && errno == EACCES);
		CHECK_EQ(setpriority(PRIO_PROCESS, 0, 0), 0);
	}
	CHECK(getpriority(99, 0) == -1 && errno == EINVAL);
	CHECK(getpriority(PRIO_PROCESS, 30000) == -1 && errno == ESRCH);
}

TEST(what_it_has_used)
{
	struct rusage process, thread;
	struct sysinfo info;
	struct utsname name;

	for (volatile int i = 0; i < 10000000; i++)
		;
	CHECK_EQ(getrusage(RUSAGE_THREAD, &thread), 0);
	CHECK_EQ(getrusage(RUSAGE_SELF, &process), 0);
	CHECK(thread.ru_utime.tv_sec * 1000000 + thread.ru_utime.tv_usec > 0);
	CHECK(process.ru_utime.tv_sec * 1000000 + process.ru_utime.tv_usec +
		  process.ru_stime.tv_sec * 1000000 + process.ru_stime.tv_usec >=
	      thread.ru_utime.tv_sec * 1000000 + thread.ru_utime.tv_usec);
	CHECK(process.ru_maxrss > 0);
	CHECK_EQ(sysinfo(&info), 0);
	CHECK(info.totalram * info.mem_unit >= 1 << 20);
	CHECK(info.freeram <= info.totalram);
	CHECK_EQ(uname(&name), 0);
	CHECK(strcmp(name.sysname, "Linux") == 0);
	CHECK(strcmp(name.machine, "x86_64") == 0);
}

/* ---- membarrier ---- */

/* Linux's include/uapi/linux/membarrier.h. */
#define QUERY 0
#define PRIVATE_EXPEDITED 8
#define REGISTER_PRIVATE_EXPEDITED 16

static long membarrier_call(int command)
{
	return syscall(SYS_membarrier, command, 0, 0);
}

static atomic_int turn, done, x, y, seen_y;

/* With one core only one of the two runs. */
static void wait_for(atomic_int *value, int wanted)
{
	for (int i = 1; atomic_load_explicit(value, memory_order_acquire) < wanted; i++)
		if (i % 10000 == 0)
			sched_yield();
}

/* The cheap side: a store and a load, which the processor may swap, with nothing but the compiler kept
 * from it. */
static void *cheap_side(void *argument)
{
	int rounds = (int)(intptr_t)argument;

	for (int i = 1; i <= rounds; i++) {
		wait_for(&turn, i);
		atomic_store_explicit(&x, i, memory_order_relaxed);
		atomic_signal_fence(memory_order_seq_cst);
		atomic_store_explicit(&seen_y, atomic_load_explicit(&y, memory_order_relaxed),
				      memory_order_relaxed);
		atomic_store_explicit(&done, i, memory_order_release);
	}
	return NULL;
}

TEST(membarrier_orders_other_threads)
{
	enum { ROUNDS = 3000 };
	long commands = membarrier_call(QUERY);
	pthread_t thread;
	int both_missed = 0;

	CHECK(commands > 0 && commands & PRIVATE_EXPEDITED);
	CHECK(syscall(SYS_membarrier, PRIVATE_EXPEDITED, 99, 0) == -1 && errno == EINVAL);
	CHECK(membarrier_call(1 << 20) == -1 && errno == EINVAL);
	CHECK_EQ(membarrier_call(REGISTER_PRIVATE_EXPEDITED), 0);
	atomic_store(&turn, 0);
	CHECK_EQ(pthread_create(&thread, NULL, cheap_side, (void *)ROUNDS), 0);
	for (int i = 1; i <= ROUNDS; i++) {
		int seen_x;

		atomic_store_explicit(&turn, i, memory_order_release);
		atomic_store_explicit(&y, i, memory_order_relaxed);
		CHECK_EQ(membarrier_call(PRIVATE_EXPEDITED), 0);
		seen_x = atomic_load_explicit(&x, memory_order_relaxed);
		wait_for(&done, i);
		both_missed += seen_x != i &&
			       atomic_load_explicit(&seen_y, memory_order_relaxed) != i;
	}
	CHECK_EQ(both_missed, 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* ---- what is only tried ---- */

TEST(what_runtimes_try_is_refused)
{
	CHECK(syscall(SYS_io_uring_setup, 1, NULL) == -1);
	CHECK(syscall(SYS_rseq, NULL, 0, 0, 0) == -1);
	CHECK(syscall(SYS_arch_prctl, 0x3001, 0) == -1 && errno == EINVAL);
}
