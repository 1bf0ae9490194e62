//! Counts the lines of FILE that match PATTERN, and their bytes, with `grep | wc`. One task feeds
//! the file to grep, another reads what wc prints. Prints `LINES BYTES`.
//!
//!     cargo run --example pipe_grep -- PATTERN FILE
//!
//! FILE may be anything that can be opened: a regular file, a FIFO, /dev/stdin. Lines may be of any
//! length and hold any bytes.
//! Exit status, as grep's: 0 if lines matched, 1 if none did, 2 for a failure.

use asyncfile::{
    done, sleep, then, yield_now, AsyncFile, AsyncPipe, Next, Scheduler, StateFlow, Task,
};
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Duration;

const CHUNK: usize = 64 * 1024;
const MILLISECOND: Duration = Duration::from_millis(1);

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let (pattern, path) = match (args.next(), args.next(), args.next()) {
        (Some(pattern), Some(path), None) => (pattern, path),
        _ => {
            say("usage: pipe_grep PATTERN FILE");
            return ExitCode::from(2);
        }
    };
    let printed = count(&pattern, &path).and_then(|counts| {
        writeln!(io::stdout(), "{} {}", counts.lines, counts.bytes).map_err(of_stdout)?;
        Ok(counts.lines > 0)
    });
    match printed {
        Ok(has_matched) => ExitCode::from(!has_matched as u8),
        Err(error) => {
            say(&error.to_string());
            ExitCode::from(2)
        }
    }
}

/// On stderr. If it cannot be written to, nothing is said.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "pipe_grep: {text}");
}

/// The error names stdout.
fn of_stdout(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("stdout: {error}"))
}

struct Counts {
    lines: u64,
    bytes: u64,
}

fn count(pattern: &OsString, path: &OsString) -> io::Result<Counts> {
    let of_path = |error: io::Error| {
        io::Error::new(error.kind(), format!("{}: {error}", path.to_string_lossy()))
    };
    // O_NONBLOCK: opening a FIFO would otherwise wait until another process opens it for writing.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(of_path)?;

    let mut grep = Command::new("grep");
    // -a: lines of any bytes. In the C locale each byte is a character, so no byte is invalid.
    grep.arg("-a").arg("-e").arg(pattern).env("LC_ALL", "C");
    let mut wc = Command::new("wc");
    wc.args(["-l", "-c"]);
    let pipe = AsyncPipe::pipeline([&mut grep, &mut wc])?;

    let mut sched = Scheduler::new();
    let feeder = Feeder {
        file: AsyncFile::new(file)?,
        stdin: pipe
            .take_stdin()
            .expect("a pipeline's first stdin is piped"),
    };
    let feeder = sched.spawn_states(yield_now(), feeder, Feeder::next_chunk);
    let reader = sched.spawn(pipe.readline(), |task| {
        done(task.line()?.map(<[u8]>::to_vec))
    });

    sched.join(feeder).map_err(|error| of_path(error.into()))?;
    let line = sched.join(reader)?;
    // 1 is no failure: no line matched.
    match status_of_grep(&mut sched, &pipe)?.code() {
        Some(0 | 1) => parse(&line.unwrap_or_default()),
        Some(code) => Err(io::Error::other(format!("grep failed with status {code}"))),
        None => Err(io::Error::other("grep was killed")),
    }
}

/// Waits for both children. `exit` waits for the last one alone. When wc has ended, grep has closed
/// its stdout, and is gone a moment later.
fn status_of_grep(sched: &mut Scheduler, pipe: &AsyncPipe) -> io::Result<ExitStatus> {
    sched.block_on(pipe.exit())?;
    loop {
        match pipe.statuses()[0] {
            Some(status) => return Ok(status),
            None => sched.block_on(sleep(MILLISECOND))?,
        }
    }
}

/// Two states in turn: a chunk is read from the file, then written to grep. When the feeder ends,
/// it is dropped, and grep's stdin with it: that is grep's end of file.
struct Feeder {
    file: AsyncFile,
    stdin: AsyncFile,
}

impl Feeder {
    /// If grep has ended early, it needs no more input, and its status says why it has ended.
    fn next_chunk(&mut self, task: &mut Task) -> StateFlow<Self> {
        match task.ok() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Next::done(),
            result => result.and_then(|()| then(self.file.read(CHUNK), Self::feed)),
        }
    }

    fn feed(&mut self, task: &mut Task) -> StateFlow<Self> {
        match task.bytes()? {
            [] => Next::done(),
            chunk => then(self.stdin.write(chunk).full(), Self::next_chunk),
        }
    }
}

/// `  3  120`, as wc prints it.
fn parse(line: &[u8]) -> io::Result<Counts> {
    let text = String::from_utf8_lossy(line);
    let numbers: Vec<u64> = text
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    match numbers[..] {
        [lines, bytes] => Ok(Counts { lines, bytes }),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("wc printed {text:?}"),
        )),
    }
}
