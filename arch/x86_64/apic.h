/*
 * The local APIC: each core's interrupt controller and timer (Intel SDM volume 3, chapter 11;
 * chapter 10 in editions before 2023).
 *
 * In x2APIC mode, used where the processor has it, registers are model-specific registers;
 * otherwise they are one page of memory, the same address on every core.
 */
#pragma once

#include "lavra/types.h"

/* Vectors. 0..31 are exceptions, 32..47 where the masked 8259 would speak, then devices. */
#define VECTOR_8259 0x20
#define VECTOR_DEVICE_FIRST 0x30
#define VECTOR_DEVICE_LAST 0xef
#define VECTOR_IPI 0xf0
#define VECTOR_TLB 0xf1
#define VECTOR_TIMER 0xf2
#define VECTOR_APIC_ERROR 0xf3
#define VECTOR_SPURIOUS 0xff

/* Choose the mode, map the registers, mask the 8259, enable the boot core's. Once; boot core, after
 * mm_init() (the registers need a mapping), interrupts off. */
void apic_init(void);
/* Enable this core's. Every other core, interrupts off. */
void apic_init_core(void);

/* This core's identifier, from CPUID: also before apic_init(). */
uint32_t apic_id(void);

/* Tell the controller that the interrupt is handled. Interrupt context. */
void apic_end_of_interrupt(void);
/* Count and report an error interrupt. Interrupt context. */
void apic_error_interrupt(void);

/* The non-maskable interrupt: does not return if arch_stop_other_cores() sent it. Returns when
 * the reason is another one. */
void apic_nmi(void);

/* The startup sequence's messages: MultiProcessor specification 1.4, B.4. */
void apic_send_init(uint32_t apic_id);
void apic_send_startup(uint32_t apic_id, paddr_t page);

/* The one-shot timer. A count of 0 stops it. Owning core. */
#define APIC_TIMER_MAX UINT32_MAX
void apic_timer_set(uint32_t count);
uint32_t apic_timer_count(void);
/* Interrupt when the TSC reaches a value written to MSR_TSC_DEADLINE instead. */
void apic_timer_use_tsc_deadline(void);
#define MSR_TSC_DEADLINE 0x6e0
