//! Which operation a task waits for next, and who stands where when it does.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Duration;

use asyncfile::machine::read::Want;
use asyncfile::machine::write::Extent;
use asyncfile::op::{Data, Write};
use asyncfile::{first, sim, sleep, ticks, yield_now, AsyncFile, Op};
use libc::{c_short, POLLIN, POLLOUT, POLLPRI};

use super::world::{now, FileId, Input, Intent, PipeId, TaskId, World, Writer};
use super::{chance, choose, one_of};

/// Elsewhere there is none.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const POLLRDHUP: c_short = 0;
#[cfg(any(target_os = "linux", target_os = "android"))]
use libc::POLLRDHUP;

/// How long an operation may take, and until when.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    pub timeout: Option<Duration>,
    /// A time of the simulated clock.
    pub until: Option<Duration>,
}

impl Limits {
    /// When an operation is due that waits since then. None: never.
    pub fn due(self, since: Duration) -> Option<Duration> {
        let span_ends = self.timeout.map(|timeout| since.saturating_add(timeout));
        let due = span_ends.into_iter().chain(self.until).min()?;
        Some(due.max(since)).filter(|due| *due < Duration::MAX)
    }
}

/// What bare readiness is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    Readable,
    Writable,
    Events(c_short),
}

/// An operation, as it is checked.
#[derive(Clone, Debug)]
pub enum Model {
    Read {
        file: FileId,
        want: Want,
        /// What ends a line.
        delimiter: u8,
        is_peek: bool,
        limits: Limits,
    },
    Write {
        file: FileId,
        data: Vec<u8>,
        extent: Extent,
        limits: Limits,
    },
    ShutDown {
        file: FileId,
        limits: Limits,
    },
    /// `came`: how much had come before.
    Ready {
        file: FileId,
        aspect: Aspect,
        came: usize,
        limits: Limits,
    },
    Sleep {
        time: Duration,
        limits: Limits,
    },
    /// `last`: the last multiple that ended a wait.
    Ticks {
        period: Duration,
        made: Duration,
        last: Rc<Cell<u32>>,
        limits: Limits,
    },
    Yield,
    Join {
        target: TaskId,
        limits: Limits,
    },
    First {
        models: Vec<Model>,
        limits: Limits,
    },
    Communicate {
        pipe: PipeId,
        limit: usize,
        limits: Limits,
        linger: Option<Duration>,
    },
    Exit {
        pipe: PipeId,
        limits: Limits,
    },
    ExitAll {
        pipe: PipeId,
        limits: Limits,
    },
    Stop {
        pipe: PipeId,
        grace: Duration,
        limits: Limits,
    },
    /// From another thread.
    Receive {
        limits: Limits,
    },
    /// For an item of the queue, or for room in it.
    Queue {
        room: bool,
        limits: Limits,
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
            Model::Write { extent, .. } => match extent {
                Extent::Once => "write",
                Extent::Full => "write full",
                Extent::All => "write_all",
            },
            Model::ShutDown { .. } => "shutdown_write",
            Model::Ready {
                aspect: Aspect::Events(_),
                ..
            } => "readiness",
            Model::Ready { .. } => "ready",
            Model::Sleep { .. } => "sleep",
            Model::Ticks { .. } => "ticks",
            Model::Yield => "yield_now",
            Model::Join { .. } => "join",
            Model::First { .. } => "first",
            Model::Communicate { .. } => "communicate",
            Model::Exit { .. } => "exit",
            Model::ExitAll { .. } => "exit_all",
            Model::Stop { .. } => "stop",
            Model::Receive { .. } => "message",
            Model::Queue { room: false, .. } => "queue ready",
            Model::Queue { .. } => "queue room",
        }
    }

    /// Whether this holds of it, or of one of those whose first it is.
    pub fn any(&self, holds: &impl Fn(&Model) -> bool) -> bool {
        match self {
            Model::First { models, .. } => models.iter().any(|model| model.any(holds)),
            model => holds(model),
        }
    }

    pub fn limits(&self) -> Limits {
        match self {
            Model::Read { limits, .. }
            | Model::Write { limits, .. }
            | Model::ShutDown { limits, .. }
            | Model::Ready { limits, .. }
            | Model::Sleep { limits, .. }
            | Model::Ticks { limits, .. }
            | Model::Join { limits, .. }
            | Model::First { limits, .. }
            | Model::Communicate { limits, .. }
            | Model::Exit { limits, .. }
            | Model::ExitAll { limits, .. }
            | Model::Stop { limits, .. }
            | Model::Receive { limits }
            | Model::Queue { limits, .. } => *limits,
            Model::Yield => Limits::default(),
        }
    }

    /// `again()` waits for the same once more.
    pub fn can_be_repeated(&self) -> bool {
        matches!(
            self,
            Model::Read { .. }
                | Model::Sleep { .. }
                | Model::ShutDown { .. }
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
                | Model::First { .. }
                | Model::Communicate { .. }
                | Model::Receive { .. }
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

/// A timeout, a moment, or both. One that has passed is drawn now and then.
fn limits() -> Limits {
    limits_with(32)
}

/// A moment so many times of 256.
fn limits_with(moments: u32) -> Limits {
    let timeout = timeout();
    let until = if chance(moments) {
        let ahead = Duration::from_millis(u64::from(choose(2000)));
        Some((now() + ahead).saturating_sub(Duration::from_millis(200)))
    } else {
        None
    };
    Limits { timeout, until }
}

/// The same, for what mostly has none.
fn rare_limits() -> Limits {
    match chance(24) {
        true => limits(),
        false => Limits::default(),
    }
}

/// The operation, with its limits.
macro_rules! limited {
    ($limits:expr, $op:expr) => {{
        let (limits, mut op) = ($limits, $op);
        if let Some(timeout) = limits.timeout {
            op = op.timeout(timeout);
        }
        if let Some(until) = limits.until {
            op = op.until(sim::instant(until));
        }
        Op::from(op)
    }};
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

/// A read, as it is drawn.
#[derive(Clone, Copy, Debug)]
struct Drawn {
    want: Want,
    delimiter: u8,
    is_peek: bool,
    limits: Limits,
}

fn read_op(file: &AsyncFile, drawn: Drawn) -> Op {
    match drawn.want {
        Want::Some(size) if drawn.is_peek => limited!(drawn.limits, file.peek(size)),
        Want::Full(size) if drawn.is_peek => limited!(drawn.limits, file.peek(size).full()),
        Want::Some(size) => limited!(drawn.limits, file.read(size)),
        Want::Full(size) => limited!(drawn.limits, file.read(size).full()),
        Want::Exact(size) => limited!(drawn.limits, file.read_exact(size)),
        Want::ToEnd(limit) => limited!(drawn.limits, file.read_to_end().limit(limit)),
        Want::Line(limit) => {
            let mut op = match drawn.delimiter {
                b'\n' => file.readline().limit(limit),
                delimiter => file.read_until(delimiter).limit(limit),
            };
            if chance(16) {
                op = op.size_hint(one_of(&[7, 64, 1000]));
            }
            limited!(drawn.limits, op)
        }
        Want::Lines(limit) => limited!(
            drawn.limits,
            file.readlines().limit(limit).delimiter(drawn.delimiter)
        ),
    }
}

fn write_op(file: &AsyncFile, data: &[u8], extent: Extent, limits: Limits) -> Op {
    fn write(file: &AsyncFile, data: impl Into<Data>, extent: Extent) -> Write {
        match extent {
            Extent::Once => file.write(data),
            Extent::Full => file.write(data).full(),
            Extent::All => file.write_all(data),
        }
    }
    let op = match choose(3) {
        0 => write(file, data, extent),
        1 => write(file, data.to_vec(), extent),
        _ => write(file, Rc::<[u8]>::from(data), extent),
    };
    limited!(limits, op)
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
        let limits = rare_limits();
        return (
            limited!(limits, first(ops)),
            Model::First { models, limits },
        );
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
    if chance(6) {
        if let Some(found) = stopping(world) {
            return found;
        }
    }
    plain(world, task)
}

fn writing(world: &World, task: TaskId) -> Option<(Op, Model)> {
    let file = some_file(world, |file| file.is_writable)?;
    let is_busy = {
        let file = &world.files.borrow()[file];
        file.is_socket && !file.writers.is_empty()
    };
    if is_busy && chance(64) {
        return shutting_down_of(world, file);
    }
    let data = data(world, task);
    let extent = match choose(2) {
        0 => Extent::Once,
        _ if chance(100) => Extent::All,
        _ => Extent::Full,
    };
    let limits = limits();
    let op = world.with_file(file, |handle| write_op(handle, &data, extent, limits))?;
    Some((
        op,
        Model::Write {
            file,
            data,
            extent,
            limits,
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
                let is_stream = file.of.is_none() && file.messages.is_none();
                file.is_readable && !file.is_closed && is_stream
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
    let limits = limits();
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
        limited!(limits, op),
        Model::Communicate {
            pipe,
            limit,
            limits,
            linger,
        },
    ))
}

fn plain(world: &World, task: TaskId) -> (Op, Model) {
    let found = match choose(15) {
        0..=5 => reading(world),
        6 if chance(32) => shutting_down(world),
        6 => waiting(world),
        7 => {
            let time = if chance(4) {
                Duration::MAX
            } else {
                Duration::from_micros(u64::from(choose(2_000_000)))
            };
            let limits = rare_limits();
            Some((limited!(limits, sleep(time)), Model::Sleep { time, limits }))
        }
        8 => {
            let tasks = world.tasks.borrow().len() as u32;
            let target = choose(tasks) as usize;
            let op = world.tasks.borrow()[target]
                .handle
                .as_ref()
                .map(|handle| handle.finished());
            op.filter(|_| target != task).map(|op| {
                let limits = rare_limits();
                (limited!(limits, op), Model::Join { target, limits })
            })
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
            let limits = limits();
            op.map(|op| (limited!(limits, op), Model::Receive { limits }))
        }
        12 | 13 => queueing(world),
        14 => Some(ticking()),
        _ => None,
    };
    found.unwrap_or_else(|| (yield_now().into(), Model::Yield))
}

/// Of a socket mostly: of something else it is ENOTSOCK.
fn shutting_down(world: &World) -> Option<(Op, Model)> {
    let file = some_file(world, |file| file.is_writable && file.is_socket)
        .filter(|_| !chance(8))
        .or_else(|| some_file(world, |file| file.is_writable))?;
    shutting_down_of(world, file)
}

fn shutting_down_of(world: &World, file: FileId) -> Option<(Op, Model)> {
    let limits = limits_with(128);
    let op = world.with_file(file, AsyncFile::shutdown_write)?;
    Some((limited!(limits, op), Model::ShutDown { file, limits }))
}

fn waiting(world: &World) -> Option<(Op, Model)> {
    let mut aspect = match choose(2) {
        1 => Aspect::Writable,
        _ => Aspect::Readable,
    };
    let file = some_file(world, |file| match aspect {
        Aspect::Writable => file.is_writable,
        _ => file.is_readable,
    })?;
    if chance(80) {
        let some = [0, POLLIN, POLLPRI, POLLRDHUP, POLLRDHUP | POLLPRI];
        let usual = match aspect {
            Aspect::Writable => POLLOUT,
            _ => POLLIN,
        };
        aspect = Aspect::Events(one_of(&some) | if chance(32) { usual } else { 0 });
    }
    let limits = limits();
    let op = world.with_file(file, |file| match aspect {
        Aspect::Readable => file.readable(),
        Aspect::Writable => file.writable(),
        Aspect::Events(events) => file.readiness(events),
    })?;
    let came = world.files.borrow()[file].came.len();
    Some((
        limited!(limits, op),
        Model::Ready {
            file,
            aspect,
            came,
            limits,
        },
    ))
}

fn queueing(world: &World) -> Option<(Op, Model)> {
    let handle = world.queue.borrow().handle.clone()?;
    let (room, limits) = (choose(2) == 1, limits());
    let op = if room { handle.room() } else { handle.ready() };
    Some((limited!(limits, op), Model::Queue { room, limits }))
}

fn reading(world: &World) -> Option<(Op, Model)> {
    let file = some_file(world, |file| file.is_readable)?;
    let (mut want, limits) = (want(), limits());
    let keeps_messages = world.files.borrow()[file].messages.is_some();
    if keeps_messages && chance(200) {
        want = Want::Some(if chance(8) { 0 } else { size() });
    }
    if chance(2) {
        want = one_of(&[Want::ToEnd(0), Want::Line(0), Want::Lines(0)]);
    }
    let mut drawn = Drawn {
        want,
        delimiter: b'\n',
        is_peek: false,
        limits,
    };
    match (choose(6), want) {
        (1, Want::Some(_) | Want::Full(_)) => drawn.is_peek = true,
        (2, Want::Full(size)) => drawn.want = Want::Exact(size),
        (3, Want::Line(_) | Want::Lines(_)) => drawn.delimiter = one_of(&[0, b'a', 200]),
        _ => {}
    }
    let op = world.with_file(file, |handle| read_op(handle, drawn))?;
    let Drawn {
        want,
        delimiter,
        is_peek,
        limits,
    } = drawn;
    let model = Model::Read {
        file,
        want,
        delimiter,
        is_peek,
        limits,
    };
    Some((op, model))
}

fn ticking() -> (Op, Model) {
    let period = Duration::from_micros(1 + u64::from(choose(100_000)));
    let (op, made, limits) = (ticks(period), now(), rare_limits());
    let model = Model::Ticks {
        period,
        made,
        last: Rc::default(),
        limits,
    };
    (limited!(limits, op), model)
}

fn exiting(world: &World) -> Option<(Op, Model)> {
    let (pipe, limits) = (some_pipe(world)?, limits());
    let op = world.pipes.borrow()[pipe].pipe.exit();
    Some((limited!(limits, op), Model::Exit { pipe, limits }))
}

fn exiting_all(world: &World) -> Option<(Op, Model)> {
    let (pipe, limits) = (some_pipe(world)?, limits());
    let op = world.pipes.borrow()[pipe].pipe.exit_all();
    Some((limited!(limits, op), Model::ExitAll { pipe, limits }))
}

fn stopping(world: &World) -> Option<(Op, Model)> {
    let (pipe, limits) = (some_pipe(world)?, limits_with(128));
    let grace = Duration::from_millis(one_of(&[0, 1, 50, 3000]));
    let op = world.pipes.borrow()[pipe].pipe.stop(grace);
    let model = Model::Stop {
        pipe,
        grace,
        limits,
    };
    Some((limited!(limits, op), model))
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
    let queue_to_write = |file: FileId, intent: Intent| {
        let file = &mut world.files.borrow_mut()[file];
        if !file.is_closed {
            file.writers.push_back(Writer {
                task,
                intent,
                taken: 0,
                messages: 0,
            });
        }
    };
    match model {
        Model::Read { file, .. } => queue_to_read(*file),
        Model::Write { file, data, .. } => queue_to_write(*file, Intent::Data(data.clone())),
        Model::ShutDown { file, .. } => queue_to_write(*file, Intent::ShutDown),
        Model::First { models, .. } => models.iter().for_each(|model| stand(world, task, model)),
        Model::Communicate { pipe, .. } => {
            let pipe = &world.pipes.borrow()[*pipe];
            if let Some(stdin) = pipe.files[0] {
                queue_to_write(stdin, Intent::Feed);
            }
            pipe.files[1..]
                .iter()
                .flatten()
                .for_each(|file| queue_to_read(*file));
            if let Input::Stream(source) = pipe.input {
                queue_to_read(source);
            }
        }
        Model::Ready { .. } | Model::Sleep { .. } | Model::Yield | Model::Join { .. } => {}
        Model::Ticks { .. } => {}
        Model::Exit { .. } | Model::ExitAll { .. } | Model::Stop { .. } => {}
        Model::Receive { .. } => {}
        Model::Queue { room, .. } => {
            let waiters = &mut world.queue.borrow_mut().waiters[usize::from(*room)];
            if !waiters.contains(&task) {
                waiters.push_back(task);
            }
        }
    }
}
