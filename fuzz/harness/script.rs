//! What the harnesses share: the parts of a fuzzer's steps, and a source that answers as they say.

#![allow(dead_code)] // each harness uses a part of it

use std::io::{self, ErrorKind};

use arbitrary::{Arbitrary, Unstructured};
use asyncfile::machine::read::{Reader, Want};

/// The most that comes from a source: it bounds what a run may cost.
pub const MOST_BYTES: usize = 448 * 1024;
const MOST_STEPS: usize = 64;

/// The steps that these bytes stand for.
pub fn steps<S: for<'a> Arbitrary<'a>>(data: &[u8]) -> Vec<S> {
    let mut data = Unstructured::new(data);
    let mut steps = Vec::new();
    while !data.is_empty() && steps.len() < MOST_STEPS {
        steps.extend(S::arbitrary(&mut data));
    }
    steps
}

/// One of a child's two streams.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Which {
    Stdout,
    Stderr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Some,
    Full,
    ToEnd,
    Line,
    Lines,
    Exact,
    Peek,
    PeekFull,
    /// Lines that end with one of the letters of the text.
    LineUntil(Letter),
    LinesUntil(Letter),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Letter {
    A,
    B,
    Nul,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Size {
    Small(u8),
    /// Four times this number.
    Large(u16),
    Max,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Reply {
    /// The first `len` of these bytes, as far as the window has room for them.
    Short {
        bytes: [u8; 4],
        len: u8,
    },
    /// So many whole windows, one after the other. A newline follows after each `newlines` other
    /// bytes (0: there is none).
    Fill {
        windows: u8,
        newlines: u8,
    },
    /// All of the window but so many bytes.
    AllBut {
        bytes: u8,
        newlines: u8,
    },
    Interrupted,
    Fails,
    EndOfFile,
}

impl Size {
    pub fn get(self) -> usize {
        match self {
            Size::Small(size) => size.into(),
            Size::Large(size) => usize::from(size) * 4,
            Size::Max => usize::MAX,
        }
    }
}

impl<'a> Arbitrary<'a> for Kind {
    /// The upper bits choose among the five kinds, two lower ones a variety: 0 is the kind itself,
    /// so that inputs from before there were varieties keep their meaning.
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Kind> {
        let word = u32::arbitrary(u)?;
        let kinds = [Kind::Some, Kind::Full, Kind::ToEnd, Kind::Line, Kind::Lines];
        let letters = [Letter::A, Letter::B, Letter::Nul];
        let kind = kinds[((u64::from(word) * 5) >> 32) as usize];
        Ok(match (kind, (word >> 16) as usize & 3) {
            (Kind::Some, 1) => Kind::Peek,
            (Kind::Full, 1) => Kind::PeekFull,
            (Kind::Full, 2) => Kind::Exact,
            (Kind::Line, variety @ 1..=3) => Kind::LineUntil(letters[variety - 1]),
            (Kind::Lines, variety @ 1..=3) => Kind::LinesUntil(letters[variety - 1]),
            (kind, _) => kind,
        })
    }
}

impl Kind {
    pub fn reader(self, size: Size) -> Reader {
        let mut reader = Reader::new(self.want(size));
        match self {
            Kind::Peek | Kind::PeekFull => reader.set_peek(),
            Kind::LineUntil(letter) | Kind::LinesUntil(letter) => {
                reader.set_delimiter(match letter {
                    Letter::A => b'a',
                    Letter::B => b'B',
                    Letter::Nul => 0,
                });
            }
            _ => {}
        }
        reader
    }

    fn want(self, size: Size) -> Want {
        let size = size.get();
        match self {
            Kind::Some | Kind::Peek => Want::Some(size),
            Kind::Full | Kind::PeekFull => Want::Full(size),
            Kind::Exact => Want::Exact(size),
            Kind::ToEnd => Want::ToEnd(size),
            Kind::Line | Kind::LineUntil(_) => Want::Line(size),
            Kind::Lines | Kind::LinesUntil(_) => Want::Lines(size),
        }
    }
}

/// Writes bytes that show where they belong: no two neighbours are the same, so a piece that is
/// lost or handed over twice is noticed.
pub fn write_text(newlines: u8, to: &mut [u8]) {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwABCDEFGHIJKLMNOPQRSTUVW01234567";
    for piece in to.chunks_mut(LETTERS.len()) {
        piece.copy_from_slice(&LETTERS[..piece.len()]);
    }
    if newlines > 0 {
        let newlines = usize::from(newlines);
        to.iter_mut()
            .skip(newlines)
            .step_by(newlines + 1)
            .for_each(|byte| *byte = b'\n');
    }
}

/// The next answers of a source, the last one first. After them it would block.
#[derive(Default)]
pub struct Script {
    pub replies: Vec<Reply>,
    /// How many bytes the source has given.
    pub given: usize,
}

impl Script {
    /// Its next answers are these two.
    pub fn answers(&mut self, first: Reply, second: Reply) {
        self.replies = vec![second, first];
    }
}

impl io::Read for Script {
    fn read(&mut self, window: &mut [u8]) -> io::Result<usize> {
        let (size, newlines) = match self.replies.pop() {
            None => return Err(ErrorKind::WouldBlock.into()),
            Some(Reply::Interrupted) => return Err(ErrorKind::Interrupted.into()),
            Some(Reply::Fails) => return Err(ErrorKind::ConnectionReset.into()),
            Some(Reply::EndOfFile) => return Ok(0),
            Some(Reply::Short { bytes, len }) => {
                let size = usize::from(len).clamp(1, 4).min(window.len());
                window[..size].copy_from_slice(&bytes[..size]);
                self.given += size;
                return Ok(size);
            }
            Some(Reply::Fill { windows, newlines }) => {
                if windows > 1 {
                    self.replies.push(Reply::Fill {
                        windows: windows - 1,
                        newlines,
                    });
                }
                (window.len(), newlines)
            }
            Some(Reply::AllBut { bytes, newlines }) => {
                (window.len().saturating_sub(bytes.into()), newlines)
            }
        };
        let size = size.min(MOST_BYTES.saturating_sub(self.given));
        if size == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        write_text(newlines, &mut window[..size]);
        self.given += size;
        Ok(size)
    }
}
