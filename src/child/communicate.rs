//! The operation `communicate`: feed a child, collect its output, and wait for its exit.
//!
//! Several communicates may wait for the same children. The first one leads the conversation. The
//! others wait until it has ended or was given up.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::unix::io::RawFd;
use std::process::Output;
use std::rc::Rc;
use std::time::Duration;

use super::conversation::{Conversation, Terms};
use super::exit::ExitWait;
use super::input::{Feed, Input};
use super::processes::Processes;
use super::streams::{Entry, Streams};
use crate::error::Cause;
use crate::machine::communicate::{Answer, Child, Interests, Part, State};
use crate::machine::End;
use crate::op::deadline::OwnDeadline;
use crate::op::operate::{face, At, Context, Op, Operate, Progress, Value};
use crate::operation::{Operation, Sealed};
use crate::sys::clock::{nanoseconds, Moment};
use crate::task::Task;
use crate::task_table::Key;
use crate::wait_list::Ticket;

/// Waits for a whole conversation with a child: see
/// [`AsyncPipe::communicate`](crate::AsyncPipe::communicate).
#[must_use = "an operation does nothing until a task waits for it"]
pub struct Communicate {
    pub(super) processes: Rc<Processes>,
    pub(super) conversation: Rc<RefCell<Conversation>>,
    /// The input, until the conversation has taken it over.
    input: Feed,
    limit: usize,
    linger: Option<Duration>,
    exit: ExitWait,
    deadline: OwnDeadline,
    pub(super) streams: Streams,
    /// The task's place in the queue of the conversation.
    ticket: Ticket,
}

impl Communicate {
    pub(crate) fn new(processes: &Rc<Processes>, input: Input) -> Communicate {
        Communicate {
            processes: Rc::clone(processes),
            conversation: Conversation::with(processes),
            input: input.0,
            limit: usize::MAX,
            linger: None,
            exit: ExitWait::new(),
            deadline: OwnDeadline::NEVER,
            streams: Streams::of(processes),
            ticket: Ticket::NONE,
        }
    }

    /// The longest time that the operation may take, counted from when it first has to wait. After
    /// that it fails with [`io::ErrorKind::TimedOut`]. What was collected and what was not fed stay
    /// in the pipe, and a later `communicate(())` continues with them. The child lives on:
    /// [`kill`](crate::AsyncPipe::kill) ends it, and [`kill_group`](crate::AsyncPipe::kill_group)
    /// also ends all that it has started. After a kill, [`linger`](Communicate::linger) bounds the
    /// wait for a grandchild that keeps the pipe open.
    pub fn timeout(mut self, after: Duration) -> Communicate {
        self.deadline.timeout.set_after(after);
        self
    }

    /// The most bytes to collect, of stdout and stderr together. If one byte more comes, the
    /// operation ends with [`End::Limit`](crate::End::Limit) and an error of kind `Other`. What was
    /// collected stays in the pipe, and a later `communicate(())` continues with it. The child
    /// lives on. Other failures have the kind `Other`, too; [`Task::end`](crate::Task::end) tells a
    /// limit from them. A limit of 0 is [`io::ErrorKind::InvalidInput`].
    ///
    /// # Example
    ///
    /// This shows a child that writes more than the limit:
    ///
    /// ```
    /// use asyncfile::{AsyncPipe, Scheduler};
    /// use std::{process::Command, time::Duration};
    ///
    /// let pipe = AsyncPipe::piped(Command::new("yes"))?;
    /// let mut sched = Scheduler::new();
    /// assert!(sched.block_on(pipe.communicate(()).limit(1000)).is_err());
    /// sched.block_on(pipe.stop(Duration::ZERO))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn limit(mut self, bytes: usize) -> Communicate {
        self.limit = bytes;
        self
    }

    /// Sets how long the operation waits for the ends of stdout and stderr after the last child's
    /// exit. A grandchild may keep these streams open. When the time is over, the operation ends
    /// with what was collected. Without `linger` it waits until both streams have ended.
    ///
    /// # Example
    ///
    /// This shows a child that leaves a grandchild behind, which keeps stdout open:
    ///
    /// ```
    /// use asyncfile::{AsyncPipe, Scheduler};
    /// use std::{os::unix::process::CommandExt, process::Command, time::Duration};
    ///
    /// let mut command = Command::new("sh");
    /// command.args(["-c", "sleep 60 & echo started"]).process_group(0);
    /// let pipe = AsyncPipe::piped(command)?;
    /// let talk = pipe.communicate(()).linger(Duration::ZERO);
    /// assert_eq!(Scheduler::new().block_on(talk)?.stdout, b"started\n");
    /// pipe.kill_group()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn linger(mut self, after_exit: Duration) -> Communicate {
        self.linger = Some(after_exit);
        self
    }

    /// Advances the operation by one step. The Err is the outcome of an operation that has failed.
    fn go_on(&mut self, cx: &Context<'_>) -> Result<Progress, Progress> {
        if self.limit == 0 {
            return Err(refused("a limit of 0"));
        }
        if self.has_ended() {
            return self.output(None); // all was handed over before
        }
        self.find_closed(cx)?;
        self.adopt_input(cx)?;
        if !self.queue(cx.at()) {
            return Err(refused("it is waited for in another scheduler"));
        }
        let is_due = self.deadline.has_come(cx);
        let (child, look_again) = self.look_at_child(cx)?;
        let answer = match child {
            _ if self.conversation.borrow().is_led_by(cx.key) => self.converse(child, is_due, cx),
            Child::Over => return self.output(None), // the leader's conversation goes on
            Child::Running | Child::Exited => Answer::Blocked(Interests::default()),
        };
        match answer {
            Answer::Ended => self.output(Some(cx.key)),
            Answer::Limit => {
                let (limit, kept) = (self.limit, self.held());
                Err(ended(End::Limit, -1, Cause::Limit { limit, kept }))
            }
            Answer::Failed(part, error) => Err(self.failed(part, Cause::System(error))),
            Answer::Yield | Answer::Blocked(_) if is_due => {
                let cause = self.deadline.timeout.cause(self.held(), "kept");
                Err(ended(End::TimedOut, -1, cause))
            }
            Answer::Yield => Ok(cx.yield_until(look_again.min(self.deadline.begin(cx)))),
            Answer::Blocked(interests) => {
                self.streams.park(interests, cx);
                Ok(Progress::Blocked(look_again.min(self.deadline.begin(cx))))
            }
        }
    }

    /// Fails if stdin or the input was closed before all was fed. It fails only once, so the next
    /// communicate can still have the child's output.
    fn find_closed(&mut self, cx: &Context<'_>) -> Result<(), Progress> {
        let mut conversation = self.conversation.borrow_mut();
        if conversation.machine.is_fed() || !conversation.is_led_by(cx.key) {
            return Ok(());
        }
        let source = conversation.input.stream();
        let text = if source.map_or(false, |file| !file.is_open()) {
            "its input was closed before all was fed"
        } else if !self.streams.stdin.file.is_open() {
            "stdin was closed before all input was fed"
        } else {
            return Ok(());
        };
        conversation.machine.stop_feeding();
        let input = std::mem::replace(&mut conversation.input, Feed::Nothing);
        drop(conversation);
        self.streams.close_stdin();
        match input {
            Feed::Nothing => Ok(()),
            _ => Err(failed(Cause::Says(io::ErrorKind::NotConnected, text))),
        }
    }

    /// Gives the input to the conversation. Fails if the input cannot be used, or if a part of an
    /// earlier input is left.
    fn adopt_input(&mut self, cx: &Context<'_>) -> Result<(), Progress> {
        let mut conversation = self.conversation.borrow_mut();
        let sources = [self.input.stream(), conversation.input.stream()];
        for source in sources.into_iter().flatten() {
            if self.streams.has(source) {
                return Err(refused("a pipe cannot feed itself"));
            }
            if source.port.keeps_messages {
                let text = "a message socket keeps messages apart, and a child is fed a stream";
                let cause = Cause::Says(io::ErrorKind::InvalidInput, text);
                return Err(self.failed(Part::Input, cause));
            }
            let admitted = source.state().admit(cx.reactor);
            admitted.map_err(|cause| self.failed(Part::Input, cause))?;
        }
        let admitted = self.streams.admit(!self.input.is_nothing(), cx);
        admitted.map_err(|(part, cause)| self.failed(part, cause))?;
        match std::mem::replace(&mut self.input, Feed::Nothing) {
            Feed::Nothing => Ok(()),
            Feed::Broken(error) => Err(self.failed(Part::Input, Cause::System(error))),
            _ if !conversation.input.is_nothing() => Err(refused(
                "new input while some of the old one is left: communicate(()) goes on with that",
            )),
            input => {
                conversation.input = input;
                Ok(())
            }
        }
    }

    /// Enters the queue of the conversation and those of all streams. False if tasks of another
    /// scheduler are in the conversation.
    fn queue(&mut self, at: At<'_>) -> bool {
        let mut conversation = self.conversation.borrow_mut();
        if !conversation.waiters.enter(&mut self.ticket, at) {
            return false;
        }
        let old = conversation.input.stream();
        let old = old.filter(|_| conversation.is_led_by(at.1));
        self.streams.enter(self.input.stream().or(old), at);
        true
    }

    /// Returns whether the child has ended, whether the time to linger is over, and when to check
    /// again.
    fn look_at_child(&mut self, cx: &Context<'_>) -> Result<(Child, Moment), Progress> {
        let child = self.processes.last();
        let ask_again = self.exit.advance(child, cx);
        if let Some(ask_again) = ask_again.map_err(failed)? {
            return Ok((Child::Running, ask_again));
        }
        let over_at = match self.linger {
            Some(linger) => child.ended_at().after(nanoseconds(linger)),
            None => Moment::NEVER,
        };
        match cx.reactor.now() < over_at {
            true => Ok((Child::Exited, over_at)),
            false => Ok((Child::Over, Moment::NEVER)),
        }
    }

    /// Feeds the child and collects its output. stdin is closed when all is fed, so that the child
    /// reads its end of file.
    fn converse(&mut self, child: Child, is_due: bool, cx: &Context<'_>) -> Answer {
        let Streams { stdout, stderr, .. } = &self.streams;
        let child = match child {
            // Only a task that is the front of both queues, of stdout and of stderr, gets the
            // output. For any other task the child counts as running.
            Child::Exited if !stdout.is_front(cx.key) || !stderr.is_front(cx.key) => Child::Running,
            child => child,
        };
        let terms = Terms {
            key: cx.key,
            child,
            is_last: is_due || child == Child::Over,
            is_hung_up: self.streams.is_hung_up(cx),
            limit: self.limit,
        };
        let mut conversation = self.conversation.borrow_mut();
        let answer = conversation.advance(&self.streams, &terms);
        if conversation.machine.is_fed() {
            conversation.input = Feed::Nothing; // unread bytes stay in an AsyncFile
            self.streams.close_stdin();
        }
        answer
    }

    /// The outcome: the child's status, and the output for the task that leads the conversation.
    fn output(&self, leader: Option<Key>) -> Result<Progress, Progress> {
        let status = self.processes.status().map_err(failed)?;
        let is_ours = |stream: &Entry| leader.map_or(false, |key| stream.is_front(key));
        let take = |stream: &Entry| match is_ours(stream) {
            true => stream.file.state().inflow.buffer.take(),
            false => Vec::new(),
        };
        let output = Output {
            status: status.expect("a conversation ends after the child"),
            stdout: take(&self.streams.stdout),
            stderr: take(&self.streams.stderr),
        };
        let output = Value::Output(Cell::new(Some(Box::new(output))));
        Ok(Progress::complete(output))
    }

    /// The failure of one of the streams.
    fn failed(&self, part: Part, cause: Cause) -> Progress {
        let (name, stream) = match part {
            Part::Input => (
                "input",
                self.streams.source.as_ref().map(|entry| &entry.file),
            ),
            Part::Stdin => ("stdin", self.streams.stdin.piped()),
            Part::Stdout => ("stdout", self.streams.stdout.piped()),
            Part::Stderr => ("stderr", self.streams.stderr.piped()),
        };
        let (name, fd) = (name.to_string(), stream.map_or(-1, |file| file.fd()));
        match cause {
            Cause::System(error) => ended(End::Failed, fd, Cause::Named { name, error }),
            cause => ended(End::Failed, fd, cause),
        }
    }

    fn has_ended(&self) -> bool {
        self.conversation.borrow().machine.state() == State::Ended
    }

    /// How many bytes of output were collected and not handed over.
    fn held(&self) -> usize {
        self.streams.stdout.file.buffered() + self.streams.stderr.file.buffered()
    }
}

fn ended(end: End, fd: RawFd, cause: Cause) -> Progress {
    Progress::failed(end, "communicate", fd, cause)
}

fn failed(cause: Cause) -> Progress {
    ended(End::Failed, -1, cause)
}

fn refused(text: &'static str) -> Progress {
    failed(Cause::Says(io::ErrorKind::InvalidInput, text))
}

face!(Communicate, op => Op::other(op), op.deadline.timeout);

impl Operate for Communicate {
    fn enter(&mut self, at: At<'_>) {
        self.queue(at);
    }

    fn advance(&mut self, cx: &Context<'_>) -> Progress {
        let progress = self.go_on(cx).unwrap_or_else(|end| end);
        if let Progress::Ended(..) = progress {
            self.leave();
        }
        progress
    }

    fn leave(&mut self) {
        self.streams.leave();
        self.exit.leave(self.processes.last());
        let mut conversation = self.conversation.borrow_mut();
        if conversation.waiters.leave(&mut self.ticket) {
            conversation.waiters.wake_front();
        }
    }

    fn restart(&mut self) -> bool {
        false
    }

    fn name(&self) -> &'static str {
        "communicate"
    }

    fn state(&self) -> &'static str {
        match self.conversation.borrow().machine.state() {
            State::Feeding => "Feeding",
            State::Collecting => "Collecting",
            State::AwaitingExit => "AwaitingExit",
            State::Ended => "Ended",
        }
    }

    fn accessors(&self) -> &'static [&'static str] {
        &["output()"]
    }

    fn can_be_put_back(&self) -> bool {
        false
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (child, held) = (self.processes.last(), self.held());
        write!(f, "communicate with {child:?}, {held} B held")
    }

    #[cfg(any(test, fuzzing))]
    fn is_waiting(&self, at: &crate::op::operate::Standing<'_>) -> bool {
        self.check(at)
    }
}

impl Sealed for Communicate {}

impl Operation for Communicate {
    type Output = Output;
    fn output(task: &mut Task<'_, '_>) -> io::Result<Output> {
        task.output()
    }
}
