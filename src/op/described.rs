//! Operations as errors, Debug and observers show them.

use std::fmt;
use std::io;
use std::os::unix::io::RawFd;

use super::operate::{Kind, Op};
use super::read::Reading;
use super::write::Writing;
use crate::error::{self, Cause};
use crate::machine::read::Want;
use crate::machine::write::Extent;

impl Op {
    /// The descriptor that the operation works on, for messages. Negative if there is none.
    pub(crate) fn fd(&self) -> RawFd {
        match &self.0 {
            Kind::Read(op) => op.file().fd(),
            Kind::Write(op) => op.file().fd(),
            _ => -1,
        }
    }

    /// The name of the operation, for messages.
    pub(crate) fn name(&self) -> &'static str {
        match &self.0 {
            Kind::Read(op) => op.name(),
            Kind::Write(op) => op.name(),
            Kind::Sleep(_) => "sleep",
            Kind::YieldNow(_) => "yield_now",
            Kind::Other(op) => op.name(),
        }
    }

    /// The accessors of [`Task`](crate::Task) that fit the operation.
    pub(crate) fn accessors(&self) -> &'static [&'static str] {
        match &self.0 {
            Kind::Read(op) => op.accessors(),
            Kind::Write(_) => &["written()", "ok()"],
            Kind::Sleep(_) | Kind::YieldNow(_) => &["ok()"],
            Kind::Other(op) => op.accessors(),
        }
    }

    /// The state of its machine, for traces.
    pub(crate) fn state(&self) -> &'static str {
        match &self.0 {
            Kind::Read(op) => op.state(),
            Kind::Write(op) => op.state(),
            Kind::Sleep(_) | Kind::YieldNow(_) => "Waiting",
            Kind::Other(op) => op.state(),
        }
    }
}

impl fmt::Debug for Op {
    /// Prints one line, such as `readline fd 5, 37 B held`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Read(op) => op.describe(f),
            Kind::Write(op) => op.describe(f),
            Kind::Sleep(_) | Kind::YieldNow(_) => f.write_str(self.name()),
            Kind::Other(op) => op.describe(f),
        }
    }
}

impl Reading {
    /// The error of a read whose deadline came. `kept` bytes stay in the file.
    pub fn cut(&self, kept: usize) -> io::Error {
        error::named(
            self.name(),
            self.file.fd(),
            self.timeout.cause(kept, "kept"),
        )
    }

    #[inline]
    pub fn name(&self) -> &'static str {
        match self.machine.want() {
            Want::Some(_) if self.machine.is_peek() => "peek",
            Want::Full(_) if self.machine.is_peek() => "peek full",
            Want::Some(_) => "read",
            Want::Full(_) => "read full",
            Want::Exact(_) => "read_exact",
            Want::ToEnd(_) => "read_to_end",
            Want::Line(_) if self.machine.delimiter() != b'\n' => "read_until",
            Want::Line(_) => "readline",
            Want::Lines(_) => "readlines",
        }
    }

    pub fn accessors(&self) -> &'static [&'static str] {
        match self.machine.want() {
            Want::Some(_) | Want::Full(_) | Want::Exact(_) | Want::ToEnd(_) => &["bytes()"],
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

    pub fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.name(), self.file)
    }
}

impl Writing {
    /// The error of a write that has written only `written` of its bytes. A plain write (`Once`)
    /// ends after one write(2). Every other write has met its deadline.
    pub fn cut(&self, written: usize) -> io::Error {
        let cause = match self.machine.extent() {
            Extent::Once => Cause::Short {
                written,
                of: self.data.len(),
            },
            Extent::Full | Extent::All => self.timeout.cause(written, "written"),
        };
        error::named(self.name(), self.file.fd(), cause)
    }

    pub fn name(&self) -> &'static str {
        match self.machine.extent() {
            Extent::Once => "write",
            Extent::Full => "write full",
            Extent::All => "write_all",
        }
    }

    pub fn state(&self) -> &'static str {
        use crate::machine::write::State::*;
        match self.machine.state() {
            Writing => "Writing",
            Blocked => "Blocked",
            Ended => "Ended",
        }
    }

    pub fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (written, all) = (self.machine.written(), self.data.len());
        write!(
            f,
            "{} {:?}, {written} of {all} B written",
            self.name(),
            self.file
        )
    }
}
