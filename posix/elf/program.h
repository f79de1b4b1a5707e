/*
 * Running a program that was made for Linux: an ELF file in the file system, in place of a main()
 * that is linked with the image. Its `syscall` instructions are answered by the same table.
 */
#pragma once

/* Load the program (or script) at `path` and make its first thread; its arguments are those of the
 * command line (boot_argv), argv[0] is `path`. Ends the image with a message that names the file if
 * it cannot be run: status 127 if it does not exist, 126 otherwise. Thread context, boot core. */
void program_start(const char *path);
