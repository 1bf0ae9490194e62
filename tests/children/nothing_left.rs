//! No descriptor, no zombie, no thread is left; descriptors that run out. Gotchas 22 and 23. Each
//! in a process of its own, because what is counted is the process's.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::ErrorKind;
use std::process::{Command, Stdio};
use std::time::Duration;

use asyncfile::{done, sleep, yield_now, AsyncPipe, OperationError, Scheduler};

use crate::descriptors::{alone, Test};
use crate::help::{
    assert_output, await_end, cat, children, code, leaves_nothing, pattern, sh, spawn,
    spawn_with_stderr, Belongings, Gate,
};
use crate::support::{kind, put, settle, turn_until, watchdog, SHORT};

#[test]
fn a_thousand_communicates_in_a_row_leave_nothing() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let mut sched = Scheduler::new();
        let mut talk = || {
            let output = sched.block_on(
                spawn_with_stderr("read line; echo $line; echo err >&2").communicate("in\n"),
            );
            assert_output(&output.unwrap(), 0, "in\n", "err\n");
        };
        leaves_nothing(|| (0..500).for_each(|_| talk()));
        Ok(())
    })
}

#[test]
fn two_hundred_communicates_at_once_leave_nothing() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let mut sched = Scheduler::new();
        leaves_nothing(|| {
            let talk = |n: usize| {
                let op = spawn(&format!("cat; exit {}", n % 100)).communicate(pattern(n * 1000));
                sched.spawn(op, |task| done(task.output()?))
            };
            let tasks: Vec<_> = (0..200).map(talk).collect();
            for (n, task) in tasks.into_iter().enumerate() {
                let output = sched.join(task).unwrap();
                assert_eq!(
                    (code(output.status), output.stdout),
                    (n as i32 % 100, pattern(n * 1000))
                );
            }
        });
        Ok(())
    })
}

#[test]
fn communicates_that_are_cut_or_dropped_leave_nothing() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        leaves_nothing(|| {
            let mut sched = Scheduler::new();
            let cut = cat();
            assert_eq!(
                kind(sched.block_on(cut.communicate(pattern(1 << 20)).timeout(Duration::ZERO))),
                ErrorKind::TimedOut
            );
            let dropped_with_its_scheduler = sched
                .spawn(cat().communicate(pattern(1 << 20)), |task| {
                    done(task.output()?)
                });
            let waited_for = sched.spawn(cat().exit(), |task| done(task.exit()?));
            settle(&mut sched);
            drop((cut, dropped_with_its_scheduler, waited_for, sched));
            // Their stdins are closed, so they end; spawning reaps those that have.
            while !children().is_empty() {
                children().into_iter().for_each(|(id, _)| await_end(id));
                drop(AsyncPipe::new(sh("exit 0").spawn().unwrap()).unwrap());
            }
        });
        Ok(())
    })
}

// --------------------------------------------------------- 22. a failure after fork leaks no child

#[test]
fn a_program_that_cannot_be_started_is_a_clear_error_and_leaves_nothing() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let dir = tempfile::tempdir()?;
        let plain = dir.path().join("plain");
        std::fs::write(&plain, "no program")?;
        let missing = dir.path().join("missing");
        let cases = [
            (
                missing.as_path(),
                ErrorKind::NotFound,
                "No such file or directory",
            ),
            (dir.path(), ErrorKind::PermissionDenied, "Permission denied"),
            (
                plain.as_path(),
                ErrorKind::PermissionDenied,
                "Permission denied",
            ),
        ];
        leaves_nothing(|| {
            for (program, kind, cause) in cases {
                let error = AsyncPipe::piped(&mut Command::new(program)).unwrap_err();
                assert_eq!(error.kind(), kind);
                assert!(
                    error
                        .to_string()
                        .starts_with(&format!("spawn {}: {cause}", program.display())),
                    "{error}"
                );
            }
        });
        Ok(())
    })
}

#[test]
fn a_pipeline_of_which_one_cannot_be_started_leaves_none_of_the_others() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        leaves_nothing(|| {
            let commands = [
                sh("exec sleep 600"),
                sh("trap '' TERM; exec sleep 600"),
                Command::new("/missing/program"),
            ];
            let error = AsyncPipe::pipeline(commands).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(
                error
                    .to_string()
                    .starts_with("spawn /missing/program, stage 3 of 3: "),
                "{error}"
            );
        });
        assert_eq!(children(), []);
        Ok(())
    })
}

// ---------------------------------------- 23. dropping neither blocks nor leaves a zombie for good

/// A child that lives until its stdin, which this keeps, is closed.
fn held() -> (AsyncPipe, asyncfile::AsyncFile) {
    let pipe = cat();
    let stdin = pipe.stdin().unwrap().clone();
    (pipe, stdin)
}

#[test]
fn dropping_a_pipe_does_not_block_and_a_later_turn_reaps_its_child() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let (pipe, stdin) = held();
        let id = pipe.ids()[0];
        drop(pipe);
        assert_eq!(
            children(),
            [(id, false)],
            "it lives, and was not waited for"
        );
        drop(stdin);
        await_end(id);
        assert_eq!(children(), [(id, true)]);
        let mut sched = Scheduler::new();
        drop(sched.spawn(yield_now(), |task| done(task.ok()?)));
        sched.run()?;
        assert_eq!(children(), []);
        Ok(())
    })
}

#[test]
fn a_turn_without_tasks_reaps_too() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let (pipe, stdin) = held();
        let id = pipe.ids()[0];
        drop((pipe, stdin));
        await_end(id);
        assert_eq!(Scheduler::new().turn(Some(Duration::ZERO))?, 0);
        assert_eq!(children(), []);
        Ok(())
    })
}

#[test]
fn the_turn_of_a_foreign_loop_reaps() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let (pipe, stdin) = held();
        let id = pipe.ids()[0];
        drop((pipe, stdin));
        await_end(id);
        Scheduler::new().dispatch(&[])?;
        assert_eq!(children(), []);
        Ok(())
    })
}

#[test]
fn the_next_spawn_reaps() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let (pipe, stdin) = held();
        let id = pipe.ids()[0];
        drop((pipe, stdin));
        await_end(id);
        let (next, _stdin) = held();
        assert_eq!(children(), [(next.ids()[0], false)]);
        next.kill()?;
        Ok(())
    })
}

#[test]
fn a_child_that_has_ended_by_then_is_reaped_by_the_drop_itself() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let pipe = spawn("exit 0");
        await_end(pipe.ids()[0]);
        assert_eq!(children().len(), 1);
        drop(pipe);
        assert_eq!(children(), []);
        Ok(())
    })
}

#[test]
fn an_exit_can_still_be_had_after_close() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let pipe = spawn("cat; exit 7");
        pipe.close();
        await_end(pipe.ids()[0]);
        let mut sched = Scheduler::new();
        sched.block_on(sleep(SHORT))?; // its turns reap it
        assert_eq!(children(), []);
        assert_eq!(sched.block_on(pipe.exit())?.code(), Some(7));
        Ok(())
    })
}

// ------------------------------------------------------------------ descriptors run out

/// Takes all descriptors that this process may have; what is dropped of them is free.
fn hoard() -> Vec<File> {
    let limit = libc::rlimit {
        rlim_cur: 100,
        rlim_max: 4096,
    };
    // SAFETY: the pointer is to a live structure.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    let hoard: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(hoard.len() > 20, "the rest of the process has most of them");
    hoard
}

#[test]
fn without_descriptors_a_spawn_is_a_clear_error_and_leaves_nothing() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let before = Belongings::count();
        for free in 0..12 {
            let mut hoard = hoard();
            hoard.truncate(hoard.len() - free);
            let started = AsyncPipe::pipeline([&mut sh("cat"), sh("cat").stderr(Stdio::piped())]);
            drop(hoard);
            match started {
                Err(error) => {
                    assert!(error.to_string().starts_with("spawn sh, stage "), "{error}");
                    let cause = OperationError::of(&error).unwrap();
                    assert_eq!(cause.raw_os_error(), Some(libc::EMFILE));
                    assert_eq!(Belongings::count(), before);
                }
                Ok(pipe) => {
                    assert!(
                        free > 5,
                        "two children and three streams in {free} descriptors"
                    );
                    pipe.close_stdin();
                    Scheduler::new().block_on(pipe.exit())?;
                    await_end(pipe.ids()[0]);
                    drop(pipe);
                    assert_eq!(Belongings::count(), before);
                    return Ok(());
                }
            }
        }
        panic!("it was never started");
    })
}

#[test]
fn without_a_descriptor_for_a_pidfd_the_exit_is_noticed_all_the_same() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let mut sched = Scheduler::new();
        let (fed, (waited, stdin)) = (spawn("cat; exit 3"), held());
        let hoard = hoard();
        assert_output(&sched.block_on(fed.communicate("in"))?, 3, "in", "");
        let exit = sched.spawn(waited.exit(), |task| done(task.exit()?));
        settle(&mut sched);
        stdin.close();
        turn_until(&mut sched, || exit.is_finished());
        assert!(sched.join(exit)?.success());
        drop(hoard);
        Ok(())
    })
}

#[test]
fn a_child_that_outlives_its_thread_is_reaped_by_another_thread() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let gate = Gate::new();
        let script = format!("read line < {gate}");
        std::thread::spawn(move || drop(spawn(&script)))
            .join()
            .unwrap();
        let mut sched = Scheduler::new();
        put(&gate.reached(&mut sched), b"go\n");
        let [(id, _)] = children()[..] else {
            panic!("one child: {:?}", children())
        };
        await_end(id);
        assert_eq!(children(), [(id, true)], "nobody has reaped it yet");
        sched.block_on(yield_now())?;
        assert_eq!(children(), []);
        Ok(())
    })
}

/// Of two thousand children whose pipes were dropped, 64 pidfds are held, and nothing in the end.
#[test]
fn two_thousand_children_that_are_dropped_alive_hold_64_descriptors() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let mut sched = Scheduler::new();
        sched.block_on(yield_now())?;
        let before = Belongings::count();
        for _ in 0..2000 {
            let mut command = Command::new("sleep");
            command
                .arg("100")
                .stdin(Stdio::null())
                .stdout(Stdio::null());
            drop(AsyncPipe::spawn(command)?);
            sched.turn(Some(Duration::ZERO))?;
        }
        let alive = Belongings::count();
        assert_eq!(alive.children - before.children, 2000);
        assert_eq!(alive.descriptors - before.descriptors, 64);
        for (id, _) in children() {
            crate::help::kill(id, libc::SIGKILL);
        }
        turn_until(&mut sched, || children().is_empty());
        assert_eq!(Belongings::count(), before);
        Ok(())
    })
}
