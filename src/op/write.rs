//! write on a file.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::timeout::{advance_while_ready, Timeout};
use super::{private::Sealed, Context, Ended, Kind, Op, Operation, Progress, Value};
use crate::data::Data;
use crate::descriptor::{Descriptor, Direction};
use crate::inbox::Inbox;
use crate::key::Key;
use crate::machine::write::Writer;
use crate::machine::Advance;
#[cfg(doc)]
use crate::machine::End;
use crate::task::Task;

/// Waits for bytes to be taken: see [`AsyncFile::write`](crate::AsyncFile::write).
#[must_use = "an operation does nothing until a task waits for it"]
pub struct Write {
    file: Rc<Descriptor>,
    data: Data,
    machine: Writer,
    timeout: Timeout,
    /// It stands in the file's queue.
    is_queued: bool,
}

impl Write {
    pub(crate) fn new(file: &Rc<Descriptor>, data: Data) -> Write {
        Write { file: Rc::clone(file), data, machine: Writer::new(), timeout: Timeout::NEVER, is_queued: false }
    }

    /// Ends when all is written; with less only when its time is over ([`End::TimedOut`]).
    pub fn full(mut self) -> Write {
        self.machine.set_full();
        self
    }

    /// The most it may take, all of it, counted from when it first has to wait, be it for those before it in the queue. Then: the count
    /// so far, or [`io::ErrorKind::TimedOut`] if that is 0.
    pub fn timeout(mut self, after: Duration) -> Write {
        self.timeout = Timeout::after(after);
        self
    }

    pub(crate) fn file(&self) -> &Rc<Descriptor> {
        &self.file
    }

    /// As an error: its time was over when so many bytes were written.
    pub(crate) fn cut(&self, written: usize) -> io::Error {
        crate::error::named(self.name(), self.file.fd(), self.timeout.error(written, "written"))
    }

    pub(crate) fn name(&self) -> &'static str {
        if self.machine.is_full() {
            "write full"
        } else {
            "write"
        }
    }

    pub(crate) fn state(&self) -> &'static str {
        use crate::machine::write::State::*;
        match self.machine.state() {
            Writing => "Writing",
            Blocked => "Blocked",
            Ended => "Ended",
        }
    }

    pub(crate) fn enter(&mut self, inbox: &Rc<Inbox>, key: Key) {
        let admitted = self.file.state().admits(inbox).is_ok();
        if admitted {
            self.is_queued = true;
            self.file.block(inbox, key, Direction::Write, false);
        }
    }

    pub(crate) fn leave(&mut self, key: Key) {
        if std::mem::replace(&mut self.is_queued, false) {
            self.file.leave(key, Direction::Write);
        }
    }

    pub(crate) fn advance(&mut self, context: &Context<'_>) -> Progress {
        let name = self.name();
        let Write { file, data, machine, timeout, is_queued } = self;
        let mut state = file.state();
        if let Err(error) = state.admits(context.inbox) {
            return Progress::failed(name, file.fd(), error);
        }
        let is_first = state.is_first(context.key, Direction::Write);
        let mut advance = Advance::Blocked;
        if is_first || data.bytes().is_empty() {
            let is_asked = state.is_asked_for(Direction::Write);
            advance = advance_while_ready(context, (file, Direction::Write), is_asked, |is_told| {
                state.outflow.ready |= is_told;
                let written = machine.written();
                let advance = machine.advance(data.bytes(), &mut state.outflow, &mut file.calls());
                if is_first {
                    file.settle(&mut state, Direction::Write);
                }
                (advance, machine.written() - written)
            });
        }
        if matches!(advance, Advance::Blocked | Advance::Yield) && timeout.is_over(context) {
            advance = machine.time_out();
            if let Advance::Failed(_) = advance {
                return Progress::timed_out(name, file.fd(), timeout.error(0, ""));
            }
        }
        drop(state);
        match advance {
            Advance::Ended(end, written) => Progress::Ended(Ended { end, value: Value::Written(written) }),
            Advance::Failed(error) => Progress::failed(name, file.fd(), error),
            Advance::Yield => {
                *is_queued = true;
                file.block(context.inbox, context.key, Direction::Write, false);
                Progress::Yield(timeout.start())
            }
            Advance::Blocked => {
                *is_queued = true;
                file.block(context.inbox, context.key, Direction::Write, is_first);
                Progress::Blocked(timeout.start())
            }
        }
    }
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (written, all) = (self.machine.written(), self.data.bytes().len());
        write!(f, "{} {:?}, {written} of {all} B written{}", self.name(), self.file, self.timeout)
    }
}

impl From<Write> for Op {
    fn from(op: Write) -> Op {
        Op(Kind::Write(op))
    }
}

impl Sealed for Write {}

impl Operation for Write {
    type Output = usize;
    fn output(task: &mut Task<'_, '_>) -> io::Result<usize> {
        task.written()
    }
}
