//! AsyncFile: what users see of an open file. Each operation is made here and does its work in
//! [`op`](crate::op).

use std::fmt;
use std::io;
use std::os::unix::io::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;

use libc::c_short;

use crate::data::Data;
use crate::descriptor::Descriptor;
use crate::error;
use crate::op::{Read, ReadToEnd, Readline, Readlines, Ready, Shutdown, Write};
use crate::port::{Direction, Port};

/// A pipe, socket, terminal, FIFO or any other descriptor, to be read and written by tasks.
///
/// Clones are handles to one open file: one buffer, one queue of readers, one of writers.
/// Operations of one direction are served in the order they were waited for; reading and writing do
/// not wait for each other. Tasks can wait for a file in one scheduler at a time: in a second one
/// an operation fails with [`io::ErrorKind::InvalidInput`] while any task waits in the first.
///
/// A **regular file** works, too. poll(2) says that it is always ready, so its operations wait for
/// the disk (a few microseconds when the page is cached).
///
/// # Each kind of descriptor
///
/// The table shows what keeps a call from waiting in the kernel. [`new`](AsyncFile::new) takes the
/// open file description over. [`duplicate`](AsyncFile::duplicate) never changes its flags.
///
/// | descriptor | `new` | `duplicate` |
/// |---|---|---|
/// | socket | MSG_DONTWAIT | MSG_DONTWAIT |
/// | pipe, FIFO | O_NONBLOCK | reads: RWF_NOWAIT (Linux 6.4), elsewhere one read after POLLIN. Writes: at most PIPE_BUF bytes after POLLOUT |
/// | terminal | O_NONBLOCK | it is opened once more, by its name, with O_NONBLOCK |
/// | terminal that cannot be opened again: a pseudo-terminal's master, one of another owner, or with TIOCEXCL | O_NONBLOCK | reads: after POLLIN, and of no more than FIONREAD says is there. Writes and `writable` are refused ([`io::ErrorKind::Unsupported`]): POLLOUT promises no room |
/// | regular file | nothing: calls wait for the disk | nothing: calls wait for the disk |
/// | file of a file system that makes its bytes on demand (procfs, sysfs, tracefs, cgroup, ...; Linux), like /proc/kmsg | O_NONBLOCK, and poll(2) is asked, although its mode says that it is regular | one call after poll(2) |
/// | other devices, eventfd, inotify, ... | O_NONBLOCK | one call after poll(2); a write of at most PIPE_BUF bytes |
///
/// The *one call after poll(2)* can wait in the kernel, and the whole loop waits with it. There are
/// two cases. Another process that uses the same open file description may take the bytes (or the
/// room) after poll(2) has answered. And a device may take less than it is given, although poll(2)
/// has reported POLLOUT. The call is made when the task is advanced. If a failure or a
/// [stop](crate::Remote::stop) ends the drive before the task is advanced, the call is made in the
/// next drive, perhaps much later. A read of a terminal that cannot be opened again, and a write to
/// a pipe that others fill, can wait in the same way.
///
/// While a socket's **error queue** (IP_RECVERR, SO_TIMESTAMPING, MSG_ZEROCOPY) is not empty,
/// poll(2) would answer at once, for ever. So each operation that would have to wait ends with an
/// error of kind `Other`, which says so. recvmsg(2) with MSG_ERRQUEUE empties the queue. `readable`
/// and `writable` end without an error while the queue is not empty.
///
/// A **message socket** (datagram, seqpacket) keeps its messages apart: one read is one message,
/// which may be empty, and one write is one message, never split. A message that is longer than the
/// size is cut to it, with [`End::Limit`](crate::End::Limit). [`peek`](AsyncFile::peek) shows a
/// message's beginning and leaves it whole. Lines, [`full`](Read::full),
/// [`read_exact`](AsyncFile::read_exact) and [`read_to_end`](AsyncFile::read_to_end) are
/// [`io::ErrorKind::InvalidInput`] there.
///
/// # Example
///
/// This shows how to read the first line that comes through a socket:
///
/// ```
/// use asyncfile::{AsyncFile, Scheduler};
/// use std::{io::Write, os::unix::net::UnixStream};
///
/// let (mut theirs, ours) = UnixStream::pair()?;
/// theirs.write_all(b"hello\nworld\n")?;
/// let file = AsyncFile::new(ours)?;
/// let line = Scheduler::new().block_on(file.readline())?;
/// assert_eq!(line.unwrap(), b"hello\n");
/// assert_eq!(file.buffered(), 6);              // read ahead, for whoever reads next
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct AsyncFile {
    descriptor: Rc<Descriptor>,
}

impl AsyncFile {
    /// Takes over a descriptor: a `File`, `TcpStream`, `UnixStream`, `ChildStdout`, ...
    ///
    /// The library sets O_NONBLOCK on the open file description of a pipe, a terminal or a device.
    /// The flags of sockets and regular files are not changed.
    /// [`into_inner`](AsyncFile::into_inner), [`close`](AsyncFile::close) and the last handle's
    /// drop clear the flag again, if it was not set before. Until then every process that shares
    /// the description (a shell, a sibling) has O_NONBLOCK, too, so use
    /// [`duplicate`](AsyncFile::duplicate) for a shared descriptor. Do not make two files by `new`
    /// on one description (a `try_clone` of a pipe's end): the file that was made first clears the
    /// flag when it goes, and calls on the other one then block. Clone the `AsyncFile` instead.
    ///
    /// # Errors
    ///
    /// Errors of fstat(2) and fcntl(2): EBADF.
    ///
    /// # Example
    ///
    /// This shows how to take over a file that std has opened:
    ///
    /// ```
    /// use asyncfile::{AsyncFile, Scheduler};
    /// use std::fs::File;
    ///
    /// let file = AsyncFile::new(File::open("Cargo.toml")?)?;
    /// let first = Scheduler::new().block_on(file.readline())?;
    /// assert_eq!(first.as_deref(), Some(&b"[package]\n"[..]));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(fd: impl Into<OwnedFd>) -> io::Result<AsyncFile> {
        let fd = fd.into();
        let number = fd.as_raw_fd();
        match Port::take_over(fd) {
            Ok(port) => Ok(AsyncFile::from_descriptor(Descriptor::new(port))),
            Err(error) => Err(error::system("AsyncFile::new", number, error)),
        }
    }

    /// Works on a descriptor that another owner keeps and shares: stdin, a terminal, an inherited
    /// pipe. The file has a duplicate of the descriptor. The flags of the open file description are
    /// never changed: see [each kind of descriptor](AsyncFile#each-kind-of-descriptor).
    ///
    /// # Errors
    ///
    /// Errors of fstat(2) and fcntl(2): EBADF, EMFILE.
    ///
    /// # Example
    ///
    /// This shows a task that writes to the stderr of the whole process:
    ///
    /// ```
    /// use asyncfile::{AsyncFile, Scheduler};
    ///
    /// let stderr = AsyncFile::duplicate(&std::io::stderr())?;
    /// Scheduler::new().block_on(stderr.write_all("no flag is changed\n"))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn duplicate(file: &impl AsFd) -> io::Result<AsyncFile> {
        let number = file.as_fd().as_raw_fd();
        match Port::duplicate(number) {
            Ok(port) => Ok(AsyncFile::from_descriptor(Descriptor::new(port))),
            Err(error) => Err(error::system("AsyncFile::duplicate", number, error)),
        }
    }

    /// Reads 1 to `size` bytes, as soon as there are any; [`Task::bytes`](crate::Task::bytes) has
    /// them. Buffered bytes come first. The read never takes more than `size` bytes from the
    /// kernel, so the descriptor can be handed on. `size` is a limit, not a reservation: memory
    /// grows with what arrives. The bytes are empty only at end of file, for a size of 0, or for an
    /// empty message.
    ///
    /// # Example
    ///
    /// This shows that a read ends with what is there:
    ///
    /// ```
    /// use asyncfile::{AsyncFile, Scheduler};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let (mut theirs, ours) = UnixStream::pair()?;
    /// theirs.write_all(b"hello")?;
    /// let (file, mut sched) = (AsyncFile::new(ours)?, Scheduler::new());
    /// assert_eq!(sched.block_on(file.read(4))?, b"hell");
    /// assert_eq!(sched.block_on(file.read(4))?, b"o");
    /// drop(theirs);
    /// assert_eq!(sched.block_on(file.read(4))?, b"");         // end of file
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn read(&self, size: usize) -> Read {
        Read::new(&self.descriptor, size)
    }

    /// Reads exactly `size` bytes; [`Task::bytes`](crate::Task::bytes) has them. In all else it is
    /// the same as [`read`](AsyncFile::read). With a size of 0 it ends at once, with no bytes.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] if the end of file comes first, even if no byte came;
    /// [`io::ErrorKind::TimedOut`] if the deadline comes first. The bytes that came stay in the
    /// file.
    ///
    /// # Example
    ///
    /// This shows how to read a length, then as many bytes:
    ///
    /// ```
    /// use asyncfile::{AsyncFile, Scheduler};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let (mut theirs, ours) = UnixStream::pair()?;
    /// theirs.write_all(b"\x05hello")?;
    /// let (file, mut sched) = (AsyncFile::new(ours)?, Scheduler::new());
    /// let len = sched.block_on(file.read_exact(1))?[0];
    /// assert_eq!(sched.block_on(file.read_exact(len.into()))?, b"hello");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn read_exact(&self, size: usize) -> Read {
        Read::exact(&self.descriptor, size)
    }

    /// The same as [`read`](AsyncFile::read), but takes nothing: the next operation finds the same
    /// bytes, or the same end of file. With [`full`](Read::full) it ends when `size` bytes are
    /// buffered, at the end of file, or at its deadline. [`again`](crate::again) after a peek ends
    /// at once, with the same bytes: take them first, or peek at more with `full` and a larger
    /// size. With a size of 0 it ends at once, with no bytes.
    ///
    /// # Example
    ///
    /// This shows how to tell two protocols apart by their first byte:
    ///
    /// ```
    /// use asyncfile::{AsyncFile, Scheduler};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let (mut theirs, ours) = UnixStream::pair()?;
    /// theirs.write_all(b"GET /\n")?;
    /// let (file, mut sched) = (AsyncFile::new(ours)?, Scheduler::new());
    /// let is_tls = sched.block_on(file.peek(1))? == [22];
    /// assert!(!is_tls);
    /// assert_eq!(sched.block_on(file.readline())?.unwrap(), b"GET /\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn peek(&self, size: usize) -> Read {
        Read::peek(&self.descriptor, size)
    }

    /// Reads until the end of file; [`Task::bytes`](crate::Task::bytes) has all bytes.
    ///
    /// # Example
    ///
    /// This shows how to read a file of at most a megabyte:
    ///
    /// ```
    /// use asyncfile::{AsyncFile, Scheduler};
    ///
    /// let file = AsyncFile::new(std::fs::File::open("Cargo.toml")?)?;
    /// let text = Scheduler::new().block_on(file.read_to_end().limit(1_000_000))?;
    /// assert_eq!(text, std::fs::read("Cargo.toml")?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn read_to_end(&self) -> ReadToEnd {
        ReadToEnd::new(&self.descriptor)
    }

    /// Reads one line with its newline; [`Task::line`](crate::Task::line) has it. At end of file
    /// there may be a last line without newline. After that each readline gives None. Only `\n`
    /// ends a line; carriage return, NUL and invalid UTF-8 are data. The operation reads ahead.
    ///
    /// An end of file is not for ever. After the None, the next readline has what came since (a
    /// file that grew, a FIFO's next writer). A half line before the end is handed over as it is.
    /// To have whole lines of a file that is still written to, read from `tail -f`, or join the
    /// halves. A FIFO without writer is at its end all the time, so a task that reads it again
    /// after each None never waits. A FIFO that is opened with O_RDWR (by `read(true).write(true)`,
    /// on Linux) has a writer and no end, so its reader waits for the next writer.
    ///
    /// On a Unix socket the read-ahead throws away **descriptors** that are passed with the bytes
    /// after the line (SCM_RIGHTS). With [`size_hint(1)`](Readline::size_hint) nothing after the
    /// line is read, so recvmsg(2) can take these descriptors. Descriptors that are passed with
    /// bytes of the line itself are lost in any case, as with every read of this library.
    ///
    /// # Example
    ///
    /// This shows the last line, which has no newline, and the end:
    ///
    /// ```
    /// use asyncfile::{AsyncFile, Scheduler};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let (mut theirs, ours) = UnixStream::pair()?;
    /// theirs.write_all(b"one\ntwo")?;
    /// drop(theirs);
    /// let (file, mut sched) = (AsyncFile::new(ours)?, Scheduler::new());
    /// assert_eq!(sched.block_on(file.readline())?.as_deref(), Some(&b"one\n"[..]));
    /// assert_eq!(sched.block_on(file.readline())?.as_deref(), Some(&b"two"[..]));
    /// assert_eq!(sched.block_on(file.readline())?, None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn readline(&self) -> Readline {
        Readline::new(&self.descriptor)
    }

    /// The same as [`readline`](AsyncFile::readline), but with another delimiter: NUL, `;`, a
    /// carriage return. One file may be read with several delimiters. After each change the
    /// buffered bytes are searched once more.
    ///
    /// # Example
    ///
    /// This shows the first variable of an environment in Linux's /proc:
    ///
    /// ```
    /// use asyncfile::{AsyncFile, Scheduler};
    ///
    /// # if !cfg!(target_os = "linux") { return Ok(()) }
    /// let file = AsyncFile::new(std::fs::File::open("/proc/self/environ")?)?;
    /// let variable = Scheduler::new().block_on(file.read_until(0))?;
    /// assert!(variable.unwrap().ends_with(b"\0"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn read_until(&self, byte: u8) -> Readline {
        Readline::until_byte(&self.descriptor, byte)
    }

    /// Reads all whole lines that are there, at least one; [`Task::lines`](crate::Task::lines) has
    /// them. At end of file any rest without newline is the last line, and after it there is none.
    /// More lines may come after an end of file: see [`readline`](AsyncFile::readline). The
    /// operation reads ahead, and throws away descriptors that are passed meanwhile (SCM_RIGHTS).
    /// If descriptors may be passed, use `readline` with a `size_hint` of 1.
    ///
    /// # Example
    ///
    /// This shows how to count the lines of a file, many at a time:
    ///
    /// ```
    /// use asyncfile::{again, done, AsyncFile, Scheduler};
    ///
    /// let file = AsyncFile::new(std::fs::File::open("Cargo.toml")?)?;
    /// let mut sched = Scheduler::new();
    /// let mut count = 0;
    /// let counter = sched.spawn(file.readlines(), move |task| {
    ///     match task.lines()?.count() {
    ///         0 => done(count),                               // end of file
    ///         n => { count += n; again() }
    ///     }
    /// });
    /// assert!(sched.join(counter)? > 10);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn readlines(&self) -> Readlines {
        Readlines::new(&self.descriptor)
    }

    /// Writes data, or a part of it; [`Task::written`](crate::Task::written) says how many bytes.
    /// The operation ends after one write(2) that took at least one byte. Empty data needs no
    /// write(2), but a message socket sends it as an empty message. If a part was written,
    /// [`Task::ok`](crate::Task::ok) returns an error. Borrowed bytes are copied, a `Vec<u8>` or
    /// `String` is moved, an `Rc<[u8]>` is shared. If the reader is gone, the error is
    /// [`io::ErrorKind::BrokenPipe`], and no SIGPIPE comes.
    ///
    /// # Example
    ///
    /// This shows a write of which a full socket takes only a part:
    ///
    /// ```
    /// use asyncfile::{AsyncFile, Scheduler};
    /// use std::os::unix::net::UnixStream;
    ///
    /// let (theirs, ours) = UnixStream::pair()?;
    /// let (file, mut sched) = (AsyncFile::new(ours)?, Scheduler::new());
    /// assert_eq!(sched.block_on(file.write("hello"))?, 5);
    /// let data = vec![0; 10_000_000];
    /// assert!(sched.block_on(file.write(data))? < 10_000_000);    // nothing reads `theirs`
    /// # drop(theirs);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn write(&self, data: impl Into<Data>) -> Write {
        Write::new(&self.descriptor, data.into())
    }

    /// Writes all data; [`Task::ok`](crate::Task::ok) confirms it. It is like
    /// [`write`](AsyncFile::write) with [`full`](Write::full), but if the deadline comes first, it
    /// always fails with [`io::ErrorKind::TimedOut`].
    ///
    /// # Errors
    ///
    /// Each error says how many bytes were written before it, if any were. The rest of the data is
    /// gone.
    ///
    /// # Example
    ///
    /// This shows how to write more bytes than a socket has room for. The timeout gives the whole
    /// write one second:
    ///
    /// ```
    /// use asyncfile::{AsyncFile, Scheduler};
    /// use std::{os::unix::net::UnixStream, time::Duration};
    ///
    /// let (theirs, ours) = UnixStream::pair()?;
    /// let (file, other) = (AsyncFile::new(ours)?, AsyncFile::new(theirs)?);
    /// let mut sched = Scheduler::new();
    /// let write = file.write_all(vec![0; 4_000_000]).timeout(Duration::from_secs(1));
    /// let writer = sched.spawn(write, |task| asyncfile::done(task.ok()?));
    /// assert_eq!(sched.block_on(other.read_exact(4_000_000))?.len(), 4_000_000);
    /// sched.join(writer)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn write_all(&self, data: impl Into<Data>) -> Write {
        Write::all(&self.descriptor, data.into())
    }

    /// Waits until a read would not wait, because bytes are buffered, or because poll(2) has
    /// reported IN, HUP or ERR. It consumes nothing and does not queue. It serves for a listener's
    /// accept, for example. When accept(2) fails with EMFILE or ENFILE the client is still there,
    /// and the listener stays readable. Before the task tries again, it waits for a
    /// [`sleep`](crate::sleep), or for one of its connections to end (`examples/echo_server.rs`).
    ///
    /// # Example
    ///
    /// This shows how to accept connections. The program keeps its own listener, and sets it
    /// nonblocking. A client may go away between poll(2) and accept(2). A blocking accept(2) would
    /// then wait for the next client.
    ///
    /// ```
    /// use asyncfile::{done, wait, AsyncFile, Flow, Scheduler};
    /// use std::{io::ErrorKind, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// listener.set_nonblocking(true)?;
    /// let _client = TcpStream::connect(listener.local_addr()?)?;
    /// let incoming = AsyncFile::duplicate(&listener)?;
    /// let mut sched = Scheduler::new();
    /// let accepting = sched.spawn(incoming.readable(), move |task| -> Flow {
    ///     task.ok()?;
    ///     match listener.accept() {
    ///         Ok((_stream, _address)) => done(()),            // a server spawns a task for it
    ///         Err(error) if error.kind() == ErrorKind::WouldBlock => wait(incoming.readable()),
    ///         Err(error) => Err(error),
    ///     }
    /// });
    /// sched.join(accepting)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn readable(&self) -> Ready {
        Ready::new(&self.descriptor, Direction::Read)
    }

    /// Waits until poll(2) says OUT, HUP or ERR. It writes nothing and does not queue. It serves
    /// for a connection that is being made, for example.
    ///
    /// # Example
    ///
    /// This shows how to connect without waiting in the kernel. The socket is writable when the
    /// connection is made or has failed, and SO_ERROR tells which (connect(2), EINPROGRESS):
    ///
    /// ```
    /// use asyncfile::{AsyncFile, Scheduler};
    /// use socket2::{Domain, Socket, Type};
    /// use std::{net::{SocketAddr, TcpListener}, time::Duration};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let address: SocketAddr = listener.local_addr()?;
    /// let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    /// socket.set_nonblocking(true)?;
    /// match socket.connect(&address.into()) {
    ///     Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
    ///     _ => {}
    /// }
    /// let file = AsyncFile::new(socket)?;
    /// let mut sched = Scheduler::new();
    /// sched.block_on(file.writable().timeout(Duration::from_secs(10)))?;
    /// if let Some(error) = Socket::from(file.try_clone_to_owned()?).take_error()? {
    ///     return Err(error);                              // ECONNREFUSED, for example
    /// }
    /// sched.block_on(file.write_all("hello"))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn writable(&self) -> Ready {
        Ready::new(&self.descriptor, Direction::Write)
    }

    /// Waits until poll(2) reports any of these events, or POLLHUP, POLLERR or POLLNVAL, which it
    /// reports unasked. [`Task::revents`](crate::Task::revents) has the answer. If `events` is 0,
    /// the task waits for those three alone. The operation takes no bytes, enters no queue, and
    /// ignores bytes that were read ahead. Use it for urgent data (POLLPRI), for a sysfs attribute,
    /// or for a peer that goes away (POLLRDHUP) while no task reads.
    ///
    /// # Example
    ///
    /// This shows how a server that only writes learns that its client has gone:
    ///
    /// ```
    /// use asyncfile::{done, AsyncFile, Scheduler};
    /// use std::os::unix::net::UnixStream;
    ///
    /// let (theirs, ours) = UnixStream::pair()?;
    /// let mut sched = Scheduler::new();
    /// let gone = AsyncFile::new(ours)?.readiness(0);
    /// let watch = sched.spawn(gone, |task| done(task.revents()?));
    /// drop(theirs);
    /// assert!(sched.join(watch)? & libc::POLLHUP != 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn readiness(&self, events: c_short) -> Ready {
        Ready::for_events(&self.descriptor, events)
    }

    /// Ends the writing to a socket, so that its peer reads an end of file. Reading is still
    /// possible. The operation queues after the writes for which tasks wait already, then calls
    /// shutdown(2). [`Task::ok`](crate::Task::ok) tells whether it has succeeded. Later writes fail
    /// with [`io::ErrorKind::BrokenPipe`].
    ///
    /// # Errors
    ///
    /// Errors of shutdown(2): ENOTSOCK if the file is no socket, ENOTCONN.
    ///
    /// # Example
    ///
    /// This shows a peer that reads a request up to the end of file, and then answers:
    ///
    /// ```
    /// use asyncfile::{AsyncFile, Scheduler};
    /// use std::{io::{Read, Write}, os::unix::net::UnixStream};
    ///
    /// let (mut theirs, ours) = UnixStream::pair()?;
    /// let (file, mut sched) = (AsyncFile::new(ours)?, Scheduler::new());
    /// sched.block_on(file.write_all("request"))?;
    /// sched.block_on(file.shutdown_write())?;
    /// let mut request = String::new();
    /// theirs.read_to_string(&mut request)?;               // until its end of file
    /// theirs.write_all(request.to_uppercase().as_bytes())?;
    /// assert_eq!(sched.block_on(file.read(100))?, b"REQUEST");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown_write(&self) -> Shutdown {
        Shutdown::new(&self.descriptor)
    }

    /// Another descriptor of the same open file description, for calls that no operation makes:
    /// socket options, SO_ERROR, accept. The bytes that were read ahead cannot be read from it. If
    /// [`AsyncFile::new`] has set O_NONBLOCK, both descriptors have it.
    ///
    /// # Errors
    ///
    /// Errors of fcntl(2): EMFILE; [`io::ErrorKind::NotConnected`] for a file that was closed.
    ///
    /// # Example
    ///
    /// This shows how to set an option of a socket that is an [`AsyncFile`] already:
    ///
    /// ```
    /// use asyncfile::AsyncFile;
    /// use std::net::{TcpListener, TcpStream};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let file = AsyncFile::new(TcpStream::connect(listener.local_addr()?)?)?;
    /// TcpStream::from(file.try_clone_to_owned()?).set_nodelay(true)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_clone_to_owned(&self) -> io::Result<OwnedFd> {
        let named = |cause| error::named("try_clone_to_owned", self.descriptor.fd(), cause);
        self.descriptor.try_clone().map_err(named)
    }

    /// How many bytes were read ahead and not handed over.
    pub fn buffered(&self) -> usize {
        self.descriptor.buffered()
    }

    /// Closes the file, for all handles. Operations that wait on it end in this turn, with
    /// [`io::ErrorKind::NotConnected`]; buffered bytes are dropped. Closing it again does nothing.
    ///
    /// # Example
    ///
    /// This shows a task that waits on a file which another one closes:
    ///
    /// ```
    /// use asyncfile::{done, yield_now, AsyncFile, Scheduler};
    /// use std::{io::ErrorKind, os::unix::net::UnixStream};
    ///
    /// let (_theirs, ours) = UnixStream::pair()?;
    /// let file = AsyncFile::new(ours)?;
    /// let mut sched = Scheduler::new();
    /// let waiting = sched.spawn(file.readline(), |task| done(task.line().unwrap_err().kind()));
    /// sched.spawn(yield_now(), move |_task| done(file.close()));
    /// assert_eq!(sched.join(waiting)?, ErrorKind::NotConnected);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn close(&self) {
        self.descriptor.close();
    }

    /// Returns the descriptor, with its flags as they were found, and the bytes that were read
    /// ahead.
    ///
    /// # Errors
    ///
    /// The file itself, if another handle or a pending operation uses it, if it is closed, or if
    /// its descriptor was closed behind the library's back.
    ///
    /// # Example
    ///
    /// This shows how to hand a socket on, and what was read ahead of it:
    ///
    /// ```
    /// use asyncfile::{AsyncFile, Scheduler};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let (mut theirs, ours) = UnixStream::pair()?;
    /// theirs.write_all(b"header\nbody")?;
    /// let file = AsyncFile::new(ours)?;
    /// Scheduler::new().block_on(file.readline())?;
    /// let (fd, ahead) = file.into_inner().expect("the only handle");
    /// let socket = UnixStream::from(fd);
    /// assert_eq!(ahead, b"body");
    /// # drop(socket);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_inner(self) -> Result<(OwnedFd, Vec<u8>), AsyncFile> {
        if !self.descriptor.is_ours() {
            return Err(self);
        }
        let descriptor =
            Rc::try_unwrap(self.descriptor).map_err(|descriptor| AsyncFile { descriptor })?;
        Ok(descriptor.into_inner().expect("it is ours"))
    }
}

/// For the library's other public types, such as AsyncPipe.
impl AsyncFile {
    pub(crate) fn from_descriptor(descriptor: Descriptor) -> AsyncFile {
        AsyncFile {
            descriptor: Rc::new(descriptor),
        }
    }

    pub(crate) fn descriptor(&self) -> &Rc<Descriptor> {
        &self.descriptor
    }
}

impl AsRawFd for AsyncFile {
    /// The number of the descriptor. After [`close`](AsyncFile::close), the number that it had.
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor.fd()
    }
}

impl fmt::Debug for AsyncFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsyncFile on {:?}", self.descriptor)
    }
}
