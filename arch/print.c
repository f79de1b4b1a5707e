#include "arch/print.h"

#include "lavra/console.h"

#include <string.h>

struct output {
	print_sink *sink;
	void *argument;
	size_t count;
};

struct conversion {
	bool left, zero, plus, alternate;
	int width;
	int precision; /* -1: none given */
};

static void put(struct output *out, const char *bytes, size_t len)
{
	if (len == 0)
		return;
	out->sink(out->argument, bytes, len);
	out->count += len;
}

static void put_repeated(struct output *out, char c, long count)
{
	char block[16];

	memset(block, c, sizeof(block));
	for (; count > 0; count -= (long)sizeof(block))
		put(out, block, min((size_t)count, sizeof(block)));
}

static void put_text(struct output *out, const struct conversion *c, const char *text, size_t len)
{
	long padding = c->width - (long)len;

	if (!c->left)
		put_repeated(out, ' ', padding);
	put(out, text, len);
	if (c->left)
		put_repeated(out, ' ', padding);
}

static void put_number(struct output *out, const struct conversion *c, uint64_t value,
		       unsigned base, bool upper, const char *prefix)
{
	const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	size_t prefix_len = strlen(prefix);
	char buffer[24];
	char *end = buffer + sizeof(buffer), *p = end;
	long ndigits, zeros, padding;

	for (; value != 0; value /= base)
		*--p = digits[value % base];
	ndigits = end - p;
	if (c->precision >= 0)
		zeros = c->precision - ndigits;
	else if (c->zero && !c->left)
		zeros = c->width - (long)prefix_len - ndigits;
	else
		zeros = 0;
	/* Zero is one digit, unless precision 0 asks for none. */
	if (ndigits == 0 && c->precision < 0)
		zeros = max(zeros, 1l);
	zeros = max(zeros, 0l);
	padding = c->width - (long)prefix_len - zeros - ndigits;
	if (!c->left)
		put_repeated(out, ' ', padding);
	put(out, prefix, prefix_len);
	put_repeated(out, '0', zeros);
	put(out, p, (size_t)ndigits);
	if (c->left)
		put_repeated(out, ' ', padding);
}

static void put_ipv4(struct output *out, const struct conversion *c, const uint8_t *address)
{
	char text[16];
	int len = ksnprintf(text, sizeof(text), "%u.%u.%u.%u", address[0], address[1], address[2],
			    address[3]);

	put_text(out, c, text, (size_t)len);
}

static void put_mac(struct output *out, const struct conversion *c, const uint8_t *address)
{
	char text[18];
	int len = ksnprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", address[0],
			    address[1], address[2], address[3], address[4], address[5]);

	put_text(out, c, text, (size_t)len);
}

/* A va_list that a function takes and leaves advanced must travel inside a structure. */
struct arguments {
	va_list list;
};

static uint64_t take_unsigned(struct arguments *args, int length)
{
	switch (length) {
	case -2:
		return (unsigned char)va_arg(args->list, int);
	case -1:
		return (unsigned short)va_arg(args->list, int);
	case 0:
		return va_arg(args->list, unsigned);
	default:
		return va_arg(args->list, unsigned long);
	}
}

static int64_t take_signed(struct arguments *args, int length)
{
	switch (length) {
	case -2:
		return (signed char)va_arg(args->list, int);
	case -1:
		return (short)va_arg(args->list, int);
	case 0:
		return va_arg(args->list, int);
	default:
		return va_arg(args->list, long);
	}
}

static const char *parse_int(const char *p, struct arguments *args, int *value)
{
	const int limit = 4096; /* no line is wider; keeps the arithmetic far from overflow */
	int n = 0;

	if (*p == '*') {
		n = va_arg(args->list, int);
		p++;
	} else {
		for (; *p >= '0' && *p <= '9'; p++)
			n = min(n * 10 + (*p - '0'), limit);
	}
	*value = max(min(n, limit), -limit);
	return p;
}

static const char *parse_conversion(const char *p, struct arguments *args, struct conversion *c)
{
	*c = (struct conversion){ .precision = -1 };
	for (;; p++) {
		if (*p == '-')
			c->left = true;
		else if (*p == '0')
			c->zero = true;
		else if (*p == '+')
			c->plus = true;
		else if (*p == '#')
			c->alternate = true;
		else
			break;
	}
	p = parse_int(p, args, &c->width);
	if (c->width < 0) {
		c->left = true;
		c->width = -c->width;
	}
	if (*p == '.')
		p = parse_int(p + 1, args, &c->precision);
	return p;
}

/* -2 char, -1 short, 0 int, 1 long and everything as long as it. */
static const char *parse_length(const char *p, int *length)
{
	*length = 0;
	for (;; p++) {
		if (*p == 'h')
			--*length;
		else if (*p == 'l' || *p == 'z' || *p == 't' || *p == 'j')
			*length = 1;
		else
			return p;
	}
}

static void put_pointer(struct output *out, struct conversion *c, const char **p, const void *value)
{
	if (**p == 'I') {
		++*p;
		put_ipv4(out, c, value);
	} else if (**p == 'M') {
		++*p;
		put_mac(out, c, value);
	} else {
		put_number(out, c, (uint64_t)value, 16, false, "0x");
	}
}

size_t print_format(print_sink *sink, void *argument, const char *p, va_list list)
{
	struct output out = { .sink = sink, .argument = argument };
	struct arguments args;
	struct conversion c;
	const char *text;
	int64_t number;
	int length;
	char byte;

	va_copy(args.list, list);
	for (;;) {
		const char *plain = p;

		while (*p != '\0' && *p != '%')
			p++;
		put(&out, plain, (size_t)(p - plain));
		if (*p == '\0')
			break;
		p = parse_conversion(p + 1, &args, &c);
		p = parse_length(p, &length);
		switch (*p++) {
		case 'd':
		case 'i':
			number = take_signed(&args, length);
			put_number(&out, &c, number < 0 ? -(uint64_t)number : (uint64_t)number, 10,
				   false,
				   number < 0 ? "-"
				   : c.plus   ? "+"
					      : "");
			break;
		case 'u':
			put_number(&out, &c, take_unsigned(&args, length), 10, false, "");
			break;
		case 'x':
			put_number(&out, &c, take_unsigned(&args, length), 16, false,
				   c.alternate ? "0x" : "");
			break;
		case 'X':
			put_number(&out, &c, take_unsigned(&args, length), 16, true,
				   c.alternate ? "0X" : "");
			break;
		case 'p':
			put_pointer(&out, &c, &p, va_arg(args.list, const void *));
			break;
		case 'c':
			byte = (char)va_arg(args.list, int);
			put_text(&out, &c, &byte, 1);
			break;
		case 's':
			text = va_arg(args.list, const char *);
			if (text == NULL)
				text = "(null)";
			put_text(&out, &c, text,
				 c.precision < 0 ? strlen(text)
						 : strnlen(text, (size_t)c.precision));
			break;
		case '%':
			put(&out, "%", 1);
			break;
		default:
			/* What the compiler's format check lets through but we do not know: show
			 * it. */
			p--;
			put(&out, "%?", 2);
			if (*p != '\0')
				p++;
			break;
		}
	}
	va_end(args.list);
	return out.count;
}

struct buffer {
	char *bytes;
	size_t size, used;
};

static void buffer_sink(void *argument, const char *bytes, size_t len)
{
	struct buffer *buffer = argument;
	size_t room = buffer->size - buffer->used;

	if (buffer->size == 0)
		return;
	len = min(len, room - 1); /* room for the NUL always remains */
	memcpy(buffer->bytes + buffer->used, bytes, len);
	buffer->used += len;
}

int kvsnprintf(char *bytes, size_t size, const char *format, va_list args)
{
	struct buffer buffer = { .bytes = bytes, .size = size };
	size_t count = print_format(buffer_sink, &buffer, format, args);

	if (size != 0)
		bytes[buffer.used] = '\0';
	return (int)count;
}

int ksnprintf(char *bytes, size_t size, const char *format, ...)
{
	va_list args;
	int count;

	va_start(args, format);
	count = kvsnprintf(bytes, size, format, args);
	va_end(args);
	return count;
}
