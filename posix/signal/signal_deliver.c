/*
 * How handlers run; the three ways are in the header.
 */
#include "posix/signal/signal.h"

#include "arch/x86_64/signal_frame.h"
#include "arch/x86_64/syscall_frame.h"
#include "arch/x86_64/trap.h"
#include "lavra/console.h"
#include "posix/syscall.h"
#include "posix/user_memory.h"

#include <errno.h>
#include <string.h>
#include <ucontext.h>

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif

#ifndef SA_RESTORER
#define SA_RESTORER 0x04000000
#endif

#define SYSCALL_INSTRUCTION_SIZE 2
#define LIBRARY_ENTRY_SIZE 12 /* leaq and jmp: posix/libc/syscall_macro.s */

/* ---- stacks and masks ---- */

static bool is_on_signal_stack(vaddr_t stack_pointer)
{
	/* One that disarms itself is in use by nobody, as far as anybody can see. */
	if ((unsigned)current->signal_stack_flags & SS_AUTODISARM)
		return false;
	return stack_pointer > current->signal_stack &&
	       stack_pointer - current->signal_stack <= current->signal_stack_size;
}

vaddr_t signal_caller_stack(void)
{
	if (current->entry_trap)
		return current->entry_trap->rsp;
	return (vaddr_t)__builtin_frame_address(0);
}

stack_t signal_stack_state(vaddr_t stack_pointer)
{
	unsigned flags = (unsigned)current->signal_stack_flags & SS_AUTODISARM;

	if (!current->signal_stack_size)
		flags |= SS_DISABLE;
	else if (is_on_signal_stack(stack_pointer))
		flags |= SS_ONSTACK;
	return (stack_t){ .ss_sp = (void *)current->signal_stack,
			  .ss_size = current->signal_stack_size,
			  .ss_flags = (int)flags };
}

static bool wants_signal_stack(const struct kernel_sigaction *action, vaddr_t stack_pointer)
{
	return action->flags & SA_ONSTACK && current->signal_stack_size &&
	       !is_on_signal_stack(stack_pointer);
}

/* A handler that returns gets it back from its frame. */
static void disarm(void)
{
	if (!((unsigned)current->signal_stack_flags & SS_AUTODISARM))
		return;
	current->signal_stack = 0;
	current->signal_stack_size = 0;
	current->signal_stack_flags = SS_DISABLE;
}

static void restore_stack(const stack_t *stack)
{
	bool disabled = stack->ss_flags & SS_DISABLE;

	current->signal_stack = disabled ? 0 : (vaddr_t)stack->ss_sp;
	current->signal_stack_size = disabled ? 0 : stack->ss_size;
	current->signal_stack_flags = (int)((unsigned)stack->ss_flags & SS_AUTODISARM);
}

/* Block what the handler blocks. Returns the mask that is to be back after it. */
static uint64_t enter_mask(int number, const struct kernel_sigaction *action)
{
	uint64_t mask = current->signal_mask, old_mask = mask;

	if (current->signal_mask_saved)
		old_mask = current->signal_saved_mask;
	current->signal_mask_saved = false;
	mask |= action->mask;
	if (!(action->flags & SA_NODEFER))
		mask |= signal_bit(number);
	signal_set_mask(mask);
	return old_mask;
}

/* No handler ran: the mask of the wait (signal_leave_mask()) is over all the same. */
static void restore_saved_mask(void)
{
	if (!current->signal_mask_saved)
		return;
	current->signal_mask_saved = false;
	signal_set_mask(current->signal_saved_mask);
}

/* ---- as a function call ---- */

/*
 * The kernel's own state is at rest here.
 *
 * Of the registers that the handler may look at, the program counter is the one that it may change,
 * and only of calls that came in registers: musl's cancellation wants to know whether the call has had
 * an effect. The counter stands before the end of the call if it has none, and behind it
 * otherwise. Returns true if the handler changed it: then the thread continues there.
 */
static bool call_handler(int number, const struct kernel_sigaction *action, siginfo_t *info,
			 bool no_effect)
{
	struct syscall_frame *frame = current->entry_frame;
	vaddr_t stack_pointer = signal_caller_stack();
	stack_t stack = signal_stack_state(stack_pointer);
	uint64_t old_mask = enter_mask(number, action);
	uint32_t rights = arch_begin_handler();
	ucontext_t context;
	greg_t *counter = &context.uc_mcontext.gregs[REG_RIP], counter_before;

	memset(&context, 0, sizeof(context));
	signal_context_of_call(&context, frame);
	*counter -= frame && no_effect;
	counter_before = *counter;
	context.uc_stack = stack;
	memcpy(&context.uc_sigmask, &old_mask, MASK_BYTES);
	/* It makes calls of its own, and it may never return. */
	current->entry_frame = NULL;
	if (wants_signal_stack(action, stack_pointer)) {
		vaddr_t top = current->signal_stack + current->signal_stack_size;

		/* The kernel puts the handler's return address there. */
		if (user_range_is_bad((void *)current->signal_stack, current->signal_stack_size))
			signal_end_image(SIGSEGV);
		disarm();
		signal_call_on_stack(action->handler, number, info, &context, top);
		restore_stack(&context.uc_stack);
	} else {
		((void (*)(int, siginfo_t *, void *))(void *)action->handler)(number, info,
									      &context);
	}
	current->entry_frame = frame;
	arch_end_handler(rights);
	/* A handler may change what the mask is afterwards: musl's for cancellation does. */
	memcpy(&old_mask, &context.uc_sigmask, MASK_BYTES);
	signal_set_mask(old_mask);
	if (*counter == counter_before)
		return false;
	if (frame)
		frame->return_address = (uint64_t)*counter;
	else /* nowhere to return to: go there from here */
		((void (*)(void)) * counter)();
	return true;
}

/* The current thread takes what is pending and not blocked. */
struct delivery {
	bool ran; /* a handler */
	bool ends; /* ... that wants the call to end */
};

static struct delivery deliver_as_calls(bool no_effect)
{
	struct delivery delivery = { false, false };
	struct kernel_sigaction action;
	siginfo_t info;
	int number;

	while ((number = signal_next(&action, &info))) {
		bool moved = call_handler(number, &action, &info, no_effect);

		delivery.ran = true;
		delivery.ends |= moved || !(action.flags & SA_RESTART);
		no_effect &= !moved;
	}
	restore_saved_mask();
	return delivery;
}

long signal_finish_slowly(long result)
{
	if (!current->signals_held && !current->entry_trap)
		deliver_as_calls(result == -EINTR);
	return result;
}

bool signal_restarts(bool may_restart)
{
	struct delivery delivery;

	if (current->signals_held)
		return false;
	if (current->entry_trap) {
		/* Somebody else may have taken it, or it is ignored by now. */
		if (!current->signal_mask_saved && !signal_next_waits())
			return true;
		current->call_restarts = may_restart ? CALL_RESTARTS
						     : CALL_RESTARTS_WITHOUT_HANDLER;
		return false;
	}
	delivery = deliver_as_calls(true);
	return !delivery.ran || (may_restart && !delivery.ends);
}

bool signal_always_restarts(void)
{
	if (current->entry_trap) {
		if (!signal_next_waits())
			return true;
		current->call_restarts = CALL_RESTARTS_ALWAYS;
		return false;
	}
	deliver_as_calls(true);
	return true;
}

void signal_hold(void)
{
	current->signals_held++;
}

bool signal_release(long result)
{
	/* The outermost decides. */
	if (--current->signals_held)
		return false;
	if (result == -EINTR)
		return signal_restarts(true);
	signal_finish(result);
	return false;
}

/* ---- by a frame ---- */

size_t signal_frame_size(void)
{
	return signal_frame_bytes();
}

static void push(struct trap_frame *frame, int number, const struct kernel_sigaction *action,
		 const siginfo_t *info)
{
	bool on_signal_stack = wants_signal_stack(action, frame->rsp);
	struct signal_call call = {
		.number = number,
		.handler = action->handler,
		.restorer = action->restorer,
		.info = info,
		.stack = signal_stack_state(frame->rsp),
		/* Else beneath the red zone (System V ABI for AMD64, 3.2.2). */
		.stack_top = on_signal_stack ? current->signal_stack + current->signal_stack_size
					     : frame->rsp - 128,
	};

	vaddr_t bottom = call.stack_top - signal_frame_bytes();
	bool fits = !user_range_is_bad((void *)bottom, signal_frame_bytes()) &&
		    (bottom >= current->signal_stack ||
		     !(on_signal_stack || is_on_signal_stack(frame->rsp)));

	call.mask = enter_mask(number, action);
	if (on_signal_stack)
		disarm();
	/* There is no other way back than the one that the program names, as on Linux. */
	if (!fits || !(action->flags & SA_RESTORER) || !signal_frame_push(frame, &call))
		trap_end_application(frame, SIGSEGV, "no stack for the frame of a signal handler");
}

static bool is_call(const struct trap_frame *frame)
{
	return frame->vector >= TRAP_SYSCALL && frame->vector != TRAP_RETURNED;
}

/* Make the call again that ended before it had an effect. */
static void restart(struct trap_frame *frame)
{
	switch (frame->vector) {
	case TRAP_CALL:
		/* The return address is where the caller left it. */
		frame->rip = frame->error;
		frame->rsp -= sizeof(uint64_t);
		return;
	case TRAP_ENTRY:
		frame->rax = frame->error;
		frame->rip -= LIBRARY_ENTRY_SIZE;
		return;
	default:
		frame->rax = frame->error;
		frame->rip -= SYSCALL_INSTRUCTION_SIZE;
	}
}

void signal_deliver(struct trap_frame *frame)
{
	uint8_t restarts = CALL_ENDS;
	struct kernel_sigaction action;
	siginfo_t info;
	int number;

	/* Some of a call's steps may have had an effect after all: then it has another result. */
	if (is_call(frame) && (long)frame->rax == -EINTR)
		restarts = current->call_restarts;
	current->call_restarts = CALL_ENDS;
	/* Once more if the mask that is back lets others through. */
	for (;;) {
		while ((number = signal_next(&action, &info))) {
			/* The first decides, as on Linux. */
			if (restarts == CALL_RESTARTS_ALWAYS ||
			    (restarts == CALL_RESTARTS && action.flags & SA_RESTART))
				restart(frame);
			restarts = CALL_ENDS;
			push(frame, number, &action, &info);
		}
		if (!current->signal_mask_saved)
			break;
		restore_saved_mask();
	}
	if (restarts != CALL_ENDS)
		restart(frame);
}

void signal_interrupted(struct trap_frame *frame)
{
	if (unlikely(thread_signal_ready(current)))
		signal_deliver(frame);
}

static unsigned key_of_page(vaddr_t address)
{
	unsigned protection = 0;
	size_t page_size;
	paddr_t frame;

	arch_lookup(address, &frame, &protection, &page_size);
	return (protection & PAGE_KEY_MASK) >> PAGE_KEY_SHIFT;
}

bool signal_fault(struct trap_frame *frame, int number, int code, vaddr_t address)
{
	struct kernel_sigaction action;
	siginfo_t info;

	if (current->signal_mask & signal_bit(number) || !signal_take_action(number, &action))
		return false;
	memset(&info, 0, sizeof(info));
	info.si_signo = number;
	info.si_code = code;
	info.si_addr = (void *)address;
	if (code == SEGV_PKUERR)
		info.si_pkey = key_of_page(address);
	push(frame, number, &action, &info);
	return true;
}

/* ---- rt_sigreturn(2) ---- */

static CORE_LOCAL vaddr_t return_stack_pointer;

static void return_by_frame(struct trap_frame *frame)
{
	vaddr_t stack_pointer = return_stack_pointer;
	uint64_t mask;
	stack_t stack;

	if (!signal_frame_pop(frame, stack_pointer, user_range_is_bad, &mask, &stack)) {
		frame->rsp = stack_pointer;
		trap_end_application(frame, SIGSEGV, "the frame of a signal handler is gone");
	}
	restore_stack(&stack);
	signal_set_mask(mask);
}

static void return_and_deliver(struct trap_frame *frame)
{
	return_by_frame(frame);
	signal_interrupted(frame);
}

SYSCALL(rt_sigreturn)(void)
{
	struct trap_frame *frame = current->entry_trap;

	/* A plain function call has no frame to return by. */
	if (frame ? frame->vector == TRAP_CALL : !current->entry_frame)
		return -EINVAL;
	if (frame) {
		return_stack_pointer = frame->rsp;
		return_by_frame(frame);
		return (long)frame->rax;
	}
	return_stack_pointer = current->entry_frame->stack_pointer;
	current->entry_frame = NULL;
	signal_leave_to(return_and_deliver);
}
