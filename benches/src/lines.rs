//! Work 1: the lines of a child's output.
//!
//! Two ways to take them: one at a time (one resume, one future, one call for each line), and all
//! that are there at once (readlines, chunks). asyncfile takes one at a time in two ways: `wait`
//! names a new operation for each line, `again` repeats the one that ended. Others have two more:
//! `read_until` copies each line into a Vec, `fill_buf` with memchr looks at it where it lies.
//! Every variant must see each line, whole, in order: its length and first byte go into the check
//! value.

use std::io::{BufRead, BufReader, Read};
use std::process::Command;

use asyncfile::{again, done, wait, AsyncFile, Scheduler};
use memchr::memchr;
use smol::io::AsyncBufReadExt as _;
use tokio::io::AsyncBufReadExt as _;

use crate::chunks::{self, end, start, start_smol, start_subprocess, Sink};
use crate::emit;
use crate::peers::{on_smol, on_tokio, CHUNK};
use crate::work::{variant, Shows, Size, Work};

pub fn works() -> Vec<Work> {
    let work = |name: &str, length, full| Work {
        name: name.into(),
        unit: "line",
        about: format!(
            "lines of {length} bytes through a pipe from a child, one at a time or all that are \
             there"
        ),
        full,
        quick: full / 20,
        param: length,
        shows: Shows::Time,
        variants: vec![
            variant("limit", |size| by_chunks(size, chunks::limit)),
            variant("limit + poll", |size| by_chunks(size, chunks::polling)),
            variant("asyncfile readline", asyncfile_readline),
            variant("asyncfile again", asyncfile_again),
            variant("asyncfile readlines", asyncfile_readlines),
            variant("std read_until", std_read_until),
            variant("std fill_buf", std_fill_buf),
            variant("std chunks", |size| by_chunks(size, chunks::std)),
            variant("subprocess read_until", subprocess_read_until),
            variant("tokio read_until", tokio_read_until),
            variant("tokio fill_buf", tokio_fill_buf),
            variant("tokio chunks", |size| by_chunks(size, chunks::tokio)),
            variant("smol read_until", smol_read_until),
            variant("smol fill_buf", smol_fill_buf),
            variant("smol chunks", |size| by_chunks(size, chunks::smol)),
            variant("mio chunks", |size| by_chunks(size, chunks::mio)),
            variant("calloop chunks", |size| by_chunks(size, chunks::calloop)),
        ],
        left_out: Vec::new(),
    };
    vec![
        work("lines-20", 20, 20_000_000),
        work("lines-100", 100, 10_000_000),
        work("lines-64K", 64 * 1024, 40_000),
    ]
}

/// What has been seen of the lines.
#[derive(Default)]
struct Seen(u64);

impl Seen {
    #[inline]
    fn line(&mut self, line: &[u8]) {
        self.0 = self.0.rotate_left(5) ^ line.len() as u64 ^ u64::from(line[0]) << 32;
    }
}

/// Lines out of chunks: in place, and only the one that a chunk's end cuts is put together in a
/// buffer of its own.
#[derive(Default)]
struct Split {
    seen: Seen,
    cut: Vec<u8>,
}

impl Split {
    /// Takes one line, or what there is of it: so many bytes.
    #[inline]
    fn line(&mut self, bytes: &[u8]) -> usize {
        let newline = memchr(b'\n', bytes);
        let len = newline.map_or(bytes.len(), |at| at + 1);
        if newline.is_some() && self.cut.is_empty() {
            self.seen.line(&bytes[..len]);
            return len;
        }
        self.cut.extend_from_slice(&bytes[..len]);
        if newline.is_some() {
            self.seen.line(&self.cut);
            self.cut.clear();
        }
        len
    }
}

impl Sink for Split {
    fn chunk(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        if !self.cut.is_empty() {
            let len = memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            self.cut.extend_from_slice(&rest[..len]);
            rest = &rest[len..];
            if !self.cut.ends_with(b"\n") {
                return;
            }
            self.seen.line(&self.cut);
            self.cut.clear();
        }
        while let Some(at) = memchr(b'\n', rest) {
            let (line, others) = rest.split_at(at + 1);
            self.seen.line(line);
            rest = others;
        }
        self.cut.extend_from_slice(rest);
    }
}

fn command(size: Size) -> Command {
    emit::lines(size.count, size.param)
}

fn by_chunks(size: Size, chunks: fn(Command, &mut Split)) -> u64 {
    let mut split = Split::default();
    chunks(command(size), &mut split);
    split.seen.0
}

fn asyncfile_readline(size: Size) -> u64 {
    let (child, out) = start(command(size));
    let out = AsyncFile::new(out).expect("a pipe");
    let mut sched = Scheduler::new();
    let mut seen = Seen::default();
    let reader = sched.spawn(out.readline(), |task| match task.line()? {
        Some(line) => {
            seen.line(line);
            wait(out.readline())
        }
        None => done(()),
    });
    sched.join(reader).expect("it reads to the end");
    drop(sched);
    end(child);
    seen.0
}

/// The same with `again` in place of a new operation for each line.
fn asyncfile_again(size: Size) -> u64 {
    let (child, out) = start(command(size));
    let out = AsyncFile::new(out).expect("a pipe");
    let mut sched = Scheduler::new();
    let mut seen = Seen::default();
    let reader = sched.spawn(out.readline(), |task| match task.line()? {
        Some(line) => {
            seen.line(line);
            again()
        }
        None => done(()),
    });
    sched.join(reader).expect("it reads to the end");
    drop(sched);
    end(child);
    seen.0
}

fn asyncfile_readlines(size: Size) -> u64 {
    let (child, out) = start(command(size));
    let out = AsyncFile::new(out).expect("a pipe");
    let mut sched = Scheduler::new();
    let mut seen = Seen::default();
    let reader = sched.spawn(out.readlines(), |task| {
        let mut are_some = false;
        for line in task.lines()? {
            seen.line(line);
            are_some = true;
        }
        if are_some {
            wait(out.readlines())
        } else {
            done(())
        }
    });
    sched.join(reader).expect("it reads to the end");
    drop(sched);
    end(child);
    seen.0
}

/// `BufRead::read_until` into a Vec that is used again.
fn read_until(out: impl Read) -> u64 {
    let mut out = BufReader::with_capacity(CHUNK, out);
    let mut seen = Seen::default();
    let mut line = Vec::new();
    while out.read_until(b'\n', &mut line).expect("a pipe") > 0 {
        seen.line(&line);
        line.clear();
    }
    seen.0
}

fn std_read_until(size: Size) -> u64 {
    let (child, out) = start(command(size));
    let seen = read_until(out);
    end(child);
    seen
}

fn std_fill_buf(size: Size) -> u64 {
    let (child, out) = start(command(size));
    let mut out = BufReader::with_capacity(CHUNK, out);
    let mut split = Split::default();
    loop {
        match split.line(out.fill_buf().expect("a pipe")) {
            0 => break,
            len => out.consume(len),
        }
    }
    end(child);
    split.seen.0
}

fn subprocess_read_until(size: Size) -> u64 {
    let (job, out) = start_subprocess(&command(size));
    let seen = read_until(out);
    assert!(job.join().expect("it is ours").success());
    seen
}

fn tokio_read_until(size: Size) -> u64 {
    on_tokio(async {
        let mut child = tokio::process::Command::from(command(size))
            .spawn()
            .expect("this program starts again");
        let mut out =
            tokio::io::BufReader::with_capacity(CHUNK, child.stdout.take().expect("piped"));
        let mut seen = Seen::default();
        let mut line = Vec::new();
        while out.read_until(b'\n', &mut line).await.expect("a pipe") > 0 {
            seen.line(&line);
            line.clear();
        }
        assert!(child.wait().await.expect("it is ours").success());
        seen.0
    })
}

fn tokio_fill_buf(size: Size) -> u64 {
    on_tokio(async {
        let mut child = tokio::process::Command::from(command(size))
            .spawn()
            .expect("this program starts again");
        let mut out =
            tokio::io::BufReader::with_capacity(CHUNK, child.stdout.take().expect("piped"));
        let mut split = Split::default();
        loop {
            match split.line(out.fill_buf().await.expect("a pipe")) {
                0 => break,
                len => out.consume(len),
            }
        }
        assert!(child.wait().await.expect("it is ours").success());
        split.seen.0
    })
}

fn smol_read_until(size: Size) -> u64 {
    on_smol(|_| async {
        let mut child = start_smol(command(size));
        let mut out =
            smol::io::BufReader::with_capacity(CHUNK, child.stdout.take().expect("piped"));
        let mut seen = Seen::default();
        let mut line = Vec::new();
        while out.read_until(b'\n', &mut line).await.expect("a pipe") > 0 {
            seen.line(&line);
            line.clear();
        }
        assert!(child.status().await.expect("it is ours").success());
        seen.0
    })
}

fn smol_fill_buf(size: Size) -> u64 {
    on_smol(|_| async {
        let mut child = start_smol(command(size));
        let mut out =
            smol::io::BufReader::with_capacity(CHUNK, child.stdout.take().expect("piped"));
        let mut split = Split::default();
        loop {
            match split.line(out.fill_buf().await.expect("a pipe")) {
                0 => break,
                len => smol::io::AsyncBufReadExt::consume(&mut out, len),
            }
        }
        assert!(child.status().await.expect("it is ours").success());
        split.seen.0
    })
}
