//! For tests of other threads: how often this thread has polled and written, and a guard against a
//! hang.

#![allow(dead_code)]

use std::cell::Cell;
use std::sync::mpsc;
use std::time::Duration;

/// A time that no test lasts.
pub const LONG: Duration = Duration::from_secs(3600);

thread_local! {
    static POLLS: Cell<u64> = const { Cell::new(0) };
    static WRITES: Cell<u64> = const { Cell::new(0) };
}

/// How often this thread has polled: calls of poll(2) that a signal interrupted do not count.
pub fn polls() -> u64 {
    POLLS.get()
}

/// How often this thread has written: calls of write(2) that a signal interrupted do not count.
pub fn writes() -> u64 {
    WRITES.get()
}

/// Ends the whole process, with the test's name, if the test lasts more than two minutes. The test
/// keeps it alive until its end.
#[must_use]
pub fn watchdog() -> mpsc::Sender<()> {
    let (alive, test_end) = mpsc::channel();
    let name = std::thread::current()
        .name()
        .unwrap_or("the test")
        .to_owned();
    std::thread::spawn(move || {
        if test_end.recv_timeout(Duration::from_secs(120)) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{name}: hangs");
            std::process::abort();
        }
    });
    alive
}

/// The library's calls of poll(2) and write(2) arrive here, because the executable's symbols come
/// before those of shared libraries. Each is counted, and made by a sibling: ppoll(2), writev(2).
#[cfg(target_os = "linux")]
mod counted {
    use libc::{c_int, c_void, nfds_t, pollfd, size_t, ssize_t, timespec};

    // SAFETY: the caller's promises are passed on as they are.
    #[no_mangle]
    unsafe extern "C" fn poll(set: *mut pollfd, len: nfds_t, timeout: c_int) -> c_int {
        let time = timespec {
            tv_sec: (timeout / 1000) as _,
            tv_nsec: (timeout % 1000 * 1_000_000) as _,
        };
        let time = if timeout < 0 {
            std::ptr::null()
        } else {
            &time as *const timespec
        };
        let ready = unsafe { libc::ppoll(set, len, time, std::ptr::null()) };
        super::POLLS.set(super::POLLS.get() + (ready >= 0) as u64);
        ready
    }

    // SAFETY: the caller's promises are passed on as they are.
    #[no_mangle]
    unsafe extern "C" fn write(fd: c_int, data: *const c_void, len: size_t) -> ssize_t {
        let written = unsafe {
            libc::writev(
                fd,
                &libc::iovec {
                    iov_base: data as *mut c_void,
                    iov_len: len,
                },
                1,
            )
        };
        super::WRITES.set(super::WRITES.get() + (written >= 0) as u64);
        written
    }
}
