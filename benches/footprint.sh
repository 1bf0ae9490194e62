#!/bin/sh
# What asyncfile adds to a small program: the stripped sizes of `footprint/*`, which run a command
# and count the lines that it prints, and how much larger each is than the one on std alone.
#
#   ./footprint.sh [PROGRAM...]     asyncfile, unless others are named: tokio, smol, mio, ...
#
# Each is built twice: by the default release profile, and to be small (opt-level = "z", LTO, one
# codegen unit, panic = "abort"). A KB is 1000 bytes. `cargo run --release -- footprint` measures
# all programs, and the time of a clean build.
set -eu
cd "$(dirname "$0")"

TARGET=${CARGO_TARGET_DIR:-target}/footprint
case $TARGET in
/*) ;;
*) TARGET=$PWD/$TARGET ;;
esac
unset RUSTFLAGS
cd footprint

# Builds the program, tries it, and prints its size.
size() { # PROGRAM PROFILE
    (
        cd "$1"
        if [ "$2" = small ]; then
            export CARGO_PROFILE_RELEASE_OPT_LEVEL=z CARGO_PROFILE_RELEASE_LTO=fat
            export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 CARGO_PROFILE_RELEASE_PANIC=abort
        fi
        CARGO_TARGET_DIR=$TARGET/$2 cargo build --release --quiet
    )
    program=$TARGET/$2/release/footprint-$1
    counted=$("$program" printf 'one\ntwo\nthree')
    case $counted in
    "3 lines, exit"*) wc -c <"$program" ;;
    *)
        echo "$1 counts wrong: $counted" >&2
        exit 1
        ;;
    esac
}

STD=$(size std default)
SMALL_STD=$(size std small)
echo "| program | stripped, KB | over std | small, KB | over std |"
echo "|---|--:|--:|--:|--:|"
for program in std "${@:-asyncfile}"; do
    bytes=$(size "$program" default)
    small=$(size "$program" small)
    echo "$program $bytes $STD $small $SMALL_STD" | awk '{
        printf "| %s | %.0f | %.1f ", $1, $2 / 1000, ($2 - $3) / 1000
        printf "| %.0f | %.1f |\n", $4 / 1000, ($4 - $5) / 1000
    }'
done
