//! How a scheduler is woken from outside its thread: an atomic state, and a pipe that its poll(2) watches.
//!
//! ```text
//!             wake: writes one byte               a turn begins
//!      Away ------------------------> Woken ----------------------> Turning
//!       ^  \                            ^                            |   |
//!       |   \---- a turn begins --------|------------> Turning       |   |
//!       |                               +------ wake: no byte -------+   |
//!       +--------------------------- the turn ends ----------------------+
//! ```
//!
//! The state is the truth, and whoever changes it to Woken from Away writes the byte that ends poll's sleep. A turn looks at
//! what was left for it after it has left Woken, and poll(2) does not sleep while it is Woken: so no wake is lost, many count
//! as one, and one that comes while a turn runs costs no system call. A byte too many only makes poll look once more.
//!
//! It knows nothing of tasks but their keys, and nothing of those who wake.

use std::io;
use std::os::unix::io::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::key::Key;
use crate::sys;

/// No turn runs: poll(2) may be asleep, the scheduler's or a foreign loop's.
const AWAY: u8 = 0;
/// A turn runs, and looks once more before it ends.
const TURNING: u8 = 1;
/// Something was left to be looked at.
const WOKEN: u8 = 2;

/// A scheduler, seen from outside: shared with its Remotes and with the channels that its tasks wait on.
pub(crate) struct Wake {
    state: AtomicU8,
    /// Somebody wants the drive to end.
    stop: AtomicBool,
    /// How many Remotes there are: while there is one, anything can happen at any time.
    remotes: AtomicUsize,
    /// Tasks that can go on, in order.
    tasks: Mutex<Vec<Key>>,
    /// Both ends live as long as anybody can write: the pipe is never without reader, and a write never raises SIGPIPE.
    reader: RawFd,
    writer: RawFd,
    /// One of them was closed behind our back, and may be another file's by now: both are left alone.
    is_lost: AtomicBool,
}

impl Wake {
    pub fn new() -> io::Result<Wake> {
        let (reader, writer) = sys::wake_pipe()?;
        Ok(Wake {
            state: AtomicU8::new(AWAY),
            stop: AtomicBool::new(false),
            remotes: AtomicUsize::new(0),
            tasks: Mutex::default(),
            reader: reader.into_number(),
            writer: writer.into_number(),
            is_lost: AtomicBool::new(false),
        })
    }

    /// From here on a wake counts only as long as something else ends the scheduler's sleep.
    pub fn lose(&self) {
        self.is_lost.store(true, Ordering::Release);
    }

    /// What poll(2) is to watch.
    pub fn fd(&self) -> RawFd {
        self.reader
    }

    /// Never waits. For signal handlers, too: atomics and one write(2), and errno stays what it was.
    pub fn wake(&self) {
        // Release: what was left before is seen by the turn that leaves Woken.
        if self.state.swap(WOKEN, Ordering::AcqRel) == AWAY && !self.is_lost.load(Ordering::Acquire) {
            sys::wake(self.writer);
        }
    }

    /// Makes the drive under way end, or else the next one. For signal handlers, too.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// This task can go on.
    pub fn wake_task(&self, key: Key) {
        lock(&self.tasks).push(key);
        self.wake();
    }

    /// One Remote more.
    pub fn add_remote(&self) {
        self.remotes.fetch_add(1, Ordering::Relaxed);
    }

    /// One Remote less. After the last one tasks may be stalled, and only the scheduler can tell.
    pub fn remove_remote(&self) {
        if self.remotes.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.wake();
        }
    }

    pub fn has_remotes(&self) -> bool {
        self.remotes.load(Ordering::Acquire) > 0
    }

    pub fn is_woken(&self) -> bool {
        self.state.load(Ordering::Acquire) == WOKEN
    }

    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Whether the drive is to end. It does, and has been asked no more.
    pub fn take_stop(&self) -> bool {
        self.is_stopping() && self.stop.swap(false, Ordering::AcqRel)
    }

    /// A turn runs from here on. Whether something was left for it.
    pub fn begin_turn(&self) -> bool {
        self.state.swap(TURNING, Ordering::AcqRel) == WOKEN
    }

    /// The turn has ended, unless something was left meanwhile: then it stays Woken, for the next one.
    pub fn end_turn(&self) {
        let _ = self.state.compare_exchange(TURNING, AWAY, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Hands over the tasks that can go on. The list stays as large as it has grown.
    pub fn take_tasks(&self, take: impl FnMut(Key)) {
        lock(&self.tasks).drain(..).for_each(take);
    }

    /// Takes the bytes out of the pipe, after poll(2) has said that there are some. Those that it leaves are said again. False: it has come
    /// to an end, which a pipe whose writer we have cannot: the number is another file's.
    pub fn drain(&self) -> bool {
        !matches!(sys::read(self.fd(), &mut [0; 64]), Ok(0))
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        if !*self.is_lost.get_mut() {
            sys::close(self.reader);
            sys::close(self.writer);
        }
    }
}

/// No user code runs under our locks, so none of them is ever poisoned half-way.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Wait;

    fn bytes_in_the_pipe(wake: &Wake) -> usize {
        let mut set = [libc::pollfd { fd: wake.fd(), events: libc::POLLIN, revents: 0 }];
        match sys::poll(&mut set, Wait::Not).unwrap() {
            0 => 0,
            _ => sys::read(wake.fd(), &mut [0; 64]).unwrap(),
        }
    }

    #[test]
    fn many_wakes_write_one_byte() {
        let wake = Wake::new().unwrap();
        (0..100_000).for_each(|_| wake.wake());
        assert_eq!(bytes_in_the_pipe(&wake), 1);
        assert!(wake.begin_turn());
        assert!(!wake.begin_turn(), "they count as one");
    }

    #[test]
    fn a_wake_while_a_turn_runs_writes_nothing_and_is_not_lost() {
        let wake = Wake::new().unwrap();
        assert!(!wake.begin_turn());
        wake.wake();
        assert_eq!(bytes_in_the_pipe(&wake), 0);
        wake.end_turn();
        assert!(wake.is_woken());
        assert!(wake.begin_turn());
        wake.end_turn();
        wake.wake();
        assert_eq!(bytes_in_the_pipe(&wake), 1, "after the turn a byte is needed again");
    }

    #[test]
    fn a_full_pipe_neither_blocks_nor_loses_a_wake() {
        let wake = Wake::new().unwrap();
        while sys::write(wake.writer, &[0; 4096]).is_ok() {}
        wake.wake();
        assert!(wake.is_woken());
        assert_eq!(bytes_in_the_pipe(&wake), 64, "poll sees it all the same");
    }
}
