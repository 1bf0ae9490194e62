//! What an observer is shown. The scheduler compares the reactor's queues before and after each
//! step, to find the tasks that were woken and cancelled. The step of the turn gives the cause
//! (`By`).
//!
//! The steps of the turn have variants that show events to the observer. Only `observe` sets the
//! pointers to these variants. So a program that never observes does not link them, and pays for
//! none of them.

use std::io;
use std::os::unix::io::RawFd;
use std::rc::Rc;
use std::time::Duration;

use libc::pollfd;

use super::{Running, Scheduler};
use crate::op::operate::Progress;
use crate::reactor::{Reactor, Seen, Watch};
use crate::sys::{clock, Wait};
use crate::task_table::{Key, TaskId};
use crate::trace::{By, Event, Trace};

/// An observer, and how much of the reactor's queues it was shown.
pub(super) struct Observer<'t> {
    tell: Box<dyn FnMut(&Trace<'_>) + 't>,
    seen: Seen,
    pub hooks: Hooks<'t>,
}

/// The variants of the turn's steps that show events to the observer.
#[derive(Clone, Copy)]
pub(super) struct Hooks<'t> {
    pub ask: fn(&mut Scheduler<'t>, Wait) -> io::Result<()>,
    pub pollfds: fn(&mut Scheduler<'t>),
    pub take_answers: fn(&mut Scheduler<'t>, &[pollfd]),
    pub advance: fn(&mut Scheduler<'t>, Key),
    report: fn(&mut Scheduler<'t>, By, Option<Key>),
    show: fn(&mut Scheduler<'t>, Key, Event<'_>),
}

/// The cause of the events that this task brings about. For a hidden task it is `Thread`, because
/// the task acts for another thread.
pub(super) fn by(key: Key, is_hidden: bool) -> By {
    match is_hidden {
        true => By::Thread,
        false => By::Task(TaskId(key)),
    }
}

impl<'t> Scheduler<'t> {
    /// Calls `f` with every event of every task, and with every question and answer of poll(2),
    /// from here on, in place of the observer before it. See [`Event`](crate::trace::Event).
    ///
    /// * A task begins with `Spawned`, and ends with `Done` or `Failed`. Each `Woken` is followed
    ///   by an `Advanced`. If that ends the operation, the events of the body follow: first those
    ///   that concern other tasks (`Spawned`, `Closed`, `Cancelled`, `Woken`), then its own
    ///   `Resumed`, `Done` or `Failed`. A task may be woken twice before it is advanced.
    /// * If poll(2) is called, a turn begins with `Asked` and `Answered`, and a `Woken` for each
    ///   task that the answer has made ready. Then comes a `Woken` for each task whose deadline is
    ///   due.
    /// * Tasks and descriptors of the library's own (a [`Remote`](crate::Remote)'s calls, children
    ///   whose pipe was dropped) are not shown. Nor is a poll(2) that looks for these alone because
    ///   no task is left.
    ///
    /// If `f` cancels a task, that task is dropped before another task is advanced. Only the task
    /// of the event that `f` was called with may go on before the drop. If `f` itself wakes a task
    /// or closes a file, the observer is perhaps not shown that.
    ///
    /// # What it costs
    ///
    /// Observing changes neither the order in which tasks are resumed nor the system calls. It
    /// switches off the short cut by which `again()` gets a line that is in the buffer already:
    /// each line then goes through the scheduler, and is shown. A scheduler without observer does
    /// not pay for any of this.
    ///
    /// # Example
    ///
    /// This shows which task has woken which:
    ///
    /// ```
    /// use asyncfile::trace::{By, Event};
    /// use asyncfile::{done, queue, yield_now, Scheduler};
    ///
    /// let mut log = Vec::new();
    /// let jobs = queue::<u32>(1);
    /// let mut sched = Scheduler::new();
    /// sched.observe(|trace| if let Event::Woken(By::Task(other)) = trace.event {
    ///     log.push((trace.task, other));
    /// });
    /// let taker = sched.spawn(jobs.ready(), |task| { task.ok()?; done(jobs.pop()) }).id();
    /// let giver = sched.spawn(yield_now(), |_task| done(jobs.push(7))).id();
    /// sched.run()?;
    /// drop(sched);
    /// assert_eq!(log, [(taker, giver)]);
    /// # Ok::<(), asyncfile::TaskError>(())
    /// ```
    pub fn observe(&mut self, f: impl FnMut(&Trace<'_>) + 't) {
        self.reactor.observe();
        self.observer = Some(Box::new(Observer {
            tell: Box::new(f),
            seen: self.reactor.seen(),
            hooks: Hooks {
                ask: Scheduler::ask_observed,
                pollfds: Scheduler::pollfds_observed,
                take_answers: Scheduler::take_answers_observed,
                advance: Scheduler::advance::<true>,
                report: Scheduler::report_observed,
                show: |sched, key, event| sched.trace(0, TaskId(key), event),
            },
        }));
    }

    /// Shows the event, if there is an observer.
    #[inline]
    pub(super) fn show(&mut self, key: Key, event: Event<'_>) {
        if let Some(observer) = &self.observer {
            (observer.hooks.show)(self, key, event);
        }
    }

    /// Shows what was closed, cancelled and woken since the last report, if there is an observer.
    /// `by` is the cause. `running` is the task that is being advanced, which is not in its slot.
    #[inline]
    pub(super) fn report(&mut self, by: By, running: Option<Key>) {
        if let Some(observer) = &self.observer {
            (observer.hooks.report)(self, by, running);
        }
    }

    /// Marks all that is in the queues as shown.
    pub(super) fn mark_seen(&mut self) {
        let seen = self.reactor.seen();
        if let Some(observer) = &mut self.observer {
            observer.seen = seen;
        }
    }

    fn seen(&mut self) -> Option<&mut Seen> {
        self.observer.as_mut().map(|observer| &mut observer.seen)
    }

    /// Calls the observer. The event belongs to the turn under way if `ahead` is 0, and to the turn
    /// that begins if it is 1.
    fn trace(&mut self, ahead: u64, task: TaskId, event: Event<'_>) {
        if let Some(mut observer) = self.observer.take() {
            let turn = self.reactor.turns.get() + ahead;
            let trace = Trace { task, turn, event };
            self.guard(None, || (observer.tell)(&trace));
            self.observer = Some(observer);
        }
    }

    fn is_seen(&mut self, key: Key) -> bool {
        let task = self.tasks.get_mut(key);
        task.map_or(false, |task| !task.is_hidden)
    }

    fn report_observed(&mut self, by: By, running: Option<Key>) {
        let reactor = self.reactor.clone();
        let (cancelled, woken) = match self.seen() {
            Some(seen) => (reactor.cancelled_since(seen), reactor.woken_since(seen)),
            None => return, // called from the observer itself
        };
        let closer = match by {
            By::Task(task) => task,
            _ => TaskId::NONE,
        };
        for fd in reactor.take_closed() {
            self.trace(0, closer, Event::Closed(fd));
        }
        for key in cancelled {
            if running == Some(key) || self.is_seen(key) {
                self.trace(0, TaskId(key), Event::Cancelled(by));
            }
        }
        for key in woken {
            if running == Some(key) || self.is_seen(key) {
                self.trace(0, TaskId(key), Event::Woken(by));
            }
        }
    }

    pub(super) fn step_observed(
        &mut self,
        key: Key,
        task: &mut Running<'t>,
        is_due: bool,
    ) -> Progress {
        let from = task.op.state();
        let context = self.context(key, &task.deadline, is_due);
        let progress = task.op.advance_rarely(&context);
        if !task.is_hidden {
            let (op, to) = (&task.op, task.op.state());
            self.trace(0, TaskId(key), Event::Advanced { op, from, to });
        }
        let running = Some(key).filter(|_| !task.is_hidden);
        self.report(by(key, task.is_hidden), running);
        progress
    }

    fn ask_observed(&mut self, wait: Wait) -> io::Result<()> {
        self.report(By::Program, None);
        let (all, entries) = self.reactor.count_entries();
        let is_shown = self.alive > 0 && (all > 0 || wait != Wait::Not);
        if is_shown {
            let timeout = match wait {
                Wait::Not => Some(Duration::ZERO),
                Wait::Until(at) => Some(at.since(clock::now())),
                Wait::Forever => None,
            };
            self.trace(1, TaskId::NONE, Event::Asked { entries, timeout });
            self.report(By::Program, None);
        }
        // The observer may have woken a task.
        let has_work = self.reactor.has_work() || self.must_return();
        let wait = if has_work { Wait::Not } else { wait };
        let reactor = self.reactor.clone();
        let mut answers = Answers::since(reactor.seen());
        reactor.ask_for(wait, |place, owner, revents| {
            let entry = reactor.entry_before(place);
            answers.take(&reactor, owner, pollfd { revents, ..entry }, By::Descriptor);
        })?;
        self.show_answers(is_shown, answers);
        Ok(())
    }

    fn pollfds_observed(&mut self) {
        self.report(By::Program, None);
        if self.alive > 0 {
            let (_, entries) = self.reactor.count_entries();
            let timeout = self.foreign_timeout();
            self.trace(1, TaskId::NONE, Event::Asked { entries, timeout });
        }
    }

    /// Takes the answers of a foreign loop, and shows them.
    fn take_answers_observed(&mut self, set: &[pollfd]) {
        self.report(By::Program, None);
        let reactor = self.reactor.clone();
        let mut answers = Answers::since(reactor.seen());
        for entry in set.iter().filter(|entry| entry.revents != 0) {
            if let Some(owner) = reactor.take_shown(entry.fd) {
                answers.take(&reactor, owner, *entry, By::ForeignLoop);
            }
        }
        self.show_answers(self.alive > 0, answers);
    }

    fn show_answers(&mut self, is_shown: bool, answers: Answers) {
        self.mark_seen();
        if is_shown {
            self.trace(1, TaskId::NONE, Event::Answered(&answers.entries));
        }
        for (key, by) in answers.woken {
            if self.is_seen(key) {
                self.trace(1, TaskId(key), Event::Woken(by));
            }
        }
    }
}

/// The answers of one poll(2). The observer is called when their owners have taken all of them.
struct Answers {
    /// The entries for which poll(2) has answered, without those of hidden watches.
    entries: Vec<pollfd>,
    woken: Vec<(Key, By)>,
    seen: Seen,
}

impl Answers {
    fn since(seen: Seen) -> Answers {
        Answers {
            entries: Vec::new(),
            woken: Vec::new(),
            seen,
        }
    }

    /// Calls the owner with its answer, and notes the tasks that the owner wakes.
    fn take(
        &mut self,
        reactor: &Reactor,
        owner: Rc<dyn Watch>,
        entry: pollfd,
        by: fn(RawFd) -> By,
    ) {
        let by = match owner.is_hidden() {
            true => By::Thread,
            false => {
                self.entries.push(entry);
                by(entry.fd)
            }
        };
        owner.on_ready(entry.revents);
        let woken = reactor.woken_since(&mut self.seen);
        self.woken.extend(woken.into_iter().map(|key| (key, by)));
    }
}
