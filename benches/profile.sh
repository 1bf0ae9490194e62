#!/bin/sh
# Instructions per unit of work, and the ten most expensive places, by callgrind: exact, whatever else the machine does.
#
#   ./profile.sh [WORK VARIANT]
#
# Every variant runs twice, the second time with twice as many units; the difference is free of what starting costs. Instructions
# are those of the process, not the kernel's. A place is a function with all that was inlined into it.
set -eu
cd "$(dirname "$0")"

if ! command -v valgrind >/dev/null; then
    echo "valgrind is missing: nothing was profiled."
    exit 0
fi
cargo build --release --quiet
BENCH=${CARGO_TARGET_DIR:-target}/release/asyncfile-benches
LOGS=$(mktemp -d)
trap 'rm -rf "$LOGS"' EXIT

# The instructions of each function, from callgrind's file: "fn=(7) name" begins one, its lines are "position count", but for the one that
# follows "calls=", which is the callee's.
places() { # LOG
    awk '
        /^fn=/ {
            id = $1
            sub(/^fn=/, "", id)
            if (NF > 1) {
                name = $0
                sub(/^fn=\([0-9]+\) /, "", name)
                names[id] = name
            }
            place = names[id]
        }
        /^cfn=\([0-9]+\) / {
            id = $1
            sub(/^cfn=/, "", id)
            name = $0
            sub(/^cfn=\([0-9]+\) /, "", name)
            names[id] = name
        }
        /^calls=/ { is_callee = 1; next }
        /^[-+*0-9]/ {
            if (!is_callee) sum[place] += $2
            is_callee = 0
        }
        END { for (place in sum) print sum[place], place }' "$1"
}

profile() { # WORK VARIANT COUNT
    for times in 1 2; do
        valgrind --tool=callgrind --callgrind-out-file="$LOGS/$times" \
            "$BENCH" --run "$1" "$2" "$(($3 * times))" >/dev/null 2>&1
        places "$LOGS/$times" >"$LOGS/places$times"
    done
    awk -v count="$3" -v work="$1" -v variant="$2" -v top="${TOP:-10}" '
        { n = $1; $1 = ""; if (NR == FNR) once[$0] = n; else { more[$0] = (n - once[$0]) / count; all += more[$0] } }
        END {
            printf "\n### %s, %s: %.0f instructions a unit\n\n", work, variant, all
            for (i = 0; i < top; i++) {
                best = ""
                for (place in more) if (best == "" || more[place] > more[best]) best = place
                if (best == "" || more[best] < 0.5) break
                printf "%8.1f  %4.1f %% %s\n", more[best], 100 * more[best] / all, best
                delete more[best]
            }
        }' "$LOGS/places1" "$LOGS/places2"
}

if [ $# = 2 ]; then
    profile "$1" "$2" 20000
    exit
fi
profile lines-20 "asyncfile readline" 50000
profile lines-20 "asyncfile readlines" 50000
profile ping-pong asyncfile 5000
profile spawn-one-by-one "asyncfile join" 20000
profile spawn-at-once "asyncfile join" 20000
# For comparison: only the sums.
TOP=0
profile lines-20 limit 50000
profile lines-20 "std read_until" 50000
profile lines-20 "tokio read_until" 50000
profile ping-pong limit 5000
profile ping-pong tokio 5000
profile spawn-one-by-one tokio 20000
profile spawn-at-once tokio 20000
