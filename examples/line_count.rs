//! Counts the lines and bytes of a regular file, a FIFO, a Unix socket (it connects to it), or of
//! stdin, which may be a pipe, a terminal, a socket, a file. Prints `LINES BYTES`, the numbers of
//! `wc -lc`. There is no thread, and with a timeout a source that falls silent does not hang it.
//!
//!     cargo run --example line_count -- [--timeout SECONDS] [PATH | -]
//!     journalctl -f | line_count --timeout 2.5
//!
//! SECONDS is for each line, also for the first. A line longer than 1 MiB is read in pieces of
//! 1 MiB, with SECONDS for each.
//! Exit status: 0, 1 after a timeout or a failure (what was counted so far is on stderr), 2 for a
//! wrong command line.

use asyncfile::{again, done, AsyncFile, Scheduler};
use std::cell::Cell;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

const LONGEST: usize = 1024 * 1024;
const USAGE: &str = "usage: line_count [--timeout SECONDS] [PATH | -]";

fn main() -> ExitCode {
    let (path, timeout) = match arguments(std::env::args_os().skip(1)) {
        Ok(arguments) => arguments,
        Err(complaint) => {
            say(&format!("{complaint}\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    let failure = match open(&path).and_then(|file| count(&file, timeout)) {
        Ok((lines, bytes)) => match writeln!(io::stdout(), "{lines} {bytes}") {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => format!("stdout: {error}"),
        },
        Err(error) => format!("{}: {error}", path.to_string_lossy()),
    };
    say(&failure);
    ExitCode::FAILURE
}

/// On stderr. If it cannot be written to, nothing is said.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "line_count: {text}");
}

/// Counts the lines and bytes up to the end of the file. If that fails, the error says what was
/// counted so far.
fn count(file: &AsyncFile, timeout: Duration) -> io::Result<(u64, u64)> {
    let (lines, bytes) = (Cell::new(0), Cell::new(0));
    let mut sched = Scheduler::new(); // declared last: its task borrows what is above
    let line = file.readline().limit(LONGEST).timeout(timeout);
    let counter = sched.spawn(line, |task| match task.line()? {
        Some(line) => {
            lines.set(lines.get() + line.ends_with(b"\n") as u64);
            bytes.set(bytes.get() + line.len() as u64);
            again() // the timeout's clock begins anew
        }
        None => done(()),
    });
    let counted = sched.join(counter);
    let (lines, bytes) = (lines.get(), bytes.get());
    counted.map(|()| (lines, bytes)).map_err(|error| {
        let error = io::Error::from(error);
        io::Error::new(
            error.kind(),
            format!("{error}; counted so far: {lines} lines, {bytes} bytes"),
        )
    })
}

fn open(path: &OsString) -> io::Result<AsyncFile> {
    if path == "-" {
        // Shared with the shell: its flags must not change.
        return AsyncFile::duplicate(&io::stdin());
    }
    if fs::metadata(path)?.file_type().is_socket() {
        return AsyncFile::new(UnixStream::connect(path)?);
    }
    // O_NONBLOCK: opening a FIFO would otherwise wait, without a timeout, until another process
    // opens it for writing.
    AsyncFile::new(
        OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)?,
    )
}

fn arguments(mut args: impl Iterator<Item = OsString>) -> Result<(OsString, Duration), String> {
    let (mut path, mut timeout) = (None, Duration::MAX);
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        if text == "--timeout" {
            timeout = seconds(args.next())?;
        } else if text.starts_with('-') && text != "-" {
            return Err(format!("unknown option {text}"));
        } else if path.replace(arg).is_some() {
            return Err("more than one path".into());
        }
    }
    Ok((path.unwrap_or_else(|| "-".into()), timeout))
}

fn seconds(value: Option<OsString>) -> Result<Duration, String> {
    let value = value.ok_or("--timeout needs a number of seconds")?;
    let number = value
        .to_str()
        .and_then(|text| text.parse().ok())
        .filter(|number| (0.0..=1e9).contains(number));
    number
        .map(Duration::from_secs_f64)
        .ok_or(format!("--timeout {value:?}: not 0 to 1e9 seconds"))
}
