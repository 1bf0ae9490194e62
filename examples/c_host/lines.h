/* Child processes, line by line, inside a poll(2) loop of your own.
 *
 * In each round of the loop: lines_pollfds adds what is to be waited for to your set; you call
 * poll(2); lines_dispatch takes the answers and calls you back. All calls are from one thread, and
 * none is from inside a callback. SIGPIPE may stay at its default. */

#ifndef LINES_H
#define LINES_H

#include <poll.h>
#include <stddef.h>

struct lines;

/* A line that the command has printed, newline included, not NUL-terminated. It is there until you
 * return. At the end, once, line is NULL, and len is the command's exit status as in the shell
 * (128 + N for signal N). */
typedef void lines_callback(void *arg, const char *line, size_t len);

/* Starts `/bin/sh -c command`, feeds it len bytes of input, then closes its stdin. NULL, with errno
 * set, if that is not possible. */
struct lines *lines_start(const char *command, const char *input, size_t len,
                          lines_callback *on_line, void *arg);

/* Writes at most room entries to set, and to *timeout the most that poll(2) may sleep, in
 * milliseconds (-1: for ever). Returns how many entries there are. If that is more than room, no
 * entry was written; call again with so much room. */
size_t lines_pollfds(struct lines *lines, struct pollfd *set, size_t room, int *timeout);

/* Does what can be done, after poll(2) has filled in the set. Entries that lines_pollfds has not
 * written are ignored. Returns how many tasks are left; 0: on_line was called for the end. Returns
 * -1, with errno set, if a task has failed; the others go on. */
int lines_dispatch(struct lines *lines, const struct pollfd *set, size_t len);

/* Ends it, at any time. A command that still runs is killed and waited for. For NULL it does
 * nothing. */
void lines_free(struct lines *lines);

#endif
