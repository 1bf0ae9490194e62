//! Sockets that keep messages apart: which message comes next, and whether a task was handed it.

use std::collections::VecDeque;
use std::io;

use asyncfile::machine::read::Want;
use asyncfile::{sim, End, Task};

use super::world::{FileId, World};

/// What came in on a message socket.
pub struct Messages {
    /// A longer one is EMSGSIZE.
    pub capacity: usize,
    /// The peer can end them.
    pub have_end: bool,
    /// Those that came and were not handed over, in order.
    came: VecDeque<Message>,
    /// What the last peek was shown, if nothing was received since.
    shown: Option<Message>,
    /// The kernel said last that none comes any more.
    have_ended: bool,
}

/// A message, and how much of it came.
#[derive(Clone, Debug)]
struct Message {
    all: Vec<u8>,
    came: usize,
}

impl Messages {
    pub fn new(capacity: usize, have_end: bool) -> Messages {
        Messages {
            capacity,
            have_end,
            came: VecDeque::new(),
            shown: None,
            have_ended: false,
        }
    }

    /// Of the same socket, for another owner: none has come yet.
    pub fn of_same_kind(&self) -> Messages {
        Messages::new(self.capacity, self.have_end)
    }

    /// The kernel has handed over this one, or shown it.
    pub fn receive(&mut self, all: Vec<u8>, came: usize, is_peek: bool) {
        let message = Message { all, came };
        self.have_ended = false;
        self.shown = None;
        match is_peek {
            true => self.shown = Some(message),
            false => self.came.push_back(message),
        }
    }

    /// The kernel has said that none comes any more.
    pub fn end(&mut self) {
        (self.have_ended, self.shown) = (true, None);
    }

    /// The bytes that came and were not handed over: of what a `first` has put back.
    pub fn bytes(&self) -> Vec<u8> {
        let parts = self.came.iter().map(|message| &message.all[..message.came]);
        parts.flatten().copied().collect()
    }

    /// The file is closed.
    pub fn forget(&mut self) {
        self.came.clear();
        self.shown = None;
    }

    /// What a read of so many bytes had of the next one stays in the file: a `first` from outside
    /// has put it back. What was cut off is gone.
    pub fn put_back(&mut self, size: usize) {
        if let Some(message) = self.came.front_mut() {
            message.came = message.came.min(size);
            message.all.truncate(message.came);
        }
    }

    /// How a read of so many bytes is to end.
    fn ends_next(&self, size: usize) -> End {
        match self.came.front() {
            None => End::Eof,
            Some(message) if message.all.len() > size => End::Limit,
            Some(_) => End::Complete,
        }
    }

    /// The next message that a reader is owed, which a peek leaves.
    fn next(&mut self, is_peek: bool) -> Option<Message> {
        match (self.came.front(), is_peek) {
            (Some(message), true) => Some(message.clone()),
            (None, true) => self.shown.take(),
            (_, false) => self.came.pop_front(),
        }
    }
}

/// Whether a read was handed one message, whole or its beginning.
pub fn read(
    world: &World,
    id: FileId,
    (want, is_peek): (Want, bool),
    task: &mut Task<'_, '_>,
    end: End,
) -> io::Result<usize> {
    let bytes = task.bytes()?;
    match want {
        Want::Some(size) => check(world, id, (size, is_peek), bytes, end),
        _ => panic!("{want:?} of a message socket is no error"),
    }
    Ok(bytes.len())
}

/// The same, for ordinary code, which does not learn how the read ended.
pub fn check_bytes(world: &World, id: FileId, size: usize, bytes: &[u8]) {
    let end = match world.files.borrow()[id]
        .messages
        .as_ref()
        .map(|all| all.ends_next(size))
    {
        Some(end) => end,
        None => return,
    };
    check(world, id, (size, false), bytes, end);
}

/// Whether a read of all has ended with the end.
pub fn is_end(world: &World, id: FileId, bytes: &[u8]) -> bool {
    let files = world.files.borrow();
    let messages = files[id].messages.as_ref().expect("it keeps them apart");
    bytes.is_empty() && messages.came.is_empty() && messages.have_ended
}

/// The same, for bytes that were handed over.
fn check(world: &World, id: FileId, (size, is_peek): (usize, bool), bytes: &[u8], end: End) {
    if size == 0 {
        assert_eq!((bytes, end), (&[][..], End::Complete), "a read of nothing");
        return;
    }
    let mut files = world.files.borrow_mut();
    let (fd, is_shared) = (files[id].fd, files[id].is_shared);
    let messages = files[id].messages.as_mut().expect("it keeps them apart");
    let (unread, is_over) = sim::with(|kernel| kernel.messages(fd)).expect("a kernel");
    match messages.next(is_peek) {
        // An empty one in front of the end, with nothing but empty ones behind it, cannot be told
        // from it.
        Some(message) if message.all.is_empty() && end == End::Eof => {
            assert!(
                is_over && unread == 0,
                "fd {fd}: the end, and it has not come"
            );
            world.count("messages", "Ended".into());
        }
        Some(message) => {
            // A second user may have taken the message whose length was asked for; then a longer
            // one is cut.
            let most = if is_shared {
                message.came.min(size)
            } else {
                size
            };
            let len = message.all.len().min(most);
            let as_it_is = if len < message.all.len() {
                End::Limit
            } else {
                End::Complete
            };
            assert_eq!(bytes, &message.all[..len], "fd {fd}: the next message");
            assert_eq!((end, bytes.len()), (as_it_is, len), "fd {fd}");
            let kind = match (is_peek, end, bytes.is_empty()) {
                (true, _, _) => "Shown",
                (_, End::Limit, _) => "Cut",
                (_, _, true) => "Empty",
                _ => "Whole",
            };
            world.count("messages", kind.into());
        }
        None => {
            assert!(
                messages.have_ended,
                "fd {fd}: {bytes:?}, and no message came"
            );
            // A poll that withholds the hangup makes the end an empty message.
            let is_right = end == End::Eof || !world.is_calm && end == End::Complete;
            assert!(
                is_right && bytes.is_empty(),
                "fd {fd}: {end:?} of {bytes:?}"
            );
            world.count("messages", "Ended".into());
        }
    }
}
