//! The view of a running task: the outcome of the operation that it waited for, and the scheduler
//! that it runs in.

mod lines;

use std::cell::Cell;
use std::fmt;
use std::io;
use std::process::{ExitStatus, Output};
use std::time::Instant;

use libc::c_short;

use crate::error::{self, Cause};
use crate::handle::{JoinHandle, Resumed};
use crate::line_buffer::Lent;
use crate::machine::End;
use crate::op::operate::{Kind, Op, Value};
use crate::scheduler::Scheduler;
use crate::state_fn::StateFn;
use crate::task_table::{Key, TaskId};

pub use lines::Lines;

/// The result of a task's body: the operation that the task waits for next, its value, or the error
/// that ends it (`?` returns one).
pub type Flow<T = ()> = io::Result<Step<T>>;

/// How a task goes on: see [`wait`], [`again`] and [`done`].
#[derive(Debug)]
pub enum Step<T> {
    /// The task waits for this operation.
    Wait(Op),
    /// The task waits for the same operation once more.
    Again,
    /// The task has ended, with this value.
    Done(T),
}

/// Suspends the task until the operation has ended; then its body is called again.
///
/// # Example
///
/// This shows a task that sends back each line that it reads:
///
/// ```
/// use asyncfile::{done, wait, AsyncFile, Outcome, Scheduler};
/// use std::{io::{Read, Write}, os::unix::net::UnixStream};
///
/// let (mut theirs, ours) = UnixStream::pair()?;
/// theirs.write_all(b"one\ntwo\n")?;
/// theirs.shutdown(std::net::Shutdown::Write)?;
/// let file = AsyncFile::new(ours)?;
/// let mut sched = Scheduler::new();
/// sched.spawn(file.readline(), move |task| match task.outcome() {
///     Outcome::Line(Some(line)) => wait(file.write_all(line)),
///     Outcome::Line(None) => done(()),
///     Outcome::Failed(error) => Err(error),
///     _ => wait(file.readline()),                         // the line is written
/// });
/// sched.run()?;
/// let mut echo = String::new();
/// theirs.read_to_string(&mut echo)?;
/// assert_eq!(echo, "one\ntwo\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[inline]
pub fn wait<T>(op: impl Into<Op>) -> Flow<T> {
    Ok(Step::Wait(op.into()))
}

/// Waits for the same operation once more, with the same file, limits and timeout. A `timeout` is
/// counted afresh; an `until` stays the same moment. After a [`first`](crate::first), the member
/// that has ended begins afresh. The other members keep their deadlines, and enter their queues at
/// the back.
///
/// `again` costs less than [`wait`] with the same operation made anew, because the operation stays
/// where it is. A line that is in the buffer already is handed over without a return to the
/// scheduler.
///
/// After an operation that cannot be repeated (a write, a communicate, a stop), the task ends with
/// [`InvalidInput`](io::ErrorKind::InvalidInput), and the error names the operation.
///
/// # Example
///
/// This shows how to count lines:
///
/// ```
/// use asyncfile::{again, done, AsyncFile, Scheduler};
///
/// let file = AsyncFile::new(std::fs::File::open("Cargo.toml")?)?;
/// let mut sched = Scheduler::new();
/// let mut count = 0;
/// let counter = sched.spawn(file.readline(), move |task| match task.line()? {
///     Some(_line) => { count += 1; again() }
///     None => done(count),
/// });
/// assert!(sched.join(counter)? > 10);
/// # Ok::<(), std::io::Error>(())
/// ```
#[inline]
pub fn again<T>() -> Flow<T> {
    Ok(Step::Again)
}

/// Ends the task, with the value for whoever joins it.
///
/// # Example
///
/// This shows a body that gives away the list that it has filled. A body can be called again
/// (FnMut), so it must leave another list in its place:
///
/// ```
/// use asyncfile::{again, done, AsyncFile, Scheduler};
/// use std::mem;
///
/// let file = AsyncFile::new(std::fs::File::open("Cargo.toml")?)?;
/// let mut sched = Scheduler::new();
/// let mut lines = Vec::new();
/// let reader = sched.spawn(file.readline(), move |task| match task.line()? {
///     Some(line) => { lines.push(line.to_vec()); again() }
///     None => done(mem::take(&mut lines)),
/// });
/// assert_eq!(sched.join(reader)?[0], b"[package]\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[inline]
pub fn done<T>(value: T) -> Flow<T> {
    Ok(Step::Done(value))
}

/// The running task, as its body sees it. `'e` is the lifetime of this one resume. What is lent to
/// the task lives that long.
///
/// # Errors
///
/// Each accessor fits some operations. One that fits returns the operation's failure, if it has
/// failed. One that does not fit returns [`io::ErrorKind::InvalidInput`], and the error names the
/// operation and the accessor. A second call returns the same, except for an error or an
/// [`Output`]: the first call moves it out, and the second returns `InvalidInput`.
///
/// A failure that the body has not looked at ends the task when the body returns. To look at it is
/// to take the error from an accessor that fits, or to call [`outcome`](Task::outcome) or
/// [`end`](Task::end).
///
/// # Example
///
/// This shows a task that looks at its failure, and goes on:
///
/// ```
/// use asyncfile::{done, wait, AsyncFile, End, Scheduler};
/// use std::{os::unix::net::UnixStream, time::Duration};
///
/// let (theirs, ours) = UnixStream::pair()?;
/// let mut theirs = Some(theirs);
/// let file = AsyncFile::new(ours)?;
/// let mut sched = Scheduler::new();
/// let line = file.readline().timeout(Duration::from_millis(1));
/// let reader = sched.spawn(line, move |task| match task.end() {
///     End::TimedOut => { theirs = None; wait(file.readline()) }
///     _ => done(task.line()?.is_none()),
/// });
/// assert!(sched.join(reader)?);                           // the end of file
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Task<'e, 't> {
    pub(crate) scheduler: &'e mut Scheduler<'t>,
    pub(crate) key: Key,
    /// The operation that has ended. The next operation of the task takes its place.
    pub(crate) op: &'e mut Op,
    pub(crate) end: End,
    value: &'e Value,
    /// After readline: the line; empty at end of file.
    pub(crate) line: &'e [u8],
    /// After readline: the bytes that the file's buffer holds after the line.
    pub(crate) behind: &'e [u8],
    /// Whether the task has looked at the failure of its operation.
    is_seen: Cell<bool>,
    /// Whether the bytes that were handed over go back to the file.
    pub(crate) is_put_back: bool,
}

/// The outcome of any operation: see [`Task::outcome`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome<'e> {
    /// After sleep, yield_now, join, readable, writable and all others that hand over nothing.
    Ok,
    /// After readline and read_until: a line, or None at end of file.
    Line(Option<&'e [u8]>),
    /// After readlines.
    Lines(Lines<'e>),
    /// After read, read_exact, peek and read_to_end.
    Bytes(&'e [u8]),
    /// After write.
    Written(usize),
    /// After readiness.
    Revents(c_short),
    /// After communicate.
    Output(Output),
    /// After exit and stop.
    Exit(ExitStatus),
    /// After exit_all.
    Exits(Vec<ExitStatus>),
    /// After any operation that has failed.
    Failed(io::Error),
    /// The outcome was moved out before.
    Taken,
}

/// The most bytes that a run of lines hands out after its first line. The run counts its bytes in a
/// `u32`.
const LONGEST_RUN: usize = 1 << 30;

impl<'e, 't> Task<'e, 't> {
    #[inline]
    pub(crate) fn new(
        scheduler: &'e mut Scheduler<'t>,
        key: Key,
        op: &'e mut Op,
        end: End,
        value: &'e Value,
    ) -> Task<'e, 't> {
        let (line, behind) = match value {
            Value::Line(lent) => (lent.bytes(), lent.behind()),
            _ => (&[][..], &[][..]),
        };
        let behind = &behind[..behind.len().min(LONGEST_RUN)];
        let is_seen = Cell::new(false);
        Task {
            scheduler,
            key,
            op,
            end,
            value,
            line,
            behind,
            is_seen,
            is_put_back: false,
        }
    }

    /// After readline and read_until: the line with its delimiter. At end of file there may be a
    /// last line without delimiter, then comes None.
    ///
    /// # Errors
    ///
    /// Those of [each accessor](Task#errors).
    #[inline]
    pub fn line(&mut self) -> io::Result<Option<&'e [u8]>> {
        match self.value {
            Value::Line(_) => Ok(Some(self.line).filter(|line| !line.is_empty())),
            _ => self.other("line()"),
        }
    }

    /// After readlines: an iterator of lines with their newlines. Lines that it has not yielded
    /// when the body returns stay in the file. It is empty at end of file.
    ///
    /// # Errors
    ///
    /// Those of [each accessor](Task#errors).
    ///
    /// # Example
    ///
    /// This shows how to leave lines to the next reader of the file:
    ///
    /// ```
    /// use asyncfile::{done, AsyncFile, Scheduler};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let (mut theirs, ours) = UnixStream::pair()?;
    /// theirs.write_all(b"one\ntwo\nthree\n")?;
    /// let file = AsyncFile::new(ours)?;
    /// let mut sched = Scheduler::new();
    /// let reader = sched.spawn(file.readlines(), |task| {
    ///     let line = task.lines()?.next();                    // of three
    ///     done(line.map(<[u8]>::to_vec))
    /// });
    /// assert_eq!(sched.join(reader)?.as_deref(), Some(&b"one\n"[..]));
    /// assert_eq!(sched.block_on(file.readline())?.as_deref(), Some(&b"two\n"[..]));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn lines(&mut self) -> io::Result<Lines<'e>> {
        match self.value {
            Value::Lines(lent, taken) => Ok(self.all_lines(lent, taken)),
            _ => self.other("lines()"),
        }
    }

    /// After read, read_exact, peek and read_to_end: the bytes. They are empty only at end of file,
    /// for a size of 0, or for an empty message.
    ///
    /// # Errors
    ///
    /// Those of [each accessor](Task#errors).
    #[inline]
    pub fn bytes(&mut self) -> io::Result<&'e [u8]> {
        match self.value {
            Value::Bytes(lent) | Value::Shown(lent) => Ok(lent.bytes()),
            _ => self.other("bytes()"),
        }
    }

    /// After write: how many bytes were taken.
    ///
    /// # Errors
    ///
    /// Those of [each accessor](Task#errors).
    #[inline]
    pub fn written(&mut self) -> io::Result<usize> {
        match self.value {
            Value::Written(size, _) => Ok(*size),
            _ => self.other("written()"),
        }
    }

    /// After communicate: the child's status and its output.
    ///
    /// # Errors
    ///
    /// Those of [each accessor](Task#errors).
    ///
    /// # Example
    ///
    /// This shows a task that waits for a child:
    ///
    /// ```
    /// use asyncfile::{done, AsyncPipe, Scheduler};
    /// use std::process::Command;
    ///
    /// let pipe = AsyncPipe::piped(Command::new("sort"))?;
    /// let mut sched = Scheduler::new();
    /// let sorter = sched.spawn(pipe.communicate("b\na\n"), |task| {
    ///     let output = task.output()?;
    ///     done((output.status, output.stdout))
    /// });
    /// let (status, sorted) = sched.join(sorter)?;
    /// assert!(status.success() && sorted == b"a\nb\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn output(&mut self) -> io::Result<Output> {
        match self.value {
            Value::Output(output) => match output.take() {
                Some(output) => Ok(*output),
                None => Err(self.misuse(Cause::Taken {
                    accessor: "output()",
                })),
            },
            _ => self.other("output()"),
        }
    }

    /// After [`AsyncFile::readiness`](crate::AsyncFile::readiness): the events that poll(2) has
    /// reported. They are among those that the operation has named, and POLLHUP, POLLERR and
    /// POLLNVAL, which poll(2) reports in any case.
    ///
    /// # Errors
    ///
    /// Those of [each accessor](Task#errors).
    pub fn revents(&mut self) -> io::Result<c_short> {
        match self.value {
            Value::Revents(revents) => Ok(*revents),
            _ => self.other("revents()"),
        }
    }

    /// After [`AsyncPipe::exit`](crate::AsyncPipe::exit) and [`stop`](crate::AsyncPipe::stop): how
    /// the last child ended.
    ///
    /// # Errors
    ///
    /// Those of [each accessor](Task#errors).
    pub fn exit(&mut self) -> io::Result<ExitStatus> {
        match self.value {
            Value::Exit(status) => Ok(*status),
            _ => self.other("exit()"),
        }
    }

    /// After [`AsyncPipe::exit_all`](crate::AsyncPipe::exit_all): how the children ended, in the
    /// order of the pipeline.
    ///
    /// # Errors
    ///
    /// Those of [each accessor](Task#errors).
    pub fn exits(&mut self) -> io::Result<Vec<ExitStatus>> {
        match self.value {
            Value::Exits(statuses) => Ok(statuses.to_vec()),
            _ => self.other("exits()"),
        }
    }

    /// Confirms the success of an operation that hands over no data, such as write, sleep,
    /// yield_now, join, readiness and shutdown_write. A write that took only a part of its data is
    /// an error: [`io::ErrorKind::TimedOut`] if the timeout came first, and
    /// [`io::ErrorKind::WriteZero`] otherwise. After a plain write [`written`](Task::written) gives
    /// the count; [`write_all`](crate::AsyncFile::write_all) writes all.
    ///
    /// # Errors
    ///
    /// Those of [each accessor](Task#errors).
    ///
    /// # Example
    ///
    /// This shows the error of a write that its timeout cuts short:
    ///
    /// ```
    /// use asyncfile::{done, AsyncFile, Scheduler};
    /// use std::{io::ErrorKind, os::unix::net::UnixStream, time::Duration};
    ///
    /// let (_theirs, ours) = UnixStream::pair()?;
    /// let write = AsyncFile::new(ours)?.write_all(vec![0; 10_000_000]);
    /// let mut sched = Scheduler::new();
    /// let writer = sched.spawn(write.timeout(Duration::from_millis(1)), |task| done(task.ok()?));
    /// let error = std::io::Error::from(sched.join(writer).unwrap_err());
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn ok(&mut self) -> io::Result<()> {
        match self.value {
            Value::Nothing | Value::Revents(_) | Value::Written(_, true) => Ok(()),
            Value::Written(size, false) => Err(self.cut(*size)),
            _ => self.other("ok()"),
        }
    }

    /// Why the operation ended.
    pub fn end(&self) -> End {
        self.is_seen.set(true); // this matters only if the operation has failed
        self.end
    }

    /// After [`first`](crate::first): the index of the operation that ended. 0 after any other.
    ///
    /// # Example
    ///
    /// This shows which of two sleeps ends first:
    ///
    /// ```
    /// use asyncfile::{done, first, never, sleep, Scheduler};
    /// use std::time::Duration;
    ///
    /// let mut sched = Scheduler::new();
    /// let ops = first([never(), sleep(Duration::from_millis(1))]);
    /// let task = sched.spawn(ops, |task| { task.ok()?; done(task.which()) });
    /// assert_eq!(sched.join(task)?, 1);
    /// # Ok::<(), asyncfile::TaskError>(())
    /// ```
    pub fn which(&self) -> usize {
        self.op.which()
    }

    /// The outcome as one enum, to match on. A second call returns the same, except that an error
    /// or an [`Output`] is [`Outcome::Taken`] then.
    #[inline]
    pub fn outcome(&mut self) -> Outcome<'e> {
        match self.value {
            Value::Nothing => Outcome::Ok,
            Value::Line(_) => Outcome::Line(Some(self.line).filter(|line| !line.is_empty())),
            Value::Bytes(lent) => Outcome::Bytes(lent.bytes()),
            Value::Written(size, _) => Outcome::Written(*size),
            _ => self.rare_outcome(),
        }
    }

    /// The rarer outcomes, which are not inlined into the caller.
    fn rare_outcome(&mut self) -> Outcome<'e> {
        match self.value {
            Value::Revents(revents) => Outcome::Revents(*revents),
            Value::Lines(lent, taken) => Outcome::Lines(self.all_lines(lent, taken)),
            Value::Shown(lent) => Outcome::Bytes(lent.bytes()),
            Value::Exit(status) => Outcome::Exit(*status),
            Value::Exits(statuses) => Outcome::Exits(statuses.to_vec()),
            Value::Output(output) => output
                .take()
                .map_or(Outcome::Taken, |output| Outcome::Output(*output)),
            Value::Failed(error) => {
                self.is_seen.set(true);
                error.take().map_or(Outcome::Taken, Outcome::Failed)
            }
            _ => unreachable!("see outcome"),
        }
    }

    /// Starts another task: see [`Scheduler::spawn`].
    pub fn spawn<T: 't>(
        &mut self,
        op: impl Into<Op>,
        body: impl FnMut(&mut Task<'_, 't>) -> Flow<T> + 't,
    ) -> JoinHandle<T> {
        self.scheduler.spawn(op, body)
    }

    /// Starts another task: see [`Scheduler::spawn_states`].
    pub fn spawn_states<S: 't>(
        &mut self,
        op: impl Into<Op>,
        state: S,
        at: StateFn<S>,
    ) -> JoinHandle<S> {
        self.scheduler.spawn_states(op, state, at)
    }

    /// The task's id.
    pub fn id(&self) -> TaskId {
        TaskId(self.key)
    }

    /// The moment at which this turn began, after poll(2) had answered. All tasks of a turn get the
    /// same moment, and asking for it costs no system call. Use it for deadlines that need not be
    /// exact, such as `task.clock() + SECOND`, and to note when a peer last sent something.
    ///
    /// This moment is older than the present one, because the bodies of this turn have taken time.
    /// To measure the work of a body, or to set a bound that is shorter than a turn, use
    /// [`Instant::now`]. The moment does not change while a body runs, so a loop that waits for it
    /// to pass never ends.
    ///
    /// # Example
    ///
    /// This shows a deadline that all steps of a task share:
    ///
    /// ```
    /// use asyncfile::{done, wait, yield_now, AsyncPipe, Outcome, Scheduler};
    /// use std::{process::Command, time::Duration};
    ///
    /// let cat = AsyncPipe::piped(Command::new("cat"))?;
    /// let mut deadline = None;
    /// let mut sched = Scheduler::new();
    /// let asking = sched.spawn(yield_now(), move |task| {
    ///     let until = *deadline.get_or_insert(task.clock() + Duration::from_secs(60));
    ///     match task.outcome() {
    ///         Outcome::Ok => wait(cat.write_all("hello\n").until(until)),
    ///         Outcome::Written(_) => wait(cat.readline().until(until)),
    ///         Outcome::Line(reply) => done(reply.map(<[u8]>::to_vec)),
    ///         Outcome::Failed(error) => Err(error),
    ///         other => unreachable!("{other:?}"),
    ///     }
    /// });
    /// assert_eq!(sched.join(asking)?.as_deref(), Some(&b"hello\n"[..]));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn clock(&self) -> Instant {
        self.scheduler.clock()
    }

    /// Whether the operation has failed and the task's body has not asked for that failure.
    #[inline]
    pub(crate) fn has_unseen_failure(&self) -> bool {
        matches!(self.value, Value::Failed(_)) && !self.is_seen.get()
    }

    /// Ends the task with the failure of its operation, at which the body has not looked.
    #[cold]
    pub(crate) fn fail(&self) -> Resumed {
        match self.value {
            Value::Failed(error) => Resumed::Failed(error.take().expect("nobody has looked")),
            _ => unreachable!("it has failed"),
        }
    }

    /// Puts the bytes that were handed over back into the file, as if the operation had not ended.
    /// Returns how many there are.
    pub(crate) fn put_back(&mut self) -> io::Result<usize> {
        match self.value {
            Value::Failed(_) => self.other(""),
            Value::Shown(lent) => Ok(lent.len()),
            Value::Line(lent) | Value::Bytes(lent) | Value::Lines(lent, _) => {
                self.is_put_back = true;
                Ok(lent.len())
            }
            _ => Ok(0),
        }
    }

    /// The error of a read or a write that had moved `bytes` bytes when its deadline came.
    #[cold]
    pub(crate) fn cut(&self, bytes: usize) -> io::Error {
        match &self.op.ended().0 {
            Kind::Read(read) => read.cut(bytes),
            Kind::Write(write) => write.cut(bytes),
            _ => unreachable!("only these hand over a part"),
        }
    }

    /// The error of an accessor that has no value to hand over. If the accessor fits the operation,
    /// this is the failure of the operation. Otherwise the error says that the accessor does not
    /// fit.
    #[cold]
    fn other<T>(&mut self, accessor: &'static str) -> io::Result<T> {
        let fitting = self.op.ended().accessors(); // empty for a `first` that has itself failed
        if !accessor.is_empty() && !fitting.is_empty() && !fitting.contains(&accessor) {
            return Err(self.misuse(Cause::Misfit { accessor }));
        }
        match self.value {
            Value::Failed(error) => match error.take() {
                Some(error) => {
                    self.is_seen.set(true);
                    Err(error)
                }
                None => Err(self.misuse(Cause::Taken { accessor })),
            },
            _ => Err(self.misuse(Cause::Misfit { accessor })),
        }
    }

    #[inline(never)]
    fn all_lines(&self, lent: &'e Lent, taken: &'e Cell<usize>) -> Lines<'e> {
        let delimiter = match &self.op.ended().0 {
            Kind::Read(read) => read.machine.delimiter(),
            _ => unreachable!("only a read hands over lines"),
        };
        Lines {
            rest: lent.bytes(),
            before: 0,
            taken,
            delimiter,
        }
    }

    fn misuse(&self, cause: Cause) -> io::Error {
        let op = self.op.ended();
        error::named(op.name(), op.fd(), cause)
    }
}

impl fmt::Debug for Task<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, op, end) = (self.id(), self.op.ended(), self.end);
        write!(f, "Task {id} after {op:?}: {end:?}")
    }
}
