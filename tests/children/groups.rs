//! Signals to process groups, and children that do not outlive their pipe. Each test that counts
//! what is left is in a process of its own.

use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use asyncfile::{done, sleep, yield_now, AsyncFile, AsyncPipe, OperationError, Scheduler};

use crate::descriptors::{alone, Test};
use crate::forked::in_a_fork;
use crate::help::{await_end, cat, children, code, group, kill, living, reap_behind, sh};
use crate::support::{settle, turn_until, watchdog, SHORT};

/// Two sleepers and their shell, which says that they run.
fn tree() -> Command {
    group("sleep 60 & sleep 60 & echo ready; wait")
}

fn started(command: Command) -> (Scheduler<'static>, AsyncPipe, u32) {
    let pipe = AsyncPipe::piped(command).unwrap();
    let mut sched = Scheduler::new();
    assert_eq!(
        sched.block_on(pipe.readline()).unwrap().unwrap(),
        b"ready\n"
    );
    let leader = pipe.ids()[0];
    (sched, pipe, leader)
}

/// A group's end is not waited for by anything of the library's.
fn await_death(sched: &mut Scheduler<'_>, leader: u32) {
    turn_until(sched, || living(leader).is_empty());
}

fn each_way(run: impl Fn()) {
    for without_pidfds in [false, true] {
        asyncfile::refuse_pidfds(without_pidfds);
        run();
    }
}

#[test]
fn a_group_whose_leader_was_killed_first_can_be_killed() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        each_way(|| {
            let (mut sched, pipe, leader) = started(tree());
            assert_eq!(living(leader).len(), 3);
            pipe.kill().unwrap();
            assert_eq!(code(sched.block_on(pipe.exit()).unwrap()), -9);
            assert_eq!(living(leader).len(), 2, "the sleepers");
            assert_eq!(children(), [(leader, true)], "its number is kept");
            pipe.kill_group().unwrap();
            await_death(&mut sched, leader);
            let output = sched.block_on(pipe.communicate(())).unwrap();
            assert_eq!(code(output.status), -9);
            pipe.kill_group().unwrap();
            drop(pipe);
            assert_eq!(children(), [], "reaped with the last handle");
        });
        Ok(())
    })
}

#[test]
fn all_statuses_are_those_of_waitpid_although_leaders_are_not_reaped() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        each_way(|| {
            for (script, expected) in [
                ("exit 0", 0),
                ("exit 255", 255),
                ("kill -KILL $$", -9),
                ("ulimit -c unlimited; kill -ABRT $$", -6),
            ] {
                let pipe = AsyncPipe::piped(group(script).current_dir("/tmp")).unwrap();
                let mut sched = Scheduler::new();
                let status = sched.block_on(pipe.exit()).unwrap();
                assert_eq!(code(status), expected);
                assert_eq!(pipe.try_wait().unwrap(), Some(status));
                assert_eq!(pipe.statuses(), [Some(status)]);
                assert_eq!(sched.block_on(pipe.exit_all()).unwrap(), [status]);
            }
            assert_eq!(children(), []);
        });
        Ok(())
    })
}

/// A session's leader leads a group, too.
#[test]
fn setsid_in_the_child_makes_a_group() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let mut command = sh("sleep 60 & echo ready; wait");
        // SAFETY: setsid is async-signal-safe.
        unsafe {
            command.pre_exec(|| match libc::setsid() {
                -1 => Err(std::io::Error::last_os_error()),
                _ => Ok(()),
            })
        };
        let (mut sched, pipe, leader) = started(command);
        pipe.signal_group(libc::SIGTERM)?;
        await_death(&mut sched, leader);
        assert_eq!(code(sched.block_on(pipe.exit())?), -15);
        Ok(())
    })
}

#[test]
fn without_a_leader_it_is_refused_and_nothing_is_sent() {
    let _watchdog = watchdog();
    let pipe = cat();
    for error in [
        pipe.kill_group().unwrap_err(),
        pipe.signal_group(0).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(
            error
                .to_string()
                .starts_with("signal_group: no child leads"),
            "{error}"
        );
    }
    assert_eq!(pipe.statuses(), [None]);
    let output = Scheduler::new()
        .block_on(pipe.communicate("alive"))
        .unwrap();
    assert_eq!(output.stdout, b"alive");
}

#[test]
fn of_a_pipeline_the_groups_of_those_that_lead_one_get_it() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let pipe = AsyncPipe::pipeline([group("exec sleep 60"), sh("cat; exit 3")]).unwrap();
    pipe.signal_group(libc::SIGTERM).unwrap();
    let exits = sched.block_on(pipe.exit_all()).unwrap();
    assert_eq!(exits.into_iter().map(code).collect::<Vec<_>>(), [-15, 3]);
    let error = pipe.signal_group(12345).unwrap_err();
    assert_eq!(
        OperationError::of(&error).unwrap().raw_os_error(),
        Some(libc::EINVAL)
    );
}

#[test]
fn a_leader_that_somebody_else_has_reaped_is_an_error_and_nothing_is_sent() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        each_way(|| {
            for is_known in [false, true] {
                let (mut sched, pipe, leader) = started(tree());
                kill(leader, libc::SIGKILL);
                if is_known {
                    assert_eq!(code(sched.block_on(pipe.exit()).unwrap()), -9);
                }
                reap_behind(leader);
                let error = pipe.kill_group().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Other);
                assert!(error.to_string().contains("nothing is sent"), "{error}");
                let survivors = living(leader);
                assert_eq!(survivors.len(), 2, "nothing was sent");
                survivors.into_iter().for_each(|id| kill(id, libc::SIGKILL));
                await_death(&mut sched, leader);
            }
        });
        Ok(())
    })
}

#[test]
fn with_sigchld_ignored_it_says_so_and_nothing_is_sent() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        // SAFETY: this process is the test's own.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        let (mut sched, pipe, leader) = started(tree());
        pipe.signal_group(0)?; // it lives
        kill(leader, libc::SIGKILL);
        turn_until(&mut sched, || living(leader).len() == 2);
        turn_until(&mut sched, || pipe.kill_group().is_err());
        let error = pipe.kill_group().unwrap_err();
        assert!(error.to_string().contains("nothing is sent"), "{error}");
        assert_eq!(living(leader).len(), 2);
        living(leader)
            .into_iter()
            .for_each(|id| kill(id, libc::SIGKILL));
        await_death(&mut sched, leader);
        Ok(())
    })
}

// ------------------------------------------------------------------------------- kill on drop

#[test]
fn the_last_handles_drop_kills_and_a_turn_reaps() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        each_way(|| {
            let (mut sched, pipe, leader) = started(tree());
            let single = AsyncPipe::piped(sh("exec sleep 60"))
                .unwrap()
                .kill_on_drop();
            let ids = [leader, single.ids()[0]];
            let pipe = pipe.kill_on_drop();
            // A clone and an operation are handles.
            let (clone, exit) = (pipe.clone(), single.exit());
            drop((pipe, single));
            settle(&mut sched);
            assert_eq!(living(leader).len(), 3);
            assert_eq!(children().len(), 2);
            drop((clone, exit));
            ids.into_iter().for_each(await_end_if_there);
            turn_until(&mut sched, || children().is_empty());
            await_death(&mut sched, leader);
        });
        Ok(())
    })
}

/// As [`await_end`], for a child that may have been reaped by now.
fn await_end_if_there(id: u32) {
    if children().iter().any(|child| child.0 == id) {
        await_end(id);
    }
}

#[test]
fn a_stream_of_the_pipe_is_no_handle_and_a_task_that_is_cancelled_drops_its_own() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let pipe = cat().kill_on_drop();
        let (id, stdout): (_, AsyncFile) = (pipe.ids()[0], pipe.stdout().unwrap().clone());
        drop(pipe);
        await_end(id);
        let mut sched = Scheduler::new();
        assert_eq!(sched.block_on(stdout.read_to_end())?, b"");
        // A task's operation is the last handle.
        let pipe = cat().kill_on_drop();
        let id = pipe.ids()[0];
        let task = sched.spawn(pipe.exit(), |task| done(task.exit()?));
        drop(pipe);
        settle(&mut sched);
        assert_eq!(children(), [(id, false)]);
        task.cancel();
        settle(&mut sched);
        await_end_if_there(id);
        turn_until(&mut sched, || children().is_empty());
        Ok(())
    })
}

#[test]
fn a_pipe_that_was_closed_kills_when_it_is_dropped() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let pipe = AsyncPipe::piped(sh("exec sleep 60"))?.kill_on_drop();
        let id = pipe.ids()[0];
        let mut sched = Scheduler::new();
        pipe.close();
        for _ in 0..20 {
            sched.turn(Some(Duration::ZERO))?;
        }
        assert_eq!(children(), [(id, false)]);
        drop(pipe);
        await_end_if_there(id);
        turn_until(&mut sched, || children().is_empty());
        Ok(())
    })
}

#[test]
fn a_spawn_reaps_those_that_a_drop_has_killed() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let pipe = AsyncPipe::piped(sh("exec sleep 60"))?.kill_on_drop();
        let id = pipe.ids()[0];
        drop(pipe);
        await_end_if_there(id);
        let next = cat();
        assert_eq!(children(), [(next.ids()[0], false)]);
        drop(next);
        Ok(())
    })
}

#[test]
fn a_fork_that_drops_its_copies_kills_and_reaps_nothing() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let (mut sched, pipe, leader) = started(tree());
        let ended = AsyncPipe::piped(group("exit 7"))?.kill_on_drop();
        assert_eq!(code(sched.block_on(ended.exit())?), 7);
        let stopped = AsyncPipe::piped(group("echo ready; sleep 60"))?;
        sched.block_on(stopped.readline())?;
        let status = sched.block_on(stopped.stop(Duration::from_secs(600)))?;
        assert_eq!(code(status), -15);
        let mut copies = Some((
            pipe.kill_on_drop(),
            cat().kill_on_drop(),
            ended,
            stopped,
            sched,
        ));
        in_a_fork(|| {
            drop(copies.take());
            let mut own = Scheduler::new();
            own.block_on(yield_now()).unwrap();
            (0..10).for_each(|_| assert!(own.turn(Some(Duration::ZERO)).is_ok()));
        });
        let (pipe, cat, ended, stopped, mut sched) = copies.take().unwrap();
        assert_eq!(living(leader).len(), 3);
        assert_eq!(children().len(), 4);
        assert_eq!(code(sched.block_on(ended.exit())?), 7);
        ended.signal_group(0)?;
        stopped.signal_group(0)?;
        assert_eq!(sched.block_on(cat.communicate("alive"))?.stdout, b"alive");
        drop((pipe, cat, ended, stopped));
        await_death(&mut sched, leader);
        drop(sched); // and with it the hidden task of the stop
        let mut sched = Scheduler::new();
        turn_until(&mut sched, || children().is_empty());
        sched.block_on(sleep(SHORT))?;
        Ok(())
    })
}

/// A child that may not be signalled (another user's) does not keep the signal from those behind
/// it, and the error names it.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn a_child_that_may_not_be_signalled_keeps_no_signal_from_the_others() -> Test {
    /// The real and the effective user; the saved one stays root.
    fn become_user(id: libc::uid_t) {
        // SAFETY: takes three numbers.
        assert_eq!(unsafe { libc::setresuid(id, id, 0) }, 0);
    }

    // SAFETY: takes nothing.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("skipped: only root can become somebody who may not signal its child");
        return Ok(());
    }
    alone(|| {
        let _watchdog = watchdog();
        type Send = fn(&AsyncPipe) -> std::io::Result<()>;
        let ways: [(bool, Send); 2] = [
            (false, |pipe| pipe.signal(libc::SIGTERM)),
            (true, |pipe| pipe.signal_group(libc::SIGTERM)),
        ];
        for (leads, send) in ways {
            let stage = |id: libc::uid_t, first: bool| {
                let mut command = sh(if first {
                    "echo ready; exec sleep 60"
                } else {
                    "read line; echo $line; exec sleep 60"
                });
                if leads {
                    command.process_group(0);
                }
                // SAFETY: setresuid(2) is safe between fork and exec.
                unsafe {
                    command.pre_exec(move || match libc::setresuid(id, id, id) {
                        0 => Ok(()),
                        _ => Err(std::io::Error::last_os_error()),
                    });
                }
                command
            };
            let mut sched = Scheduler::new();
            let pipe = AsyncPipe::pipeline([stage(0, true), stage(65534, false)])?;
            assert_eq!(sched.block_on(pipe.readline())?.unwrap(), b"ready\n");
            become_user(65534);
            let error = send(&pipe).unwrap_err();
            become_user(0);
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
            assert_eq!(
                code(sched.block_on(pipe.exit())?),
                -15,
                "the second has got it"
            );
            assert_eq!(pipe.statuses()[0], None, "the first has not");
            pipe.kill()?;
            sched.block_on(pipe.exit_all())?;
        }
        Ok(())
    })
}
