/*
 * What a person asked `lavra run` for, checked.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define MAX_PUBLISHED 16
#define MAX_CPUS 64

enum network { NETWORK_USER, NETWORK_TAP, NETWORK_NONE };
enum pin_kind { PIN_OFF, PIN_AUTO, PIN_LIST, PIN_NUMA };
enum accelerator { ACCELERATOR_AUTO, ACCELERATOR_KVM, ACCELERATOR_TCG };

struct published_port {
	char address[16]; /* IPv4, dotted */
	unsigned host_port, guest_port;
	bool udp;
};

/* Where virtual CPUs run. */
struct pin_request {
	enum pin_kind kind;
	unsigned node; /* with PIN_NUMA, by its number */
	unsigned ncpus; /* with PIN_LIST */
	unsigned cpus[2 * MAX_CPUS];
};

/* How virtual CPUs are told to lie: all 0, or all at least 1. */
struct machine_shape {
	unsigned sockets, dies, cores, threads; /* each in one of the one before */
};

struct options {
	const char *image; /* or a program */
	const char *initrd, *files; /* NULL: none */
	unsigned cores;
	bool has_cores; /* it was given */
	struct machine_shape shape; /* --smp */
	struct pin_request pin;
	unsigned long memory_mib;
	enum network network;
	const char *tap; /* the interface, with NETWORK_TAP */
	const char *ip; /* handed to the image as ip=..., or NULL */
	const char *machine;
	enum accelerator accelerator;
	const char *qemu;
	bool gdb, dry_run, help;
	bool monitor; /* hand it memory that `lavra top` reads */
	unsigned long metrics_port; /* 0: none */
	unsigned npublished;
	struct published_port published[MAX_PUBLISHED];
	/* These point into argv. */
	char **append; /* words for the kernel's command line */
	unsigned nappend;
	char **environment; /* NAME=VALUE */
	unsigned nenvironment;
	const char *aslr; /* on, off, or NULL */
	const char *isolation; /* on, off, require, or NULL */
	const char *idle; /* the kernel's word for --poll: halt, poll, adaptive, or NULL */
	char **qemu_options;
	unsigned nqemu_options;
	char **arguments; /* the application's */
	unsigned narguments;
};

/* Parse the words after `lavra run`. Returns NULL, or what is wrong in a sentence (static
 * memory). `options` takes arrays that options_free() gives back. */
const char *options_parse(struct options *options, int argc, char **argv);
/* The same without an image. */
const char *options_parse_machine(struct options *options, int argc, char **argv);
void options_free(struct options *options);
