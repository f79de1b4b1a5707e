/*
 * Affinity as a thread attribute, which musl does not have.
 *
 * The set lies in a word of pthread_attr_t that musl leaves unused and clears. A thread with a set
 * pins itself before it calls the program's function, and its creator waits for that, so that
 * pthread_create() can say that it failed. pthread_create() is weak in musl: this one takes its
 * place and calls it by its other name.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <string.h>

/* 64 processors fit one word. */
#define SET_BYTES sizeof(unsigned long)
#define WORD 5

_Static_assert(sizeof(((pthread_attr_t *)0)->__u.__s) >= (WORD + 1) * sizeof(unsigned long),
	       "pthread_attr_t has no room");

int __pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict attributes,
		     void *(*function)(void *), void *restrict argument);

int pthread_attr_setaffinity_np(pthread_attr_t *attributes, size_t size, const cpu_set_t *set)
{
	const unsigned char *bytes = (const unsigned char *)set;
	unsigned long word = 0;

	if (!set || !size) {
		attributes->__u.__s[WORD] = 0; /* no restriction, as in glibc */
		return 0;
	}
	memcpy(&word, bytes, size < SET_BYTES ? size : SET_BYTES);
	for (size_t i = SET_BYTES; i < size; i++)
		if (bytes[i])
			return EINVAL; /* a processor that no machine here has */
	if (!word)
		return EINVAL;
	attributes->__u.__s[WORD] = word;
	return 0;
}

int pthread_attr_getaffinity_np(const pthread_attr_t *attributes, size_t size, cpu_set_t *set)
{
	unsigned long word = attributes->__u.__s[WORD];

	if (size < SET_BYTES && word >> (8 * size))
		return EINVAL;
	memset(set, word ? 0 : 0xff, size);
	if (word)
		memcpy(set, &word, size < SET_BYTES ? size : SET_BYTES);
	return 0;
}

struct start {
	void *(*function)(void *);
	void *argument;
	unsigned long set;
	int error;
	sem_t pinned;
};

static void *start_pinned(void *pointer)
{
	struct start *start = pointer;
	/* `start` lies on the creator's stack and is gone after the post. */
	void *(*function)(void *) = start->function;
	void *argument = start->argument;
	int error = sched_setaffinity(0, SET_BYTES, (cpu_set_t *)&start->set) ? errno : 0;

	start->error = error;
	sem_post(&start->pinned);
	return error ? NULL : function(argument);
}

int pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict attributes,
		   void *(*function)(void *), void *restrict argument)
{
	struct start start = { .function = function, .argument = argument };
	int error, detached, cancel_state;

	if (!attributes || !attributes->__u.__s[WORD])
		return __pthread_create(thread, attributes, function, argument);
	start.set = attributes->__u.__s[WORD];
	sem_init(&start.pinned, 0, 0);
	error = __pthread_create(thread, attributes, start_pinned, &start);
	if (error)
		return error;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	while (sem_wait(&start.pinned) < 0)
		; /* a signal */
	pthread_setcancelstate(cancel_state, NULL);
	pthread_attr_getdetachstate(attributes, &detached);
	if (start.error && detached == PTHREAD_CREATE_JOINABLE)
		pthread_join(*thread, NULL);
	return start.error;
}
