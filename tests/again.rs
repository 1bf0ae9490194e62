//! `again()` and `Next::again`: the same operation once more. And the next line, which is handed
//! over without a return to the scheduler: nobody can tell, but by the clock.

mod support;

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::{Duration, Instant};

use asyncfile::trace::Event;
use asyncfile::{
    again, done, first, sleep, then, wait, yield_now, AsyncFile, End, Next, Op, Scheduler, Task,
};
use support::*;

/// A file that holds these bytes and then ends.
fn holding(bytes: &[u8]) -> AsyncFile {
    let (reader, writer) = pipe();
    put(&writer, bytes);
    AsyncFile::new(reader).unwrap()
}

fn text_of(line: Option<&[u8]>) -> String {
    line.map_or("None".into(), text)
}

#[test]
fn again_hands_over_line_after_line_up_to_the_end() {
    let _watchdog = watchdog();
    let file = holding(b"one\n\ntwo\nthree");
    let mut seen = Vec::new();
    let mut sched = Scheduler::new();
    let reader = sched.spawn(file.readline(), |task| {
        let end = task.end();
        let line = task.line()?;
        seen.push((text_of(line), end));
        match line {
            Some(_) => again(),
            None => done(()),
        }
    });
    sched.join(reader).unwrap();
    drop(sched);
    let expected = [
        ("one\n", End::Complete),
        ("\n", End::Complete),
        ("two\n", End::Complete),
        ("three", End::Eof),
        ("None", End::Eof),
    ];
    assert_eq!(seen, expected.map(|(line, end)| (line.to_string(), end)));
}

/// The limit is the same, and what it cuts comes with the same end as by a new readline.
#[test]
fn again_keeps_the_limit() {
    let _watchdog = watchdog();
    let file = holding(b"ab\nabcdefg\nabc\n");
    let mut seen = Vec::new();
    let mut sched = Scheduler::new();
    let reader = sched.spawn(file.readline().limit(4), |task| {
        let end = task.end();
        match task.line()? {
            Some(line) => {
                seen.push((text(line), end));
                again()
            }
            None => done(()),
        }
    });
    sched.join(reader).unwrap();
    drop(sched);
    let expected = [
        ("ab\n", End::Complete),
        ("abcd", End::Limit),
        ("efg\n", End::Complete),
        ("abc\n", End::Complete),
    ];
    assert_eq!(seen, expected.map(|(line, end)| (line.to_string(), end)));
}

/// Each wait has the whole timeout: lines that come one by one, each in time, are no timeout.
#[test]
fn again_starts_the_clock_afresh() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"first\n");
    let began = Rc::new(Cell::new(Instant::now()));
    let since = Rc::clone(&began);
    let waited = sched.spawn(file.readline().timeout(SHORT), move |task| {
        if task.end() == End::TimedOut {
            let _ = task.line();
            return done(since.get().elapsed());
        }
        task.line()?;
        since.set(Instant::now());
        again()
    });
    let waited = sched.join(waited).unwrap();
    assert!(waited >= SHORT, "{waited:?}");
}

/// The window of a blocked line is not handed over, and nothing of it is lost.
#[test]
fn a_line_that_is_not_whole_waits_for_the_rest() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    let log = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&log);
    put(&writer, b"one\ntwo\nthr");
    drop(
        sched.spawn(file.readline(), move |task| match task.line()? {
            Some(line) => {
                seen.borrow_mut().push(text(line));
                again()
            }
            None => done(()),
        }),
    );
    settle(&mut sched);
    assert_eq!(*log.borrow(), ["one\n", "two\n"]);
    assert_eq!(file.buffered(), 3);
    put(&writer, b"ee\n");
    settle(&mut sched);
    assert_eq!(log.borrow()[2], "three\n");
}

/// In the middle of a run of lines the file is as if each line had been read by itself.
#[test]
fn the_body_finds_the_file_without_the_lines_that_it_was_handed() {
    let _watchdog = watchdog();
    let file = holding(b"one\ntwo\nthree\nfour\n");
    let mine = file.clone();
    let mut held = Vec::new();
    let mut sched = Scheduler::new();
    let reader = sched.spawn(file.readline(), |task| match task.line()? {
        Some(line) if line == b"three\n" => done(()),
        Some(_) => {
            held.push(mine.buffered());
            again()
        }
        None => unreachable!("it stops before"),
    });
    sched.join(reader).unwrap();
    drop(sched);
    assert_eq!(held, [15, 11]);
    assert_eq!(file.buffered(), 5);
    drop(mine);
    let (_, rest) = file.into_inner().unwrap();
    assert_eq!(rest, b"four\n");
}

#[test]
fn a_body_that_closes_its_file_is_handed_no_further_line() {
    let _watchdog = watchdog();
    let file = holding(b"one\ntwo\nthree\n");
    let mut sched = Scheduler::new();
    let mine = file.clone();
    let reader = sched.spawn(file.readline(), move |task| {
        match task.line()? {
            Some(line) if line == b"two\n" => mine.close(),
            line => assert_eq!(text_of(line), "one\n"),
        }
        again::<()>()
    });
    let error = std::io::Error::from(sched.join(reader).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::NotConnected);
}

/// A second reader has its turn behind the line that was asked for before it.
#[test]
fn readers_of_one_file_take_turns() {
    let _watchdog = watchdog();
    let file = holding(b"1\n2\n3\n4\n5\n6\n");
    let seen = RefCell::new(Vec::new());
    let mut sched = Scheduler::new();
    for name in ["a", "b"] {
        let seen = &seen;
        drop(
            sched.spawn(file.readline(), move |task| match task.line()? {
                Some(line) => {
                    seen.borrow_mut()
                        .push(format!("{name}{}", text(line).trim()));
                    again()
                }
                None => done(()),
            }),
        );
    }
    sched.run().unwrap();
    drop(sched);
    assert_eq!(seen.into_inner(), ["a1", "b2", "a3", "b4", "a5", "b6"]);
}

/// A task that is handed line after line has a share of the turn, and no more.
#[test]
fn a_run_of_lines_lets_others_go_on() {
    let _watchdog = watchdog();
    let file = holding(&b"x\n".repeat(4000));
    let lines = Cell::new(0);
    let mut sched = Scheduler::new();
    sched.block_on(file.readline()).unwrap(); // the others are buffered
    let counter = sched.spawn(file.readline(), |task| match task.line()? {
        Some(_) => {
            lines.set(lines.get() + 1);
            again()
        }
        None => done(()),
    });
    let other = sched.spawn(yield_now(), |_| done(lines.get()));
    let at = sched.join(other).unwrap();
    assert!(
        (1..2000).contains(&at),
        "{at} lines were read before the other task"
    );
    sched.join(counter).unwrap();
    assert_eq!(lines.get(), 3999);
}

#[test]
fn a_body_that_cancels_itself_is_handed_no_further_line() {
    let _watchdog = watchdog();
    let file = holding(b"one\ntwo\n");
    let mut sched = Scheduler::new();
    let me = Rc::new(RefCell::new(None::<asyncfile::JoinHandle<()>>));
    let mine = Rc::clone(&me);
    let handle = sched.spawn(file.readline(), move |task| {
        assert_eq!(text_of(task.line()?), "one\n");
        mine.borrow().as_ref().unwrap().cancel();
        again()
    });
    *me.borrow_mut() = Some(handle);
    sched.run().unwrap();
    assert_eq!(file.buffered(), 4);
}

/// An observer is shown each line's operation, though nothing had to be advanced for it.
#[test]
fn an_observer_is_shown_every_line() {
    let _watchdog = watchdog();
    let file = holding(b"one\ntwo\nthree\n");
    let mut sched = Scheduler::new();
    let resumed = Rc::new(Cell::new(0));
    let count = Rc::clone(&resumed);
    sched.observe(move |trace| {
        if let Event::Resumed(..) = trace.event {
            count.set(count.get() + 1);
        }
    });
    let reader = sched.spawn(file.readline(), |task| match task.line()? {
        Some(_) => again(),
        None => done(()),
    });
    sched.join(reader).unwrap();
    assert_eq!(resumed.get(), 3);
}

/// A new readline of the same file finds its line in the buffer as `again` does, with its own
/// limit; another file's does not.
#[test]
fn a_new_readline_has_its_own_limit_and_its_own_file() {
    let _watchdog = watchdog();
    let (file, other) = (holding(b"one\ntwo\nthree\nfour\n"), holding(b"other\n"));
    let mut seen = Vec::new();
    let mut sched = Scheduler::new();
    let reader = sched.spawn(file.readline(), |task| {
        let line = text_of(task.line()?);
        seen.push(line.clone());
        match line.as_str() {
            "one\n" => wait(file.readline().limit(2)),
            "tw" => wait(other.readline()),
            "other\n" => wait(file.readline()),
            "o\n" => wait(file.readline().limit(0)),
            _ => unreachable!("{line:?}"),
        }
    });
    let error = std::io::Error::from(sched.join::<()>(reader).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "a limit of 0");
    drop(sched);
    assert_eq!(seen, ["one\n", "tw", "other\n", "o\n"]);
    assert_eq!(file.buffered(), 11);
}

/// The winner of a `first` begins afresh; the loser's clock goes on.
#[test]
fn after_a_first_the_winner_is_fresh_and_the_losers_clock_goes_on() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    put(&writer, b"one\ntwo\n");
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    let began = Instant::now();
    // Each line would begin a clock of its own, were the loser fresh, too.
    let fed = Rc::new(Cell::new(0));
    let lines = Rc::clone(&fed);
    let both = first([Op::from(sleep(5 * SHORT)), file.readline().into()]);
    let task = sched.spawn(both, move |task| match task.which() {
        1 => {
            assert!(task.line()?.is_some());
            lines.set(lines.get() + 1);
            again()
        }
        _ => done(began.elapsed()),
    });
    // Lines come until the sleep is over: a clock that began afresh with each would never be.
    while !task.is_finished() {
        put(&writer, b"more\n");
        sched.turn(Some(SHORT / 4)).unwrap();
    }
    let slept = task.take().unwrap().unwrap();
    assert!(
        slept >= 5 * SHORT && fed.get() > 2,
        "{slept:?}, {} lines",
        fed.get()
    );
}

/// Has an operation lose, again and again, to a short sleep, and gives how long it took to end by
/// its own clock. Were that fresh each time, it would never end.
fn as_a_loser(sched: &mut Scheduler<'_>, loser: impl Into<Op>) -> Duration {
    let began = Instant::now();
    let mut beats = 0;
    let both = first([Op::from(sleep(SHORT / 20)), loser.into()]);
    let task = sched.spawn(both, move |task| match task.which() {
        0 => {
            beats += 1;
            task.ok()?;
            again()
        }
        _ => {
            task.end(); // looks: most end by their timeout
            done((beats, began.elapsed()))
        }
    });
    let (beats, took) = sched.join(task).unwrap();
    assert!(beats > 1, "it lost {beats} times");
    took
}

/// A timeout, or a sleep's time, of each kind of member.
#[test]
fn after_a_first_the_clock_of_a_loser_of_each_kind_goes_on() {
    let _watchdog = watchdog();
    let time = 2 * SHORT;
    let (reader, _writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let (_reader, full) = pipe();
    let full = AsyncFile::new(full).unwrap();
    let (_sender, receiver) = asyncfile::channel::<u8>();
    let child = asyncfile::AsyncPipe::piped(std::process::Command::new("cat")).unwrap();
    let mut sched = Scheduler::new();
    let fill = full.write(vec![0; 1 << 20]).full().timeout(Duration::ZERO);
    let written = sched.block_on(fill).unwrap();
    assert!((1..1 << 20).contains(&written));
    let endless = Rc::new(sched.spawn(sleep(Duration::MAX), |task| done(task.ok()?)));
    let losers: Vec<(&str, Op)> = vec![
        ("sleep", sleep(time).into()),
        (
            "sleep that is cut",
            sleep(Duration::MAX).timeout(time).into(),
        ),
        ("read", file.read(1).timeout(time).into()),
        ("read full", file.read(9).full().timeout(time).into()),
        ("read_to_end", file.read_to_end().timeout(time).into()),
        ("readline", file.readline().timeout(time).into()),
        ("readlines", file.readlines().timeout(time).into()),
        ("readable", file.readable().timeout(time).into()),
        ("writable", full.writable().timeout(time).into()),
        ("a channel's ready", receiver.ready().timeout(time).into()),
        ("join", endless.finished().timeout(time).into()),
        ("exit", child.exit().timeout(time).into()),
        (
            "a first's own timeout",
            first([file.read(1)]).timeout(time).into(),
        ),
        ("a member of a first", first([sleep(time)]).into()),
    ];
    for (name, loser) in losers {
        let took = as_a_loser(&mut sched, loser);
        assert!(took >= time, "{name}: {took:?}");
    }
}

/// But for those that end with the turn: a `yield_now` has no clock. It is the winner here.
#[test]
fn after_a_first_a_yield_is_fresh_if_it_has_won() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let mut yields = 0;
    let both = first([Op::from(sleep(Duration::MAX)), yield_now().into()]);
    let task = sched.spawn(both, move |task| {
        assert_eq!(task.which(), 1);
        task.ok()?;
        yields += 1;
        if yields < 5 {
            again()
        } else {
            done(())
        }
    });
    sched.join(task).unwrap();
}

/// A `first` that is made anew has new clocks.
#[test]
fn a_timeout_in_a_first_that_is_made_anew_starts_anew() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let next = || first([sleep(SHORT / 20), sleep(SHORT)]);
    let (mut beats, began) = (0, Instant::now());
    let task = sched.spawn(next(), move |task| {
        task.ok()?;
        assert_eq!(task.which(), 0);
        beats += 1;
        if beats < 40 {
            wait(next())
        } else {
            done(began.elapsed())
        }
    });
    assert!(sched.join(task).unwrap() >= 2 * SHORT);
}

#[test]
fn again_after_a_write_is_an_error_and_the_data_was_written_once() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(writer).unwrap();
    let mut sched = Scheduler::new();
    let task = sched.spawn(file.write("once"), |task| {
        assert_eq!(task.written()?, 4);
        again::<()>()
    });
    let error = std::io::Error::from(sched.join(task).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("write"), "{error}");
    drop((sched, file));
    assert_eq!(drain(&reader), b"once");
}

#[test]
fn a_sleep_again_lasts_as_long_as_before() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let began = Instant::now();
    let mut left = 3;
    let task = sched.spawn(sleep(Duration::from_millis(5)), move |task| {
        task.ok()?;
        left -= 1;
        if left > 0 {
            again()
        } else {
            done(())
        }
    });
    sched.join(task).unwrap();
    assert!(began.elapsed() >= Duration::from_millis(15));
}

/// A `yield_now` again lets others go first each time.
#[test]
fn a_yield_again_is_another_turn() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let turns = Rc::new(Cell::new(0));
    let count = Rc::clone(&turns);
    let task = sched.spawn(yield_now(), move |_| {
        count.set(count.get() + 1);
        if count.get() < 4 {
            again()
        } else {
            done(())
        }
    });
    let mut drives = 0;
    while !task.is_finished() {
        sched.turn(Some(Duration::ZERO)).unwrap();
        drives += 1;
    }
    assert_eq!((turns.get(), drives), (4, 4));
}

/// What is done with each line.
struct Lines {
    seen: Vec<String>,
}

fn each(lines: &mut Lines, task: &mut Task<'_, '_>) -> asyncfile::StateFlow<Lines> {
    match task.line()? {
        Some(line) => {
            lines.seen.push(text(line));
            Next::again(each)
        }
        None => then(sleep(Duration::ZERO), last),
    }
}

fn last(lines: &mut Lines, task: &mut Task<'_, '_>) -> asyncfile::StateFlow<Lines> {
    task.ok()?;
    lines.seen.push("the end".into());
    Next::done()
}

#[test]
fn a_state_function_waits_for_the_same_again() {
    let _watchdog = watchdog();
    let file = holding(b"one\ntwo\n");
    let mut sched = Scheduler::new();
    let lines = Lines { seen: Vec::new() };
    let handle = sched.spawn_states(file.readline(), lines, each);
    let lines = sched.join(handle).unwrap();
    assert_eq!(lines.seen, ["one\n", "two\n", "the end"]);
}
