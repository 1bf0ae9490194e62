//! The system calls of the ladder, and its only `unsafe`: the same for all rungs.
//!
//! With `LADDER_TRACE=1` in the environment, read(2) and poll(2) are shown on stderr: a line before
//! the call, and a line with its answer.
#![allow(dead_code)] // no rung makes all of them

use libc::{c_int, pollfd, O_NONBLOCK, POLLIN};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::unix::prelude::{OpenOptionsExt, RawFd};

/// open(2) for a descriptor that never waits: a read without bytes says [`ErrorKind::WouldBlock`].
pub fn open_nonblocking(path: String) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).custom_flags(O_NONBLOCK).open(path)
}

/// read(2): waits until there is a byte. 0 bytes are the end of file.
pub fn read(fd: RawFd, room: &mut [u8]) -> io::Result<usize> {
    trace(&format!("read({fd})"));
    // SAFETY: the pointer and the length are those of a live, exclusive slice.
    let len = unsafe { libc::read(fd, room.as_mut_ptr().cast(), room.len()) };
    let answer = usize::try_from(len).map_err(|_| io::Error::last_os_error());
    trace(&format!("  = {answer:?}"));
    answer
}

/// poll(2): sleeps until one of these descriptors is ready, at most so long (-1: for ever). Returns
/// the ready ones. A hangup comes unasked, and is an answer, too: read(2) says what it was.
pub fn poll(fds: impl Iterator<Item = RawFd>, milliseconds: c_int) -> io::Result<Vec<RawFd>> {
    let entry = |fd| pollfd {
        fd,
        events: POLLIN,
        revents: 0,
    };
    let mut set: Vec<pollfd> = fds.map(entry).collect();
    trace(&format!("poll({milliseconds})"));
    // SAFETY: the pointer and the length are those of a live, exclusive slice.
    let answer = unsafe { libc::poll(set.as_mut_ptr(), set.len() as _, milliseconds) };
    match io::Error::last_os_error() {
        error if answer < 0 && error.kind() != ErrorKind::Interrupted => return Err(error),
        _ => {} // EINTR: no entry is answered, and the loop asks again
    }
    let ready = set.iter().filter(|entry| entry.revents != 0);
    let ready = Vec::from_iter(ready.map(|entry| entry.fd));
    trace(&format!("  = {ready:?}"));
    Ok(ready)
}

fn trace(text: &str) {
    if std::env::var_os("LADDER_TRACE").is_some() {
        let _ = writeln!(io::stderr(), "{text}");
    }
}
