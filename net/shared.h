/*
 * Data of net/ that all cores share. What is linked with lwIP is each core's own unless it says where it lives
 * (net/lwip.mk).
 */
#pragma once

#ifdef LAVRA_HOST_TEST
#define SHARED
#else
#define SHARED __attribute__((section(".bss.shared")))
#endif
