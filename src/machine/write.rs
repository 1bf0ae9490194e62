//! The writing machine: write and write full.
//!
//! ```text
//!              nothing left, or one write was enough
//!      Writing ─────────────────────────────────────► Ended
//!       │   ▲
//!       │   │ poll said OUT, HUP, ERR or NVAL
//!       ▼   │
//!      Blocked            (EAGAIN, or the sink must be polled first)
//! ```
//!
//! It tries first and polls only after EAGAIN: a write that fits costs one system call. POLLOUT says that
//! something fits, not that everything does, so each write may take a part.

use std::io;

use super::{Advance, End, SHARE};

/// What is known of a sink.
#[derive(Clone, Copy, Debug)]
pub struct Outflow {
    /// Worth a try: nothing is known against it.
    pub ready: bool,
}

/// Where a writer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Hands bytes to the sink.
    Writing,
    /// Waits until poll(2) has something to say of the sink.
    Blocked,
    /// Over.
    Ended,
}

/// A write in progress.
#[derive(Clone, Debug)]
pub struct Writer {
    /// All of it, or what one write takes.
    full: bool,
    written: usize,
    state: State,
}

impl Writer {
    /// A writer at the beginning of its data.
    pub fn new() -> Writer {
        Writer { full: false, written: 0, state: State::Writing }
    }

    /// It ends when all is written, not after the first write.
    pub fn set_full(&mut self) {
        self.full = true;
    }

    /// Whether it wants all to be written.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// How many bytes the sink took so far.
    pub fn written(&self) -> usize {
        self.written
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Goes as far as it can without waiting. `data` is the same at each call. Calls `sink` only when
    /// `outflow.ready` is set.
    pub fn advance(&mut self, data: &[u8], outflow: &mut Outflow, sink: &mut (impl io::Write + ?Sized)) -> Advance {
        let share_ends = self.written.saturating_add(SHARE);
        loop {
            match self.state {
                State::Writing if self.written == data.len() => return self.ended(End::Complete),
                State::Writing if !outflow.ready => self.state = State::Blocked,
                State::Writing if self.written == share_ends => return Advance::Yield,
                State::Blocked if outflow.ready => self.state = State::Writing,
                State::Blocked => return Advance::Blocked,
                State::Writing => match sink.write(&data[self.written..data.len().min(share_ends)]) {
                    Ok(0) => return self.failed(io::ErrorKind::WriteZero.into()),
                    Ok(size) => {
                        self.written += size;
                        if !self.full {
                            return self.ended(End::Complete);
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => outflow.ready = false,
                    Err(error) => return self.failed(error),
                },
                State::Ended => unreachable!("a writer that has ended is not advanced"),
            }
        }
    }

    /// Its time is over: what was written counts, if it is anything.
    pub fn time_out(&mut self) -> Advance {
        if self.written > 0 {
            self.ended(End::TimedOut)
        } else {
            self.failed(io::ErrorKind::TimedOut.into())
        }
    }

    fn ended(&mut self, end: End) -> Advance {
        self.state = State::Ended;
        Advance::Ended(end, self.written)
    }

    fn failed(&mut self, error: io::Error) -> Advance {
        self.state = State::Ended;
        Advance::Failed(error)
    }
}

impl Default for Writer {
    fn default() -> Writer {
        Writer::new()
    }
}
