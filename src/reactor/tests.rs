//! The poll set.

use super::*;
use libc::{POLLIN, POLLOUT};
use std::fs::File;
use std::os::unix::io::AsRawFd;

/// A watch that notes what it is called with.
#[derive(Default)]
struct Note {
    told: Cell<Option<c_short>>,
    is_lost: Cell<bool>,
}

impl Watch for Note {
    fn on_ready(self: Rc<Self>, revents: c_short) {
        self.told.set(Some(revents));
    }

    fn on_lost(self: Rc<Self>) {
        self.is_lost.set(true);
    }
}

fn watch(reactor: &Reactor, fd: RawFd, events: c_short) -> Rc<Note> {
    let note = Rc::new(Note::default());
    reactor.watch(fd, events, Rc::clone(&note) as Rc<dyn Watch>);
    note
}

fn shown(reactor: &Reactor) -> Vec<RawFd> {
    let mut set = Vec::new();
    reactor.show(&mut set);
    reactor.check_poll_set();
    set.iter().map(|entry| entry.fd).collect()
}

#[test]
fn the_set_stays_compact_when_entries_go() {
    let reactor = Reactor::default();
    let _notes: Vec<_> = (0..5).map(|fd| watch(&reactor, fd, POLLIN)).collect();
    reactor.unwatch(1);
    reactor.unwatch(4);
    reactor.unwatch(4);
    let mut fds = shown(&reactor);
    fds.sort_unstable();
    assert_eq!(fds, [0, 2, 3]);
    reactor.unwatch(1000);
}

#[test]
fn a_watch_that_leaves_and_comes_back_finds_its_place() {
    let reactor = Reactor::default();
    let _notes: Vec<_> = (0..5).map(|fd| watch(&reactor, fd, POLLIN)).collect();
    reactor.unwatch(1);
    reactor.unwatch(0);
    reactor.unwatch(3);
    let _again = watch(&reactor, 1, POLLIN);
    assert_eq!(shown(&reactor)[1], 1);
    let mut fds = shown(&reactor);
    fds.sort_unstable();
    assert_eq!(fds, [1, 2, 4]);
}

#[test]
fn one_descriptor_has_one_entry_and_its_second_owner_displaces_the_first() {
    let reactor = Reactor::default();
    let first = watch(&reactor, 7, POLLIN);
    reactor.watch(7, POLLIN | POLLOUT, Rc::clone(&first) as Rc<dyn Watch>);
    assert!(
        !first.is_lost.get(),
        "the same owner changes what it waits for"
    );
    let second = watch(&reactor, 7, POLLIN);
    assert!(first.is_lost.get() && !second.is_lost.get());
    assert_eq!(shown(&reactor), [7]);
}

#[test]
fn a_watch_is_told_once_and_then_is_out_of_the_set() {
    let reactor = Reactor::default();
    let file = File::open("/dev/null").unwrap();
    let note = watch(&reactor, file.as_raw_fd(), POLLIN);
    reactor.ask(Wait::Not).unwrap();
    assert_eq!(note.told.take(), Some(POLLIN));
    reactor.ask(Wait::Not).unwrap();
    assert_eq!(note.told.take(), None);
    assert!(shown(&reactor).is_empty());
}

#[test]
fn a_foreign_answer_counts_only_for_an_entry_that_was_shown() {
    let reactor = Reactor::default();
    let before = watch(&reactor, 3, POLLIN);
    shown(&reactor);
    let after = watch(&reactor, 4, POLLIN);
    reactor.answered(4, POLLIN);
    assert_eq!(after.told.get(), None);
    reactor.unwatch(3);
    let reused = watch(&reactor, 3, POLLIN);
    reactor.answered(3, POLLIN);
    assert_eq!((before.told.get(), reused.told.get()), (None, None));
    shown(&reactor);
    reactor.answered(3, POLLIN);
    assert_eq!(reused.told.get(), Some(POLLIN));
    reactor.answered(99, POLLIN);
}
