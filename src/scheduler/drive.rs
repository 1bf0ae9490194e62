//! The drives, which repeat the turn: `run`, `join`, `block_on`, `turn`. Failures come out of them.

use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::Duration;

use super::{message, Scheduler};
use crate::chore;
use crate::error::{self, TaskError};
use crate::handle::JoinHandle;
use crate::operation::Operation;
use crate::sys::clock::{self, nanoseconds, Moment};
use crate::sys::{self, Wait};
use crate::task::done;
use crate::task_table::TaskId;
use crate::trace::By;

impl<'t> Scheduler<'t> {
    /// Runs until no task is left, or until [`Remote::stop`](crate::Remote::stop) is called.
    ///
    /// # Errors
    ///
    /// The failure of a detached task, as soon as it happens, unless
    /// [`on_failure`](Scheduler::on_failure) takes it. The other tasks are kept, and the next call
    /// goes on with them. The error does not say which task has failed; `on_failure` gets the
    /// task's id. [`TaskError::Stalled`] if tasks are left and nothing can ever wake them.
    /// [`TaskError::Poll`] if poll(2) fails: EINVAL for more descriptors than RLIMIT_NOFILE, or
    /// ENOMEM.
    ///
    /// # Example
    ///
    /// This shows a server with a task for each client. One client sends text that is no number, so
    /// its task fails. Without `on_failure` that would end the server. Here the other client is
    /// still served:
    ///
    /// ```
    /// use asyncfile::{done, wait, AsyncFile, Scheduler};
    /// use std::io::{Error, ErrorKind::InvalidData, Read, Write};
    /// use std::os::unix::net::UnixStream;
    ///
    /// let mut failures = Vec::new();
    /// let mut sched = Scheduler::new();
    /// sched.on_failure(|id, error| failures.push(format!("client {id}: {error}")));
    /// let mut clients = Vec::new();
    /// for _ in 0..2 {
    ///     let (client, ours) = UnixStream::pair()?;
    ///     clients.push(client);
    ///     let client = AsyncFile::new(ours)?;
    ///     let mut is_answered = false;
    ///     sched.spawn(client.readline(), move |task| {
    ///         if std::mem::take(&mut is_answered) {
    ///             task.ok()?;
    ///             return wait(client.readline());
    ///         }
    ///         let line = match task.line()? { Some(line) => line, None => return done(()) };
    ///         let text = std::str::from_utf8(line).unwrap_or_default().trim();
    ///         let number: u32 = text.parse().map_err(|_| Error::new(InvalidData, "no number"))?;
    ///         is_answered = true;
    ///         wait(client.write(format!("{}\n", number + 1)).full())
    ///     });
    /// }
    /// clients[0].write_all(b"one\n")?;
    /// clients[1].write_all(b"1\n2\n")?;
    /// clients[1].shutdown(std::net::Shutdown::Write)?;
    /// sched.run()?;
    /// let mut answers = String::new();
    /// drop(sched);                                         // lends `failures` back
    /// clients[1].read_to_string(&mut answers)?;
    /// assert_eq!(answers, "2\n3\n");
    /// assert!(failures[0].ends_with(": no number"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run(&mut self) -> Result<(), TaskError> {
        self.begin_drive(false)?;
        while !self.reactor.take_stop() && (self.alive > 0 || self.finds_work()?) {
            self.turn_once(Wait::Forever)?;
        }
        self.failure()
    }

    /// Looks for work when no task is left. The answer for a hidden watch may bring a call of a
    /// Remote, which may spawn a task. So poll(2) is asked, without sleeping. Returns whether there
    /// is work.
    fn finds_work(&mut self) -> Result<bool, TaskError> {
        if self.reactor.is_watching(true) {
            self.ask(Wait::Not)?;
        }
        Ok(self.reactor.has_work())
    }

    /// Runs until this task has ended, and returns its result. Failures of detached tasks go to
    /// [`on_failure`](Scheduler::on_failure), or wait for the next drive.
    ///
    /// # Errors
    ///
    /// The failure of the task. [`TaskError::Stalled`], [`TaskError::Stopped`] or
    /// [`TaskError::Poll`] if the drive ends before the task, which is detached then.
    /// [`InvalidInput`](std::io::ErrorKind::InvalidInput) for a task of another scheduler, or one
    /// whose result was taken.
    ///
    /// # Example
    ///
    /// This shows how to get the value of one task, and the failure of another:
    ///
    /// ```
    /// use asyncfile::{done, yield_now, Flow, Scheduler, TaskError};
    ///
    /// let mut sched = Scheduler::new();
    /// let good = sched.spawn(yield_now(), |_task| done(42));
    /// let bad = sched.spawn(yield_now(), |_task| -> Flow { panic!("oh") });
    /// assert_eq!(sched.join(good)?, 42);
    /// assert!(matches!(sched.join(bad), Err(TaskError::Panicked(message)) if message == "oh"));
    /// # Ok::<(), asyncfile::TaskError>(())
    /// ```
    pub fn join<T>(&mut self, handle: JoinHandle<T>) -> Result<T, TaskError> {
        if !handle.belongs_to(&self.reactor) && !handle.is_finished() {
            return Err(TaskError::Failed(error::invalid(
                "join",
                "the task is another scheduler's",
            )));
        }
        self.begin_drive(true)?;
        while !handle.is_finished() {
            if self.reactor.take_stop() {
                return Err(TaskError::Stopped);
            }
            self.turn_once(Wait::Forever)?;
        }
        match handle.take() {
            Some(result) => result,
            None => Err(TaskError::Failed(error::invalid(
                "join",
                "the result was taken before",
            ))),
        }
    }

    /// Waits for one operation while the tasks go on, and returns what the operation hands over.
    /// Failures of detached tasks go to [`on_failure`](Scheduler::on_failure), or wait for the next
    /// drive.
    ///
    /// # Errors
    ///
    /// The failure of the operation. If a timeout ends a read early, the error is
    /// [`TimedOut`](std::io::ErrorKind::TimedOut), and the bytes of the read stay in the file. If
    /// the drive ends before the operation, the operation is given up, as if its task was
    /// cancelled. The error is then that of poll(2) ([`TaskError::Poll`]), or it has the kind
    /// `Other` and carries [`TaskError::Stalled`] or [`TaskError::Stopped`].
    ///
    /// # Example
    ///
    /// This shows how ordinary code waits for one operation:
    ///
    /// ```
    /// use asyncfile::{AsyncPipe, Scheduler};
    /// use std::{process::Command, time::Duration};
    ///
    /// let pipe = AsyncPipe::piped(Command::new("echo").arg("hello"))?;
    /// let line = pipe.readline().timeout(Duration::from_secs(60));
    /// assert_eq!(Scheduler::new().block_on(line)?.as_deref(), Some(&b"hello\n"[..]));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn block_on<O: Operation>(&mut self, op: O) -> io::Result<O::Output> {
        let handle = self.spawn(op, |task| done(O::output(task)?));
        let key = handle.id().0;
        let result = self.join(handle);
        if result.is_err() {
            self.reactor.cancel(key); // it lives if it has stalled, was stopped, or poll(2) failed
            self.drop_cancelled(None);
        }
        Ok(result?)
    }

    /// Makes one turn: sleeps at most `timeout` until something can be done, and does it. With None
    /// the sleep has no bound. Returns how many tasks are alive. If none is, the turn only makes
    /// the calls that Remotes have sent, and does not sleep.
    ///
    /// # Errors
    ///
    /// The errors of [`run`](Scheduler::run). [`TaskError::Stalled`] comes only without a timeout,
    /// or with one that never ends.
    ///
    /// # Example
    ///
    /// This shows a program with a loop of its own, such as a game:
    ///
    /// ```
    /// use asyncfile::{done, sleep, Scheduler};
    /// use std::time::Duration;
    ///
    /// let mut sched = Scheduler::new();
    /// sched.spawn(sleep(Duration::from_millis(5)), |task| done(task.ok()?));
    /// let mut frames = 0;
    /// while sched.turn(Some(Duration::ZERO))? > 0 {
    ///     frames += 1;                                        // draw
    /// }
    /// println!("{frames} frames");
    /// # Ok::<(), asyncfile::TaskError>(())
    /// ```
    pub fn turn(&mut self, timeout: Option<Duration>) -> Result<usize, TaskError> {
        let had_failures = self.reactor.has_failures();
        self.begin_drive(false)?;
        // `has_work` is called before `drop_cancelled`, because it looks at the list that
        // `drop_cancelled` empties. A turn that drops a task or reports a failure has done its
        // work, so it must not sleep.
        let has_work = had_failures || self.reactor.has_work();
        self.drop_cancelled(None);
        if !self.reactor.take_stop() {
            let wait = match timeout {
                _ if has_work || self.alive == 0 => Wait::Not,
                None => Wait::Forever,
                Some(Duration::ZERO) => Wait::Not,
                Some(timeout) => match clock::now().after(nanoseconds(timeout)) {
                    Moment::NEVER => Wait::Forever,
                    at => Wait::Until(at),
                },
            };
            self.turn_once(wait)?;
            self.reactor.take_stop();
        }
        self.failure()?;
        Ok(self.alive)
    }

    /// Hands every failure of a detached task to `f` from here on. `f` replaces an earlier closure.
    /// These failures do not come out of a drive any more, so a server can go on after the failure
    /// of one client: see [`run`](Scheduler::run).
    ///
    /// `f` is called at once, before another task is resumed. This is so in every drive, also in
    /// [`join`](Scheduler::join) and [`block_on`](Scheduler::block_on). A failure that was kept
    /// before this call goes to `f` when the next drive begins, or when the scheduler is dropped.
    /// `f` may cancel tasks and drop handles. If that causes a failure, `f` is called with it
    /// later. If `f` panics, the panic comes out of the drive, as a panic of the observer does.
    ///
    /// A failure that belongs to no task does not go to `f`. The drive returns it:
    /// [`TaskError::Poll`], [`TaskError::Stalled`], a panic in a call that a
    /// [`Remote`](crate::Remote) has sent.
    ///
    /// # Example
    ///
    /// This shows how to log the failures:
    ///
    /// ```
    /// use asyncfile::{done, yield_now, Flow, Scheduler};
    ///
    /// let mut log = Vec::new();
    /// let mut sched = Scheduler::new();
    /// sched.on_failure(|id, error| log.push(format!("task {id}: {error}")));
    /// let failing = sched.spawn(yield_now(), |_task| -> Flow {
    ///     Err(std::io::ErrorKind::InvalidData.into())
    /// });
    /// let id = failing.id();
    /// drop(failing);                                      // detached
    /// sched.run()?;
    /// drop(sched);
    /// assert_eq!(log, [format!("task {id}: invalid data")]);
    /// # Ok::<(), asyncfile::TaskError>(())
    /// ```
    pub fn on_failure(&mut self, f: impl FnMut(TaskId, TaskError) + 't) {
        self.on_failure = Some(Box::new(f));
    }

    /// Hands one failure of a task to `on_failure`. Returns false if there is no failure, or no
    /// `on_failure`.
    pub(super) fn tell_failure(&mut self) -> bool {
        let mut on_failure = match self.on_failure.take() {
            Some(on_failure) => on_failure,
            None => return false,
        };
        let next = self.reactor.next_failure(true);
        let is_told = next.is_some();
        if let Some((Some(key), failure)) = next {
            self.guard(None, || on_failure(TaskId(key), failure));
        }
        self.on_failure = Some(on_failure);
        is_told
    }

    /// Begins a drive. The host program ran until now: it may have changed what SIGPIPE does, and
    /// children may have ended.
    pub(super) fn begin_drive(&mut self, holds_failures: bool) -> Result<(), TaskError> {
        sys::sigpipe::forget();
        chore::begin_drive();
        self.holds_failures = holds_failures;
        if self.reactor.has_notes() {
            while self.tell_failure() {} // while a failure is kept, no call is made
        }
        self.make_calls();
        self.failure()
    }

    /// Returns a failure that was kept. A drive that holds failures returns none, and leaves them
    /// to the next drive.
    #[inline]
    pub(super) fn failure(&mut self) -> Result<(), TaskError> {
        if !self.reactor.has_notes() {
            return Ok(());
        }
        while self.tell_failure() {}
        if self.holds_failures {
            return Ok(());
        }
        let next = self.reactor.next_failure(false);
        next.map_or(Ok(()), |(_, failure)| Err(failure))
    }

    /// Whether a descriptor, a deadline or another thread can wake a task that is not hidden.
    #[inline]
    pub(super) fn can_be_woken(&self) -> bool {
        let has_deadlines = self.deadlines.first() != Moment::NEVER;
        (has_deadlines && (self.hidden == 0 || self.has_deadline()))
            || self.reactor.is_watching(false)
            || self.reactor.outside.get() > 0
    }

    /// Whether a task that is not hidden has a deadline. It looks at all tasks.
    #[cold]
    fn has_deadline(&self) -> bool {
        let mut tasks = self.tasks.iter();
        tasks.any(|task| !task.is_hidden && task.deadline.is_armed())
    }

    #[cold]
    pub(super) fn stalled(&self) -> TaskError {
        TaskError::Stalled(format!("{self:?}"))
    }

    /// Makes the calls that were left for the scheduler (see `scheduler/calls`), if there are any.
    #[inline]
    pub(super) fn make_calls(&mut self) {
        if self.calls.has_any() {
            self.calls.set_any(false);
            self.make_all_calls();
        }
    }

    /// Makes all calls in the queue, in their order. A call may itself drive the scheduler. If that
    /// inner drive finds a new call in the queue, it makes all calls in the queue, also the older
    /// ones.
    #[cold]
    fn make_all_calls(&mut self) {
        let holds_failures = self.holds_failures;
        self.report(By::Program, None);
        while !self.must_return() {
            let call = match self.calls.next() {
                Some(call) => call,
                None => return self.calls.set_any(false),
            };
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| call(self))) {
                let failure = TaskError::Panicked(message(payload));
                self.reactor.report(None, failure);
            }
            self.holds_failures = holds_failures;
            self.report(By::Thread, None);
            self.drop_cancelled(None);
        }
        self.calls.set_any(true); // for the next drive
    }
}
