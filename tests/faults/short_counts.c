/* Preloaded into an example: about two of three calls that move more than one byte move fewer. The
 * generator's seed is SHORT_COUNTS. The children of the example run without this file. Messages are
 * left whole: none of the examples has any. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static uint64_t state = 1;
static ssize_t (*next_read)(int, void *, size_t);
static ssize_t (*next_write)(int, const void *, size_t);
static ssize_t (*next_recv)(int, void *, size_t, int);
static ssize_t (*next_send)(int, const void *, size_t, int);
static long (*next_syscall)(long, ...);

__attribute__((constructor)) static void begin(void) {
    const char *seed = getenv("SHORT_COUNTS");
    if (seed)
        state = strtoull(seed, NULL, 10) * 2 + 1;
    unsetenv("LD_PRELOAD");
    next_read = dlsym(RTLD_NEXT, "read");
    next_write = dlsym(RTLD_NEXT, "write");
    next_recv = dlsym(RTLD_NEXT, "recv");
    next_send = dlsym(RTLD_NEXT, "send");
    next_syscall = dlsym(RTLD_NEXT, "syscall");
}

/* Threads share the generator: a lost step changes a length, and that is random anyway. */
static uint64_t step(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 33;
}

static size_t fewer(size_t count) {
    if (count < 2)
        return count;
    switch (step() % 3) {
    case 0:
        return 1;
    case 1:
        return 1 + step() % (count < 64 ? count : 64);
    default:
        return count;
    }
}

ssize_t read(int fd, void *bytes, size_t count) { return next_read(fd, bytes, fewer(count)); }

ssize_t write(int fd, const void *bytes, size_t count) {
    return next_write(fd, bytes, fewer(count));
}

ssize_t recv(int fd, void *bytes, size_t count, int flags) {
    return next_recv(fd, bytes, fewer(count), flags);
}

ssize_t send(int fd, const void *bytes, size_t count, int flags) {
    return next_send(fd, bytes, fewer(count), flags);
}

/* preadv2(2) and pwritev2(2) go through here, with one part. */
long syscall(long number, ...) {
    long a[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_preadv2 || number == SYS_pwritev2) {
        struct iovec part = *(struct iovec *)a[1];
        part.iov_len = fewer(part.iov_len);
        return next_syscall(number, a[0], &part, a[2], a[3], a[4], a[5]);
    }
    return next_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
