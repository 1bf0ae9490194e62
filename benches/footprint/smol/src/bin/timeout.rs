//! Runs a command, reads its first line with a deadline, and sleeps: by smol.

use smol::future::FutureExt;
use smol::io::AsyncBufReadExt;
use smol::process::{Command, Stdio};
use smol::Timer;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    smol::block_on(async {
        let mut args = std::env::args_os().skip(1);
        let mut command = Command::new(args.next().ok_or("which command?")?);
        let mut child = command
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut out = smol::io::BufReader::new(child.stdout.take().expect("piped"));
        let mut line = Vec::new();
        let deadline = async {
            Timer::after(Duration::from_secs(5)).await;
            Err(std::io::ErrorKind::TimedOut.into())
        };
        out.read_until(b'\n', &mut line).or(deadline).await?;
        Timer::after(Duration::from_millis(1)).await;
        println!("{} bytes", line.len());
        Ok(())
    })
}
