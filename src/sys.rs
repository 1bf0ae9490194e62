//! Every kernel call, the clock, and every `unsafe` of the library.
//!
//! The functions return what the kernel answers. Only `poll` and `wake` retry after EINTR. Other
//! retries, waiting after EAGAIN and counting bytes are left to the callers. In test and fuzzing
//! builds a simulated kernel (`sim`) can answer in place of the real one.

#![allow(unsafe_code)]

pub(crate) mod clock;
pub(crate) mod process;
pub(crate) mod sigpipe;
mod socket;

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::io::{FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

use libc::{c_int, pollfd};

#[cfg(any(test, fuzzing))]
use crate::sim;
use clock::Moment;
pub(crate) use socket::{receive, recv, send, shut_down_write, POLLRDHUP};

/// How long poll(2) may sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// poll(2) does not sleep.
    Not,
    /// poll(2) sleeps until it has an answer, or until this moment. Without an answer it never
    /// returns before this moment.
    Until(Moment),
    Forever,
}

/// poll(2): fills in `revents` and returns how many entries have an answer. The call is repeated
/// after EINTR. It is also repeated if it returns before the moment in `wait`, because one call
/// waits for 24 days at most. The timeout is rounded up to whole milliseconds. If it was rounded
/// down, poll(2) would return early, and the loop would spin through the last millisecond.
pub(crate) fn poll(set: &mut [pollfd], wait: Wait) -> io::Result<usize> {
    loop {
        let timeout = match wait {
            Wait::Not => Duration::ZERO,
            Wait::Until(at) => at.since(clock::now()),
            Wait::Forever => Duration::MAX,
        };
        match poll_once(set, timeout, wait == Wait::Forever) {
            Ok(0) => match wait {
                Wait::Not => return Ok(0),
                Wait::Until(at) if clock::now() >= at => return Ok(0),
                Wait::Until(_) | Wait::Forever => {}
            },
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            answer => return answer,
        }
    }
}

fn poll_once(set: &mut [pollfd], timeout: Duration, forever: bool) -> io::Result<usize> {
    #[cfg(any(test, fuzzing))]
    if let Some(answer) = sim::poll(set, if forever { None } else { Some(timeout) }) {
        return answer;
    }
    let milliseconds = if forever { -1 } else { milliseconds(timeout) };
    // SAFETY: the pointer and the length are those of a live, exclusive slice.
    let answer = unsafe { libc::poll(set.as_mut_ptr(), set.len() as libc::nfds_t, milliseconds) };
    check(answer as isize)
}

/// The time in milliseconds, rounded up, but no more than poll(2) accepts (24 days).
fn milliseconds(time: Duration) -> c_int {
    let up = clock::nanoseconds(time).saturating_add(999_999) / 1_000_000;
    c_int::try_from(up).unwrap_or(c_int::MAX)
}

/// read(2).
pub(crate) fn read(fd: RawFd, bytes: &mut [u8]) -> io::Result<usize> {
    #[cfg(any(test, fuzzing))]
    if let Some(answer) = sim::read(fd, bytes, sim::Call::Plain) {
        return answer;
    }
    // SAFETY: the pointer and the length are those of a live, exclusive slice.
    check(unsafe { libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len()) })
}

/// preadv2(2) at the file's own position with RWF_NOWAIT: a read that does not wait, even if the
/// open file description has no O_NONBLOCK (Linux 4.14; pipes since 6.4). It fails with
/// [`io::ErrorKind::Unsupported`] where the kernel or the file refuses it.
pub(crate) fn read_nowait(fd: RawFd, bytes: &mut [u8]) -> io::Result<usize> {
    #[cfg(any(test, fuzzing))]
    if let Some(answer) = sim::read(fd, bytes, sim::Call::Nowait) {
        return answer;
    }
    let part = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: the part is a live, exclusive slice.
    unsafe { move_nowait(Way::In, fd, part) }
}

/// The way in which bytes are moved: by preadv2(2) or by pwritev2(2).
#[derive(Clone, Copy)]
enum Way {
    In,
    Out,
}

/// Reads into `part`, or writes it, at the file's own position, without waiting.
///
/// # Safety
///
/// The memory of `part` must be valid. For `Way::In` nothing else may refer to it.
#[cfg(any(target_os = "linux", target_os = "android"))]
unsafe fn move_nowait(way: Way, fd: RawFd, part: libc::iovec) -> io::Result<usize> {
    // The call is made by its number, because Android's and old C libraries have no wrapper. The
    // position is passed as two halves (low, high), and both halves of -1 are -1.
    let number = match way {
        Way::In => libc::SYS_preadv2,
        Way::Out => libc::SYS_pwritev2,
    };
    // SAFETY: the vector has one element, `part`. The caller promises that its memory is valid.
    let answer = unsafe { libc::syscall(number, fd, &part, 1, -1_isize, -1_isize, RWF_NOWAIT) };
    match check(answer as isize) {
        Err(error) if is_refused(&error) => Err(io::ErrorKind::Unsupported.into()),
        answer => answer,
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
unsafe fn move_nowait(_: Way, _: RawFd, _: libc::iovec) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const RWF_NOWAIT: isize = 8; // linux/fs.h; a whole word, because the call is variadic

/// Whether the call must be made in another way. The kernel may lack the call (ENOSYS) or its flag
/// (EINVAL, EOPNOTSUPP), the file may not support it (ESPIPE), or a sandbox may refuse calls that
/// it does not know (EPERM and EACCES: seccomp's SECCOMP_RET_ERRNO).
#[cfg(not(any(target_os = "macos", target_os = "ios")))]
fn is_refused(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ENOSYS
                | libc::EINVAL
                | libc::EOPNOTSUPP
                | libc::ESPIPE
                | libc::EPERM
                | libc::EACCES
        )
    )
}

/// write(2) without SIGPIPE: if the pipe has no reader, the write fails with EPIPE and raises no
/// signal.
pub(crate) fn write(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    #[cfg(any(test, fuzzing))]
    if let Some(answer) = sim::write(fd, bytes, sim::Call::Plain) {
        return answer;
    }
    sigpipe::held_back(|| {
        // SAFETY: the pointer and the length are those of a live slice.
        check(unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) })
    })
}

/// pwritev2(2) with RWF_NOWAIT, the counterpart of [`read_nowait`]. Pipes have it since Linux 6.4.
pub(crate) fn write_nowait(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    #[cfg(any(test, fuzzing))]
    if let Some(answer) = sim::write(fd, bytes, sim::Call::Nowait) {
        return answer;
    }
    let part = libc::iovec {
        iov_base: bytes.as_ptr() as *mut _,
        iov_len: bytes.len(),
    };
    // SAFETY: the part is a live slice, which is only read.
    sigpipe::held_back(|| unsafe { move_nowait(Way::Out, fd, part) })
}

/// close(2). Its errors are of no use: the descriptor is gone in any case on Linux, and a second
/// try could close another file (close(2), "Dealing with error returns from close()").
pub(crate) fn close(fd: RawFd) {
    #[cfg(any(test, fuzzing))]
    if sim::close(fd) {
        return;
    }
    // SAFETY: closing a number is memory-safe; that it is ours to close is the caller's promise.
    unsafe { libc::close(fd) };
}

/// fcntl(2), F_GETFD: whether the number is open.
pub(crate) fn is_open(fd: RawFd) -> bool {
    #[cfg(any(test, fuzzing))]
    if let Some(answer) = sim::is_open(fd) {
        return answer;
    }
    // SAFETY: F_GETFD takes no third argument.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}

/// A pipe, reader first. Its calls do not wait, and no child inherits its ends.
pub(crate) fn wake_pipe() -> io::Result<(Owned, Owned)> {
    #[cfg(any(test, fuzzing))]
    if let Some(answer) = sim::wake_pipe() {
        return answer.map(|(reader, writer)| (Owned(reader), Owned(writer)));
    }
    pipe(libc::O_NONBLOCK)
}

/// A pipe, reader first, with these status flags at both ends. No child inherits the ends.
fn pipe(flags: c_int) -> io::Result<(Owned, Owned)> {
    #[cfg(not(any(target_os = "macos", target_os = "ios")))]
    {
        let mut ends = [0; 2];
        // SAFETY: the pointer is to two ints.
        let answer = unsafe { libc::pipe2(ends.as_mut_ptr(), flags | libc::O_CLOEXEC) };
        match check(answer as isize) {
            Ok(_) => return Ok((Owned(ends[0]), Owned(ends[1]))),
            Err(error) if is_refused(&error) => {}
            Err(error) => return Err(error),
        }
    }
    pipe_in_steps(flags)
}

/// Makes a pipe where there is no pipe2(2) (Darwin), or where a sandbox refuses it. A child that
/// another thread forks before the flags are set inherits the ends.
fn pipe_in_steps(flags: c_int) -> io::Result<(Owned, Owned)> {
    let mut ends = [0; 2];
    // SAFETY: the pointer is to two ints.
    check(unsafe { libc::pipe(ends.as_mut_ptr()) } as isize)?;
    let pipe = (Owned(ends[0]), Owned(ends[1]));
    for fd in ends {
        // SAFETY: F_SETFD takes an int.
        check(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } as isize)?;
        set_status_flags(fd, status_flags(fd)? | flags)?;
    }
    Ok(pipe)
}

/// Writes one byte to a wake pipe, which wakes the thread that polls the other end. A full pipe
/// wakes that thread as well. Signal handlers may call this: it takes no lock, allocates nothing,
/// uses no thread-local of ours, and leaves errno as it was.
pub(crate) fn wake(fd: RawFd) {
    #[cfg(any(test, fuzzing))]
    if sim::wake(fd) {
        return;
    }
    // SAFETY: each thread has its own errno, and the address is good as long as the thread lives.
    let errno = unsafe { errno_location() };
    // SAFETY: as above.
    let before = unsafe { *errno };
    // SAFETY: the pointer and the length are those of a live byte; errno is read as above.
    while unsafe { libc::write(fd, [1_u8].as_ptr().cast(), 1) == -1 && *errno == libc::EINTR } {}
    // SAFETY: as above.
    unsafe { *errno = before };
}

#[cfg(any(
    target_os = "linux",
    target_os = "dragonfly",
    target_os = "hurd",
    target_os = "fuchsia"
))]
use libc::__errno_location as errno_location;

#[cfg(any(target_os = "android", target_os = "netbsd", target_os = "openbsd"))]
use libc::__errno as errno_location;

#[cfg(any(target_os = "macos", target_os = "ios", target_os = "freebsd"))]
use libc::__error as errno_location;

#[cfg(any(target_os = "illumos", target_os = "solaris"))]
use libc::___errno as errno_location;

/// A descriptor that is closed when it is dropped. Unlike std's [`OwnedFd`] it calls [`close`],
/// which a simulated kernel can answer.
#[derive(Debug)]
pub(crate) struct Owned(RawFd);

impl Owned {
    pub fn number(&self) -> RawFd {
        self.0
    }

    /// Gives the number up, for another owner to close.
    pub fn into_number(self) -> RawFd {
        std::mem::ManuallyDrop::new(self).0
    }
}

impl From<OwnedFd> for Owned {
    fn from(fd: OwnedFd) -> Owned {
        Owned(fd.into_raw_fd())
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        close(self.0);
    }
}

/// Makes an `OwnedFd` of the descriptor with this number. The drop of the `OwnedFd` closes it.
pub(crate) fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: the caller hands over the descriptor, and does not close it itself.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// The kind of file to which a descriptor refers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Regular,
    /// A stream of bytes.
    Socket,
    /// Messages, without an end of file.
    Datagram,
    /// Messages, with an end of file.
    Seqpacket,
    Pipe,
    Tty,
    Other,
}

/// The kind of the file. This asks fstat(2), then fstatfs(2) for a regular file, SO_TYPE for a
/// socket, and isatty(3) for a character device.
pub(crate) fn kind(fd: RawFd) -> io::Result<Kind> {
    #[cfg(any(test, fuzzing))]
    if let Some(answer) = sim::kind(fd) {
        return answer;
    }
    Ok(match stat(fd)?.st_mode & libc::S_IFMT {
        libc::S_IFREG if is_made_on_demand(fd) => Kind::Other,
        libc::S_IFREG => Kind::Regular,
        libc::S_IFSOCK => socket::kind(fd)?,
        libc::S_IFIFO => Kind::Pipe,
        // SAFETY: the call takes a number, and touches no memory of ours.
        libc::S_IFCHR if unsafe { libc::isatty(fd) } == 1 => Kind::Tty,
        _ => Kind::Other,
    })
}

/// Whether the file system makes the bytes of its files when they are read. A reader of such a file
/// may have to wait (/proc/kmsg, trace_pipe), and poll(2) knows whether it must.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_made_on_demand(fd: RawFd) -> bool {
    // The numbers are from linux/magic.h. The last two are in the sources of their file systems.
    const FILE_SYSTEMS: [u32; 11] = [
        0x9fa0,      // procfs
        0x6265_6572, // sysfs
        0x6462_6720, // debugfs
        0x7472_6163, // tracefs
        0x7363_6673, // securityfs
        0x0027_e0eb, // cgroup
        0x6367_7270, // cgroup2
        0xabba_1974, // xenfs
        0x5a3c_69f0, // apparmorfs
        0x0a64_7361, // functionfs
        0xaee7_1ee7, // gadgetfs
    ];
    let mut stat = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the pointer is to a live statfs structure.
    if unsafe { libc::fstatfs(fd, stat.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: fstatfs succeeded and has filled it in.
    FILE_SYSTEMS.contains(&(unsafe { stat.assume_init() }.f_type as u32))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_made_on_demand(_: RawFd) -> bool {
    false
}

/// ioctl(2), FIONREAD: how many bytes a read of a terminal can return. For a message socket the
/// number is at least the length of the next message.
pub(crate) fn readable_bytes(fd: RawFd) -> io::Result<usize> {
    #[cfg(any(test, fuzzing))]
    if let Some(answer) = sim::readable_bytes(fd) {
        return answer;
    }
    let mut bytes: c_int = 0;
    // SAFETY: FIONREAD takes a pointer to an int.
    check(unsafe { libc::ioctl(fd, libc::FIONREAD as _, &mut bytes) } as isize)?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

fn stat(fd: RawFd) -> io::Result<libc::stat> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the pointer is to a live stat structure.
    check(unsafe { libc::fstat(fd, stat.as_mut_ptr()) } as isize)?;
    // SAFETY: fstat succeeded and has filled in `stat`.
    Ok(unsafe { stat.assume_init() })
}

/// The status flags and the access mode of the open file description.
pub(crate) fn status_flags(fd: RawFd) -> io::Result<c_int> {
    #[cfg(any(test, fuzzing))]
    if let Some(answer) = sim::status_flags(fd) {
        return answer;
    }
    // SAFETY: F_GETFL takes no third argument.
    check(unsafe { libc::fcntl(fd, libc::F_GETFL) } as isize).map(|flags| flags as c_int)
}

/// Changes the status flags of the open file description. This affects every process that shares
/// the description.
pub(crate) fn set_status_flags(fd: RawFd, flags: c_int) -> io::Result<()> {
    #[cfg(any(test, fuzzing))]
    if let Some(answer) = sim::set_status_flags(fd, flags) {
        return answer;
    }
    // SAFETY: F_SETFL takes an int.
    check(unsafe { libc::fcntl(fd, libc::F_SETFL, flags) } as isize).map(drop)
}

/// A second descriptor of the same open file description, closed on exec. Its number is not 0, 1 or
/// 2, which other code takes for the standard streams.
pub(crate) fn duplicate(fd: RawFd) -> io::Result<Owned> {
    #[cfg(any(test, fuzzing))]
    if let Some(answer) = sim::duplicate(fd) {
        return answer.map(Owned);
    }
    // SAFETY: F_DUPFD_CLOEXEC takes an int.
    let copy = check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) } as isize)? as RawFd;
    Ok(Owned(copy))
}

/// Opens a descriptor's terminal once more, by its name. That gives an open file description of our
/// own, whose O_NONBLOCK affects no other process. It fails if the terminal has no name, if the
/// process may not open it, or if another device has that name (a container's terminal may belong
/// to another namespace).
pub(crate) fn reopen_tty(fd: RawFd) -> io::Result<Owned> {
    #[cfg(any(test, fuzzing))]
    if sim::is_open(fd).is_some() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    // A pseudo-terminal's master also has a name, but opening it makes another pseudo-terminal.
    // SAFETY: ptsname takes a number. The static name that it may return is only compared with
    // null.
    if !unsafe { libc::ptsname(fd) }.is_null() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let mut name = [0 as libc::c_char; 256];
    // SAFETY: the pointer and the length are those of a live array; the name ends with NUL on
    // success.
    let errno = unsafe { libc::ttyname_r(fd, name.as_mut_ptr(), name.len() as _) };
    if errno != 0 {
        return Err(io::Error::from_raw_os_error(errno));
    }
    let access = status_flags(fd)? & libc::O_ACCMODE;
    let flags = access | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the name is NUL-terminated.
    let opened = Owned(check(unsafe { libc::open(name.as_ptr(), flags) } as isize)? as RawFd);
    let (theirs, ours) = (stat(fd)?, stat(opened.number())?);
    if (theirs.st_rdev, theirs.st_ino, theirs.st_dev) != (ours.st_rdev, ours.st_ino, ours.st_dev) {
        return Err(io::ErrorKind::NotFound.into());
    }
    match opened.number() {
        0..=2 => duplicate(opened.number()), // see there
        _ => Ok(opened),
    }
}

fn check(answer: isize) -> io::Result<usize> {
    usize::try_from(answer).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_leaves_errno_alone() {
        let (_reader, writer) = wake_pipe().unwrap();
        wake(writer.number());
        // SAFETY: each thread has its own errno.
        unsafe { *errno_location() = libc::EDOM };
        wake(-1); // fails with EBADF
        assert_eq!(io::Error::last_os_error().raw_os_error(), Some(libc::EDOM));
    }

    #[test]
    fn no_child_inherits_a_wake_pipe() {
        let (reader, writer) = wake_pipe().unwrap();
        for end in [reader, writer] {
            // SAFETY: F_GETFD and F_GETFL take no third argument.
            let (fd, fl) = unsafe {
                (
                    libc::fcntl(end.number(), libc::F_GETFD),
                    libc::fcntl(end.number(), libc::F_GETFL),
                )
            };
            assert_ne!(fd & libc::FD_CLOEXEC, 0);
            assert_ne!(fl & libc::O_NONBLOCK, 0);
        }
    }

    #[test]
    fn poll_never_wakes_early_and_takes_absurd_durations() {
        assert_eq!(milliseconds(Duration::ZERO), 0);
        assert_eq!(milliseconds(Duration::from_nanos(1)), 1);
        assert_eq!(milliseconds(Duration::from_micros(900)), 1);
        assert_eq!(milliseconds(Duration::from_millis(5)), 5);
        assert_eq!(milliseconds(Duration::MAX), c_int::MAX);
    }
}
