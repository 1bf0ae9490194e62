//! The contract's signatures, each once: names, types, lifetimes, bounds and traits.
//!
//! The file has only to compile, also with the oldest rustc that the library supports. A function
//! here is a signature, in the order of the contract, and nobody calls it. A signature without
//! `impl Trait` is a coercion to a function pointer; one with it is called with each type that it
//! must take. `where` clauses are no wider than the contract's.
#![allow(dead_code, clippy::extra_unused_lifetimes, clippy::type_complexity)]

use std::borrow::BorrowMut;
use std::cell::Cell;
use std::error::Error;
use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::io::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::process::{
    Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio,
};
use std::rc::Rc;
use std::sync::mpsc::TryRecvError;
use std::time::{Duration, Instant};

use asyncfile::{
    again, channel, done, first, op, queue, sleep, then, wait, yield_now, AsyncFile, AsyncPipe,
    CancelOnDrop, End, Flow, JoinHandle, Lines, Next, Op, Operation, OperationError, Outcome,
    Queue, Receiver, Remote, Scheduler, Sender, Spawn, StateFlow, StateFn, Step, Task, TaskError,
    TaskId, Trace,
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn every_signature_of_the_contract_compiles() {}

// What a program looks like.

fn lines_with_a_second_for_each(sched: &mut Scheduler<'_>) -> Result<u64, Box<dyn Error>> {
    let pipe = AsyncPipe::piped(Command::new("journalctl").arg("-f"))?;
    let mut count = 0;
    let counter = sched.spawn(pipe.readline().timeout(SECOND), move |task| {
        match task.line()? {
            Some(_line) => {
                count += 1;
                again()
            }
            None => done(count),
        }
    });
    let lines: u64 = sched.join(counter)?;
    Ok(lines)
}

fn chunks_in_full<'t>(
    sched: &mut Scheduler<'t>,
    pipe: &AsyncPipe,
    mut chunks: impl Iterator<Item = Vec<u8>> + 't,
) {
    let stdin = pipe.take_stdin().expect("piped");
    sched.spawn(yield_now(), move |task| {
        task.ok()?;
        match chunks.next() {
            Some(chunk) => wait(stdin.write(chunk).full().timeout(SECOND)),
            None => done(()),
        }
    });
}

/// A protocol of two states: four bytes, sent back.
struct Echo {
    sock: AsyncFile,
}

impl Echo {
    fn idle(&mut self, task: &mut Task) -> StateFlow<Self> {
        task.ok()?;
        then(self.sock.read(4).full(), Self::header)
    }

    fn header(&mut self, task: &mut Task) -> StateFlow<Self> {
        match *task.bytes()? {
            [] => Next::done(),
            [0, ..] => Next::again(Self::header),
            [a, b, c, d] => then(self.sock.write(&[a, b, c, d]).full(), Self::idle),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Lent bytes are written to the file that lends them.
    fn body(&mut self, task: &mut Task) -> StateFlow<Self> {
        then(self.sock.write(task.bytes()?).full(), Self::idle)
    }
}

fn states(sched: &mut Scheduler<'_>, sock: AsyncFile) -> Result<Echo, TaskError> {
    let handle = sched.spawn_states(yield_now(), Echo { sock }, Echo::idle);
    sched.join(handle)
}

fn one_operation_from_ordinary_code(
    sched: &mut Scheduler<'_>,
    pipe: &AsyncPipe,
) -> io::Result<Output> {
    sched.block_on(pipe.communicate("input").timeout(SECOND))
}

fn the_first_of_two(sched: &mut Scheduler<'_>, file: AsyncFile, other: AsyncFile) {
    let both = first([Op::from(sleep(SECOND)), file.readline().into()]);
    sched.spawn(both, move |task| -> Flow {
        match task.which() {
            0 => again(),
            _ => match task.line()? {
                Some(_line) => wait(first([file.read(1), other.read(1)])),
                None => done(()),
            },
        }
    });
}

/// A local variable, declared before the scheduler, without a counted reference.
fn a_task_borrows_what_was_declared_before_the_scheduler() -> Result<u32, TaskError> {
    let sum = Cell::new(0);
    let mut sched = Scheduler::new();
    let adder = sched.spawn(yield_now(), |task| {
        task.ok()?;
        let inner = task.spawn(sleep(SECOND), |_task| {
            sum.set(sum.get() + 1);
            done(())
        });
        wait::<()>(inner.finished())
    });
    drop(adder);
    sched.run()?;
    drop(sched);
    Ok(sum.get())
}

// Flows and the functions that make them.

fn flows() {
    let _: fn(u8) -> io::Result<Step<u8>> = |value| -> Flow<u8> { done(value) };
    let _: fn() -> io::Result<Step<()>> = || -> Flow { again() };
    let _: fn() -> io::Result<Next<Echo>> = || -> StateFlow<Echo> { Next::done() };

    let _: fn(op::Read) -> Flow<u8> = wait;
    let _: fn(Op) -> Flow = wait;
    let _: fn() -> Flow<u8> = again;
    let _: fn(u8) -> Flow<u8> = done;
    let _: fn() -> op::YieldNow = yield_now;
    let _: fn(Duration) -> op::Sleep = sleep;
    let _: fn(Vec<Op>) -> op::First = first;
    let _: fn([op::Read; 2]) -> op::First = first;
    let _: fn(Option<op::Readline>) -> op::First = first;
    let _: fn([Op; 0]) -> op::First = first;
}

fn state_functions() {
    let _: StateFn<Echo> = Echo::idle;
    let _: for<'a, 'e, 't> fn(&'a mut Echo, &'a mut Task<'e, 't>) -> StateFlow<Echo> = Echo::header;
    let _: fn(op::Read, StateFn<Echo>) -> StateFlow<Echo> = then;
    let _: fn(Op, StateFn<Echo>) -> StateFlow<Echo> = then;
    let _: fn() -> StateFlow<Echo> = Next::done;
    let _: fn(StateFn<Echo>) -> StateFlow<Echo> = Next::again;
}

/// The state needs no trait, and may borrow.
fn a_state_of_any_type<S>(op: impl Into<Op>, next: StateFn<S>) -> StateFlow<S> {
    if false {
        return Next::again(next);
    }
    then(op, next)
}

// Operations: `timeout` takes and gives back each type; all become an `Op`, and all can be waited
// for from ordinary code.

fn timeouts() {
    let _: fn(op::Read, Duration) -> op::Read = op::Read::timeout;
    let _: fn(op::ReadToEnd, Duration) -> op::ReadToEnd = op::ReadToEnd::timeout;
    let _: fn(op::Readline, Duration) -> op::Readline = op::Readline::timeout;
    let _: fn(op::Readlines, Duration) -> op::Readlines = op::Readlines::timeout;
    let _: fn(op::Write, Duration) -> op::Write = op::Write::timeout;
    let _: fn(op::Ready, Duration) -> op::Ready = op::Ready::timeout;
    let _: fn(op::Communicate, Duration) -> op::Communicate = op::Communicate::timeout;
    let _: fn(op::Exit, Duration) -> op::Exit = op::Exit::timeout;
}

fn timeouts_of_operations_without_a_descriptor() {
    let _: fn(op::Sleep, Duration) -> op::Sleep = op::Sleep::timeout;
    let _: fn(op::YieldNow, Duration) -> op::YieldNow = op::YieldNow::timeout;
    let _: fn(op::First, Duration) -> op::First = op::First::timeout;
    let _: fn(op::Join, Duration) -> op::Join = op::Join::timeout;
}

fn is_an_operation<O: Operation<Output = T> + Into<Op> + Debug, T: 'static>() {}

fn operations_and_what_they_hand_over() {
    is_an_operation::<op::Read, Vec<u8>>();
    is_an_operation::<op::ReadToEnd, Vec<u8>>();
    is_an_operation::<op::Readline, Option<Vec<u8>>>();
    is_an_operation::<op::Readlines, Vec<Vec<u8>>>();
    is_an_operation::<op::Write, usize>();
    is_an_operation::<op::Ready, ()>();
    is_an_operation::<op::Sleep, ()>();
    is_an_operation::<op::YieldNow, ()>();
    is_an_operation::<op::Join, ()>();
    is_an_operation::<op::First, usize>();
    is_an_operation::<op::Communicate, Output>();
    is_an_operation::<op::Exit, ExitStatus>();
    let _: fn(op::Op) -> Op = |op| op;
}

// Scheduler.

fn scheduler<'t>() {
    let _: fn() -> Scheduler<'t> = Scheduler::new;
    let _: fn(&mut Scheduler<'t>) -> Result<(), TaskError> = Scheduler::run;
    let _: fn(&mut Scheduler<'t>, JoinHandle<u8>) -> Result<u8, TaskError> = Scheduler::join;
    let _: fn(&mut Scheduler<'t>, op::Read) -> io::Result<Vec<u8>> = Scheduler::block_on;
    let _: fn(&mut Scheduler<'t>, Option<Duration>) -> Result<usize, TaskError> = Scheduler::turn;
    let _: fn(&mut Scheduler<'t>, &mut Vec<libc::pollfd>) -> Option<Duration> = Scheduler::pollfds;
    let _: fn(&mut Scheduler<'t>, &[libc::pollfd]) -> Result<usize, TaskError> =
        Scheduler::dispatch;
    let _: fn(&Scheduler<'t>) -> io::Result<Remote> = Scheduler::remote;
}

fn spawn_from_either<'t, T: 't, S: 't>(
    to: &mut impl Spawn<'t>,
    op: impl Into<Op>,
    body: impl FnMut(&mut Task<'_, 't>) -> Flow<T> + 't,
    state: S,
    at: StateFn<S>,
) -> (JoinHandle<T>, JoinHandle<S>) {
    (to.spawn(op, body), to.spawn_states(yield_now(), state, at))
}

fn is_spawn<'t, P: Spawn<'t>>() {}

fn what_spawns<'e, 't: 'e>() {
    is_spawn::<'t, Scheduler<'t>>();
    is_spawn::<'t, Task<'e, 't>>();
}

fn scheduler_spawn<'t, T: 't>(
    sched: &mut Scheduler<'t>,
    op: impl Into<Op>,
    body: impl FnMut(&mut Task<'_, 't>) -> Flow<T> + 't,
) -> JoinHandle<T> {
    sched.spawn(op, body)
}

fn scheduler_spawn_states<'t, S: 't>(
    sched: &mut Scheduler<'t>,
    op: impl Into<Op>,
    state: S,
    at: StateFn<S>,
) -> JoinHandle<S> {
    sched.spawn_states(op, state, at)
}

fn scheduler_join<T>(sched: &mut Scheduler<'_>, handle: JoinHandle<T>) -> Result<T, TaskError> {
    sched.join(handle)
}

fn scheduler_block_on<O: Operation>(sched: &mut Scheduler<'_>, op: O) -> io::Result<O::Output> {
    sched.block_on(op)
}

fn scheduler_observe<'t>(sched: &mut Scheduler<'t>, f: impl FnMut(&Trace<'_>) + 't) {
    sched.observe(f);
}

fn scheduler_on_failure<'t>(sched: &mut Scheduler<'t>, f: impl FnMut(TaskId, TaskError) + 't) {
    sched.on_failure(f);
}

fn remote(remote: &Remote, f: impl FnOnce(&mut Scheduler<'_>) + Send + 'static) -> Remote {
    let _is_there: bool = remote.run(f);
    let _: fn(&Remote) = Remote::wake;
    let _: fn(&Remote) = Remote::stop;
    remote.clone()
}

// Task: what it lends lives as long as the resume, `'e`.

fn task_line<'e>(task: &mut Task<'e, '_>) -> io::Result<Option<&'e [u8]>> {
    task.line()
}

fn task_lines<'e>(task: &mut Task<'e, '_>) -> io::Result<Lines<'e>> {
    task.lines()
}

fn lines<'e>(lines: Lines<'e>) -> impl Iterator<Item = &'e [u8]> + Debug + 'e {
    lines
}

fn task_bytes<'e>(task: &mut Task<'e, '_>) -> io::Result<&'e [u8]> {
    task.bytes()
}

fn task_outcome<'e>(task: &mut Task<'e, '_>) -> Outcome<'e> {
    task.outcome()
}

fn task<'e, 't: 'e>() {
    let _: fn(&mut Task<'e, 't>) -> io::Result<usize> = Task::written;
    let _: fn(&mut Task<'e, 't>) -> io::Result<Output> = Task::output;
    let _: fn(&mut Task<'e, 't>) -> io::Result<ExitStatus> = Task::exit;
    let _: fn(&mut Task<'e, 't>) -> io::Result<()> = Task::ok;
    let _: fn(&Task<'e, 't>) -> End = Task::end;
    let _: fn(&Task<'e, 't>) -> usize = Task::which;
    let _: fn(&Task<'e, 't>) -> TaskId = Task::id;
    let _: fn(&Task<'e, 't>) -> Instant = Task::clock;
}

fn task_spawn<'t, T: 't>(
    task: &mut Task<'_, 't>,
    op: impl Into<Op>,
    body: impl FnMut(&mut Task<'_, 't>) -> Flow<T> + 't,
) -> JoinHandle<T> {
    task.spawn(op, body)
}

fn task_spawn_states<'t, S: 't>(
    task: &mut Task<'_, 't>,
    op: impl Into<Op>,
    state: S,
    at: StateFn<S>,
) -> JoinHandle<S> {
    task.spawn_states(op, state, at)
}

fn ends() -> [End; 5] {
    [
        End::Complete,
        End::Eof,
        End::TimedOut,
        End::Limit,
        End::Failed,
    ]
}

fn is<T>(_: T) {}

fn outcomes(outcome: Outcome<'_>) {
    match outcome {
        Outcome::Ok | Outcome::Taken => {}
        Outcome::Line(line) => is::<Option<&[u8]>>(line),
        Outcome::Lines(lines) => is::<Lines<'_>>(lines),
        Outcome::Bytes(bytes) => is::<&[u8]>(bytes),
        Outcome::Written(size) => is::<usize>(size),
        Outcome::Output(output) => is::<Output>(output),
        Outcome::Exit(status) => is::<ExitStatus>(status),
        Outcome::Failed(error) => is::<io::Error>(error),
        _ => {}
    }
}

// JoinHandle and errors.

fn join_handle<T>(handle: JoinHandle<T>) -> Option<Result<T, TaskError>> {
    let _: fn(&JoinHandle<T>) -> op::Join = JoinHandle::finished;
    let _: fn(&JoinHandle<T>) -> bool = JoinHandle::is_finished;
    let _: fn(&JoinHandle<T>) = JoinHandle::cancel;
    let _: fn(JoinHandle<T>) -> CancelOnDrop<T> = JoinHandle::cancel_on_drop;
    let _: fn(CancelOnDrop<T>) -> JoinHandle<T> = CancelOnDrop::into_handle;
    let _: for<'a> fn(&'a CancelOnDrop<T>) -> &'a JoinHandle<T> = std::ops::Deref::deref;
    handle.take()
}

fn task_error(error: TaskError) -> io::Error {
    match &error {
        TaskError::Failed(error) => is::<&io::Error>(error),
        TaskError::Panicked(message) => is::<&String>(message),
        TaskError::Cancelled | TaskError::Stopped => {}
        TaskError::Stalled(tasks) => is::<&String>(tasks),
        TaskError::Poll(error) => is::<&io::Error>(error),
        _ => {}
    }
    io::Error::from(error)
}

fn operation_error(error: &io::Error) -> Option<&OperationError> {
    let found: Option<&OperationError> = OperationError::of(error);
    if let Some(error) = found {
        let _operation: &str = error.operation();
        let _fd: Option<RawFd> = error.fd();
        let _errno: Option<i32> = error.raw_os_error();
        let _source: Option<&(dyn Error + 'static)> = error.source();
    }
    found
}

// AsyncFile.

fn file_new(fd: impl Into<OwnedFd>) -> io::Result<AsyncFile> {
    AsyncFile::new(fd)
}

fn file_new_of_each() {
    let _: fn(OwnedFd) -> io::Result<AsyncFile> = AsyncFile::new;
    let _: fn(File) -> io::Result<AsyncFile> = AsyncFile::new;
    let _: fn(TcpStream) -> io::Result<AsyncFile> = AsyncFile::new;
    let _: fn(TcpListener) -> io::Result<AsyncFile> = AsyncFile::new;
    let _: fn(UnixStream) -> io::Result<AsyncFile> = AsyncFile::new;
    let _: fn(ChildStdin) -> io::Result<AsyncFile> = AsyncFile::new;
    let _: fn(ChildStdout) -> io::Result<AsyncFile> = AsyncFile::new;
    let _: fn(ChildStderr) -> io::Result<AsyncFile> = AsyncFile::new;
}

fn file_duplicate(fd: &impl AsFd) -> io::Result<AsyncFile> {
    AsyncFile::duplicate(&io::stdin())?;
    let borrowed: BorrowedFd<'_> = fd.as_fd();
    AsyncFile::duplicate(&borrowed)?;
    AsyncFile::duplicate(fd)
}

fn file() {
    let _: fn(&AsyncFile, usize) -> op::Read = AsyncFile::read;
    let _: fn(op::Read) -> op::Read = op::Read::full;
    let _: fn(&AsyncFile) -> op::ReadToEnd = AsyncFile::read_to_end;
    let _: fn(op::ReadToEnd, usize) -> op::ReadToEnd = op::ReadToEnd::limit;
    let _: fn(&AsyncFile) -> op::Readline = AsyncFile::readline;
    let _: fn(op::Readline, usize) -> op::Readline = op::Readline::limit;
    let _: fn(op::Readline, usize) -> op::Readline = op::Readline::size_hint;
    let _: fn(&AsyncFile) -> op::Readlines = AsyncFile::readlines;
    let _: fn(op::Readlines, usize) -> op::Readlines = op::Readlines::limit;
    let _: fn(op::Write) -> op::Write = op::Write::full;
    let _: fn(&AsyncFile) -> op::Ready = AsyncFile::readable;
    let _: fn(&AsyncFile) -> op::Ready = AsyncFile::writable;
    let _: fn(&AsyncFile) -> usize = AsyncFile::buffered;
    let _: fn(&AsyncFile) = AsyncFile::close;
    let _: fn(AsyncFile) -> Result<(OwnedFd, Vec<u8>), AsyncFile> = AsyncFile::into_inner;
    let _: fn(&AsyncFile) -> RawFd = AsRawFd::as_raw_fd;
}

fn file_write(file: &AsyncFile, text: &str, string: &String, bytes: &[u8], vec: &Vec<u8>) {
    let _: op::Write = file.write(text);
    let _: op::Write = file.write(string);
    let _: op::Write = file.write(bytes);
    let _: op::Write = file.write(b"four");
    let _: op::Write = file.write(&[0; 4]);
    let _: op::Write = file.write(vec);
    let _: fn(&AsyncFile, Vec<u8>) -> op::Write = AsyncFile::write;
    let _: fn(&AsyncFile, String) -> op::Write = AsyncFile::write;
    let _: fn(&AsyncFile, Rc<[u8]>) -> op::Write = AsyncFile::write;
}

fn file_writes_whatever_is_data(file: &AsyncFile, data: impl Into<op::Data>) -> op::Write {
    file.write(data)
}

// AsyncPipe.

fn pipe_spawn(command: impl BorrowMut<Command>) -> io::Result<AsyncPipe> {
    AsyncPipe::spawn(command)
}

fn pipe_piped(command: impl BorrowMut<Command>) -> io::Result<AsyncPipe> {
    AsyncPipe::piped(command)
}

fn pipe_pipeline<I>(commands: I) -> io::Result<AsyncPipe>
where
    I: IntoIterator,
    I::Item: BorrowMut<Command>,
{
    AsyncPipe::pipeline(commands)
}

fn pipe_of_commands_and_of_borrowed_commands(command: &mut Command) -> io::Result<AsyncPipe> {
    AsyncPipe::spawn(Command::new("true"))?;
    AsyncPipe::spawn(Command::new("true").arg("-n").stdin(Stdio::null()))?;
    AsyncPipe::piped(Command::new("true"))?;
    AsyncPipe::piped(&mut *command)?;
    AsyncPipe::pipeline([Command::new("a"), Command::new("b")])?;
    AsyncPipe::pipeline(vec![&mut *command, &mut Command::new("b")])?;
    AsyncPipe::pipeline([command])
}

fn pipe() {
    let _: fn(Child) -> io::Result<AsyncPipe> = AsyncPipe::new;
    let _: fn(Child, Child) -> io::Result<AsyncPipe> = AsyncPipe::chain;
    let _: fn(&AsyncPipe, Vec<u8>) -> op::Write = AsyncPipe::write;
    let _: fn(&AsyncPipe, usize) -> op::Read = AsyncPipe::read;
    let _: fn(&AsyncPipe) -> op::ReadToEnd = AsyncPipe::read_to_end;
    let _: fn(&AsyncPipe) -> op::Readline = AsyncPipe::readline;
    let _: fn(&AsyncPipe) -> op::Readlines = AsyncPipe::readlines;
    let _: fn(&AsyncPipe, usize) -> op::Read = AsyncPipe::read_stderr;
    let _: fn(&AsyncPipe) -> op::Readline = AsyncPipe::readline_stderr;
    let _: fn(&AsyncPipe) -> Option<&AsyncFile> = AsyncPipe::stdin;
    let _: fn(&AsyncPipe) -> Option<&AsyncFile> = AsyncPipe::stdout;
    let _: fn(&AsyncPipe) -> Option<&AsyncFile> = AsyncPipe::stderr;
    let _: fn(&AsyncPipe) = AsyncPipe::close_stdin;
    let _: fn(&AsyncPipe) -> Option<AsyncFile> = AsyncPipe::take_stdin;
    let _: fn(op::Communicate, usize) -> op::Communicate = op::Communicate::limit;
    let _: fn(op::Communicate, Duration) -> op::Communicate = op::Communicate::linger;
    let _: fn(&AsyncPipe) -> op::Exit = AsyncPipe::exit;
    let _: fn(&AsyncPipe) -> io::Result<Option<ExitStatus>> = AsyncPipe::try_wait;
    let _: fn(&AsyncPipe) -> Vec<Option<ExitStatus>> = AsyncPipe::statuses;
    let _: fn(&AsyncPipe) -> Vec<u32> = AsyncPipe::ids;
    let _: fn(&AsyncPipe) = AsyncPipe::close;
    let _: fn(&AsyncPipe) -> io::Result<()> = AsyncPipe::kill;
    let _: fn(&AsyncPipe, i32) -> io::Result<()> = AsyncPipe::signal;
}

fn pipe_write(pipe: &AsyncPipe, text: &str, bytes: &[u8], data: impl Into<op::Data>) {
    let _: op::Write = pipe.write(text);
    let _: op::Write = pipe.write(bytes);
    let _: op::Write = pipe.write(data);
}

fn pipe_communicate(pipe: &AsyncPipe, text: &str, bytes: &[u8], vec: &Vec<u8>, string: &String) {
    let _: op::Communicate = pipe.communicate(());
    let _: op::Communicate = pipe.communicate(text);
    let _: op::Communicate = pipe.communicate(bytes);
    let _: op::Communicate = pipe.communicate(b"four");
    let _: op::Communicate = pipe.communicate(vec);
    let _: op::Communicate = pipe.communicate(string);
    let _: fn(&AsyncPipe, Vec<u8>) -> op::Communicate = AsyncPipe::communicate;
    let _: fn(&AsyncPipe, String) -> op::Communicate = AsyncPipe::communicate;
    let _: fn(&AsyncPipe, Rc<[u8]>) -> op::Communicate = AsyncPipe::communicate;
    let _: fn(&AsyncPipe, File) -> op::Communicate = AsyncPipe::communicate;
    let _: fn(&AsyncPipe, AsyncFile) -> op::Communicate = AsyncPipe::communicate;
}

fn pipe_feeds_whatever_is_input(pipe: &AsyncPipe, input: impl Into<op::Input>) -> op::Communicate {
    pipe.communicate(input)
}

// Channels.

fn channels<T>() {
    let _: fn() -> (Sender<T>, Receiver<T>) = channel;
    let _: fn(&Sender<T>, T) -> Result<(), T> = Sender::send;
    let _: fn(&Receiver<T>) -> op::Ready = Receiver::ready;
    let _: fn(&Receiver<T>) -> Result<T, TryRecvError> = Receiver::try_recv;
}

// Queues.

fn queues<T>() {
    let _: fn(usize) -> Queue<T> = queue;
    let _: fn(&Queue<T>, T) -> Result<(), T> = Queue::push;
    let _: fn(&Queue<T>) -> Option<T> = Queue::pop;
    let _: fn(&Queue<T>) -> usize = Queue::len;
    let _: fn(&Queue<T>) -> bool = Queue::is_empty;
    let _: fn(&Queue<T>) = Queue::close;
    let _: fn(&Queue<T>) -> bool = Queue::is_closed;
    let _: fn(&Queue<T>) -> op::Ready = Queue::ready;
    let _: fn(&Queue<T>) -> op::Ready = Queue::room;
}

/// The items may borrow, also what lives shorter than the scheduler's tasks: an operation knows
/// nothing of them.
fn an_item_borrows<'a, 't>(sched: &mut Scheduler<'t>, queue: &Queue<&'a Cell<u8>>) {
    sched.spawn(queue.ready(), |task| done(task.ok()?));
}

// Traits.

fn is_clone<T: Clone>() {}
fn is_copy<T: Copy + Eq>() {}
fn is_debug<T: Debug>() {}
fn is_send<T: Send>() {}
fn is_sync<T: Sync>() {}
fn is_error<T: Error + Send + Sync + 'static>() {}
fn becomes_io_error<T: Into<io::Error>>() {}
fn is_owner_of_a_descriptor<T: AsRawFd>() {}

/// Nothing that a user's type could have is asked of the type parameter.
struct Plain;

/// A `Send` type that is not `Sync`.
struct SendAlone(Cell<u8>);

fn traits<'t>() {
    is_clone::<Remote>();
    is_send::<Remote>();
    is_sync::<Remote>();
    is_clone::<Sender<Plain>>();
    is_clone::<Queue<Plain>>();
    is_send::<Sender<SendAlone>>();
    is_clone::<AsyncFile>();
    is_owner_of_a_descriptor::<AsyncFile>();
    is_clone::<AsyncPipe>();
    is_clone::<Lines<'t>>();
    is_copy::<TaskId>();
    is_copy::<End>();
    is_send::<TaskId>();
    is_send::<End>();
    is_error::<TaskError>();
    becomes_io_error::<TaskError>();
    is_error::<OperationError>();
}

fn what_is_printed_for_debugging<'t>() {
    is_debug::<Scheduler<'t>>();
    is_debug::<JoinHandle<Plain>>();
    is_debug::<CancelOnDrop<Plain>>();
    is_debug::<Remote>();
    is_debug::<Sender<Plain>>();
    is_debug::<Receiver<Plain>>();
    is_debug::<Queue<Plain>>();
    is_debug::<AsyncFile>();
    is_debug::<AsyncPipe>();
    is_debug::<Task<'t, 't>>();
    is_debug::<Op>();
    is_debug::<op::Data>();
    is_debug::<op::Input>();
    is_debug::<op::Read>();
    is_debug::<op::ReadToEnd>();
    is_debug::<op::Readline>();
    is_debug::<op::Readlines>();
    is_debug::<op::Write>();
    is_debug::<op::Ready>();
    is_debug::<op::Sleep>();
    is_debug::<op::YieldNow>();
    is_debug::<op::First>();
    is_debug::<op::Join>();
    is_debug::<op::Communicate>();
    is_debug::<op::Exit>();
    is_debug::<Next<Plain>>();
    is_debug::<asyncfile::trace::Event<'t>>();
    is_debug::<Step<u8>>();
    is_debug::<End>();
    is_debug::<Outcome<'t>>();
    is_debug::<Lines<'t>>();
    is_debug::<TaskId>();
    is_debug::<TaskError>();
    is_debug::<OperationError>();
    is_debug::<Trace<'t>>();
}

/// Compiles only if the type does not implement the trait: if it did, two implementations would
/// fit, and the compiler could not choose.
macro_rules! assert_not {
    ($trait:ident: $($type:ty),* $(,)?) => {
        $({
            trait Ambiguous<A> {
                fn is_chosen() {}
            }
            struct Implemented;
            impl<T: ?Sized> Ambiguous<()> for T {}
            impl<T: ?Sized + $trait> Ambiguous<Implemented> for T {}
            <$type as Ambiguous<_>>::is_chosen();
        })*
    };
}

fn what_stays_on_its_thread() {
    assert_not!(Send: Scheduler<'static>, Task<'static, 'static>, JoinHandle<u8>, Receiver<u8>);
    assert_not!(Send: AsyncFile, AsyncPipe, Op, op::Data, op::Input, Queue<u8>);
    assert_not!(Send: op::Read, op::ReadToEnd, op::Readline, op::Readlines, op::Write, op::Ready);
    assert_not!(Send: op::First, op::Join, op::Communicate, op::Exit);
    assert_not!(Send: Step<u8>, Next<u8>, Outcome<'static>, Lines<'static>);
    assert_not!(Sync: Scheduler<'static>, JoinHandle<u8>, Receiver<u8>, AsyncFile, AsyncPipe, Op);
    // Only what can be sent makes a sender that can be: an `Rc` cannot.
    assert_not!(Send: Sender<Rc<u8>>);
}

/// `close` through another handle would leave a borrowed descriptor dangling.
fn what_lends_no_descriptor() {
    assert_not!(AsFd: AsyncFile, AsyncPipe);
}
