/*
 * Signals that are sent and wait: the queue of each thread and that of the process.
 *
 * A bit in `signal_pending` (or `process_signal_pending`) says that a number waits, entries of the
 * queue say what came with it. A number below 32 waits once, the others as often as they were sent, in
 * order. Who is to take a signal of the process is decided when it is taken: a sender only wakes a
 * thread that may.
 *
 * Bits are set and cleared with the lock held, and looked at without.
 */
#include "posix/signal/signal.h"

#include "arch/arch.h"
#include "lavra/console.h"
#include "mm/object.h"
#include "posix/syscall.h"
#include "smp/shootdown.h"

#include <ck_spinlock.h>
#include <errno.h>
#include <string.h>

#define FIRST_QUEUED 32 /* Linux's SIGRTMIN; the C library keeps some of them for itself */

/* Taken before others, since they tell of the instruction that the thread is at. */
#define OF_FAULTS                                                                                  \
	(signal_bit(SIGSEGV) | signal_bit(SIGBUS) | signal_bit(SIGILL) | signal_bit(SIGTRAP) |     \
	 signal_bit(SIGFPE) | signal_bit(SIGSYS))

/* Guards: actions, all queues, the bits' changes, `queued`, `watches`. The thread table's lock, and
 * the mailboxes, may be used under it. */
static ck_spinlock_t lock = CK_SPINLOCK_INITIALIZER;
static struct kernel_sigaction actions[SIGNALS + 1];
static struct list process_queue = LIST_INIT(process_queue);
static struct list watches = LIST_INIT(watches);
static uint64_t queued; /* entries that were allocated */
static uint64_t limit = SIGNAL_QUEUE_LIMIT;

/* Also on the way back from an interrupt, with interrupts off: whoever holds the lock may have met a page
 * fault on its stack, and that may wait for this core's answer to a shootdown. */
static void lock_queues(void)
{
	while (!ck_spinlock_trylock(&lock)) {
		tlb_interrupt();
		arch_pause();
	}
}

static void unlock_queues(void)
{
	ck_spinlock_unlock(&lock);
}

uint64_t signal_queue_limit(void)
{
	return __atomic_load_n(&limit, __ATOMIC_RELAXED);
}

void signal_queue_set_limit(uint64_t entries)
{
	__atomic_store_n(&limit, entries, __ATOMIC_RELAXED);
}

/* ---- actions ---- */

static bool ignored_by_default(int number)
{
	/* There is no job control that could continue what stops. */
	return signal_bit(number) &
	       (signal_bit(SIGCHLD) | signal_bit(SIGURG) | signal_bit(SIGWINCH) |
		signal_bit(SIGCONT) | signal_bit(SIGSTOP) | signal_bit(SIGTSTP) |
		signal_bit(SIGTTIN) | signal_bit(SIGTTOU));
}

static bool is_ignored(int number)
{
	return actions[number].handler == SIG_IGN ||
	       (actions[number].handler == SIG_DFL && ignored_by_default(number));
}

static bool is_fatal(int number)
{
	return actions[number].handler == SIG_DFL && !ignored_by_default(number);
}

static const char *name_of(int number)
{
	static const char *const names[] = {
		[SIGHUP] = "SIGHUP",   [SIGINT] = "SIGINT",	  [SIGQUIT] = "SIGQUIT",
		[SIGILL] = "SIGILL",   [SIGTRAP] = "SIGTRAP",	  [SIGABRT] = "SIGABRT",
		[SIGBUS] = "SIGBUS",   [SIGFPE] = "SIGFPE",	  [SIGKILL] = "SIGKILL",
		[SIGUSR1] = "SIGUSR1", [SIGSEGV] = "SIGSEGV",	  [SIGUSR2] = "SIGUSR2",
		[SIGPIPE] = "SIGPIPE", [SIGALRM] = "SIGALRM",	  [SIGTERM] = "SIGTERM",
		[SIGPROF] = "SIGPROF", [SIGVTALRM] = "SIGVTALRM", [SIGSYS] = "SIGSYS",
	};

	return (size_t)number < array_size(names) && names[number] ? names[number] : "signal";
}

void signal_end_image(int number)
{
	kprintf("lavra: the application ended by %s (%d), raised in thread %d (%s)\n",
		name_of(number), number, current->tid, current->name);
	machine_exit(128 + number);
}

/* ---- the queues ---- */

static struct list *queue_of(struct thread *thread)
{
	return thread ? &thread->signal_queue : &process_queue;
}

static uint64_t *bits_of(struct thread *thread)
{
	return thread ? &thread->signal_pending : &process_signal_pending;
}

static void release(struct queued_signal *entry)
{
	list_remove(&entry->link);
	if (entry->is_timers)
		return;
	queued--;
	object_free(entry);
}

/* Take one of `set` from a queue. Returns 0 if there is none. */
static int take_from(struct thread *thread, uint64_t set, siginfo_t *info)
{
	uint64_t *bits = bits_of(thread);
	uint64_t waiting = *bits & set;
	struct queued_signal *first = NULL;
	bool is_last = true;
	int number;

	if (!waiting)
		return 0;
	number = __builtin_ctzll(waiting & OF_FAULTS ? waiting & OF_FAULTS : waiting) + 1;
	list_for_each(link, queue_of(thread)) {
		struct queued_signal *entry = list_entry(link, struct queued_signal, link);

		if (entry->info.si_signo != number)
			continue;
		if (first) {
			is_last = false;
			break;
		}
		first = entry;
	}
	if (is_last)
		__atomic_fetch_and(bits, ~signal_bit(number), __ATOMIC_ACQ_REL);
	if (first) {
		*info = first->info;
		if (first->is_timers)
			first->last_overrun = first->info.si_overrun;
		release(first);
	} else { /* there was no memory for what came with it */
		memset(info, 0, sizeof(*info));
		info->si_signo = number;
	}
	return number;
}

static int take_locked(uint64_t set, siginfo_t *info)
{
	int number = take_from(current, set, info);

	return number ? number : take_from(NULL, set, info);
}

static void drop(struct thread *thread, int number)
{
	list_for_each_safe(link, queue_of(thread)) {
		struct queued_signal *entry = list_entry(link, struct queued_signal, link);

		if (entry->info.si_signo == number)
			release(entry);
	}
	__atomic_fetch_and(bits_of(thread), ~signal_bit(number), __ATOMIC_ACQ_REL);
}

uint64_t signal_waiting(void)
{
	return __atomic_load_n(&current->signal_pending, __ATOMIC_ACQUIRE) |
	       __atomic_load_n(&process_signal_pending, __ATOMIC_ACQUIRE);
}

int signal_take(uint64_t set, siginfo_t *info)
{
	int number;

	if (!(signal_waiting() & set))
		return 0;
	lock_queues();
	number = take_locked(set & ~UNBLOCKABLE, info);
	unlock_queues();
	return number;
}

/* ---- sending ---- */

static bool takes(const struct thread *thread, int number)
{
	return !(__atomic_load_n(&thread->signal_mask, __ATOMIC_RELAXED) & signal_bit(number));
}

static bool awaits(const struct thread *thread, int number)
{
	return __atomic_load_n(&thread->signal_awaited, __ATOMIC_RELAXED) & signal_bit(number);
}

struct choice {
	int number;
	const struct thread *but;
	struct thread *thread;
};

static void choose(struct thread *thread, void *argument)
{
	struct choice *choice = argument;

	if (thread->tid && thread != choice->but && takes(thread, choice->number) &&
	    (!choice->thread || thread == current))
		choice->thread = thread;
}

/* A thread that does not block it, the current one if possible, or NULL. */
static struct thread *choose_thread(int number, const struct thread *but)
{
	struct choice choice = { number, but, NULL };

	thread_for_each(choose, &choice);
	return choice.thread;
}

/* A signal that would do nothing, or end the image, does so at once, with no cooperation of the
 * thread that takes it. One that is blocked waits, whatever its action: that may change. Returns true
 * if nothing is left to do. */
static bool acts_at_once(const struct thread *taker, int number)
{
	if (!taker || awaits(taker, number))
		return false;
	if (is_fatal(number))
		signal_end_image(number);
	return is_ignored(number);
}

static void notify_watches(int number)
{
	list_for_each(link, &watches) {
		struct signal_watch *watch = list_entry(link, struct signal_watch, link);

		if (watch->set & signal_bit(number))
			watch->notify(watch);
	}
}

/* signal_thread_ended() has emptied its queue: no living thread blocks what cannot be blocked. */
static bool has_ended(const struct thread *thread)
{
	return thread && thread->signal_mask == ~0ull;
}

static long enqueue(struct thread *thread, const siginfo_t *info)
{
	struct queued_signal *entry = NULL;
	int number = info->si_signo;

	if (number < FIRST_QUEUED && *bits_of(thread) & signal_bit(number))
		return 0; /* it waits already */
	if (number < FIRST_QUEUED || queued < signal_queue_limit())
		entry = object_alloc(sizeof(*entry));
	if (entry) {
		*entry = (struct queued_signal){ .info = *info, .thread = thread };
		list_push_back(queue_of(thread), &entry->link);
		queued++;
	} else if (number >= FIRST_QUEUED && info->si_code != SI_USER) {
		return -EAGAIN; /* as Linux: only kill() sends without what comes with it */
	}
	return 0;
}

/* Let `taker` and who else wants to know of it. The current thread, too: it may be blocked, and polling
 * for a timer that sends this. */
static void tell(struct thread *thread, struct thread *taker, int number)
{
	/* Pairs with the fence in signal_set_mask(): either that thread sees the bit, or its mask
	 * was seen here when the taker was chosen afterwards. */
	__atomic_fetch_or(bits_of(thread), signal_bit(number), __ATOMIC_SEQ_CST);
	if (!thread)
		taker = choose_thread(number, NULL);
	if (taker)
		thread_interrupt(taker);
	notify_watches(number);
}

static long send_locked(struct thread *thread, const siginfo_t *info)
{
	int number = info->si_signo;
	struct thread *taker = thread;
	long error;

	if (has_ended(thread))
		return -ESRCH;
	if (!thread)
		taker = choose_thread(number, NULL);
	else if (!takes(thread, number))
		taker = NULL;
	if (acts_at_once(taker, number))
		return 0;
	error = enqueue(thread, info);
	if (!error)
		tell(thread, thread, number);
	return error;
}

static void add_overrun(struct queued_signal *entry, uint64_t count)
{
	uint64_t room = (uint64_t)(INT32_MAX - entry->info.si_overrun);

	entry->info.si_overrun += (int)min(count, room);
}

long signal_send(struct thread *thread, const siginfo_t *info)
{
	long error;

	lock_queues();
	error = send_locked(thread, info);
	unlock_queues();
	return error;
}

long signal_send_process(const siginfo_t *info)
{
	return signal_send(NULL, info);
}

void signal_send_timer(struct thread *thread, struct queued_signal *entry, uint64_t missed)
{
	int number = entry->info.si_signo;
	struct thread *taker = thread;

	lock_queues();
	if (has_ended(thread)) {
		/* Linux has nobody to send it to, either. */
	} else if (list_is_linked(&entry->link)) {
		add_overrun(entry, missed + 1);
	} else {
		if (!thread)
			taker = choose_thread(number, NULL);
		else if (!takes(thread, number))
			taker = NULL;
		if (!acts_at_once(taker, number)) {
			entry->info.si_overrun = 0;
			add_overrun(entry, missed);
			entry->thread = thread;
			list_push_back(queue_of(thread), &entry->link);
			tell(thread, thread, number);
		}
	}
	unlock_queues();
}

void signal_recall_timer(struct queued_signal *entry)
{
	int number = entry->info.si_signo;
	bool others = false;

	lock_queues();
	if (list_is_linked(&entry->link)) {
		list_remove(&entry->link);
		list_for_each(link, queue_of(entry->thread))
			others |= list_entry(link, struct queued_signal, link)->info.si_signo ==
				  number;
		if (!others)
			__atomic_fetch_and(bits_of(entry->thread), ~signal_bit(number),
					   __ATOMIC_ACQ_REL);
	}
	unlock_queues();
}

/* ---- taking ---- */

int signal_next(struct kernel_sigaction *action, siginfo_t *info)
{
	int number = 0;

	if (!thread_signal_ready(current))
		return 0;
	lock_queues();
	while ((number = take_locked(~current->signal_mask, info))) {
		*action = actions[number];
		if (is_fatal(number))
			signal_end_image(number);
		if (!is_ignored(number))
			break;
	}
	if (number && action->flags & SA_RESETHAND)
		actions[number].handler = SIG_DFL;
	unlock_queues();
	return number;
}

bool signal_take_action(int number, struct kernel_sigaction *action)
{
	bool handled;

	lock_queues();
	*action = actions[number];
	handled = action->handler != SIG_DFL && action->handler != SIG_IGN;
	if (handled && action->flags & SA_RESETHAND)
		actions[number].handler = SIG_DFL;
	unlock_queues();
	return handled;
}

bool signal_next_waits(void)
{
	bool waits = false;
	uint64_t ready;

	lock_queues();
	while (!waits && (ready = signal_waiting() & ~current->signal_mask)) {
		int number = __builtin_ctzll(ready) + 1;

		if (is_fatal(number))
			signal_end_image(number);
		waits = !is_ignored(number);
		if (!waits) {
			drop(current, number);
			drop(NULL, number);
		}
	}
	unlock_queues();
	return waits;
}

/* Threads other than `thread` are to look at those of `set` that wait for the process. */
static void pass_on(uint64_t set, const struct thread *thread)
{
	lock_queues();
	for (set &= process_signal_pending; set; set &= set - 1) {
		struct thread *taker = choose_thread(__builtin_ctzll(set) + 1, thread);

		if (taker)
			thread_interrupt(taker);
	}
	unlock_queues();
}

void signal_set_mask(uint64_t mask)
{
	uint64_t newly_blocked = mask & ~current->signal_mask;

	__atomic_store_n(&current->signal_mask, mask & ~UNBLOCKABLE, __ATOMIC_RELAXED);
	/* The mask is written before we look for signals; a sender looks at masks after it set the
	 * signal's bit (tell()). One of the two sees the other. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (unlikely(__atomic_load_n(&process_signal_pending, __ATOMIC_RELAXED) & newly_blocked))
		pass_on(newly_blocked, current);
}

/* On the idle thread. Nobody finds it by its number any more, but a sender may have found it before:
 * has_ended(). */
void signal_thread_ended(struct thread *dead)
{
	lock_queues();
	list_for_each_safe(link, &dead->signal_queue)
		release(list_entry(link, struct queued_signal, link));
	__atomic_store_n(&dead->signal_mask, ~0ull, __ATOMIC_RELAXED);
	unlock_queues();
	pass_on(~0ull, dead);
}

/* ---- watching ---- */

void signal_watch_add(struct signal_watch *watch, uint64_t set,
		      void (*notify)(struct signal_watch *))
{
	watch->set = set;
	watch->notify = notify;
	lock_queues();
	list_push_back(&watches, &watch->link);
	unlock_queues();
}

void signal_watch_change(struct signal_watch *watch, uint64_t set)
{
	lock_queues();
	watch->set = set;
	unlock_queues();
}

void signal_watch_remove(struct signal_watch *watch)
{
	lock_queues();
	list_remove(&watch->link);
	unlock_queues();
}

/* ---- rt_sigaction(2) ---- */

static void drop_of_thread(struct thread *thread, void *number)
{
	drop(thread, *(int *)number);
}

struct kernel_sigaction signal_change_action(int number, const struct kernel_sigaction *new)
{
	struct kernel_sigaction before;

	lock_queues();
	before = actions[number];
	if (new) {
		actions[number] = *new;
		actions[number].mask &= ~UNBLOCKABLE;
		/* What waits and is ignored from now on is gone (POSIX). */
		if (is_ignored(number)) {
			thread_for_each(drop_of_thread, &number);
			drop(NULL, number);
		}
	}
	unlock_queues();
	return before;
}
