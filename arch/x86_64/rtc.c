/*
 * The real-time clock: Motorola MC146818 data sheet, registers A, B and D.
 */
#include "arch/x86_64/clock.h"

#include "arch/arch.h"
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/io.h"

#include <string.h>

#define REGISTER_A 0x0a
#define REGISTER_B 0x0b
#define STATUS_A_UPDATING 0x80
#define STATUS_B_24_HOURS 0x02
#define STATUS_B_BINARY 0x04
#define HOURS_PM 0x80

/* Returns false if `raw` is not a number in that format. */
static bool decode_number(uint8_t raw, bool binary, unsigned *out)
{
	if (!binary && ((raw & 0xf) > 9 || raw >> 4 > 9))
		return false;
	*out = binary ? raw : (raw >> 4) * 10u + (raw & 0xf);
	return true;
}

/* Days from 1970-01-01, by the Gregorian rules; years from March, so that the leap day is last. */
static uint64_t days_since_1970(unsigned year, unsigned month, unsigned day)
{
	uint64_t y = month > 2 ? year : year - 1;
	uint64_t month_from_march = month > 2 ? month - 3 : month + 9;

	return 365 * y + y / 4 - y / 100 + y / 400 + (153 * month_from_march + 2) / 5 + day - 1 -
	       719468;
}

static unsigned days_in_month(unsigned year, unsigned month)
{
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month - 1] + (month == 2 && leap ? 1u : 0u);
}

uint64_t rtc_decode(const struct rtc_registers *r)
{
	bool binary = r->status_b & STATUS_B_BINARY;
	bool afternoon = !(r->status_b & STATUS_B_24_HOURS) && (r->hours & HOURS_PM);
	uint8_t raw_hours = afternoon ? (uint8_t)(r->hours & ~HOURS_PM) : r->hours;
	unsigned second, minute, hour, day, month, year, century = 20;

	if (!decode_number(r->seconds, binary, &second) ||
	    !decode_number(r->minutes, binary, &minute) ||
	    !decode_number(raw_hours, binary, &hour) || !decode_number(r->day, binary, &day) ||
	    !decode_number(r->month, binary, &month) || !decode_number(r->year, binary, &year))
		return 0;
	/* A century that makes no sense is as good as none. */
	if (r->has_century &&
	    (!decode_number(r->century, binary, &century) || century < 19 || century > 29))
		century = 20;
	if (!(r->status_b & STATUS_B_24_HOURS)) {
		if (hour < 1 || hour > 12)
			return 0;
		hour = hour % 12 + (afternoon ? 12 : 0);
	}
	if (year > 99)
		return 0;
	year += century * 100;
	if (second > 59 || minute > 59 || hour > 23 || month < 1 || month > 12 || year < 1970 ||
	    day < 1 || day > days_in_month(year, month))
		return 0;
	return ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
}

#define PORT_INDEX 0x70
#define PORT_DATA 0x71

static uint8_t read_cmos(uint8_t index)
{
	outb(PORT_INDEX, index);
	return inb(PORT_DATA);
}

static void read_all(struct rtc_registers *r)
{
	r->seconds = read_cmos(0);
	r->minutes = read_cmos(2);
	r->hours = read_cmos(4);
	r->day = read_cmos(7);
	r->month = read_cmos(8);
	r->year = read_cmos(9);
	r->status_b = read_cmos(REGISTER_B);
	r->has_century = acpi.century_register != 0;
	r->century = r->has_century ? read_cmos(acpi.century_register & 0x7f) : 0;
}

uint64_t rtc_read_seconds(void)
{
	struct rtc_registers first, second;

	/* An update takes up to 2 ms; a time read twice the same was not torn by one. */
	for (unsigned attempt = 0; attempt < 16; attempt++) {
		memset(&first, 0, sizeof(first));
		memset(&second, 0, sizeof(second));
		for (unsigned i = 0; i < 10000 && (read_cmos(REGISTER_A) & STATUS_A_UPDATING); i++)
			arch_pause();
		read_all(&first);
		read_all(&second);
		if (memcmp(&first, &second, sizeof(first)) == 0)
			return rtc_decode(&first);
	}
	return 0;
}

uint64_t wall_clock_guess(uint64_t rtc_seconds, uint64_t told_ms)
{
	uint64_t told_ns = told_ms > UINT64_MAX / NS_PER_MS / 2 ? 0 : told_ms * NS_PER_MS;
	uint64_t rtc_ns = rtc_seconds * NS_PER_S;

	if (!rtc_seconds)
		return told_ns;
	/* Who told it did so at most a minute ago; anything else is not this machine's time. */
	if (told_ns >= rtc_ns + NS_PER_S || told_ns + 60 * NS_PER_S < rtc_ns)
		return rtc_ns + NS_PER_S / 2;
	return max(told_ns, rtc_ns);
}
