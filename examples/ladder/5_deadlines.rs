//! Rung 5: deadlines. A line must come within 300.9 ms; poll(2) sleeps until the first deadline.
//!
//!     cargo run --example ladder_5_deadlines -- FILE...
//!
//! It mends the flaw of rung 4: no machine is blocked for ever.
//!
//! Its flaw: all files are treated alike. What is done with a line stands in the loop, and another
//! program needs another loop. This line cannot be a command, it is only shown:
//!
//!     mkfifo /tmp/quiet; exec 3<>/tmp/quiet
//!     cargo run --example ladder_5_deadlines -- /tmp/quiet /dev/stdin <<< close

mod readline;
mod sys;

use readline::{Outcome, Readline};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_micros(300_900);

struct Pipe {
    index: usize,
    file: File,
    readline: Readline,
    /// The moment at which the readline must have ended.
    deadline: Instant,
}

fn main() -> io::Result<()> {
    let mut pipes = Vec::new();
    for (index, path) in std::env::args().skip(1).enumerate() {
        let file = sys::open_nonblocking(path)?;
        let (readline, deadline) = (Readline::default(), Instant::now() + TIMEOUT);
        pipes.push(Pipe {
            index,
            file,
            readline,
            deadline,
        });
    }
    while let Some(first) = pipes.iter().map(|pipe| pipe.deadline).min() {
        // Rounded up: rounded down, the loop would spin through the last millisecond.
        let left = first.saturating_duration_since(Instant::now());
        let milliseconds = left.as_nanos().div_ceil(1_000_000) as i32;
        sys::poll(pipes.iter().map(Pipe::fd), milliseconds)?;
        // To advance a machine that is still blocked changes nothing.
        pipes.retain_mut(Pipe::advance);
    }
    Ok(())
}

impl Pipe {
    fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Advances the readline until it is blocked. False: there is nothing more to read.
    fn advance(&mut self) -> bool {
        let fd = self.fd();
        loop {
            let outcome = match self.readline.advance(|room| sys::read(fd, room)) {
                Some(outcome) => outcome,
                None if Instant::now() < self.deadline => return true,
                None => Err(ErrorKind::TimedOut.into()),
            };
            self.deadline = Instant::now() + TIMEOUT;
            if !show(self.index, outcome) {
                return false;
            }
        }
    }
}

/// Prints an outcome. False at the end of file, which is "", and after an error.
fn show(index: usize, outcome: Outcome) -> bool {
    let (text, goes_on) = match outcome {
        Ok(line) => (format!("{line:?}"), !line.is_empty()),
        Err(error) => (error.to_string(), false),
    };
    writeln!(io::stdout(), "{index}: {text}").is_ok() && goes_on
}
