//! Rung 6: tasks. A task is a closure, which is called with each outcome of its readline. The task
//! of the second FILE takes commands: `close` closes the first FILE, `open` opens the third one.
//!
//!     cargo run --example ladder_6_tasks -- FILE FILE [FILE]
//!
//! It mends the flaw of rung 5: the loop knows nothing of what the tasks do.
//!
//! Its flaw: a task knows its file by the descriptor's number, and the kernel gives the lowest free
//! number to the next file. Here the first task reads a file that was never its own:
//!
//!     mkfifo /tmp/quiet; exec 3<>/tmp/quiet; echo secret >/tmp/other
//!     cargo run --example ladder_6_tasks -- /tmp/quiet /dev/stdin /tmp/other <<< $'close\nopen'

mod readline;
mod sys;

use readline::{Outcome, Readline};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_micros(300_900);

/// Called with each outcome. False: the task is done.
type Body<'t> = Box<dyn FnMut(Outcome) -> bool + 't>;

struct Task<'t> {
    fd: RawFd,
    readline: Readline,
    /// The moment at which the readline must have ended.
    deadline: Instant,
    body: Body<'t>,
}

fn main() -> io::Result<()> {
    let mut files = std::env::args().skip(1).map(sys::open_nonblocking);
    let mut open = move || files.next().expect("usage: FILE FILE [FILE]");
    let (first, second) = (open()?, open()?);
    let task = Task::new(&first, Box::new(|outcome| show(0, outcome)));
    let first = Cell::new(Some(first));
    let body = Box::new(|outcome: Outcome| {
        match outcome.as_deref() {
            Ok("close\n") => drop(first.take()),
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
        sys::poll(tasks.iter().map(|task| task.fd), milliseconds)?;
        // To advance a machine that is still blocked changes nothing.
        tasks.retain_mut(Task::advance);
    }
    Ok(())
}

impl<'t> Task<'t> {
    fn new(file: &File, body: Body<'t>) -> Task<'t> {
        Task {
            fd: file.as_raw_fd(),
            readline: Readline::default(),
            deadline: Instant::now() + TIMEOUT,
            body,
        }
    }

    /// Advances the readline, and resumes the body with its outcomes. False: the task is done.
    fn advance(&mut self) -> bool {
        loop {
            let outcome = match self.readline.advance(|room| sys::read(self.fd, room)) {
                Some(outcome) => outcome,
                None if Instant::now() < self.deadline => return true,
                None => Err(ErrorKind::TimedOut.into()),
            };
            self.deadline = Instant::now() + TIMEOUT;
            if !(self.body)(outcome) {
                return false;
            }
        }
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
