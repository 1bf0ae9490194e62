//! AsyncPipe's streams: reading and writing by operations, handles, closing, dropping.

use std::io::ErrorKind;

use asyncfile::{done, wait, AsyncPipe, Op, Scheduler};

use crate::help::{cat, failure, pattern, piped, spawn, spawn_with_stderr};
use crate::support::{bytes, kind, line, put, settle, turn_until, watchdog, SHORT};

#[test]
fn lines_go_to_and_fro() {
    let _watchdog = watchdog();
    let pipe = spawn("while read line; do echo [$line]; done");
    let mut sched = Scheduler::new();
    let mut count = 0;
    let talk = sched.spawn(pipe.write("0\n").full(), {
        let pipe = pipe.clone();
        let mut is_asked = false;
        move |task| {
            is_asked = !is_asked;
            if is_asked {
                task.ok()?;
                return wait(pipe.readline());
            }
            assert_eq!(task.line()?.unwrap(), format!("[{count}]\n").as_bytes());
            count += 1;
            match count {
                100 => done(()),
                _ => wait(pipe.write(format!("{count}\n")).full()),
            }
        }
    });
    sched.join(talk).unwrap();
    pipe.close_stdin();
    assert_eq!(line(&mut sched, pipe.readline()).unwrap(), None);
    assert!(sched.block_on(pipe.exit()).unwrap().success());
}

#[test]
fn stdout_and_stderr_are_read_apart_by_all_operations() {
    let _watchdog = watchdog();
    let pipe = spawn_with_stderr("echo a; echo b; echo c; echo d; echo e >&2; echo f >&2");
    let mut sched = Scheduler::new();
    assert_eq!(
        sched.block_on(pipe.readline_stderr()).unwrap().unwrap(),
        b"e\n"
    );
    assert_eq!(sched.block_on(pipe.readline()).unwrap().unwrap(), b"a\n");
    assert_eq!(sched.block_on(pipe.read(2).full()).unwrap(), b"b\n");
    assert_eq!(sched.block_on(pipe.read_stderr(9).full()).unwrap(), b"f\n");
    assert_eq!(sched.block_on(pipe.readlines().limit(2)).unwrap(), [b"c\n"]);
    assert_eq!(sched.block_on(pipe.read_to_end()).unwrap(), b"d\n");
    for op in [
        Op::from(pipe.read(1)),
        pipe.read_to_end().into(),
        pipe.read_stderr(1).into(),
    ] {
        assert!(bytes(&mut sched, op).unwrap().0.is_empty());
    }
    assert_eq!(sched.block_on(pipe.readline_stderr()).unwrap(), None);
}

#[test]
fn a_handle_to_a_stream_lives_longer_than_the_pipe() {
    let _watchdog = watchdog();
    let pipe = spawn("cat; echo end");
    let (stdin, stdout) = (
        pipe.stdin().unwrap().clone(),
        pipe.stdout().unwrap().clone(),
    );
    drop(pipe);
    let mut sched = Scheduler::new();
    sched.block_on(stdin.write("still there\n").full()).unwrap();
    drop(stdin);
    assert_eq!(
        sched.block_on(stdout.read_to_end()).unwrap(),
        b"still there\nend\n"
    );
}

#[test]
fn what_waits_on_a_stream_ends_when_the_pipe_is_closed() {
    let _watchdog = watchdog();
    let pipe = AsyncPipe::new(piped("cat >/dev/null", "ioe")).unwrap();
    let mut sched = Scheduler::new();
    let ops = [
        Op::from(pipe.readline()),
        pipe.read_stderr(1).into(),
        pipe.write(pattern(10_000_000)).full().into(),
    ];
    let tasks = ops.map(|op| {
        sched.spawn(op, |task| match task.outcome() {
            asyncfile::Outcome::Failed(error) => done(error.kind()),
            _ => done(ErrorKind::Other),
        })
    });
    settle(&mut sched);
    assert!(tasks[..2].iter().all(|task| !task.is_finished()));
    pipe.close();
    pipe.close();
    for task in tasks {
        assert_eq!(sched.join(task).unwrap(), ErrorKind::NotConnected);
    }
    assert!(pipe.stdin().is_some(), "it was piped");
    assert_eq!(kind(sched.block_on(pipe.read(1))), ErrorKind::NotConnected);
    assert!(
        sched.block_on(pipe.exit()).unwrap().success(),
        "a closed pipe can be waited for"
    );
}

#[test]
fn closing_stdin_is_the_childs_end_of_file_and_closes_nothing_else() {
    let _watchdog = watchdog();
    let pipe = cat();
    let mut sched = Scheduler::new();
    sched.block_on(pipe.write("last words").full()).unwrap();
    pipe.close_stdin();
    assert_eq!(
        kind(sched.block_on(pipe.write("x"))),
        ErrorKind::NotConnected
    );
    assert_eq!(sched.block_on(pipe.read_to_end()).unwrap(), b"last words");
}

#[test]
fn an_operation_on_a_stream_that_was_not_piped_is_invalid_input_and_names_it() {
    let _watchdog = watchdog();
    let pipe = AsyncPipe::new(piped("exit 0", "")).unwrap();
    assert!(pipe.stdin().is_none() && pipe.stdout().is_none() && pipe.stderr().is_none());
    let mut sched = Scheduler::new();
    let ops = [
        (Op::from(pipe.write("x")), "write", "stdin"),
        (pipe.write("x").full().into(), "write full", "stdin"),
        (pipe.communicate("x").into(), "communicate", "stdin"),
        (pipe.read(1).into(), "read", "stdout"),
        (pipe.read_to_end().into(), "read_to_end", "stdout"),
        (pipe.readline().into(), "readline", "stdout"),
        (pipe.readlines().into(), "readlines", "stdout"),
        (pipe.read_stderr(1).into(), "read", "stderr"),
        (pipe.readline_stderr().into(), "readline", "stderr"),
    ];
    for (op, operation, stream) in ops {
        let (error, _) = failure(&mut sched, op);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(
            error.to_string(),
            format!("{operation}: the child's {stream} is not piped")
        );
    }
    pipe.close_stdin();
    assert!(sched
        .block_on(pipe.communicate(()))
        .unwrap()
        .status
        .success());
}

#[test]
fn the_scheduler_says_who_waits_for_which_child() {
    let _watchdog = watchdog();
    let pipe = cat();
    let _handle = pipe.stdin().unwrap().clone();
    let id = pipe.ids()[0];
    let (reader, writer) = crate::support::pipe();
    let input = asyncfile::AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    drop(sched.spawn(pipe.exit(), |task| done(task.exit()?)));
    drop(
        sched.spawn(pipe.communicate(input).timeout(3000 * SHORT), |task| {
            done(task.output()?)
        }),
    );
    put(&writer, b"12345");
    turn_until(&mut sched, || pipe.stdout().unwrap().buffered() == 5);
    let text = format!("{sched:?}");
    assert!(text.contains(&format!("exit of child {id}\n")), "{text}");
    assert!(
        text.contains(&format!("communicate with child {id}, 5 B held, ")),
        "{text}"
    );
    assert_eq!(format!("{pipe:?}"), format!("AsyncPipe of [child {id}]"));
}
