//! Rung 4: a read as a machine (`readline.rs`). The files never wait (O_NONBLOCK): a read without
//! bytes says "not now", the machine is blocked, and goes on when it is advanced again.
//!
//!     cargo run --example ladder_4_machine -- FILE...
//!
//! It mends the flaw of rung 3: no read waits, so poll(2) is the only place where the program does.
//!
//! Its flaw: a machine may be blocked for ever. This waits for the rest of half a line:
//!
//!     mkfifo /tmp/quiet; exec 3<>/tmp/quiet
//!     printf half >&3
//!     cargo run --example ladder_4_machine -- /tmp/quiet

mod readline;
mod sys;

use readline::{Outcome, Readline};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};

struct Pipe {
    index: usize,
    file: File,
    readline: Readline,
}

fn main() -> io::Result<()> {
    let mut pipes = Vec::new();
    for (index, path) in std::env::args().skip(1).enumerate() {
        let file = sys::open_nonblocking(path)?;
        let readline = Readline::default();
        pipes.push(Pipe {
            index,
            file,
            readline,
        });
    }
    while !pipes.is_empty() {
        sys::poll(pipes.iter().map(Pipe::fd), -1)?;
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
        while let Some(outcome) = self.readline.advance(|room| sys::read(fd, room)) {
            if !show(self.index, outcome) {
                return false;
            }
        }
        true
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
