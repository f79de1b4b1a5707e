/*
 * What runs the guest's instructions: the processor (KVM), or QEMU's translator (TCG).
 */
#pragma once

#include "tools/launcher/options.h"

/* Is it KVM, as --accel says and this machine can? Exits where it is asked for and not there. */
bool accelerator_is_kvm(const struct options *options);
/* Can the device be opened for reading and writing? errno says why not. */
bool device_opens(const char *path);
