//! AsyncPipe: the face of a child process, or of a chain of them, with the streams at its ends.

use std::borrow::BorrowMut;
use std::fmt;
use std::io;
use std::process::{Child, Command, ExitStatus};
use std::rc::Rc;

use crate::child::{self, ChildProcess, Status};
use crate::conversation::Input;
use crate::data::Data;
use crate::file::AsyncFile;
use crate::op::{Communicate, Exit, Read, ReadToEnd, Readline, Readlines, Write};
use crate::processes::Processes;
use crate::sys::process::{Process, Stdin};

/// A child process, or several whose stdout is the next one's stdin, to be talked to by tasks.
///
/// Clones are handles to the same: a feeder and a reader share one. A stream that was not piped is an
/// [`io::ErrorKind::InvalidInput`] when it is used.
///
/// When the last handle is dropped, the streams are closed. A child that lives on is neither waited for nor killed; it is reaped by
/// a later turn or spawn on this thread, or, once this thread has ended, on any.
///
/// # Example
///
/// This shows how to sort three lines:
///
/// ```
/// use asyncfile::{AsyncPipe, Scheduler};
/// use std::process::Command;
///
/// let pipe = AsyncPipe::spawn(&mut Command::new("sort"))?;
/// let output = Scheduler::new().block_on(pipe.communicate("b\na\nc\n"))?;
/// assert!(output.status.success());
/// assert_eq!(output.stdout, b"a\nb\nc\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct AsyncPipe {
    processes: Rc<Processes>,
}

impl AsyncPipe {
    /// Takes over a child with those of its streams that were piped.
    ///
    /// # Errors
    ///
    /// Those of fcntl(2). The child lives on, its streams closed, and is reaped by a later turn.
    pub fn new(child: Child) -> io::Result<AsyncPipe> {
        AsyncPipe::of(vec![Process::Real(child)])
    }

    /// Takes over two children of which the first's stdout is the last's stdin: the first's stdin; the last's stdout, stderr and exit.
    /// (If the first one's stdout was piped and is still with its `Child`, it is closed.)
    ///
    /// # Errors
    ///
    /// As for [`new`](AsyncPipe::new).
    pub fn chain(first: Child, last: Child) -> io::Result<AsyncPipe> {
        AsyncPipe::of(vec![Process::Real(first), Process::Real(last)])
    }

    /// Starts a command with stdin and stdout piped, whatever it said of these; stderr is what the command says (piped, somebody must
    /// read it: a full pipe stops the child).
    ///
    /// # Errors
    ///
    /// Those of [`Command::spawn`], with the program named: NotFound, PermissionDenied, EMFILE, ... Nothing is left behind.
    pub fn spawn(command: &mut Command) -> io::Result<AsyncPipe> {
        AsyncPipe::pipeline([command])
    }

    /// Starts commands whose stdout is each the next one's stdin, as in `a | b | c`. The first one's stdin and the last one's stdout
    /// are piped. Every stderr is what its command says; only the last one's is read here, so another's should not be piped: nobody could
    /// read it, and a full pipe would stop its stage.
    ///
    /// # Errors
    ///
    /// As for [`spawn`](AsyncPipe::spawn). Those that had been started are killed and reaped. No command at all is
    /// [`io::ErrorKind::InvalidInput`].
    pub fn pipeline<I>(commands: I) -> io::Result<AsyncPipe>
    where
        I: IntoIterator,
        I::Item: BorrowMut<Command>,
    {
        child::reap();
        let mut started = Started(Vec::new());
        for mut command in commands {
            let command = command.borrow_mut();
            let stdin = match started.0.last_mut() {
                None => Stdin::Piped,
                Some(before) => before.take_stdout().map_or(Stdin::Null, Stdin::From),
            };
            match Process::spawn(command, stdin) {
                Ok(child) => started.0.push(child),
                Err(error) => {
                    let program = command.get_program().to_string_lossy().into_owned();
                    return Err(io::Error::new(error.kind(), format!("spawn {program}: {error}")));
                }
            }
        }
        match std::mem::take(&mut started.0) {
            children if children.is_empty() => Err(crate::error::invalid("a pipeline of no commands")),
            children => AsyncPipe::of(children),
        }
    }

    fn of(children: Vec<Process>) -> io::Result<AsyncPipe> {
        child::reap();
        Ok(AsyncPipe { processes: Rc::new(Processes::new(children)?) })
    }

    /// Writes to the child's stdin: [`AsyncFile::write`]. A child that reads no more is [`io::ErrorKind::BrokenPipe`].
    pub fn write(&self, data: impl Into<Data>) -> Write {
        self.processes.stdin.write(data)
    }

    /// Reads from the child's stdout: [`AsyncFile::read`].
    pub fn read(&self, size: usize) -> Read {
        self.processes.stdout.read(size)
    }

    /// Reads all of the child's stdout: [`AsyncFile::read_to_end`].
    pub fn read_to_end(&self) -> ReadToEnd {
        self.processes.stdout.read_to_end()
    }

    /// Reads a line from the child's stdout: [`AsyncFile::readline`].
    pub fn readline(&self) -> Readline {
        self.processes.stdout.readline()
    }

    /// Reads lines from the child's stdout: [`AsyncFile::readlines`].
    pub fn readlines(&self) -> Readlines {
        self.processes.stdout.readlines()
    }

    /// Reads from the child's stderr: [`AsyncFile::read`].
    pub fn read_stderr(&self, size: usize) -> Read {
        self.processes.stderr.read(size)
    }

    /// Reads a line from the child's stderr: [`AsyncFile::readline`].
    pub fn readline_stderr(&self) -> Readline {
        self.processes.stderr.readline()
    }

    /// The first child's stdin, if it was piped.
    pub fn stdin(&self) -> Option<&AsyncFile> {
        Some(&self.processes.stdin).filter(|file| !file.descriptor().is_absent())
    }

    /// The last child's stdout, if it was piped.
    pub fn stdout(&self) -> Option<&AsyncFile> {
        Some(&self.processes.stdout).filter(|file| !file.descriptor().is_absent())
    }

    /// The last child's stderr, if it was piped.
    pub fn stderr(&self) -> Option<&AsyncFile> {
        Some(&self.processes.stderr).filter(|file| !file.descriptor().is_absent())
    }

    /// Closes the child's stdin: it reads its end of file. A write that waits ends with an error.
    pub fn close_stdin(&self) {
        self.processes.stdin.close();
    }

    /// Feeds the child, closes its stdin (also after an empty or absent input), collects stdout and stderr at once, and waits for the
    /// exit: [`Task::output`](crate::Task::output). Streams that were not piped give nothing. A child that stops reading ends the feeding, and
    /// that is no error.
    ///
    /// What was collected and what was not fed live in the pipe: after a timeout or a limit, `communicate(())` goes on, and the
    /// reading operations can have what came; new input while some of the old is left is [`io::ErrorKind::InvalidInput`]. After it has
    /// succeeded, a further one gives nothing and the same status.
    ///
    /// # Errors
    ///
    /// Those of reading and writing; TimedOut; a limit (`Other`); a child that somebody else has reaped (`Other`: its status is unknown).
    pub fn communicate(&self, input: impl Into<Input>) -> Communicate {
        Communicate::new(&self.processes, input.into())
    }

    /// Waits for the last child's exit: [`Task::exit`](crate::Task::exit). It closes stdin first, as std's `wait` does; if somebody has a
    /// handle to it, or waits to write to it, then when that is over. The children before the last are given a moment (100 ms, or until the
    /// timeout) to end, too.
    ///
    /// # Errors
    ///
    /// TimedOut; `Other` if somebody else has reaped the child: its status is unknown.
    pub fn exit(&self) -> Exit {
        Exit::new(&self.processes)
    }

    /// The last child's status, if it has ended, without waiting.
    ///
    /// # Errors
    ///
    /// `Other` if somebody else has reaped the child: its status is unknown.
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        for child in self.processes.children() {
            child.try_wait();
        }
        self.processes.status().transpose()
    }

    /// Each child's status, in the order of the chain, without waiting: None if it has not ended, or somebody else has reaped it.
    pub fn statuses(&self) -> Vec<Option<ExitStatus>> {
        let status = |child: &Rc<ChildProcess>| match child.try_wait() {
            Status::Exited(status) => Some(status),
            Status::Running | Status::Unknown => None,
        };
        self.processes.children().iter().map(status).collect()
    }

    /// Each child's process number, in the order of the chain.
    pub fn ids(&self) -> Vec<u32> {
        self.processes.children().iter().map(|child| child.id()).collect()
    }

    /// Closes all streams. What waits on one ends with an error. The children are not killed; those that live on are reaped by a later
    /// turn, and [`exit`](AsyncPipe::exit) can still wait for them.
    pub fn close(&self) {
        self.processes.close();
    }

    /// SIGKILL to every child that was not reaped.
    ///
    /// # Errors
    ///
    /// As for [`signal`](AsyncPipe::signal).
    pub fn kill(&self) -> io::Result<()> {
        self.signal(libc::SIGKILL)
    }

    /// A signal to every child that was not reaped; to one that was, nothing: its number may be another process's.
    ///
    /// # Errors
    ///
    /// Those of kill(2): EINVAL, EPERM. The first of them, after all children were tried.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        let answers: Vec<_> = self.processes.children().iter().map(|child| child.signal(signal)).collect();
        answers.into_iter().collect()
    }
}

/// The children of a pipeline that is not whole yet. If it never will be (an error, a panic of the caller's iterator), they are ended.
struct Started(Vec<Process>);

impl Drop for Started {
    fn drop(&mut self) {
        for child in self.0.drain(..) {
            let child = ChildProcess::new(child);
            child.kill_and_wait();
            child::leave(Rc::new(child)); // one that could not be killed
        }
    }
}

impl fmt::Debug for AsyncPipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsyncPipe of {:?}", self.processes.children())
    }
}
