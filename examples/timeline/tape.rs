//! What the observer has seen, kept: the events lend their operations, the tape has their texts.

use super::Event;
use asyncfile::trace::By;
use asyncfile::{End, Op, TaskId, Trace};
use std::time::Duration;

/// What tasks are called.
pub type Names = Vec<(TaskId, &'static str)>;

#[derive(Default)]
pub struct Tape(pub Vec<Entry>);

pub struct Entry {
    pub at: Duration,
    pub turn: u64,
    pub task: TaskId,
    pub what: What,
}

/// An event. A text is an operation's.
pub enum What {
    Spawned(String),
    /// poll(2) is asked, for so many descriptors; whether it may sleep.
    Asked(usize, bool),
    Answered(Vec<i32>),
    Woken(By),
    Advanced,
    Resumed(End, String),
    Yielded,
    Done(End),
    Cancelled(By),
    Failed(String),
    Closed(i32),
}

impl Tape {
    pub fn record(&mut self, at: Duration, trace: &Trace<'_>) {
        let what = match &trace.event {
            Event::Spawned(op) => What::Spawned(text(op)),
            Event::Asked { entries, timeout } => {
                What::Asked(*entries, *timeout != Some(Duration::ZERO))
            }
            Event::Answered(entries) => {
                What::Answered(entries.iter().map(|entry| entry.fd).collect())
            }
            Event::Woken(by) => What::Woken(*by),
            Event::Advanced { .. } => What::Advanced,
            Event::Resumed(end, op) => What::Resumed(*end, text(op)),
            Event::Yielded => What::Yielded,
            Event::Done(end) => What::Done(*end),
            Event::Cancelled(by) => What::Cancelled(*by),
            Event::Failed(error) => What::Failed(error.to_string()),
            Event::Closed(fd) => What::Closed(*fd),
            _ => return, // a kind that did not exist when this was written
        };
        let (turn, task) = (trace.turn, trace.task);
        self.0.push(Entry {
            at,
            turn,
            task,
            what,
        });
    }
}

/// An operation in a few words: `readline fd 5, 37 B held` is `readline fd 5`.
fn text(op: &Op) -> String {
    let all = format!("{op:?}");
    match all.split_once([',', ';']).unwrap_or((&all, "")).0 {
        text if text.starts_with("first of") => "first of ...".into(),
        text if text.starts_with("ready of queue") => "queue".into(),
        text if text.starts_with("exit") => "exit".into(),
        text => text.into(),
    }
}
