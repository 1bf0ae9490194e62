//! The system calls of one advance of a machine: none waits, and each shows whether another one is
//! worth making.

use std::io;

use libc::pollfd;

use super::{Direction, Mode, Port};
use crate::machine::{Sink, Source};
use crate::pool::CHUNK;
use crate::sys::{self, Wait};

/// Not `usize` everywhere.
#[allow(clippy::unnecessary_cast)]
const PIPE_BUF: usize = libc::PIPE_BUF as usize;

/// How often one advance may ask poll(2) itself, at its deadline.
const LOOKS: u8 = 64;

/// A descriptor as a source and a sink, for one advance of a machine.
pub(crate) struct Calls<'a> {
    port: &'a Port,
    is_due: bool,
    /// poll(2) may be asked here.
    may_look: bool,
    /// How often it may still be asked.
    looks: u8,
}

impl Port {
    /// The calls of one advance. `is_due`: a deadline of its task has come, so that poll(2) may be
    /// asked here. `is_parked`: poll(2) was asked on the operation's behalf, and has said nothing
    /// yet.
    #[inline]
    pub fn calls(&self, is_due: bool, is_parked: bool) -> Calls<'_> {
        Calls {
            port: self,
            may_look: is_due && !is_parked,
            is_due,
            looks: LOOKS,
        }
    }
}

impl Calls<'_> {
    /// Data beats deadline, and so does room: when the deadline has come, what poll(2) has not told
    /// of in this turn is asked for here. Behind what a call has moved there may be more, or the
    /// end.
    #[cold]
    fn look(&mut self, direction: Direction) -> bool {
        if self.looks == 0 {
            return false;
        }
        self.looks -= 1;
        self.may_look = false;
        let mut set = [pollfd {
            fd: self.port.fd,
            events: direction.events(),
            revents: 0,
        }];
        let is_ready = sys::poll(&mut set, Wait::Not).map_or(false, |answers| answers > 0);
        if is_ready {
            self.port.set_polled(direction, set[0].revents);
        }
        is_ready
    }

    #[inline]
    fn is_ready_for(&mut self, direction: Direction) -> bool {
        self.port.ready(direction).get() || (self.may_look && self.look(direction))
    }

    fn refuse(&self, direction: Direction) -> io::Result<()> {
        if self.port.is_lost.get() || !self.port.is_opened_for(direction) {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        Ok(())
    }

    fn call_read(&mut self, window: &mut [u8]) -> io::Result<usize> {
        let fd = self.port.fd;
        match self.port.mode.get() {
            Mode::Nonblocking | Mode::Regular | Mode::Careful => sys::read(fd, window),
            Mode::Socket => sys::recv(fd, window),
            Mode::Own => match sys::read_nowait(fd, window) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    self.port.set_nonblocking()?;
                    sys::read(fd, window)
                }
                answer => answer,
            },
            Mode::CarefulNowait => match sys::read_nowait(fd, window) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    self.port.mode.set(Mode::Careful);
                    sys::read(fd, window)
                }
                answer => answer,
            },
        }
    }
}

impl Source for Calls<'_> {
    #[inline]
    fn is_ready(&mut self) -> bool {
        self.is_ready_for(Direction::Read)
    }

    #[inline]
    fn read(&mut self, window: &mut [u8]) -> io::Result<usize> {
        self.refuse(Direction::Read)?;
        let port = self.port;
        let answer = self.call_read(window);
        let is_ready = match &answer {
            // A read that a full pipe has filled says that there may be more. A short one, as of a
            // header, says nothing: its reader would meet EAGAIN.
            Ok(read) => *read >= CHUNK || port.is_hung_up.get(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            // Linux's tty_read once the other side has hung up: EIO, for ever.
            Err(error) if port.is_tty && error.raw_os_error() == Some(libc::EIO) => {
                port.set_ready(Direction::Read, false);
                return Ok(0);
            }
            Err(_) => {
                port.is_hung_up.set(false); // a FIFO's next writer has come
                false
            }
        };
        port.set_ready(
            Direction::Read,
            is_ready && port.mode.get() != Mode::Careful,
        );
        self.may_look = self.is_due && answer.is_ok();
        answer
    }
}

impl Sink for Calls<'_> {
    #[inline]
    fn is_ready(&mut self) -> bool {
        self.is_ready_for(Direction::Write)
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.refuse(Direction::Write)?;
        let fd = self.port.fd;
        let answer = match self.port.mode.get() {
            Mode::Nonblocking | Mode::Regular => sys::write(fd, bytes),
            Mode::Socket => sys::send(fd, bytes),
            Mode::Own => match sys::write_nowait(fd, bytes) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    self.port.set_nonblocking()?;
                    sys::write(fd, bytes)
                }
                answer => answer,
            },
            // POLLOUT on a pipe: at least PIPE_BUF bytes fit (pipe(7), Linux's pipe_poll).
            Mode::Careful | Mode::CarefulNowait => {
                let answer = sys::write(fd, &bytes[..bytes.len().min(PIPE_BUF)]);
                self.port.set_ready(Direction::Write, false);
                self.may_look = self.is_due && answer.is_ok();
                return answer;
            }
        };
        match &answer {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.port.set_ready(Direction::Write, false);
            }
            _ => self.may_look = self.is_due,
        }
        answer
    }
}
