//! A descriptor as a source and a sink, which know their own readiness.
//!
//! A call is kept from waiting in the kernel in one of three ways:
//! - O_NONBLOCK, where the open file description is ours to change;
//! - a flag with each call, for sockets and for pipes that the library made;
//! - one call for each answer of poll(2), where other processes share the open file description,
//!   because O_NONBLOCK would change their calls as well.
//!
//! The calls of a regular file wait for the disk.
//!
//! A source becomes ready with an answer of poll(2), and stays ready until a call shows that it is
//! not. A sink is ready from the start, until a call shows that it is not, so a write that fits
//! costs no poll(2). Where each answer of poll(2) allows one call, poll(2) is asked before a write
//! as well.

mod calls;
mod guess;

use std::cell::Cell;
use std::io;
use std::os::unix::io::{OwnedFd, RawFd};

use libc::{c_int, c_short, POLLERR, POLLHUP, POLLIN, POLLOUT};

use crate::sys::{self, Kind, Owned};

pub(crate) use calls::Calls;
use guess::Guess;

/// A direction of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

impl Direction {
    /// The event that poll(2) is asked for.
    #[inline]
    pub fn events(self) -> c_short {
        match self {
            Direction::Read => POLLIN,
            Direction::Write => POLLOUT,
        }
    }
}

/// How a call is kept from waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// O_NONBLOCK is set on the open file description.
    Nonblocking,
    /// A pipe that the library made. Each read and write has the flag RWF_NOWAIT, which saves the
    /// fcntl(2) that sets O_NONBLOCK. If the kernel refuses RWF_NOWAIT, the first read or write
    /// sets O_NONBLOCK.
    Own,
    /// A socket: each call has MSG_DONTWAIT, and the flags of the open file description are left
    /// alone.
    Socket,
    /// A regular file: poll(2) says that it is always ready. Its calls wait for the disk.
    Regular,
    /// The open file description is shared with other processes, so its flags are not changed. Each
    /// answer of poll(2) allows one call, and a write has at most PIPE_BUF bytes. A read of a
    /// terminal asks for no more than what is there. A terminal is not written to, because POLLOUT
    /// promises far less than PIPE_BUF bytes of room there.
    Careful,
    /// The same as Careful, but reads have RWF_NOWAIT and cannot wait.
    CarefulNowait,
}

/// A descriptor, and what is known of its readiness. A port does not close its descriptor by itself: see
/// [`close`](Port::close).
pub(crate) struct Port {
    fd: RawFd,
    /// The process that set O_NONBLOCK on the open file description, and clears it again; 0 if none
    /// did. A fork of that process shares the open file description and must leave its flags alone.
    set_by: Cell<u32>,
    mode: Cell<Mode>,
    kind: Kind,
    /// Whether it is a socket that keeps messages apart: one read is one message, and so is one
    /// write.
    pub keeps_messages: bool,
    can_be_read: bool,
    can_be_written: bool,
    /// `is_readable` says whether a read is worth a system call, and `is_writable` whether a write
    /// is.
    is_readable: Cell<bool>,
    is_writable: Cell<bool>,
    /// Whether poll(2) has reported a hangup. Reads do not wait after that.
    is_hung_up: Cell<bool>,
    /// Whether poll(2) has answered POLLERR, and no call has met EAGAIN since.
    is_in_error: Cell<bool>,
    /// Whether the descriptor was closed behind the library's back: its number may be another
    /// file's by now.
    is_lost: Cell<bool>,
    guess: Guess,
}

impl Port {
    /// Takes over a descriptor. Sets O_NONBLOCK on its open file description, unless it is a socket
    /// or a regular file, and notes whether the flag must be cleared again.
    pub fn take_over(fd: impl Into<Owned>) -> io::Result<Port> {
        let fd = fd.into();
        let kind = sys::kind(fd.number())?;
        match kind {
            Kind::Regular => Ok(Port::new(fd, Mode::Regular, kind, libc::O_RDWR)),
            Kind::Socket | Kind::Datagram | Kind::Seqpacket => {
                Ok(Port::new(fd, Mode::Socket, kind, libc::O_RDWR))
            }
            Kind::Pipe | Kind::Tty | Kind::Other => {
                let flags = sys::status_flags(fd.number())?;
                let is_ours_to_set = flags & libc::O_NONBLOCK == 0;
                if is_ours_to_set {
                    sys::set_status_flags(fd.number(), flags | libc::O_NONBLOCK)?;
                }
                let port = Port::new(fd, Mode::Nonblocking, kind, flags);
                if is_ours_to_set {
                    port.set_by.set(std::process::id());
                }
                Ok(port)
            }
        }
    }

    /// Takes over an end of a pipe that the library has made. Nobody else has its open file
    /// description, so its flags are known and need not be put back.
    pub fn of_own_pipe(fd: Owned, direction: Direction) -> Port {
        let access = match direction {
            Direction::Read => libc::O_RDONLY,
            Direction::Write => libc::O_WRONLY,
        };
        Port::new(fd, Mode::Own, Kind::Pipe, access)
    }

    /// Changes to a mode without RWF_NOWAIT, because the kernel refuses that flag.
    #[cold]
    fn do_without_nowait(&self) -> io::Result<()> {
        if self.mode.get() != Mode::Own {
            self.mode.set(Mode::Careful);
            return Ok(());
        }
        sys::set_status_flags(self.fd, libc::O_NONBLOCK)?;
        self.set_by.set(std::process::id());
        self.mode.set(Mode::Nonblocking);
        Ok(())
    }

    /// Makes a port for a file whose descriptor another owner keeps. The port has a second
    /// descriptor of the same open file description, whose flags are left alone. A terminal is
    /// reopened, if that is possible.
    pub fn duplicate(fd: RawFd) -> io::Result<Port> {
        let kind = sys::kind(fd)?;
        let flags = sys::status_flags(fd)?;
        let (fd, mode) = match kind {
            Kind::Regular => (sys::duplicate(fd)?, Mode::Regular),
            Kind::Socket | Kind::Datagram | Kind::Seqpacket => (sys::duplicate(fd)?, Mode::Socket),
            Kind::Pipe => (sys::duplicate(fd)?, Mode::CarefulNowait),
            Kind::Other => (sys::duplicate(fd)?, Mode::Careful),
            Kind::Tty => match sys::reopen_tty(fd) {
                Ok(own) => (own, Mode::Nonblocking),
                Err(_) => (sys::duplicate(fd)?, Mode::Careful),
            },
        };
        Ok(Port::new(fd, mode, kind, flags))
    }

    /// A port without a descriptor.
    pub fn absent() -> Port {
        Port {
            fd: -1,
            set_by: Cell::new(0),
            mode: Cell::new(Mode::Careful),
            kind: Kind::Other,
            keeps_messages: false,
            can_be_read: true,
            can_be_written: true,
            is_readable: Cell::new(false),
            is_writable: Cell::new(false),
            is_hung_up: Cell::new(false),
            is_in_error: Cell::new(false),
            is_lost: Cell::new(true),
            guess: Guess::default(),
        }
    }

    fn new(fd: Owned, mode: Mode, kind: Kind, flags: c_int) -> Port {
        let access = flags & libc::O_ACCMODE;
        let may_wait = mode == Mode::Careful && kind == Kind::Tty;
        let port = Port {
            fd: fd.into_number(),
            mode: Cell::new(mode),
            kind,
            keeps_messages: matches!(kind, Kind::Datagram | Kind::Seqpacket),
            can_be_read: access != libc::O_WRONLY,
            can_be_written: access != libc::O_RDONLY && !may_wait,
            is_lost: Cell::new(false),
            ..Port::absent()
        };
        port.set_ready(Direction::Read, false);
        let may_be_tried = !matches!(mode, Mode::Careful | Mode::CarefulNowait);
        port.set_ready(Direction::Write, may_be_tried);
        port
    }

    #[inline]
    pub fn fd(&self) -> RawFd {
        self.fd
    }

    #[inline]
    fn ready(&self, direction: Direction) -> &Cell<bool> {
        match direction {
            Direction::Read => &self.is_readable,
            Direction::Write => &self.is_writable,
        }
    }

    #[inline]
    pub fn is_ready(&self, direction: Direction) -> bool {
        self.ready(direction).get()
    }

    /// Notes whether another call is worth making. For a regular file a call is always worth
    /// making, and also for a descriptor on which every call fails at once.
    #[inline]
    fn set_ready(&self, direction: Direction, is_ready: bool) {
        let never_waits = self.mode.get() == Mode::Regular || !self.is_opened_for(direction);
        self.ready(direction)
            .set(is_ready || never_waits || self.is_lost.get());
    }

    /// Whether another read is worth a call after one that has filled its window. Of a terminal or
    /// a device this is not guessed: a read of a terminal stops a background process.
    #[inline]
    fn expects_more(&self) -> bool {
        matches!(self.kind, Kind::Pipe | Kind::Socket) && self.guess.expects_more()
    }

    /// Notes that poll(2) has answered for this direction.
    #[inline]
    pub fn set_polled(&self, direction: Direction, revents: c_short) {
        self.ready(direction).set(true);
        if revents & (POLLHUP | POLLERR) != 0 {
            self.set_polled_badly(revents);
        }
    }

    #[cold]
    fn set_polled_badly(&self, revents: c_short) {
        if revents & POLLHUP != 0 && self.mode.get() != Mode::Careful {
            self.is_hung_up.set(true);
        }
        self.is_in_error.set(revents & POLLERR != 0);
    }

    /// Whether a call may be tried without an answer of poll(2): it does not wait, and shows more
    /// than poll(2) does. Other calls are not tried, because some of them do harm. A read of a FIFO
    /// that no writer has opened looks like an end of file, and a read of a terminal stops a
    /// background process.
    fn may_be_tried(&self, direction: Direction) -> bool {
        match self.mode.get() {
            Mode::Socket => true,
            Mode::Nonblocking | Mode::Own => direction == Direction::Write,
            Mode::Regular | Mode::Careful | Mode::CarefulNowait => false,
        }
    }

    /// The error of each call in this direction, if the port is lost or not opened for it.
    #[cold]
    pub fn refusal(&self, direction: Direction) -> io::Error {
        let may_wait = self.kind == Kind::Tty && self.mode.get() == Mode::Careful;
        if may_wait && direction == Direction::Write && !self.is_lost.get() {
            return io::Error::new(
                io::ErrorKind::Unsupported,
                "a write to this terminal may wait: AsyncFile::new writes to it",
            );
        }
        io::Error::from_raw_os_error(libc::EBADF)
    }

    /// Forgets an answer of poll(2) when the task for which it was asked leaves. This concerns only
    /// descriptors where each answer allows one call.
    #[inline]
    pub fn forget_polled(&self, direction: Direction) {
        match self.mode.get() {
            Mode::Nonblocking | Mode::Own | Mode::Socket | Mode::Regular => {}
            Mode::CarefulNowait if direction == Direction::Read => {}
            Mode::Careful | Mode::CarefulNowait => self.set_ready(direction, false),
        }
    }

    /// Whether the descriptor's number is open. The number may belong to another file by now.
    pub fn is_there(&self) -> bool {
        !self.is_lost.get() && sys::is_open(self.fd)
    }

    /// Makes every further call fail with EBADF, without a system call, because the number may
    /// become another file's at any time.
    pub fn mark_lost(&self) {
        self.is_lost.set(true);
        self.is_readable.set(true);
        self.is_writable.set(true);
    }

    /// Moves the descriptor, and all that is known of it, to a new port. This port is marked as
    /// lost.
    pub fn hand_over(&self) -> Port {
        let port = Port {
            set_by: self.set_by.clone(),
            mode: self.mode.clone(),
            is_readable: self.is_readable.clone(),
            is_writable: self.is_writable.clone(),
            is_hung_up: self.is_hung_up.clone(),
            is_in_error: self.is_in_error.clone(),
            is_lost: self.is_lost.clone(),
            guess: self.guess.clone(),
            ..*self
        };
        self.mark_lost();
        port
    }

    /// Whether the file was opened for this direction, and its calls can be kept from waiting. If
    /// not, every call in this direction fails.
    #[inline]
    pub fn is_opened_for(&self, direction: Direction) -> bool {
        match direction {
            Direction::Read => self.can_be_read,
            Direction::Write => self.can_be_written,
        }
    }

    /// Clears O_NONBLOCK, if this port has set it.
    pub fn restore(&self) {
        if self.set_by.get() != 0 && self.set_by.get() == std::process::id() {
            // These calls can fail only if the number is not open.
            let flags = sys::status_flags(self.fd);
            let put_back = |flags| sys::set_status_flags(self.fd, flags & !libc::O_NONBLOCK);
            let _ = flags.and_then(put_back);
        }
    }

    /// Ends the sending side of the socket.
    pub fn shut_down(&self) -> io::Result<()> {
        match self.is_lost.get() {
            true => Err(io::Error::from_raw_os_error(libc::EBADF)),
            false => sys::shut_down_write(self.fd),
        }
    }

    /// A duplicate of the descriptor, for a new owner. Both refer to one open file description.
    pub fn try_clone(&self) -> io::Result<OwnedFd> {
        match self.is_lost.get() {
            true => Err(io::Error::from_raw_os_error(libc::EBADF)),
            false => sys::duplicate(self.fd).map(|fd| sys::owned(fd.into_number())),
        }
    }

    /// Closes the descriptor. The caller does this only once.
    pub fn close(&self) {
        sys::close(self.fd);
    }

    /// Gives the descriptor to the caller, instead of closing it.
    pub fn give_up(&self) -> OwnedFd {
        sys::owned(self.fd)
    }
}
