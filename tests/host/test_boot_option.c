/*
 * The kernel command line: options, arguments, quotes, and what is refused.
 *
 * links: posix/boot_option.c
 */
#include "tests/host/console_capture.h"
#include "tests/host/fake_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static int parse(const char *line)
{
	seen_text = NULL;
	seen_number = 0;
	return boot_with(line);
}

static void options(void **state)
{
	assert_int_equal(parse(""), 0);
	assert_int_equal(boot_argc, 1);
	assert_null(boot_argv[1]);
	assert_int_equal(parse("  text=a=b\tnumber=12 "), 0);
	assert_string_equal(seen_text, "a=b");
	assert_int_equal(seen_number, 12);
	assert_int_equal(parse("text="), 0);
	assert_string_equal(seen_text, "");
	assert_int_equal(parse("text='a b'"), 0);
	assert_string_equal(seen_text, "a b");
}

static void arguments(void **state)
{
	assert_int_equal(parse("number=1 -- -p 80 --name=\"two words\" '' it\\'s ' --"), 0);
	assert_int_equal(boot_argc, 7);
	assert_string_equal(boot_argv[1], "-p");
	assert_string_equal(boot_argv[2], "80");
	assert_string_equal(boot_argv[3], "--name=two words");
	assert_string_equal(boot_argv[4], "");
	assert_string_equal(boot_argv[5], "it\\s ");
	assert_string_equal(boot_argv[6], "--");
	assert_null(boot_argv[7]);
}

/* As lavra-link makes them. */
char image_arguments[] = "-c '/etc/a b' $CORES x$CORES";

static void arguments_of_the_image(void **state)
{
	assert_int_equal(parse("number=1 -- -t $CORES"), 0);
	boot_arguments_complete(4);
	assert_int_equal(boot_argc, 3); /* the command line goes before */
	assert_string_equal(boot_argv[1], "-t");
	assert_string_equal(boot_argv[2], "4");

	assert_int_equal(parse("number=1"), 0);
	boot_arguments_complete(64);
	assert_int_equal(boot_argc, 5);
	assert_string_equal(boot_argv[1], "-c");
	assert_string_equal(boot_argv[2], "/etc/a b");
	assert_string_equal(boot_argv[3], "64");
	assert_string_equal(boot_argv[4], "x$CORES");
	assert_null(boot_argv[5]);
}

static void refused(void **state)
{
	assert_int_not_equal(parse("colour=blue"), 0);
	assert_non_null(strstr(output, "colour=blue"));
	assert_non_null(strstr(output, "text=ANYTHING"));
	assert_int_not_equal(parse("number=x"), 0);
	assert_non_null(strstr(output, "must be a number"));
	assert_int_not_equal(parse("number"), 0);
	assert_non_null(strstr(output, "needs a value"));
	assert_int_not_equal(parse("numb=1"), 0);
	assert_int_not_equal(parse("numbers=1"), 0);
	assert_int_not_equal(parse("text='open"), 0);
	assert_int_not_equal(parse("-- 'open"), 0);
	assert_int_not_equal(parse("=1"), 0);
}

static void long_lines(void **state)
{
	static char line[5000];

	memset(line, ' ', sizeof(line) - 1);
	assert_int_not_equal(parse(line), 0);
	line[4095] = 0;
	assert_int_equal(parse(line), 0);
	strcpy(line, "--");
	for (int i = 0; i < 63; i++)
		strcat(line, " a");
	assert_int_equal(parse(line), 0);
	assert_int_equal(boot_argc, 64);
	strcat(line, " a");
	assert_int_not_equal(parse(line), 0);
}

static void numbers(void **state)
{
	uint64_t value = 7;

	assert_true(boot_parse_number("0", &value) && value == 0);
	assert_true(boot_parse_number("18446744073709551615", &value) && value == UINT64_MAX);
	assert_true(boot_parse_number("3K", &value) && value == 3072);
	assert_true(boot_parse_number("2M", &value) && value == 2 << 20);
	assert_true(boot_parse_number("17179869183G", &value) && value == 17179869183ull << 30);
	value = 7;
	assert_false(boot_parse_number("18446744073709551616", &value));
	assert_false(boot_parse_number("17179869184G", &value));
	assert_false(boot_parse_number("", &value));
	assert_false(boot_parse_number("-1", &value));
	assert_false(boot_parse_number("1k", &value));
	assert_false(boot_parse_number("1KB", &value));
	assert_false(boot_parse_number("K", &value));
	assert_false(boot_parse_number("0x10", &value));
	assert_int_equal(value, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options),
		cmocka_unit_test(arguments),
		cmocka_unit_test(arguments_of_the_image),
		cmocka_unit_test(refused),
		cmocka_unit_test(long_lines),
		cmocka_unit_test(numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
