//! How a scheduler is woken from outside its thread: a flag, and a pipe that its poll(2) watches.
//!
//! A wake sets the flag, and writes one byte into the pipe if the flag was not set. The byte ends
//! poll(2)'s sleep. The reader then does three steps: it takes the bytes out of the pipe, resets
//! the flag, and makes ready the tasks whose keys were left for it. Because of the flag, any number
//! of wakes between two polls costs one byte. Because of the order of the steps, no wake is lost,
//! not even if the pipe is full. A superfluous byte costs no more than one superfluous poll(2).
//!
//! The reader is a hidden watch: by itself it does not count as something that can wake a task. The
//! pipe is in the poll set while a task or a Remote waits for other threads, and no task is stalled
//! meanwhile. This file knows tasks only by their keys, and does not know why they are woken.

use std::cell::Cell;
use std::io;
use std::os::unix::io::RawFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use libc::{c_short, POLLERR, POLLHUP, POLLIN, POLLNVAL};

use super::lock;
use crate::error::{self, TaskError};
use crate::reactor::{Reactor, Watch};
use crate::sys;
use crate::task_table::Key;
use crate::wait_list::WaitList;

/// A scheduler's wake pipe, seen from any thread.
pub(crate) struct Wake {
    /// Whether a byte is in the pipe, or is about to be written.
    is_woken: AtomicBool,
    /// The reactor's flag that ends the drive. `stop` sets it from any thread.
    stop: Arc<AtomicBool>,
    /// The tasks to be made ready, in this order.
    keys: Mutex<Vec<Key>>,
    /// The ends of the pipe. Both live as long as the `Wake`. So the pipe is never without reader,
    /// and a write never raises SIGPIPE.
    reader: RawFd,
    writer: RawFd,
    /// Whether an end of the pipe was closed behind the library's back. Its number may be another
    /// file's by now, so neither end is used any more.
    is_lost: AtomicBool,
}

impl Wake {
    /// Ends the scheduler's sleep. Never waits. Signal handlers may call it: it uses atomics and at
    /// most one write(2), and errno stays what it was.
    pub fn wake(&self) {
        // AcqRel: the reader resets the flag by a swap, too. After its swap, the reader sees the
        // keys that a thread has left before that thread's own swap.
        let is_first = !self.is_woken.swap(true, Ordering::AcqRel);
        if is_first && !self.is_lost.load(Ordering::Acquire) {
            sys::wake(self.writer);
        }
    }

    /// Ends the drive that is under way, or else the next one. Signal handlers may call it.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// Wakes these tasks. If the caller is in the scheduler's thread, the tasks are ready at once.
    /// A system call is then needed only if a foreign loop may be about to poll.
    pub fn wake_tasks(&self, tasks: &WaitList) {
        let is_own = |reader: &Rc<WakeReader>| std::ptr::eq(&*reader.wake, self);
        match Reactor::find(|reactor| reactor.kept().filter(is_own)) {
            Some(reader) => {
                tasks.for_each(&mut |key| reader.reactor.wake(key));
                if !reader.reactor.is_shown(self.reader) {
                    return;
                }
            }
            None => {
                let mut keys = lock(&self.keys);
                tasks.for_each(&mut |key| keys.push(key));
            }
        }
        self.wake();
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

/// The reading end of the wake pipe, in the scheduler's thread. The reactor keeps it.
pub(crate) struct WakeReader {
    reactor: Rc<Reactor>,
    pub wake: Arc<Wake>,
    /// How many tasks and Remotes wait for other threads.
    waiting: Cell<usize>,
}

impl WakeReader {
    /// The wake pipe of this reactor. The first call makes it.
    pub fn of(reactor: &Rc<Reactor>) -> io::Result<Rc<WakeReader>> {
        if let Some(reader) = reactor.kept() {
            return Ok(reader);
        }
        let (reader, writer) = sys::wake_pipe()?;
        let wake = Wake {
            is_woken: AtomicBool::new(false),
            stop: Arc::clone(&reactor.stop),
            keys: Mutex::default(),
            reader: reader.into_number(),
            writer: writer.into_number(),
            is_lost: AtomicBool::new(false),
        };
        let reader = Rc::new(WakeReader {
            reactor: Rc::clone(reactor),
            wake: Arc::new(wake),
            waiting: Cell::new(0),
        });
        reactor.keep(Rc::clone(&reader) as _);
        Ok(reader)
    }

    fn watch(self: Rc<Self>) {
        let reactor = Rc::clone(&self.reactor);
        reactor.watch(self.wake.reader, POLLIN, self);
    }

    fn is_lost(&self) -> bool {
        self.wake.is_lost.load(Ordering::Relaxed) // only this thread sets it
    }

    /// Gives the pipe up, because an end was closed behind the library's back. The pipe is not
    /// polled again, because the loop would spin. One error reports that. No other thread reaches a
    /// task from here on, so a task that waits may be stalled.
    fn lose(&self) {
        if self.wake.is_lost.swap(true, Ordering::AcqRel) {
            return;
        }
        let outside = &self.reactor.outside;
        outside.set(outside.get() - usize::from(self.waiting.get() > 0));
        let cause = io::Error::from_raw_os_error(libc::EBADF);
        let error = error::system("wake", self.wake.reader, cause);
        self.reactor.report(None, TaskError::Failed(error));
    }

    /// For the simulation: true if poll(2) watches the pipe. Also true if the pipe is lost: that
    /// loss was reported as an error, and a lost pipe is not watched.
    #[cfg(any(test, fuzzing))]
    pub fn is_watched(self: &Rc<Self>) -> bool {
        let address = Rc::as_ptr(self).cast();
        self.is_lost() || self.reactor.events_of(self.wake.reader, address) == Some(POLLIN)
    }
}

impl Watch for WakeReader {
    fn on_ready(self: Rc<Self>, revents: c_short) {
        // POLLNVAL for a pipe can be trusted on every platform. (Darwin reports a wrong POLLNVAL,
        // but only for devices.) The pipe has no end of file, because its writer is alive. If a
        // read meets an end of file, the number belongs to another file by now.
        let is_broken = revents & (POLLNVAL | POLLHUP | POLLERR) != 0;
        if is_broken || matches!(sys::read(self.wake.reader, &mut [0; 64]), Ok(0)) {
            return self.lose();
        }
        // The flag is reset after the read. If it was reset before, the read could also take the
        // byte of a later wake. The flag of that wake would stay set, and no wake would write a
        // byte again. The flag is reset before the keys are taken, so a wake that leaves keys later
        // writes a new byte.
        self.wake.is_woken.swap(false, Ordering::AcqRel);
        let mut keys = lock(&self.wake.keys);
        keys.drain(..).for_each(|key| self.reactor.wake(key));
        drop(keys);
        self.watch();
    }

    fn on_lost(self: Rc<Self>) {
        self.lose();
    }

    fn is_hidden(&self) -> bool {
        true
    }
}

/// A wait for other threads. While it lives, poll(2) watches the pipe, and no task is stalled.
pub(crate) struct Waiting(Rc<WakeReader>);

impl Waiting {
    pub fn new(reader: Rc<WakeReader>) -> Waiting {
        let before = reader.waiting.replace(reader.waiting.get() + 1);
        if before == 0 && !reader.is_lost() {
            let outside = &reader.reactor.outside;
            outside.set(outside.get() + 1);
            Rc::clone(&reader).watch();
        }
        Waiting(reader)
    }

    pub fn reader(&self) -> &Rc<WakeReader> {
        &self.0
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let reader = &self.0;
        reader.waiting.set(reader.waiting.get() - 1);
        if reader.waiting.get() == 0 && !reader.is_lost() {
            let reactor = &reader.reactor;
            reactor.outside.set(reactor.outside.get() - 1);
            reactor.unwatch(reader.wake.reader);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Wait;

    /// A reader whose reactor is closed in the end, as the drop of a scheduler does it. Otherwise
    /// the two would keep each other.
    struct Reader(Rc<WakeReader>);

    impl std::ops::Deref for Reader {
        type Target = Rc<WakeReader>;

        fn deref(&self) -> &Rc<WakeReader> {
            &self.0
        }
    }

    impl Drop for Reader {
        fn drop(&mut self) {
            self.0.reactor.close();
        }
    }

    fn reader() -> Reader {
        Reader(WakeReader::of(&Reactor::new()).unwrap())
    }

    fn bytes_in_the_pipe(wake: &Wake) -> usize {
        let mut set = [libc::pollfd {
            fd: wake.reader,
            events: POLLIN,
            revents: 0,
        }];
        match sys::poll(&mut set, Wait::Not).unwrap() {
            0 => 0,
            _ => sys::read(wake.reader, &mut [0; 64]).unwrap(),
        }
    }

    #[test]
    fn many_wakes_write_one_byte() {
        let reader = reader();
        (0..100_000).for_each(|_| reader.wake.wake());
        assert_eq!(bytes_in_the_pipe(&reader.wake), 1);
    }

    #[test]
    fn a_wake_after_the_pipe_was_looked_at_writes_again() {
        let reader = reader();
        let waiting = Waiting::new(Rc::clone(&reader));
        for _ in 0..3 {
            reader.wake.wake();
            reader.wake.wake();
            reader.reactor.ask(Wait::Not).unwrap();
            assert_eq!(bytes_in_the_pipe(&reader.wake), 0, "the poll took it");
        }
        drop(waiting);
        assert!(!reader.is_watched());
    }

    #[test]
    fn a_full_pipe_neither_blocks_nor_loses_a_wake() {
        let reader = reader();
        while sys::write(reader.wake.writer, &[0; 4096]).is_ok() {}
        reader.wake.wake();
        assert_eq!(bytes_in_the_pipe(&reader.wake), 64, "poll(2) sees it");
    }

    #[test]
    fn while_something_waits_the_reactor_counts_one_thing_outside() {
        let reader = reader();
        let outside = || reader.reactor.outside.get();
        let two = [(); 2].map(|()| Waiting::new(Rc::clone(&reader)));
        assert_eq!((outside(), reader.is_watched()), (1, true));
        reader.lose();
        assert_eq!(outside(), 0, "no other thread can wake a task any more");
        drop(two);
        assert_eq!(outside(), 0);
        assert!(reader.reactor.has_failures(), "it was reported");
    }

    #[test]
    fn in_the_schedulers_own_thread_a_task_is_ready_without_a_byte() {
        let reader = reader();
        let key = crate::task_table::Key {
            index: 0,
            generation: std::num::NonZeroU32::new(1).unwrap(),
        };
        let mut tasks = WaitList::new();
        tasks.enter(key);
        reader.wake.wake_tasks(&tasks);
        assert_eq!(reader.reactor.next_ready(), Some(key));
        assert_eq!(bytes_in_the_pipe(&reader.wake), 0);
        let wake = Arc::clone(&reader.wake);
        std::thread::spawn(move || wake.wake_tasks(&tasks))
            .join()
            .unwrap();
        assert_eq!(reader.reactor.next_ready(), None);
        assert_eq!(bytes_in_the_pipe(&reader.wake), 1);
    }
}
