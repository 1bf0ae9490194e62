//! Who waits for a message, and how a sender on any thread wakes them: a channel without its messages, so that an
//! operation can wait on it whatever their type is.
//!
//! Two flags stand against each other. A sender first says that there is something, then looks whether anybody waits; an
//! operation first says that it waits, then looks whether there is something. Both are sequentially consistent, so at least one
//! of the two sees the other, and a send to a channel that nobody waits on touches no lock of ours and makes no system call.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use crate::key::Key;
use crate::machine::End;
use crate::wake::{lock, Wake};

#[derive(Default)]
pub(crate) struct WaitQueue {
    /// A message is there. Changed only under the lock of the messages.
    has_message: AtomicBool,
    senders: AtomicUsize,
    /// The receiver is gone.
    is_closed: AtomicBool,
    /// `waiters` is not empty.
    is_waited_on: AtomicBool,
    /// All are woken by one message: whoever comes first gets it, the others wait again.
    waiters: Mutex<Vec<Waiter>>,
}

struct Waiter {
    key: Key,
    wake: Arc<Wake>,
}

impl WaitQueue {
    pub fn set_has_message(&self, has_message: bool) {
        if self.has_message.load(SeqCst) != has_message {
            self.has_message.store(has_message, SeqCst);
        }
    }

    /// How waiting for it ends; None: it must go on.
    pub fn end(&self) -> Option<End> {
        // In this order: whoever sends and is then gone has sent.
        let none_can_come = self.senders() == 0 || self.is_closed.load(SeqCst);
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

    /// The receiver is gone: no message comes any more.
    pub fn close(&self) {
        self.is_closed.store(true, SeqCst);
        self.wake_all();
    }

    /// Something has changed that they wait for.
    pub fn wake_all(&self) {
        if self.is_waited_on.load(SeqCst) {
            let mut waiters = lock(&self.waiters);
            self.is_waited_on.store(false, SeqCst);
            waiters.drain(..).for_each(|waiter| waiter.wake.wake_task(waiter.key));
        }
    }

    /// The task waits, until it is woken or leaves.
    pub fn enter(&self, key: Key, wake: &Arc<Wake>) {
        let mut waiters = lock(&self.waiters);
        if !waiters.iter().any(|waiter| waiter.is(key, wake)) {
            waiters.push(Waiter { key, wake: Arc::clone(wake) });
        }
        self.is_waited_on.store(true, SeqCst);
    }

    pub fn leave(&self, key: Key, wake: &Arc<Wake>) {
        let mut waiters = lock(&self.waiters);
        waiters.retain(|waiter| !waiter.is(key, wake));
        self.is_waited_on.store(!waiters.is_empty(), SeqCst);
    }
}

impl Waiter {
    fn is(&self, key: Key, wake: &Arc<Wake>) -> bool {
        self.key == key && Arc::ptr_eq(&self.wake, wake)
    }
}
