//! Rung 8: the same program, written with the library. You know all of its words.
//!
//!     cargo run --example ladder_8_asyncfile -- FILE FILE [FILE]
//!
//! It mends the flaws of rung 7: this error names the operation, the descriptor and the cause.
//!
//!     cargo run --example ladder_8_asyncfile -- . /dev/null
//!
//! Its flaw: poll(2) looks at every descriptor each time. A hundred thousand of them want epoll, and
//! another library.

use asyncfile::{again, done, AsyncFile, Flow, Scheduler};
use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_micros(300_900);

fn main() -> Result<(), Box<dyn Error>> {
    let mut files = std::env::args().skip(1).map(File::open);
    let mut open = move || AsyncFile::new(files.next().expect("usage: FILE FILE [FILE]")?);
    let (first, second) = (open()?, open()?);
    let mut sched = Scheduler::new();
    let readline = first.readline().timeout(TIMEOUT);
    let handle = sched.spawn(readline, |task| show(0, task.line()));
    let mut first = Some(first);
    sched.spawn(second.readline().timeout(TIMEOUT), move |task| {
        let outcome = task.line();
        match (&outcome, &first) {
            (Ok(Some(b"close\n")), Some(file)) => file.close(),
            (Ok(Some(b"cancel\n")), _) => handle.cancel(),
            (Ok(Some(b"open\n")), _) => first = open().ok(),
            _ => {}
        }
        show(1, outcome)
    });
    sched.run()?;
    Ok(())
}

/// Prints an outcome. The task is done at the end of file, which is None, and after an error.
fn show(index: usize, outcome: io::Result<Option<&[u8]>>) -> Flow {
    match outcome {
        Ok(line) => {
            let text = String::from_utf8_lossy(line.unwrap_or_default());
            writeln!(io::stdout(), "{index}: {text:?}")?;
            if line.is_some() {
                again()
            } else {
                done(())
            }
        }
        Err(error) => {
            writeln!(io::stdout(), "{index}: {error}")?;
            done(())
        }
    }
}
