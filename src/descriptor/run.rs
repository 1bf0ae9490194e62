//! A run of lines: a task takes line after line out of the bytes that were lent to it, without
//! borrowing the file's state. The next borrow of the state ends the run, and takes those lines out
//! of the buffer.

use std::cell::Cell;

use super::{Descriptor, State};
use crate::line_buffer::{Lent, LineBuffer};

/// A run of lines: see the head of this file.
pub(crate) struct Run {
    /// How many bytes the task has taken in this run. `OFF` if there is no run.
    taken: Cell<u32>,
    /// How many bytes, after the taken ones, the task has searched without finding the delimiter.
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

    /// Notes that the task has taken a line of `line` bytes.
    #[inline]
    pub fn took(&self, line: usize) {
        self.taken.set(self.taken.get() + line as u32);
    }

    /// Notes that the next `bytes` bytes hold no delimiter.
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
    /// Begins a run of lines, unless another reader waits.
    #[inline]
    pub fn begin_run(&self, state: &State) {
        if state.readers.front.is_none() {
            self.run.begin();
        }
    }

    /// Takes back the bytes that were lent to a task. The task has left the last `rest` bytes.
    /// These are buffered again if the file is still open. The memory of an empty buffer goes back
    /// to the pool.
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
