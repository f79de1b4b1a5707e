#include "tools/launcher/terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* An alternate screen, without a cursor; lines are not wrapped. */
#define BEGIN "\033[?1049h\033[?25l\033[?7l\033[2J"
#define END "\033[?7h\033[?25h\033[?1049l"

static struct termios before;
static volatile sig_atomic_t over;

static void note_end(int number)
{
	over = 1;
}

static void note_size(int number) {}

static void handle(int number, void (*handler)(int))
{
	struct sigaction action = { .sa_handler = handler };

	sigaction(number, &action, NULL);
}

bool terminal_begin(void)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &before) != 0)
		return false;
	handle(SIGINT, note_end);
	handle(SIGTERM, note_end);
	handle(SIGHUP, note_end);
	handle(SIGWINCH, note_size); /* ends a wait, so that all is drawn anew */
	raw = before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) != 0)
		return false;
	fputs(BEGIN, stdout);
	fflush(stdout);
	return true;
}

void terminal_end(void)
{
	fputs(END, stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

bool terminal_is_over(void)
{
	return over;
}

int terminal_key(int timeout_ms)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	unsigned char key;
	ssize_t got;

	if (over)
		return TERMINAL_CLOSED;
	if (poll(&input, 1, timeout_ms) <= 0)
		return over ? TERMINAL_CLOSED : TERMINAL_NO_KEY;
	got = read(STDIN_FILENO, &key, 1);
	if (got == 1)
		return key;
	return got < 0 && errno == EINTR ? TERMINAL_NO_KEY : TERMINAL_CLOSED;
}

void terminal_size(unsigned *width, unsigned *height)
{
	struct winsize size;

	*width = 80;
	*height = 24;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row) {
		*width = size.ws_col;
		*height = size.ws_row;
	}
}
