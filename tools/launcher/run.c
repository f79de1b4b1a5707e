/*
 * lavra run: start an image under QEMU.
 *
 * The image's exit status comes out as this program's own. It arrives as the text "exit <n>" that
 * the image writes to an ISA debug console, which QEMU writes to an unnamed file; an image
 * that ends without it (killed, triple fault) is reported and gives 124.
 */
#include "tools/launcher/boot_files.h"
#include "tools/launcher/command.h"
#include "tools/launcher/lavra.h"
#include "tools/launcher/options.h"
#include "tools/launcher/run_folder.h"
#include "tools/launcher/usage.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define EXIT_NO_STATUS 124 /* the image ended without saying how */

#define PATIENCE_S 5 /* from asking QEMU to end to killing it */

/* Does the processor have what KVM needs? */
static bool cpu_has_virtualization(void)
{
	char *line = NULL;
	size_t size = 0;
	bool found = false;
	FILE *file = fopen("/proc/cpuinfo", "re");

	if (!file)
		return false;
	while (!found && getline(&line, &size, file) > 0)
		if (!strncmp(line, "flags", 5)) {
			for (char *word = strtok(line, " \t\n"); word; word = strtok(NULL, " \t\n"))
				found |= !strcmp(word, "vmx") || !strcmp(word, "svm");
			break; /* all processors are alike */
		}
	free(line);
	fclose(file);
	return found;
}

static bool can_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static bool choose_kvm(const struct options *options)
{
	enum accelerator accelerator = options->accelerator;
	bool cpu = cpu_has_virtualization();
	bool device = can_open("/dev/kvm");
	int error = errno;

	if (accelerator == ACCELERATOR_TCG)
		return false;
	if (accelerator == ACCELERATOR_KVM && !cpu)
		refuse(EXIT_CANNOT,
		       "no KVM: this processor shows neither VMX nor SVM (use --accel tcg)");
	if (accelerator == ACCELERATOR_KVM && !device)
		refuse(EXIT_CANNOT, "no KVM: /dev/kvm: %s (use --accel tcg)", strerror(error));
	if (cpu && !device && !options->dry_run)
		fprintf(stderr, "lavra: /dev/kvm: %s; going on without KVM, which is slower\n",
			strerror(error));
	return cpu && device;
}

/* QEMU says it less clearly, and after it has started. */
static void check_port(const struct published_port *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port->host_port) };
	int fd = socket(AF_INET, (port->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
	int one = 1;

	inet_pton(AF_INET, port->address, &address.sin_addr);
	if (fd < 0 ||
	    (!port->udp && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0))
		refuse(EXIT_CANNOT, "socket: %s", strerror(errno));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		refuse(EXIT_CANNOT,
		       "cannot publish on %s:%u: %s (choose another port: --publish, or make run "
		       "PORT=)",
		       port->address, port->host_port, strerror(errno));
	close(fd);
}

static void print_command(const struct command *command)
{
	for (unsigned i = 0; i < command->nwords; i++) {
		const char *word = command->words[i];

		fputs(i ? " " : "", stdout);
		if (*word && !word[strcspn(word, " \t\n\"'\\$`*?[]{}()<>|&;#~!")]) {
			fputs(word, stdout);
			continue;
		}
		putchar('\'');
		for (; *word; word++)
			if (*word == '\'')
				fputs("'\\''", stdout);
			else
				putchar(*word);
		putchar('\'');
	}
	putchar('\n');
}

static pid_t start(const struct command *command, const sigset_t *old_signals)
{
	pid_t parent = getpid(), child = fork();

	if (child < 0)
		refuse(EXIT_CANNOT, "fork: %s", strerror(errno));
	if (child > 0)
		return child;
	/* A launcher that is killed takes its QEMU with it. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(EXIT_CANNOT);
	sigprocmask(SIG_SETMASK, old_signals, NULL);
	execvp(command->words[0], command->words);
	fprintf(stderr, "lavra: %s: %s%s\n", command->words[0], strerror(errno),
		errno == ENOENT ? " ('make packages' installs it)" : "");
	_exit(EXIT_CANNOT);
}

/* Wait for QEMU; pass on what asks us to end. Returns its wait status; *signal is what ended us, or 0. */
static int wait_for(pid_t child, const sigset_t *signals, int *signal)
{
	struct timespec patience = { .tv_sec = PATIENCE_S };
	int status;

	*signal = 0;
	for (;;) {
		int number = *signal ? sigtimedwait(signals, NULL, &patience)
				     : sigwaitinfo(signals, NULL);

		if (number < 0 && errno == EAGAIN) {
			fprintf(stderr, "lavra: QEMU does not end: killed\n");
			kill(child, SIGKILL);
		} else if (number == SIGCHLD) {
			if (waitpid(child, &status, WNOHANG) == child)
				return status;
		} else if (number > 0 && !*signal) {
			*signal = number;
			kill(child, SIGTERM);
		}
	}
}

/* The last "exit <n>" in the status file, or -1. */
static int read_status(int fd)
{
	char text[64] = "";
	off_t size = lseek(fd, 0, SEEK_END);
	off_t from = size > (off_t)sizeof(text) - 1 ? size - ((off_t)sizeof(text) - 1) : 0;
	char *last = NULL, *found;
	int status = -1;

	if (size <= 0 || pread(fd, text, sizeof(text) - 1, from) <= 0)
		return -1;
	for (found = text; (found = strstr(found, "exit ")); found++)
		last = found;
	if (!last || sscanf(last, "exit %d\n", &status) != 1 || status < 0 || status > 255)
		return -1;
	return status;
}

/* Where this program is. */
static const char *own_path(void)
{
	static char path[4096];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (length <= 0)
		refuse(EXIT_CANNOT, "/proc/self/exe: %s", strerror(errno));
	path[length] = 0;
	return path;
}

static uint64_t wall_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static struct monitor_file monitor_file;

static void remove_monitor_file(void)
{
	monitor_file_remove(&monitor_file);
}

/* The image runs without it, too. */
static const char *make_monitor_file(const char *image)
{
	const char *wrong = monitor_file_create(&monitor_file, image);

	if (wrong) {
		fprintf(stderr, "lavra: %s; going on without what 'lavra top' reads\n", wrong);
		return NULL;
	}
	atexit(remove_monitor_file);
	return monitor_file.path;
}

static int run(const struct options *options)
{
	struct boot_files files;
	struct surroundings surroundings;
	struct command command;
	struct termios terminal;
	bool has_terminal = tcgetattr(STDIN_FILENO, &terminal) == 0;
	sigset_t signals, old_signals;
	char status_path[32];
	const char *wrong;
	int status_file, status, wait_status, signal;
	pid_t child;

	wrong = boot_files_prepare(&files, options, own_path());
	if (!wrong)
		wrong = boot_files_fit(&files, options->memory_mib);
	if (wrong)
		refuse(EXIT_CANNOT, "%s", wrong);
	/* No name, so nothing to clean up; QEMU inherits it and opens it by its descriptor. */
	status_file = memfd_create("lavra-exit-status", 0);
	if (status_file < 0)
		refuse(EXIT_CANNOT, "memfd_create: %s", strerror(errno));
	snprintf(status_path, sizeof(status_path), "/dev/fd/%d", status_file);
	surroundings = (struct surroundings){
		.image = files.image,
		.initrd = files.initrd,
		.status_path = status_path,
		.kvm = choose_kvm(options),
		/* A command that is only printed would tell an old time when it is run. */
		.time_ms = options->dry_run ? 0 : wall_clock_ms(),
	};
	/* From here on a signal ends us where we clean up. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, &old_signals);
	if (options->monitor && !options->dry_run)
		surroundings.monitor_path = make_monitor_file(options->image);
	surroundings.vhost = surroundings.kvm && can_open("/dev/vhost-net");
	wrong = command_build(&command, options, &surroundings);
	if (wrong)
		refuse(EXIT_USAGE, "%s", wrong);
	if (options->dry_run) {
		print_command(&command);
		command_free(&command);
		boot_files_free(&files);
		return 0;
	}

	for (unsigned i = 0; i < options->npublished; i++)
		check_port(&options->published[i]);
	if (options->network == NETWORK_TAP && !if_nametoindex(options->tap))
		refuse(EXIT_CANNOT, "there is no network interface '%s'", options->tap);

	child = start(&command, &old_signals);
	wait_status = wait_for(child, &signals, &signal);
	/* QEMU changes the terminal, and does not undo it when it is killed. */
	if (has_terminal)
		tcsetattr(STDIN_FILENO, TCSANOW, &terminal);
	command_free(&command);
	boot_files_free(&files);

	status = read_status(status_file);
	if (status >= 0)
		return status;
	if (signal)
		return 128 + signal;
	if (WIFSIGNALED(wait_status))
		refuse(EXIT_NO_STATUS, "QEMU was ended by signal %d (%s)", WTERMSIG(wait_status),
		       strsignal(WTERMSIG(wait_status)));
	if (WEXITSTATUS(wait_status) == EXIT_CANNOT)
		return EXIT_CANNOT;
	if (WEXITSTATUS(wait_status))
		refuse(EXIT_NO_STATUS, "QEMU failed with status %d; what it said is above",
		       WEXITSTATUS(wait_status));
	refuse(EXIT_NO_STATUS, "the image ended without an exit status: it reset the machine, by "
			       "a triple fault or on purpose");
}

int run_command(int argc, char **argv)
{
	struct options options;
	const char *wrong = options_parse(&options, argc, argv);
	int status = 0;

	if (wrong)
		refuse(EXIT_USAGE, "%s\n'lavra run --help' lists the options", wrong);
	if (options.help)
		fputs(run_usage, stdout);
	else
		status = run(&options);
	options_free(&options);
	return status;
}
