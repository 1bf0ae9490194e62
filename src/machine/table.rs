//! Tables of transitions, in test and fuzzing builds. A table lists the edges that a machine may
//! take. This file notes which edges were taken on this thread, and compares the table with the
//! diagram in the comment at the head of the machine's source file.
//!
//! Each machine has a state type of its own, and one table.

use std::any::TypeId;
use std::cell::RefCell;
use std::fmt::Debug;

/// One edge of a machine: from a state, by a cause, to a state.
pub type Edge<S> = (S, &'static str, S);

thread_local! {
    /// The edges that machines have taken on this thread: for each type of state, a bit for each
    /// edge of its table. A bit is cheap to note, and a fuzz target takes millions of edges a
    /// second.
    static TAKEN: RefCell<Vec<(TypeId, u64)>> = const { RefCell::new(Vec::new()) };
}

/// Fails unless the edge is in the table.
pub fn take<S: Copy + Debug + PartialEq + 'static>(table: &[Edge<S>], edge: Edge<S>) {
    for (at, (from, cause, to)) in table.iter().enumerate() {
        if (*from, *to) == (edge.0, edge.2) && *cause == edge.1 {
            return note(TypeId::of::<S>(), 1 << at);
        }
    }
    panic!(
        "the table has no edge\n{}\nbut these:\n{}",
        line(&edge),
        drawing(table)
    );
}

fn note(machine: TypeId, edge: u64) {
    // `try_with` fails while the thread ends. No test asks for the edges then.
    let _ = TAKEN.try_with(|taken| {
        let mut taken = taken.borrow_mut();
        for (known, edges) in taken.iter_mut() {
            if *known == machine {
                *edges |= edge;
                return;
            }
        }
        taken.push((machine, edge));
    });
}

/// Forgets which edges of this machine were taken on this thread.
pub fn forget_taken<S: 'static>(_table: &[Edge<S>]) {
    TAKEN.with(|taken| {
        taken
            .borrow_mut()
            .retain(|(machine, _)| *machine != TypeId::of::<S>())
    });
}

/// Fails unless every edge of the table was taken on this thread since `forget_taken`.
pub fn assert_all_taken<S: Copy + Debug + 'static>(table: &[Edge<S>]) {
    let of_this = |(machine, _): &&(TypeId, u64)| *machine == TypeId::of::<S>();
    let taken = TAKEN.with(|taken| {
        taken
            .borrow()
            .iter()
            .find(of_this)
            .map_or(0, |(_, edges)| *edges)
    });
    let missing = table
        .iter()
        .enumerate()
        .filter(|(at, _)| taken & 1 << at == 0);
    let missing: Vec<String> = missing.map(|(_, edge)| line(edge)).collect();
    assert!(
        missing.is_empty(),
        "no sequence of events takes\n{}\nof this table:\n{}",
        missing.join("\n"),
        drawing(table)
    );
}

/// Fails unless exactly the lines of this table stand in the head of the machine's file.
pub fn assert_drawn<S: Copy + Debug>(table: &[Edge<S>], file: &str) {
    let is_arrow = |line: &&str| line.starts_with("//!") && line.contains("──►");
    let drawn: Vec<&str> = file
        .lines()
        .filter(is_arrow)
        .map(|line| line[3..].trim())
        .collect();
    let expected: Vec<String> = table.iter().map(line).collect();
    assert!(
        drawn == expected.iter().map(|line| line.trim()).collect::<Vec<_>>(),
        "the file's head shows something else than its table, which is:\n{}",
        drawing(table)
    );
}

/// Draws a table, with a line for each edge. The diagram in the head of the machine's file must
/// have the same lines.
fn drawing<S: Copy + Debug>(table: &[Edge<S>]) -> String {
    let lines: Vec<String> = table
        .iter()
        .map(|edge| format!("//! {}", line(edge)))
        .collect();
    lines.join("\n")
}

fn line<S: Debug>((from, cause, to): &Edge<S>) -> String {
    format!("{:<9} ── {cause} ──► {to:?}", format!("{from:?}"))
}
