#include "tools/launcher/command.h"

#include "lavra/monitor.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static void add(struct command *command, const char *format,
						      ...)
{
	char **words = reallocarray(command->words, command->nwords + 2, sizeof(char *));
	va_list args;

	if (!words)
		abort();
	command->words = words;
	va_start(args, format);
	if (vasprintf(&words[command->nwords], format, args) < 0)
		abort();
	va_end(args);
	words[++command->nwords] = NULL;
}

static void add_network(struct command *command, const struct options *options, bool vhost)
{
	char forwards[MAX_PUBLISHED * 64] = "";
	size_t len = 0;
	unsigned queues = options->network == NETWORK_TAP ? options->cores : 1;

	if (options->network == NETWORK_NONE)
		return;
	add(command, "-netdev");
	if (options->network == NETWORK_USER) {
		for (unsigned i = 0; i < options->npublished; i++) {
			const struct published_port *port = &options->published[i];

			len += snprintf(forwards + len, sizeof(forwards) - len,
					",hostfwd=%s:%s:%u-:%u", port->udp ? "udp" : "tcp",
					port->address, port->host_port, port->guest_port);
		}
		add(command, "user,id=net0%s", forwards);
	} else {
		add(command, "tap,id=net0,ifname=%s,script=no,downscript=no,queues=%u%s",
		    options->tap, queues, vhost ? ",vhost=on" : "");
	}
	add(command, "-device");
	/* No boot ROM: nobody boots from the network. A vector for each ring, one for the control
	 * queue and one for configuration changes. */
	if (queues > 1)
		add(command, "virtio-net-pci,netdev=net0,romfile=,mq=on,vectors=%u",
		    2 * queues + 2);
	else
		add(command, "virtio-net-pci,netdev=net0,romfile=");
}

/* QEMU ends a value at a comma, unless there are two. */
static void add_monitor(struct command *command, const char *path)
{
	char doubled[2 * PATH_MAX], *to = doubled;

	for (const char *from = path; *from && to < doubled + sizeof(doubled) - 2; from++) {
		*to++ = *from;
		if (*from == ',')
			*to++ = ',';
	}
	*to = 0;
	add(command, "-object");
	add(command, "memory-backend-file,id=monitor,share=on,mem-path=%s,size=%u", doubled,
	    MONITOR_FILE_SIZE);
	add(command, "-device");
	add(command, "ivshmem-plain,memdev=monitor");
}

/* An argument as the image's own splitting of its command line reads it back. */
static const char *quote(const char *argument, const char **quotes)
{
	if (!*argument || strpbrk(argument, " \t\n\"'")) {
		if (!strchr(argument, '\''))
			*quotes = "'";
		else if (!strchr(argument, '"'))
			*quotes = "\"";
		else
			return "an argument or a variable cannot hold both kinds of quotes";
	} else {
		*quotes = "";
	}
	return NULL;
}

/* Neither firmware nor ACPI tells these on microvm: configuration space, and the 512 MiB for the
 * BARs of devices. They are QEMU's PCIE_ECAM_BASE, PCIE_MMIO_BASE and PCIE_MMIO_SIZE there. */
#define MICROVM_PCI "0xe0000000,0xc0000000,512M"

static bool is_microvm(const struct options *options)
{
	return !strcmp(options->machine, "microvm");
}

static void add_cpus(struct command *command, const struct options *options,
		     const struct surroundings *surroundings)
{
	struct machine_shape shape = options->shape.sockets ? options->shape : surroundings->shape;

	/* It knows of none: what dies have is the package's. */
	if (is_microvm(options)) {
		shape.cores *= shape.dies;
		shape.dies = 1;
	}
	add(command, "-smp");
	if (!shape.sockets)
		add(command, "%u", options->cores);
	else if (shape.dies == 1)
		add(command, "%u,sockets=%u,cores=%u,threads=%u", options->cores, shape.sockets,
		    shape.cores, shape.threads);
	else
		add(command, "%u,sockets=%u,dies=%u,cores=%u,threads=%u", options->cores,
		    shape.sockets, shape.dies, shape.cores, shape.threads);
}

#define MAX_LINE 4095 /* arch/x86_64/boot.c, posix/boot_option.c */

const char *command_line_of(const struct options *options, uint64_t time_ms, char **result)
{
	char *line = NULL;
	size_t size;
	FILE *stream = open_memstream(&line, &size);
	const char *wrong = NULL, *quotes;

	if (!stream)
		abort();
	if (is_microvm(options))
		fprintf(stream, "pci=%s ", MICROVM_PCI);
	if (time_ms)
		fprintf(stream, "time=%lu ", time_ms);
	if (options->ip)
		fprintf(stream, "ip=%s ", options->ip);
	if (options->aslr)
		fprintf(stream, "aslr=%s ", options->aslr);
	if (options->isolation)
		fprintf(stream, "isolation=%s ", options->isolation);
	if (options->idle)
		fprintf(stream, "idle=%s ", options->idle);
	if (options->metrics_port)
		fprintf(stream, "metrics=%lu ", options->metrics_port);
	for (unsigned i = 0; i < options->nenvironment && !wrong; i++) {
		wrong = quote(options->environment[i], &quotes);
		if (!wrong)
			fprintf(stream, "%senv=%s%s ", quotes, options->environment[i], quotes);
	}
	for (unsigned i = 0; i < options->nappend; i++)
		fprintf(stream, "%s ", options->append[i]);
	if (options->narguments)
		fprintf(stream, "--");
	for (unsigned i = 0; i < options->narguments && !wrong; i++) {
		wrong = quote(options->arguments[i], &quotes);
		if (!wrong)
			fprintf(stream, " %s%s%s", quotes, options->arguments[i], quotes);
	}
	fclose(stream);
	while (size && line[size - 1] == ' ')
		line[--size] = 0;
	if (!wrong && size > MAX_LINE)
		wrong =
		    "the options for the image, the variables and the arguments are longer than 4095 "
		    "bytes together";
	if (wrong) {
		free(line);
		line = NULL;
	}
	*result = line;
	return wrong;
}

const char *command_build(struct command *command, const struct options *options,
			  const struct surroundings *surroundings)
{
	bool kvm = surroundings->kvm;
	const char *wrong;
	char *line;

	*command = (struct command){ 0 };
	add(command, "%s", options->qemu);
	add(command, "-machine");
	/* microvm: with PCI, because its other transport gives a device one interrupt, and with ACPI. */
	add(command, "%s",
	    is_microvm(options) ? "microvm,pcie=on,acpi=on,rtc=on,auto-kernel-cmdline=off"
				: options->machine);
	add(command, "-accel");
	add(command, "%s", kvm ? "kvm" : "tcg,thread=multi");
	add(command, "-cpu");
	add(command, "%s", kvm ? "host,migratable=off" : "max");
	add_cpus(command, options, surroundings);
	add(command, "-m");
	add(command, "%luM", options->memory_mib);
	add(command, "-nodefaults");
	add(command, "-no-user-config");
	add(command, "-no-reboot");
	add(command, "-display");
	add(command, "none");
	add(command, "-monitor");
	add(command, "none");
	add(command, "-serial");
	add(command, "stdio");
	/* How an image ends: it writes its status to the first, then stops QEMU through the second. */
	add(command, "-chardev");
	add(command, "file,id=status,path=%s", surroundings->status_path);
	add(command, "-device");
	add(command, "isa-debugcon,iobase=0xe9,chardev=status");
	add(command, "-device");
	add(command, "isa-debug-exit,iobase=0xf4,iosize=4");
	add_network(command, options, surroundings->vhost);
	if (surroundings->monitor_path)
		add_monitor(command, surroundings->monitor_path);
	if (options->gdb) {
		add(command, "-gdb");
		add(command, "tcp:127.0.0.1:1234");
	}
	if (surroundings->control_fd) {
		add(command, "-chardev");
		add(command, "socket,id=control,fd=%d", surroundings->control_fd);
		add(command, "-mon");
		add(command, "chardev=control,mode=control");
	}
	if (options->gdb || surroundings->control_fd)
		add(command, "-S");
	for (unsigned i = 0; i < options->nqemu_options; i++)
		add(command, "%s", options->qemu_options[i]);
	add(command, "-kernel");
	add(command, "%s", surroundings->image);
	if (surroundings->initrd) {
		add(command, "-initrd");
		add(command, "%s", surroundings->initrd);
	}
	wrong = command_line_of(options, surroundings->time_ms, &line);
	if (wrong) {
		command_free(command);
	} else if (*line) {
		add(command, "-append");
		add(command, "%s", line);
	}
	free(line);
	return wrong;
}

void command_free(struct command *command)
{
	for (unsigned i = 0; i < command->nwords; i++)
		free(command->words[i]);
	free(command->words);
	*command = (struct command){ 0 };
}
