//! What the simulation found, and reviews of what it found: each test asserts the right behaviour
//! of what once went wrong, on the real kernel.

mod descriptors;
#[path = "children/help.rs"]
mod help;
mod support;

use std::cell::RefCell;
use std::io::{ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::time::Instant;

use asyncfile::{channel, done, sleep, AsyncFile, End, Op, Scheduler};
use descriptors::{alone, close_behind, ms, numbered_pipe, Fifo, Test, HOUR, ZERO};
use help::{cat, spawn};
use support::watchdog;

/// The descriptors of the wake pipe of a scheduler that has nothing else to poll: it was made last,
/// reader first.
fn wake_pipe(sched: &mut Scheduler<'_>) -> (i32, i32) {
    let mut set = Vec::new();
    sched.pollfds(&mut set);
    (set[0].fd, set[0].fd + 1)
}

/// How many turns a sleep of 50 ms takes, and what they say.
fn turns_of_a_sleep(sched: &mut Scheduler<'_>) -> (usize, Vec<String>) {
    let sleeps = sched.spawn(sleep(ms(50)), |task| done(task.ok()?));
    let (mut turns, mut errors) = (0, Vec::new());
    while !sleeps.is_finished() {
        errors.extend(sched.turn(Some(HOUR)).err().map(|error| error.to_string()));
        turns += 1;
    }
    (turns, errors)
}

#[test]
fn a_reader_that_comes_to_the_front_in_the_turn_of_its_deadline_gets_what_is_there() -> Test {
    let _watchdog = watchdog();
    let (file, _, mut writer) = numbered_pipe()?;
    writer.write_all(b"firstsecond")?;
    let mut sched = Scheduler::new();
    let first = sched.spawn(file.read(5), |task| done(task.bytes()?.to_vec()));
    let second = sched.spawn(file.read(6).timeout(ZERO), |task| {
        done((task.end(), task.bytes()?.to_vec()))
    });
    assert_eq!(sched.join(first)?, b"first");
    assert_eq!(sched.join(second)?, (End::Complete, b"second".to_vec()));
    Ok(())
}

#[test]
fn a_communicate_queues_at_the_file_that_feeds_it_as_soon_as_it_is_spawned() -> Test {
    let _watchdog = watchdog();
    let (source, _, mut writer) = numbered_pipe()?;
    writer.write_all(b"fed")?;
    drop(writer);
    let child = cat();
    let mut sched = Scheduler::new();
    let fed = sched.spawn(child.communicate(source.clone()), |task| {
        done(task.output()?.stdout)
    });
    let late = sched.spawn(source.read(3), |task| done(task.bytes()?.to_vec()));
    assert_eq!(sched.join(fed)?, b"fed");
    assert_eq!(sched.join(late)?, b"");
    Ok(())
}

#[test]
fn a_communicate_that_is_dropped_before_its_first_advance_leaves_the_file_that_feeds_it() -> Test {
    let _watchdog = watchdog();
    let (source, _, mut writer) = numbered_pipe()?;
    let child = cat();
    let mut sched = Scheduler::new();
    sched
        .spawn(child.communicate(source.clone()), |task| {
            done(task.output()?.stdout)
        })
        .cancel();
    writer.write_all(b"free")?;
    assert_eq!(sched.block_on(source.read(4))?, b"free");
    Ok(())
}

#[test]
fn after_a_success_a_communicate_leaves_what_a_straggler_says_to_its_readers() -> Test {
    let _watchdog = watchdog();
    let child = spawn("(sleep 0.1; printf 'late\\nand more\\n') & echo early");
    let mut sched = Scheduler::new();
    assert_eq!(
        sched.block_on(child.communicate(()).linger(ZERO))?.stdout,
        b"early\n"
    );
    assert_eq!(sched.block_on(child.readline())?.unwrap(), b"late\n");
    assert_eq!(
        sched.block_on(child.communicate(()))?.stdout,
        b"",
        "a further one gives nothing"
    );
    assert_eq!(sched.block_on(child.readline())?.unwrap(), b"and more\n");
    Ok(())
}

#[test]
fn a_wake_pipe_whose_writing_end_was_closed_behind_it_is_reported_once_and_does_not_spin() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let mut sched = Scheduler::new();
        let remote = sched.remote()?;
        let (_, writer) = wake_pipe(&mut sched);
        close_behind(writer);
        let begun = Instant::now();
        let (turns, errors) = turns_of_a_sleep(&mut sched);
        assert!(
            turns < 10 && begun.elapsed() >= ms(50),
            "{turns} turns for a sleep"
        );
        assert!(
            errors.len() == 1 && errors[0].starts_with("wake on fd"),
            "{errors:?}"
        );
        std::mem::forget((remote, sched)); // their descriptor is closed already
        Ok(())
    })
}

#[test]
fn a_wake_pipe_that_gets_the_number_of_a_file_closed_behind_the_library_is_heard() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let (file, fd, _writer) = numbered_pipe()?;
        let (sender, receiver) = channel();
        let got = RefCell::new(Vec::new());
        let mut sched = Scheduler::new();
        let lost = sched.spawn(file.readline(), |task| {
            done(task.line()?.map(<[u8]>::to_vec))
        });
        sched.turn(Some(ZERO))?;
        close_behind(fd);
        // It waits for a message: the wake pipe is made, and its reader gets the lowest free
        // number.
        let got = &got;
        let hears = sched.spawn(receiver.ready(), move |task| {
            task.ok()?;
            got.borrow_mut().extend(receiver.try_recv());
            done(())
        });
        let error = loop {
            match sched.turn(Some(ZERO)) {
                Err(error) => break error.to_string(),
                Ok(_) if lost.is_finished() => break lost.take().unwrap().unwrap_err().to_string(),
                Ok(_) => {}
            }
        };
        assert!(error.contains("Bad file descriptor"), "{error}");
        let thread = std::thread::spawn(move || sender.send(7).is_ok());
        sched.join(hears)?;
        assert!(thread.join().unwrap());
        assert_eq!(*got.borrow(), [7]);
        std::mem::forget(file);
        Ok(())
    })
}

#[test]
fn a_file_that_was_closed_behind_the_library_never_reads_another_that_got_its_number() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let (file, fd, _writer) = numbered_pipe()?;
        let mut sched = Scheduler::new();
        let reads = sched.spawn(file.readline(), |task| {
            done(task.line()?.map(<[u8]>::to_vec))
        });
        sched.turn(Some(ZERO))?;
        close_behind(fd);
        assert!(sched
            .join(reads)
            .unwrap_err()
            .to_string()
            .contains("Bad file descriptor"));
        // Another file gets the number, and waits for its own bytes under it.
        let (other, number, mut writer) = numbered_pipe()?;
        assert_eq!(number, fd);
        let reads = sched.spawn(other.readline(), |task| {
            done(task.line()?.map(<[u8]>::to_vec))
        });
        sched.turn(Some(ZERO))?;
        for op in [
            file.readline().timeout(ms(1)).into(),
            file.read(1).into(),
            Op::from(file.readable()),
        ] {
            let failed = sched.spawn(op, |task| {
                task.outcome();
                done(task.end())
            });
            assert_eq!(sched.join(failed)?, End::Failed);
        }
        writer.write_all(b"its own\n")?;
        assert_eq!(sched.join(reads)?.unwrap(), b"its own\n");
        drop(file);
        writer.write_all(b"and more\n")?;
        assert_eq!(sched.block_on(other.readline())?.unwrap(), b"and more\n");
        Ok(())
    })
}

#[test]
fn a_pidfd_that_was_closed_behind_the_library_does_not_spin_where_no_other_can_be_had() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let pipe = cat();
        let stdin = pipe.stdin().unwrap().clone();
        let mut sched = Scheduler::new();
        let exits = sched.spawn(pipe.exit(), |task| done(task.exit()?));
        sched.turn(Some(ZERO))?;
        let mut set = Vec::new();
        sched.pollfds(&mut set);
        asyncfile::refuse_pidfds(true);
        close_behind(set[0].fd);
        let begun = Instant::now();
        let mut turns = 0;
        while begun.elapsed() < ms(300) {
            sched.turn(Some(HOUR))?;
            turns += 1;
        }
        assert!(turns < 20, "{turns} turns for pauses that grow to 64 ms");
        stdin.close();
        assert!(sched.join(exits)?.success());
        Ok(())
    })
}

#[test]
fn two_readers_of_a_fifo_without_writer_both_time_out_and_see_no_end() -> Test {
    let _watchdog = watchdog();
    let fifo = Fifo::new()?;
    let file = AsyncFile::new(fifo.reader()?)?;
    let mut sched = Scheduler::new();
    let mut read = || {
        sched.spawn(file.readline().timeout(ms(20)), |task| {
            done((task.end(), task.line().is_err()))
        })
    };
    let handles = [read(), read()];
    for handle in handles {
        assert_eq!(sched.join(handle)?, (End::TimedOut, true));
    }
    Ok(())
}

/// Two communicates of one child; the first one's input is a file, which others read afterwards.
#[test]
fn of_two_communicates_neither_stays_in_the_queue_of_the_file_that_fed_the_child() -> Test {
    let _watchdog = watchdog();
    for ends in [true, false] {
        let (source, _, mut writer) = numbered_pipe()?;
        let child = spawn("read line; echo got $line; exec <&-; sleep 0.1");
        let mut sched = Scheduler::new();
        let first = sched.spawn(child.communicate(source.clone()), |task| {
            done(task.output()?.stdout)
        });
        let second = sched.spawn(child.communicate(()), |task| done(task.output()?.stdout));
        sched.turn(Some(ms(10)))?;
        writer.write_all(b"hello\n")?;
        let mut writer = Some(writer).filter(|_| !ends);
        assert_eq!(
            (sched.join(first)?, sched.join(second)?),
            (b"got hello\n".to_vec(), Vec::new())
        );
        if let Some(writer) = &mut writer {
            writer.write_all(b"next\n")?;
        }
        let line = sched.block_on(source.readline().timeout(HOUR))?;
        assert_eq!(line, writer.map(|_| b"next\n".to_vec()));
    }
    Ok(())
}

#[test]
fn a_communicate_that_goes_on_queues_at_the_file_that_feeds_it_as_soon_as_it_is_spawned() -> Test {
    let _watchdog = watchdog();
    let (source, _, mut writer) = numbered_pipe()?;
    let child = cat();
    let mut sched = Scheduler::new();
    sched
        .block_on(child.communicate(source.clone()).timeout(ms(1)))
        .unwrap_err();
    writer.write_all(b"fed")?;
    drop(writer);
    let fed = sched.spawn(child.communicate(()), |task| done(task.output()?.stdout));
    let late = sched.spawn(source.read(3), |task| done(task.bytes()?.to_vec()));
    assert_eq!(
        (sched.join(fed)?, sched.join(late)?),
        (b"fed".to_vec(), Vec::new())
    );
    Ok(())
}

#[test]
fn an_input_that_is_closed_half_way_is_told_once_and_the_rest_can_be_collected() -> Test {
    let _watchdog = watchdog();
    let (source, _, mut writer) = numbered_pipe()?;
    writer.write_all(b"half")?;
    let child = cat();
    let mut sched = Scheduler::new();
    sched
        .block_on(child.communicate(source.clone()).timeout(ms(1)))
        .unwrap_err();
    while child.stdout().unwrap().buffered() < 4 {
        sched
            .block_on(child.communicate(()).timeout(ms(1)))
            .unwrap_err();
    }
    source.close();
    let error = sched.block_on(child.communicate(())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected, "{error}");
    assert_eq!(sched.block_on(child.communicate(()))?.stdout, b"half");
    Ok(())
}

#[test]
fn what_was_read_ahead_of_a_file_that_was_closed_behind_the_library_is_there_whoever_notices_first(
) -> Test {
    alone(|| {
        let _watchdog = watchdog();
        for is_number_reused in [false, true] {
            let (file, fd, mut writer) = numbered_pipe()?;
            writer.write_all(b"half")?;
            let mut sched = Scheduler::new();
            let reads = sched.spawn(file.readline(), |task| {
                done(task.line()?.map(<[u8]>::to_vec))
            });
            while file.buffered() < 4 {
                sched.turn(Some(ms(10)))?;
            }
            close_behind(fd);
            let other = if is_number_reused {
                Some(numbered_pipe()?)
            } else {
                None
            };
            if let Some((other, number, _)) = &other {
                assert_eq!(*number, fd);
                drop(sched.spawn(other.readline(), |task| {
                    done(task.line()?.map(<[u8]>::to_vec))
                }));
            }
            assert!(sched
                .join(reads)
                .unwrap_err()
                .to_string()
                .contains("Bad file descriptor"));
            assert_eq!(sched.block_on(file.read(10))?, b"half");
            assert!(sched.block_on(file.read(10)).is_err());
        }
        Ok(())
    })
}

#[test]
fn a_lost_wake_pipe_is_neither_written_nor_closed_under_numbers_that_are_others() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let mut sched = Scheduler::new();
        let remote = sched.remote()?;
        let (_, writer) = wake_pipe(&mut sched);
        close_behind(writer);
        turns_of_a_sleep(&mut sched); // says that it is lost
        let mut other = tempfile::tempfile()?;
        assert_eq!(other.as_raw_fd(), writer, "the number is not free");
        remote.wake();
        drop((remote, sched));
        assert_eq!(other.metadata()?.len(), 0, "it was written to");
        other.write_all(b"still open")?;
        Ok(())
    })
}

#[test]
fn an_exit_that_begins_beside_a_write_leaves_stdin_open() -> Test {
    let _watchdog = watchdog();
    let pipe = spawn("sleep 0.05; wc -c");
    let mut sched = Scheduler::new();
    let writes = sched.spawn(pipe.write(vec![b'x'; 200_000]).full(), |task| {
        done(task.written()?)
    });
    let exits = sched.spawn(pipe.exit(), |task| done(task.exit()?));
    assert_eq!(sched.join(writes)?, 200_000);
    assert!(!exits.is_finished());
    pipe.close_stdin();
    assert!(sched.join(exits)?.success());
    assert_eq!(sched.block_on(pipe.read_to_end())?, b"200000\n");
    Ok(())
}

#[test]
fn a_file_that_got_the_number_of_the_wake_pipe_does_not_make_the_loop_spin() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let mut sched = Scheduler::new();
        let remote = sched.remote()?;
        let (reader, _) = wake_pipe(&mut sched);
        close_behind(reader);
        let other = tempfile::tempfile()?; // always ready, and at its end
        assert_eq!(other.as_raw_fd(), reader, "the number is not free");
        let (turns, errors) = turns_of_a_sleep(&mut sched);
        assert!(turns < 10, "{turns} turns for a sleep");
        assert!(
            errors.len() == 1 && errors[0].starts_with("wake on fd"),
            "{errors:?}"
        );
        drop((remote, sched));
        other.metadata()?; // nobody has closed it
        Ok(())
    })
}

/// Seed 1978415: a body cancelled itself and another task, and left a value. The other's drop found
/// that value in the handle, before it gave way to the cancel.
#[test]
fn a_value_that_gives_way_to_a_cancel_is_seen_by_no_drop() {
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    type Handle = Rc<RefCell<Option<asyncfile::JoinHandle<u8>>>>;

    struct Looks(Handle, Rc<Cell<Option<bool>>>);

    impl Drop for Looks {
        fn drop(&mut self) {
            let seen = self.0.borrow().as_ref().and_then(|handle| handle.take());
            self.1.set(Some(matches!(seen, Some(Ok(_)))));
        }
    }

    let (mine, seen) = (Handle::default(), Rc::new(Cell::new(None)));
    let mut sched = Scheduler::new();
    let looks = Looks(Rc::clone(&mine), Rc::clone(&seen));
    let other = sched.spawn(asyncfile::sleep(std::time::Duration::MAX), move |_| {
        let _ = &looks;
        done(())
    });
    let me = Rc::clone(&mine);
    let task = sched.spawn(asyncfile::yield_now(), move |_| {
        me.borrow().as_ref().unwrap().cancel();
        other.cancel();
        done(7)
    });
    *mine.borrow_mut() = Some(task);
    sched.run().unwrap();
    assert_eq!(seen.get(), Some(false));
}
