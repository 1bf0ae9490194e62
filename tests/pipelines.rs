//! AsyncPipe::pipeline: `a | b | c` of any length. What must hold of the process as a whole (its
//! descriptors, its children, its threads) is shown in a process of the test's own.

mod descriptors;

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::RawFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use asyncfile::{done, AsyncPipe, Scheduler};
use descriptors::{alone, guard, pattern, Test};

const LONG: Duration = Duration::from_secs(60);

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

fn cats(count: usize) -> Vec<Command> {
    (0..count).map(|_| Command::new("cat")).collect()
}

/// Every stage's status. Those before the last end once they have lost their reader, but nobody
/// says how soon.
fn statuses(sched: &mut Scheduler<'_>, pipe: &AsyncPipe) -> Vec<ExitStatus> {
    let start = Instant::now();
    loop {
        let statuses = pipe.statuses();
        if statuses.iter().all(Option::is_some) {
            return statuses.into_iter().flatten().collect();
        }
        assert!(
            start.elapsed() < LONG,
            "some stage does not end: {statuses:?}"
        );
        sched
            .block_on(asyncfile::sleep(Duration::from_millis(1)))
            .unwrap();
    }
}

/// The numbers of the descriptors that are open in this process.
fn open_descriptors() -> BTreeSet<RawFd> {
    // SAFETY: F_GETFD takes a number and touches no memory.
    (0..4096)
        .filter(|fd| unsafe { libc::fcntl(*fd, libc::F_GETFD) } != -1)
        .collect()
}

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

/// Turns of this thread reap what is left, as soon as it has ended.
#[track_caller]
fn assert_turns_reap_all() {
    let mut sched = Scheduler::new();
    let start = Instant::now();
    // SAFETY: waitid only looks (WNOWAIT), into a live structure.
    let has_child = || unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(
            libc::P_ALL,
            0,
            &mut info,
            libc::WEXITED | libc::WNOHANG | libc::WNOWAIT,
        ) == 0
    };
    while has_child() {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "a child is left that no turn reaps"
        );
        sched
            .block_on(asyncfile::sleep(Duration::from_millis(1)))
            .unwrap();
    }
}

fn threads() -> Option<usize> {
    fs::read_dir("/proc/self/task").ok().map(Iterator::count)
}

// ------------------------------------------------------------------ what it does

#[test]
fn bytes_pass_unchanged_through_any_number_of_stages() -> Test {
    let _guard = guard();
    for stages in [1, 2, 3, 5, 32] {
        let data = pattern(300_000);
        let pipe = AsyncPipe::pipeline(cats(stages))?;
        let mut sched = Scheduler::new();
        let output = sched.block_on(pipe.communicate(&data))?;
        assert!(output.status.success());
        assert!(
            output.stdout == data,
            "{stages} stages: {} bytes came",
            output.stdout.len()
        );
        assert_eq!(pipe.ids().len(), stages);
        assert_eq!(statuses(&mut sched, &pipe).len(), stages);
    }
    Ok(())
}

#[test]
fn the_stages_run_in_the_order_they_are_given() -> Test {
    let _guard = guard();
    let commands = [sh("sed s/$/1/"), sh("sed s/$/2/"), sh("sed s/$/3/")];
    let pipe = AsyncPipe::pipeline(commands)?;
    assert_eq!(
        Scheduler::new()
            .block_on(pipe.communicate("x\ny\n"))?
            .stdout,
        b"x123\ny123\n"
    );
    Ok(())
}

#[test]
fn a_feeder_and_a_reader_share_a_pipeline() -> Test {
    let _guard = guard();
    let pipe = AsyncPipe::pipeline(cats(3))?;
    let lines: Vec<String> = (0..20_000).map(|n| format!("line {n}\n")).collect();
    let mut sched = Scheduler::new();
    let (stdin, mut input) = (pipe.clone(), lines.clone().into_iter());
    let feeder = sched.spawn(asyncfile::yield_now(), move |task| {
        task.ok()?;
        match input.next() {
            Some(line) => asyncfile::wait(stdin.write(line).full()),
            None => {
                stdin.close_stdin();
                done(())
            }
        }
    });
    let (stdout, mut expected) = (pipe.clone(), lines.into_iter());
    let reader = sched.spawn(pipe.readline(), move |task| {
        let line = task.line()?;
        assert_eq!(line, expected.next().as_deref().map(str::as_bytes));
        match line {
            Some(_) => asyncfile::wait(stdout.readline()),
            None => done(()),
        }
    });
    sched.join(feeder)?;
    sched.join(reader)?;
    assert!(sched.block_on(pipe.exit())?.success());
    Ok(())
}

#[test]
fn every_stage_has_its_own_status() -> Test {
    let _guard = guard();
    let commands = [
        sh("cat; exit 1"),
        sh("cat; exit 2"),
        sh("cat; kill -9 $$"),
        sh("cat; exit 4"),
    ];
    let pipe = AsyncPipe::pipeline(commands)?;
    let mut sched = Scheduler::new();
    assert_eq!(pipe.statuses(), [None; 4]);
    assert_eq!(pipe.try_wait()?, None);
    let output = sched.block_on(pipe.communicate("through all of them"))?;
    assert_eq!(
        (output.status.code(), &output.stdout[..]),
        (Some(4), &b"through all of them"[..])
    );
    let ends: Vec<_> = statuses(&mut sched, &pipe)
        .iter()
        .map(|status| (status.code(), status.signal()))
        .collect();
    assert_eq!(
        ends,
        [
            (Some(1), None),
            (Some(2), None),
            (None, Some(9)),
            (Some(4), None)
        ]
    );
    assert_eq!(pipe.try_wait()?.and_then(|status| status.code()), Some(4));
    Ok(())
}

#[test]
fn a_stage_that_needs_no_more_ends_those_before_it() -> Test {
    let _guard = guard();
    let mut head = Command::new("head");
    head.args(["-n", "1"]);
    let pipe = AsyncPipe::pipeline([Command::new("yes"), head])?;
    let mut sched = Scheduler::new();
    let output = sched.block_on(pipe.communicate(()).timeout(LONG))?;
    assert_eq!(output.stdout, b"y\n");
    let ends = statuses(&mut sched, &pipe);
    assert_eq!(
        (ends[0].signal(), ends[1].code()),
        (Some(libc::SIGPIPE), Some(0))
    );
    Ok(())
}

/// The commands live on in their owner's hands, and hold nothing of the inner pipes.
#[test]
fn commands_that_live_on_hold_no_inner_pipe() -> Test {
    let _guard = guard();
    let (mut yes, mut cat, mut head) = (
        Command::new("yes"),
        Command::new("cat"),
        Command::new("head"),
    );
    head.args(["-n", "1"]);
    // Each twice: a command that was used is as good as new.
    for _ in 0..2 {
        let pipe = AsyncPipe::pipeline([&mut yes, &mut cat, &mut head])?;
        let mut sched = Scheduler::new();
        assert_eq!(sched.block_on(pipe.read_to_end().timeout(LONG))?, b"y\n");
        assert!(sched.block_on(pipe.exit().timeout(LONG))?.success());
        let ends = statuses(&mut sched, &pipe);
        assert_eq!(
            ends[..2]
                .iter()
                .map(|status| status.signal())
                .collect::<Vec<_>>(),
            [Some(libc::SIGPIPE); 2]
        );
    }
    let mut sched = Scheduler::new();
    let pipe = AsyncPipe::piped(&mut cat)?;
    assert_eq!(sched.block_on(pipe.communicate("alone"))?.stdout, b"alone");
    Ok(())
}

#[test]
fn a_stage_in_the_middle_that_dies_is_an_end_of_file_for_those_after_it() -> Test {
    let _guard = guard();
    let pipe = AsyncPipe::pipeline([
        Command::new("yes"),
        sh("read line; echo last; kill -9 $$"),
        Command::new("cat"),
    ])?;
    let mut sched = Scheduler::new();
    assert_eq!(
        sched.block_on(pipe.communicate(()).timeout(LONG))?.stdout,
        b"last\n"
    );
    let signals: Vec<_> = statuses(&mut sched, &pipe)
        .iter()
        .map(|status| status.signal())
        .collect();
    assert_eq!(signals, [Some(libc::SIGPIPE), Some(libc::SIGKILL), None]);
    Ok(())
}

#[test]
fn the_last_stage_s_stderr_is_read_if_it_is_piped() -> Test {
    let _guard = guard();
    let mut last = sh("cat; echo said on stderr >&2");
    last.stderr(Stdio::piped());
    let pipe = AsyncPipe::pipeline([Command::new("cat"), last])?;
    let output = Scheduler::new().block_on(pipe.communicate("in"))?;
    assert_eq!(
        (&output.stdout[..], &output.stderr[..]),
        (&b"in"[..], &b"said on stderr\n"[..])
    );
    Ok(())
}

#[test]
fn a_signal_reaches_every_stage() -> Test {
    let _guard = guard();
    let pipe = AsyncPipe::pipeline(cats(4))?;
    pipe.signal(libc::SIGTERM)?;
    let mut sched = Scheduler::new();
    assert_eq!(
        sched.block_on(pipe.exit().timeout(LONG))?.signal(),
        Some(libc::SIGTERM)
    );
    // A stage may have read its end of file before it was told.
    let told = |status: &ExitStatus| status.signal() == Some(libc::SIGTERM) || status.success();
    assert!(statuses(&mut sched, &pipe).iter().all(told));
    pipe.kill()?; // to nobody
    Ok(())
}

// ------------------------------------------------- each stage's streams are blocking for the child

/// Not a test of its own: what runs as a stage of the next one.
#[test]
fn as_a_stage() {
    let Some(path) = std::env::var_os("ASYNCFILE_TEST_STAGE") else {
        return;
    };
    // SAFETY: F_GETFL takes a number and touches no memory.
    let is_blocking = |fd| unsafe { libc::fcntl(fd, libc::F_GETFL) } & libc::O_NONBLOCK == 0;
    let said = format!("blocking: {} {}\n", is_blocking(0), is_blocking(1));
    OpenOptions::new()
        .append(true)
        .open(path)
        .unwrap()
        .write_all(said.as_bytes())
        .unwrap();
    io::copy(&mut io::stdin(), &mut io::sink()).unwrap();
}

#[test]
fn every_stage_s_streams_are_blocking() -> Test {
    let _guard = guard();
    let said = tempfile::NamedTempFile::new()?;
    let test = std::env::current_exe()?;
    let stage = || {
        let mut command = Command::new(&test);
        command
            .args(["as_a_stage", "--exact", "--nocapture"])
            .env("ASYNCFILE_TEST_STAGE", said.path());
        command
    };
    let pipe = AsyncPipe::pipeline([stage(), stage(), stage()])?;
    let mut sched = Scheduler::new();
    sched.block_on(pipe.communicate("something").timeout(LONG))?;
    statuses(&mut sched, &pipe);
    assert_eq!(
        fs::read_to_string(said.path())?,
        "blocking: true true\n".repeat(3)
    );
    Ok(())
}

// ------------------------------------------------------------------ nothing is left

#[test]
fn a_pipeline_costs_the_parent_its_two_ends_and_nothing_after_it() -> Test {
    alone(|| {
        let _guard = guard();
        let before = open_descriptors();
        for stages in [1, 2, 7] {
            let mut commands = cats(stages);
            let pipe = AsyncPipe::pipeline(&mut commands)?;
            assert_eq!(
                open_descriptors().len(),
                before.len() + 2,
                "{stages} stages"
            );
            let mut sched = Scheduler::new();
            sched.block_on(pipe.communicate("x"))?;
            statuses(&mut sched, &pipe);
            drop(pipe);
            assert_eq!(open_descriptors(), before);
            assert_childless();
        }
        Ok(())
    })
}

#[test]
fn a_pipeline_dropped_alive_is_reaped_by_a_later_turn() -> Test {
    alone(|| {
        let _guard = guard();
        let before = open_descriptors();
        drop(AsyncPipe::pipeline(cats(5))?);
        assert_eq!(open_descriptors(), before);
        assert_turns_reap_all();
        Ok(())
    })
}

#[test]
fn a_stage_that_cannot_be_started_is_named_and_leaves_nothing_behind() -> Test {
    alone(|| {
        let _guard = guard();
        let dir = tempfile::tempdir()?;
        let not_executable = dir.path().join("not-executable");
        fs::write(&not_executable, "#!/bin/sh\n")?;
        let missing = dir.path().join("missing");
        let bad = [
            (&missing, ErrorKind::NotFound),
            (&not_executable, ErrorKind::PermissionDenied),
        ];
        let before = open_descriptors();
        for (program, kind) in bad {
            for stages in [1, 2, 5] {
                for failing in 0..stages {
                    let mut commands = cats(stages);
                    // One before it would not end by itself: it reads no stdin, and has no reader.
                    if failing > 0 {
                        commands[0] = sh("trap '' TERM PIPE HUP; exec sleep 1000");
                    }
                    commands[failing] = Command::new(program);
                    let error = AsyncPipe::pipeline(&mut commands).unwrap_err();
                    let text = error.to_string();
                    assert_eq!(error.kind(), kind, "{text}");
                    assert!(
                        text.contains(program.to_str().unwrap()),
                        "{text:?} does not name it"
                    );
                    assert_eq!(open_descriptors(), before, "stage {failing} of {stages}");
                    assert_childless();
                }
            }
        }
        Ok(())
    })
}

#[test]
fn no_command_at_all_is_invalid_input() {
    let error = AsyncPipe::pipeline(Vec::<Command>::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

/// The commands come from an iterator, which may end the pipeline with a panic of its own.
#[test]
fn a_panic_of_the_iterator_of_commands_leaves_no_descriptor_and_no_zombie() -> Test {
    alone(|| {
        let _guard = guard();
        let before = open_descriptors();
        let commands = (0..3).map(|n| {
            if n < 2 {
                Command::new("cat")
            } else {
                panic!("no third one")
            }
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            AsyncPipe::pipeline(commands)
        }));
        assert!(result.is_err());
        assert_eq!(open_descriptors(), before);
        assert_turns_reap_all();
        Ok(())
    })
}

#[test]
fn a_hundred_pipelines_of_five_stages_at_once_are_byte_exact_and_leave_nothing() -> Test {
    alone(|| {
        let _guard = guard();
        let (descriptors, threads_before) = (open_descriptors(), threads());
        let bytes = pattern((1 << 20) + 100);
        let mut sched = Scheduler::new();
        let mut pipelines = Vec::new();
        for n in 0..100 {
            let data = bytes[n..n + (1 << 20)].to_vec(); // no two have the same
            let pipe = AsyncPipe::pipeline(cats(5))?;
            let task = sched.spawn(pipe.communicate(&data), |task| done(task.output()?));
            pipelines.push((pipe, data, task));
        }
        assert_eq!(threads(), threads_before);
        let mut pipes = Vec::new();
        for (n, (pipe, data, task)) in pipelines.into_iter().enumerate() {
            let output = sched.join(task)?;
            assert!(
                output.status.success() && output.stdout == data,
                "pipeline {n}: {} bytes",
                output.stdout.len()
            );
            pipes.push(pipe);
        }
        for pipe in &pipes {
            let ends = statuses(&mut sched, pipe);
            assert!(
                ends.len() == 5 && ends.iter().all(ExitStatus::success),
                "{ends:?}"
            );
        }
        assert_childless();
        drop((pipes, sched));
        assert_eq!(open_descriptors(), descriptors);
        assert_eq!(threads(), threads_before);
        Ok(())
    })
}
