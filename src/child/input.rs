//! What a child is fed.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::io::OwnedFd;
use std::rc::Rc;

use crate::data::Data;
use crate::descriptor::Descriptor;
use crate::file::AsyncFile;
use crate::machine::read::Inflow;
use crate::port::Port;
use crate::sys::{self, Kind, Owned};

/// What a child is fed by a communicate: nothing (`()`), bytes and strings as for a write, a `File`
/// from its current position, an [`AsyncFile`] (what it has buffered first).
pub struct Input(pub(crate) Feed);

pub(crate) enum Feed {
    Nothing,
    Bytes(Data),
    /// A regular file, read in bounded pieces. Its reads wait for the disk alone.
    File(Owned, Box<Inflow>),
    Stream(Rc<Descriptor>),
    /// It could not be made asynchronous.
    Broken(io::Error),
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Feed::Nothing => f.write_str("nothing"),
            Feed::Bytes(data) => data.fmt(f),
            Feed::File(file, _) => write!(f, "file fd {}", file.number()),
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
    /// The child is fed the bytes that have come in on the file, then those that are still to come.
    /// The file is read no further than the child reads.
    fn from(file: AsyncFile) -> Input {
        Input(Feed::Stream(Rc::clone(file.descriptor())))
    }
}

impl From<File> for Input {
    /// One that is not a regular file (a FIFO, a terminal) is treated as an AsyncFile.
    fn from(file: File) -> Input {
        let file = Owned::from(OwnedFd::from(file));
        Input(match sys::kind(file.number()) {
            Ok(Kind::Regular) => Feed::File(file, Box::default()),
            Ok(_) => match Port::take_over(file) {
                Ok(port) => Feed::Stream(Rc::new(Descriptor::new(port))),
                Err(error) => Feed::Broken(error),
            },
            Err(error) => Feed::Broken(error),
        })
    }
}

impl<T> From<T> for Input
where
    Data: From<T>,
{
    /// Bytes and strings, as for a write.
    fn from(bytes: T) -> Input {
        let data = Data::from(bytes);
        Input(match data.len() {
            0 => Feed::Nothing,
            _ => Feed::Bytes(data),
        })
    }
}
