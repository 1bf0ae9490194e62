//! Sockets that keep messages apart: gotcha 30.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;

use asyncfile::{done, AsyncFile, End, Scheduler};

use crate::descriptors::{guard, pattern, Test, ZERO};

// ------------------------------------------------------------------ 30. Messages are not a stream

#[test]
fn an_empty_datagram_is_no_end_and_a_long_one_is_whole() -> Test {
    let _guard = guard();
    let (theirs, ours) = UnixDatagram::pair()?;
    let file = AsyncFile::new(ours)?;
    let mut sched = Scheduler::new();
    let long = pattern(100_000);
    for message in [b"one\n", &b""[..], &long, b"two"] {
        theirs.send(message)?;
        let read = sched.spawn(file.read(1 << 20), |task| {
            done((task.bytes()?.to_vec(), task.end()))
        });
        assert_eq!(sched.join(read)?, (message.to_vec(), End::Complete));
    }
    let error = sched.block_on(file.read(9).timeout(ZERO)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    Ok(())
}

#[test]
fn lines_of_messages_are_refused_and_the_messages_are_there() -> Test {
    let _guard = guard();
    let (theirs, ours) = UnixDatagram::pair()?;
    let file = AsyncFile::new(ours)?;
    let mut sched = Scheduler::new();
    theirs.send(b"a line\n")?;
    let error = sched.block_on(file.readline()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(sched.block_on(file.read(99))?, b"a line\n");
    Ok(())
}
