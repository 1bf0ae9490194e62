//! Writes without SIGPIPE. A write to a pipe without reader fails with EPIPE, and raises SIGPIPE,
//! which by default ends the process. A Rust program ignores SIGPIPE from the start. A host program
//! in C does not, and a library must not change the dispositions of its host program.

use std::cell::Cell;
use std::io;
use std::mem::MaybeUninit;

thread_local! {
    /// Whether the process ignores SIGPIPE. None until sigaction(2) was called in this drive.
    static IGNORED: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Forgets whether SIGPIPE is ignored, because the host program may have changed that since the
/// last write. This is called when a drive begins (run, turn, dispatch), so sigaction(2) is called
/// once in a drive, and not with every write.
pub(crate) fn forget() {
    let _ = IGNORED.try_with(|ignored| ignored.set(None));
}

/// Runs a write. If the process does not ignore SIGPIPE, the signal is blocked in this thread
/// during the write. If the write raises the signal, the pending signal is removed. A write's
/// SIGPIPE goes to the thread that writes (POSIX, 2.4.1).
#[inline]
pub(crate) fn held_back(write: impl Fn() -> io::Result<usize>) -> io::Result<usize> {
    match IGNORED.try_with(Cell::get) {
        Ok(Some(true)) => write(),
        _ => ask_first(&write),
    }
}

#[cold]
fn ask_first(write: &dyn Fn() -> io::Result<usize>) -> io::Result<usize> {
    let known = IGNORED.try_with(Cell::get).ok().flatten();
    let is_ignored = known.unwrap_or_else(is_ignored);
    let _ = IGNORED.try_with(|cell| cell.set(Some(is_ignored)));
    if is_ignored {
        return write();
    }
    let set = only_sigpipe();
    if is_pending() {
        return write(); // the host has blocked it and one is pending: another one merges with it
    }
    let before = mask(libc::SIG_BLOCK, &set);
    let answer = write();
    if matches!(&answer, Err(error) if error.raw_os_error() == Some(libc::EPIPE)) && is_pending() {
        let mut signal = 0;
        // SAFETY: both pointers are to live values. The signal is pending, so this does not wait.
        unsafe { libc::sigwait(&set, &mut signal) };
    }
    mask(libc::SIG_SETMASK, &before);
    answer
}

fn is_ignored() -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null new action only asks; the pointer is to a live structure.
    let answer = unsafe { libc::sigaction(libc::SIGPIPE, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: on success the kernel has filled in `action`.
    answer == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

fn only_sigpipe() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set, sigaddset then adds a valid signal to it.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE);
        set.assume_init()
    }
}

fn is_pending() -> bool {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set, sigpending fills it in.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigpending(set.as_mut_ptr());
        libc::sigismember(set.as_ptr(), libc::SIGPIPE) == 1
    }
}

fn mask(how: libc::c_int, set: &libc::sigset_t) -> libc::sigset_t {
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both pointers are to live sets, and sigemptyset has initialised the one that is
    // filled in.
    unsafe {
        libc::sigemptyset(before.as_mut_ptr());
        libc::pthread_sigmask(how, set, before.as_mut_ptr());
        before.assume_init()
    }
}
