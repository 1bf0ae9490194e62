//! Every sequence of events for a writer.

use super::writing;

#[test]
fn anything_may_happen_to_a_write() {
    assert_eq!(writing::to_a_write(), 224_240);
}

#[test]
fn anything_may_happen_to_a_write_that_must_poll_first() {
    assert_eq!(writing::to_a_write_that_must_poll_first(), 224_240);
}

#[test]
fn anything_may_happen_to_a_full_write() {
    assert_eq!(writing::to_a_full_write(), 224_240);
}

#[test]
fn anything_may_happen_to_a_full_write_that_must_poll_first() {
    assert_eq!(writing::to_a_full_write_that_must_poll_first(), 224_240);
}

#[test]
fn anything_may_happen_to_a_write_of_all() {
    assert_eq!(writing::to_a_write_of_all(), 224_240);
}

#[test]
fn a_write_of_nothing_ends_at_once_and_leaves_the_sink_alone() {
    assert_eq!(writing::to_a_write_of_nothing(), 3);
}

#[test]
fn anything_may_happen_to_one_that_moves_its_share() {
    assert_eq!(writing::to_one_that_moves_its_share(), 27);
}
