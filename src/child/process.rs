//! A child process: noticing its end without blocking and without a thread, and reaping it.
//!
//! Where the kernel has pidfds (Linux 5.3), the end is an event in the poll set. Elsewhere, and
//! when descriptors have run out, waitpid(2) is asked again after pauses
//! ([`machine::exit`](crate::machine::exit)).

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::unix::io::RawFd;
use std::process::ExitStatus;
use std::rc::Rc;

use libc::{c_short, POLLIN, POLLNVAL};

use super::waiters::Waiters;
use crate::error::Cause;
use crate::reactor::{Reactor, Watch};
use crate::sys::clock::{self, Moment};
use crate::sys::process::{self, Process};
use crate::sys::Owned;
use crate::task_table::Key;
use crate::wait_list::Ticket;

/// What the library knows of a child's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Running,
    Exited(ExitStatus),
    /// Something else has reaped the child: a waitpid(2) of the host program, or the kernel,
    /// because SIGCHLD is ignored.
    Unknown,
}

/// A child process that is ours to reap.
pub(crate) struct ChildProcess {
    id: u32,
    pub(super) process: RefCell<Process>,
    /// When the child was started. None if the host program has started it.
    began: Option<Moment>,
    status: Cell<Status>,
    /// When the child's end was noticed.
    ended_at: Cell<Moment>,
    notice: RefCell<Notice>,
    pub(super) waiters: RefCell<Waiters>,
    /// Whether the list of dropped children has the child.
    pub is_dropped: Cell<bool>,
    /// Whether the child leads a process group. A leader's process id is also the id of its group.
    /// The leader is not reaped while it has holders, so the kernel cannot give the id to another
    /// group.
    leads_group: bool,
    holders: Cell<usize>,
    /// Whether the child was reaped. The kernel does not know a reaped child any more.
    is_reaped: Cell<bool>,
}

/// How the library learns of the child's end. A pidfd is kept from the first wait to the child's
/// end, so a task that waits for one of many exits again and again opens each pidfd once.
enum Notice {
    /// No pidfd was opened, or none could be.
    None,
    /// A pidfd that is in no poll set.
    Pidfd(Owned),
    /// A pidfd in the poll set of this reactor.
    Watched(Owned, Rc<Reactor>),
    /// The pidfd was ready, and waitpid(2) is to be asked.
    Ready,
}

/// For this many nanoseconds after a child's start, no other process can have its number, even if
/// the child was reaped. The kernel gives all other numbers first.
const FRESH: u64 = 1_000_000_000;

impl ChildProcess {
    /// `began` is when the child was started, or None if the host program has started it.
    pub fn new(process: Process, began: Option<Moment>) -> ChildProcess {
        let id = process.id();
        ChildProcess {
            id,
            process: RefCell::new(process),
            began,
            status: Cell::new(Status::Running),
            ended_at: Cell::new(Moment::NEVER),
            notice: RefCell::new(Notice::None),
            waiters: RefCell::new(Waiters::new()),
            is_dropped: Cell::new(false),
            leads_group: process::leads_group(id),
            holders: Cell::new(1),
            is_reaped: Cell::new(false),
        }
    }

    pub fn id(&self) -> u32 {
        self.id
    }

    /// Takes the parent's end of the child's stdin, stdout or stderr: see [`Process::take`].
    pub fn take(&self, stream: RawFd) -> Option<Owned> {
        self.process.borrow_mut().take(stream)
    }

    /// The status as far as the library knows it, without a system call.
    pub fn status(&self) -> Status {
        self.status.get()
    }

    /// When the child's end was noticed. NEVER while it runs.
    pub fn ended_at(&self) -> Moment {
        self.ended_at.get()
    }

    /// Asks the kernel whether the child has ended, unless its end is known already. waitpid(2)
    /// also reaps a child that has ended. For a leader that must not be reaped yet, waitid(2) is
    /// called instead, which reaps nothing.
    pub fn try_wait(&self) -> io::Result<Status> {
        if self.status.get() == Status::Running {
            let answer = match self.is_held() {
                true => self.peek(),
                false => self.reap(),
            };
            match answer {
                Ok(None) => {}
                Ok(Some(status)) => self.has_ended(Status::Exited(status)),
                Err(error) if error.raw_os_error() == Some(libc::ECHILD) => {
                    self.has_ended(Status::Unknown)
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.status.get())
    }

    /// Calls waitpid(2). After it has returned a status or ECHILD, the kernel does not know the
    /// child any more.
    fn reap(&self) -> io::Result<Option<ExitStatus>> {
        let answer = self.process.borrow_mut().try_wait();
        let is_reaped = match &answer {
            Ok(status) => status.is_some(),
            Err(error) => error.raw_os_error() == Some(libc::ECHILD),
        };
        self.is_reaped.set(is_reaped);
        answer
    }

    /// Calls waitid(2), which does not reap the child. A sandbox may refuse it; then waitpid(2) is
    /// called.
    fn peek(&self) -> io::Result<Option<ExitStatus>> {
        let answer = self.process.borrow().peek();
        match answer {
            Err(error) if error.raw_os_error() != Some(libc::ECHILD) => {
                let status = self.reap()?;
                if let (Some(status), Status::Running) = (status, self.status.get()) {
                    self.has_ended(Status::Exited(status));
                }
                Ok(status)
            }
            answer => answer,
        }
    }

    /// Whether this child leads a group, and must not be reaped yet.
    fn is_held(&self) -> bool {
        self.leads_group && self.holders.get() > 0
    }

    /// Counts one more holder of a leader.
    pub fn hold(&self) {
        self.holders.set(self.holders.get() + 1);
    }

    /// Counts one holder less. Without a holder, a leader of a process group is reaped like any
    /// other child: here, if it has ended.
    pub fn let_go(&self) {
        self.holders.set(self.holders.get() - 1);
        self.is_over();
    }

    pub fn leads_group(&self) -> bool {
        self.leads_group
    }

    /// Reaps the child if it has ended and may be reaped. Returns true if the kernel does not know
    /// the child any more: then nothing is left to do about it. In a fork of its parent waitpid(2)
    /// says ECHILD, so this reaps nothing. Where a sandbox refuses waitpid(2) (EPERM), this returns
    /// false, and the caller checks the child again.
    pub fn is_over(&self) -> bool {
        let is_running = !matches!(self.try_wait(), Ok(Status::Exited(_) | Status::Unknown));
        if !is_running && !self.is_reaped.get() && !self.is_held() {
            let _ = self.reap(); // the end of a leader that was held
        }
        self.is_reaped.get()
    }

    /// Makes the task wait for the child's end. Returns true if that end is known, or if that end
    /// will wake the task. Returns false if the task must ask again.
    pub fn wait_for(
        self: &Rc<Self>,
        ticket: &mut Ticket,
        at: (&Rc<Reactor>, Key),
    ) -> io::Result<bool> {
        if self.status() != Status::Running {
            return Ok(true);
        }
        let is_alone = self.waiters.borrow_mut().enter(ticket, at);
        if is_alone && self.watch(at.0) {
            return Ok(true);
        }
        Ok(self.try_wait()? != Status::Running)
    }

    /// Ends the task's wait. Idempotent.
    pub fn leave(&self, ticket: &mut Ticket) {
        let mut waiters = self.waiters.borrow_mut();
        waiters.leave(ticket);
        if waiters.front().is_none() && !self.is_dropped.get() {
            self.unwatch();
        }
    }

    /// Puts the child's pidfd into this reactor's poll set. False if that is not possible, or if
    /// the child's end is known by now.
    pub fn watch(self: &Rc<Self>, reactor: &Rc<Reactor>) -> bool {
        if self.is_watched_by(reactor) {
            return true;
        }
        self.unwatch();
        let pidfd = match self.notice.replace(Notice::None) {
            Notice::Pidfd(pidfd) => Some(pidfd),
            Notice::None => self.open(),
            notice => {
                self.notice.replace(notice);
                None
            }
        };
        let pidfd = match pidfd {
            Some(pidfd) => pidfd,
            None => return false,
        };
        let fd = pidfd.number();
        self.notice
            .replace(Notice::Watched(pidfd, Rc::clone(reactor)));
        reactor.watch(fd, POLLIN, Rc::clone(self) as Rc<dyn Watch>);
        true
    }

    /// Opens a pidfd. If another process may have the child's process id by now, waitpid(2) is
    /// asked first whether the child still runs.
    fn open(&self) -> Option<Owned> {
        let began = self.began.unwrap_or(Moment::ZERO);
        let is_fresh = clock::now() < began.after(FRESH);
        if is_fresh || matches!(self.try_wait(), Ok(Status::Running)) {
            return process::pidfd(self.id).ok();
        }
        None
    }

    /// Whether the pidfd is in the poll set of a scheduler that is alive.
    pub fn is_watched(&self) -> bool {
        match &*self.notice.borrow() {
            Notice::Watched(_, reactor) => !reactor.is_closed(),
            _ => false,
        }
    }

    fn is_watched_by(&self, reactor: &Rc<Reactor>) -> bool {
        match &*self.notice.borrow() {
            Notice::Watched(_, ours) => Rc::ptr_eq(ours, reactor),
            _ => false,
        }
    }

    /// Takes the pidfd out of the poll set, and keeps it open.
    pub fn unwatch(&self) {
        let notice = self.notice.replace(Notice::None);
        let pidfd = match notice {
            Notice::Watched(pidfd, reactor) => {
                reactor.unwatch(pidfd.number());
                Notice::Pidfd(pidfd)
            }
            other => other,
        };
        self.notice.replace(pidfd);
    }

    fn has_ended(&self, status: Status) {
        self.status.set(status);
        self.ended_at.set(clock::now());
        self.unwatch();
        self.notice.replace(Notice::None);
        self.waiters.borrow().wake_all();
    }

    /// Sends the child a signal. It sends none if the child's end is known, because the number may
    /// be another process's then.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        match self.try_wait()? {
            Status::Running => process::kill(self.id, signal),
            Status::Exited(_) | Status::Unknown => Ok(()),
        }
    }

    /// Sends a signal to the group that the child leads, even after the child's end. The leader is
    /// checked first. If something else has reaped it, its number may be another group's, and no
    /// signal is sent.
    pub fn signal_group(&self, signal: i32) -> Result<(), Cause> {
        let answer = self.peek();
        let named = |error| Cause::Named {
            name: format!("group of child {}", self.id),
            error,
        };
        match answer {
            Ok(status) if !self.is_reaped.get() => match process::kill_group(self.id, signal) {
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()), // all have ended
                // Darwin says EPERM if only the leader's zombie is left in the group.
                Err(error)
                    if cfg!(any(target_os = "macos", target_os = "ios"))
                        && status.is_some()
                        && error.raw_os_error() == Some(libc::EPERM) =>
                {
                    Ok(())
                }
                answer => answer.map_err(named),
            },
            Err(error) if error.raw_os_error() != Some(libc::ECHILD) => Err(named(error)),
            _ => {
                self.try_wait().map_err(named)?;
                let text = "the leader is reaped: its number may be another group's, and nothing \
                            is sent";
                Err(Cause::Says(io::ErrorKind::Other, text))
            }
        }
    }

    /// Sends a signal to the group that the child leads, or to the child alone if it leads none.
    pub fn signal_all(&self, signal: i32) -> Result<(), Cause> {
        if self.leads_group {
            let answer = self.signal_group(signal);
            // The leader's end is known and the leader was reaped. Its number may be another
            // group's, so nothing was sent. That is no error here, because the child has ended.
            let is_over = self.is_reaped.get() && matches!(self.status.get(), Status::Exited(_));
            return if is_over { Ok(()) } else { answer };
        }
        self.signal(signal).map_err(|error| self.cause(error))
    }

    /// Kills the child, waits for its end and reaps it. This is done to a child whose pipeline
    /// could not be started as a whole.
    pub fn kill_and_wait(&self) {
        if self.signal(libc::SIGKILL).is_ok() && self.status() == Status::Running {
            let answer = self.process.borrow_mut().wait();
            match answer {
                Ok(status) => {
                    self.is_reaped.set(true);
                    self.has_ended(Status::Exited(status));
                }
                Err(_) => drop(self.is_over()), // after ECHILD there is nothing to reap
            }
        }
    }

    /// The process itself, for another thread.
    pub fn into_process(self) -> Process {
        self.process.into_inner()
    }
}

impl Watch for ChildProcess {
    fn on_ready(self: Rc<Self>, revents: c_short) {
        if let Notice::Watched(pidfd, _) = self.notice.replace(Notice::Ready) {
            if revents & POLLNVAL != 0 {
                pidfd.into_number(); // it was closed behind the library's back
                self.notice.replace(Notice::None);
            }
        }
        if self.is_hidden() {
            self.is_over(); // nothing waits for it but the list of dropped children
        } else {
            self.waiters.borrow().wake_all();
        }
    }

    fn on_lost(self: Rc<Self>) {
        if let Notice::Watched(pidfd, _) = self.notice.replace(Notice::None) {
            pidfd.into_number(); // it is another file's by now
        }
        self.waiters.borrow().wake_all();
    }

    fn is_hidden(&self) -> bool {
        self.waiters.borrow().front().is_none()
    }
}

impl fmt::Debug for ChildProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "child {}", self.id)
    }
}
