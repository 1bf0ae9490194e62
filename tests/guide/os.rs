// The few lines around a system call that the programs of the guide's pages share: they include
// this file. Each call is made once, and its answer is given as it is.

pub use libc::{POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT};

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::Arc;

/// Asks poll(2) for one descriptor, without sleeping: its `revents`.
pub fn poll(file: &impl AsRawFd, events: libc::c_short) -> libc::c_short {
    let (fd, revents) = (file.as_raw_fd(), 0);
    let mut set = [libc::pollfd {
        fd,
        events,
        revents,
    }];
    poll_set(&mut set, 0).expect("one entry is never too many");
    set[0].revents
}

/// poll(2): how many entries it has answered.
pub fn poll_set(set: &mut [libc::pollfd], milliseconds: i32) -> io::Result<i32> {
    // SAFETY: pointer and length are those of one live slice.
    match unsafe { libc::poll(set.as_mut_ptr(), set.len() as libc::nfds_t, milliseconds) } {
        -1 => Err(io::Error::last_os_error()),
        answers => Ok(answers),
    }
}

/// A pseudo-terminal: its master, its slave.
pub fn terminal() -> io::Result<(File, File)> {
    let (mut master, mut slave, null) = (0, 0, std::ptr::null_mut());
    // SAFETY: two pointers to live ints; the others may be null.
    match unsafe { libc::openpty(&mut master, &mut slave, null, null.cast(), null.cast()) } {
        // SAFETY: both are open, and nobody else's.
        0 => Ok(unsafe { (File::from_raw_fd(master), File::from_raw_fd(slave)) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The process may open no descriptor with this number or a higher one.
pub fn limit_descriptors(limit: u64) {
    let limit = libc::rlimit {
        rlim_cur: limit as _,
        rlim_max: limit as _,
    };
    // SAFETY: the pointer is to a live structure.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
}

/// While it lives, SIGUSR1 interrupts the thread that has made it, a thousand times a second.
pub struct Signals(Arc<AtomicBool>, Option<std::thread::JoinHandle<()>>);

pub fn signals() -> Signals {
    extern "C" fn nothing(_: i32) {}
    // SAFETY: the handler does nothing; the thread is alive as long as `Signals`.
    let me = unsafe {
        libc::signal(libc::SIGUSR1, nothing as *const () as libc::sighandler_t);
        libc::pthread_self() as usize
    };
    let is_over = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_over);
    let thread = std::thread::spawn(move || {
        while !seen.load(Relaxed) {
            // SAFETY: the thread waits for this one before it ends.
            unsafe { libc::pthread_kill(me as libc::pthread_t, libc::SIGUSR1) };
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    });
    Signals(is_over, Some(thread))
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
        self.1
            .take()
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    }
}

/// setsockopt(2), with an int.
pub fn set_option(socket: &impl AsRawFd, level: i32, name: i32, value: i32) {
    let (size, pointer) = (std::mem::size_of_val(&value), (&value as *const i32).cast());
    // SAFETY: the pointer and the size are those of a live int.
    let answer = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, pointer, size as _) };
    assert_eq!(answer, 0);
}
