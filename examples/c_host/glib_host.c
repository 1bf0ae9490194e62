/* The same in a GLib main loop: a GSource around the four functions. prepare asks what to wait for,
 * check looks at the answers, dispatch hands them on. A GLib timer runs beside it. */

#include "lines.h"

#include <errno.h>
#include <glib-unix.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

enum { ENTRIES = 16 };

typedef struct {
    GSource source;
    struct lines *lines;
    struct pollfd set[ENTRIES];
    gpointer tags[ENTRIES]; /* GLib's names for the entries */
    size_t len;
    int timeout;
} LinesSource;

/* Before poll(2): what to wait for, and how long. */
static gboolean lines_prepare(GSource *base, gint *timeout)
{
    LinesSource *source = (LinesSource *)base;
    for (size_t i = 0; i < source->len; i++)
        g_source_remove_unix_fd(base, source->tags[i]);
    source->len = lines_pollfds(source->lines, source->set, ENTRIES, &source->timeout);
    g_assert(source->len <= ENTRIES);
    for (size_t i = 0; i < source->len; i++)
        source->tags[i] = g_source_add_unix_fd(base, source->set[i].fd,
                                               (GIOCondition)source->set[i].events);
    gint64 due = g_get_monotonic_time() + source->timeout * G_GINT64_CONSTANT(1000);
    g_source_set_ready_time(base, source->timeout < 0 ? -1 : due);
    *timeout = -1; /* the ready time is used instead */
    return source->timeout == 0;
}

/* After poll(2). On Linux the bits of GIOCondition are those of poll(2). */
static gboolean lines_check(GSource *base)
{
    LinesSource *source = (LinesSource *)base;
    gint64 due = g_source_get_ready_time(base);
    gboolean is_ready = due >= 0 && due <= g_source_get_time(base);
    for (size_t i = 0; i < source->len; i++) {
        source->set[i].revents = (short)g_source_query_unix_fd(base, source->tags[i]);
        is_ready |= source->set[i].revents != 0;
    }
    return is_ready;
}

static gboolean lines_source_dispatch(GSource *base, GSourceFunc callback, gpointer data)
{
    LinesSource *source = (LinesSource *)base;
    int alive = lines_dispatch(source->lines, source->set, source->len);
    if (alive < 0)
        g_error("dispatch: %s", strerror(errno));
    if (alive > 0)
        return G_SOURCE_CONTINUE;
    callback(data);
    return G_SOURCE_REMOVE;
}

static void lines_finalize(GSource *base)
{
    lines_free(((LinesSource *)base)->lines);
}

static GSourceFuncs functions = {
    lines_prepare, lines_check, lines_source_dispatch, lines_finalize, NULL, NULL,
};

/* ---- the program */

static GMainLoop *loop;
static int running, ticks;

static void on_line(void *arg, const char *line, size_t len)
{
    if (line == NULL)
        printf("%s: status %zu\n", (const char *)arg, len);
    else
        printf("%s: %.*s", (const char *)arg, (int)len, line);
}

static gboolean on_end(gpointer data)
{
    (void)data;
    if (--running == 0)
        g_main_loop_quit(loop);
    return G_SOURCE_REMOVE;
}

static gboolean on_tick(gpointer data)
{
    (void)data;
    ticks++;
    return G_SOURCE_CONTINUE;
}

static GSource *start(char *command)
{
    struct lines *lines = lines_start(command, "fed\n", 4, on_line, command);
    if (lines == NULL)
        g_error("lines_start: %s", strerror(errno));
    GSource *source = g_source_new(&functions, sizeof(LinesSource));
    ((LinesSource *)source)->lines = lines;
    g_source_set_callback(source, on_end, NULL, NULL);
    g_source_attach(source, NULL);
    running++;
    return source;
}

int main(void)
{
    loop = g_main_loop_new(NULL, FALSE);
    guint tick = g_timeout_add(10, on_tick, NULL);
    static char talk[] = "for i in 1 2 3; do echo $i; sleep 0.05; done";
    static char cat[] = "cat; exit 7", never[] = "exec sleep 1000";
    GSource *sources[] = {start(talk), start(cat), start(never)};
    running--; /* the last one does not end: its source is destroyed while it runs */
    g_main_loop_run(loop);
    for (size_t i = 0; i < G_N_ELEMENTS(sources); i++) {
        g_source_destroy(sources[i]);
        g_source_unref(sources[i]);
    }
    g_source_remove(tick);
    g_main_loop_unref(loop);
    /* The first command sleeps 150 ms: GLib's own timer has fired meanwhile. */
    if (ticks == 0 || waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD) {
        fprintf(stderr, "glib_host: %d ticks, or a child is left\n", ticks);
        return 1;
    }
    puts("nothing is left running");
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("glib_host: stdout");
        return 1;
    }
    return 0;
}
