/* SPDX-License-Identifier: MIT */
/* Progress on stderr; see common_progress.h. Never on stdout, which belongs to the result. */
#include "service/common_progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "common/clock.h"

#define TERMINAL_DELAY_NS NSEC_PER_SEC
#define TERMINAL_INTERVAL_NS (200 * NSEC_PER_MSEC)
#define LINES_INTERVAL_NS (500 * NSEC_PER_MSEC)

void progress_init(struct progress *p, const char *unit, uint64_t total, bool lines)
{
	p->mode = lines ? PROGRESS_LINES : isatty(STDERR_FILENO) ? PROGRESS_TERMINAL : PROGRESS_OFF;
	p->unit = unit;
	p->total = total;
	p->shown = false;
	p->start_ns = clock_ns();
	p->next_ns = p->start_ns + (lines ? LINES_INTERVAL_NS : TERMINAL_DELAY_NS);
}

int progress_interval_ms(const struct progress *p)
{
	return p->mode == PROGRESS_OFF ? -1 : 100;
}

void progress_update(struct progress *p, uint64_t done)
{
	uint64_t now;
	double percent, rate;

	if (p->mode == PROGRESS_OFF)
		return;
	now = clock_ns();
	if (now < p->next_ns)
		return;
	p->next_ns = now + (p->mode == PROGRESS_LINES ? LINES_INTERVAL_NS : TERMINAL_INTERVAL_NS);
	percent = p->total ? 100.0 * (double)done / (double)p->total : 0.0;
	rate = (double)done * (double)NSEC_PER_SEC / (double)(now - p->start_ns);
	fprintf(stderr, "%s%3.0f %%  %" PRIu64 " of %" PRIu64 " %s, %.0f per s%s",
		p->mode == PROGRESS_TERMINAL ? "\r" : "", percent, done, p->total, p->unit, rate,
		p->mode == PROGRESS_TERMINAL ? "\033[K" : "\n");
	fflush(stderr);
	p->shown = true;
}

void progress_finish(struct progress *p)
{
	if (p->mode == PROGRESS_TERMINAL && p->shown)
		fputs("\r\033[K", stderr);
	p->mode = PROGRESS_OFF;
}
