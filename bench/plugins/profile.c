/*
 * A plugin for QEMU's translator that tells where guests execute, and which cache lines change cores:
 *
 *   -plugin profile.so,table=FILE[,idle=ADDRESS,busy=ADDRESS][,lines=MIB[,record=on]]
 *
 * FILE is mapped and written in place: a reader takes the difference of two looks, with nothing in
 * between but the load. bench/profiling.py is the reader and knows the layout, which is that of the
 * structures below, in their order.
 *
 * Executed blocks are counted for each virtual CPU and each block that was translated, so the reader can
 * attribute them to symbols. A string instruction with a repeat prefix counts once. Between a block that
 * begins at `idle` and one that begins at `busy` a virtual CPU is idle, and its blocks are counted apart.
 *
 * With `lines` the first MIB of the guest's memory are watched, in lines of 64 bytes of physical
 * addresses: who wrote a line last, and who has read it since, as if caches were endless. A line changes
 * cores if it is read, for the first time since then, by another than the last writer (READ); if it is
 * written by another than the last writer (WRITE); or if its writer, or one that finds it unwritten,
 * takes it from others that have read it (TAKE). All are counted; while the reader sets `recording`, from
 * the start with `record`, they are noted, with the code and the data, in a table of a fixed size.
 *
 * Not seen are accesses of devices, walks of page tables and the fetch of instructions. The callback comes
 * after the access and not in one step with it, so two that fight for a line lose some of their changes.
 * Nothing is allocated while the guest executes, only when a block is translated.
 */
#include "bench/plugins/decode.h"
#include "bench/plugins/qemu_plugin.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LAYOUT_VERSION 1
#define BLOCKS_MAX (1u << 20)
#define CHANGES_MAX (1u << 20)
#define LINE_SHIFT 6

struct header {
	uint64_t version, nvcpus, blocks_max, changes_max;
	uint64_t nblocks; /* translated; those beyond blocks_max are counted in lost_instructions */
	uint64_t nchanges; /* noted; those beyond changes_max are not in the table */
	volatile uint64_t recording; /* written by the reader: note changes of lines */
	uint64_t unused[505];
};

enum change_kind { READ, WRITE, TAKE, CHANGE_KINDS };

/* Written by its own thread alone. */
struct vcpu {
	uint64_t changes[CHANGE_KINDS];
	uint64_t lost_instructions;
	uint64_t unwatched; /* accesses beyond the watched memory */
	uint64_t
	    last_repeated; /* the address of a repeated instruction that ended the last block; or 0 */
	uint64_t idle;
	uint64_t unused[9];
};

struct block_record {
	uint64_t address;
	uint32_t instructions;
	uint16_t atomics, wrpkru;
};

/* A line that changed cores: by what instruction, at what address, and who had written it last. */
struct change {
	uint64_t code, data, writer_code;
	uint8_t kind, vcpu, writer, unused[5]; /* writer: a virtual CPU and 1, or 0 */
};

enum mode { BUSY, IDLE, MODES };

static struct header *header;
static struct vcpu *vcpus;
static struct block_record *records;
static uint64_t (*counts)[MODES][BLOCKS_MAX]; /* of each virtual CPU */
static struct change *changes;

EXPORTED int qemu_plugin_version = QEMU_PLUGIN_VERSION;

static uint64_t idle_address, busy_address;

/* ---- what executes ---- */

struct block {
	uint64_t address;
	uint64_t last_repeated;
	bool begins_repeated, idle, busy;
	uint32_t index;
	struct block_record record;
};

static void executed(unsigned vcpu_index, void *data)
{
	const struct block *block = data;
	struct vcpu *vcpu = &vcpus[vcpu_index];

	if (block->begins_repeated && vcpu->last_repeated == block->address)
		return;
	vcpu->last_repeated = block->last_repeated;
	if (block->idle || block->busy)
		vcpu->idle = block->idle;
	if (block->index < BLOCKS_MAX)
		counts[vcpu_index][vcpu->idle ? IDLE : BUSY][block->index]++;
	else
		vcpu->lost_instructions += block->record.instructions;
}

/* ---- which lines change cores ---- */

/*
 * A word a line: the virtual CPUs that have it as it is, and above them the last writer, as in struct change.
 * Beside it the address of the instruction that wrote last, which may lag behind.
 */
#define WRITER_SHIFT 57
#define VCPUS_MAX WRITER_SHIFT
#define HOLDERS ((1ull << WRITER_SHIFT) - 1)

static uint64_t *lines, *line_writers;
static uint64_t nlines;

/* The two upper bits of an address are alike, so one has room for whether the instruction is atomic. */
#define ATOMIC_BIT (1ull << 62)

static void *instruction_data(uint64_t address, bool atomic)
{
	return (void *)(uintptr_t)(atomic ? address ^ ATOMIC_BIT : address);
}

static bool instruction_is_atomic(uint64_t data)
{
	return (data >> 63) != (data >> 62 & 1);
}

static void note(unsigned vcpu, enum change_kind kind, uint64_t code, uint64_t data, uint64_t line,
		 uint64_t writer)
{
	uint64_t index;

	vcpus[vcpu].changes[kind]++;
	if (!header->recording)
		return;
	index = __atomic_fetch_add(&header->nchanges, 1, __ATOMIC_RELAXED);
	if (index >= CHANGES_MAX)
		return;
	changes[index] = (struct change){
		.code = code,
		.data = data,
		.writer_code = __atomic_load_n(&line_writers[line], __ATOMIC_RELAXED),
		.kind = (uint8_t)kind,
		.vcpu = (uint8_t)vcpu,
		.writer = (uint8_t)writer,
	};
}

static void line_read(unsigned vcpu, uint64_t line, uint64_t code, uint64_t data)
{
	uint64_t own = 1ull << vcpu, old = __atomic_load_n(&lines[line], __ATOMIC_RELAXED);

	do {
		if (old & own)
			return;
	} while (!__atomic_compare_exchange_n(&lines[line], &old, old | own, false,
					      __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	if (old >> WRITER_SHIFT)
		note(vcpu, READ, code, data, line, old >> WRITER_SHIFT);
}

static void line_written(unsigned vcpu, uint64_t line, uint64_t code, uint64_t data)
{
	uint64_t own = 1ull << vcpu, writer = vcpu + 1ull;
	uint64_t new = own | writer << WRITER_SHIFT;
	uint64_t old = __atomic_load_n(&lines[line], __ATOMIC_RELAXED);

	if (old != new) {
		old = __atomic_exchange_n(&lines[line], new, __ATOMIC_RELAXED);
		if (old & HOLDERS & ~own) {
			uint64_t before = old >> WRITER_SHIFT;

			note(vcpu, before && before != writer ? WRITE : TAKE, code, data, line,
			     before);
		}
	}
	__atomic_store_n(&line_writers[line], code, __ATOMIC_RELAXED);
}

static void accessed(unsigned vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *insn)
{
	uint64_t code = (uintptr_t)insn, paddr, last;
	bool atomic = instruction_is_atomic(code);
	bool store = atomic || qemu_plugin_mem_is_store(info);
	struct qemu_plugin_hwaddr *address = qemu_plugin_get_hwaddr(info, vaddr);

	if (!address || qemu_plugin_hwaddr_is_io(address))
		return;
	if (atomic)
		code ^= ATOMIC_BIT;
	paddr = qemu_plugin_hwaddr_phys_addr(address);
	/* What lies in a second page has another physical address: not looked at. */
	last = (paddr + (1u << qemu_plugin_mem_size_shift(info)) - 1);
	if (last >> 12 != paddr >> 12)
		last = paddr | 0xfff;
	if (last >> LINE_SHIFT >= nlines) {
		vcpus[vcpu].unwatched++;
		return;
	}
	for (uint64_t line = paddr >> LINE_SHIFT; line <= last >> LINE_SHIFT; line++) {
		if (store)
			line_written(vcpu, line, code, vaddr);
		else
			line_read(vcpu, line, code, vaddr);
	}
}

/* ---- translation ---- */

static void add(struct block *block, struct qemu_plugin_insn *insn)
{
	struct decoded d = decode(qemu_plugin_insn_data(insn), qemu_plugin_insn_size(insn));
	uint64_t address = qemu_plugin_insn_vaddr(insn);
	bool repeated = is_repeated(&d);

	if (block->record.instructions++ == 0) {
		block->address = address;
		block->begins_repeated = repeated;
	}
	block->last_repeated = repeated ? address : 0;
	block->record.atomics += is_atomic(&d);
	block->record.wrpkru += is_wrpkru(&d);
	if (nlines)
		qemu_plugin_register_vcpu_mem_cb(insn, accessed, QEMU_PLUGIN_CB_NO_REGS,
						 QEMU_PLUGIN_MEM_RW,
						 instruction_data(address, is_atomic(&d)));
}

/* A block may be entered for as long as QEMU runs, so it is never freed. Several threads translate. */
static void translated(uint64_t id, struct qemu_plugin_tb *tb)
{
	struct block *block = calloc(1, sizeof(*block));
	uint64_t index;

	if (!block)
		abort();
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++)
		add(block, qemu_plugin_tb_get_insn(tb, i));
	block->record.address = block->address;
	block->idle = idle_address && block->address == idle_address;
	block->busy = busy_address && block->address == busy_address;
	index = __atomic_fetch_add(&header->nblocks, 1, __ATOMIC_RELAXED);
	block->index = index < BLOCKS_MAX ? (uint32_t)index : BLOCKS_MAX;
	if (index < BLOCKS_MAX)
		records[index] = block->record;
	qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, QEMU_PLUGIN_CB_NO_REGS, block);
}

/* ---- start ---- */

static int map_file(const char *path, unsigned nvcpus)
{
	size_t vcpus_at = sizeof(*header);
	size_t records_at = vcpus_at + nvcpus * sizeof(*vcpus);
	size_t counts_at = records_at + BLOCKS_MAX * sizeof(*records);
	size_t changes_at = counts_at + nvcpus * sizeof(*counts);
	size_t size = changes_at + CHANGES_MAX * sizeof(*changes);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	uint8_t *file;

	/* What is never written takes no room. */
	if (fd < 0 || ftruncate(fd, (off_t)size) != 0) {
		perror(path);
		return -1;
	}
	file = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (file == MAP_FAILED) {
		perror(path);
		return -1;
	}
	header = (void *)file;
	vcpus = (void *)(file + vcpus_at);
	records = (void *)(file + records_at);
	counts = (void *)(file + counts_at);
	changes = (void *)(file + changes_at);
	header->version = LAYOUT_VERSION;
	header->nvcpus = nvcpus;
	header->blocks_max = BLOCKS_MAX;
	header->changes_max = CHANGES_MAX;
	return 0;
}

static int map_lines(uint64_t mib)
{
	size_t size;

	nlines = mib << 20 >> LINE_SHIFT;
	size = nlines * sizeof(*lines);
	if (size == 0)
		return 0;
	lines = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (lines == MAP_FAILED) {
		perror("profile: memory for the lines");
		return -1;
	}
	line_writers = lines + nlines;
	return 0;
}

int qemu_plugin_install(uint64_t id, const struct qemu_info *info, int argc, char **argv)
{
	unsigned nvcpus = (unsigned)info->system.max_vcpus;
	const char *path = NULL;
	uint64_t mib = 0;
	bool record = false;
	bool wrong = !info->system_emulation || strcmp(info->target_name, "x86_64") != 0;

	for (int i = 0; i < argc; i++) {
		if (strncmp(argv[i], "table=", 6) == 0)
			path = argv[i] + 6;
		else if (strcmp(argv[i], "record=on") == 0)
			record = true;
		else if (sscanf(argv[i], "idle=%" SCNx64, &idle_address) != 1 &&
			 sscanf(argv[i], "busy=%" SCNx64, &busy_address) != 1 &&
			 sscanf(argv[i], "lines=%" SCNu64, &mib) != 1)
			wrong = true;
	}
	if (wrong || !path) {
		fprintf(
		    stderr,
		    "profile: -plugin profile.so,table=FILE[,idle=ADDRESS,busy=ADDRESS][,lines=MIB[,record=on]], "
		    "for a machine of x86_64\n");
		return -1;
	}
	if (mib && nvcpus > VCPUS_MAX) {
		fprintf(
		    stderr,
		    "profile: lines are watched for %d virtual CPUs at most, and this machine has %u: "
		    "give it fewer, or leave out lines=\n",
		    VCPUS_MAX, nvcpus);
		return -1;
	}
	if (map_file(path, nvcpus) != 0 || map_lines(mib) != 0)
		return -1;
	header->recording = record;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
