//! Reading from a file: the reading machine, its place in the file's queue, its timeout.
//!
//! Users know this operation as `Read`, `Readline`, ...: see `op/faces`.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use super::operate::{At, Context, Progress, Value};
use super::timeout::Timeout;
use crate::descriptor::{Descriptor, State};
use crate::error::Cause;
use crate::machine::read::{Reader, Want};
use crate::machine::{Advance, End};
use crate::port::Direction;
use crate::wait_list::Ticket;

#[derive(Clone)]
pub(crate) struct Reading {
    pub(super) file: Rc<Descriptor>,
    pub machine: Reader,
    pub timeout: Timeout,
    /// The operation's place in the queue of readers. An operation that ends at once needs no
    /// place.
    ticket: Ticket,
}

impl Reading {
    #[inline]
    pub fn new(file: &Rc<Descriptor>, want: Want) -> Reading {
        Reading {
            file: Rc::clone(file),
            machine: Reader::new(want),
            timeout: Timeout::NEVER,
            ticket: Ticket::NONE,
        }
    }

    #[inline]
    pub fn file(&self) -> &Rc<Descriptor> {
        &self.file
    }

    pub fn enter(&mut self, at: At<'_>) {
        self.file
            .enter_if_admitted(&mut self.ticket, at, Direction::Read);
    }

    pub fn leave(&mut self) {
        if self.ticket != Ticket::NONE {
            self.file
                .leave(&mut self.file.state(), &mut self.ticket, Direction::Read);
        }
    }

    #[inline]
    pub fn restart(&mut self) {
        self.machine = self.machine.afresh();
    }

    #[inline]
    pub fn advance(&mut self, cx: &Context<'_>) -> Progress {
        let is_new = self.ticket == Ticket::NONE;
        if is_new && !cx.may_look {
            let mut state = self.file.state();
            if self.file.is_idle(&state, cx.reactor) && self.machine.block_at_once() {
                self.file
                    .enter(&mut state, &mut self.ticket, cx.at(), Direction::Read);
                self.file.park(&mut state, Direction::Read);
                return Progress::Blocked(self.timeout.deadline(cx));
            }
        }
        self.advance_further(cx)
    }

    #[inline(never)]
    fn advance_further(&mut self, cx: &Context<'_>) -> Progress {
        let file = &self.file;
        let mut state = file.state();
        if let Err(cause) = state.admit(cx.reactor) {
            drop(state);
            return self.fail(End::Failed, cause);
        }
        let is_front = state.is_front(cx.key, Direction::Read);
        // True for a peek at what is in the buffer already. It is false if the next message is
        // still in the kernel.
        let is_held = self.machine.is_peek() && !state.inflow.is_empty();
        let mut advance = Advance::Blocked;
        if is_front || self.waits_for_no_other() {
            let mut calls = file
                .port
                .calls(cx.may_look, state.is_parked(Direction::Read));
            advance = self.machine.advance(&mut state.inflow, &mut calls);
            file.after_read(&state);
        }
        if cx.is_due && matches!(advance, Advance::Blocked | Advance::Yield) {
            // Only the front of the queue may hand over buffered bytes. Any other reader fails.
            advance = match is_front {
                true => self.machine.time_out(&state.inflow),
                false => self.machine.give_up(),
            };
            if let Advance::Failed(_) = advance {
                let cause = self.timeout.cause(state.inflow.len(), "kept");
                state.inflow.buffer.release_spare();
                drop(state);
                return self.fail(End::TimedOut, cause);
            }
        }
        match advance {
            Advance::Ended(end, len) => {
                file.leave(&mut state, &mut self.ticket, Direction::Read);
                match self.machine.is_peek() {
                    false => self.hand_over(&mut state, end, len),
                    true => Progress::Ended(end, self.show(&mut state, len, is_held)),
                }
            }
            Advance::Failed(error) => {
                let kept = match error.kind() {
                    io::ErrorKind::UnexpectedEof => state.inflow.len(),
                    _ => 0,
                };
                state.inflow.buffer.release_spare();
                drop(state);
                self.fail(End::Failed, Cause::partly(error, kept, "kept"))
            }
            Advance::Yield => {
                file.enter(&mut state, &mut self.ticket, cx.at(), Direction::Read);
                cx.yield_until(self.timeout.deadline(cx))
            }
            Advance::Blocked => {
                file.enter(&mut state, &mut self.ticket, cx.at(), Direction::Read);
                if is_front {
                    state.inflow.buffer.release_spare();
                    file.park(&mut state, Direction::Read);
                }
                Progress::Blocked(self.timeout.deadline(cx))
            }
        }
    }

    /// True for a read that ends at once, even if other readers are before it: a read of 0 bytes,
    /// or a read that a message socket refuses, because only a stream can satisfy it (a readline,
    /// for example).
    fn waits_for_no_other(&self) -> bool {
        let is_refused =
            self.file.port.keeps_messages && !matches!(self.machine.want(), Want::Some(_));
        is_refused || self.machine.wants_nothing()
    }

    /// Lends the bytes at the front of the buffer to the task, without copying them. The buffer's
    /// memory is an Rc, because the body may close the file, or read on, while it uses the bytes.
    /// The buffer then takes other memory.
    #[inline]
    fn hand_over(&self, state: &mut State, end: End, len: usize) -> Progress {
        let lent = state.inflow.buffer.lend(len);
        match self.machine.want() {
            Want::Line(_) => {
                if lent.is_shared() && end == End::Complete {
                    self.file.begin_run(state);
                }
                Progress::Ended(end, Value::Line(lent))
            }
            Want::Lines(_) => Progress::Ended(end, Value::Lines(lent, Cell::new(0))),
            Want::Some(_) | Want::Full(_) | Want::Exact(_) | Want::ToEnd(_) => {
                Progress::Ended(end, Value::Bytes(lent))
            }
        }
    }

    /// Lends the bytes of a peek, which the next read finds again. The bytes of a stream stay in
    /// the buffer, and so does a message that was put back (`is_held`). Any other message is still
    /// in the kernel. The buffer has only a copy of it: the copy is taken out of the buffer and
    /// lent.
    #[cold]
    fn show(&self, state: &mut State, len: usize, is_held: bool) -> Value {
        let buffer = &mut state.inflow.buffer;
        Value::Shown(match self.file.port.keeps_messages && !is_held {
            true => buffer.lend(len),
            false => buffer.show(len),
        })
    }

    #[cold]
    fn fail(&mut self, end: End, cause: Cause) -> Progress {
        self.leave();
        Progress::failed(end, self.name(), self.file.fd(), cause)
    }

    /// For the simulation: see [`Operate::is_waiting`](super::operate::Operate::is_waiting).
    #[cfg(any(test, fuzzing))]
    pub fn is_waiting(&self, at: &super::operate::Standing<'_>) -> bool {
        self.ticket != Ticket::NONE && self.file.is_waited_on_by(at, Direction::Read)
    }
}
