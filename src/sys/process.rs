//! Child processes: starting them, noticing their end, and signals.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::io::{OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use super::{check, Owned};

#[cfg(any(test, fuzzing))]
use crate::sim;

/// A child process.
pub(crate) struct Process {
    child: Handle,
    /// The parent's ends of the child's stdin, stdout and stderr, until they are taken.
    streams: [Option<Owned>; 3],
}

/// The child as std has it, or as a simulated kernel has it.
enum Handle {
    Real(Child),
    #[cfg(any(test, fuzzing))]
    Simulated(sim::Handle),
}

/// The stdin of a child.
pub(crate) enum Stdin {
    /// A new pipe.
    Piped,
    /// This descriptor, which becomes the child's stdin.
    From(Owned),
    /// The null device.
    Null,
}

/// Where a child's stderr goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stderr {
    /// Stderr goes where the command says.
    AsSaid,
    /// The same pipe as stdout.
    Merged,
}

impl Process {
    /// A child that std has started.
    pub fn of(mut child: Child) -> Process {
        let streams = [
            child.stdin.take().map(OwnedFd::from).map(Owned::from),
            child.stdout.take().map(OwnedFd::from).map(Owned::from),
            child.stderr.take().map(OwnedFd::from).map(Owned::from),
        ];
        let child = Handle::Real(child);
        Process { child, streams }
    }

    /// Starts a command. The command itself says where its streams go.
    pub fn spawn(command: &mut Command) -> io::Result<Process> {
        #[cfg(any(test, fuzzing))]
        if let Some(answer) = Process::simulated(command, &Stdin::Piped, Stderr::AsSaid) {
            return answer;
        }
        let mut low = Vec::new();
        let _ = pipe(&mut low); // `low` then holds the free numbers from 0 to 2
        command.spawn().map(Process::of)
    }

    /// Starts a command with this stdin, and its stdout piped. `command` keeps no end of a pipe.
    pub fn piped(command: &mut Command, stdin: Stdin, stderr: Stderr) -> io::Result<Process> {
        #[cfg(any(test, fuzzing))]
        if let Some(answer) = Process::simulated(command, &stdin, stderr) {
            return answer;
        }
        let mut low = Vec::new();
        let (stdin, writer) = match stdin {
            Stdin::Piped => {
                let (reader, writer) = pipe(&mut low)?;
                (stdio(reader), Some(writer))
            }
            Stdin::From(fd) => (stdio(fd), None),
            Stdin::Null => (Stdio::null(), None),
        };
        let (reader, stdout) = pipe(&mut low)?;
        if stderr == Stderr::Merged {
            command.stderr(stdio(super::duplicate(stdout.number())?));
        }
        let spawned = command.stdin(stdin).stdout(stdio(stdout)).spawn();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        if stderr == Stderr::Merged {
            command.stderr(Stdio::inherit());
        }
        let mut process = Process::of(spawned?);
        process.streams[0] = writer;
        process.streams[1] = Some(reader);
        Ok(process)
    }

    #[cfg(any(test, fuzzing))]
    fn simulated(command: &Command, stdin: &Stdin, stderr: Stderr) -> Option<io::Result<Process>> {
        let fd = match stdin {
            Stdin::Piped => None,
            Stdin::From(fd) => Some(Some(fd.number())),
            Stdin::Null => Some(None),
        };
        let is_merged = stderr == Stderr::Merged;
        let answer = sim::spawn(&command.get_program().to_string_lossy(), fd, is_merged)?;
        Some(answer.map(|mut child| Process {
            streams: std::mem::take(&mut child.streams),
            child: Handle::Simulated(child),
        }))
    }

    /// Takes the parent's end of the child's stdin, stdout or stderr. `stream` is the number of the
    /// stream in the child: 0, 1 or 2.
    pub fn take(&mut self, stream: RawFd) -> Option<Owned> {
        self.streams[stream as usize].take()
    }

    pub fn id(&self) -> u32 {
        match &self.child {
            Handle::Real(child) => child.id(),
            #[cfg(any(test, fuzzing))]
            Handle::Simulated(child) => child.id,
        }
    }

    /// waitpid(2) with WNOHANG. ECHILD means that it is no child of this process any more.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        match &mut self.child {
            Handle::Real(child) => child.try_wait(),
            #[cfg(any(test, fuzzing))]
            Handle::Simulated(child) => child.try_wait(),
        }
    }

    /// waitid(2) with WNOHANG and WNOWAIT: how the child has ended, if it has. The child is not
    /// reaped. ECHILD means that it is no child of this process any more.
    pub fn peek(&self) -> io::Result<Option<ExitStatus>> {
        #[cfg(any(test, fuzzing))]
        if let Handle::Simulated(child) = &self.child {
            return child.peek();
        }
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: the pointer is to a live structure.
        check(
            unsafe { libc::waitid(libc::P_PID, self.id() as _, info.as_mut_ptr(), flags) } as isize,
        )?;
        // SAFETY: all zeros are valid, and waitid has filled in what it knows of a child.
        let (info, process, status) = unsafe {
            let info = info.assume_init();
            (info, info.si_pid(), info.si_status())
        };
        // The status is built as waitpid(2) returns it: the signal in the low bits, or the exit
        // code above them (wait(2)).
        Ok(match (process, info.si_code) {
            (0, _) => None,
            (_, libc::CLD_EXITED) => Some(ExitStatus::from_raw((status & 0xff) << 8)),
            (_, libc::CLD_DUMPED) => Some(ExitStatus::from_raw(status | 0x80)),
            (_, _) => Some(ExitStatus::from_raw(status)),
        })
    }

    /// waitpid(2) without WNOHANG: waits for the child's end.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        match &mut self.child {
            Handle::Real(child) => child.wait(),
            #[cfg(any(test, fuzzing))]
            Handle::Simulated(child) => child.wait(),
        }
    }

    /// Whether this is a child of the real kernel.
    #[cfg(any(test, fuzzing))]
    pub fn is_real(&self) -> bool {
        matches!(self.child, Handle::Real(_))
    }
}

/// A pipe for a child's stdin or stdout, reader first. Neither end has a number from 0 to 2,
/// because other code takes these numbers for the standard streams. A child can even lose such an
/// end: when std calls dup2(2) from a number to the same number, the descriptor stays
/// close-on-exec, and the exec closes it. A pipe with a low number goes to `low`, and another pipe
/// is made. The caller holds `low` until the child is started. The kernel gives the lowest free
/// numbers, so at most two pipes have a low number. A third such pipe shows that a sandbox or a
/// tracer makes up the numbers, and it is used as it is.
fn pipe(low: &mut Vec<(Owned, Owned)>) -> io::Result<(Owned, Owned)> {
    loop {
        let pipe = super::pipe(0)?;
        let is_low = pipe.0.number().min(pipe.1.number()) <= libc::STDERR_FILENO;
        if !is_low || low.len() >= 2 {
            return Ok(pipe);
        }
        low.push(pipe);
    }
}

fn stdio(fd: Owned) -> Stdio {
    Stdio::from(super::owned(fd.into_number()))
}

/// A descriptor that becomes readable, for poll(2), when this child ends (pidfd_open(2), Linux
/// 5.3). It fails where the kernel has no pidfds, and when descriptors have run out.
pub(crate) fn pidfd(process: u32) -> io::Result<Owned> {
    #[cfg(any(test, fuzzing))]
    if let Some(answer) = sim::pidfd(process) {
        return answer.map(Owned);
    }
    if REFUSED.load(Ordering::Relaxed) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let process = process as libc::pid_t;
        // SAFETY: this call takes two numbers.
        let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, process, 0) } as isize)?;
        Ok(Owned(fd as RawFd)) // closed on exec
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = process;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// kill(2).
pub(crate) fn kill(process: u32, signal: libc::c_int) -> io::Result<()> {
    #[cfg(any(test, fuzzing))]
    if let Some(answer) = sim::kill(process, signal) {
        return answer;
    }
    // SAFETY: kill takes two numbers.
    check(unsafe { libc::kill(process as libc::pid_t, signal) } as isize).map(drop)
}

/// kill(2) to the process group that this process leads.
pub(crate) fn kill_group(leader: u32, signal: libc::c_int) -> io::Result<()> {
    #[cfg(any(test, fuzzing))]
    if let Some(answer) = sim::kill_group(leader, signal) {
        return answer;
    }
    // SAFETY: kill takes two numbers.
    check(unsafe { libc::kill(-(leader as libc::pid_t), signal) } as isize).map(drop)
}

/// Whether this process leads a process group (getpgid(2)).
pub(crate) fn leads_group(process: u32) -> bool {
    #[cfg(any(test, fuzzing))]
    if let Some(answer) = sim::leads_group(process) {
        return answer;
    }
    // SAFETY: getpgid takes a number.
    unsafe { libc::getpgid(process as libc::pid_t) == process as libc::pid_t }
}

/// A switch for tests: whether pidfds fail, as on a system without them.
static REFUSED: AtomicBool = AtomicBool::new(false);

/// For tests: `true` makes every later `pidfd` of all threads fail, as on a kernel without pidfds.
/// `false` ends that.
pub fn refuse_pidfds(refused: bool) {
    REFUSED.store(refused, Ordering::Relaxed);
}
