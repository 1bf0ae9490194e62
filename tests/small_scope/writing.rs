//! Writers in the small scope: what can happen to one, and functions that let every sequence of it
//! happen. Each returns how many sequences there were.
//!
//! The tests that call them are in `small_scope/writer.rs`. The test of the machine's table, in
//! `src/machine/tests.rs`, calls them as well.

use std::io::{self, ErrorKind};

use asyncfile::machine::write::{Extent, Writer};
use asyncfile::machine::{End, SHARE};

use super::naive::writing::{Answer, Rig};
use super::script::{self, Silent};

/// What can happen to a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// The sink takes so many bytes, or all if there are fewer.
    Takes(usize),
    /// A write returns 0.
    TakesNothing,
    WouldBlock,
    /// A signal interrupts a write; the event that follows is the answer.
    Interrupted,
    Fails,
    /// The writer's deadline has come.
    Due,
    /// The writer is dropped, and another writer begins.
    Cancel,
}

use Event::*;

const EVENTS: [Event; 9] = [
    Takes(1),
    Takes(2),
    Takes(usize::MAX),
    TakesNothing,
    WouldBlock,
    Interrupted,
    Fails,
    Due,
    Cancel,
];

/// Whether the second of two events in a row can show something new.
fn shows(before: Option<Event>, event: Option<Event>) -> bool {
    match (before, event) {
        // Nothing has changed in between.
        (Some(WouldBlock), Some(WouldBlock)) | (Some(Interrupted), Some(Interrupted)) => false,
        (Some(Fails | TakesNothing), Some(Fails | TakesNothing)) => false,
        (Some(Due), Some(Due)) | (Some(Cancel), Some(Cancel)) => false,
        // The sink must answer; otherwise nothing happens.
        (Some(Interrupted), None | Some(Due | Cancel)) | (Some(Cancel), None) => false,
        _ => true,
    }
}

/// The events that have not happened yet. As a sink, it answers with the next one.
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
            Due | Cancel => unreachable!("they are no answers of a sink"),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lets these events happen to writers of this data. `is_ready`: a writer may try the sink before
/// poll(2) was asked.
fn happen(events: &[Event], data: &[u8], extent: Extent, is_ready: bool) {
    let mut rig = Rig::new(is_ready);
    let mut script = Script { events };
    let mut blocked: Option<Writer> = None;
    while let Some(event) = script.events.first() {
        let mut writer = match blocked.take() {
            Some(mut writer) => {
                assert_eq!(rig.advance(&mut writer, data, &mut Silent), Answer::Blocked);
                writer
            }
            None => rig.begin(extent),
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

fn happens_to(extent: Extent, is_ready: bool) -> usize {
    script::for_each(6, &EVENTS, shows, &mut |events| {
        happen(events, b"abcd", extent, is_ready)
    })
}

pub fn to_a_write() -> usize {
    happens_to(Extent::Once, true)
}

pub fn to_a_write_that_must_poll_first() -> usize {
    happens_to(Extent::Once, false)
}

pub fn to_a_full_write() -> usize {
    happens_to(Extent::Full, true)
}

pub fn to_a_full_write_that_must_poll_first() -> usize {
    happens_to(Extent::Full, false)
}

pub fn to_a_write_of_all() -> usize {
    happens_to(Extent::All, true)
}

/// A write of nothing ends at once and leaves the sink alone.
pub fn to_a_write_of_nothing() -> usize {
    for extent in [Extent::Once, Extent::Full, Extent::All] {
        let mut rig = Rig::new(true);
        let mut writer = rig.begin(extent);
        assert_eq!(
            rig.advance(&mut writer, b"", &mut Silent),
            Answer::Ended(End::Complete, 0)
        );
    }
    3
}

/// It takes all that it is offered.
struct Endless;

impl io::Write for Endless {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lets these events happen to full writes to a sink that takes everything: a writer moves its
/// share and yields.
fn happen_after_a_share(events: &[Event], data: &[u8]) {
    let mut rig = Rig::new(true);
    let mut writer = rig.begin(Extent::Full);
    for event in events {
        match event {
            Due => {
                rig.time_out(&mut writer, data);
                writer = rig.begin(Extent::Full);
            }
            Cancel => writer = rig.begin(Extent::Full),
            _ => assert_eq!(rig.advance(&mut writer, data, &mut Endless), Answer::Yield),
        }
    }
}

pub fn to_one_that_moves_its_share() -> usize {
    let data: Vec<u8> = (0..4 * SHARE).map(|at| b'a' + (at % 23) as u8).collect();
    let events = [Takes(usize::MAX), Due, Cancel];
    script::for_each(3, &events, |_, _| true, &mut |events| {
        happen_after_a_share(events, &data)
    })
}
