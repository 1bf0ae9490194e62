#!/bin/sh
# System calls per unit of work, by strace: exact where time is not.
#
#   ./syscalls.sh [WORK...]
#
# Every variant runs twice, the second time with twice as many units; the difference is free of what starting costs. All threads of
# the process are counted, its children only until they have become another program. All on one processor, by default the first: how full
# a pipe is when it is read does not depend on who runs beside whom then. PIN= lets them run where they like.
set -eu
cd "$(dirname "$0")"

if ! command -v strace >/dev/null; then
    echo "strace is missing: no system calls were counted."
    exit 0
fi
cargo build --release --quiet
BENCH=${CARGO_TARGET_DIR:-target}/release/asyncfile-benches
ON=${PIN-0}
LOGS=$(mktemp -d)
trap 'rm -rf "$LOGS"' EXIT
WORKS=${*:-lines-100 bulk communicate children ping-pong timeouts descriptors-10-fixed descriptors-1000-moving spawn-one-by-one}

# How many units the first run does, and by how many the table counts.
count() {
    case $1 in
    lines-20 | lines-100) echo 200000 1000 ;;
    lines-64K) echo 400 1 ;;
    bulk) echo 262144 1024 ;;
    communicate) echo 8192 1024 ;;
    children) echo 20 1 ;;
    *) echo 2000 1 ;;
    esac
}

# Runs COUNT units; the log gets a line for each kind of call: how often, and its name.
trace() { # WORK VARIANT COUNT LOG
    strace -f -b execve -c -S name -U calls,name -o "$4.raw" "$BENCH" ${ON:+--pin "$ON"} --run "$1" "$2" "$3" >/dev/null
    awk '$1 ~ /^[0-9]+$/ && $2 != "total" { print $1, $2 }' "$4.raw" >"$4"
}

echo "| work | variant | per | calls | of these |"
echo "|---|---|---|--:|---|"
TAB=$(printf '\t')
for work in $WORKS; do
    set -- $(count "$work")
    "$BENCH" --list | while IFS=$TAB read -r name variant _ unit; do
        [ "$name" = "$work" ] || continue
        trace "$work" "$variant" "$1" "$LOGS/once"
        trace "$work" "$variant" "$(($1 * 2))" "$LOGS/twice"
        [ "$2" = 1 ] && per=$unit || per="$2 ${unit}s"
        [ "$per" = "1024 KiBs" ] && per=MiB
        awk -v units="$1" -v scale="$2" -v work="$work" -v variant="$variant" -v per="$per" '
            NR == FNR { once[$2] = $1; next }
            { more[$2] = ($1 - once[$2]) * scale / units; sum += more[$2] }
            END {
                text = ""
                # The most frequent first, what is rarer than 1 in 200 of all left out.
                for (;;) {
                    best = ""
                    for (call in more) if (best == "" || more[call] > more[best]) best = call
                    if (best == "" || more[best] <= 0 || more[best] < sum / 200) break
                    text = text (text == "" ? "" : ", ") best " " sprintf("%.3g", more[best])
                    delete more[best]
                }
                if (text == "") text = "none"
                printf "| %s | %s | %s | %.3g | %s |\n", work, variant, per, sum, text
            }' "$LOGS/once" "$LOGS/twice"
    done
done
