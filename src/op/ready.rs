//! Bare readiness of a channel, of a queue, or of a descriptor. The readiness of a descriptor
//! serves system calls for which the library has no operation, like a listener's accept.

use std::fmt;
use std::os::unix::io::RawFd;
use std::rc::Rc;
use std::time::Duration;

use libc::c_short;

use super::operate::{face, At, Context, Op, Operate, Progress, Value};
use super::timeout::Timeout;
use crate::descriptor::watchers::Place;
use crate::descriptor::{Descriptor, Interest};
use crate::error::Cause;
use crate::machine::End;
use crate::port::Direction;

/// Waits for readiness: see [`AsyncFile::readable`](crate::AsyncFile::readable),
/// [`Receiver::ready`](crate::Receiver::ready) and [`Queue::ready`](crate::Queue::ready).
#[must_use = "an operation does nothing until a task waits for it"]
pub struct Ready {
    source: Box<dyn Readiness>,
    timeout: Timeout,
}

/// Something that can be ready: a descriptor, a channel, a queue.
pub(crate) trait Readiness {
    /// Enters the queue, if tasks queue for this readiness.
    fn enter(&mut self, _: At<'_>) {}

    /// Returns how the wait has ended, or None if it goes on. The first call makes the task wait.
    fn end(&mut self, cx: &Context<'_>) -> Result<Option<End>, Cause>;

    /// Ends the task's wait. Idempotent.
    fn leave(&mut self);

    /// Whether the task keeps its place in the queue after the wait has ended. The task leaves the
    /// queue when its next operation begins, or at the task's end.
    fn keeps_its_place(&self) -> bool {
        false
    }

    /// The value that the operation hands over when it ends.
    fn value(&self) -> Value {
        Value::Nothing
    }

    /// The name of the operation, and its descriptor. A negative number stands for none.
    fn name(&self) -> (&'static str, RawFd);

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// Makes another wait for the same thing, which has not begun. This is for a clone of the
    /// operation.
    fn fresh(&self) -> Box<dyn Readiness>;

    /// For the simulation: see `Operate::is_waiting`.
    #[cfg(any(test, fuzzing))]
    fn is_waiting(&self, at: &super::operate::Standing<'_>) -> bool;
}

impl Ready {
    pub(crate) fn of(source: impl Readiness + 'static) -> Ready {
        Ready {
            source: Box::new(source),
            timeout: Timeout::NEVER,
        }
    }

    pub(crate) fn new(file: &Rc<Descriptor>, direction: Direction) -> Ready {
        Ready::of(FileReady {
            file: Rc::clone(file),
            direction,
            place: Place::default(),
        })
    }

    pub(crate) fn for_events(file: &Rc<Descriptor>, events: c_short) -> Ready {
        Ready::of(FileEvents {
            file: Rc::clone(file),
            events: events & !Interest::SOME,
            revents: 0,
            place: Place::default(),
        })
    }

    /// The longest time that the operation may take, counted from when it first has to wait. After
    /// that it fails with [`TimedOut`](std::io::ErrorKind::TimedOut).
    pub fn timeout(mut self, after: Duration) -> Ready {
        self.timeout.set_after(after);
        self
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.describe(f)
    }
}

impl Clone for Ready {
    fn clone(&self) -> Ready {
        Ready {
            source: self.source.fresh(),
            timeout: self.timeout,
        }
    }
}

face!(Ready, op => Op::other(op), op.timeout);

impl Operate for Ready {
    fn enter(&mut self, at: At<'_>) {
        self.source.enter(at);
    }

    fn advance(&mut self, cx: &Context<'_>) -> Progress {
        let end = self.source.end(cx);
        let (name, fd) = self.source.name();
        if let Ok(None) = end {
            if !cx.is_due {
                return Progress::Blocked(self.timeout.deadline(cx));
            }
        }
        if !(matches!(end, Ok(Some(End::Complete))) && self.source.keeps_its_place()) {
            self.source.leave();
        }
        match end {
            Ok(Some(end)) => Progress::Ended(end, self.source.value()),
            Ok(None) => Progress::failed(End::TimedOut, name, fd, self.timeout.cause(0, "")),
            Err(cause) => Progress::failed(End::Failed, name, fd, cause),
        }
    }

    fn leave(&mut self) {
        self.source.leave();
    }

    fn restart(&mut self) -> bool {
        self.source.leave();
        true
    }

    fn name(&self) -> &'static str {
        self.source.name().0
    }

    fn accessors(&self) -> &'static [&'static str] {
        match self.source.value() {
            Value::Revents(_) => &["revents()", "ok()"],
            _ => &["ok()"],
        }
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.describe(f)
    }

    #[cfg(any(test, fuzzing))]
    fn is_waiting(&self, at: &super::operate::Standing<'_>) -> bool {
        self.source.is_waiting(at)
    }
}

/// A descriptor's readiness in one direction.
struct FileReady {
    file: Rc<Descriptor>,
    direction: Direction,
    /// The task's place among the watchers of the file.
    place: Place,
}

impl Readiness for FileReady {
    fn end(&mut self, cx: &Context<'_>) -> Result<Option<End>, Cause> {
        let state = self.file.state();
        state.admit(cx.reactor)?;
        if self.direction == Direction::Read && !state.inflow.is_empty() {
            return Ok(Some(End::Complete));
        }
        drop(state);
        if !self.file.port.is_opened_for(self.direction) || !self.file.is_ours() {
            return Err(Cause::System(self.file.port.refusal(self.direction)));
        }
        let heeds_buffer = self.direction == Direction::Read;
        let revents = self.file.watch(
            &mut self.place,
            cx.at(),
            self.direction.events(),
            heeds_buffer,
        )?;
        Ok(Some(End::Complete).filter(|_| revents != 0))
    }

    fn leave(&mut self) {
        self.file.unwatch(&mut self.place);
    }

    fn name(&self) -> (&'static str, RawFd) {
        let name = match self.direction {
            Direction::Read => "readable",
            Direction::Write => "writable",
        };
        (name, self.file.fd())
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.name().0, self.file)
    }

    fn fresh(&self) -> Box<dyn Readiness> {
        let file = Rc::clone(&self.file);
        Box::new(FileReady {
            file,
            direction: self.direction,
            place: Place::default(),
        })
    }

    #[cfg(any(test, fuzzing))]
    fn is_waiting(&self, _: &super::operate::Standing<'_>) -> bool {
        let has_bytes = self.direction == Direction::Read && self.file.buffered() > 0;
        !has_bytes && self.file.is_watched(&self.place)
    }
}

/// The events that poll(2) reports for a descriptor. Buffered bytes do not count.
struct FileEvents {
    file: Rc<Descriptor>,
    events: c_short,
    /// poll(2)'s answer.
    revents: c_short,
    /// The task's place among the watchers of the file.
    place: Place,
}

impl Readiness for FileEvents {
    fn end(&mut self, cx: &Context<'_>) -> Result<Option<End>, Cause> {
        self.file.state().admit(cx.reactor)?;
        if !self.file.is_ours() {
            let error = std::io::Error::from_raw_os_error(libc::EBADF);
            return Err(Cause::System(error));
        }
        self.revents = self
            .file
            .watch(&mut self.place, cx.at(), self.events, false)?;
        Ok(Some(End::Complete).filter(|_| self.revents != 0))
    }

    fn leave(&mut self) {
        self.file.unwatch(&mut self.place);
    }

    fn value(&self) -> Value {
        Value::Revents(self.revents)
    }

    fn name(&self) -> (&'static str, RawFd) {
        ("readiness", self.file.fd())
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "readiness {:#x} of {:?}", self.events, self.file)
    }

    fn fresh(&self) -> Box<dyn Readiness> {
        Box::new(FileEvents {
            file: Rc::clone(&self.file),
            place: Place::default(),
            ..*self
        })
    }

    #[cfg(any(test, fuzzing))]
    fn is_waiting(&self, _: &super::operate::Standing<'_>) -> bool {
        self.file.is_watched(&self.place)
    }
}
