//! Sequences of events, and sources and sinks that many tests share.

use std::io;

/// Calls `run` with every sequence of `depth` events; the shorter ones are their beginnings.
/// `shows(before, event)` is false if `event` can show nothing new behind `before` (None: at the
/// beginning), `shows(event, None)` if `event` can show nothing new as the last one. Returns how
/// many sequences there were.
pub fn for_each<E: Copy>(
    depth: usize,
    events: &[E],
    shows: fn(Option<E>, Option<E>) -> bool,
    run: &mut impl FnMut(&[E]),
) -> usize {
    fn go<E: Copy>(
        depth: usize,
        events: &[E],
        shows: fn(Option<E>, Option<E>) -> bool,
        sequence: &mut Vec<E>,
        run: &mut impl FnMut(&[E]),
    ) -> usize {
        let before = sequence.last().copied();
        if sequence.len() == depth {
            let is_shown = shows(before, None);
            if is_shown {
                run(sequence);
            }
            return usize::from(is_shown);
        }
        let mut count = 0;
        for event in events
            .iter()
            .copied()
            .filter(|event| shows(before, Some(*event)))
        {
            sequence.push(event);
            count += go(depth, events, shows, sequence, run);
            sequence.pop();
        }
        count
    }
    go(depth, events, shows, &mut Vec::new(), run)
}

/// Fails the test when it is called.
pub struct Silent;

impl io::Read for Silent {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        panic!("this source was not ready, and was read");
    }
}

impl io::Write for Silent {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        panic!("this sink was not ready, and was written to");
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A source at its end.
pub struct AtEnd;

impl io::Read for AtEnd {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
}
