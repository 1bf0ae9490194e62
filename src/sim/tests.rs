use std::io;
use std::os::unix::io::RawFd;
use std::process::Command;
use std::time::Duration;

use super::{with, Act, Faults, Kernel, Program};
use crate::sys;
use crate::{done, sleep, wait, AsyncFile, AsyncPipe, End, Scheduler};

const SECOND: Duration = Duration::from_secs(1);

fn kernel() -> Kernel {
    Kernel::new(|_| 0)
}

fn file(fd: RawFd) -> AsyncFile {
    AsyncFile::new(sys::owned(fd)).unwrap()
}

#[test]
fn a_trickle_does_not_extend_a_deadline() {
    let mut kernel = kernel();
    let trickle = (1..100).flat_map(|_| [Act::Sleep(SECOND), Act::Write(0, b"x".to_vec())]);
    let fd = kernel.reader(4096, trickle.collect());
    let (kernel, (line, held)) = kernel.run(|| {
        let file = file(fd);
        let line = Scheduler::new().block_on(file.readline().timeout(SECOND * 5 / 2));
        (line.unwrap_err().kind(), file.buffered())
    });
    assert_eq!((line, held), (io::ErrorKind::TimedOut, 2));
    assert_eq!(kernel.time(), SECOND * 5 / 2, "to the instant");
}

#[test]
fn data_beats_the_deadline_of_the_same_turn() {
    let mut kernel = kernel();
    let fd = kernel.reader(4096, vec![Act::Sleep(SECOND), Act::Write(0, b"just in time\n".to_vec())]);
    let (_, line) = kernel.run(|| Scheduler::new().block_on(file(fd).readline().timeout(SECOND)));
    assert_eq!(line.unwrap().unwrap(), b"just in time\n");
}

#[test]
fn a_timeout_of_zero_gets_what_is_there_and_no_more() {
    let mut kernel = kernel();
    let acts = vec![Act::Write(0, b"now".to_vec()), Act::Sleep(SECOND), Act::Write(0, b"later".to_vec())];
    let fd = kernel.reader(4096, acts);
    let (kernel, ends) = kernel.run(|| {
        let file = file(fd);
        let mut sched = Scheduler::new();
        let mut ends = Vec::new();
        let task = sched.spawn(file.read(9).full().timeout(Duration::ZERO), move |task| {
            ends.push((task.end(), task.bytes().map_or(0, <[u8]>::len)));
            if ends.len() < 2 {
                wait(file.read(9).full().timeout(Duration::ZERO))
            } else {
                done(ends.clone())
            }
        });
        sched.join(task).unwrap()
    });
    assert_eq!(ends, [(End::TimedOut, 3), (End::TimedOut, 0)]);
    assert_eq!(kernel.time(), Duration::ZERO);
}

#[test]
fn a_hundred_thousand_sleeps_take_as_long_as_the_longest() {
    let (kernel, ()) = kernel().run(|| {
        let mut sched = Scheduler::new();
        for n in 0..100_000_u64 {
            sched.spawn(sleep(Duration::from_millis(n * 7919 % 1000)), |task| {
                task.ok()?;
                done(())
            });
        }
        sched.run().unwrap();
    });
    assert_eq!(kernel.time(), Duration::from_millis(999));
    assert!(kernel.polls <= 1001, "one poll for each moment at which somebody wakes: {}", kernel.polls);
}
