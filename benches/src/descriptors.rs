//! Work 5: many descriptors, ten of them active, always the same ones or moving through all.
//!
//! Who takes the last of a round's ten signals sends the next ten, so nothing but the loop and its
//! tasks is measured. The descriptors are eventfds (Linux), because ten thousand pipes or sockets
//! are twenty thousand descriptors.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

use asyncfile::{done, wait, AsyncFile, Scheduler};
use calloop::generic::Generic;
use calloop::{EventLoop, PostAction};
use mio::unix::SourceFd;
use mio::Interest;
use tokio::io::unix::AsyncFd;

use crate::measure;
use crate::peers::{self, eventfd, on_smol, on_tokio, poll, pollfd, Mio};
use crate::work::{variant, Shows, Size, Work};

/// How many are signalled in a round.
const ACTIVE: u64 = 10;

/// Rounds before the measuring starts: by then everybody waits.
const WARM: u64 = 2;

pub fn works() -> Vec<Work> {
    let work = |descriptors: u64, moving: bool, full: u64| Work {
        name: format!(
            "descriptors-{descriptors}-{}",
            if moving { "moving" } else { "fixed" }
        ),
        unit: "event",
        about: format!(
            "{descriptors} descriptors, {ACTIVE} active, {}",
            if moving { "moving" } else { "fixed" }
        ),
        full,
        quick: full / 20,
        param: descriptors * 2 + u64::from(moving),
        shows: Shows::Time,
        variants: {
            let mut variants = vec![
                variant("limit", limit),
                variant("asyncfile", asyncfile),
                variant("tokio", tokio),
                variant("smol", smol),
                variant("mio", mio),
                variant("calloop", calloop),
            ];
            if descriptors <= 1000 {
                variants.push(variant("std + threads", std));
            }
            variants
        },
        left_out: if descriptors <= 1000 {
            Vec::new()
        } else {
            vec![("std + threads", "10,000 threads are too many")]
        },
    };
    vec![
        work(10, false, 1_000_000),
        work(100, false, 1_000_000),
        work(100, true, 1_000_000),
        work(1_000, false, 200_000),
        work(1_000, true, 200_000),
        work(10_000, false, 40_000),
        work(10_000, true, 40_000),
    ]
}

/// The descriptors' numbers, and how far the rounds have come. Atomics, for the variant with
/// threads.
struct Rounds {
    fds: Vec<i32>,
    moving: bool,
    rounds: u64,
    begun: AtomicU64,
    left: AtomicU64,
    taken: AtomicU64,
    /// Readable when it is all over.
    over: OwnedFd,
}

impl Rounds {
    fn new(size: Size) -> (Arc<Rounds>, Vec<OwnedFd>) {
        peers::many_descriptors();
        let descriptors: Vec<OwnedFd> = (0..size.param / 2).map(|_| eventfd()).collect();
        let rounds = Rounds {
            fds: descriptors.iter().map(|fd| fd.as_raw_fd()).collect(),
            moving: size.param % 2 == 1,
            rounds: size.count / ACTIVE + WARM,
            begun: AtomicU64::new(0),
            left: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            over: eventfd(),
        };
        (Arc::new(rounds), descriptors)
    }

    /// Signals the next ten, spread over all.
    fn begin(&self) {
        let round = self.begun.load(Relaxed);
        self.begun.store(round + 1, Relaxed);
        if round == WARM {
            measure::start();
        }
        if round == self.rounds {
            measure::stop();
            return peers::signal(self.over.as_raw_fd());
        }
        self.left.store(ACTIVE, Relaxed);
        let part = self.fds.len() as u64 / ACTIVE;
        let offset = if self.moving { round % part } else { 0 };
        for at in 0..ACTIVE {
            peers::signal(self.fds[(at * part + offset) as usize]);
        }
    }

    /// A signal was taken; who takes the last one begins the next round.
    fn took(&self, bytes: &[u8]) {
        assert_eq!(bytes, 1u64.to_ne_bytes());
        self.taken.fetch_add(1, Relaxed);
        if self.left.fetch_sub(1, Relaxed) == 1 {
            self.begin();
        }
    }

    fn is_over(&self) -> bool {
        self.begun.load(Relaxed) > self.rounds
    }

    /// All signals were taken, however many they were.
    fn check(&self) -> u64 {
        assert_eq!(self.taken.load(Relaxed), self.rounds * ACTIVE);
        1
    }
}

/// poll(2), and a look at its answers until all are found.
fn limit(size: Size) -> u64 {
    let (rounds, fds) = Rounds::new(size);
    let mut set: Vec<libc::pollfd> = fds.iter().map(|fd| pollfd(fd, libc::POLLIN)).collect();
    let mut bytes = [0; 8];
    rounds.begin();
    while !rounds.is_over() {
        let mut answers = poll(&mut set, -1);
        for (entry, fd) in set.iter().zip(&fds) {
            if answers == 0 {
                break;
            }
            if entry.revents != 0 {
                answers -= 1;
                peers::read(fd, &mut bytes).expect("readable");
                rounds.took(&bytes);
            }
        }
    }
    rounds.check()
}

fn asyncfile(size: Size) -> u64 {
    let (rounds, fds) = Rounds::new(size);
    let mut sched = Scheduler::new();
    for fd in fds {
        let file = AsyncFile::new(fd).expect("an eventfd");
        let rounds = Arc::clone(&rounds);
        sched.spawn(file.read(8), move |task| {
            rounds.took(task.bytes()?);
            wait::<()>(file.read(8))
        });
    }
    let over = AsyncFile::duplicate(&rounds.over).expect("an eventfd");
    let last = sched.spawn(over.readable(), |task| {
        task.ok()?;
        done(())
    });
    rounds.begin();
    sched.join(last).expect("every signal is taken");
    rounds.check()
}

pub fn async_fd(fd: OwnedFd) -> AsyncFd<OwnedFd> {
    // SAFETY: an OwnedFd always gives the same number, and keeps it open as long as it lives.
    unsafe { AsyncFd::register_with_interest(fd, tokio::io::Interest::READABLE) }
        .expect("an eventfd")
}

fn tokio(size: Size) -> u64 {
    let (rounds, fds) = Rounds::new(size);
    on_tokio(async {
        for fd in fds {
            let rounds = Arc::clone(&rounds);
            tokio::spawn(async move {
                let fd = async_fd(fd);
                let mut bytes = [0; 8];
                loop {
                    let mut ready = fd.readable().await.expect("an eventfd");
                    if let Ok(read) = ready.try_io(|fd| peers::read(fd, &mut bytes)) {
                        read.expect("readable");
                        rounds.took(&bytes);
                    }
                }
            });
        }
        let over = async_fd(rounds.over.try_clone().expect("one more"));
        rounds.begin();
        let _ready = over.readable().await.expect("an eventfd");
    });
    rounds.check()
}

fn smol(size: Size) -> u64 {
    let (rounds, fds) = Rounds::new(size);
    on_smol(|executor| {
        let rounds = Arc::clone(&rounds);
        async move {
            for fd in fds {
                let rounds = Arc::clone(&rounds);
                let task = executor.spawn(async move {
                    let fd = smol::Async::new(fd).expect("an eventfd");
                    let mut bytes = [0; 8];
                    loop {
                        fd.read_with(|fd| peers::read(fd, &mut bytes))
                            .await
                            .expect("an eventfd");
                        rounds.took(&bytes);
                    }
                });
                task.detach();
            }
            let over =
                smol::Async::new(rounds.over.try_clone().expect("one more")).expect("an eventfd");
            rounds.begin();
            over.readable().await.expect("an eventfd");
        }
    });
    rounds.check()
}

fn mio(size: Size) -> u64 {
    let (rounds, fds) = Rounds::new(size);
    let mut mio = Mio::new();
    for (token, fd) in fds.iter().enumerate() {
        mio.add(&mut SourceFd(&fd.as_raw_fd()), token, Interest::READABLE);
    }
    let mut bytes = [0; 8];
    rounds.begin();
    while !rounds.is_over() {
        mio.turn(None, |event| {
            peers::read(&fds[event.token().0], &mut bytes).expect("readable");
            rounds.took(&bytes);
        });
    }
    rounds.check()
}

fn calloop(size: Size) -> u64 {
    let (rounds, fds) = Rounds::new(size);
    let mut event_loop: EventLoop<Arc<Rounds>> = EventLoop::try_new().expect("epoll");
    for fd in fds {
        let source = Generic::new(fd, calloop::Interest::READ, calloop::Mode::Level);
        let take = |_, fd: &mut calloop::generic::NoIoDrop<OwnedFd>, rounds: &mut Arc<Rounds>| {
            let mut bytes = [0; 8];
            peers::read(&**fd, &mut bytes)?;
            rounds.took(&bytes);
            Ok(PostAction::Continue)
        };
        event_loop
            .handle()
            .insert_source(source, take)
            .expect("it can be polled");
    }
    let mut state = Arc::clone(&rounds);
    rounds.begin();
    while !rounds.is_over() {
        event_loop.dispatch(None, &mut state).expect("epoll_wait");
    }
    rounds.check()
}

/// A thread for each descriptor, in a read that waits. They are left there at the end.
fn std(size: Size) -> u64 {
    let (rounds, fds) = Rounds::new(size);
    for fd in fds {
        let rounds = Arc::clone(&rounds);
        peers::blocking(&fd);
        let thread = std::thread::Builder::new().stack_size(64 * 1024);
        let started = thread.spawn(move || {
            let mut bytes = [0; 8];
            loop {
                peers::read(&fd, &mut bytes).expect("an eventfd");
                rounds.took(&bytes);
            }
        });
        started.expect("threads can be had");
    }
    rounds.begin();
    poll(&mut [pollfd(&rounds.over, libc::POLLIN)], -1);
    rounds.check()
}
