#include "password.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#define CTRL_C 3

/* One byte at a time: nothing behind the line is taken from a terminal or pipe that others read too. */
static bool read_line(int fd, struct buf *out, const char **why)
{
	for (;;) {
		char c;
		ssize_t n = read(fd, &c, 1);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0 || c == '\n' || c == '\r')
			break;
		if (c == CTRL_C) {
			*why = "given up";
			return false;
		}
		if (c == '\0' || out->len >= PASSWORD_MAX || !buf_add_char(out, c)) {
			*why = "a password has at most 511 bytes, none of them NUL";
			return false;
		}
	}
	*why = "the password is empty";
	return out->len > 0;
}

bool password_read(int fd, struct buf *out, const char **why)
{
	return read_line(fd, out, why);
}

static void say(int tty, const char *text)
{
	(void)!write(tty, text, strlen(text));
}

static bool ask_once(int tty, const char *prompt, const char *about, struct buf *out, const char **why)
{
	bool ok;

	say(tty, prompt);
	say(tty, about);
	say(tty, ": ");
	ok = read_line(tty, out, why);
	say(tty, "\n");
	return ok;
}

static bool ask_twice(int tty, const char *about, struct buf *out, const char **why)
{
	struct buf again = buf_make_secret(PASSWORD_MAX + 1);
	bool ok = ask_once(tty, "New password for ", about, out, why) && ask_once(tty, "Again for ", about, &again, why);

	if (ok && !mem_equal_secret(buf_slice(out), buf_slice(&again))) {
		*why = "the two passwords differ";
		ok = false;
	}
	buf_free(&again);
	return ok;
}

/* Without ISIG an interrupt comes as a byte, and the terminal is put right again whatever happens. */
static bool ask_without_echo(int tty, const char *about, struct buf *out, const char **why)
{
	struct termios before, quiet;
	bool ok;

	if (tcgetattr(tty, &before) == -1) {
		*why = "this is no terminal; use --password-stdin or --generate";
		return false;
	}
	quiet = before;
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ISIG);
	if (tcsetattr(tty, TCSAFLUSH, &quiet) == -1) {
		*why = "the terminal's echo cannot be switched off";
		return false;
	}
	ok = ask_twice(tty, about, out, why);
	(void)tcsetattr(tty, TCSAFLUSH, &before);
	return ok;
}

bool password_ask(const char *about, struct buf *out, const char **why)
{
	int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	bool ok;

	if (tty < 0) {
		*why = "there is no terminal to ask on; use --password-stdin or --generate";
		return false;
	}
	ok = ask_without_echo(tty, about, out, why);
	close(tty);
	return ok;
}

bool password_generate(struct buf *out)
{
	static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789";
	unsigned char random[20];
	bool ok = true;

	mem_random(random, sizeof(random));
	for (size_t i = 0; ok && i < sizeof(random); i++)
		ok = buf_add_char(out, letters[random[i] % (sizeof(letters) - 1)]);
	mem_wipe(random, sizeof(random));
	return ok;
}
