//! Every input that the fuzzer was given to begin with, and every one that it has found, again.

#[path = "../fuzz/harness/line_parser.rs"]
mod line_parser;
mod naive;
#[path = "../fuzz/harness/script.rs"]
mod script;

use std::collections::BTreeSet;
use std::path::Path;

use asyncfile::machine::read::Want;
use naive::reading::Answer;

/// Every reader's kind, and every way in which it can answer.
const ANSWERS: [(&str, &[&str]); 5] = [
    ("read", &["Blocked", "Complete", "Eof", "Failed"]),
    ("read full", &["Blocked", "Complete", "Eof", "Failed", "TimedOut", "Yield"]),
    ("read_to_end", &["Blocked", "Eof", "Failed", "Limit", "TimedOut", "Yield"]),
    ("readline", &["Blocked", "Complete", "Eof", "Failed", "Limit", "Yield"]),
    ("readlines", &["Blocked", "Complete", "Eof", "Failed", "Limit", "Yield"]),
];

fn name(want: Want, answer: Answer) -> (&'static str, String) {
    let reader = match want {
        Want::Some(_) => "read",
        Want::Full(_) => "read full",
        Want::ToEnd(_) => "read_to_end",
        Want::Line(_) => "readline",
        Want::Lines(_) => "readlines",
    };
    let answer = match answer {
        Answer::Ended(end, _) => format!("{end:?}"),
        Answer::Failed(_) => "Failed".to_string(),
        Answer::Blocked | Answer::Yield => format!("{answer:?}"),
    };
    (reader, answer)
}

#[test]
fn the_corpus_of_line_parser_passes_and_reaches_every_answer_of_every_reader() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/line_parser");
    let mut reached = BTreeSet::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let data = std::fs::read(&path).unwrap();
        match std::panic::catch_unwind(|| line_parser::run(&data)) {
            Ok(answers) => reached.extend(answers.into_iter().map(|(want, answer)| name(want, answer))),
            Err(_) => panic!("{}: {:#?}", path.display(), line_parser::steps(&data)),
        }
    }
    for (reader, answers) in ANSWERS {
        for answer in answers {
            assert!(reached.contains(&(reader, answer.to_string())), "no {reader} answers {answer}");
        }
    }
}
