//! A run of lines: a task takes line after line out of what was lent to it, without a look at the
//! file. The first look at the file's state ends the run, and takes those lines out of the buffer.

use std::cell::Cell;

use super::{Descriptor, State};
use crate::line_buffer::{Lent, LineBuffer};

/// See the head of this file.
pub(crate) struct Run {
    /// How many bytes the task has taken; `OFF`: there is no run.
    taken: Cell<u32>,
    /// In how many bytes behind those it has found no newline.
    searched: Cell<u32>,
}

const OFF: u32 = u32::MAX;

impl Run {
    pub fn new() -> Run {
        Run {
            taken: Cell::new(OFF),
            searched: Cell::new(0),
        }
    }

    pub fn begin(&self) {
        self.taken.set(0);
    }

    #[inline]
    pub fn is_on(&self) -> bool {
        self.taken.get() != OFF
    }

    /// The task has taken a line, of so many bytes.
    #[inline]
    pub fn took(&self, line: usize) {
        self.taken.set(self.taken.get() + line as u32);
    }

    /// The task has found no newline in the next bytes, so many.
    #[inline]
    pub fn searched(&self, bytes: usize) {
        self.searched.set(bytes as u32);
    }

    #[cold]
    pub fn end(&self, buffer: &mut LineBuffer) {
        buffer.consume(self.taken.replace(OFF) as usize);
        buffer.skip_search(self.searched.replace(0) as usize);
    }
}

impl Descriptor {
    /// A run of lines begins, unless another reader waits.
    #[inline]
    pub fn begin_run(&self, state: &State) {
        if state.readers.front.is_none() {
            self.run.begin();
        }
    }

    /// What was lent is the file's alone again: `rest` bytes of it were not taken. An emptied
    /// buffer goes back to the pool.
    pub fn take_back(&self, lent: &mut Lent, rest: usize) {
        let mut state = self.state();
        if state.is_open() {
            state.inflow.buffer.put_back(lent, rest);
        }
        if state.inflow.buffer.is_empty() {
            state.inflow.buffer.release_spare();
        }
    }
}
