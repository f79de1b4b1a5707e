/*
 * The start of the application: its first thread, as musl's crt1 would start it under Linux.
 */
#pragma once

/* Thread context, boot core, when everything else works. */
void start_application(void);
