//! How a closure is called, and how it gets the next line without a return to the scheduler.
//!
//! A task that was handed a line and wants the next one, with `again()` or a new readline of the
//! same file, mostly finds it in the same buffer. Then the line is handed over here, where the
//! compiler sees the closure and can inline it. No operation is advanced, no queue is entered, and
//! nothing is borrowed. The task takes the line from the slice of bytes after its present line. All
//! these lines are whole, so [`end`](Task::end) stays `Complete`. The lines leave the file's buffer
//! when the file's state is next borrowed (a *run of lines*: see `descriptor/run`).
//!
//! A line goes through the scheduler if it is not whole in the buffer, if it is longer than the
//! limit, or if the task's share has ended. So does every line if another reader waits, a task was
//! cancelled or has failed, a stop was requested, or there is an observer.

use crate::error::TaskError;
use crate::handle::{Body, Closure, Resumed};
use crate::machine::read::Want;
use crate::op::operate::Kind;
use crate::reactor::Reactor;
use crate::task::{Flow, Step, Task};
use crate::task_table::Key;

impl<'t, T, F> Body<'t> for Closure<F, T>
where
    F: FnMut(&mut Task<'_, 't>) -> Flow<T>,
{
    fn resume(&mut self, task: &mut Task<'_, 't>) -> Resumed {
        loop {
            return match (self.call)(task) {
                Ok(Step::Again) if task.takes_next_line() => continue,
                Err(error) => Resumed::Failed(error),
                Ok(_) if task.has_unseen_failure() => task.fail(),
                Ok(Step::Wait(op)) => {
                    *task.op = op;
                    if !task.behind.is_empty() && task.takes_line_of_new_readline() {
                        continue;
                    }
                    Resumed::Waits
                }
                Ok(Step::Again) => match task.op.restart() {
                    Ok(()) => Resumed::Waits,
                    Err(error) => Resumed::Failed(error),
                },
                Ok(Step::Done(value)) => {
                    self.slot.leave_value(value, &task.scheduler.reactor);
                    Resumed::Done
                }
            };
        }
    }

    fn fail(&mut self, error: TaskError, reactor: &Reactor, task: Option<Key>) {
        self.leave_failure(error, reactor, task);
    }
}

impl<'e, 't> Task<'e, 't> {
    /// The same as `takes_next_line`, but for a new operation. The run goes on only if the new
    /// operation is a readline of the same file with the same delimiter. The old delimiter is the
    /// last byte of the last line. The file needs no check here, because there is no run on any
    /// other file.
    #[inline(never)]
    fn takes_line_of_new_readline(&mut self) -> bool {
        let delimiter = match &self.op.0 {
            Kind::Read(read) => read.machine.delimiter(),
            _ => return false,
        };
        self.line.last() == Some(&delimiter) && self.takes_next_line()
    }

    /// The same as `takes_next_line`, for callers that are too rare for an inlined copy.
    #[inline(never)]
    fn takes_next_line_rarely(&mut self) -> bool {
        self.takes_next_line()
    }

    /// Takes the next line of the run as the outcome. False if there is none, or if the task has
    /// had its share.
    #[inline(always)]
    fn takes_next_line(&mut self) -> bool {
        self.scheduler.share.resumes -= 1;
        if self.scheduler.share.resumes == 0 {
            return self.looks_at_its_share();
        }
        if self.takes_line_at_hand() {
            return true;
        }
        self.scheduler.share.resumes += 1;
        false
    }

    /// Asks the scheduler whether the task may go on. The caller has counted this resume already.
    /// The count is taken back, because the resume is counted again: by the next `takes_next_line`,
    /// or by the scheduler if the share has ended.
    #[cold]
    fn looks_at_its_share(&mut self) -> bool {
        let goes_on = self.scheduler.look();
        self.scheduler.share.resumes += 1;
        goes_on && self.takes_next_line_rarely()
    }

    #[inline(always)]
    fn takes_line_at_hand(&mut self) -> bool {
        let read = match &self.op.0 {
            Kind::Read(read) => read,
            _ => return false,
        };
        let limit = match read.machine.want() {
            Want::Line(limit) => limit,
            _ => return false,
        };
        let file = read.file();
        let reactor = &self.scheduler.reactor;
        if !file.run.is_on() || reactor.has_notes() || reactor.is_stopping() {
            return false;
        }
        let window = &self.behind[..self.behind.len().min(limit)];
        match memchr::memchr(read.machine.delimiter(), window) {
            Some(at) => {
                let (line, behind) = self.behind.split_at(at + 1);
                self.line = line;
                self.behind = behind;
                file.run.took(line.len());
                true
            }
            None => {
                file.run.searched(window.len());
                false
            }
        }
    }
}
