//! Children: programs that are started, exit, and are reaped.

use std::io;
use std::os::unix::io::RawFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use libc::{c_int, c_short};

use super::actor::{Act, Actor};
use super::table::Object;
use super::{errno, with, Kernel};
use crate::sys::Owned;

/// The program that a command's name stands for.
#[derive(Clone, Debug)]
pub struct Program {
    /// The acts of the program. Its ends 0, 1 and 2 are stdin, stdout and stderr.
    pub acts: Vec<Act>,
    /// Whether the program's stderr is piped. If it is not, its output there is lost.
    pub stderr: bool,
    /// Whether the program leads a process group. A process that it leaves behind ([`Act::Leave`])
    /// is in that group.
    pub group: bool,
}

/// The first child's number. It is greater than every number of the real kernel (PID_MAX_LIMIT), so
/// no signal reaches a real process.
const FIRST: u32 = 100_000_000;

/// waitpid(2) says at most this often that a child still runs although it has exited.
const MOST_NOT_YETS: u8 = 3;

/// After a sleep has begun, no child is killed later than this.
const HOUR: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(super) struct Child {
    state: State,
    leads_group: bool,
    not_yets: u8,
    /// The status with which the child has exited, and when.
    exit: Option<(c_int, Duration)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    /// The child has exited with this status, and was not reaped.
    Zombie(c_int),
    Reaped,
}

/// A child as the library holds it. It takes the place of std's `Child`.
#[derive(Debug)]
pub(crate) struct Handle {
    /// The kernel that has started the child. In any other kernel the child does not exist.
    kernel: u64,
    pub id: u32,
    /// The parent's ends of stdin, stdout and stderr.
    pub streams: [Option<Owned>; 3],
}

impl Handle {
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.with(|kernel, id| kernel.wait(id, false))
    }

    pub fn peek(&self) -> io::Result<Option<ExitStatus>> {
        self.with(Kernel::peek)
    }

    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.with(|kernel, id| kernel.wait(id, true))?;
        Ok(status.expect("it has exited"))
    }

    fn with<R>(&self, call: impl FnOnce(&mut Kernel, u32) -> io::Result<R>) -> io::Result<R> {
        let answer = with(|kernel| {
            if kernel.id == self.kernel {
                Some(call(kernel, self.id))
            } else {
                None
            }
        });
        answer.flatten().unwrap_or_else(|| Err(errno(libc::ECHILD)))
    }
}

/// Whether this number is a simulated child's.
pub(super) fn is_simulated(process: u32) -> bool {
    process >= FIRST
}

impl Kernel {
    /// The library's end of a pipe that it made for a child.
    fn own_end(&mut self, id: super::Id) -> Owned {
        self.descriptions[id].is_own = true;
        self.own(id)
    }

    /// Starts the program of this name. `stdin` is the number of the descriptor that it reads; None
    /// stands for a new pipe, and `Some(None)` for the null device. With `is_merged` its stderr
    /// goes into stdout's pipe.
    pub(super) fn spawn(
        &mut self,
        name: &str,
        stdin: Option<Option<RawFd>>,
        is_merged: bool,
    ) -> io::Result<Handle> {
        self.enter();
        let faults = &self.faults;
        let errors = [
            (faults.spawn_emfile, "spawn EMFILE", libc::EMFILE),
            (faults.spawn_eagain, "spawn EAGAIN", libc::EAGAIN),
            (faults.spawn_enomem, "spawn ENOMEM", libc::ENOMEM),
        ];
        let fault = self.first_hit(&errors);
        let program = self.programs.get(name).cloned();
        let (program, fault) = match (program, fault) {
            (Some(program), None) => (program, None),
            (None, _) => return self.refuse(name, errno(libc::ENOENT)),
            (Some(program), fault) => (program, fault),
        };
        if let Some(error) = fault {
            return self.refuse(name, error);
        }
        let capacity = self.pipe_capacity;
        let (input, stdin) = match stdin {
            Some(None) => (self.describe(Object::Null, libc::O_RDWR), None),
            Some(Some(fd)) => (self.open(fd)?, None),
            None => {
                let (reader, writer) = self.describe_pipe(capacity);
                (reader, Some(self.own_end(writer)))
            }
        };
        let (stdout, output) = self.describe_pipe(capacity);
        let stdout = self.own_end(stdout);
        let (stderr, errors) = if is_merged {
            (None, output)
        } else if program.stderr {
            let (stderr, errors) = self.describe_pipe(capacity);
            (Some(self.own_end(stderr)), errors)
        } else {
            (None, self.describe(Object::Null, libc::O_RDWR))
        };
        let id = FIRST + self.children.len() as u32;
        self.children.push(Child {
            state: State::Running,
            leads_group: program.group,
            not_yets: 0,
            exit: None,
        });
        self.add_actor(
            program.acts,
            vec![Some(input), Some(output), Some(errors)],
            Some(id),
            program.group.then_some(id),
        );
        self.note(|| format!("spawn({name}) = {id}"));
        Ok(Handle {
            kernel: self.id,
            id,
            streams: [stdin, Some(stdout), stderr],
        })
    }

    fn refuse(&mut self, name: &str, error: io::Error) -> io::Result<Handle> {
        self.note(|| format!("spawn({name}) = {error}"));
        Err(error)
    }

    fn own(&mut self, id: usize) -> Owned {
        Owned::from(crate::sys::owned(self.number(id)))
    }

    fn child(&mut self, process: u32) -> io::Result<&mut Child> {
        let place = process.checked_sub(FIRST).map(|place| place as usize);
        let child = place.and_then(|place| self.children.get_mut(place));
        child.ok_or_else(|| errno(libc::ESRCH))
    }

    /// The child exits with this status.
    pub(super) fn exit_child(&mut self, process: u32, status: c_int) {
        self.is_stirred = true;
        let time = self.time;
        let child = self.child(process).expect("an actor that is a child");
        child.state = State::Zombie(status);
        child.exit = Some((status, time));
    }

    fn wait(&mut self, process: u32, may_wait: bool) -> io::Result<Option<ExitStatus>> {
        self.enter();
        let answer = self.reap(process, may_wait);
        self.note(|| format!("waitpid({process}) = {answer:?}"));
        answer
    }

    /// waitid(2) with WNOWAIT.
    fn peek(&mut self, process: u32) -> io::Result<Option<ExitStatus>> {
        self.enter();
        let answer = match self.child(process) {
            Ok(child) => match child.state {
                State::Running => Ok(None),
                State::Zombie(status) => {
                    child.not_yets = MOST_NOT_YETS; // an exit that was seen stays
                    Ok(Some(ExitStatus::from_raw(status)))
                }
                State::Reaped => Err(errno(libc::ECHILD)),
            },
            Err(_) => Err(errno(libc::ECHILD)),
        };
        self.note(|| format!("waitid({process}, WNOWAIT) = {answer:?}"));
        answer
    }

    fn reap(&mut self, process: u32, may_wait: bool) -> io::Result<Option<ExitStatus>> {
        let (state, not_yets) = match self.child(process) {
            Ok(child) => (child.state, child.not_yets),
            Err(_) => return Err(errno(libc::ECHILD)),
        };
        match state {
            State::Running if may_wait => {
                panic!("the library would block in waitpid of child {process}")
            }
            State::Running => return Ok(None),
            State::Reaped => return Err(errno(libc::ECHILD)),
            State::Zombie(_) => {}
        }
        if !may_wait
            && not_yets < MOST_NOT_YETS
            && self.hit(self.faults.wait_not_yet, "waitpid not yet")
        {
            self.child(process)?.not_yets += 1;
            return Ok(None);
        }
        if self.hit(self.faults.wait_eperm, "waitpid EPERM") {
            return Err(errno(libc::EPERM));
        }
        let is_stolen = self.hit(self.faults.wait_echild, "waitpid ECHILD");
        let child = self.child(process)?;
        match std::mem::replace(&mut child.state, State::Reaped) {
            State::Zombie(status) if !is_stolen => Ok(Some(ExitStatus::from_raw(status))),
            _ => Err(errno(libc::ECHILD)),
        }
    }

    pub(super) fn kill(&mut self, process: u32, signal: c_int) -> io::Result<()> {
        self.enter();
        self.note(|| format!("kill({process}, {signal})"));
        match self.child(process)?.state {
            State::Reaped => panic!(
                "a signal to process {process}, which was reaped: it may be somebody else by then"
            ),
            State::Running | State::Zombie(_) => {}
        }
        self.signal(signal, |actor| actor.child == Some(process))
    }

    pub(super) fn kill_group(&mut self, leader: u32, signal: c_int) -> io::Result<()> {
        self.enter();
        self.note(|| format!("kill(-{leader}, {signal})"));
        let child = self.child(leader)?;
        assert!(
            child.leads_group,
            "a signal to a group that {leader} does not lead"
        );
        assert!(
            child.state != State::Reaped,
            "a signal to the group of {leader}, which was reaped: it may be another one by then"
        );
        self.signal(signal, |actor| actor.group == Some(leader))
    }

    pub(super) fn leads_group(&mut self, process: u32) -> bool {
        self.calls += 1; // it decides nothing
        let leads = self.child(process).map_or(false, |child| child.leads_group);
        self.note(|| format!("getpgid({process}): leads = {leads}"));
        leads
    }

    /// Sends a signal to the actors for which `is_meant` is true.
    fn signal(&mut self, signal: c_int, is_meant: impl Fn(&Actor) -> bool) -> io::Result<()> {
        if !(0..=64).contains(&signal) {
            return Err(errno(libc::EINVAL));
        }
        if self.hit(self.faults.kill_eperm, "kill EPERM") {
            return Err(errno(libc::EPERM));
        }
        match signal {
            0 | libc::SIGCHLD | libc::SIGURG | libc::SIGWINCH => {}
            libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => {
                self.stop(true, is_meant)
            }
            libc::SIGCONT => self.stop(false, is_meant),
            libc::SIGTERM => self.end_those(signal, |actor| !actor.ignores_term && is_meant(actor)),
            signal => self.end_those(signal, is_meant),
        }
        Ok(())
    }

    fn stop(&mut self, is_stopped: bool, is_meant: impl Fn(&Actor) -> bool) {
        self.is_stirred = true;
        let meant = self.actors.iter_mut().filter(|actor| is_meant(actor));
        meant.for_each(|actor| actor.is_stopped = is_stopped);
    }

    /// Kills one of the running children, after a part of the time `within`. Returns whether it has
    /// killed one.
    pub(super) fn kill_somebody(&mut self, within: Duration) -> bool {
        if self.faults.child_killed == 0 || self.children().0 == 0 {
            return false;
        }
        if !self.hit(self.faults.child_killed, "child killed") {
            return false;
        }
        let parts = self.choose(256);
        self.time += within.min(HOUR) * parts / 256;
        let living = (FIRST..)
            .zip(&self.children)
            .filter(|(_, child)| child.state == State::Running);
        let living: Vec<u32> = living.map(|(process, _)| process).collect();
        let process = living[self.choose(living.len() as u32) as usize];
        let signals = [libc::SIGKILL, libc::SIGTERM, libc::SIGSEGV, libc::SIGHUP];
        let signal = signals[self.choose(signals.len() as u32) as usize];
        self.note(|| format!("somebody kills {process} with {signal}"));
        self.end_those(signal, |actor| actor.child == Some(process));
        true
    }

    pub(super) fn pidfd(&mut self, process: u32) -> io::Result<RawFd> {
        self.enter();
        let answer = self.open_pidfd(process);
        self.note(|| format!("pidfd_open({process}) = {answer:?}"));
        answer
    }

    fn open_pidfd(&mut self, process: u32) -> io::Result<RawFd> {
        let faults = &self.faults;
        let errors = [
            (faults.pidfd_enosys, "pidfd_open ENOSYS", libc::ENOSYS),
            (faults.pidfd_eperm, "pidfd_open EPERM", libc::EPERM),
            (faults.pidfd_emfile, "pidfd_open EMFILE", libc::EMFILE),
            (faults.pidfd_enfile, "pidfd_open ENFILE", libc::ENFILE),
            (faults.pidfd_enomem, "pidfd_open ENOMEM", libc::ENOMEM),
        ];
        if let Some(error) = self.first_hit(&errors) {
            return Err(error);
        }
        if self.child(process)?.state == State::Reaped {
            return Err(errno(libc::ESRCH));
        }
        let id = self.describe(Object::Pidfd(process), libc::O_RDWR);
        Ok(self.number(id))
    }

    /// The events of a pidfd, as in Linux's pidfd_poll.
    pub(super) fn pidfd_truth(&self, process: u32) -> c_short {
        match self.children[(process - FIRST) as usize].state {
            State::Running => 0,
            State::Zombie(_) => libc::POLLIN,
            State::Reaped => libc::POLLIN | libc::POLLHUP,
        }
    }

    /// The status with which a child has exited, and when. None if it runs.
    pub fn exit_of(&self, process: u32) -> Option<(ExitStatus, Duration)> {
        let child = self.children.get(process.checked_sub(FIRST)? as usize)?;
        child
            .exit
            .map(|(status, at)| (ExitStatus::from_raw(status), at))
    }

    /// How many of the process's numbers are pidfds.
    pub fn pidfds(&self) -> usize {
        let open = self.numbers.iter().flatten();
        open.filter(|id| matches!(self.descriptions[**id].object, Object::Pidfd(_)))
            .count()
    }

    /// How many children run, and how many have exited and were not reaped.
    pub fn children(&self) -> (usize, usize) {
        let count = |is: fn(&State) -> bool| {
            self.children
                .iter()
                .filter(|child| is(&child.state))
                .count()
        };
        (
            count(|state| *state == State::Running),
            count(|state| matches!(state, State::Zombie(_))),
        )
    }
}
