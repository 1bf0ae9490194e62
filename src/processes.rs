//! A chain of children and the three streams at its ends: what an AsyncPipe and its operations share.

use std::cell::RefCell;
use std::io;
use std::process::ExitStatus;
use std::rc::{Rc, Weak};

use crate::child::{self, ChildProcess, Status};
use crate::conversation::Conversation;
use crate::descriptor::{Descriptor, Stream};
use crate::file::AsyncFile;
use crate::inbox::Inbox;
use crate::key::Key;
use crate::machine::exit::Given;
use crate::port::Port;
use crate::sys::process::Process;
use crate::sys::{self, Owned};

/// See the head of this file.
pub(crate) struct Processes {
    /// The first child's.
    pub stdin: AsyncFile,
    /// The last child's.
    pub stdout: AsyncFile,
    /// The last child's.
    pub stderr: AsyncFile,
    /// In the order of the chain. Never empty.
    children: Vec<Rc<ChildProcess>>,
    /// What a communicate has not fed yet, and which streams it has seen the end of.
    pub conversation: RefCell<Conversation>,
}

impl Processes {
    /// The streams that were piped are taken over; children that cannot be are left to the thread's list.
    pub fn new(mut children: Vec<Process>) -> io::Result<Processes> {
        let stdin = children.first_mut().and_then(Process::take_stdin);
        let (stdout, stderr) = match children.last_mut() {
            Some(last) => (last.take_stdout(), last.take_stderr()),
            None => (None, None),
        };
        // What was not handed on within the chain nobody will read or write.
        for child in &mut children {
            drop((child.take_stdin(), child.take_stdout()));
        }
        let children: Vec<_> = children.into_iter().map(|child| Rc::new(ChildProcess::new(child))).collect();
        let streams = || -> io::Result<[Descriptor; 3]> {
            Ok([stream(Stream::Stdin, stdin)?, stream(Stream::Stdout, stdout)?, stream(Stream::Stderr, stderr)?])
        };
        match streams() {
            Ok([stdin, stdout, stderr]) => {
                let conversation = RefCell::new(Conversation::new(!stdout.is_absent(), !stderr.is_absent()));
                let [stdin, stdout, stderr] = [stdin, stdout, stderr].map(AsyncFile::from_descriptor);
                Ok(Processes { stdin, stdout, stderr, children, conversation })
            }
            Err(error) => {
                children.into_iter().for_each(child::leave);
                Err(error)
            }
        }
    }

    /// stdin, stdout, stderr.
    pub fn streams(&self) -> [&Rc<Descriptor>; 3] {
        [self.stdin.descriptor(), self.stdout.descriptor(), self.stderr.descriptor()]
    }

    pub fn children(&self) -> &[Rc<ChildProcess>] {
        &self.children
    }

    /// stdin, without a hold on it.
    pub fn weak_stdin(&self) -> Weak<Descriptor> {
        Rc::downgrade(self.stdin.descriptor())
    }

    /// stdin was piped, and nobody has closed it.
    pub fn is_stdin_open(&self) -> bool {
        self.stdin.descriptor().is_open()
    }

    /// The process whose number names the whole chain in messages: the last.
    pub fn id(&self) -> u32 {
        self.last().id()
    }

    /// How many bytes came from the last child and were not handed over.
    pub fn held(&self) -> usize {
        let [_, stdout, stderr] = self.streams();
        stdout.buffered() + stderr.buffered()
    }

    /// The last child's status, once it has ended.
    pub fn status(&self) -> Option<io::Result<ExitStatus>> {
        match self.last().status() {
            Status::Running => None,
            Status::Exited(status) => Some(Ok(status)),
            Status::Unknown => Some(Err(self.unknown())),
        }
    }

    /// The exit machine's question: who has ended? `key` is woken when it is worth asking again, as far as something tells.
    pub fn ask(&self, inbox: &Rc<Inbox>, key: Key) -> Given {
        let mut have_all_exited = true;
        let mut is_told = true;
        // The last comes first: while it runs, nobody else is waited for.
        for child in self.children.iter().rev() {
            let answer = child.watch(inbox, key);
            is_told &= answer.is_ok();
            have_all_exited &= child.status() != Status::Running;
            if self.last().status() == Status::Running {
                break;
            }
        }
        Given { last_exited_at: self.last().ended_at(), have_all_exited, is_told, now: sys::now() }
    }

    /// `key` waits for exits no more.
    pub fn unwatch(&self, key: Key) {
        for child in &self.children {
            child.unwatch(key);
        }
    }

    /// Closes the streams. Who lives on is reaped by the thread's list, at the latest.
    pub fn close(&self) {
        for stream in self.streams() {
            stream.close();
        }
        for child in &self.children {
            child::leave(Rc::clone(child));
        }
    }

    fn last(&self) -> &Rc<ChildProcess> {
        self.children.last().expect("a chain is never empty")
    }

    fn unknown(&self) -> io::Error {
        let message = format!("the status of child {} is unknown: somebody else has reaped it", self.id());
        io::Error::new(io::ErrorKind::Other, message)
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for child in self.children.drain(..) {
            child::leave(child);
        }
    }
}

/// The parent's end of a child's stream.
fn stream(stream: Stream, fd: Option<Owned>) -> io::Result<Descriptor> {
    match fd {
        Some(fd) => Ok(Descriptor::new(Port::take_over(fd)?)),
        None => Ok(Descriptor::absent(stream)),
    }
}
