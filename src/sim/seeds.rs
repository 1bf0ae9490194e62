//! The simulation: a random program for each of many seeds, on the simulated kernel. See
//! `tests/simulation`.
//!
//! ```sh
//! # So many, and what they met:
//! SIMULATION_SEEDS=1000000 cargo test --release --lib simulation_of_random -- --nocapture
//! # One, turn by turn:
//! SIMULATION_SEED=4711 cargo test --lib simulation_of_random -- --nocapture
//! # The same, written as an input of the corpus:
//! SIMULATION_SEED=4711 SIMULATION_INPUT=fuzz/corpus/tasks/NAME \
//!     cargo test --lib simulation_of_random
//! ```

#[path = "../../tests/simulation/mod.rs"]
mod simulation;

use std::cell::RefCell;
use std::panic::catch_unwind;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::Instant;

use simulation::Report;

/// How many seeds are run, unless SIMULATION_SEEDS says how many.
const SEEDS: u64 = 10_000;

/// What all programs together must have met: operations and how they ended, and the states of the
/// machines.
const MET: [(&str, &[&str]); 32] = [
    ("read", &["Complete", "Limit", "Eof", "TimedOut", "Failed"]),
    ("read full", &["Complete", "Eof", "TimedOut", "Failed"]),
    ("read_to_end", &["Limit", "Eof", "TimedOut", "Failed"]),
    (
        "readline",
        &["Complete", "Limit", "Eof", "TimedOut", "Failed"],
    ),
    (
        "readlines",
        &["Complete", "Limit", "Eof", "TimedOut", "Failed"],
    ),
    ("write", &["Complete", "TimedOut", "Failed"]),
    ("write full", &["Complete", "TimedOut", "Failed"]),
    ("write_all", &["Complete", "TimedOut", "Failed"]),
    ("shutdown_write", &["Complete", "Failed"]),
    ("ready", &["Complete", "TimedOut", "Failed"]),
    ("readiness", &["Complete", "TimedOut", "Failed"]),
    ("peek", &["Complete", "Limit", "Eof", "TimedOut", "Failed"]),
    ("read_exact", &["Complete", "TimedOut", "Failed"]),
    (
        "read_until",
        &["Complete", "Limit", "Eof", "TimedOut", "Failed"],
    ),
    (
        "messages",
        &[
            "Whole", "Cut", "Empty", "Shown", "Ended", "Sent", "TooLong", "Refused", "Lost",
        ],
    ),
    ("ticks", &["Complete", "TimedOut"]),
    ("sleep", &["Complete", "TimedOut"]),
    ("yield_now", &["Complete"]),
    ("join", &["Complete", "TimedOut"]),
    (
        "first",
        &["Complete", "Limit", "Eof", "TimedOut", "Failed", "PutBack"],
    ),
    (
        "communicate",
        &["Complete", "Output", "Limit", "TimedOut", "Failed"],
    ),
    ("exit", &["Complete", "TimedOut", "Failed"]),
    ("exit_all", &["Complete", "TimedOut"]),
    ("stop", &["Complete", "Failed"]),
    ("message", &["Complete", "Eof", "TimedOut"]),
    ("second user", &["Read", "Written"]),
    ("queue ready", &["Complete", "Eof", "TimedOut"]),
    ("queue room", &["Complete", "Eof", "TimedOut"]),
    ("on_failure", &["told"]),
    ("cancel_on_drop", &["Dropped", "GivenBack"]),
    // The operations that an `until` has ended.
    (
        "until",
        &[
            "read",
            "read full",
            "read_to_end",
            "readline",
            "readlines",
            "write",
            "write full",
            "write_all",
            "ready",
            "readiness",
            "sleep",
            "ticks",
            "join",
            "first",
            "communicate",
            "exit",
            "exit_all",
            "message",
            "queue ready",
            "queue room",
        ],
    ),
    (
        "state",
        &[
            "Looking",
            "Blocked",
            "Ended",
            "Writing",
            "Waiting",
            "Feeding",
            "Collecting",
            "AwaitingExit",
            "Running",
        ],
    ),
];

/// The entries of MET that these programs have not met.
fn missing(report: &Report) -> Vec<(&'static str, String)> {
    let all = MET.iter().flat_map(|(name, ends)| {
        let ends = ends.iter();
        ends.map(|end| (*name, end.to_string()))
    });
    all.filter(|end| !report.ends.contains_key(end)).collect()
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text:?} is not a number")),
    )
}

fn run(seed: u64, traces: bool) -> Report {
    let mut random = fastrand::Rng::with_seed(seed);
    simulation::run(move |below| random.u32(..below), traces)
}

/// The choices of one seed, written as an input of the fuzzing corpus.
fn input(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let data = Rc::new(RefCell::new(Vec::new()));
    let written = Rc::clone(&data);
    let choose = move |below| {
        let number = random.u32(..below);
        let bytes = number.to_be_bytes();
        let size = simulation::size(below);
        written.borrow_mut().extend_from_slice(&bytes[4 - size..]);
        number
    };
    simulation::run(choose, false);
    data.take()
}

/// Runs `count` programs, beginning with that of seed `from`, on all processors.
fn run_all(from: u64, count: u64) -> Report {
    let (next, failed) = (AtomicU64::new(from), AtomicU64::new(u64::MAX));
    let all = Mutex::new(Report::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut mine = Report::default();
                while failed.load(Ordering::Relaxed) == u64::MAX {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count {
                        break;
                    }
                    match catch_unwind(|| run(seed, false)) {
                        Ok(report) => mine.add(report),
                        Err(_) => drop(failed.fetch_min(seed, Ordering::Relaxed)),
                    }
                }
                all.lock().expect("nobody panics with it").add(mine);
            });
        }
    });
    match failed.into_inner() {
        u64::MAX => all.into_inner().expect("nobody panicked with it"),
        seed => {
            eprintln!("\nseed {seed} fails. Again, turn by turn:\n");
            let _ = catch_unwind(|| run(seed, true));
            panic!("to replay it: SIMULATION_SEED={seed} cargo test --lib simulation_of_random -- --nocapture");
        }
    }
}

#[test]
fn simulation_of_random_programs_for_many_seeds() {
    if let Some(seed) = number("SIMULATION_SEED") {
        run(seed, true);
        if let Ok(path) = std::env::var("SIMULATION_INPUT") {
            std::fs::write(path, input(seed)).unwrap();
        }
        return;
    }
    let (from, count) = (
        number("SIMULATION_FROM").unwrap_or(0),
        number("SIMULATION_SEEDS").unwrap_or(SEEDS),
    );
    let begun = Instant::now();
    let report = run_all(from, count);
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    println!(
        "{count} seeds from {from}, {rate:.0} a second, {} system calls",
        report.calls
    );
    println!("faults injected:");
    report
        .injected
        .iter()
        .for_each(|(kind, times)| println!("{times:>12} {kind}"));
    println!("operations ended:");
    report
        .ends
        .iter()
        .for_each(|((name, end), times)| println!("{times:>12} {name}: {end}"));
    if count >= SEEDS {
        assert_eq!(missing(&report), [], "not met by any program");
    }
}

/// An observer changes neither the order in which tasks are resumed nor the system calls.
#[test]
fn simulation_runs_the_same_with_and_without_an_observer() {
    let mut resumes = 0;
    for seed in 0..400 {
        let [without, with] = [false, true].map(|is_observed| {
            simulation::IS_OBSERVED.with(|observed| observed.set(Some(is_observed)));
            let report = run(seed, false);
            (simulation::ORDER.with(|order| order.take()), report.calls)
        });
        assert_eq!(without, with, "seed {seed}");
        resumes += with.0.len();
    }
    assert!(resumes > 4_000, "{resumes}");
}

/// Runs the first inputs of the fuzz target `tasks`, and those that the fuzzer has found.
#[test]
fn simulation_of_every_input_of_the_corpus() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    if !fuzz.exists() {
        return; // it is no part of the published package
    }
    let directory = fuzz.join("corpus/tasks");
    let mut all = Report::default();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let data = std::fs::read(&path).unwrap();
        match catch_unwind(|| simulation::run(simulation::bytes(data.clone()), false)) {
            Ok(report) => all.add(report),
            Err(_) => {
                let _ = catch_unwind(|| simulation::run(simulation::bytes(data), true));
                panic!("{} fails", path.display());
            }
        }
    }
    let mut inputs = String::new();
    while let Some(end) = missing(&all).pop() {
        let has_it = |seed: &u64| run(*seed, false).ends.contains_key(&end);
        let seed = (0..SEEDS).find(has_it).expect("a seed has it");
        all.add(run(seed, false));
        inputs += &format!(
            "SIMULATION_SEED={seed} SIMULATION_INPUT=fuzz/corpus/tasks/seed-{seed} \\\n    \
             cargo test --lib simulation_of_random # {} {}\n",
            end.0, end.1
        );
    }
    assert!(
        inputs.is_empty(),
        "ends are missing. These add inputs:\n{inputs}"
    );
}
