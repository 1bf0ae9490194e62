//! Promise 11: regular files work, though poll(2) calls them ready at any time.

mod support;

use std::io::Seek;

use asyncfile::{AsyncFile, End, Scheduler};
use support::*;

#[test]
fn a_regular_file_is_read_to_its_end() {
    let _watchdog = watchdog();
    let content: Vec<u8> = (0..20_000)
        .flat_map(|n| format!("line {n}\n").into_bytes())
        .collect();
    let file = AsyncFile::new(regular(&content)).unwrap();
    let mut sched = Scheduler::new();
    let mut read = Vec::new();
    while let Some(line) = line(&mut sched, file.readline()).unwrap() {
        assert_eq!(line, format!("line {}\n", read.len()).into_bytes());
        read.push(line);
    }
    assert_eq!(read.len(), 20_000);
    assert_eq!(
        bytes(&mut sched, file.read_to_end()).unwrap(),
        (vec![], End::Eof)
    );
}

#[test]
fn a_regular_file_is_written_and_read_back() {
    let _watchdog = watchdog();
    let mut raw = regular(b"");
    let file = AsyncFile::new(raw.try_clone().unwrap()).unwrap();
    let mut sched = Scheduler::new();
    let content = vec![b'y'; 1_000_000];
    assert_eq!(
        written(&mut sched, file.write(&content).full()).unwrap(),
        (content.len(), End::Complete)
    );
    raw.rewind().unwrap();
    let op = file.read(2_000_000).full();
    assert_eq!(bytes(&mut sched, op).unwrap(), (content, End::Eof));
}

#[test]
fn the_end_of_a_growing_file_moves() {
    let _watchdog = watchdog();
    let file = regular(b"one\n");
    let append = |text: &[u8]| {
        let end = file.metadata().unwrap().len();
        std::os::unix::fs::FileExt::write_all_at(&file, text, end).unwrap();
    };
    let tail = AsyncFile::new(file.try_clone().unwrap()).unwrap();
    let mut sched = Scheduler::new();
    assert_eq!(
        line(&mut sched, tail.readline()).unwrap().unwrap(),
        b"one\n"
    );
    assert_eq!(line(&mut sched, tail.readline()).unwrap(), None);
    append(b"two\n");
    assert_eq!(
        line(&mut sched, tail.readline()).unwrap().unwrap(),
        b"two\n"
    );
    assert_eq!(
        bytes(&mut sched, tail.read(10)).unwrap(),
        (vec![], End::Eof)
    );
    append(b"three");
    assert_eq!(bytes(&mut sched, tail.read(10)).unwrap().0, b"three");
}
