#pragma once

/* The stack protector's: what a function with a canary calls when it is gone. */
void __stack_chk_fail(void) __attribute__((noreturn));

/* Choose the canary. Boot core, from a function that does not return, after cpu_detect(). */
void random_set_canary(void);
