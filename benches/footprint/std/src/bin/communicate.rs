//! Runs a command, feeds it, and has its output: by std alone, with a thread.

use std::io::Write;
use std::process::{Command, Stdio};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let mut command = Command::new(args.next().ok_or("which command?")?);
    let mut child = command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().expect("piped");
    let feeder = std::thread::spawn(move || input.write_all(b"one\ntwo\nthree"));
    let output = child.wait_with_output()?;
    feeder.join().expect("it does not panic")?;
    println!("{} bytes, {}", output.stdout.len(), output.status);
    Ok(())
}
