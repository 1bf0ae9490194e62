//! Every chunking of every string over {a, \n} of up to 8 bytes, with every limit, for every kind
//! of reader.

use std::io;

use asyncfile::machine::read::{Reader, Want};
use asyncfile::machine::End;

use super::naive::reading::{Answer, Rig};

const LONGEST: usize = 8;

/// Two to the power of (2n - 1) for each length n.
const CHUNKINGS: usize = 43_690;

/// A string, and where it is cut: after byte n if bit n is set.
#[derive(Clone, Copy, Debug)]
struct Chunks<'a> {
    text: &'a [u8],
    cuts: usize,
    at: usize,
}

impl<'a> Chunks<'a> {
    /// The next chunk, or as much of it as fits into `most`. Empty at the end.
    fn next(&mut self, most: usize) -> &'a [u8] {
        let from = self.at;
        while self.at < self.text.len() && self.at - from < most {
            self.at += 1;
            if self.cuts & (1 << (self.at - 1)) != 0 {
                break;
            }
        }
        &self.text[from..self.at]
    }
}

impl io::Read for Chunks<'_> {
    fn read(&mut self, window: &mut [u8]) -> io::Result<usize> {
        let chunk = self.next(window.len());
        window[..chunk.len()].copy_from_slice(chunk);
        Ok(chunk.len())
    }
}

/// Calls `run` with every chunking of every string. Returns how many there were.
fn for_each(run: &mut impl FnMut(Chunks)) -> usize {
    let mut count = 0;
    for len in 1..=LONGEST {
        for letters in 0..1_usize << len {
            let text: Vec<u8> = (0..len)
                .map(|at| {
                    if letters & (1 << at) != 0 {
                        b'\n'
                    } else {
                        b'a'
                    }
                })
                .collect();
            for cuts in 0..1_usize << (len - 1) {
                run(Chunks {
                    text: &text,
                    cuts,
                    at: 0,
                });
                count += 1;
            }
        }
    }
    count
}

/// The limits that make a difference for this many bytes.
fn limits(len: usize) -> impl Iterator<Item = usize> {
    (1..=len).chain([usize::MAX])
}

/// Reads to the end. The first reader wants `wants[0]`, the second `wants[1]` and so on, and then
/// again from the first.
fn read_all(mut chunks: Chunks, wants: &[Want]) {
    let mut rig = Rig::new();
    let mut which = wants.iter().cycle();
    let mut begin = || Reader::new(*which.next().expect("it goes round"));
    let mut reader = begin();
    loop {
        match rig.advance(&mut reader, &mut chunks) {
            Answer::Blocked => rig.poll_said(),
            Answer::Ended(End::Eof, 0) => break,
            Answer::Ended(_, len) if len > 0 => reader = begin(),
            other => panic!("{wants:?} of {chunks:?}: {other:?}"),
        }
    }
    assert!(
        rig.naive.taken() == chunks.text,
        "{wants:?} of {chunks:?}: {:?}",
        rig.naive.taken()
    );
}

#[test]
fn a_readline_with_any_limit_gets_every_chunking() {
    let count = for_each(&mut |chunks| {
        limits(chunks.text.len()).for_each(|limit| read_all(chunks, &[Want::Line(limit)]));
    });
    assert_eq!(count, CHUNKINGS);
}

#[test]
fn a_readlines_with_any_limit_gets_every_chunking() {
    let count = for_each(&mut |chunks| {
        limits(chunks.text.len()).for_each(|limit| read_all(chunks, &[Want::Lines(limit)]));
    });
    assert_eq!(count, CHUNKINGS);
}

#[test]
fn readers_of_every_kind_one_after_the_other_get_every_chunking() {
    let count = for_each(&mut |chunks| {
        [1, 2, 3, usize::MAX].into_iter().for_each(|limit| {
            let lines = [Want::Line(limit), Want::Lines(limit)];
            read_all(
                chunks,
                &[
                    lines[0],
                    Want::Some(1),
                    lines[1],
                    Want::Full(2),
                    lines[0],
                    Want::ToEnd(limit),
                ],
            );
        });
    });
    assert_eq!(count, CHUNKINGS);
}

#[test]
fn a_read_of_any_size_gets_every_chunking() {
    // Such a reader does not look at the bytes: one string of each length is enough.
    let mut count = 0;
    for_each(&mut |chunks| {
        if chunks.text.iter().all(|&byte| byte == b'a') {
            for limit in limits(chunks.text.len()) {
                for want in [Want::Some(limit), Want::Full(limit), Want::ToEnd(limit)] {
                    let mut text = *b"abcdefgh";
                    let text = &mut text[..chunks.text.len()];
                    read_all(Chunks { text, ..chunks }, &[want]);
                    count += 1;
                }
            }
        }
    });
    assert_eq!(count, 6_144);
}

#[test]
fn a_buffer_gives_the_same_lines_however_they_came_in() {
    let count = for_each(&mut |chunks| {
        limits(chunks.text.len()).for_each(|limit| {
            let (mut rig, mut chunks) = (Rig::new(), chunks);
            loop {
                let chunk = chunks.next(usize::MAX);
                if chunk.is_empty() {
                    break;
                }
                rig.append(chunk);
                while let Some(len) = rig.look(limit) {
                    rig.consume(len);
                }
            }
        });
    });
    assert_eq!(count, CHUNKINGS);
}
