/* SPDX-License-Identifier: MIT */
/* Between the two files of the stand-in for Xen's libraries. */
#ifndef RF_TESTS_FAKE_INTERNAL_H
#define RF_TESTS_FAKE_INTERNAL_H

#include <stdbool.h>

/* Counts a call that can fail. True, with errno set, if it is to. */
bool fake_fails(void);

void fake_handle_opened(int by);
void fake_store_reset(void);

#endif
