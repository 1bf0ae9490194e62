//! The numbers of the process, the open file descriptions, and the objects to which they refer.
//!
//! ```text
//!     number of the process ──┐
//!     number of the process ──┼──► open file description (flags, position) ──► a stream or two, a file, a child
//!     end of an actor       ──┘
//! ```

use std::io;
use std::os::unix::io::RawFd;

use libc::c_int;

use super::stream::Stream;
use super::{errno, Kernel, Passed};
use crate::sys::Kind;

/// The first number that the process gets. It is far from the numbers of the real kernel.
pub(super) const FIRST: RawFd = 1000;

/// The index of an open file description.
pub(super) type Id = usize;

/// What an open file description stands for. Streams are named by their place.
#[derive(Debug)]
pub(super) enum Object {
    Reader(usize),
    Writer(usize),
    Socket {
        input: usize,
        output: usize,
        /// Whether the socket keeps messages apart, and whether its messages have an end.
        kind: Kind,
    },
    Regular {
        contents: Vec<u8>,
        position: usize,
    },
    Pidfd(u32),
    Null,
}

/// The kind of file that the reader of a stream seems to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guise {
    /// An end of a pipe.
    Pipe,
    /// A file whose mode says that it is regular, but whose reader may have to wait.
    File,
    /// A terminal. Its end is EIO, and a read of more bytes than there are waits for the rest.
    Terminal,
}

#[derive(Debug)]
pub(super) struct Description {
    pub object: Object,
    /// The access mode and O_NONBLOCK.
    pub flags: c_int,
    /// The flags that the description had when the process got it.
    found: c_int,
    /// How many numbers of the process and ends of actors refer to the description.
    holders: usize,
    /// How many of the holders are numbers of the process.
    numbers: usize,
    /// Whether the description takes RWF_NOWAIT. None until it was asked for.
    pub has_nowait: Option<bool>,
    /// Whether the description is an end of a wake pipe. The bytes in a wake pipe are no data.
    pub is_wake: bool,
    /// Whether the description is an end of a pipe that the library has made for a child. Nobody
    /// else shares the flags of such an end.
    pub is_own: bool,
    /// The kind of file as which a reader appears.
    pub guise: Guise,
    /// Of a socket: poll(2) says ERR, and no call reports it.
    pub has_error_queue: bool,
    /// Only for a socket: its sending side was shut down.
    pub is_shut: bool,
    /// Of a datagram socket: a send has found that its peer is gone.
    pub has_lost_peer: bool,
}

impl Description {
    pub fn is_nonblocking(&self) -> bool {
        self.flags & libc::O_NONBLOCK != 0
    }

    /// Whether an actor refers to this open file description, besides the descriptor numbers.
    pub fn has_actor(&self) -> bool {
        self.holders > self.numbers
    }

    pub fn kind(&self) -> Kind {
        match self.object {
            Object::Reader(_) if self.guise == Guise::Terminal => Kind::Tty,
            Object::Reader(_) if self.guise == Guise::File => Kind::Other,
            Object::Reader(_) | Object::Writer(_) => Kind::Pipe,
            Object::Socket { kind, .. } => kind,
            Object::Regular { .. } => Kind::Regular,
            Object::Pidfd(_) | Object::Null => Kind::Other,
        }
    }
}

impl Kernel {
    /// An open file description that nobody holds yet.
    pub(super) fn describe(&mut self, object: Object, flags: c_int) -> Id {
        let description = Description {
            object,
            flags,
            found: flags,
            holders: 0,
            numbers: 0,
            has_nowait: None,
            is_wake: false,
            is_own: false,
            guise: Guise::Pipe,
            has_error_queue: false,
            is_shut: false,
            has_lost_peer: false,
        };
        self.descriptions.push(description);
        self.descriptions.len() - 1
    }

    /// The two ends of a pipe, reader first.
    pub(super) fn describe_pipe(&mut self, capacity: usize) -> (Id, Id) {
        let stream = self.add_stream(capacity);
        (
            self.describe(Object::Reader(stream), libc::O_RDONLY),
            self.describe(Object::Writer(stream), libc::O_WRONLY),
        )
    }

    pub(super) fn describe_socketpair(&mut self, capacity: usize, kind: Kind) -> (Id, Id) {
        let (there, back) = (self.add_stream(capacity), self.add_stream(capacity));
        let one = self.describe(
            Object::Socket {
                input: back,
                output: there,
                kind,
            },
            libc::O_RDWR,
        );
        (
            one,
            self.describe(
                Object::Socket {
                    input: there,
                    output: back,
                    kind,
                },
                libc::O_RDWR,
            ),
        )
    }

    fn add_stream(&mut self, capacity: usize) -> usize {
        self.streams.push(Stream::new(capacity));
        self.streams.len() - 1
    }

    /// Gives the description the lowest free number.
    pub(super) fn number(&mut self, id: Id) -> RawFd {
        let description = &mut self.descriptions[id];
        description.holders += 1;
        description.numbers += 1;
        let place = match self.numbers.iter().position(Option::is_none) {
            Some(place) => place,
            None => {
                self.numbers.push(None);
                self.numbers.len() - 1
            }
        };
        self.numbers[place] = Some(id);
        FIRST + place as RawFd
    }

    /// Counts an actor that holds the description.
    pub(super) fn hold(&mut self, id: Id) {
        self.descriptions[id].holders += 1;
    }

    /// Counts one holder less. When the last holder has let go, the ends of its streams are closed.
    pub(super) fn release(&mut self, id: Id) {
        self.is_stirred = true;
        let description = &mut self.descriptions[id];
        description.holders -= 1;
        if description.holders > 0 {
            return;
        }
        match description.object {
            Object::Reader(stream) => self.streams[stream].has_reader = false,
            Object::Writer(stream) => self.streams[stream].has_writer = false,
            Object::Socket {
                input,
                output,
                kind,
            } => {
                // Linux's unix_release_sock: the peer learns that its bytes were not read. Only the
                // peer of a datagram socket does not.
                self.streams[output].is_reset =
                    !self.streams[input].is_empty() && kind != Kind::Datagram;
                self.streams[input].clear();
                self.streams[input].has_reader = false;
                self.streams[output].has_writer = false;
            }
            Object::Regular { .. } | Object::Pidfd(_) | Object::Null => {}
        }
    }

    pub(super) fn lookup(&self, fd: RawFd) -> Option<Id> {
        let place = usize::try_from(fd.checked_sub(FIRST)?).ok()?;
        self.numbers.get(place).copied().flatten()
    }

    pub(super) fn open(&self, fd: RawFd) -> io::Result<Id> {
        self.lookup(fd).ok_or_else(|| errno(libc::EBADF))
    }

    /// Closes the number. Returns whether it was open.
    pub(super) fn close_number(&mut self, fd: RawFd, is_behind: bool) -> bool {
        let id = match self.lookup(fd) {
            Some(id) => id,
            None => return false,
        };
        self.numbers[(fd - FIRST) as usize] = None;
        let description = &mut self.descriptions[id];
        description.numbers -= 1;
        let is_changed = (description.flags ^ description.found) & libc::O_NONBLOCK != 0;
        if description.numbers == 0 && is_changed && !is_behind && !description.is_own {
            self.changed_flags += 1;
        }
        self.release(id);
        true
    }

    /// ioctl(2), FIONREAD.
    pub(super) fn readable_bytes(&mut self, fd: RawFd) -> io::Result<usize> {
        self.enter();
        let id = self.open(fd)?;
        match self.descriptions[id].object {
            // For datagrams, the length of the next message; for other sockets, all bytes (Linux's
            // unix_inq_len).
            Object::Socket {
                input,
                kind: Kind::Datagram,
                ..
            } => Ok(self.streams[input].messages.front().copied().unwrap_or(0)),
            Object::Reader(input) | Object::Socket { input, .. } => {
                Ok(self.streams[input].bytes.len())
            }
            _ => Err(errno(libc::ENOTTY)),
        }
    }

    /// shutdown(2), SHUT_WR.
    pub(super) fn shut_down_write(&mut self, fd: RawFd) -> io::Result<()> {
        self.enter();
        let fault = self.hit(self.faults.shutdown_enotconn, "shutdown ENOTCONN");
        let answer = match self.open(fd) {
            Ok(_) if fault => Err(errno(libc::ENOTCONN)),
            Ok(id) => self.shut_down(id),
            Err(error) => Err(error),
        };
        if answer.is_ok() {
            self.passed.push((fd, Passed::ShutDown));
        }
        self.note(|| format!("shutdown(fd {fd}, SHUT_WR) = {answer:?}"));
        answer
    }

    /// Shuts the sending side down. The peer of a datagram socket does not learn of it (Linux's
    /// unix_shutdown). Actors call this, too.
    pub(super) fn shut_down(&mut self, id: Id) -> io::Result<()> {
        match self.descriptions[id].object {
            Object::Socket { output, kind, .. } => {
                self.is_stirred = true;
                self.descriptions[id].is_shut = true;
                self.streams[output].has_writer &= kind == Kind::Datagram;
                Ok(())
            }
            _ => Err(errno(libc::ENOTSOCK)),
        }
    }

    pub(super) fn status_flags(&mut self, fd: RawFd) -> io::Result<c_int> {
        self.enter();
        let answer = self.open(fd).map(|id| self.descriptions[id].flags);
        self.note(|| format!("fcntl(fd {fd}, F_GETFL) = {answer:x?}"));
        answer
    }

    pub(super) fn set_status_flags(&mut self, fd: RawFd, flags: c_int) -> io::Result<()> {
        self.enter();
        self.note(|| format!("fcntl(fd {fd}, F_SETFL, {flags:#x})"));
        let description = self.open(fd)?;
        let description = &mut self.descriptions[description];
        // F_SETFL ignores the access mode (fcntl(2)).
        description.flags = (description.flags & libc::O_ACCMODE) | (flags & libc::O_NONBLOCK);
        Ok(())
    }

    pub(super) fn duplicate(&mut self, fd: RawFd) -> io::Result<RawFd> {
        self.enter();
        let answer =
            self.open(fd)
                .and_then(|id| match self.hit(self.faults.dup_emfile, "dup EMFILE") {
                    true => Err(errno(libc::EMFILE)),
                    false => Ok(self.number(id)),
                });
        self.note(|| format!("dup(fd {fd}) = {answer:?}"));
        answer
    }

    /// Makes a wake pipe. Returns the reader first.
    pub(super) fn wake_pipe(&mut self) -> io::Result<(RawFd, RawFd)> {
        self.enter();
        if self.hit(self.faults.wake_pipe_emfile, "wake pipe EMFILE") {
            return Err(errno(libc::EMFILE));
        }
        if self.hit(self.faults.wake_pipe_enfile, "wake pipe ENFILE") {
            return Err(errno(libc::ENFILE));
        }
        let (reader, writer) = self.describe_pipe(1 << 16);
        for id in [reader, writer] {
            let description = &mut self.descriptions[id];
            description.flags |= libc::O_NONBLOCK;
            description.found = description.flags;
            description.is_wake = true;
        }
        let ends = (self.number(reader), self.number(writer));
        self.note(|| format!("pipe2() = {ends:?}"));
        Ok(ends)
    }

    /// fstat(2). For a socket also getsockopt(2) with SO_TYPE.
    pub(super) fn kind(&mut self, fd: RawFd) -> io::Result<Kind> {
        self.enter();
        let id = self.lookup(fd);
        let is_socket = id.map_or(false, |id| {
            matches!(self.descriptions[id].object, Object::Socket { .. })
        });
        self.types += u64::from(is_socket);
        let answer =
            self.open(fd).and_then(
                |id| match self.hit(self.faults.stat_enomem, "fstat ENOMEM") {
                    true => Err(errno(libc::ENOMEM)),
                    false => Ok(self.descriptions[id].kind()),
                },
            );
        self.note(|| format!("fstat(fd {fd}) = {answer:?}"));
        answer
    }
}
