//! Where bytes are easily lost, or looked at too often: gotchas 11, 12 and 13.

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Write};
use std::thread;

use asyncfile::{done, first, sleep, wait, End, JoinHandle, Scheduler, TaskError};

use crate::descriptors::{guard, idle, ms, pattern, pipe, pipe_to, Test, ZERO};

// ------------------------------------------------------------- 11. Timeout and cancel lose nothing

#[test]
fn a_line_cut_by_its_timeout_is_whole_the_next_time() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    let mut sched = Scheduler::new();
    for (piece, kept) in [("one ", 4), ("whole ", 10), ("li", 12)] {
        writer.write_all(piece.as_bytes())?;
        assert_eq!(
            sched
                .block_on(file.readline().timeout(ms(2)))
                .unwrap_err()
                .kind(),
            ErrorKind::TimedOut
        );
        assert_eq!(file.buffered(), kept);
    }
    writer.write_all(b"ne\n")?;
    assert_eq!(
        sched.block_on(file.readline())?.as_deref(),
        Some(&b"one whole line\n"[..])
    );
    assert_eq!(file.buffered(), 0);
    Ok(())
}

#[test]
fn a_full_read_cut_by_its_timeout_hands_over_what_there_is() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    let mut sched = Scheduler::new();
    writer.write_all(b"1234")?;
    let cut = sched.spawn(file.read(10).full().timeout(ms(2)), |task| {
        done((task.end(), task.bytes()?.to_vec()))
    });
    assert_eq!(sched.join(cut)?, (End::TimedOut, b"1234".to_vec()));
    writer.write_all(b"567890")?;
    assert_eq!(
        sched.block_on(file.read(10))?,
        b"567890",
        "and hands it over once"
    );
    Ok(())
}

#[test]
fn a_read_to_the_end_cut_by_its_timeout_goes_on() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    let mut sched = Scheduler::new();
    writer.write_all(b"begin, ")?;
    // From ordinary code, a read that its timeout cut is an error, and the bytes are kept.
    assert_eq!(
        sched
            .block_on(file.read_to_end().timeout(ms(2)))
            .unwrap_err()
            .kind(),
        ErrorKind::TimedOut
    );
    assert_eq!(file.buffered(), 7);
    writer.write_all(b"end")?;
    drop(writer);
    assert_eq!(sched.block_on(file.read_to_end())?, b"begin, end");
    Ok(())
}

#[test]
fn what_a_cancelled_read_had_collected_is_there_for_the_next() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    let mut sched = Scheduler::new();
    let collector = sched.spawn(file.read(10).full(), |task| done(task.bytes()?.len()));
    writer.write_all(b"1234")?;
    while file.buffered() < 4 {
        sched.turn(None)?;
    }
    collector.cancel();
    assert_eq!(sched.turn(Some(ZERO))?, 0);
    assert_eq!(sched.block_on(file.read(10))?, b"1234");
    Ok(())
}

#[test]
fn what_arrived_for_a_task_that_another_cancels_in_the_same_turn_stays_in_the_file() -> Test {
    let _guard = guard();
    let (files, mut writers): (Vec<_>, Vec<_>) = [pipe()?, pipe()?].into_iter().unzip();
    let handles: RefCell<Vec<JoinHandle<()>>> = RefCell::default();
    let resumed = RefCell::new(Vec::new());
    let mut sched = Scheduler::new();
    for me in [0, 1] {
        let (handles, resumed) = (&handles, &resumed);
        let handle = sched.spawn(files[me].readline(), move |task| {
            assert_eq!(task.line()?, Some(&b"a line\n"[..]));
            resumed.borrow_mut().push(me);
            handles.borrow()[1 - me].cancel();
            done(())
        });
        handles.borrow_mut().push(handle);
    }
    assert_eq!(sched.turn(Some(ZERO))?, 2);
    for writer in &mut writers {
        writer.write_all(b"a line\n")?;
    }
    sched.run()?;
    let &[winner] = &resumed.borrow()[..] else {
        panic!("{resumed:?} were resumed")
    };
    let loser = handles.borrow_mut().remove(1 - winner);
    assert!(matches!(sched.join(loser), Err(TaskError::Cancelled)));
    assert_eq!(
        sched
            .block_on(files[1 - winner].readline().timeout(ZERO))?
            .as_deref(),
        Some(&b"a line\n"[..])
    );
    Ok(())
}

#[test]
fn a_task_that_fails_takes_only_the_line_it_was_resumed_with() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    writer.write_all(b"bad\ngood\n")?;
    let mut sched = Scheduler::new();
    let failing = sched.spawn(file.readline(), |task| match task.line()? {
        Some(b"bad\n") => Err(ErrorKind::InvalidData.into()),
        _ => done(()),
    });
    assert!(
        matches!(sched.join(failing), Err(TaskError::Failed(error)) if error.kind() == ErrorKind::InvalidData)
    );
    let panicking = sched.spawn(file.readline(), |task| -> asyncfile::Flow {
        panic!("{:?}", task.line().unwrap())
    });
    writer.write_all(b"better\n")?;
    assert!(matches!(sched.join(panicking), Err(TaskError::Panicked(_))));
    assert_eq!(
        sched.block_on(file.readline())?.as_deref(),
        Some(&b"better\n"[..])
    );
    Ok(())
}

#[test]
fn what_the_losers_of_a_first_had_read_stays_in_their_files() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    let mut sched = Scheduler::new();
    for piece in [&b"half"[..], b" a", b" line"] {
        writer.write_all(piece)?;
        assert_eq!(
            sched.block_on(first([
                asyncfile::Op::from(file.readline()),
                sleep(ms(2)).into()
            ]))?,
            1
        );
    }
    assert_eq!(file.buffered(), 11);
    writer.write_all(b"\n")?;
    assert_eq!(
        sched.block_on(file.readline())?.as_deref(),
        Some(&b"half a line\n"[..])
    );
    Ok(())
}

#[test]
fn a_write_cut_by_its_timeout_says_what_was_written() -> Test {
    let _guard = guard();
    let (reader, file) = pipe_to()?;
    let data = pattern(1 << 20);
    let mut sched = Scheduler::new();
    let cut = sched.spawn(file.write(&data).full().timeout(ms(2)), |task| {
        done((task.end(), task.written()?))
    });
    let (end, written) = sched.join(cut)?;
    assert_eq!(end, End::TimedOut);
    assert!((1..data.len()).contains(&written));
    let nothing = sched.spawn(file.write("no room").timeout(ms(2)), |task| {
        done(task.written().unwrap_err().kind())
    });
    assert_eq!(
        sched.join(nothing)?,
        ErrorKind::TimedOut,
        "a count of 0 is an error"
    );
    drop(file);
    let other_side = asyncfile::AsyncFile::new(reader)?;
    assert!(sched.block_on(other_side.read_to_end())? == data[..written]);
    Ok(())
}

// ---------------------------------------------------------------- 12. A bounded line, nothing lost

#[test]
fn a_line_over_its_limit_comes_in_pieces() -> Test {
    let _guard = guard();
    let text = b"abcdefgh\nij\nabc\nabcd\n\nrest";
    for (limit, expected) in [
        (
            1,
            "a b c d e f g h \n i j \n a b c \n a b c d \n \n r e s t",
        ),
        (4, "abcd efgh \n ij\n abc\n abcd \n \n rest"),
        (9, "abcdefgh\n ij\n abc\n abcd\n \n rest"),
        (100, "abcdefgh\n ij\n abc\n abcd\n \n rest"),
    ] {
        for at_once in [true, false] {
            let (file, mut writer) = pipe()?;
            let pieces = RefCell::new(Vec::new());
            let mut sched = Scheduler::new();
            sched.spawn(file.readline().limit(limit), |task| {
                let end = task.end();
                match task.line()? {
                    Some(piece) => {
                        let ended = piece.ends_with(b"\n");
                        assert!(piece.len() <= limit);
                        assert_eq!(
                            end == End::Complete,
                            ended,
                            "{piece:?} of limit {limit} ended with {end:?}"
                        );
                        assert!(end != End::Limit || piece.len() == limit);
                        pieces
                            .borrow_mut()
                            .push(String::from_utf8_lossy(piece).into_owned());
                    }
                    None => return done(()),
                }
                wait(file.readline().limit(limit))
            });
            if at_once {
                writer.write_all(text)?;
            } else {
                for byte in text {
                    writer.write_all(&[*byte])?;
                    sched.turn(None)?;
                    idle(&mut sched, &mut Vec::new())?;
                }
            }
            drop(writer);
            sched.run()?;
            assert_eq!(
                pieces.borrow().join(" "),
                expected,
                "limit {limit}, at once: {at_once}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_line_of_limit_bytes_without_its_newline_is_handed_over_at_once() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    writer.write_all(b"abcd")?;
    assert_eq!(
        Scheduler::new()
            .block_on(file.readline().limit(4))?
            .as_deref(),
        Some(&b"abcd"[..])
    );
    Ok(())
}

#[test]
fn a_line_without_end_does_not_fill_the_memory() -> Test {
    let _guard = guard();
    const LENGTH: usize = 16 << 20;
    let (file, mut writer) = pipe()?;
    let other_side = thread::spawn(move || writer.write_all(&vec![b'x'; LENGTH]));
    let length = Cell::new(0);
    let mut sched = Scheduler::new();
    sched.spawn(file.readline().limit(1000), |task| match task.line()? {
        Some(piece) => {
            length.set(length.get() + piece.len());
            assert!(
                file.buffered() <= 256 << 10,
                "{} bytes read ahead",
                file.buffered()
            );
            wait(file.readline().limit(1000))
        }
        None => done(()),
    });
    sched.run()?;
    other_side.join().unwrap()?;
    assert_eq!(length.get(), LENGTH);
    Ok(())
}

// ----------------------------------- 13. No rescans (counted in the unit tests of the line buffer)

#[test]
fn a_long_line_in_small_pieces_is_whole() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    let mut line = vec![b'x'; 16 << 20];
    line.push(b'\n');
    let sent = line.clone();
    let other_side = thread::spawn(move || {
        sent.chunks(1021)
            .try_for_each(|piece| writer.write_all(piece))
    });
    assert!(Scheduler::new().block_on(file.readline())? == Some(line));
    other_side.join().unwrap()?;
    Ok(())
}

#[test]
fn many_short_lines_in_one_buffer_are_each_handed_over_once() -> Test {
    let _guard = guard();
    const LINES: usize = 100_000;
    let (file, mut writer) = pipe()?;
    let mut lines = 0;
    let mut sched = Scheduler::new();
    // All of them are collected in the file's buffer by a read that is then cancelled.
    let collector = sched.spawn(file.read(usize::MAX).full(), |task| {
        done(task.bytes()?.len())
    });
    let other_side = thread::spawn(move || {
        (0..LINES)
            .try_for_each(|i| writer.write_all(&[b'a' + (i % 26) as u8, b'-', b'\n']))
            .map(|()| writer)
    });
    while file.buffered() < 3 * LINES {
        sched.turn(None)?;
    }
    let writer = other_side.join().unwrap()?;
    collector.cancel();
    sched.turn(Some(ZERO))?;
    let reader = sched.spawn(file.readline().timeout(ZERO), |task| {
        assert_eq!(
            task.line()?,
            Some(&[b'a' + (lines % 26) as u8, b'-', b'\n'][..])
        );
        lines += 1;
        if lines == LINES {
            return done(());
        }
        wait(file.readline().timeout(ZERO))
    });
    sched.join(reader)?;
    assert_eq!(file.buffered(), 0);
    Ok(drop(writer))
}
