#!/bin/sh
# Instructions per unit of work, by callgrind, and system calls of a child, by strace: counts, which
# do not depend on what else the machine does.
#
#   ./profile.sh                    the most expensive places of asyncfile's works, then the tables
#   TOP=0 ./profile.sh              the tables alone
#   ./profile.sh WORK VARIANT [N]   one variant, over N units (20000); a child's works want 50
#
# Every variant runs twice, the second time with twice as many units. The difference is free of what
# starting costs. Instructions are those of the process, not the kernel's and not its children's. A
# place is a function with all that was inlined into it. System calls are those of the process and
# of its child until that has become another program.
#
# All runs are on one processor, by default the first: how full a pipe is when it is read does not
# depend on what runs beside what then. PIN= lets the kernel choose. The instructions for a child
# vary by some percent all the same: whether a pipe is ready depends on when the child runs.
set -eu
cd "$(dirname "$0")"

if ! command -v valgrind >/dev/null; then
    echo "valgrind is missing: nothing was profiled."
    exit 0
fi
cargo build --release --quiet
BENCH=${CARGO_TARGET_DIR:-target}/release/asyncfile-benches
ON=${PIN-0}
LOGS=$(mktemp -d)
trap 'rm -rf "$LOGS"' EXIT
: >"$LOGS/table"

# The instructions of each function, from callgrind's file: "fn=(7) name" begins one, its lines are
# "position count", but for the one that follows "calls=", which is the callee's.
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

# Prints the most expensive places, and adds a line to the table, whose unit is SCALE of the work's.
profile() { # WORK VARIANT COUNT UNIT [SCALE]
    for times in 1 2; do
        valgrind --tool=callgrind --callgrind-out-file="$LOGS/$times" \
            "$BENCH" ${ON:+--pin "$ON"} --run "$1" "$2" "$(($3 * times))" >"$LOGS/output" 2>&1 ||
            { cat "$LOGS/output" >&2; exit 1; }
        places "$LOGS/$times" >"$LOGS/places$times"
    done
    awk -v count="$3" -v work="$1" -v variant="$2" -v unit="$4" -v scale="${5:-1}" \
        -v top="${TOP:-10}" -v table="$LOGS/table" '
        {
            n = $1
            $1 = ""
            if (NR == FNR) {
                once[$0] = n
            } else {
                more[$0] = (n - once[$0]) / count
                all += more[$0]
            }
        }
        END {
            printf "%s|%s|%.0f\n", unit, variant, all * scale >>table
            if (top > 0) printf "\n### %s, %s: %.0f instructions a unit\n\n", work, variant, all
            for (i = 0; i < top; i++) {
                best = ""
                for (place in more) if (best == "" || more[place] > more[best]) best = place
                if (best == "" || more[best] < 0.5) break
                printf "%8.1f  %4.1f %% %s\n", more[best], 100 * more[best] / all, best
                delete more[best]
            }
        }' "$LOGS/places1" "$LOGS/places2"
}

# The system calls of N children, by name.
calls() { # VARIANT N LOG
    strace -f -b execve -c -S name -U calls,name -o "$3.raw" \
        "$BENCH" ${ON:+--pin "$ON"} --run children "$1" "$2" >/dev/null
    awk '$1 ~ /^[0-9]+$/ && $2 != "total" { print $1, $2 }' "$3.raw" >"$3"
}

# One line of the second table: the calls of one child, and what they are over those of std.
children() { # VARIANT
    calls "$1" 20 "$LOGS/once"
    calls "$1" 60 "$LOGS/more"
    awk -v variant="$1" -v reference="$LOGS/std" '
        BEGIN {
            while ((getline line <reference) > 0) {
                split(line, part)
                std[part[2]] = part[1]
            }
        }
        NR == FNR { once[$2] = $1; next }
        { each[$2] = ($1 - once[$2]) / 40; sum += each[$2] }
        END {
            if (variant == "std in steps") {
                for (call in each) print each[call], call >reference
                printf "| %s | %.1f | | |\n", variant, sum
                exit
            }
            for (call in std) { over[call] = -std[call]; over_all -= std[call] }
            for (call in each) { over[call] += each[call]; over_all += each[call] }
            text = ""
            for (;;) {
                best = ""
                for (call in over) if (best == "" || over[call] > over[best]) best = call
                if (best == "" || over[best] < 0.05) break
                text = text (text == "" ? "" : ", ") best " " sprintf("%.3g", over[best])
                delete over[best]
            }
            for (call in over) if (over[call] <= -0.05) {
                text = text (text == "" ? "" : ", ") call " " sprintf("%.3g", over[call])
            }
            printf "| %s | %.1f | %.1f | %s |\n", variant, sum, over_all, text
        }' "$LOGS/once" "$LOGS/more"
}

if [ $# -ge 2 ]; then
    profile "$1" "$2" "${3:-20000}" "$1"
    exit
fi

LINE="a line of 20 bytes"
TRIP="a round trip of 8 bytes"
TIMED="a round trip with a timeout on both reads"
TASK="a task spawned and joined"
TASKS="the same of many at once"
CHILD="\`cat\` fed 100 bytes, read, reaped"
profile lines-20 "asyncfile readline" 50000 "$LINE"
profile lines-20 "asyncfile again" 50000 "$LINE"
profile lines-20 "asyncfile readlines" 50000 "$LINE"
profile ping-pong asyncfile 5000 "$TRIP"
profile timeouts asyncfile 10000 "$TIMED" 2
profile spawn-one-by-one "asyncfile join" 20000 "$TASK"
profile spawn-at-once "asyncfile join" 20000 "$TASKS"
profile children asyncfile 50 "$CHILD"
profile children "asyncfile in steps" 50 "$CHILD"
# For comparison: only the sums.
TOP=0
profile lines-20 limit 50000 "$LINE"
profile lines-20 "std read_until" 50000 "$LINE"
profile lines-20 "tokio read_until" 50000 "$LINE"
profile ping-pong limit 5000 "$TRIP"
profile ping-pong tokio 5000 "$TRIP"
profile timeouts limit 10000 "$TIMED" 2
profile timeouts tokio 10000 "$TIMED" 2
profile spawn-one-by-one tokio 20000 "$TASK"
profile spawn-at-once tokio 20000 "$TASKS"
profile children "std in steps" 50 "$CHILD"
profile children tokio 50 "$CHILD"

echo
echo "| unit | variant | instructions |"
echo "|---|---|--:|"
awk -F'|' '
    {
        printf "| %s | %s | %d |\n", $1, $2, $3
        if ($1 ~ /^a round trip of/) trip[$2] = $3
        if ($1 ~ /^a round trip with/) {
            one = ($3 - trip[$2]) / 2
            printf "| of that, one timeout armed and taken back | %s | %d |\n", $2, one
        }
    }' "$LOGS/table"

echo
if ! command -v strace >/dev/null; then
    echo "strace is missing: no system calls were counted."
    exit 0
fi
echo "| $CHILD | system calls | over std's | of these |"
echo "|---|--:|--:|---|"
children "std in steps"
children "asyncfile in steps"
children asyncfile
children tokio
