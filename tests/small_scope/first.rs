//! Every sequence of events for two readers of one file that are advanced in turn, as the readers
//! of a `first` are: the first to end is served, and the other one is dropped.

use asyncfile::machine::read::{Reader, Want};
use asyncfile::machine::End;

use super::naive::reading::{Answer, Rig};
use super::reading::{events, read_the_rest, shows, Event, Script};
use super::script::{self, Silent};

fn happen(events: &[Event], wants: [Want; 2], releases: bool) {
    let mut rig = Rig::new();
    let mut script = Script::new(events);
    let mut blocked = None;
    while let Some(event) = script.next() {
        let mut readers = match blocked.take() {
            Some(readers) => readers,
            None => {
                let mut readers = wants.map(Reader::new);
                match readers
                    .each_mut()
                    .map(|reader| rig.advance(reader, &mut Silent))
                {
                    [Answer::Blocked, Answer::Blocked] => readers,
                    _ => continue,
                }
            }
        };
        let answers = match event {
            Event::Cancel => {
                script.skip();
                continue;
            }
            Event::Due => {
                script.skip();
                [rig.time_out(&mut readers[0]), Answer::Blocked]
            }
            _ => {
                rig.poll_said();
                let first = rig.advance(&mut readers[0], &mut script);
                let second = match first {
                    Answer::Blocked => rig.advance(&mut readers[1], &mut script),
                    _ => first,
                };
                [first, second]
            }
        };
        if answers == [Answer::Blocked; 2] {
            blocked = Some(readers);
            if releases {
                rig.release_spare();
            }
        }
    }
    read_the_rest(rig, script.given());
}

fn happens_to(first: Want, second: Want) {
    let mut releases = false;
    let count = script::for_each(5, &events([1, 3]), shows, &mut |events| {
        releases = !releases;
        happen(events, [first, second], releases);
    });
    assert_eq!(count, 15_183);
}

#[test]
fn of_a_readline_and_a_read_the_first_that_has_enough_ends() {
    happens_to(Want::Line(usize::MAX), Want::Some(2));
}

#[test]
fn of_a_readline_and_a_full_read_the_first_that_has_enough_ends() {
    happens_to(Want::Line(usize::MAX), Want::Full(3));
}

#[test]
fn of_a_full_read_and_a_readline_the_first_that_has_enough_ends() {
    happens_to(Want::Full(3), Want::Line(2));
}

#[test]
fn of_a_readlines_and_a_read_to_end_the_first_that_has_enough_ends() {
    happens_to(Want::Lines(4), Want::ToEnd(3));
}

#[test]
fn a_reader_finds_what_another_has_read_ahead_of_it() {
    let mut rig = Rig::new();
    let (mut line, mut read) = (
        Reader::new(Want::Line(usize::MAX)),
        Reader::new(Want::Some(2)),
    );
    assert_eq!(rig.advance(&mut line, &mut Silent), Answer::Blocked);
    assert_eq!(rig.advance(&mut read, &mut Silent), Answer::Blocked);
    rig.poll_said();
    assert_eq!(rig.advance(&mut line, &mut &b"abcde"[..]), Answer::Blocked);
    assert_eq!(
        rig.advance(&mut read, &mut Silent),
        Answer::Ended(End::Complete, 2)
    );
}
