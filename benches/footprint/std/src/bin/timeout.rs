//! Runs a command, reads its first line with a deadline, and sleeps: by std alone, with a thread.

use std::io::BufRead;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let mut command = Command::new(args.next().ok_or("which command?")?);
    let mut child = command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut out = std::io::BufReader::new(child.stdout.take().expect("piped"));
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = Vec::new();
        let _ = sender.send(out.read_until(b'\n', &mut line).map(|_| line));
    });
    let line = receiver.recv_timeout(Duration::from_secs(5))??;
    std::thread::sleep(Duration::from_millis(1));
    println!("{} bytes", line.len());
    Ok(())
}
