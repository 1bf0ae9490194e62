//! Writing to a file: the writing machine, its bytes, its place in the file's queue, its timeout.

use std::rc::Rc;

use super::operate::{At, Context, Progress, Value};
use super::timeout::Timeout;
use crate::data::Data;
use crate::descriptor::Descriptor;
use crate::error::Cause;
use crate::machine::write::Writer;
use crate::machine::{Advance, End};
use crate::port::Direction;
use crate::wait_list::Ticket;

pub(crate) struct Writing {
    pub(super) file: Rc<Descriptor>,
    pub(super) data: Data,
    pub machine: Writer,
    pub timeout: Timeout,
    /// The operation's place in the queue of writers. An operation that ends at once needs no
    /// place.
    ticket: Ticket,
}

impl Writing {
    #[inline]
    pub fn new(file: &Rc<Descriptor>, data: Data) -> Writing {
        Writing {
            file: Rc::clone(file),
            data,
            machine: Writer::new(),
            timeout: Timeout::NEVER,
            ticket: Ticket::NONE,
        }
    }

    pub fn file(&self) -> &Rc<Descriptor> {
        &self.file
    }

    pub fn enter(&mut self, at: At<'_>) {
        self.file
            .enter_if_admitted(&mut self.ticket, at, Direction::Write);
    }

    pub fn leave(&mut self) {
        if self.ticket != Ticket::NONE {
            self.file
                .leave(&mut self.file.state(), &mut self.ticket, Direction::Write);
        }
    }

    pub fn advance(&mut self, cx: &Context<'_>) -> Progress {
        let file = &self.file;
        let mut state = file.state();
        if let Err(cause) = state.admit(cx.reactor) {
            drop(state);
            let written = self.machine.written();
            return self.fail(End::Failed, cause.after(written, "written"));
        }
        let is_front = state.is_front(cx.key, Direction::Write);
        let mut advance = Advance::Blocked;
        let mut few = [0; 16];
        let data = self.data.bytes(&mut few);
        let all = data.len();
        if is_front || (data.is_empty() && !file.port.keeps_messages) {
            let mut calls = file
                .port
                .calls(cx.may_look, state.is_parked(Direction::Write));
            advance = self.machine.advance(data, &mut calls);
        }
        if cx.is_due && matches!(advance, Advance::Blocked | Advance::Yield) {
            advance = self.machine.time_out();
            if let Advance::Failed(_) = advance {
                drop(state);
                let written = self.machine.written();
                return self.fail(End::TimedOut, self.timeout.cause(written, "written"));
            }
        }
        match advance {
            Advance::Ended(end, written) => {
                file.leave(&mut state, &mut self.ticket, Direction::Write);
                Progress::Ended(end, Value::Written(written, written == all))
            }
            Advance::Failed(error) => {
                drop(state);
                let written = self.machine.written();
                self.fail(End::Failed, Cause::partly(error, written, "written"))
            }
            Advance::Yield => {
                file.enter(&mut state, &mut self.ticket, cx.at(), Direction::Write);
                cx.yield_until(self.timeout.deadline(cx))
            }
            Advance::Blocked => {
                file.enter(&mut state, &mut self.ticket, cx.at(), Direction::Write);
                if is_front {
                    file.park(&mut state, Direction::Write);
                }
                Progress::Blocked(self.timeout.deadline(cx))
            }
        }
    }

    #[cold]
    fn fail(&mut self, end: End, cause: Cause) -> Progress {
        self.leave();
        Progress::failed(end, self.name(), self.file.fd(), cause)
    }

    /// For the simulation: see [`Operate::is_waiting`](super::operate::Operate::is_waiting).
    #[cfg(any(test, fuzzing))]
    pub fn is_waiting(&self, at: &super::operate::Standing<'_>) -> bool {
        self.ticket != Ticket::NONE && self.file.is_waited_on_by(at, Direction::Write)
    }
}
