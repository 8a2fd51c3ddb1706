/* SPDX-License-Identifier: MIT */
/*
 * Progress of a long run on stderr: on a terminal one line that is rewritten, shown only when the
 * run lasts longer than a second; on request plain lines, for logs. One thread uses it.
 */
#ifndef RF_SERVICE_COMMON_PROGRESS_H
#define RF_SERVICE_COMMON_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

enum progress_mode { PROGRESS_OFF, PROGRESS_TERMINAL, PROGRESS_LINES };

struct progress {
	enum progress_mode mode;
	const char *unit; /* "requests" */
	uint64_t total;	  /* 0: unknown */
	uint64_t start_ns, next_ns;
	bool shown;
};

/* Off unless stderr is a terminal or `lines` asks for plain lines. `unit` must stay. */
void progress_init(struct progress *p, const char *unit, uint64_t total, bool lines);

/* How long the caller may sleep before the next progress_update, in ms; -1 for ever. */
int progress_interval_ms(const struct progress *p);

/* Shows the state if it is time to; cheap otherwise. */
void progress_update(struct progress *p, uint64_t done);

/* Removes the line from the terminal. */
void progress_finish(struct progress *p);

#endif
