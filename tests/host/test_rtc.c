/*
 * The real-time clock's formats, against the C library's calendar.
 * links: arch/x86_64/rtc.c
 */
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

struct acpi_info acpi;

#define FORMAT_24_HOURS 0x02
#define FORMAT_BINARY 0x04

static uint8_t encode(unsigned value, uint8_t status_b)
{
	return (uint8_t)(status_b & FORMAT_BINARY ? value : value / 10 << 4 | value % 10);
}

static struct rtc_registers at(time_t seconds, uint8_t status_b, bool has_century)
{
	struct tm tm;
	unsigned hour;
	bool afternoon;

	gmtime_r(&seconds, &tm);
	hour = (unsigned)tm.tm_hour;
	afternoon = !(status_b & FORMAT_24_HOURS) && hour >= 12;
	if (!(status_b & FORMAT_24_HOURS))
		hour = hour % 12 == 0 ? 12 : hour % 12;
	return (struct rtc_registers){
		.seconds = encode((unsigned)tm.tm_sec, status_b),
		.minutes = encode((unsigned)tm.tm_min, status_b),
		.hours = (uint8_t)(encode(hour, status_b) | (afternoon ? 0x80 : 0)),
		.day = encode((unsigned)tm.tm_mday, status_b),
		.month = encode((unsigned)tm.tm_mon + 1, status_b),
		.year = encode((unsigned)tm.tm_year % 100, status_b),
		.century = encode((unsigned)tm.tm_year / 100 + 19, status_b),
		.status_b = status_b,
		.has_century = has_century,
	};
}

static void every_format_and_day_is_read(void **state)
{
	(void)state;
	/* 2000 to 2099 in steps of a little less than a day and a quarter. */
	for (time_t t = 946684800; t < 4102444800; t += 100003) {
		for (uint8_t format = 0; format <= 6; format += 2) {
			struct rtc_registers with = at(t, format, true),
					     without = at(t, format, false);

			assert_int_equal(rtc_decode(&with), t);
			assert_int_equal(rtc_decode(&without), t);
		}
	}
}

static void noon_and_midnight(void **state)
{
	struct rtc_registers r = at(1700000000, 0, false);

	(void)state;
	r.minutes = r.seconds = 0;
	r.hours = 0x12;
	assert_int_equal(rtc_decode(&r) % 86400, 0);
	r.hours = 0x92;
	assert_int_equal(rtc_decode(&r) % 86400, 12 * 3600);
}

static void a_leap_day_exists_in_leap_years_only(void **state)
{
	struct rtc_registers r = at(1709164800 /* 2024-02-29 */, FORMAT_24_HOURS, true);

	(void)state;
	assert_int_equal(rtc_decode(&r), 1709164800);
	r.year = 0x23;
	assert_int_equal(rtc_decode(&r), 0);
	r.year = 0x00;
	r.century = 0x21; /* 2100 is none */
	assert_int_equal(rtc_decode(&r), 0);
}

static void nonsense_is_no_time(void **state)
{
	struct rtc_registers ones, r;
	uint8_t *bytes = (uint8_t *)&r;

	(void)state;
	memset(&ones, 0xff, sizeof(ones)); /* what a missing clock reads as */
	ones.has_century = true;
	assert_int_equal(rtc_decode(&ones), 0);
	memset(&ones, 0, sizeof(ones));
	assert_int_equal(rtc_decode(&ones), 0);
	/* Each field in turn: seconds, minutes, hours, day, month, year. */
	for (unsigned field = 0; field < 6; field++) {
		r = at(1700000000, FORMAT_24_HOURS, false);
		bytes[field] = 0x7a;
		assert_int_equal(rtc_decode(&r), 0);
		r = at(1700000000, FORMAT_24_HOURS | FORMAT_BINARY, false);
		bytes[field] = 100;
		assert_int_equal(rtc_decode(&r), 0);
	}
}

static void a_wrong_century_is_ignored(void **state)
{
	struct rtc_registers r = at(1700000000, FORMAT_24_HOURS, true);

	(void)state;
	r.century = 0xff;
	assert_int_equal(rtc_decode(&r), 1700000000);
	r.century = 0;
	assert_int_equal(rtc_decode(&r), 1700000000);
}

static void what_was_told_is_finer(void **state)
{
	const uint64_t rtc = 1700000000, ms = rtc * 1000;

	assert_int_equal(wall_clock_guess(rtc, ms + 250), (ms + 250) * NS_PER_MS);
	/* The machine took a while to come here. */
	assert_int_equal(wall_clock_guess(rtc, ms - 5000), ms * NS_PER_MS);
	/* Not told, or nonsense. */
	assert_int_equal(wall_clock_guess(rtc, 0), (ms + 500) * NS_PER_MS);
	assert_int_equal(wall_clock_guess(rtc, ms + 1000), (ms + 500) * NS_PER_MS);
	assert_int_equal(wall_clock_guess(rtc, ms - 61000), (ms + 500) * NS_PER_MS);
	assert_int_equal(wall_clock_guess(rtc, UINT64_MAX), (ms + 500) * NS_PER_MS);
	/* No real-time clock. */
	assert_int_equal(wall_clock_guess(0, ms), ms * NS_PER_MS);
	assert_int_equal(wall_clock_guess(0, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_told_is_finer),
		cmocka_unit_test(every_format_and_day_is_read),
		cmocka_unit_test(noon_and_midnight),
		cmocka_unit_test(a_leap_day_exists_in_leap_years_only),
		cmocka_unit_test(nonsense_is_no_time),
		cmocka_unit_test(a_wrong_century_is_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
