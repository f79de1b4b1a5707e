/*
 * What the network may touch: each place of kernel_isolation.c tried from its domain, on every core. A try that
 * is forbidden ends the network there, and it begins anew.
 */
#include "tests/guest/network_domain.h"

#include "tests/guest/isolation.h"
#include "tests/guest/test.h"

#include "arch/arch.h"
#include "arch/x86_64/image.h"
#include "lavra/counters.h"
#include "mm/area.h"
#include "mm/frame.h"
#include "net/calls/restart.h"
#include "net/exchange.h"
#include "net/look.h"
#include "net/socket_state.h"
#include "sched/thread.h"
#include "smp/core.h"
#include "smp/window.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>

#ifndef ISOLATION_NONE

static IN_NETWORK long read_byte(uintptr_t address, uint8_t byte)
{
	(void)*(volatile uint8_t *)address;
	return 0;
}

static IN_NETWORK long write_byte(uintptr_t address, uint8_t byte)
{
	*(volatile uint8_t *)address = byte;
	return 0;
}

static IN_NETWORK long call(uintptr_t address, uint8_t byte)
{
	return ((network_try)address)(0, byte);
}

static const network_try tries_read = read_byte, tries_write = write_byte, tries_call = call;

__asm__(".text\n"
	".globl in_network\n"
	"in_network:\n"
	"	movq %rdx, %rax\n"
	"	jmp network_call\n");

void begin_anew(void)
{
	/* The suite makes more mistakes than would be borne elsewhere. */
	network_recent_restarts = 0;
	for (int i = 0; i < 1000 && arch_network_is_down(); i++)
		thread_yield();
	CHECK(!arch_network_is_down());
}

bool is_refused(const network_try *try, uintptr_t address, uint8_t byte)
{
	uint64_t restarts = counters.network_restarts;
	long result = in_network(address, byte, try);

	if (result == 0)
		return false;
	CHECK_EQ(result, -ENETDOWN);
	CHECK(arch_network_is_down());
	CHECK_EQ(in_network(address, byte, try), -ENETDOWN);
	begin_anew();
	CHECK_EQ(counters.network_restarts, restarts + 1);
	return true;
}

static void try_place(const struct isolation_place *place)
{
	uint8_t byte = place->readers & BY_KERNEL ? *(const volatile uint8_t *)place->address : 0;
	bool refused = is_refused(&tries_read, place->address, 0);

	if (refused == !!(place->readers & BY_NETWORK))
		kernel_test_failed(__FILE__, __LINE__, place->what, refused, this_core, true);
	refused = is_refused(&tries_write, place->address, byte);
	if (refused == !!(place->writers & BY_NETWORK))
		kernel_test_failed(__FILE__, __LINE__, place->what, refused, this_core, true);
}

static char *application_page(void)
{
	return (char *)area_map(0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
}

KERNEL_TEST(the_network_reaches_its_own_memory_alone)
{
	paddr_t frame = frame_alloc(ISOLATION_PLACES_ORDER);
	struct isolation_place *places = phys_to_virt(frame);
	char *page = application_page();

	NEEDS_ISOLATION;
	for (core_id_t core = 0; core < ncores; core++) {
		long count;

		thread_migrate(core);
		CHECK_EQ(this_core, core);
		count = isolation_find_places(places, ISOLATION_PLACES_MAX, page);
		CHECK(count > 50 && count <= ISOLATION_PLACES_MAX);
		for (long i = 0; i < count; i++)
			try_place(&places[i]);
		CHECK_EQ(sys_isolation_damage(), 0);
	}
	frame_free(frame, ISOLATION_PLACES_ORDER);
	CHECK_EQ(area_unmap((vaddr_t)page, PAGE_SIZE), 0);
}

KERNEL_TEST(the_network_runs_the_kernel_by_its_services_alone)
{
	extern char gate_call[], network_service[], trap_resume[];
	const uintptr_t targets[] = {
		(uintptr_t)gate_call,
		(uintptr_t)network_service,
		(uintptr_t)network_give_up,
		(uintptr_t)trap_resume,
		(uintptr_t)rights_write,
		(uintptr_t)frame_alloc,
		(uintptr_t)sys_isolation_damage,
		(uintptr_t)&tries_call,
	};

	NEEDS_ISOLATION;
	for (core_id_t core = 0; core < ncores; core++) {
		thread_migrate(core);
		for (unsigned i = 0; i < array_size(targets); i++)
			if (!is_refused(&tries_call, targets[i], 0))
				kernel_test_failed(__FILE__, __LINE__, "call is allowed",
						   (long long)targets[i], core, true);
		CHECK_EQ(sys_isolation_damage(), 0);
	}
}

static IN_NETWORK long loop(uintptr_t unused, uint8_t byte)
{
	for (volatile bool goes_on = true; goes_on;)
		__asm__ volatile("pause");
	return 0;
}

static const network_try loops = loop;

KERNEL_TEST(the_network_does_not_keep_a_core)
{
	NEEDS_ISOLATION;
	for (core_id_t core = 0; core < ncores; core++) {
		thread_migrate(core);
		CHECK(is_refused(&loops, 0, 0));
	}
}

/* ---- memory that the network gives back ---- */

/* The gates of the services. */
paddr_t service_obtain_frames(unsigned order);
void service_return_frames(paddr_t frame, unsigned order);
void service_frame_mark(paddr_t frame, unsigned order, bool marked);

static IN_NETWORK long obtain(uintptr_t unused, uint8_t order)
{
	return (long)service_obtain_frames(order);
}

static IN_NETWORK long give_back(uintptr_t frame, uint8_t order)
{
	service_return_frames(frame, order);
	return 0;
}

static IN_NETWORK long mark(uintptr_t frame, uint8_t order)
{
	service_frame_mark(frame, order, true);
	return 0;
}

static IN_NETWORK long take_mark(uintptr_t frame, uint8_t order)
{
	service_frame_mark(frame, order, false);
	return 0;
}

static const network_try obtains = obtain, gives_back = give_back, marks = mark,
			 takes_mark = take_mark;

KERNEL_TEST(the_network_gives_back_what_it_has_alone)
{
	paddr_t kernels = frame_alloc(1);

	NEEDS_ISOLATION;
	for (core_id_t core = 0; core < ncores; core++) {
		/* The network's, but no block that it got. */
		paddr_t window = window_frame(
		    core, (unsigned)((core_window_network - core_window_start) / PAGE_SIZE));
		paddr_t its = (paddr_t)in_network(0, 1, &obtains);
		const struct {
			paddr_t frame;
			uint8_t order;
		} wrong[] = {
			{ kernels, 1 },
			{ kernels + PAGE_SIZE, 0 },
			{ its, 0 },
			{ its, 2 },
			{ its, 0x81 },
			{ its + 8, 1 },
			{ its + PAGE_SIZE, 0 },
			{ window, 0 },
			{ window, MAX_ORDER },
			{ 0, 0 },
			{ ~0ul << PAGE_SHIFT, 0 },
		};

		thread_migrate(core);
		CHECK(its);
		for (unsigned i = 0; i < array_size(wrong); i++)
			if (!is_refused(&gives_back, wrong[i].frame, wrong[i].order) ||
			    !is_refused(&marks, wrong[i].frame, wrong[i].order))
				kernel_test_failed(__FILE__, __LINE__, "block is taken", i, core,
						   true);
		CHECK(is_refused(&takes_mark, its, 1));
		CHECK(!is_refused(&marks, its, 1));
		CHECK(is_refused(&gives_back, its, 1));
		CHECK(!is_refused(&takes_mark, its, 1));
		CHECK(!is_refused(&gives_back, its, 1));
		CHECK(is_refused(&gives_back, its, 1));
		CHECK_EQ(in_network(0, MAX_ORDER + 1, &obtains), 0);
	}
	frame_free(kernels, 1);
}

KERNEL_TEST(the_areas_of_the_exchange_stay)
{
	NEEDS_ISOLATION;
	for (core_id_t core = 0; core < ncores; core++) {
		thread_migrate(core);
		CHECK(is_refused(&gives_back, virt_to_phys(network_data), EXCHANGE_DATA_ORDER));
		CHECK(is_refused(&gives_back, virt_to_phys(network_sends), EXCHANGE_DATA_ORDER));
	}
}

/* The kernel looks at a socket whose control block seems to be elsewhere: it does not go there, the network
 * does. */
KERNEL_TEST(a_look_follows_pointers_into_the_networks_memory_alone)
{
	paddr_t frame = frame_alloc(0);
	struct tcp_pcb *const wrong[] = {
		phys_to_virt(frame),
		(struct tcp_pcb *)&current,
		(struct tcp_pcb *)0x1000,
		(struct tcp_pcb *)0x8000000000000000,
	};

	NEEDS_ISOLATION;
	for (unsigned i = 0; i < array_size(wrong); i++) {
		uint64_t restarts = counters.network_restarts;
		int error = 0;
		struct socket *socket = socket_create(AF_INET, SOCK_STREAM, 0, &error);

		CHECK_EQ(error, 0);
		socket->tcp.pcb = wrong[i];
		socket->tcp.state = TCP_SOCKET_CONNECTED;
		CHECK_EQ(look_room(socket), LOOK_ASK);
		CHECK_EQ(look_events(socket), LOOK_ASK);
		socket->tcp.received_bytes = 1;
		socket->tcp.first = (struct pbuf *)wrong[i];
		CHECK_EQ(look_received(socket), LOOK_ASK);
		CHECK(!arch_network_is_down());
		socket_events(socket);
		CHECK(arch_network_is_down());
		begin_anew();
		CHECK_EQ(counters.network_restarts, restarts + 1);
		socket_close(socket);
	}
	frame_free(frame, 0);
}

#endif
