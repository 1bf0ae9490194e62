//! The names under which users know reading and writing, with the options of each.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use super::operate::{face, Kind, Op};
use super::read::Reading;
use super::write::Writing;
use crate::data::Data;
use crate::descriptor::Descriptor;
use crate::machine::read::Want;
use crate::machine::write::Extent;
#[cfg(doc)]
use crate::machine::End;
#[cfg(doc)]
use std::io;

/// Waits for bytes: see [`AsyncFile::read`](crate::AsyncFile::read).
#[derive(Clone)]
#[must_use = "an operation does nothing until a task waits for it"]
pub struct Read(Reading);

impl Read {
    #[inline]
    pub(crate) fn new(file: &Rc<Descriptor>, size: usize) -> Read {
        Read(Reading::new(file, Want::Some(size)))
    }

    pub(crate) fn exact(file: &Rc<Descriptor>, size: usize) -> Read {
        Read(Reading::new(file, Want::Exact(size)))
    }

    pub(crate) fn peek(file: &Rc<Descriptor>, size: usize) -> Read {
        let mut read = Read::new(file, size);
        read.0.machine.set_peek();
        read
    }

    /// The read ends with exactly its size. It ends with fewer bytes only at the end of file
    /// ([`End::Eof`]) or at its deadline ([`End::TimedOut`]).
    ///
    /// # Example
    ///
    /// This shows a header of fixed size that comes in pieces:
    ///
    /// ```
    /// use asyncfile::{AsyncFile, Scheduler};
    /// use std::{io::Write, os::unix::net::UnixStream, thread};
    ///
    /// let (mut theirs, ours) = UnixStream::pair()?;
    /// let writer = thread::spawn(move || {
    ///     theirs.write_all(b"HE").and_then(|()| theirs.write_all(b"AD"))
    /// });
    /// let file = AsyncFile::new(ours)?;
    /// assert_eq!(Scheduler::new().block_on(file.read(4).full())?, b"HEAD");
    /// # writer.join().unwrap()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn full(mut self) -> Read {
        if let Want::Some(size) = self.0.machine.want() {
            self.0.machine.set_want(Want::Full(size));
        }
        self
    }

    /// How long the whole operation may take, counted from when it first has to wait. A wait behind
    /// other readers in the queue counts, too. After that time the outcome is the bytes so far, or
    /// [`io::ErrorKind::TimedOut`] if there are none.
    #[inline]
    pub fn timeout(mut self, after: Duration) -> Read {
        self.0.timeout.set_after(after);
        self
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.describe(f)
    }
}

face!(Read, op => Op(Kind::Read(op.0)), op.0.timeout);

/// Reads all bytes until the end of file: see
/// [`AsyncFile::read_to_end`](crate::AsyncFile::read_to_end).
#[derive(Clone)]
#[must_use = "an operation does nothing until a task waits for it"]
pub struct ReadToEnd(Reading);

impl ReadToEnd {
    #[inline]
    pub(crate) fn new(file: &Rc<Descriptor>) -> ReadToEnd {
        ReadToEnd(Reading::new(file, Want::ToEnd(usize::MAX)))
    }

    /// Limits the read to this many bytes. At the limit it ends with [`End::Limit`], and the rest
    /// stays in the file. A limit of 0 is [`io::ErrorKind::InvalidInput`].
    #[inline]
    pub fn limit(mut self, bytes: usize) -> ReadToEnd {
        self.0.machine.set_want(Want::ToEnd(bytes));
        self
    }

    /// How long the whole operation may take, counted from when it first has to wait. A wait behind
    /// other readers in the queue counts, too. After that time the outcome is the bytes so far, or
    /// [`io::ErrorKind::TimedOut`] if there are none.
    #[inline]
    pub fn timeout(mut self, after: Duration) -> ReadToEnd {
        self.0.timeout.set_after(after);
        self
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.describe(f)
    }
}

face!(ReadToEnd, op => Op(Kind::Read(op.0)), op.0.timeout);

/// Waits for one line: see [`AsyncFile::readline`](crate::AsyncFile::readline).
///
/// # Example
///
/// This shows one deadline for all lines together. (A `timeout` begins anew with each line.)
///
/// ```
/// use asyncfile::{again, done, AsyncFile, End, Scheduler};
/// use std::{io::Write, os::unix::net::UnixStream, time::{Duration, Instant}};
///
/// let (mut theirs, ours) = UnixStream::pair()?;
/// theirs.write_all(b"one\ntwo\nthr")?;
/// let deadline = Instant::now() + Duration::from_millis(10);
/// let mut sched = Scheduler::new();
/// let mut count = 0;
/// let read = AsyncFile::new(ours)?.readline().until(deadline);
/// let counter = sched.spawn(read, move |task| match task.end() {
///     End::TimedOut => done(count),                   // "thr" stays in the file
///     _ => { task.line()?; count += 1; again() }
/// });
/// assert_eq!(sched.join(counter)?, 2);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "an operation does nothing until a task waits for it"]
pub struct Readline(Reading);

impl Readline {
    #[inline]
    pub(crate) fn new(file: &Rc<Descriptor>) -> Readline {
        Readline(Reading::new(file, Want::Line(usize::MAX)))
    }

    #[inline]
    pub(crate) fn until_byte(file: &Rc<Descriptor>, delimiter: u8) -> Readline {
        let mut read = Readline::new(file);
        read.0.machine.set_delimiter(delimiter);
        read
    }

    /// Limits a line to this many bytes. If a line is longer, its first `bytes` bytes are handed
    /// over, with [`End::Limit`], and the next readline goes on with the rest. A limit of 0 is
    /// [`io::ErrorKind::InvalidInput`].
    ///
    /// # Example
    ///
    /// This shows that a long line comes in pieces:
    ///
    /// ```
    /// use asyncfile::{AsyncFile, Scheduler};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let (mut theirs, ours) = UnixStream::pair()?;
    /// theirs.write_all(b"too long\n")?;
    /// let (file, mut sched) = (AsyncFile::new(ours)?, Scheduler::new());
    /// let line = file.readline().limit(4);
    /// assert_eq!(sched.block_on(line.clone())?.as_deref(), Some(&b"too "[..]));
    /// assert_eq!(sched.block_on(line)?.as_deref(), Some(&b"long"[..]));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn limit(mut self, bytes: usize) -> Readline {
        self.0.machine.set_want(Want::Line(bytes));
        self
    }

    /// Asks the kernel for at most `bytes` bytes at a time. Then at most `bytes - 1` bytes after
    /// the line are read ahead. The default, 0, asks for as many bytes as the buffer has room for:
    /// about 64 KiB.
    ///
    /// # Example
    ///
    /// This shows a line after which nothing is read ahead:
    ///
    /// ```
    /// use asyncfile::{AsyncFile, Scheduler};
    /// use std::{io::Write, os::unix::net::UnixStream};
    ///
    /// let (mut theirs, ours) = UnixStream::pair()?;
    /// theirs.write_all(b"header\nbody")?;
    /// let file = AsyncFile::new(ours)?;
    /// Scheduler::new().block_on(file.readline().size_hint(1))?;
    /// assert_eq!(file.buffered(), 0);                         // the body is for another reader
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn size_hint(mut self, bytes: usize) -> Readline {
        self.0.machine.set_window(bytes);
        self
    }

    /// How long the whole operation may take, counted from when it first has to wait. A wait behind
    /// other readers in the queue counts, too. After that time the operation fails with
    /// [`io::ErrorKind::TimedOut`], and a partial line stays in the file.
    #[inline]
    pub fn timeout(mut self, after: Duration) -> Readline {
        self.0.timeout.set_after(after);
        self
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.describe(f)
    }
}

face!(Readline, op => Op(Kind::Read(op.0)), op.0.timeout);

/// Waits for whole lines: see [`AsyncFile::readlines`](crate::AsyncFile::readlines).
#[derive(Clone)]
#[must_use = "an operation does nothing until a task waits for it"]
pub struct Readlines(Reading);

impl Readlines {
    #[inline]
    pub(crate) fn new(file: &Rc<Descriptor>) -> Readlines {
        Readlines(Reading::new(file, Want::Lines(usize::MAX)))
    }

    /// Limits all the lines together to this many bytes. If the first line alone is longer, this
    /// many bytes of it come with [`End::Limit`]. A limit of 0 is [`io::ErrorKind::InvalidInput`].
    #[inline]
    pub fn limit(mut self, bytes: usize) -> Readlines {
        self.0.machine.set_want(Want::Lines(bytes));
        self
    }

    /// Sets another delimiter than a newline: see
    /// [`AsyncFile::read_until`](crate::AsyncFile::read_until).
    ///
    /// # Example
    ///
    /// This shows file names as `find -print0` prints them:
    ///
    /// ```
    /// use asyncfile::{AsyncPipe, Scheduler};
    /// use std::process::Command;
    ///
    /// let find = AsyncPipe::piped(Command::new("printf").arg("a\\0b\nb\\0"))?;
    /// let names = Scheduler::new().block_on(find.readlines().delimiter(0))?;
    /// assert_eq!(names, [&b"a\0"[..], b"b\nb\0"]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn delimiter(mut self, byte: u8) -> Readlines {
        self.0.machine.set_delimiter(byte);
        self
    }

    /// How long the whole operation may take, counted from when it first has to wait. A wait behind
    /// other readers in the queue counts, too. After that time the operation fails with
    /// [`io::ErrorKind::TimedOut`], and a partial line stays in the file.
    #[inline]
    pub fn timeout(mut self, after: Duration) -> Readlines {
        self.0.timeout.set_after(after);
        self
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.describe(f)
    }
}

face!(Readlines, op => Op(Kind::Read(op.0)), op.0.timeout);

/// Waits until bytes are written: see [`AsyncFile::write`](crate::AsyncFile::write).
#[must_use = "an operation does nothing until a task waits for it"]
pub struct Write(Writing);

impl Write {
    #[inline]
    pub(crate) fn new(file: &Rc<Descriptor>, data: Data) -> Write {
        Write(Writing::new(file, data))
    }

    pub(crate) fn all(file: &Rc<Descriptor>, data: Data) -> Write {
        let mut write = Write::new(file, data);
        write.0.machine.set_extent(Extent::All);
        write
    }

    /// The write ends when all bytes are written. It ends with fewer only at its deadline
    /// ([`End::TimedOut`]).
    #[inline]
    pub fn full(mut self) -> Write {
        if self.0.machine.extent() == Extent::Once {
            self.0.machine.set_extent(Extent::Full);
        }
        self
    }

    /// How long the whole operation may take, counted from when it first has to wait. A wait behind
    /// other writers in the queue counts, too. After that time the outcome is the number of bytes
    /// written so far. If no bytes were written, and always for `write_all`, the outcome is
    /// [`io::ErrorKind::TimedOut`].
    #[inline]
    pub fn timeout(mut self, after: Duration) -> Write {
        self.0.timeout.set_after(after);
        self
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.describe(f)
    }
}

face!(Write, op => Op(Kind::Write(op.0)), op.0.timeout);
