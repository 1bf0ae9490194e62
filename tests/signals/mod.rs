//! Signals at their defaults, as in a program that was started from a terminal.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// A test run that was started in the background, or by nohup, ignores these signals, and its
/// children inherit that: this command does not.
pub fn with_defaults(command: &mut Command) {
    let at_their_defaults = || {
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            // SAFETY: signal(2) may be called between fork and exec; it touches no memory of ours.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        Ok(())
    };
    // SAFETY: the closure does nothing that is not allowed between fork and exec.
    unsafe { command.pre_exec(at_their_defaults) };
}
