//! A communicate that is cut, by time, by its limit or by a cancel, goes on with `communicate(())`;
//! nothing is lost or repeated.

use std::io::ErrorKind;
use std::process::Output;
use std::time::{Duration, Instant};

use asyncfile::op::Input;
use asyncfile::{done, AsyncFile, AsyncPipe, End, Scheduler};

use crate::help::{
    assert_output, assert_pattern, cat, failure, pattern, spawn, spawn_with_stderr, Gate,
};
use crate::support::{kind, pipe, put, regular, settle, turn_until, watchdog, Random, SHORT};

const ZERO: Duration = Duration::ZERO;

/// Cuts it as often as it takes, each time after what `time` says; the output, and how often it was
/// cut.
fn in_pieces(
    pipe: &AsyncPipe,
    input: impl Into<Input>,
    mut time: impl FnMut() -> Duration,
) -> (Output, usize) {
    let mut sched = Scheduler::new();
    let mut cuts = 0;
    let mut result = sched.block_on(pipe.communicate(input).timeout(time()));
    loop {
        match result {
            Ok(output) => return (output, cuts),
            Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}"),
        }
        cuts += 1;
        result = sched.block_on(pipe.communicate(()).timeout(time()));
    }
}

/// Both streams say what was fed, in pieces that come and go.
const TWICE: &str = "tee /dev/stderr";
const LEN: usize = 1_500_000;

#[track_caller]
fn assert_twice((output, cuts): (Output, usize)) {
    assert!(output.status.success());
    assert_pattern(&output.stdout, LEN);
    assert_pattern(&output.stderr, LEN);
    assert!(cuts > 0, "it was never cut");
}

#[test]
fn a_communicate_that_may_never_wait_still_comes_to_its_end() {
    let _watchdog = watchdog();
    assert_twice(in_pieces(&spawn_with_stderr(TWICE), pattern(LEN), || ZERO));
}

#[test]
fn bytes_cut_at_any_time_come_through_once() {
    let _watchdog = watchdog();
    for seed in 1..=20 {
        let mut random = Random(seed);
        let time = || Duration::from_micros(random.below(50 * seed as usize) as u64);
        assert_twice(in_pieces(&spawn_with_stderr(TWICE), pattern(LEN), time));
    }
}

#[test]
fn a_file_cut_at_any_time_comes_through_once() {
    let _watchdog = watchdog();
    for seed in 1..=10 {
        let mut random = Random(seed);
        let time = || Duration::from_micros(random.below(100 * seed as usize) as u64);
        assert_twice(in_pieces(
            &spawn_with_stderr(TWICE),
            regular(&pattern(LEN)),
            time,
        ));
    }
}

#[test]
fn an_async_file_cut_at_any_time_comes_through_once() {
    let _watchdog = watchdog();
    for seed in 1..=10 {
        let source = AsyncPipe::piped(&mut std::process::Command::new("cat")).unwrap();
        let mut feeder = Scheduler::new();
        let mut random = Random(seed);
        let sink = spawn_with_stderr(TWICE);
        // The feeder has a scheduler of its own, which has a turn before each cut.
        let fed = source.write(pattern(LEN)).full();
        let stdin = source.stdin().unwrap().clone();
        drop(feeder.spawn(fed, move |task| {
            task.ok()?;
            stdin.close();
            done(())
        }));
        let time = || {
            feeder.turn(Some(ZERO)).unwrap();
            Duration::from_micros(random.below(100 * seed as usize) as u64)
        };
        assert_twice(in_pieces(&sink, source.stdout().unwrap().clone(), time));
    }
}

#[test]
fn the_cut_comes_no_earlier_than_it_should_and_says_what_is_kept() {
    let _watchdog = watchdog();
    let pipe = cat();
    let (reader, writer) = crate::support::pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"seven b");
    let start = Instant::now();
    let (error, end) = failure(&mut sched, pipe.communicate(file).timeout(5 * SHORT));
    assert!(start.elapsed() >= 5 * SHORT);
    assert_eq!((error.kind(), end), (ErrorKind::TimedOut, End::TimedOut));
    assert_eq!(
        error.to_string(),
        "communicate: timed out after 100ms, 7 bytes kept"
    );
    assert_eq!(pipe.stdout().unwrap().buffered(), 7);
}

#[test]
fn a_trickle_does_not_put_off_the_deadline() {
    let _watchdog = watchdog();
    let pipe = spawn("while echo drop; do :; done");
    let mut sched = Scheduler::new();
    let start = Instant::now();
    assert_eq!(
        kind(sched.block_on(pipe.communicate(()).timeout(2 * SHORT))),
        ErrorKind::TimedOut
    );
    assert!(start.elapsed() >= 2 * SHORT);
    pipe.kill().unwrap();
    let output = sched.block_on(pipe.communicate(())).unwrap();
    assert!(output.stdout.starts_with(b"drop\ndrop\n"));
}

#[test]
fn after_a_cut_the_reading_operations_can_have_what_came() {
    let _watchdog = watchdog();
    let gate = Gate::new();
    let pipe = spawn_with_stderr(&format!(
        "cat; echo err >&2; read line < {gate}; echo $line"
    ));
    let mut sched = Scheduler::new();
    let cut = sched.spawn(pipe.communicate("one\ntwo\n"), |task| done(task.output()?));
    let writer = gate.reached(&mut sched);
    turn_until(&mut sched, || {
        pipe.stdout().unwrap().buffered() == 8 && pipe.stderr().unwrap().buffered() == 4
    });
    cut.cancel();
    assert_eq!(sched.block_on(pipe.readline()).unwrap().unwrap(), b"one\n");
    assert_eq!(
        sched.block_on(pipe.readline_stderr()).unwrap().unwrap(),
        b"err\n"
    );
    put(&writer, b"three\n");
    assert_output(
        &sched.block_on(pipe.communicate(())).unwrap(),
        0,
        "two\nthree\n",
        "",
    );
}

#[test]
fn a_cancelled_communicate_goes_on() {
    let _watchdog = watchdog();
    let pipe = cat();
    let mut sched = Scheduler::new();
    let cancelled = sched.spawn(pipe.communicate(pattern(LEN)), |task| done(task.output()?));
    settle(&mut sched);
    cancelled.cancel();
    drop(cancelled);
    let output = sched.block_on(pipe.communicate(())).unwrap();
    assert_pattern(&output.stdout, LEN);
}

#[test]
fn a_communicate_goes_on_in_another_scheduler() {
    let _watchdog = watchdog();
    let pipe = cat();
    assert_eq!(
        kind(Scheduler::new().block_on(pipe.communicate(pattern(LEN)).timeout(ZERO))),
        ErrorKind::TimedOut
    );
    let output = Scheduler::new().block_on(pipe.communicate(())).unwrap();
    assert_pattern(&output.stdout, LEN);
}

#[test]
fn new_input_while_old_remains_is_invalid_input_and_disturbs_nothing() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let (reader, writer) = pipe();
    let old = [
        pattern(LEN).into(),
        regular(&pattern(LEN)).into(),
        Input::from(AsyncFile::new(reader).unwrap()),
    ];
    let pipes = old.map(|old| {
        let pipe = cat();
        assert_eq!(
            kind(sched.block_on(pipe.communicate(old).timeout(ZERO))),
            ErrorKind::TimedOut
        );
        let silent = AsyncFile::new(self::pipe().0).unwrap();
        for new in ["new".into(), regular(b"new").into(), Input::from(silent)] {
            let (error, _) = failure(&mut sched, pipe.communicate(new));
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(
                error.to_string().contains("some of the old one is left"),
                "{error}"
            );
        }
        pipe
    });
    put(&writer, &pattern(1000));
    drop(writer);
    for (pipe, len) in pipes.iter().zip([LEN, LEN, 1000]) {
        // An empty input is no new one.
        assert_pattern(&sched.block_on(pipe.communicate("")).unwrap().stdout, len);
    }
}

#[test]
fn after_success_a_further_one_gives_nothing_and_the_same_status() {
    let _watchdog = watchdog();
    let pipe = spawn_with_stderr("cat; echo err >&2; exit 9");
    let mut sched = Scheduler::new();
    assert_output(
        &sched.block_on(pipe.communicate("in")).unwrap(),
        9,
        "in",
        "err\n",
    );
    assert_output(&sched.block_on(pipe.communicate(())).unwrap(), 9, "", "");
    assert_output(
        &sched.block_on(pipe.communicate("more")).unwrap(),
        9,
        "",
        "",
    );
    assert_eq!(sched.block_on(pipe.exit()).unwrap().code(), Some(9));
}

// ------------------------------------------------------------------ the limit

#[test]
fn the_limit_is_for_both_streams_together_and_one_byte_more_is_too_much() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let script = "echo 12345; echo 123 >&2";
    assert_output(
        &sched
            .block_on(spawn_with_stderr(script).communicate(()).limit(10))
            .unwrap(),
        0,
        "12345\n",
        "123\n",
    );

    let pipe = spawn_with_stderr(script);
    let (error, end) = failure(&mut sched, pipe.communicate(()).limit(9));
    assert_eq!((error.kind(), end), (ErrorKind::Other, End::Limit));
    assert_eq!(
        error.to_string(),
        "communicate: more than the limit of 9 bytes came, 10 bytes kept"
    );
    assert_output(
        &sched.block_on(pipe.communicate(()).limit(10)).unwrap(),
        0,
        "12345\n",
        "123\n",
    );
}

#[test]
fn a_communicate_cut_by_every_limit_loses_and_repeats_nothing() {
    let _watchdog = watchdog();
    let pipe = spawn_with_stderr(TWICE);
    let len = 100_000;
    let mut sched = Scheduler::new();
    let mut limit = 1;
    let mut result = sched.block_on(pipe.communicate(pattern(len)).limit(limit));
    let output = loop {
        match result {
            Ok(output) => break output,
            Err(error) => assert!(error.to_string().contains("limit"), "{error}"),
        }
        limit += 997;
        result = sched.block_on(pipe.communicate(()).limit(limit));
    };
    assert!(limit >= 2 * len, "it was allowed less than it gave");
    assert_pattern(&output.stdout, len);
    assert_pattern(&output.stderr, len);
}

#[test]
fn a_limit_bounds_what_an_endless_child_can_fill() {
    let _watchdog = watchdog();
    let pipe = spawn("cat /dev/zero");
    let mut sched = Scheduler::new();
    let (_, end) = failure(&mut sched, pipe.communicate(()).limit(1_000_000));
    assert_eq!(end, End::Limit);
    assert_eq!(pipe.stdout().unwrap().buffered(), 1_000_001);
    pipe.kill().unwrap();
}

#[test]
fn a_limit_of_0_is_invalid_input() {
    let _watchdog = watchdog();
    let pipe = cat();
    let mut sched = Scheduler::new();
    assert_eq!(
        kind(sched.block_on(pipe.communicate("kept out").limit(0))),
        ErrorKind::InvalidInput
    );
    assert_output(
        &sched.block_on(pipe.communicate("let in")).unwrap(),
        0,
        "let in",
        "",
    );
}
