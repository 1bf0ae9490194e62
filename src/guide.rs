#![doc = include_str!("guide.md")]

#[doc = include_str!("guide/children.md")]
pub mod children {}
#[doc = include_str!("guide/exercises.md")]
pub mod exercises {}
#[doc = include_str!("guide/gotchas.md")]
pub mod gotchas {}
#[doc = include_str!("guide/questions.md")]
pub mod questions {}
#[doc = include_str!("guide/testing.md")]
pub mod testing {}
#[doc = include_str!("guide/threads.md")]
pub mod threads {}
#[doc = include_str!("guide/when_to_leave.md")]
pub mod when_to_leave {}
