//! Runs a command, reads its first line with a deadline, and sleeps: by asyncfile.

use asyncfile::{sleep, AsyncPipe, Scheduler};
use std::process::{Command, Stdio};
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let mut command = Command::new(args.next().ok_or("which command?")?);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let pipe = AsyncPipe::spawn(command)?;
    let mut sched = Scheduler::new();
    let read = pipe.readline().timeout(Duration::from_secs(5));
    let line = sched.block_on(read)?.unwrap_or_default();
    sched.block_on(sleep(Duration::from_millis(1)))?;
    println!("{} bytes", line.len());
    Ok(())
}
