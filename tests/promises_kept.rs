//! Promise 1: nothing is lost. What an operation had read when it was cut short is there for the
//! next one.

mod support;

use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::time::Duration;

use asyncfile::op::Readline;
use asyncfile::{AsyncFile, End, Op, Scheduler};
use support::*;

#[test]
fn a_timed_out_readline_keeps_the_partial_line() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let number = reader.as_raw_fd();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();

    put(&writer, b"par");
    let error = line(&mut sched, file.readline().timeout(SHORT)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(
        error.to_string(),
        format!("readline on fd {number}: timed out after 20ms, 3 bytes kept")
    );
    assert_eq!(file.buffered(), 3);

    put(&writer, b"tial\nnext\n");
    assert_eq!(
        line(&mut sched, file.readline()).unwrap().unwrap(),
        b"partial\n"
    );
    assert_eq!(
        line(&mut sched, file.readline()).unwrap().unwrap(),
        b"next\n"
    );
}

#[test]
fn a_cancelled_operation_keeps_what_it_had_read() {
    let _watchdog = watchdog();
    let ops: [fn(&AsyncFile) -> Op; 4] = [
        |file| file.readline().into(),
        |file| file.readline().limit(100).into(),
        |file| file.read(100).full().into(),
        |file| file.read_to_end().into(),
    ];
    for op in ops {
        let (reader, writer) = pipe();
        let file = AsyncFile::new(reader).unwrap();
        let log = Log::default();
        let mut sched = Scheduler::new();
        let waiting = logged(&mut sched, &log, "never", op(&file));
        put(&writer, b"one ");
        settle(&mut sched);
        put(&writer, b"two ");
        settle(&mut sched);
        assert_eq!(file.buffered(), 8);
        waiting.cancel();
        settle(&mut sched);
        put(&writer, b"three\n");
        assert_eq!(
            line(&mut sched, file.readline()).unwrap().unwrap(),
            b"one two three\n"
        );
        assert!(log.borrow().is_empty());
    }
}

#[test]
fn a_dropped_scheduler_leaves_the_partial_line_in_the_file() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let log = Log::default();
    let mut sched = Scheduler::new();
    logged(&mut sched, &log, "never", file.readline());
    put(&writer, b"begun ");
    settle(&mut sched);
    drop(sched);

    put(&writer, b"and ended\n");
    let mut another = Scheduler::new();
    assert_eq!(
        line(&mut another, file.readline()).unwrap().unwrap(),
        b"begun and ended\n"
    );
    assert!(log.borrow().is_empty());
}

/// A socket whose peer closed without having read all gives the data, then ECONNRESET once, then
/// its end: so Linux does (unix_release_sock, unix_stream_read_generic).
#[cfg(target_os = "linux")]
mod cut_by_an_error {
    use super::*;

    fn reset_after(data: &[u8]) -> AsyncFile {
        let (socket, peer) = socketpair();
        put(&socket, b"never read");
        put(&peer, data);
        drop(peer);
        AsyncFile::new(socket).unwrap()
    }

    #[test]
    fn readline_hands_over_whole_lines_then_the_error_once_then_the_rest() {
        let _watchdog = watchdog();
        let file = reset_after(b"whole\nalso\npart");
        let mut sched = Scheduler::new();
        assert_eq!(
            line(&mut sched, file.readline()).unwrap().unwrap(),
            b"whole\n"
        );
        assert_eq!(
            line(&mut sched, file.readline()).unwrap().unwrap(),
            b"also\n"
        );
        assert_eq!(
            kind(line(&mut sched, file.readline())),
            ErrorKind::ConnectionReset
        );
        assert_eq!(file.buffered(), 4);
        assert_eq!(line(&mut sched, file.readline()).unwrap().unwrap(), b"part");
        assert_eq!(line(&mut sched, file.readline()).unwrap(), None);
    }

    #[test]
    fn read_hands_over_the_bytes_before_the_error() {
        let _watchdog = watchdog();
        let file = reset_after(b"bytes");
        let mut sched = Scheduler::new();
        assert_eq!(bytes(&mut sched, file.read(100)).unwrap().0, b"bytes");
        assert_eq!(
            kind(bytes(&mut sched, file.read(100))),
            ErrorKind::ConnectionReset
        );
        assert_eq!(
            bytes(&mut sched, file.read(100)).unwrap(),
            (vec![], End::Eof)
        );
    }

    #[test]
    fn full_and_read_to_end_end_with_the_error_once_and_keep_what_they_had_read() {
        let _watchdog = watchdog();
        let ops: [fn(&AsyncFile) -> Op; 2] = [
            |file| file.read(100).full().into(),
            |file| file.read_to_end().into(),
        ];
        for op in ops {
            let file = reset_after(b"kept");
            let mut sched = Scheduler::new();
            assert_eq!(
                kind(bytes(&mut sched, op(&file))),
                ErrorKind::ConnectionReset
            );
            assert_eq!(file.buffered(), 4);
            assert_eq!(
                bytes(&mut sched, op(&file)).unwrap(),
                (b"kept".to_vec(), End::Eof)
            );
        }
    }
}

/// Every kind of operation that reads, cut short again and again by its timeout, while the stream
/// arrives in pieces of any size: what came out is what went in.
#[test]
fn operations_cut_by_timeouts_conserve_every_byte() {
    let _watchdog = watchdog();
    for seed in 1..=20 {
        let mut random = Random(seed * 0x9e37_79b9);
        let (reader, writer) = pipe();
        let file = AsyncFile::new(reader).unwrap();
        let mut sched = Scheduler::new();
        let (mut sent, mut received) = (Vec::new(), Vec::new());
        for _ in 0..200 {
            let piece: Vec<u8> = (0..random.below(300))
                .map(|_| b"abc\r\0\xff\n"[random.below(7)])
                .collect();
            put(&writer, &piece);
            sent.extend(piece);
            for _ in 0..random.below(4) {
                let n = 1 + random.below(200);
                let now = Duration::ZERO;
                let (result, most) = match random.below(6) {
                    0 => (bytes(&mut sched, file.read(n).timeout(now)), n),
                    1 => (bytes(&mut sched, file.read(n).full().timeout(now)), n),
                    2 => (
                        bytes(&mut sched, file.read_to_end().limit(n).timeout(now)),
                        n,
                    ),
                    3 => (
                        bytes(&mut sched, file.read_to_end().timeout(now)),
                        usize::MAX,
                    ),
                    4 => (
                        bytes_of_line(&mut sched, file.readline().timeout(now)),
                        usize::MAX,
                    ),
                    _ => (
                        bytes_of_line(&mut sched, file.readline().limit(n).timeout(now)),
                        n,
                    ),
                };
                match result {
                    Ok((bytes, _)) => {
                        assert!(!bytes.is_empty() && bytes.len() <= most);
                        received.extend(bytes);
                    }
                    Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
                }
            }
            assert!(sent.starts_with(&received));
        }
        drop(writer);
        received.extend(bytes(&mut sched, file.read_to_end()).unwrap().0);
        assert_eq!(received, sent);
    }
}

fn bytes_of_line(sched: &mut Scheduler<'_>, op: Readline) -> io::Result<(Vec<u8>, End)> {
    line_and_end(sched, op).map(|(line, end)| (line.expect("the stream is open"), end))
}
