//! The children of a pipe, and the three streams at its ends: what an AsyncPipe and its operations
//! share.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io;
use std::process::ExitStatus;
use std::rc::Rc;

use libc::{STDERR_FILENO, STDIN_FILENO, STDOUT_FILENO};

use super::dropped;
use super::process::{ChildProcess, Status};
use crate::descriptor::{Descriptor, Stream};
use crate::error::{self, Cause};
use crate::file::AsyncFile;
use crate::port::{Direction, Port};
use crate::sys::Owned;

/// The children and the streams of a pipe: see the head of this file.
pub(crate) struct Processes {
    /// The first child's stdin.
    pub stdin: AsyncFile,
    /// The last child's stdout.
    pub stdout: AsyncFile,
    /// The last child's stderr.
    pub stderr: AsyncFile,
    /// The children, in the order of the pipeline. The list is never empty.
    children: Vec<Rc<ChildProcess>>,
    /// The conversation, which outlives a `communicate`. None before the first `communicate`. The
    /// type of the conversation is not named here, so a program that never communicates does not
    /// link it.
    pub conversation: RefCell<Option<Rc<dyn Any>>>,
    /// The number of the process in which the drop of the last handle kills the children. In a fork
    /// of that process the drop kills nothing. The number is 0 if the drop never kills.
    killer: Cell<u32>,
}

impl ChildProcess {
    /// The cause of an error that concerns this child.
    #[cold]
    pub fn cause(&self, error: io::Error) -> Cause {
        Cause::Named {
            name: format!("of child {}", self.id()),
            error,
        }
    }
}

impl Processes {
    /// Takes over the streams that were piped. `is_own` says that the library has started the
    /// children. For such children this cannot fail, because only the library has their pipes. If
    /// it fails for children of the host program, those children live on without an AsyncPipe.
    pub fn new(children: Vec<Rc<ChildProcess>>, is_own: bool) -> io::Result<Processes> {
        let end = |child: Option<&Rc<ChildProcess>>, stream| child.and_then(|c| c.take(stream));
        let stdin = end(children.first(), STDIN_FILENO);
        let stdout = end(children.last(), STDOUT_FILENO);
        let stderr = end(children.last(), STDERR_FILENO);
        // A stream that lies between two children and was not handed on is closed, because nobody
        // reads or writes it.
        for child in &children {
            drop((child.take(STDIN_FILENO), child.take(STDOUT_FILENO)));
        }
        let streams = || -> io::Result<_> {
            Ok([
                stream(Stream::Stdin, stdin, is_own)?,
                stream(Stream::Stdout, stdout, is_own)?,
                stream(Stream::Stderr, stderr, is_own)?,
            ])
        };
        match streams() {
            Ok([stdin, stdout, stderr]) => Ok(Processes {
                stdin,
                stdout,
                stderr,
                children,
                conversation: RefCell::default(),
                killer: Cell::new(0),
            }),
            Err(error) => {
                children.into_iter().for_each(dropped::leave);
                Err(error)
            }
        }
    }

    /// The streams, in the order stdin, stdout, stderr.
    pub fn streams(&self) -> [&Rc<Descriptor>; 3] {
        [&self.stdin, &self.stdout, &self.stderr].map(AsyncFile::descriptor)
    }

    pub fn children(&self) -> &[Rc<ChildProcess>] {
        &self.children
    }

    /// The last child. Its end is the end of the pipeline.
    pub fn last(&self) -> &Rc<ChildProcess> {
        self.children.last().expect("a chain is never empty")
    }

    /// The last child's status, if it has ended.
    pub fn status(&self) -> Result<Option<ExitStatus>, Cause> {
        match self.last().status() {
            Status::Running => Ok(None),
            Status::Exited(status) => Ok(Some(status)),
            Status::Unknown => Err(Cause::Reaped {
                child: self.last().id(),
                stage: 0,
            }),
        }
    }

    /// The statuses of children that have all ended.
    pub fn exits(&self) -> Result<Box<[ExitStatus]>, Cause> {
        let exit = |(index, child): (usize, &Rc<ChildProcess>)| match child.status() {
            Status::Exited(status) => Ok(status),
            Status::Unknown => Err(Cause::Reaped {
                child: child.id(),
                stage: index + 1,
            }),
            Status::Running => unreachable!("all have ended"),
        };
        self.children.iter().enumerate().map(exit).collect()
    }

    /// Makes the drop of the last handle kill the living children, and the groups that children
    /// lead.
    pub fn kill_on_drop(&self) {
        self.killer.set(std::process::id());
    }

    /// Sends a signal to the groups that children lead. All are tried, and the first failure is
    /// returned.
    pub fn signal_groups(&self, signal: i32) -> Result<(), Cause> {
        let mut answer = Err(Cause::Says(
            io::ErrorKind::InvalidInput,
            "no child leads a process group: Command::process_group(0) makes one",
        ));
        let leaders = self.children.iter().filter(|child| child.leads_group());
        for (index, leader) in leaders.enumerate() {
            let sent = leader.signal_group(signal);
            answer = if index == 0 { sent } else { answer.and(sent) };
        }
        answer
    }

    /// Sends a signal to every child, and to its group if it leads one. All are tried, and the
    /// first failure is returned.
    pub fn signal_all(&self, signal: i32) -> Result<(), Cause> {
        let mut answer = Ok(());
        for child in &self.children {
            let sent = child.signal_all(signal);
            answer = answer.and(sent);
        }
        answer
    }

    /// Closes the streams. Children that live on are reaped when they have ended.
    pub fn close(&self) {
        self.streams().iter().for_each(|stream| stream.close());
        for child in &self.children {
            dropped::keep(child);
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        if self.killer.get() != 0 && self.killer.get() == std::process::id() {
            let _ = self.signal_all(libc::SIGKILL); // a child that cannot be killed lives on
        }
        std::mem::take(&mut self.children)
            .into_iter()
            .for_each(dropped::leave);
    }
}

/// Makes a file of the parent's end of a child's stream.
fn stream(stream: Stream, fd: Option<Owned>, is_own: bool) -> io::Result<AsyncFile> {
    let direction = match stream {
        Stream::Stdin => Direction::Write,
        Stream::Stdout | Stream::Stderr => Direction::Read,
    };
    let fd = match fd {
        Some(fd) => fd,
        None => return Ok(AsyncFile::from_descriptor(Descriptor::absent(stream))),
    };
    let number = fd.number();
    let named = |error| {
        let name = stream.name().to_string();
        error::named("AsyncPipe::new", number, Cause::Named { name, error })
    };
    let port = match is_own {
        true => Port::of_own_pipe(fd, direction),
        false => Port::take_over(fd).map_err(named)?,
    };
    Ok(AsyncFile::from_descriptor(Descriptor::new(port)))
}
