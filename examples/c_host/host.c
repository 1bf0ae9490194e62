/* A program with a poll(2) loop of its own: it has a timer, and runs commands in the loop. It
 * prints what it saw, and checks that no child is left. SIGPIPE is at its default, which ends a
 * process that writes to a pipe without reader. */

#include "lines.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

enum { COMMANDS = 4, ENTRIES = 64 };

struct command {
    const char *name;
    struct lines *lines;
    size_t count, bytes, status;
    int is_over;
};

static void on_line(void *arg, const char *line, size_t len)
{
    struct command *command = arg;
    if (line == NULL) {
        command->status = len;
        command->is_over = 1;
        return;
    }
    command->count++;
    command->bytes += len;
    if (command->count <= 2)
        printf("%s: %.*s%s", command->name, (int)len, line,
               line[len - 1] == '\n' ? "" : " (and no newline)\n");
}

static void check(int is_right, const char *what)
{
    if (!is_right) {
        fprintf(stderr, "host: %s (errno: %s)\n", what, strerror(errno));
        exit(1);
    }
}

static long milliseconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000L + now.tv_nsec / 1000000;
}

/* The loop. It ends when the first so many commands are over, and the timer has fired. */
static void run(struct command *commands, int wanted)
{
    long next_tick = milliseconds_now() + 10, ticks = 0;
    for (;;) {
        struct pollfd set[ENTRIES];
        size_t len = 0;
        int over = 0, timeout = (int)(next_tick - milliseconds_now());
        if (timeout < 0)
            timeout = 0;
        for (int i = 0; i < COMMANDS; i++) {
            int most;
            size_t added = lines_pollfds(commands[i].lines, set + len, ENTRIES - len, &most);
            check(added <= ENTRIES - len, "a larger set is needed");
            len += added;
            if (most >= 0 && most < timeout)
                timeout = most;
        }
        check(poll(set, len, timeout) >= 0 || errno == EINTR, "poll");
        for (int i = 0; i < COMMANDS; i++) {
            check(lines_dispatch(commands[i].lines, set, len) >= 0, "dispatch");
            if (i < wanted)
                over += commands[i].is_over;
        }
        if (milliseconds_now() >= next_tick) {
            next_tick += 10; /* the host's own work */
            ticks++;
        }
        if (over == wanted && ticks > 0)
            break;
    }
}

int main(void)
{
    struct sigaction action;
    check(sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL,
          "SIGPIPE is not at its default");

    size_t size = 8 * 1000 * 1000;
    char *input = malloc(size);
    check(input != NULL, "malloc");
    for (size_t i = 0; i < size; i++)
        input[i] = i % 8 == 7 ? '\n' : (char)('0' + i % 8);

    struct command commands[COMMANDS] = {
        {.name = "cat"}, {.name = "head"}, {.name = "exit 3"}, {.name = "sleep"},
    };
    /* Everything that is fed comes back. */
    commands[0].lines = lines_start("cat", input, size, on_line, &commands[0]);
    /* It stops reading while much is still to be written: EPIPE, and no SIGPIPE. */
    commands[1].lines = lines_start("head -n 3", input, size, on_line, &commands[1]);
    commands[2].lines = lines_start("printf 'the end'; exit 3", NULL, 0, on_line, &commands[2]);
    /* It never ends: it is freed while it runs. */
    commands[3].lines = lines_start("exec sleep 1000", NULL, 0, on_line, &commands[3]);
    for (int i = 0; i < COMMANDS; i++)
        check(commands[i].lines != NULL, "lines_start");
    free(input);

    run(commands, COMMANDS - 1);
    for (int i = 0; i < COMMANDS; i++) {
        printf("%s: %zu lines, %zu bytes, %s %zu\n", commands[i].name, commands[i].count,
               commands[i].bytes, commands[i].is_over ? "status" : "still running",
               commands[i].status);
        lines_free(commands[i].lines);
    }
    lines_free(NULL);
    check(commands[0].count == size / 8 && commands[0].bytes == size && commands[0].status == 0,
          "cat lost something");
    check(commands[1].count == 3 && commands[1].status == 0, "head");
    check(commands[2].count == 1 && commands[2].bytes == 7 && commands[2].status == 3,
          "exit 3");
    check(!commands[3].is_over && commands[3].count == 0, "sleep");

    errno = 0;
    check(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD, "a child is left");
    check(sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL,
          "SIGPIPE was changed");
    sigset_t pending;
    check(sigpending(&pending) == 0 && !sigismember(&pending, SIGPIPE), "a SIGPIPE is pending");
    puts("nothing is left running");
    check(fflush(stdout) == 0 && !ferror(stdout), "stdout");
    return 0;
}
