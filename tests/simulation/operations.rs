//! Which operation a task waits for next, and who stands where when it does.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Duration;

use asyncfile::machine::read::Want;
use asyncfile::{first, sim, sleep, ticks, yield_now, AsyncFile, Op};

use super::world::{now, FileId, Input, PipeId, TaskId, World, Writer};
use super::{chance, choose, one_of};

/// An operation, as it is checked.
#[derive(Clone, Debug)]
pub enum Model {
    Read {
        file: FileId,
        want: Want,
        /// What ends a line.
        delimiter: u8,
        is_peek: bool,
        timeout: Option<Duration>,
        /// A time of the simulated clock.
        until: Option<Duration>,
    },
    Write {
        file: FileId,
        data: Vec<u8>,
        full: bool,
        timeout: Option<Duration>,
    },
    /// `came`: how much had come before.
    Ready {
        file: FileId,
        write: bool,
        came: usize,
        timeout: Option<Duration>,
    },
    Sleep(Duration),
    /// `last`: the last multiple that ended a wait.
    Ticks {
        period: Duration,
        made: Duration,
        last: Rc<Cell<u32>>,
    },
    Yield,
    Join(TaskId),
    First(Vec<Model>),
    Communicate {
        pipe: PipeId,
        limit: usize,
        timeout: Option<Duration>,
        linger: Option<Duration>,
    },
    Exit {
        pipe: PipeId,
        timeout: Option<Duration>,
    },
    ExitAll {
        pipe: PipeId,
        timeout: Option<Duration>,
    },
    Stop {
        pipe: PipeId,
        timeout: Option<Duration>,
    },
    Message {
        timeout: Option<Duration>,
    },
    /// For an item of the queue, or for room in it.
    Queue {
        room: bool,
        timeout: Option<Duration>,
    },
}

impl Model {
    pub fn name(&self) -> &'static str {
        match self {
            Model::Read { is_peek: true, .. } => "peek",
            Model::Read {
                want: Want::Line(_),
                delimiter: ..=9 | 11..,
                ..
            } => "read_until",
            Model::Read { want, .. } => match want {
                Want::Some(_) => "read",
                Want::Full(_) => "read full",
                Want::Exact(_) => "read_exact",
                Want::ToEnd(_) => "read_to_end",
                Want::Line(_) => "readline",
                Want::Lines(_) => "readlines",
            },
            Model::Write { full: true, .. } => "write full",
            Model::Write { .. } => "write",
            Model::Ready { .. } => "ready",
            Model::Sleep(_) => "sleep",
            Model::Ticks { .. } => "ticks",
            Model::Yield => "yield_now",
            Model::Join(_) => "join",
            Model::First(_) => "first",
            Model::Communicate { .. } => "communicate",
            Model::Exit { .. } => "exit",
            Model::ExitAll { .. } => "exit_all",
            Model::Stop { .. } => "stop",
            Model::Message { .. } => "message",
            Model::Queue { room: false, .. } => "queue ready",
            Model::Queue { .. } => "queue room",
        }
    }

    /// Whether this holds of it, or of one of those whose first it is.
    pub fn any(&self, holds: &impl Fn(&Model) -> bool) -> bool {
        match self {
            Model::First(models) => models.iter().any(|model| model.any(holds)),
            model => holds(model),
        }
    }

    /// `again()` waits for the same once more.
    pub fn can_be_repeated(&self) -> bool {
        matches!(
            self,
            Model::Read { .. }
                | Model::Sleep(_)
                | Model::Ticks { .. }
                | Model::Yield
                | Model::Exit { .. }
                | Model::ExitAll { .. }
                | Model::Queue { .. }
        )
    }

    /// It hands over no bytes: a task may go on without a look.
    pub fn can_be_ignored(&self) -> bool {
        !matches!(
            self,
            Model::Read { .. }
                | Model::First(_)
                | Model::Communicate { .. }
                | Model::Message { .. }
                | Model::Queue { .. }
        )
    }
}

/// A timeout, of every order of size; mostly none.
fn timeout() -> Option<Duration> {
    match choose(8) {
        0..=3 => None,
        4 => Some(Duration::ZERO),
        5 => Some(Duration::from_micros(u64::from(choose(3000)))),
        6 => Some(Duration::from_millis(u64::from(choose(2000)))),
        _ => Some(one_of(&[
            Duration::MAX,
            Duration::from_secs(1),
            Duration::from_nanos(1),
        ])),
    }
}

/// Sizes and limits, mostly small, around the sizes of things now and then.
fn size() -> usize {
    match choose(8) {
        0..=4 => 1 + choose(12) as usize,
        5 => one_of(&[100, 127, 128, 129, 1000]),
        6 => one_of(&[4095, 4096, 4097, 65536, 69632, 69633]),
        _ => usize::MAX,
    }
}

pub fn want() -> Want {
    match choose(5) {
        0 => Want::Line(size()),
        1 => Want::Some(if chance(8) { 0 } else { size() }),
        2 => Want::Full(if chance(8) { 0 } else { size() }),
        3 => Want::ToEnd(size()),
        _ => Want::Lines(size()),
    }
}

/// What a task writes: bytes that tell whose they are, and where they belong.
pub fn data(world: &World, task: TaskId) -> Vec<u8> {
    let length = match choose(8) {
        0..=4 => choose(12) as usize,
        5 => 200,
        6 => one_of(&[4095, 4096, 4097, 9000]),
        _ if chance(64) => one_of(&[65536, 100_000, 262_144, 300_000]),
        _ => 1000,
    };
    let nth = world.tasks.borrow()[task].ops_left as usize;
    text(length, task * 61 + nth * 17, 11)
}

/// A text of so many bytes, with a newline at every so many; no two places in it, and no two texts,
/// look alike for long.
pub fn text(length: usize, salt: usize, every: usize) -> Vec<u8> {
    static PATTERN: OnceLock<Vec<u8>> = OnceLock::new();
    let pattern = PATTERN.get_or_init(|| {
        (0..400_000)
            .map(|at: usize| (at * 7 + at / 251 * 3 + at / 4096) as u8)
            .collect()
    });
    let mut text = pattern[salt..salt + length].to_vec();
    text.iter_mut()
        .for_each(|byte| *byte += u8::from(*byte == b'\n'));
    text.iter_mut()
        .skip(every - 1)
        .step_by(every)
        .for_each(|byte| *byte = b'\n');
    text
}

fn with_timeout<T>(timeout: Option<Duration>, op: T, add: fn(T, Duration) -> T) -> T {
    match timeout {
        Some(timeout) => add(op, timeout),
        None => op,
    }
}

/// A read, as it is drawn.
#[derive(Clone, Copy, Debug)]
struct Drawn {
    want: Want,
    delimiter: u8,
    is_peek: bool,
    timeout: Option<Duration>,
    until: Option<Duration>,
}

fn read_op(file: &AsyncFile, drawn: Drawn) -> Op {
    macro_rules! limited {
        ($op:expr) => {{
            let op = with_timeout(drawn.timeout, $op, |op, after| op.timeout(after));
            match drawn.until {
                Some(until) => op.until(sim::instant(until)).into(),
                None => op.into(),
            }
        }};
    }
    match drawn.want {
        Want::Some(size) if drawn.is_peek => limited!(file.peek(size)),
        Want::Full(size) if drawn.is_peek => limited!(file.peek(size).full()),
        Want::Some(size) => limited!(file.read(size)),
        Want::Full(size) => limited!(file.read(size).full()),
        Want::Exact(size) => limited!(file.read_exact(size)),
        Want::ToEnd(limit) => limited!(file.read_to_end().limit(limit)),
        Want::Line(limit) => {
            let mut op = match drawn.delimiter {
                b'\n' => file.readline().limit(limit),
                delimiter => file.read_until(delimiter).limit(limit),
            };
            if chance(16) {
                op = op.size_hint(one_of(&[7, 64, 1000]));
            }
            limited!(op)
        }
        Want::Lines(limit) => limited!(file.readlines().limit(limit).delimiter(drawn.delimiter)),
    }
}

fn write_op(file: &AsyncFile, data: &[u8], full: bool, timeout: Option<Duration>) -> Op {
    let mut op = match choose(3) {
        0 => file.write(data),
        1 => file.write(data.to_vec()),
        _ => file.write(Rc::<[u8]>::from(data)),
    };
    if full {
        op = op.full();
    }
    match timeout {
        Some(timeout) => op.timeout(timeout).into(),
        None => op.into(),
    }
}

/// A file of the program for which this holds.
fn some_file(world: &World, fits: impl Fn(&super::world::File) -> bool) -> Option<FileId> {
    let files = world.files.borrow();
    let fitting: Vec<FileId> = (0..files.len()).filter(|id| fits(&files[*id])).collect();
    drop(files);
    match fitting.len() {
        0 => None,
        count => Some(fitting[choose(count as u32) as usize]),
    }
}

/// The next operation. A plain one can be part of a `first`.
pub fn next(world: &World, task: TaskId) -> (Op, Model) {
    if chance(24) {
        let count = 1 + choose(3);
        let (ops, models): (Vec<Op>, Vec<Model>) = (0..count).map(|_| plain(world, task)).unzip();
        return (first(ops).into(), Model::First(models));
    }
    if chance(48) {
        if let Some(found) = writing(world, task) {
            return found;
        }
    }
    if chance(24) {
        if let Some(found) = communicating(world) {
            return found;
        }
    }
    if chance(4) {
        if let Some(found) = stopping(world) {
            return found;
        }
    }
    plain(world, task)
}

fn writing(world: &World, task: TaskId) -> Option<(Op, Model)> {
    let file = some_file(world, |file| file.is_writable)?;
    let (data, full, timeout) = (data(world, task), choose(2) == 1, timeout());
    let op = world.with_file(file, |handle| write_op(handle, &data, full, timeout))?;
    Some((
        op,
        Model::Write {
            file,
            data,
            full,
            timeout,
        },
    ))
}

fn communicating(world: &World) -> Option<(Op, Model)> {
    let count = world.pipes.borrow().len() as u32;
    if count == 0 {
        return None;
    }
    let pipe = choose(count) as usize;
    let handle = world.pipes.borrow()[pipe].pipe.clone();
    // Beside another one, or with input left, only one without: what is fed must be known.
    let is_fed = world.pipes.borrow()[pipe].busy > 0
        || !matches!(world.pipes.borrow()[pipe].input, Input::Nothing);
    let mut op = match choose(3) {
        _ if is_fed => handle.communicate(()),
        0 => handle.communicate(()),
        1 => {
            let bytes = data(world, 0);
            world.pipes.borrow_mut()[pipe].input = Input::Bytes(bytes.clone());
            handle.communicate(bytes)
        }
        _ => {
            let source = some_file(world, |file| {
                file.is_readable && !file.is_closed && file.of.is_none()
            });
            match source {
                Some(source) => {
                    world.pipes.borrow_mut()[pipe].input = Input::Stream(source);
                    let file = world.with_file(source, AsyncFile::clone)?;
                    handle.communicate(file)
                }
                None => handle.communicate(()),
            }
        }
    };
    let limit = if chance(48) {
        1 + choose(50) as usize
    } else {
        usize::MAX
    };
    op = op.limit(limit);
    let timeout = timeout();
    if let Some(timeout) = timeout {
        op = op.timeout(timeout);
    }
    let linger = if choose(4) == 1 {
        Some(Duration::from_millis(choose(500).into()))
    } else {
        None
    };
    if let Some(linger) = linger {
        op = op.linger(linger);
    }
    world.pipes.borrow_mut()[pipe].busy += 1;
    Some((
        op.into(),
        Model::Communicate {
            pipe,
            limit,
            timeout,
            linger,
        },
    ))
}

fn plain(world: &World, task: TaskId) -> (Op, Model) {
    let found = match choose(15) {
        0..=5 => reading(world),
        6 => {
            let write = choose(2) == 1;
            let file = some_file(world, |file| {
                if write {
                    file.is_writable
                } else {
                    file.is_readable
                }
            });
            let timeout = timeout();
            file.and_then(|file| {
                let op = world.with_file(file, |file| {
                    if write {
                        file.writable()
                    } else {
                        file.readable()
                    }
                })?;
                let op = with_timeout(timeout, op, |op, after| op.timeout(after));
                let came = world.files.borrow()[file].came.len();
                Some((
                    op.into(),
                    Model::Ready {
                        file,
                        write,
                        came,
                        timeout,
                    },
                ))
            })
        }
        7 => {
            let time = if chance(4) {
                Duration::MAX
            } else {
                Duration::from_micros(u64::from(choose(2_000_000)))
            };
            Some((sleep(time).into(), Model::Sleep(time)))
        }
        8 => {
            let tasks = world.tasks.borrow().len() as u32;
            let target = choose(tasks) as usize;
            let op = world.tasks.borrow()[target]
                .handle
                .as_ref()
                .map(|handle| handle.finished());
            op.filter(|_| target != task)
                .map(|op| (op.into(), Model::Join(target)))
        }
        9 if chance(64) => exiting_all(world),
        9 => exiting(world),
        10 => {
            let op = world
                .channel
                .borrow()
                .receiver
                .as_ref()
                .map(|receiver| receiver.ready());
            let timeout = timeout();
            op.map(|op| {
                (
                    with_timeout(timeout, op, |op, after| op.timeout(after)).into(),
                    Model::Message { timeout },
                )
            })
        }
        12 | 13 => queueing(world),
        14 => Some(ticking()),
        _ => None,
    };
    found.unwrap_or_else(|| (yield_now().into(), Model::Yield))
}

fn queueing(world: &World) -> Option<(Op, Model)> {
    let handle = world.queue.borrow().handle.clone()?;
    let (room, timeout) = (choose(2) == 1, timeout());
    let op = if room { handle.room() } else { handle.ready() };
    let op = with_timeout(timeout, op, |op, after| op.timeout(after));
    Some((op.into(), Model::Queue { room, timeout }))
}

fn reading(world: &World) -> Option<(Op, Model)> {
    let file = some_file(world, |file| file.is_readable)?;
    let (mut want, timeout) = (want(), timeout());
    if chance(2) {
        want = one_of(&[Want::ToEnd(0), Want::Line(0), Want::Lines(0)]);
    }
    let mut drawn = Drawn {
        want,
        delimiter: b'\n',
        is_peek: false,
        timeout,
        until: None,
    };
    match (choose(6), want) {
        (1, Want::Some(_) | Want::Full(_)) => drawn.is_peek = true,
        (2, Want::Full(size)) => drawn.want = Want::Exact(size),
        (3, Want::Line(_) | Want::Lines(_)) => drawn.delimiter = one_of(&[0, b'a', 200]),
        (4, _) => {
            let ahead = Duration::from_millis(u64::from(choose(2000)));
            drawn.until = Some((now() + ahead).saturating_sub(Duration::from_millis(200)));
        }
        _ => {}
    }
    let op = world.with_file(file, |handle| read_op(handle, drawn))?;
    let Drawn {
        want,
        delimiter,
        is_peek,
        timeout,
        until,
    } = drawn;
    let model = Model::Read {
        file,
        want,
        delimiter,
        is_peek,
        timeout,
        until,
    };
    Some((op, model))
}

fn ticking() -> (Op, Model) {
    let period = Duration::from_micros(1 + u64::from(choose(100_000)));
    let model = Model::Ticks {
        period,
        made: now(),
        last: Rc::default(),
    };
    (ticks(period).into(), model)
}

fn exiting(world: &World) -> Option<(Op, Model)> {
    let (pipe, timeout) = (some_pipe(world)?, timeout());
    let op = with_timeout(
        timeout,
        world.pipes.borrow()[pipe].pipe.exit(),
        |op, after| op.timeout(after),
    );
    Some((op.into(), Model::Exit { pipe, timeout }))
}

fn exiting_all(world: &World) -> Option<(Op, Model)> {
    let (pipe, timeout) = (some_pipe(world)?, timeout());
    let op = world.pipes.borrow()[pipe].pipe.exit_all();
    let op = with_timeout(timeout, op, |op, after| op.timeout(after));
    Some((op.into(), Model::ExitAll { pipe, timeout }))
}

fn stopping(world: &World) -> Option<(Op, Model)> {
    let (pipe, timeout) = (some_pipe(world)?, timeout());
    let grace = Duration::from_millis(one_of(&[0, 1, 50, 3000]));
    let op = world.pipes.borrow()[pipe].pipe.stop(grace);
    let op = with_timeout(timeout, op, |op, after| op.timeout(after));
    Some((op.into(), Model::Stop { pipe, timeout }))
}

fn some_pipe(world: &World) -> Option<PipeId> {
    match world.pipes.borrow().len() as u32 {
        0 => None,
        count => Some(choose(count) as usize),
    }
}

/// The task waits for this from here on.
pub fn begin(world: &World, task: TaskId, model: Model) {
    stand(world, task, &model);
    let mut tasks = world.tasks.borrow_mut();
    tasks[task].since = now();
    tasks[task].model = Some(model);
}

fn stand(world: &World, task: TaskId, model: &Model) {
    let queue_to_read = |file: FileId| {
        let file = &mut world.files.borrow_mut()[file];
        if !file.is_closed && !file.readers.contains(&task) {
            file.readers.push_back(task);
        }
    };
    let queue_to_write = |file: FileId, data: Option<&Vec<u8>>| {
        let file = &mut world.files.borrow_mut()[file];
        if !file.is_closed {
            file.writers.push_back(Writer {
                task,
                data: data.cloned(),
                taken: 0,
            });
        }
    };
    match model {
        Model::Read { file, .. } => queue_to_read(*file),
        Model::Write { file, data, .. } => queue_to_write(*file, Some(data)),
        Model::First(models) => models.iter().for_each(|model| stand(world, task, model)),
        Model::Communicate { pipe, .. } => {
            let pipe = &world.pipes.borrow()[*pipe];
            if let Some(stdin) = pipe.files[0] {
                queue_to_write(stdin, None);
            }
            pipe.files[1..]
                .iter()
                .flatten()
                .for_each(|file| queue_to_read(*file));
            if let Input::Stream(source) = pipe.input {
                queue_to_read(source);
            }
        }
        Model::Ready { .. } | Model::Sleep(_) | Model::Yield | Model::Join(_) => {}
        Model::Ticks { .. } => {}
        Model::Exit { .. } | Model::ExitAll { .. } | Model::Stop { .. } => {}
        Model::Message { .. } => {}
        Model::Queue { room, .. } => {
            let waiters = &mut world.queue.borrow_mut().waiters[usize::from(*room)];
            if !waiters.contains(&task) {
                waiters.push_back(task);
            }
        }
    }
}
