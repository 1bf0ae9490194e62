//! AsyncPipe: what users see of a child process or of a pipeline, with the streams at its ends.

use std::borrow::BorrowMut;
use std::fmt;
use std::io;
use std::process::{Child, Command, ExitStatus};
use std::rc::Rc;
use std::time::Duration;

use super::communicate::Communicate;
use super::exit::Exit;
use super::exit_all::ExitAll;
use super::input::Input;
use super::process::{ChildProcess, Status};
use super::processes::Processes;
use super::stop::Stop;
use super::{dropped, spawn};
use crate::data::Data;
use crate::descriptor::Stream;
use crate::error;
use crate::file::AsyncFile;
use crate::op::{Read, ReadToEnd, Readline, Readlines, Write};
use crate::sys::process::{Process, Stderr};

/// A child process with which tasks talk. It may also be a pipeline of several children: the stdout
/// of each one is the stdin of the next one.
///
/// Clones are handles to the same pipe: a feeder and a reader can share it. An operation on a
/// stream that was not piped fails with [`io::ErrorKind::InvalidInput`].
///
/// When the last handle is dropped, the streams are closed. The operations `exit`, `exit_all`,
/// `stop` and `communicate` are handles, too. A read, a write or an [`AsyncFile`] of a stream is no
/// handle, and keeps only that stream open. A child that lives on is neither waited for nor killed
/// (see [`kill_on_drop`](AsyncPipe::kill_on_drop)), but dies of SIGPIPE when it writes to a stdout
/// that nobody can read. A later turn or spawn on this thread reaps the child. Once this thread has
/// ended, a later turn on any thread does. A program may reap children that it has not started, as
/// PID 1 must. Such a program asks waitid(2) with WNOWAIT which child has ended, and reaps only
/// children that are not in [`ids`](AsyncPipe::ids).
///
/// # Example
///
/// This shows how to sort three lines:
///
/// ```
/// use asyncfile::{AsyncPipe, Scheduler};
/// use std::process::Command;
///
/// let pipe = AsyncPipe::piped(Command::new("sort"))?;
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
    /// Errors of fstat(2) and fcntl(2), with the stream named. After an error the child lives on
    /// with its streams closed, and a later turn reaps it.
    ///
    /// # Example
    ///
    /// This shows a child that std has started:
    ///
    /// ```
    /// use asyncfile::{AsyncPipe, Scheduler};
    /// use std::process::{Command, Stdio};
    ///
    /// let child = Command::new("echo").arg("hello").stdout(Stdio::piped()).spawn()?;
    /// let pipe = AsyncPipe::new(child)?;
    /// assert_eq!(Scheduler::new().block_on(pipe.read_to_end())?, b"hello\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(child: Child) -> io::Result<AsyncPipe> {
        AsyncPipe::of_host(vec![child])
    }

    /// Takes over a pipeline of two children that the caller has connected: the stdout of `first`
    /// is the stdin of `last`. The pipe has the stdin of `first`, and the stdout, stderr and exit
    /// of `last`. If `first.stdout` is Some, this process's end of the connection is closed.
    ///
    /// # Errors
    ///
    /// The same as those of [`new`](AsyncPipe::new).
    ///
    /// # Example
    ///
    /// This shows two children that std has started:
    ///
    /// ```
    /// use asyncfile::{AsyncPipe, Scheduler};
    /// use std::process::{Command, Stdio};
    ///
    /// let mut sort = Command::new("sort");
    /// let mut sort = sort.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    /// let between = sort.stdout.take().expect("piped");
    /// let uniq = Command::new("uniq").stdin(between).stdout(Stdio::piped()).spawn()?;
    /// let pipe = AsyncPipe::chain(sort, uniq)?;
    /// let output = Scheduler::new().block_on(pipe.communicate("b\na\nb\n"))?;
    /// assert_eq!(output.stdout, b"a\nb\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn chain(first: Child, last: Child) -> io::Result<AsyncPipe> {
        AsyncPipe::of_host(vec![first, last])
    }

    fn of_host(children: Vec<Child>) -> io::Result<AsyncPipe> {
        dropped::reap();
        let child = |child| Rc::new(ChildProcess::new(Process::of(child), None));
        let children = children.into_iter().map(child).collect();
        Processes::new(children, false).map(AsyncPipe::of)
    }

    fn of(processes: Processes) -> AsyncPipe {
        AsyncPipe {
            processes: Rc::new(processes),
        }
    }

    /// Starts a command. The command itself says where its streams go, and this pipe has those that
    /// are piped. The command is left as it was.
    ///
    /// The child inherits the signal mask of the calling thread. If the command has `uid`, `gid` or
    /// `pre_exec`, std forks, and the kernel copies the page tables of the calling process. The
    /// whole loop waits for that copy: about 200 ms if the process has 2 GiB of memory.
    ///
    /// # Errors
    ///
    /// Errors of [`Command::spawn`] and pipe(2): NotFound, PermissionDenied, ETXTBSY,
    /// E2BIG, EMFILE, EAGAIN (no more processes), ... [`OperationError`](crate::OperationError) has
    /// the errno. The text names the program, its stage in a pipeline, and the working directory if
    /// that is what is missing. Nothing is left behind: no child, no descriptor.
    ///
    /// # Example
    ///
    /// This shows a child whose stdin is a file, and whose stdout is a pipe to this process:
    ///
    /// ```
    /// use asyncfile::{AsyncPipe, Scheduler};
    /// use std::{fs::File, process::{Command, Stdio}};
    ///
    /// let mut command = Command::new("sort");
    /// command.stdin(File::open("Cargo.toml")?).stdout(Stdio::piped());
    /// let pipe = AsyncPipe::spawn(command)?;
    /// let sorted = Scheduler::new().block_on(pipe.read_to_end())?;
    /// assert_eq!(sorted.len(), std::fs::read("Cargo.toml")?.len());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn spawn(mut command: impl BorrowMut<Command>) -> io::Result<AsyncPipe> {
        spawn::spawn(command.borrow_mut()).map(AsyncPipe::of)
    }

    /// Starts a command with stdin and stdout piped, whatever the command says of these. Its stderr
    /// goes where the command says. If stderr is piped, read it: otherwise the child waits for ever
    /// when that pipe is full.
    ///
    /// After the call `command` still has stdin and stdout set to piped. It keeps no descriptor of
    /// this pipe.
    ///
    /// # Errors
    ///
    /// The same as those of [`spawn`](AsyncPipe::spawn).
    ///
    /// # Example
    ///
    /// This shows a dialogue with a child:
    ///
    /// ```
    /// use asyncfile::{AsyncPipe, Scheduler};
    /// use std::process::Command;
    ///
    /// let pipe = AsyncPipe::piped(Command::new("cat"))?;
    /// let mut sched = Scheduler::new();
    /// sched.block_on(pipe.write_all("hello\n"))?;
    /// assert_eq!(sched.block_on(pipe.readline())?.as_deref(), Some(&b"hello\n"[..]));
    /// pipe.close_stdin();
    /// assert!(sched.block_on(pipe.exit())?.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn piped(mut command: impl BorrowMut<Command>) -> io::Result<AsyncPipe> {
        spawn::pipeline(&mut [command.borrow_mut()], Stderr::AsSaid).map(AsyncPipe::of)
    }

    /// Starts a command as [`piped`](AsyncPipe::piped) does, with its stderr in stdout's pipe
    /// (`2>&1` of a shell): `readline`, `read` and `communicate` see both as stdout, in the order
    /// in which they were written. There is no [`stderr`](AsyncPipe::stderr) then.
    ///
    /// The command's stdin and stdout are still set to piped after the call, and its stderr to
    /// inherited. The command keeps no descriptor of this pipe.
    ///
    /// # Errors
    ///
    /// The same as those of [`spawn`](AsyncPipe::spawn).
    ///
    /// # Example
    ///
    /// This shows how to read what a command writes to stdout and stderr:
    ///
    /// ```
    /// use asyncfile::{AsyncPipe, Scheduler};
    /// use std::process::Command;
    ///
    /// let mut command = Command::new("sh");
    /// let pipe = AsyncPipe::merged(command.args(["-c", "echo 1; echo 2 >&2; echo 3"]))?;
    /// let output = Scheduler::new().block_on(pipe.communicate(()))?;
    /// assert_eq!(output.stdout, b"1\n2\n3\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn merged(mut command: impl BorrowMut<Command>) -> io::Result<AsyncPipe> {
        spawn::pipeline(&mut [command.borrow_mut()], Stderr::Merged).map(AsyncPipe::of)
    }

    /// Starts a pipeline of commands, as in `a | b | c`: the stdout of each one is the stdin of the
    /// next one. The first stdin and the last stdout are piped. Every stderr goes where its command
    /// says. Only the last stderr can be read here, so no other one should be piped: its command
    /// would have to wait when that pipe is full.
    ///
    /// The commands are collected before the first is started. Their stdins and stdouts are still
    /// set to piped after the call. The commands keep no descriptor of this pipe.
    ///
    /// # Errors
    ///
    /// The same as for [`spawn`](AsyncPipe::spawn). If one command cannot be started, the children
    /// before it are killed and reaped. A pipeline of no commands is
    /// [`io::ErrorKind::InvalidInput`].
    ///
    /// # Example
    ///
    /// This shows `sort | uniq`:
    ///
    /// ```
    /// use asyncfile::{AsyncPipe, Scheduler};
    /// use std::process::Command;
    ///
    /// let pipe = AsyncPipe::pipeline([Command::new("sort"), Command::new("uniq")])?;
    /// let output = Scheduler::new().block_on(pipe.communicate("b\na\nb\n"))?;
    /// assert_eq!(output.stdout, b"a\nb\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn pipeline<I>(commands: I) -> io::Result<AsyncPipe>
    where
        I: IntoIterator,
        I::Item: BorrowMut<Command>,
    {
        let mut commands: Vec<I::Item> = commands.into_iter().collect();
        let mut commands: Vec<_> = commands.iter_mut().map(BorrowMut::borrow_mut).collect();
        spawn::pipeline(&mut commands, Stderr::AsSaid).map(AsyncPipe::of)
    }

    /// Writes to the child's stdin: [`AsyncFile::write`]. If the child reads no more, the error is
    /// [`io::ErrorKind::BrokenPipe`].
    pub fn write(&self, data: impl Into<Data>) -> Write {
        self.processes.stdin.write(data)
    }

    /// Writes all data to the child's stdin: [`AsyncFile::write_all`].
    pub fn write_all(&self, data: impl Into<Data>) -> Write {
        self.processes.stdin.write_all(data)
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
    ///
    /// # Example
    ///
    /// This shows the first complaint of a child:
    ///
    /// ```
    /// use asyncfile::{AsyncPipe, Scheduler};
    /// use std::process::{Command, Stdio};
    ///
    /// let mut command = Command::new("sh");
    /// command.args(["-c", "echo oh >&2"]).stderr(Stdio::piped());
    /// let pipe = AsyncPipe::piped(command)?;
    /// let line = Scheduler::new().block_on(pipe.readline_stderr())?;
    /// assert_eq!(line.as_deref(), Some(&b"oh\n"[..]));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn readline_stderr(&self) -> Readline {
        self.processes.stderr.readline()
    }

    /// The first child's stdin, if it was piped and was not taken.
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

    /// Takes the first child's stdin, if it was piped and is open. The handles of the pipe do not
    /// have it any more: from here on a write through the pipe fails, also one that waits already.
    /// When the last clone of the returned file is dropped, stdin is closed, and the child reads
    /// its end of file.
    ///
    /// # Example
    ///
    /// This shows a task that feeds a child. However the task ends, the child's stdin is closed:
    ///
    /// ```
    /// use asyncfile::{done, wait, yield_now, AsyncPipe, Scheduler};
    /// use std::process::Command;
    ///
    /// let pipe = AsyncPipe::piped(Command::new("sort"))?;
    /// let stdin = pipe.take_stdin().expect("piped");
    /// let mut chunks = ["b\n", "a\n"].into_iter();
    /// let mut sched = Scheduler::new();
    /// drop(sched.spawn(yield_now(), move |task| {
    ///     task.ok()?;
    ///     match chunks.next() {
    ///         Some(chunk) => wait(stdin.write(chunk).full()),
    ///         None => done(()),
    ///     }
    /// }));
    /// assert_eq!(sched.block_on(pipe.read_to_end())?, b"a\nb\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn take_stdin(&self) -> Option<AsyncFile> {
        let descriptor = self.processes.stdin.descriptor();
        descriptor
            .hand_over(Stream::Stdin)
            .map(AsyncFile::from_descriptor)
    }

    /// Closes the child's stdin, so that the child reads its end of file. A write that waits ends
    /// with an error.
    pub fn close_stdin(&self) {
        self.processes.stdin.close();
    }

    /// Feeds the child, closes its stdin (also after an empty or absent input), collects stdout and
    /// stderr at the same time, and waits for the last child's exit.
    /// [`Task::output`](crate::Task::output) has the result. The output of a stream that was not
    /// piped is empty. A child that stops reading ends the feeding, and that is no error.
    ///
    /// Output that was collected and input that was not yet fed stay in the pipe. After a timeout
    /// or a limit, `communicate(())` continues with them, or reading operations take the output.
    /// New input is [`io::ErrorKind::InvalidInput`] while some of the old input is left. After a
    /// communicate that has succeeded, the next one gives empty output and the same status.
    ///
    /// # Errors
    ///
    /// Errors of reading and writing, with the stream named; TimedOut; a limit (`Other`); a child
    /// that something else has reaped (`Other`: its status is unknown).
    ///
    /// # Example
    ///
    /// This shows that a timeout loses nothing. The child reads from a socket, on which nothing
    /// comes at first:
    ///
    /// ```
    /// use asyncfile::{AsyncPipe, Scheduler};
    /// use std::os::unix::{io::OwnedFd, net::UnixStream};
    /// use std::{io::{ErrorKind, Write}, process::{Command, Stdio}, time::Duration};
    ///
    /// let (mut ours, theirs) = UnixStream::pair()?;
    /// let mut command = Command::new("cat");
    /// command.stdin(OwnedFd::from(theirs)).stdout(Stdio::piped());
    /// let pipe = AsyncPipe::spawn(command)?;
    /// let mut sched = Scheduler::new();
    /// ours.write_all(b"one\n")?;
    /// let result = sched.block_on(pipe.communicate(()).timeout(Duration::from_millis(10)));
    /// assert_eq!(result.unwrap_err().kind(), ErrorKind::TimedOut);
    /// ours.write_all(b"two\n")?;
    /// drop(ours);
    /// assert_eq!(sched.block_on(pipe.communicate(()))?.stdout, b"one\ntwo\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn communicate(&self, input: impl Into<Input>) -> Communicate {
        Communicate::new(&self.processes, input.into())
    }

    /// Waits for the last child's exit: [`Task::exit`](crate::Task::exit). The operation closes
    /// nothing, reads nothing, and waits for no other child of a pipeline. To wait for all
    /// children, use [`exit_all`](AsyncPipe::exit_all).
    ///
    /// Two kinds of children never exit by themselves. The first kind reads its stdin to the end,
    /// while the pipe keeps stdin open. [`close_stdin`](AsyncPipe::close_stdin) closes it. After
    /// [`take_stdin`](AsyncPipe::take_stdin), the drop of its last handle closes it, also if the
    /// feeding task is cancelled or fails. The second kind writes more than the 64 KiB that a pipe
    /// holds to a stdout or stderr that nobody reads, and waits in that write.
    /// [`communicate`](AsyncPipe::communicate) reads both and closes stdin.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::TimedOut`] at the timeout. `Other` if something else has reaped the child,
    /// because its status is then unknown.
    ///
    /// # Example
    ///
    /// This shows a child that reads its stdin to the end:
    ///
    /// ```
    /// use asyncfile::{AsyncPipe, Scheduler};
    /// use std::process::Command;
    ///
    /// let pipe = AsyncPipe::piped(Command::new("cat"))?;
    /// pipe.close_stdin();
    /// assert_eq!(Scheduler::new().block_on(pipe.exit())?.code(), Some(0));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn exit(&self) -> Exit {
        Exit::new(&self.processes)
    }

    /// Waits for the exits of all children. [`Task::exits`](crate::Task::exits) has their statuses,
    /// in the order of the pipeline. Like [`exit`](AsyncPipe::exit), it closes and reads nothing.
    ///
    /// # Errors
    ///
    /// TimedOut; `Other` if something else has reaped one of the children. The error names the
    /// position of that child.
    ///
    /// # Example
    ///
    /// This shows how to wait for a stage that lives longer than the last one:
    ///
    /// ```
    /// use asyncfile::{AsyncPipe, Scheduler};
    /// use std::process::Command;
    ///
    /// let mut slow = Command::new("sh");
    /// slow.args(["-c", "echo one; exec >&-; sleep 0.01; exit 7"]);
    /// let pipe = AsyncPipe::pipeline([slow, Command::new("cat")])?;
    /// let mut sched = Scheduler::new();
    /// let output = sched.block_on(pipe.communicate(()))?;
    /// assert!(output.status.success());
    /// let exits = sched.block_on(pipe.exit_all())?;
    /// assert_eq!(exits[0].code(), Some(7));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn exit_all(&self) -> ExitAll {
        ExitAll::new(&self.processes)
    }

    /// Ends all children, and waits until they have exited. Each child, or its group if it leads
    /// one, gets SIGTERM and SIGCONT, and SIGKILL if it lives after the grace.
    /// [`Task::exit`](crate::Task::exit) has the last child's status. Other tasks can read the
    /// streams meanwhile. With a grace of `Duration::ZERO`, SIGKILL is sent at once.
    ///
    /// A leader that exits in time may leave other processes in its group. These have the whole
    /// grace, too. At the end of the grace a hidden task, which nothing waits for, sends them
    /// SIGKILL, if the scheduler is still there. Until then the leader stays a zombie, because its
    /// number is that of the group. A stop that is cancelled, or whose own timeout comes before the
    /// end of the grace, sends no SIGKILL.
    ///
    /// # Errors
    ///
    /// Errors of kill(2): EPERM ends the stop, and the error names the child. `Other` if something
    /// else has reaped the leader of a group or the last child. `TimedOut` at the stop's own
    /// timeout. `InvalidInput` for a stop in a [`first`](crate::first), and for
    /// [`again`](crate::again) after a stop.
    ///
    /// # Example
    ///
    /// This shows a child that ignores SIGTERM:
    ///
    /// ```
    /// use asyncfile::{AsyncPipe, Scheduler};
    /// use std::os::unix::process::ExitStatusExt;
    /// use std::{process::Command, time::Duration};
    ///
    /// let mut deaf = Command::new("sh");
    /// deaf.args(["-c", "trap '' TERM; echo ready; while :; do sleep 1; done"]);
    /// let pipe = AsyncPipe::piped(deaf)?;
    /// let mut sched = Scheduler::new();
    /// sched.block_on(pipe.readline())?;
    /// let status = sched.block_on(pipe.stop(Duration::from_millis(10)))?;
    /// assert_eq!(status.signal(), Some(9));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn stop(&self, grace: Duration) -> Stop {
        Stop::new(&self.processes, grace)
    }

    /// The last child's status, if it has ended, without waiting.
    ///
    /// # Errors
    ///
    /// `Other` if something else has reaped the child, because the child's status is then unknown.
    /// Also the errors of waitpid(2).
    ///
    /// # Example
    ///
    /// This shows a child that lives until it is killed:
    ///
    /// ```
    /// use asyncfile::{AsyncPipe, Scheduler};
    /// use std::{os::unix::process::ExitStatusExt, process::Command};
    ///
    /// let pipe = AsyncPipe::piped(Command::new("cat"))?;
    /// assert_eq!(pipe.try_wait()?, None);
    /// pipe.kill()?;
    /// let status = Scheduler::new().block_on(pipe.exit())?;
    /// assert_eq!(status.signal(), Some(9));
    /// assert_eq!(pipe.try_wait()?, Some(status));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        let named = |cause| error::named("try_wait", -1, cause);
        for child in self.processes.children() {
            let answer = child.try_wait();
            answer.map_err(|error| named(child.cause(error)))?;
        }
        self.processes.status().map_err(named)
    }

    /// Each child's status, in the order of the pipeline, without waiting. None for a child that
    /// has not ended, or that something else has reaped.
    ///
    /// # Example
    ///
    /// This shows which stage of a pipeline has failed:
    ///
    /// ```
    /// use asyncfile::{AsyncPipe, Scheduler};
    /// use std::process::Command;
    ///
    /// let pipe = AsyncPipe::pipeline([Command::new("false"), Command::new("cat")])?;
    /// let mut sched = Scheduler::new();
    /// sched.block_on(pipe.exit_all())?;
    /// let codes: Vec<_> = pipe.statuses().into_iter().map(|status| status?.code()).collect();
    /// assert_eq!(codes, [Some(1), Some(0)]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn statuses(&self) -> Vec<Option<ExitStatus>> {
        let status = |child: &Rc<ChildProcess>| match child.try_wait() {
            Ok(Status::Exited(status)) => Some(status),
            Ok(Status::Running | Status::Unknown) | Err(_) => None,
        };
        self.processes.children().iter().map(status).collect()
    }

    /// Each child's process number, in the order of the pipeline.
    pub fn ids(&self) -> Vec<u32> {
        let children = self.processes.children();
        children.iter().map(|child| child.id()).collect()
    }

    /// Closes all streams. An operation that waits on a stream ends with an error. The children are
    /// not killed. A later turn reaps those that live on, and [`exit`](AsyncPipe::exit) can still
    /// wait for the last one.
    pub fn close(&self) {
        self.processes.close();
    }

    /// Sends SIGKILL to every child that was not reaped. Processes that the children have started
    /// live on, and may keep stdout open. [`kill_group`](AsyncPipe::kill_group) ends them, and
    /// [`linger`](Communicate::linger) bounds the wait for them.
    ///
    /// # Errors
    ///
    /// The same as for [`signal`](AsyncPipe::signal).
    pub fn kill(&self) -> io::Result<()> {
        self.signal(libc::SIGKILL)
    }

    /// Sends a signal to every child that was not reaped. The number of a reaped child may be
    /// another process's, so nothing is sent to it. The library does not notice that a signal has
    /// stopped a child, such as one of a background group that reads the terminal (SIGTTIN).
    /// SIGCONT lets such a child go on.
    ///
    /// # Errors
    ///
    /// Errors of kill(2): EINVAL, EPERM. All children are tried, and the first error is returned.
    /// Errors of waitpid(2), because each child is looked at first.
    ///
    /// # Example
    ///
    /// This shows how to ask a child to end:
    ///
    /// ```
    /// use asyncfile::{AsyncPipe, Scheduler};
    /// use std::{os::unix::process::ExitStatusExt, process::Command};
    ///
    /// let pipe = AsyncPipe::piped(Command::new("cat"))?;
    /// pipe.signal(libc::SIGTERM)?;
    /// assert_eq!(Scheduler::new().block_on(pipe.exit())?.signal(), Some(libc::SIGTERM));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        let named = |cause| error::named("signal", -1, cause);
        let send = |child: &Rc<ChildProcess>| {
            let answer = child.signal(signal);
            answer.map_err(|error| named(child.cause(error)))
        };
        let answers: Vec<_> = self.processes.children().iter().map(send).collect();
        answers.into_iter().collect()
    }

    /// Sends SIGKILL to the process group of every child that leads one.
    ///
    /// # Errors
    ///
    /// The same as for [`signal_group`](AsyncPipe::signal_group).
    pub fn kill_group(&self) -> io::Result<()> {
        self.signal_group(libc::SIGKILL)
    }

    /// Sends a signal to the process group of every child that leads one (`process_group(0)` of
    /// [`CommandExt`](std::os::unix::process::CommandExt), or setsid(2)). The signal is sent even
    /// after the child itself has exited, because processes that it has left running are in the
    /// group. The library asks once which children are leaders (getpgid(2)), when the pipe is made.
    /// A leader that has exited is a zombie until the last handle of the pipe is dropped, so no
    /// other process gets its number.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if no child leads a group. `Other` if something else has
    /// reaped a leader (a waitpid(2) of the host program, or the kernel where SIGCHLD is ignored).
    /// Nothing is sent to that leader's group then, because another group may have its number by
    /// now. Errors of kill(2): EINVAL, EPERM. All groups are tried, and the first error is
    /// returned. It is no error if a group has no process left.
    ///
    /// # Example
    ///
    /// This shows how to end a child with all that it has started:
    ///
    /// ```
    /// use asyncfile::{AsyncPipe, Scheduler};
    /// use std::{os::unix::process::CommandExt, process::Command};
    ///
    /// let mut command = Command::new("sh");
    /// let pipe = AsyncPipe::piped(command.args(["-c", "sleep 60 & wait"]).process_group(0))?;
    /// pipe.kill_group()?;
    /// let output = Scheduler::new().block_on(pipe.communicate(()))?; // nobody keeps stdout
    /// assert!(!output.status.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn signal_group(&self, signal: i32) -> io::Result<()> {
        let answer = self.processes.signal_groups(signal);
        answer.map_err(|cause| error::named("signal_group", -1, cause))
    }

    /// From here on the drop of the last handle sends SIGKILL to the children that live, and to the
    /// groups that they lead. The drop never waits: a later turn or spawn on this thread reaps the
    /// children. An `exit`, `exit_all`, `stop` or `communicate` counts as a handle. A read, a
    /// write, or an [`AsyncFile`] of a stream does not. In a fork of this process a drop kills
    /// nothing. If a sandbox refuses waitid(2), processes that an ended leader has left in its
    /// group are not killed.
    ///
    /// # Example
    ///
    /// This shows a child that does not outlive its pipe:
    ///
    /// ```
    /// use asyncfile::AsyncPipe;
    /// use std::process::Command;
    ///
    /// let pipe = AsyncPipe::piped(Command::new("sleep").arg("60"))?.kill_on_drop();
    /// drop(pipe);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use = "the handle that is returned may be the last: its drop kills"]
    pub fn kill_on_drop(self) -> AsyncPipe {
        self.processes.kill_on_drop();
        self
    }
}

impl fmt::Debug for AsyncPipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsyncPipe of {:?}", self.processes.children())
    }
}
