/*
 * The initial tree.
 */
#include "posix/fs/archive.h"
#include "posix/fs/fs.h"
#include "posix/fs/lookup.h"
#include "posix/fs/make.h"
#include "posix/fs/pseudo.h"
#include "posix/process/machine.h"

#include "lavra/console.h"
#include "net/config.h"

#include <string.h>
#include <sys/utsname.h>

long sys_getuid(void);
long sys_getgid(void);

static void must(const char *what, int error)
{
	if (error)
		panic("the initial file system: %s: error %d", what, -error);
}

static void make_root(void)
{
	struct inode *root = inode_create(S_IFDIR | 0755, VOLUME_RAM, true);

	if (!root)
		panic("no memory for the file system");
	root->links = 2;
	set_root_directory(root);
}

/* The root of another volume. */
static void make_volume(const char *path, size_t length, enum volume volume)
{
	const struct name name = { root_directory(), path + 1, length, false };

	must(path, make_node(&name, S_IFDIR | 0555, volume, NULL));
}

static void make_all(const struct pseudo_node *nodes, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		must(nodes[i].path, make_pseudo(&nodes[i]));
}

static void make_text(const char *path, const char *text)
{
	if (!fs_exists(path))
		must(path, fs_make_file(path, 0644, text, strlen(text)));
}

static void print_resolv_conf(struct text *text, unsigned number)
{
	char bytes[RESOLV_CONF_MAX];

	text_append(text, bytes, network_resolv_conf(bytes));
}

static void print_hosts(struct text *text, unsigned number)
{
	struct utsname name;
	char bytes[HOSTS_MAX];

	machine_name(&name);
	text_append(text, bytes, network_hosts(bytes, name.nodename));
}

/* The network may learn of its name servers and addresses later, so these are printed when they are read. */
static const struct pseudo_node network_nodes[] = {
	{ .path = "/etc/hosts", .mode = S_IFREG | 0644, .print = print_hosts },
	{ .path = "/etc/resolv.conf", .mode = S_IFREG | 0644, .print = print_resolv_conf },
};

/* What programs look for, unless an archive has brought it. */
static void make_defaults(void)
{
	struct utsname name;
	char text[sizeof(name.nodename) + 1];

	machine_name(&name);
	ksnprintf(text, sizeof(text), "%s\n", name.nodename);
	make_text("/etc/group", "root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n");
	make_text("/etc/hostname", text);
	make_text("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n");
	make_text("/etc/passwd", "root:x:0:0:root:/:/bin/sh\nuser:x:1000:1000:user:/:/bin/sh\n"
				 "nobody:x:65534:65534:nobody:/:/bin/false\n");
	for (unsigned i = 0; i < array_size(network_nodes); i++)
		if (!fs_exists(network_nodes[i].path))
			must(network_nodes[i].path, make_pseudo(&network_nodes[i]));
}

void fs_init(void)
{
	make_root();
	make_volume("/proc", 4, VOLUME_PROC);
	make_volume("/sys", 3, VOLUME_SYS);
	make_all(device_nodes, ndevice_nodes);
	make_all(proc_nodes, nproc_nodes);
	make_all(self_nodes, nself_nodes);
	make_all(sys_nodes, nsys_nodes);
	must("/dev/shm", fs_make_directory("/dev/shm", 01777));
	must("/tmp", fs_make_directory("/tmp", 01777));
	must("/var/tmp", fs_make_directory("/var/tmp", 01777));
	must("/run", fs_make_directory("/run", 0755));
	tree_seal();

	archive_unpack_all();
	make_defaults();
	inode_set_owner(sys_getuid(), sys_getgid());
}
