//! Real descriptors for the tests, a guard against hangs, and a process of one's own for a test
//! that would disturb the others.
//!
//! Each test file includes this module and uses its part of it.
#![allow(dead_code)]

use std::error::Error;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use std::{any, env, fs, process, thread};

use asyncfile::{AsyncFile, Scheduler, TaskError};

pub type Test = Result<(), Box<dyn Error>>;

pub const ZERO: Duration = Duration::ZERO;
pub const HOUR: Duration = Duration::from_secs(3600);

pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// The reading end is ours, the writing end is std's and blocks.
pub fn pipe() -> io::Result<(AsyncFile, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    Ok((AsyncFile::new(reader)?, writer))
}

/// The writing end is ours.
pub fn pipe_to() -> io::Result<(PipeReader, AsyncFile)> {
    let (reader, writer) = io::pipe()?;
    Ok((reader, AsyncFile::new(writer)?))
}

pub fn sockets() -> io::Result<(AsyncFile, UnixStream)> {
    let (ours, peer) = UnixStream::pair()?;
    Ok((AsyncFile::new(ours)?, peer))
}

/// As [`pipe`], with the number of the descriptor, for the texts of errors and for poll's set.
pub fn numbered_pipe() -> io::Result<(AsyncFile, RawFd, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    let fd = reader.as_raw_fd();
    Ok((AsyncFile::new(reader)?, fd, writer))
}

/// As [`pipe_to`], with the number of the descriptor.
pub fn numbered_pipe_to() -> io::Result<(PipeReader, AsyncFile, RawFd)> {
    let (reader, writer) = io::pipe()?;
    let fd = writer.as_raw_fd();
    Ok((reader, AsyncFile::new(writer)?, fd))
}

/// `len` bytes without a period that divides a page or a buffer.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

/// Lets run what is ready and gives what the scheduler then waits for; `set` is emptied first.
pub fn idle(
    sched: &mut Scheduler<'_>,
    set: &mut Vec<libc::pollfd>,
) -> Result<Option<Duration>, TaskError> {
    loop {
        set.clear();
        match sched.pollfds(set) {
            Some(ZERO) => sched.dispatch(&[])?,
            wait => return Ok(wait),
        };
    }
}

/// What a host's own loop does with a set: ask the kernel, without waiting.
pub fn ask(set: &mut [libc::pollfd]) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of one slice.
    match unsafe { libc::poll(set.as_mut_ptr(), set.len() as libc::nfds_t, 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Closes a descriptor without its owner's knowledge; only in a process of one's own, where nobody
/// else takes the number.
pub fn close_behind(fd: RawFd) {
    assert!(
        is_alone(),
        "a number that is free is taken by a test on another thread"
    );
    // SAFETY: that it breaks the owner's assumptions is what the test is about.
    assert_eq!(unsafe { libc::close(fd) }, 0);
}

/// Asserts that an error names the operation, the descriptor, and the cause.
#[track_caller]
pub fn assert_names(error: &impl std::fmt::Display, operation: &str, fd: RawFd, cause: &str) {
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("{operation} on fd {fd}: ")),
        "{text:?} does not begin with {operation:?} on fd {fd}"
    );
    assert!(
        text.contains(cause),
        "{text:?} does not give the cause {cause:?}"
    );
}

/// The kernel's own words for an error number.
pub fn words(errno: i32) -> String {
    io::Error::from_raw_os_error(errno).to_string()
}

/// Ends the process, with the test's name, when the test that made it takes longer than any machine
/// needs.
pub struct Guard(#[allow(dead_code, reason = "its drop is the message")] mpsc::Sender<()>);

pub fn guard() -> Guard {
    const LIMIT: Duration = Duration::from_secs(120);
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let (alive, ended) = mpsc::channel();
    thread::spawn(move || {
        if ended.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
            // Not eprintln!: what the harness captures is lost with the process.
            let _ = writeln!(io::stderr(), "{test} hangs");
            process::abort();
        }
    });
    Guard(alive)
}

const ALONE: &str = "ASYNCFILE_TEST_ALONE";

pub fn is_alone() -> bool {
    env::var_os(ALONE).is_some()
}

/// Runs `body` in a process of its own: the test binary starts itself again for the one test that
/// calls this. There, no other thread opens or closes a descriptor, and a limit or a signal
/// concerns nobody else.
pub fn alone<F: FnOnce() -> Test>(body: F) -> Test {
    if is_alone() {
        return body();
    }
    // The closure's type is named `binary::module::test::{{closure}}`, the test `module::test`.
    let path = any::type_name::<F>();
    let test = path
        .split_once("::")
        .and_then(|(_, rest)| rest.strip_suffix("::{{closure}}"))
        .unwrap();
    let child = Command::new(env::current_exe()?)
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        .output()?;
    let (out, err) = (
        String::from_utf8_lossy(&child.stdout),
        String::from_utf8_lossy(&child.stderr),
    );
    assert!(
        child.status.success() && out.contains("1 passed"),
        "{test} alone: {}\n{out}\n{err}",
        child.status
    );
    Ok(())
}

/// A FIFO in a directory that goes with it.
pub struct Fifo {
    dir: tempfile::TempDir,
}

impl Fifo {
    pub fn new() -> io::Result<Fifo> {
        let fifo = Fifo {
            dir: tempfile::tempdir()?,
        };
        let path = std::ffi::CString::new(fifo.path().into_os_string().into_encoded_bytes())?;
        // SAFETY: a NUL-terminated string that lives through the call.
        match unsafe { libc::mkfifo(path.as_ptr(), 0o600) } {
            0 => Ok(fifo),
            _ => Err(io::Error::last_os_error()),
        }
    }

    pub fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("fifo")
    }

    /// Opens for reading without waiting for a writer.
    pub fn reader(&self) -> io::Result<fs::File> {
        use std::os::unix::fs::OpenOptionsExt;
        fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(self.path())
    }

    pub fn writer(&self) -> io::Result<fs::File> {
        fs::OpenOptions::new().write(true).open(self.path())
    }
}
