//! Lines: no allocation for each, linear work. (The bytes that are scanned are counted by the unit
//! tests of the line buffer.)

use std::cell::Cell;
use std::io::Write;
use std::thread;

use asyncfile::{done, wait, Scheduler};
use libc::POLLIN;

use crate::counters::{calls, calls_of, calls_since, memory, Calls, Memory};
use crate::descriptors::{guard, idle, pipe, sockets, Test, ZERO};

const LINES: u64 = 1_000_000;

/// `LINES` lines of unequal lengths.
fn text() -> Vec<u8> {
    let mut text = Vec::new();
    for i in 0..LINES {
        writeln!(text, "{:1$}", i, (i % 50) as usize).expect("memory takes it");
    }
    text
}

/// Writes the text in pieces that end anywhere. The reader takes each piece and waits before the
/// next one comes, so what it allocates does not depend on which of two threads is ahead.
fn feed(sched: &mut Scheduler<'_>, mut writer: impl Write, text: &[u8], taken: &Cell<u64>) -> Test {
    let mut lines = 0;
    for piece in text.chunks(50_000) {
        writer.write_all(piece)?;
        lines += piece.iter().filter(|byte| **byte == b'\n').count() as u64;
        while taken.get() < lines {
            sched.turn(Some(ZERO))?;
        }
        sched.turn(Some(ZERO))?; // it parks
    }
    Ok(())
}

#[test]
fn a_million_lines_are_no_allocation_after_the_first_turns() -> Test {
    let _guard = guard();
    const WARM: u64 = 10_000;
    let (file, writer) = pipe()?;
    let (lines, mut warm) = (Cell::new(0), None);
    let mut sched = Scheduler::new();
    let reader = sched.spawn(file.readline(), |task| {
        if let Some(line) = task.line()? {
            assert!(line.ends_with(b"\n"));
            lines.set(lines.get() + 1);
            if lines.get() == WARM {
                warm = Some(memory());
            }
            return wait(file.readline());
        }
        done(memory().allocations - warm.unwrap().allocations)
    });
    feed(&mut sched, writer, &text(), &lines)?;
    let allocations = sched.join(reader)?;
    assert_eq!((lines.get(), allocations), (LINES, 0));
    Ok(())
}

#[test]
fn a_million_lines_with_a_timeout_each_are_no_allocation_either() -> Test {
    let _guard = guard();
    const WARM: u64 = 10_000;
    let minute = std::time::Duration::from_secs(60);
    let (file, peer) = sockets()?;
    let (lines, mut warm) = (Cell::new(0), None);
    let mut sched = Scheduler::new();
    let reader = sched.spawn(file.readline().timeout(minute), |task| {
        if task.line()?.is_some() {
            lines.set(lines.get() + 1);
            if lines.get() == WARM {
                warm = Some(memory());
            }
            return wait(file.readline().timeout(minute));
        }
        done(memory().allocations - warm.unwrap().allocations)
    });
    feed(&mut sched, peer, &text(), &lines)?;
    let allocations = sched.join(reader)?;
    assert_eq!((lines.get(), allocations), (LINES, 0));
    Ok(())
}

#[test]
fn a_million_lines_by_the_bufferful_are_no_allocation_either() -> Test {
    let _guard = guard();
    const WARM: u64 = 100_000;
    let (file, writer) = pipe()?;
    let (lines, mut warm): (_, Option<Memory>) = (Cell::new(0), None);
    let mut sched = Scheduler::new();
    let reader = sched.spawn(file.readlines(), |task| {
        match task.lines()?.count() as u64 {
            0 => return done(memory().allocations - warm.unwrap().allocations),
            more => lines.set(lines.get() + more),
        }
        if lines.get() >= WARM && warm.is_none() {
            warm = Some(memory());
        }
        wait(file.readlines())
    });
    feed(&mut sched, writer, &text(), &lines)?;
    let allocations = sched.join(reader)?;
    assert_eq!((lines.get(), allocations), (LINES, 0));
    Ok(())
}

#[test]
fn a_million_lines_of_one_buffer_are_no_call_and_no_allocation() -> Test {
    let _guard = guard();
    const WARM: u64 = 10_000;
    let (file, mut writer) = pipe()?;
    let (mut lines, mut warm) = (0, (calls(), memory()));
    let mut sched = Scheduler::new();
    // Three bytes a line, collected in the file's buffer by a read that is then cancelled.
    let collector = sched.spawn(file.read(usize::MAX).full(), |task| {
        done(task.bytes()?.len())
    });
    let other_side = thread::spawn(move || {
        (0..LINES / 1000)
            .try_for_each(|_| writer.write_all(&b"ab\n".repeat(1000)))
            .map(|()| writer)
    });
    while file.buffered() < 3 * LINES as usize {
        sched.turn(None)?;
    }
    let _writer = other_side.join().unwrap()?;
    collector.cancel();
    sched.turn(Some(ZERO))?;
    let reader = sched.spawn(file.readline(), |task| {
        assert_eq!(task.line()?, Some(&b"ab\n"[..]));
        lines += 1;
        match lines {
            WARM => warm = (calls(), memory()),
            LINES => {
                return done((
                    calls_since(warm.0),
                    memory().allocations - warm.1.allocations,
                ))
            }
            _ => {}
        }
        wait(file.readline())
    });
    // Quadratic work would be 10^12 steps: the guard ends it.
    assert_eq!(sched.join(reader)?, (Calls::default(), 0));
    assert_eq!(file.buffered(), 0);
    Ok(())
}

#[test]
fn a_regular_file_of_a_million_lines_is_read_by_the_buffer() -> Test {
    let _guard = guard();
    let mut regular = tempfile::tempfile()?;
    regular.write_all(&b"ab\n".repeat(LINES as usize))?;
    std::io::Seek::rewind(&mut regular)?;
    let file = asyncfile::AsyncFile::new(regular)?;
    let mut lines = 0;
    let mut sched = Scheduler::new();
    let reader = sched.spawn(file.readline(), |task| match task.line()? {
        Some(_) => {
            lines += 1;
            wait(file.readline())
        }
        None => done(lines),
    });
    let (counted, lines) = calls_of(|| sched.join(reader));
    assert_eq!(lines?, LINES);
    // 64 KiB a read at the least, and one or two that find the end.
    let most = (3 * LINES).div_ceil(64 << 10) + 2;
    assert!(
        (2..=most).contains(&counted.reads),
        "{counted:?}, and not more than {most} reads"
    );
    assert!(counted.polls <= most, "{counted:?}");
    Ok(())
}

#[test]
fn a_line_that_comes_a_byte_at_a_time_is_one_read_for_each_and_grows_its_buffer_rarely() -> Test {
    let _guard = guard();
    const LENGTH: u64 = 128 << 10;
    let (file, mut writer) = pipe()?;
    let mut sched = Scheduler::new();
    let reader = sched.spawn(file.readline(), |task| done(task.line()?.map(<[u8]>::len)));
    let mut set = Vec::new();
    idle(&mut sched, &mut set)?;
    let (before, held) = (calls(), memory());
    for i in 1..=LENGTH {
        writer.write_all(if i == LENGTH { b"\n" } else { b"x" })?;
        set.clear();
        sched.pollfds(&mut set);
        // The host knows that there is a byte: no poll, and one byte a turn.
        set[0].revents = POLLIN;
        sched.dispatch(&set)?;
    }
    let counted = calls_since(before);
    assert_eq!((counted.polls, counted.reads), (0, LENGTH));
    let allocations = memory().allocations - held.allocations;
    assert!(
        allocations <= 40,
        "{allocations} allocations for {LENGTH} bytes"
    );
    assert_eq!(sched.join(reader)?, Some(LENGTH as usize));
    Ok(())
}

#[test]
fn a_long_line_is_copied_a_bounded_number_of_times() -> Test {
    let _guard = guard();
    const LENGTH: usize = 16 << 20;
    let (file, mut writer) = pipe()?;
    let other_side = thread::spawn(move || {
        let piece = [b'x'; 4096];
        (0..LENGTH / piece.len()).try_for_each(|_| writer.write_all(&piece))?;
        writer.write_all(b"\n")
    });
    let mut sched = Scheduler::new();
    let before = memory();
    let reader = sched.spawn(file.readline(), |task| done(task.line()?.map(<[u8]>::len)));
    assert_eq!(sched.join(reader)?, Some(LENGTH + 1));
    other_side.join().unwrap()?;
    // A buffer that doubles has been given twice the line when it holds it; three times that allows
    // for its last, half-used size.
    let allocated = memory().allocated - before.allocated;
    assert!(
        allocated <= 6 * LENGTH as u64,
        "{allocated} bytes for a line of {LENGTH}"
    );
    Ok(())
}
