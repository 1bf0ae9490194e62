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

/// The switch for tests: as on a system without pidfds.
static REFUSED: AtomicBool = AtomicBool::new(false);

/// From here on, in all threads, the kernel has no pidfds (or has them again). For tests of what is done without.
pub fn refuse_pidfds(refused: bool) {
    REFUSED.store(refused, Ordering::Relaxed);
}
