//! What an observer is shown: each event's content, and their order.

use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::io::AsRawFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use asyncfile::trace::{By, Event};
use asyncfile::{
    again, channel, done, queue, sleep, wait, yield_now, AsyncFile, Flow, JoinHandle, Scheduler,
    TaskId,
};

type Log = Rc<RefCell<Vec<String>>>;

/// Observes from here on. Each event is one line: the turn, the task, the event. Tasks are A, B,
/// ... in the order in which they were spawned; the descriptor `fd` is FD.
fn observe(sched: &mut Scheduler<'_>, fd: i32) -> Log {
    let log = Log::default();
    let lines = Rc::clone(&log);
    let mut ids = Vec::new();
    sched.observe(move |trace| {
        if let Event::Spawned(_) = trace.event {
            ids.push(trace.task);
        }
        let name = |task: TaskId| match ids.iter().position(|id| *id == task) {
            Some(place) => char::from(b'A' + place as u8).to_string(),
            None => task.to_string(),
        };
        let number = |other: i32| {
            if other == fd {
                "FD".into()
            } else {
                other.to_string()
            }
        };
        let cause = |by: By| match by {
            By::Descriptor(fd) => format!("poll, {}", number(fd)),
            By::ForeignLoop(fd) => format!("a foreign loop, {}", number(fd)),
            By::Task(task) => name(task),
            by => format!("{by:?}"),
        };
        let event = match &trace.event {
            Event::Spawned(op) => format!("spawned: {}", text(op, fd)),
            Event::Asked { entries, timeout } => match timeout {
                Some(Duration::ZERO) => format!("asked for {entries}, does not sleep"),
                Some(_) => format!("asked for {entries}, sleeps"),
                None => format!("asked for {entries}, sleeps for ever"),
            },
            Event::Answered(ready) => {
                let ready: Vec<_> = ready.iter().map(|entry| number(entry.fd)).collect();
                format!("answered [{}]", ready.join(", "))
            }
            Event::Woken(by) => format!("woken by {}", cause(*by)),
            Event::Advanced { op, from, to } => {
                format!("advanced {from} > {to}: {}", text(op, fd))
            }
            Event::Resumed(end, op) => format!("resumed {end:?}: {}", text(op, fd)),
            Event::Yielded => "yielded".into(),
            Event::Done(end) => format!("done {end:?}"),
            Event::Cancelled(by) => format!("cancelled by {}", cause(*by)),
            Event::Failed(error) => format!("failed: {error}"),
            Event::Closed(fd) => format!("closed {}", number(*fd)),
            event => format!("{event:?}"),
        };
        let line = format!("{} {} {event}", trace.turn, name(trace.task));
        lines.borrow_mut().push(line);
    });
    log
}

fn text(op: &impl std::fmt::Debug, fd: i32) -> String {
    let text = format!("{op:?}").replace(&format!("fd {fd}"), "FD");
    let (name, _) = text.split_once(" of ").unwrap_or((&text, "")); // queues are numbered
    name.into()
}

fn assert_shown(log: &Log, expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).collect();
    let shown = log.take();
    assert_eq!(shown.join("\n"), expected[1..expected.len() - 1].join("\n"));
}

fn pipe() -> (AsyncFile, File) {
    let (reader, writer) = std::io::pipe().unwrap();
    let file = AsyncFile::new(std::os::fd::OwnedFd::from(reader)).unwrap();
    (file, File::from(std::os::fd::OwnedFd::from(writer)))
}

fn turn(sched: &mut Scheduler<'_>) {
    sched.turn(Some(Duration::ZERO)).unwrap();
}

#[test]
fn a_file_wakes_its_reader_and_each_line_is_shown() {
    let (file, mut writer) = pipe();
    let mut sched = Scheduler::new();
    let log = observe(&mut sched, file.as_raw_fd());
    sched.spawn(file.readline(), |task| match task.line()? {
        Some(_) => again(),
        None => done(()),
    });
    turn(&mut sched);
    writer.write_all(b"1\n2\n3\nhal").unwrap();
    sched.turn(None).unwrap();
    drop(writer);
    sched.run().unwrap();
    assert_shown(
        &log,
        "
        0 A spawned: readline FD
        0 A woken by Program
        1 A advanced Looking > Blocked: readline FD
        2 none asked for 1, sleeps for ever
        2 none answered [FD]
        2 A woken by poll, FD
        2 A advanced Blocked > Ended: readline FD, 7 B held
        2 A resumed Complete: readline FD, 7 B held
        2 A advanced Looking > Ended: readline FD, 5 B held
        2 A resumed Complete: readline FD, 5 B held
        2 A advanced Looking > Ended: readline FD, 3 B held
        2 A resumed Complete: readline FD, 3 B held
        2 A advanced Looking > Blocked: readline FD, 3 B held
        3 none asked for 1, sleeps for ever
        3 none answered [FD]
        3 A woken by poll, FD
        3 A advanced Blocked > Ended: readline FD
        3 A resumed Eof: readline FD
        3 A advanced Looking > Ended: readline FD
        3 A done Eof
        ",
    );
}

#[test]
fn a_deadline_wakes_its_task() {
    let mut sched = Scheduler::new();
    let log = observe(&mut sched, -1);
    sched.spawn(sleep(Duration::from_millis(1)), |task| done(task.ok()?));
    sched.run().unwrap();
    assert_shown(
        &log,
        "
        0 A spawned: sleep
        0 A woken by Program
        1 A advanced Waiting > Waiting: sleep
        2 none asked for 0, sleeps
        2 none answered []
        2 A woken by Deadline
        2 A advanced Waiting > Waiting: sleep
        2 A done Complete
        ",
    );
}

/// It spawns, fills a queue, closes a file, cancels a task, and ends: each is shown before its own
/// event.
#[test]
fn a_task_wakes_and_cancels_others() {
    let (file, _writer) = pipe();
    let fd = file.as_raw_fd();
    let jobs = queue::<u32>(1);
    let mut sched = Scheduler::new();
    let log = observe(&mut sched, fd);
    let reads = sched.spawn(file.readline(), |task| done(task.end()));
    let takes = sched.spawn(jobs.ready(), |task| done(task.ok()?));
    let sleeps = sched.spawn(sleep(Duration::MAX), |task| done(task.ok()?));
    turn(&mut sched);
    log.take();
    let acts = sched.spawn(yield_now(), move |task| {
        drop(task.spawn(yield_now(), |_task| done(())));
        file.close();
        jobs.push(1).unwrap();
        sleeps.cancel();
        done(())
    });
    let joins = sched.spawn(acts.finished(), |task| done(task.ok()?));
    sched.run().unwrap();
    assert_shown(
        &log,
        "
        1 D spawned: yield_now
        1 E spawned: join task 4
        1 D woken by Program
        1 E woken by Program
        2 none asked for 1, does not sleep
        2 none answered []
        2 D advanced Waiting > Waiting: yield_now
        2 F spawned: yield_now
        2 D closed FD
        2 C cancelled by D
        2 A woken by D
        2 F woken by D
        2 B woken by D
        2 C failed: cancelled
        2 D done Complete
        2 A advanced Blocked > Blocked: readline FD (closed)
        2 A done Failed
        2 E advanced Waiting > Waiting: join task 4
        2 E done Complete
        2 F advanced Waiting > Waiting: yield_now
        2 F done Complete
        2 B advanced Waiting > Waiting: ready
        2 B done Complete
        ",
    );
    drop((reads, takes, joins));
}

#[test]
fn a_task_yields_to_the_next_turn() {
    let mut sched = Scheduler::new();
    let log = observe(&mut sched, -1);
    let mut is_over = false;
    sched.spawn(yield_now(), move |task| {
        task.ok()?;
        match std::mem::replace(&mut is_over, true) {
            false => wait(yield_now()),
            true => done(()),
        }
    });
    sched.run().unwrap();
    assert_shown(
        &log,
        "
        0 A spawned: yield_now
        0 A woken by Program
        1 A advanced Waiting > Waiting: yield_now
        1 A resumed Complete: yield_now
        1 A advanced Waiting > Waiting: yield_now
        1 A yielded
        2 A advanced Waiting > Waiting: yield_now
        2 A done Complete
        ",
    );
}

/// The wake pipe is the library's own: it is neither counted nor shown.
#[test]
fn another_thread_wakes_a_task() {
    let (sender, receiver) = channel();
    let mut sched = Scheduler::new();
    let log = observe(&mut sched, -1);
    let takes = sched.spawn(receiver.ready(), move |task| {
        task.ok()?;
        done(receiver.try_recv().is_ok())
    });
    turn(&mut sched);
    log.take();
    let thread = std::thread::spawn(move || {
        sender.send(1).unwrap();
        sender
    });
    let _sender = thread.join().unwrap();
    assert!(sched.join(takes).unwrap());
    assert_shown(
        &log,
        "
        2 none asked for 0, sleeps for ever
        2 none answered []
        2 A woken by Thread
        2 A advanced Waiting > Waiting: ready
        2 A done Complete
        ",
    );
}

#[test]
fn a_foreign_loop_wakes_a_task() {
    let (file, mut writer) = pipe();
    let mut sched = Scheduler::new();
    let log = observe(&mut sched, file.as_raw_fd());
    sched.spawn(file.read(9), |task| done(task.bytes()?.len()));
    let mut set = Vec::new();
    assert_eq!(sched.pollfds(&mut set), Some(Duration::ZERO));
    sched.dispatch(&set).unwrap();
    writer.write_all(b"bytes").unwrap();
    assert_eq!(sched.pollfds(&mut set), None);
    set[0].revents = libc::POLLIN;
    sched.dispatch(&set).unwrap();
    assert_shown(
        &log,
        "
        0 A spawned: read FD
        0 A woken by Program
        1 none asked for 0, does not sleep
        1 none answered []
        1 A advanced Looking > Blocked: read FD
        2 none asked for 1, sleeps for ever
        2 none answered [FD]
        2 A woken by a foreign loop, FD
        2 A advanced Blocked > Ended: read FD
        2 A done Complete
        ",
    );
}

#[test]
fn the_program_cancels_a_task_between_two_turns() {
    let mut sched = Scheduler::new();
    let log = observe(&mut sched, -1);
    let sleeps: JoinHandle<()> = sched.spawn(sleep(Duration::MAX), |_task| -> Flow { again() });
    turn(&mut sched);
    log.take();
    sleeps.cancel();
    sched.run().unwrap();
    assert_shown(
        &log,
        "
        1 A cancelled by Program
        1 A failed: cancelled
        ",
    );
}

/// One that is cancelled because another one was dropped is shown, too.
#[test]
fn a_cancelled_task_cancels_another_one() {
    let mut sched = Scheduler::new();
    let log = observe(&mut sched, -1);
    let for_ever = |_: &mut asyncfile::Task| -> Flow { again() };
    let inner = sched.spawn(sleep(Duration::MAX), for_ever).cancel_on_drop();
    let outer = sched.spawn(sleep(Duration::MAX), move |_task| -> Flow {
        let _ = &inner;
        again()
    });
    turn(&mut sched);
    log.take();
    outer.cancel();
    sched.run().unwrap();
    assert_shown(
        &log,
        "
        1 B cancelled by Program
        1 B failed: cancelled
        1 A cancelled by B
        1 A failed: cancelled
        ",
    );
}

/// Whoever stands at the front of a queue and leaves it wakes the next one.
#[test]
fn a_reader_that_has_its_line_wakes_the_reader_behind_it() {
    let (file, mut writer) = pipe();
    let mut sched = Scheduler::new();
    let log = observe(&mut sched, file.as_raw_fd());
    for _ in 0..2 {
        sched.spawn(file.readline(), |task| done(task.line()?.is_some()));
    }
    turn(&mut sched);
    log.take();
    writer.write_all(b"1\n2\n").unwrap();
    sched.run().unwrap();
    assert_shown(
        &log,
        "
        2 none asked for 1, sleeps for ever
        2 none answered [FD]
        2 A woken by poll, FD
        2 A advanced Blocked > Ended: readline FD, 2 B held
        2 B woken by A
        2 A done Complete
        2 B advanced Looking > Ended: readline FD
        2 B done Complete
        ",
    );
}

/// A reader and a writer wait on one socket.
#[test]
fn an_answer_for_one_direction_wakes_the_task_of_that_direction_alone() {
    let (mut theirs, ours) = UnixStream::pair().unwrap();
    let file = AsyncFile::new(ours).unwrap();
    let mut sched = Scheduler::new();
    let log = observe(&mut sched, file.as_raw_fd());
    let woken = |log: &Log| -> Vec<String> {
        let lines = log.take().into_iter();
        lines.filter(|line| line.contains("woken by")).collect()
    };
    sched.spawn(file.readline(), |task| match task.line()? {
        Some(_) => again(),
        None => done(()),
    });
    sched.spawn(file.write_all(vec![0; 1 << 20]), |task| done(task.ok()?));
    turn(&mut sched);
    log.take();
    theirs.write_all(b"a line\n").unwrap();
    turn(&mut sched);
    assert_eq!(woken(&log), ["2 A woken by poll, FD"]);
    theirs.set_nonblocking(true).unwrap();
    while theirs.read(&mut [0; 4096]).is_ok() {}
    turn(&mut sched);
    assert_eq!(woken(&log), ["3 B woken by poll, FD"]);
}

/// What an observer itself wakes is not slept over.
#[test]
fn an_observer_may_wake_a_task_when_poll_is_asked() {
    let jobs = queue::<u32>(1);
    let mut sched = Scheduler::new();
    let pushes = jobs.clone();
    sched.observe(move |trace| {
        if let Event::Asked { .. } = trace.event {
            let _ = pushes.push(1);
        }
    });
    let (file, _writer) = pipe();
    sched.spawn(file.readline(), |task| done(task.line()?.is_some()));
    let takes = sched.spawn(jobs.ready(), move |task| done(task.ok()?));
    sched.join(takes).unwrap();
}
