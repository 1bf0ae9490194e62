//! Bytes that are to be written: to a file, or to a child.

use std::rc::Rc;

use crate::pool::{self, Storage};

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
