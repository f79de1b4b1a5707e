/*
 * The launcher: what it makes of its options, and the command line of QEMU that follows.
 *
 * links: tools/launcher/complaint.c tools/launcher/options.c tools/launcher/command.c
 */
#include "tools/launcher/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/host/refusal.h"

#define MAX_WORDS 32

/* Parse a command line given as one string, split at blanks. */
static const char *parse(struct options *options, const char *line)
{
	static char text[512];
	static char *words[MAX_WORDS];
	int nwords = 0;

	snprintf(text, sizeof(text), "%s", line);
	for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
		words[nwords++] = word;
	return options_parse(options, nwords, words);
}

static void accept(struct options *options, const char *line)
{
	const char *wrong = parse(options, line);

	if (wrong)
		fail_msg("'%s' is refused: %s", line, wrong);
}

static void refuse(const char *line, const char *because)
{
	struct options options;

	assert_refused(line, parse(&options, line), because);
	options_free(&options);
}

static void test_defaults(void **state)
{
	struct options options;

	accept(&options, "image");
	assert_string_equal(options.image, "image");
	assert_int_equal(options.cores, 1);
	assert_int_equal(options.memory_mib, 128);
	assert_string_equal(options.machine, "q35");
	assert_int_equal(options.network, NETWORK_USER);
	assert_int_equal(options.accelerator, ACCELERATOR_AUTO);
	options_free(&options);
}

static void test_memory(void **state)
{
	static const struct {
		const char *line;
		unsigned long mib;
	} cases[] = { { "x --memory 64", 64 },
		      { "x --memory=64M", 64 },
		      { "x --memory 64m", 64 },
		      { "x --memory 16G", 16384 },
		      { "x --memory 1", 1 } };
	struct options options;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		accept(&options, cases[i].line);
		assert_int_equal(options.memory_mib, cases[i].mib);
		options_free(&options);
	}
	refuse("x --memory 0", "--memory");
	refuse("x --memory M", "--memory");
	refuse("x --memory 12K", "--memory");
	refuse("x --memory -5", "--memory");
	refuse("x --memory 99999999999999999999", "--memory");
	refuse("x --memory 2000000G", "--memory");
}

static void test_cores(void **state)
{
	struct options options;

	accept(&options, "x --cores 64");
	assert_int_equal(options.cores, 64);
	options_free(&options);
	refuse("x --cores 0", "1 to 64");
	refuse("x --cores 65", "1 to 64");
	refuse("x --cores two", "1 to 64");
	refuse("x --cores", "wants a value");
}

static void test_shape(void **state)
{
	struct options options;

	accept(&options, "x --smp sockets=2,cores=3,threads=2");
	assert_int_equal(options.cores, 12);
	assert_int_equal(options.shape.dies, 1);
	options_free(&options);
	accept(&options, "x --cores 4 --smp dies=2,cores=2");
	assert_int_equal(options.shape.sockets, 1);
	options_free(&options);
	refuse("x --cores 4 --smp cores=2", "--cores says 4 virtual CPUs and --smp 2");
	refuse("x --smp cores=2 --cores 1", "--cores says 1 virtual CPU and --smp 2");
	refuse("x --smp 4", "--smp takes");
	refuse("x --smp cores", "--smp takes");
	refuse("x --smp cores=", "--smp takes");
	refuse("x --smp cores=2,", "--smp takes");
	refuse("x --smp cores=0", "--smp takes");
	refuse("x --smp cores=2,cores=2", "--smp takes");
	refuse("x --smp cores=2,maxcpus=8", "--smp takes");
	refuse("x --smp sockets=9,cores=8", "64 are the most");
	refuse("x --smp sockets=64,dies=64,cores=64,threads=64", "64 are the most");
	refuse("x --machine microvm --smp dies=2", "has no dies");
}

static void test_pin(void **state)
{
	struct options options;

	accept(&options, "x");
	assert_int_equal(options.pin.kind, PIN_OFF);
	options_free(&options);
	accept(&options, "x --pin auto");
	assert_int_equal(options.pin.kind, PIN_AUTO);
	options_free(&options);
	accept(&options, "x --pin numa:3");
	assert_int_equal(options.pin.kind, PIN_NUMA);
	assert_int_equal(options.pin.node, 3);
	options_free(&options);
	accept(&options, "x --pin auto --pin 8,0-2");
	assert_int_equal(options.pin.kind, PIN_LIST);
	assert_int_equal(options.pin.ncpus, 4);
	assert_int_equal(options.pin.cpus[0], 8);
	assert_int_equal(options.pin.cpus[3], 2);
	options_free(&options);
	refuse("x --pin=", "--pin takes");
	refuse("x --pin on", "--pin takes");
	refuse("x --pin numa:", "--pin takes");
	refuse("x --pin numa:x", "--pin takes");
	refuse("x --pin 0,", "--pin takes");
	refuse("x --pin 0-", "--pin takes");
	refuse("x --pin 3-1", "--pin takes");
	refuse("x --pin 0-1-2", "--pin takes");
	refuse("x --pin -1", "--pin takes");
	refuse("x --pin 99999999999999999999", "--pin takes");
	refuse("x --pin 0-3,2", "CPU 2 twice");
	refuse("x --pin 0-65535", "more than 128 CPUs");
}

static void test_publish(void **state)
{
	struct options options;

	accept(&options, "x --publish 8080:80 --publish 0.0.0.0:53:5353/udp --publish 1:2/tcp");
	assert_int_equal(options.npublished, 3);
	assert_string_equal(options.published[0].address, "127.0.0.1");
	assert_int_equal(options.published[0].host_port, 8080);
	assert_int_equal(options.published[0].guest_port, 80);
	assert_false(options.published[0].udp);
	assert_string_equal(options.published[1].address, "0.0.0.0");
	assert_int_equal(options.published[1].host_port, 53);
	assert_int_equal(options.published[1].guest_port, 5353);
	assert_true(options.published[1].udp);
	assert_false(options.published[2].udp);
	options_free(&options);
	refuse("x --publish 80", "HOST_PORT:GUEST_PORT");
	refuse("x --publish 80:", "HOST_PORT:GUEST_PORT");
	refuse("x --publish :80", "HOST_PORT:GUEST_PORT");
	refuse("x --publish 0:80", "HOST_PORT:GUEST_PORT");
	refuse("x --publish 80:65536", "HOST_PORT:GUEST_PORT");
	refuse("x --publish 80:80/sctp", "HOST_PORT:GUEST_PORT");
	refuse("x --publish localhost:80:80", "not an IPv4 address");
	refuse("x --publish 127.0.0.1.127.0.0.1:80:80", "HOST_PORT:GUEST_PORT");
	refuse("x --net tap:t0 --publish 80:80", "--net user");
}

static void test_refusals(void **state)
{
	refuse("", "which image or program");
	refuse("x --env", "wants a value");
	refuse("x --env PATH", "NAME=VALUE");
	refuse("x --env =x", "NAME=VALUE");
	refuse("x --aslr maybe", "on or off");
	refuse("x --monitor maybe", "on or off");
	refuse("x --metrics 0", "1 to 65535");
	refuse("x --metrics 65536", "1 to 65535");
	refuse("x --metrics http", "1 to 65535");
	refuse("x --isolation maybe", "on, off or require");
	refuse("x --poll never", "irq, busy or adaptive");
	refuse("x --initrd a --initrd b", "given once");
	refuse("x --files a --files b", "given once");
	refuse("x --files=", "takes a path");
	refuse("a b", "one image at a time");
	refuse("x --colour", "unknown option '--colour'");
	refuse("x --net bridge", "--net");
	refuse("x --net tap:", "--net");
	refuse("x --net tap:a,script=evil", "--net");
	refuse("x --net tap:a-name-that-is-too-long", "--net");
	refuse("x --machine isapc", "--machine");
	refuse("x --accel xen", "--accel");
	refuse("x --append --", "--");
}

static const char *build(struct command *command, const struct options *options, bool kvm)
{
	const struct surroundings surroundings = { .image = options->image,
						   .initrd = options->initrd,
						   .status_path = "/status",
						   .kvm = kvm };

	return command_build(command, options, &surroundings);
}

/* The command's words, joined by blanks. */
static const char *command_line(const char *line, bool kvm)
{
	static char text[4096];
	struct options options;
	struct command command;
	size_t len = 0;

	accept(&options, line);
	assert_null(build(&command, &options, kvm));
	for (unsigned i = 0; i < command.nwords; i++)
		len += snprintf(text + len, sizeof(text) - len, "%s ", command.words[i]);
	command_free(&command);
	options_free(&options);
	return text;
}

static void expect(const char *line, bool kvm, const char *part)
{
	const char *command = command_line(line, kvm);

	if (!strstr(command, part))
		fail_msg("'%s' gives '%s', without '%s'", line, command, part);
}

static void test_command(void **state)
{
	expect("x --cores 4", false, "-accel tcg,thread=multi -cpu max -smp 4 ");
	expect("x", true, "-accel kvm -cpu host");
	expect("x --memory 2G", false, "-m 2048M ");
	expect("x --publish 8080:80", false,
	       "-netdev user,id=net0,hostfwd=tcp:127.0.0.1:8080-:80 ");
	expect("x --cores 4 --net tap:t0", false, "ifname=t0,script=no,downscript=no,queues=4 ");
	expect("x --cores 4 --net tap:t0", false, "mq=on,vectors=10 ");
	expect("x --gdb", false, "-gdb tcp:127.0.0.1:1234 -S ");
	expect("x --qemu-option -d --qemu-option int", false, "-d int ");
	expect("x --ip 10.0.0.2/24 --append cores=1 -- a b", false,
	       "-append ip=10.0.0.2/24 cores=1 -- a b ");
	expect("x --machine microvm --ip dhcp", false,
	       "-append pci=0xe0000000,0xc0000000,512M ip=dhcp ");
	expect("x --initrd y", false, "-kernel x -initrd y ");
	assert_null(strstr(command_line("x", false), "-initrd"));
	expect("x --aslr off --env A=b --env C= -- d", false,
	       "-append aslr=off env=A=b env=C= -- d ");
	expect("x --metrics 9100 --ip dhcp", false, "-append ip=dhcp metrics=9100 ");
	expect("x --isolation require", false, "-append isolation=require ");
	expect("x --poll busy", false, "-append idle=poll ");
	expect("x", false, "-chardev file,id=status,path=/status ");
	assert_null(strstr(command_line("x --net none", false), "-netdev"));
	assert_null(strstr(command_line("x", false), "-append"));
	/* A single queue is not a multiqueue device of one. */
	assert_null(strstr(command_line("x --net tap:t0", false), "mq=on"));
}

static void test_monitor(void **state)
{
	struct surroundings surroundings = { .image = "x", .status_path = "/status" };
	struct options options;
	struct command command;
	unsigned i = 0;

	accept(&options, "x");
	assert_true(options.monitor);
	surroundings.monitor_path = "/run/a,b/x.1.monitor";
	assert_null(command_build(&command, &options, &surroundings));
	while (i < command.nwords && strcmp(command.words[i], "-object") != 0)
		i++;
	assert_true(i + 3 < command.nwords);
	/* QEMU takes a doubled comma for one. */
	assert_string_equal(command.words[i + 1], "memory-backend-file,id=monitor,share=on,"
						  "mem-path=/run/a,,b/x.1.monitor,size=16777216");
	assert_string_equal(command.words[i + 3], "ivshmem-plain,memdev=monitor");
	command_free(&command);
	options_free(&options);
	accept(&options, "x --monitor off");
	assert_false(options.monitor);
	options_free(&options);
	assert_null(strstr(command_line("x", false), "ivshmem"));
}

/* What the surroundings add: the shape of the CPUs chosen, and the socket by which QEMU is told to begin. */
static void test_command_of_a_pinned_guest(void **state)
{
	const struct surroundings surroundings = {
		.image = "x", .status_path = "/status", .shape = { 1, 2, 2, 1 }, .control_fd = 7
	};
	static const struct {
		const char *line, *part;
	} cases[] = {
		{ "x --cores 4", "4,sockets=1,dies=2,cores=2,threads=1" },
		{ "x --cores 4 --machine microvm", "4,sockets=1,cores=4,threads=1" },
		{ "x --smp sockets=2,cores=2", "4,sockets=2,cores=2,threads=1" },
		{ "x --cores 4", "socket,id=control,fd=7" },
		{ "x --cores 4", "chardev=control,mode=control" },
		{ "x --cores 4", "-S" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct options options;
		struct command command;
		unsigned word = 0;

		accept(&options, cases[i].line);
		assert_null(command_build(&command, &options, &surroundings));
		while (word < command.nwords && strcmp(command.words[word], cases[i].part) != 0)
			word++;
		if (word == command.nwords)
			fail_msg("'%s' has no '%s'", cases[i].line, cases[i].part);
		command_free(&command);
		options_free(&options);
	}
	/* One that nobody pins begins by itself. */
	assert_null(strstr(command_line("x", false), "-S "));
	assert_null(strstr(command_line("x", false), "control"));
}

static void test_arguments_are_quoted(void **state)
{
	char *argv[] = { "x", "--", "two words", "", "it's", "plain", "a\"b" };
	char *both[] = { "x", "--", "it's \"both\"" };
	char *variables[] = { "x", "--env", "A=two words", "--env", "B=it's" };
	static char long_word[4100];
	char *long_line[] = { "x", "--env", long_word };
	struct options options;
	struct command command;

	assert_null(options_parse(&options, 7, argv));
	assert_null(build(&command, &options, false));
	assert_string_equal(command.words[command.nwords - 1],
			    "-- 'two words' '' \"it's\" plain 'a\"b'");
	command_free(&command);
	options_free(&options);

	assert_null(options_parse(&options, 3, both));
	assert_non_null(build(&command, &options, false));
	options_free(&options);

	assert_null(options_parse(&options, 5, variables));
	assert_null(build(&command, &options, false));
	assert_string_equal(command.words[command.nwords - 1], "'env=A=two words' \"env=B=it's\"");
	command_free(&command);
	options_free(&options);

	/* The image could not take it. */
	memset(long_word, 'x', sizeof(long_word) - 1);
	memcpy(long_word, "A=", 2);
	assert_null(options_parse(&options, 3, long_line));
	assert_non_null(strstr(build(&command, &options, false), "4095"));
	options_free(&options);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_cores),
		cmocka_unit_test(test_shape),
		cmocka_unit_test(test_pin),
		cmocka_unit_test(test_publish),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_command),
		cmocka_unit_test(test_command_of_a_pinned_guest),
		cmocka_unit_test(test_monitor),
		cmocka_unit_test(test_arguments_are_quoted),
	};

	return cmocka_run_group_tests_name("launcher", tests, NULL, NULL);
}
