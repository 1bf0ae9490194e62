//! How a descriptor is given back: into_inner with the left-over bytes, and O_NONBLOCK as it was
//! found.

mod support;

use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use asyncfile::{done, first, never, wait, AsyncFile, Op, Scheduler};
use support::*;

// into_inner

#[test]
fn into_inner_gives_the_descriptor_and_the_left_over_bytes() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let number = reader.as_raw_fd();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"line\nleft over");
    line(&mut sched, file.readline()).unwrap();
    put(&writer, b" and in the kernel");
    let Ok((reader, left_over)) = file.into_inner() else {
        panic!("nobody else has it")
    };
    assert_eq!(text(&left_over), "left over");
    assert_eq!(reader.as_raw_fd(), number);
    assert!(!is_nonblocking(&reader));
    assert_eq!(drain(&reader), b" and in the kernel");
}

#[test]
fn after_a_read_nothing_is_left_over() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"head and body");
    bytes(&mut sched, file.read(4).full()).unwrap();
    let Ok((reader, left_over)) = file.into_inner() else {
        panic!("nobody else has it")
    };
    assert!(left_over.is_empty());
    assert_eq!(drain(&reader), b" and body");
}

#[test]
fn into_inner_gives_the_file_back_while_another_handle_has_it() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let beside = dup(&reader);
    let file = AsyncFile::new(reader).unwrap();
    let another_handle = file.clone();
    let mut sched = Scheduler::new();
    put(&writer, b"one\ntwo\nthree");
    line(&mut sched, file.readline()).unwrap();
    let Err(file) = file.into_inner() else {
        panic!("another handle has it")
    };
    assert!(is_nonblocking(&beside));
    assert_eq!(
        line(&mut sched, file.readline()).unwrap().unwrap(),
        b"two\n"
    );
    drop(another_handle);
    let Ok((_, left_over)) = file.into_inner() else {
        panic!("nobody else has it")
    };
    assert_eq!(text(&left_over), "three");
}

#[test]
fn into_inner_gives_the_file_back_while_an_operation_is_pending() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let log = Log::default();
    let mut sched = Scheduler::new();
    let waiting = logged(&mut sched, &log, "never", file.readline());
    put(&writer, b"part");
    settle(&mut sched);
    let Err(file) = file.into_inner() else {
        panic!("an operation waits for it")
    };
    waiting.cancel();
    settle(&mut sched);
    let Ok((_, left_over)) = file.into_inner() else {
        panic!("nothing waits for it")
    };
    assert_eq!(text(&left_over), "part");
    assert!(log.borrow().is_empty());
}

#[test]
fn into_inner_gives_the_file_back_before_an_operation_was_even_waited_for() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let op: Op = file.readline().into();
    let Err(file) = file.into_inner() else {
        panic!("an operation has it")
    };
    let mut sched = Scheduler::new();
    put(&writer, b"line\n");
    assert_eq!(line(&mut sched, op).unwrap().unwrap(), b"line\n");
    assert!(file.into_inner().is_ok());
}

// O_NONBLOCK

#[test]
fn o_nonblock_is_put_back_by_into_inner() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    for end in [reader, writer] {
        let beside = dup(&end);
        let before = status_flags(&beside);
        let file = AsyncFile::new(end).unwrap();
        assert!(is_nonblocking(&beside));
        let Ok((end, _)) = file.into_inner() else {
            panic!("nobody else has it")
        };
        assert_eq!(status_flags(&beside), before);
        assert_eq!(status_flags(&end), before);
    }
}

#[test]
fn o_nonblock_is_put_back_by_the_last_drop() {
    let _watchdog = watchdog();
    let (reader, _writer) = pipe();
    let beside = dup(&reader);
    let before = status_flags(&beside);
    let file = AsyncFile::new(reader).unwrap();
    let another_handle = file.clone();
    let op: Op = file.readline().into();
    drop(file);
    assert!(is_nonblocking(&beside));
    drop(another_handle);
    assert!(is_nonblocking(&beside), "an operation is a handle, too");
    drop(op);
    assert_eq!(status_flags(&beside), before);
}

#[test]
fn o_nonblock_is_put_back_with_the_task_that_has_the_last_handle() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let beside = dup(&reader);
    let mut sched = Scheduler::new();
    let file = AsyncFile::new(reader).unwrap();
    let task = sched.spawn(file.readline(), move |task| match task.line()? {
        Some(_) => wait(file.readline()),
        None => done(()),
    });
    put(&writer, b"line\n");
    settle(&mut sched);
    assert!(is_nonblocking(&beside));
    task.cancel();
    settle(&mut sched);
    assert!(!is_nonblocking(&beside));
}

#[test]
fn o_nonblock_is_put_back_by_close_and_by_the_drop_of_the_scheduler() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let (beside_reader, beside_writer) = (dup(&reader), dup(&writer));
    let closed = AsyncFile::new(writer).unwrap();
    let mut sched = Scheduler::new();
    let file = AsyncFile::new(reader).unwrap();
    sched.spawn(file.readline(), move |_| {
        file.close();
        done(())
    });
    settle(&mut sched);
    assert!(is_nonblocking(&beside_reader) && is_nonblocking(&beside_writer));
    closed.close();
    assert!(!is_nonblocking(&beside_writer));
    drop(sched);
    assert!(!is_nonblocking(&beside_reader));
}

#[test]
fn o_nonblock_stays_where_it_was_set_before() {
    let _watchdog = watchdog();
    let (reader, _writer) = pipe();
    let beside = dup(&reader);
    set_status_flags(&reader, status_flags(&reader) | libc::O_NONBLOCK);
    drop(AsyncFile::new(reader).unwrap());
    assert!(is_nonblocking(&beside));
}

/// They use MSG_DONTWAIT: nothing blocks, and whoever shares the socket does not notice.
#[test]
fn the_flags_of_a_socket_are_never_touched() {
    let _watchdog = watchdog();
    fn use_one(socket: impl AsFd + Into<OwnedFd>, peer: &impl AsFd) {
        let beside = dup(&socket);
        let before = status_flags(&beside);
        let file = AsyncFile::new(socket).unwrap();
        assert_eq!(status_flags(&beside), before);

        let log = Log::default();
        let mut sched = Scheduler::new();
        logged(&mut sched, &log, "read", file.readline());
        settle(&mut sched); // would hang if it blocked
        assert_eq!(status_flags(&beside), before);
        let much = vec![b'x'; 64 << 20];
        let size = much.len();
        let (count, _) = written(&mut sched, file.write(much).full().timeout(SHORT)).unwrap();
        assert!(count < size);
        assert_eq!(status_flags(&beside), before);
        put(peer, b"line\n");
        turn_until(&mut sched, || !log.borrow().is_empty());
        assert_eq!(*log.borrow(), ["read: line\n"]);
        drop(sched);
        drop(file);
        assert_eq!(status_flags(&beside), before);
    }
    for nonblocking in [false, true] {
        let (socket, peer) = std::os::unix::net::UnixStream::pair().unwrap();
        socket.set_nonblocking(nonblocking).unwrap();
        use_one(socket, &peer);
        let (socket, peer) = tcp_pair();
        socket.set_nonblocking(nonblocking).unwrap();
        use_one(socket, &peer);
    }
}

#[test]
fn a_sibling_that_shares_the_description_can_go_on_blocking_afterwards() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let sibling = dup(&reader);
    let mut sched = Scheduler::new();
    let file = AsyncFile::new(reader).unwrap();
    put(&writer, b"for the file\n");
    line(&mut sched, file.readline()).unwrap();
    drop(file);
    let sender = std::thread::spawn(move || {
        std::fs::File::from(writer)
            .write_all(b"for the sibling")
            .unwrap();
    });
    // Were it left nonblocking, this would be EAGAIN unless the thread was faster.
    assert_eq!(get(&sibling, 100), b"for the sibling");
    sender.join().unwrap();
}

// block_on of a `first`: what the winner would have handed over stays in the file

/// `first` within `first`, so deep, with the operation behind members that never end.
fn nested(depth: usize, op: Op) -> asyncfile::op::First {
    match depth {
        0 => first([Op::from(never()), op]),
        _ => first([Op::from(never()), nested(depth - 1, op).into()]),
    }
}

#[test]
fn block_on_of_a_nested_first_leaves_the_winners_bytes_in_the_file() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"one\ntwo\nthree");
    for depth in 0..3 {
        let ops: [Op; 4] = [
            file.readline().into(),
            file.read(5).into(),
            file.readlines().into(),
            file.peek(2).into(),
        ];
        for op in ops {
            assert_eq!(sched.block_on(nested(depth, op)).unwrap(), 1);
        }
    }
    drop(writer);
    let (all, end) = bytes(&mut sched, file.read_to_end()).unwrap();
    assert_eq!((&*all, end), (&b"one\ntwo\nthree"[..], asyncfile::End::Eof));
}

/// A terminal's end of file (^D) is read once: the one that a `first` has met is the next read's.
#[cfg(target_os = "linux")]
#[test]
fn the_end_of_file_that_a_first_has_met_is_the_next_reads() {
    let _watchdog = watchdog();
    let (mut master, mut slave) = (0, 0);
    let null = std::ptr::null_mut();
    // SAFETY: two pointers to live ints; the others may be null. Both are then nobody else's.
    let (master, slave) = unsafe {
        let answer = libc::openpty(&mut master, &mut slave, null, null.cast(), null.cast());
        assert_eq!(answer, 0);
        use std::os::fd::FromRawFd;
        (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave))
    };
    let file = AsyncFile::new(slave).unwrap();
    let mut sched = Scheduler::new();
    let each = |file: &AsyncFile| -> [Op; 5] {
        [
            file.readline().into(),
            file.read(5).into(),
            file.readlines().into(),
            file.read_to_end().into(),
            file.peek(5).into(),
        ]
    };
    for depth in 0..3 {
        for (index, op) in each(&file).into_iter().enumerate() {
            put(&master, b"\x04");
            assert_eq!(sched.block_on(nested(depth, op)).unwrap(), 1);
            // It is there without a look at the terminal, whatever asks for it, and once.
            let end = sched.block_on(file.readline().timeout(SHORT)).ok();
            assert_eq!(end, Some(None), "depth {depth}, operation {index}");
            let more = sched.block_on(file.readline().timeout(std::time::Duration::ZERO));
            assert_eq!(
                kind(more),
                std::io::ErrorKind::TimedOut,
                "depth {depth}, operation {index}"
            );
        }
    }
    // The bytes before it, and then the end.
    put(&master, b"half a line\x04\x04");
    assert_eq!(
        sched.block_on(nested(1, file.readline().into())).unwrap(),
        1
    );
    let rest = sched.block_on(file.readline()).unwrap();
    assert_eq!(text(&rest.unwrap()), "half a line");
}
