//! Bare readiness: of a descriptor, for what the library has no operation for, like a listener's accept; of a channel's
//! receiver, for its messages.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::timeout::Timeout;
use super::{private::Sealed, Context, Ended, Kind, Op, Operation, Progress, Value};
use crate::descriptor::{Descriptor, Direction};
use crate::inbox::Inbox;
use crate::key::Key;
use crate::machine::End;
use crate::task::Task;
use crate::wait_queue::WaitQueue;
use crate::wake::Wake;

/// Waits for readiness: see [`AsyncFile::readable`](crate::AsyncFile::readable) and [`Receiver::ready`](crate::Receiver::ready).
#[derive(Clone)]
#[must_use = "an operation does nothing until a task waits for it"]
pub struct Ready {
    source: Source,
    timeout: Timeout,
    /// It waits somewhere.
    is_entered: bool,
}

#[derive(Clone)]
enum Source {
    File(Rc<Descriptor>, Direction),
    Channel(Listener),
}

impl Ready {
    pub(crate) fn new(file: &Rc<Descriptor>, direction: Direction) -> Ready {
        Ready { source: Source::File(Rc::clone(file), direction), timeout: Timeout::NEVER, is_entered: false }
    }

    pub(crate) fn message(queue: &Arc<WaitQueue>) -> Ready {
        Ready { source: Source::Channel(Listener::new(queue)), timeout: Timeout::NEVER, is_entered: false }
    }

    /// The most it may take, counted from when it first has to wait. Then: [`io::ErrorKind::TimedOut`].
    pub fn timeout(mut self, after: Duration) -> Ready {
        self.timeout = Timeout::after(after);
        self
    }

    pub(crate) fn name(&self) -> &'static str {
        match self.source {
            Source::File(_, Direction::Read) => "readable",
            Source::File(_, Direction::Write) => "writable",
            Source::File(_, Direction::Hangup) => "hangup",
            Source::Channel(_) => "ready",
        }
    }

    /// For the simulation: the file it watches; None: a channel.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn watched(&self) -> Option<(&Rc<Descriptor>, Direction)> {
        match &self.source {
            Source::File(file, direction) => Some((file, *direction)),
            Source::Channel(_) => None,
        }
    }

    pub(crate) fn leave(&mut self, key: Key) {
        if !std::mem::replace(&mut self.is_entered, false) {
            return;
        }
        match &mut self.source {
            Source::File(file, direction) => file.unwatch(key, *direction),
            Source::Channel(listener) => listener.leave(key),
        }
    }

    pub(crate) fn advance(&mut self, context: &Context<'_>) -> Progress {
        let (fd, end) = match &mut self.source {
            Source::File(file, direction) => (Some(file.fd()), file_end(file, *direction, context)),
            Source::Channel(listener) => (None, listener.end(context)),
        };
        self.is_entered |= end.is_ok();
        match end {
            Err(error) => Progress::failed(self.name(), fd, error),
            Ok(Some(end)) => Progress::Ended(Ended { end, value: Value::Nothing }),
            Ok(None) if self.timeout.is_over(context) => {
                Progress::timed_out(self.name(), fd, self.timeout.error(0, ""))
            }
            Ok(None) => Progress::Blocked(self.timeout.start()),
        }
    }
}

/// Whether a file is ready. If not, poll(2) is asked.
fn file_end(file: &Rc<Descriptor>, direction: Direction, context: &Context<'_>) -> io::Result<Option<End>> {
    let state = file.state();
    state.admits(context.inbox)?;
    if direction == Direction::Read && !state.inflow.is_empty() {
        return Ok(Some(End::Complete));
    }
    drop(state);
    if !file.is_opened_for(direction) || !file.is_ours() {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    Ok(file.watch(context.inbox, context.key, direction).map(|_| End::Complete))
}

/// One operation's place in the wait queue of a channel.
struct Listener {
    queue: Arc<WaitQueue>,
    /// Where it waits, once it must.
    waits_in: Option<(Rc<Inbox>, Arc<Wake>)>,
}

impl Listener {
    fn new(queue: &Arc<WaitQueue>) -> Listener {
        Listener { queue: Arc::clone(queue), waits_in: None }
    }

    /// Whether a message is there, or none can come. If not, the senders are told who waits.
    fn end(&mut self, context: &Context<'_>) -> io::Result<Option<End>> {
        if let Some(end) = self.queue.end() {
            return Ok(Some(end));
        }
        if self.waits_in.is_none() {
            let wake = context.inbox.wake_handle()?;
            context.inbox.add_listener();
            self.waits_in = Some((Rc::clone(context.inbox), wake));
        }
        if let Some((_, wake)) = &self.waits_in {
            self.queue.enter(context.key, wake);
        }
        Ok(self.queue.end()) // once more: whoever sent in between has not seen who waits
    }

    fn leave(&mut self, key: Key) {
        if let Some((inbox, wake)) = self.waits_in.take() {
            self.queue.leave(key, &wake);
            inbox.remove_listener();
        }
    }
}

impl Clone for Listener {
    /// An operation that waits nowhere yet.
    fn clone(&self) -> Listener {
        Listener::new(&self.queue)
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::File(file, _) => write!(f, "{} {:?}{}", self.name(), file, self.timeout),
            Source::Channel(listener) => {
                let senders = listener.queue.senders();
                write!(f, "ready of a channel, {senders} senders{}", self.timeout)
            }
        }
    }
}

impl From<Ready> for Op {
    fn from(op: Ready) -> Op {
        Op(Kind::Ready(op))
    }
}

impl Sealed for Ready {}

impl Operation for Ready {
    type Output = ();
    fn output(task: &mut Task<'_, '_>) -> io::Result<()> {
        task.ok()
    }
}
