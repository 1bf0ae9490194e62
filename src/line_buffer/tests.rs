//! What the line buffer costs, and where its bytes lie: scans, moves, capacities, loans.

use super::*;
use crate::pool::{CHUNK, LARGE, SMALL};

/// Appends all of these bytes, in one piece or several. Returns how many of the bytes that were
/// buffered before were moved.
fn append(buffer: &mut LineBuffer, mut bytes: &[u8]) -> usize {
    let mut moved = 0;
    while !bytes.is_empty() {
        moved += make_room(buffer, bytes.len());
        let room = buffer.room(bytes.len());
        let (now, later) = bytes.split_at(room.len());
        room.copy_from_slice(now);
        buffer.filled(now.len());
        bytes = later;
    }
    moved
}

/// Asks for room. Returns how many bytes were moved to make it.
fn make_room(buffer: &mut LineBuffer, most: usize) -> usize {
    let place = |buffer: &LineBuffer| {
        (
            buffer.storage.as_ref().map(|storage| storage.as_ptr()),
            buffer.start,
        )
    };
    let held = buffer.len();
    let before = place(buffer);
    buffer.room(most);
    if place(buffer) == before {
        0
    } else {
        held
    }
}

fn capacity(buffer: &LineBuffer) -> usize {
    buffer.storage.as_ref().map_or(0, |storage| storage.len())
}

fn buffer_with(bytes: &[u8]) -> LineBuffer {
    let mut buffer = LineBuffer::new();
    append(&mut buffer, bytes);
    buffer
}

/// Takes a whole line from the front.
fn take_line(buffer: &mut LineBuffer) -> Vec<u8> {
    let found = buffer.line(usize::MAX).expect("a line");
    assert!(found.whole);
    let line = buffer.bytes()[..found.len].to_vec();
    buffer.consume(found.len);
    line
}

// Scans

#[test]
fn a_line_that_arrives_byte_by_byte_is_scanned_once_and_moved_at_most_twice() {
    const LENGTH: usize = 16 * 1024 * 1024;
    let mut buffer = LineBuffer::new();
    let (mut place, mut moved) = (std::ptr::null(), 0);
    for held in 0..LENGTH - 1 {
        let room = buffer.room(1);
        room[0] = b'a';
        if held == 0 || room.as_ptr().wrapping_sub(held) != place {
            place = room.as_ptr().wrapping_sub(held);
            moved += held;
        }
        buffer.filled(1);
        assert!(buffer.line(usize::MAX).is_none());
        assert_eq!(buffer.searched, held as u64 + 1);
        assert!(
            moved <= 2 * held,
            "{moved} bytes were moved, and {held} held"
        );
    }
    append(&mut buffer, b"\n");
    assert_eq!(
        buffer.line(usize::MAX),
        Some(Found {
            len: LENGTH,
            whole: true
        })
    );
    assert_eq!(buffer.searched, LENGTH as u64);
}

#[test]
fn readlines_of_a_line_that_arrives_byte_by_byte_scans_it_once() {
    const LENGTH: usize = 1024 * 1024;
    let mut buffer = LineBuffer::new();
    for _ in 1..LENGTH {
        append(&mut buffer, b"a");
        assert!(buffer.lines(usize::MAX).is_none());
        assert_eq!(buffer.searched, buffer.len() as u64);
    }
    append(&mut buffer, b"\n");
    assert_eq!(
        buffer.lines(usize::MAX),
        Some(Found {
            len: LENGTH,
            whole: true
        })
    );
    assert_eq!(buffer.searched, LENGTH as u64);
}

#[test]
fn a_parked_reader_whose_buffer_releases_its_spare_after_each_byte_scans_them_once_too() {
    const LENGTH: usize = 3 * SMALL;
    let mut buffer = LineBuffer::new();
    for _ in 0..LENGTH {
        append(&mut buffer, b"a");
        assert!(buffer.line(usize::MAX).is_none());
        buffer.release_spare();
    }
    assert_eq!(buffer.searched, LENGTH as u64);
}

#[test]
fn a_million_short_lines_in_one_buffer_are_scanned_once_and_not_moved() {
    const LINES: usize = 1_000_000;
    let mut buffer = buffer_with(&b"ab\n".repeat(LINES));
    let place = buffer.bytes().as_ptr();
    for line in 0..LINES {
        assert_eq!(
            buffer.line(usize::MAX),
            Some(Found {
                len: 3,
                whole: true
            })
        );
        assert_eq!(buffer.bytes().as_ptr() as usize, place as usize + 3 * line);
        buffer.consume(3);
    }
    assert!(buffer.is_empty());
    assert_eq!(buffer.searched, 3 * LINES as u64);
}

#[test]
fn a_million_short_lines_that_arrive_byte_by_byte_take_linear_work() {
    const LINES: usize = 1_000_000;
    let mut buffer = LineBuffer::new();
    let mut moved = 0;
    for _ in 0..LINES {
        for byte in [b"a", b"b", b"\n"] {
            assert!(buffer.line(usize::MAX).is_none());
            moved += append(&mut buffer, byte);
        }
        assert_eq!(
            buffer.line(usize::MAX),
            Some(Found {
                len: 3,
                whole: true
            })
        );
        buffer.consume(3);
    }
    assert_eq!(buffer.searched, 3 * LINES as u64);
    assert!(moved <= 3 * LINES, "{moved} bytes were moved");
    assert_eq!(capacity(&buffer), LARGE);
}

#[test]
fn a_record_of_16_mib_that_arrives_byte_by_byte_is_searched_once_for_its_nul() {
    const SIZE: usize = 1 << 24;
    let mut buffer = LineBuffer::new();
    for _ in 1..SIZE {
        assert!(buffer.line_until(0, usize::MAX).is_none());
        buffer.room(1)[0] = b'\n';
        buffer.filled(1);
    }
    append(&mut buffer, b"\0");
    let found = buffer.line_until(0, usize::MAX);
    assert_eq!(found.map(|found| found.len), Some(SIZE));
    assert_eq!(buffer.searched, SIZE as u64);
}

#[test]
fn another_delimiter_searches_what_is_held_once_more_and_not_what_comes() {
    let mut inflow = crate::machine::read::Inflow::default();
    append(&mut inflow.buffer, &[b'a'; 1000]);
    for delimiter in [b'\n', b'\n', 0, 0, b'\n'] {
        let buffer = inflow.searched_for(delimiter);
        assert_eq!(buffer.line_until(delimiter, usize::MAX), None);
    }
    append(&mut inflow.buffer, b"b\n");
    assert_eq!(take_line(inflow.searched_for(b'\n')).len(), 1002);
    assert_eq!(inflow.buffer.searched, 3 * 1000 + 2);
}

/// A run of lines searches the bytes after its line. These bytes stay searched when the memory of
/// the line is given back.
#[test]
fn what_a_run_of_lines_has_searched_is_not_searched_again() {
    use std::io::Write;
    let (mut theirs, ours) = std::os::unix::net::UnixStream::pair().unwrap();
    theirs.write_all(b"one\ntwo\nhalf a line").unwrap();
    let file = crate::AsyncFile::new(ours).unwrap();
    let mut sched = crate::Scheduler::new();
    drop(sched.spawn(file.readline(), |task| {
        task.line()?;
        crate::again::<()>()
    }));
    sched.turn(Some(std::time::Duration::ZERO)).unwrap();
    sched.turn(Some(std::time::Duration::ZERO)).unwrap();
    let state = file.descriptor().state();
    assert_eq!(state.inflow.buffer.bytes(), b"half a line");
    assert_eq!(state.inflow.buffer.searched, 4, "the first line alone");
}

#[test]
fn all_whole_lines_are_found_by_scanning_what_follows_them() {
    let mut buffer = buffer_with(&b"ab\n".repeat(1000));
    append(&mut buffer, b"half");
    assert_eq!(
        buffer.lines(usize::MAX),
        Some(Found {
            len: 3000,
            whole: true
        })
    );
    assert_eq!(
        buffer.searched, 5,
        "the half line, and the newline before it"
    );
    buffer.consume(3000);
    assert_eq!(buffer.lines(usize::MAX), None);
    append(&mut buffer, b" a line\n");
    assert_eq!(
        buffer.lines(usize::MAX),
        Some(Found {
            len: 12,
            whole: true
        })
    );
    assert_eq!(
        buffer.searched,
        5 + 4 + 1,
        "the half line a second time, as the front, and its newline"
    );
}

#[test]
fn a_limit_bounds_the_scan() {
    let mut buffer = buffer_with(&[b'a'; 10_000]);
    for limit in [1, 10, 100, 100] {
        assert_eq!(
            buffer.line(limit),
            Some(Found {
                len: limit,
                whole: false
            })
        );
        assert_eq!(
            buffer.lines(limit),
            Some(Found {
                len: limit,
                whole: false
            })
        );
    }
    assert_eq!(buffer.searched, 100);
    for _ in 0..100 {
        buffer.consume(100);
        buffer.line(100);
    }
    assert_eq!(buffer.searched, 10_000);
}

#[test]
fn a_newline_that_was_found_is_not_looked_for_again() {
    let mut buffer = buffer_with(&[b'a'; 999]);
    append(&mut buffer, b"\n");
    assert_eq!(buffer.line(usize::MAX).map(|found| found.len), Some(1000));
    for limit in [1000, 2000, usize::MAX] {
        assert_eq!(
            buffer.line(limit),
            Some(Found {
                len: 1000,
                whole: true
            })
        );
    }
    assert_eq!(
        buffer.line(999),
        Some(Found {
            len: 999,
            whole: false
        })
    );
    assert_eq!(buffer.searched, 1000 + 3, "each time the newline itself");
}

#[test]
fn a_limit_of_0_finds_nothing() {
    let mut buffer = buffer_with(b"\na");
    assert_eq!((buffer.line(0), buffer.lines(0)), (None, None));
    let newline = Some(Found {
        len: 1,
        whole: true,
    });
    assert_eq!((buffer.line(1), buffer.lines(1)), (newline, newline));
}

#[test]
fn what_is_cut_off_the_back_is_gone_and_the_search_goes_on_before_what_comes() {
    let mut buffer = buffer_with(b"ab\ncdef");
    buffer.consume(3);
    assert_eq!(buffer.line(usize::MAX), None);
    buffer.truncate(5);
    assert_eq!((buffer.bytes(), buffer.searched), (&b"cdef"[..], 4));
    buffer.truncate(2);
    assert_eq!(buffer.bytes(), b"cd");
    append(&mut buffer, b"\ng");
    assert_eq!(take_line(&mut buffer), b"cd\n");
    assert_eq!((buffer.bytes(), buffer.searched), (&b"g"[..], 5));
}

// Capacities

#[test]
fn an_empty_buffer_has_no_storage() {
    let mut buffer = LineBuffer::new();
    assert_eq!(
        (capacity(&buffer), buffer.len(), buffer.bytes()),
        (0, 0, &b""[..])
    );
    buffer.release_spare();
    assert_eq!((buffer.line(1), buffer.lines(1)), (None, None));
    assert_eq!(capacity(&buffer), 0);
}

#[test]
fn there_is_room_for_one_byte_again_and_again() {
    let mut buffer = LineBuffer::new();
    for held in 0..2 * LARGE {
        assert_eq!((buffer.len(), buffer.room(1).len()), (held, 1));
        buffer.filled(1);
    }
}

#[test]
fn there_is_never_more_room_than_was_asked_for() {
    for most in [1, 2, SMALL - 1, SMALL, SMALL + 1, CHUNK, LARGE] {
        assert_eq!(LineBuffer::new().room(most).len(), most);
    }
    assert_eq!(
        LineBuffer::new().room(LARGE + 1).len(),
        LARGE,
        "what is not there is not reserved"
    );
    assert_eq!(LineBuffer::new().room(usize::MAX).len(), LARGE);
}

#[test]
fn room_that_is_filled_exactly_is_followed_by_more() {
    let mut buffer = buffer_with(&[b'a'; LARGE]);
    assert_eq!((buffer.len(), capacity(&buffer)), (LARGE, LARGE));
    assert_eq!(make_room(&mut buffer, 1), LARGE, "full: all of it moves");
    assert_eq!(capacity(&buffer), 2 * LARGE);
    assert_eq!(buffer.room(usize::MAX).len(), LARGE);
    assert_eq!(buffer.bytes(), [b'a'; LARGE]);
}

#[test]
fn a_full_pipe_fits_behind_a_short_line_with_a_byte_to_spare() {
    let mut buffer = buffer_with(&[b'a'; SMALL - 1]);
    assert!(buffer.room(usize::MAX).len() > CHUNK);
    assert_eq!(capacity(&buffer), LARGE);
}

#[test]
fn room_for_so_many_bytes_is_exactly_that_and_takes_other_storage_only_if_it_must() {
    let mut buffer = buffer_with(&[b'a'; LARGE]);
    let place = buffer.bytes().as_ptr();
    buffer.consume(LARGE);
    for size in [1, LARGE - 1, LARGE] {
        let room = buffer.room_for(size);
        assert_eq!((room.len(), room.as_ptr()), (size, place));
    }
    for size in [LARGE + 1, 2 * LARGE] {
        assert_eq!(buffer.room_for(size).len(), size);
        assert_eq!(capacity(&buffer), size);
    }
    buffer.filled(3);
    assert_eq!(buffer.len(), 3);
    assert_eq!(LineBuffer::new().room_for(1).len(), 1);
}

#[test]
#[should_panic(expected = "only an empty buffer gives its storage up")]
fn room_for_so_many_bytes_beside_others_is_a_mistake() {
    buffer_with(b"a").room_for(1);
}

#[test]
#[should_panic(expected = "room for nothing")]
fn room_for_nothing_is_a_mistake() {
    LineBuffer::new().room(0);
}

#[test]
#[should_panic(expected = "filled more than there was room for")]
fn more_than_there_was_room_for_is_a_mistake() {
    LineBuffer::new().filled(1);
}

#[test]
#[should_panic(expected = "consumed more than there is")]
fn more_than_there_is_cannot_be_consumed() {
    buffer_with(b"ab").consume(3);
}

// Rolling and growing

#[test]
fn an_emptied_buffer_begins_at_its_beginning() {
    let mut buffer = buffer_with(&[b'a'; LARGE]);
    let place = buffer.bytes().as_ptr();
    buffer.consume(LARGE);
    assert_eq!(append(&mut buffer, b"more"), 0);
    assert_eq!(
        (buffer.bytes(), buffer.bytes().as_ptr()),
        (&b"more"[..], place)
    );
}

#[test]
fn a_short_partial_line_rolls_to_the_beginning_and_the_buffer_does_not_grow() {
    let mut buffer = LineBuffer::new();
    let mut moved = 0;
    let mut lines = 0;
    let piece = [
        &b"the end of a line\nthe beginning of another, and it is this long: "[..],
        &[b'a'; 1000],
    ]
    .concat();
    for _ in 0..10_000 {
        moved += append(&mut buffer, &piece);
        lines += usize::from(!take_line(&mut buffer).is_empty());
    }
    assert_eq!((lines, capacity(&buffer)), (10_000, LARGE));
    assert!(
        moved <= piece.len() * 10_000 / 16,
        "{moved} bytes were moved"
    );
}

#[test]
fn a_partial_line_that_is_longer_than_what_was_consumed_stays_until_the_buffer_doubles() {
    let mut buffer = buffer_with(&[b'a'; LARGE]);
    buffer.consume(LARGE / 2 - 1);
    assert_eq!(make_room(&mut buffer, usize::MAX), LARGE / 2 + 1);
    assert_eq!(capacity(&buffer), 2 * LARGE);
    let mut buffer = buffer_with(&[b'a'; LARGE]);
    buffer.consume(LARGE / 2);
    let place = buffer.bytes().as_ptr() as usize - LARGE / 2;
    assert_eq!(make_room(&mut buffer, usize::MAX), LARGE / 2);
    assert_eq!(
        (capacity(&buffer), buffer.bytes().as_ptr() as usize),
        (LARGE, place)
    );
}

#[test]
fn the_bytes_roll_when_less_than_was_asked_for_and_than_a_quarter_is_left_behind_them() {
    let mut buffer = buffer_with(&[b'a'; LARGE - 100]);
    buffer.consume(LARGE - 200);
    assert_eq!(
        make_room(&mut buffer, 100),
        0,
        "that is all that was asked for"
    );
    assert_eq!(make_room(&mut buffer, 101), 100);
    let mut buffer = buffer_with(&[b'a'; LARGE / 4 * 3]);
    buffer.consume(LARGE / 4 * 3 - 100);
    assert_eq!(make_room(&mut buffer, usize::MAX), 0, "that is a quarter");
    append(&mut buffer, b"a");
    assert_eq!(make_room(&mut buffer, usize::MAX), 101);
    assert_eq!(capacity(&buffer), LARGE);
}

#[test]
fn a_storage_that_has_grown_and_is_full_grows_by_a_chunk_where_it_lies() {
    let mut buffer = buffer_with(&[b'a'; 2 * LARGE]);
    assert_eq!(capacity(&buffer), 2 * LARGE);
    buffer.room(1);
    assert_eq!(capacity(&buffer), 2 * LARGE + CHUNK);
    let mut buffer = buffer_with(&[b'a'; 2 * LARGE]);
    buffer.consume(1);
    buffer.room(1);
    assert_eq!(
        capacity(&buffer),
        2 * (2 * LARGE - 1),
        "there is a hole before"
    );
}

#[test]
fn a_line_that_leaves_no_room_for_a_full_pipe_moves_to_twice_the_usual_size() {
    for (held, expected) in [(SMALL - 1, LARGE), (SMALL, 2 * LARGE)] {
        let mut buffer = buffer_with(&vec![b'a'; held + 1]);
        let _lent = buffer.lend(1);
        buffer.room(usize::MAX);
        assert_eq!(capacity(&buffer), expected, "{held} B held");
    }
}

#[test]
fn what_is_left_of_a_partial_line_in_a_small_storage_moves_to_a_large_one() {
    let mut buffer = buffer_with(&[b'a'; SMALL - 1]);
    buffer.release_spare();
    assert_eq!(capacity(&buffer), SMALL);
    buffer.consume(SMALL - 11);
    assert_eq!(buffer.room(usize::MAX).len(), LARGE - 10);
    assert_eq!(buffer.bytes(), [b'a'; 10]);
}

#[test]
fn what_was_scanned_is_known_wherever_the_bytes_have_moved() {
    let mut buffer = buffer_with(&[b'a'; LARGE]);
    buffer.consume(LARGE - 100);
    assert_eq!(buffer.line(usize::MAX), None);
    append(&mut buffer, b"b"); // rolls
    assert_eq!((buffer.start, buffer.scanned, buffer.end), (0, 100, 101));
    buffer.release_spare(); // moves to a small one
    assert_eq!((buffer.start, buffer.scanned, buffer.end), (0, 100, 101));
    append(&mut buffer, &[b'c'; LARGE]); // moves to a large one, and doubles
    assert_eq!(buffer.line(usize::MAX), None);
    append(&mut buffer, b"\n");
    assert_eq!(take_line(&mut buffer).len(), 100 + 1 + LARGE + 1);
    assert_eq!(buffer.searched, 100 + 1 + LARGE as u64 + 1);
}

// Loans

#[test]
fn lent_bytes_stay_as_they_are_while_the_buffer_is_refilled() {
    let mut buffer = buffer_with(b"lent\nkept");
    let lent = buffer.lend(5);
    assert_eq!(
        append(&mut buffer, b" and more"),
        4,
        "what is not lent is copied"
    );
    assert_eq!(
        (lent.bytes(), buffer.bytes()),
        (&b"lent\n"[..], &b"kept and more"[..])
    );
    drop(lent);
    let place = buffer.bytes().as_ptr();
    assert_eq!(
        append(&mut buffer, b"\n"),
        0,
        "nobody looks at the bytes any more"
    );
    assert_eq!(
        (buffer.bytes().as_ptr(), take_line(&mut buffer)),
        (place, b"kept and more\n".to_vec())
    );
}

#[test]
fn lent_bytes_stay_as_they_are_when_all_was_consumed() {
    let mut buffer = buffer_with(b"lent\n");
    let lent = buffer.lend(5);
    buffer.release_spare();
    append(&mut buffer, b"other\n");
    assert_eq!(
        (lent.bytes(), buffer.bytes()),
        (&b"lent\n"[..], &b"other\n"[..])
    );
}

#[test]
fn lent_bytes_stay_as_they_are_when_the_buffer_is_dropped() {
    let mut buffer = buffer_with(b"lent\n");
    let lent = buffer.lend(5);
    drop(buffer);
    let other = buffer_with(b"other\n");
    assert_eq!(
        (lent.bytes(), other.bytes()),
        (&b"lent\n"[..], &b"other\n"[..])
    );
}

#[test]
fn a_loan_that_nothing_refills_costs_no_copy() {
    let mut buffer = buffer_with(b"one\ntwo\n");
    let place = buffer.bytes().as_ptr() as usize;
    for (line, expected) in [b"one\n", b"two\n"].into_iter().enumerate() {
        let lent = buffer.lend(4);
        assert_eq!(
            (lent.bytes(), lent.bytes().as_ptr() as usize),
            (&expected[..], place + 4 * line)
        );
    }
}

#[test]
fn what_is_put_back_is_found_again() {
    let mut buffer = buffer_with(b"one\ntwo\nthr");
    let (mut one, mut two) = (buffer.lend(4), buffer.lend(4));
    assert_eq!(one.bytes(), b"one\n");
    assert_eq!(two.bytes(), b"two\n");
    assert_eq!(buffer.line(usize::MAX), None);
    let place = one.bytes().as_ptr();
    buffer.put_back(&mut two, 4);
    buffer.put_back(&mut one, 4);
    assert_eq!(buffer.bytes().as_ptr(), place, "no byte was copied");
    assert_eq!(
        buffer.lines(usize::MAX),
        Some(Found {
            len: 8,
            whole: true
        })
    );
    assert_eq!(
        (take_line(&mut buffer), take_line(&mut buffer)),
        (b"one\n".to_vec(), b"two\n".to_vec())
    );
    assert_eq!(buffer.bytes(), b"thr");
}

#[test]
fn what_is_put_back_is_found_again_where_all_was_lent() {
    for (size, expected) in [(8, &b"one\n"[..]), (4, b"two\n"), (1, b"\n")] {
        let mut buffer = buffer_with(b"one\ntwo\n");
        let place = buffer.bytes().as_ptr() as usize;
        let mut lent = buffer.lend(8);
        assert_eq!((capacity(&buffer), lent.is_shared()), (0, false));
        buffer.put_back(&mut lent, size);
        assert_eq!(buffer.bytes().as_ptr() as usize, place + 8 - size);
        assert_eq!(take_line(&mut buffer), expected);
    }
    let mut buffer = buffer_with(b"one\n");
    let mut lent = buffer.lend(4);
    buffer.put_back(&mut lent, 0);
    assert_eq!((capacity(&buffer), buffer.bytes()), (0, &b""[..]));
}

#[test]
fn what_is_put_back_stands_before_what_has_come_in_since() {
    // The buffer moved away from the loan.
    let mut buffer = buffer_with(b"one\ntwo\nthr");
    let mut lent = buffer.lend(8);
    append(&mut buffer, b"ee\n");
    buffer.put_back(&mut lent, 4);
    assert_eq!(buffer.bytes(), b"two\nthree\n");
    assert_eq!(take_line(&mut buffer), b"two\n");
    assert_eq!(take_line(&mut buffer), b"three\n");
    // The storage went with the loan.
    let mut buffer = buffer_with(b"one\n");
    let mut lent = buffer.lend(4);
    append(&mut buffer, b"two\n");
    buffer.put_back(&mut lent, 4);
    assert_eq!(buffer.bytes(), b"one\ntwo\n");
    // More was taken from the same storage.
    let mut buffer = buffer_with(b"one\ntwo\nthree\n");
    let mut lent = buffer.lend(4);
    buffer.consume(4);
    buffer.put_back(&mut lent, 3);
    assert_eq!(buffer.bytes(), b"ne\nthree\n");
    assert_eq!(take_line(&mut buffer), b"ne\n");
}

#[test]
fn a_loan_of_which_nothing_is_put_back_changes_nothing() {
    let mut buffer = buffer_with(b"one\ntwo");
    let mut lent = buffer.lend(4);
    assert_eq!(buffer.line(usize::MAX), None);
    buffer.put_back(&mut lent, 0);
    assert_eq!((buffer.bytes(), buffer.searched), (&b"two"[..], 3));
    append(&mut buffer, b"\n");
    assert_eq!(take_line(&mut buffer), b"two\n");
    assert_eq!(buffer.searched, 4, "what was searched is still known");
    let mut buffer = buffer_with(b"one\ntwo");
    let mut lent = buffer.lend(4);
    append(&mut buffer, b" more");
    assert_eq!(buffer.line(usize::MAX), None);
    buffer.put_back(&mut lent, 0);
    assert_eq!(buffer.line(usize::MAX), None);
    assert_eq!((buffer.bytes(), buffer.searched), (&b"two more"[..], 8));
}

#[test]
fn a_loan_shows_the_bytes_behind_it_and_they_stay_as_they_are() {
    let mut buffer = buffer_with(b"one\ntwo\nthree");
    let lent = buffer.lend(4);
    assert_eq!(
        (lent.bytes(), lent.behind()),
        (&b"one\n"[..], &b"two\nthree"[..])
    );
    assert_eq!((lent.len(), lent.is_shared()), (4, true));
    buffer.consume(4); // a task took the second line out of the slice behind the first
    append(&mut buffer, b"\nfour\n");
    assert_eq!(
        (lent.bytes(), lent.behind()),
        (&b"one\n"[..], &b"two\nthree"[..]),
        "the buffer is elsewhere"
    );
    assert_eq!(
        (take_line(&mut buffer), buffer.bytes()),
        (b"three\n".to_vec(), &b"four\n"[..])
    );
}

#[test]
fn what_a_task_has_searched_behind_its_line_is_not_searched_again() {
    let mut buffer = buffer_with(b"one\nhalf a line");
    let lent = buffer.lend(4);
    buffer.skip_search(lent.behind().len());
    drop(lent);
    assert_eq!((buffer.line(usize::MAX), buffer.searched), (None, 0));
    append(&mut buffer, b"\n");
    assert_eq!(take_line(&mut buffer), b"half a line\n");
    assert_eq!(buffer.searched, 1, "the newline");
}

#[test]
fn all_bytes_can_be_taken_whether_they_are_lent_or_not_and_the_buffer_goes_on() {
    for (size, consumed) in [
        (0, 0),
        (1, 0),
        (100, 99),
        (LARGE, 0),
        (LARGE, 1),
        (LARGE, LARGE),
        (3 * LARGE, 0),
        (3 * LARGE, 1),
    ] {
        let bytes: Vec<u8> = (0..size).map(|at| b'a' + (at % 23) as u8).collect();
        for is_lent in [false, true] {
            let mut buffer = buffer_with(&bytes);
            buffer.line(usize::MAX);
            let lent = buffer.lend(consumed);
            let lent = Some(lent).filter(|_| is_lent);
            assert_eq!(buffer.take(), bytes[consumed..]);
            assert!(buffer.is_empty());
            append(&mut buffer, b"a\nline\n");
            assert_eq!(
                (take_line(&mut buffer), take_line(&mut buffer)),
                (b"a\n".to_vec(), b"line\n".to_vec())
            );
            assert!(
                lent.is_none_or(|lent| *lent.bytes() == bytes[..consumed]),
                "lent bytes have changed"
            );
        }
    }
}

#[test]
fn shown_bytes_stay_in_the_buffer_and_stay_as_they_are() {
    let mut buffer = buffer_with(b"one\ntwo");
    buffer.consume(1);
    let shown = buffer.show(2);
    assert_eq!((shown.bytes(), shown.behind()), (&b"ne"[..], &b""[..]));
    assert_eq!((shown.len(), shown.is_shared()), (2, false));
    append(&mut buffer, b"\n");
    assert_eq!(take_line(&mut buffer), b"ne\n");
    assert_eq!((shown.bytes(), buffer.bytes()), (&b"ne"[..], &b"two\n"[..]));
}

#[test]
fn bytes_that_fill_more_than_half_of_their_storage_are_taken_without_a_copy() {
    for (size, consumed, is_copied) in [
        (LARGE / 2, 0, true),
        (LARGE / 2 + 1, 0, false),
        (LARGE, 0, false),
        (LARGE, 1, true),
        (1, 0, true),
    ] {
        let mut buffer = buffer_with(&vec![b'a'; size]);
        let place = buffer.bytes().as_ptr();
        buffer.consume(consumed);
        let taken = buffer.take();
        assert_eq!(taken.len(), size - consumed);
        assert_eq!(taken.as_ptr() != place, is_copied, "{size} B");
        let free = crate::pool::take_large();
        assert_eq!(free.as_ptr() == place, is_copied, "{size} B: free again");
    }
}

// Spare memory

#[test]
fn an_emptied_buffer_gives_its_storage_back() {
    let mut buffer = buffer_with(b"a\n");
    buffer.consume(2);
    buffer.release_spare();
    assert_eq!(
        (capacity(&buffer), buffer.start, buffer.scanned, buffer.end),
        (0, 0, 0, 0)
    );
}

#[test]
fn a_short_partial_line_moves_to_a_small_storage_and_back() {
    let mut buffer = buffer_with(&[b'a'; SMALL]);
    buffer.consume(1);
    buffer.release_spare();
    assert!((SMALL - 1..=SMALL).contains(&capacity(&buffer)));
    assert_eq!(buffer.bytes(), [b'a'; SMALL - 1]);
    let place = buffer.bytes().as_ptr();
    buffer.release_spare();
    assert_eq!(
        (buffer.bytes(), buffer.bytes().as_ptr()),
        (&[b'a'; SMALL - 1][..], place),
        "to release twice is to release once"
    );
    assert_eq!(make_room(&mut buffer, 1), SMALL - 1);
    assert_eq!(
        (capacity(&buffer), buffer.bytes()),
        (LARGE, &[b'a'; SMALL - 1][..])
    );
}

#[test]
fn a_longer_partial_line_keeps_its_place() {
    let mut buffer = buffer_with(&[b'a'; SMALL]);
    let place = buffer.bytes().as_ptr();
    buffer.release_spare();
    assert_eq!((capacity(&buffer), buffer.bytes().as_ptr()), (LARGE, place));
}

#[test]
fn a_buffer_that_has_grown_goes_back_to_the_usual_size() {
    let mut buffer = buffer_with(&[b'a'; 10 * LARGE]);
    assert!(capacity(&buffer) >= 10 * LARGE);
    buffer.consume(10 * LARGE - 3);
    buffer.release_spare();
    assert!(capacity(&buffer) <= SMALL);
    append(&mut buffer, b"b");
    assert_eq!((capacity(&buffer), buffer.bytes()), (LARGE, &b"aaab"[..]));
}

#[test]
fn a_buffer_and_a_loan_that_are_dropped_give_their_storage_back() {
    let left = || crate::pool::take_large()[0]; // a new one would begin with 0
    drop(buffer_with(b"a"));
    assert_eq!(left(), b'a');
    drop(buffer_with(b"b").lend(1));
    assert_eq!(left(), b'b');
    let mut buffer = buffer_with(b"c");
    let mut lent = buffer.lend(1);
    buffer.put_back(&mut lent, 0);
    assert_eq!(left(), b'c');
}

#[test]
fn debug_shows_how_much_is_held_and_searched() {
    let mut buffer = buffer_with(b"a\nbcd");
    buffer.consume(2);
    assert_eq!(
        format!("{buffer:?}"),
        "LineBuffer { 3 B held, 0 B searched for a newline }"
    );
    buffer.line(usize::MAX);
    append(&mut buffer, b"e");
    assert_eq!(
        format!("{buffer:?}"),
        "LineBuffer { 4 B held, 3 B searched for a newline }"
    );
}
