//! read, read_to_end, readline and readlines on a file.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::timeout::{advance_while_ready, Timeout};
use super::{private::Sealed, Context, Ended, Kind, Lent, Op, Operation, Progress, Value};
use crate::descriptor::{Descriptor, Direction, State};
use crate::inbox::Inbox;
use crate::key::Key;
use crate::machine::read::{Reader, Want};
use crate::machine::{Advance, End};
use crate::pool::Storage;
use crate::task::Task;

/// What the four reading operations have in common: all but the names of their options.
#[derive(Clone)]
pub(crate) struct Reading {
    file: Rc<Descriptor>,
    machine: Reader,
    timeout: Timeout,
    /// It stands in the file's queue.
    is_queued: bool,
}

impl Reading {
    #[inline]
    fn new(file: &Rc<Descriptor>, want: Want) -> Reading {
        Reading { file: Rc::clone(file), machine: Reader::new(want), timeout: Timeout::NEVER, is_queued: false }
    }

    pub fn file(&self) -> &Rc<Descriptor> {
        &self.file
    }

    pub fn name(&self) -> &'static str {
        name(&self.machine)
    }

    pub fn accessors(&self) -> &'static [&'static str] {
        match self.machine.want() {
            Want::Some(_) | Want::Full(_) | Want::ToEnd(_) => &["bytes()"],
            Want::Line(_) => &["line()"],
            Want::Lines(_) => &["lines()"],
        }
    }

    pub fn state(&self) -> &'static str {
        use crate::machine::read::State::*;
        match self.machine.state() {
            Looking => "Looking",
            Filling => "Filling",
            Blocked => "Blocked",
            Ended => "Ended",
        }
    }

    pub fn enter(&mut self, inbox: &Rc<Inbox>, key: Key) {
        // One that may not wait here fails when it is advanced, and must not stand in others' way until then.
        let admitted = self.file.state().admits(inbox).is_ok();
        if admitted {
            self.is_queued = true;
            self.file.block(inbox, key, Direction::Read, false);
        }
    }

    pub fn leave(&mut self, key: Key) {
        if std::mem::replace(&mut self.is_queued, false) {
            self.file.leave(key, Direction::Read);
        }
    }

    /// If it is a readline, and the buffer is still the one in `storage` and has its line: that line, consumed.
    #[inline(always)]
    pub fn line_at_hand<'e>(&self, storage: &'e Storage) -> Option<(End, &'e [u8])> {
        let limit = match self.machine.want() {
            Want::Line(limit) if limit > 0 => limit,
            _ => return None,
        };
        let mut state = self.file.state();
        if !state.has_no_reader() {
            return None;
        }
        let (line, is_whole) = state.inflow.buffer.take_line_in(storage, limit)?;
        Some((if is_whole { End::Complete } else { End::Limit }, line))
    }

    /// Drops it, moving no more than its hold on the file. To move all of it is to load in wide pieces what was just stored in narrow
    /// ones: a processor cannot forward that, and waits, line after line.
    #[inline(always)]
    pub fn release(self) {
        let Reading { file, .. } = self;
        drop(file);
    }

    pub fn advance(&mut self, context: &Context<'_>) -> Progress {
        let Reading { file, machine, timeout, is_queued } = self;
        let mut state = file.state();
        if let Err(error) = state.admits(context.inbox) {
            return Progress::failed(name(machine), file.fd(), error);
        }
        let is_first = state.is_first(context.key, Direction::Read);
        let mut advance = Advance::Blocked;
        if is_first || wants_nothing(machine) {
            let is_asked = state.is_asked_for(Direction::Read);
            advance = advance_while_ready(context, (file, Direction::Read), is_asked, |is_told| {
                state.inflow.ready |= is_told;
                let held = state.inflow.len();
                let advance = machine.advance(&mut state.inflow, &mut file.calls());
                if is_first {
                    file.settle(&mut state, Direction::Read);
                }
                (advance, state.inflow.len() - held)
            });
        }
        if matches!(advance, Advance::Blocked | Advance::Yield) && timeout.is_over(context) {
            // Who is not the first has nothing: what is buffered belongs to those before it.
            advance = if is_first { machine.time_out(&state.inflow) } else { machine.give_up() };
            if let Advance::Failed(_) = advance {
                let error = timeout.error(state.inflow.len(), "kept");
                return Progress::timed_out(name(machine), file.fd(), error);
            }
        }
        match advance {
            Advance::Ended(end, len) => {
                let value = lend(machine.want(), &mut state, len);
                drop(state);
                if let Value::Lines(_) = value {
                    // It keeps its place until it is known how much the task has taken.
                    *is_queued = true;
                    file.block(context.inbox, context.key, Direction::Read, false);
                }
                Progress::Ended(Ended { end, value })
            }
            Advance::Failed(error) => Progress::failed(name(machine), file.fd(), error),
            Advance::Yield => {
                drop(state);
                *is_queued = true;
                file.block(context.inbox, context.key, Direction::Read, false);
                Progress::Yield(timeout.start())
            }
            Advance::Blocked => {
                drop(state);
                *is_queued = true;
                file.block(context.inbox, context.key, Direction::Read, is_first);
                Progress::Blocked(timeout.start())
            }
        }
    }
}

fn name(machine: &Reader) -> &'static str {
    match machine.want() {
        Want::Some(_) => "read",
        Want::Full(_) => "read full",
        Want::ToEnd(_) => "read_to_end",
        Want::Line(_) => "readline",
        Want::Lines(_) => "readlines",
    }
}

/// A size or a limit of 0: it ends at once, and waits for nobody.
fn wants_nothing(machine: &Reader) -> bool {
    matches!(machine.want(), Want::Some(0) | Want::Full(0) | Want::ToEnd(0) | Want::Line(0) | Want::Lines(0))
}

/// Hands over the front of the buffer. It is consumed here, but for `Lines`: of those, what the task takes is.
fn lend(want: Want, state: &mut State, len: usize) -> Value {
    let (storage, start) = if len > 0 { state.inflow.buffer.lend() } else { (None, 0) };
    let lent = Lent { storage, start, len };
    if let Want::Lines(_) = want {
        return Value::Lines(lent);
    }
    state.inflow.buffer.consume(len);
    match want {
        Want::Line(_) if len == 0 => Value::Line(None),
        Want::Line(_) => Value::Line(Some(lent)),
        _ => Value::Bytes(lent),
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}{}", self.name(), self.file, self.timeout)
    }
}

/// Waits for bytes: see [`AsyncFile::read`](crate::AsyncFile::read).
#[derive(Clone)]
#[must_use = "an operation does nothing until a task waits for it"]
pub struct Read(Reading);

impl Read {
    #[inline]
    pub(crate) fn new(file: &Rc<Descriptor>, size: usize) -> Read {
        Read(Reading::new(file, Want::Some(size)))
    }

    /// Ends with exactly the size asked for; with fewer only at end of file ([`End::Eof`]) or when its time is
    /// over ([`End::TimedOut`]).
    #[inline]
    pub fn full(mut self) -> Read {
        if let Want::Some(size) = self.0.machine.want() {
            self.0.machine.set_want(Want::Full(size));
        }
        self
    }

    /// The most it may take, all of it, counted from when it first has to wait, be it for those before it in the queue. Then: the bytes
    /// so far, or [`io::ErrorKind::TimedOut`] if there are none.
    #[inline]
    pub fn timeout(mut self, after: Duration) -> Read {
        self.0.timeout = Timeout::after(after);
        self
    }
}

/// Waits for everything until the end: see [`AsyncFile::read_to_end`](crate::AsyncFile::read_to_end).
#[derive(Clone)]
#[must_use = "an operation does nothing until a task waits for it"]
pub struct ReadToEnd(Reading);

impl ReadToEnd {
    #[inline]
    pub(crate) fn new(file: &Rc<Descriptor>) -> ReadToEnd {
        ReadToEnd(Reading::new(file, Want::ToEnd(usize::MAX)))
    }

    /// At most so many bytes: then it ends with [`End::Limit`], and the rest stays in the file. 0 is
    /// [`io::ErrorKind::InvalidInput`].
    #[inline]
    pub fn limit(mut self, bytes: usize) -> ReadToEnd {
        self.0.machine.set_want(Want::ToEnd(bytes));
        self
    }

    /// The most it may take, all of it, counted from when it first has to wait, be it for those before it in the queue. Then: the bytes
    /// so far, or [`io::ErrorKind::TimedOut`] if there are none.
    #[inline]
    pub fn timeout(mut self, after: Duration) -> ReadToEnd {
        self.0.timeout = Timeout::after(after);
        self
    }
}

/// Waits for one line: see [`AsyncFile::readline`](crate::AsyncFile::readline).
#[derive(Clone)]
#[must_use = "an operation does nothing until a task waits for it"]
pub struct Readline(Reading);

impl Readline {
    #[inline]
    pub(crate) fn new(file: &Rc<Descriptor>) -> Readline {
        Readline(Reading::new(file, Want::Line(usize::MAX)))
    }

    /// At most so many bytes of a longer line, with [`End::Limit`]; the next readline goes on with its rest. 0 is
    /// [`io::ErrorKind::InvalidInput`].
    #[inline]
    pub fn limit(mut self, bytes: usize) -> Readline {
        self.0.machine.set_want(Want::Line(bytes));
        self
    }

    /// Asks the kernel for at most so many bytes at a time, so that at most so many less one are read ahead of the
    /// line. 0, and the default: as much as the buffer has room for, about 64 KiB.
    #[inline]
    pub fn size_hint(mut self, bytes: usize) -> Readline {
        self.0.machine.set_window(bytes);
        self
    }

    /// The most it may take, all of it, counted from when it first has to wait, be it for those before it in the queue. Then:
    /// [`io::ErrorKind::TimedOut`], and a partial line stays in the file.
    #[inline]
    pub fn timeout(mut self, after: Duration) -> Readline {
        self.0.timeout = Timeout::after(after);
        self
    }
}

/// Waits for whole lines: see [`AsyncFile::readlines`](crate::AsyncFile::readlines).
#[derive(Clone)]
#[must_use = "an operation does nothing until a task waits for it"]
pub struct Readlines(Reading);

impl Readlines {
    #[inline]
    pub(crate) fn new(file: &Rc<Descriptor>) -> Readlines {
        Readlines(Reading::new(file, Want::Lines(usize::MAX)))
    }

    /// At most so many bytes, in whole lines; of a first line that is longer, so many bytes, with [`End::Limit`]. 0 is
    /// [`io::ErrorKind::InvalidInput`].
    #[inline]
    pub fn limit(mut self, bytes: usize) -> Readlines {
        self.0.machine.set_want(Want::Lines(bytes));
        self
    }

    /// The most it may take, all of it, counted from when it first has to wait, be it for those before it in the queue. Then:
    /// [`io::ErrorKind::TimedOut`], and a partial line stays in the file.
    #[inline]
    pub fn timeout(mut self, after: Duration) -> Readlines {
        self.0.timeout = Timeout::after(after);
        self
    }
}

impl From<Read> for Op {
    #[inline]
    fn from(op: Read) -> Op {
        Op(Kind::Read(op.0))
    }
}

impl From<ReadToEnd> for Op {
    #[inline]
    fn from(op: ReadToEnd) -> Op {
        Op(Kind::Read(op.0))
    }
}

impl From<Readline> for Op {
    #[inline]
    fn from(op: Readline) -> Op {
        Op(Kind::Read(op.0))
    }
}

impl From<Readlines> for Op {
    #[inline]
    fn from(op: Readlines) -> Op {
        Op(Kind::Read(op.0))
    }
}

impl fmt::Debug for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ReadToEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Readline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Readlines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Sealed for Read {}
impl Sealed for ReadToEnd {}
impl Sealed for Readline {}
impl Sealed for Readlines {}

impl Operation for Read {
    type Output = Vec<u8>;
    fn output(task: &mut Task<'_, '_>) -> io::Result<Vec<u8>> {
        task.whole()?;
        Ok(task.bytes()?.to_vec())
    }
}

impl Operation for ReadToEnd {
    type Output = Vec<u8>;
    fn output(task: &mut Task<'_, '_>) -> io::Result<Vec<u8>> {
        task.whole()?;
        Ok(task.bytes()?.to_vec())
    }
}

impl Operation for Readline {
    type Output = Option<Vec<u8>>;
    fn output(task: &mut Task<'_, '_>) -> io::Result<Option<Vec<u8>>> {
        Ok(task.line()?.map(<[u8]>::to_vec))
    }
}

impl Operation for Readlines {
    type Output = Vec<Vec<u8>>;
    fn output(task: &mut Task<'_, '_>) -> io::Result<Vec<Vec<u8>>> {
        Ok(task.lines()?.map(<[u8]>::to_vec).collect())
    }
}
