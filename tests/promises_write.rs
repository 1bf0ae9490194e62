//! Promise 4: write. What one write takes, what `full` and a timeout make of it, and that the count
//! is always what the other end gets.

mod support;

use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::rc::Rc;

use asyncfile::{done, wait, AsyncFile, End, Scheduler};
use support::*;

/// More than any pipe or socket buffer takes.
const MUCH: usize = 4 << 20;

fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|n| (n % 251) as u8).collect()
}

#[test]
fn a_write_that_fits_is_taken_whole() {
    let _watchdog = watchdog();
    for (reader, writer) in [pipe(), socketpair()] {
        let file = AsyncFile::new(writer).unwrap();
        let mut sched = Scheduler::new();
        assert_eq!(
            written(&mut sched, file.write("text")).unwrap(),
            (4, End::Complete)
        );
        assert_eq!(
            written(&mut sched, file.write(" more").full()).unwrap(),
            (5, End::Complete)
        );
        assert_eq!(drain(&reader), b"text more");
    }
}

#[test]
fn a_write_ends_after_what_fits() {
    let _watchdog = watchdog();
    for (reader, writer) in [pipe(), socketpair()] {
        let file = AsyncFile::new(writer).unwrap();
        let mut sched = Scheduler::new();
        let data = pattern(MUCH);
        let (count, end) = written(&mut sched, file.write(&data)).unwrap();
        assert!(0 < count && count < MUCH, "{count}");
        assert_eq!(end, End::Complete);
        assert!(drain(&reader) == data[..count]);
    }
}

#[test]
fn a_write_waits_for_room() {
    let _watchdog = watchdog();
    for (reader, writer) in [pipe(), socketpair()] {
        let filled = fill(&writer);
        let file = AsyncFile::new(writer).unwrap();
        let log = Log::default();
        let mut sched = Scheduler::new();
        logged(&mut sched, &log, "write", file.write("after all"));
        settle(&mut sched);
        assert!(log.borrow().is_empty(), "{log:?}");
        assert_eq!(drain(&reader).len(), filled);
        settle(&mut sched);
        assert_eq!(*log.borrow(), ["write: 9"]);
        assert_eq!(drain(&reader), b"after all");
    }
}

#[test]
fn full_ends_when_all_is_written() {
    let _watchdog = watchdog();
    for (reader, writer) in [pipe(), socketpair()] {
        let file = AsyncFile::new(writer).unwrap();
        let data = pattern(MUCH);
        let mut sched = Scheduler::new();
        let write = sched.spawn(file.write(&data).full(), |task| done(task.written()?));
        let mut received = Vec::new();
        while received.len() < MUCH {
            sched.turn(Some(SHORT)).unwrap();
            received.extend(drain(&reader));
            assert!(
                received.len() == MUCH || !write.is_finished(),
                "at {}",
                received.len()
            );
        }
        assert_eq!(sched.join(write).unwrap(), MUCH);
        assert!(received == data);
    }
}

#[test]
fn full_carries_a_large_write_from_one_task_to_another() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let (reader, writer) = (
        AsyncFile::new(reader).unwrap(),
        AsyncFile::new(writer).unwrap(),
    );
    let mut sched = Scheduler::new();
    let write = sched.spawn(writer.write(pattern(MUCH)).full(), move |task| {
        writer.close();
        done(task.written()?)
    });
    let read = sched.spawn(reader.read_to_end(), |task| done(task.bytes()?.to_vec()));
    assert!(sched.join(read).unwrap() == pattern(MUCH));
    assert_eq!(sched.join(write).unwrap(), MUCH);
}

#[test]
fn a_timed_out_full_write_tells_the_count_so_far() {
    let _watchdog = watchdog();
    for (reader, writer) in [pipe(), socketpair()] {
        let file = AsyncFile::new(writer).unwrap();
        let mut sched = Scheduler::new();
        let data = pattern(MUCH);
        let (count, end) = written(&mut sched, file.write(&data).full().timeout(SHORT)).unwrap();
        assert!(0 < count && count < MUCH, "{count}");
        assert_eq!(end, End::TimedOut);
        // Nothing of the rest follows.
        settle(&mut sched);
        assert!(drain(&reader) == data[..count]);
        settle(&mut sched);
        assert_eq!(pending(&reader), 0);
    }
}

#[test]
fn a_write_that_could_not_begin_times_out_and_writes_nothing() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let filled = fill(&writer);
    let number = writer.as_raw_fd();
    let file = AsyncFile::new(writer).unwrap();
    let mut sched = Scheduler::new();
    let error = written(&mut sched, file.write("lost?").timeout(SHORT)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let message = error.to_string();
    assert!(
        message.starts_with(&format!("write on fd {number}: timed out after 20ms")),
        "{message}"
    );
    let full = written(&mut sched, file.write("lost?").full().timeout(SHORT));
    assert_eq!(kind(full), ErrorKind::TimedOut);
    assert_eq!(drain(&reader), vec![b'.'; filled]);
    settle(&mut sched);
    assert_eq!(pending(&reader), 0);
}

#[test]
fn a_cancelled_write_writes_no_more() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(writer).unwrap();
    let log = Log::default();
    let mut sched = Scheduler::new();
    let data = pattern(MUCH);
    let cancelled = logged(&mut sched, &log, "never", file.write(&data).full());
    settle(&mut sched);
    cancelled.cancel();
    settle(&mut sched);
    let begun = drain(&reader);
    assert!(!begun.is_empty() && begun == data[..begun.len()]);
    // The next write follows directly.
    assert_eq!(
        written(&mut sched, file.write("next").full()).unwrap(),
        (4, End::Complete)
    );
    assert_eq!(drain(&reader), b"next");
    assert!(log.borrow().is_empty());
}

#[test]
fn an_empty_write_ends_at_once_even_where_there_is_no_room() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let filled = fill(&writer);
    let file = AsyncFile::new(writer).unwrap();
    let mut sched = Scheduler::new();
    assert_eq!(
        written(&mut sched, file.write("")).unwrap(),
        (0, End::Complete)
    );
    assert_eq!(
        written(&mut sched, file.write(Vec::new()).full()).unwrap(),
        (0, End::Complete)
    );
    assert_eq!(pending(&reader), filled);
}

#[test]
fn every_kind_of_data_is_written() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(writer).unwrap();
    let mut sched = Scheduler::new();
    let (bytes, string) = (b"&Vec ".to_vec(), "&String ".to_owned());
    let shared: Rc<[u8]> = Rc::from(&b"Rc "[..]);
    let ops = [
        file.write(&b"slice "[..]),
        file.write(b"array "),
        file.write(&bytes),
        file.write("str "),
        file.write(&string),
        file.write(b"Vec ".to_vec()),
        file.write("String ".to_owned()),
        file.write(shared.clone()),
        file.write(shared),
    ];
    for op in ops {
        written(&mut sched, op.full()).unwrap();
    }
    let expected = "slice array &Vec str &String Vec String Rc Rc ";
    assert_eq!(text(&drain(&reader)), expected);
}

#[test]
fn bytes_lent_by_a_read_are_written_back_to_the_same_file() {
    let _watchdog = watchdog();
    let (socket, peer) = socketpair();
    let file = AsyncFile::new(socket).unwrap();
    let mut sched = Scheduler::new();
    let mut is_reading = true;
    sched.spawn(file.readline(), move |task| {
        let op: asyncfile::Op = match is_reading {
            true => match task.line()? {
                Some(line) => file.write(line).full().into(),
                None => return done(()),
            },
            false => {
                task.written()?;
                file.readline().into()
            }
        };
        is_reading = !is_reading;
        wait(op)
    });
    put(&peer, b"one\ntwo\nthr");
    turn_until(&mut sched, || pending(&peer) == 8);
    assert_eq!(text(&drain(&peer)), "one\ntwo\n");
    put(&peer, b"ee\n");
    turn_until(&mut sched, || pending(&peer) == 6);
    assert_eq!(text(&drain(&peer)), "three\n");
    drop(peer);
    sched.run().unwrap();
}

#[test]
fn a_write_without_a_reader_fails_and_names_itself() {
    let _watchdog = watchdog();
    for (reader, writer) in [pipe(), socketpair()] {
        let number = writer.as_raw_fd();
        let file = AsyncFile::new(writer).unwrap();
        let mut sched = Scheduler::new();
        drop(reader);
        let error = written(&mut sched, file.write("text")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        let message = error.to_string();
        assert!(
            message.starts_with(&format!("write on fd {number}: ")),
            "{message}"
        );
        assert_eq!(
            kind(written(&mut sched, file.write("text").full())),
            ErrorKind::BrokenPipe
        );
    }
}

#[test]
fn a_reader_that_goes_wakes_the_blocked_writer() {
    let _watchdog = watchdog();
    for (reader, writer) in [pipe(), socketpair()] {
        let file = AsyncFile::new(writer).unwrap();
        let log = Log::default();
        let mut sched = Scheduler::new();
        logged(&mut sched, &log, "full", file.write(pattern(MUCH)).full());
        settle(&mut sched);
        assert!(log.borrow().is_empty(), "{log:?}");
        drop(reader);
        turn_until(&mut sched, || !log.borrow().is_empty());
        let reset = "full: ConnectionReset"; // a socket that held unread data
        assert!(
            ["full: BrokenPipe", reset].contains(&log.borrow()[0].as_str()),
            "{log:?}"
        );
    }
}

#[test]
fn a_write_that_a_close_cuts_says_how_much_was_written() {
    let _watchdog = watchdog();
    for (reader, writer) in [pipe(), socketpair()] {
        let number = writer.as_raw_fd();
        let file = AsyncFile::new(writer).unwrap();
        let mut sched = Scheduler::new();
        let ops = [
            file.write_all(pattern(MUCH)),
            file.write(pattern(MUCH)).full(),
        ];
        let writers = ops.map(|op| sched.spawn(op, |task| done(task.written()?)));
        settle(&mut sched);
        file.close();
        let count = drain(&reader).len();
        let texts = writers.map(|writer| sched.join(writer).unwrap_err().to_string());
        let cut = format!("write_all on fd {number}: closed, {count} bytes written");
        assert!(count > 0);
        assert_eq!(texts, [cut, format!("write full on fd {number}: closed")]);
    }
}
