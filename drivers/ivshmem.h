/*
 * Memory that is shared with the host: QEMU's device ivshmem-plain.
 *
 * Its second BAR is the memory; nothing else of it is used. It carries the monitor's file
 * (include/lavra/monitor.h). Fact: QEMU, docs/specs/ivshmem-spec.
 */
#pragma once

/* Find the device and let the cores tell there what they do. Without one nothing happens; says why if there is one
 * that cannot be used. Boot core, after smp_start(). */
void ivshmem_init(void);
