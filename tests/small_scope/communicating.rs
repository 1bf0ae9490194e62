//! Communicates in the small scope: what can happen to one (what the child's streams say, its exit,
//! the end of the time to linger, cuts after which another goes on with another limit), and
//! functions that let every sequence of it happen. Each returns how many sequences there were.

use std::io::{self, ErrorKind};

use asyncfile::machine::communicate::Child;
use asyncfile::machine::read::{Reader, Want};
use asyncfile::machine::{End, SHARE};

use super::naive::communicating::{Answer, Input, Ports, Rig, Standing};
use super::naive::reading;
use super::script;

/// What can happen to a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// poll(2) tells of stdin, and it takes so many bytes, or all if they are fewer.
    Takes(usize),
    StdinWouldBlock,
    /// EPIPE.
    StdinIsGone,
    StdinFails,
    /// stdin's reader went away, and poll(2) told of it.
    HangsUp,
    /// poll(2) tells of stdout (0) or stderr (1), and it has so many bytes.
    Says(usize, usize),
    /// It has so many bytes, and poll(2) has not told of them when the next thing happens.
    SaysUntold(usize, usize),
    WouldBlock(usize),
    Ends(usize),
    Fails(usize),
    /// poll(2) tells of the input, and it has so many bytes.
    Input(usize),
    InputWouldBlock,
    InputEnds,
    InputFails,
    /// The input is another operation's turn to read; or it is ours again.
    InputElsewhere(bool),
    Exits,
    /// The time to linger is over, for this communicate and for those that go on with it.
    Over,
    /// It is cut; what goes on with it has this limit.
    Limit(usize),
}

use Event::*;

/// Whether the second of these, in a row, can show something new.
fn shows(before: Option<Event>, event: Option<Event>) -> bool {
    match (before, event) {
        (Some(Takes(_) | Says(..) | Input(_)), Some(_)) => true,
        (Some(Ends(before)), Some(Ends(event))) => before < event, // as the other way round
        (Some(Exits), Some(Over)) => false,
        // Nobody looks, unless there will be no other time.
        (Some(SaysUntold(..)), event) => event == Some(Over),
        (before, event) => before.is_none() || before != event,
    }
}

/// What the streams say, and what the child is fed: no two bytes beside each other are the same.
const TEXTS: [&[u8]; 3] = [b"abcdefghijkl", b"ABCDEFGHIJKL", b"0123456789"];

/// A part that answers once when it is called, maybe after EINTR, and then would block; or, if it
/// is a file, has two bytes each time until its end.
#[derive(Default)]
struct Part {
    text: &'static [u8],
    said: usize,
    is_interrupted: bool,
    is_file: bool,
    answer: Option<Result<usize, ErrorKind>>,
}

impl Part {
    fn answers(&mut self, answer: Result<usize, ErrorKind>) {
        self.answer = Some(answer);
    }

    fn next(&mut self) -> io::Result<usize> {
        if std::mem::take(&mut self.is_interrupted) {
            return Err(ErrorKind::Interrupted.into());
        }
        let otherwise = if self.is_file {
            Ok(2.min(5 - self.said))
        } else {
            Err(ErrorKind::WouldBlock)
        };
        self.answer.take().unwrap_or(otherwise).map_err(Into::into)
    }
}

impl io::Read for Part {
    fn read(&mut self, window: &mut [u8]) -> io::Result<usize> {
        let size = self.next()?.min(window.len());
        window[..size].copy_from_slice(&self.text[self.said..self.said + size]);
        self.said += size;
        Ok(size)
    }
}

impl io::Write for Part {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let size = self.next()?.min(data.len());
        self.said += size;
        Ok(size)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A conversation and the child.
struct Bench {
    rig: Rig,
    stdin: Part,
    streams: [Part; 2],
    input: Part,
    standing: Standing,
}

impl Bench {
    fn new(input: Input, has_streams: [bool; 2]) -> Bench {
        let part = |text| Part {
            text,
            ..Part::default()
        };
        let [stdout, stderr, mut fed] = TEXTS.map(part);
        fed.is_file = matches!(input, Input::File);
        Bench {
            rig: Rig::new(input, has_streams),
            stdin: part(b""),
            streams: [stdout, stderr],
            input: fed,
            standing: Standing::default(),
        }
    }

    fn advance(&mut self) -> Answer {
        let [stdout, stderr] = &mut self.streams;
        let ports = Ports {
            stdin: &mut self.stdin,
            stdout,
            stderr,
            input: &mut self.input,
        };
        self.rig.advance(self.standing, ports)
    }

    fn parts(&mut self) -> impl Iterator<Item = &mut Part> {
        self.streams
            .iter_mut()
            .chain([&mut self.stdin, &mut self.input])
    }

    fn stdin(&mut self, answer: Result<usize, ErrorKind>) {
        self.rig.is_stdin_ready = true;
        self.stdin.answers(answer);
    }

    fn stream(&mut self, which: usize, answer: Result<usize, ErrorKind>) {
        self.rig.streams[which].poll_said();
        self.streams[which].answers(answer);
    }

    fn feeds(&mut self, answer: Result<usize, ErrorKind>) {
        self.rig.feed.poll_said();
        self.input.answers(answer);
    }

    fn step(&mut self, event: Event) {
        match event {
            Takes(size) => self.stdin(Ok(size)),
            StdinWouldBlock => self.stdin(Err(ErrorKind::WouldBlock)),
            StdinIsGone => self.stdin(Err(ErrorKind::BrokenPipe)),
            StdinFails => self.stdin(Err(ErrorKind::StorageFull)),
            HangsUp => self.standing.is_hung_up = true,
            Says(which, size) => self.stream(which, Ok(size)),
            SaysUntold(which, _) if self.rig.has_ended()[which] => {}
            SaysUntold(which, size) => self.streams[which].answers(Ok(size)),
            WouldBlock(which) => self.stream(which, Err(ErrorKind::WouldBlock)),
            Ends(which) => self.stream(which, Ok(0)),
            Fails(which) => self.stream(which, Err(ErrorKind::ConnectionAborted)),
            Input(size) => self.feeds(Ok(size)),
            InputWouldBlock => self.feeds(Err(ErrorKind::WouldBlock)),
            InputEnds => self.feeds(Ok(0)),
            InputFails => self.feeds(Err(ErrorKind::ConnectionAborted)),
            InputElsewhere(is_elsewhere) => self.standing.turns[3] = !is_elsewhere,
            Exits if self.standing.child == Child::Over => {}
            Exits => self.standing.child = Child::Exited,
            Over => (self.standing.child, self.standing.is_last) = (Child::Over, true),
            Limit(limit) => self.standing.limit = limit,
        }
    }
}

/// Lets these events happen, and then comes to the end. `is_interrupted`: EINTR comes before each
/// answer.
fn happen(events: &[Event], input: &Input, has_streams: [bool; 2], is_interrupted: bool) {
    let mut bench = Bench::new(input.clone(), has_streams);
    bench.advance();
    for event in events {
        bench
            .parts()
            .for_each(|part| part.is_interrupted = is_interrupted);
        bench.step(*event);
        if bench.advance() == Answer::Ended {
            let has_more = bench.streams.iter().any(|stream| stream.answer.is_some());
            assert!(*event != Over || !has_more, "the last words were left");
            break;
        }
        if !matches!(event, SaysUntold(..)) {
            // A part that was not asked for it has not said it.
            bench.parts().for_each(|part| part.answer = None);
        }
    }
    comes_to_its_end(bench);
}

/// Whatever has happened: the child's streams end, it exits, and all that it said is handed over.
/// What it got was the beginning of what there was to feed, once and in order: the rig sees to
/// that.
fn comes_to_its_end(mut bench: Bench) {
    let is_over = bench.standing.child == Child::Over;
    let standing = Standing {
        child: if is_over { Child::Over } else { Child::Exited },
        is_last: is_over,
        ..Standing::default()
    };
    bench.standing = standing;
    let mut rounds = 0;
    while !bench.rig.is_over() {
        bench.step(InputEnds);
        bench.step(Takes(usize::MAX));
        (0..2).for_each(|which| bench.step(Ends(which)));
        let answer = bench.advance();
        assert!(
            matches!(answer, Answer::Ended | Answer::Blocked(_)),
            "{answer:?}"
        );
        rounds += 1;
        assert!(rounds < 3, "it does not end");
    }
    for (stream, part) in bench.rig.streams.iter().zip(&bench.streams) {
        assert!(
            stream.naive.taken() == &part.text[..part.said],
            "of {} bytes came {:?}",
            part.said,
            stream.naive.taken()
        );
    }
    assert_eq!(bench.rig.feed.naive.taken().len(), bench.stdin.said);
}

fn happens_to(input: Input, has_streams: [bool; 2], depth: usize, events: &[Event]) -> usize {
    let mut is_interrupted = false;
    script::for_each(depth, events, shows, &mut |events| {
        is_interrupted = !is_interrupted;
        happen(events, &input, has_streams, is_interrupted);
    })
}

/// Those of the child's streams and its end.
const STREAMS: [Event; 12] = [
    Says(0, 1),
    Says(0, 2),
    WouldBlock(0),
    Ends(0),
    Fails(0),
    Says(1, 1),
    Ends(1),
    Fails(1),
    Exits,
    Over,
    Limit(1),
    Limit(2),
];

/// Those of stdin, and enough of the others.
const STDIN: [Event; 10] = [
    Takes(1),
    Takes(2),
    StdinWouldBlock,
    StdinIsGone,
    StdinFails,
    HangsUp,
    Says(0, 1),
    Ends(0),
    Fails(1),
    Exits,
];

/// Those of an input that is a stream, and enough of the others.
const INPUT: [Event; 11] = [
    Input(1),
    Input(2),
    InputWouldBlock,
    InputEnds,
    InputFails,
    InputElsewhere(true),
    InputElsewhere(false),
    Takes(1),
    StdinIsGone,
    HangsUp,
    Over,
];

/// Those of an input that is a file, and enough of the others.
const FILE: [Event; 9] = [
    InputEnds,
    InputFails,
    Takes(1),
    Takes(3),
    StdinWouldBlock,
    StdinIsGone,
    HangsUp,
    Fails(0),
    Exits,
];

/// Those of the end of a child whose streams live on.
const LAST_WORDS: [Event; 9] = [
    Says(0, 1),
    SaysUntold(0, 1),
    SaysUntold(1, 2),
    Ends(0),
    Fails(1),
    Exits,
    Over,
    Limit(1),
    Limit(usize::MAX),
];

pub fn to_all_that_is_said() -> usize {
    happens_to(Input::None, [true, true], 5, &STREAMS)
}

pub fn to_what_is_said_on_stdout_alone() -> usize {
    happens_to(Input::None, [true, false], 4, &STREAMS)
}

pub fn to_the_last_words() -> usize {
    happens_to(Input::None, [true, true], 6, &LAST_WORDS)
}

pub fn to_bytes_that_are_fed() -> usize {
    happens_to(Input::Bytes(b"0123"[..].into()), [true, true], 5, &STDIN)
}

pub fn to_a_stream_that_is_fed() -> usize {
    happens_to(Input::Stream, [false, true], 5, &INPUT)
}

pub fn to_a_file_that_is_fed() -> usize {
    happens_to(Input::File, [true, false], 5, &FILE)
}

/// An input that never says a word, and a child that does.
pub fn to_one_whose_input_is_silent() -> usize {
    let events = [Says(0, 2), Says(1, 1), Ends(0), Ends(1), Limit(1), Exits];
    happens_to(Input::Stream, [true, true], 4, &events)
}

/// A stdin that was closed, or is absent, with a child that says all the rest.
pub fn to_one_whose_stdin_is_closed() -> usize {
    let mut count = 0;
    for events in [[Says(0, 1), Exits], [Ends(0), Exits], [Exits, Over]] {
        let mut bench = Bench::new(Input::Bytes(b"0123"[..].into()), [true, true]);
        bench.rig.stop_feeding();
        for event in events {
            bench.step(event);
            bench.advance();
        }
        comes_to_its_end(bench);
        count += 1;
    }
    count
}

/// What never runs dry: a sink that takes all, a source that always has more.
struct Flood(usize);

impl io::Read for Flood {
    fn read(&mut self, window: &mut [u8]) -> io::Result<usize> {
        let size = window.len().min(64 * 1024);
        for byte in &mut window[..size] {
            *byte = (self.0 % 251) as u8;
            self.0 += 1;
        }
        Ok(size)
    }
}

impl io::Write for Flood {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A child that never stops talking, and one that never stops reading.
pub fn to_one_that_moves_its_share() -> usize {
    let all: Vec<u8> = (0..3 * SHARE).map(|at| (at % 251) as u8).collect();
    let mut count = 0;
    for has_input in [true, false] {
        let input = match has_input {
            true => Input::Bytes(all.clone().into()),
            false => Input::None,
        };
        let mut rig = Rig::new(input, [!has_input, false]);
        let [mut stdin, mut stdout, mut stderr, mut input] = [0; 4].map(Flood);
        for _ in 0..2 {
            rig.streams[0].poll_said();
            let ports = Ports {
                stdin: &mut stdin,
                stdout: &mut stdout,
                stderr: &mut stderr,
                input: &mut input,
            };
            assert_eq!(rig.advance(Standing::default(), ports), Answer::Yield);
            count += 1;
        }
    }
    count
}

pub fn to_a_stream_whose_end_a_reader_has_left() -> usize {
    let mut bench = Bench::new(Input::None, [true, false]);
    let mut reader = Reader::new(Want::Full(2));
    bench.stream(0, Ok(1));
    assert_eq!(
        bench.rig.streams[0].advance(&mut reader, &mut bench.streams[0]),
        reading::Answer::Blocked
    );
    bench.stream(0, Ok(0));
    assert_eq!(
        bench.rig.streams[0].advance(&mut reader, &mut bench.streams[0]),
        reading::Answer::Ended(End::Eof, 1)
    );
    assert!(
        bench.rig.streams[0].inflow.ended,
        "to be reported by the outcome after it"
    );
    bench.step(Over);
    assert_eq!(bench.advance(), Answer::Ended);
    1
}
