//! Properties of the line buffer and of the reading machine: whatever comes in, in whatever pieces,
//! and whoever reads it, is what the oracle says.

mod naive;

use std::io::{self, ErrorKind, Read};

use asyncfile::line_buffer::LineBuffer;
use asyncfile::machine::read::{Inflow, Reader, Want};
use asyncfile::machine::write::Writer;
use asyncfile::machine::{Advance, End, SHARE};
use naive::reading::{Answer, Rig};
use proptest::collection::vec;
use proptest::prelude::*;

/// What a pipe holds (pipe(7)).
const CHUNK: usize = 64 * 1024;

/// A few bytes of any kind, with a newline now and then.
fn short() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        6 => any::<u8>(),
        1 => Just(b'\n'),
        1 => prop::sample::select(&b"\r\0\xff"[..]),
    ];
    vec(byte, 0..40)
}

/// More than the buffer begins with, with one newline or none.
fn long() -> impl Strategy<Value = Vec<u8>> {
    (60_000..=150_000_usize, any::<prop::sample::Index>()).prop_map(|(len, newline)| {
        let mut text: Vec<u8> = (0..len).map(|at| b'a' + (at % 23) as u8).collect();
        if let Some(byte) = text.get_mut(newline.index(2 * len)) {
            *byte = b'\n';
        }
        text
    })
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![8 => short(), 1 => long()]
}

/// Mostly small, now and then about the sizes of the buffers or without bound.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 0..=12_usize,
        2 => 0..=300_usize,
        1 => 65_000..=70_000_usize,
        1 => Just(usize::MAX),
    ]
}

/// A text, the sizes of the pieces that it comes in, and a limit, all of one order of magnitude.
fn delivery() -> impl Strategy<Value = (Vec<u8>, Vec<usize>, usize)> {
    let short_limit = prop_oneof![4 => 1..=12_usize, 1 => Just(usize::MAX)];
    let long_limit = prop_oneof![4 => 9_000..=90_000_usize, 1 => Just(usize::MAX)];
    prop_oneof![
        8 => (short(), vec(1..=12_usize, 1..4), short_limit),
        1 => (long(), vec(9_000..=90_000_usize, 1..4), long_limit),
    ]
}

fn want() -> impl Strategy<Value = Want> {
    let kind =
        prop::sample::select(&[Want::Some, Want::Full, Want::ToEnd, Want::Line, Want::Lines][..]);
    (kind, size()).prop_map(|(kind, size)| kind(size))
}

/// What happens to a buffer.
#[derive(Clone, Debug)]
enum Step {
    Append(Vec<u8>),
    /// Look at the front, and take nothing.
    Look(usize),
    Line(usize),
    Lines(usize),
    /// Take bytes, wherever lines end.
    Bytes(usize),
    /// The reader parks.
    ReleaseSpare,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => text().prop_map(Step::Append),
        1 => size().prop_map(Step::Look),
        2 => size().prop_map(Step::Line),
        2 => size().prop_map(Step::Lines),
        1 => size().prop_map(Step::Bytes),
        1 => Just(Step::ReleaseSpare),
    ]
}

/// What happens to a file and its readers.
#[derive(Clone, Debug)]
enum Event {
    /// The reader, if there is one, is dropped, and another begins. The window is 0 for the
    /// default.
    Begin { want: Want, window: usize },
    /// poll(2) says that the source is ready. These are its next answers; after them it would
    /// block.
    Source(Vec<Reply>),
    /// The reader is advanced although poll(2) has said nothing.
    Spurious,
    /// The reader's deadline has come.
    Due,
    /// The reader parks.
    ReleaseSpare,
}

#[derive(Clone, Debug)]
enum Reply {
    /// As much of this as fits. The rest is the next answer.
    Data(Vec<u8>),
    Fails(ErrorKind),
    EndOfFile,
}

fn reply() -> impl Strategy<Value = Reply> {
    let kinds = vec![
        ErrorKind::WouldBlock,
        ErrorKind::Interrupted,
        ErrorKind::ConnectionReset,
    ];
    let some_text = text().prop_filter("no data is an end of file", |text| !text.is_empty());
    prop_oneof![
        5 => some_text.prop_map(Reply::Data),
        2 => prop::sample::select(kinds).prop_map(Reply::Fails),
        1 => Just(Reply::EndOfFile),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let window = prop_oneof![3 => Just(0_usize), 1 => 1..=10_usize];
    prop_oneof![
        3 => (want(), window).prop_map(|(want, window)| Event::Begin { want, window }),
        6 => vec(reply(), 0..4).prop_map(Event::Source),
        1 => Just(Event::Spurious),
        1 => Just(Event::Due),
        1 => Just(Event::ReleaseSpare),
    ]
}

/// A source that gives these answers, the last one first, and then would block.
struct Script {
    replies: Vec<Reply>,
    /// The most that a reader may ask for at a time.
    window: usize,
}

impl io::Read for Script {
    fn read(&mut self, window: &mut [u8]) -> io::Result<usize> {
        assert!(
            self.window == 0 || window.len() <= self.window,
            "asked for {} bytes",
            window.len()
        );
        match self.replies.pop() {
            None => Err(ErrorKind::WouldBlock.into()),
            Some(Reply::Fails(kind)) => Err(kind.into()),
            Some(Reply::EndOfFile) => Ok(0),
            Some(Reply::Data(mut data)) => {
                let rest = data.split_off(data.len().min(window.len()));
                window[..data.len()].copy_from_slice(&data);
                if !rest.is_empty() {
                    self.replies.push(Reply::Data(rest));
                }
                Ok(data.len())
            }
        }
    }
}

/// Makes a reader and advances it. None: it has ended, without the source.
fn begin(rig: &mut Rig, script: &mut Script, want: Want, window: usize) -> Option<Reader> {
    let mut reader = Reader::new(want);
    let reads_ahead = matches!(want, Want::Line(_) | Want::Lines(_));
    script.window = if reads_ahead { window } else { 0 };
    reader.set_window(window);
    advance(rig, script, reader)
}

/// Advances a reader. None: it has ended.
fn advance(rig: &mut Rig, script: &mut Script, mut reader: Reader) -> Option<Reader> {
    let answer = rig.advance(&mut reader, script);
    matches!(answer, Answer::Blocked | Answer::Yield).then_some(reader)
}

/// A text that comes in pieces of these sizes, over and over: one piece each time the source is
/// ready.
struct Pieces<'a> {
    rest: &'a [u8],
    sizes: std::iter::Cycle<std::slice::Iter<'a, usize>>,
    /// How much of the current piece is left.
    left: usize,
}

impl io::Read for Pieces<'_> {
    fn read(&mut self, window: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.rest.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let size = self.left.min(window.len()).min(self.rest.len());
        let (now, later) = self.rest.split_at(size);
        window[..size].copy_from_slice(now);
        self.rest = later;
        self.left -= size;
        Ok(size)
    }
}

/// How one reader after the other ends, and with what bytes, until the end of the text.
fn outcomes(text: &[u8], sizes: &[usize], want: Want) -> Vec<(End, Vec<u8>)> {
    let mut rig = Rig::new();
    let mut pieces = Pieces {
        rest: text,
        sizes: sizes.iter().cycle(),
        left: 0,
    };
    let mut outcomes = Vec::new();
    let mut reader = Reader::new(want);
    loop {
        let from = rig.naive.taken().len();
        match rig.advance(&mut reader, &mut pieces) {
            Answer::Ended(end, len) => {
                outcomes.push((end, rig.naive.taken()[from..].to_vec()));
                if (end, len) == (End::Eof, 0) {
                    return outcomes;
                }
                reader = Reader::new(want);
            }
            Answer::Failed(kind) => panic!("{kind}"),
            Answer::Yield => {}
            Answer::Blocked => {
                if pieces.left == 0 {
                    pieces.left = *pieces.sizes.next().expect("there is one");
                }
                rig.poll_said();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_buffer_gives_what_a_search_from_the_start_gives(steps in vec(step(), 0..40)) {
        let mut rig = Rig::new();
        for step in steps {
            match step {
                Step::Append(bytes) => rig.append(&bytes),
                // A limit of 0 is the machine's to refuse.
                Step::Look(0) | Step::Line(0) | Step::Lines(0) => {}
                Step::Look(limit) => drop(rig.look(limit)),
                Step::Line(limit) => {
                    let found = rig.inflow.buffer.line(limit);
                    let found = found.map(|found| (found.len, found.whole));
                    prop_assert_eq!(found, rig.naive.line(limit));
                    rig.consume(found.map_or(0, |(len, _)| len));
                }
                Step::Lines(limit) => {
                    let found = rig.inflow.buffer.lines(limit);
                    let found = found.map(|found| (found.len, found.whole));
                    prop_assert_eq!(found, rig.naive.lines(limit));
                    rig.consume(found.map_or(0, |(len, _)| len));
                }
                Step::Bytes(size) => rig.consume(size.min(rig.naive.held().len())),
                Step::ReleaseSpare => rig.release_spare(),
            }
        }
    }

    #[test]
    fn readers_of_every_kind_get_every_byte_once(events in vec(event(), 0..40)) {
        let mut rig = Rig::new();
        let mut script = Script { replies: Vec::new(), window: 0 };
        let mut reader: Option<Reader> = None;
        for event in events {
            match event {
                Event::Begin { want, window } => {
                    reader = begin(&mut rig, &mut script, want, window);
                }
                Event::Source(mut replies) => {
                    script.replies.append(&mut replies);
                    rig.poll_said();
                    reader = reader.and_then(|reader| advance(&mut rig, &mut script, reader));
                }
                Event::Spurious => {
                    reader = reader.and_then(|reader| advance(&mut rig, &mut script, reader));
                }
                Event::Due => {
                    reader = reader.and_then(|reader| advance(&mut rig, &mut script, reader));
                    if let Some(mut reader) = reader.take() {
                        rig.time_out(&mut reader);
                    }
                }
                Event::ReleaseSpare => rig.release_spare(),
            }
        }
        let given = rig.naive.given().to_vec();
        rig.poll_said();
        let mut last = Reader::new(Want::ToEnd(usize::MAX));
        rig.advance(&mut last, &mut io::empty());
        prop_assert!(rig.naive.taken() == given);
        prop_assert!(rig.inflow.is_empty());
    }

    #[test]
    fn how_the_bytes_come_in_makes_no_difference_to_a_readline(
        (text, pieces, limit) in delivery(),
    ) {
        let want = Want::Line(limit);
        prop_assert_eq!(outcomes(&text, &pieces, want), outcomes(&text, &[usize::MAX], want));
    }

    #[test]
    fn the_lines_of_readlines_are_those_of_readline((text, pieces, _) in delivery()) {
        let all = |outcomes: Vec<(End, Vec<u8>)>| -> Vec<Vec<u8>> {
            let bytes = outcomes.into_iter().flat_map(|(_, bytes)| bytes).collect::<Vec<u8>>();
            bytes.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect()
        };
        let lines = outcomes(&text, &pieces, Want::Lines(usize::MAX));
        for (end, bytes) in &lines {
            prop_assert!(*end == End::Eof || bytes.ends_with(b"\n"));
        }
        prop_assert_eq!(all(lines), all(outcomes(&text, &[usize::MAX], Want::Line(usize::MAX))));
    }

    #[test]
    fn a_full_read_cuts_the_bytes_into_equal_parts((text, pieces, size) in delivery()) {
        let outcomes = outcomes(&text, &pieces, Want::Full(size));
        let parts: Vec<Vec<u8>> = outcomes.into_iter().map(|(_, part)| part).collect();
        let mut expected: Vec<Vec<u8>> = text.chunks(size).map(<[u8]>::to_vec).collect();
        expected.push(Vec::new());
        prop_assert_eq!(parts, expected);
    }
}

#[test]
fn a_buffer_that_holds_nothing_has_no_line() {
    let mut buffer = LineBuffer::new();
    assert_eq!(
        (buffer.line(usize::MAX), buffer.lines(usize::MAX)),
        (None, None)
    );
    assert_eq!(
        (buffer.len(), buffer.is_empty(), buffer.bytes()),
        (0, true, &b""[..])
    );
    buffer.release_spare();
    buffer.consume(0);
    assert_eq!(buffer.bytes(), b"");
}

#[test]
fn an_advance_that_is_never_at_a_loss_moves_its_share_and_yields() {
    for want in [
        Want::Line(usize::MAX),
        Want::Lines(usize::MAX),
        Want::Full(1 << 30),
        Want::ToEnd(usize::MAX),
    ] {
        let mut rig = Rig::new();
        let mut reader = Reader::new(want);
        let mut source = io::repeat(b'a').take(12 * SHARE as u64);
        for share in 0..8 {
            // The buffer's first windows are larger than a full pipe, so SHARE cuts the last read
            // of the first share short of one, and poll(2) is asked. Later shares are four full
            // pipes.
            if share < 2 {
                rig.poll_said();
            }
            let before = rig.naive.given().len();
            assert_eq!(
                rig.advance(&mut reader, &mut source),
                Answer::Yield,
                "{want:?}"
            );
            assert_eq!(rig.naive.given().len() - before, SHARE);
        }
    }
}

/// A full pipe but for one byte at each read.
struct AllButOne {
    reads: usize,
}

impl io::Read for AllButOne {
    fn read(&mut self, window: &mut [u8]) -> io::Result<usize> {
        let size = window.len().min(CHUNK) - 1;
        window[..size].fill(b'a');
        self.reads += 1;
        Ok(size)
    }
}

#[test]
fn a_source_that_gives_a_byte_less_than_a_full_pipe_is_polled_before_it_is_read_again() {
    for want in [
        Want::Line(usize::MAX),
        Want::Lines(usize::MAX),
        Want::Full(1 << 30),
        Want::ToEnd(usize::MAX),
    ] {
        let mut rig = Rig::new();
        let mut reader = Reader::new(want);
        let mut source = AllButOne { reads: 0 };
        rig.poll_said();
        for polled in 1..=4 {
            assert_eq!(
                rig.advance(&mut reader, &mut source),
                Answer::Blocked,
                "{want:?}"
            );
            assert_eq!(source.reads, polled, "{want:?}");
            rig.poll_said();
        }
    }
}

/// A source and a sink that a machine may always try, and that are EAGAIN each time.
#[derive(Default)]
struct Dry {
    calls: usize,
}

impl io::Read for Dry {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.calls += 1;
        Err(ErrorKind::WouldBlock.into())
    }
}

impl io::Write for Dry {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        self.calls += 1;
        Err(ErrorKind::WouldBlock.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_source_or_sink_that_is_always_ready_is_tried_once_if_it_would_block() {
    let (mut source, mut sink) = (Dry::default(), Dry::default());
    let mut reader = Reader::new(Want::Some(1));
    let mut writer = Writer::new();
    for tried in 1..=2 {
        let advance = reader.advance(&mut Inflow::default(), &mut source);
        assert!(matches!(advance, Advance::Blocked), "{advance:?}");
        let advance = writer.advance(b"a", &mut sink);
        assert!(matches!(advance, Advance::Blocked), "{advance:?}");
        assert_eq!((source.calls, sink.calls), (tried, tried));
    }
}
