//! Child processes: noticing their end, and signals.

use std::io;
use std::os::unix::io::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use super::check;

/// A descriptor that poll(2) says is readable once this child has exited (pidfd_open(2), Linux 5.3). An error where
/// there is none, and when descriptors have run out.
pub(crate) fn pidfd(process: u32) -> io::Result<OwnedFd> {
    if REFUSED.load(Ordering::Relaxed) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use std::os::unix::io::FromRawFd;
        // SAFETY: takes two numbers.
        let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, process as libc::pid_t, 0) } as isize)?;
        // SAFETY: the kernel has just made this descriptor for us, closed on exec.
        Ok(unsafe { OwnedFd::from_raw_fd(fd as std::os::unix::io::RawFd) })
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = process;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// kill(2).
pub(crate) fn kill(process: u32, signal: libc::c_int) -> io::Result<()> {
    // SAFETY: takes two numbers.
    check(unsafe { libc::kill(process as libc::pid_t, signal) } as isize).map(drop)
}

/// Numbers below 3 that are free, held while a child is started. A pipe that got one of them as its number would be
/// taken for a standard stream, by the child's own preparations too (dup2 of a number to itself leaves it to be closed on exec).
pub(crate) fn hold_low_numbers() -> Vec<std::fs::File> {
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
