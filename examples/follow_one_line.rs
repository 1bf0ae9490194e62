//! Three lines on their way from a pipe to a closure, with each transition of each task on stdout.
//! The guide follows this run: see `asyncfile::guide::follow_one_line`.
//!
//!     cargo run --example follow_one_line
//!     strace -e trace=poll,read,write,close target/debug/examples/follow_one_line

use asyncfile::trace::Event;
use asyncfile::{again, done, yield_now, AsyncFile, Scheduler};
use std::io::{self, Write};
use std::time::Duration;

fn main() -> io::Result<()> {
    let (ours, mut theirs) = io::pipe()?;
    let file = AsyncFile::new(ours)?;
    let mut sched = Scheduler::new();
    println!("the first turn begins");
    sched.observe(|trace| {
        let event = match &trace.event {
            Event::Spawned(op) => format!("spawned, waits for {op:?}"),
            Event::Advanced { op, from, to } => format!("{op:?}: {from} -> {to}"),
            Event::Resumed(end, op) => format!("resumed with {end:?}, waits for {op:?}"),
            Event::Done(end) => format!("resumed with {end:?}, has ended"),
            Event::Failed(error) => format!("has failed: {error}"),
            _ => return,
        };
        println!("turn {}, task {}: {event}", trace.turn, trace.task);
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
    println!("{count} lines");
    Ok(())
}
