/*
 * lavra run: start an image under QEMU.
 *
 * The image's exit status comes out as this program's own. It arrives as the text "exit <n>" that
 * the image writes to an ISA debug console, which QEMU writes to an unnamed file; an image
 * that ends without it (killed, triple fault) is reported and gives 124.
 */
#include "tools/launcher/accelerator.h"
#include "tools/launcher/boot_files.h"
#include "tools/launcher/command.h"
#include "tools/launcher/lavra.h"
#include "tools/launcher/options.h"
#include "tools/launcher/pin.h"
#include "tools/launcher/run_folder.h"
#include "tools/launcher/usage.h"

#include <arpa/inet.h>
#include <errno.h>
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

static pid_t start(const struct command *command, const struct pin *pin,
		   const sigset_t *old_signals)
{
	const char *wrong;
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
	wrong = pin_before_exec(pin);
	if (wrong) {
		fprintf(stderr, "lavra: %s\n", wrong);
		_exit(EXIT_CANNOT);
	}
	execvp(command->words[0], command->words);
	fprintf(stderr, "lavra: %s: %s%s\n", command->words[0], strerror(errno),
		errno == ENOENT ? " ('make packages' installs it)" : "");
	_exit(EXIT_CANNOT);
}

/* Wait for QEMU; pass on what asks us to end. Returns its wait status; *signal is what ended us, or 0; at
 * first what it has been sent already. */
static int wait_for(pid_t child, const sigset_t *signals, int *signal)
{
	struct timespec patience = { .tv_sec = PATIENCE_S };
	int status;

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

static void prepare_pin(struct pin *pin, const struct options *options)
{
	const char *wrong;

	*pin = (struct pin){ .ours = -1, .theirs = -1 };
	if (options->pin.kind == PIN_OFF)
		return;
	wrong = pin_prepare(pin, options);
	if (!wrong && !options->dry_run)
		wrong = pin_connect(pin);
	if (wrong)
		refuse(EXIT_CANNOT, "%s", wrong);
	if (pin->placement.too_many)
		fprintf(stderr, "lavra: %s\n", pin_too_many(pin));
}

/* All that belongs to one run. */
struct run {
	const struct options *options;
	struct boot_files files;
	struct pin pin;
	struct command command;
	int status_file; /* without a name, so nothing is to be cleaned up */
	sigset_t signals, old_signals;
};

/* From here on a signal ends us where we clean up. */
static void block_signals(struct run *run)
{
	sigemptyset(&run->signals);
	sigaddset(&run->signals, SIGCHLD);
	sigaddset(&run->signals, SIGINT);
	sigaddset(&run->signals, SIGTERM);
	sigaddset(&run->signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &run->signals, &run->old_signals);
}

static void prepare(struct run *run)
{
	const struct options *options = run->options;
	struct surroundings surroundings = { 0 };
	char status_path[32];
	const char *wrong = boot_files_prepare(&run->files, options, launcher_path());

	if (wrong)
		refuse(EXIT_CANNOT, "%s", wrong);
	/* QEMU inherits it and opens it by its descriptor. */
	run->status_file = memfd_create("lavra-exit-status", 0);
	if (run->status_file < 0)
		refuse(EXIT_CANNOT, "memfd_create: %s", strerror(errno));
	snprintf(status_path, sizeof(status_path), "/dev/fd/%d", run->status_file);
	prepare_pin(&run->pin, options);
	block_signals(run);
	surroundings = (struct surroundings){
		.image = run->files.image,
		.initrd = run->files.initrd,
		.status_path = status_path,
		.shape = run->pin.placement.shape,
		.control_fd = run->pin.theirs > 0 ? run->pin.theirs : 0,
		.kvm = accelerator_is_kvm(options),
		/* A command that is only printed would tell an old time when it is run. */
		.time_ms = options->dry_run ? 0 : wall_clock_ms(),
	};
	surroundings.vhost = surroundings.kvm && device_opens("/dev/vhost-net");
	if (options->monitor && !options->dry_run)
		surroundings.monitor_path = make_monitor_file(options->image);
	wrong = command_build(&run->command, options, &surroundings);
	if (wrong)
		refuse(EXIT_USAGE, "%s", wrong);
}

static void check_network(const struct options *options)
{
	for (unsigned i = 0; i < options->npublished; i++)
		check_port(&options->published[i]);
	if (options->network == NETWORK_TAP && !if_nametoindex(options->tap))
		refuse(EXIT_CANNOT, "there is no network interface '%s'", options->tap);
}

/* Until QEMU ends: its wait status. *signal: what ended us, or 0. Refuses if it could not be pinned. */
static int run_qemu(struct run *run, int *signal)
{
	struct termios terminal;
	bool has_terminal = tcgetattr(STDIN_FILENO, &terminal) == 0, interrupted = false;
	pid_t child = start(&run->command, &run->pin, &run->old_signals);
	const char *wrong = pin_apply(&run->pin, &run->signals, !run->options->gdb, &interrupted);
	char pin_wrong[512] = "";
	int wait_status;

	if (wrong && !interrupted) {
		snprintf(pin_wrong, sizeof(pin_wrong), "%s", wrong);
		*signal = SIGTERM;
		kill(child, *signal);
	}
	wait_status = wait_for(child, &run->signals, signal);
	/* QEMU changes the terminal, and does not undo it when it is killed. */
	if (has_terminal)
		tcsetattr(STDIN_FILENO, TCSANOW, &terminal);
	if (*pin_wrong) {
		*signal = 0;
		/* If QEMU has failed by itself, that is told later. */
		if (WIFSIGNALED(wait_status) || !WEXITSTATUS(wait_status))
			refuse(EXIT_CANNOT, "%s", pin_wrong);
	}
	return wait_status;
}

/* Our exit status, or why there is none. */
static int end_status(const struct run *run, int wait_status, int signal)
{
	int status = read_status(run->status_file);

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

static int run_image(const struct options *options)
{
	struct run run = { .options = options };
	int status = 0, signal = 0;

	prepare(&run);
	if (options->dry_run) {
		print_command(&run.command);
		pin_print(&run.pin, "# ");
	} else {
		check_network(options);
		status = run_qemu(&run, &signal);
		status = end_status(&run, status, signal);
	}
	pin_free(&run.pin);
	command_free(&run.command);
	boot_files_free(&run.files);
	return status;
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
		status = run_image(&options);
	options_free(&options);
	return status;
}
