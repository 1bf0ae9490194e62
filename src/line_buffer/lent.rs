//! Bytes that have left a line buffer, for one resume.

use super::LineBuffer;
use crate::pool::{self, Storage};

/// See the head of this file.
#[derive(Default)]
pub(crate) struct Lent {
    pub(super) storage: Option<Storage>,
    pub(super) start: usize,
    pub(super) len: usize,
    /// How many bytes are buffered behind the lent ones.
    pub(super) behind: usize,
}

impl Lent {
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the file's buffer shares the memory, because bytes are buffered behind the lent
    /// ones.
    #[inline]
    pub fn is_shared(&self) -> bool {
        self.behind > 0
    }

    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.from(self.start, self.len)
    }

    /// The bytes that are buffered behind the lent ones.
    #[inline]
    pub fn behind(&self) -> &[u8] {
        self.from(self.start + self.len, self.behind)
    }

    #[inline]
    fn from(&self, start: usize, len: usize) -> &[u8] {
        match &self.storage {
            Some(storage) => &storage[start..start + len],
            None => &[],
        }
    }
}

impl LineBuffer {
    /// Lends the first `len` bytes and keeps them.
    pub(crate) fn show(&self, len: usize) -> Lent {
        Lent {
            storage: self.storage.clone(),
            start: self.start,
            len,
            behind: 0,
        }
    }
}

impl Drop for Lent {
    #[inline]
    fn drop(&mut self) {
        if let Some(storage) = self.storage.take() {
            pool::give(storage);
        }
    }
}
