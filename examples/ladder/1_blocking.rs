//! Rung 1: a blocking read. The program prints what it reads from each FILE, to its end.
//!
//!     cargo run --example ladder_1_blocking -- FILE...
//!
//! Its flaw: read(2) waits for its own file, whatever the others have to say. Here the first file
//! is a pipe that says nothing, and the line of the second one is never read:
//!
//!     mkfifo /tmp/quiet; exec 3<>/tmp/quiet
//!     cargo run --example ladder_1_blocking -- /tmp/quiet /dev/stdin <<< two

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
    for pipe in &pipes {
        while pipe.advance() {}
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
