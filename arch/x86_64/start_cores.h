/*
 * What the trampoline, in assembly, and start_cores.c agree on.
 */
#pragma once

/* One page below 1 MiB, where a core's first instruction must lie: MP specification 1.4, B.4.2.
 * Below USER_START, and never given to the frame allocator, which leaves the first MiB alone. */
#define TRAMPOLINE_PAGE 0x8000

/* struct start_slot */
#define SLOT_APIC_ID 0
#define SLOT_PRESENT 4
#define SLOT_STACK 8
#define SLOT_CR3 16
#define SLOT_CORE 24
#define SLOT_SIZE 32
