//! Rung 2: poll(2). The program asks which files are ready, and reads those alone.
//!
//!     cargo run --example ladder_2_poll -- FILE...
//!
//! It mends the flaw of rung 1: a quiet file keeps no other file waiting.
//!
//! Its flaw: a read ends where the bytes end, not where a line ends. This shows two halves of one
//! line:
//!
//!     cargo run --example ladder_2_poll -- /dev/stdin <<< 'one line of more bytes'

mod sys;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};

struct Pipe {
    index: usize,
    file: File,
}

fn main() -> io::Result<()> {
    let mut pipes = Vec::new();
    for (index, path) in std::env::args().skip(1).enumerate() {
        let file = File::open(path)?;
        pipes.push(Pipe { index, file });
    }
    while !pipes.is_empty() {
        let ready = sys::poll(pipes.iter().map(Pipe::fd), -1)?;
        pipes.retain(|pipe| !ready.contains(&pipe.fd()) || pipe.advance());
    }
    Ok(())
}

impl Pipe {
    fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Reads once, and shows the bytes. False: there is nothing more to read.
    fn advance(&self) -> bool {
        let mut room = [0; 16];
        let len = sys::read(self.fd(), &mut room);
        show(
            self.index,
            len.map(|len| String::from_utf8_lossy(&room[..len]).into_owned()),
        )
    }
}

/// Prints an outcome. False at the end of file, which is "", and after an error.
fn show(index: usize, outcome: io::Result<String>) -> bool {
    let (text, goes_on) = match outcome {
        Ok(line) => (format!("{line:?}"), !line.is_empty()),
        Err(error) => (error.to_string(), false),
    };
    writeln!(io::stdout(), "{index}: {text}").is_ok() && goes_on
}
