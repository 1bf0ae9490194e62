//! The system calls of one advance of a machine. A call waits only in two cases, which the
//! documentation of `AsyncFile` names: a call on a regular file, and the *one call after poll(2)*.
//! The result of each call shows whether another one is worth making.

use std::io;

use libc::{c_short, pollfd, POLLERR, POLLHUP, POLLIN, POLLNVAL};

use super::{Direction, Mode, Port};
use crate::line_buffer::LineBuffer;
use crate::machine::message::{Message, MessageSource};
use crate::machine::{Sink, Source};
use crate::pool::CHUNK;
use crate::sys::{self, Kind, Wait, POLLRDHUP};

/// `PIPE_BUF` is not a `usize` on every platform.
#[allow(clippy::unnecessary_cast)]
const PIPE_BUF: usize = libc::PIPE_BUF as usize;

/// How often one advance may ask poll(2) by itself, after a deadline has come. The bound ends the
/// advance even if a peer writes a few bytes at a time, as fast as they are read.
const LOOKS: u8 = 64;

/// A descriptor as a source and a sink, for one advance of a machine.
pub(crate) struct Calls<'a> {
    port: &'a Port,
    /// Whether this advance may ask poll(2) itself.
    may_look: bool,
    /// Whether a call may be tried without an answer of poll(2).
    may_try: bool,
    /// Whether poll(2) may be asked next.
    may_look_now: bool,
    /// How often poll(2) may still be asked.
    looks: u8,
}

impl Port {
    /// The calls of one advance. With `may_look` it may ask poll(2) itself, for example because a
    /// deadline of the task has come. `is_parked` says that poll(2) was asked for this operation in
    /// this turn, and had no answer.
    #[inline]
    pub fn calls(&self, may_look: bool, is_parked: bool) -> Calls<'_> {
        Calls {
            port: self,
            may_try: may_look,
            may_look_now: may_look && !is_parked,
            may_look,
            looks: LOOKS,
        }
    }
}

impl Calls<'_> {
    /// Asks poll(2) at a deadline, because data and room that are there by then still count. After
    /// a call that has moved bytes, poll(2) is asked again, because more bytes or the end may
    /// follow.
    #[cold]
    fn look(&mut self, direction: Direction) -> bool {
        if self.looks == 0 {
            return false;
        }
        self.looks -= 1;
        self.may_look_now = false;
        let revents = self.ask(direction.events());
        if revents != 0 {
            self.port.set_polled(direction, revents);
        }
        revents != 0
    }

    /// Asks poll(2) for these events, without sleeping. 0 if it has no answer.
    fn ask(&self, events: c_short) -> c_short {
        let mut set = [pollfd {
            fd: self.port.fd,
            events,
            revents: 0,
        }];
        sys::poll(&mut set, Wait::Not).map_or(0, |_| set[0].revents)
    }

    #[inline]
    fn is_ready_for(&mut self, direction: Direction) -> bool {
        self.port.ready(direction).get() || (self.may_look && self.is_ready_at_deadline(direction))
    }

    /// Whether to make a call at the deadline. If the port allows a call without an answer of
    /// poll(2), one such call is tried, because poll(2) does not report everything. POLLOUT may not
    /// report the room in a datagram socket. POLLIN does not report bytes that are fewer than
    /// SO_RCVLOWAT.
    #[cold]
    fn is_ready_at_deadline(&mut self, direction: Direction) -> bool {
        let is_tried = self.may_try && self.port.may_be_tried(direction);
        self.may_try = false;
        is_tried || (self.may_look_now && self.look(direction))
    }

    fn refuse(&self, direction: Direction) -> io::Result<()> {
        if self.port.is_lost.get() || !self.port.is_opened_for(direction) {
            return Err(self.port.refusal(direction));
        }
        Ok(())
    }

    /// Makes a call. The call may fail with EAGAIN although poll(2) has answered POLLERR. If
    /// poll(2) then still answers POLLERR and nothing else, the cause is a socket's error queue
    /// (IP_RECVERR, SO_TIMESTAMPING, MSG_ZEROCOPY). No read or write reports that queue, so the
    /// answer becomes an error. The other cause of POLLERR is SO_ERROR, which the call itself
    /// reports.
    #[inline(always)]
    fn reported<T>(
        &self,
        direction: Direction,
        mut call: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        match call() {
            Err(error) if self.has_unreported_error(direction, &error) => match call() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::Error::new(
                    io::ErrorKind::Other,
                    "its error queue is not empty: recvmsg(2) with MSG_ERRQUEUE empties it",
                )),
                answer => answer, // an error may have come since the first call
            },
            answer => answer,
        }
    }

    #[cold]
    fn has_unreported_error(&self, direction: Direction, error: &io::Error) -> bool {
        if error.kind() != io::ErrorKind::WouldBlock || !self.port.is_in_error.take() {
            return false;
        }
        let asked = direction.events();
        self.ask(asked) & (asked | POLLERR | POLLHUP | POLLNVAL) == POLLERR
    }

    /// Whether this EIO is the end of a terminal. Linux's tty_read fails with EIO, for ever, once
    /// the other side has hung up. Without a hangup, EIO is an error: the process is in the
    /// background and ignores SIGTTIN.
    #[cold]
    fn is_end_of_terminal(&self, error: &io::Error) -> bool {
        self.port.kind == Kind::Tty
            && error.raw_os_error() == Some(libc::EIO)
            && self.ask(POLLIN) & (POLLIN | POLLHUP) == POLLHUP
    }

    /// Reads from a terminal whose reads may wait. A read of more bytes than are there could wait
    /// for the rest (VMIN, VTIME), so no more are asked for. If no bytes are there, poll(2) is
    /// asked. If it has an answer, a hangup or a ^D has come, and the read reports it. If it has no
    /// answer, another reader has taken the bytes, and no read is made.
    #[cold]
    fn read_terminal(&self, window: &mut [u8]) -> io::Result<usize> {
        let there = self.readable_bytes();
        if there == 0 && self.ask(POLLIN) == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let size = window.len().min(there.max(1));
        sys::read(self.port.fd, &mut window[..size])
    }

    /// Whether the other side of a socket sends no more.
    fn has_gone(&self) -> bool {
        self.ask(POLLRDHUP) & (POLLHUP | POLLRDHUP) != 0
    }

    /// How many bytes can be read. 0 if the kernel does not say.
    fn readable_bytes(&self) -> usize {
        sys::readable_bytes(self.port.fd).unwrap_or(0)
    }

    fn call_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.port.mode.get() {
            Mode::Socket => sys::send(self.port.fd, bytes),
            Mode::Own => match sys::write_nowait(self.port.fd, bytes) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    self.port.do_without_nowait()?;
                    sys::write(self.port.fd, bytes)
                }
                answer => answer,
            },
            _ => sys::write(self.port.fd, bytes),
        }
    }

    fn call_read(&self, window: &mut [u8]) -> io::Result<usize> {
        let fd = self.port.fd;
        match self.port.mode.get() {
            Mode::Careful if self.port.kind == Kind::Tty => self.read_terminal(window),
            Mode::Nonblocking | Mode::Regular | Mode::Careful => sys::read(fd, window),
            Mode::Socket => sys::recv(fd, window),
            Mode::Own | Mode::CarefulNowait => match sys::read_nowait(fd, window) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    self.port.do_without_nowait()?;
                    sys::read(fd, window)
                }
                answer => answer,
            },
        }
    }
}

impl Source for Calls<'_> {
    #[inline]
    fn messages(&mut self) -> Option<&mut dyn MessageSource> {
        match self.port.keeps_messages {
            true => Some(self),
            false => None,
        }
    }

    #[inline]
    fn is_ready(&mut self) -> bool {
        self.is_ready_for(Direction::Read)
    }

    #[inline]
    fn read(&mut self, window: &mut [u8]) -> io::Result<usize> {
        self.refuse(Direction::Read)?;
        let port = self.port;
        let answer = match self.reported(Direction::Read, || self.call_read(window)) {
            Err(error) if self.is_end_of_terminal(&error) => Ok(0),
            answer => answer,
        };
        let is_ready = match &answer {
            // A read that returns a full pipe's 64 KiB shows that there may be more. After a
            // shorter read, another one would mostly meet EAGAIN.
            Ok(read) if *read >= CHUNK || port.is_hung_up.get() => true,
            Ok(read) => *read == window.len() && port.expects_more(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(_) => {
                port.is_hung_up.set(false); // a FIFO's next writer has come
                port.guess.met_nothing();
                false
            }
        };
        port.set_ready(
            Direction::Read,
            is_ready && port.mode.get() != Mode::Careful,
        );
        self.may_look_now = self.may_look && answer.is_ok();
        answer
    }
}

impl MessageSource for Calls<'_> {
    fn is_ready(&mut self) -> bool {
        self.is_ready_for(Direction::Read)
    }

    /// If the buffer has room for `most` bytes, this is one call. Otherwise the kernel is asked
    /// first how many bytes are there, so memory grows with the bytes that come, and not with
    /// `most`.
    fn receive(
        &mut self,
        buffer: &mut LineBuffer,
        most: usize,
        is_peek: bool,
    ) -> io::Result<Message> {
        self.refuse(Direction::Read)?;
        let port = self.port;
        let receive = |window: &mut [u8], is_peek| {
            self.reported(Direction::Read, || sys::receive(port.fd, window, is_peek))
        };
        let mut window = buffer.room(most);
        let mut answer = Ok((0, false));
        if window.len() < most {
            let mut unread = self.readable_bytes();
            if unread == 0 {
                // FIONREAD says that nothing is queued, but a long message may come before the
                // read. A peek shows whether one has come, so that the window is large enough when
                // the message is taken.
                answer = receive(window, true);
                unread = self.readable_bytes();
            }
            if unread.min(most) > window.len() {
                window = buffer.room_for(unread.min(most));
            }
        }
        let answer = answer.and_then(|_| receive(window, is_peek));
        let is_ready = match &answer {
            Ok(_) => is_peek || port.is_hung_up.get(),
            Err(error) => error.kind() == io::ErrorKind::Interrupted,
        };
        port.set_ready(Direction::Read, is_ready);
        self.may_look_now = self.may_look && answer.is_ok();
        let (len, is_cut) = answer?;
        buffer.filled(len);
        // A read of 0 bytes is an empty message or the end of file. It is the end if the other side
        // has gone and nothing is queued (Linux's unix_dgram_recvmsg, for both kinds). The kernel
        // is asked for the hangup first, because a side that has gone queues nothing more.
        let may_end = len == 0 && !is_cut && port.kind == Kind::Seqpacket;
        Ok(match is_cut {
            true => Message::Cut,
            false if may_end && self.has_gone() && self.readable_bytes() == 0 => Message::End,
            false => Message::Whole,
        })
    }
}

impl Sink for Calls<'_> {
    fn takes_messages(&self) -> bool {
        self.port.keeps_messages
    }

    #[inline]
    fn is_ready(&mut self) -> bool {
        self.is_ready_for(Direction::Write)
    }

    #[inline(always)]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.refuse(Direction::Write)?;
        // POLLOUT on a pipe means that at least PIPE_BUF bytes fit (pipe(7), Linux's pipe_poll).
        if let Mode::Careful | Mode::CarefulNowait = self.port.mode.get() {
            let answer = self.call_write(&bytes[..bytes.len().min(PIPE_BUF)]);
            self.port.set_ready(Direction::Write, false);
            self.may_look_now = self.may_look && answer.is_ok();
            return answer;
        }
        if self.port.guess.is_given_up() {
            self.port.set_ready(Direction::Read, false);
        }
        let answer = self.reported(Direction::Write, || self.call_write(bytes));
        match &answer {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.port.set_ready(Direction::Write, false);
            }
            _ => {
                self.may_look_now = self.may_look;
                self.may_try = self.may_look;
            }
        }
        answer
    }
}
