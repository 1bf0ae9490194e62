//! Runs a command and counts the lines that it prints: by asyncfile.

use asyncfile::{again, done, AsyncPipe, Scheduler};
use std::process::{Command, Stdio};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let mut command = Command::new(args.next().ok_or("which command?")?);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let pipe = AsyncPipe::spawn(command)?;
    let mut sched = Scheduler::new();
    let mut lines = 0;
    let counter = sched.spawn(pipe.readline(), move |task| match task.line()? {
        Some(_line) => {
            lines += 1;
            again()
        }
        None => done(lines),
    });
    let lines: u64 = sched.join(counter)?;
    println!("{lines} lines, {}", sched.block_on(pipe.exit())?);
    Ok(())
}
