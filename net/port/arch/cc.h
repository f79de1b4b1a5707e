/*
 * What lwIP asks of its compiler and its surroundings.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define LWIP_NO_CTYPE_H 1
#define LWIP_NO_INTTYPES_H 1
#define X8_F "02x"
#define U16_F "u"
#define S16_F "d"
#define X16_F "x"
#define U32_F "u"
#define S32_F "d"
#define X32_F "x"
#define SZT_F "zu"

void lwip_assertion_failed(const char *message, const char *file, int line)
    __attribute__((noreturn));
#define LWIP_PLATFORM_ASSERT(message) lwip_assertion_failed(message, __FILE__, __LINE__)
#define LWIP_PLATFORM_DIAG(message)                                                                \
	do {                                                                                       \
	} while (0)

uint64_t arch_random(void);
#define LWIP_RAND() ((uint32_t)arch_random())

#define lwip_htons(x) ((u16_t)__builtin_bswap16(x))
#define lwip_htonl(x) ((u32_t)__builtin_bswap32(x))
#define LWIP_DONT_PROVIDE_BYTEORDER_FUNCTIONS 1

void *object_alloc(size_t size);
void object_free(void *object);
void *lwip_calloc(size_t count, size_t size);

uint16_t internet_checksum(const void *data, int len);
