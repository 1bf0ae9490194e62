//! The simulated kernel's hook: in test and fuzzing builds, what stands behind the functions of `sys` while one is
//! installed on the thread. See [`Kernel`].

#![allow(dead_code)]

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::unix::io::RawFd;
use std::time::{Duration, Instant};

use libc::pollfd;

use crate::sys::Kind;

/// A kernel with a clock of its own, in which descriptors are scripted streams. Time passes only in poll.
#[derive(Debug)]
pub struct Kernel {
    zero: Instant,
    time: Duration,
    files: BTreeMap<RawFd, Stream>,
    /// How many system calls were made of each kind.
    pub polls: u64,
    /// How many reads.
    pub reads: u64,
}

/// What a simulated descriptor does, and when.
#[derive(Debug, Default)]
struct Stream {
    /// At which time which bytes arrive; empty bytes are the end.
    arrivals: VecDeque<(Duration, Vec<u8>)>,
}

thread_local! {
    static KERNEL: RefCell<Option<Kernel>> = const { RefCell::new(None) };
}

impl Kernel {
    /// A kernel without files, at time 0.
    pub fn new() -> Kernel {
        Kernel { zero: Instant::now(), time: Duration::ZERO, files: BTreeMap::new(), polls: 0, reads: 0 }
    }

    /// A descriptor on which these bytes arrive at these times after the start, in order. Empty bytes: the end.
    pub fn stream(&mut self, fd: RawFd, arrivals: impl IntoIterator<Item = (Duration, Vec<u8>)>) {
        self.files.insert(fd, Stream { arrivals: arrivals.into_iter().collect() });
    }

    /// Runs `f` with this kernel behind `sys` on this thread, and gives it back.
    pub fn run<R>(self, f: impl FnOnce() -> R) -> (Kernel, R) {
        KERNEL.with(|kernel| *kernel.borrow_mut() = Some(self));
        let result = f();
        let kernel = KERNEL.with(|kernel| kernel.borrow_mut().take());
        (kernel.expect("it was installed above"), result)
    }

    fn is_readable(&self, fd: RawFd) -> bool {
        let stream = &self.files[&fd];
        stream.arrivals.front().map_or(true, |(at, _)| *at <= self.time)
    }
}

fn with<R>(call: impl FnOnce(&mut Kernel) -> R) -> Option<R> {
    KERNEL.with(|kernel| kernel.borrow_mut().as_mut().map(call))
}

pub(crate) fn now() -> Option<Instant> {
    with(|kernel| kernel.zero + kernel.time)
}

pub(crate) fn poll(set: &mut [pollfd], timeout: Option<Duration>) -> Option<io::Result<usize>> {
    with(|kernel| {
        kernel.polls += 1;
        let arrivals = set.iter().filter_map(|entry| kernel.files[&entry.fd].arrivals.front().map(|(at, _)| *at));
        let ready = set.iter().any(|entry| entry.events & libc::POLLOUT != 0 || kernel.is_readable(entry.fd));
        if !ready {
            let next = arrivals.min().unwrap_or(Duration::MAX);
            let end = timeout.map_or(Duration::MAX, |timeout| kernel.time + timeout);
            assert!(next.min(end) < Duration::MAX, "the loop sleeps for ever");
            kernel.time = kernel.time.max(next.min(end));
        }
        let mut ready = 0;
        for entry in set {
            entry.revents = entry.events & libc::POLLOUT;
            if kernel.is_readable(entry.fd) {
                entry.revents |= entry.events & libc::POLLIN;
            }
            ready += usize::from(entry.revents != 0);
        }
        Ok(ready)
    })
}

pub(crate) fn read(fd: RawFd, bytes: &mut [u8]) -> Option<io::Result<usize>> {
    with(|kernel| {
        kernel.reads += 1;
        if !kernel.is_readable(fd) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let stream = kernel.files.get_mut(&fd).expect("checked above");
        match stream.arrivals.front_mut() {
            None => Ok(0),
            Some((_, arrived)) => {
                let size = arrived.len().min(bytes.len());
                bytes[..size].copy_from_slice(&arrived[..size]);
                arrived.drain(..size);
                if arrived.is_empty() {
                    stream.arrivals.pop_front();
                }
                Ok(size)
            }
        }
    })
}

pub(crate) fn write(_fd: RawFd, bytes: &[u8]) -> Option<io::Result<usize>> {
    with(|_| Ok(bytes.len()))
}

pub(crate) fn close(fd: RawFd) -> bool {
    with(|kernel| kernel.files.remove(&fd)).is_some()
}

pub(crate) fn kind(_fd: RawFd) -> Option<io::Result<Kind>> {
    with(|_| Ok(Kind::Pipe))
}
