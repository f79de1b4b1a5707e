/*
 * What bench/plugins/profile.c is tested with: code whose instructions, atomic instructions and cache
 * lines that change cores are known.
 *
 *	counted LOOPS [ROUNDS]
 *
 * A loop of 3 instructions, one of them atomic, is gone through LOOPS times; a string instruction of many
 * elements is executed once; and a line is written by core 0 and then read by core 1, ROUNDS times.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define LINE_SIZE 64

void counted_loop(unsigned long rounds, volatile uint64_t *word);
void counted_fill(void *to, unsigned long count);
uint64_t counted_read(void);
void counted_write(uint64_t value);

uint64_t counted_line[LINE_SIZE / sizeof(uint64_t)] __attribute__((aligned(LINE_SIZE)));
uint64_t counted_own[LINE_SIZE / sizeof(uint64_t)] __attribute__((aligned(LINE_SIZE)));

/* Blocks of a translator end at a jump, so what is counted for these symbols is theirs alone. */
__asm__(".text\n"
	".globl counted_loop, counted_fill, counted_read, counted_write\n"
	".type counted_loop, @function\n"
	"counted_loop:\n"
	"	lock incq (%rsi)\n"
	"	decq %rdi\n"
	"	jnz counted_loop\n"
	"	ret\n"
	".type counted_fill, @function\n"
	"counted_fill:\n"
	"	movq %rsi, %rcx\n"
	"	rep stosb\n"
	"	ret\n"
	".type counted_read, @function\n"
	"counted_read:\n"
	"	movq counted_line(%rip), %rax\n"
	"	ret\n"
	".type counted_write, @function\n"
	"counted_write:\n"
	"	movq %rdi, counted_line(%rip)\n"
	"	ret\n");

static unsigned long rounds;
static sem_t written, read_back;
static unsigned long wrong;

static void *writer(void *unused)
{
	(void)unused;
	for (unsigned long i = 1; i <= rounds; i++) {
		counted_write(i);
		sem_post(&written);
		sem_wait(&read_back);
	}
	return NULL;
}

static void *reader(void *unused)
{
	(void)unused;
	for (unsigned long i = 1; i <= rounds; i++) {
		sem_wait(&written);
		wrong += counted_read() != i;
		sem_post(&read_back);
	}
	return NULL;
}

static int start_on(int core, pthread_t *thread, void *(*function)(void *))
{
	pthread_attr_t attributes;
	cpu_set_t cores;
	int error;

	CPU_ZERO(&cores);
	CPU_SET(core, &cores);
	pthread_attr_init(&attributes);
	pthread_attr_setaffinity_np(&attributes, sizeof(cores), &cores);
	error = pthread_create(thread, &attributes, function, NULL);
	pthread_attr_destroy(&attributes);
	return error;
}

static int change_cores(void)
{
	pthread_t threads[2];

	sem_init(&written, 0, 0);
	sem_init(&read_back, 0, 0);
	if (start_on(0, &threads[0], writer) != 0 || start_on(1, &threads[1], reader) != 0) {
		fprintf(stderr, "counted: threads on cores 0 and 1 cannot be made\n");
		return -1;
	}
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	return wrong ? -1 : 0;
}

int main(int argc, char **argv)
{
	static char bytes[1000];
	unsigned long loops = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;

	if (loops == 0) {
		fprintf(stderr, "usage: counted LOOPS [ROUNDS], LOOPS from 1 on\n");
		return 2;
	}
	rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	counted_loop(loops, counted_own);
	counted_fill(bytes, sizeof(bytes));
	if (rounds && change_cores() != 0)
		return 1;
	return counted_own[0] != loops;
}
