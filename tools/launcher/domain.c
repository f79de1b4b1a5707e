/*
 * lavra domain: what `lavra run` would start, as a domain of libvirt.
 *
 * The devices, their places on the bus and the processor are those of `lavra run`, so that an image finds
 * the same machine. What libvirt adds unless it is told otherwise (USB, a balloon) is left out.
 */
#include "tools/launcher/accelerator.h"
#include "tools/launcher/boot_files.h"
#include "tools/launcher/command.h"
#include "tools/launcher/lavra.h"
#include "tools/launcher/options.h"
#include "tools/launcher/pin.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: lavra domain IMAGE [options of lavra run] [-- ARGUMENTS]\n"
    "\n"
    "Print a domain of libvirt (XML) for what 'lavra run' would start with the same options: the same\n"
    "machine, kernel, command line and memory, and with --pin the same pin map.\n"
    "\n"
    "The network is --net tap:INTERFACE, an interface that exists when the domain is started, with a\n"
    "queue for each virtual CPU; or user, which can publish no ports there; or none. The console is\n"
    "a serial port. libvirt does not tell the image's exit status.\n"
    "\n"
    "example\n"
    "  lavra domain image --cores 2 --pin auto --net tap:tap0 --ip 10.0.0.2/24 > image.xml\n"
    "  virsh define image.xml\n";

/* Text as XML writes it. */
static void put_escaped(const char *text)
{
	for (; *text; text++)
		switch (*text) {
		case '&':
			fputs("&amp;", stdout);
			break;
		case '<':
			fputs("&lt;", stdout);
			break;
		case '>':
			fputs("&gt;", stdout);
			break;
		case '\'':
			fputs("&apos;", stdout);
			break;
		case '"':
			fputs("&quot;", stdout);
			break;
		default:
			putchar(*text);
		}
}

static void put_element(const char *indent, const char *name, const char *text)
{
	printf("%s<%s>", indent, name);
	put_escaped(text);
	printf("</%s>\n", name);
}

/* The file from the root on, as libvirt wants it. */
static char *absolute(const char *path)
{
	char *result = realpath(path, NULL);

	if (!result)
		refuse(EXIT_CANNOT, "%s: %s", path, strerror(errno));
	return result;
}

/* Where the shell would find the program. */
static char *find_program(const char *name)
{
	const char *folders = getenv("PATH");
	char path[PATH_MAX];

	if (strchr(name, '/'))
		return absolute(name);
	while (folders && *folders) {
		int length = (int)strcspn(folders, ":");

		snprintf(path, sizeof(path), "%.*s/%s", length, folders, name);
		if (access(path, X_OK) == 0)
			return absolute(path);
		folders += length + (folders[length] == ':');
	}
	refuse(EXIT_CANNOT, "%s is not there ('make packages' installs it; --qemu names another)",
	       name);
}

static void print_name(const char *image)
{
	const char *name = strrchr(image, '/') ? strrchr(image, '/') + 1 : image;

	/* Part of the names of files that libvirt makes. */
	fputs("  <name>lavra-", stdout);
	for (; *name; name++)
		putchar(strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-",
			       *name)
			    ? *name
			    : '-');
	fputs("</name>\n", stdout);
}

static void print_tuning(const struct placement *placement)
{
	char *others;

	if (!placement->pinned)
		return;
	if (hwloc_bitmap_list_asprintf(&others, placement->others) < 0)
		abort();
	puts("  <cputune>");
	for (unsigned i = 0; i < placement->ncpus; i++)
		printf("    <vcpupin vcpu='%u' cpuset='%u'/>\n", i, placement->cpu[i]);
	printf("    <emulatorpin cpuset='%s'/>\n", others);
	puts("  </cputune>");
	if (placement->bind_memory)
		printf("  <numatune>\n    <memory mode='strict' nodeset='%d'/>\n  </numatune>\n",
		       placement->node);
	free(others);
}

static void print_cpu(const struct options *options, const struct placement *placement, bool kvm)
{
	struct machine_shape shape = options->shape.sockets ? options->shape : placement->shape;

	if (!shape.sockets)
		shape = (struct machine_shape){ 1, 1, options->cores, 1 };
	puts(kvm ? "  <cpu mode='host-passthrough' migratable='off'>"
		 : "  <cpu mode='maximum' check='none'>");
	printf("    <topology sockets='%u' dies='%u' cores='%u' threads='%u'/>\n  </cpu>\n",
	       shape.sockets, shape.dies, shape.cores, shape.threads);
}

static void print_network(const struct options *options, bool vhost)
{
	if (options->network == NETWORK_NONE)
		return;
	if (options->network == NETWORK_TAP) {
		puts("    <interface type='ethernet'>");
		fputs("      <target dev='", stdout);
		put_escaped(options->tap);
		puts("' managed='no'/>");
	} else {
		puts("    <interface type='user'>");
	}
	/* The address that QEMU gives where nobody says one. */
	puts("      <mac address='52:54:00:12:34:56'/>");
	puts("      <model type='virtio'/>");
	if (options->network == NETWORK_TAP)
		printf("      <driver name='%s' queues='%u'/>\n", vhost ? "vhost" : "qemu",
		       options->cores);
	/* No boot ROM, and on the first bus, not behind a bridge. */
	puts("      <rom enabled='no'/>");
	puts("      <address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x0'/>");
	puts("    </interface>");
}

static void print_devices(const struct options *options, bool vhost)
{
	char *emulator = find_program(options->qemu);

	puts("  <devices>");
	put_element("    ", "emulator", emulator);
	print_network(options, vhost);
	puts("    <controller type='usb' model='none'/>");
	puts("    <serial type='pty'>\n      <target port='0'/>\n    </serial>");
	puts("    <console type='pty'>\n      <target type='serial' port='0'/>\n    </console>");
	puts("    <memballoon model='none'/>");
	puts("  </devices>");
	free(emulator);
}

static void print_extra(const struct options *options)
{
	puts("  <qemu:commandline>");
	/* How an image ends: it stops QEMU. */
	puts("    <qemu:arg value='-device'/>");
	puts("    <qemu:arg value='isa-debug-exit,iobase=0xf4,iosize=4'/>");
	for (unsigned i = 0; i < options->nqemu_options; i++) {
		fputs("    <qemu:arg value='", stdout);
		put_escaped(options->qemu_options[i]);
		puts("'/>");
	}
	puts("  </qemu:commandline>");
}

/* What `lavra run` can, and a domain cannot. */
static void check_options(const struct options *options)
{
	if (options->npublished)
		refuse(EXIT_USAGE, "--publish: libvirt's user network publishes no ports with this "
				   "QEMU: take --net tap:INTERFACE");
	if (!strcmp(options->machine, "microvm"))
		refuse(EXIT_USAGE, "--machine microvm: libvirt cannot give it PCI: take q35 or pc");
	if (options->gdb || options->dry_run)
		refuse(EXIT_USAGE, "--gdb and --dry-run are for 'lavra run'");
}

static void print_domain(const struct options *options, const struct boot_files *files,
			 const struct placement *placement)
{
	bool kvm = accelerator_is_kvm(options), vhost = kvm && device_opens("/dev/vhost-net");
	char *image = absolute(files->image), *line;
	const char *wrong = command_line_of(options, 0, &line);

	if (wrong)
		refuse(EXIT_USAGE, "%s", wrong);
	printf("<domain type='%s' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n",
	       kvm ? "kvm" : "qemu");
	print_name(options->image);
	printf("  <memory unit='MiB'>%lu</memory>\n", options->memory_mib);
	printf("  <vcpu placement='static'>%u</vcpu>\n", options->cores);
	print_tuning(placement);
	puts("  <os>");
	printf("    <type arch='x86_64' machine='%s'>hvm</type>\n", options->machine);
	put_element("    ", "kernel", image);
	if (files->initrd) {
		char *initrd = absolute(files->initrd);

		put_element("    ", "initrd", initrd);
		free(initrd);
	}
	if (*line)
		put_element("    ", "cmdline", line);
	puts("  </os>");
	puts("  <features>\n    <acpi/>\n    <apic/>\n  </features>");
	print_cpu(options, placement, kvm);
	puts("  <clock offset='utc'/>");
	puts("  <on_poweroff>destroy</on_poweroff>\n  <on_reboot>destroy</on_reboot>\n"
	     "  <on_crash>destroy</on_crash>");
	print_devices(options, vhost);
	print_extra(options);
	puts("</domain>");
	free(line);
	free(image);
}

static void domain(const struct options *options)
{
	struct boot_files files;
	struct pin pin;
	const char *wrong;

	check_options(options);
	wrong = boot_files_prepare(&files, options, launcher_path());
	if (!wrong && files.fd >= 0)
		refuse(EXIT_CANNOT,
		       "files that 'lavra run' packs (--files, or a program for Linux) "
		       "end with it: pack them with cpio -o -H newc, and give --initrd");
	if (!wrong)
		wrong = pin_prepare(&pin, options);
	if (wrong)
		refuse(EXIT_CANNOT, "%s", wrong);
	print_domain(options, &files, &pin.placement);
	pin_free(&pin);
	boot_files_free(&files);
}

int domain_command(int argc, char **argv)
{
	struct options options;
	const char *wrong = options_parse(&options, argc, argv);

	if (wrong)
		refuse(EXIT_USAGE, "%s\n'lavra domain --help' lists the options", wrong);
	if (options.help)
		fputs(usage, stdout);
	else
		domain(&options);
	options_free(&options);
	return 0;
}
