//! Chains of children: the first's stdin, the last's stdout, stderr and exit.

use std::io::ErrorKind;
use std::process::{Command, Stdio};
use std::time::Duration;

use asyncfile::{AsyncPipe, Scheduler};

use crate::help::{assert_output, await_end, code, pattern, piped, sh};
use crate::support::{kind, watchdog};

fn pipeline<const N: usize>(scripts: [&str; N]) -> AsyncPipe {
    AsyncPipe::pipeline(scripts.map(sh)).unwrap()
}

fn codes(pipe: &AsyncPipe) -> Vec<Option<i32>> {
    pipe.statuses()
        .into_iter()
        .map(|status| status.map(code))
        .collect()
}

/// The same, when all have ended: nothing waits for the others than the last.
fn codes_in_the_end(pipe: &AsyncPipe) -> Vec<Option<i32>> {
    let ends = pipe.ids().into_iter().zip(codes(pipe));
    ends.filter(|(_, code)| code.is_none())
        .for_each(|(id, _)| await_end(id));
    codes(pipe)
}

#[test]
fn each_stdout_is_the_next_stdin() {
    let _watchdog = watchdog();
    let pipe = pipeline(["grep -i error", "sed s/error/fault/", "wc -l"]);
    assert_eq!(pipe.ids().len(), 3);
    let output = Scheduler::new()
        .block_on(pipe.communicate("Error one\nfine\nan error\nok\n"))
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "2");
    assert_eq!(codes_in_the_end(&pipe), [Some(0); 3]);
}

#[test]
fn much_goes_through_a_long_chain() {
    let _watchdog = watchdog();
    let pipe = AsyncPipe::pipeline((0..20).map(|_| Command::new("cat"))).unwrap();
    let output = Scheduler::new()
        .block_on(pipe.communicate(pattern(3_000_000)))
        .unwrap();
    assert!(output.stdout == pattern(3_000_000));
    assert_eq!(codes_in_the_end(&pipe), [Some(0); 20]);
}

#[test]
fn a_chain_of_children_that_std_has_started_works_too() {
    let _watchdog = watchdog();
    let mut first = piped("cat; exit 2", "io");
    let between = first.stdout.take().unwrap();
    let last = sh("cat; echo err >&2; exit 3")
        .stdin(between)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let ids = [first.id(), last.id()];
    let pipe = AsyncPipe::chain(first, last).unwrap();
    assert_eq!(pipe.ids(), ids);
    let output = Scheduler::new()
        .block_on(pipe.communicate("through both"))
        .unwrap();
    assert_output(&output, 3, "through both", "err\n");
    assert_eq!(codes_in_the_end(&pipe), [Some(2), Some(3)]);
}

/// A reader that nobody reads from would let the first child fill the pipe and wait for ever.
#[test]
fn a_stdout_that_was_not_handed_on_is_closed() {
    let _watchdog = watchdog();
    let first = piped("exec cat /dev/zero", "io");
    let last = piped("exit 0", "o");
    let pipe = AsyncPipe::chain(first, last).unwrap();
    await_end(pipe.ids()[0]);
    assert_eq!(codes(&pipe)[0], Some(-libc::SIGPIPE));
}

#[test]
fn the_status_is_the_last_ones_and_statuses_knows_all() {
    let _watchdog = watchdog();
    let pipe = pipeline(["cat >/dev/null; exit 1", "cat; exit 2", "cat; exit 3"]);
    let mut sched = Scheduler::new();
    assert_eq!(codes(&pipe), [None; 3]);
    assert_eq!(pipe.try_wait().unwrap(), None);
    pipe.close_stdin();
    assert_eq!(sched.block_on(pipe.exit()).unwrap().code(), Some(3));
    assert_eq!(codes_in_the_end(&pipe), [Some(1), Some(2), Some(3)]);
}

#[test]
fn a_last_child_that_stops_reading_ends_the_whole_chain() {
    let _watchdog = watchdog();
    let pipe = pipeline(["exec cat", "exec cat", "head -c 10"]);
    let output = Scheduler::new()
        .block_on(pipe.communicate(pattern(3_000_000)))
        .unwrap();
    assert_eq!(output.stdout, pattern(10));
    // The first one's stdin is closed as soon as the last has ended: it may find its end before it
    // writes into the broken pipe.
    let codes = codes_in_the_end(&pipe);
    assert!(
        [Some(0), Some(-libc::SIGPIPE)].contains(&codes[0]),
        "{codes:?}"
    );
    assert_eq!(codes[1..], [Some(-libc::SIGPIPE), Some(0)]);
}

#[test]
fn a_first_child_that_ends_early_is_no_error() {
    let _watchdog = watchdog();
    let pipe = pipeline(["head -c 10; exit 4", "cat"]);
    let output = Scheduler::new()
        .block_on(pipe.communicate(pattern(3_000_000)))
        .unwrap();
    assert_eq!(output.stdout, pattern(10));
    assert_eq!(codes_in_the_end(&pipe), [Some(4), Some(0)]);
}

// ------------------------------------------------------------------ a first child that lives on

/// It ignores its streams; its handle kills it.
struct Outliving(AsyncPipe);

impl Outliving {
    fn new() -> Outliving {
        let first = Command::new("sleep")
            .arg("600")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Outliving(AsyncPipe::chain(first, piped("echo done; exit 5", "oe")).unwrap())
    }
}

impl Drop for Outliving {
    fn drop(&mut self) {
        self.0.kill().unwrap();
    }
}

#[test]
fn a_first_child_that_lives_on_holds_up_neither_exit_nor_communicate() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let chain = Outliving::new();
    assert_eq!(sched.block_on(chain.0.exit()).unwrap().code(), Some(5));
    assert_eq!(codes(&chain.0), [None, Some(5)]);
    let chain = Outliving::new();
    assert_output(
        &sched
            .block_on(chain.0.communicate(pattern(1 << 20)))
            .unwrap(),
        5,
        "done\n",
        "",
    );
    assert_eq!(codes(&chain.0), [None, Some(5)]);
}

/// What was waited for has happened: the last one's exit.
#[test]
fn a_timeout_of_zero_has_the_exit_of_a_last_child_that_has_ended() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let chain = Outliving::new();
    await_end(chain.0.ids()[1]);
    assert_eq!(
        sched
            .block_on(chain.0.exit().timeout(Duration::ZERO))
            .unwrap()
            .code(),
        Some(5)
    );
    let chain = Outliving::new();
    await_end(chain.0.ids()[1]);
    let output = sched.block_on(chain.0.communicate(()).timeout(Duration::ZERO));
    assert_output(&output.unwrap(), 5, "done\n", "");
}

// ------------------------------------------------------------------ signals, and what is no chain

#[test]
fn a_signal_goes_to_every_child_that_lives() {
    let _watchdog = watchdog();
    let pipe = pipeline(["exit 1", "exec sleep 600", "exec sleep 600"]);
    await_end(pipe.ids()[0]);
    pipe.kill().unwrap();
    assert_eq!(code(Scheduler::new().block_on(pipe.exit()).unwrap()), -9);
    assert_eq!(codes_in_the_end(&pipe), [Some(1), Some(-9), Some(-9)]);
}

#[test]
fn a_pipeline_of_no_commands_is_invalid_input() {
    let _watchdog = watchdog();
    assert_eq!(
        kind(AsyncPipe::pipeline(Vec::<Command>::new())),
        ErrorKind::InvalidInput
    );
}

#[test]
fn a_command_can_be_started_again() {
    let _watchdog = watchdog();
    let mut commands = [sh("cat"), sh("wc -c")];
    for _ in 0..3 {
        let pipe = AsyncPipe::pipeline(commands.iter_mut()).unwrap();
        assert_output(
            &Scheduler::new()
                .block_on(pipe.communicate("12345"))
                .unwrap(),
            0,
            "5\n",
            "",
        );
    }
}
