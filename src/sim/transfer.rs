//! read(2) and write(2), and how the process is kept from waiting in them.

use std::io;
use std::os::unix::io::RawFd;

use libc::{POLLHUP, POLLIN};

use super::table::{Guise, Id, Object};
use super::{errno, Kernel, Passed, PIPE_BUF};
use crate::sys::Kind;

/// The call by which bytes are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// read(2) or write(2), which wait if the open file description has no O_NONBLOCK.
    Plain,
    /// recv or send with MSG_DONTWAIT.
    Socket,
    /// preadv2 with RWF_NOWAIT.
    Nowait,
}

/// What a call would do without faults.
enum Truth {
    Now,
    /// The call would wait.
    Wait,
}

impl Kernel {
    pub(super) fn read(&mut self, fd: RawFd, bytes: &mut [u8], call: Call) -> io::Result<usize> {
        self.enter();
        self.reads += 1;
        let answer = self
            .open(fd)
            .and_then(|id| self.read_from(fd, id, bytes, call));
        if let Ok(size) = answer {
            let id = self.lookup(fd).expect("it was read");
            if !self.descriptions[id].is_wake {
                let read = Passed::Read(bytes[..size].to_vec());
                self.passed.push((fd, read));
            }
        }
        if self.is_end_of_terminal(fd, &answer) {
            self.passed.push((fd, Passed::Read(Vec::new())));
        }
        self.note(|| format!("read(fd {fd}, {}) = {answer:?}", bytes.len()));
        answer
    }

    /// recvmsg(2): returns how many bytes of the next message were received, and whether the rest
    /// of the message was cut off.
    pub(super) fn receive(
        &mut self,
        fd: RawFd,
        bytes: &mut [u8],
        is_peek: bool,
    ) -> io::Result<(usize, bool)> {
        self.enter();
        self.reads += 1;
        let answer = self
            .open(fd)
            .and_then(|id| self.receive_from(fd, id, bytes, is_peek));
        self.note(|| format!("recvmsg(fd {fd}, {}, {is_peek}) = {answer:?}", bytes.len()));
        answer
    }

    fn receive_from(
        &mut self,
        fd: RawFd,
        id: Id,
        bytes: &mut [u8],
        is_peek: bool,
    ) -> io::Result<(usize, bool)> {
        let (input, kind) = match self.descriptions[id].object {
            Object::Socket { input, kind, .. } if kind != Kind::Socket => (input, kind),
            _ => return Err(errno(libc::ENOTSOCK)),
        };
        let faults = &self.faults;
        let of_datagrams = [(
            faults.read_econnrefused,
            "recv ECONNREFUSED",
            libc::ECONNREFUSED,
        )];
        if let Some(error) = self.read_fault(true) {
            return Err(error);
        }
        if let Some(error) = self.first_hit(&of_datagrams) {
            return Err(error);
        }
        self.read_before(fd, id, false);
        let stream = &mut self.streams[input];
        // Linux's __skb_try_recv_datagram looks for an error before it looks for a message.
        if std::mem::take(&mut stream.is_reset) {
            return Err(errno(libc::ECONNRESET));
        }
        let message = match stream.message() {
            Some(message) => message,
            None if kind == Kind::Datagram || stream.has_writer => return Err(errno(libc::EAGAIN)),
            None => {
                self.passed.push((fd, Passed::Read(Vec::new())));
                return Ok((0, false));
            }
        };
        if self.hit(self.faults.read_eagain, "read EAGAIN") {
            return Err(errno(libc::EAGAIN));
        }
        if !is_peek {
            self.streams[input].take_message();
            self.is_stirred = true;
        }
        let size = message.len().min(bytes.len());
        bytes[..size].copy_from_slice(&message[..size]);
        let is_cut = size < message.len();
        let message = Passed::Message {
            message,
            came: size,
            is_peek,
        };
        self.passed.push((fd, message));
        Ok((size, is_cut))
    }

    /// Whether the description is a socket that keeps messages apart.
    pub(super) fn keeps_messages(&self, id: Id) -> bool {
        let object = &self.descriptions[id].object;
        matches!(object, Object::Socket { kind, .. } if *kind != Kind::Socket)
    }

    /// Whether the answer is the EIO that a terminal returns where a pipe would be at its end.
    fn is_end_of_terminal(&self, fd: RawFd, answer: &io::Result<usize>) -> bool {
        let is_eio = matches!(answer, Err(error) if error.raw_os_error() == Some(libc::EIO));
        is_eio
            && self.lookup(fd).map_or(false, |id| {
                self.descriptions[id].guise == Guise::Terminal
                    && self.truth(id) & (POLLIN | POLLHUP) == POLLHUP
            })
    }

    fn read_from(&mut self, fd: RawFd, id: Id, bytes: &mut [u8], call: Call) -> io::Result<usize> {
        let description = &self.descriptions[id];
        let is_socket = matches!(description.object, Object::Socket { .. });
        let is_regular = matches!(description.object, Object::Regular { .. });
        match description.object {
            Object::Writer(_) => return Err(errno(libc::EBADF)),
            Object::Pidfd(_) => return Err(errno(libc::EINVAL)),
            _ if call == Call::Socket && !is_socket => return Err(errno(libc::ENOTSOCK)),
            _ => {}
        }
        if call == Call::Nowait && !self.has_nowait(id) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        if let Some(error) = self.read_fault(is_socket) {
            return Err(error);
        }
        if bytes.is_empty() {
            return Ok(0);
        }
        let may_wait = call == Call::Plain
            && !self.descriptions[id].is_nonblocking()
            && !self.is_tampered_with;
        if may_wait && self.descriptions[id].guise == Guise::Terminal {
            let there = self.readable_bytes(fd)?.max(1);
            assert!(
                bytes.len() <= there,
                "the library would block in read on fd {fd}: {} of {there} bytes",
                bytes.len()
            );
        }
        self.read_before(fd, id, may_wait);
        match self.reading(id) {
            Truth::Wait if may_wait => panic!("the library would block in read on fd {fd}"),
            Truth::Wait => return Err(errno(libc::EAGAIN)),
            Truth::Now if may_wait || is_regular => {}
            Truth::Now if self.hit(self.faults.read_eagain, "read EAGAIN") => {
                return Err(errno(libc::EAGAIN));
            }
            Truth::Now => {}
        }
        let mut size = bytes.len();
        if size > 1 && self.hit(self.faults.read_short, "read short") {
            size = 1 + self.choose(size as u32 - 1) as usize;
        }
        self.take(id, &mut bytes[..size])
    }

    fn has_nowait(&mut self, id: Id) -> bool {
        match (
            self.descriptions[id].has_nowait,
            &self.descriptions[id].object,
        ) {
            (Some(has_nowait), _) => has_nowait,
            // The answer is the same for all pipes to children, so these pipes cost no choice.
            _ if self.descriptions[id].is_own => self.faults.nowait_unsupported < 64,
            (None, Object::Reader(_) | Object::Regular { .. }) => {
                let has_nowait =
                    !self.hit(self.faults.nowait_unsupported, "RWF_NOWAIT unsupported");
                self.descriptions[id].has_nowait = Some(has_nowait);
                has_nowait
            }
            (None, _) => false,
        }
    }

    fn read_fault(&mut self, is_socket: bool) -> Option<io::Error> {
        let faults = &self.faults;
        let any = [
            (faults.read_eintr, "read EINTR", libc::EINTR),
            (faults.read_eio, "read EIO", libc::EIO),
            (faults.read_enomem, "read ENOMEM", libc::ENOMEM),
        ];
        let of_sockets = [
            (faults.read_enobufs, "read ENOBUFS", libc::ENOBUFS),
            (faults.read_econnreset, "read ECONNRESET", libc::ECONNRESET),
            (faults.read_etimedout, "read ETIMEDOUT", libc::ETIMEDOUT),
        ];
        self.first_hit(&any).or_else(|| {
            if is_socket {
                self.first_hit(&of_sockets)
            } else {
                None
            }
        })
    }

    fn reading(&self, id: Id) -> Truth {
        match self.descriptions[id].object {
            Object::Socket {
                input,
                kind: Kind::Datagram,
                ..
            } if self.streams[input].is_empty() => Truth::Wait,
            Object::Reader(input) | Object::Socket { input, .. }
                if self.streams[input].is_empty() && self.streams[input].has_writer =>
            {
                Truth::Wait
            }
            _ => Truth::Now,
        }
    }

    /// Reads as many bytes as there are. Actors call this, too.
    pub(super) fn take(&mut self, id: Id, bytes: &mut [u8]) -> io::Result<usize> {
        let is_terminal = self.descriptions[id].guise == Guise::Terminal;
        if self.keeps_messages(id) {
            return self.take_message(id, bytes);
        }
        match &mut self.descriptions[id].object {
            Object::Reader(input) | Object::Socket { input, .. } => {
                let stream = &mut self.streams[*input];
                match stream.take(bytes) {
                    0 if stream.has_writer => Err(errno(libc::EAGAIN)),
                    0 if std::mem::take(&mut stream.is_reset) => Err(errno(libc::ECONNRESET)),
                    0 if is_terminal => Err(errno(libc::EIO)),
                    size => {
                        self.is_stirred |= size > 0;
                        Ok(size)
                    }
                }
            }
            Object::Regular { contents, position } => {
                let rest = contents.get(*position..).unwrap_or(&[]);
                let size = rest.len().min(bytes.len());
                bytes[..size].copy_from_slice(&rest[..size]);
                *position += size;
                Ok(size)
            }
            Object::Null => Ok(0),
            Object::Writer(_) | Object::Pidfd(_) => Err(errno(libc::EBADF)),
        }
    }

    /// Takes the beginning of the next message. The rest of the message is gone.
    fn take_message(&mut self, id: Id, bytes: &mut [u8]) -> io::Result<usize> {
        let (stream, kind) = match self.descriptions[id].object {
            Object::Socket { input, kind, .. } => (&mut self.streams[input], kind),
            _ => return Err(errno(libc::ENOTSOCK)),
        };
        if std::mem::take(&mut stream.is_reset) {
            return Err(errno(libc::ECONNRESET));
        }
        match stream.take_message() {
            Some(message) => {
                self.is_stirred = true;
                let size = message.len().min(bytes.len());
                bytes[..size].copy_from_slice(&message[..size]);
                Ok(size)
            }
            None if kind == Kind::Datagram || stream.has_writer => Err(errno(libc::EAGAIN)),
            None => Ok(0),
        }
    }

    pub(super) fn write(&mut self, fd: RawFd, bytes: &[u8], call: Call) -> io::Result<usize> {
        self.enter();
        let answer = self
            .open(fd)
            .and_then(|id| self.write_to(fd, id, bytes, call));
        if let Ok(size) = answer {
            let id = self.lookup(fd).expect("it was written");
            if !self.descriptions[id].is_wake {
                let written = Passed::Written(bytes[..size].to_vec());
                self.passed.push((fd, written));
            }
        }
        self.note(|| format!("write(fd {fd}, {}) = {answer:?}", bytes.len()));
        answer
    }

    fn write_to(&mut self, fd: RawFd, id: Id, bytes: &[u8], call: Call) -> io::Result<usize> {
        let description = &self.descriptions[id];
        let is_nonblocking = description.is_nonblocking() || call != Call::Plain;
        let (stream, is_socket) = match description.object {
            Object::Writer(output) => (Some(output), false),
            Object::Socket { output, .. } => (Some(output), true),
            Object::Reader(_) => return Err(errno(libc::EBADF)),
            Object::Pidfd(_) => return Err(errno(libc::EINVAL)),
            Object::Regular { .. } | Object::Null => (None, false),
        };
        if call == Call::Socket && !is_socket {
            return Err(errno(libc::ENOTSOCK));
        }
        if call == Call::Nowait && !self.has_nowait(id) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        if let Some(error) = self.write_fault(is_socket, stream.is_none()) {
            return Err(error);
        }
        let mut size = bytes.len();
        if size > 0 {
            self.write_before(fd, id, !is_nonblocking && !self.is_tampered_with);
        }
        if self.keeps_messages(id) {
            let answer = match self.hit(self.faults.write_eagain, "write EAGAIN") {
                true => Err(errno(libc::EAGAIN)),
                false => self.put(id, bytes),
            };
            if matches!(&answer, Err(error) if error.raw_os_error() == Some(libc::ECONNREFUSED)) {
                self.passed.push((fd, Passed::Lost));
            }
            return answer;
        }
        if let Some(stream) = stream {
            let stream = &self.streams[stream];
            // A pipe's write of nothing makes no check (Linux's pipe_write: "Null write succeeds").
            if size == 0 && !is_socket {
                return Ok(0);
            }
            if !stream.has_reader || self.descriptions[id].is_shut {
                return Err(errno(libc::EPIPE));
            }
            let is_whole = !is_socket && size <= stream.whole();
            let fits = if is_whole {
                stream.room() >= size
            } else {
                stream.room() > 0 || size == 0
            };
            // A pipe smaller than PIPE_BUF exists in no kernel. Here it takes a part if POLLOUT was
            // true of it.
            let would_wait = stream.room() < size && !(size <= PIPE_BUF && stream.pipe_has_room());
            if !is_nonblocking && would_wait && !self.is_tampered_with {
                panic!("the library would block in write on fd {fd}");
            }
            if !fits || is_nonblocking && self.hit(self.faults.write_eagain, "write EAGAIN") {
                return Err(errno(libc::EAGAIN));
            }
            if !is_whole
                && is_nonblocking
                && size > 1
                && self.hit(self.faults.write_short, "write short")
            {
                size = 1 + self.choose(size as u32 - 1) as usize;
            }
        } else if size > 1 && self.hit(self.faults.write_short, "write short") {
            size = 1 + self.choose(size as u32 - 1) as usize;
        }
        self.put(id, &bytes[..size])
    }

    fn write_fault(&mut self, is_socket: bool, is_regular: bool) -> Option<io::Error> {
        let faults = &self.faults;
        let any = [
            (faults.write_eintr, "write EINTR", libc::EINTR),
            (faults.write_eio, "write EIO", libc::EIO),
            (faults.write_enomem, "write ENOMEM", libc::ENOMEM),
        ];
        let of_sockets = [
            (faults.write_enobufs, "write ENOBUFS", libc::ENOBUFS),
            (
                faults.write_econnreset,
                "write ECONNRESET",
                libc::ECONNRESET,
            ),
        ];
        let of_files = [
            (faults.write_enospc, "write ENOSPC", libc::ENOSPC),
            (faults.write_edquot, "write EDQUOT", libc::EDQUOT),
        ];
        self.first_hit(&any)
            .or_else(|| {
                if is_socket {
                    self.first_hit(&of_sockets)
                } else {
                    None
                }
            })
            .or_else(|| {
                if is_regular {
                    self.first_hit(&of_files)
                } else {
                    None
                }
            })
    }

    /// Writes as many bytes as fit. Actors call this, too.
    pub(super) fn put(&mut self, id: Id, bytes: &[u8]) -> io::Result<usize> {
        if self.keeps_messages(id) {
            return self.put_message(id, bytes);
        }
        let is_shut = self.descriptions[id].is_shut;
        match &mut self.descriptions[id].object {
            Object::Writer(output) | Object::Socket { output, .. } => {
                let stream = &mut self.streams[*output];
                if !stream.has_reader || is_shut {
                    return Err(errno(libc::EPIPE));
                }
                match stream.put(bytes) {
                    0 if !bytes.is_empty() => Err(errno(libc::EAGAIN)),
                    size => {
                        self.is_stirred |= size > 0;
                        Ok(size)
                    }
                }
            }
            Object::Regular { contents, position } => {
                let end = *position + bytes.len();
                if contents.len() < end {
                    contents.resize(end, 0);
                }
                contents[*position..end].copy_from_slice(bytes);
                *position = end;
                Ok(bytes.len())
            }
            Object::Null => Ok(bytes.len()),
            Object::Reader(_) | Object::Pidfd(_) => Err(errno(libc::EBADF)),
        }
    }

    /// Puts all bytes in as one message. The errors are checked in the order of Linux's
    /// unix_dgram_sendmsg.
    fn put_message(&mut self, id: Id, bytes: &[u8]) -> io::Result<usize> {
        let description = &mut self.descriptions[id];
        let (input, output, kind) = match description.object {
            Object::Socket {
                input,
                output,
                kind,
            } => (input, output, kind),
            _ => return Err(errno(libc::ENOTSOCK)),
        };
        if std::mem::take(&mut self.streams[input].is_reset) {
            return Err(errno(libc::ECONNRESET));
        }
        let stream = &self.streams[output];
        if bytes.len() > stream.capacity {
            return Err(errno(libc::EMSGSIZE));
        }
        if description.is_shut || !stream.has_reader && kind != Kind::Datagram {
            return Err(errno(libc::EPIPE));
        }
        if description.has_lost_peer {
            return Err(errno(libc::ENOTCONN));
        }
        if !stream.has_reader {
            // unix_dgram_disconnected: "Messages are lost."
            description.has_lost_peer = true;
            self.streams[input].clear();
            return Err(errno(libc::ECONNREFUSED));
        }
        match self.streams[output].put_message(bytes) {
            true => {
                self.is_stirred = true;
                Ok(bytes.len())
            }
            false => Err(errno(libc::EAGAIN)),
        }
    }

    /// Puts the byte into a wake pipe. A full pipe wakes its reader as well.
    pub(super) fn wake(&mut self, fd: RawFd) {
        self.calls += 1;
        self.note(|| format!("wake(fd {fd})"));
        if let Some(id) = self.lookup(fd) {
            let _ = self.put(id, &[1]);
        }
    }
}
