#include "drivers/pci_window.h"

#include "lavra/boot_option.h"

#include <string.h>

/* 256 buses of 256 functions of 4 KiB, aligned to its size; PCI Express 2.0, 7.2.2. */
#define CONFIG_SIZE (256ul << 20)
/* A 32-bit BAR holds nothing above, and machines of this kind have nothing of PCI's there. */
#define LIMIT (1ul << 32)

static paddr_t config_space;
static paddr_t window_next, window_end;

paddr_t pci_window_config(void)
{
	return config_space;
}

paddr_t pci_window_take(uint64_t size)
{
	/* Whole pages, so that mapping one function's registers never shows another's. */
	uint64_t align = max(size, (uint64_t)PAGE_SIZE);
	paddr_t start;

	if (size == 0 || align > window_end)
		return 0;
	start = align_up(window_next, align);
	if (start > window_end || align > window_end - start)
		return 0;
	window_next = start + align;
	return start;
}

static bool parse_hexadecimal(const char *digits, uint64_t *value)
{
	*value = 0;
	if (!*digits)
		return false;
	for (; *digits; digits++) {
		unsigned digit = (unsigned char)*digits;

		if (digit >= '0' && digit <= '9')
			digit -= '0';
		else if ((digit | 32) >= 'a' && (digit | 32) <= 'f')
			digit = (digit | 32) - 'a' + 10;
		else
			return false;
		if (*value >> 60)
			return false;
		*value = *value << 4 | digit;
	}
	return true;
}

/* The number up to the next comma or the end, where *text is left. */
static bool parse_number(const char **text, uint64_t *value)
{
	char word[24]; /* 2^64 - 1 has 20 digits */
	size_t length = 0;

	while ((*text)[length] && (*text)[length] != ',')
		if (++length == sizeof(word))
			return false;
	memcpy(word, *text, length);
	word[length] = 0;
	*text += length;
	if (strncmp(word, "0x", 2) == 0)
		return parse_hexadecimal(word + 2, value);
	return boot_parse_number(word, value);
}

/* That neither range is memory, or something else's, is for the person to know. */
static const char *parse_pci(const char *text)
{
	uint64_t config, start = 0, size = 0;

	if (!parse_number(&text, &config))
		return "must be ECAM[,WINDOW,SIZE], numbers such as 0xe0000000 or 512M";
	if (config % CONFIG_SIZE || config > LIMIT - CONFIG_SIZE)
		return "ECAM must be a multiple of 256M below 4G, or 0";
	if (*text) {
		if (*text++ != ',' || !parse_number(&text, &start) || *text++ != ',' ||
		    !parse_number(&text, &size) || *text)
			return "must be ECAM[,WINDOW,SIZE], numbers such as 0xe0000000 or 512M";
		if (start == 0 || size == 0 || start % PAGE_SIZE || size % PAGE_SIZE)
			return "WINDOW and SIZE must be multiples of 4K, and not 0";
		if (start >= LIMIT || size > LIMIT - start)
			return "the window must lie below 4G";
		if (config && start < config + CONFIG_SIZE && config < start + size)
			return "the window lies in the 256M of configuration space";
	}
	config_space = config;
	window_next = start;
	window_end = start + size;
	return NULL;
}
BOOT_OPTION(pci, "pci=ECAM[,WINDOW,SIZE]: configuration space (0: ask firmware), free addresses",
	    parse_pci);
