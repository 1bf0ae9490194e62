//! Signals as a file, for the examples: a task waits for Ctrl-C as for any other input. The crate
//! `signal-hook` has the handlers.

use asyncfile::AsyncFile;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level::pipe};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

pub struct Signals {
    /// Has a byte for each signal.
    pub file: AsyncFile,
    last: Arc<AtomicUsize>,
    /// Keeps the file from its end, also if no signal is caught.
    _writer: UnixStream,
}

impl Signals {
    /// Catches SIGINT, SIGTERM and SIGHUP from here on. One that is ignored (by nohup, or in a
    /// background job) stays ignored.
    pub fn new() -> io::Result<Signals> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("signals: {error}"));
        Signals::caught().map_err(named)
    }

    fn caught() -> io::Result<Signals> {
        let (reader, writer) = UnixStream::pair()?;
        let last = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            if !is_ignored(signal) {
                // In this order: the number is there before the byte that tells of it.
                flag::register_usize(signal, Arc::clone(&last), signal as usize)?;
                pipe::register(signal, writer.try_clone()?)?;
            }
        }
        Ok(Signals {
            file: AsyncFile::new(reader)?,
            last,
            _writer: writer,
        })
    }

    /// The number of the signal that came last.
    #[allow(dead_code)] // some examples treat all signals alike
    pub fn last(&self) -> i32 {
        self.last.load(Ordering::SeqCst) as i32
    }
}

fn is_ignored(signal: i32) -> bool {
    // SAFETY: the pointer is to a live structure, which the call fills in. A zeroed sigaction is a
    // valid one, and null for the new action asks only.
    let (answer, action) = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        (
            libc::sigaction(signal, std::ptr::null(), &mut action),
            action,
        )
    };
    answer == 0 && action.sa_sigaction == libc::SIG_IGN
}
