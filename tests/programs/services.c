/*
 * A program for Linux that uses a bit of everything; test_binaries.py runs it, linked in every way
 * there is, on Linux and in an image. Each part prints its name when it is done.
 *
 * services [file FILE] [word...]
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void fail(const char *what)
{
	printf("failed: %s (errno %d, %s)\n", what, errno, strerror(errno));
	exit(1);
}

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail(#condition);                                                          \
	} while (0)

/* ---- the start ---- */

static int initialised;
static __thread int of_thread = 7;
static __thread char zeros_of_thread[100];
static char zeros[10000];
static const int constant = 5;
static int *const relocated = (int *)&constant;

__attribute__((constructor)) static void initialise(void)
{
	initialised = 1;
}

static void start(int argc, char **argv)
{
	CHECK(initialised && of_thread == 7 && *relocated == 5 && !zeros_of_thread[99]);
	for (size_t i = 0; i < sizeof(zeros); i++)
		CHECK(!zeros[i]);
	CHECK(argc >= 1 && argv[argc] == NULL);
	CHECK(getauxval(AT_PAGESZ) == 4096 && getauxval(AT_RANDOM) && getauxval(AT_PHDR));
	CHECK(strcmp((char *)getauxval(AT_PLATFORM), "x86_64") == 0);
	CHECK(getauxval(AT_SECURE) == 0 && getauxval(AT_CLKTCK) == 100 && getauxval(AT_HWCAP));
	printf("start with %d arguments", argc - 1);
	for (int i = 1; i < argc; i++)
		printf(" <%s>", argv[i]);
	printf("\n");
}

/* ---- memory ---- */

static void memory(void)
{
	char *blocks[200], *large = malloc(20 << 20);
	long heap_end;
	void *page;

	CHECK(large);
	memset(large, 1, 20 << 20);
	for (int i = 0; i < 200; i++) {
		blocks[i] = malloc((size_t)i * 97 + 1);
		memset(blocks[i], i, (size_t)i * 97 + 1);
	}
	for (int i = 0; i < 200; i++) {
		CHECK((unsigned char)blocks[i][i * 97] == i);
		free(blocks[i]);
	}
	free(large);
	/* By its number: musl's sbrk() moves nothing. */
	heap_end = syscall(SYS_brk, 0);
	CHECK(syscall(SYS_brk, heap_end + 12345) == heap_end + 12345);
	memset((void *)heap_end, 1, 12345);
	CHECK(syscall(SYS_brk, heap_end) == heap_end);
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(page != MAP_FAILED && munmap(page, 4096) == 0);
	puts("memory");
}

/* ---- threads ---- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static long sum, turn;

static void *add(void *argument)
{
	double half = 0.5;

	CHECK(of_thread == 7);
	for (int i = 0; i < 2000; i++) {
		char *block = malloc(64 + (size_t)i % 100);

		CHECK(block);
		memset(block, i, 64);
		pthread_mutex_lock(&mutex);
		sum++;
		pthread_mutex_unlock(&mutex);
		free(block);
		of_thread++;
		half += 0.5;
	}
	CHECK(half == 0.5 + 2000 * 0.5);
	return (void *)(intptr_t)of_thread;
}

static void *take_turns(void *argument)
{
	long self = (long)argument;

	for (int i = 0; i < 200; i++) {
		pthread_mutex_lock(&mutex);
		while (turn % 2 != self)
			pthread_cond_wait(&changed, &mutex);
		turn++;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

static void threads(void)
{
	pthread_t thread[8];
	void *result;

	for (int i = 0; i < 8; i++)
		CHECK(pthread_create(&thread[i], NULL, add, NULL) == 0);
	for (int i = 0; i < 8; i++) {
		CHECK(pthread_join(thread[i], &result) == 0);
		CHECK((intptr_t)result == 2007);
	}
	CHECK(sum == 16000 && of_thread == 7);
	for (long i = 0; i < 2; i++)
		CHECK(pthread_create(&thread[i], NULL, take_turns, (void *)i) == 0);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	CHECK(turn == 400);
	/* More, one after another, than there could be at once if one left something behind. */
	for (int i = 0; i < 200; i++) {
		CHECK(pthread_create(&thread[0], NULL, add, NULL) == 0);
		pthread_detach(thread[0]);
		if (i % 50 == 0)
			usleep(1000);
	}
	while (__atomic_load_n(&sum, __ATOMIC_ACQUIRE) != 16000 + 200 * 2000)
		usleep(1000);
	puts("threads");
}

/* ---- signals ---- */

static volatile sig_atomic_t seen, seen_on_stack, computing, stop;
static sigjmp_buf after_fault;
static char alternate[65536];

static void on_signal(int number, siginfo_t *info, void *context)
{
	char here;

	seen = number;
	seen_on_stack = &here >= alternate && &here < alternate + sizeof(alternate);
	stop = 1;
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	CHECK(info->si_addr == (void *)16);
	siglongjmp(after_fault, number);
}

static void *compute(void *argument)
{
	volatile double x = 1;

	computing = 1;
	while (!stop)
		x = x * 1.000001;
	return NULL;
}

static void *wait_in_read(void *argument)
{
	char byte;
	int *ends = argument;

	computing = 2;
	CHECK(read(ends[0], &byte, 1) == -1 && errno == EINTR);
	return NULL;
}

static void signals(void)
{
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
	stack_t stack = { .ss_sp = alternate, .ss_size = sizeof(alternate) };
	volatile int *volatile wild = (void *)16;
	pthread_t thread;
	int ends[2];

	CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
	raise(SIGUSR1);
	CHECK(seen == SIGUSR1 && !seen_on_stack);
	/* One that makes no system call. */
	stop = 0;
	CHECK(pthread_create(&thread, NULL, compute, NULL) == 0);
	while (!computing)
		sched_yield();
	CHECK(pthread_kill(thread, SIGUSR1) == 0);
	pthread_join(thread, NULL);
	/* One that waits in one. */
	CHECK(pipe(ends) == 0 && pthread_create(&thread, NULL, wait_in_read, ends) == 0);
	while (computing != 2)
		sched_yield();
	usleep(2000);
	CHECK(pthread_kill(thread, SIGUSR1) == 0);
	pthread_join(thread, NULL);
	close(ends[0]);
	close(ends[1]);
	CHECK(sigaltstack(&stack, NULL) == 0);
	action.sa_flags |= SA_ONSTACK;
	CHECK(sigaction(SIGUSR2, &action, NULL) == 0);
	raise(SIGUSR2);
	CHECK(seen == SIGUSR2 && seen_on_stack);
	action.sa_sigaction = on_fault;
	CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
	if (sigsetjmp(after_fault, 1) == 0) {
		*wild = 1;
		fail("a wild pointer was written through");
	}
	puts("signals");
}

/* ---- files ---- */

static void files(const char *name)
{
	char path[] = "/tmp/services-XXXXXX", line[100];
	struct stat status;
	char *mapped;
	FILE *file;
	int fd;

	mkdir("/tmp", 01777);
	fd = mkstemp(path);
	CHECK(fd >= 0);
	file = fdopen(fd, "w+");
	CHECK(file);
	for (int i = 0; i < 1000; i++)
		fprintf(file, "line %d\n", i);
	CHECK(fflush(file) == 0 && fstat(fd, &status) == 0 && status.st_size == 8890);
	rewind(file);
	CHECK(fgets(line, sizeof(line), file) && strcmp(line, "line 0\n") == 0);
	mapped = mmap(NULL, 8890, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(mapped != MAP_FAILED && memcmp(mapped + 8881, "line 999\n", 9) == 0);
	fclose(file);
	CHECK(unlink(path) == 0 && stat(path, &status) == -1 && errno == ENOENT);
	if (name) {
		file = fopen(name, "r");
		CHECK(file && fgets(line, sizeof(line), file));
		printf("files: %s", line);
		fclose(file);
	}
	puts("files");
}

/* ---- sockets ---- */

static void *serve(void *argument)
{
	int listener = *(int *)argument;
	char buffer[4096];
	ssize_t length;

	for (int i = 0; i < 20; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		CHECK(fd >= 0);
		while ((length = read(fd, buffer, sizeof(buffer))) > 0)
			CHECK(write(fd, buffer, (size_t)length) == length);
		close(fd);
	}
	return NULL;
}

static void sockets(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), pair[2];
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN };
	char buffer[4096] = "";
	pthread_t thread;

	CHECK(listener >= 0 && bind(listener, (void *)&address, sizeof(address)) == 0);
	CHECK(listen(listener, 8) == 0 && getsockname(listener, (void *)&address, &length) == 0);
	CHECK(pthread_create(&thread, NULL, serve, &listener) == 0);
	for (int i = 0; i < 20; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		CHECK(fd >= 0 && connect(fd, (void *)&address, sizeof(address)) == 0);
		snprintf(buffer, sizeof(buffer), "message %d", i);
		CHECK(write(fd, buffer, 100) == 100);
		CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
		CHECK(epoll_wait(epoll, &event, 1, 5000) == 1);
		CHECK(recv(fd, buffer, sizeof(buffer), 0) > 0);
		CHECK(atoi(buffer + 8) == i);
		close(fd);
	}
	pthread_join(thread, NULL);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	CHECK(write(pair[0], "pair", 4) == 4 && read(pair[1], buffer, 4) == 4);
	CHECK(memcmp(buffer, "pair", 4) == 0);
	puts("sockets");
}

/* ---- time ---- */

static void times(void)
{
	struct timespec before, after, pause = { 0, 3000000 };

	CHECK(clock_gettime(CLOCK_MONOTONIC, &before) == 0 && nanosleep(&pause, NULL) == 0);
	CHECK(clock_gettime(CLOCK_MONOTONIC, &after) == 0);
	CHECK((after.tv_sec - before.tv_sec) * 1000000000l + after.tv_nsec - before.tv_nsec >=
	      3000000);
	CHECK(time(NULL) > 1600000000);
	puts("time");
}

/* ---- other processes: they exist on Linux, and not in an image ---- */

static void processes(void)
{
	char *const words[] = { "true", NULL };
	pid_t child = fork();
	int error;

	if (child == 0)
		_exit(0);
	printf("fork: %s\n", child > 0 ? "done" : strerror(errno));
	error = posix_spawn(&child, "/bin/true", NULL, NULL, words, environ);
	printf("posix_spawn: %s\n", error ? strerror(error) : "done");
}

int main(int argc, char **argv)
{
	bool with_file = argc > 2 && strcmp(argv[1], "file") == 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	start(argc, argv);
	memory();
	times();
	threads();
	signals();
	files(with_file ? argv[2] : NULL);
	sockets();
	processes();
	puts("all done");
	return 42;
}
