//! What the works share of the peers: how their loops are made.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::rc::Rc;

use smol::LocalExecutor;

/// What one read of a full pipe brings: the size of every reader's buffer.
pub const CHUNK: usize = 64 * 1024;

/// Runs a future on tokio's current-thread runtime.
pub fn on_tokio<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(future)
}

/// Runs a future on smol, with an executor of this thread to spawn on.
pub fn on_smol<'a, T, F: Future<Output = T>>(future: impl FnOnce(Rc<LocalExecutor<'a>>) -> F) -> T {
    let executor = Rc::new(LocalExecutor::new());
    smol::block_on(executor.run(future(executor.clone())))
}

/// mio's loop: its poll, its events, and what is called with each of them.
pub struct Mio {
    pub poll: mio::Poll,
    events: mio::Events,
}

impl Mio {
    pub fn new() -> Mio {
        Mio {
            poll: mio::Poll::new().expect("epoll"),
            events: mio::Events::with_capacity(1024),
        }
    }

    pub fn add(&self, source: &mut impl mio::event::Source, token: usize, interest: mio::Interest) {
        self.poll
            .registry()
            .register(source, mio::Token(token), interest)
            .expect("it can be polled");
    }

    /// Polls once, and calls `f` with what is ready.
    pub fn turn(
        &mut self,
        timeout: Option<std::time::Duration>,
        mut f: impl FnMut(&mio::event::Event),
    ) {
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            answer => answer.expect("epoll_wait"),
        }
        self.events.iter().for_each(&mut f);
    }
}

/// Sets O_NONBLOCK.
pub fn nonblocking(file: &impl AsFd) {
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: both calls take numbers.
    let answer = unsafe {
        libc::fcntl(
            fd,
            libc::F_SETFL,
            libc::fcntl(fd, libc::F_GETFL) | libc::O_NONBLOCK,
        )
    };
    assert_eq!(answer, 0);
}

/// Clears O_NONBLOCK.
pub fn blocking(file: &impl AsFd) {
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: both calls take numbers.
    let answer = unsafe {
        libc::fcntl(
            fd,
            libc::F_SETFL,
            libc::fcntl(fd, libc::F_GETFL) & !libc::O_NONBLOCK,
        )
    };
    assert_eq!(answer, 0);
}

/// read(2), as often as a signal interrupts it.
pub fn read(file: &impl AsFd, bytes: &mut [u8]) -> io::Result<usize> {
    loop {
        // SAFETY: the pointer and the length are those of a live, exclusive slice.
        match unsafe {
            libc::read(
                file.as_fd().as_raw_fd(),
                bytes.as_mut_ptr().cast(),
                bytes.len(),
            )
        } {
            -1 => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
            read => return Ok(read as usize),
        }
    }
}

/// read(2) of at most `most` bytes, appended.
pub fn read_more(file: &impl AsFd, bytes: &mut Vec<u8>, most: usize) -> io::Result<usize> {
    bytes.reserve(most);
    let (fd, held) = (file.as_fd().as_raw_fd(), bytes.len());
    // SAFETY: behind its length, the vector has room for so many bytes; as many as were read are
    // initialised.
    unsafe {
        match libc::read(fd, bytes.as_mut_ptr().add(held).cast(), most) {
            -1 => Err(io::Error::last_os_error()),
            read => {
                bytes.set_len(held + read as usize);
                Ok(read as usize)
            }
        }
    }
}

/// write(2), as often as a signal interrupts it.
pub fn write(file: &impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    loop {
        // SAFETY: the pointer and the length are those of a live slice.
        match unsafe { libc::write(file.as_fd().as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) } {
            -1 => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
            written => return Ok(written as usize),
        }
    }
}

/// poll(2).
pub fn poll(set: &mut [libc::pollfd], milliseconds: i32) -> usize {
    // SAFETY: the pointer and the length are those of a live, exclusive slice.
    let answer = unsafe { libc::poll(set.as_mut_ptr(), set.len() as libc::nfds_t, milliseconds) };
    usize::try_from(answer).unwrap_or(0)
}

pub fn pollfd(file: &impl AsFd, events: i16) -> libc::pollfd {
    libc::pollfd {
        fd: file.as_fd().as_raw_fd(),
        events,
        revents: 0,
    }
}

/// eventfd(2): one descriptor that is readable once it was written to. Ten thousand of them fit
/// under the usual limit, pipes would not.
pub fn eventfd() -> OwnedFd {
    // SAFETY: takes numbers.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    assert!(fd >= 0, "eventfd: {}", io::Error::last_os_error());
    // SAFETY: the kernel has just made it for us.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Makes an eventfd readable, through a number: its owner lent it to some loop.
pub fn signal(fd: i32) {
    // SAFETY: whoever has the number keeps it open while the work goes on.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    assert_eq!(write(&fd, &1u64.to_ne_bytes()).expect("an eventfd"), 8);
}

/// Raises the limit of open descriptors as far as it goes.
pub fn many_descriptors() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointers are to a live structure.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
    }
}
