//! Starting children: one command, or several of which each stdout is the next one's stdin.

use std::io;
use std::process::Command;

use super::dropped;
use super::process::ChildProcess;
use super::processes::Processes;
use crate::error::{self, Cause};
use crate::sys::clock;
use crate::sys::process::{Process, Stdin};

/// Starts one command, as it says.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Processes> {
    dropped::reap();
    let child = start(command, None)?;
    Processes::new(vec![child], Some(clock::now()))
}

/// Starts commands, each stdout piped into the next stdin, with pipes at both ends. If one cannot
/// be started, those that were are killed and reaped.
pub(crate) fn pipeline(commands: &mut [&mut Command]) -> io::Result<Processes> {
    dropped::reap();
    let mut started: Vec<Process> = Vec::new();
    for command in commands {
        let stdin = match started.last_mut() {
            None => Stdin::Piped,
            Some(before) => before
                .take(libc::STDOUT_FILENO)
                .map_or(Stdin::Null, Stdin::From),
        };
        match start(command, Some(stdin)) {
            Ok(child) => started.push(child),
            Err(error) => {
                started.into_iter().for_each(kill);
                return Err(error);
            }
        }
    }
    if started.is_empty() {
        return Err(error::invalid("spawn", "a pipeline of no commands"));
    }
    Processes::new(started, Some(clock::now()))
}

fn start(command: &mut Command, stdin: Option<Stdin>) -> io::Result<Process> {
    let started = match stdin {
        None => Process::spawn(command),
        Some(stdin) => Process::piped(command, stdin),
    };
    started.map_err(|error| {
        let name = command.get_program().to_string_lossy().into_owned();
        error::named("spawn", -1, Cause::Named { name, error })
    })
}

/// Ends a child that was started for nothing.
fn kill(process: Process) {
    let child = ChildProcess::new(process, None);
    child.kill_and_wait();
    dropped::leave(std::rc::Rc::new(child)); // one that could not be killed
}
