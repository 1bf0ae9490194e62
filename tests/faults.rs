//! The examples, with faults on the real kernel: `strace` has one call fail with one error, the
//! first, the second, every third, or every time, and a preloaded file cuts counts short. The
//! faults are in the example's own process, behind the beginning of its `main`; its children run
//! without.
//!
//! Each run ends as the run without faults does, or with a message and a status that says so. None
//! hangs, panics or spins, none prints a part as if it were the whole, and none leaves a process.
//!
//! The whole table has thousands of rows, so a few of them are run, evenly chosen; with
//! FAULTS=sample some more. `FAULTS=all cargo test --test faults -- --nocapture` runs them all;
//! `FAULTS=pipe_grep` those that have this in their name. `cargo test` builds the examples; with `cargo test --test faults`
//! alone, `cargo build --examples` does.

#![cfg(target_os = "linux")]

mod built;
#[path = "faults/example.rs"]
mod example;
mod signals;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use example::{Case, Faults, Run, CASES};

/// The calls that fail, as strace names them.
pub const CALLS: [&str; 12] = [
    "poll",
    "read",
    "write",
    "recvfrom",
    "sendto",
    "fcntl",
    "pipe2",
    "pidfd_open",
    "waitid",
    "wait4",
    "preadv2",
    "pwritev2",
];

/// Errors, by their names and by what strerror(3) makes of them.
const ERRORS: [(&str, &str); 10] = [
    ("EINTR", "Interrupted system call"),
    ("EAGAIN", "Resource temporarily unavailable"),
    ("EIO", "Input/output error"),
    ("ENOMEM", "Cannot allocate memory"),
    ("EMFILE", "Too many open files"),
    ("ENFILE", "Too many open files in system"),
    ("EPIPE", "Broken pipe"),
    ("ECONNRESET", "Connection reset by peer"),
    ("EPERM", "Operation not permitted"),
    ("ENOSYS", "Function not implemented"),
];

/// An error names the descriptor, or what else has failed.
const NAMES: [&str; 11] = [
    " on fd ",
    " of child ",
    ": poll: ",
    ": remote: ",
    ": spawn ",
    ": stdin: ",
    ": stdout: ",
    ": signals: ",
    ": communicate input: ",
    "Cargo.toml: ",
    "/services: ",
];

/// How many rows are run without FAULTS and with FAULTS=sample, and the most that they may take.
/// What is left out for lack of time is said.
const FEW: (usize, Duration) = (48, Duration::from_secs(40));
const SAMPLE: (usize, Duration) = (240, Duration::from_secs(100));

#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    First,
    Second,
    EveryThird,
    Always,
}

struct Row {
    case: &'static Case,
    /// How the case goes without faults.
    calm: usize,
    call: &'static str,
    error: (&'static str, &'static str),
    when: When,
}

impl Row {
    fn name(&self) -> String {
        let (name, error) = (self.case.name, self.error.0);
        format!("{name} {} {error} {:?}", self.call, self.when)
    }

    fn expression(&self, before_main: usize) -> String {
        let when = match self.when {
            When::First => format!("{}", before_main + 1),
            When::Second => format!("{}", before_main + 2),
            When::EveryThird => format!("{}+3", before_main + 3),
            When::Always => format!("{}+", before_main + 1),
        };
        format!("{}:error={}:when={when}", self.call, self.error.0)
    }
}

/// Every row that can differ from another one. A call that is interrupted or not ready for ever is
/// tried for ever, so there is no such row.
fn rows(calm: &[Run]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (index, case) in CASES.iter().enumerate() {
        for call in CALLS {
            let count = calm[index].calls_of(call);
            for error in ERRORS {
                for (when, least) in [
                    (When::First, 1),
                    (When::Second, 2),
                    (When::EveryThird, 3),
                    (When::Always, 2),
                ] {
                    let is_passing = matches!(error.0, "EINTR" | "EAGAIN");
                    if count >= least && !(when == When::Always && is_passing) {
                        rows.push(Row {
                            case,
                            calm: index,
                            call,
                            error,
                            when,
                        });
                    }
                }
            }
        }
    }
    rows
}

/// The kernel would lie: it says so only if the other side has gone, and then that is what the
/// example goes by.
fn says_that_the_other_side_has_gone(row: &Row) -> bool {
    match row.error.0 {
        "EPIPE" | "ECONNRESET" => true,
        "EIO" => row.case.name == "repl" && row.call == "write",
        _ => false,
    }
}

/// What is wrong with a run, if anything is. `text`: how the fault is named in a message; None if
/// that need not be said.
fn judge(case: &Case, calm: &Run, run: &Run, text: Option<&str>) -> Result<Verdict, String> {
    if run.is_hanging {
        return Err("it hangs, or a child of it holds its output".into());
    }
    if run.stderr.contains("panicked") {
        return Err("it panics".into());
    }
    if !run.left.is_empty() {
        return Err(format!("it leaves a process: {}", run.left));
    }
    // A fallback may ask again and again: a child's end without a pidfd.
    let most = 8 * calm.all_calls() + 500;
    if run.all_calls() > most {
        return Err(format!("it makes {} calls", run.all_calls()));
    }
    if run.status == calm.status && run.output(case) == calm.output(case) {
        return Ok(Verdict::Right);
    }
    let has_failed = matches!(run.status.code(), Some(1 | 2 | 255));
    let goes_on = case.is_server() && run.status == calm.status;
    if !has_failed && !goes_on {
        return Err("its status says success, or a signal, and its output is another".into());
    }
    // A message may be what the fault hits.
    let names = |line: &str| NAMES.iter().any(|name| line.contains(name));
    let says = |line: &str| text.is_none_or(|text| line.contains(text)) && names(line);
    let is_said = run.stderr.lines().any(says) || text.is_none();
    if !is_said && !run.has_hit_stderr() {
        return Err("the error is not said".into());
    }
    Ok(Verdict::Error)
}

enum Verdict {
    Right,
    Error,
}

#[derive(Default)]
struct Summary {
    right: usize,
    errors: usize,
    not_reached: usize,
    findings: Vec<String>,
    /// The messages of the errors, each with the first row that has it.
    messages: BTreeMap<String, String>,
}

impl Summary {
    fn add(&mut self, name: String, verdict: Result<Verdict, String>, run: &Run) {
        match verdict {
            Ok(Verdict::Right) => self.right += 1,
            Ok(Verdict::Error) => {
                self.errors += 1;
                let message = run.stderr.lines().last().unwrap_or_default().to_string();
                self.messages.entry(message).or_insert(name);
            }
            Err(why) => {
                println!("FOUND {name}: {why}\n{run}");
                self.findings.push(format!("{name}: {why}"));
            }
        }
    }

    fn print(&self, what: &str) {
        println!(
            "{what}: {} runs, {} right, {} errors, {} findings; {} did not come to their fault",
            self.right + self.errors + self.findings.len(),
            self.right,
            self.errors,
            self.findings.len(),
            self.not_reached,
        );
    }
}

#[test]
fn a_call_that_fails_ends_an_example_rightly_or_with_an_error() {
    if let Err(why) = example::strace_is_there() {
        println!("SKIPPED: faults by strace: {why}");
        return;
    }
    let _guard = example::one_at_a_time();
    let calm: Vec<Run> = CASES
        .iter()
        .map(|case| {
            let run = example::run(case, &Faults::None);
            assert!(run.has_begun, "the beginning of main is not seen: {run}");
            assert!(
                !run.is_hanging && run.left.is_empty(),
                "{}: {run}",
                case.name
            );
            run
        })
        .collect();
    let rows = rows(&calm);
    let wanted = std::env::var("FAULTS").ok();
    let (most, time) = match wanted.as_deref() {
        None => FEW,
        Some("sample") => SAMPLE,
        Some(_) => (usize::MAX, Duration::MAX),
    };
    let chosen: Vec<&Row> = match wanted.as_deref() {
        Some("all") => rows.iter().collect(),
        // The step is odd: few lengths of the lists above have a divisor in common with it.
        None | Some("sample") => rows.iter().step_by((rows.len() / most) | 1).collect(),
        Some(part) => rows
            .iter()
            .filter(|row| row.name().contains(part))
            .collect(),
    };
    let mut summary = Summary::default();
    let began = Instant::now();
    for (done, row) in chosen.iter().enumerate() {
        if began.elapsed() > time {
            println!("SKIPPED: {} rows, for lack of time", chosen.len() - done);
            break;
        }
        if done % 100 == 99 {
            println!("{} of {} rows", done + 1, chosen.len());
        }
        let calm = &calm[row.calm];
        let run = example::run(
            row.case,
            &Faults::Call(row.expression(calm.before_main(row.call))),
        );
        // The number of calls before main is not always the same.
        if run.is_hit_before_main() {
            summary.not_reached += 1;
            continue;
        }
        summary.not_reached += usize::from(run.hits.is_empty());
        let text = (!says_that_the_other_side_has_gone(row)).then_some(row.error.1);
        let verdict = judge(row.case, calm, &run, text);
        summary.add(row.name(), verdict, &run);
    }
    if time == Duration::MAX {
        for (message, name) in &summary.messages {
            println!("{name:>50} | {message}");
        }
    }
    summary.print(&format!("faults by strace ({} rows in all)", rows.len()));
    assert!(summary.findings.is_empty(), "{:#?}", summary.findings);
}

#[test]
fn short_counts_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let shim = directory.path().join("short_counts.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/short_counts.c");
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o"]);
    match cc.arg(&shim).arg(source).arg("-ldl").status() {
        Err(error) => {
            println!("SKIPPED: short counts: cc: {error}");
            return;
        }
        Ok(status) => assert!(status.success(), "cc: {status}"),
    }
    let _guard = example::one_at_a_time();
    let seeds = match std::env::var("FAULTS").as_deref() {
        Ok("all") => 40,
        Ok(_) => 8,
        Err(_) => 3,
    };
    let mut summary = Summary::default();
    for case in &CASES {
        let calm = example::run(case, &Faults::None);
        for seed in 0..seeds {
            let run = example::run(case, &Faults::Short(shim.clone(), seed));
            let verdict = match judge(case, &calm, &run, Some("")) {
                Ok(Verdict::Error) => Err("a short count is no error".into()),
                verdict => verdict,
            };
            summary.add(format!("{} seed {seed}", case.name), verdict, &run);
        }
    }
    summary.print("short counts");
    assert!(summary.findings.is_empty(), "{:#?}", summary.findings);
}
