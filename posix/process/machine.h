/*
 * What the machine is called.
 */
#pragma once

struct utsname;

/* What uname(2) tells. Any core. */
void machine_name(struct utsname *name);
