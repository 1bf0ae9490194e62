//! A stream: one direction of a pipe or of a pair of sockets, with its bytes in order, and the
//! users at its two ends.

use std::collections::VecDeque;

use super::PIPE_BUF;

#[derive(Debug)]
pub(super) struct Stream {
    pub bytes: VecDeque<u8>,
    pub capacity: usize,
    /// Somebody has the end to read from.
    pub has_reader: bool,
    /// Somebody has the end to write to.
    pub has_writer: bool,
    /// Of sockets: whoever wrote has closed with bytes unread on the other direction. The reader is
    /// told once, after the bytes.
    pub is_reset: bool,
}

impl Stream {
    pub fn new(capacity: usize) -> Stream {
        assert!(capacity > 0, "a stream that takes nothing");
        Stream {
            bytes: VecDeque::new(),
            capacity,
            has_reader: true,
            has_writer: true,
            is_reset: false,
        }
    }

    pub fn room(&self) -> usize {
        self.capacity - self.bytes.len()
    }

    /// So many bytes at most a pipe takes whole or not at all. A pipe smaller than the smallest of
    /// Linux still takes something.
    pub fn whole(&self) -> usize {
        PIPE_BUF.min(self.capacity)
    }

    /// Whether poll(2) says OUT of a pipe: one page is free (Linux's pipe_poll).
    pub fn pipe_has_room(&self) -> bool {
        self.room() >= self.whole()
    }

    /// Whether poll(2) says OUT of a socket: three quarters are free (Linux's unix_writable).
    pub fn socket_has_room(&self) -> bool {
        self.bytes.len() * 4 <= self.capacity
    }

    /// Puts in as many as fit, and says how many.
    pub fn put(&mut self, bytes: &[u8]) -> usize {
        let size = bytes.len().min(self.room());
        self.bytes.extend(&bytes[..size]);
        size
    }

    /// Takes out as many as there are, and says how many.
    pub fn take(&mut self, into: &mut [u8]) -> usize {
        let size = into.len().min(self.bytes.len());
        let (front, back) = self.bytes.as_slices();
        let split = size.min(front.len());
        into[..split].copy_from_slice(&front[..split]);
        into[split..size].copy_from_slice(&back[..size - split]);
        self.bytes.drain(..size);
        size
    }
}
