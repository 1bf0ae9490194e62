//! Child processes: noticing their end, and signals.

use std::io;
use std::os::unix::io::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use super::{check, Owned};

#[cfg(any(test, fuzzing))]
use crate::sim;

/// A child process: std's, unless a simulated kernel has started it.
pub(crate) enum Process {
    Real(Child),
    #[cfg(any(test, fuzzing))]
    Simulated(sim::Handle),
}

/// What a child reads.
pub(crate) enum Stdin {
    /// A new pipe.
    Piped,
    /// This.
    From(Owned),
    /// Nothing.
    Null,
}

impl Process {
    /// Starts a command with its stdout piped.
    pub fn spawn(command: &mut Command, stdin: Stdin) -> io::Result<Process> {
        #[cfg(any(test, fuzzing))]
        {
            let fd = match &stdin {
                Stdin::Piped => None,
                Stdin::From(fd) => Some(Some(fd.number())),
                Stdin::Null => Some(None),
            };
            if let Some(answer) = sim::spawn(&command.get_program().to_string_lossy(), fd) {
                return answer.map(Process::Simulated);
            }
        }
        let stdin = match stdin {
            Stdin::Piped => Stdio::piped(),
            Stdin::From(fd) => Stdio::from(super::owned(fd.into_number())),
            Stdin::Null => Stdio::null(),
        };
        let low_numbers = hold_low_numbers();
        let spawned = command.stdin(stdin).stdout(Stdio::piped()).spawn();
        drop(low_numbers);
        // The command keeps what it was given: this reader of the inner pipe would keep its writer alive.
        command.stdin(Stdio::piped());
        spawned.map(Process::Real)
    }

    pub fn id(&self) -> u32 {
        match self {
            Process::Real(child) => child.id(),
            #[cfg(any(test, fuzzing))]
            Process::Simulated(child) => child.id,
        }
    }

    pub fn take_stdin(&mut self) -> Option<Owned> {
        match self {
            Process::Real(child) => child.stdin.take().map(OwnedFd::from).map(Owned::from),
            #[cfg(any(test, fuzzing))]
            Process::Simulated(child) => child.stdin.take(),
        }
    }

    pub fn take_stdout(&mut self) -> Option<Owned> {
        match self {
            Process::Real(child) => child.stdout.take().map(OwnedFd::from).map(Owned::from),
            #[cfg(any(test, fuzzing))]
            Process::Simulated(child) => child.stdout.take(),
        }
    }

    pub fn take_stderr(&mut self) -> Option<Owned> {
        match self {
            Process::Real(child) => child.stderr.take().map(OwnedFd::from).map(Owned::from),
            #[cfg(any(test, fuzzing))]
            Process::Simulated(child) => child.stderr.take(),
        }
    }

    /// waitpid(2) with WNOHANG.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        match self {
            Process::Real(child) => child.try_wait(),
            #[cfg(any(test, fuzzing))]
            Process::Simulated(child) => child.try_wait(),
        }
    }

    /// waitpid(2), which waits. It closes the child's stdin first, if that was not taken.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        match self {
            Process::Real(child) => child.wait(),
            #[cfg(any(test, fuzzing))]
            Process::Simulated(child) => child.wait(),
        }
    }
}

/// A descriptor that poll(2) says is readable once this child has exited (pidfd_open(2), Linux 5.3). An error where
/// there is none, and when descriptors have run out.
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
        // SAFETY: takes two numbers.
        let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, process as libc::pid_t, 0) } as isize)?;
        Ok(Owned(fd as std::os::unix::io::RawFd)) // closed on exec
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
    // SAFETY: takes two numbers.
    check(unsafe { libc::kill(process as libc::pid_t, signal) } as isize).map(drop)
}

/// Numbers below 3 that are free, held while a child is started. A pipe that got one of them as its number would be
/// taken for a standard stream, by the child's own preparations too (dup2 of a number to itself leaves it to be closed on exec).
fn hold_low_numbers() -> Vec<std::fs::File> {
    let mut held = Vec::new();
    // SAFETY: F_GETFD takes a number and no third argument.
    while (0..3).any(|fd| unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1) {
        match std::fs::File::open("/dev/null") {
            Ok(file) => held.push(file), // the kernel gives the lowest free number
            Err(_) => break,
        }
    }
    held
}

/// The switch for tests: as on a system without pidfds.
static REFUSED: AtomicBool = AtomicBool::new(false);

/// From here on, in all threads, the kernel has no pidfds (or has them again). For tests of what is done without.
pub fn refuse_pidfds(refused: bool) {
    REFUSED.store(refused, Ordering::Relaxed);
}
