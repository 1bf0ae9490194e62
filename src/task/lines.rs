//! The lines of a readlines, one by one. What is not taken stays in the file.

use std::cell::Cell;

/// The lines of a readlines: see [`Task::lines`](crate::Task::lines).
#[derive(Clone, Debug)]
pub struct Lines<'e> {
    pub(super) rest: &'e [u8],
    /// How many bytes are before `rest`.
    pub(super) before: usize,
    /// How many bytes the iterators over these lines have yielded. Of several iterators (clones),
    /// the furthest one counts.
    pub(super) taken: &'e Cell<usize>,
    pub(super) delimiter: u8,
}

impl<'e> Lines<'e> {
    /// Returns the lines that this iterator has not yielded, in one piece. The last one lacks its
    /// newline if a limit or the end of file came first. They count as yielded, and do not stay in
    /// the file.
    ///
    /// # Example
    ///
    /// This shows how to pass on all whole lines unchanged:
    ///
    /// ```
    /// use asyncfile::{done, AsyncFile, Scheduler};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let (mut theirs, ours) = UnixStream::pair()?;
    /// theirs.write_all(b"one\ntwo\nthr")?;
    /// let mut sched = Scheduler::new();
    /// let task = sched.spawn(AsyncFile::new(ours)?.readlines(), |task| {
    ///     done(task.lines()?.into_slice().to_vec())
    /// });
    /// assert_eq!(sched.join(task)?, b"one\ntwo\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_slice(mut self) -> &'e [u8] {
        let rest = std::mem::take(&mut self.rest);
        self.has_taken(rest.len());
        rest
    }

    /// Counts `len` more bytes as yielded by this iterator. `taken` keeps the largest count of all
    /// iterators over these lines.
    #[inline]
    fn has_taken(&mut self, len: usize) {
        self.before += len;
        if self.before > self.taken.get() {
            self.taken.set(self.before);
        }
    }
}

impl<'e> Iterator for Lines<'e> {
    type Item = &'e [u8];

    #[inline]
    fn next(&mut self) -> Option<&'e [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let len = memchr::memchr(self.delimiter, self.rest).map_or(self.rest.len(), |at| at + 1);
        let (line, rest) = self.rest.split_at(len);
        self.rest = rest;
        self.has_taken(len);
        Some(line)
    }
}
