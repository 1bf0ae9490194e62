//! The oracle: what a line buffer holds and what a reader is owed, told by a `Vec<u8>` that is searched from its start each
//! time. It has no cleverness to be wrong in, and serves the property tests, the exhaustive tests and the fuzz target alike.
//!
//! [`reading`], [`writing`], [`communicating`] and [`exiting`] drive a machine beside it, and fail as soon as the two differ.

#![allow(dead_code)] // each of those who include it uses a part

pub mod communicating;
pub mod exiting;
pub mod reading;
pub mod writing;

use asyncfile::machine::read::Want;
use asyncfile::machine::End;

/// All that ever came in on a file, how much of it was handed over, and whether an end of file came behind it.
#[derive(Debug, Default)]
pub struct Naive {
    given: Vec<u8>,
    taken: usize,
    ended: bool,
}

impl Naive {
    /// What came in and was not handed over.
    pub fn held(&self) -> &[u8] {
        &self.given[self.taken..]
    }

    /// Everything that came in.
    pub fn given(&self) -> &[u8] {
        &self.given
    }

    /// Everything that was handed over.
    pub fn taken(&self) -> &[u8] {
        &self.given[..self.taken]
    }

    /// An end of file came and was not reported.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Bytes come in.
    pub fn give(&mut self, bytes: &[u8]) {
        self.given.extend_from_slice(bytes);
    }

    /// The end of file comes in.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Hands over the next bytes.
    pub fn take(&mut self, size: usize) -> &[u8] {
        let from = self.taken;
        self.taken += size;
        &self.given[from..self.taken]
    }

    /// How long the first line is, its newline included, and that it is whole; or the limit, and that it is not. None: neither yet.
    pub fn line(&self, limit: usize) -> Option<(usize, bool)> {
        let window = self.window(limit);
        if !window.contains(&b'\n') {
            return self.cut(limit);
        }
        window.iter().position(|&byte| byte == b'\n').map(|at| (at + 1, true))
    }

    /// The same for as many whole lines as fit into the limit, at least one.
    pub fn lines(&self, limit: usize) -> Option<(usize, bool)> {
        let window = self.window(limit);
        if !window.contains(&b'\n') {
            return self.cut(limit);
        }
        window.iter().rposition(|&byte| byte == b'\n').map(|at| (at + 1, true))
    }

    /// As much of what is held as the limit allows.
    fn window(&self, limit: usize) -> &[u8] {
        &self.held()[..self.held().len().min(limit)]
    }

    fn cut(&self, limit: usize) -> Option<(usize, bool)> {
        (self.held().len() >= limit).then_some((limit, false))
    }

    /// How a reader who wants this ends, without asking the source: None if it must ask.
    pub fn answer(&self, want: Want) -> Option<(End, usize)> {
        let held = self.held().len();
        let end = |whole| if whole { End::Complete } else { End::Limit };
        let found = match want {
            Want::Some(size) if size == 0 || held > 0 => Some((End::Complete, held.min(size))),
            Want::Full(size) if held >= size => Some((End::Complete, size)),
            Want::ToEnd(limit) if held >= limit => Some((End::Limit, limit)),
            Want::Line(limit) => self.line(limit).map(|(len, whole)| (end(whole), len)),
            Want::Lines(limit) => self.lines(limit).map(|(len, whole)| (end(whole), len)),
            Want::Some(_) | Want::Full(_) | Want::ToEnd(_) => None,
        };
        match found {
            None if self.ended => Some((End::Eof, held)),
            found => found,
        }
    }

    /// A reader that wanted this has ended so: its bytes are handed over.
    pub fn hand_over(&mut self, want: Want, end: End, len: usize) -> &[u8] {
        // A rest of a line, or a short full, does not say that it was the last: the outcome after it does.
        if end == End::Eof && (len == 0 || matches!(want, Want::ToEnd(_))) {
            self.ended = false;
        }
        self.take(len)
    }

    /// What a reader whose time is over is owed: None if that is an error.
    pub fn time_out(&self, want: Want) -> Option<usize> {
        match want {
            Want::Some(_) | Want::Full(_) | Want::ToEnd(_) if !self.held().is_empty() => Some(self.held().len()),
            _ => None,
        }
    }
}
