//! Three lines on their way from a pipe to a closure, with each transition of each task on stdout.
//! The guide follows this run: see `asyncfile::guide::follow_one_line`.
//!
//!     cargo run --example follow_one_line
//!     strace -e trace=poll,read,write,close target/debug/examples/follow_one_line
//!
//! Exit status: 0, 1 if something failed, 2 for a wrong command line.

use asyncfile::trace::Event;
use asyncfile::{again, done, yield_now, AsyncFile, Scheduler};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
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

/// On stderr. If it cannot be written to, nothing is said.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "follow_one_line: {text}");
}

fn follow() -> io::Result<()> {
    let (ours, mut theirs) = io::pipe()?;
    let file = AsyncFile::new(ours)?;
    let mut sched = Scheduler::new();
    writeln!(io::stdout(), "the first turn begins")?;
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

    let line = file.readline().timeout(Duration::from_secs(60));
    let mut count = 0;
    let reader = sched.spawn(line, move |task| match task.line()? {
        Some(_line) => {
            count += 1;
            again()
        }
        None => done(count),
    });

    let mut pieces = ["one\ntwo\nthr", "ee\n"].iter();
    sched.spawn(yield_now(), move |_task| match pieces.next() {
        Some(piece) => {
            theirs.write_all(piece.as_bytes())?;
            again()
        }
        None => done(()), // the body is dropped, and `theirs` is closed with it
    });

    sched.run()?;
    let count: u32 = sched.join(reader)?;
    writeln!(io::stdout(), "{count} lines")
}
