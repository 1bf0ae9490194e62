//! What names a task.

use std::cell::Cell;
use std::fmt;
use std::num::NonZeroU32;

/// Names a task: its slot in its scheduler, and a number that no other task of the thread has, of whichever scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub index: u32,
    pub number: NonZeroU32,
}

thread_local! {
    /// The number of the next task.
    static NEXT: Cell<NonZeroU32> = const { Cell::new(FIRST) };
}

/// Comes round after 4 billion tasks; a key that is as old as that, in the same slot, may then mean another task.
const FIRST: NonZeroU32 = match NonZeroU32::new(1) {
    Some(one) => one,
    None => unreachable!(),
};

/// The number of a new task.
pub(crate) fn fresh_number() -> NonZeroU32 {
    let number = NEXT.try_with(|next| next.replace(NonZeroU32::new(next.get().get().wrapping_add(1)).unwrap_or(FIRST)));
    number.unwrap_or(FIRST) // at the end of the thread
}

/// A task's name, for messages and traces: a number that no other task of the thread has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TaskId(pub(crate) Key);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.number.fmt(f)
    }
}
