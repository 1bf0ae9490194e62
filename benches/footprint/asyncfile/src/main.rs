//! Runs a command and counts the lines that it prints: by asyncfile.

use asyncfile::{done, wait, AsyncPipe, Scheduler};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let pipe = AsyncPipe::spawn(std::process::Command::new(args.next().ok_or("which command?")?).args(args))?;
    let mut sched = Scheduler::new();
    let mut lines = 0;
    let reader = pipe.clone();
    let counter = sched.spawn(pipe.readline(), move |task| match task.line()? {
        Some(_line) => {
            lines += 1;
            wait(reader.readline())
        }
        None => done(lines),
    });
    let lines: u64 = sched.join(counter)?;
    println!("{lines} lines, {}", sched.block_on(pipe.exit())?);
    Ok(())
}
