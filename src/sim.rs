//! The simulated kernel. In test and fuzzing builds it answers in place of the real kernel behind
//! the functions of `sys`, while it is installed on the thread.
//!
//! It has a clock of its own, in which time passes in poll and where a fault says so, and makes
//! every decision by asking one function: the same answers replay the same run. It does what Linux
//! does, and with [`Faults`] what Linux may do. What it can tell of the library's broken promises
//! it tells by a panic: a call that would block, a sleep that nothing would end, a loop that spins.
//!
//! ```text
//!     library ── sys ──► calls (transfer, polling, table, child) ──► streams ◄── actors, the programs at the other ends
//! ```

mod actor;
mod child;
#[cfg(test)]
mod differential;
#[cfg(test)]
pub(crate) mod fairness;
mod faults;
#[cfg(test)]
mod firsts;
mod polling;
mod second_user;
#[cfg(test)]
mod seeds;
mod stream;
mod table;
#[cfg(test)]
mod tests;
mod transfer;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::io::{OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use libc::{c_int, c_short, pollfd, POLLHUP, POLLIN, POLLOUT};

use self::actor::Actor;
use self::stream::Stream;
use self::table::{Description, Id, Object};
use crate::sys::Kind;

pub use self::actor::Act;
pub use self::child::Program;
pub use self::faults::Faults;
pub use self::table::Guise;

pub(crate) use self::child::Handle;
pub(crate) use self::transfer::Call;

/// `PIPE_BUF` is not a `usize` on every platform.
#[allow(clippy::unnecessary_cast)]
const PIPE_BUF: usize = libc::PIPE_BUF as usize;

/// See the head of this file.
pub struct Kernel {
    /// The faults that the kernel injects.
    pub faults: Faults,
    /// How often each fault has happened so far, by the name of the fault.
    pub injected: BTreeMap<&'static str, u64>,
    /// A run with more system calls than this counts as a loop that spins.
    pub most_calls: u64,
    /// How many system calls were made.
    pub calls: u64,
    /// How many of the calls were polls.
    pub polls: u64,
    /// How many of the calls were reads.
    pub reads: u64,
    /// How often a socket was asked for its type.
    pub types: u64,
    /// The capacity of the pipes to and from children.
    pub pipe_capacity: usize,
    /// Tells this kernel from others that were or will be installed.
    id: u64,
    time: Duration,
    choose: Box<dyn FnMut(u32) -> u32>,
    trace: Option<Trace>,
    /// What each number of the process refers to. The first entry is that of the number
    /// `table::FIRST`.
    numbers: Vec<Option<Id>>,
    descriptions: Vec<Description>,
    streams: Vec<Stream>,
    actors: Vec<Actor>,
    /// Whether something has happened for which an actor may have waited.
    is_stirred: bool,
    /// Whether the finale has begun.
    is_over: bool,
    children: Vec<child::Child>,
    programs: BTreeMap<String, Program>,
    /// The events that were true of each descriptor when poll(2) was last asked about it.
    at_poll: BTreeMap<RawFd, c_short>,
    /// For each number: when poll(2) was asked of it last, and all events that were true of it at
    /// that time.
    of_late: BTreeMap<RawFd, (Duration, c_short)>,
    /// Whether a number was closed behind the library's back. The library cannot know which file
    /// its calls under that number then reach.
    is_tampered_with: bool,
    changed_flags: usize,
    bad_closes: usize,
    passed: Vec<(RawFd, Passed)>,
}

/// What was moved through an open file description of the process.
#[derive(Debug)]
pub enum Passed {
    /// The library has read these bytes; none at the end of file.
    Read(Vec<u8>),
    /// The library has written these bytes.
    Written(Vec<u8>),
    /// A second user of the open file description has read these bytes.
    ReadByAnother(Vec<u8>),
    /// A second user of the open file description has written these bytes.
    WrittenByAnother(Vec<u8>),
    /// The library has received this message or its beginning, or a peek has shown it.
    Message {
        /// The whole message.
        message: Vec<u8>,
        /// How many bytes of the message were received.
        came: usize,
        /// Whether this was a peek, which leaves the message in the socket.
        is_peek: bool,
    },
    /// The messages that were still to be received are lost, because a send has found that the peer
    /// is gone.
    Lost,
    /// The library has shut the sending side of the socket down.
    ShutDown,
}

/// The closure that is called with a line for each call.
type Trace = Box<dyn FnMut(&str)>;

static KERNELS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static KERNEL: RefCell<Option<Kernel>> = const { RefCell::new(None) };
    /// Whether a kernel was installed before. Descriptors that were left open in it may be closed
    /// at any time.
    static HAS_RUN: Cell<bool> = const { Cell::new(false) };
}

impl Kernel {
    /// A kernel at time 0 in which nothing is open. `choose(n)` returns any number below n, and n
    /// is at least 1.
    pub fn new(choose: impl FnMut(u32) -> u32 + 'static) -> Kernel {
        Kernel {
            faults: Faults::none(),
            injected: BTreeMap::new(),
            most_calls: 1_000_000,
            calls: 0,
            polls: 0,
            reads: 0,
            types: 0,
            pipe_capacity: 1 << 16,
            id: KERNELS.fetch_add(1, Ordering::Relaxed),
            time: Duration::ZERO,
            choose: Box::new(choose),
            trace: None,
            numbers: Vec::new(),
            descriptions: Vec::new(),
            streams: Vec::new(),
            actors: Vec::new(),
            is_stirred: false,
            is_over: false,
            children: Vec::new(),
            programs: BTreeMap::new(),
            changed_flags: 0,
            at_poll: BTreeMap::new(),
            of_late: BTreeMap::new(),
            is_tampered_with: false,
            bad_closes: 0,
            passed: Vec::new(),
        }
    }

    /// Runs `f` on this thread with this kernel behind `sys`, then returns the kernel and the
    /// result. A descriptor that `f` leaves open must not be used afterwards.
    pub fn run<R>(self, f: impl FnOnce() -> R) -> (Kernel, R) {
        /// Takes the kernel out again, also when `f` panics.
        struct Installed;
        impl Drop for Installed {
            fn drop(&mut self) {
                // The thread's list may have children of this kernel, which the next kernel does
                // not know.
                crate::child::abandon();
                KERNEL.with(|kernel| kernel.borrow_mut().take());
            }
        }
        let before = KERNEL.with(|kernel| kernel.borrow_mut().replace(self));
        assert!(before.is_none(), "two kernels on one thread");
        HAS_RUN.with(|has_run| has_run.set(true));
        let installed = Installed;
        let result = f();
        crate::child::abandon();
        let kernel = KERNEL
            .with(|kernel| kernel.borrow_mut().take())
            .expect("it was installed above");
        drop(installed);
        (kernel, result)
    }

    /// How long the kernel has run, by its own clock.
    pub fn time(&self) -> Duration {
        self.time
    }

    /// Chooses a number below `below`.
    pub fn choose(&mut self, below: u32) -> u32 {
        let chosen = (self.choose)(below);
        assert!(chosen < below, "chose {chosen}, which is not below {below}");
        chosen
    }

    /// Calls `to` with a line for every call and every act of an actor, from here on.
    pub fn trace(&mut self, to: impl FnMut(&str) + 'static) {
        self.trace = Some(Box::new(to));
    }

    /// A pipe, reader first. The process has both of its ends.
    pub fn pipe(&mut self, capacity: usize) -> (RawFd, RawFd) {
        let (reader, writer) = self.describe_pipe(capacity);
        (self.number(reader), self.number(writer))
    }

    /// A pair of sockets. The process has both of them.
    pub fn socketpair(&mut self, capacity: usize) -> (RawFd, RawFd) {
        let (one, other) = self.describe_socketpair(capacity, Kind::Socket);
        (self.number(one), self.number(other))
    }

    /// A pair of sockets that keep messages apart. With `has_end` they have an end of file
    /// (seqpacket), otherwise not (datagram).
    pub fn message_pair(&mut self, capacity: usize, has_end: bool) -> (RawFd, RawFd) {
        let (one, other) = self.describe_socketpair(capacity, message_kind(has_end));
        (self.number(one), self.number(other))
    }

    /// The reading end of a pipe. The writing end is end 0 of a new actor.
    pub fn reader(&mut self, capacity: usize, acts: Vec<Act>) -> RawFd {
        let (reader, writer) = self.describe_pipe(capacity);
        self.opposite(reader, writer, acts)
    }

    /// The writing end of a pipe. The reading end is end 0 of a new actor.
    pub fn writer(&mut self, capacity: usize, acts: Vec<Act>) -> RawFd {
        let (reader, writer) = self.describe_pipe(capacity);
        self.opposite(writer, reader, acts)
    }

    /// A socket that the process has. An actor has the peer, as its end 0.
    pub fn socket(&mut self, capacity: usize, acts: Vec<Act>) -> RawFd {
        let (one, other) = self.describe_socketpair(capacity, Kind::Socket);
        self.opposite(one, other, acts)
    }

    /// The same as [`socket`](Kernel::socket), but for messages.
    pub fn message_socket(&mut self, capacity: usize, has_end: bool, acts: Vec<Act>) -> RawFd {
        let (one, other) = self.describe_socketpair(capacity, message_kind(has_end));
        self.opposite(one, other, acts)
    }

    fn opposite(&mut self, ours: Id, theirs: Id, acts: Vec<Act>) -> RawFd {
        let fd = self.number(ours);
        self.add_actor(acts, vec![Some(theirs)], None, None);
        fd
    }

    /// Makes the reader of a pipe appear as another kind of file. To be called before the library
    /// has it.
    pub fn disguise(&mut self, fd: RawFd, guise: Guise) {
        let id = self.lookup(fd).expect("it is open");
        self.descriptions[id].guise = guise;
    }

    /// Fills or empties a socket's error queue.
    pub fn set_error_queue(&mut self, fd: RawFd, has_error_queue: bool) {
        let id = self.lookup(fd).expect("it is open");
        self.descriptions[id].has_error_queue = has_error_queue;
        self.note(|| format!("the error queue of fd {fd}: {has_error_queue}"));
    }

    /// A regular file, with the position at its beginning.
    pub fn regular(&mut self, contents: Vec<u8>) -> RawFd {
        let id = self.describe(
            Object::Regular {
                contents,
                position: 0,
            },
            libc::O_RDWR,
        );
        self.number(id)
    }

    /// Sets the program that a command of this name starts from here on.
    pub fn program(&mut self, name: &str, program: Program) {
        self.programs.insert(name.to_owned(), program);
    }

    /// Closes the number behind the library's back.
    pub fn close_behind(&mut self, fd: RawFd) {
        self.is_tampered_with = true;
        self.note(|| format!("somebody closes fd {fd}"));
        self.close_number(fd, true);
    }

    /// The process's numbers that are open.
    pub fn descriptors(&self) -> Vec<RawFd> {
        let open = (table::FIRST..)
            .zip(&self.numbers)
            .filter(|(_, id)| id.is_some());
        open.map(|(fd, _)| fd).collect()
    }

    /// The status flags of the open file description.
    pub fn flags(&self, fd: RawFd) -> c_int {
        let id = self
            .lookup(fd)
            .unwrap_or_else(|| panic!("fd {fd} is not open"));
        self.descriptions[id].flags
    }

    /// How many open file descriptions had another O_NONBLOCK than at first, when the library
    /// closed the process's last number of them.
    pub fn changed_flags(&self) -> usize {
        self.changed_flags
    }

    /// How many times the library closed a number that was not open. It may do so only after
    /// [`close_behind`](Kernel::close_behind).
    pub fn bad_closes(&self) -> usize {
        self.bad_closes
    }

    /// Takes the record of all reads and writes since the last call of this function, in order.
    /// Each has the number that the library used.
    pub fn take_passed(&mut self) -> Vec<(RawFd, Passed)> {
        std::mem::take(&mut self.passed)
    }

    /// Whether a read would get bytes, the end, or an error.
    pub fn is_readable_now(&self, fd: RawFd) -> bool {
        self.is_true(fd, POLLIN)
    }

    /// Whether a read would not have waited when poll(2) was last asked about this descriptor.
    pub fn was_readable_at_poll(&self, fd: RawFd) -> bool {
        self.was_true_at_poll(fd, POLLIN | polling::UNASKED)
    }

    /// The events that were true of this descriptor when poll(2) was asked last, and still are.
    pub fn lasting_truth(&self, fd: RawFd) -> c_short {
        let then = self.at_poll.get(&fd).copied().unwrap_or(0);
        then & self.lookup(fd).map_or(0, |id| self.truth(id))
    }

    /// The events of this descriptor at the time of the last poll(2) of it. If there were several
    /// polls at that time, all their events.
    pub fn truth_of_late(&self, fd: RawFd) -> c_short {
        self.of_late.get(&fd).map_or(0, |(_, truth)| *truth)
    }

    /// How many bytes of messages the socket could receive, and whether no more can come.
    pub fn messages(&self, fd: RawFd) -> (usize, bool) {
        match self.lookup(fd).map(|id| &self.descriptions[id].object) {
            Some(Object::Socket { input, kind, .. }) => {
                let stream = &self.streams[*input];
                let is_over = !stream.has_writer && *kind == Kind::Seqpacket;
                (stream.bytes.len(), is_over)
            }
            _ => (0, false),
        }
    }

    /// Whether no writer was left when poll(2) was last asked about this descriptor.
    pub fn was_hung_up_at_poll(&self, fd: RawFd) -> bool {
        self.was_true_at_poll(fd, POLLHUP)
    }

    fn was_true_at_poll(&self, fd: RawFd, events: c_short) -> bool {
        self.at_poll
            .get(&fd)
            .map_or(false, |truth| truth & events != 0)
    }

    /// Whether poll(2), without faults, would wake a task that waits to write.
    pub fn is_writable_now(&self, fd: RawFd) -> bool {
        self.is_true(fd, POLLOUT)
    }

    /// Ends all faults and all actors, whose ends are closed. Actors that are started later end at
    /// once.
    pub fn finale(&mut self) {
        self.note(|| "finale".to_owned());
        self.faults = Faults::none();
        for description in &mut self.descriptions {
            description.has_error_queue = false;
        }
        self.is_over = true;
        self.end_actors();
    }

    /// Begins a system call.
    fn enter(&mut self) {
        // A second panic during a panic would abort the process.
        if self.calls >= self.most_calls && !std::thread::panicking() {
            panic!("the loop spins: {} system calls", self.calls);
        }
        self.enter_close();
    }

    /// Begins a close. This must not panic, because drops call it while a panic unwinds.
    fn enter_close(&mut self) {
        self.calls += 1;
        if self.hit(self.faults.clock_jumps, "clock jumps") {
            let jump = 1 + u64::from(self.choose(3000));
            self.time += Duration::from_millis(jump);
        }
        self.kill_somebody(Duration::ZERO);
        if !self.hit(self.faults.actors_lag, "actors lag") {
            self.run_actors();
        }
    }

    /// Decides whether the fault happens this time.
    fn hit(&mut self, rate: u8, name: &'static str) -> bool {
        if rate == 0 || self.choose(256) < 256 - u32::from(rate) {
            return false;
        }
        *self.injected.entry(name).or_default() += 1;
        self.note(|| format!("fault: {name}"));
        true
    }

    fn first_hit<const N: usize>(
        &mut self,
        errors: &[(u8, &'static str, c_int); N],
    ) -> Option<io::Error> {
        let hit = errors.iter().find(|(rate, name, _)| self.hit(*rate, name));
        hit.map(|(_, _, error)| errno(*error))
    }

    /// Adds a line to the trace.
    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace(&format!("{:>12.6} {}", self.time.as_secs_f64(), line()));
        }
    }
}

fn message_kind(has_end: bool) -> Kind {
    match has_end {
        true => Kind::Seqpacket,
        false => Kind::Datagram,
    }
}

fn errno(error: c_int) -> io::Error {
    io::Error::from_raw_os_error(error)
}

/// Calls `f` with the kernel that is installed on this thread. Returns None if none is installed:
/// the real kernel is in use.
pub fn with<R>(f: impl FnOnce(&mut Kernel) -> R) -> Option<R> {
    KERNEL
        .try_with(|kernel| kernel.borrow_mut().as_mut().map(f))
        .ok()
        .flatten()
}

/// Makes a descriptor of a simulated number, for tests and fuzz targets. Only the library may drop
/// it, because std closes descriptors in the real kernel.
pub fn owned(fd: RawFd) -> OwnedFd {
    crate::sys::owned(fd)
}

pub(crate) fn now() -> Option<Duration> {
    with(|kernel| kernel.time)
}

/// Translates a time of the simulated clock into an `Instant` of std, as `Task::clock` returns it.
pub fn instant(time: Duration) -> Instant {
    use crate::sys::clock::{nanoseconds, Epoch, Moment};
    Epoch::of_thread().instant(Moment::ZERO.after(nanoseconds(time)))
}

pub(crate) fn poll(set: &mut [pollfd], timeout: Option<Duration>) -> Option<io::Result<usize>> {
    with(|kernel| kernel.poll(set, timeout))
}

pub(crate) fn shut_down_write(fd: RawFd) -> Option<io::Result<()>> {
    with(|kernel| kernel.shut_down_write(fd))
}

pub(crate) fn receive(
    fd: RawFd,
    bytes: &mut [u8],
    is_peek: bool,
) -> Option<io::Result<(usize, bool)>> {
    with(|kernel| kernel.receive(fd, bytes, is_peek))
}

pub(crate) fn read(fd: RawFd, bytes: &mut [u8], call: Call) -> Option<io::Result<usize>> {
    with(|kernel| kernel.read(fd, bytes, call))
}

pub(crate) fn write(fd: RawFd, bytes: &[u8], call: Call) -> Option<io::Result<usize>> {
    with(|kernel| kernel.write(fd, bytes, call))
}

/// Closes a simulated number. Returns whether the number is simulated, by this kernel or by one
/// that is gone.
pub(crate) fn close(fd: RawFd) -> bool {
    if fd < table::FIRST {
        return false;
    }
    let answer = with(|kernel| {
        kernel.enter_close();
        let was_open = kernel.close_number(fd, false);
        kernel.bad_closes += usize::from(!was_open);
        kernel.note(|| format!("close(fd {fd}) = {was_open}"));
    });
    answer.is_some() || HAS_RUN.try_with(Cell::get).unwrap_or(false)
}

pub(crate) fn is_open(fd: RawFd) -> Option<bool> {
    with(|kernel| kernel.lookup(fd).is_some())
}

pub(crate) fn kind(fd: RawFd) -> Option<io::Result<Kind>> {
    with(|kernel| kernel.kind(fd))
}

pub(crate) fn readable_bytes(fd: RawFd) -> Option<io::Result<usize>> {
    with(|kernel| kernel.readable_bytes(fd))
}

pub(crate) fn status_flags(fd: RawFd) -> Option<io::Result<c_int>> {
    with(|kernel| kernel.status_flags(fd))
}

pub(crate) fn set_status_flags(fd: RawFd, flags: c_int) -> Option<io::Result<()>> {
    with(|kernel| kernel.set_status_flags(fd, flags))
}

pub(crate) fn duplicate(fd: RawFd) -> Option<io::Result<RawFd>> {
    with(|kernel| kernel.duplicate(fd))
}

pub(crate) fn wake_pipe() -> Option<io::Result<(RawFd, RawFd)>> {
    with(Kernel::wake_pipe)
}

/// Writes the byte of a wake. Returns false if no kernel is installed on this thread.
pub(crate) fn wake(fd: RawFd) -> bool {
    with(|kernel| kernel.wake(fd)).is_some()
}

pub(crate) fn spawn(
    name: &str,
    stdin: Option<Option<RawFd>>,
    is_merged: bool,
) -> Option<io::Result<Handle>> {
    with(|kernel| kernel.spawn(name, stdin, is_merged))
}

pub(crate) fn kill(process: u32, signal: c_int) -> Option<io::Result<()>> {
    with(|kernel| {
        if child::is_simulated(process) {
            Some(kernel.kill(process, signal))
        } else {
            None
        }
    })
    .flatten()
}

pub(crate) fn kill_group(leader: u32, signal: c_int) -> Option<io::Result<()>> {
    with(|kernel| child::is_simulated(leader).then(|| kernel.kill_group(leader, signal))).flatten()
}

pub(crate) fn leads_group(process: u32) -> Option<bool> {
    with(|kernel| child::is_simulated(process).then(|| kernel.leads_group(process))).flatten()
}

pub(crate) fn pidfd(process: u32) -> Option<io::Result<RawFd>> {
    with(|kernel| {
        if child::is_simulated(process) {
            Some(kernel.pidfd(process))
        } else {
            None
        }
    })
    .flatten()
}
