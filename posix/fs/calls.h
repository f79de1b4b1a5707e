/*
 * What the system calls of the file system share.
 */
#pragma once

unsigned umask_now(void);
