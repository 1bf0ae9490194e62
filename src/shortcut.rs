//! How a closure is called, and the next line without a return to the scheduler.
//!
//! A task that was handed a line and asks for the next one, with `again()` or a new readline of the
//! same file, mostly finds it in the same buffer. Then the line is handed over here, where the
//! compiler sees the closure and can inline it: nothing is advanced, no queue entered, no borrow
//! taken. The task takes lines out of the slice behind its line, which was whole: its end is
//! theirs. They leave the file's buffer when its state is next looked at (a *run of lines*: see
//! `descriptor/run`).
//!
//! A line goes the long way when it is not whole in the buffer, longer than the limit, behind the
//! task's share of the turn, or when another reader waits, a task was cancelled or has failed, a
//! stop was asked for, or an observer looks.

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
    /// As `takes_next_line`, for a new operation. The run goes on only if that is a readline of the
    /// same file (no other file has a run on) with the same delimiter, which is the last byte of
    /// the last line.
    #[inline(never)]
    fn takes_line_of_new_readline(&mut self) -> bool {
        let delimiter = match &self.op.0 {
            Kind::Read(read) => read.machine.delimiter(),
            _ => return false,
        };
        self.line.last() == Some(&delimiter) && self.takes_next_line()
    }

    /// As `takes_next_line`, where it is not worth the space of an inlined copy.
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

    /// The resume is counted once more: by the line, or by the look that ends the share.
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
