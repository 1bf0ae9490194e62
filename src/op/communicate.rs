//! communicate with a child: feed it, collect what it says, wait for its exit, as one operation.

use std::cell::RefMut;
use std::fmt;
use std::io;
use std::process::Output;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::timeout::Timeout;
use super::{private::Sealed, sooner, Context, Kind, Op, Operation, Progress, Value};
use crate::conversation::{Conversation, Input, Source};
use crate::descriptor::{Descriptor, Direction, State};
use crate::error::invalid;
use crate::inbox::Inbox;
use crate::key::Key;
use crate::machine::communicate::{Answer, Given, Input as Feed, Interests, Sink, Tap};
use crate::machine::exit::{self, Waiter};
use crate::port::Calls;
use crate::processes::Processes;
use crate::task::Task;

/// Waits for a whole conversation with a child: see [`AsyncPipe::communicate`](crate::AsyncPipe::communicate).
#[must_use = "an operation does nothing until a task waits for it"]
pub struct Communicate {
    processes: Rc<Processes>,
    /// Until it is adopted by the pipe.
    input: Source,
    options: Box<Options>,
    timeout: Timeout,
    /// It stands in the streams' queues, or watches the children.
    is_entered: bool,
}

/// Boxed, so that the rare large operation does not make every operation large.
struct Options {
    limit: usize,
    linger: Option<Duration>,
    /// When stragglers have had their time, once the last child has exited.
    over_at: Option<Instant>,
    exits: Waiter,
    /// The file that feeds the child, while it stands in its queue.
    source: Option<Rc<Descriptor>>,
}

impl Communicate {
    pub(crate) fn new(processes: &Rc<Processes>, input: Input) -> Communicate {
        let options = Options { limit: usize::MAX, linger: None, over_at: None, exits: Waiter::new(), source: None };
        Communicate {
            processes: Rc::clone(processes),
            input: input.0,
            options: Box::new(options),
            timeout: Timeout::NEVER,
            is_entered: false,
        }
    }

    /// The most it may take, all of it, counted from when it first has to wait. Then: [`io::ErrorKind::TimedOut`]; what was collected and
    /// what was not fed stay in the pipe, and `communicate(())` goes on. The child is not ended: [`kill`](crate::AsyncPipe::kill) does that.
    pub fn timeout(mut self, after: Duration) -> Communicate {
        self.timeout = Timeout::after(after);
        self
    }

    /// The most to collect, in bytes, stdout and stderr together. One more, and it ends with
    /// [`End::Limit`](crate::End::Limit) and an error of kind `Other`; what was collected stays in the pipe, and
    /// `communicate(())` goes on. The child is not ended. By the error's kind alone a limit cannot be told from other failures: see
    /// [`Task::end`](crate::Task::end). 0 is [`io::ErrorKind::InvalidInput`].
    pub fn limit(mut self, bytes: usize) -> Communicate {
        self.options.limit = bytes;
        self
    }

    /// The most to wait, after the last child's exit, for the ends of stdout and stderr: a grandchild may have kept them. Then
    /// it ends with what there is. Without: until they end.
    pub fn linger(mut self, after_exit: Duration) -> Communicate {
        self.options.linger = Some(after_exit);
        self
    }

    pub(crate) fn state(&self) -> &'static str {
        self.processes.conversation.borrow().machine.state()
    }

    pub(crate) fn enter(&mut self, inbox: &Rc<Inbox>, key: Key) {
        let [stdin, stdout, stderr] = self.processes.streams();
        for (stream, direction) in [(stdin, Direction::Write), (stdout, Direction::Read), (stderr, Direction::Read)] {
            let admitted = stream.state().admits(inbox).is_ok();
            if admitted {
                stream.block(inbox, key, direction, false);
            }
        }
        let mut conversation = self.processes.conversation.borrow_mut();
        self.is_entered = true;
        conversation.waiters.enter(key);
        if let (Source::Stream(file), _) | (Source::Nothing, Source::Stream(file)) = (&self.input, &conversation.input)
        {
            let admitted = file.state().admits(inbox).is_ok();
            if admitted {
                file.block(inbox, key, Direction::Read, false);
                self.options.source = Some(Rc::clone(file));
            }
        }
    }

    pub(crate) fn leave(&mut self, key: Key) {
        if !std::mem::replace(&mut self.is_entered, false) {
            return;
        }
        let [stdin, stdout, stderr] = self.processes.streams();
        stdin.leave(key, Direction::Write);
        stdin.unwatch(key, Direction::Hangup);
        stdout.leave(key, Direction::Read);
        stderr.leave(key, Direction::Read);
        leave_source(&mut self.options.source, key);
        self.processes.conversation.borrow_mut().waiters.leave(key);
        self.processes.unwatch(key);
    }

    pub(crate) fn advance(&mut self, context: &Context<'_>) -> Progress {
        let processes = Rc::clone(&self.processes);
        let mut conversation = processes.conversation.borrow_mut();
        if matches!(&conversation.input, Source::Stream(file) if !file.is_open()) {
            // Told once, like an input that has failed: what the child says can still be had.
            conversation.machine.stop_feeding();
            conversation.release_input();
            leave_source(&mut self.options.source, context.key);
            processes.stdin.close();
            let error = io::Error::new(io::ErrorKind::NotConnected, "its input was closed before all was fed");
            return Progress::failed("communicate", None, error);
        }
        let input = std::mem::replace(&mut self.input, Source::Nothing);
        if let Err(error) = self.check(&input, &conversation, context).and_then(|()| conversation.adopt(input)) {
            return Progress::failed("communicate", None, error);
        }
        if conversation.is_over {
            return self.output(|_| Vec::new()); // all was handed over; what a straggler said since is a reader's
        }
        let [stdin, ..] = processes.streams();
        if !stdin.is_open() && !conversation.machine.is_fed() {
            conversation.machine.stop_feeding();
            if !conversation.input.is_nothing() {
                conversation.release_input();
                let error = io::Error::new(io::ErrorKind::NotConnected, "stdin was closed before all input was fed");
                return Progress::failed("communicate", None, error);
            }
        }
        self.is_entered = true;
        conversation.waiters.enter(context.key);
        let Options { limit, linger, over_at, exits, source } = &mut *self.options;
        let given = processes.ask(context.inbox, context.key);
        let exits = exits.advance(given);
        if let (Some(exited_at), Some(linger)) = (given.last_exited_at, linger) {
            *over_at = exited_at.checked_add(*linger);
        }
        let is_over = over_at.map_or(false, |at| at <= given.now);
        let is_cut = self.timeout.is_over(context);
        // A deadline within the moment that the others of a chain are given ends that.
        let is_due = is_cut && given.last_exited_at.is_some();
        // Of two communicates the one that waited first has the output, whichever learns of the exit first.
        let has_its_turn = processes.streams()[1..].iter().all(|stream| is_its_turn(stream, context.key));
        let have_exited = exits == exit::Answer::Ended || is_due;
        if have_exited && is_over && !has_its_turn && !conversation.waiters.is_first(context.key) {
            return self.output(|_| Vec::new()); // and the other one's conversation goes on
        }
        let has_exited = have_exited && (has_its_turn || is_over);
        let mut go_on = |has_exited, is_last| {
            converse(&processes, &mut conversation, context.key, Standing { has_exited, is_last, limit: *limit })
        };
        let mut answer = go_on(has_exited, is_over);
        if let (Answer::Blocked(_) | Answer::Yield, true) = (&answer, is_due) {
            // Data beats deadline: all that the child has said, whether poll(2) has told of it or not, and then the end.
            answer = go_on(false, true);
            if let Answer::Blocked(_) | Answer::Yield = answer {
                answer = go_on(has_exited, false);
            }
        }
        if conversation.machine.is_fed() {
            // Also after an absent input: the child reads until its end.
            conversation.release_input();
            leave_source(source, context.key);
            stdin.close();
        }
        let over_at = over_at.filter(|_| !is_over);
        let ask_again = match exits {
            exit::Answer::Blocked(until) => sooner(until, over_at),
            exit::Answer::Ended => over_at,
        };
        match answer {
            Answer::Ended => {
                conversation.is_over = true;
                self.output(|stream| match is_its_turn(stream, context.key) {
                    true => stream.state().inflow.buffer.take(),
                    false => Vec::new(),
                })
            }
            Answer::Limit => {
                let message = format!("more than the limit of {limit} bytes came, {} bytes kept", processes.held());
                Progress::limited("communicate", io::Error::new(io::ErrorKind::Other, message))
            }
            Answer::Failed(error) => Progress::failed("communicate", None, error),
            Answer::Yield | Answer::Blocked(_) if is_cut => {
                Progress::timed_out("communicate", None, self.timeout.error(processes.held(), "kept"))
            }
            Answer::Yield => {
                self.wait_for(&conversation, Interests::default(), context);
                Progress::Yield(sooner(ask_again, self.timeout.start()))
            }
            Answer::Blocked(interests) => {
                self.wait_for(&conversation, interests, context);
                Progress::Blocked(sooner(ask_again, self.timeout.start()))
            }
        }
    }

    /// For the simulation: fails if all was fed, and stdin is open all the same.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn check_stdin(&self, key: Key) {
        let conversation = self.processes.conversation.borrow();
        let [stdin, ..] = self.processes.streams();
        let is_fed = match &conversation.input {
            Source::Nothing => stdin.state().is_first(key, Direction::Write),
            Source::Bytes(data) => conversation.machine.fed() == data.bytes().len(),
            Source::File(..) | Source::Stream(_) | Source::Broken(_) => conversation.machine.is_fed(),
        };
        assert!(!is_fed || !stdin.is_open(), "{self:?}: all was fed, and {stdin:?} is open");
    }

    /// What can be known to be wrong before it goes on.
    fn check(&self, input: &Source, conversation: &Conversation, context: &Context<'_>) -> io::Result<()> {
        if self.options.limit == 0 {
            return Err(invalid("a limit of 0"));
        }
        if conversation.is_over {
            return Ok(());
        }
        let [stdin, stdout, stderr] = self.processes.streams();
        if !input.is_nothing() || stdin.is_open() {
            stdin.state().admits(context.inbox)?;
        }
        for stream in [stdout, stderr].into_iter().filter(|stream| !stream.is_absent()) {
            stream.state().admits(context.inbox)?;
        }
        for source in [input, &conversation.input] {
            if let Source::Stream(file) = source {
                if [stdin, stdout, stderr].into_iter().any(|stream| Rc::ptr_eq(stream, file)) {
                    return Err(invalid("a pipe cannot feed itself"));
                }
                file.state().admits(context.inbox)?;
            }
        }
        Ok(())
    }

    /// Takes its places on all streams, and parks where it is blocked.
    fn wait_for(&mut self, conversation: &Conversation, interests: Interests, context: &Context<'_>) {
        let (inbox, key) = (context.inbox, context.key);
        let queue = |stream: &Rc<Descriptor>, direction, parked| {
            if stream.is_open() {
                stream.block(inbox, key, direction, parked);
            }
        };
        let [stdin, stdout, stderr] = self.processes.streams();
        queue(stdin, Direction::Write, interests.stdin);
        queue(stdout, Direction::Read, interests.stdout);
        queue(stderr, Direction::Read, interests.stderr);
        if let Source::Stream(file) = &conversation.input {
            queue(file, Direction::Read, interests.input);
            self.options.source = Some(Rc::clone(file));
        }
        if interests.hangup && stdin.is_open() {
            stdin.watch(inbox, key, Direction::Hangup);
        } else {
            stdin.unwatch(key, Direction::Hangup);
        }
    }

    /// With the last child's status, and what `take` has of each stream.
    fn output(&mut self, take: impl Fn(&Rc<Descriptor>) -> Vec<u8>) -> Progress {
        match self.processes.status() {
            Some(Ok(status)) => {
                let [_, stdout, stderr] = self.processes.streams();
                let (stdout, stderr) = (take(stdout), take(stderr));
                Progress::complete(Value::Output(Box::new(Output { status, stdout, stderr })))
            }
            // What was collected can still be read.
            Some(Err(error)) => Progress::failed("communicate", None, error),
            None => unreachable!("the machine ends after the last child"),
        }
    }
}

/// It feeds no more: what the file has is others'.
fn leave_source(source: &mut Option<Rc<Descriptor>>, key: Key) {
    if let Some(file) = source.take() {
        file.leave(key, Direction::Read);
    }
}

/// No other operation waited before it to read from this one.
fn is_its_turn(stream: &Rc<Descriptor>, key: Key) -> bool {
    stream.state().is_first(key, Direction::Read)
}

/// What the machine is told besides its streams.
struct Standing {
    has_exited: bool,
    /// What has come is to be asked for now: there will be no other time.
    is_last: bool,
    limit: usize,
}

/// One advance of the machine, over those streams that are this task's turn to use.
fn converse(processes: &Processes, conversation: &mut Conversation, key: Key, standing: Standing) -> Answer {
    let Conversation { machine, input, .. } = conversation;
    let [stdin, stdout, stderr] = processes.streams();
    let mut stdin = Turn::of(stdin, key, Direction::Write);
    let mut stdout = Turn::of(stdout, key, Direction::Read);
    let mut stderr = Turn::of(stderr, key, Direction::Read);
    let file = match input {
        Source::Stream(file) => Some(Rc::clone(file)),
        _ => None,
    };
    let mut source = file.as_ref().and_then(|file| Turn::of(file, key, Direction::Read));
    let is_hung_up = stdin.as_ref().map_or(false, |turn| turn.state.was_told(key, Direction::Hangup));
    let answer = machine.advance(Given {
        input: match (input, &mut source) {
            (Source::Nothing | Source::Broken(_), _) => Feed::None,
            (Source::Bytes(data), _) => Feed::Bytes(&data.bytes()[machine.fed()..]),
            (Source::File(file, inflow), _) => Feed::File(inflow, file),
            (Source::Stream(_), Some(turn)) => Feed::Stream(&mut turn.state.inflow, &mut turn.calls),
            (Source::Stream(_), None) => Feed::Elsewhere,
        },
        stdin: stdin.as_mut().map(|turn| turn.sink(is_hung_up)),
        stdout: stdout.as_mut().map(Turn::tap),
        stderr: stderr.as_mut().map(Turn::tap),
        has_exited: standing.has_exited,
        is_over: standing.is_last,
        limit: standing.limit,
    });
    for turn in [stdin, stdout, stderr, source].iter_mut().flatten() {
        turn.descriptor.settle(&mut turn.state, turn.direction);
    }
    answer
}

/// A stream that is this task's turn to use.
struct Turn<'a> {
    descriptor: &'a Descriptor,
    direction: Direction,
    state: RefMut<'a, State>,
    calls: Calls<'a>,
}

impl<'a> Turn<'a> {
    fn of(descriptor: &'a Rc<Descriptor>, key: Key, direction: Direction) -> Option<Turn<'a>> {
        let state = descriptor.state();
        if state.is_open() && state.is_first(key, direction) {
            Some(Turn { descriptor, direction, state, calls: descriptor.calls() })
        } else {
            None
        }
    }

    fn sink(&mut self, is_hung_up: bool) -> Sink<'_> {
        Sink { outflow: &mut self.state.outflow, sink: &mut self.calls, is_hung_up }
    }

    fn tap(&mut self) -> Tap<'_> {
        Tap { inflow: &mut self.state.inflow, source: &mut self.calls }
    }
}

impl fmt::Debug for Communicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, held) = (self.processes.id(), self.processes.held());
        write!(f, "communicate with child {id}, {held} B held{}", self.timeout)
    }
}

impl From<Communicate> for Op {
    fn from(op: Communicate) -> Op {
        Op(Kind::Communicate(op))
    }
}

impl Sealed for Communicate {}

impl Operation for Communicate {
    type Output = Output;
    fn output(task: &mut Task<'_, '_>) -> io::Result<Output> {
        task.output()
    }
}
