//! What poll says, and what it means: gotchas 1 to 4.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read, Write};

use asyncfile::{done, sleep, wait, AsyncFile, Outcome, Scheduler, TaskError};
use libc::{POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI};

use crate::descriptors::{
    alone, ask, assert_names, close_behind, guard, idle, ms, numbered_pipe, numbered_pipe_to,
    pattern,
};
use crate::descriptors::{pipe, pipe_to, sockets, words, Fifo, Test, HOUR, ZERO};

// ------------------------------------------------ 1. HUP, ERR and NVAL come even with `events = 0`

#[test]
fn a_dead_peer_that_nobody_waits_for_is_not_in_the_set() -> Test {
    let (socket, peer) = sockets()?;
    let (reader, pipe) = pipe_to()?;
    drop((peer, reader));
    let mut sched = Scheduler::new();
    sched.spawn(sleep(HOUR), |task| {
        task.ok()?;
        socket.close();
        pipe.close();
        done(())
    });
    let mut set = Vec::new();
    assert!(idle(&mut sched, &mut set)?.is_some_and(|wait| wait > ZERO));
    assert!(set.is_empty(), "{set:?}");
    Ok(())
}

#[test]
fn a_reader_that_came_to_the_end_takes_its_descriptor_out_of_the_set() -> Test {
    let (file, mut writer) = pipe()?;
    let ends = Cell::new(0);
    let mut sched = Scheduler::new();
    sched.spawn(file.readline(), |task| match task.outcome() {
        Outcome::Line(Some(_)) => wait(file.readline()),
        Outcome::Line(None) => {
            ends.set(ends.get() + 1);
            wait(sleep(HOUR))
        }
        _slept => done(()),
    });
    let mut set = Vec::new();
    idle(&mut sched, &mut set)?;
    assert_eq!(set.len(), 1);
    writer.write_all(b"the only line\n")?;
    drop(writer);
    while ends.get() == 0 {
        ask(&mut set)?;
        sched.dispatch(&set)?;
        idle(&mut sched, &mut set)?;
    }
    assert!(set.is_empty(), "{set:?}");
    Ok(())
}

#[test]
fn a_dead_peer_does_not_make_a_sleeping_loop_spin() -> Test {
    let (socket, peer) = sockets()?;
    drop(peer);
    let mut sched = Scheduler::new();
    sched.spawn(socket.readline(), |task| match task.end() {
        asyncfile::End::Eof => wait(sleep(ms(50))),
        _ => done(task.ok()?),
    });
    let mut turns = 1;
    while sched.turn(None)? > 0 {
        turns += 1;
    }
    assert!(
        turns <= 4,
        "{turns} turns for one end of file and one sleep"
    );
    Ok(())
}

// -------------------------------- 2. End of file is HUP without IN; ERR without OUT wakes a writer

#[test]
fn an_end_of_file_without_data_wakes_the_reader() -> Test {
    let _guard = guard();
    let (file, writer) = pipe()?;
    let mut sched = Scheduler::new();
    let reader = sched.spawn(file.readline(), |task| done(task.line()?.is_none()));
    assert_eq!(
        sched.turn(Some(ZERO))?,
        1,
        "it waits while there is a writer"
    );
    drop(writer);
    assert!(sched.join(reader)?);
    Ok(())
}

#[test]
fn lines_come_before_the_end_that_came_with_them() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    writer.write_all(b"one\ntwo\nthe rest")?;
    drop(writer);
    let mut sched = Scheduler::new();
    let mut next = || sched.block_on(file.readline());
    assert_eq!(next()?.as_deref(), Some(&b"one\n"[..]));
    assert_eq!(next()?.as_deref(), Some(&b"two\n"[..]));
    assert_eq!(next()?.as_deref(), Some(&b"the rest"[..]));
    assert_eq!(next()?, None);
    assert_eq!(next()?, None, "and again");
    Ok(())
}

#[test]
fn a_fifo_that_no_writer_has_opened_is_not_at_its_end() -> Test {
    let _guard = guard();
    let fifo = Fifo::new()?;
    let file = AsyncFile::new(fifo.reader()?)?;
    let lines = RefCell::new(Vec::new());
    let mut sched = Scheduler::new();
    sched.spawn(file.readline(), |task| {
        let line = task.line()?.map(<[u8]>::to_vec);
        let ended = line.is_none();
        lines.borrow_mut().push(line);
        if ended {
            return done(());
        }
        wait(file.readline())
    });
    for _ in 0..3 {
        assert_eq!(sched.turn(Some(ZERO))?, 1);
    }
    assert!(lines.borrow().is_empty(), "{lines:?}");
    fifo.writer()?.write_all(b"late\n")?;
    sched.run()?;
    assert_eq!(*lines.borrow(), [Some(b"late\n".to_vec()), None]);
    Ok(())
}

#[test]
fn a_fifo_goes_on_with_its_next_writer() -> Test {
    let _guard = guard();
    let fifo = Fifo::new()?;
    let file = AsyncFile::new(fifo.reader()?)?;
    let mut sched = Scheduler::new();
    for line in [b"first writer\n", b"second writer"] {
        fifo.writer()?.write_all(line)?;
        assert_eq!(sched.block_on(file.readline())?.as_deref(), Some(&line[..]));
        assert_eq!(sched.block_on(file.readline())?, None);
    }
    Ok(())
}

#[test]
fn a_reader_that_dies_wakes_the_writer_that_waits_for_room() -> Test {
    let _guard = guard();
    let (reader, file, fd) = numbered_pipe_to()?;
    let mut sched = Scheduler::new();
    let writer = sched.spawn(file.write(pattern(1 << 20)).full(), |task| {
        done(task.written()?)
    });
    let mut set = Vec::new();
    assert_eq!(idle(&mut sched, &mut set)?, None);
    assert_eq!((set.len(), set[0].fd, set[0].events), (1, fd, POLLOUT));
    drop(reader);
    match sched.join(writer) {
        Err(TaskError::Failed(error)) => {
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
            assert_names(&error, "write full", fd, &words(libc::EPIPE));
        }
        other => panic!("{other:?}"),
    }
    Ok(())
}

#[test]
fn a_peer_that_dies_wakes_the_reader_and_the_writer_of_one_socket() -> Test {
    let _guard = guard();
    let (file, peer) = sockets()?;
    let mut sched = Scheduler::new();
    let reader = sched.spawn(file.read(10), |task| done(task.bytes().is_ok()));
    let writer = sched.spawn(file.write(pattern(8 << 20)).full(), |task| {
        done(task.written().unwrap_err().kind())
    });
    let mut set = Vec::new();
    idle(&mut sched, &mut set)?;
    assert_eq!((set.len(), set[0].events), (1, POLLIN | POLLOUT));
    drop(peer);
    // The peer died with unread bytes: a reset for one of the two; which one is the kernel's
    // choice.
    sched.join(reader)?;
    assert!(matches!(
        sched.join(writer)?,
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
    ));
    Ok(())
}

#[test]
fn each_of_in_hup_err_and_nval_wakes_the_reader_and_the_call_decides() -> Test {
    for revents in [POLLIN, POLLHUP, POLLERR, POLLNVAL] {
        let (file, mut writer) = pipe()?;
        let woken = Cell::new(false);
        let mut sched = Scheduler::new();
        sched.spawn(file.readline(), |task| {
            assert_eq!(task.line()?, Some(&b"data\n"[..]));
            woken.set(true);
            done(())
        });
        let mut set = Vec::new();
        idle(&mut sched, &mut set)?;
        writer.write_all(b"data\n")?;
        for (said, expected) in [(POLLOUT, false), (POLLPRI, false), (revents, true)] {
            set[0].revents = said;
            sched.dispatch(&set)?;
            idle(&mut sched, &mut set)?;
            assert_eq!(woken.get(), expected, "revents {said:#x}");
        }
    }
    Ok(())
}

#[test]
fn each_of_out_hup_err_and_nval_wakes_the_writer_and_the_call_decides() -> Test {
    for revents in [POLLOUT, POLLHUP, POLLERR, POLLNVAL] {
        let (mut reader, file) = pipe_to()?;
        let fill = pattern(1 << 20);
        let woken = Cell::new(0);
        let mut sched = Scheduler::new();
        let filled = sched.block_on(file.write(&fill))?;
        sched.spawn(file.write("more"), |task| {
            woken.set(task.written()?);
            done(())
        });
        let mut set = Vec::new();
        idle(&mut sched, &mut set)?;
        assert_eq!(set[0].events, POLLOUT);
        reader.read_exact(&mut vec![0; filled])?;
        for (said, expected) in [(POLLIN, 0), (revents, 4)] {
            set[0].revents = said;
            sched.dispatch(&set)?;
            idle(&mut sched, &mut set)?;
            assert_eq!(woken.get(), expected, "revents {said:#x}");
        }
    }
    Ok(())
}

// ------------------------------------------------------------- 3. EAGAIN after readiness is normal

#[test]
fn a_reader_that_is_woken_for_nothing_goes_on_waiting() -> Test {
    let (file, mut writer) = pipe()?;
    let line = RefCell::new(Vec::new());
    let mut sched = Scheduler::new();
    sched.spawn(file.readline(), |task| {
        line.borrow_mut().extend_from_slice(task.line()?.unwrap());
        done(())
    });
    let mut set = Vec::new();
    for _ in 0..3 {
        idle(&mut sched, &mut set)?;
        assert_eq!(set.len(), 1);
        set[0].revents = POLLIN;
        assert_eq!(sched.dispatch(&set)?, 1);
    }
    writer.write_all(b"at last\n")?;
    sched.run()?;
    assert_eq!(*line.borrow(), b"at last\n");
    Ok(())
}

#[test]
fn a_writer_that_is_woken_for_nothing_goes_on_waiting() -> Test {
    let (mut reader, file) = pipe_to()?;
    let data = pattern(100_000);
    let mut sched = Scheduler::new();
    let writer = sched.spawn(file.write(&data).full(), |task| done(task.written()?));
    let mut set = Vec::new();
    for _ in 0..3 {
        idle(&mut sched, &mut set)?;
        set[0].revents = POLLOUT;
        assert_eq!(sched.dispatch(&set)?, 1);
    }
    let mut got = vec![0; 60_000];
    reader.read_exact(&mut got)?;
    assert_eq!(sched.join(writer)?, 100_000);
    drop(file);
    drop(sched);
    reader.read_to_end(&mut got)?;
    assert!(got == data);
    Ok(())
}

#[test]
fn of_two_files_on_one_pipe_the_slower_one_waits_for_the_next_bytes() -> Test {
    let _guard = guard();
    let (reader, mut writer) = io::pipe()?;
    let files = [
        AsyncFile::new(reader.try_clone()?)?,
        AsyncFile::new(reader)?,
    ];
    let got = RefCell::new(Vec::new());
    let mut sched = Scheduler::new();
    for file in &files {
        sched.spawn(file.read(100), |task| {
            got.borrow_mut().push(task.bytes()?.to_vec());
            done(())
        });
    }
    assert_eq!(sched.turn(Some(ZERO))?, 2);
    writer.write_all(b"first")?;
    // poll says IN for both descriptors; the second read finds nothing.
    while sched.turn(None)? > 1 {}
    assert_eq!(*got.borrow(), [b"first".to_vec()]);
    writer.write_all(b"second")?;
    sched.run()?;
    assert_eq!(*got.borrow(), [b"first".to_vec(), b"second".to_vec()]);
    Ok(())
}

// ------------------------------------------- 4. NVAL is an error for the waiting task, in one turn

#[test]
fn a_reader_whose_descriptor_was_closed_behind_the_library_has_ebadf_in_one_turn() -> Test {
    alone(|| {
        let _guard = guard();
        let (file, fd, _writer) = numbered_pipe()?;
        let mut sched = Scheduler::new();
        let reader = sched.spawn(file.readline(), |task| done(task.line()?.is_none()));
        assert_eq!(sched.turn(Some(ZERO))?, 1);
        close_behind(fd);
        assert_eq!(sched.turn(None)?, 0);
        match sched.join(reader) {
            Err(TaskError::Failed(error)) => {
                assert_names(&error, "readline", fd, &words(libc::EBADF))
            }
            other => panic!("{other:?}"),
        }
        sched.block_on(sleep(ms(1)))?;
        Ok(())
    })
}

#[test]
fn a_writer_whose_descriptor_was_closed_behind_the_library_has_ebadf_in_one_turn() -> Test {
    alone(|| {
        let _guard = guard();
        let (_reader, file, fd) = numbered_pipe_to()?;
        let mut sched = Scheduler::new();
        let writer = sched.spawn(file.write(pattern(1 << 20)).full(), |task| {
            done(task.written()?)
        });
        while sched.turn(Some(ZERO))? > 0 && sched.pollfds(&mut Vec::new()) == Some(ZERO) {}
        close_behind(fd);
        assert_eq!(sched.turn(None)?, 0);
        match sched.join(writer) {
            Err(TaskError::Failed(error)) => {
                assert_names(&error, "write full", fd, &words(libc::EBADF))
            }
            other => panic!("{other:?}"),
        }
        Ok(())
    })
}

#[test]
fn a_closed_descriptor_does_not_disturb_who_waits_beside_it() -> Test {
    alone(|| {
        let _guard = guard();
        let (broken, fd, _writer) = numbered_pipe()?;
        let (file, mut writer) = pipe()?;
        let mut sched = Scheduler::new();
        let failed = sched.spawn(broken.read(1), |task| done(task.bytes().is_err()));
        let reader = sched.spawn(file.readline(), |task| {
            done(task.line()?.map(<[u8]>::to_vec))
        });
        assert_eq!(sched.turn(Some(ZERO))?, 2);
        close_behind(fd);
        assert!(sched.join(failed)?);
        assert_eq!(sched.turn(Some(ZERO))?, 1, "the other one still waits");
        writer.write_all(b"in order\n")?;
        assert_eq!(sched.join(reader)?.as_deref(), Some(&b"in order\n"[..]));
        Ok(())
    })
}
