//! A task that waits for the first of two operations is cancelled in the middle of a line, and the
//! next reader gets the whole line. Each transition of each task is on stdout. The guide follows
//! this run: see `asyncfile::guide::follow_one_line`.
//!
//!     cargo run --example follow_a_cancel
//!     strace -e trace=poll,read,write,close target/debug/examples/follow_a_cancel
//!
//! Exit status: 0, 1 if something failed, 2 for a wrong command line.

use asyncfile::trace::Event;
use asyncfile::{again, done, first, sleep, yield_now, AsyncFile, Op, Scheduler};
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
    let _ = writeln!(io::stderr(), "follow_a_cancel: {text}");
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

    let pause = sleep(Duration::from_secs(60));
    let ops = first([Op::from(file.readline()), pause.into()]);
    let waiting = sched.spawn(ops, |task| done(task.which()));

    let mut step = 0;
    sched.spawn(yield_now(), move |task| {
        step += 1;
        match step {
            1 => theirs.write_all(b"half a ")?,
            2 => waiting.cancel(),
            _ => {
                theirs.write_all(b"line\n")?;
                task.spawn(file.readline(), |task| {
                    let line = task.line()?.map(String::from_utf8_lossy);
                    writeln!(io::stdout(), "the next reader has {line:?}")?;
                    done(())
                });
                return done(());
            }
        }
        again()
    });

    sched.run()?;
    Ok(())
}
