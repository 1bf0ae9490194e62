//! Runs a command, feeds it, and has its output: by asyncfile.

use asyncfile::{AsyncPipe, Scheduler};
use std::process::Command;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let mut command = Command::new(args.next().ok_or("which command?")?);
    command.args(args);
    let pipe = AsyncPipe::piped(command)?;
    let output = Scheduler::new().block_on(pipe.communicate("one\ntwo\nthree"))?;
    println!("{} bytes, {}", output.stdout.len(), output.status);
    Ok(())
}
