/* SPDX-License-Identifier: MIT */
/* The statistics that driver domains publish in xenstore, as text lines (docs/protocol/control.md). */
#ifndef RF_HYPERVISOR_STATS_H
#define RF_HYPERVISOR_STATS_H

#include <stdio.h>

#include "hypervisor/domain.h"

/* Writes the lines of one driver domain. */
void stats_print(struct domain *driver, FILE *out);

#endif
