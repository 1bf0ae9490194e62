//! A stream: one direction of a pipe or of a pair of sockets. It has the bytes in order, and knows
//! whether there are users at its two ends.

use std::collections::VecDeque;

use super::PIPE_BUF;

#[derive(Debug)]
pub(super) struct Stream {
    pub bytes: VecDeque<u8>,
    pub capacity: usize,
    /// Whether the end to read from is open.
    pub has_reader: bool,
    /// Whether the end to write to is open.
    pub has_writer: bool,
    /// Of sockets: the writer has closed while bytes in the other direction were unread. The reader
    /// gets an error once. It comes after the bytes of a stream, but before the messages that are
    /// left.
    pub is_reset: bool,
    /// Only for sockets that keep messages apart: the lengths of the messages whose bytes are in
    /// `bytes`, in order.
    pub messages: VecDeque<usize>,
    /// Only for sockets: urgent data has come, and no read was made since.
    pub is_urgent: bool,
}

/// The room that a message takes beside its bytes: Linux counts the memory of its sk_buff. Without
/// this there would be room for any number of empty messages.
const OVERHEAD: usize = 32;

impl Stream {
    pub fn new(capacity: usize) -> Stream {
        assert!(capacity > 0, "a stream that takes nothing");
        Stream {
            bytes: VecDeque::new(),
            capacity,
            has_reader: true,
            has_writer: true,
            is_reset: false,
            messages: VecDeque::new(),
            is_urgent: false,
        }
    }

    pub fn room(&self) -> usize {
        self.capacity.saturating_sub(self.used())
    }

    fn used(&self) -> usize {
        self.bytes.len() + self.messages.len() * OVERHEAD
    }

    /// Whether there is no byte, and no empty message.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.messages.is_empty()
    }

    /// A pipe takes at most this many bytes whole or not at all. A pipe that is smaller than
    /// Linux's smallest still takes something.
    pub fn whole(&self) -> usize {
        PIPE_BUF.min(self.capacity)
    }

    /// Whether poll(2) reports OUT for a pipe: one page of it is free (Linux's pipe_poll).
    pub fn pipe_has_room(&self) -> bool {
        self.room() >= self.whole()
    }

    /// Whether poll(2) reports OUT for a socket: three quarters of it are free (Linux's
    /// unix_writable).
    pub fn socket_has_room(&self) -> bool {
        self.used() * 4 <= self.capacity
    }

    /// Puts in as many bytes as fit. Returns how many.
    pub fn put(&mut self, bytes: &[u8]) -> usize {
        let size = bytes.len().min(self.room());
        self.bytes.extend(&bytes[..size]);
        size
    }

    /// Puts all bytes in as one message, if there is any room (Linux's sock_alloc_send_pskb).
    /// Returns whether there was room.
    pub fn put_message(&mut self, bytes: &[u8]) -> bool {
        let has_room = self.room() > 0;
        if has_room {
            self.bytes.extend(bytes);
            self.messages.push_back(bytes.len());
        }
        has_room
    }

    /// The next message, which stays.
    pub fn message(&self) -> Option<Vec<u8>> {
        let length = *self.messages.front()?;
        Some(self.bytes.iter().take(length).copied().collect())
    }

    /// Takes the next message out of the stream.
    pub fn take_message(&mut self) -> Option<Vec<u8>> {
        let message = self.message()?;
        self.messages.pop_front();
        self.bytes.drain(..message.len());
        Some(message)
    }

    /// Drops the bytes and messages, because nobody will read them.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.messages.clear();
    }

    /// Takes out as many bytes as there are and as fit. Returns how many.
    pub fn take(&mut self, into: &mut [u8]) -> usize {
        let size = into.len().min(self.bytes.len());
        let (front, back) = self.bytes.as_slices();
        let split = size.min(front.len());
        into[..split].copy_from_slice(&front[..split]);
        into[split..size].copy_from_slice(&back[..size - split]);
        self.bytes.drain(..size);
        self.is_urgent &= size == 0;
        size
    }
}
