/*
 * What the tests of areas share: memory, a window of addresses to use, and two files to map.
 */
#pragma once

#include "arch/arch.h"
#include "mm/page_source.h"

#include <sys/mman.h>

#define RAM (176ul << 20) /* so that 2 MiB pages are used */

#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)
#define FIXED (ANONYMOUS | MAP_FIXED)
#define READ_WRITE (PROT_READ | PROT_WRITE)

#define WINDOW_PAGES 4096 /* 16 MiB */
#define WINDOW 0x1000000000ul
#define PAGE_AT(page) (WINDOW + (vaddr_t)(page)*PAGE_SIZE)

#define NFILES 2
#define FILE_PAGES 2048

extern struct file {
	struct page_source source;
	unsigned references;
	uint64_t npages; /* its length */
	paddr_t frames[FILE_PAGES]; /* 0: a hole */
	uint64_t stamps[FILE_PAGES]; /* what the test thinks is at the start of each */
} files[NFILES];

/* Make it shorter, as a file system does, or longer. */
void file_truncate(struct file *file, uint64_t npages);

extern size_t initial_free; /* frames */

/* For the group of tests, and after each of them. */
int area_scene_setup(void **state);
int everything_is_back(void **state);

/* Touch a page. False if the fault is refused. */
bool access_page(vaddr_t address, bool write);
/* Of the page that is mapped there; 0: none. */
size_t page_size_at(vaddr_t address);
