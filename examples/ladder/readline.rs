//! A readline as a machine. Rungs 4 to 7 use it as it is. It knows no descriptor and no time: it is
//! given a source, which may say "not now" (WouldBlock), and it never waits.
//!
//! ```text
//! Looking ── a newline is buffered ──► Ended        Filling ── bytes ──► Looking
//! Looking ── not enough yet ──► Filling             Filling ── end of file, or an error ──► Ended
//! Blocked ── advanced again ──► Looking             Filling ── "not now" ──► Blocked
//! ```

use memchr::memchr;
use std::io::{self, ErrorKind};

/// One line, its newline included; at the end of file the rest, then "" again and again.
pub type Outcome = io::Result<String>;

/// The bytes that came in and were not handed over. All that the machine remembers is here: it may
/// be left alone in any state, and nothing is lost.
#[derive(Default)]
pub struct Readline {
    buffer: Vec<u8>,
}

impl Readline {
    /// Goes as far as it can. None: it is blocked.
    pub fn advance(
        &mut self,
        mut source: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> Option<Outcome> {
        let mut room = [0; 16];
        loop {
            // Looking
            if let Some(at) = memchr(b'\n', &self.buffer) {
                return Some(Ok(self.take(at + 1)));
            }
            // Filling
            match source(&mut room) {
                Ok(0) => return Some(Ok(self.take(self.buffer.len()))),
                Ok(len) => self.buffer.extend_from_slice(&room[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }

    fn take(&mut self, len: usize) -> String {
        let line: Vec<u8> = self.buffer.drain(..len).collect();
        String::from_utf8_lossy(&line).into_owned()
    }
}
