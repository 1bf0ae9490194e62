//! What a task may ask after an operation, and what it is told when that does not fit.

use std::io::{self, ErrorKind, Write};
use std::net::Shutdown;

use asyncfile::{
    done, first, sleep, wait, yield_now, AsyncFile, End, Op, Outcome, Scheduler, Task,
};

use crate::descriptors::{guard, ms, pattern, pipe, pipe_to, sockets, Test, HOUR, ZERO};

type Accessor = (&'static str, fn(&mut Task<'_, '_>) -> io::Result<()>);

const ACCESSORS: [Accessor; 7] = [
    ("line", |task| task.line().map(drop)),
    ("lines", |task| task.lines().map(drop)),
    ("bytes", |task| task.bytes().map(drop)),
    ("written", |task| task.written().map(drop)),
    ("output", |task| task.output().map(drop)),
    ("exit", |task| task.exit().map(drop)),
    ("ok", |task| task.ok()),
];

/// Every operation on a file, with its name in errors and the accessors that fit it.
fn operations(
    file: &AsyncFile,
    join: impl Into<Op>,
) -> Vec<(&'static str, Op, &'static [&'static str])> {
    vec![
        ("read", file.read(4).into(), &["bytes"]),
        ("read full", file.read(4).full().into(), &["bytes"]),
        ("read_to_end", file.read_to_end().into(), &["bytes"]),
        ("readline", file.readline().into(), &["line"]),
        ("readlines", file.readlines().into(), &["lines"]),
        ("write", file.write("data").into(), &["written", "ok"]),
        (
            "write full",
            file.write("data").full().into(),
            &["written", "ok"],
        ),
        ("readable", file.readable().into(), &["ok"]),
        ("writable", file.writable().into(), &["ok"]),
        ("sleep", sleep(ms(1)).into(), &["ok"]),
        ("yield", yield_now().into(), &["ok"]),
        ("join", join.into(), &["ok"]),
    ]
}

/// Runs each operation in a task of its own, on a socket that has two lines and its end to read.
fn after_each_operation(look: fn(&str, &[&str], &mut Task<'_, '_>)) -> Test {
    for nth in 0.. {
        let (file, mut peer) = sockets()?;
        peer.write_all(b"data\nmore\n")?;
        peer.shutdown(Shutdown::Write)?;
        let mut sched = Scheduler::new();
        let joined = sched.spawn(yield_now(), |task| done(task.ok()?));
        let Some((name, op, fitting)) = operations(&file, joined.finished()).into_iter().nth(nth)
        else {
            break;
        };
        let task = sched.spawn(op, move |task| {
            look(name, fitting, task);
            done(())
        });
        sched.join(task)?;
    }
    Ok(())
}

#[test]
fn an_accessor_that_does_not_fit_is_invalid_input_and_names_both() -> Test {
    let _guard = guard();
    after_each_operation(|operation, fitting, task| {
        for (accessor, ask) in ACCESSORS {
            match ask(task) {
                Ok(()) => assert!(
                    fitting.contains(&accessor),
                    "{accessor}() after {operation} gave something"
                ),
                Err(error) => {
                    assert!(
                        !fitting.contains(&accessor),
                        "{accessor}() after {operation}: {error}"
                    );
                    assert_eq!(error.kind(), ErrorKind::InvalidInput);
                    let text = error.to_string();
                    assert!(
                        text.contains(operation) && text.contains(accessor),
                        "{accessor}() after {operation}: {text:?}"
                    );
                }
            }
        }
    })
}

#[test]
fn a_wrong_question_does_not_spoil_the_right_one() -> Test {
    let _guard = guard();
    after_each_operation(|operation, fitting, task| {
        for _ in 0..2 {
            for (_, ask) in ACCESSORS
                .iter()
                .filter(|(accessor, _)| !fitting.contains(accessor))
            {
                ask(task).unwrap_err();
            }
            for (accessor, ask) in ACCESSORS
                .iter()
                .filter(|(accessor, _)| fitting.contains(accessor))
            {
                assert!(ask(task).is_ok(), "{accessor}() after {operation}");
            }
        }
    })
}

#[test]
fn at_the_end_of_a_file_too_only_the_fitting_accessor_answers() -> Test {
    let _guard = guard();
    let (file, writer) = pipe()?;
    drop(writer);
    let mut sched = Scheduler::new();
    let task = sched.spawn(file.readline(), |task| {
        assert_eq!(
            task.bytes().unwrap_err().kind(),
            ErrorKind::InvalidInput,
            "not empty bytes"
        );
        assert_eq!(
            task.lines().map(drop).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        assert_eq!(
            task.written().unwrap_err().kind(),
            ErrorKind::InvalidInput,
            "not 0"
        );
        done(task.line()?.is_none())
    });
    assert!(sched.join(task)?);
    let task = sched.spawn(file.read(5), |task| {
        assert_eq!(
            task.line().unwrap_err().kind(),
            ErrorKind::InvalidInput,
            "not None"
        );
        done(task.bytes()?.is_empty())
    });
    assert!(sched.join(task)?);
    Ok(())
}

#[test]
fn asking_again_gives_the_same_answer() -> Test {
    let _guard = guard();
    let (file, mut peer) = sockets()?;
    peer.write_all(b"a line\nbytes")?;
    let mut step = 0;
    let mut sched = Scheduler::new();
    let task = sched.spawn(file.readline(), |task| {
        step += 1;
        match step {
            1 => {
                let (once, twice) = (task.line()?, task.line()?);
                assert_eq!(
                    (once, twice),
                    (Some(&b"a line\n"[..]), Some(&b"a line\n"[..]))
                );
                assert!(matches!(task.outcome(), Outcome::Line(Some(b"a line\n"))));
                assert_eq!(task.line()?, once, "and after outcome()");
                wait(file.read(5))
            }
            2 => {
                let (once, twice) = (task.bytes()?, task.bytes()?);
                assert_eq!((once, twice), (&b"bytes"[..], &b"bytes"[..]));
                assert!(matches!(task.outcome(), Outcome::Bytes(b"bytes")));
                wait(file.write("four"))
            }
            3 => {
                assert_eq!((task.written()?, task.written()?), (4, 4));
                assert!(matches!(task.outcome(), Outcome::Written(4)));
                task.ok()?;
                wait(yield_now())
            }
            _ => {
                task.ok()?;
                task.ok()?;
                assert!(matches!(task.outcome(), Outcome::Ok));
                assert_eq!(task.end(), End::Complete);
                done(())
            }
        }
    });
    sched.join(task)?;
    assert_eq!(
        file.buffered(),
        0,
        "what was asked for twice was consumed once"
    );
    Ok(())
}

#[test]
fn an_error_is_handed_over_once() -> Test {
    let _guard = guard();
    let (file, _writer) = pipe()?;
    let mut sched = Scheduler::new();
    let by_accessor = sched.spawn(file.readline().timeout(ms(1)), |task| {
        assert_eq!(task.line().unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(
            task.line().unwrap_err().kind(),
            ErrorKind::InvalidInput,
            "it was moved out"
        );
        assert!(matches!(task.outcome(), Outcome::Taken));
        assert_eq!(task.end(), End::TimedOut, "why it ended is no value");
        done(())
    });
    sched.join(by_accessor)?;
    let by_outcome = sched.spawn(file.readline().timeout(ms(1)), |task| {
        assert!(
            matches!(task.outcome(), Outcome::Failed(error) if error.kind() == ErrorKind::TimedOut)
        );
        assert!(matches!(task.outcome(), Outcome::Taken));
        assert_eq!(task.line().unwrap_err().kind(), ErrorKind::InvalidInput);
        done(())
    });
    sched.join(by_outcome)?;
    Ok(())
}

#[test]
fn outcome_is_the_same_as_one_enum() -> Test {
    let _guard = guard();
    after_each_operation(|operation, _, task| match (operation, task.outcome()) {
        ("read", Outcome::Bytes(b"data")) | ("read full", Outcome::Bytes(b"data")) => {}
        ("read_to_end", Outcome::Bytes(b"data\nmore\n"))
        | ("readline", Outcome::Line(Some(b"data\n"))) => {}
        ("readlines", Outcome::Lines(lines)) => assert!(lines.eq([&b"data\n"[..], b"more\n"])),
        ("write" | "write full", Outcome::Written(4)) => {}
        ("readable" | "writable" | "sleep" | "yield" | "join", Outcome::Ok) => {}
        _ => panic!("{operation}"),
    })
}

#[test]
fn end_says_why_an_operation_ended() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    let mut sched = Scheduler::new();
    let mut why = |op: Op| {
        let task = sched.spawn(op, |task| done(task.end()));
        sched.join(task)
    };
    writer.write_all(b"a line\nlong line\nshort")?;
    assert_eq!(why(file.readline().into())?, End::Complete);
    assert_eq!(why(file.readline().limit(4).into())?, End::Limit);
    assert_eq!(why(file.read_to_end().limit(2).into())?, End::Limit);
    assert_eq!(why(file.read(4).full().into())?, End::Complete);
    assert_eq!(
        why(file.read(100).full().timeout(ms(1)).into())?,
        End::TimedOut
    );
    assert_eq!(why(file.readline().timeout(ms(1)).into())?, End::TimedOut);
    assert_eq!(why(file.readline().limit(0).into())?, End::Failed);
    writer.write_all(b"rest")?;
    drop(writer);
    assert_eq!(
        why(file.read(100).full().into())?,
        End::Eof,
        "fewer than it was to read"
    );
    assert_eq!(why(file.read(100).into())?, End::Eof);
    assert_eq!(why(file.readline().into())?, End::Eof);
    assert_eq!(why(sleep(ms(1)).into())?, End::Complete);
    Ok(())
}

#[test]
fn a_write_cut_by_its_timeout_is_a_count_for_who_asks_for_it_and_an_error_for_who_asks_whether_all_is_well(
) -> Test {
    let _guard = guard();
    for asks_for_the_count in [true, false] {
        let (_reader, file) = pipe_to()?;
        let mut sched = Scheduler::new();
        let task = sched.spawn(
            file.write(pattern(1 << 20)).full().timeout(ms(1)),
            move |task| {
                if asks_for_the_count {
                    assert!(task.written()? > 0);
                } else {
                    assert_eq!(task.ok().unwrap_err().kind(), ErrorKind::TimedOut);
                }
                done(())
            },
        );
        sched.join(task)?;
    }
    Ok(())
}

#[test]
fn lines_that_were_not_taken_from_the_iterator_stay_in_the_file() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    writer.write_all(b"one\ntwo\nthree\nunfinished")?;
    let mut sched = Scheduler::new();
    let some = sched.spawn(file.readlines(), |task| {
        done(
            task.lines()?
                .take(2)
                .map(<[u8]>::to_vec)
                .collect::<Vec<_>>(),
        )
    });
    assert_eq!(sched.join(some)?, [b"one\n", b"two\n"]);
    assert_eq!(
        sched.block_on(file.readline())?.as_deref(),
        Some(&b"three\n"[..])
    );
    assert_eq!(
        sched
            .block_on(file.readlines().timeout(ZERO))
            .unwrap_err()
            .kind(),
        ErrorKind::TimedOut
    );
    drop(writer);
    assert_eq!(sched.block_on(file.readlines())?, [b"unfinished"]);
    Ok(())
}

#[test]
fn after_first_the_accessor_of_the_one_that_ended_fits() -> Test {
    let _guard = guard();
    let (quiet, _writer) = pipe()?;
    let (file, mut writer) = pipe()?;
    writer.write_all(b"a line\n")?;
    let mut sched = Scheduler::new();
    let task = sched.spawn(
        first([
            Op::from(quiet.read(1)),
            file.readline().into(),
            sleep(HOUR).into(),
        ]),
        |task| {
            assert_eq!(task.which(), 1);
            assert_eq!(task.bytes().unwrap_err().kind(), ErrorKind::InvalidInput);
            done(task.line()?.map(<[u8]>::to_vec))
        },
    );
    assert_eq!(sched.join(task)?.as_deref(), Some(&b"a line\n"[..]));
    let task = sched.spawn(
        first([
            Op::from(quiet.read(1)),
            file.readline().into(),
            sleep(ms(1)).into(),
        ]),
        |task| {
            task.ok()?;
            done(task.which())
        },
    );
    assert_eq!(sched.join(task)?, 2);
    Ok(())
}

/// Debug of a task, inside its body: which it is, what has ended, and how. It is no look at it.
#[test]
fn a_task_is_printed_with_what_it_waited_for() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    let task = sched.spawn(sleep(ms(1)), |task| {
        let printed = format!("{task:?}");
        assert_eq!(printed, format!("Task {} after sleep: Complete", task.id()));
        done(task.ok()?)
    });
    sched.join(task)?;
    let cut = sched.spawn(sleep(ms(2)).timeout(ms(1)), |task| {
        assert!(format!("{task:?}").ends_with("after sleep: TimedOut"));
        done(())
    });
    assert!(matches!(
        sched.join(cut),
        Err(asyncfile::TaskError::Failed(_))
    ));
    Ok(())
}

#[test]
fn what_is_written_and_fed_is_printed_by_its_size() {
    use asyncfile::op::{Data, Input};
    assert_eq!(format!("{:?}", Data::from("four")), "4 B");
    assert_eq!(format!("{:?}", Input::from(vec![0; 5000])), "5000 B");
    assert_eq!(format!("{:?}", Input::from(())), "nothing");
}
