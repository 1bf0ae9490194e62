//! A bounded queue between the tasks of one thread.
//!
//! Tasks wait at two gates: for an item (`ready`), and for a free place (`room`). One gate lets one
//! task pass at a time, in the order they came. When there is an item (or a place) for the front
//! task, the front task is woken, and its operation ends. The task then has its turn, and is still
//! at the front. The turn lasts until the operation is dropped or waited for again. Then the next
//! task has its turn, if another item (or place) is left.
//!
//! ```text
//!                        push, or the front has left
//!   waits behind ─► front ──────────────────────────► woken ─► ended ─► leaves
//!                     ▲      and there is something     │
//!                     └─────────────────────────────────┘
//!                         other code has taken it
//! ```
//!
//! The gates are not generic, so an operation can hold them whatever the type of the items is. An
//! item may borrow. There is no lock, no descriptor and no system call. (A channel's messages come
//! from other threads, and wake all tasks that wait: see `thread/wait_queue`.)

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::unix::io::RawFd;
use std::rc::Rc;

use crate::error::Cause;
use crate::machine::End;
use crate::op::operate::{At, Context};
use crate::op::ready::{Readiness, Ready};
use crate::reactor::Reactor;
use crate::wait_list::{Ticket, WaitList};

/// A queue of at most `capacity` items, between the tasks of one thread.
///
/// [`push`](Queue::push) and [`pop`](Queue::pop) never wait: a task waits for
/// [`ready`](Queue::ready) and then pops, or for [`room`](Queue::room) and then pushes. Of several
/// tasks that wait, the one that came first is woken. When that task waits again or ends, the next
/// one is woken if an item, or a free place, is left.
///
/// Clones are handles to one queue. A drop of the handles does not close the queue. A task that
/// waits for a queue that nothing can fill any more is [`Stalled`](crate::TaskError::Stalled). The
/// error names the queue by its number, as Debug does.
///
/// # Job queue
///
/// This shows two workers that share the jobs of a third task. The third task waits while three
/// jobs are in the queue:
///
/// ```
/// use asyncfile::{again, done, queue, Scheduler};
/// use std::cell::Cell;
///
/// let sum = Cell::new(0);
/// let jobs = queue(3);
/// let mut sched = Scheduler::new();
/// for _ in 0..2 {
///     let (jobs, sum) = (jobs.clone(), &sum);
///     sched.spawn(jobs.ready(), move |task| {
///         task.ok()?;
///         match jobs.pop() {
///             Some(job) => { sum.set(sum.get() + job); again() }
///             None => done(()),                           // closed, and empty
///         }
///     });
/// }
/// let mut rest = 1..=100;
/// sched.spawn(jobs.room(), move |task| {
///     task.ok()?;
///     while jobs.len() < 3 {
///         match rest.next() {
///             Some(job) => jobs.push(job).expect("there is room"),
///             None => return done(jobs.close()),
///         }
///     }
///     again()
/// });
/// sched.run()?;
/// assert_eq!(sum.get(), 5050);
/// # Ok::<(), asyncfile::TaskError>(())
/// ```
///
/// # Semaphore
///
/// The items are permits that are in use. This shows ten tasks, of which at most two are busy:
///
/// ```
/// use asyncfile::{done, queue, sleep, wait, Scheduler};
/// use std::{cell::Cell, time::Duration};
///
/// let (busy, most) = (Cell::new(0), Cell::new(0));
/// let permits = queue(2);
/// let mut sched = Scheduler::new();
/// for _ in 0..10 {
///     let (permits, busy, most) = (permits.clone(), &busy, &most);
///     let mut has_permit = false;
///     sched.spawn(permits.room(), move |task| {
///         task.ok()?;
///         if !has_permit {
///             permits.push(()).expect("there is room");
///             has_permit = true;
///             busy.set(busy.get() + 1);
///             most.set(most.get().max(busy.get()));
///             return wait(sleep(Duration::from_millis(1)));
///         }
///         busy.set(busy.get() - 1);
///         permits.pop();
///         done(())
///     });
/// }
/// sched.run()?;
/// assert_eq!(most.get(), 2);
/// # Ok::<(), asyncfile::TaskError>(())
/// ```
///
/// # Oneshot
///
/// A queue with one place can carry one answer. This shows a task that asks another task. If the
/// other task ended without an answer and closed the queue, `pop` would return None:
///
/// ```
/// use asyncfile::{done, queue, yield_now, Scheduler};
///
/// let answer = queue(1);
/// let mut sched = Scheduler::new();
/// let asking = sched.spawn(answer.ready(), {
///     let answer = answer.clone();
///     move |task| done(task.ok().map(|()| answer.pop())?)
/// });
/// sched.spawn(yield_now(), move |task| {
///     task.ok()?;
///     answer.push(42).expect("there is room");
///     done(answer.close())
/// });
/// assert_eq!(sched.join(asking)?, Some(42));
/// # Ok::<(), asyncfile::TaskError>(())
/// ```
///
/// # Latch
///
/// A queue with no places takes no items, so `ready` ends only when the queue is closed. This shows
/// three tasks that wait until a queue is closed:
///
/// ```
/// use asyncfile::{done, queue, sleep, Scheduler};
/// use std::{cell::Cell, time::Duration};
///
/// let (start, begun) = (queue::<()>(0), Cell::new(0));
/// let mut sched = Scheduler::new();
/// for _ in 0..3 {
///     let begun = &begun;
///     sched.spawn(start.ready(), move |task| {
///         task.ok()?;
///         begun.set(begun.get() + 1);
///         done(())
///     });
/// }
/// sched.block_on(sleep(Duration::from_millis(1)))?;
/// assert_eq!(begun.get(), 0);
/// start.close();
/// sched.run()?;
/// assert_eq!(begun.get(), 3);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn queue<T>(capacity: usize) -> Queue<T> {
    Queue {
        items: Rc::default(),
        gates: Rc::new(Gates {
            number: NEXT.with(|next| next.replace(next.get() + 1)),
            capacity,
            len: Cell::new(0),
            is_closed: Cell::new(false),
            ready: RefCell::default(),
            room: RefCell::default(),
        }),
    }
}

thread_local! {
    /// The number of the thread's next queue.
    static NEXT: Cell<u64> = const { Cell::new(1) };
}

/// A queue between tasks: see [`queue`].
pub struct Queue<T> {
    items: Rc<RefCell<VecDeque<T>>>,
    gates: Rc<Gates>,
}

impl<T> Queue<T> {
    /// Puts an item at the back. Never waits.
    ///
    /// # Errors
    ///
    /// The item itself, if the queue is full or closed.
    pub fn push(&self, item: T) -> Result<(), T> {
        if !self.gates.has(Side::Room) {
            return Err(item);
        }
        self.items.borrow_mut().push_back(item);
        self.gates.set_len(self.gates.len.get() + 1);
        Ok(())
    }

    /// Takes the item at the front. None if the queue is empty. A closed queue still gives the
    /// items that are left in it. Never waits.
    pub fn pop(&self) -> Option<T> {
        let item = self.items.borrow_mut().pop_front()?;
        self.gates.set_len(self.gates.len.get() - 1);
        self.gates.end_if_over(Side::Ready);
        Some(item)
    }

    /// How many items are in the queue.
    pub fn len(&self) -> usize {
        self.gates.len.get()
    }

    /// Whether no item is in the queue.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// From here on nothing can be pushed. A wait for `room` ends at once, and a wait for `ready`
    /// ends when the queue is empty, both with [`End::Eof`]. A closed queue stays closed.
    pub fn close(&self) {
        if !self.gates.is_closed.replace(true) {
            self.gates.end_if_over(Side::Room);
            self.gates.end_if_over(Side::Ready);
        }
    }

    /// Whether the queue was closed.
    pub fn is_closed(&self) -> bool {
        self.gates.is_closed.get()
    }

    /// Waits until the queue has an item and it is this task's turn. If the queue is closed and
    /// empty, the wait ends with [`End::Eof`]. The operation takes no item and reserves none, so
    /// other code may pop the item first.
    ///
    /// The task's turn lasts until the task waits for this operation again, waits for something
    /// else, or ends. The wait fails only at its timeout, or if tasks of another scheduler wait for
    /// the queue at the same time ([`io::ErrorKind::InvalidInput`]).
    pub fn ready(&self) -> Ready {
        Ready::of(Waiter::new(&self.gates, Side::Ready))
    }

    /// Waits until the queue has a free place and it is this task's turn. If the queue is closed,
    /// the wait ends with [`End::Eof`]. In all else it is the same as [`ready`](Queue::ready).
    pub fn room(&self) -> Ready {
        Ready::of(Waiter::new(&self.gates, Side::Room))
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Queue<T> {
        Queue {
            items: Rc::clone(&self.items),
            gates: Rc::clone(&self.gates),
        }
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.gates.fmt(f)
    }
}

/// The part of a queue that does not depend on the type of its items. Operations know this part
/// only.
struct Gates {
    number: u64,
    capacity: usize,
    len: Cell<usize>,
    is_closed: Cell<bool>,
    ready: RefCell<Gate>,
    room: RefCell<Gate>,
}

/// The two things that tasks wait for: an item, or a free place.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Ready,
    Room,
}

/// The tasks that wait for one thing, in the order they came.
#[derive(Default)]
struct Gate {
    waiters: WaitList,
    /// The reactor of the tasks that wait. None if no task waits.
    reactor: Option<Rc<Reactor>>,
    /// Whether the front has its turn. The turn begins when the front is woken, or when its
    /// operation ends, and lasts until the front leaves the queue.
    is_passing: bool,
}

impl Gates {
    fn gate(&self, side: Side) -> &RefCell<Gate> {
        match side {
            Side::Ready => &self.ready,
            Side::Room => &self.room,
        }
    }

    /// Whether there is an item (`Side::Ready`), or a free place (`Side::Room`).
    fn has(&self, side: Side) -> bool {
        match side {
            Side::Ready => self.len.get() > 0,
            Side::Room => self.len.get() < self.capacity && !self.is_closed.get(),
        }
    }

    /// Whether there can be no item, or no free place, any more.
    fn is_over(&self, side: Side) -> bool {
        self.is_closed.get() && (side == Side::Room || self.len.get() == 0)
    }

    fn set_len(&self, len: usize) {
        self.len.set(len);
        self.let_pass(Side::Ready);
        self.let_pass(Side::Room);
    }

    /// Wakes the front task of this gate if there is something for it. The task has its turn then.
    fn let_pass(&self, side: Side) {
        let mut gate = self.gate(side).borrow_mut();
        match &gate.reactor {
            Some(reactor) if self.has(side) && !gate.is_passing => {
                reactor.wake_front(&gate.waiters);
                gate.is_passing = true;
            }
            _ => {}
        }
    }

    /// Wakes all tasks at this gate if nothing can come for them any more. Their operations then
    /// end.
    fn end_if_over(&self, side: Side) {
        let gate = self.gate(side).borrow();
        match &gate.reactor {
            Some(reactor) if self.is_over(side) => {
                gate.waiters.for_each(&mut |key| reactor.wake(key));
            }
            _ => {}
        }
    }
}

impl fmt::Debug for Gates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, len) = (self.number, self.len.get());
        write!(f, "queue {number}, {len} of {} items", self.capacity)?;
        f.write_str(if self.is_closed.get() { ", closed" } else { "" })
    }
}

/// A task's wait at a gate.
struct Waiter {
    gates: Rc<Gates>,
    side: Side,
    ticket: Ticket,
}

impl Waiter {
    fn new(gates: &Rc<Gates>, side: Side) -> Waiter {
        let (gates, ticket) = (Rc::clone(gates), Ticket::NONE);
        Waiter {
            gates,
            side,
            ticket,
        }
    }

    /// Puts the task at the back of the gate's queue. False if the tasks in that queue are another
    /// scheduler's.
    fn take_place(&mut self, (reactor, key): At<'_>) -> bool {
        let mut gate = self.gates.gate(self.side).borrow_mut();
        let ours = gate.reactor.get_or_insert_with(|| Rc::clone(reactor));
        let is_here = Rc::ptr_eq(ours, reactor);
        if is_here && self.ticket == Ticket::NONE {
            self.ticket = gate.waiters.enter(key);
        }
        is_here
    }
}

impl Readiness for Waiter {
    fn enter(&mut self, at: At<'_>) {
        if !self.gates.is_over(self.side) {
            self.take_place(at);
        }
    }

    fn end(&mut self, cx: &Context<'_>) -> Result<Option<End>, Cause> {
        if self.gates.is_over(self.side) {
            return Ok(Some(End::Eof));
        }
        if !self.take_place(cx.at()) {
            let text = "it is waited for in another scheduler";
            return Err(Cause::Says(io::ErrorKind::InvalidInput, text));
        }
        let mut gate = self.gates.gate(self.side).borrow_mut();
        if gate.waiters.front != Some(cx.key) {
            return Ok(None);
        }
        gate.is_passing = self.gates.has(self.side);
        Ok(Some(End::Complete).filter(|_| gate.is_passing))
    }

    /// The task keeps its place, because its turn at the gate lasts until the task waits again.
    fn keeps_its_place(&self) -> bool {
        true
    }

    fn leave(&mut self) {
        let ticket = std::mem::replace(&mut self.ticket, Ticket::NONE);
        if ticket == Ticket::NONE {
            return;
        }
        let mut gate = self.gates.gate(self.side).borrow_mut();
        if gate.waiters.leave(ticket) {
            gate.is_passing = false;
        }
        if gate.waiters.front.is_none() {
            gate.reactor = None;
        }
        drop(gate);
        self.gates.let_pass(self.side);
    }

    fn name(&self) -> (&'static str, RawFd) {
        match self.side {
            Side::Ready => ("ready", -1),
            Side::Room => ("room", -1),
        }
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {:?}", self.name().0, self.gates)
    }

    fn fresh(&self) -> Box<dyn Readiness> {
        Box::new(Waiter::new(&self.gates, self.side))
    }

    /// Also checks an invariant of the gate: if there is an item (or a place) for the front, the
    /// front is woken.
    #[cfg(any(test, fuzzing))]
    fn is_waiting(&self, at: &crate::op::operate::Standing<'_>) -> bool {
        let gate = self.gates.gate(self.side).borrow();
        let is_woken = |front| at.reactor.is_queued(front);
        let front = gate.waiters.front.filter(|_| self.gates.has(self.side));
        self.ticket != Ticket::NONE
            && !self.gates.is_over(self.side)
            && front.map_or(true, is_woken)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.leave();
    }
}
