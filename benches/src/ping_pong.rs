//! Work 4: ping-pong over a socketpair between two tasks; and, of work 7, the same with a deadline
//! on each read.
//!
//! The ball is a number. Whoever has it adds one and sends it back; so many round trips, then it is
//! the check value.

use std::cell::Cell;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use asyncfile::{done, wait, AsyncFile, Flow, Outcome, Scheduler, Task};
use calloop::generic::Generic;
use calloop::{EventLoop, PostAction};
use mio::Interest;
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::peers::{nonblocking, on_smol, on_tokio, poll, pollfd, Mio};
use crate::work::{variant, Shows, Size, Variant, Work};

const SECOND: Duration = Duration::from_secs(1);

/// The size of a reader's buffer, in bytes.
const ROOM: usize = 256;

pub fn works() -> Vec<Work> {
    let variants = || {
        vec![
            variant("limit", limit),
            variant("asyncfile", asyncfile),
            Variant {
                name: "std + thread",
                run: std,
                share: 4,
            },
            variant("tokio", tokio),
            variant("smol", smol),
            variant("mio", mio),
            variant("calloop", calloop),
        ]
    };
    vec![
        Work {
            name: "ping-pong".into(),
            unit: "round trip",
            about: "8 bytes there and back over a socketpair between two tasks".into(),
            full: 400_000,
            quick: 20_000,
            param: 0,
            shows: Shows::Time,
            variants: variants(),
            left_out: Vec::new(),
        },
        Work {
            name: "timeouts".into(),
            unit: "read",
            about: "the same, each read with a deadline of a second that does not come: armed, taken back".into(),
            full: 1_000_000,
            quick: 50_000,
            param: 1,
            shows: Shows::Time,
            variants: variants(),
            left_out: Vec::new(),
        },
    ]
}

/// How many round trips, and whether reads have deadlines (then each read is a unit).
fn plan(size: Size) -> (u64, bool) {
    (size.count / (size.param + 1), size.param == 1)
}

/// Both variants of a run must end with the ball having been hit so often; the check is free of the
/// count.
fn check(ball: u64, rounds: u64) -> u64 {
    assert_eq!(ball, rounds * 2);
    1
}

fn pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().expect("a socketpair")
}

/// The ball in a message. Every reader has room for more, because a read that fills its buffer
/// makes tokio, and asyncfile now and then, read once more.
fn number(bytes: &[u8]) -> u64 {
    u64::from_ne_bytes(bytes[..8].try_into().expect("8 bytes at once"))
}

/// Reads a ball that has come, and sends it back. The one that has been hit often enough is kept:
/// None.
fn hit(mut socket: &UnixStream, rounds: u64) -> Option<u64> {
    let mut bytes = [0; ROOM];
    assert_eq!(socket.read(&mut bytes).expect("it has come"), 8);
    let ball = number(&bytes);
    if ball < rounds * 2 {
        socket
            .write_all(&(ball + 1).to_ne_bytes())
            .expect("it fits");
    }
    (ball < rounds * 2).then_some(ball)
}

/// The first ball: hit once by the one who serves.
fn serve(mut socket: &UnixStream) {
    socket.write_all(&1u64.to_ne_bytes()).expect("it fits");
}

/// poll(2) for two sockets, a read and a write for whoever is ready. A deadline is a time for poll,
/// computed each turn.
fn limit(size: Size) -> u64 {
    let (rounds, with_deadline) = plan(size);
    let (one, other) = pair();
    let mut set = [pollfd(&one, libc::POLLIN), pollfd(&other, libc::POLLIN)];
    let mut deadlines = [Instant::now() + SECOND; 2];
    serve(&one);
    loop {
        let first = deadlines[0].min(deadlines[1]);
        let time = if with_deadline {
            (first - Instant::now()).as_millis() as i32 + 1
        } else {
            -1
        };
        assert!(poll(&mut set, time) > 0, "no ball for a second");
        for (at, socket) in [&one, &other].into_iter().enumerate() {
            if set[at].revents != 0 {
                if hit(socket, rounds).is_none() {
                    return check(rounds * 2, rounds);
                }
                if with_deadline {
                    deadlines[at] = Instant::now() + SECOND;
                }
            }
        }
    }
}

fn asyncfile(size: Size) -> u64 {
    let (rounds, with_deadline) = plan(size);
    let (one, other) = pair();
    let ball = Cell::new(0);
    let mut sched = Scheduler::new();
    let (one, other) = (
        AsyncFile::new(one).expect("a socket"),
        AsyncFile::new(other).expect("a socket"),
    );
    let server = sched.spawn(
        one.write(1u64.to_ne_bytes()),
        player(&one, rounds, with_deadline, &ball),
    );
    sched.spawn(
        read(&other, with_deadline),
        player(&other, rounds, with_deadline, &ball),
    );
    sched.join(server).expect("no ball is lost");
    check(ball.get(), rounds)
}

fn read(file: &AsyncFile, with_deadline: bool) -> asyncfile::op::Read {
    let read = file.read(ROOM);
    if with_deadline {
        read.timeout(SECOND)
    } else {
        read
    }
}

fn player<'t>(
    file: &AsyncFile,
    rounds: u64,
    with_deadline: bool,
    last: &'t Cell<u64>,
) -> impl FnMut(&mut Task<'_, 't>) -> Flow + 't {
    let file = file.clone();
    move |task| match task.outcome() {
        Outcome::Bytes(bytes) => {
            let ball = number(bytes);
            last.set(ball);
            if ball == rounds * 2 {
                done(())
            } else {
                wait(file.write((ball + 1).to_ne_bytes()))
            }
        }
        Outcome::Written(_) => wait(read(&file, with_deadline)),
        other => panic!("{other:?}"),
    }
}

/// Two threads, and calls that wait.
fn std(size: Size) -> u64 {
    let (rounds, with_deadline) = plan(size);
    let (one, other) = pair();
    if with_deadline {
        one.set_read_timeout(Some(SECOND)).expect("a socket");
        other.set_read_timeout(Some(SECOND)).expect("a socket");
    }
    serve(&one);
    std::thread::scope(|scope| {
        scope.spawn(|| (0..rounds).for_each(|_| assert!(hit(&other, rounds).is_some())));
        while hit(&one, rounds).is_some() {}
    });
    check(rounds * 2, rounds)
}

fn tokio(size: Size) -> u64 {
    let (rounds, with_deadline) = plan(size);
    async fn play(socket: UnixStream, serves: bool, rounds: u64, with_deadline: bool) -> u64 {
        nonblocking(&socket);
        let mut socket = tokio::net::UnixStream::from_std(socket).expect("a socket");
        let mut bytes = [0; ROOM];
        let mut ball = 0;
        if serves {
            socket
                .write_all(&1u64.to_ne_bytes())
                .await
                .expect("it fits");
        }
        while ball + 1 < rounds * 2 {
            let read = socket.read(&mut bytes);
            let read = if with_deadline {
                tokio::time::timeout(SECOND, read).await.expect("in time")
            } else {
                read.await
            };
            assert_eq!(read.expect("it comes"), 8);
            ball = number(&bytes);
            if ball < rounds * 2 {
                socket
                    .write_all(&(ball + 1).to_ne_bytes())
                    .await
                    .expect("it fits");
            }
        }
        ball
    }
    let (one, other) = pair();
    on_tokio(async {
        let one = tokio::spawn(play(one, true, rounds, with_deadline));
        let other = tokio::spawn(play(other, false, rounds, with_deadline));
        other.await.expect("no panic");
        check(one.await.expect("no panic"), rounds)
    })
}

fn smol(size: Size) -> u64 {
    let (rounds, with_deadline) = plan(size);
    async fn play(socket: UnixStream, serves: bool, rounds: u64, with_deadline: bool) -> u64 {
        let mut socket = smol::Async::new(socket).expect("a socket");
        let mut bytes = [0; ROOM];
        let mut ball = 0;
        if serves {
            socket
                .write_all(&1u64.to_ne_bytes())
                .await
                .expect("it fits");
        }
        while ball + 1 < rounds * 2 {
            let read = socket.read(&mut bytes);
            let late = async {
                smol::Timer::after(SECOND).await;
                Err(std::io::ErrorKind::TimedOut.into())
            };
            let read = if with_deadline {
                smol::future::or(read, late).await
            } else {
                read.await
            };
            assert_eq!(read.expect("it comes"), 8);
            ball = number(&bytes);
            if ball < rounds * 2 {
                socket
                    .write_all(&(ball + 1).to_ne_bytes())
                    .await
                    .expect("it fits");
            }
        }
        ball
    }
    let (one, other) = pair();
    on_smol(|executor| async move {
        let one = executor.spawn(play(one, true, rounds, with_deadline));
        let other = executor.spawn(play(other, false, rounds, with_deadline));
        other.await;
        check(one.await, rounds)
    })
}

fn mio(size: Size) -> u64 {
    let (rounds, with_deadline) = plan(size);
    let (one, other) = pair();
    nonblocking(&one);
    nonblocking(&other);
    let mut mio = Mio::new();
    let sockets = [one, other];
    for (token, socket) in sockets.iter().enumerate() {
        let fd = std::os::fd::AsRawFd::as_raw_fd(socket);
        mio.add(&mut mio::unix::SourceFd(&fd), token, Interest::READABLE);
    }
    let mut deadlines = [Instant::now() + SECOND; 2];
    let mut is_over = false;
    serve(&sockets[0]);
    while !is_over {
        let time = with_deadline.then(|| deadlines[0].min(deadlines[1]) - Instant::now());
        mio.turn(time, |event| {
            let at = event.token().0;
            is_over |= hit(&sockets[at], rounds).is_none();
            if with_deadline {
                deadlines[at] = Instant::now() + SECOND;
            }
        });
        assert!(
            !with_deadline || deadlines[0].min(deadlines[1]) > Instant::now(),
            "no ball for a second"
        );
    }
    check(rounds * 2, rounds)
}

fn calloop(size: Size) -> u64 {
    let (rounds, with_deadline) = plan(size);
    let (one, other) = pair();
    serve(&one);
    let mut event_loop: EventLoop<([Instant; 2], bool)> = EventLoop::try_new().expect("epoll");
    for (at, socket) in [one, other].into_iter().enumerate() {
        let source = Generic::new(socket, calloop::Interest::READ, calloop::Mode::Level);
        let play = move |_,
                         socket: &mut calloop::generic::NoIoDrop<UnixStream>,
                         state: &mut ([Instant; 2], bool)| {
            state.1 |= hit(socket, rounds).is_none();
            if with_deadline {
                state.0[at] = Instant::now() + SECOND;
            }
            Ok(PostAction::Continue)
        };
        event_loop
            .handle()
            .insert_source(source, play)
            .expect("it can be polled");
    }
    let mut state = ([Instant::now() + SECOND; 2], false);
    while !state.1 {
        let time = with_deadline.then(|| state.0[0].min(state.0[1]) - Instant::now());
        event_loop.dispatch(time, &mut state).expect("epoll_wait");
        assert!(
            !with_deadline || state.0[0].min(state.0[1]) > Instant::now(),
            "no ball for a second"
        );
    }
    check(rounds * 2, rounds)
}
