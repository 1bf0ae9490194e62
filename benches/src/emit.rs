//! The child at the other end of the pipe: this program again, writing lines or bytes as fast as
//! the pipe takes them.

use std::io::{self, Write};
use std::process::{Command, Stdio};

/// The command that writes `count` lines of `length` bytes, newline included.
pub fn lines(count: u64, length: u64) -> Command {
    emitter("lines", count, length)
}

/// The command that writes so many bytes.
pub fn bytes(count: u64) -> Command {
    emitter("bytes", count, 1)
}

fn emitter(what: &str, count: u64, length: u64) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.args(["--emit", what, &count.to_string(), &length.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// In the child.
pub fn emit(what: &str, count: u64, length: u64) -> io::Result<()> {
    let size = 64 * 1024;
    let mut total = count * length;
    // As many whole lines as make up a multiple of the pipe's size; their first bytes go through
    // the alphabet.
    let whole = (size * length as usize).min(size * 26);
    let block: Vec<u8> = match what {
        "lines" => (0..whole as u64)
            .map(|at| match (at % length, at / length % 26) {
                (place, _) if place == length - 1 => b'\n',
                (_, letter) => b'a' + letter as u8,
            })
            .collect(),
        _ => vec![b'x'; size],
    };
    let block = &block[..block.len() - block.len() % length as usize];
    // SAFETY: not a Stdout, whose line buffer would look for newlines; the descriptor stays open.
    let mut out = std::mem::ManuallyDrop::new(unsafe {
        <std::fs::File as std::os::fd::FromRawFd>::from_raw_fd(1)
    });
    while total > 0 {
        let part = block
            .len()
            .min(usize::try_from(total).unwrap_or(usize::MAX));
        out.write_all(&block[..part])?;
        total -= part as u64;
    }
    Ok(())
}
