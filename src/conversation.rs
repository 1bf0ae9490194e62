//! What a child is fed, and what outlives a communicate that was cut.

use std::fs::File;
use std::io;
use std::os::unix::io::OwnedFd;
use std::rc::Rc;

use crate::data::Data;
use crate::descriptor::Descriptor;
use crate::error::invalid;
use crate::machine::communicate::Communicator;
use crate::machine::read::Inflow;
use crate::port::Port;
use crate::sys::{self, Kind, Owned};
use crate::waiters::Waiters;

/// What a child is fed by a communicate: nothing (`()`), bytes and strings as for a write, a `File` from its current position, an
/// [`AsyncFile`](crate::AsyncFile) (what it has buffered first).
pub struct Input(pub(crate) Source);

pub(crate) enum Source {
    Nothing,
    Bytes(Data),
    /// A regular file, read in bounded pieces: it never makes poll(2) wait.
    File(Owned, Box<Inflow>),
    Stream(Rc<Descriptor>),
    /// It could not be made asynchronous.
    Broken(io::Error),
}

impl Source {
    pub fn is_nothing(&self) -> bool {
        matches!(self, Source::Nothing)
    }
}

/// What outlives a communicate that was cut: the rest of the input, and which streams have ended. What was collected is in the
/// streams' buffers.
pub(crate) struct Conversation {
    pub machine: Communicator,
    pub input: Source,
    /// The communicates that are under way, in the order they were waited for.
    pub waiters: Waiters,
    /// It has ended with the child's status: who asks again gets that, and nothing else.
    pub is_over: bool,
}

impl Conversation {
    pub fn new(has_stdout: bool, has_stderr: bool) -> Conversation {
        Conversation {
            machine: Communicator::new(has_stdout, has_stderr),
            input: Source::Nothing,
            waiters: Waiters::default(),
            is_over: false,
        }
    }

    /// Takes over a new input, unless some of the old one is left.
    pub fn adopt(&mut self, input: Source) -> io::Result<()> {
        match input {
            _ if self.is_over => Ok(()),
            Source::Nothing => Ok(()),
            Source::Broken(error) => Err(error),
            _ if !self.input.is_nothing() => {
                Err(invalid("new input while some of the old one is left: communicate(()) goes on with that"))
            }
            input => {
                self.input = input;
                Ok(())
            }
        }
    }

    /// Nothing more is fed. What an AsyncFile has not been asked for stays in it.
    pub fn release_input(&mut self) {
        self.input = Source::Nothing;
    }
}

impl From<Data> for Input {
    fn from(data: Data) -> Input {
        Input(if data.bytes().is_empty() { Source::Nothing } else { Source::Bytes(data) })
    }
}

impl From<()> for Input {
    fn from((): ()) -> Input {
        Input(Source::Nothing)
    }
}

impl From<File> for Input {
    /// One that is not a regular file (a FIFO, a terminal) is treated as an AsyncFile.
    fn from(file: File) -> Input {
        let file = Owned::from(OwnedFd::from(file));
        Input(match sys::kind(file.number()) {
            Ok(Kind::Regular) => Source::File(file, Box::default()),
            Ok(_) => match Port::take_over(file) {
                Ok(port) => Source::Stream(Rc::new(Descriptor::new(port))),
                Err(error) => Source::Broken(error),
            },
            Err(error) => Source::Broken(error),
        })
    }
}

impl From<&[u8]> for Input {
    fn from(bytes: &[u8]) -> Input {
        Data::from(bytes).into()
    }
}

impl<const N: usize> From<&[u8; N]> for Input {
    fn from(bytes: &[u8; N]) -> Input {
        Data::from(bytes).into()
    }
}

impl From<&Vec<u8>> for Input {
    fn from(bytes: &Vec<u8>) -> Input {
        Data::from(bytes).into()
    }
}

impl From<&str> for Input {
    fn from(bytes: &str) -> Input {
        Data::from(bytes).into()
    }
}

impl From<&String> for Input {
    fn from(bytes: &String) -> Input {
        Data::from(bytes).into()
    }
}

impl From<Vec<u8>> for Input {
    fn from(bytes: Vec<u8>) -> Input {
        Data::from(bytes).into()
    }
}

impl From<String> for Input {
    fn from(bytes: String) -> Input {
        Data::from(bytes).into()
    }
}

impl From<Rc<[u8]>> for Input {
    fn from(bytes: Rc<[u8]>) -> Input {
        Data::from(bytes).into()
    }
}
