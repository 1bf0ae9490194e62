//! Bytes that a line buffer lends for one resume, and takes back.

use std::rc::Rc;

use super::LineBuffer;
use crate::pool::{self, Storage};

/// Bytes of a line buffer that are lent to a task for one resume, and the storage in which they
/// lie.
#[derive(Default)]
pub(crate) struct Lent {
    pub(super) storage: Option<Storage>,
    pub(super) start: usize,
    pub(super) len: usize,
    /// How many bytes are buffered after the lent ones.
    pub(super) behind: usize,
}

impl LineBuffer {
    /// Consumes `len` bytes and lends them. If no bytes are left in the buffer, the storage itself
    /// moves into the `Lent`. The buffer then has no memory until more bytes come in.
    #[inline]
    pub(crate) fn lend(&mut self, len: usize) -> Lent {
        let start = self.start;
        if len == self.len() {
            let storage = self.storage.take();
            self.start = 0;
            self.scanned = 0;
            self.end = 0;
            return Lent {
                storage,
                start,
                len,
                behind: 0,
            };
        }
        if len == 0 {
            return Lent::default();
        }
        self.consume(len);
        Lent {
            storage: self.storage.clone(),
            start,
            len,
            behind: self.len(),
        }
    }

    /// Puts the last `size` of the lent bytes back, in front of all buffered bytes.
    pub(crate) fn put_back(&mut self, lent: &mut Lent, size: usize) {
        if size > 0 && !self.is_behind(lent) {
            return self.put_before(&lent.bytes()[lent.len - size..]);
        }
        let storage = lent.storage.take();
        if size > 0 && self.storage.is_none() {
            self.storage = storage;
            self.end = lent.start + lent.len;
            self.start = self.end;
        } else if let Some(storage) = storage {
            pool::give(storage);
        }
        if size > 0 {
            self.start -= size;
            self.scanned = self.start;
        }
    }

    /// Whether no bytes came in and none were taken since these bytes were lent.
    fn is_behind(&self, lent: &Lent) -> bool {
        match (&self.storage, &lent.storage) {
            (Some(ours), Some(theirs)) => {
                Rc::ptr_eq(ours, theirs) && self.start == lent.start + lent.len
            }
            (None, _) => true,
            (Some(_), None) => false,
        }
    }

    /// Copies `bytes` into other storage, and the buffered bytes after them. This is needed if the
    /// body has read more of the same file, in another scheduler, while `bytes` were lent to it.
    #[cold]
    fn put_before(&mut self, bytes: &[u8]) {
        let end = bytes.len() + self.len();
        let mut storage = pool::take(end);
        let space = Rc::get_mut(&mut storage).expect("a buffer fresh from the pool");
        space[..bytes.len()].copy_from_slice(bytes);
        space[bytes.len()..end].copy_from_slice(self.bytes());
        self.put_storage(Some(storage));
        self.start = 0;
        self.scanned = 0;
        self.end = end;
    }
}

impl Lent {
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if bytes are buffered after the lent ones. The buffer then still uses the same memory.
    #[inline]
    pub fn is_shared(&self) -> bool {
        self.behind > 0
    }

    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.from(self.start, self.len)
    }

    /// The bytes that are buffered after the lent ones.
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
    /// Lends the first `len` bytes without consuming them.
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
