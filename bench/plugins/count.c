/*
 * A plugin for QEMU's translator that counts what guests execute: -plugin count.so,counters=FILE
 *
 * FILE is mapped and bumped in place, so that a reader takes the difference of two looks, with nothing
 * in between but the load: 64 bytes for each virtual CPU, the counters below as 64-bit words.
 *
 * A translated block is counted as a whole when it is entered. A string instruction with a repeat
 * prefix is executed by QEMU as a block an element; it counts once.
 */
#include "bench/plugins/decode.h"
#include "bench/plugins/qemu_plugin.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* bench/counting.py knows the order. */
enum { INSTRUCTIONS, ATOMICS, WRPKRU, LAST_REPEATED, WORDS = 8 };

EXPORTED int qemu_plugin_version = QEMU_PLUGIN_VERSION;

static uint64_t (*counters)[WORDS];
static unsigned nvcpus;

struct block {
	uint64_t address;
	uint64_t last_repeated; /* the address of a repeated instruction that ends it; or 0 */
	bool begins_repeated;
	unsigned instructions, atomics, wrpkru;
};

static void add(struct block *block, const struct qemu_plugin_insn *insn)
{
	struct decoded d = decode(qemu_plugin_insn_data(insn), qemu_plugin_insn_size(insn));
	uint64_t address = qemu_plugin_insn_vaddr(insn);
	bool repeated = is_repeated(&d);

	if (block->instructions++ == 0) {
		block->address = address;
		block->begins_repeated = repeated;
	}
	block->last_repeated = repeated ? address : 0;
	block->atomics += is_atomic(&d);
	block->wrpkru += is_wrpkru(&d);
}

static void executed(unsigned vcpu, void *data)
{
	const struct block *block = data;
	uint64_t *counter = counters[vcpu];

	if (block->begins_repeated && counter[LAST_REPEATED] == block->address)
		return;
	counter[LAST_REPEATED] = block->last_repeated;
	counter[INSTRUCTIONS] += block->instructions;
	counter[ATOMICS] += block->atomics;
	counter[WRPKRU] += block->wrpkru;
}

/* A block may be entered for as long as QEMU runs, so it is never freed. */
static void translated(uint64_t id, struct qemu_plugin_tb *tb)
{
	struct block *block = calloc(1, sizeof(*block));

	if (!block)
		abort();
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++)
		add(block, qemu_plugin_tb_get_insn(tb, i));
	qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, QEMU_PLUGIN_CB_NO_REGS, block);
}

static int map(const char *path)
{
	size_t size = nvcpus * sizeof(*counters);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || ftruncate(fd, (off_t)size) != 0) {
		perror(path);
		return -1;
	}
	counters = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return counters == MAP_FAILED ? -1 : 0;
}

int qemu_plugin_install(uint64_t id, const struct qemu_info *info, int argc, char **argv)
{
	if (!info->system_emulation || strcmp(info->target_name, "x86_64") != 0 || argc != 1 ||
	    strncmp(argv[0], "counters=", 9) != 0) {
		fprintf(stderr, "count: -plugin count.so,counters=FILE, for a machine of x86_64\n");
		return -1;
	}
	nvcpus = (unsigned)info->system.max_vcpus;
	if (map(argv[0] + 9) != 0)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
