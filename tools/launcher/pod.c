/*
 * lavra pod: what `lavra run` would start, as a VirtualMachine of KubeVirt.
 *
 * KubeVirt boots a kernel out of a container's image; the image is expected there at /NAME. Which processors
 * the virtual CPUs get is its matter: it is asked for processors of their own.
 */
#include "tools/launcher/boot_files.h"
#include "tools/launcher/command.h"
#include "tools/launcher/command_words.h"
#include "tools/launcher/lavra.h"
#include "tools/launcher/options.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: lavra pod IMAGE --container NAME [options of lavra run] [-- ARGUMENTS]\n"
    "\n"
    "Print a VirtualMachine of KubeVirt (YAML) for the image: kernel boot out of the container's image\n"
    "NAME, which has the file at /IMAGE; virtual CPUs on processors of their own; a queue for each.\n"
    "\n"
    "  --container NAME     the container's image, as the cluster pulls it\n"
    "  --publish PORT:GUEST_PORT\n"
    "                       the guest's port is let through; who may reach it a Service says\n"
    "  --cores, --smp, --memory, --env, --aslr, --isolation, --poll, --append, -- as in lavra run\n"
    "  --pin off            no processors of its own\n"
    "\n"
    "There is no device by which the image ends the machine: when its program ends, the machine is\n"
    "still there, and its status is on the console.\n"
    "\n"
    "example\n"
    "  printf 'FROM scratch\\nCOPY httpd /httpd\\n' > Containerfile    # build it, push it as NAME\n"
    "  lavra pod build/apps/httpd/httpd --container NAME --cores 2 --publish 80:80 > httpd.yaml\n";

/* Text as YAML writes it between double quotes. */
static void put_quoted(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			printf("\\x%02x", c);
		else
			putchar(c);
	}
	putchar('"');
}

/* A name as Kubernetes takes it: small letters, digits, hyphens inside; 63 at most. */
static void name_machine(char *name, size_t size, const char *file)
{
	size_t length = (size_t)snprintf(name, size, "lavra-%s", file);

	if (length >= size)
		length = size - 1;
	for (size_t i = 0; i < length; i++) {
		if (name[i] >= 'A' && name[i] <= 'Z')
			name[i] = (char)(name[i] - 'A' + 'a');
		else if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789", name[i]))
			name[i] = '-';
	}
	while (length && name[length - 1] == '-')
		name[--length] = 0;
}

static void print_boot(const char *file, const char *line, const char *container)
{
	char path[NAME_MAX + 2]; /* the name of a file that is there */

	puts("        firmware:\n          kernelBoot:");
	if (*line) {
		fputs("            kernelArgs: ", stdout);
		put_quoted(line);
		putchar('\n');
	}
	fputs("            container:\n              image: ", stdout);
	put_quoted(container);
	fputs("\n              kernelPath: ", stdout);
	snprintf(path, sizeof(path), "/%s", file);
	put_quoted(path);
	putchar('\n');
}

static void print_cpu(const struct options *options)
{
	struct machine_shape shape = options->shape;

	if (!shape.sockets)
		shape = (struct machine_shape){ 1, 1, options->cores, 1 };
	puts("        cpu:");
	printf("          sockets: %u\n          cores: %u\n          threads: %u\n",
	       shape.sockets * shape.dies, shape.cores, shape.threads);
	puts("          model: host-passthrough");
	if (options->pin.kind != PIN_OFF)
		puts(
		    "          dedicatedCpuPlacement: true\n          isolateEmulatorThread: true");
}

static void print_devices(const struct options *options)
{
	puts("        devices:");
	puts("          autoattachGraphicsDevice: false\n          autoattachMemBalloon: false");
	if (options->network == NETWORK_NONE) {
		puts("          autoattachPodInterface: false");
		return;
	}
	printf("          networkInterfaceMultiqueue: %s\n", options->cores > 1 ? "true" : "false");
	puts("          interfaces:\n          - name: default\n            model: virtio\n"
	     "            masquerade: {}");
	if (options->npublished)
		puts("            ports:");
	for (unsigned i = 0; i < options->npublished; i++)
		printf("            - port: %u\n              protocol: %s\n",
		       options->published[i].guest_port, options->published[i].udp ? "UDP" : "TCP");
}

static void print_machine(const struct options *options, const char *container)
{
	const char *slash = strrchr(options->image, '/');
	const char *file = slash ? slash + 1 : options->image;
	char name[64], *line;
	const char *wrong = command_line_of(options, 0, &line);

	if (wrong)
		refuse(EXIT_USAGE, "%s", wrong);
	name_machine(name, sizeof(name), file);
	puts("apiVersion: kubevirt.io/v1\nkind: VirtualMachine");
	printf("metadata:\n  name: %s\n", name);
	puts("spec:\n  runStrategy: Always\n  template:");
	printf("    metadata:\n      labels:\n        kubevirt.io/domain: %s\n", name);
	/* Where lavra run puts them, not behind bridges. */
	puts("      annotations:\n        kubevirt.io/placePCIDevicesOnRootComplex: \"true\"");
	puts(
	    "    spec:\n      architecture: amd64\n      terminationGracePeriodSeconds: 0\n      domain:");
	print_boot(file, line, container);
	print_cpu(options);
	puts("        machine:\n          type: q35");
	printf("        memory:\n          guest: %luMi\n", options->memory_mib);
	/* Requests that equal limits make the pod one of those that get processors of their own. */
	printf("        resources:\n          requests:\n            memory: %luMi\n",
	       options->memory_mib);
	printf("          limits:\n            memory: %luMi\n", options->memory_mib);
	print_devices(options);
	if (options->network != NETWORK_NONE)
		puts("      networks:\n      - name: default\n        pod: {}");
	free(line);
}

/* What `lavra run` can, and a machine of KubeVirt cannot. */
static void check_options(const struct options *options)
{
	if (options->pin.kind == PIN_LIST || options->pin.kind == PIN_NUMA)
		refuse(EXIT_USAGE,
		       "--pin: KubeVirt chooses the CPUs on the machine that it chooses: "
		       "auto (CPUs of its own) or off");
	if (options->network == NETWORK_TAP)
		refuse(EXIT_USAGE,
		       "--net tap: the cluster makes the interface: leave --net out, or "
		       "take none");
	if (strcmp(options->machine, "q35") != 0)
		refuse(EXIT_USAGE, "--machine %s: KubeVirt starts q35", options->machine);
	if (options->files || options->initrd)
		refuse(EXIT_USAGE, "--files, --initrd: link them into the image with lavra-gcc "
				   "--files FOLDER");
	if (options->gdb || options->dry_run || options->nqemu_options)
		refuse(EXIT_USAGE, "--gdb, --dry-run and --qemu-option are for 'lavra run'");
}

static void pod(struct options *options, const char *container)
{
	struct boot_files files;
	const char *wrong;

	check_options(options);
	if (!container)
		refuse(EXIT_USAGE, "which container's image has the file? (--container NAME; "
				   "'lavra pod --help' shows how to make one)");
	wrong = boot_files_prepare(&files, options, launcher_path());
	if (!wrong && files.initrd)
		refuse(EXIT_CANNOT,
		       "%s is a program for Linux, which is packed when it is run: make "
		       "an image of it with lavra-gcc",
		       options->image);
	if (wrong)
		refuse(EXIT_CANNOT, "%s", wrong);
	print_machine(options, container);
	boot_files_free(&files);
}

int pod_command(int argc, char **argv)
{
	const char *container = NULL, *wrong;
	char **words = command_words(&argc, argv, "--container", "a name", &container);
	struct options options;

	wrong = options_parse(&options, argc, words);
	if (wrong)
		refuse(EXIT_USAGE, "%s\n'lavra pod --help' lists the options", wrong);
	if (options.help)
		fputs(usage, stdout);
	else
		pod(&options, container);
	options_free(&options);
	free(words);
	return 0;
}
