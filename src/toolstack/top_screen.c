/* SPDX-License-Identifier: MIT */
/* The terminal view, with ncurses (its own program state is the library's). */
#include <curses.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "toolstack/command.h"
#include "toolstack/top.h"

#define KEY_WAIT_MS 50 /* and so often stamps are taken */
#define HEAD_LINES 3

struct view {
	struct top *top;
	unsigned int first; /* row at the top */
	bool quit;
};

static void draw(struct view *view)
{
	const struct top *top = view->top;
	char line[TOP_LINE_SIZE];
	int y = HEAD_LINES;

	erase();
	top_format_head(top, line);
	mvaddnstr(0, 0, line, COLS);
	mvaddnstr(1, 0, "q quit   s, left, right: sort by   up, down: scroll   d delay", COLS);
	top_format_titles(top, line);
	attron(A_REVERSE);
	mvaddnstr(2, 0, line, COLS);
	attroff(A_REVERSE);
	for (unsigned int i = view->first; i < top->nr_rows && y < LINES; i++, y++) {
		top_format_row(&top->rows[i], line);
		mvaddnstr(y, 0, line, COLS);
	}
	refresh();
}

static void sort_by(struct top *top, unsigned int column)
{
	top->sort = column % top_nr_columns;
	top_sort(top);
}

static void ask_delay(struct top *top)
{
	char text[16] = "";
	double seconds;

	mvprintw(1, 0, "seconds between two looks [%.1f]: ", top->delay_s);
	clrtoeol();
	echo();
	timeout(-1);
	if (getnstr(text, sizeof(text) - 1) != ERR &&
		command_seconds(text, 0.1, 3600, &seconds) == 0)
		top->delay_s = seconds;
	noecho();
	timeout(KEY_WAIT_MS);
}

static void handle_key(struct view *view, int key)
{
	struct top *top = view->top;

	switch (key) {
	case 'q':
		view->quit = true;
		return;
	case 's':
	case KEY_RIGHT:
		sort_by(top, top->sort + 1);
		break;
	case KEY_LEFT:
		sort_by(top, top->sort + top_nr_columns - 1);
		break;
	case KEY_DOWN:
		view->first += view->first + 1 < top->nr_rows;
		break;
	case KEY_UP:
		view->first -= view->first > 0;
		break;
	case 'd':
		ask_delay(top);
		break;
	case KEY_RESIZE:
		break;
	default:
		return;
	}
	draw(view);
}

/* Takes keys and stamps until it is time for the next look. */
static void wait_and_see(struct view *view)
{
	uint64_t start = clock_ns();

	while (!view->quit && (double)(clock_ns() - start) < view->top->delay_s * 1e9) {
		handle_key(view, getch());
		tracer_poll(&view->top->tracer);
	}
}

static int show(struct view *view, unsigned long nr_iterations)
{
	struct top *top = view->top;
	int rc = 0;

	for (unsigned long i = 0; rc == 0 && !view->quit; i++) {
		if (nr_iterations && i == nr_iterations)
			break;
		rc = top_sample(top);
		if (rc)
			break;
		if (view->first >= top->nr_rows)
			view->first = 0;
		draw(view);
		wait_and_see(view);
	}
	return rc;
}

int top_screen(struct top *top, unsigned long nr_iterations)
{
	struct view view = {.top = top};
	SCREEN *screen = newterm(NULL, stdout, stdin);
	int rc;

	if (!screen) {
		fprintf(stderr, "ringfence: this terminal cannot be used (TERM=%s); try --batch\n",
			getenv("TERM") ? getenv("TERM") : "");
		return 1;
	}
	cbreak();
	noecho();
	keypad(stdscr, true);
	curs_set(0);
	timeout(KEY_WAIT_MS);
	rc = show(&view, nr_iterations);
	endwin();
	delscreen(screen);
	if (rc)
		fprintf(stderr, "ringfence: the hypervisor went away\n");
	return rc ? 1 : 0;
}
