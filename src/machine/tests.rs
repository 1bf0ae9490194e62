//! Tests of the machines' tables. The tests try all short sequences of events. The machine must
//! take exactly the edges of its table. The diagram in the head of the machine's file shows that
//! table.
//!
//! In every test build of the library, a sequence fails if it takes an edge that is not in the
//! table.

use std::fmt::Debug;
use std::io;

use super::read::{Inflow, Reader, Want};
use super::table::{self, Edge};
use super::write::Writer;
use super::{communicate, exit, read, write, Advance, End, Sink, Source, SHARE};

#[path = "../../tests/small_scope/communicating.rs"]
mod communicating;
#[path = "../../tests/small_scope/exiting.rs"]
mod exiting;
#[path = "../../tests/naive/mod.rs"]
mod naive;
#[path = "../../tests/small_scope/reading.rs"]
mod reading;
#[path = "../../tests/small_scope/script.rs"]
pub(crate) mod script;
#[path = "../../tests/small_scope/writing.rs"]
mod writing;

/// Fails unless the drivers take each edge of the table, and the diagram in the file's head shows
/// the table. A driver tries all sequences of some events, and returns how many there were.
fn assert_holds<S>(table: &[Edge<S>], file: &str, drivers: &[fn() -> usize])
where
    S: Copy + Debug + PartialEq + 'static,
{
    table::assert_drawn(table, file);
    table::forget_taken(table);
    for driver in drivers {
        assert!(driver() > 0);
    }
    table::assert_all_taken(table);
}

// One test for each machine.

#[test]
fn a_reader_takes_exactly_the_edges_of_its_table_which_its_diagram_shows() {
    let drivers: &[fn() -> usize] = &[
        reading::to_a_read,
        reading::to_a_full_read,
        reading::to_a_read_to_end,
        reading::to_a_readline,
        reading::to_a_readlines,
        reading::to_an_exact_read,
        reading::to_a_peek,
        reading::to_messages,
        reading::to_a_record_of_another_delimiter,
        reading::to_one_with_no_limit_or_another,
        reading::to_one_that_wants_nothing_or_has_a_limit_of_0,
        reading::to_one_that_moves_its_share,
    ];
    assert_holds(read::TRANSITIONS, include_str!("read.rs"), drivers);
}

#[test]
fn a_writer_takes_exactly_the_edges_of_its_table_which_its_diagram_shows() {
    let drivers: &[fn() -> usize] = &[
        writing::to_a_write,
        writing::to_a_write_that_must_poll_first,
        writing::to_a_full_write,
        writing::to_a_full_write_that_must_poll_first,
        writing::to_a_write_of_all,
        writing::to_a_write_of_nothing,
        writing::to_one_that_moves_its_share,
    ];
    assert_holds(write::TRANSITIONS, include_str!("write.rs"), drivers);
}

#[test]
fn a_communicate_takes_exactly_the_edges_of_its_table_which_its_diagram_shows() {
    let drivers: &[fn() -> usize] = &[
        communicating::to_all_that_is_said,
        communicating::to_what_is_said_on_stdout_alone,
        communicating::to_the_last_words,
        communicating::to_bytes_that_are_fed,
        communicating::to_a_stream_that_is_fed,
        communicating::to_a_file_that_is_fed,
        communicating::to_one_whose_input_is_silent,
        communicating::to_one_whose_stdin_is_closed,
        communicating::to_one_that_moves_its_share,
        communicating::to_a_stream_whose_end_a_reader_has_left,
    ];
    let head = include_str!("communicate.rs");
    assert_holds(communicate::TRANSITIONS, head, drivers);
}

#[test]
fn a_wait_for_an_exit_takes_exactly_the_edges_of_its_table_which_its_diagram_shows() {
    let drivers: &[fn() -> usize] = &[exiting::to_a_wait_for_an_exit];
    assert_holds(exit::TRANSITIONS, include_str!("exit.rs"), drivers);
}

#[test]
#[should_panic(
    expected = "no sequence of events takes\nBlocked   ── advanced again ──► Looking\nof"
)]
fn an_edge_that_no_sequence_takes_fails_the_test() {
    let edge = (read::State::Blocked, "advanced again", read::State::Looking);
    table::forget_taken(&[edge]);
    table::assert_all_taken(&[edge]);
}

#[test]
#[should_panic(expected = "the table has no edge\nEnded     ── a mistake ──► Looking\nbut")]
fn an_edge_that_is_not_in_the_table_fails_the_test() {
    let edge = (read::State::Ended, "a mistake", read::State::Looking);
    table::take(read::TRANSITIONS, edge);
}

#[test]
#[should_panic(expected = "the file's head shows something else than its table")]
fn a_diagram_that_is_not_the_tables_fails_the_test() {
    table::assert_drawn(read::TRANSITIONS, include_str!("write.rs"));
}

/// A source that is never ready.
struct NotNow;

impl Source for NotNow {
    fn is_ready(&mut self) -> bool {
        false
    }

    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        panic!("this source was not ready, and was read");
    }
}

#[test]
fn to_block_at_once_is_to_advance_where_nothing_is_buffered_and_the_source_is_not_ready() {
    let kinds: [fn(usize) -> Want; 6] = [
        Want::Some,
        Want::Full,
        Want::Exact,
        Want::ToEnd,
        Want::Line,
        Want::Lines,
    ];
    for kind in kinds {
        for size in [0, 1, usize::MAX] {
            let want = kind(size);
            let (mut at_once, mut advanced) = (Reader::new(want), Reader::new(want));
            for _ in 0..2 {
                let is_blocked = at_once.block_at_once();
                let advance = advanced.advance(&mut Inflow::default(), &mut NotNow);
                assert_eq!(is_blocked, matches!(advance, Advance::Blocked), "{want:?}");
                if !is_blocked {
                    assert_eq!(at_once.state(), read::State::Looking, "{want:?}");
                    break; // its driver advances it
                }
                assert_eq!(at_once.state(), advanced.state(), "{want:?}");
            }
        }
    }
}

/// A source that gives one byte at a time, and notes how large the windows were.
struct Narrow(Vec<usize>);

impl Source for Narrow {
    fn is_ready(&mut self) -> bool {
        true
    }

    fn read(&mut self, window: &mut [u8]) -> io::Result<usize> {
        window[0] = b"a;\n"[self.0.len() % 3];
        self.0.push(window.len());
        Ok(1)
    }
}

#[test]
fn a_reader_does_as_it_was_set() {
    let read = |reader: &mut Reader, inflow: &mut Inflow| -> Vec<usize> {
        let mut source = Narrow(Vec::new());
        let end = reader.advance(inflow, &mut source);
        assert!(matches!(end, Advance::Ended(End::Complete, len) if len == source.0.len()));
        source.0
    };
    let mut reader = Reader::new(Want::Line(80));
    let usual = read(&mut reader, &mut Inflow::default());
    assert!(usual.len() == 3 && usual[0] > 7, "{usual:?}");
    let mut again = reader.afresh();
    assert_eq!(again.state(), read::State::Looking);
    again.set_delimiter(b';');
    again.set_window(7);
    assert_eq!(read(&mut again, &mut Inflow::default()), [7, 7]);
    again.set_window(1);
    let mut again = again.afresh();
    assert_eq!(read(&mut again, &mut Inflow::default()), [1, 1]);
    let mut again = again.afresh();
    again.set_window(0);
    assert_eq!(read(&mut again, &mut Inflow::default()), usual[..2]);
    let mut full = Reader::new(Want::Some(1));
    full.set_want(Want::Full(2));
    assert_eq!(read(&mut full, &mut Inflow::default()), [2, 1]);
}

#[test]
fn a_peek_leaves_the_end_for_the_next_reader() {
    let mut inflow = Inflow::default();
    for is_peek in [true, true, false] {
        let mut reader = Reader::new(Want::Some(1));
        if is_peek {
            reader.set_peek();
        }
        assert_eq!(reader.is_peek(), is_peek);
        let end = reader.advance(&mut inflow, &mut &b""[..]);
        assert!(matches!(end, Advance::Ended(End::Eof, 0)), "{end:?}");
        assert_eq!(inflow.ended, is_peek);
    }
}

/// A sink of messages that takes them whole.
struct Messages(Vec<Vec<u8>>);

impl Sink for Messages {
    fn takes_messages(&self) -> bool {
        true
    }

    fn is_ready(&mut self) -> bool {
        true
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(bytes.to_vec());
        Ok(bytes.len())
    }
}

#[test]
fn one_write_is_one_message_also_an_empty_one_and_one_longer_than_the_share() {
    let long = vec![b'a'; SHARE + 1];
    for message in [&b""[..], b"a", &long] {
        let mut sink = Messages(Vec::new());
        let end = Writer::new().advance(message, &mut sink);
        assert!(matches!(end, Advance::Ended(End::Complete, len) if len == message.len()));
        assert_eq!(sink.0, [message]);
    }
}
