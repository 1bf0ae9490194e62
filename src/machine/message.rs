//! The reading machine for sockets that keep messages apart (datagrams): one read is one message.
//!
//! A read gets one message, so the machine ends with the first message that comes. The machine
//! returns to the state `Looking` only after EINTR, or when it is advanced again after it was
//! blocked.

use std::io;

use super::read::{Inflow, Reader, State, Want};
use super::{Advance, End};
use crate::line_buffer::LineBuffer;

/// Where a reader's messages come from: a source that keeps them apart.
pub trait MessageSource {
    /// Whether a receive may be tried: see [`Source::is_ready`](super::Source::is_ready).
    fn is_ready(&mut self) -> bool;

    /// Puts the next message into the buffer, which is empty: at most the first `most` bytes of the
    /// message. A peek leaves the message in the source.
    fn receive(
        &mut self,
        buffer: &mut LineBuffer,
        most: usize,
        is_peek: bool,
    ) -> io::Result<Message>;
}

/// The part of a message that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// The whole message. It may be empty.
    Whole,
    /// The beginning of the message. The rest is gone, unless this was a peek.
    Cut,
    /// No message comes any more.
    End,
}

impl Reader {
    /// The same as `advance`, but for one message. A message that was put back is in the buffer,
    /// and comes first. An empty message has no bytes in the buffer, so `inflow.ended` stands for
    /// it. If a message is longer than the wanted size, the rest of it is gone, unless this is a
    /// peek.
    #[cold]
    pub(super) fn advance_message(
        &mut self,
        inflow: &mut Inflow,
        source: &mut dyn MessageSource,
    ) -> Advance {
        if self.state() == State::Blocked {
            self.go("advanced again", State::Looking);
        }
        let size = match self.want() {
            Want::Some(size) => size,
            _ => {
                self.go(
                    "the source has messages, and the reader wants a stream",
                    State::Ended,
                );
                return Advance::Failed(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "a message socket keeps messages apart: read(n) and peek(n) have one of them",
                ));
            }
        };
        if size == 0 || !inflow.is_empty() {
            inflow.ended &= size == 0 || self.is_peek();
            self.go("enough is buffered, or the end has come", State::Ended);
            return match inflow.len() {
                len if len > size && size > 0 => {
                    if !self.is_peek() {
                        inflow.buffer.truncate(size);
                    }
                    Advance::Ended(End::Limit, size)
                }
                len => Advance::Ended(End::Complete, len.min(size)),
            };
        }
        loop {
            self.go("not enough yet", State::Filling);
            if !source.is_ready() {
                return self.block();
            }
            let end = match source.receive(&mut inflow.buffer, size, self.is_peek()) {
                Ok(Message::Whole) => End::Complete,
                Ok(Message::Cut) => End::Limit,
                Ok(Message::End) => End::Eof,
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {
                        self.go("EINTR", State::Looking);
                        continue;
                    }
                    io::ErrorKind::WouldBlock => return self.block(),
                    _ => return self.fail(error),
                },
            };
            self.go(
                "a message has come, or the messages have ended",
                State::Ended,
            );
            return Advance::Ended(end, inflow.len());
        }
    }
}
