//! AsyncFile: the face of an open file. Each operation is made here and does its work in
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
/// A **regular file** is always ready, says poll(2): it works, and its operations wait for the disk
/// (a few microseconds when the page is cached).
///
/// # Each kind of descriptor
///
/// What keeps a call from waiting in the kernel, with [`new`](AsyncFile::new), which takes the open
/// file description over, and with [`duplicate`](AsyncFile::duplicate), which never changes its
/// flags:
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
/// The *one call after poll(2)* can wait, and with it the whole loop: if another process that uses
/// the same description takes the bytes (or the room) in between, and if a device takes less after
/// POLLOUT than it is given. The time in between lasts from poll(2)'s answer until the task is
/// advanced; if a failure or a [stop](crate::Remote::stop) ends the drive first, that is in the
/// next drive. The same is true of a read of a terminal that cannot be opened again, and of a write
/// to a pipe that others fill.
///
/// A socket's **error queue** (IP_RECVERR, SO_TIMESTAMPING, MSG_ZEROCOPY) that is not empty ends
/// each operation that would have to wait with an error of kind `Other`, which says so: poll(2)
/// would answer at once, for ever. recvmsg(2) with MSG_ERRQUEUE empties the queue. `readable` and
/// `writable` end without an error while the queue is not empty.
///
/// A **message socket** (datagram, seqpacket) keeps its messages apart: one read is one message, an
/// empty one included, cut with [`End::Limit`](crate::End::Limit) if it is longer than the size;
/// one write is one message, never split. [`peek`](AsyncFile::peek) shows a message's beginning and
/// leaves it whole. Lines, [`full`](Read::full), [`read_exact`](AsyncFile::read_exact) and
/// [`read_to_end`](AsyncFile::read_to_end) are [`io::ErrorKind::InvalidInput`] there.
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
    /// The library sets O_NONBLOCK on the open file description.
    /// [`into_inner`](AsyncFile::into_inner), [`close`](AsyncFile::close) and the last handle's
    /// drop clear it again, if it was not set before. Until then every process that shares the
    /// description (a shell, a sibling) has O_NONBLOCK, too: use
    /// [`duplicate`](AsyncFile::duplicate) for a shared descriptor. The flags of sockets and
    /// regular files are not changed. Of two files that are made by `new` on one description (a
    /// `try_clone` of a pipe's end), the one that was made first clears the flag when it goes, and
    /// calls on the other one then wait in the kernel: clone the `AsyncFile` instead.
    ///
    /// # Errors
    ///
    /// Those of fstat(2) and fcntl(2): EBADF.
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
    /// pipe. It is duplicated, and the flags of the open file description are never changed: see
    /// [each kind of descriptor](AsyncFile#each-kind-of-descriptor).
    ///
    /// # Errors
    ///
    /// Those of fstat(2) and fcntl(2): EBADF, EMFILE.
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

    /// Reads 1 to `size` bytes, as soon as there are any: [`Task::bytes`](crate::Task::bytes).
    /// Buffered ones come first. It never takes more from the kernel than it was asked for, so the
    /// descriptor can be handed on. `size` is a limit, not a reservation: memory grows with what
    /// arrives. Empty only at end of file, or for a size of 0.
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

    /// Reads exactly `size` bytes: [`Task::bytes`](crate::Task::bytes). Otherwise as
    /// [`read`](AsyncFile::read). A size of 0 ends at once with nothing.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] if the end of file comes before that, also if nothing came,
    /// and [`io::ErrorKind::TimedOut`]. What came stays in the file.
    ///
    /// # Example
    ///
    /// This shows a length and as many bytes:
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

    /// As [`read`](AsyncFile::read), and takes nothing: the next operation finds the same bytes, or
    /// the same end of file. With [`full`](Read::full) it ends when so many bytes are buffered, or
    /// at the end. [`again`](crate::again) after a peek ends at once, with the same bytes: take
    /// them first, or wait for more with a larger `full`. A size of 0 ends at once with nothing.
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

    /// Reads until the end of file: [`Task::bytes`](crate::Task::bytes).
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

    /// Reads one line, its newline included: [`Task::line`](crate::Task::line). At end of file the
    /// rest without newline, then None, again and again. Only `\n` ends a line; carriage return,
    /// NUL and invalid UTF-8 are data. It reads ahead.
    ///
    /// An end is not for ever: once None has shown it, the next readline has what came since (a
    /// file that grew, a FIFO's next writer). A half line that the end cut was handed over as it
    /// was: lines of a file that is still written to are had whole from `tail -f`, or by joining
    /// them. A FIFO without writer is at its end all the time: a task that reads it again after
    /// each None never waits. Opened with O_RDWR (by `read(true).write(true)`, on Linux), a FIFO
    /// has a writer, and no end: its reader waits for the next one.
    ///
    /// On a Unix socket the read-ahead throws away **descriptors** that are passed with the bytes
    /// behind the line (SCM_RIGHTS). With [`size_hint(1)`](Readline::size_hint) nothing behind the
    /// line is read; then recvmsg(2) takes what is passed. Those passed with bytes of the line
    /// itself are lost in any case, as with every read of this library.
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

    /// As [`readline`](AsyncFile::readline), with another delimiter: NUL, `;`, a carriage return.
    /// One file may be read with several: what is buffered is searched once for each change.
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

    /// Reads all whole lines that are there, at least one: [`Task::lines`](crate::Task::lines). At
    /// end of file the rest without newline, then none; an end is not for ever, see
    /// [`readline`](AsyncFile::readline). It reads ahead, and throws away descriptors that were
    /// passed meanwhile (SCM_RIGHTS): where there may be some, `readline` with a `size_hint` of 1.
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

    /// Writes: [`Task::written`](crate::Task::written). The operation ends after one write(2) that
    /// took at least one byte. No data needs no write(2), but a message socket sends it as an empty
    /// message. A write that took less than all is an error to [`Task::ok`](crate::Task::ok).
    /// Borrowed bytes are copied, a `Vec<u8>` or `String` is moved, an `Rc<[u8]>` is shared. A
    /// reader that is gone is [`io::ErrorKind::BrokenPipe`], and no SIGPIPE.
    ///
    /// # Example
    ///
    /// This shows a write that a full socket cuts:
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

    /// Writes all of it: [`Task::ok`](crate::Task::ok). As [`write`](AsyncFile::write) with
    /// [`full`](Write::full), but a deadline that cuts it is always
    /// [`io::ErrorKind::TimedOut`].
    ///
    /// # Errors
    ///
    /// Each says how many bytes were written before it, if any were. The rest of the data is gone.
    ///
    /// # Example
    ///
    /// This shows how to write more than a socket has room for, with a second for all of it:
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

    /// Waits until a read would not wait: bytes are buffered, or poll(2) said IN, HUP or ERR. Takes
    /// nothing and does not queue: for a listener's accept, for example. When accept(2) fails with
    /// EMFILE or ENFILE the client is still there, and the listener stays readable: the task waits
    /// for a [`sleep`](crate::sleep) before it tries again, or for one of its connections to end
    /// (`examples/echo_server.rs`).
    ///
    /// # Example
    ///
    /// This shows how to accept connections. The program keeps its own listener, and sets it
    /// nonblocking: a client may have gone again between poll(2) and accept(2), which must not wait
    /// then.
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
    ///         Ok((_stream, _address)) => done(()),            // a server spawns a task for it, and waits again
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

    /// Waits until poll(2) says OUT, HUP or ERR. Takes nothing and does not queue: for a connection
    /// that is being made, for example.
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

    /// Waits until poll(2) says any of these events, or POLLHUP, POLLERR or POLLNVAL, which come
    /// unasked: [`Task::revents`](crate::Task::revents). 0 waits for the hangup alone. It takes
    /// nothing, does not queue, and knows nothing of what is buffered: for urgent data (POLLPRI), a
    /// sysfs attribute, a peer that has gone (POLLRDHUP) while nobody reads.
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

    /// Tells a socket's peer that no more comes, which reads its end of file; reading goes on. It
    /// queues behind the writes that were waited for before it, then calls shutdown(2):
    /// [`Task::ok`](crate::Task::ok). Later writes are [`io::ErrorKind::BrokenPipe`].
    ///
    /// # Errors
    ///
    /// Errors of shutdown(2): ENOTSOCK if the file is no socket, ENOTCONN.
    ///
    /// # Example
    ///
    /// This shows a request that ends, and its answer:
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

    /// Another descriptor of the same open file, for what the library has no operation for: socket
    /// options, SO_ERROR, accept. It does not share what was read ahead, and with
    /// [`AsyncFile::new`] both have O_NONBLOCK.
    ///
    /// # Errors
    ///
    /// Those of fcntl(2): EMFILE; [`io::ErrorKind::NotConnected`] for a file that was closed.
    ///
    /// # Example
    ///
    /// This shows how to set an option of a connection that the library has:
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

    /// The descriptor, its flags as they were found, and the bytes that were read ahead.
    ///
    /// # Errors
    ///
    /// The file itself, if another handle or a pending operation has it, or it is closed, also
    /// behind the library's back.
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

/// For the library's own faces.
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
    /// The number of the descriptor. After [`close`](AsyncFile::close), the one it had.
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor.fd()
    }
}

impl fmt::Debug for AsyncFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsyncFile on {:?}", self.descriptor)
    }
}
