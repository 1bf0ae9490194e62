//! What `follow_one_line` and `follow_a_cancel` have in common: each transition of each task is
//! shown on stdout, and what fails is said on stderr.

use asyncfile::trace::Event;
use asyncfile::Scheduler;
use std::io::{self, Write};
use std::process::ExitCode;

/// Runs the program of this name, which takes no arguments.
pub fn run(name: &str, follow: fn() -> io::Result<()>) -> ExitCode {
    // If stderr cannot be written to, nothing is said.
    let say = |text: &str| drop(writeln!(io::stderr(), "{name}: {text}"));
    if std::env::args_os().len() > 1 {
        say("it takes no arguments");
        return ExitCode::from(2);
    }
    match follow() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Has each transition of each task shown.
pub fn show(sched: &mut Scheduler) {
    sched.observe(|trace| {
        let event = match &trace.event {
            Event::Spawned(op) => format!("spawned, waits for {op:?}"),
            Event::Advanced { op, from, to, .. } => format!("{op:?}: {from} -> {to}"),
            Event::Resumed(end, op) => format!("resumed with {end:?}, waits for {op:?}"),
            Event::Done(end) => format!("resumed with {end:?}, has ended"),
            Event::Failed(error) => format!("has failed: {error}"),
            _ => return,
        };
        let (turn, task) = (trace.turn, trace.task);
        // A failure shows with the last line.
        let _ = writeln!(io::stdout(), "turn {turn}, task {task}: {event}");
    });
}
