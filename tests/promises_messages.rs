//! Message sockets: one read is one message, and one write.
#![allow(clippy::incompatible_msrv)] // Tests are compiled by today's compiler.

mod support;

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use asyncfile::{again, done, first, yield_now, AsyncFile, End, Op, Scheduler};

use support::*;

fn pair_of(kind: libc::c_int) -> (OwnedFd, OwnedFd) {
    let mut ends = [0; 2];
    // SAFETY: the pointer is to two ints.
    assert_eq!(
        unsafe {
            libc::socketpair(
                libc::AF_UNIX,
                kind | libc::SOCK_CLOEXEC,
                0,
                ends.as_mut_ptr(),
            )
        },
        0
    );
    // SAFETY: nobody else owns the new descriptors.
    unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) }
}

fn udp() -> (OwnedFd, OwnedFd) {
    let (one, other) = (
        UdpSocket::bind("127.0.0.1:0").unwrap(),
        UdpSocket::bind("127.0.0.1:0").unwrap(),
    );
    one.connect(other.local_addr().unwrap()).unwrap();
    other.connect(one.local_addr().unwrap()).unwrap();
    (one.into(), other.into())
}

/// A peer, and a file on each kind of message socket, made in each way.
fn each(mut run: impl FnMut(OwnedFd, AsyncFile, &mut Scheduler<'_>)) {
    let _alive = watchdog();
    for duplicates in [false, true] {
        for (theirs, ours) in [
            pair_of(libc::SOCK_DGRAM),
            pair_of(libc::SOCK_SEQPACKET),
            udp(),
        ] {
            let file = match duplicates {
                true => AsyncFile::duplicate(&ours).unwrap(),
                false => AsyncFile::new(dup(&ours)).unwrap(),
            };
            drop(ours);
            run(theirs, file, &mut Scheduler::new());
        }
    }
}

fn send(fd: &impl AsFd, bytes: &[u8]) {
    // SAFETY: the pointer and the length are those of a live slice.
    let sent = unsafe {
        libc::send(
            fd.as_fd().as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            libc::MSG_NOSIGNAL,
        )
    };
    assert_eq!(
        sent,
        bytes.len() as isize,
        "{}",
        std::io::Error::last_os_error()
    );
}

#[test]
fn one_read_is_one_message_and_an_empty_one_is_no_end() {
    each(|theirs, file, sched| {
        for message in [&b"one"[..], b"", b"two\nthree", b""] {
            send(&theirs, message);
        }
        for message in [&b"one"[..], b"", b"two\nthree", b""] {
            assert_eq!(
                bytes(sched, file.read(100)).unwrap(),
                (message.to_vec(), End::Complete)
            );
            assert_eq!(file.buffered(), 0);
        }
        let cut = file.read(100).timeout(Duration::ZERO);
        assert_eq!(kind(sched.block_on(cut)), ErrorKind::TimedOut);
        let waiting = sched.spawn(file.read(100), |task| done(task.bytes()?.to_vec()));
        settle(sched);
        assert!(!waiting.is_finished());
        send(&theirs, b"late");
        assert_eq!(sched.join(waiting).unwrap(), b"late");
    });
}

#[test]
fn a_message_that_is_longer_than_asked_is_cut_and_its_rest_is_gone() {
    each(|theirs, file, sched| {
        send(&theirs, b"abcdef");
        send(&theirs, b"gh");
        assert_eq!(
            bytes(sched, file.read(4)).unwrap(),
            (b"abcd".to_vec(), End::Limit)
        );
        assert_eq!(
            bytes(sched, file.read(2)).unwrap(),
            (b"gh".to_vec(), End::Complete),
            "as long as asked is whole"
        );
        assert_eq!(bytes(sched, file.read(0)).unwrap(), (vec![], End::Complete));
    });
}

#[test]
fn a_long_message_comes_whole_and_memory_grows_with_what_comes() {
    let _alive = watchdog();
    for kind in [libc::SOCK_DGRAM, libc::SOCK_SEQPACKET] {
        for size in [68 * 1024, 68 * 1024 + 1, 150_000] {
            let (theirs, ours) = pair_of(kind);
            let file = AsyncFile::new(ours).unwrap();
            let mut sched = Scheduler::new();
            let message: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            send(&theirs, &message);
            send(&theirs, b"x");
            assert_eq!(
                bytes(&mut sched, file.peek(usize::MAX)).unwrap(),
                (message.clone(), End::Complete)
            );
            assert_eq!(
                bytes(&mut sched, file.read(usize::MAX)).unwrap(),
                (message, End::Complete)
            );
            assert_eq!(sched.block_on(file.read(9)).unwrap(), b"x");
        }
    }
}

#[test]
fn a_peek_shows_a_messages_beginning_and_leaves_it_whole() {
    each(|theirs, file, sched| {
        send(&theirs, b"abcdef");
        send(&theirs, b"");
        for _ in 0..2 {
            assert_eq!(
                bytes(sched, file.peek(3)).unwrap(),
                (b"abc".to_vec(), End::Limit)
            );
            assert_eq!(file.buffered(), 0);
        }
        assert_eq!(
            bytes(sched, file.peek(9)).unwrap(),
            (b"abcdef".to_vec(), End::Complete)
        );
        assert_eq!(bytes(sched, file.peek(0)).unwrap(), (vec![], End::Complete));
        assert_eq!(sched.block_on(file.read(9)).unwrap(), b"abcdef");
        assert_eq!(bytes(sched, file.peek(9)).unwrap(), (vec![], End::Complete));
        assert_eq!(bytes(sched, file.read(9)).unwrap(), (vec![], End::Complete));
        send(&theirs, b"again");
        let mut peeks = 0;
        let task = sched.spawn(file.peek(9), move |task| {
            assert_eq!(task.bytes()?, b"again");
            peeks += 1;
            if peeks < 3 {
                again()
            } else {
                done(())
            }
        });
        sched.join(task).unwrap();
    });
}

#[test]
fn one_write_is_one_message_also_an_empty_one() {
    each(|theirs, file, sched| {
        assert_eq!(written(sched, file.write("one")).unwrap().0, 3);
        assert_eq!(written(sched, file.write("")).unwrap().0, 0);
        assert_eq!(written(sched, file.write_all("two")).unwrap().0, 3);
        assert_eq!(written(sched, file.write("").full()).unwrap().0, 0);
        assert_eq!(written(sched, file.write_all("")).unwrap().0, 0);
        for message in [&b"one"[..], b"", b"two", b"", b""] {
            assert_eq!(get(&theirs, 100), message);
        }
    });
}

#[test]
fn a_message_is_never_split() {
    let _alive = watchdog();
    for kind_of_socket in [libc::SOCK_DGRAM, libc::SOCK_SEQPACKET] {
        let (theirs, ours) = pair_of(kind_of_socket);
        let file = AsyncFile::new(ours).unwrap();
        let mut sched = Scheduler::new();
        let error = sched
            .block_on(file.write_all(vec![0; 4_000_000]))
            .unwrap_err();
        let cause = asyncfile::OperationError::of(&error).unwrap();
        assert_eq!(cause.raw_os_error(), Some(libc::EMSGSIZE));
        // A full queue: messages wait, whole, also the empty ones, in their order.
        let mut sent = 0;
        let full = loop {
            match sched.block_on(file.write_all(vec![1; 1000]).timeout(Duration::ZERO)) {
                Ok(_) => sent += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), ErrorKind::TimedOut);
        let long = sched.spawn(file.write_all(vec![2; 1000]), |task| done(task.ok()?));
        let empty = sched.spawn(file.write(""), |task| done(task.ok()?));
        settle(&mut sched);
        assert!(!long.is_finished() && !empty.is_finished());
        for _ in 0..sent {
            assert_eq!(get(&theirs, 2000), [1; 1000]);
        }
        sched.join(long).unwrap();
        sched.join(empty).unwrap();
        assert_eq!(get(&theirs, 2000), [2; 1000]);
        assert_eq!(get(&theirs, 2000), []);
    }
}

#[test]
fn a_seqpacket_that_is_closed_has_an_end_behind_its_messages() {
    let _alive = watchdog();
    for half in [false, true] {
        let (theirs, ours) = pair_of(libc::SOCK_SEQPACKET);
        let file = AsyncFile::new(ours).unwrap();
        let mut sched = Scheduler::new();
        for message in [&b"a"[..], b"", b"b"] {
            send(&theirs, message);
        }
        // SAFETY: no pointers.
        assert_eq!(
            unsafe { libc::shutdown(theirs.as_raw_fd(), libc::SHUT_WR) },
            0
        );
        let theirs = Some(theirs).filter(|_| half);
        for message in [&b"a"[..], b"", b"b"] {
            assert_eq!(
                bytes(&mut sched, file.read(9)).unwrap(),
                (message.to_vec(), End::Complete)
            );
        }
        for _ in 0..3 {
            assert_eq!(bytes(&mut sched, file.peek(9)).unwrap(), (vec![], End::Eof));
            assert_eq!(bytes(&mut sched, file.read(9)).unwrap(), (vec![], End::Eof));
        }
        drop(theirs);
    }
}

#[test]
fn what_puts_messages_together_is_invalid_input_at_once() {
    each(|theirs, file, sched| {
        macro_rules! assert_refused {
            ($name:literal, $op:expr) => {{
                let error = sched.block_on($op).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
                let text = error.to_string();
                assert!(text.starts_with(concat!($name, " on fd ")), "{text}");
                assert!(text.contains("message"), "{text}");
            }};
        }
        for _ in 0..2 {
            assert_refused!("readline", file.readline());
            assert_refused!("read_until", file.read_until(0));
            assert_refused!("readlines", file.readlines());
            assert_refused!("read full", file.read(9).full());
            assert_refused!("peek full", file.peek(9).full());
            assert_refused!("read_exact", file.read_exact(9));
            assert_refused!("read_to_end", file.read_to_end());
            send(&theirs, b"a message");
        }
        assert_eq!(sched.block_on(file.read(99)).unwrap(), b"a message");
    });
}

#[test]
fn a_message_socket_feeds_no_child() {
    each(|theirs, file, sched| {
        send(&theirs, b"a message");
        let pipe = asyncfile::AsyncPipe::piped(std::process::Command::new("cat")).unwrap();
        let error = sched.block_on(pipe.communicate(file.clone())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains("message socket"), "{error}");
        assert_eq!(sched.block_on(file.read(99)).unwrap(), b"a message");
    });
}

/// The message that a `first` has handed to ordinary code, which takes none, is the next one.
#[test]
fn a_message_that_is_put_back_is_the_next_message() {
    each(|theirs, file, sched| {
        for message in [&b"one"[..], b"", b"two"] {
            send(&theirs, message);
        }
        for message in [&b"one"[..], b"", b"two"] {
            let ops = || first([file.read(9)]);
            for _ in 0..3 {
                assert_eq!(sched.block_on(ops()).unwrap(), 0);
            }
            assert_eq!(sched.block_on(first([file.read(0)])).unwrap(), 0);
            assert_eq!(sched.block_on(first([file.peek(9)])).unwrap(), 0);
            assert_eq!(sched.block_on(file.peek(9)).unwrap(), message);
            assert_eq!(sched.block_on(file.read(9)).unwrap(), message);
        }
        send(&theirs, b"abcdef");
        send(&theirs, b"g");
        assert_eq!(sched.block_on(first([file.read(9)])).unwrap(), 0);
        assert_eq!(
            bytes(sched, file.read(2)).unwrap(),
            (b"ab".to_vec(), End::Limit)
        );
        assert_eq!(sched.block_on(file.read(9)).unwrap(), b"g");
    });
}

#[test]
fn a_loser_takes_no_message() {
    each(|theirs, file, sched| {
        let which = sched.block_on(first([Op::from(file.read(9)), yield_now().into()]));
        assert_eq!(which.unwrap(), 1);
        send(&theirs, b"one");
        assert_eq!(sched.block_on(file.read(9)).unwrap(), b"one");
    });
}

#[test]
fn messages_of_many_senders_to_one_bound_socket() {
    let _alive = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let file = AsyncFile::new(UnixDatagram::bind(&path).unwrap()).unwrap();
    let mut sched = Scheduler::new();
    for name in ["a", "b"] {
        let sender = UnixDatagram::unbound().unwrap();
        sender.send_to(name.as_bytes(), &path).unwrap();
        drop(sender); // a datagram socket has no end
        assert_eq!(sched.block_on(file.read(9)).unwrap(), name.as_bytes());
    }
}
