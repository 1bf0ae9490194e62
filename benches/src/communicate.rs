//! Work 3: a child is fed, its output collected, its exit waited for.
//!
//! The child is `cat`, which gives back what it gets. Once with 256 MiB, and often with 100 bytes:
//! there starting and reaping are what costs.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use calloop::generic::{Generic, NoIoDrop};
use calloop::{EventLoop, PostAction};
use mio::Interest;
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::io::AsyncWriteExt as _;

use crate::measure;
use crate::peers::{self, nonblocking, on_smol, on_tokio, poll, pollfd, Mio, CHUNK};
use crate::work::{variant, Shows, Size, Work};

pub fn works() -> Vec<Work> {
    let variants = || {
        vec![
            variant("limit", |size| exchange(size, limit)),
            variant("asyncfile", |size| exchange(size, asyncfile)),
            variant("std + thread", |size| exchange(size, std)),
            variant("subprocess", |size| exchange(size, subprocess)),
            variant("tokio", |size| exchange(size, tokio)),
            variant("smol", |size| exchange(size, smol)),
            variant("mio", |size| exchange(size, mio)),
            variant("calloop", |size| exchange(size, calloop)),
        ]
    };
    // 100 bytes fit into the pipe: the writer needs no reader, and no thread.
    let in_steps = [
        variant("asyncfile in steps", |size| {
            exchange(size, asyncfile_in_steps)
        }),
        variant("std in steps", |size| exchange(size, std_in_steps)),
    ];
    vec![
        Work {
            name: "communicate".into(),
            unit: "KiB",
            about: "256 MiB through `cat`, all in memory".into(),
            full: 256 << 10,
            quick: 32 << 10,
            param: 0,
            shows: Shows::Children,
            variants: variants(),
            left_out: Vec::new(),
        },
        Work {
            name: "children".into(),
            unit: "child",
            about: "`cat` started, fed 100 bytes, its output read, reaped; one after the other"
                .into(),
            full: 2_000,
            quick: 200,
            param: 100,
            shows: Shows::Children,
            variants: variants().into_iter().chain(in_steps).collect(),
            left_out: Vec::new(),
        },
    ]
}

/// Feeds `input` to a child, so many times, and gives the last one's output.
type Exchange = fn(input: Vec<u8>, times: usize) -> Vec<u8>;

fn exchange(size: Size, exchange: Exchange) -> u64 {
    let (bytes, times) = match size.param {
        0 => (size.count as usize * 1024, 1),
        bytes => (bytes as usize, size.count as usize),
    };
    let input: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
    measure::start();
    let output = exchange(input, times);
    measure::stop();
    assert!(
        output
            .iter()
            .enumerate()
            .all(|(at, byte)| *byte == (at % 251) as u8),
        "not what was fed"
    );
    (output.len() * 1000 + times) as u64
}

/// The last input is moved, not copied.
fn each(input: Vec<u8>, times: usize) -> impl Iterator<Item = Vec<u8>> {
    std::iter::repeat_n(input, times)
}

fn cat() -> Command {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// What the loops by hand have in common.
#[derive(Default)]
struct Passage {
    input: Vec<u8>,
    fed: usize,
    output: Vec<u8>,
}

impl Passage {
    fn new(input: Vec<u8>) -> Passage {
        Passage {
            input,
            ..Passage::default()
        }
    }

    /// Writes what fits, once. None: all is written. Some: how much was.
    fn feed(&mut self, stdin: &impl AsFd) -> Option<usize> {
        match peers::write(stdin, &self.input[self.fed..]) {
            Ok(written) => self.fed += written,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Some(0),
            Err(error) => panic!("{error}"),
        }
        (self.fed < self.input.len()).then_some(self.fed)
    }

    /// Reads what there is, once. None: end of file, or nothing yet.
    fn collect(&mut self, stdout: &impl AsFd) -> Option<usize> {
        match peers::read_more(stdout, &mut self.output, CHUNK) {
            Ok(read) => Some(read),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }
}

fn reap(mut child: Child) {
    assert!(child.wait().expect("it is ours").success());
}

/// poll(2) on two descriptors.
fn limit(input: Vec<u8>, times: usize) -> Vec<u8> {
    let mut output = Vec::new();
    for input in each(input, times) {
        let mut child = cat().spawn().expect("cat");
        let (mut stdin, stdout) = (child.stdin.take(), child.stdout.take().expect("piped"));
        stdin.iter().for_each(nonblocking);
        let mut passage = Passage::new(input);
        loop {
            if stdin
                .as_ref()
                .is_some_and(|stdin| passage.feed(stdin).is_none())
            {
                stdin = None;
            }
            let mut set = [pollfd(&stdout, libc::POLLIN), pollfd(&stdout, 0)];
            if let Some(stdin) = &stdin {
                set[1] = pollfd(stdin, libc::POLLOUT);
            }
            let used = if stdin.is_some() { 2 } else { 1 };
            poll(&mut set[..used], -1);
            if set[0].revents != 0 && passage.collect(&stdout) == Some(0) {
                break;
            }
        }
        reap(child);
        output = passage.output;
    }
    output
}

fn asyncfile(input: Vec<u8>, times: usize) -> Vec<u8> {
    let mut sched = asyncfile::Scheduler::new();
    let mut output = Vec::new();
    for input in each(input, times) {
        let pipe = asyncfile::AsyncPipe::piped(Command::new("cat")).expect("cat");
        let ended = sched.block_on(pipe.communicate(input)).expect("cat");
        assert!(ended.status.success());
        output = ended.stdout;
    }
    output
}

/// Write, close, read to the end, reap: an operation for each step.
fn asyncfile_in_steps(input: Vec<u8>, times: usize) -> Vec<u8> {
    let mut sched = asyncfile::Scheduler::new();
    let mut output = Vec::new();
    for input in each(input, times) {
        let pipe = asyncfile::AsyncPipe::piped(Command::new("cat")).expect("cat");
        sched.block_on(pipe.write(input).full()).expect("a pipe");
        pipe.close_stdin();
        output = sched.block_on(pipe.read_to_end()).expect("a pipe");
        assert!(sched.block_on(pipe.exit()).expect("it is ours").success());
    }
    output
}

fn std_in_steps(input: Vec<u8>, times: usize) -> Vec<u8> {
    let mut output = Vec::new();
    for input in each(input, times) {
        let mut child = cat().spawn().expect("cat");
        child
            .stdin
            .take()
            .expect("piped")
            .write_all(&input)
            .expect("a pipe");
        output = Vec::new();
        child
            .stdout
            .take()
            .expect("piped")
            .read_to_end(&mut output)
            .expect("a pipe");
        reap(child);
    }
    output
}

fn std(input: Vec<u8>, times: usize) -> Vec<u8> {
    let mut output = Vec::new();
    for input in each(input, times) {
        let mut child = cat().spawn().expect("cat");
        let mut stdin = child.stdin.take().expect("piped");
        let feeder = std::thread::spawn(move || stdin.write_all(&input));
        let ended = child.wait_with_output().expect("a pipe");
        feeder.join().expect("no panic").expect("a pipe");
        assert!(ended.status.success());
        output = ended.stdout;
    }
    output
}

fn subprocess(input: Vec<u8>, times: usize) -> Vec<u8> {
    let mut output = Vec::new();
    for input in each(input, times) {
        let exec = subprocess::Exec::cmd("cat")
            .stdin(input)
            .stdout(subprocess::Redirection::Pipe);
        let capture = exec.capture().expect("cat");
        assert!(capture.success());
        output = capture.stdout;
    }
    output
}

fn tokio(input: Vec<u8>, times: usize) -> Vec<u8> {
    on_tokio(async {
        let mut output = Vec::new();
        for input in each(input, times) {
            let mut child = tokio::process::Command::from(cat()).spawn().expect("cat");
            let mut stdin = child.stdin.take().expect("piped");
            let feed = async move { stdin.write_all(&input).await };
            let (fed, ended) = tokio::join!(feed, child.wait_with_output());
            fed.expect("a pipe");
            output = ended.expect("a pipe").stdout;
        }
        output
    })
}

/// Not `Child::output`: futures-lite's `read_to_end` clears all the room that it has anew with each
/// poll.
fn smol(input: Vec<u8>, times: usize) -> Vec<u8> {
    on_smol(|_| async {
        let mut output = Vec::new();
        let mut chunk = vec![0; CHUNK];
        for input in each(input, times) {
            let mut command = smol::process::Command::new("cat");
            let mut child = command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("cat");
            let (mut stdin, mut stdout) = (
                child.stdin.take().expect("piped"),
                child.stdout.take().expect("piped"),
            );
            let feed = async move { stdin.write_all(&input).await };
            let collect = async {
                let mut output = Vec::new();
                loop {
                    match stdout.read(&mut chunk).await? {
                        0 => return Ok::<_, std::io::Error>(output),
                        read => output.extend_from_slice(&chunk[..read]),
                    }
                }
            };
            let (fed, collected) = smol::future::zip(feed, collect).await;
            fed.expect("a pipe");
            output = collected.expect("a pipe");
            assert!(child.status().await.expect("it is ours").success());
        }
        output
    })
}

/// Edge-triggered: writes until the pipe is full, reads until a short read, or until the end if the
/// event says that it has come.
fn mio(input: Vec<u8>, times: usize) -> Vec<u8> {
    let mut output = Vec::new();
    let mut mio = Mio::new();
    for input in each(input, times) {
        let mut child = cat().spawn().expect("cat");
        let mut stdin = Some(mio::unix::pipe::Sender::from(
            child.stdin.take().expect("piped"),
        ));
        let mut stdout = mio::unix::pipe::Receiver::from(child.stdout.take().expect("piped"));
        stdin
            .as_ref()
            .expect("taken above")
            .set_nonblocking(true)
            .expect("a pipe");
        stdout.set_nonblocking(true).expect("a pipe");
        mio.add(stdin.as_mut().expect("taken above"), 0, Interest::WRITABLE);
        mio.add(&mut stdout, 1, Interest::READABLE);
        let mut passage = Passage::new(input);
        let mut at_end = false;
        while !at_end {
            mio.turn(None, |event| match event.token().0 {
                0 => {
                    while let Some(pipe) = &stdin {
                        match passage.feed(pipe) {
                            Some(0) => break,
                            Some(_) => {}
                            None => stdin = None,
                        }
                    }
                }
                _ => loop {
                    let room = passage.output.len() + CHUNK;
                    at_end = passage.collect(&stdout) == Some(0);
                    if at_end || passage.output.len() < room && !event.is_read_closed() {
                        break;
                    }
                },
            });
        }
        reap(child);
        output = passage.output;
    }
    output
}

/// Level-triggered: one write, one read a turn.
fn calloop(input: Vec<u8>, times: usize) -> Vec<u8> {
    let mut event_loop: EventLoop<(Passage, bool)> = EventLoop::try_new().expect("epoll");
    let mut output = Vec::new();
    for input in each(input, times) {
        let mut child = cat().spawn().expect("cat");
        let (stdin, stdout) = (
            child.stdin.take().expect("piped"),
            child.stdout.take().expect("piped"),
        );
        nonblocking(&stdin);
        let stdin = Generic::new(stdin, calloop::Interest::WRITE, calloop::Mode::Level);
        let stdout = Generic::new(stdout, calloop::Interest::READ, calloop::Mode::Level);
        let feed =
            |_, stdin: &mut NoIoDrop<ChildStdin>, (passage, _): &mut (Passage, bool)| match passage
                .feed(&**stdin)
            {
                Some(_) => Ok(PostAction::Continue),
                None => Ok(PostAction::Remove),
            };
        let collect =
            |_, stdout: &mut NoIoDrop<ChildStdout>, (passage, at_end): &mut (Passage, bool)| {
                *at_end = passage.collect(&**stdout) == Some(0);
                Ok(if *at_end {
                    PostAction::Remove
                } else {
                    PostAction::Continue
                })
            };
        event_loop
            .handle()
            .insert_source(stdin, feed)
            .expect("it can be polled");
        event_loop
            .handle()
            .insert_source(stdout, collect)
            .expect("it can be polled");
        let mut passage = (Passage::new(input), false);
        while !passage.1 {
            event_loop.dispatch(None, &mut passage).expect("epoll_wait");
        }
        reap(child);
        output = passage.0.output;
    }
    output
}
