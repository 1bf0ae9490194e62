//! How a descriptor passes from one owner to the next.

use std::os::unix::io::OwnedFd;

use super::standing::{Standing, Stream};
use super::Descriptor;
use crate::error::Cause;

impl Descriptor {
    /// Hands the descriptor over to a new owner, with its flags, its readiness and the bytes that
    /// were read ahead. The tasks that wait on this `Descriptor` are advanced next, and find that
    /// the stream is absent. Returns None if the file is not open.
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

    /// Another descriptor of the same open file description.
    pub fn try_clone(&self) -> Result<OwnedFd, Cause> {
        match self.state().standing.refusal() {
            Some(refusal) => Err(refusal),
            None => self.port.try_clone().map_err(Cause::System),
        }
    }

    /// Gives the descriptor up, with its flags as they were found, and the bytes that were read
    /// ahead. Returns None if the file is closed, or its descriptor was closed behind the library's
    /// back.
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
