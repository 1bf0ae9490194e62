//! Runs the fuzz targets on every input of their corpora: those that the fuzzers began with, and
//! those that they have found.

#[path = "../fuzz/harness/communicate.rs"]
mod communicate;
#[path = "../fuzz/harness/line_parser.rs"]
mod line_parser;
#[path = "../fuzz/harness/machines.rs"]
mod machines;
mod naive;
#[path = "../fuzz/harness/script.rs"]
mod script;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::Path;

use asyncfile::machine::exit::State;
use asyncfile::machine::read::Want;
use asyncfile::machine::write::Extent;
use machines::Said;
use naive::{communicating, reading};

/// Each kind of reader, and every answer that it can give.
const READERS: [(&str, &[&str]); 5] = [
    ("read", &["Blocked", "Complete", "Eof", "Failed"]),
    (
        "read full",
        &["Blocked", "Complete", "Eof", "Failed", "TimedOut", "Yield"],
    ),
    (
        "read_to_end",
        &["Blocked", "Eof", "Failed", "Limit", "TimedOut", "Yield"],
    ),
    (
        "readline",
        &["Blocked", "Complete", "Eof", "Failed", "Limit", "Yield"],
    ),
    (
        "readlines",
        &["Blocked", "Complete", "Eof", "Failed", "Limit", "Yield"],
    ),
];

/// The same for writers.
const WRITERS: [(&str, &[&str]); 2] = [
    ("write", &["Blocked", "Complete", "Failed"]),
    (
        "write full",
        &["Blocked", "Complete", "Failed", "TimedOut", "Yield"],
    ),
];

/// Each state that a communicate is advanced in, and every answer that it can give then.
const COMMUNICATES: [(&str, &[&str]); 3] = [
    ("Feeding", &["Blocked", "Ended", "Failed", "Limit", "Yield"]),
    (
        "Collecting",
        &["Blocked", "Ended", "Failed", "Limit", "Yield"],
    ),
    ("AwaitingExit", &["Blocked", "Ended", "Limit"]),
];

/// Every answer of a communicate that runs beside other machines.
const COMMUNICATE: [(&str, &[&str]); 1] = [(
    "communicate",
    &["Blocked", "Ended", "Failed", "Limit", "Yield"],
)];

/// Every state of a wait for exits.
const EXIT: [(&str, &[&str]); 1] = [("exit", &["Ended", "Running"])];

type Reached = BTreeSet<(&'static str, String)>;

fn reader(want: Want, answer: reading::Answer) -> (&'static str, String) {
    let reader = match want {
        Want::Some(_) => "read",
        Want::Full(_) => "read full",
        Want::Exact(_) => "read_exact",
        Want::ToEnd(_) => "read_to_end",
        Want::Line(_) => "readline",
        Want::Lines(_) => "readlines",
    };
    (reader, reading_answer(answer))
}

fn reading_answer(answer: reading::Answer) -> String {
    match answer {
        reading::Answer::Ended(end, _) => format!("{end:?}"),
        answer => first_word(answer),
    }
}

fn communicator((state, answer): (&'static str, communicating::Answer)) -> (&'static str, String) {
    (state, first_word(answer))
}

fn machine(said: Said) -> (&'static str, String) {
    match said {
        Said::Reader(want, answer) => reader(want, answer),
        Said::Writer { extent, answer } => {
            let writer = match extent {
                Extent::Once => "write",
                Extent::Full => "write full",
                Extent::All => "write_all",
            };
            (writer, reading_answer(answer))
        }
        Said::Communicator(_, answer) => ("communicate", first_word(answer)),
        Said::Waiter(state) => ("exit", first_word::<State>(state)),
    }
}

/// The name of a variant, without its fields.
fn first_word<A: Debug>(answer: A) -> String {
    format!("{answer:?}")
        .split(['(', ' '])
        .next()
        .unwrap_or_default()
        .to_string()
}

/// Runs each file of a target's corpus. `steps` shows what a file that fails stands for.
fn replay<A, S: Debug>(
    target: &str,
    run: fn(&[u8]) -> Vec<A>,
    steps: fn(&[u8]) -> S,
    name: fn(A) -> (&'static str, String),
) -> Reached {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut reached = BTreeSet::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let data = std::fs::read(&path).unwrap();
        match std::panic::catch_unwind(|| run(&data)) {
            Ok(answers) => reached.extend(answers.into_iter().map(name)),
            Err(_) => panic!("{}: {:#?}", path.display(), steps(&data)),
        }
    }
    reached
}

fn assert_reached(reached: &Reached, answers: &[(&'static str, &[&str])]) {
    for (machine, answers) in answers {
        for answer in *answers {
            assert!(
                reached.contains(&(machine, answer.to_string())),
                "no {machine} answers {answer}"
            );
        }
    }
}

#[test]
fn the_corpus_of_line_parser_passes_and_reaches_every_answer_of_every_reader() {
    let name = |(want, answer)| reader(want, answer);
    assert_reached(
        &replay("line_parser", line_parser::run, line_parser::steps, name),
        &READERS,
    );
}

#[test]
fn the_corpus_of_machines_passes_and_reaches_every_answer_of_every_machine() {
    let reached = replay("machines", machines::run, machines::steps, machine);
    for answers in [&READERS[..], &WRITERS, &COMMUNICATE, &EXIT] {
        assert_reached(&reached, answers);
    }
}

#[test]
fn the_corpus_of_communicate_passes_and_reaches_every_answer_in_every_state() {
    assert_reached(
        &replay(
            "communicate",
            communicate::run,
            communicate::steps,
            communicator,
        ),
        &COMMUNICATES,
    );
}
