//! Every sequence of events for a reader of every kind.

use super::reading;

#[test]
fn anything_may_happen_to_a_read() {
    assert_eq!(reading::to_a_read(), 107_312);
}

#[test]
fn anything_may_happen_to_a_full_read() {
    assert_eq!(reading::to_a_full_read(), 107_312);
}

#[test]
fn anything_may_happen_to_a_read_to_end() {
    assert_eq!(reading::to_a_read_to_end(), 107_312);
}

#[test]
fn anything_may_happen_to_a_readline() {
    assert_eq!(reading::to_a_readline(), 107_312);
}

#[test]
fn anything_may_happen_to_a_readlines() {
    assert_eq!(reading::to_a_readlines(), 107_312);
}

#[test]
fn anything_may_happen_to_an_exact_read() {
    assert_eq!(reading::to_an_exact_read(), 17_331);
}

#[test]
fn anything_may_happen_to_a_peek() {
    assert_eq!(reading::to_a_peek(), 21_627);
}

#[test]
fn anything_may_happen_to_a_record_of_another_delimiter() {
    assert_eq!(reading::to_a_record_of_another_delimiter(), 32_514);
}

#[test]
fn anything_may_happen_to_messages() {
    assert_eq!(reading::to_messages(), 11_622);
}

#[test]
fn anything_may_happen_to_one_with_no_limit_or_another() {
    assert_eq!(reading::to_one_with_no_limit_or_another(), 38_544);
}

#[test]
fn anything_may_happen_to_one_that_wants_nothing_or_has_a_limit_of_0() {
    assert_eq!(
        reading::to_one_that_wants_nothing_or_has_a_limit_of_0(),
        23_244
    );
}

#[test]
fn anything_may_happen_to_one_that_moves_its_share() {
    assert_eq!(reading::to_one_that_moves_its_share(), 108);
}
