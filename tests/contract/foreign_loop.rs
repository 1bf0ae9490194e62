//! `pollfds` and `dispatch`: the tasks in a loop that somebody else owns.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::os::fd::AsRawFd;

use asyncfile::{done, sleep, wait, yield_now, AsyncFile, Scheduler};
use libc::{pollfd, POLLIN, POLLOUT};

use crate::descriptors::{
    ask, guard, idle, ms, numbered_pipe, pattern, pipe, sockets, Test, HOUR, ZERO,
};

const fn entry(fd: i32, events: i16, revents: i16) -> pollfd {
    pollfd {
        fd,
        events,
        revents,
    }
}

#[test]
fn pollfds_appends_to_what_the_host_waits_for() -> Test {
    let (file, fd, _writer) = numbered_pipe()?;
    let mut sched = Scheduler::new();
    sched.spawn(file.readline(), |task| done(task.line()?.is_some()));
    idle(&mut sched, &mut Vec::new())?;
    let mut set = vec![entry(0, POLLOUT, 0), entry(-1, 0, 0)];
    assert_eq!(sched.pollfds(&mut set), None);
    let set: Vec<_> = set.iter().map(|entry| (entry.fd, entry.events)).collect();
    assert_eq!(set, [(0, POLLOUT), (-1, 0), (fd, POLLIN)]);
    Ok(())
}

#[test]
fn both_directions_of_a_file_are_one_entry() -> Test {
    let (file, _peer) = sockets()?;
    let mut sched = Scheduler::new();
    sched.spawn(file.read(1), |task| done(task.bytes()?.len()));
    sched.spawn(file.write(pattern(8 << 20)).full(), |task| {
        done(task.written()?)
    });
    let mut set = Vec::new();
    idle(&mut sched, &mut set)?;
    assert_eq!((set.len(), set[0].events), (1, POLLIN | POLLOUT));
    Ok(())
}

#[test]
fn pollfds_says_how_long_the_host_may_wait() -> Test {
    let (file, _writer) = pipe()?;
    let mut sched = Scheduler::new();
    let mut set = Vec::new();
    assert_eq!(idle(&mut sched, &mut set)?, None, "nothing to wait for");
    sched.spawn(file.readline().timeout(HOUR), |task| {
        done(task.line()?.is_some())
    });
    let wait = idle(&mut sched, &mut set)?.unwrap();
    assert!(wait > ZERO && wait <= HOUR, "{wait:?}");
    sched.spawn(sleep(ms(5)), |task| done(task.ok()?));
    let wait = idle(&mut sched, &mut set)?.unwrap();
    assert!(wait <= ms(6), "the nearest one, {wait:?}");
    sched.spawn(yield_now(), |task| done(task.ok()?));
    set.clear();
    assert_eq!(sched.pollfds(&mut set), Some(ZERO), "work is ready");
    Ok(())
}

#[test]
fn entries_come_back_in_any_order_among_foreign_ones() -> Test {
    let lines = RefCell::new(Vec::new());
    let pipes = [pipe()?, pipe()?, pipe()?];
    let (foreign, mut foreign_writer) = std::io::pipe()?;
    let mut sched = Scheduler::new();
    for (file, _) in &pipes {
        let lines = &lines;
        sched.spawn(file.readline(), move |task| {
            lines
                .borrow_mut()
                .push(String::from_utf8_lossy(task.line()?.unwrap()).into_owned());
            done(())
        });
    }
    let mut set = Vec::new();
    idle(&mut sched, &mut set)?;
    assert_eq!(set.len(), 3);
    for (i, mut writer) in pipes.iter().map(|(_, writer)| writer).enumerate() {
        writeln!(writer, "line {i}")?;
    }
    foreign_writer.write_all(b"the host's own")?;
    set.insert(1, entry(foreign.as_raw_fd(), POLLIN, 0));
    ask(&mut set)?;
    set.reverse();
    sched.dispatch(&set)?;
    idle(&mut sched, &mut Vec::new())?;
    lines.borrow_mut().sort();
    assert_eq!(*lines.borrow(), ["line 0\n", "line 1\n", "line 2\n"]);
    Ok(())
}

#[test]
fn an_answer_counts_only_for_who_was_in_the_set_last_given() -> Test {
    let (file, fd, mut writer) = numbered_pipe()?;
    let read = Cell::new(false);
    let mut sched = Scheduler::new();
    // Nobody waits for the file when the set is given.
    let mut set = Vec::new();
    idle(&mut sched, &mut set)?;
    assert!(set.is_empty());
    writer.write_all(b"a line\n")?;
    sched.spawn(file.readline(), |task| {
        read.set(task.line()?.is_some());
        done(())
    });
    // Neither before it has begun to wait, nor afterwards.
    for _ in 0..2 {
        sched.dispatch(&[entry(fd, POLLIN, POLLIN)])?;
        assert_eq!((read.get(), file.buffered()), (false, 0));
    }
    idle(&mut sched, &mut set)?;
    assert_eq!(set.len(), 1);
    ask(&mut set)?;
    sched.dispatch(&set)?;
    assert!(read.get());
    Ok(())
}

#[test]
fn who_has_stopped_waiting_is_not_disturbed_by_an_old_answer() -> Test {
    let (file, mut writer) = pipe()?;
    let mut sched = Scheduler::new();
    let reader = sched.spawn(file.readline(), |task| done(task.line()?.is_some()));
    let mut set = Vec::new();
    idle(&mut sched, &mut set)?;
    writer.write_all(b"a line\n")?;
    ask(&mut set)?;
    reader.cancel();
    assert_eq!(sched.dispatch(&set)?, 0);
    assert_eq!(
        sched.block_on(file.readline())?.as_deref(),
        Some(&b"a line\n"[..])
    );
    Ok(())
}

#[test]
fn a_host_s_loop_runs_tasks_of_every_kind_to_their_end() -> Test {
    let _guard = guard();
    let (ours, peer) = sockets()?;
    let theirs = AsyncFile::new(peer)?;
    let data = pattern(1 << 20);
    let ticks = Cell::new(0);
    let mut sched = Scheduler::new();
    let writer = sched.spawn(ours.write(&data).full(), |task| done(task.written()?));
    let reader = sched.spawn(theirs.read(data.len()).full(), |task| {
        done(task.bytes()? == data)
    });
    sched.spawn(sleep(ms(1)), |task| {
        task.ok()?;
        ticks.set(ticks.get() + 1);
        if ticks.get() == 5 {
            return done(());
        }
        wait(sleep(ms(1)))
    });
    let mut set = Vec::new();
    loop {
        set.clear();
        let wait = sched
            .pollfds(&mut set)
            .map_or(-1, |wait| wait.as_micros().div_ceil(1000) as i32);
        // SAFETY: the pointer and the length are those of one vector.
        assert!(unsafe { libc::poll(set.as_mut_ptr(), set.len() as libc::nfds_t, wait) } >= 0);
        if sched.dispatch(&set)? == 0 {
            break;
        }
    }
    assert_eq!(ticks.get(), 5);
    assert_eq!(sched.join(writer)?, data.len());
    assert!(sched.join(reader)?);
    Ok(())
}
