//! Ending children, gracefully at first.
//!
//! ```text
//! New      ── SIGTERM and SIGCONT to all ──► Asked
//! New      ── there is no grace: SIGKILL to all ──► Killed
//! Asked    ── the grace is over: SIGKILL to all ──► Killed
//! ```
//!
//! In the states Asked and Killed the operation waits for the exits of all children. A leader that
//! exits in time may leave other processes in its group. A hidden task sends SIGKILL to these
//! processes at the end of the grace.

use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::Duration;

use super::exit_all::ExitWaits;
use super::process::ChildProcess;
use super::processes::Processes;
use crate::error::Cause;
use crate::machine::End;
use crate::op::deadline::OwnDeadline;
use crate::op::operate::{face, Context, Op, Operate, Progress, Value};
use crate::op::sleep::sleep;
use crate::operation::{Operation, Sealed};
use crate::scheduler::Calls;
use crate::sys::clock::{nanoseconds, Moment};
use crate::task::{done, Task};

/// Ends all children: see [`AsyncPipe::stop`](crate::AsyncPipe::stop).
#[must_use = "an operation does nothing until a task waits for it"]
pub struct Stop {
    processes: Rc<Processes>,
    grace: Duration,
    state: State,
    /// When the grace is over, and SIGKILL is sent.
    kill_at: Moment,
    waits: ExitWaits,
    deadline: OwnDeadline,
}

/// How far a stop has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// No signal was sent.
    New,
    /// SIGTERM and SIGCONT were sent.
    Asked,
    /// SIGKILL was sent.
    Killed,
}

/// A child that leads a process group. The child is not reaped while this `Leader` lives, so no
/// other group can get the number of its group.
struct Leader(Rc<ChildProcess>);

impl Stop {
    pub(crate) fn new(processes: &Rc<Processes>, grace: Duration) -> Stop {
        Stop {
            processes: Rc::clone(processes),
            grace,
            state: State::New,
            kill_at: Moment::NEVER,
            waits: ExitWaits::new(processes),
            deadline: OwnDeadline::NEVER,
        }
    }

    /// The longest time that the operation may take, counted from when it first has to wait. After
    /// that it fails with [`io::ErrorKind::TimedOut`]. If the timeout comes before the end of the
    /// grace, no SIGKILL is sent.
    pub fn timeout(mut self, after: Duration) -> Stop {
        self.deadline.timeout.set_after(after);
        self
    }

    fn go_on(&mut self, cx: &Context<'_>) -> Result<Progress, Cause> {
        if self.state == State::New {
            self.begin(cx)?;
        }
        let is_cut = self.deadline.has_come(cx) && self.deadline.at() < self.kill_at;
        if self.state == State::Asked && !is_cut && cx.reactor.now() >= self.kill_at {
            self.state = State::Killed;
            self.processes.signal_all(libc::SIGKILL)?;
        }
        match self.waits.advance(&self.processes, cx)? {
            None => {
                if self.state == State::Asked {
                    self.leave_groups(cx);
                }
                let status = self.processes.status()?;
                let status = status.expect("all have ended");
                Ok(Progress::complete(Value::Exit(status)))
            }
            Some(_) if self.deadline.has_come(cx) => {
                let cause = self.deadline.timeout.cause(0, "");
                Ok(Progress::failed(End::TimedOut, "stop", -1, cause))
            }
            Some(ask_again) => {
                let next = match self.state {
                    State::Asked => ask_again.min(self.kill_at),
                    State::New | State::Killed => ask_again,
                };
                Ok(Progress::Blocked(next.min(self.deadline.begin(cx))))
            }
        }
    }

    fn begin(&mut self, cx: &Context<'_>) -> Result<(), Cause> {
        if self.grace.is_zero() {
            self.state = State::Killed;
            return self.processes.signal_all(libc::SIGKILL);
        }
        self.state = State::Asked;
        self.kill_at = cx.reactor.now().after(nanoseconds(self.grace));
        // A child that is stopped does not act on SIGTERM before SIGCONT.
        self.processes.signal_all(libc::SIGTERM)?;
        self.processes.signal_all(libc::SIGCONT)
    }

    /// Leaves the groups of the children, which have all exited within the grace, to a hidden task.
    /// When the grace is over, this task sends SIGKILL to the processes that are left in the
    /// groups.
    fn leave_groups(&self, cx: &Context<'_>) {
        let children = self.processes.children().iter();
        let leaders = children.filter(|child| child.leads_group() && child.signal_group(0).is_ok());
        let leaders: Vec<Leader> = leaders.map(Leader::new).collect();
        let calls = match Calls::of(cx.reactor) {
            Some(calls) if !leaders.is_empty() && self.kill_at != Moment::NEVER => calls,
            _ => return,
        };
        let kill_at = self.kill_at;
        calls.leave(move |scheduler| {
            let left = kill_at.since(scheduler.reactor.now());
            scheduler.spawn_hidden(sleep(left), move |_| {
                for leader in &leaders {
                    let _ = leader.0.signal_group(libc::SIGKILL); // nobody is there to be told
                }
                done(())
            });
        });
    }
}

impl Leader {
    fn new(child: &Rc<ChildProcess>) -> Leader {
        child.hold();
        Leader(Rc::clone(child))
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

impl Stop {
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stop of {:?}", self.processes.children())
    }
}

face!(Stop, op => Op::other(op), op.deadline.timeout);

impl Operate for Stop {
    fn advance(&mut self, cx: &Context<'_>) -> Progress {
        let failed = |cause| Progress::failed(End::Failed, "stop", -1, cause);
        let progress = self.go_on(cx).unwrap_or_else(failed);
        if let Progress::Ended(..) = progress {
            self.leave();
        }
        progress
    }

    fn leave(&mut self) {
        self.waits.leave(&self.processes);
    }

    fn restart(&mut self) -> bool {
        false
    }

    fn name(&self) -> &'static str {
        "stop"
    }

    fn state(&self) -> &'static str {
        match self.state {
            State::New => "New",
            State::Asked => "Asked",
            State::Killed => "Killed",
        }
    }

    fn accessors(&self) -> &'static [&'static str] {
        &["exit()"]
    }

    fn can_be_put_back(&self) -> bool {
        false
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Stop::describe(self, f)
    }

    #[cfg(any(test, fuzzing))]
    fn is_waiting(&self, at: &crate::op::operate::Standing<'_>) -> bool {
        self.processes.are_awaited(at)
    }
}

impl Sealed for Stop {}

impl Operation for Stop {
    type Output = ExitStatus;
    fn output(task: &mut Task<'_, '_>) -> io::Result<ExitStatus> {
        task.exit()
    }
}
