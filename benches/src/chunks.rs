//! The output of a child in chunks of up to 64 KiB, as they come: one function a peer.
//!
//! Bulk reads are this and nothing else; lines are this and a splitter.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdout, Command, Stdio};

use asyncfile::{done, wait, AsyncFile, Scheduler};
use calloop::generic::{Generic, NoIoDrop};
use calloop::{EventLoop, PostAction};
use mio::Interest;
use smol::io::AsyncReadExt as _;
use tokio::io::AsyncReadExt as _;

use crate::peers::{self, nonblocking, on_smol, on_tokio, Mio, CHUNK};

/// Where the chunks go.
pub trait Sink {
    /// The most bytes to read at a time.
    const SIZE: usize = CHUNK;

    fn chunk(&mut self, bytes: &[u8]);
}

/// Starts the child with std.
pub fn start(mut command: Command) -> (Child, ChildStdout) {
    let mut child = command.spawn().expect("this program starts again");
    let out = child.stdout.take().expect("piped");
    (child, out)
}

pub fn end(mut child: Child) {
    assert!(child.wait().expect("it is ours").success());
}

/// read(2), again and again.
pub fn limit<S: Sink>(command: Command, sink: &mut S) {
    let (child, out) = start(command);
    let mut buffer = vec![0; S::SIZE];
    loop {
        match peers::read(&out, &mut buffer).expect("a pipe") {
            0 => return end(child),
            read => sink.chunk(&buffer[..read]),
        }
    }
}

/// poll(2) before each read(2): what a loop that has more than one descriptor to wait for cannot do
/// without.
pub fn polling<S: Sink>(command: Command, sink: &mut S) {
    let (child, out) = start(command);
    let mut buffer = vec![0; S::SIZE];
    let mut set = [peers::pollfd(&out, libc::POLLIN)];
    loop {
        peers::poll(&mut set, -1);
        match peers::read(&out, &mut buffer).expect("a pipe") {
            0 => return end(child),
            read => sink.chunk(&buffer[..read]),
        }
    }
}

pub fn asyncfile<S: Sink>(command: Command, sink: &mut S) {
    let (child, out) = start(command);
    let out = AsyncFile::new(out).expect("a pipe");
    let mut sched = Scheduler::new();
    let reader = sched.spawn(out.read(S::SIZE), |task| match task.bytes()? {
        [] => done(()),
        bytes => {
            sink.chunk(bytes);
            wait(out.read(S::SIZE))
        }
    });
    sched.join(reader).expect("it reads to the end");
    end(child);
}

fn std_chunks<S: Sink>(mut file: impl Read, sink: &mut S) {
    let mut buffer = vec![0; S::SIZE];
    loop {
        match file.read(&mut buffer).expect("a pipe") {
            0 => return,
            read => sink.chunk(&buffer[..read]),
        }
    }
}

pub fn std<S: Sink>(command: Command, sink: &mut S) {
    let (child, out) = start(command);
    std_chunks(out, sink);
    end(child);
}

/// The crate's own way to start a child; what it reads from is std's File.
pub fn start_subprocess(command: &Command) -> (subprocess::Job, File) {
    let exec = subprocess::Exec::cmd(command.get_program()).args(command.get_args());
    let mut job = exec
        .stdout(subprocess::Redirection::Pipe)
        .start()
        .expect("this program starts again");
    let out = job.stdout.take().expect("piped");
    (job, out)
}

pub fn subprocess<S: Sink>(command: Command, sink: &mut S) {
    let (job, out) = start_subprocess(&command);
    std_chunks(out, sink);
    assert!(job.join().expect("it is ours").success());
}

pub fn tokio<S: Sink>(command: Command, sink: &mut S) {
    on_tokio(async {
        let mut child = tokio::process::Command::from(command)
            .spawn()
            .expect("this program starts again");
        let mut out = child.stdout.take().expect("piped");
        let mut buffer = vec![0; S::SIZE];
        loop {
            match out.read(&mut buffer).await.expect("a pipe") {
                0 => break,
                read => sink.chunk(&buffer[..read]),
            }
        }
        assert!(child.wait().await.expect("it is ours").success());
    });
}

pub fn start_smol(command: Command) -> smol::process::Child {
    let mut command = smol::process::Command::from(command); // knows nothing of the pipe
    command
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program starts again")
}

pub fn smol<S: Sink>(command: Command, sink: &mut S) {
    on_smol(|_| async {
        let mut child = start_smol(command);
        let mut out = child.stdout.take().expect("piped");
        let mut buffer = vec![0; S::SIZE];
        loop {
            match out.read(&mut buffer).await.expect("a pipe") {
                0 => break,
                read => sink.chunk(&buffer[..read]),
            }
        }
        assert!(child.status().await.expect("it is ours").success());
    });
}

/// Edge-triggered: reads until a short read says that the pipe is empty (epoll(7), question 9), or,
/// if its end was told of, until that.
pub fn mio<S: Sink>(command: Command, sink: &mut S) {
    let (child, out) = start(command);
    let mut out = mio::unix::pipe::Receiver::from(out);
    out.set_nonblocking(true).expect("a pipe");
    let mut mio = Mio::new();
    mio.add(&mut out, 0, Interest::READABLE);
    let mut buffer = vec![0; S::SIZE];
    let mut at_end = false;
    while !at_end {
        mio.turn(None, |event| loop {
            match out.read(&mut buffer) {
                Ok(0) => return at_end = true,
                Ok(read) => {
                    sink.chunk(&buffer[..read]);
                    if read < buffer.len() && !event.is_read_closed() {
                        return;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        });
    }
    end(child);
}

/// Level-triggered: one read a turn.
pub fn calloop<S: Sink>(command: Command, sink: &mut S) {
    let (child, out) = start(command);
    nonblocking(&out);
    let out = Generic::new(
        OwnedFd::from(out),
        calloop::Interest::READ,
        calloop::Mode::Level,
    );
    let mut buffer = vec![0; S::SIZE];
    let mut event_loop: EventLoop<bool> = EventLoop::try_new().expect("epoll");
    let read_once = |_, out: &mut NoIoDrop<OwnedFd>, at_end: &mut bool| {
        let read = peers::read(&**out, &mut buffer)?;
        sink.chunk(&buffer[..read]);
        *at_end = read == 0;
        Ok(if *at_end {
            PostAction::Remove
        } else {
            PostAction::Continue
        })
    };
    event_loop
        .handle()
        .insert_source(out, read_once)
        .expect("it can be polled");
    let mut at_end = false;
    while !at_end {
        event_loop.dispatch(None, &mut at_end).expect("epoll_wait");
    }
    end(child);
}
