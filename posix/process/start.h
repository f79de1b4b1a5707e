/*
 * The start of the application: its first thread.
 */
#pragma once

/* Thread context, boot core, when everything else works. The one in start.c is weak: it starts the
 * main() that the image is linked with, as musl's crt1 would under Linux. An image with another
 * way of its own (apps/linux) defines it in its part of the kernel. */
void start_application(void);
