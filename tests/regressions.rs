//! Bugs that were found and must not come back: each test asserts the right behaviour of what once
//! went wrong.

mod descriptors;
#[path = "children/help.rs"]
mod help;
mod support;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process::Command;
use std::time::{Duration, Instant};

use asyncfile::trace::Event;
use asyncfile::{
    again, done, first, sleep, sleep_until, wait, yield_now, AsyncFile, AsyncPipe, Flow,
    JoinHandle, Op, Scheduler, TaskError,
};
use descriptors::{alone, close_behind, ms, numbered_pipe, sockets, Test, HOUR, ZERO};
use help::{assert_pattern, cat, pattern, spawn, Gate};
use support::{kind, settle, watchdog, CountDrops, SHORT};

/// What a wait that is lost lasts: a failure then, and no hang.
const PATIENCE: Duration = Duration::from_secs(10);

/// No child is left, neither alive nor as a zombie.
#[track_caller]
fn assert_childless() {
    // SAFETY: a null status is allowed.
    let answer = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
    let error = io::Error::last_os_error();
    assert_eq!(
        (answer, error.raw_os_error()),
        (-1, Some(libc::ECHILD)),
        "0: one lives; above: that one was a zombie"
    );
}

// ----------------------------------------------------- communicate, and who closes stdin beside it

#[test]
fn an_exit_beside_a_communicate_does_not_truncate_it() {
    const LEN: usize = 4_000_000;
    for is_exit_first in [false, true] {
        let _watchdog = watchdog();
        let pipe = cat();
        let mut sched = Scheduler::new();
        let waits_for_exit =
            |sched: &mut Scheduler<'_>| sched.spawn(pipe.exit(), |task| done(task.exit()?));
        let before = is_exit_first.then(|| waits_for_exit(&mut sched));
        let communicates = sched.spawn(pipe.communicate(pattern(LEN)), |task| done(task.output()?));
        let exits = before.unwrap_or_else(|| waits_for_exit(&mut sched));

        let output = sched.join(communicates).unwrap();
        assert_pattern(&output.stdout, LEN);
        assert!(output.status.success() && sched.join(exits).unwrap().success());
    }
}

#[test]
fn a_limit_counts_what_an_earlier_communicate_has_collected_from_streams_that_have_ended() {
    let _watchdog = watchdog();
    let pipe = spawn("printf 0123456789; exec >&- 2>&-; exec sleep 600");
    let mut sched = Scheduler::new();
    while pipe.stdout().unwrap().buffered() < 10 {
        assert_eq!(
            kind(sched.block_on(pipe.communicate(()).timeout(SHORT))),
            ErrorKind::TimedOut
        );
    }
    assert_eq!(
        kind(sched.block_on(pipe.communicate(()).timeout(SHORT))),
        ErrorKind::TimedOut
    );
    pipe.kill().unwrap();
    assert_eq!(
        kind(sched.block_on(pipe.communicate(()).limit(9))),
        ErrorKind::Other
    );
    assert_eq!(
        sched
            .block_on(pipe.communicate(()).limit(10))
            .unwrap()
            .stdout,
        b"0123456789"
    );
}

#[test]
fn a_communicate_whose_stdin_another_task_closes_is_an_error() {
    let _watchdog = watchdog();
    let pipe = cat();
    pipe.signal(libc::SIGSTOP).unwrap(); // the input fills the pipe and waits
    let mut sched = Scheduler::new();
    let communicates = sched.spawn(pipe.communicate(pattern(4_000_000)), |task| {
        done(task.output()?.stdout.len())
    });
    settle(&mut sched);
    assert!(!communicates.is_finished());
    sched.spawn(yield_now(), |_| {
        pipe.close_stdin();
        done(())
    });
    settle(&mut sched);
    pipe.signal(libc::SIGCONT).unwrap();

    let result: io::Result<usize> = sched.join(communicates).map_err(io::Error::from);
    assert_eq!(kind(result), ErrorKind::NotConnected);
}

#[test]
fn a_communicate_that_goes_on_after_its_stdin_was_closed_is_an_error() {
    let _watchdog = watchdog();
    let pipe = cat();
    pipe.signal(libc::SIGSTOP).unwrap();
    let mut sched = Scheduler::new();
    assert_eq!(
        kind(sched.block_on(pipe.communicate(pattern(1_000_000)).timeout(SHORT))),
        ErrorKind::TimedOut
    );
    pipe.close_stdin();
    pipe.signal(libc::SIGCONT).unwrap();

    let resumed = sched
        .block_on(pipe.communicate(()))
        .map(|output| output.stdout.len());
    assert_eq!(kind(resumed), ErrorKind::NotConnected);
}

// --------------------------------------------------- two schedulers, whose tasks have equal places

#[test]
fn a_communicate_that_is_refused_leaves_another_schedulers_reader_waiting() {
    let _watchdog = watchdog();
    let gate = Gate::new();
    let pipe = spawn(&format!("read line < {gate}; echo hello; cat"));
    let (mut a, mut b) = (Scheduler::new(), Scheduler::new());
    let reads = a.spawn(pipe.readline().timeout(PATIENCE), |task| {
        done(task.line()?.map(<[u8]>::to_vec))
    });
    settle(&mut a);
    assert_eq!(
        kind(b.block_on(pipe.communicate("x"))),
        ErrorKind::InvalidInput
    );

    writeln!(gate.reached(&mut a)).unwrap();
    assert_eq!(a.join(reads).unwrap().as_deref(), Some(&b"hello\n"[..]));
}

#[test]
fn an_exit_that_times_out_leaves_another_schedulers_exit_waiting() {
    let _watchdog = watchdog();
    let pipe = cat();
    let stdin = pipe.stdin().cloned().unwrap(); // so that an exit does not close it
    let (mut a, mut b) = (Scheduler::new(), Scheduler::new());
    // Without timeout: a deadline would find the exit, too. A wait that is lost is Stalled.
    let exits = a.spawn(pipe.exit(), |task| done(task.exit()?));
    settle(&mut a);
    assert_eq!(
        kind(b.block_on(pipe.exit().timeout(SHORT))),
        ErrorKind::TimedOut
    );

    stdin.close();
    assert!(a.join(exits).unwrap().success());
}

#[test]
fn a_communicate_without_input_is_refused_while_another_scheduler_writes() {
    const LEN: usize = 1_000_000;
    let _watchdog = watchdog();
    let pipe = spawn("exec cat > /dev/null");
    pipe.signal(libc::SIGSTOP).unwrap();
    let (mut a, mut b) = (Scheduler::new(), Scheduler::new());
    let write = pipe.write(pattern(LEN)).full().timeout(PATIENCE);
    let writes = a.spawn(write, |task| done(task.written()?));
    settle(&mut a);
    assert_eq!(
        kind(b.block_on(pipe.communicate(()).timeout(SHORT))),
        ErrorKind::InvalidInput
    );

    pipe.signal(libc::SIGCONT).unwrap();
    assert_eq!(a.join(writes).unwrap(), LEN);
}

thread_local! {
    /// What the error's drop looks at.
    static FILE: RefCell<Option<AsyncFile>> = const { RefCell::new(None) };
    static LOOKED: Cell<bool> = const { Cell::new(false) };
}

/// Uses a file when it is dropped.
#[derive(Debug)]
struct Looking;

impl fmt::Display for Looking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("looking")
    }
}

impl std::error::Error for Looking {}

impl Drop for Looking {
    fn drop(&mut self) {
        FILE.with(|file| {
            if let Some(file) = &*file.borrow() {
                assert_eq!(file.buffered(), 0);
                LOOKED.with(|looked| looked.set(true));
            }
        });
    }
}

#[test]
fn an_errors_drop_may_use_a_file_while_that_changes_its_scheduler() {
    let _watchdog = watchdog();
    let (file, _peer) = sockets().unwrap();
    FILE.with(|kept| *kept.borrow_mut() = Some(file.clone()));
    let mut a = Scheduler::new();
    // Nobody holds its handle: the failure is kept for the next drive, which never comes.
    a.spawn(yield_now(), |_| -> Flow {
        Err(io::Error::new(ErrorKind::Other, Looking))
    });
    assert_eq!(
        kind(a.block_on(file.readline().timeout(ms(5)))),
        ErrorKind::TimedOut
    );
    drop(a);

    assert_eq!(
        kind(Scheduler::new().block_on(file.readline().timeout(ms(5)))),
        ErrorKind::TimedOut
    );
    assert!(LOOKED.with(Cell::get), "the error is still kept");
    FILE.with(RefCell::take);
}

// ----------------------------------------------- what the child leaves: its last words, and itself

#[cfg(target_os = "linux")]
#[test]
fn linger_hands_over_all_that_the_child_said_before_its_exit() {
    const LEN: usize = 1_000_000;
    let _watchdog = watchdog();
    // A grandchild keeps the pipe open; stderr says who it is.
    let script = format!("sleep 600 2>/dev/null & echo $! >&2; head -c {LEN} /dev/zero");
    let child = help::piped(&script, "oe");
    let stdout = child.stdout.as_ref().unwrap().as_raw_fd();
    // SAFETY: no pointers.
    if unsafe { libc::fcntl(stdout, libc::F_SETPIPE_SZ, 1 << 20) } < 1 << 20 {
        eprintln!("skipped: no pipe of 1 MiB: {}", io::Error::last_os_error());
        let pipe = AsyncPipe::new(child).unwrap();
        let grandchild = Scheduler::new()
            .block_on(pipe.readline_stderr())
            .unwrap()
            .unwrap();
        return help::kill(
            support::text(&grandchild).trim().parse().unwrap(),
            libc::SIGKILL,
        );
    }
    help::await_end(child.id());

    let pipe = AsyncPipe::new(child).unwrap();
    let output = Scheduler::new()
        .block_on(pipe.communicate(()).linger(ZERO))
        .unwrap();
    help::kill(
        support::text(&output.stderr).trim().parse().unwrap(),
        libc::SIGKILL,
    );
    assert_eq!(output.stdout.len(), LEN);
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn a_started_stage_that_cannot_be_killed_is_reaped_when_it_ends() -> Test {
    /// The real and the effective user; the saved one stays root.
    fn become_user(id: libc::uid_t) {
        // SAFETY: takes three numbers.
        assert_eq!(
            unsafe { libc::setresuid(id, id, 0) },
            0,
            "{}",
            io::Error::last_os_error()
        );
    }

    // SAFETY: takes nothing.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("skipped: only root can become somebody who may not kill its child");
        return Ok(());
    }
    alone(|| {
        let _watchdog = watchdog();
        let mut sched = Scheduler::new();
        let gate = Gate::new();
        let mut stage = help::sh(&format!("read line < {gate}"));
        // SAFETY: setresuid(2) is safe between fork and exec.
        unsafe {
            stage.pre_exec(|| match libc::setresuid(0, 0, 0) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            });
        }
        become_user(65534);
        let stages = [stage, Command::new("/nonexistent")];
        let error = AsyncPipe::pipeline(stages).map(|_| ()).unwrap_err();
        become_user(0);
        assert_eq!(error.kind(), ErrorKind::NotFound);

        writeln!(gate.reached(&mut sched))?;
        // SAFETY: a zeroed siginfo_t is valid, and the pointer is to a live one.
        let answer = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            libc::waitid(libc::P_ALL, 0, &mut info, libc::WEXITED | libc::WNOWAIT)
        };
        assert_eq!(
            answer,
            0,
            "it was killed all the same: {}",
            io::Error::last_os_error()
        );
        sched.turn(Some(ZERO))?;
        assert_childless();
        Ok(())
    })
}

// ------------------------------------------------------- descriptors that somebody else has closed

#[test]
fn a_lost_wake_pipe_is_reported_once_and_does_not_spin() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let turns = Cell::new((u64::MAX, 0));
        let mut sched = Scheduler::new();
        let remote = sched.remote()?;
        let mut set = Vec::new();
        sched.pollfds(&mut set);
        close_behind(set[0].fd);
        sched.observe(|trace| {
            let (first, _) = turns.get();
            turns.set((first.min(trace.turn), trace.turn));
        });
        let sleeps = sched.spawn(sleep(ms(100)), |task| done(task.ok()?));
        sched.join(sleeps)?;
        let (first, last) = turns.get();
        assert!(last - first < 10, "{} turns for a sleep", last - first);

        let mut errors = Vec::new();
        while let Err(error) = sched.run() {
            errors.push(error.to_string());
            assert!(errors.len() < 10, "{errors:?}");
        }
        assert_eq!(errors.len(), 1, "{errors:?}");
        std::mem::forget((remote, sched)); // their descriptor is closed already
        Ok(())
    })
}

#[test]
fn a_file_whose_descriptor_was_closed_behind_it_is_given_back_by_into_inner() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let (file, fd, _writer) = numbered_pipe()?;
        close_behind(fd);
        Scheduler::new().block_on(file.readline()).unwrap_err();
        let other = File::open("/dev/null")?;
        assert_eq!(other.as_raw_fd(), fd, "the number is not free");

        let file = file
            .into_inner()
            .map(|_| "a descriptor that is not ours")
            .unwrap_err();
        drop(file);
        other.metadata()?; // nobody has closed it
        Ok(())
    })
}

// ------------------------------------------------------------------ tasks and turns

#[test]
fn which_is_0_after_a_plain_readline_that_follows_a_first() {
    let _watchdog = watchdog();
    let (file, mut peer) = sockets().unwrap();
    peer.write_all(b"1\n2\n3\n").unwrap(); // all of it is read, and buffered, for the first line
    let seen = RefCell::new(Vec::new());
    let mut sched = Scheduler::new();
    let reads = sched.spawn(
        first([Op::from(sleep(HOUR)), file.readline().into()]),
        |task| {
            seen.borrow_mut()
                .push((task.which(), task.line()?.unwrap_or_default().to_vec()));
            match seen.borrow().len() {
                3 => done(()),
                _ => wait(file.readline()),
            }
        },
    );
    sched.join(reads).unwrap();
    assert_eq!(
        *seen.borrow(),
        [
            (1, b"1\n".to_vec()),
            (0, b"2\n".to_vec()),
            (0, b"3\n".to_vec())
        ]
    );
}

#[test]
fn yield_now_waits_for_the_next_turn_also_after_a_doubled_wake() {
    let _watchdog = watchdog();
    let pairs = [sockets().unwrap(), sockets().unwrap()];
    let resumes = Cell::new(0);
    let mut sched = Scheduler::new();
    sched.spawn(
        first(pairs.iter().map(|(file, _)| file.readable())),
        |task| {
            task.ok()?;
            resumes.set(resumes.get() + 1);
            match resumes.get() {
                10 => done(()),
                _ => wait(yield_now()),
            }
        },
    );
    settle(&mut sched);
    for (_, peer) in &pairs {
        (&*peer).write_all(b"x").unwrap();
    }
    for turn in 1..=10 {
        sched.turn(Some(PATIENCE)).unwrap();
        assert_eq!(resumes.get(), turn, "after turn {turn}");
    }
}

#[test]
fn a_panic_in_an_observers_drop_leaves_handles_cancelled_and_files_usable() {
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("the observer's drop");
        }
    }

    let _watchdog = watchdog();
    let (file, mut peer) = sockets().unwrap();
    let drops = CountDrops::default();
    let mut sched = Scheduler::new();
    let bomb = Bomb;
    sched.observe(move |_| {
        let _ = &bomb;
    });
    let held = drops.clone();
    let reads = sched.spawn(file.readline(), move |task| {
        let _ = &held;
        done(task.line()?.is_some())
    });
    sched.turn(Some(ZERO)).unwrap();
    // whether it is passed on is not the matter here
    let _ = catch_unwind(AssertUnwindSafe(|| drop(sched)));

    assert!(reads.is_finished());
    assert!(matches!(reads.take(), Some(Err(TaskError::Cancelled))));
    assert_eq!(drops.0.get(), 1, "its body is kept");
    peer.write_all(b"a line\n").unwrap();
    let line = Scheduler::new()
        .block_on(file.readline().timeout(PATIENCE))
        .unwrap();
    assert_eq!(line.as_deref(), Some(&b"a line\n"[..]));
}

#[test]
fn a_turn_that_had_a_cancelled_task_to_drop_returns() {
    let _watchdog = watchdog();
    let (file, _peer) = sockets().unwrap();
    let drops = CountDrops::default();
    let mut sched = Scheduler::new();
    let _reads = sched.spawn(file.readline(), |task| done(task.line()?.is_some()));
    let held = drops.clone();
    let cancelled = sched.spawn(sleep(HOUR), move |_| {
        let _ = &held;
        done(())
    });
    let patience = sched.spawn(sleep(PATIENCE), |task| done(task.ok()?));
    settle(&mut sched);
    cancelled.cancel();

    assert_eq!(sched.turn(None).unwrap(), 2);
    assert_eq!(drops.0.get(), 1);
    assert!(!patience.is_finished(), "it slept");
}

#[test]
fn two_tasks_that_close_each_others_files_do_not_keep_a_turn_from_ending() {
    const ENDLESS: usize = 100_000;
    let _watchdog = watchdog();
    let resumes = Cell::new(0);
    let (files, peers) = (
        [const { RefCell::new(None) }; 2],
        RefCell::new(None::<UnixStream>),
    );
    let renew = |me: usize| -> AsyncFile {
        let (file, peer) = sockets().unwrap();
        *files[me].borrow_mut() = Some(file.clone());
        *peers.borrow_mut() = Some(peer);
        file
    };
    let mut sched = Scheduler::new();
    for me in 0..2 {
        let (renew, files, resumes) = (&renew, &files, &resumes);
        sched.spawn(renew(me).readable(), move |task| {
            let _ = task.outcome();
            resumes.set(resumes.get() + 1);
            let file = renew(me);
            let others: Option<AsyncFile> = files[1 - me].borrow().clone();
            if let (Some(other), 0..=ENDLESS) = (others, resumes.get()) {
                other.close();
            }
            wait::<()>(file.readable())
        });
    }
    sched.turn(Some(ZERO)).unwrap();
    let before = resumes.get();
    files[0].borrow().as_ref().unwrap().close();
    sched.turn(Some(ZERO)).unwrap();
    let resumed = resumes.get() - before;
    assert!(
        (1..10_000).contains(&resumed),
        "{resumed} resumes in one turn"
    );
}

#[test]
fn an_operation_whose_making_panics_starts_no_task_and_hinders_none() {
    struct Bomb;

    impl From<Bomb> for Op {
        fn from(_: Bomb) -> Op {
            panic!("into");
        }
    }

    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    for _ in 0..3 {
        assert!(catch_unwind(AssertUnwindSafe(|| sched.spawn(Bomb, |_| done(())))).is_err());
    }
    assert_eq!(sched.turn(Some(ZERO)).unwrap(), 0);
    let task = sched.spawn(yield_now(), |task| {
        task.ok()?;
        done(7)
    });
    assert_eq!(sched.join(task).unwrap(), 7);
    sched.run().unwrap();
}

// ------------------------------------------------------------------ cancel, from an observer

#[test]
fn a_task_that_an_observer_has_cancelled_is_not_resumed() {
    let _watchdog = watchdog();
    let victim = RefCell::new(None::<JoinHandle<()>>);
    let (is_cancelled, is_resumed) = (Cell::new(false), Cell::new(false));
    let mut sched = Scheduler::new();
    sched.observe(|trace| {
        // The first task waits anew; the second is ready in the same turn.
        if let (Event::Resumed(..), Some(victim)) = (&trace.event, &*victim.borrow()) {
            victim.cancel();
            is_cancelled.set(true);
        }
    });
    let mut is_over = false;
    let first = sched.spawn(yield_now(), move |task| {
        task.ok()?;
        match std::mem::replace(&mut is_over, true) {
            false => wait(sleep(SHORT)),
            true => done(()),
        }
    });
    let second = sched.spawn(yield_now(), |task| {
        is_resumed.set(is_cancelled.get());
        done(task.ok()?)
    });
    *victim.borrow_mut() = Some(second);
    sched.join(first).unwrap();
    assert!(is_cancelled.get() && !is_resumed.get());
}

// ------------------------------------------------------------------ a scheduler's end

/// Whatever outlives it (a file, a handle) knows it no more.
#[test]
fn the_wake_pipe_ends_with_its_scheduler_and_its_remotes() -> Test {
    alone(|| {
        let (file, mut peer) = sockets()?;
        peer.write_all(b"line\n")?;
        let before = std::fs::read_dir("/proc/self/fd")?.count();
        let mut sched = Scheduler::new();
        let remote = sched.remote()?;
        let handle = sched.spawn(sleep(HOUR), |task| done(task.ok()?));
        sched.block_on(file.readline())?;
        drop(sched);
        remote.wake();
        drop(remote);
        assert_eq!(std::fs::read_dir("/proc/self/fd")?.count(), before);
        assert!(handle.is_finished());
        assert_eq!(file.buffered(), 0);
        Ok(())
    })
}

// ------------------------------ what poll(2) said of a duplicate, of which each call needs its own

/// Turns without waiting until the task has ended.
#[track_caller]
fn assert_not_starved<T>(sched: &mut Scheduler<'_>, task: &JoinHandle<T>) {
    for _ in 0..2000 {
        if task.is_finished() {
            return;
        }
        sched.turn(Some(ZERO)).unwrap();
    }
    panic!("starved");
}

#[test]
fn a_reader_that_always_has_something_leaves_a_writer_of_the_same_duplicate_its_turn() {
    let zero = File::options()
        .read(true)
        .write(true)
        .open("/dev/zero")
        .unwrap();
    let file = AsyncFile::duplicate(&zero).unwrap();
    let mut sched = Scheduler::new();
    let (reader, writer) = (file.clone(), file.clone());
    drop(sched.spawn(file.read(1), move |task| -> Flow {
        task.bytes()?;
        wait(reader.read(1))
    }));
    let writes = sched.spawn(file.write("x"), |task| done(task.written()?));
    assert_not_starved(&mut sched, &writes);
    // And the other way round.
    drop(sched);
    let mut sched = Scheduler::new();
    drop(sched.spawn(file.write("x"), move |task| -> Flow {
        task.written()?;
        wait(writer.write("x"))
    }));
    let reads = sched.spawn(file.read(1), |task| done(task.bytes()?.len()));
    assert_not_starved(&mut sched, &reads);
}

#[test]
fn an_empty_write_that_waits_for_nobody_takes_nothing_from_who_was_told_of_room() {
    let zero = File::open("/dev/zero").unwrap();
    let always = AsyncFile::duplicate(&zero).unwrap();
    let (reader, writer) = support::pipe();
    support::fill(&writer);
    let file = AsyncFile::duplicate(&writer).unwrap();
    let mut sched = Scheduler::new();
    let (source, sink, mut is_turn_of_write) = (always.clone(), file.clone(), false);
    drop(sched.spawn(always.read(1), move |task| -> Flow {
        task.outcome();
        is_turn_of_write = !is_turn_of_write;
        if is_turn_of_write {
            wait(sink.write(""))
        } else {
            wait(source.read(1))
        }
    }));
    let writes = sched.spawn(file.write("x"), |task| done(task.written()?));
    settle(&mut sched);
    support::drain(&reader);
    assert_not_starved(&mut sched, &writes);
}

/// On a duplicate the call would wait in the kernel, and with it the loop.
#[test]
fn what_poll_said_to_one_who_was_cancelled_is_not_the_next_ones() {
    let (tell, told) = std::sync::mpsc::channel();
    let (reader, writer) = support::pipe();
    let rescuer = support::dup(&reader);
    std::thread::spawn(move || {
        let (tick, ticks) = support::pipe();
        support::put(&ticks, b"x");
        let tick = AsyncFile::new(tick).unwrap();
        support::fill(&writer);
        let file = AsyncFile::duplicate(&writer).unwrap();
        let victim = RefCell::new(None::<JoinHandle<usize>>);
        let mut sched = Scheduler::new();
        drop(sched.spawn(tick.readable(), |task| {
            task.ok()?;
            victim.borrow_mut().take().unwrap().cancel();
            done(())
        }));
        *victim.borrow_mut() = Some(sched.spawn(file.write("x"), |task| done(task.written()?)));
        sched.turn(Some(ZERO)).unwrap(); // both are blocked
        support::drain(&reader);
        sched.turn(Some(ZERO)).unwrap(); // both are told, and the first cancels the second
        assert!(victim.borrow().is_none());
        support::fill(&writer); // somebody else who has the pipe
        tell.send(kind(sched.block_on(file.write("y").timeout(SHORT))))
            .unwrap();
    });
    let kind = told.recv_timeout(PATIENCE);
    if kind.is_err() {
        support::drain(&rescuer); // so that it can end
    }
    assert_eq!(
        kind,
        Ok(ErrorKind::TimedOut),
        "or the loop waits in the kernel"
    );
}

/// The members of a `first` that was refused had entered their queues, and stayed there.
#[test]
fn a_first_that_is_refused_is_in_nobodys_way() {
    let _watchdog = watchdog();
    let (mut peer, ours) = UnixStream::pair().unwrap();
    let file = AsyncFile::new(ours).unwrap();
    let mut sched = Scheduler::new();
    let ops = first([Op::from(file.readline()), file.write("x").into()]);
    let refused = sched.spawn(ops, |task| done(task.ok().unwrap_err().kind()));
    assert_eq!(sched.join(refused).unwrap(), ErrorKind::InvalidInput);
    peer.write_all(b"line\n").unwrap();
    assert_eq!(sched.block_on(file.readline()).unwrap().unwrap(), b"line\n");
    assert_eq!(sched.block_on(file.write("x")).unwrap(), 1);
}

/// A task whose data never runs dry has its share of each turn, and its deadline was forgotten: a
/// sleep beside a flood of lines never ended.
#[test]
fn a_sleep_and_a_losers_deadline_come_due_under_a_flood() {
    let _watchdog = watchdog();
    let (_peer, silent) = UnixStream::pair().unwrap();
    let silent = AsyncFile::new(silent).unwrap();
    for again_or_anew in [true, false] {
        for kind in 0..3 {
            let flood = AsyncFile::new(File::open("/dev/zero").unwrap()).unwrap();
            let at = Instant::now() + ms(20);
            let silent = silent.clone();
            let ops = move || {
                let beat = match kind {
                    0 => Op::from(sleep_until(at)),
                    1 => silent.read(1).until(at).into(),
                    _ => sleep(ms(20)).into(),
                };
                first([beat, flood.read(16).into()])
            };
            if kind > 0 && !again_or_anew {
                continue; // an operation that is made anew begins anew; but a moment has passed
            }
            let mut sched = Scheduler::new();
            let beat = sched.spawn(ops(), move |task| match task.which() {
                0 => {
                    task.outcome();
                    done(())
                }
                _ if again_or_anew => again(),
                _ => wait(ops()),
            });
            sched.join(beat).unwrap();
            assert!(Instant::now() >= at, "early");
        }
    }
}

/// Lines that the body had left were put back in the place of others, if the body had read on
/// meanwhile by another scheduler.
#[test]
fn lines_that_were_left_come_before_what_the_body_has_read_meanwhile() {
    let _watchdog = watchdog();
    let (mut peer, ours) = UnixStream::pair().unwrap();
    peer.write_all(b"1\n2\n3\n").unwrap();
    let file = AsyncFile::new(ours).unwrap();
    let other = file.clone();
    let mut sched = Scheduler::new();
    let mut seen = Vec::new();
    let reader = sched.spawn(file.readlines(), move |task| {
        let mut lines = task.lines()?;
        match lines.next() {
            Some(line) => seen.push(line.to_vec()),
            None => return done(std::mem::take(&mut seen)),
        }
        if seen.len() == 1 {
            peer.write_all(b"AAAA\nBBBB\nCC").unwrap();
            seen.push(Scheduler::new().block_on(other.readline())?.unwrap());
            peer.shutdown(std::net::Shutdown::Both).unwrap();
        }
        again()
    });
    let seen = sched.join(reader).unwrap();
    assert_eq!(seen.concat(), b"1\nAAAA\n2\n3\nBBBB\nCC");
}
