//! The oracle: a `Vec<u8>` that is searched from its start each time says what a line buffer holds
//! and what a reader must be given. It is too simple to be wrong. The property tests, the
//! exhaustive tests, the tables test and the fuzz targets share it.
//!
//! [`reading`], [`writing`], [`communicating`] and [`exiting`] drive a machine beside it, and fail
//! as soon as the two differ.

#![allow(dead_code)] // each test that includes this module uses a part of it

pub mod communicating;
pub mod exiting;
pub mod reading;
pub mod writing;

use asyncfile::machine::read::Want;
use asyncfile::machine::End;

/// All bytes that ever came in on a file, how many of them were handed over, and whether an end of
/// file came behind them.
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

    /// The length of the first line, its newline included, and true: it is whole. Or the limit, and
    /// false. None: there is neither yet.
    pub fn line(&self, limit: usize) -> Option<(usize, bool)> {
        self.line_until(b'\n', limit)
    }

    /// The same with another delimiter.
    pub fn line_until(&self, delimiter: u8, limit: usize) -> Option<(usize, bool)> {
        let window = self.window(limit);
        if !window.contains(&delimiter) {
            return self.cut(limit);
        }
        window
            .iter()
            .position(|&byte| byte == delimiter)
            .map(|at| (at + 1, true))
    }

    /// The same for as many whole lines as fit into the limit, at least one.
    pub fn lines(&self, limit: usize) -> Option<(usize, bool)> {
        self.lines_until(b'\n', limit)
    }

    /// The same with another delimiter.
    pub fn lines_until(&self, delimiter: u8, limit: usize) -> Option<(usize, bool)> {
        let window = self.window(limit);
        if !window.contains(&delimiter) {
            return self.cut(limit);
        }
        window
            .iter()
            .rposition(|&byte| byte == delimiter)
            .map(|at| (at + 1, true))
    }

    /// As much of what is held as the limit allows.
    fn window(&self, limit: usize) -> &[u8] {
        &self.held()[..self.held().len().min(limit)]
    }

    fn cut(&self, limit: usize) -> Option<(usize, bool)> {
        (self.held().len() >= limit).then_some((limit, false))
    }

    /// How a reader that wants this ends without reading from the source. None: it must read. For
    /// an exact read, `Eof` is an error.
    pub fn answer(&self, want: Want, delimiter: u8) -> Option<(End, usize)> {
        let held = self.held().len();
        let end = |whole| if whole { End::Complete } else { End::Limit };
        let found = match want {
            Want::Some(size) if size == 0 || held > 0 => Some((End::Complete, held.min(size))),
            Want::Full(size) | Want::Exact(size) if held >= size => Some((End::Complete, size)),
            Want::ToEnd(limit) if held >= limit => Some((End::Limit, limit)),
            Want::Line(limit) => self
                .line_until(delimiter, limit)
                .map(|(len, whole)| (end(whole), len)),
            Want::Lines(limit) => self
                .lines_until(delimiter, limit)
                .map(|(len, whole)| (end(whole), len)),
            Want::Some(_) | Want::Full(_) | Want::Exact(_) | Want::ToEnd(_) => None,
        };
        match found {
            None if self.ended => Some((End::Eof, held)),
            found => found,
        }
    }

    /// A reader that wanted this has ended so: hands its bytes over.
    pub fn hand_over(&mut self, want: Want, end: End, len: usize) -> &[u8] {
        // The rest of a line, or a short full read, does not report the end: the outcome after it
        // does.
        if end == End::Eof && (len == 0 || matches!(want, Want::ToEnd(_))) {
            self.ended = false;
        }
        self.take(len)
    }

    /// An exact read has met the end of file: that is reported, and what came stays.
    pub fn report_end(&mut self) {
        self.ended = false;
    }

    /// How many bytes a reader gets whose deadline has come. None: an error.
    pub fn time_out(&self, want: Want) -> Option<usize> {
        match want {
            Want::Some(_) | Want::Full(_) | Want::ToEnd(_) if !self.held().is_empty() => {
                Some(self.held().len())
            }
            _ => None,
        }
    }
}
