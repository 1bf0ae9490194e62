//! A descriptor as a source and a sink that never wait.
//!
//! What keeps a call from waiting in the kernel differs: O_NONBLOCK where the open file description is ours to change, a flag with
//! each call for sockets, and care where the description is shared with others, who would feel O_NONBLOCK as well. It knows
//! nothing of buffers and of those who wait.

use std::cell::Cell;
use std::io;
use std::os::unix::io::{OwnedFd, RawFd};

use libc::{c_int, c_short, pollfd};

use crate::machine::read::Inflow;
use crate::machine::write::Outflow;
use crate::sys::{self, Kind, Owned, Wait};

/// Not `usize` everywhere.
#[allow(clippy::unnecessary_cast)]
const PIPE_BUF: usize = libc::PIPE_BUF as usize;

/// How a call is kept from waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// O_NONBLOCK is set on the open file description. `set_by`: this process set it, and puts it back; a fork of it shares the
    /// description, and must not.
    Nonblocking { set_by: Option<u32> },
    /// MSG_DONTWAIT with each call; the description's flags are left alone.
    Socket,
    /// A regular file never makes anybody wait, says poll(2); in truth its calls wait for the disk.
    Regular,
    /// Shared with others, its flags not ours to change: one small call after poll(2) said that it will not wait. `nowait`: reads
    /// can do better (RWF_NOWAIT).
    Careful { nowait: bool },
}

/// See the head of this file. It does not close its descriptor by itself: see [`close`](Port::close).
pub(crate) struct Port {
    fd: RawFd,
    mode: Cell<Mode>,
    /// A terminal's EIO is its end of file: the other side has gone.
    is_tty: bool,
    /// O_RDONLY, O_WRONLY or O_RDWR. Nothing ever makes the wrong direction ready: its call fails at once instead.
    access: c_int,
    /// Somebody else closed the number: it is nobody's, or by now another file's.
    is_lost: Cell<bool>,
}

impl Port {
    /// Takes over the open file description.
    pub fn take_over(fd: impl Into<Owned>) -> io::Result<Port> {
        let fd = fd.into();
        let kind = sys::kind(fd.number())?;
        match kind {
            Kind::Regular => Ok(Port::new(fd, Mode::Regular, kind, libc::O_RDWR)),
            Kind::Socket => Ok(Port::new(fd, Mode::Socket, kind, libc::O_RDWR)),
            Kind::Pipe | Kind::Tty | Kind::Other => {
                let flags = sys::status_flags(fd.number())?;
                let mut set_by = None;
                if flags & libc::O_NONBLOCK == 0 {
                    sys::set_status_flags(fd.number(), flags | libc::O_NONBLOCK)?;
                    set_by = Some(std::process::id());
                }
                Ok(Port::new(fd, Mode::Nonblocking { set_by }, kind, flags))
            }
        }
    }

    /// A second descriptor of a description that somebody else keeps, whose flags are never changed.
    pub fn duplicate(fd: RawFd) -> io::Result<Port> {
        let kind = sys::kind(fd)?;
        let flags = sys::status_flags(fd)?;
        let (fd, mode) = match kind {
            Kind::Regular => (sys::duplicate(fd)?, Mode::Regular),
            Kind::Socket => (sys::duplicate(fd)?, Mode::Socket),
            Kind::Pipe => (sys::duplicate(fd)?, Mode::Careful { nowait: true }),
            Kind::Other => (sys::duplicate(fd)?, Mode::Careful { nowait: false }),
            Kind::Tty => match sys::reopen_tty(fd) {
                Ok(own) => (own, Mode::Nonblocking { set_by: None }),
                Err(_) => (sys::duplicate(fd)?, Mode::Careful { nowait: false }),
            },
        };
        Ok(Port::new(fd, mode, kind, flags))
    }

    /// One that is only watched.
    pub fn watched(fd: Owned) -> Port {
        Port::new(fd, Mode::Careful { nowait: false }, Kind::Other, libc::O_RDWR)
    }

    /// One that is not there.
    pub fn absent() -> Port {
        Port {
            fd: -1,
            mode: Cell::new(Mode::Careful { nowait: false }),
            is_tty: false,
            access: libc::O_RDWR,
            is_lost: Cell::new(false),
        }
    }

    fn new(fd: Owned, mode: Mode, kind: Kind, flags: c_int) -> Port {
        let access = flags & libc::O_ACCMODE;
        Port {
            fd: fd.into_number(),
            mode: Cell::new(mode),
            is_tty: kind == Kind::Tty,
            access,
            is_lost: Cell::new(false),
        }
    }

    pub fn fd(&self) -> RawFd {
        self.fd
    }

    /// What is known of both directions before the first call.
    pub fn begin(&self) -> (Inflow, Outflow) {
        let (mut inflow, mut outflow) = (Inflow::default(), Outflow { ready: true });
        self.settle_reading(&mut inflow);
        self.settle_writing(&mut outflow);
        (inflow, outflow)
    }

    /// What is known after a machine has read: little, where each call needs its own poll.
    pub fn settle_reading(&self, inflow: &mut Inflow) {
        match self.mode.get() {
            Mode::Regular => inflow.ready = true,
            Mode::Careful { nowait } => inflow.ready &= nowait,
            Mode::Nonblocking { .. } | Mode::Socket => {}
        }
        inflow.ready |= !self.can_be_read() || self.is_lost.get();
    }

    /// The same after it has written.
    pub fn settle_writing(&self, outflow: &mut Outflow) {
        match self.mode.get() {
            Mode::Regular => outflow.ready = true,
            Mode::Careful { .. } => outflow.ready = false,
            Mode::Nonblocking { .. } | Mode::Socket => {}
        }
        outflow.ready |= !self.can_be_written() || self.is_lost.get();
    }

    /// The number is open, if perhaps as another file's.
    pub fn is_there(&self) -> bool {
        !self.is_lost.get() && sys::is_open(self.fd)
    }

    /// From here on every call is EBADF, and none is made: the number may become another file's at any time.
    pub fn lose(&self) {
        self.is_lost.set(true);
    }

    /// Asks poll(2) of this one alone, without waiting.
    pub fn is_ready_now(&self, events: c_short) -> bool {
        let mut set = [pollfd { fd: self.fd, events, revents: 0 }];
        sys::poll(&mut set, Wait::Not).map_or(false, |answers| answers > 0)
    }

    /// For one advance of a machine.
    pub fn calls(&self) -> Calls<'_> {
        Calls { port: self, is_spent: false }
    }

    /// It was opened for reading.
    pub fn can_be_read(&self) -> bool {
        self.access != libc::O_WRONLY
    }

    /// It was opened for writing.
    pub fn can_be_written(&self) -> bool {
        self.access != libc::O_RDONLY
    }

    /// Puts the flags back as they were found.
    pub fn restore(&self) {
        match self.mode.get() {
            Mode::Nonblocking { set_by: Some(process) } if process == std::process::id() => {
                // These can only fail if the number is nobody's.
                let flags = sys::status_flags(self.fd);
                let _ = flags.and_then(|flags| sys::set_status_flags(self.fd, flags & !libc::O_NONBLOCK));
            }
            _ => {}
        }
    }

    /// Closes the descriptor, once.
    pub fn close(&self) {
        sys::close(self.fd);
    }

    /// Gives the descriptor back, instead of closing it.
    pub fn give_back(&self) -> OwnedFd {
        sys::owned(self.fd)
    }
}

/// The calls of one advance.
pub(crate) struct Calls<'a> {
    port: &'a Port,
    /// The one call that poll(2) has allowed was made.
    is_spent: bool,
}

impl Calls<'_> {
    fn refuse_if_lost(&self) -> io::Result<()> {
        match self.port.is_lost.get() {
            true => Err(io::Error::from_raw_os_error(libc::EBADF)),
            false => Ok(()),
        }
    }

    /// Spends the one call that poll(2) has allowed: EAGAIN if it is spent.
    fn spend(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.is_spent, true) {
            true => Err(io::ErrorKind::WouldBlock.into()),
            false => Ok(()),
        }
    }
}

impl io::Read for Calls<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.refuse_if_lost()?;
        let fd = self.port.fd;
        let answer = match self.port.mode.get() {
            Mode::Nonblocking { .. } | Mode::Regular => sys::read(fd, bytes),
            Mode::Socket => sys::recv(fd, bytes),
            Mode::Careful { nowait: true } => match sys::read_nowait(fd, bytes) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    self.port.mode.set(Mode::Careful { nowait: false });
                    return self.read(bytes);
                }
                answer => answer,
            },
            Mode::Careful { nowait: false } => {
                self.spend()?;
                sys::read(fd, bytes)
            }
        };
        match answer {
            // Linux's tty_read once the other side has hung up: EIO, for ever.
            Err(error) if self.port.is_tty && error.raw_os_error() == Some(libc::EIO) => Ok(0),
            answer => answer,
        }
    }
}

impl io::Write for Calls<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.refuse_if_lost()?;
        let fd = self.port.fd;
        match self.port.mode.get() {
            Mode::Nonblocking { .. } | Mode::Regular => sys::write(fd, bytes),
            Mode::Socket => sys::send(fd, bytes),
            Mode::Careful { .. } => {
                self.spend()?;
                // POLLOUT on a pipe: at least PIPE_BUF bytes fit (pipe(7), Linux's pipe_poll).
                sys::write(fd, &bytes[..bytes.len().min(PIPE_BUF)])
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
