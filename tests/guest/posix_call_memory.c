/* System calls about signals, time, threads and the process, with memory that is not the caller's, or
 * not there. */
#include "tests/guest/bad_memory.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <time.h>

/* What the calls take, on x86-64. */
struct action {
	void (*handler)(int);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

static const uint64_t usr1 = 1ull << (SIGUSR1 - 1);

static void copy_to(void *edge_of, const void *value, size_t length)
{
	memcpy(edge_of, value, length);
}

TEST(signal_calls_refuse_bad_memory)
{
	struct action ignore = { SIG_IGN, 0, NULL, 0 }, before;
	struct timespec no_time = { 0 };
	siginfo_t info = { .si_code = SI_QUEUE };
	stack_t stack = { .ss_sp = malloc(SIGSTKSZ), .ss_size = SIGSTKSZ };
	uint64_t mask;
	int fd;

	EACH_FAILS(1, syscall(SYS_rt_sigaction, SIGUSR2, bad, NULL, 8));
	EACH_FAILS(1, syscall(SYS_rt_sigaction, SIGUSR2, NULL, bad, 8));
	EACH_FAILS(1, syscall(SYS_rt_sigprocmask, SIG_BLOCK, bad, NULL, 8));
	EACH_FAILS(1, syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, bad, 8));
	EACH_FAILS(0, syscall(SYS_rt_sigpending, bad, 8));
	EACH_FAILS(0, syscall(SYS_rt_sigsuspend, bad, 8));
	EACH_FAILS(0, syscall(SYS_rt_sigtimedwait, bad, NULL, &no_time, 8));
	EACH_FAILS(1, syscall(SYS_rt_sigtimedwait, &usr1, NULL, bad, 8));
	EACH_FAILS(0, syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR2, bad));
	EACH_FAILS(0, syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR2, bad));
	EACH_FAILS(1, syscall(SYS_sigaltstack, bad, NULL));
	EACH_FAILS(1, syscall(SYS_sigaltstack, NULL, bad));
	EACH_FAILS(0, syscall(SYS_signalfd4, -1, bad, 8, 0));

	/* What a signal brings is lost if it cannot be told. */
	CHECK_EQ(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &usr1, &mask, 8), 0);
	for (int i = 1; i < BAD_ADDRESSES; i++) {
		raise(SIGUSR1);
		REFUSED(syscall(SYS_rt_sigtimedwait, &usr1, bad_address(i), &no_time, 8), EFAULT);
	}
	fd = (int)syscall(SYS_signalfd4, -1, &usr1, 8, SFD_NONBLOCK);
	CHECK(fd >= 0);
	for (int i = 0; i < 4; i++) {
		raise(SIGUSR1);
		REFUSED(read(fd, bad_address(i), sizeof(struct signalfd_siginfo)), EFAULT);
		syscall(SYS_rt_sigtimedwait, &usr1, NULL, &no_time, 8);
	}
	raise(SIGUSR1);
	REFUSED(read(fd, edge(100, NOT_THERE), sizeof(struct signalfd_siginfo)), EFAULT);
	REFUSED(read(fd, &info, sizeof(struct signalfd_siginfo)), EAGAIN);
	close(fd);
	CHECK_EQ(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8), 0);

	/* In part. */
	REFUSED(syscall(SYS_rt_sigaction, SIGUSR2, edge(24, NOT_THERE), NULL, 8), EFAULT);
	CHECK_EQ(syscall(SYS_rt_sigaction, SIGUSR2, &ignore, NULL, 8), 0);
	REFUSED(syscall(SYS_rt_sigaction, SIGUSR2, NULL, edge(16, NOT_THERE), 8), EFAULT);
	REFUSED(syscall(SYS_rt_sigaction, SIGUSR2, NULL, edge(16, READ_ONLY), 8), EFAULT);
	CHECK_EQ(syscall(SYS_rt_sigaction, SIGUSR2, NULL, &before, 8), 0);
	CHECK(before.handler == SIG_IGN);
	signal(SIGUSR2, SIG_DFL);
	REFUSED(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR2, edge(64, NOT_THERE)), EFAULT);
	REFUSED(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, edge(4, NOT_THERE), 8), EFAULT);
	REFUSED(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, edge(4, READ_ONLY), 8), EFAULT);
	REFUSED(syscall(SYS_sigaltstack, edge(16, NOT_THERE), NULL), EFAULT);
	CHECK_EQ(sigaltstack(&stack, NULL), 0);
	REFUSED(syscall(SYS_sigaltstack, NULL, edge(16, READ_ONLY)), EFAULT);
	stack.ss_flags = SS_DISABLE;
	CHECK_EQ(sigaltstack(&stack, NULL), 0);
	free(stack.ss_sp);
}

TEST(time_calls_refuse_bad_memory)
{
	struct itimerspec far = { .it_value = { 1000, 0 } };
	struct itimerval no_timer = { 0 };
	struct timespec soon = { 0, 1000 };
	struct sigevent silent = { .sigev_notify = SIGEV_NONE };
	int timer, fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	uint64_t count;

	CHECK_EQ(syscall(SYS_timer_create, CLOCK_MONOTONIC, &silent, &timer), 0);
	EACH_FAILS(0, syscall(SYS_clock_gettime, CLOCK_REALTIME, bad));
	EACH_FAILS(1, syscall(SYS_clock_getres, CLOCK_REALTIME, bad));
	EACH_FAILS(1, syscall(SYS_gettimeofday, bad, NULL));
	EACH_FAILS(1, syscall(SYS_gettimeofday, NULL, bad));
	EACH_FAILS(1, syscall(SYS_time, bad));
	EACH_FAILS(0, syscall(SYS_nanosleep, bad, NULL));
	EACH_FAILS(0, syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, bad, NULL));
	EACH_FAILS(0, syscall(SYS_clock_settime, CLOCK_REALTIME, bad));
	EACH_FAILS(1, syscall(SYS_settimeofday, bad, NULL));
	EACH_FAILS(1, syscall(SYS_settimeofday, NULL, bad));
	EACH_FAILS(0, syscall(SYS_clock_adjtime, CLOCK_REALTIME, bad));
	EACH_FAILS(0, syscall(SYS_adjtimex, bad));
	EACH_FAILS(1, syscall(SYS_setitimer, ITIMER_REAL, bad, NULL));
	EACH_FAILS(1, syscall(SYS_setitimer, ITIMER_REAL, &no_timer, bad));
	EACH_FAILS(0, syscall(SYS_getitimer, ITIMER_REAL, bad));
	EACH_FAILS(1, syscall(SYS_timer_create, CLOCK_MONOTONIC, bad, &timer));
	EACH_FAILS(0, syscall(SYS_timer_create, CLOCK_MONOTONIC, &silent, bad));
	EACH_FAILS(1, syscall(SYS_timer_settime, timer, 0, bad, NULL));
	EACH_FAILS(1, syscall(SYS_timer_settime, timer, 0, &far, bad));
	EACH_FAILS(0, syscall(SYS_timer_gettime, timer, bad));
	EACH_FAILS(0, syscall(SYS_timerfd_settime, fd, 0, bad, NULL));
	EACH_FAILS(1, syscall(SYS_timerfd_settime, fd, 0, &far, bad));
	EACH_FAILS(0, syscall(SYS_timerfd_gettime, fd, bad));
	REFUSED(syscall(SYS_timer_settime, timer, 0, NULL, NULL), EINVAL);

	REFUSED(syscall(SYS_clock_gettime, CLOCK_REALTIME, edge(8, NOT_THERE)), EFAULT);
	REFUSED(syscall(SYS_clock_gettime, CLOCK_REALTIME, edge(8, READ_ONLY)), EFAULT);
	REFUSED(syscall(SYS_nanosleep, edge(8, NOT_THERE), NULL), EFAULT);
	REFUSED(syscall(SYS_timer_settime, timer, 0, edge(20, NOT_THERE), NULL), EFAULT);
	REFUSED(syscall(SYS_timer_gettime, timer, edge(16, READ_ONLY)), EFAULT);
	REFUSED(syscall(SYS_timerfd_gettime, fd, edge(16, NOT_THERE)), EFAULT);
	/* What may lie at the end of a page does. */
	CHECK_EQ(syscall(SYS_clock_gettime, CLOCK_REALTIME, edge(16, NOT_THERE)), 0);

	CHECK_EQ(syscall(SYS_timer_delete, timer), 0);
	far.it_value = soon;
	CHECK_EQ(timerfd_settime(fd, 0, &far, NULL), 0);
	nanosleep(&(struct timespec){ 0, 2000000 }, NULL);
	REFUSED(read(fd, edge(4, NOT_THERE), 8), EFAULT);
	REFUSED(read(fd, &count, 8), EAGAIN);
	close(fd);
}

static volatile int handled;

static void note(int number)
{
	handled = number;
}

static void *interrupt(void *thread)
{
	nanosleep(&(struct timespec){ 0, 20000000 }, NULL);
	pthread_kill(*(pthread_t *)thread, SIGUSR1);
	return NULL;
}

TEST(an_interrupted_sleep_tells_the_rest_if_it_can)
{
	struct sigaction action = { .sa_handler = note };
	struct timespec wanted = { 100, 0 };
	pthread_t self = pthread_self(), thread;
	char *rest = edge(8, READ_ONLY);

	CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
	handled = 0;
	CHECK_EQ(pthread_create(&thread, NULL, interrupt, &self), 0);
	REFUSED(syscall(SYS_nanosleep, &wanted, rest), EFAULT);
	CHECK_EQ(handled, SIGUSR1);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	signal(SIGUSR1, SIG_DFL);
}

enum { WAIT, WAKE, REQUEUE = 3, CMP_REQUEUE, WAKE_OP, LOCK_PI, UNLOCK_PI, TRYLOCK_PI, WAIT_BITSET };

static long futex(uint32_t *word, int operation, uint32_t value, const void *timeout,
		  uint32_t *other, uint32_t value3)
{
	return syscall(SYS_futex, word, operation, value, timeout, other, value3);
}

TEST(futex_refuses_bad_memory)
{
	uint32_t word = 5, *unwritable = (uint32_t *)edge(0, READ_ONLY);
	void *nothing = bad_address(2);

	EACH_FAILS(0, futex(bad, WAIT, 5, NULL, NULL, 0));
	EACH_FAILS(0, futex(bad, WAIT_BITSET, 5, NULL, NULL, -1u));
	EACH_FAILS(1, futex(&word, WAIT, 5, bad, NULL, 0));
	EACH_FAILS(1, futex(&word, WAIT_BITSET, 5, bad, NULL, -1u));
	/* Nobody looks at a word that is not there but might be. */
	EACH_FAILS(3, i_ == 9 ? (errno = EFAULT, -1l) : futex(bad, WAKE, 1, NULL, NULL, 0));
	EACH_FAILS(3, i_ == 9 ? (errno = EFAULT, -1l) : futex(bad, REQUEUE, 1, NULL, &word, 0));
	EACH_FAILS(3, i_ == 9 ? (errno = EFAULT, -1l) : futex(&word, REQUEUE, 1, NULL, bad, 0));
	CHECK_EQ(futex(nothing, WAKE, 1, NULL, NULL, 0), 0);
	EACH_FAILS(0, futex(bad, CMP_REQUEUE, 1, NULL, &word, 5));
	EACH_FAILS(0, futex(&word, WAKE_OP, 1, NULL, bad, 0));
	EACH_FAILS(0, futex(bad, LOCK_PI, 0, NULL, NULL, 0));
	EACH_FAILS(0, futex(bad, TRYLOCK_PI, 0, NULL, NULL, 0));
	EACH_FAILS(0, futex(bad, UNLOCK_PI, 0, NULL, NULL, 0));
	EACH_FAILS(1, futex(&word, LOCK_PI, 0, bad, NULL, 0));
	CHECK_EQ(word, 5);

	memset(unwritable - 4, 0, 16);
	CHECK_EQ(mprotect((char *)unwritable - 4096, 4096, PROT_READ), 0);
	unwritable--;
	REFUSED(futex(&word, WAKE_OP, 1, NULL, unwritable, 0), EFAULT);
	REFUSED(futex(unwritable, LOCK_PI, 0, NULL, NULL, 0), EFAULT);
	REFUSED(futex(unwritable, TRYLOCK_PI, 0, NULL, NULL, 0), EFAULT);
	REFUSED(futex(unwritable, WAIT, 1, NULL, NULL, 0), EAGAIN);
	CHECK_EQ(*unwritable, 0);
	/* Operations still do what they say. */
	word = 6;
	CHECK_EQ(futex(&word, WAKE_OP, 1, NULL, &word, 1u << 28 | 7u << 12), 0);
	CHECK_EQ(word, 13);
	CHECK_EQ(futex(&word, WAKE_OP, 1, NULL, &word, 3u << 28 | 9u << 12), 0);
	CHECK_EQ(word, 4);
}

struct robust {
	void *next;
	long offset;
	void *pending;
};

static void *end_with_bad_list(void *argument)
{
	static struct robust heads[BAD_ADDRESSES * 3];
	int i = (int)(intptr_t)argument;
	void *bad = bad_address(i % BAD_ADDRESSES);
	struct robust *head = &heads[i];

	head->next = head;
	switch (i / BAD_ADDRESSES) {
	case 0:
		head = bad;
		break;
	case 1:
		head->next = bad;
		break;
	default: /* the word is bad, the entry is not */
		head->pending = head;
		head->offset = (long)((uintptr_t)bad - (uintptr_t)head);
	}
	CHECK_EQ(syscall(SYS_set_robust_list, head, sizeof(*head)), 0);
	return NULL;
}

TEST(a_thread_with_a_bad_robust_list_ends)
{
	for (int i = 0; i < 3 * BAD_ADDRESSES; i++) {
		pthread_t thread;

		CHECK_EQ(pthread_create(&thread, NULL, end_with_bad_list, (void *)(intptr_t)i), 0);
		CHECK_EQ(pthread_join(thread, NULL), 0);
	}
}

TEST(thread_calls_refuse_bad_memory)
{
	struct sched_param param = { 0 };
	uint64_t mask, list[3];
	size_t size;

	EACH_FAILS(1, syscall(SYS_getcpu, bad, NULL, NULL));
	EACH_FAILS(1, syscall(SYS_getcpu, NULL, bad, NULL));
	EACH_FAILS(0, syscall(SYS_sched_setaffinity, 0, 8, bad));
	EACH_FAILS(0, syscall(SYS_sched_getaffinity, 0, 8, bad));
	EACH_FAILS(1, syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, bad));
	EACH_FAILS(1, syscall(SYS_sched_setparam, 0, bad));
	EACH_FAILS(1, syscall(SYS_sched_getparam, 0, bad));
	EACH_FAILS(0, syscall(SYS_sched_rr_get_interval, 0, bad));
	EACH_FAILS(1, syscall(SYS_sched_setattr, 0, bad, 0));
	EACH_FAILS(1, syscall(SYS_sched_getattr, 0, bad, 48, 0));
	EACH_FAILS(0, syscall(SYS_get_robust_list, 0, bad, &size));
	EACH_FAILS(0, syscall(SYS_get_robust_list, 0, list, bad));
	EACH_FAILS(0, syscall(SYS_arch_prctl, 0x1003 /* ARCH_GET_FS */, bad));
	REFUSED(syscall(SYS_sched_setparam, 0, NULL), EINVAL);
	CHECK_EQ(syscall(SYS_sched_setparam, 0, &param), 0);
	REFUSED(syscall(SYS_sched_getaffinity, 0, 8, edge(4, NOT_THERE)), EFAULT);
	REFUSED(syscall(SYS_sched_getaffinity, 0, 8, edge(4, READ_ONLY)), EFAULT);
	CHECK_EQ(syscall(SYS_sched_getaffinity, 0, 8, &mask), 8);
	REFUSED(syscall(SYS_sched_setaffinity, 0, 8, edge(4, NOT_THERE)), EFAULT);
}

TEST(process_calls_refuse_bad_memory)
{
	struct {
		uint32_t version;
		int tid;
	} header = { 0x20080522, 0 };
	char *name = edge(8, NOT_THERE), told[16];
	unsigned ids[2];

	EACH_FAILS(0, syscall(SYS_uname, bad));
	EACH_FAILS(0, syscall(SYS_sysinfo, bad));
	EACH_FAILS(1, syscall(SYS_times, bad));
	EACH_FAILS(0, syscall(SYS_getrusage, RUSAGE_SELF, bad));
	EACH_FAILS(0, syscall(SYS_getrlimit, RLIMIT_NOFILE, bad));
	EACH_FAILS(0, syscall(SYS_setrlimit, RLIMIT_NOFILE, bad));
	EACH_FAILS(1, syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, bad, NULL));
	EACH_FAILS(1, syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, bad));
	EACH_FAILS(0, syscall(SYS_getresuid, bad, &ids[0], &ids[1]));
	EACH_FAILS(0, syscall(SYS_getresgid, &ids[0], &ids[1], bad));
	EACH_FAILS(0, syscall(SYS_capget, bad, NULL));
	EACH_FAILS(1, syscall(SYS_capget, &header, bad));
	EACH_FAILS(0, syscall(SYS_capset, &header, bad));
	EACH_FAILS(0, syscall(SYS_prctl, PR_SET_NAME, bad, 0, 0, 0));
	EACH_FAILS(0, syscall(SYS_prctl, PR_GET_NAME, bad, 0, 0, 0));
	EACH_FAILS(0, syscall(SYS_prctl, PR_GET_PDEATHSIG, bad, 0, 0, 0));
	EACH_FAILS(0, syscall(SYS_prctl, PR_GET_TID_ADDRESS, bad, 0, 0, 0));

	REFUSED(syscall(SYS_uname, edge(200, NOT_THERE)), EFAULT);
	REFUSED(syscall(SYS_uname, edge(200, READ_ONLY)), EFAULT);
	REFUSED(syscall(SYS_getrusage, RUSAGE_SELF, edge(100, READ_ONLY)), EFAULT);
	REFUSED(syscall(SYS_prctl, PR_GET_NAME, edge(8, READ_ONLY)), EFAULT);
	/* A name that ends with its page, and one that does not end. */
	copy_to(name, "ends it", 8);
	CHECK_EQ(prctl(PR_SET_NAME, name), 0);
	CHECK_EQ(prctl(PR_GET_NAME, told), 0);
	CHECK(strcmp(told, "ends it") == 0);
	name[7] = 'x';
	REFUSED(syscall(SYS_prctl, PR_SET_NAME, name), EFAULT);
	CHECK_EQ(prctl(PR_SET_NAME, "one that is longer than a name may be"), 0);
	CHECK_EQ(prctl(PR_GET_NAME, told), 0);
	CHECK(strcmp(told, "one that is lon") == 0);
	CHECK_EQ(prctl(PR_SET_NAME, "main"), 0);
}
