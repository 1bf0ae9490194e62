//! Two tasks and a TCP connection on loopback. One task sends a text file in chunks of 16 KiB, each
//! in full; the other reads it line by line. Both count and hash their bytes, and the two rows that
//! are printed must be equal.
//!
//!     cargo run --example socket_afile [FILE]     # without FILE: the source of the library's turn
//!
//! Exit status: 0 when both sides agree, 1 when they do not or something failed, 2 for a wrong
//! command line.

use asyncfile::{again, done, then, yield_now, AsyncFile, Next, Scheduler, StateFlow, Task};
use sha1::{Digest, Sha1};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

const CHUNK: usize = 16 * 1024;
const MINUTE: Duration = Duration::from_secs(60);
const DEFAULT_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/scheduler/turn.rs");

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let path = args.next().unwrap_or_else(|| DEFAULT_FILE.into());
    if args.next().is_some() {
        say("usage: socket_afile [FILE]");
        return ExitCode::from(2);
    }
    match transfer(path) {
        Ok(equal) => ExitCode::from(!equal as u8),
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// On stderr. If it cannot be written to, nothing is said.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "socket_afile: {text}");
}

/// The error names stdout.
fn of_stdout(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("stdout: {error}"))
}

/// Sends the file and prints what each side saw. Returns whether both saw the same.
fn transfer(path: OsString) -> io::Result<bool> {
    let file = File::open(&path)
        .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.to_string_lossy())))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;

    let mut sched = Scheduler::new();
    let sender = Sender {
        file: AsyncFile::new(file)?,
        socket: AsyncFile::new(near)?,
        tally: Tally::default(),
    };
    let sender = sched.spawn_states(yield_now(), sender, Sender::next_chunk);

    let socket = AsyncFile::new(far)?;
    let mut tally = Tally::default();
    let receiver = sched.spawn(socket.readline().timeout(MINUTE), move |task| {
        match task.line()? {
            Some(line) => {
                tally.add(line, line.ends_with(b"\n") as u64);
                again()
            }
            None => done(tally.row()),
        }
    });

    let sent = sched.join(sender)?.tally.row();
    let received = sched.join(receiver)?;
    writeln!(io::stdout(), "sent     {sent}\nreceived {received}").map_err(of_stdout)?;
    Ok(sent == received)
}

/// Two states in turn: a chunk is read from the file, then written to the socket.
struct Sender {
    file: AsyncFile,
    socket: AsyncFile,
    tally: Tally,
}

impl Sender {
    fn next_chunk(&mut self, task: &mut Task) -> StateFlow<Self> {
        task.ok()?;
        then(self.file.read(CHUNK).full(), Self::send)
    }

    fn send(&mut self, task: &mut Task) -> StateFlow<Self> {
        let chunk = task.bytes()?;
        if chunk.is_empty() {
            self.socket.close(); // the receiver's end of file
            return Next::done();
        }
        self.tally.add(
            chunk,
            chunk.iter().filter(|&&byte| byte == b'\n').count() as u64,
        );
        then(
            self.socket.write(chunk).full().timeout(MINUTE),
            Self::next_chunk,
        )
    }
}

/// What one side has seen. A line is counted by its newline, as `wc` does.
#[derive(Default)]
struct Tally {
    bytes: u64,
    lines: u64,
    sha1: Sha1,
}

impl Tally {
    fn add(&mut self, data: &[u8], lines: u64) {
        self.bytes += data.len() as u64;
        self.lines += lines;
        self.sha1.update(data);
    }

    fn row(&self) -> String {
        let digest = self.sha1.clone().finalize();
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{} bytes, {} lines, sha1 {hex}", self.bytes, self.lines)
    }
}
