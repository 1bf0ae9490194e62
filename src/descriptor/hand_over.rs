//! How a descriptor passes from one owner to the next.

use std::os::unix::io::OwnedFd;

use super::standing::{Standing, Stream};
use super::Descriptor;
use crate::error::Cause;

impl Descriptor {
    /// Hands the descriptor over to a new owner, its flags and its readiness as they are, with the
    /// bytes that were read ahead. Tasks that wait on it here are advanced next, and find that this
    /// stream is absent. None if it is not open.
    pub fn hand_over(&self, stream: Stream) -> Option<Descriptor> {
        let mut state = self.state();
        if state.standing != Standing::Open {
            return None;
        }
        let descriptor = Descriptor::new(self.port.hand_over());
        descriptor.state().inflow = std::mem::take(&mut state.inflow);
        state.standing = Standing::Absent(stream);
        self.wake_waiting(state);
        Some(descriptor)
    }

    /// Another descriptor of the same open file.
    pub fn try_clone(&self) -> Result<OwnedFd, Cause> {
        match self.state().standing.refusal() {
            Some(refusal) => Err(refusal),
            None => self.port.try_clone().map_err(Cause::System),
        }
    }

    /// Gives the descriptor up, its flags as they were found, with the bytes that were read ahead.
    /// None if it is closed.
    pub fn into_inner(self) -> Option<(OwnedFd, Vec<u8>)> {
        let mut state = self.state();
        if state.standing != Standing::Open {
            return None;
        }
        let bytes = state.inflow.buffer.bytes().to_vec();
        state.standing = Standing::Closed;
        drop(state);
        self.port.restore();
        Some((self.port.give_up(), bytes))
    }
}
