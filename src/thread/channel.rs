//! Messages from threads and tasks to a task.
//!
//! The messages lie in a queue under a lock. The receiver exchanges its own empty queue for that
//! one, and then hands out the messages that it has taken. So it locks once for a batch, not for
//! each message. The tasks that wait for a message are in `wait_queue`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::mpsc::TryRecvError;
use std::sync::{Arc, Mutex};

use super::lock;
use super::wait_queue::{MessageReady, WaitQueue};
use crate::op::Ready;

/// An unbounded channel from any number of senders, in any threads and tasks, to one receiver.
///
/// The messages of one sender arrive in the order in which they were sent. A send never waits, and
/// costs a system call only if a task waits and the message comes from another thread. Even then
/// many sends before the scheduler polls cost one system call together.
///
/// While a sender lives, a task that waits on the receiver is not
/// [`Stalled`](crate::TaskError::Stalled): a message may come at any time. The library cannot tell
/// a sender that the waiting task itself holds from one that another thread holds. So drop the
/// senders that are not used, as one closes the unused ends of a pipe.
///
/// # Bounded use
///
/// To bound a channel, use a second channel in the other direction. The receiving side sends a
/// permit through it for each message that it has room for. The sending side takes a permit before
/// each message. See also `examples/chat_server.rs`, which drops a client that does not keep up.
///
/// # After a fork
///
/// Both processes share the pipe that wakes the scheduler, and either may take the other's bytes.
/// Drive the scheduler, and send to its tasks, on one side of the fork only.
///
/// # Example
///
/// This shows work that blocks, in a thread of its own:
///
/// ```
/// use asyncfile::{again, channel, done, Scheduler};
/// use std::sync::mpsc::TryRecvError;
///
/// let (sender, receiver) = channel();
/// let worker = std::thread::spawn(move || {
///     for n in 1..=100 {
///         if sender.send(n * n).is_err() {
///             break;                                          // the receiver is gone
///         }
///     }
/// });
/// let mut sched = Scheduler::new();
/// let mut sum = 0;
/// let task = sched.spawn(receiver.ready(), move |task| {
///     task.ok()?;
///     loop {
///         match receiver.try_recv() {
///             Ok(square) => sum += square,
///             Err(TryRecvError::Empty) => return again(),
///             Err(TryRecvError::Disconnected) => return done(sum),
///         }
///     }
/// });
/// let sum: u32 = sched.join(task)?;
/// assert_eq!(sum, 338_350);
/// # worker.join().unwrap();
/// # Ok::<(), asyncfile::TaskError>(())
/// ```
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let receiver = Receiver::new();
    (receiver.sender(), receiver)
}

/// The part that the two ends of a channel share.
struct Shared<T> {
    messages: Mutex<VecDeque<T>>,
    /// The part of the channel that does not depend on the type of the messages, so that operations
    /// can hold it.
    waiting: Arc<WaitQueue>,
}

/// Sends messages to a [`Receiver`], from any thread: see [`channel`].
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    fn new(shared: &Arc<Shared<T>>) -> Sender<T> {
        shared.waiting.add_sender();
        let shared = Arc::clone(shared);
        Sender { shared }
    }

    /// Sends a message, and wakes the tasks that wait for one. Never waits.
    ///
    /// # Errors
    ///
    /// If the receiver is gone, the error is the message itself.
    pub fn send(&self, message: T) -> Result<(), T> {
        let mut messages = lock(&self.shared.messages);
        if !self.is_received() {
            return Err(message);
        }
        messages.push_back(message);
        self.shared.waiting.set_has_message(true);
        drop(messages);
        self.shared.waiting.wake_all();
        Ok(())
    }

    /// Whether the receiver is alive.
    pub(crate) fn is_received(&self) -> bool {
        !self.shared.waiting.is_closed()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        Sender::new(&self.shared)
    }
}

impl<T> Drop for Sender<T> {
    /// Ends the waits on the receiver, if this was the last sender.
    fn drop(&mut self) {
        self.shared.waiting.remove_sender();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

/// Receives the messages of its [`Sender`]s, in the tasks of one thread: see [`channel`].
pub struct Receiver<T> {
    /// The messages that were taken out of the shared queue and are not yet handed out. A
    /// `try_recv` that empties this queue fills it again from the shared queue. So after a
    /// `try_recv` this queue is empty only if `try_recv` has found the shared queue empty, too.
    taken: RefCell<VecDeque<T>>,
    shared: Arc<Shared<T>>,
    not_send: PhantomData<Rc<()>>,
}

impl<T> Receiver<T> {
    /// A channel without senders.
    pub(crate) fn new() -> Receiver<T> {
        let (messages, waiting) = (Mutex::default(), Arc::default());
        Receiver {
            taken: RefCell::default(),
            shared: Arc::new(Shared { messages, waiting }),
            not_send: PhantomData,
        }
    }

    /// Makes another sender.
    pub(crate) fn sender(&self) -> Sender<T> {
        Sender::new(&self.shared)
    }

    /// Waits until a message is there. If no message can come any more, because all senders or the
    /// receiver are gone, the wait ends with [`End::Eof`](crate::End::Eof). The operation takes no
    /// message. Tasks do not queue for it: all that wait are resumed.
    ///
    /// The wait fails only at its timeout, or if the wake pipe cannot be made (EMFILE) when a task
    /// of the scheduler waits for other threads for the first time.
    pub fn ready(&self) -> Ready {
        Ready::of(MessageReady::new(&self.shared.waiting))
    }

    /// The next message.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] if none is there, and [`TryRecvError::Disconnected`] if none can
    /// come any more because all senders are gone.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        let mut taken = self.taken.borrow_mut();
        // Senders are counted before messages are looked for. If no sender is left, all that they
        // sent is in the queue by now.
        let none_can_come = self.shared.waiting.senders() == 0;
        if taken.is_empty() {
            self.take_all(&mut taken);
        }
        let message = taken.pop_front();
        if taken.is_empty() {
            self.take_all(&mut taken);
        }
        message.ok_or(match none_can_come {
            true => TryRecvError::Disconnected,
            false => TryRecvError::Empty,
        })
    }

    /// Exchanges `empty` and the shared queue, and so takes all messages at once. Then sets the
    /// flag that operations look at, which says whether there is a message.
    fn take_all(&self, empty: &mut VecDeque<T>) {
        let mut messages = lock(&self.shared.messages);
        std::mem::swap(&mut *messages, empty);
        self.shared.waiting.set_has_message(!empty.is_empty());
    }
}

impl<T> Drop for Receiver<T> {
    /// Ends the waits of tasks for a message of this receiver. Messages that were not received are
    /// dropped outside the lock.
    fn drop(&mut self) {
        let mut messages = lock(&self.shared.messages);
        let rest = std::mem::take(&mut *messages);
        self.shared.waiting.close();
        drop(messages);
        self.shared.waiting.wake_all();
        drop(rest);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver ({} senders)", self.shared.waiting.senders())
    }
}

#[cfg(all(test, target_os = "linux", target_arch = "x86_64"))]
mod tests {
    use super::super::stepping::for_each_step;
    use super::*;

    /// While `try_recv` runs, the last sender sends a message and is dropped. The test does this
    /// once after each instruction of `try_recv`.
    #[test]
    fn the_last_message_is_received_wherever_it_falls_into_a_look() {
        struct Ends(Receiver<u32>, RefCell<Option<Sender<u32>>>);
        for_each_step(
            || {
                let (sender, receiver) = channel();
                Ends(receiver, RefCell::new(Some(sender)))
            },
            |ends| ends.0.try_recv(),
            |ends| {
                if ends.0.shared.messages.try_lock().is_err() {
                    return false;
                }
                let sender = ends.1.take().expect("it is interrupted once");
                sender.send(7).is_ok()
            },
            |ends, answer| match answer {
                Ok(7) | Err(TryRecvError::Empty) => {
                    let rest = [ends.0.try_recv(), ends.0.try_recv()];
                    let expected = match answer {
                        Ok(_) => Err(TryRecvError::Disconnected),
                        Err(_) => Ok(7),
                    };
                    assert_eq!(rest, [expected, Err(TryRecvError::Disconnected)]);
                }
                other => panic!("a message is lost: {other:?}"),
            },
        );
    }
}
