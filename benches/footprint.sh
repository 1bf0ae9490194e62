#!/bin/bash
# What a library adds to small programs: the stripped sizes of `footprint/LIBRARY/src`, and how much
# larger each is than the same program on std alone.
#
#   ./footprint.sh [LIBRARY...]     asyncfile, unless others are named: tokio, smol; mio (lines only)
#   ./footprint.sh --check          fails if the first program of asyncfile has grown
#   ./footprint.sh --accept         writes down its size, for --check
#
# The programs: lines (runs a command and counts the lines that it prints), timeout (a line with a
# deadline, and a sleep), communicate (feeds a command and has its output), channel (a thread sends
# to the loop). Each is built twice: by the default release profile, and to be small (opt-level =
# "z", LTO, one codegen unit, panic = "abort"). A KB is 1000 bytes. `cargo run --release --
# footprint` measures the first program of more libraries, and the time of a clean build.
set -eu
cd "$(dirname "$0")"

TARGET=${CARGO_TARGET_DIR:-target}/footprint
case $TARGET in
/*) ;;
*) TARGET=$PWD/$TARGET ;;
esac
unset RUSTFLAGS
cd footprint
KNOWN=$PWD/lines.bytes

# Runs a program and says whether it does its work.
try() { # NAME PROGRAM
    case $1 in
    lines) [[ $("$2" printf 'one\ntwo\nthree') == "3 lines, exit"* ]] ;;
    timeout) [[ $("$2" printf 'one\ntwo\nthree') == *" bytes" ]] ;;
    communicate) [[ $("$2" cat) == "13 bytes, exit"* ]] ;;
    channel) [[ $("$2") == 5050 ]] ;;
    esac
}

# Builds a program, tries it, and prints its size.
size() { # LIBRARY NAME PROFILE
    local binary=$2 features=()
    [ "$2" = lines ] && binary=footprint-$1
    if [ "$1" = tokio ] && [ "$2" != lines ]; then features=(--features "$2"); fi
    (
        cd "$1"
        if [ "$3" = small ]; then
            export CARGO_PROFILE_RELEASE_OPT_LEVEL=z CARGO_PROFILE_RELEASE_LTO=fat
            export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 CARGO_PROFILE_RELEASE_PANIC=abort
        fi
        CARGO_TARGET_DIR=$TARGET/$3/$1 cargo build --release --quiet --bin "$binary" "${features[@]}"
    )
    local program=$TARGET/$3/$1/release/$binary
    try "$2" "$program" || { echo "$1's $2 does not do its work" >&2; exit 1; }
    wc -c <"$program"
}

# The first program of asyncfile over std's, in bytes: default and small.
over() {
    echo "$(($(size asyncfile lines default) - $(size std lines default)))" \
        "$(($(size asyncfile lines small) - $(size std lines small)))"
}

case ${1-} in
--accept)
    { rustc --version; over; } >"$KNOWN"
    cat "$KNOWN"
    exit
    ;;
--check)
    { read -r compiler; read -r usual small; } <"$KNOWN"
    if [ "$compiler" != "$(rustc --version)" ]; then
        echo "SKIPPED: sizes are known for $compiler, and this is $(rustc --version)"
        exit
    fi
    read -r usual_now small_now < <(over)
    echo "over std: $usual_now bytes ($usual known), built to be small: $small_now ($small known)"
    if ((usual_now > usual + 4000 || small_now > small + 4000)); then
        echo "The program has grown by more than 4 KB: find out why, or ./footprint.sh --accept" >&2
        exit 1
    fi
    exit
    ;;
esac

echo "| program | by | stripped, KB | over std | small, KB | over std |"
echo "|---|---|--:|--:|--:|--:|"
for name in lines timeout communicate channel; do
    usual_std=$(size std "$name" default)
    small_std=$(size std "$name" small)
    for library in std "${@:-asyncfile}"; do
        [ "$library" = mio ] && [ "$name" != lines ] && continue
        usual=$(size "$library" "$name" default)
        small=$(size "$library" "$name" small)
        echo "$name $library $usual $usual_std $small $small_std" | awk '{
            printf "| %s | %s | %.0f | %.1f ", $1, $2, $3 / 1000, ($3 - $4) / 1000
            printf "| %.0f | %.1f |\n", $5 / 1000, ($5 - $6) / 1000
        }'
    done
done
