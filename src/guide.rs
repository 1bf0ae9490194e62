#![doc = include_str!("guide/index.md")]

#[doc = include_str!("guide/start_here.md")]
pub mod start_here {}

#[doc = include_str!("guide/poll.md")]
pub mod poll {}

#[doc = include_str!("guide/turn.md")]
#[doc = include_str!("guide/timeline.svg")]
pub mod turn {}

#[doc = include_str!("guide/follow_one_line.md")]
pub mod follow_one_line {}

#[doc = include_str!("guide/machines.md")]
pub mod machines {}

#[doc = include_str!("guide/bytes.md")]
pub mod bytes {}

#[doc = include_str!("guide/deadlines.md")]
pub mod deadlines {}

#[doc = include_str!("guide/tasks.md")]
pub mod tasks {}

#[doc = include_str!("guide/children.md")]
pub mod children {}

#[doc = include_str!("guide/threads.md")]
pub mod threads {}

#[doc = include_str!("guide/gotchas.md")]
pub mod gotchas {}

#[doc = include_str!("guide/when_to_leave.md")]
pub mod when_to_leave {}

#[doc = include_str!("guide/places.md")]
pub mod places {}

#[doc = include_str!("guide/testing.md")]
pub mod testing {}

#[doc = include_str!("guide/ladder.md")]
pub mod ladder {}

#[doc = include_str!("guide/questions.md")]
pub mod questions {}

#[doc = include_str!("guide/exercises.md")]
pub mod exercises {}
