//! Rung 7: close and cancel. A task refers to its file, not to a number, and learns that the file
//! was closed. A third command, `cancel`, ends the task of the first FILE.
//!
//!     cargo run --example ladder_7_close -- FILE FILE [FILE]
//!
//! It mends the flaw of rung 6: a number that is used again reaches nobody.
//!
//! Its flaw: it is 80 lines long. It only reads lines, one task has one file, a body that panics
//! ends all, each turn costs a read(2) for each task, and an error does not say of what:
//!
//!     cargo run --example ladder_7_close -- . /dev/null

mod readline;
mod sys;

use readline::{Outcome, Readline};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_micros(300_900);

/// Called with each outcome. False: the task is done.
type Body<'t> = Box<dyn FnMut(Outcome) -> bool + 't>;

struct Task<'t> {
    /// The file is gone when its owner has dropped it.
    file: Weak<File>,
    /// The flag is shared with the task that may cancel this one.
    is_cancelled: Rc<Cell<bool>>,
    readline: Readline,
    /// The moment at which the readline must have ended.
    deadline: Instant,
    body: Body<'t>,
}

fn main() -> io::Result<()> {
    let mut files = std::env::args().skip(1).map(sys::open_nonblocking);
    let mut open = move || files.next().expect("usage: FILE FILE [FILE]").map(Rc::new);
    let (first, second) = (open()?, open()?);
    let task = Task::new(&first, Box::new(|outcome| show(0, outcome)));
    let handle = task.is_cancelled.clone();
    let first = Cell::new(Some(first));
    let body = Box::new(|outcome: Outcome| {
        match outcome.as_deref() {
            Ok("close\n") => drop(first.take()),
            Ok("cancel\n") => handle.set(true),
            Ok("open\n") => first.set(open().ok()),
            _ => {}
        }
        show(1, outcome)
    });
    let mut tasks = vec![task, Task::new(&second, body)];
    while let Some(first) = tasks.iter().map(|task| task.deadline).min() {
        // Rounded up: rounded down, the loop would spin through the last millisecond.
        let left = first.saturating_duration_since(Instant::now());
        let milliseconds = left.as_nanos().div_ceil(1_000_000) as i32;
        sys::poll(tasks.iter().map(Task::fd), milliseconds)?;
        // To advance a machine that is still blocked changes nothing.
        tasks.retain_mut(Task::advance);
        tasks.retain(|task| !task.is_cancelled.get());
    }
    Ok(())
}

impl<'t> Task<'t> {
    fn new(file: &Rc<File>, body: Body<'t>) -> Task<'t> {
        Task {
            file: Rc::downgrade(file),
            is_cancelled: Rc::default(),
            readline: Readline::default(),
            deadline: Instant::now() + TIMEOUT,
            body,
        }
    }

    /// The number of a closed file is one that no file has: poll(2) says POLLNVAL of it, at once.
    fn fd(&self) -> RawFd {
        self.file.upgrade().map_or(RawFd::MAX, |f| f.as_raw_fd())
    }

    /// Advances the readline, and resumes the body with its outcomes. False: the task is done.
    fn advance(&mut self) -> bool {
        while !self.is_cancelled.get() {
            let fd = self.fd();
            let outcome = match self.readline.advance(|room| sys::read(fd, room)) {
                Some(outcome) => outcome,
                None if Instant::now() < self.deadline => return true,
                None => Err(ErrorKind::TimedOut.into()),
            };
            self.deadline = Instant::now() + TIMEOUT;
            if !(self.body)(outcome) {
                return false;
            }
        }
        false
    }
}

/// Prints an outcome. False at the end of file, which is "", and after an error.
fn show(index: usize, outcome: Outcome) -> bool {
    let (text, goes_on) = match outcome {
        Ok(line) => (format!("{line:?}"), !line.is_empty()),
        Err(error) => (error.to_string(), false),
    };
    writeln!(io::stdout(), "{index}: {text}").is_ok() && goes_on
}
