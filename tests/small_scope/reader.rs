//! Every sequence of events for a reader of every kind.

use std::io::{self, ErrorKind};

use asyncfile::machine::read::{Reader, Want};
use asyncfile::machine::End;

use super::naive::reading::{Answer, Rig};
use super::script::{self, AtEnd, Silent};

/// What can happen to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// poll(2) says that the source is ready, and it has so many bytes.
    Data(usize),
    /// poll(2) says so, and it is not true.
    WouldBlock,
    /// A signal comes while the source is called; what follows is the answer.
    Interrupted,
    Fails,
    EndOfFile,
    /// Its time is over.
    Due,
    /// It is dropped, and another of another kind begins.
    Cancel,
}

use Event::*;

/// All of them, with data of these sizes.
pub fn events<const N: usize>(sizes: [usize; N]) -> Vec<Event> {
    let others = [WouldBlock, Interrupted, Fails, EndOfFile, Due, Cancel];
    sizes.map(Data).into_iter().chain(others).collect()
}

/// Whether the second of these, in a row, can show something new. (A second end of file can: it is not the first one.)
pub fn shows(before: Option<Event>, event: Option<Event>) -> bool {
    match (before, event) {
        // Nothing has changed in between.
        (Some(WouldBlock), Some(WouldBlock)) | (Some(Interrupted), Some(Interrupted)) => false,
        (Some(Fails), Some(Fails)) | (Some(Due), Some(Due)) | (Some(Cancel), Some(Cancel)) => false,
        // The same as the other way round.
        (Some(Cancel), Some(Fails)) => false,
        // The source must answer, or nothing happens.
        (Some(Interrupted), None | Some(Due | Cancel)) | (Some(Cancel), None) => false,
        _ => true,
    }
}

/// What the source has: no two bytes beside each other are the same but newlines.
const TEXT: &[u8] = b"a\n\nbcd\nef\n\n\nghij\nk";

/// The events that have not happened yet. As a source, it answers with the next one of them.
pub struct Script<'a> {
    events: &'a [Event],
    given: usize,
}

impl<'a> Script<'a> {
    pub fn new(events: &'a [Event]) -> Script<'a> {
        Script { events, given: 0 }
    }

    pub fn next(&self) -> Option<Event> {
        self.events.first().copied()
    }

    pub fn skip(&mut self) {
        self.events = &self.events[1..];
    }

    pub fn given(&self) -> &'static [u8] {
        &TEXT[..self.given]
    }
}

impl io::Read for Script<'_> {
    fn read(&mut self, window: &mut [u8]) -> io::Result<usize> {
        let event = match self.next() {
            None | Some(Due | Cancel) => return Err(ErrorKind::WouldBlock.into()),
            Some(event) => event,
        };
        self.skip();
        match event {
            Data(size) => {
                let size = size.min(window.len());
                window[..size].copy_from_slice(&TEXT[self.given..self.given + size]);
                self.given += size;
                Ok(size)
            }
            EndOfFile => Ok(0),
            WouldBlock => Err(ErrorKind::WouldBlock.into()),
            Interrupted => Err(ErrorKind::Interrupted.into()),
            Fails => Err(ErrorKind::ConnectionReset.into()),
            Due | Cancel => unreachable!("they are not the source's"),
        }
    }
}

/// Lets these events happen to readers that want `wants[0]`, and after a cancel the other. `rests`: the buffer rests while one is
/// blocked, as that of a descriptor does.
fn happen(events: &[Event], wants: [Want; 2], rests: bool) {
    let mut rig = Rig::new();
    let mut script = Script::new(events);
    let mut which = 0;
    let mut blocked = None;
    while let Some(event) = script.next() {
        let mut reader = match blocked.take() {
            Some(reader) => reader,
            None => {
                let mut reader = Reader::new(wants[which]);
                match rig.advance(&mut reader, &mut Silent) {
                    Answer::Blocked => reader,
                    // From memory: the next one may be blocked.
                    Answer::Ended(end, len) if len > 0 || end == End::Eof => continue,
                    _ => {
                        script.skip();
                        which = 1;
                        continue;
                    }
                }
            }
        };
        let answer = match event {
            Cancel => {
                script.skip();
                which = 1 - which;
                continue;
            }
            Due => {
                script.skip();
                assert_eq!(rig.advance(&mut reader, &mut Silent), Answer::Blocked);
                rig.time_out(&mut reader)
            }
            _ => {
                rig.poll_said();
                rig.advance(&mut reader, &mut script)
            }
        };
        if answer == Answer::Blocked {
            blocked = Some(reader);
            if rests {
                rig.rest();
            }
        }
    }
    read_the_rest(rig, script.given());
}

/// Whatever has happened: all that was given was handed over, or is handed over now.
pub fn read_the_rest(mut rig: Rig, given: &[u8]) {
    rig.poll_said();
    let answer = rig.advance(&mut Reader::new(Want::ToEnd(usize::MAX)), &mut AtEnd);
    assert!(matches!(answer, Answer::Ended(End::Eof, _)), "{answer:?}");
    assert!(rig.naive.taken() == given, "of {given:?} came {:?}", rig.naive.taken());
}

fn happens_to<const N: usize>(first: Want, then: Want, depth: usize, sizes: [usize; N]) -> usize {
    let mut rests = false;
    script::for_each(depth, &events(sizes), shows, &mut |events| {
        rests = !rests;
        happen(events, [first, then], rests);
    })
}

#[test]
fn anything_may_happen_to_a_read() {
    let count = happens_to(Want::Some(2), Want::Line(usize::MAX), 6, [1, 3]);
    assert_eq!(count, 107_312);
}

#[test]
fn anything_may_happen_to_a_full_read() {
    let count = happens_to(Want::Full(3), Want::Lines(2), 6, [1, 2]);
    assert_eq!(count, 107_312);
}

#[test]
fn anything_may_happen_to_a_read_to_end() {
    let count = happens_to(Want::ToEnd(4), Want::Some(1), 6, [1, 3]);
    assert_eq!(count, 107_312);
}

#[test]
fn anything_may_happen_to_a_readline() {
    let count = happens_to(Want::Line(2), Want::Full(3), 6, [1, 3]);
    assert_eq!(count, 107_312);
}

#[test]
fn anything_may_happen_to_a_readlines() {
    let count = happens_to(Want::Lines(3), Want::ToEnd(5), 6, [2, 3]);
    assert_eq!(count, 107_312);
}

#[test]
fn anything_may_happen_to_one_with_no_limit_or_another() {
    let max = usize::MAX;
    let mut count = 0;
    for want in [Want::Some(1), Want::Some(max), Want::Full(2), Want::ToEnd(max), Want::Line(max), Want::Lines(max)] {
        count += happens_to(want, Want::Lines(1), 4, [1, 2, 3, 4]);
    }
    assert_eq!(count, 38_544);
}

#[test]
fn anything_may_happen_to_one_that_wants_nothing_or_has_a_limit_of_0() {
    let mut count = 0;
    for want in [Want::Some(0), Want::Full(0), Want::ToEnd(0), Want::Line(0), Want::Lines(0)] {
        count += happens_to(want, Want::Line(2), 4, [1, 2, 3]);
    }
    assert_eq!(count, 19_370);
}
