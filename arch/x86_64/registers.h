/*
 * Bits of control registers, model-specific registers, page-table entries and
 * segment descriptors: Intel SDM volume 3, chapters 2.5, 3.4, 4.5 and volume 4, chapter 2.
 * For assembly and C.
 */
#pragma once

#define CR0_PE (1 << 0)
#define CR0_MP (1 << 1)
#define CR0_EM (1 << 2)
#define CR0_TS (1 << 3)
#define CR0_ET (1 << 4)
#define CR0_NE (1 << 5)
#define CR0_WP (1 << 16)
#define CR0_PG 0x80000000

#define CR4_PAE (1 << 5)
#define CR4_MCE (1 << 6)
#define CR4_PGE (1 << 7)
#define CR4_OSFXSR (1 << 9)
#define CR4_OSXMMEXCPT (1 << 10)
#define CR4_UMIP (1 << 11)
#define CR4_FSGSBASE (1 << 16)
#define CR4_OSXSAVE (1 << 18)
#define CR4_SMEP (1 << 20)
#define CR4_SMAP (1 << 21)
#define CR4_PKE (1 << 22)

#define MSR_EFER 0xc0000080
#define EFER_SCE (1 << 0)
#define EFER_LME (1 << 8)
#define EFER_NXE (1 << 11)
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_SFMASK 0xc0000084
#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101
#define MSR_PAT 0x277

/* Page-table entries (SDM volume 3, 4.5.4). */
#define PTE_PRESENT (1 << 0)
#define PTE_WRITE (1 << 1)
#define PTE_USER (1 << 2)
#define PTE_WRITE_THROUGH (1 << 3)
#define PTE_CACHE_DISABLE (1 << 4)
#define PTE_ACCESSED (1 << 5)
#define PTE_DIRTY (1 << 6)
#define PTE_LARGE (1 << 7)
#define PTE_GLOBAL (1 << 8)
#define PTE_NX_HIGH 0x80000000 /* bit 63, in the high half of an entry */

#define RFLAGS_TF (1 << 8)
#define RFLAGS_IF (1 << 9)
#define RFLAGS_DF (1 << 10)
#define RFLAGS_NT (1 << 14)
#define RFLAGS_AC (1 << 18)
#define RFLAGS_FIXED (1 << 1) /* reads as 1 */

/* Segment descriptors and selectors (SDM volume 3, 3.4.5): flat, ring 0. */
#define GDT_KERNEL_CODE 0x00af9b000000ffff /* 64-bit, present, execute and read, accessed */
#define GDT_KERNEL_DATA 0x00cf93000000ffff /* present, read and write, accessed */
#define SELECTOR_CODE 8
#define SELECTOR_DATA 16
#define SELECTOR_TSS 24

/* An address in the image minus where it was loaded (image.ld). */
#ifdef __ASSEMBLER__
#define IMAGE_OFFSET 0xffffffff80000000
#else
#define IMAGE_OFFSET 0xffffffff80000000ul
#endif

#define BOOT_STACK_SIZE 32768
