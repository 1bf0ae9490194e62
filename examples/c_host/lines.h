/* Child processes, line by line, inside a poll(2) loop that is yours.
 *
 * In each round of the loop: lines_pollfds adds what is to be waited for to your set; you call poll(2); lines_dispatch
 * takes the answers and calls you back. All from one thread, and not from inside a callback. SIGPIPE may stay at its default. */

#ifndef LINES_H
#define LINES_H

#include <poll.h>
#include <stddef.h>

struct lines;

/* A line of what the command prints, newline included, not NUL-terminated; good until you return.
 * At the end, once, line is NULL and len the command's exit status as the shell has it (128 + N for signal N). */
typedef void lines_callback(void *arg, const char *line, size_t len);

/* Starts `/bin/sh -c command`, feeds it len bytes of input, then closes its stdin. NULL, with errno set, if that is not possible. */
struct lines *lines_start(const char *command, const char *input, size_t len, lines_callback *on_line, void *arg);

/* Writes at most room entries to set, and to *timeout how long poll(2) may sleep at most (-1: for ever). The answer is how
 * many entries there are: if more than room, nothing was written; call again with so much room. */
size_t lines_pollfds(struct lines *lines, struct pollfd *set, size_t room, int *timeout);

/* Does what can be done, after poll(2) has filled in the set (entries of others are ignored). The answer is how many tasks are left;
 * 0: the end was told. -1, with errno set, if one has failed; the others go on. */
int lines_dispatch(struct lines *lines, const struct pollfd *set, size_t len);

/* Ends it, at any time: a command that still runs is killed, and waited for. NULL is nothing. */
void lines_free(struct lines *lines);

#endif
