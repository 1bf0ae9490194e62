//! communicate beside other operations and other tasks; what does not fit is told.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::time::Duration;

use asyncfile::{
    done, first, never, sleep, wait, AsyncFile, AsyncPipe, End, Op, Outcome, Scheduler,
};

use crate::descriptors::{alone, Test};
use crate::help::{
    assert_output, await_end, cat, failure, pattern, piped, spawn, spawn_with_stderr, Gate,
};
use crate::support::{kind, pipe, put, settle, turn_until, watchdog, SHORT};

#[test]
fn a_communicate_in_first_is_invalid_input_and_feeds_nothing() {
    let _watchdog = watchdog();
    let pipe = cat();
    let mut sched = Scheduler::new();
    for ops in [
        vec![Op::from(pipe.communicate("lost")), sleep(SHORT).into()],
        vec![
            sleep(SHORT).into(),
            first([Op::from(pipe.communicate("lost"))]).into(),
        ],
    ] {
        let (error, _) = failure(&mut sched, first(ops));
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().ends_with("cannot be put back"), "{error}");
    }
    assert_output(
        &sched.block_on(pipe.communicate("fed")).unwrap(),
        0,
        "fed",
        "",
    );
}

#[test]
fn a_first_that_is_refused_waits_nowhere_although_its_task_goes_on() {
    let _watchdog = watchdog();
    let pipe = cat();
    let mut sched = Scheduler::new();
    let ops = first([Op::from(pipe.communicate("lost")), sleep(SHORT).into()]);
    let task = sched.spawn(ops, |task| match task.end() {
        End::Failed => wait(never()),
        _ => done(()),
    });
    let output = sched.block_on(pipe.communicate("fed")).unwrap();
    assert_output(&output, 0, "fed", "");
    task.cancel();
}

#[test]
fn an_exit_and_a_read_in_first_are_fine() {
    let _watchdog = watchdog();
    let pipe = spawn("read line; exit 8");
    let mut sched = Scheduler::new();
    let stdin = pipe.stdin().unwrap().clone();
    let ops = || first([Op::from(pipe.exit()), pipe.readline_stderr().into()]);
    // The child's stderr is not piped.
    assert_eq!(failure(&mut sched, ops()).0.kind(), ErrorKind::InvalidInput);
    let race = sched.spawn(
        first([Op::from(pipe.exit()), sleep(SHORT).into()]),
        |task| done(task.which()),
    );
    assert_eq!(sched.join(race).unwrap(), 1);
    sched.block_on(stdin.write("\n")).unwrap();
    let race = sched.spawn(
        first([Op::from(pipe.exit()), sleep(100 * SHORT).into()]),
        |task| done(task.exit()?),
    );
    assert_eq!(sched.join(race).unwrap().code(), Some(8));
}

#[test]
fn an_accessor_that_does_not_fit_is_invalid_input() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let task = sched.spawn(spawn("echo hi").communicate(()), |task| {
        for error in [
            task.line().unwrap_err(),
            task.exit().unwrap_err(),
            task.ok().unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(
                error
                    .to_string()
                    .contains("the task waited for communicate"),
                "{error}"
            );
        }
        let output = task.output()?;
        assert_eq!(
            task.output().unwrap_err().kind(),
            ErrorKind::InvalidInput,
            "it was moved out"
        );
        assert!(matches!(task.outcome(), Outcome::Taken));
        done(output)
    });
    assert_output(&sched.join(task).unwrap(), 0, "hi\n", "");

    let task = sched.spawn(spawn("exit 2").exit(), |task| {
        assert_eq!(task.output().unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(task.exit()?, task.exit()?, "the same answer again");
        done(task.exit()?.code())
    });
    assert_eq!(sched.join(task).unwrap(), Some(2));
}

#[test]
fn operations_that_waited_before_are_served_before() {
    let _watchdog = watchdog();
    let pipe = cat();
    let mut sched = Scheduler::new();
    let line = sched.spawn(pipe.readline(), |task| done(task.line()?.unwrap().to_vec()));
    let written = sched.spawn(pipe.write("first\n").full(), |task| done(task.written()?));
    let output = sched.spawn(pipe.communicate("second\n"), |task| done(task.output()?));
    assert_output(&sched.join(output).unwrap(), 0, "second\n", "");
    assert_eq!(sched.join(line).unwrap(), b"first\n");
    assert_eq!(sched.join(written).unwrap(), 6);
}

#[test]
fn what_was_read_ahead_belongs_to_the_output() {
    let _watchdog = watchdog();
    let pipe = spawn_with_stderr("echo one; echo two; echo err >&2; echo more >&2; cat");
    let mut sched = Scheduler::new();
    assert_eq!(sched.block_on(pipe.readline()).unwrap().unwrap(), b"one\n");
    assert_eq!(
        sched.block_on(pipe.readline_stderr()).unwrap().unwrap(),
        b"err\n"
    );
    assert_output(
        &sched.block_on(pipe.communicate("three")).unwrap(),
        0,
        "two\nthree",
        "more\n",
    );
}

#[test]
fn of_two_communicates_the_first_has_the_output_and_both_the_status() {
    let _watchdog = watchdog();
    let gate = Gate::new();
    let pipe = spawn(&format!("cat; exec >&-; read line < {gate}; exit 3"));
    let outputs = RefCell::new(Vec::new());
    let mut sched = Scheduler::new();
    for (name, op) in [
        ("first", pipe.communicate("all of it")),
        ("second", pipe.communicate(())),
    ] {
        let outputs = &outputs;
        drop(sched.spawn(op, move |task| {
            outputs.borrow_mut().push((name, task.output()?));
            done(())
        }));
    }
    put(&gate.reached(&mut sched), b"\n");
    sched.run().unwrap();
    assert_eq!(outputs.borrow().len(), 2);
    for (name, output) in outputs.borrow().iter() {
        assert_output(
            output,
            3,
            if *name == "first" { "all of it" } else { "" },
            "",
        );
    }
    assert_output(&sched.block_on(pipe.communicate(())).unwrap(), 3, "", "");
}

#[test]
fn a_stream_that_is_closed_meanwhile_is_an_error_that_says_so() {
    let _watchdog = watchdog();
    let pipe = cat();
    let (reader, _silent) = pipe_of_input();
    let mut sched = Scheduler::new();
    let task = sched.spawn(pipe.communicate(reader), |task| done(task.output()?));
    settle(&mut sched);
    pipe.close();
    let error = std::io::Error::from(sched.join(task).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::NotConnected);
    assert!(error.to_string().starts_with("communicate"), "{error}");
    assert!(error.to_string().contains("closed"), "{error}");
    assert!(
        sched.block_on(pipe.exit()).unwrap().success(),
        "its stdin has ended"
    );
}

fn pipe_of_input() -> (AsyncFile, std::os::fd::OwnedFd) {
    let (reader, writer) = pipe();
    (AsyncFile::new(reader).unwrap(), writer)
}

#[test]
fn input_for_a_stdin_that_was_closed_is_an_error_and_no_input_is_fine() {
    let _watchdog = watchdog();
    let pipe = cat();
    let mut sched = Scheduler::new();
    pipe.close_stdin();
    pipe.close_stdin();
    assert_eq!(
        kind(sched.block_on(pipe.communicate("too late"))),
        ErrorKind::NotConnected
    );
    assert_output(&sched.block_on(pipe.communicate(())).unwrap(), 0, "", "");
}

#[test]
fn a_child_that_ended_long_ago_gives_all_that_it_said() {
    let _watchdog = watchdog();
    let pipe = spawn_with_stderr("echo out; echo err >&2; exit 1");
    await_end(pipe.ids()[0]);
    assert_eq!(pipe.try_wait().unwrap().unwrap().code(), Some(1));
    assert_output(
        &Scheduler::new().block_on(pipe.communicate(())).unwrap(),
        1,
        "out\n",
        "err\n",
    );
}

// ------------------------------------------------------------------ what five things it waits for

#[test]
fn input_stdin_stdout_stderr_and_exit_are_waited_for_at_once() {
    let _watchdog = watchdog();
    let gate = Gate::new();
    let script = "read line; echo out $line; read line; echo err $line >&2; exec >&- 2>&- <&-";
    let pipe = spawn_with_stderr(&format!("{script}; read line < {gate}; exit $line"));
    let (input, writer) = pipe_of_input();
    let mut sched = Scheduler::new();
    let task = sched.spawn(pipe.communicate(input), |task| done(task.output()?));
    let in_poll_set = |sched: &mut Scheduler<'_>| {
        settle(sched);
        let mut set = Vec::new();
        sched.pollfds(&mut set);
        set.len()
    };
    // The input, the stdin (for its hangup), stdout, stderr, the exit.
    assert_eq!(in_poll_set(&mut sched), 5);
    put(&writer, b"one\n");
    turn_until(&mut sched, || pipe.stdout().unwrap().buffered() == 8);
    put(&writer, b"two\n");
    let gate = gate.reached(&mut sched);
    // All streams are closed: what is left is the exit, and the loop has nothing to do.
    assert_eq!(in_poll_set(&mut sched), 1);
    put(&gate, b"5\n");
    assert_output(&sched.join(task).unwrap(), 5, "out one\n", "err two\n");
    assert_eq!(in_poll_set(&mut sched), 0);
}

#[test]
fn other_tasks_tick_on_while_a_child_lives_on_with_its_streams_closed() {
    let _watchdog = watchdog();
    let gate = Gate::new();
    let pipe = spawn_with_stderr(&format!("exec >&- 2>&- <&-; read line < {gate}; exit 4"));
    let mut sched = Scheduler::new();
    let output = sched.spawn(pipe.communicate("never read"), |task| done(task.output()?));
    let gate = gate.reached(&mut sched);
    let mut ticks = 0;
    let ticker = sched.spawn(sleep(SHORT / 20), move |task| {
        task.ok()?;
        ticks += 1;
        if ticks == 50 {
            put(&gate, b"\n");
            return done(());
        }
        wait(sleep(SHORT / 20))
    });
    // The child waits for the ticker, so a loop that waited for the child would never get here.
    assert_output(&sched.join(output).unwrap(), 4, "", "");
    sched.join(ticker).unwrap();
}

// ------------------------------------------------------------------ 14. EPIPE and SIGPIPE

#[test]
fn epipe_is_an_error_in_a_plain_write_and_silent_in_a_communicate() {
    let _watchdog = watchdog();
    let pipe = spawn("exec <&-; echo closed; cat /dev/null");
    let mut sched = Scheduler::new();
    assert_eq!(
        sched.block_on(pipe.readline()).unwrap().unwrap(),
        b"closed\n"
    );
    assert_eq!(kind(sched.block_on(pipe.write("x"))), ErrorKind::BrokenPipe);
    assert_output(
        &sched.block_on(pipe.communicate(pattern(100_000))).unwrap(),
        0,
        "",
        "",
    );
}

#[test]
fn sigpipe_at_its_default_does_not_kill_the_host() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        // SAFETY: the default disposition has no handler.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let mut sched = Scheduler::new();
        for _ in 0..20 {
            let pipe = spawn("exit 0");
            await_end(pipe.ids()[0]);
            assert_eq!(kind(sched.block_on(pipe.write("x"))), ErrorKind::BrokenPipe);
            assert!(sched
                .block_on(pipe.communicate(pattern(100_000)))?
                .status
                .success());
        }
        // SAFETY: the pointers are to live values, and a null new action only asks.
        let now = unsafe {
            let mut now: libc::sigaction = std::mem::zeroed();
            libc::sigaction(libc::SIGPIPE, std::ptr::null(), &mut now);
            now.sa_sigaction
        };
        assert_eq!(now, libc::SIG_DFL, "the host's disposition is the host's");
        Ok(())
    })
}

#[test]
fn a_childs_sigpipe_is_at_its_default() {
    let _watchdog = watchdog();
    let pipe = spawn("kill -PIPE $$; echo survived");
    assert_output(
        &Scheduler::new().block_on(pipe.communicate(())).unwrap(),
        -libc::SIGPIPE,
        "",
        "",
    );
}

/// Zero is what can be had without waiting: of a child that has ended, everything.
#[test]
fn a_timeout_of_zero_has_all_that_an_ended_child_has_said() {
    let _watchdog = watchdog();
    for (script, out, err) in [
        ("exit 3", "", ""),
        ("echo a; exit 3", "a\n", ""),
        ("echo a; echo b >&2; exit 3", "a\n", "b\n"),
    ] {
        let pipe = spawn_with_stderr(script);
        await_end(pipe.ids()[0]);
        let output = Scheduler::new().block_on(pipe.communicate(()).timeout(Duration::ZERO));
        assert_output(&output.unwrap(), 3, out, err);
    }
}

/// More than a share, where the pipe holds that: it is taken all the same, as at the end of a
/// linger.
#[cfg(target_os = "linux")]
#[test]
fn a_timeout_of_zero_has_all_that_a_large_pipe_holds() {
    use std::os::fd::AsRawFd;
    let _watchdog = watchdog();
    let child = piped("read line; head -c 800000 /dev/zero; exit 3", "io");
    let stdout = child.stdout.as_ref().unwrap().as_raw_fd();
    // SAFETY: takes two numbers.
    assert!(unsafe { libc::fcntl(stdout, libc::F_SETPIPE_SZ, 1 << 20) } >= 800_000);
    put(child.stdin.as_ref().unwrap(), b"go\n");
    let pipe = AsyncPipe::new(child).unwrap();
    await_end(pipe.ids()[0]);
    let output = Scheduler::new()
        .block_on(pipe.communicate(()).timeout(Duration::ZERO))
        .unwrap();
    assert_eq!(
        (output.stdout.len(), output.status.code()),
        (800_000, Some(3))
    );
}
