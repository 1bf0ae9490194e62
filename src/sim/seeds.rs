//! The simulation: a random program for each of many seeds, on the simulated kernel. See
//! `tests/simulation`.
//!
//! ```sh
//! SIMULATION_SEEDS=1000000 cargo test --release --lib simulation_of_random -- --nocapture     # so
//! many, and what they met SIMULATION_SEED=4711 cargo test --lib simulation_of_random --
//! --nocapture                   # one, turn by turn
//! ```

#[path = "../../tests/simulation/mod.rs"]
mod simulation;

use std::panic::catch_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::Instant;

use simulation::Report;

/// How many, unless SIMULATION_SEEDS says.
const SEEDS: u64 = 10_000;

/// What all programs together must have met: operations and how they ended, and the states of the
/// machines.
const MET: [(&str, &[&str]); 26] = [
    ("read", &["Complete", "Eof", "TimedOut", "Failed"]),
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
    ("ready", &["Complete", "TimedOut", "Failed"]),
    ("peek", &["Complete", "Eof", "TimedOut", "Failed"]),
    ("read_exact", &["Complete", "TimedOut", "Failed"]),
    (
        "read_until",
        &["Complete", "Limit", "Eof", "TimedOut", "Failed"],
    ),
    ("ticks", &["Complete"]),
    ("sleep", &["Complete"]),
    ("yield_now", &["Complete"]),
    ("join", &["Complete"]),
    ("first", &["Complete", "Limit", "Eof", "TimedOut", "Failed"]),
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

fn has_met_all(report: &Report) {
    for (name, ends) in MET {
        for end in ends {
            assert!(
                report.ends.contains_key(&(name, end.to_string())),
                "no {name} was met that was or ended {end}"
            );
        }
    }
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

/// Programs from here on, so many, on all processors.
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
        has_met_all(&report);
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

/// What the fuzzer of `tasks` was given to begin with, and what it has found, again.
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
    has_met_all(&all);
}
