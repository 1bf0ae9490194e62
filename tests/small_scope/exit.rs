//! Every sequence of events for a wait for an exit.

use super::exiting;

#[test]
fn anything_may_happen_to_a_wait_for_an_exit() {
    assert_eq!(exiting::to_a_wait_for_an_exit(), 135_225);
}
