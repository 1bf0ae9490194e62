//! Starting children: one command, or a pipeline of several.

use std::fs;
use std::io;
use std::process::Command;
use std::rc::Rc;

use super::dropped;
use super::process::ChildProcess;
use super::processes::Processes;
use crate::error::{self, Cause};
use crate::sys::clock;
use crate::sys::process::{Process, Stderr, Stdin};

/// A command's place in its pipeline: its index, and how many there are.
type Stage = (usize, usize);

/// Starts one command. The command itself says where its streams go.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Processes> {
    dropped::reap();
    let child = Process::spawn(command).map_err(|error| failed(command, (0, 1), error))?;
    Processes::new(vec![own(child)], true)
}

/// A child that the library has just started.
fn own(process: Process) -> Rc<ChildProcess> {
    Rc::new(ChildProcess::new(process, Some(clock::now())))
}

/// Starts the commands of a pipeline. The stdout of each one is the stdin of the next one, and both
/// ends of the pipeline are piped. If one command cannot be started, the children before it are
/// killed and reaped.
pub(crate) fn pipeline(commands: &mut [&mut Command], stderr: Stderr) -> io::Result<Processes> {
    dropped::reap();
    let count = commands.len();
    let mut started: Vec<Rc<ChildProcess>> = Vec::with_capacity(count);
    for (index, command) in commands.iter_mut().enumerate() {
        let stdin = match started.last() {
            None => Stdin::Piped,
            Some(before) => before
                .take(libc::STDOUT_FILENO)
                .map_or(Stdin::Null, Stdin::From),
        };
        match Process::piped(command, stdin, stderr) {
            Ok(child) => started.push(own(child)),
            Err(error) => {
                started.into_iter().for_each(kill);
                return Err(failed(command, (index, count), error));
            }
        }
    }
    if started.is_empty() {
        return Err(error::invalid("spawn", "a pipeline of no commands"));
    }
    Processes::new(started, true)
}

/// The error of a command that cannot be started. A missing working directory gives the same error
/// as a missing program, so the directory itself is checked. A `.` is appended to its path, so that
/// the check needs the same permission as chdir(2).
#[cold]
fn failed(command: &Command, stage: Stage, error: io::Error) -> io::Error {
    let mut name = name(command, stage);
    if let Some(directory) = command.get_current_dir() {
        let answer = fs::metadata(directory.join("."));
        let errno = answer.err().and_then(|error| error.raw_os_error());
        if errno.is_some() && errno == error.raw_os_error() {
            name.push_str(", working directory ");
            name.push_str(&directory.to_string_lossy());
        }
    }
    error::named("spawn", -1, Cause::Named { name, error })
}

/// The name of the program. In a pipeline of several commands, the stage is added, counted from 1.
#[cold]
fn name(command: &Command, (index, count): Stage) -> String {
    let name = command.get_program().to_string_lossy();
    match count {
        1 => name.into_owned(),
        _ => format!("{name}, stage {} of {count}", index + 1),
    }
}

/// Ends a child whose pipeline could not be started as a whole.
fn kill(child: Rc<ChildProcess>) {
    child.kill_and_wait();
    dropped::leave(child); // it lives if it could not be killed
}
