/* SPDX-License-Identifier: MIT */
/* Line logging to stderr. Trusts its callers; the text may quote what a peer wrote, so control
 * characters are replaced before they reach a terminal. */
#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

static const char *const level_names[] = {"error", "warn", "info", "debug"};

static const char *log_program = "ringfence";
static enum log_level log_max_level = LOG_INFO;
static void (*log_sink)(void *data, const char *line, size_t len);
static void *log_sink_data;

void log_setup(const char *program, enum log_level max_level)
{
	log_program = program;
	log_max_level = max_level;
}

void log_set_sink(void (*sink)(void *data, const char *line, size_t len), void *data)
{
	log_sink = sink;
	log_sink_data = data;
}

int log_level_parse(const char *text, enum log_level *level)
{
	for (unsigned int i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (strcmp(text, level_names[i]) == 0) {
			*level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	char line[1024];
	struct timespec ts;
	struct tm tm;
	va_list ap;
	size_t len;

	if (level > log_max_level)
		return;
	clock_gettime(CLOCK_REALTIME, &ts);
	localtime_r(&ts.tv_sec, &tm);
	len = strftime(line, sizeof(line), "%H:%M:%S", &tm);
	len += (size_t)snprintf(line + len, sizeof(line) - len, ".%03ld %s: %s: ",
		ts.tv_nsec / 1000000, log_program, level_names[level]);
	va_start(ap, fmt);
	int n = vsnprintf(line + len, sizeof(line) - len - 1, fmt, ap);
	va_end(ap);
	if (n > 0)
		len += (size_t)n < sizeof(line) - len - 1 ? (size_t)n : sizeof(line) - len - 2;
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	}
	line[len++] = '\n';
	if (log_sink)
		log_sink(log_sink_data, line, len);
	/* A log that cannot be written has nowhere else to go. */
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}

bool ratelimit_pass(struct ratelimit *rl, unsigned int burst, uint64_t interval_ns)
{
	uint64_t now = clock_ns();

	if (rl->start_ns == 0 || now - rl->start_ns >= interval_ns) {
		if (rl->nr_suppressed)
			log_warn("%u similar messages were suppressed", rl->nr_suppressed);
		rl->start_ns = now;
		rl->nr_passed = rl->nr_suppressed = 0;
	}
	if (rl->nr_passed < burst) {
		rl->nr_passed++;
		return true;
	}
	rl->nr_suppressed++;
	return false;
}
