//! Children where the kernel has no pidfds: whoever waits asks again after pauses that grow to a
//! bound. All tests here run with the switch thrown, which is the whole process's.

mod support;

#[path = "children/help.rs"]
mod help;

use std::cell::RefCell;
use std::io::ErrorKind;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use asyncfile::{done, sleep, wait, AsyncPipe, Scheduler};

use help::{
    assert_output, await_end, cat, code, failure, pattern, reap_behind, sh, spawn,
    spawn_with_stderr, Gate,
};
use support::{kind, put, settle, turn_until, watchdog, Random, LONG, SHORT};

/// The longest pause between two questions.
const BOUND: Duration = Duration::from_millis(64);

/// Each test begins with this.
#[must_use]
fn begin() -> mpsc::Sender<()> {
    asyncfile::refuse_pidfds(true);
    watchdog()
}

#[test]
fn exit_gives_the_code_or_the_signal() {
    let _test = begin();
    let mut sched = Scheduler::new();
    for (script, expected) in [
        ("exit 0", 0),
        ("sleep 0.1; exit 9", 9),
        ("kill -KILL $$", -9),
    ] {
        assert_eq!(
            code(sched.block_on(spawn(script).exit()).unwrap()),
            expected
        );
    }
}

#[test]
fn nothing_is_in_the_poll_set_and_the_pauses_are_bounded() {
    let _test = begin();
    let pipe = cat();
    let stdin = pipe.stdin().unwrap().clone();
    let mut sched = Scheduler::new();
    let exit = sched.spawn(pipe.exit(), |task| done(task.exit()?));
    let start = Instant::now();
    let mut questions = 0;
    while start.elapsed() < 5 * BOUND {
        let mut set = Vec::new();
        let pause = sched.pollfds(&mut set).expect("somebody has to ask again");
        assert!(set.is_empty());
        assert!(pause <= BOUND, "a pause of {pause:?}");
        questions += 1;
        sched.turn(None).unwrap();
    }
    // 1 + 2 + 4 + ... + 32 ms come to 63 ms, then come pauses of 64 ms; and a turn or two to begin.
    assert!(
        questions <= 15,
        "{questions} questions in five of the longest pauses"
    );
    stdin.close();
    assert!(sched.join(exit).unwrap().success());
}

#[test]
fn an_exit_times_out_no_earlier_than_it_should() {
    let _test = begin();
    let pipe = cat();
    let _stdin = pipe.stdin().unwrap().clone();
    let mut sched = Scheduler::new();
    let start = Instant::now();
    assert_eq!(
        kind(sched.block_on(pipe.exit().timeout(5 * SHORT))),
        ErrorKind::TimedOut
    );
    assert!(start.elapsed() >= 5 * SHORT);
    pipe.kill().unwrap();
    assert_eq!(code(sched.block_on(pipe.exit()).unwrap()), -9);
}

#[test]
fn communicate_does_all_that_it_does_with_them() {
    let _test = begin();
    let mut sched = Scheduler::new();
    let talk = |script: &str, input: Vec<u8>| spawn_with_stderr(script).communicate(input);
    assert_output(
        &sched
            .block_on(talk("cat; echo err >&2; exit 3", b"in".to_vec()))
            .unwrap(),
        3,
        "in",
        "err\n",
    );
    assert_output(
        &sched.block_on(talk("exit 2", pattern(1 << 20))).unwrap(),
        2,
        "",
        "",
    );
    let output = sched
        .block_on(talk("tee /dev/stderr", pattern(1 << 20)))
        .unwrap();
    assert!(output.stdout == pattern(1 << 20) && output.stderr == pattern(1 << 20));
}

#[test]
fn a_communicate_cut_at_any_time_loses_and_repeats_nothing() {
    let _test = begin();
    for seed in 1..=10 {
        let mut random = Random(seed);
        let pipe = spawn("cat; exit 3");
        let mut sched = Scheduler::new();
        let mut result = sched.block_on(pipe.communicate(pattern(1 << 20)).timeout(Duration::ZERO));
        let output = loop {
            match result {
                Ok(output) => break output,
                Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
            }
            let time = Duration::from_micros(random.below(1000) as u64);
            result = sched.block_on(pipe.communicate(()).timeout(time));
        };
        assert_eq!(output.status.code(), Some(3));
        assert!(output.stdout == pattern(1 << 20));
    }
}

#[test]
fn other_tasks_tick_on_while_a_child_lives_on_with_its_streams_closed() {
    let _test = begin();
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
    assert_output(&sched.join(output).unwrap(), 4, "", "");
    sched.join(ticker).unwrap();
}

#[test]
fn two_hundred_at_once_all_end() {
    let _test = begin();
    let mut sched = Scheduler::new();
    let talk = |n: usize| spawn(&format!("cat; exit {}", n % 100)).communicate(pattern(n * 1000));
    let tasks: Vec<_> = (0..200)
        .map(|n| sched.spawn(talk(n), |task| done(task.output()?)))
        .collect();
    for (n, task) in tasks.into_iter().enumerate() {
        let output = sched.join(task).unwrap();
        assert_eq!(
            (code(output.status), output.stdout),
            (n as i32 % 100, pattern(n * 1000))
        );
    }
}

/// The second one's pauses are out of step with the first one's, so it often is the first to know
/// of the exit.
#[test]
fn of_two_communicates_the_first_has_the_output_and_both_the_status() {
    let _test = begin();
    for _ in 0..20 {
        let gate = Gate::new();
        let pipe = spawn(&format!("cat; exec >&-; read line < {gate}; exit 3"));
        let outputs = RefCell::new(Vec::new());
        let mut sched = Scheduler::new();
        drop(sched.spawn(pipe.communicate("all of it"), |task| {
            outputs.borrow_mut().push(("first", task.output()?));
            done(())
        }));
        let gate = gate.reached(&mut sched);
        drop(sched.spawn(pipe.communicate(()), |task| {
            outputs.borrow_mut().push(("second", task.output()?));
            done(())
        }));
        settle(&mut sched);
        put(&gate, b"\n");
        await_end(pipe.ids()[0]);
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
    }
}

#[test]
fn a_chains_statuses_are_all_known_and_a_first_child_that_lives_on_holds_nobody_up() {
    let _test = begin();
    let mut sched = Scheduler::new();
    let codes = |pipe: &AsyncPipe| -> Vec<_> {
        pipe.statuses()
            .into_iter()
            .map(|status| status.map(code))
            .collect()
    };
    let pipe = AsyncPipe::pipeline([sh("cat; exit 1"), sh("cat; exit 2")]).unwrap();
    assert_output(
        &sched.block_on(pipe.communicate("through both")).unwrap(),
        2,
        "through both",
        "",
    );
    if codes(&pipe)[0].is_none() {
        await_end(pipe.ids()[0]);
    }
    assert_eq!(codes(&pipe), [Some(1), Some(2)]);

    let pipe = AsyncPipe::pipeline([sh("exec sleep 600"), sh("exit 5")]).unwrap();
    let start = Instant::now();
    assert_eq!(sched.block_on(pipe.exit()).unwrap().code(), Some(5));
    assert!(start.elapsed() < LONG);
    assert_eq!(codes(&pipe), [None, Some(5)]);
    pipe.kill().unwrap();
}

#[test]
fn exit_all_waits_for_every_stage() {
    let _test = begin();
    let slow = sh("exec >&-; sleep 0.1; exit 7");
    let pipe = AsyncPipe::pipeline([slow, sh("exit 2"), sh("exit 3")]).unwrap();
    let statuses = Scheduler::new().block_on(pipe.exit_all()).unwrap();
    assert_eq!(
        statuses.into_iter().map(code).collect::<Vec<_>>(),
        [7, 2, 3]
    );
}

#[test]
fn linger_ends_a_communicate_whose_pipe_a_grandchild_keeps() {
    let _test = begin();
    let pipe = spawn("sleep 600 & echo $!; echo hi; exit 3");
    let mut sched = Scheduler::new();
    let line = sched.block_on(pipe.readline()).unwrap().unwrap();
    let grandchild = String::from_utf8(line).unwrap().trim().parse().unwrap();
    let start = Instant::now();
    let output = sched.block_on(pipe.communicate(()).linger(5 * SHORT));
    assert!(start.elapsed() >= 5 * SHORT);
    help::kill(grandchild, libc::SIGKILL);
    assert_output(&output.unwrap(), 3, "hi\n", "");
}

/// Between two questions the child may speak and exit: what it said last comes before the end.
#[test]
fn no_linger_at_all_still_gives_what_the_child_said() {
    let _test = begin();
    let mut sched = Scheduler::new();
    for _ in 0..50 {
        let pipe = spawn("echo out");
        let output = sched
            .block_on(pipe.communicate(()).linger(Duration::ZERO))
            .unwrap();
        assert_output(&output, 0, "out\n", "");
    }
}

#[test]
fn a_child_reaped_behind_our_back_is_unknown() {
    let _test = begin();
    for is_waited_for in [false, true] {
        let pipe = cat();
        let _stdin = pipe.stdin().unwrap().clone();
        let mut sched = Scheduler::new();
        let exit = is_waited_for.then(|| {
            let exit = sched.spawn(pipe.exit(), |task| done(task.exit()?));
            settle(&mut sched);
            exit
        });
        pipe.kill().unwrap();
        reap_behind(pipe.ids()[0]);
        let error = match exit {
            Some(exit) => sched.join(exit).unwrap_err().into(),
            None => failure(&mut sched, pipe.exit()).0,
        };
        assert_eq!(error.kind(), ErrorKind::Other);
        assert!(error.to_string().contains("unknown"), "{error}");
    }
}

#[test]
fn many_tasks_wait_for_one_exit() {
    let _test = begin();
    let pipe = spawn("read line; exit 5");
    let stdin = pipe.stdin().unwrap().clone();
    let mut sched = Scheduler::new();
    let tasks: Vec<_> = (0..10)
        .map(|_| sched.spawn(pipe.exit(), |task| done(task.exit()?.code())))
        .collect();
    settle(&mut sched);
    sched.block_on(stdin.write("\n")).unwrap();
    turn_until(&mut sched, || tasks.iter().all(|task| task.is_finished()));
    for task in tasks {
        assert_eq!(sched.join(task).unwrap(), Some(5));
    }
}
