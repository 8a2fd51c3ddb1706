/* SPDX-License-Identifier: MIT */
/*
 * Logging for programs: one line a message on stderr, `<time> program: level: text`.
 * Libraries do not use it; they report through return values and their caller's callback.
 * Any thread may log; a line is written by one write(2).
 */
#ifndef RF_COMMON_LOG_H
#define RF_COMMON_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Names the program and sets the least important level that is still written. Call once, first. */
void log_setup(const char *program, enum log_level max_level);

/*
 * Also hands every line, with its newline, to `sink`. It is called by the thread that logs, and must
 * not log itself. NULL: no longer.
 */
void log_set_sink(void (*sink)(void *data, const char *line, size_t len), void *data);

/* Parses "error", "warn", "info" or "debug". Returns 0 or -EINVAL. */
int log_level_parse(const char *text, enum log_level *level);

void log_msg(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_msg(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_msg(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_msg(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_msg(LOG_DEBUG, __VA_ARGS__)

/*
 * Bounds messages that a peer can trigger: at most `burst` in each interval. Embed one per peer,
 * zeroed, and use it from one thread.
 */
struct ratelimit {
	uint64_t start_ns;
	unsigned int nr_passed;
	unsigned int nr_suppressed;
};

/* True when a message may be written now. */
bool ratelimit_pass(struct ratelimit *rl, unsigned int burst, uint64_t interval_ns);

#endif
