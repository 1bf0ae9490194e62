//! Three lines on their way from a pipe to a closure, with each transition of each task on stdout.
//! The guide follows this run: see `asyncfile::guide::follow_one_line`.
//!
//!     cargo run --example follow_one_line
//!     strace -e trace=poll,read,write,close target/debug/examples/follow_one_line
//!
//! Exit status: 0, 1 if something failed, 2 for a wrong command line.

use asyncfile::{again, done, yield_now, AsyncFile, Scheduler};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

mod follow;

fn main() -> ExitCode {
    follow::run("follow_one_line", run)
}

fn run() -> io::Result<()> {
    let (ours, mut theirs) = io::pipe()?;
    let file = AsyncFile::new(ours)?;
    let mut sched = Scheduler::new();
    writeln!(io::stdout(), "the first turn begins")?;
    follow::show(&mut sched);

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
