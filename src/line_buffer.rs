//! The line parser: bytes in, lines out.
//!
//! The parser knows nothing of descriptors, tasks and time. Bytes come in at the back (`room`, then
//! `filled`) and leave at the front (`consume`, `lend`). `line` and `lines` say how many bytes at
//! the front belong together. Nothing is copied on the way out: bytes are lent to a task where they
//! lie. While a task looks at them, it shares the storage with the buffer. A buffer that is filled
//! meanwhile takes other storage.
//!
//! ```text
//!   0            start          scanned            end           storage.len()
//!   |  consumed  | no delimiter |  not looked at  |    room     |
//! ```
//!
//! `scanned` remembers how far the search has come. The bytes of a partial line are not searched
//! again when more bytes come, so a line that arrives byte by byte costs as much as one that
//! arrives whole.

mod lent;

use std::rc::Rc;

use crate::pool::{self, Storage};

pub(crate) use lent::Lent;

/// The bytes at the front of the buffer that a search has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// How many bytes, counted from the front. At least 1.
    pub len: usize,
    /// True if the bytes end with a delimiter, false if the limit cut a longer line.
    pub whole: bool,
}

/// A buffer that bytes are appended to and lines are taken from.
///
/// # Example
///
/// This shows how to feed the buffer and take a line:
///
/// ```
/// use asyncfile::line_buffer::LineBuffer;
///
/// let mut buffer = LineBuffer::new();
/// buffer.room(8)[..8].copy_from_slice(b"one\ntwo ");
/// buffer.filled(8);
/// let found = buffer.line(usize::MAX).unwrap();
/// assert_eq!(&buffer.bytes()[..found.len], b"one\n");
/// buffer.consume(found.len);
/// assert_eq!(buffer.line(usize::MAX), None);      // "two " is not a line yet
/// assert_eq!(buffer.bytes(), b"two ");
/// ```
#[derive(Default)]
pub struct LineBuffer {
    /// The memory. An empty buffer that is not in use has no memory, and costs only these four
    /// words. While a task looks at lent bytes, the task and the buffer share the memory if more
    /// bytes are buffered after the lent ones.
    storage: Option<Storage>,
    /// The index of the first byte that is not consumed. It is never greater than `scanned`.
    start: usize,
    /// How far the search has come: no delimiter lies in `start..scanned`. It is never greater than
    /// `end`.
    scanned: usize,
    /// One past the last byte that came in. Never greater than the storage's length.
    end: usize,
    /// How many bytes memchr has searched so far, for the tests.
    #[cfg(any(test, fuzzing))]
    pub searched: u64,
}

impl LineBuffer {
    /// An empty buffer. Allocates nothing.
    pub fn new() -> LineBuffer {
        LineBuffer::default()
    }

    /// How many bytes came in and were not consumed.
    #[inline]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// True if every byte that came in was consumed.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The bytes that came in and were not consumed.
    pub fn bytes(&self) -> &[u8] {
        match &self.storage {
            Some(storage) => &storage[self.start..self.end],
            None => &[],
        }
    }

    /// Keeps the first `len` of the bytes that were not consumed, and drops the rest.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start + len);
        self.scanned = self.scanned.min(self.end);
    }

    /// The first line, or its first `limit` bytes if it is longer than that. None if there is no
    /// newline yet and there are fewer than `limit` bytes. Only `\n` ends a line.
    #[inline]
    pub fn line(&mut self, limit: usize) -> Option<Found> {
        self.line_until(b'\n', limit)
    }

    /// All whole lines at the front that fit into `limit` bytes. If not even the first line fits,
    /// its first `limit` bytes. None if there is no newline yet and there are fewer than `limit`
    /// bytes.
    pub fn lines(&mut self, limit: usize) -> Option<Found> {
        self.lines_until(b'\n', limit)
    }

    /// The same as [`line`](LineBuffer::line), but with a delimiter of your choice. To change the
    /// delimiter, call [`search_anew`](LineBuffer::search_anew) first.
    #[inline]
    pub fn line_until(&mut self, delimiter: u8, limit: usize) -> Option<Found> {
        let horizon = self.end.min(self.start.saturating_add(limit));
        if self.scanned < horizon {
            let newline = memchr::memchr(delimiter, self.unsearched(horizon));
            let searched = newline.map_or(horizon - self.scanned, |at| at + 1);
            self.count(searched);
            if let Some(at) = newline {
                self.scanned += at; // stands on the newline, so the next call finds it at once
                return Some(Found {
                    len: self.scanned + 1 - self.start,
                    whole: true,
                });
            }
            self.scanned = horizon;
        }
        self.cut(limit)
    }

    /// The same as [`lines`](LineBuffer::lines), but with a delimiter of your choice. To change the
    /// delimiter, call [`search_anew`](LineBuffer::search_anew) first.
    pub fn lines_until(&mut self, delimiter: u8, limit: usize) -> Option<Found> {
        let horizon = self.end.min(self.start.saturating_add(limit));
        if self.scanned < horizon {
            // memrchr searches from the end and stops at the last delimiter. `scanned` does not
            // move. So the bytes after that delimiter are searched a second time, after the lines
            // before them are taken. They are never searched a third time.
            let newline = memchr::memrchr(delimiter, self.unsearched(horizon));
            self.count(horizon - self.scanned - newline.unwrap_or(0));
            if let Some(at) = newline {
                return Some(Found {
                    len: self.scanned + at + 1 - self.start,
                    whole: true,
                });
            }
            self.scanned = horizon;
        }
        self.cut(limit)
    }

    /// Forgets how far the search has come. The buffered bytes are searched once more, for another
    /// delimiter.
    pub fn search_anew(&mut self) {
        self.scanned = self.start;
    }

    #[inline]
    fn unsearched(&self, horizon: usize) -> &[u8] {
        self.storage
            .as_ref()
            .map_or(&[], |storage| &storage[self.scanned..horizon])
    }

    /// The first `limit` bytes of a line whose newline has not come. None if fewer bytes are
    /// buffered.
    #[inline]
    fn cut(&self, limit: usize) -> Option<Found> {
        if self.len() >= limit && limit > 0 {
            Some(Found {
                len: limit,
                whole: false,
            })
        } else {
            None
        }
    }

    #[cfg(any(test, fuzzing))]
    fn count(&mut self, searched: usize) {
        self.searched += searched as u64;
    }

    #[cfg(not(any(test, fuzzing)))]
    fn count(&mut self, _searched: usize) {}

    /// The free space at the back, to read into: at least 1 byte and at most `most` bytes, which
    /// must not be 0. After the read, call `filled` with how many bytes came.
    #[inline(always)]
    pub fn room(&mut self, most: usize) -> &mut [u8] {
        assert!(most > 0, "room for nothing");
        match self.storage {
            None => {
                self.storage = Some(pool::take_large());
                self.start = 0;
                self.scanned = 0;
                self.end = 0;
            }
            Some(_) => self.make_room(most),
        }
        let storage = self.storage.as_mut().and_then(Rc::get_mut);
        let storage = storage.expect("make_room leaves a storage that nobody else looks at");
        let space = &mut storage[self.end..];
        let size = space.len().min(most);
        &mut space[..size]
    }

    /// The same as `room`, but for an empty buffer, and exactly `size` bytes.
    #[cold]
    pub(crate) fn room_for(&mut self, size: usize) -> &mut [u8] {
        assert!(self.is_empty(), "only an empty buffer gives its storage up");
        let capacity = self.storage.as_ref().map_or(0, |storage| storage.len());
        if capacity < size {
            self.put_storage(Some(pool::take(size)));
            self.start = 0;
            self.scanned = 0;
            self.end = 0;
        }
        self.room(size)
    }

    /// Appends the first `size` bytes of the space that `room` gave.
    #[inline]
    pub fn filled(&mut self, size: usize) {
        let capacity = self.storage.as_ref().map_or(0, |storage| storage.len());
        assert!(
            size <= capacity - self.end,
            "filled more than there was room for"
        );
        self.end += size;
    }

    /// Takes `size` bytes from the front. They stay where they are until the next `room`, so they
    /// can be lent.
    #[inline]
    pub fn consume(&mut self, size: usize) {
        assert!(size <= self.len(), "consumed more than there is");
        self.start += size;
        if self.scanned < self.start {
            self.scanned = self.start;
        }
    }

    /// Notes that a task has found no delimiter in the first `size` bytes, which were lent to it.
    pub(crate) fn skip_search(&mut self, size: usize) {
        self.scanned = self.scanned.max(self.start + size);
        #[cfg(any(test, fuzzing))]
        assert!(self.scanned <= self.end, "searched more than there is");
    }

    /// Consumes all bytes and returns them. That costs no copy if they begin at the start of the
    /// storage, fill more than half of it, and no task looks at them.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let (start, len) = (self.start, self.len());
        let storage = self.storage.take();
        self.start = 0;
        self.scanned = 0;
        self.end = 0;
        match storage.map(Rc::try_unwrap) {
            None => Vec::new(),
            // The bytes are copied if they do not begin at the start of the storage, or fill no
            // more than half of it. The storage then goes back to the pool.
            Some(Ok(bytes)) if start > 0 || len <= bytes.len() / 2 => {
                let taken = bytes[start..start + len].to_vec();
                pool::give(Rc::new(bytes));
                taken
            }
            Some(Ok(mut bytes)) => {
                bytes.truncate(len);
                bytes
            }
            Some(Err(shared)) => shared[start..start + len].to_vec(),
        }
    }

    /// Gives the pool the memory that the buffer does not need while nothing comes in. An empty
    /// buffer gives all of it back. A partial line that fits into a small buffer moves there. A
    /// longer one stays where it is.
    #[inline]
    pub fn release_spare(&mut self) {
        if self.storage.is_some() {
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        if self.is_empty() {
            self.put_storage(None);
        } else if self.len() < pool::SMALL {
            let capacity = self.storage.as_ref().map_or(0, |storage| storage.len());
            if capacity > pool::SMALL {
                self.move_to(pool::take(self.len()));
            }
        }
    }

    /// Makes room after the buffered bytes. The buffered bytes move only if at least as many bytes
    /// before them were consumed, if the storage grows, or if a task still looks at the old
    /// storage. The cost of a byte is therefore constant on average.
    fn make_room(&mut self, most: usize) {
        if self.is_empty() {
            self.start = 0;
            self.scanned = 0;
            self.end = 0;
        }
        let wanted = most.min(pool::CHUNK);
        match &mut self.storage {
            None => self.storage = Some(pool::take_large()),
            Some(storage) => {
                let capacity = storage.len();
                let held = self.end - self.start;
                let enough = wanted.min(capacity / 4).max(1);
                match Rc::get_mut(storage) {
                    Some(_) if capacity - self.end >= enough && capacity > pool::SMALL => {}
                    // At least half of the storage is free then, which is enough.
                    Some(bytes) if capacity > pool::SMALL && self.start >= held => {
                        bytes.copy_within(self.start..self.end, 0);
                        self.rebase();
                    }
                    // The storage is full of one long line or read. `Vec` doubles its block by
                    // remapping pages, without a copy, and only the bytes that the next read may
                    // fill are initialised.
                    Some(bytes) if capacity > pool::LARGE && self.start == 0 => {
                        bytes.resize(self.end + pool::CHUNK, 0)
                    }
                    // The storage is lent (a body looks at its bytes), small (it held a blocked
                    // reader's partial line), or full.
                    _ => {
                        let size = if held < pool::SMALL {
                            pool::LARGE
                        } else {
                            held.max(pool::LARGE) * 2
                        };
                        self.move_to(pool::take(size));
                    }
                }
            }
        }
    }

    fn move_to(&mut self, mut storage: Storage) {
        let held = self.len();
        let bytes = Rc::get_mut(&mut storage).expect("a buffer fresh from the pool");
        bytes[..held].copy_from_slice(self.bytes());
        self.put_storage(Some(storage));
        self.rebase();
    }

    fn put_storage(&mut self, storage: Option<Storage>) {
        if let Some(old) = std::mem::replace(&mut self.storage, storage) {
            pool::give(old);
        }
        if self.storage.is_none() {
            self.rebase();
        }
    }

    /// Notes that the bytes have moved to the beginning of the storage.
    fn rebase(&mut self) {
        self.scanned -= self.start;
        self.end -= self.start;
        self.start = 0;
    }
}

impl Drop for LineBuffer {
    fn drop(&mut self) {
        if let Some(storage) = self.storage.take() {
            pool::give(storage);
        }
    }
}

impl std::fmt::Debug for LineBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "LineBuffer {{ {} B held, {} B searched for a newline }}",
            self.len(),
            self.scanned - self.start
        )
    }
}

#[cfg(test)]
mod tests;
