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

impl Default for Kernel {
    fn default() -> Kernel {
        Kernel::new()
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{done, sleep, wait, AsyncFile, End, Scheduler};

    const SECOND: Duration = Duration::from_secs(1);

    fn file(fd: RawFd) -> AsyncFile {
        AsyncFile::new(crate::sys::owned(fd)).unwrap()
    }

    #[test]
    fn a_trickle_does_not_extend_a_deadline() {
        let mut kernel = Kernel::new();
        let bytes = (1..100).map(|n| (SECOND * n, b"x".to_vec()));
        kernel.stream(1000, bytes);
        let (kernel, (line, held)) = kernel.run(|| {
            let file = file(1000);
            let line = Scheduler::new().block_on(file.readline().timeout(SECOND * 5 / 2));
            (line.unwrap_err().kind(), file.buffered())
        });
        assert_eq!((line, held), (io::ErrorKind::TimedOut, 2));
        assert_eq!(kernel.time, SECOND * 5 / 2, "to the instant");
    }

    #[test]
    fn data_beats_the_deadline_of_the_same_turn() {
        let mut kernel = Kernel::new();
        kernel.stream(1000, [(SECOND, b"just in time\n".to_vec())]);
        let (_, line) = kernel.run(|| Scheduler::new().block_on(file(1000).readline().timeout(SECOND)));
        assert_eq!(line.unwrap().unwrap(), b"just in time\n");
    }

    #[test]
    fn a_timeout_of_zero_gets_what_is_there_and_no_more() {
        let mut kernel = Kernel::new();
        kernel.stream(1000, [(Duration::ZERO, b"now".to_vec()), (SECOND, b"later".to_vec())]);
        let (kernel, ends) = kernel.run(|| {
            let file = file(1000);
            let mut sched = Scheduler::new();
            let mut ends = Vec::new();
            let task = sched.spawn(file.read(9).full().timeout(Duration::ZERO), move |task| {
                ends.push((task.end(), task.bytes().map_or(0, <[u8]>::len)));
                if ends.len() < 2 {
                    wait(file.read(9).full().timeout(Duration::ZERO))
                } else {
                    done(ends.clone())
                }
            });
            sched.join(task).unwrap()
        });
        assert_eq!(ends, [(End::TimedOut, 3), (End::TimedOut, 0)]);
        assert_eq!(kernel.time, Duration::ZERO);
    }

    #[test]
    fn a_hundred_thousand_sleeps_take_as_long_as_the_longest() {
        let (kernel, ()) = Kernel::new().run(|| {
            let mut sched = Scheduler::new();
            for n in 0..100_000_u64 {
                sched.spawn(sleep(Duration::from_millis(n * 7919 % 1000)), |task| {
                    task.ok()?;
                    done(())
                });
            }
            sched.run().unwrap();
        });
        assert_eq!(kernel.time, Duration::from_millis(999));
        assert!(kernel.polls <= 1001, "one poll for each moment at which somebody wakes: {}", kernel.polls);
    }
}
