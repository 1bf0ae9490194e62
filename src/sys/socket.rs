//! The calls that only sockets have. A call that moves bytes does not wait, whatever the flags of
//! the open file description say, because it has MSG_DONTWAIT.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::io::RawFd;

use libc::c_int;

use super::{check, Kind};
#[cfg(any(test, fuzzing))]
use crate::sim;

/// recv(2) with MSG_DONTWAIT: does not wait, whatever the flags of the open file description say.
pub(crate) fn recv(fd: RawFd, bytes: &mut [u8]) -> io::Result<usize> {
    #[cfg(any(test, fuzzing))]
    if let Some(answer) = sim::read(fd, bytes, sim::Call::Socket) {
        return answer;
    }
    // SAFETY: the pointer and the length are those of a live, exclusive slice.
    check(unsafe {
        libc::recv(
            fd,
            bytes.as_mut_ptr().cast(),
            bytes.len(),
            libc::MSG_DONTWAIT,
        )
    })
}

/// recvmsg(2) with MSG_DONTWAIT: receives the next message, and returns its length and whether it
/// was cut, because it did not fit into `bytes`. A peek leaves the message where it is.
pub(crate) fn receive(fd: RawFd, bytes: &mut [u8], is_peek: bool) -> io::Result<(usize, bool)> {
    #[cfg(any(test, fuzzing))]
    if let Some(answer) = sim::receive(fd, bytes, is_peek) {
        return answer;
    }
    let mut part = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: all zeroes are a header without name and without control data.
    let mut header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_iov = &mut part;
    header.msg_iovlen = 1;
    let flags = libc::MSG_DONTWAIT | if is_peek { libc::MSG_PEEK } else { 0 };
    // SAFETY: the vector has one part, which is a live, exclusive slice.
    let len = check(unsafe { libc::recvmsg(fd, &mut header, flags) } as isize)?;
    Ok((len, header.msg_flags & libc::MSG_TRUNC != 0))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use libc::POLLRDHUP;
/// Other systems report a half-closed socket as POLLHUP, or not at all.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) const POLLRDHUP: libc::c_short = 0;

/// send(2) with MSG_DONTWAIT and without SIGPIPE.
pub(crate) fn send(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    #[cfg(any(test, fuzzing))]
    if let Some(answer) = sim::write(fd, bytes, sim::Call::Socket) {
        return answer;
    }
    #[cfg(not(any(target_os = "macos", target_os = "ios")))]
    {
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: the pointer and the length are those of a live slice.
        check(unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), flags) })
    }
    // Darwin has no MSG_NOSIGNAL.
    #[cfg(any(target_os = "macos", target_os = "ios"))]
    super::sigpipe::held_back(|| {
        // SAFETY: the pointer and the length are those of a live slice.
        check(unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_DONTWAIT) })
    })
}

/// shutdown(2) with SHUT_WR: the other side reads its end of file.
pub(crate) fn shut_down_write(fd: RawFd) -> io::Result<()> {
    #[cfg(any(test, fuzzing))]
    if let Some(answer) = sim::shut_down_write(fd) {
        return answer;
    }
    // SAFETY: the call takes numbers, and touches no memory of ours.
    check(unsafe { libc::shutdown(fd, libc::SHUT_WR) } as isize).map(drop)
}

/// getsockopt(2), SO_TYPE.
pub(super) fn kind(fd: RawFd) -> io::Result<Kind> {
    let mut kind: c_int = 0;
    let mut size = std::mem::size_of::<c_int>() as libc::socklen_t;
    // SAFETY: the pointers are to a live int and to its size.
    let answer = unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_TYPE,
            (&mut kind as *mut c_int).cast(),
            &mut size,
        )
    };
    check(answer as isize)?;
    Ok(match kind {
        libc::SOCK_SEQPACKET => Kind::Seqpacket,
        libc::SOCK_STREAM => Kind::Socket,
        _ => Kind::Datagram,
    })
}
