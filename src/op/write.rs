//! write on a file.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::timeout::Timeout;
use super::{private::Sealed, Context, Ended, Kind, Op, Operation, Progress, Value};
use crate::descriptor::{Descriptor, Direction};
use crate::inbox::{Inbox, Key};
use crate::machine::write::Writer;
use crate::machine::Advance;
#[cfg(doc)]
use crate::machine::End;
use crate::pool::{self, Storage};
use crate::task::Task;

/// What is to be written: borrowed bytes are copied (into a recycled buffer), owned ones are moved, an `Rc<[u8]>` is shared.
pub struct Data(Bytes);

enum Bytes {
    Copied { storage: Storage, len: usize },
    Moved(Vec<u8>),
    Shared(Rc<[u8]>),
}

impl Data {
    fn copy(bytes: &[u8]) -> Data {
        if bytes.is_empty() {
            return Data(Bytes::Moved(Vec::new()));
        }
        let mut storage = pool::take(bytes.len());
        let space = Rc::get_mut(&mut storage).expect("a buffer fresh from the pool");
        space[..bytes.len()].copy_from_slice(bytes);
        Data(Bytes::Copied { storage, len: bytes.len() })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::Copied { storage, len } => &storage[..*len],
            Bytes::Moved(bytes) => bytes,
            Bytes::Shared(bytes) => bytes,
        }
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        if let Bytes::Copied { .. } = self.0 {
            if let Bytes::Copied { storage, .. } = std::mem::replace(&mut self.0, Bytes::Moved(Vec::new())) {
                pool::give(storage);
            }
        }
    }
}

impl From<&[u8]> for Data {
    fn from(bytes: &[u8]) -> Data {
        Data::copy(bytes)
    }
}

impl<const N: usize> From<&[u8; N]> for Data {
    fn from(bytes: &[u8; N]) -> Data {
        Data::copy(bytes)
    }
}

impl From<&Vec<u8>> for Data {
    fn from(bytes: &Vec<u8>) -> Data {
        Data::copy(bytes)
    }
}

impl From<&str> for Data {
    fn from(text: &str) -> Data {
        Data::copy(text.as_bytes())
    }
}

impl From<&String> for Data {
    fn from(text: &String) -> Data {
        Data::copy(text.as_bytes())
    }
}

impl From<Vec<u8>> for Data {
    fn from(bytes: Vec<u8>) -> Data {
        Data(Bytes::Moved(bytes))
    }
}

impl From<String> for Data {
    fn from(text: String) -> Data {
        Data(Bytes::Moved(text.into_bytes()))
    }
}

impl From<Rc<[u8]>> for Data {
    fn from(bytes: Rc<[u8]>) -> Data {
        Data(Bytes::Shared(bytes))
    }
}

/// Waits for bytes to be taken: see [`AsyncFile::write`](crate::AsyncFile::write).
#[must_use = "an operation does nothing until a task waits for it"]
pub struct Write {
    file: Rc<Descriptor>,
    data: Data,
    machine: Writer,
    timeout: Timeout,
}

impl Write {
    pub(crate) fn new(file: &Rc<Descriptor>, data: Data) -> Write {
        Write { file: Rc::clone(file), data, machine: Writer::new(), timeout: Timeout::NEVER }
    }

    /// Ends when all is written; with less only when its time is over ([`End::TimedOut`]).
    pub fn full(mut self) -> Write {
        self.machine.set_full();
        self
    }

    /// The most it may take, all of it. Then: the count so far, or [`io::ErrorKind::TimedOut`] if that is 0.
    pub fn timeout(mut self, after: Duration) -> Write {
        self.timeout = Timeout::after(after);
        self
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
            self.file.block(inbox, key, Direction::Write, false);
        }
    }

    pub(crate) fn leave(&mut self, key: Key) {
        self.file.leave(key, Direction::Write);
    }

    pub(crate) fn advance(&mut self, context: &Context<'_>) -> Progress {
        let name = self.name();
        let Write { file, data, machine, timeout } = self;
        let mut state = file.state();
        if let Err(error) = state.admits(context.inbox) {
            return Progress::failed(name, file.fd(), error);
        }
        let is_first = state.is_first(context.key, Direction::Write);
        let mut advance = Advance::Blocked;
        if is_first {
            advance = machine.advance(data.bytes(), &mut state.outflow, &mut file.port());
            file.settle(&mut state);
        }
        if matches!(advance, Advance::Blocked | Advance::Yield) && timeout.is_over(context) {
            advance = machine.time_out();
        }
        drop(state);
        match advance {
            Advance::Ended(end, written) => Progress::Ended(Ended { end, value: Value::Written(written) }),
            Advance::Failed(error) => {
                let error = match error.kind() {
                    io::ErrorKind::TimedOut => timeout.error(0, ""),
                    _ => error,
                };
                Progress::failed(name, file.fd(), error)
            }
            Advance::Yield => {
                file.block(context.inbox, context.key, Direction::Write, false);
                Progress::Yield(timeout.start())
            }
            Advance::Blocked => {
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
