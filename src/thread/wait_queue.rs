//! The tasks that wait on a channel, and how a sender on any thread wakes them. The queue does not
//! hold the messages, so that an operation can wait whatever their type is.
//!
//! Two flags see to it that no message is missed. A sender first sets `has_message`, then looks
//! whether a task waits. An operation first sets `is_waited_on`, then looks whether there is a
//! message. Both flags are sequentially consistent, so at least one of the two sees the other's
//! flag: the sender sees the task, or the operation sees the message. A send to a channel that no
//! task waits on takes no lock of this file and makes no system call.

use std::fmt;
use std::os::unix::io::RawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use super::lock;
use super::wake::{Waiting, Wake, WakeReader};
use crate::error::Cause;
use crate::machine::End;
use crate::op::operate::Context;
use crate::op::ready::Readiness;
use crate::task_table::Key;
use crate::wait_list::{Ticket, WaitList};

#[derive(Default)]
pub(crate) struct WaitQueue {
    /// Whether a message is there. The flag changes only under the lock of the messages.
    has_message: AtomicBool,
    senders: AtomicUsize,
    /// Whether the receiver is gone. The flag changes only under the lock of the messages.
    is_closed: AtomicBool,
    /// Whether a task waits and was not woken yet.
    is_waited_on: AtomicBool,
    /// The waiting tasks, by scheduler. There is hardly ever more than one scheduler. One message
    /// wakes all tasks: the first to be resumed takes the message, and the others go on waiting.
    waiters: Mutex<Vec<(Arc<Wake>, WaitList)>>,
}

impl WaitQueue {
    pub fn set_has_message(&self, has_message: bool) {
        if self.has_message.load(SeqCst) != has_message {
            self.has_message.store(has_message, SeqCst);
        }
    }

    /// How the wait has ended. None if it goes on.
    fn end(&self) -> Option<End> {
        // Senders are counted before messages are looked for. If no sender is left, all that they
        // sent is in the queue by now.
        let none_can_come = self.senders() == 0 || self.is_closed();
        match self.has_message.load(SeqCst) {
            true => Some(End::Complete),
            false if none_can_come => Some(End::Eof),
            false => None,
        }
    }

    pub fn senders(&self) -> usize {
        self.senders.load(SeqCst)
    }

    pub fn add_sender(&self) {
        self.senders.fetch_add(1, SeqCst);
    }

    pub fn remove_sender(&self) {
        if self.senders.fetch_sub(1, SeqCst) == 1 {
            self.wake_all();
        }
    }

    pub fn is_closed(&self) -> bool {
        self.is_closed.load(SeqCst)
    }

    /// Notes that the receiver is gone. Called under the lock of the messages.
    pub fn close(&self) {
        self.is_closed.store(true, SeqCst);
        self.has_message.store(false, SeqCst);
    }

    /// Wakes all tasks that wait, because a message came, or none can come any more.
    pub fn wake_all(&self) {
        if self.is_waited_on.load(SeqCst) {
            let waiters = lock(&self.waiters);
            self.is_waited_on.store(false, SeqCst);
            for (wake, tasks) in waiters.iter() {
                wake.wake_tasks(tasks);
            }
        }
    }

    fn enter(&self, key: Key, wake: &Arc<Wake>) -> Ticket {
        let mut waiters = lock(&self.waiters);
        let own = place(&waiters, wake).unwrap_or_else(|| {
            waiters.push((Arc::clone(wake), WaitList::new()));
            waiters.len() - 1
        });
        waiters[own].1.enter(key)
    }

    fn leave(&self, ticket: Ticket, wake: &Arc<Wake>) {
        let mut waiters = lock(&self.waiters);
        let own = place(&waiters, wake).expect("the task has entered");
        waiters[own].1.leave(ticket);
        if waiters[own].1.front.is_none() {
            waiters.swap_remove(own);
        }
        if waiters.is_empty() {
            self.is_waited_on.store(false, SeqCst);
        }
    }
}

/// The index in `waiters` of the scheduler that has this wake pipe.
fn place(waiters: &[(Arc<Wake>, WaitList)], wake: &Arc<Wake>) -> Option<usize> {
    let mut wakes = waiters.iter().map(|(other, _)| other);
    wakes.position(|other| Arc::ptr_eq(other, wake))
}

/// The readiness of a channel: what [`Receiver::ready`](crate::Receiver::ready) waits for.
pub(crate) struct MessageReady {
    queue: Arc<WaitQueue>,
    /// The task's place in the wait queue. None if it does not wait.
    place: Option<(Waiting, Ticket)>,
}

impl MessageReady {
    pub fn new(queue: &Arc<WaitQueue>) -> MessageReady {
        let (queue, place) = (Arc::clone(queue), None);
        MessageReady { queue, place }
    }
}

impl Readiness for MessageReady {
    fn end(&mut self, cx: &Context<'_>) -> Result<Option<End>, Cause> {
        let end = self.queue.end();
        if end.is_some() {
            return Ok(end);
        }
        if self.place.is_none() {
            let reader = WakeReader::of(cx.reactor).map_err(Cause::System)?;
            let ticket = self.queue.enter(cx.key, &reader.wake);
            self.place = Some((Waiting::new(reader), ticket));
        }
        self.queue.is_waited_on.store(true, SeqCst);
        Ok(self.queue.end()) // once more: a sender that came in between has seen no waiting task
    }

    fn leave(&mut self) {
        if let Some((waiting, ticket)) = self.place.take() {
            self.queue.leave(ticket, &waiting.reader().wake);
        }
    }

    fn name(&self) -> (&'static str, RawFd) {
        ("ready", -1)
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ready of a channel, {} senders", self.queue.senders())
    }

    fn fresh(&self) -> Box<dyn Readiness> {
        Box::new(MessageReady::new(&self.queue))
    }

    #[cfg(any(test, fuzzing))]
    fn is_waiting(&self, _: &crate::op::operate::Standing<'_>) -> bool {
        let place = self.place.as_ref();
        place.map_or(false, |(waiting, _)| waiting.reader().is_watched())
    }
}

#[cfg(all(test, target_os = "linux", target_arch = "x86_64"))]
mod tests {
    use super::super::stepping::for_each_step;
    use super::*;

    /// An operation checks how its wait has ended. It is interrupted after each of its instructions
    /// in turn: the last sender then sends a message and is dropped.
    #[test]
    fn no_wait_ends_as_at_the_end_while_the_last_message_is_there() {
        for_each_step(
            || {
                let queue = WaitQueue::default();
                queue.add_sender();
                queue
            },
            WaitQueue::end,
            |queue| {
                queue.set_has_message(true);
                queue.remove_sender();
                true
            },
            |queue, end| {
                assert_ne!(end, Some(End::Eof));
                assert_eq!(queue.end(), Some(End::Complete));
            },
        );
    }
}
