//! Bytes to be written: to a file, or to a child.

use std::fmt;
use std::rc::Rc;

use crate::pool::{self, Storage};

/// Bytes to be written. Borrowed bytes and arrays are copied: up to 15 bytes into the operation
/// itself, more into a recycled buffer. A `Vec` or a `String` is moved, and an `Rc<[u8]>` is
/// shared.
pub struct Data(Bytes);

enum Bytes {
    /// Up to 15 bytes, with their count in the sixteenth byte. The type is two words, because the
    /// compiler would move an array of bytes byte by byte.
    Few([u64; 2]),
    Copied {
        storage: Storage,
        len: usize,
    },
    Moved(Vec<u8>),
    Shared(Rc<[u8]>),
}

/// The most bytes that lie in the operation itself.
const FEW: usize = 15;

/// Room for the bytes of [`Bytes::Few`], while a caller looks at them.
pub(crate) type Few = [u8; 16];

impl Data {
    #[inline]
    fn copy(bytes: &[u8]) -> Data {
        if bytes.len() > FEW {
            return Data::copy_many(bytes);
        }
        let mut few: Few = [0; 16];
        few[..bytes.len()].copy_from_slice(bytes);
        few[FEW] = bytes.len() as u8;
        let word = |at: usize| few[at..at + 8].try_into().map_or(0, u64::from_ne_bytes);
        Data(Bytes::Few([word(0), word(8)]))
    }

    fn copy_many(bytes: &[u8]) -> Data {
        let mut storage = pool::take(bytes.len());
        let space = Rc::get_mut(&mut storage).expect("a buffer fresh from the pool");
        space[..bytes.len()].copy_from_slice(bytes);
        Data(Bytes::Copied {
            storage,
            len: bytes.len(),
        })
    }

    /// The bytes. If they lie in the operation itself, they are copied into `few` first.
    #[inline]
    pub(crate) fn bytes<'a>(&'a self, few: &'a mut Few) -> &'a [u8] {
        match &self.0 {
            Bytes::Few([one, two]) => {
                few[..8].copy_from_slice(&one.to_ne_bytes());
                few[8..].copy_from_slice(&two.to_ne_bytes());
                &few[..usize::from(few[FEW]).min(FEW)]
            }
            Bytes::Copied { storage, len } => &storage[..*len],
            Bytes::Moved(bytes) => bytes,
            Bytes::Shared(bytes) => bytes,
        }
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.bytes(&mut [0; 16]).len()
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B", self.len())
    }
}

impl Data {
    /// Gives the buffer of a copy back to the pool. This is not inlined, so that the drop of a few
    /// bytes, which have no buffer, stays small.
    #[cold]
    #[inline(never)]
    fn recycle(&mut self) {
        if let Bytes::Copied { storage, .. } = std::mem::replace(&mut self.0, Bytes::Few([0; 2])) {
            pool::give(storage);
        }
    }
}

impl Drop for Data {
    #[inline]
    fn drop(&mut self) {
        if let Bytes::Copied { .. } = self.0 {
            self.recycle();
        }
    }
}

impl From<&[u8]> for Data {
    #[inline]
    fn from(bytes: &[u8]) -> Data {
        Data::copy(bytes)
    }
}

impl<const N: usize> From<&[u8; N]> for Data {
    #[inline]
    fn from(bytes: &[u8; N]) -> Data {
        Data::copy(bytes)
    }
}

impl<const N: usize> From<[u8; N]> for Data {
    #[inline]
    fn from(bytes: [u8; N]) -> Data {
        Data::copy(&bytes)
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
