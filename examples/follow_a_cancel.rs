//! A task that waits for the first of two operations is cancelled in the middle of a line, and the
//! next reader gets the whole line. Each transition of each task is on stdout. The guide follows
//! this run: see `asyncfile::guide::follow_one_line`.
//!
//!     cargo run --example follow_a_cancel
//!     strace -e trace=poll,read,write,close target/debug/examples/follow_a_cancel
//!
//! Exit status: 0, 1 if something failed, 2 for a wrong command line.

use asyncfile::{again, done, first, sleep, yield_now, AsyncFile, Op, Scheduler};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

mod follow;

fn main() -> ExitCode {
    follow::run("follow_a_cancel", run)
}

fn run() -> io::Result<()> {
    let (ours, mut theirs) = io::pipe()?;
    let file = AsyncFile::new(ours)?;
    let mut sched = Scheduler::new();
    writeln!(io::stdout(), "the first turn begins")?;
    follow::show(&mut sched);

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
