//! What the integration tests share: real descriptors to test with, raw reads and writes beside
//! the library, tasks that tell how their operation ended, and a guard against a hang.
//!
//! Nothing here sleeps. A test brings the scheduler to where it waits with [`settle`], does
//! something to the other end of a descriptor, and goes on.

#![allow(dead_code)] // each test crate uses some of it
#![allow(clippy::incompatible_msrv)] // the library's minimum is not the tests'

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use asyncfile::{done, End, JoinHandle, Op, Outcome, Scheduler};

/// Long enough to be measured, short enough to wait for.
pub const SHORT: Duration = Duration::from_millis(20);
/// What no test reaches unless something hangs.
pub const LONG: Duration = Duration::from_secs(60);

// Descriptors

/// A pipe: its reader and its writer.
pub fn pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = io::pipe().unwrap();
    (reader.into(), writer.into())
}

pub fn socketpair() -> (OwnedFd, OwnedFd) {
    let (one, other) = UnixStream::pair().unwrap();
    (one.into(), other.into())
}

pub fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (one, listener.accept().unwrap().0)
}

/// A named pipe in a directory of its own, both gone when this is dropped.
pub struct Fifo {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Fifo {
    pub fn new() -> Fifo {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        let name = std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: `name` is a NUL-terminated string that outlives the call.
        check(unsafe { libc::mkfifo(name.as_ptr(), 0o600) } as isize);
        Fifo { _dir: dir, path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the reading end without waiting for a writer.
    pub fn reader(&self) -> File {
        File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&self.path)
            .unwrap()
    }

    /// Opens the writing end; a reader must be there.
    pub fn writer(&self) -> File {
        File::options()
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&self.path)
            .unwrap()
    }
}

/// A regular file with this content, open for reading and writing at its start, without a name.
pub fn regular(content: &[u8]) -> File {
    let file = tempfile::tempfile().unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, content, 0).unwrap();
    file
}

pub fn dup(fd: &impl AsFd) -> OwnedFd {
    fd.as_fd().try_clone_to_owned().unwrap()
}

/// The same open file under the given number. Numbers from 200 on are safe from the other threads
/// of the test, which get the lowest free ones.
pub fn renumber(fd: OwnedFd, number: RawFd) -> OwnedFd {
    // SAFETY: no pointers; the result, if there is one, is a new descriptor that nobody else owns.
    let new = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, number) };
    check(new as isize);
    // SAFETY: as above.
    let new = unsafe { OwnedFd::from_raw_fd(new) };
    assert_eq!(new.as_raw_fd(), number, "the number is still taken");
    new
}

pub fn status_flags(fd: &impl AsFd) -> libc::c_int {
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_GETFL) } as isize) as libc::c_int
}

pub fn set_status_flags(fd: &impl AsFd, flags: libc::c_int) {
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_SETFL, flags) } as isize);
}

pub fn is_nonblocking(fd: &impl AsFd) -> bool {
    status_flags(fd) & libc::O_NONBLOCK != 0
}

// Raw reads and writes, beside the library

/// Writes all of it with one write(2).
pub fn put(fd: &impl AsFd, bytes: &[u8]) {
    assert_eq!(raw_write(fd, bytes).unwrap(), bytes.len(), "a short write");
}

/// One read(2) of at most `size` bytes.
pub fn get(fd: &impl AsFd, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    // SAFETY: `bytes` is writable for `size` bytes.
    let n = unsafe { libc::read(fd.as_fd().as_raw_fd(), bytes.as_mut_ptr().cast(), size) };
    bytes.truncate(check(n));
    bytes
}

/// Everything that is there to be read, without waiting for more.
pub fn drain(fd: &impl AsFd) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let n @ 1.. = pending(fd) {
        bytes.extend(get(fd, n));
    }
    bytes
}

/// How many bytes the kernel holds for the reader of this pipe or socket.
pub fn pending(fd: &impl AsFd) -> usize {
    let mut n: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int.
    check(unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::FIONREAD as _, &mut n) } as isize);
    n as usize
}

/// Writes until nothing more fits; how many bytes did.
pub fn fill(fd: &impl AsFd) -> usize {
    let flags = status_flags(fd);
    set_status_flags(fd, flags | libc::O_NONBLOCK);
    let mut filled = 0;
    for piece in [&[b'.'; 4096][..], b"."] {
        loop {
            match raw_write(fd, piece) {
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => panic!("fill: {e}"),
            }
        }
    }
    set_status_flags(fd, flags);
    filled
}

fn raw_write(fd: &impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: `bytes` is readable for its length.
    let n = unsafe { libc::write(fd.as_fd().as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

fn check(n: isize) -> usize {
    usize::try_from(n).unwrap_or_else(|_| panic!("{}", io::Error::last_os_error()))
}

// Driving the scheduler

/// Turns until the tasks have had what can be had without waiting. Enough for tests that move a
/// few bytes at a time; it is not for long transfers.
pub fn settle(sched: &mut Scheduler<'_>) {
    for _ in 0..5 {
        sched.turn(Some(Duration::ZERO)).unwrap();
    }
}

/// Turns until `condition` holds.
pub fn turn_until(sched: &mut Scheduler<'_>, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < LONG,
            "what the test waits for does not happen"
        );
        sched.turn(Some(SHORT)).unwrap();
    }
}

/// Waits for one readline: the line.
pub fn line(sched: &mut Scheduler<'_>, op: impl Into<Op>) -> io::Result<Option<Vec<u8>>> {
    Ok(line_and_end(sched, op)?.0)
}

/// Waits for one readline: the line, and why it ended.
pub fn line_and_end(
    sched: &mut Scheduler<'_>,
    op: impl Into<Op>,
) -> io::Result<(Option<Vec<u8>>, End)> {
    let task = sched.spawn(op, |task| {
        let line = task.line()?.map(<[u8]>::to_vec);
        done((line, task.end()))
    });
    Ok(sched.join(task)?)
}

/// Waits for one read or read_to_end: the bytes, and why it ended.
pub fn bytes(sched: &mut Scheduler<'_>, op: impl Into<Op>) -> io::Result<(Vec<u8>, End)> {
    let task = sched.spawn(op, |task| {
        let bytes = task.bytes()?.to_vec();
        done((bytes, task.end()))
    });
    Ok(sched.join(task)?)
}

/// Waits for one write: the count, and why it ended.
pub fn written(sched: &mut Scheduler<'_>, op: impl Into<Op>) -> io::Result<(usize, End)> {
    let task = sched.spawn(op, |task| {
        let written = task.written()?;
        done((written, task.end()))
    });
    Ok(sched.join(task)?)
}

/// In which order operations ended, and with what.
pub type Log = RefCell<Vec<String>>;

/// A task that waits for one operation and writes `NAME: OUTCOME` into the log: the text of a line
/// or of bytes, `end` for no line, a count, `ok`, or the kind of the error.
pub fn logged<'t>(
    sched: &mut Scheduler<'t>,
    log: &'t Log,
    name: &'static str,
    op: impl Into<Op>,
) -> JoinHandle<()> {
    sched.spawn(op, move |task| {
        let outcome = match task.outcome() {
            Outcome::Ok => "ok".to_owned(),
            Outcome::Line(None) => "end".to_owned(),
            Outcome::Line(Some(bytes)) | Outcome::Bytes(bytes) => text(bytes),
            Outcome::Written(count) => count.to_string(),
            Outcome::Failed(error) => format!("{:?}", error.kind()),
            _ => "something else".to_owned(),
        };
        log.borrow_mut().push(format!("{name}: {outcome}"));
        done(())
    })
}

// The rest

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What `?` and `unwrap_err` show of a failed operation.
#[track_caller]
pub fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
    result.unwrap_err().kind()
}

pub fn base64(encoded: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD
        .decode(encoded)
        .unwrap()
}

/// Counts how often it was dropped, clones included.
#[derive(Clone, Default)]
pub struct CountDrops(pub Rc<Cell<usize>>);

impl Drop for CountDrops {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// A small pseudo-random sequence, the same in each run.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// Ends the whole process, with the test's name, if the test lasts more than twice [`LONG`]: a
/// hang is a failure, not a wait. Keep it alive until the test's end.
#[must_use]
pub fn watchdog() -> mpsc::Sender<()> {
    let (alive, test_end) = mpsc::channel();
    let name = std::thread::current()
        .name()
        .unwrap_or("the test")
        .to_owned();
    std::thread::spawn(move || {
        if test_end.recv_timeout(2 * LONG) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{name}: hangs");
            std::process::abort();
        }
    });
    alive
}
