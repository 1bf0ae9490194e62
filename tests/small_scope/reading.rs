//! Readers in the small scope: what can happen to one, and functions that let every sequence of it
//! happen. Each returns how many sequences there were.
//!
//! The tests that call them are in `small_scope/reader.rs`. The test of the machine's table, in
//! `src/machine/tests.rs`, calls them as well.

use std::io::{self, ErrorKind};

use asyncfile::line_buffer::LineBuffer;
use asyncfile::machine::message::{Message, MessageSource};
use asyncfile::machine::read::{Inflow, Reader, State, Want};
use asyncfile::machine::{Advance, End, Source};

use super::naive::reading::{Answer, Rig};
use super::script::{self, AtEnd, Silent};

/// What can happen to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// poll(2) says that the source is ready, and the source has so many bytes.
    Data(usize),
    /// poll(2) says that the source is ready, and a read is EAGAIN.
    WouldBlock,
    /// A signal interrupts a read; the event that follows is the answer.
    Interrupted,
    Fails,
    EndOfFile,
    /// The reader's deadline has come.
    Due,
    /// The reader is dropped, and a reader of another kind begins.
    Cancel,
}

use Event::*;

/// All events, with data of these sizes.
pub fn events<const N: usize>(sizes: [usize; N]) -> Vec<Event> {
    let others = [WouldBlock, Interrupted, Fails, EndOfFile, Due, Cancel];
    sizes.map(Data).into_iter().chain(others).collect()
}

/// Whether the second of two events in a row can show something new. (A second end of file can: it
/// is another one.)
pub fn shows(before: Option<Event>, event: Option<Event>) -> bool {
    match (before, event) {
        // Nothing has changed in between.
        (Some(WouldBlock), Some(WouldBlock)) | (Some(Interrupted), Some(Interrupted)) => false,
        (Some(Fails), Some(Fails)) | (Some(Due), Some(Due)) | (Some(Cancel), Some(Cancel)) => false,
        // The same as the other way round.
        (Some(Cancel), Some(Fails)) => false,
        // The source must answer; otherwise nothing happens.
        (Some(Interrupted), None | Some(Due | Cancel)) | (Some(Cancel), None) => false,
        _ => true,
    }
}

/// What the source has. No two neighbours are the same, newlines excepted.
const TEXT: &[u8] = b"a\n\nbcd\nef\n\n\nghij\nk";

/// The events that have not happened yet. As a source, it answers with the next one.
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
            Due | Cancel => unreachable!("they are no answers of a source"),
        }
    }
}

/// A reader that wants this.
fn of(want: Want) -> Reader {
    Reader::new(want)
}

/// A reader that wants this and takes nothing.
fn peek(want: Want) -> Reader {
    let mut reader = Reader::new(want);
    reader.set_peek();
    reader
}

/// A reader whose lines end with this.
fn until(delimiter: u8, want: Want) -> Reader {
    let mut reader = Reader::new(want);
    reader.set_delimiter(delimiter);
    reader
}

/// Lets these events happen to readers like `readers[0]`, and after a cancel like `readers[1]`.
/// `releases`: the buffer releases its spare memory while a reader is blocked, as a descriptor's
/// buffer does.
fn happen(events: &[Event], readers: &[Reader; 2], releases: bool) {
    let mut rig = Rig::new();
    let mut script = Script::new(events);
    let mut which = 0;
    let mut blocked = None;
    while let Some(event) = script.next() {
        let mut reader = match blocked.take() {
            Some(reader) => reader,
            None => {
                let mut reader = readers[which].clone();
                match rig.advance(&mut reader, &mut Silent) {
                    Answer::Blocked => reader,
                    // A peek would have the same bytes again.
                    Answer::Ended(..) if reader.is_peek() => {
                        which = 1 - which;
                        continue;
                    }
                    // It had its bytes from the buffer: the next reader may be blocked.
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
            if releases {
                rig.release_spare();
            }
        }
    }
    read_the_rest(rig, script.given());
}

/// At the end of each sequence: all bytes that the source gave were handed over, or are handed over
/// now.
pub fn read_the_rest(mut rig: Rig, given: &[u8]) {
    rig.poll_said();
    let answer = rig.advance(&mut Reader::new(Want::ToEnd(usize::MAX)), &mut AtEnd);
    assert!(matches!(answer, Answer::Ended(End::Eof, _)), "{answer:?}");
    assert!(
        rig.naive.taken() == given,
        "of {given:?}, {:?} was handed over",
        rig.naive.taken()
    );
}

fn happens_to<const N: usize>(first: Want, then: Want, depth: usize, sizes: [usize; N]) -> usize {
    happens_to_readers([of(first), of(then)], depth, sizes)
}

fn happens_to_readers<const N: usize>(
    readers: [Reader; 2],
    depth: usize,
    sizes: [usize; N],
) -> usize {
    let mut releases = false;
    script::for_each(depth, &events(sizes), shows, &mut |events| {
        releases = !releases;
        happen(events, &readers, releases);
    })
}

pub fn to_an_exact_read() -> usize {
    happens_to(Want::Exact(3), Want::Line(2), 5, [1, 2])
        + happens_to(Want::Exact(4), Want::Exact(2), 4, [1, 3])
}

pub fn to_a_peek() -> usize {
    let max = Want::Line(usize::MAX);
    happens_to_readers([peek(Want::Some(2)), of(Want::Full(3))], 4, [1, 3])
        + happens_to_readers([peek(Want::Full(3)), of(max)], 5, [1, 2])
        + happens_to_readers([peek(Want::Full(2)), of(Want::Exact(4))], 4, [1, 3])
        + happens_to_readers([peek(Want::Some(0)), of(max)], 4, [1, 2])
}

/// Lines with two delimiters in turn: what is buffered is searched anew.
pub fn to_a_record_of_another_delimiter() -> usize {
    let line = |limit| of(Want::Line(limit));
    let max = usize::MAX;
    happens_to_readers([until(b'c', Want::Line(max)), line(max)], 5, [1, 3])
        + happens_to_readers([until(b'e', Want::Lines(4)), line(3)], 5, [2, 3])
        + happens_to_readers([until(b'h', Want::Lines(max)), line(max)], 4, [1, 4])
}

pub fn to_a_read() -> usize {
    happens_to(Want::Some(2), Want::Line(usize::MAX), 6, [1, 3])
}

pub fn to_a_full_read() -> usize {
    happens_to(Want::Full(3), Want::Lines(2), 6, [1, 2])
}

pub fn to_a_read_to_end() -> usize {
    happens_to(Want::ToEnd(4), Want::Some(1), 6, [1, 3])
}

pub fn to_a_readline() -> usize {
    happens_to(Want::Line(2), Want::Full(3), 6, [1, 3])
}

pub fn to_a_readlines() -> usize {
    happens_to(Want::Lines(3), Want::ToEnd(5), 6, [2, 3])
}

/// A source that keeps messages apart: `Data` is a message of that length.
struct Messages<'a> {
    events: &'a [Event],
    is_ready: bool,
}

impl Messages<'_> {
    const TEXT: &'static [u8] = b"abc";
}

impl Source for Messages<'_> {
    fn messages(&mut self) -> Option<&mut dyn MessageSource> {
        Some(self)
    }

    fn is_ready(&mut self) -> bool {
        panic!("a message was read as a stream");
    }

    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        panic!("a message was read as a stream");
    }
}

impl MessageSource for Messages<'_> {
    fn is_ready(&mut self) -> bool {
        self.is_ready
    }

    fn receive(
        &mut self,
        buffer: &mut LineBuffer,
        most: usize,
        is_peek: bool,
    ) -> io::Result<Message> {
        assert!(buffer.is_empty() && self.is_ready && most > 0);
        let event = match self.events.first() {
            None | Some(Due | Cancel) => return Err(ErrorKind::WouldBlock.into()),
            Some(event) => *event,
        };
        if !(is_peek && matches!(event, Data(_) | EndOfFile)) {
            self.events = &self.events[1..];
        }
        match event {
            Data(size) => {
                let len = size.min(most);
                let room = buffer.room(most);
                room[..len].copy_from_slice(&Self::TEXT[..len]);
                buffer.filled(len);
                Ok(if len < size {
                    Message::Cut
                } else {
                    Message::Whole
                })
            }
            EndOfFile => Ok(Message::End),
            WouldBlock => Err(ErrorKind::WouldBlock.into()),
            Interrupted => Err(ErrorKind::Interrupted.into()),
            Fails => Err(ErrorKind::ConnectionReset.into()),
            Due | Cancel => unreachable!("they are no answers of a source"),
        }
    }
}

/// Lets these events happen to readers of messages: each ends with the next message, cut to its
/// size, and a peek leaves it.
fn happen_to_messages(events: &[Event], kinds: &[Reader; 2]) {
    let mut source = Messages {
        events,
        is_ready: true,
    };
    let mut inflow = Inflow::default();
    let mut which = 0;
    let mut reader = kinds[0].clone();
    while let Some(event) = source.events.first().copied() {
        if event == Due || event == Cancel {
            if event == Due && reader.state() == State::Blocked {
                let answer = reader.time_out(&inflow);
                assert!(
                    matches!(answer, Advance::Failed(error) if error.kind() == ErrorKind::TimedOut)
                );
            }
            source.events = &source.events[1..];
            which = 1 - which;
            reader = kinds[which].clone();
            continue;
        }
        let mut is_next = source.events.iter();
        let next = is_next.find(|event| **event != Interrupted).copied();
        let before = source.events.len();
        let answer = reader.advance(&mut inflow, &mut source);
        let size = match reader.want() {
            Want::Some(size) => size,
            _ => {
                assert!(
                    matches!(answer, Advance::Failed(error) if error.kind() == ErrorKind::InvalidInput)
                );
                which = 1 - which;
                reader = kinds[which].clone();
                continue;
            }
        };
        match (answer, next) {
            (Advance::Ended(end, len), Some(Data(all))) => {
                assert_eq!(len, all.min(size));
                assert_eq!(
                    end,
                    if all > size {
                        End::Limit
                    } else {
                        End::Complete
                    }
                );
                assert_eq!(inflow.buffer.bytes(), &Messages::TEXT[..len]);
            }
            (Advance::Ended(End::Eof, 0), Some(EndOfFile)) => {}
            (Advance::Failed(error), Some(Fails)) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            }
            (Advance::Blocked, None | Some(WouldBlock | Due | Cancel)) => {
                assert_eq!(reader.state(), State::Blocked);
                continue;
            }
            (answer, next) => panic!("{answer:?} of {next:?}"),
        }
        assert_eq!(reader.state(), State::Ended);
        assert!(reader.is_peek() || source.events.len() < before);
        inflow.buffer.consume(inflow.len());
        if reader.is_peek() {
            which = 1 - which;
        }
        reader = kinds[which].clone();
    }
}

pub fn to_messages() -> usize {
    let all = events([0, 1, 3]);
    let invalid = of(Want::Line(2));
    let pairs = [
        [of(Want::Some(2)), invalid.clone()],
        [peek(Want::Some(2)), of(Want::Some(usize::MAX))],
        [of(Want::Full(1)), of(Want::Some(1))],
    ];
    let happens = |kinds: [Reader; 2]| {
        script::for_each(4, &all, shows, &mut |events| {
            happen_to_messages(events, &kinds)
        })
    };
    pairs.into_iter().map(happens).sum()
}

pub fn to_one_with_no_limit_or_another() -> usize {
    let max = usize::MAX;
    let wants = [
        Want::Some(1),
        Want::Some(max),
        Want::Full(2),
        Want::ToEnd(max),
        Want::Line(max),
        Want::Lines(max),
    ];
    let happens = |want| happens_to(want, Want::Lines(1), 4, [1, 2, 3, 4]);
    wants.into_iter().map(happens).sum()
}

pub fn to_one_that_wants_nothing_or_has_a_limit_of_0() -> usize {
    let wants = [
        Want::Some(0),
        Want::Full(0),
        Want::Exact(0),
        Want::ToEnd(0),
        Want::Line(0),
        Want::Lines(0),
    ];
    let happens = |want| happens_to(want, Want::Line(2), 4, [1, 2, 3]);
    wants.into_iter().map(happens).sum()
}

/// It fills every window, each with another letter, and there is no newline.
struct Endless {
    reads: u8,
}

impl io::Read for Endless {
    fn read(&mut self, window: &mut [u8]) -> io::Result<usize> {
        self.reads = (self.reads + 1) % 23;
        window.fill(b'a' + self.reads);
        Ok(window.len())
    }
}

/// Lets these events happen to a reader whose source never runs dry: it moves its share and yields.
/// `Data`: poll(2) says that the source is ready.
fn happen_after_a_share(events: &[Event], want: Want) {
    let mut rig = Rig::new();
    let mut source = Endless { reads: 0 };
    let mut reader = Reader::new(want);
    for event in events {
        match event {
            Due => {
                rig.time_out(&mut reader);
                reader = Reader::new(want);
            }
            Cancel => reader = Reader::new(want),
            _ => {
                rig.poll_said();
                assert_eq!(rig.advance(&mut reader, &mut source), Answer::Yield);
            }
        }
    }
    let given = rig.naive.given().to_vec();
    read_the_rest(rig, &given);
}

pub fn to_one_that_moves_its_share() -> usize {
    let wants = [
        Want::Full(1 << 30),
        Want::ToEnd(usize::MAX),
        Want::Line(usize::MAX),
        Want::Lines(usize::MAX),
    ];
    let happens = |want| {
        script::for_each(3, &[Data(1), Due, Cancel], |_, _| true, &mut |events| {
            happen_after_a_share(events, want)
        })
    };
    wants.into_iter().map(happens).sum()
}
