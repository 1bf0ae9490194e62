//! Random programs of `first` over several files: whoever wins, times out or is cancelled, what a
//! file delivers and what is left in it are what was written, once and in order.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::unix::io::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use asyncfile::{
    done, first, sleep, wait, yield_now, AsyncFile, JoinHandle, Op, Outcome, Scheduler,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

type Test<T = ()> = Result<T, Box<dyn std::error::Error>>;

const HOUR: Duration = Duration::from_secs(3600);

/// So often a task is resumed at most: at an end of file nothing waits.
const RESUMES: usize = 60;

/// What one operation of a `first` is.
#[derive(Clone, Copy, Debug)]
enum What {
    /// With a limit, or 0 for none.
    Line(usize),
    /// Of these lines, the task takes so many at most.
    Lines(usize, usize),
    Some(usize),
    Full(usize),
    ToEnd(usize),
    Readable,
    Sleep(u64),
    Yield,
}

/// An operation, the file it is for, and whether its time is over as soon as it must wait.
#[derive(Clone, Debug)]
struct Branch {
    what: What,
    file: Index,
    is_hasty: bool,
}

impl Branch {
    fn op(&self, files: &[AsyncFile]) -> Op {
        let file = self.file.get(files);
        macro_rules! hasty {
            ($op:expr) => {
                match self.is_hasty {
                    true => $op.timeout(Duration::ZERO).into(),
                    false => $op.into(),
                }
            };
        }
        match self.what {
            What::Line(0) => hasty!(file.readline()),
            What::Line(limit) => hasty!(file.readline().limit(limit)),
            What::Lines(0, _) => hasty!(file.readlines()),
            What::Lines(limit, _) => hasty!(file.readlines().limit(limit)),
            What::Some(size) => hasty!(file.read(size)),
            What::Full(size) => hasty!(file.read(size).full()),
            What::ToEnd(limit) => hasty!(file.read_to_end().limit(limit)),
            What::Readable => hasty!(file.readable()),
            What::Sleep(micros) => sleep(Duration::from_micros(micros)).into(),
            What::Yield => yield_now().into(),
        }
    }
}

/// What a task waits for, one `first` after the other, over and over.
type Plan = Vec<Vec<Branch>>;

#[derive(Clone, Debug)]
enum Step {
    Write(Index, Vec<u8>),
    Turn,
    CloseWriter(Index),
    /// The task is cancelled, and another with this plan begins on the same files.
    Replace(Index, Plan),
}

#[derive(Clone, Debug)]
struct Program {
    /// For each file, whether it is a pipe or else a socket.
    pipes: Vec<bool>,
    plans: Vec<Plan>,
    steps: Vec<Step>,
    /// Whether the tasks are gone when the rest is read, or still wait before it and behind it.
    cancels_at_end: bool,
}

fn branch() -> impl Strategy<Value = Branch> {
    let limit = || prop_oneof![1 => Just(0_usize), 1 => 1..=12_usize];
    let size = || prop_oneof![6 => 1..=12_usize, 2 => 1..=300_usize];
    let what = prop_oneof![
        4 => limit().prop_map(What::Line),
        3 => (limit(), 0..4_usize).prop_map(|(limit, taken)| What::Lines(limit, taken)),
        2 => size().prop_map(What::Some),
        3 => size().prop_map(What::Full),
        2 => size().prop_map(What::ToEnd),
        1 => Just(What::Readable),
        1 => prop_oneof![Just(0_u64), 1..=50_u64].prop_map(What::Sleep),
        1 => Just(What::Yield),
    ];
    let is_hasty = prop::bool::weighted(0.2);
    (what, any::<Index>(), is_hasty).prop_map(|(what, file, is_hasty)| Branch {
        what,
        file,
        is_hasty,
    })
}

fn plan() -> impl Strategy<Value = Plan> {
    vec(vec(branch(), 1..4), 1..6)
}

/// All that is written fits into a pipe, so nobody waits to write it.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let byte = || prop_oneof![6 => any::<u8>(), 1 => Just(b'\n')];
    prop_oneof![12 => vec(byte(), 1..30), 1 => vec(byte(), 200..1000)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any::<Index>(), text()).prop_map(|(file, text)| Step::Write(file, text)),
        8 => Just(Step::Turn),
        1 => any::<Index>().prop_map(Step::CloseWriter),
        2 => (any::<Index>(), plan()).prop_map(|(task, plan)| Step::Replace(task, plan)),
    ]
}

fn program() -> impl Strategy<Value = Program> {
    (
        vec(any::<bool>(), 1..=4),
        vec(plan(), 1..=3),
        vec(step(), 0..40),
        any::<bool>(),
    )
        .prop_map(|(pipes, plans, steps, cancels_at_end)| Program {
            pipes,
            plans,
            steps,
            cancels_at_end,
        })
}

/// The end to be written, and the file on the other.
fn connected(is_pipe: bool) -> io::Result<(File, AsyncFile)> {
    if is_pipe {
        let (reader, writer) = io::pipe()?;
        Ok((File::from(OwnedFd::from(writer)), AsyncFile::new(reader)?))
    } else {
        let (theirs, ours) = UnixStream::pair()?;
        Ok((File::from(OwnedFd::from(theirs)), AsyncFile::new(ours)?))
    }
}

/// What was delivered of each file, in the order in which the tasks got it.
type Delivered = Rc<Vec<RefCell<Vec<u8>>>>;

fn spawn(
    sched: &mut Scheduler<'_>,
    plan: &Plan,
    files: &[AsyncFile],
    delivered: &Delivered,
) -> JoinHandle<()> {
    let (plan, files, delivered) = (plan.clone(), files.to_vec(), Rc::clone(delivered));
    let next = move |at: usize, files: &[AsyncFile], plan: &Plan| {
        first(
            plan[at % plan.len()]
                .iter()
                .map(|branch| branch.op(files))
                .collect::<Vec<Op>>(),
        )
    };
    let mut at = 0;
    sched.spawn(next(at, &files, &plan), move |task| {
        let branch = &plan[at % plan.len()][task.which()];
        let mut record = delivered[branch.file.index(files.len())].borrow_mut();
        match (branch.what, task.outcome()) {
            (What::Line(_), Outcome::Line(line)) => record.extend_from_slice(line.unwrap_or(b"")),
            (What::Lines(_, taken), Outcome::Lines(lines)) => {
                lines.take(taken).for_each(|line| record.extend(line))
            }
            (What::Some(_) | What::Full(_) | What::ToEnd(_), Outcome::Bytes(bytes)) => {
                record.extend_from_slice(bytes)
            }
            (What::Readable | What::Sleep(_) | What::Yield, Outcome::Ok) => {}
            (_, Outcome::Failed(error))
                if branch.is_hasty && error.kind() == ErrorKind::TimedOut => {}
            (what, outcome) => panic!("{what:?} ended with {outcome:?}"),
        }
        at += 1;
        match at < RESUMES {
            true => wait(next(at, &files, &plan)),
            false => done(()),
        }
    })
}

/// Runs it: for each file what was written, and what was delivered or left.
fn run(program: &Program) -> Test<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut writers = Vec::new();
    let mut files = Vec::new();
    for &is_pipe in &program.pipes {
        let (writer, file) = connected(is_pipe)?;
        writers.push(Some(writer));
        files.push(file);
    }
    let mut written = vec![Vec::new(); files.len()];
    let delivered: Delivered = Rc::new(vec![RefCell::default(); files.len()]);
    let mut sched = Scheduler::new();
    let mut tasks: Vec<_> = program
        .plans
        .iter()
        .map(|plan| spawn(&mut sched, plan, &files, &delivered))
        .collect();
    for step in &program.steps {
        match step {
            Step::Write(file, text) => {
                let index = file.index(files.len());
                if let Some(writer) = &mut writers[index] {
                    writer.write_all(text)?;
                    written[index].extend_from_slice(text);
                }
            }
            Step::Turn => drop(sched.turn(Some(Duration::ZERO))?),
            Step::CloseWriter(file) => writers[file.index(files.len())] = None,
            Step::Replace(task, plan) => {
                let index = task.index(tasks.len());
                tasks[index].cancel();
                tasks[index] = spawn(&mut sched, plan, &files, &delivered);
            }
        }
    }
    drop(writers);
    if program.cancels_at_end {
        tasks.iter().for_each(JoinHandle::cancel);
    }
    for (file, record) in files.iter().zip(delivered.iter()) {
        let rest = sched.block_on(file.read_to_end())?;
        record.borrow_mut().extend(rest);
    }
    sched.run()?;
    for task in tasks {
        let has_ended = matches!(
            task.take(),
            Some(Ok(()) | Err(asyncfile::TaskError::Cancelled))
        );
        assert!(has_ended, "nothing but a cancel ends a task early");
    }
    Ok(written
        .into_iter()
        .zip(delivered.iter().map(RefCell::take))
        .collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn programs_of_first_deliver_every_byte_once_and_in_order(program in program()) {
        for (index, (written, delivered)) in run(&program).expect("nothing fails").into_iter().enumerate() {
            prop_assert_eq!(written, delivered, "file {}", index);
        }
    }
}

#[test]
fn a_losers_half_line_is_there_for_the_next_reader() -> Test {
    let (mut winner, quick) = connected(false)?;
    let (mut loser, slow) = connected(true)?;
    let mut sched = Scheduler::new();
    loser.write_all(b"half a ")?;
    let race = sched.spawn(
        first([Op::from(slow.readline()), quick.readline().into()]),
        |task| {
            assert_eq!((task.which(), task.line()?), (1, Some(&b"won\n"[..])));
            done(())
        },
    );
    while slow.buffered() == 0 {
        sched.turn(Some(HOUR))?;
    }
    winner.write_all(b"won\n")?;
    sched.join(race)?;
    assert_eq!(slow.buffered(), b"half a ".len());
    loser.write_all(b"line\n")?;
    assert_eq!(
        sched.block_on(slow.readline())?.as_deref(),
        Some(&b"half a line\n"[..])
    );
    Ok(())
}

#[test]
fn a_first_cut_by_its_own_branchs_timeout_loses_nothing() -> Test {
    let (mut writer, file) = connected(true)?;
    let (mut other_writer, other) = connected(false)?;
    let mut sched = Scheduler::new();
    writer.write_all(b"half a ")?;
    other_writer.write_all(b"1234")?;
    let op = first([
        Op::from(other.read(8).full()),
        file.readline().timeout(Duration::ZERO).into(),
    ]);
    let race = sched.spawn(op, |task| {
        assert_eq!(task.which(), 1);
        done(task.line().unwrap_err().kind())
    });
    assert_eq!(sched.join(race)?, ErrorKind::TimedOut);
    writer.write_all(b"line\n")?;
    other_writer.write_all(b"5678")?;
    assert_eq!(
        sched.block_on(file.readline())?.as_deref(),
        Some(&b"half a line\n"[..])
    );
    assert_eq!(sched.block_on(other.read(8).full())?, b"12345678");
    Ok(())
}
