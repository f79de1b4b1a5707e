/*
 * What the server shows of itself: the live per-core table of the start page, and the
 * same figures in Prometheus' text format.
 */
#pragma once

#include <stddef.h>

/* Replace the start page's `<!--cores-->` by one table row per core. Writes at most `size` bytes to
 * `out`; returns the length, or 0 if it does not fit. Any thread. */
size_t status_render_page(const char *page, size_t length, char *out, size_t size);

/* Prometheus text exposition format 0.0.4. As above. */
size_t status_render_metrics(char *out, size_t size);
