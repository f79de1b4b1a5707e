#include "arch/x86_64/irq.h"

#include "arch/arch.h"
#include "arch/x86_64/apic.h"
#include "arch/x86_64/clock.h"
#include "arch/x86_64/trap.h"
#include "lavra/console.h"
#include "lavra/counters.h"
#include "mm/object.h"
#include "smp/core.h"

#include <ck_spinlock.h>
#include <errno.h>

#define NVECTORS (VECTOR_DEVICE_LAST - VECTOR_DEVICE_FIRST + 1)

/* A device interrupt's handler. The owning core reads it in interrupt context, any core writes it
 * under the lock: the argument first, the handler last. */
struct slot {
	void (*handler)(void *argument);
	void *argument;
};

/* NVECTORS slots for each core that has device interrupts. */
static struct slot *tables[MAX_CORES];

/* Guards the writing of the tables. */
static ck_spinlock_t lock = CK_SPINLOCK_INITIALIZER;

/* Message address and data: SDM volume 3, 11.11. Physical destination, fixed, edge. */
#define MSI_ADDRESS 0xfee00000u
#define MSI_DESTINATION_SHIFT 12
#define MSI_MAX_DESTINATION 254u

static int allocate_slot(core_id_t core, void (*handler)(void *), void *argument)
{
	struct slot *table = tables[core];

	if (!table) {
		table = object_alloc_zeroed(NVECTORS * sizeof(*table));
		if (!table)
			return -ENOMEM;
		__atomic_store_n(&tables[core], table, __ATOMIC_RELEASE);
	}
	for (int i = 0; i < NVECTORS; i++) {
		if (table[i].handler || VECTOR_DEVICE_FIRST + i == VECTOR_INT80)
			continue;
		table[i].argument = argument;
		/* Pairs with the load in device_interrupt(). */
		__atomic_store_n(&table[i].handler, handler, __ATOMIC_RELEASE);
		return i;
	}
	return -ENOSPC;
}

int irq_allocate(core_id_t core, void (*handler)(void *argument), void *argument,
		 struct msi_message *message)
{
	int index;

	assert(core < ncores && handler);
	/* Eight bits in the message; more needs an interrupt-remapping unit. */
	if (cores[core].apic_id > MSI_MAX_DESTINATION)
		return -ENOSPC;
	ck_spinlock_lock(&lock);
	index = allocate_slot(core, handler, argument);
	ck_spinlock_unlock(&lock);
	if (index < 0)
		return index;
	message->address = MSI_ADDRESS | cores[core].apic_id << MSI_DESTINATION_SHIFT;
	message->data = (uint32_t)(VECTOR_DEVICE_FIRST + index);
	return 0;
}

void irq_free(core_id_t core, const struct msi_message *message)
{
	unsigned index = message->data - VECTOR_DEVICE_FIRST;

	assert(core < ncores && tables[core] && index < NVECTORS);
	ck_spinlock_lock(&lock);
	__atomic_store_n(&tables[core][index].handler, NULL, __ATOMIC_RELEASE);
	ck_spinlock_unlock(&lock);
}

static void device_interrupt(unsigned vector)
{
	static bool reported;
	struct slot *table = __atomic_load_n(&tables[this_core], __ATOMIC_ACQUIRE);
	struct slot *slot = table ? &table[vector - VECTOR_DEVICE_FIRST] : NULL;
	void (*handler)(void *) = slot ? __atomic_load_n(&slot->handler, __ATOMIC_ACQUIRE) : NULL;

	counters.interrupts++;
	if (handler)
		handler(slot->argument);
	else if (!__atomic_exchange_n(&reported, true, __ATOMIC_RELAXED))
		kprintf("core %u: interrupt 0x%x has no handler (reported once)\n", this_core,
			vector);
}

void irq_dispatch(unsigned vector)
{
	switch (vector) {
	case VECTOR_TIMER:
		counters.timer_interrupts++;
		/* Acknowledged first: the handler may arm the timer, which may fire at once. */
		apic_end_of_interrupt();
		if (clock_is_due())
			timer_interrupt();
		return;
	case VECTOR_IPI:
		ipi_interrupt();
		break;
	case VECTOR_TLB:
		tlb_interrupt();
		break;
	case VECTOR_APIC_ERROR:
		apic_error_interrupt();
		break;
	case VECTOR_SPURIOUS:
		return; /* not acknowledged: SDM volume 3, 11.9 */
	default:
		if (vector < VECTOR_DEVICE_FIRST)
			return; /* the 8259's spurious interrupt, which the APIC knows nothing of */
		if (vector <= VECTOR_DEVICE_LAST)
			device_interrupt(vector);
		break;
	}
	apic_end_of_interrupt();
}
