//! Every sequence of events for a writer.

use std::io::{self, ErrorKind};

use asyncfile::machine::write::Writer;

use super::naive::writing::{Answer, Rig};
use super::script::{self, Silent};

/// What can happen to a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// The sink takes so many bytes, or all if they are fewer.
    Takes(usize),
    /// The sink takes nothing, and calls that a success.
    TakesNothing,
    WouldBlock,
    /// A signal comes while the sink is called; what follows is the answer.
    Interrupted,
    Fails,
    /// Its time is over.
    Due,
    /// It is dropped, and another begins.
    Cancel,
}

use Event::*;

const EVENTS: [Event; 9] =
    [Takes(1), Takes(2), Takes(usize::MAX), TakesNothing, WouldBlock, Interrupted, Fails, Due, Cancel];

/// Whether the second of these, in a row, can show something new.
fn shows(before: Option<Event>, event: Option<Event>) -> bool {
    match (before, event) {
        // Nothing has changed in between.
        (Some(WouldBlock), Some(WouldBlock)) | (Some(Interrupted), Some(Interrupted)) => false,
        (Some(Fails | TakesNothing), Some(Fails | TakesNothing)) => false,
        (Some(Due), Some(Due)) | (Some(Cancel), Some(Cancel)) => false,
        // The sink must answer, or nothing happens.
        (Some(Interrupted), None | Some(Due | Cancel)) | (Some(Cancel), None) => false,
        _ => true,
    }
}

/// The events that have not happened yet. As a sink, it answers with the next one of them.
struct Script<'a> {
    events: &'a [Event],
}

impl io::Write for Script<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let event = match self.events.first() {
            None | Some(Due | Cancel) => return Err(ErrorKind::WouldBlock.into()),
            Some(event) => *event,
        };
        self.events = &self.events[1..];
        match event {
            Takes(size) => Ok(size.min(data.len())),
            TakesNothing => Ok(0),
            WouldBlock => Err(ErrorKind::WouldBlock.into()),
            Interrupted => Err(ErrorKind::Interrupted.into()),
            Fails => Err(ErrorKind::BrokenPipe.into()),
            Due | Cancel => unreachable!("they are not the sink's"),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lets these events happen to writers of this data. `ready`: the sink may be tried before poll(2) was asked.
fn happen(events: &[Event], data: &[u8], full: bool, ready: bool) {
    let mut rig = Rig::new(ready);
    let mut script = Script { events };
    let mut blocked: Option<Writer> = None;
    while let Some(event) = script.events.first() {
        let mut writer = match blocked.take() {
            Some(mut writer) => {
                assert_eq!(rig.advance(&mut writer, data, &mut Silent), Answer::Blocked);
                writer
            }
            None => rig.begin(full),
        };
        let answer = match event {
            Cancel => {
                script.events = &script.events[1..];
                continue;
            }
            Due => {
                script.events = &script.events[1..];
                match rig.advance(&mut writer, data, &mut script) {
                    Answer::Blocked => rig.time_out(&mut writer, data),
                    answer => answer,
                }
            }
            _ => {
                rig.poll_said();
                rig.advance(&mut writer, data, &mut script)
            }
        };
        if answer == Answer::Blocked {
            blocked = Some(writer);
        }
    }
}

fn happens_to(full: bool, ready: bool) {
    let count = script::for_each(6, &EVENTS, shows, &mut |events| happen(events, b"abcd", full, ready));
    assert_eq!(count, 224_240);
}

#[test]
fn anything_may_happen_to_a_write() {
    happens_to(false, true);
}

#[test]
fn anything_may_happen_to_a_write_that_must_poll_first() {
    happens_to(false, false);
}

#[test]
fn anything_may_happen_to_a_full_write() {
    happens_to(true, true);
}

#[test]
fn anything_may_happen_to_a_full_write_that_must_poll_first() {
    happens_to(true, false);
}

#[test]
fn a_write_of_nothing_ends_at_once_and_leaves_the_sink_alone() {
    for full in [false, true] {
        let mut rig = Rig::new(true);
        let mut writer = rig.begin(full);
        assert_eq!(rig.advance(&mut writer, b"", &mut Silent), Answer::Ended(asyncfile::machine::End::Complete, 0));
    }
}
