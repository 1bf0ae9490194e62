//! Nothing, none, and never: sizes and limits of 0, empty writes, durations at both ends.

use std::cell::Cell;
use std::io::{ErrorKind, Write};
use std::time::Duration;

use asyncfile::{done, first, sleep, End, Scheduler};

use crate::descriptors::{
    assert_names, guard, ms, numbered_pipe, pattern, pipe, pipe_to, Test, ZERO,
};

#[test]
fn a_limit_of_0_is_invalid_input() -> Test {
    let _guard = guard();
    let (file, fd, mut writer) = numbered_pipe()?;
    writer.write_all(b"a line\n")?;
    let mut sched = Scheduler::new();
    for (name, error) in [
        (
            "readline",
            sched.block_on(file.readline().limit(0)).unwrap_err(),
        ),
        (
            "readlines",
            sched.block_on(file.readlines().limit(0)).unwrap_err(),
        ),
        (
            "read_to_end",
            sched.block_on(file.read_to_end().limit(0)).unwrap_err(),
        ),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_names(&error, name, fd, "limit");
    }
    let task = sched.spawn(file.readline().limit(0), |task| {
        done(task.line().unwrap_err().kind())
    });
    assert_eq!(sched.join(task)?, ErrorKind::InvalidInput);
    assert_eq!(
        sched.block_on(file.readline())?.as_deref(),
        Some(&b"a line\n"[..]),
        "the file is none the worse"
    );
    Ok(())
}

#[test]
fn a_read_of_size_0_ends_at_once_with_nothing() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    let mut sched = Scheduler::new();
    assert_eq!(sched.block_on(file.read(0))?, b"");
    assert_eq!(sched.block_on(file.read(0).full())?, b"");
    let task = sched.spawn(file.read(0), |task| done((task.end(), task.bytes()?.len())));
    assert_eq!(
        sched.join(task)?,
        (End::Complete, 0),
        "that is not the end of file"
    );
    writer.write_all(b"bytes")?;
    assert_eq!(sched.block_on(file.read(0))?, b"");
    assert_eq!(sched.block_on(file.read(9))?, b"bytes");
    Ok(())
}

#[test]
fn an_empty_write_ends_at_once_with_nothing() -> Test {
    let _guard = guard();
    let (reader, file) = pipe_to()?;
    let mut sched = Scheduler::new();
    assert_eq!(sched.block_on(file.write(""))?, 0);
    assert_eq!(sched.block_on(file.write(Vec::new()).full())?, 0);
    // Without room, and without a reader: there is nothing to write.
    sched.block_on(file.write(pattern(1 << 20)))?;
    assert_eq!(sched.block_on(file.write(""))?, 0);
    drop(reader);
    assert_eq!(sched.block_on(file.write("").full())?, 0);
    let task = sched.spawn(file.write(""), |task| {
        done((task.ok()?, task.written()?, task.end()))
    });
    assert_eq!(sched.join(task)?, ((), 0, End::Complete));
    Ok(())
}

#[test]
fn a_duration_of_zero_is_what_can_be_had_without_waiting() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    let mut sched = Scheduler::new();
    sched.block_on(sleep(ZERO))?;
    assert_eq!(
        sched
            .block_on(file.read(9).timeout(ZERO))
            .unwrap_err()
            .kind(),
        ErrorKind::TimedOut
    );
    assert_eq!(
        sched
            .block_on(file.readable().timeout(ZERO))
            .unwrap_err()
            .kind(),
        ErrorKind::TimedOut
    );
    writer.write_all(b"half")?;
    assert_eq!(
        sched
            .block_on(file.readline().timeout(ZERO))
            .unwrap_err()
            .kind(),
        ErrorKind::TimedOut
    );
    sched.block_on(file.readable().timeout(ZERO))?;
    assert_eq!(sched.block_on(file.read(9).timeout(ZERO))?, b"half");

    let (_reader, file) = pipe_to()?;
    let fitting = sched.block_on(file.write(pattern(1 << 20)).timeout(ZERO))?;
    assert!(fitting > 0);
    assert_eq!(
        sched
            .block_on(file.write("x").timeout(ZERO))
            .unwrap_err()
            .kind(),
        ErrorKind::TimedOut
    );
    assert_eq!(
        sched
            .block_on(file.writable().timeout(ZERO))
            .unwrap_err()
            .kind(),
        ErrorKind::TimedOut
    );
    Ok(())
}

#[test]
fn a_duration_without_end_is_never() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    let mut sched = Scheduler::new();
    let never = sched.spawn(sleep(Duration::MAX), |task| done(task.ok()?));
    let reader = sched.spawn(file.readline().timeout(Duration::MAX), |task| {
        done(task.line()?.is_some())
    });
    for _ in 0..3 {
        assert_eq!(sched.turn(Some(ms(1)))?, 2);
    }
    writer.write_all(b"a line\n")?;
    assert!(sched.join(reader)?);
    assert!(!never.is_finished());
    Ok(())
}

#[test]
fn a_write_cannot_be_in_a_first() -> Test {
    let _guard = guard();
    let (_reader, file) = pipe_to()?;
    let ended = Cell::new(false);
    let mut sched = Scheduler::new();
    let error = sched
        .block_on(first([
            asyncfile::Op::from(sleep(ms(1))),
            file.write("half").into(),
        ]))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("first"), "{error}");
    let task = sched.spawn(
        first([asyncfile::Op::from(file.write("half")), sleep(ms(1)).into()]),
        |task| {
            ended.set(true);
            assert_eq!(task.end(), End::Failed);
            done(task.ok().unwrap_err().kind())
        },
    );
    assert_eq!(sched.join(task)?, ErrorKind::InvalidInput);
    assert!(ended.get());
    sched.block_on(first([
        asyncfile::Op::from(file.writable()),
        sleep(Duration::MAX).into(),
    ]))?;
    Ok(())
}
