//! Messages from threads and tasks to a task.
//!
//! The messages lie in a queue under a lock. The receiver takes all of them at once, by exchanging that queue for its own
//! empty one, and hands them out of that: a lock for a batch, not for a message. Who waits is another room's business: `wait_queue`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::mpsc::TryRecvError;
use std::sync::{Arc, Mutex};

use crate::op::Ready;
use crate::wait_queue::WaitQueue;
use crate::wake::lock;

/// A channel without bound, from any number of senders, on any threads and in any tasks, to one receiver.
///
/// Messages of one sender arrive in the order they were sent. A send never waits, and costs a system call only
/// if the receiver's scheduler sleeps.
///
/// While senders live, a task that waits on the receiver is not [`Stalled`](crate::TaskError::Stalled): a message may come at any time. A
/// sender that is held by the waiting task itself, or by another that waits for it, cannot be told from one that
/// another thread holds: drop the senders that are not used, as with pipes.
///
/// # Bounded use
///
/// A second channel, in the other direction, carries permits. See also `examples/chat_server.rs`, where who does not keep up is
/// dropped instead of waited for.
///
/// # Example
///
/// This shows work that blocks, on a thread of its own:
///
/// ```
/// use asyncfile::{channel, done, wait, Scheduler};
/// use std::sync::mpsc::TryRecvError;
///
/// let (sender, receiver) = channel();
/// let worker = std::thread::spawn(move || {
///     for n in 1..=100 {
///         if sender.send(n * n).is_err() {
///             break;                                          // nobody listens any more
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
///             Err(TryRecvError::Empty) => return wait(receiver.ready()),
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
    let shared = Arc::new(Shared {
        messages: Mutex::new(Messages { queue: VecDeque::new(), is_received: true }),
        waiting: Arc::new(WaitQueue::default()),
    });
    shared.waiting.add_sender();
    let receiver = Receiver { taken: RefCell::default(), shared: Arc::clone(&shared), not_send: PhantomData };
    (Sender { shared }, receiver)
}

struct Shared<T> {
    messages: Mutex<Messages<T>>,
    waiting: Arc<WaitQueue>,
}

struct Messages<T> {
    queue: VecDeque<T>,
    /// The receiver lives.
    is_received: bool,
}

/// Sends messages to a [`Receiver`], from any thread: see [`channel`].
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Sends a message, and wakes the tasks that wait for one. Never waits.
    ///
    /// # Errors
    ///
    /// The message itself, if the receiver is gone.
    pub fn send(&self, message: T) -> Result<(), T> {
        let mut messages = lock(&self.shared.messages);
        if !messages.is_received {
            drop(messages);
            return Err(message);
        }
        messages.queue.push_back(message);
        self.shared.waiting.set_has_message(true);
        drop(messages);
        self.shared.waiting.wake_all();
        Ok(())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.shared.waiting.add_sender();
        Sender { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Drop for Sender<T> {
    /// The last one ends what waits on the receiver.
    fn drop(&mut self) {
        self.shared.waiting.remove_sender();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

/// Receives the messages of its [`Sender`]s, in tasks of one thread: see [`channel`].
pub struct Receiver<T> {
    /// Taken out of the shared queue and not yet handed out. Empty only if the shared queue was.
    taken: RefCell<VecDeque<T>>,
    shared: Arc<Shared<T>>,
    not_send: PhantomData<Rc<()>>,
}

impl<T> Receiver<T> {
    /// Waits until a message is there, or none can come, as all senders are gone or the receiver is ([`End::Eof`](crate::End::Eof)).
    /// Takes nothing, and does not queue: of several tasks that wait all are resumed. It fails only at its timeout, or if the wake pipe
    /// cannot be made when a task of the scheduler waits for other threads for the first time (EMFILE).
    pub fn ready(&self) -> Ready {
        Ready::message(&self.shared.waiting)
    }

    /// The next message.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] if none is there, and [`TryRecvError::Disconnected`] if none can come any more because all senders are gone.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        let mut taken = self.taken.borrow_mut();
        if taken.is_empty() {
            // Before the queue: whoever sends and is then gone has sent.
            let none_can_come = self.shared.waiting.senders() == 0;
            self.take_all(&mut taken);
            if taken.is_empty() {
                return Err(if none_can_come { TryRecvError::Disconnected } else { TryRecvError::Empty });
            }
        }
        let message = taken.pop_front().expect("it is not empty");
        if taken.is_empty() {
            self.take_all(&mut taken);
        }
        Ok(message)
    }

    /// Exchanges the shared queue for an empty one. What an operation sees is then exact: a message is there, or none is.
    fn take_all(&self, empty: &mut VecDeque<T>) {
        let mut messages = lock(&self.shared.messages);
        std::mem::swap(&mut messages.queue, empty);
        self.shared.waiting.set_has_message(!empty.is_empty());
    }
}

impl<T> Drop for Receiver<T> {
    /// Ends what waits on it. What was not received is dropped, after the lock is.
    fn drop(&mut self) {
        let mut messages = lock(&self.shared.messages);
        messages.is_received = false;
        let rest = std::mem::take(&mut messages.queue);
        self.shared.waiting.set_has_message(false);
        drop(messages);
        self.shared.waiting.close();
        drop(rest);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver ({} senders)", self.shared.waiting.senders())
    }
}
