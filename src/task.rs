//! What a running task sees: the outcome of the operation it waited for, and the scheduler it runs in.

use std::cell::Cell;
use std::io;
use std::process::{ExitStatus, Output};
use std::time::Instant;

use crate::error::invalid;
use crate::handle::JoinHandle;
use crate::key::{Key, TaskId};
use crate::machine::End;
use crate::op::{Kind, Op};
use crate::pool::Storage;
use crate::scheduler::Scheduler;
use crate::state_fn::StateFn;

/// What a task's body returns: what it waits for next, its value, or the error that ends it (`?` does).
pub type Flow<T = ()> = io::Result<Step<T>>;

/// How a task goes on: see [`wait`] and [`done`].
#[derive(Debug)]
pub enum Step<T> {
    /// Be called again with the outcome of this.
    Wait(Op),
    /// It has ended, with this value.
    Done(T),
}

/// Suspends the task until the operation has ended; then its body is called again.
#[inline]
pub fn wait<T>(op: impl Into<Op>) -> Flow<T> {
    Ok(Step::Wait(op.into()))
}

/// Ends the task, with the value for whoever joins it.
#[inline]
pub fn done<T>(value: T) -> Flow<T> {
    Ok(Step::Done(value))
}

/// The running task's own view. `'e` is this one resume: what is lent lives that long.
///
/// Each accessor fits some operations. One that does not fit is [`io::ErrorKind::InvalidInput`], and says what the task waited for
/// and what it asked for. Asking again gives the same answer, but an error, an [`Output`] or whatever else was
/// moved out is `InvalidInput` the second time.
///
/// A failure that the task did not look at ends it when its body returns. Taking the error (from any accessor),
/// [`outcome`](Task::outcome), and [`end`](Task::end) saying `TimedOut` or `Failed` are looking.
pub struct Task<'e, 't> {
    pub(crate) scheduler: &'e mut Scheduler<'t>,
    pub(crate) key: Key,
    /// The operation that ended.
    pub(crate) op: &'e Op,
    pub(crate) end: End,
    pub(crate) outcome: Outcome<'e>,
    /// The task knows that it failed.
    pub(crate) is_seen: Cell<bool>,
    /// Where the lent bytes lie, if it was a readline alone: the operation that has ended stands for the ones that go on from it.
    pub(crate) storage: Option<&'e Storage>,
}

/// The outcome of any operation: see [`Task::outcome`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome<'e> {
    /// After sleep, yield_now, join, readable and writable.
    Ok,
    /// After readline: a line, or None at end of file.
    Line(Option<&'e [u8]>),
    /// After readlines.
    Lines(Lines<'e>),
    /// After read and read_to_end.
    Bytes(&'e [u8]),
    /// After write.
    Written(usize),
    /// After communicate.
    Output(Output),
    /// After exit.
    Exit(ExitStatus),
    /// After any.
    Failed(io::Error),
    /// It was moved out before.
    Taken,
}

impl<'e, 't> Task<'e, 't> {
    /// After readline: the line, its newline included; at end of file a last line without newline, then None.
    #[inline]
    pub fn line(&mut self) -> io::Result<Option<&'e [u8]>> {
        match self.outcome {
            Outcome::Line(line) => Ok(line),
            _ => self.other("line()"),
        }
    }

    /// After readlines: an iterator of lines, their newlines included. What it has not yielded when the body returns stays
    /// in the file. Empty at end of file.
    pub fn lines(&mut self) -> io::Result<Lines<'e>> {
        match &self.outcome {
            Outcome::Lines(lines) => Ok(lines.clone()),
            _ => self.other("lines()"),
        }
    }

    /// After read and read_to_end: empty only at end of file, or for a size of 0.
    pub fn bytes(&mut self) -> io::Result<&'e [u8]> {
        match self.outcome {
            Outcome::Bytes(bytes) => Ok(bytes),
            _ => self.other("bytes()"),
        }
    }

    /// After write: how many bytes were taken.
    pub fn written(&mut self) -> io::Result<usize> {
        match self.outcome {
            Outcome::Written(size) => Ok(size),
            _ => self.other("written()"),
        }
    }

    /// After communicate.
    pub fn output(&mut self) -> io::Result<Output> {
        match self.outcome {
            Outcome::Output(_) => match std::mem::replace(&mut self.outcome, Outcome::Taken) {
                Outcome::Output(output) => Ok(output),
                _ => unreachable!("it was an output a moment ago"),
            },
            _ => self.other("output()"),
        }
    }

    /// After [`AsyncPipe::exit`](crate::AsyncPipe::exit): how the child ended.
    pub fn exit(&mut self) -> io::Result<ExitStatus> {
        match self.outcome {
            Outcome::Exit(status) => Ok(status),
            _ => self.other("exit()"),
        }
    }

    /// After anything that hands over no data: write, sleep, yield_now, join, readable and writable. A write that its
    /// timeout cut is [`io::ErrorKind::TimedOut`], also if a part was written: [`written`](Task::written) says how much.
    pub fn ok(&mut self) -> io::Result<()> {
        match self.outcome {
            Outcome::Written(size) if self.end == End::TimedOut => match &self.op.ended().0 {
                Kind::Write(write) => Err(write.cut(size)),
                _ => unreachable!("only a write hands over a count"),
            },
            Outcome::Ok | Outcome::Written(_) => Ok(()),
            _ => self.other("ok()"),
        }
    }

    /// Why the operation ended.
    pub fn end(&self) -> End {
        self.is_seen.set(true); // it can only matter if it says TimedOut or Failed
        self.end
    }

    /// After [`first`](crate::first): the index of the operation that ended. 0 after any other.
    pub fn which(&self) -> usize {
        match &self.op.0 {
            Kind::First(first) => first.which(),
            _ => 0,
        }
    }

    /// The outcome as one enum, to match on. What can be copied is there again the next time; an error or an
    /// [`Output`] is [`Outcome::Taken`] then.
    pub fn outcome(&mut self) -> Outcome<'e> {
        match &self.outcome {
            Outcome::Ok => Outcome::Ok,
            Outcome::Line(line) => Outcome::Line(*line),
            Outcome::Lines(lines) => Outcome::Lines(lines.clone()),
            Outcome::Bytes(bytes) => Outcome::Bytes(bytes),
            Outcome::Written(size) => Outcome::Written(*size),
            Outcome::Exit(status) => Outcome::Exit(*status),
            Outcome::Output(_) | Outcome::Failed(_) | Outcome::Taken => {
                std::mem::replace(&mut self.outcome, Outcome::Taken)
            }
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
    pub fn spawn_states<S: 't>(&mut self, op: impl Into<Op>, state: S, at: StateFn<S>) -> JoinHandle<S> {
        self.scheduler.spawn_states(op, state, at)
    }

    /// This task's name.
    pub fn id(&self) -> TaskId {
        TaskId(self.key)
    }

    /// The time this turn began: the same for all tasks of a turn, and no system call.
    pub fn clock(&self) -> Instant {
        self.scheduler.clock()
    }

    /// If `next` is a readline, and its line is in the buffer whose bytes this task has just looked at: takes that line as the
    /// outcome. The task then goes on without going back to the scheduler, which is most of what a short line costs.
    /// Not if anybody else has a right to be served first: other readers, who was cancelled, an observer, other tasks when this one has had
    /// its share. Then it gives the operation back.
    #[inline(always)]
    pub(crate) fn goes_on_with(&mut self, next: &Op) -> bool {
        match (self.storage, &mut self.outcome, &next.0) {
            (Some(storage), Outcome::Line(line), Kind::Read(read)) if self.scheduler.lets_go_on() => {
                match read.line_at_hand(storage) {
                    Some((end, next_line)) => {
                        *line = Some(next_line);
                        self.end = end;
                        true
                    }
                    None => false,
                }
            }
            _ => false,
        }
    }

    /// The failure that nobody has looked at.
    #[inline]
    pub(crate) fn unseen_failure(&mut self) -> Option<io::Error> {
        match self.outcome {
            Outcome::Failed(_) if !self.is_seen.get() => Some(self.take_failure()),
            _ => None,
        }
    }

    /// For ordinary code, to which bytes of a read that timed out would look like all of them: an error, and they
    /// stay in the file.
    pub(crate) fn whole(&mut self) -> io::Result<()> {
        match (&self.outcome, self.end) {
            (Outcome::Bytes(bytes), End::TimedOut) => {
                let kept = bytes.len();
                self.put_back()?;
                let message = format!("timed out, {kept} bytes kept");
                let error = io::Error::new(io::ErrorKind::TimedOut, message);
                Err(crate::error::named(self.op.name(), self.op.fd(), error))
            }
            _ => Ok(()),
        }
    }

    /// As if the operation had not ended: what it would have handed over stays in the file.
    pub(crate) fn put_back(&mut self) -> io::Result<()> {
        let len = match &mut self.outcome {
            Outcome::Line(line) => line.map_or(0, <[u8]>::len),
            Outcome::Bytes(bytes) => bytes.len(),
            Outcome::Failed(_) => return Err(self.take_failure()),
            _ => 0,
        };
        if let Some(file) = self.op.file() {
            let mut state = file.state();
            state.inflow.buffer.put_back(len);
            state.inflow.ended |= self.end == End::Eof;
        }
        self.outcome = Outcome::Taken;
        Ok(())
    }

    /// The outcome is not what this accessor hands over: the failure, if the accessor fits the operation; otherwise a misuse.
    #[cold]
    fn other<T>(&mut self, accessor: &'static str) -> io::Result<T> {
        let op = self.op.ended();
        let fits = op.accessors().contains(&accessor) || matches!(op.0, Kind::First(_));
        match (&self.outcome, fits) {
            (Outcome::Failed(_), true) => Err(self.take_failure()),
            (Outcome::Taken, true) => Err(invalid(format!("{accessor} after {op:?}: it was taken before"))),
            _ => Err(invalid(format!("{accessor} does not fit: the task waited for {op:?}"))),
        }
    }

    fn take_failure(&mut self) -> io::Error {
        match std::mem::replace(&mut self.outcome, Outcome::Taken) {
            Outcome::Failed(error) => error,
            _ => unreachable!("whoever calls this has seen that it failed"),
        }
    }
}

/// The lines of a readlines: see [`Task::lines`].
#[derive(Clone, Debug)]
pub struct Lines<'e> {
    rest: &'e [u8],
    /// How many bytes are before `rest`.
    before: usize,
    /// The most that any of the iterators over these lines has yielded.
    taken: &'e Cell<usize>,
}

impl<'e> Lines<'e> {
    pub(crate) fn new(bytes: &'e [u8], taken: &'e Cell<usize>) -> Lines<'e> {
        Lines { rest: bytes, before: 0, taken }
    }
}

impl<'e> Iterator for Lines<'e> {
    type Item = &'e [u8];

    #[inline]
    fn next(&mut self) -> Option<&'e [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let len = memchr::memchr(b'\n', self.rest).map_or(self.rest.len(), |at| at + 1);
        let (line, rest) = self.rest.split_at(len);
        self.rest = rest;
        self.before += len;
        if self.before > self.taken.get() {
            self.taken.set(self.before);
        }
        Some(line)
    }
}
