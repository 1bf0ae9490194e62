//! The programs of the documentation's first page, with files for the child processes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use asyncfile::{
    done, sleep, then, wait, yield_now, AsyncFile, Flow, Next, Outcome, Scheduler, Task,
};

use crate::descriptors::{guard, pattern, pipe, pipe_to, sockets, Test};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

// ------------------------------------------------------ (a) count lines, a second allowed for each

fn count_lines(pipe: AsyncFile) -> io::Result<u64> {
    let mut sched = Scheduler::new();
    let mut count = 0;
    let counter = sched.spawn(pipe.readline().timeout(SECOND), move |task| {
        match task.line()? {
            Some(_line) => {
                count += 1;
                wait(pipe.readline().timeout(SECOND))
            }
            None => done(count),
        }
    });
    let n: u64 = sched.join(counter)?;
    Ok(n)
}

#[test]
fn lines_are_counted_with_a_second_for_each() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    writer.write_all(b"one\ntwo\nand the rest")?;
    drop(writer);
    assert_eq!(count_lines(file)?, 3);

    let (file, mut writer) = pipe()?;
    writer.write_all(b"one\n")?;
    let error = count_lines(file).unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::TimedOut,
        "the writer lives and writes nothing"
    );
    Ok(())
}

// ------------------------------------------------------------- (b) feed chunks in full, then close

fn feed<'t>(
    sched: &mut Scheduler<'t>,
    stdin: AsyncFile,
    mut chunks: impl Iterator<Item = Vec<u8>> + 't,
) {
    sched.spawn(yield_now(), move |task| {
        task.ok()?;
        match chunks.next() {
            Some(chunk) => wait(stdin.write(chunk).full().timeout(SECOND)),
            None => {
                stdin.close();
                done(())
            }
        }
    });
}

#[test]
fn chunks_are_fed_in_full_and_the_end_is_seen() -> Test {
    let _guard = guard();
    let (mut reader, stdin) = pipe_to()?;
    let data = pattern(1 << 20);
    let mut sched = Scheduler::new();
    feed(&mut sched, stdin, data.chunks(100_000).map(<[u8]>::to_vec));
    let other_side = std::thread::spawn(move || {
        let mut got = Vec::new();
        reader.read_to_end(&mut got).map(|_| got)
    });
    sched.run()?;
    assert!(other_side.join().unwrap()? == data);
    Ok(())
}

#[test]
fn a_feeder_whose_write_times_out_ends_with_that_error() -> Test {
    let _guard = guard();
    let (_reader, stdin) = pipe_to()?;
    let mut sched = Scheduler::new();
    feed(&mut sched, stdin, std::iter::once(pattern(1 << 20)));
    let error = io::Error::from(sched.run().unwrap_err());
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    sched.run()?;
    Ok(())
}

// ----------------------------------------------------- (c) a protocol: one function for each state

const MAX: u32 = 1 << 20;

struct Echo {
    sock: AsyncFile,
}

impl Echo {
    fn idle(&mut self, task: &mut Task) -> io::Result<Next<Self>> {
        task.ok()?;
        then(self.sock.read(4).full(), Self::header)
    }

    fn header(&mut self, task: &mut Task) -> io::Result<Next<Self>> {
        match <[u8; 4]>::try_from(task.bytes()?).map(u32::from_be_bytes) {
            Ok(len) if len <= MAX => then(
                self.sock.read(len as usize).full().timeout(SECOND),
                Self::body,
            ),
            Ok(_) => Err(io::ErrorKind::InvalidData.into()),
            Err(_) => Next::done(),
        }
    }

    fn body(&mut self, task: &mut Task) -> io::Result<Next<Self>> {
        then(self.sock.write(task.bytes()?).full(), Self::idle)
    }
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes(), body].concat()
}

#[test]
fn a_protocol_in_state_functions_answers_every_frame() -> Test {
    let _guard = guard();
    let (sock, mut peer) = sockets()?;
    let bodies = [
        b"hello".to_vec(),
        Vec::new(),
        pattern(300_000),
        b"bye".to_vec(),
    ];
    let expected = bodies.concat();
    let other_side = std::thread::spawn(move || -> io::Result<Vec<u8>> {
        // A frame is sent when the last one has come back: the sizes are more than a socket holds.
        let mut got = Vec::new();
        for body in &bodies {
            let mut writer = peer.try_clone()?;
            let frame = framed(body);
            let sending = std::thread::spawn(move || writer.write_all(&frame));
            let mut echo = vec![0; body.len()];
            peer.read_exact(&mut echo)?;
            sending.join().unwrap()?;
            got.extend(echo);
        }
        peer.shutdown(Shutdown::Write)?;
        peer.read_to_end(&mut got)?;
        Ok(got)
    });
    let mut sched = Scheduler::new();
    let server = sched.spawn_states(yield_now(), Echo { sock }, Echo::idle);
    let echo = sched.join(server)?;
    echo.sock.close();
    assert!(other_side.join().unwrap()? == expected);
    Ok(())
}

#[test]
fn a_frame_over_the_limit_ends_the_protocol_with_its_error() -> Test {
    let _guard = guard();
    let (sock, mut peer) = sockets()?;
    peer.write_all(&(MAX + 1).to_be_bytes())?;
    let mut sched = Scheduler::new();
    let server = sched.spawn_states(yield_now(), Echo { sock }, Echo::idle);
    let error = sched.join(server).map(drop).unwrap_err();
    assert_eq!(io::Error::from(error).kind(), ErrorKind::InvalidData);
    Ok(())
}

// ----------------------------------------------------------- (d) one operation, from ordinary code

#[test]
fn one_operation_is_waited_for_from_ordinary_code() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    let mut sched = Scheduler::new();
    writer.write_all(b"a line\nbytesand lines\nof which\nthe rest")?;
    let line: Option<Vec<u8>> = sched.block_on(file.readline().timeout(MINUTE))?;
    let bytes: Vec<u8> = sched.block_on(file.read(5).timeout(MINUTE))?;
    let lines: Vec<Vec<u8>> = sched.block_on(file.readlines().timeout(MINUTE))?;
    sched.block_on(file.readable())?;
    drop(writer);
    let rest: Vec<u8> = sched.block_on(file.read_to_end().timeout(MINUTE))?;
    assert_eq!(line.as_deref(), Some(&b"a line\n"[..]));
    assert_eq!(bytes, b"bytes");
    assert_eq!(lines, [&b"and lines\n"[..], b"of which\n"]);
    assert_eq!(rest, b"the rest");

    let (mut reader, file) = pipe_to()?;
    sched.block_on(file.writable())?;
    let written: usize = sched.block_on(file.write("out").full().timeout(MINUTE))?;
    assert_eq!(written, 3);
    let mut got = [0; 3];
    reader.read_exact(&mut got)?;
    assert_eq!(&got, b"out");
    let () = sched.block_on(sleep(Duration::from_millis(1)))?;
    let () = sched.block_on(yield_now())?;
    Ok(())
}

#[test]
fn other_tasks_go_on_while_ordinary_code_waits() -> Test {
    let _guard = guard();
    let (ours, peer) = sockets()?;
    let theirs = AsyncFile::new(peer)?;
    let mut sched = Scheduler::new();
    sched.spawn(theirs.readline(), |task| -> Flow {
        match task.outcome() {
            Outcome::Line(Some(line)) => wait(theirs.write(line)),
            Outcome::Line(None) => done(()),
            Outcome::Failed(error) => Err(error),
            _written => wait(theirs.readline()),
        }
    });
    for text in ["ping\n", "and again\n"] {
        sched.block_on(ours.write(text))?;
        assert_eq!(
            sched.block_on(ours.readline().timeout(MINUTE))?.as_deref(),
            Some(text.as_bytes())
        );
    }
    ours.close();
    sched.run()?;
    Ok(())
}
