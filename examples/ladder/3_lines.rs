//! Rung 3: whole lines. Each file has a buffer for the bytes that are no whole line yet, and
//! memchr finds the newlines.
//!
//!     cargo run --example ladder_3_lines -- FILE...
//!
//! It mends the flaw of rung 2: no line is shown in halves.
//!
//! Its flaw: poll(2) tells of the past. When the read comes, another reader may have taken the
//! bytes, and read(2) waits. Here the other reader is in the same program: both files are one pipe.
//!
//!     mkfifo /tmp/quiet; exec 3<>/tmp/quiet
//!     printf 'one\n' >&3
//!     cargo run --example ladder_3_lines -- /tmp/quiet /tmp/quiet

mod sys;

use memchr::memchr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};

struct Pipe {
    index: usize,
    file: File,
    /// The bytes that came in and are no whole line yet.
    buffer: Vec<u8>,
}

fn main() -> io::Result<()> {
    let mut pipes = Vec::new();
    for (index, path) in std::env::args().skip(1).enumerate() {
        let file = File::open(path)?;
        let buffer = Vec::new();
        pipes.push(Pipe {
            index,
            file,
            buffer,
        });
    }
    while !pipes.is_empty() {
        let ready = sys::poll(pipes.iter().map(Pipe::fd), -1)?;
        pipes.retain_mut(|pipe| !ready.contains(&pipe.fd()) || pipe.advance());
    }
    Ok(())
}

impl Pipe {
    fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Reads once, and shows the lines that are whole. False: there is nothing more to read.
    fn advance(&mut self) -> bool {
        let mut room = [0; 16];
        let len = match sys::read(self.fd(), &mut room) {
            Ok(len) => len,
            Err(error) => return show(self.index, Err(error)),
        };
        self.buffer.extend_from_slice(&room[..len]);
        while let Some(at) = memchr(b'\n', &self.buffer) {
            if !show(self.index, Ok(self.take(at + 1))) {
                return false;
            }
        }
        len > 0 || show(self.index, Ok(self.take(self.buffer.len())))
    }

    fn take(&mut self, len: usize) -> String {
        let line: Vec<u8> = self.buffer.drain(..len).collect();
        String::from_utf8_lossy(&line).into_owned()
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
