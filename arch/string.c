/*
 * The string functions of <string.h> that the kernel uses, for short strings; the memory functions
 * are the processor's business (arch/x86_64/memory.S).
 */
#include <string.h>

size_t strlen(const char *s)
{
	const char *end = s;

	while (*end != '\0')
		end++;
	return (size_t)(end - s);
}

size_t strnlen(const char *s, size_t limit)
{
	size_t len = 0;

	while (len < limit && s[len] != '\0')
		len++;
	return len;
}

int strcmp(const char *a, const char *b)
{
	for (; *a != '\0' && *a == *b; a++)
		b++;
	return (unsigned char)*a - (unsigned char)*b;
}

int strncmp(const char *a, const char *b, size_t limit)
{
	for (; limit != 0; a++, b++, limit--) {
		if (*a != *b || *a == '\0')
			return (unsigned char)*a - (unsigned char)*b;
	}
	return 0;
}

char *strchr(const char *s, int c)
{
	for (; *s != (char)c; s++) {
		if (*s == '\0')
			return NULL;
	}
	return (char *)s;
}

char *strrchr(const char *s, int c)
{
	const char *last = NULL;

	for (;; s++) {
		if (*s == (char)c)
			last = s;
		if (*s == '\0')
			return (char *)last;
	}
}

void *memchr(const void *bytes, int c, size_t len)
{
	const unsigned char *s = bytes;

	for (; len != 0; s++, len--) {
		if (*s == (unsigned char)c)
			return (void *)s;
	}
	return NULL;
}

char *strcpy(char *to, const char *from)
{
	return memcpy(to, from, strlen(from) + 1);
}

size_t strcspn(const char *s, const char *reject)
{
	size_t len = 0;

	while (s[len] != '\0' && !strchr(reject, s[len]))
		len++;
	return len;
}

size_t strspn(const char *s, const char *accept)
{
	size_t len = 0;

	while (s[len] != '\0' && strchr(accept, s[len]))
		len++;
	return len;
}
