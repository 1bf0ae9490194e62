#!/bin/sh
# Builds the library and the two programs in C, runs them, and runs them again under valgrind. What
# is not installed is skipped, with a line that says so. Everything that is built goes to
# $CARGO_TARGET_DIR (target/ beside this file if that is not set).
set -eu
cd "$(dirname "$0")"
out=${CARGO_TARGET_DIR:-$PWD/target}
cc=${CC:-cc}
if ! command -v "$cc" >/dev/null; then
    echo "skipped: there is no C compiler"
    exit 0
fi

CARGO_TARGET_DIR=$out cargo build --quiet --release
libs="$out/release/liblines.a -lpthread -ldl -lm"
warnings="-std=c11 -D_GNU_SOURCE -O1 -g -Wall -Wextra -Werror"

run() {
    echo "--- $1"
    "$out/$1"
    if command -v valgrind >/dev/null; then
        echo "--- $1, valgrind"
        valgrind --quiet --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite \
            --show-leak-kinds=definite "$out/$1" >/dev/null
        echo "clean"
    else
        echo "skipped: there is no valgrind"
    fi
}

# shellcheck disable=SC2086
$cc $warnings host.c -o "$out/host" $libs
run host

if pkg-config --exists glib-2.0 2>/dev/null; then
    # shellcheck disable=SC2086,SC2046
    $cc $warnings $(pkg-config --cflags glib-2.0) glib_host.c -o "$out/glib_host" $libs \
        $(pkg-config --libs glib-2.0)
    run glib_host
else
    echo "skipped: glib_host needs glib-2.0 (Debian: libglib2.0-dev)"
fi
