//! Every sequence of events for a communicate.

use super::communicating;

#[test]
fn anything_may_be_said() {
    assert_eq!(communicating::to_all_that_is_said(), 182_143);
}

#[test]
fn anything_may_be_said_on_stdout_alone() {
    assert_eq!(communicating::to_what_is_said_on_stdout_alone(), 16_402);
}

#[test]
fn anything_may_happen_to_the_last_words() {
    assert_eq!(communicating::to_the_last_words(), 71_001);
}

#[test]
fn anything_may_happen_to_bytes_that_are_fed() {
    assert_eq!(communicating::to_bytes_that_are_fed(), 75_339);
}

#[test]
fn anything_may_happen_to_a_stream_that_is_fed() {
    assert_eq!(communicating::to_a_stream_that_is_fed(), 123_179);
}

#[test]
fn anything_may_happen_to_a_file_that_is_fed() {
    assert_eq!(communicating::to_a_file_that_is_fed(), 41_444);
}

#[test]
fn anything_may_happen_while_an_input_is_silent() {
    assert_eq!(communicating::to_one_whose_input_is_silent(), 846);
}

#[test]
fn a_stdin_that_is_closed_is_not_fed() {
    assert_eq!(communicating::to_one_whose_stdin_is_closed(), 3);
}

#[test]
fn a_share_is_moved_at_a_time() {
    assert_eq!(communicating::to_one_that_moves_its_share(), 4);
}

#[test]
fn a_stream_whose_end_a_reader_has_left_has_ended() {
    assert_eq!(communicating::to_a_stream_whose_end_a_reader_has_left(), 1);
}
