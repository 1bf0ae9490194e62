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
use super::{communicate, exit, read, write, Advance, Source};

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
