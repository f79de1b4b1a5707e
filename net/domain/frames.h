/*
 * The network's page frames have mm/frame.h's names.
 */
#pragma once

#include "mm/frame.h"

/* Give back what is more than worth keeping. Interrupts on. */
void network_frames_settle(void);
