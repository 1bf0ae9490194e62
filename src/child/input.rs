//! The input of a child.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::io::OwnedFd;
use std::rc::Rc;

use crate::data::Data;
use crate::descriptor::Descriptor;
use crate::file::AsyncFile;
use crate::port::Port;

/// The input that a communicate feeds to a child: nothing (`()`), bytes or a string (as for a
/// write), a `File` from its current position on, or an [`AsyncFile`], whose buffered bytes come
/// first.
pub struct Input(pub(crate) Feed);

pub(crate) enum Feed {
    Nothing,
    Bytes(Data),
    Stream(Rc<Descriptor>),
    /// A file that could not be made asynchronous.
    Broken(io::Error),
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Feed::Nothing => f.write_str("nothing"),
            Feed::Bytes(data) => data.fmt(f),
            Feed::Stream(file) => file.fmt(f),
            Feed::Broken(error) => error.fmt(f),
        }
    }
}

impl Feed {
    pub fn is_nothing(&self) -> bool {
        matches!(self, Feed::Nothing)
    }

    pub fn stream(&self) -> Option<&Rc<Descriptor>> {
        match self {
            Feed::Stream(file) => Some(file),
            _ => None,
        }
    }
}

impl From<()> for Input {
    fn from((): ()) -> Input {
        Input(Feed::Nothing)
    }
}

impl From<AsyncFile> for Input {
    /// The child is fed all bytes of the file: those that are buffered already, then those that are
    /// still to come. The file is read no faster than the child reads.
    fn from(file: AsyncFile) -> Input {
        Input(Feed::Stream(Rc::clone(file.descriptor())))
    }
}

impl From<File> for Input {
    /// A file of any kind becomes an asynchronous file, and all its bytes are fed. If no bytes have
    /// come yet (a FIFO, a terminal), the communicate waits for them.
    fn from(file: File) -> Input {
        Input(match Port::take_over(OwnedFd::from(file)) {
            Ok(port) => Feed::Stream(Rc::new(Descriptor::new(port))),
            Err(error) => Feed::Broken(error),
        })
    }
}

impl<T> From<T> for Input
where
    Data: From<T>,
{
    /// Makes an input out of bytes or a string: out of all that a write takes.
    fn from(bytes: T) -> Input {
        let data = Data::from(bytes);
        Input(match data.len() {
            0 => Feed::Nothing,
            _ => Feed::Bytes(data),
        })
    }
}
