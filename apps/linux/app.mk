# No program of its own, so no C library: it runs the one that it is given (kernel_program.c).
app_libraries := -nolibc
