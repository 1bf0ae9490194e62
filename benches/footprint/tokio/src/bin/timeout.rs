//! Runs a command, reads its first line with a deadline, and sleeps: by tokio.

use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncBufReadExt;
use tokio::process::Command;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let mut args = std::env::args_os().skip(1);
            let mut command = Command::new(args.next().ok_or("which command?")?);
            let mut child = command
                .args(args)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()?;
            let mut out = tokio::io::BufReader::new(child.stdout.take().expect("piped"));
            let mut line = Vec::new();
            let read = out.read_until(b'\n', &mut line);
            tokio::time::timeout(Duration::from_secs(5), read).await??;
            tokio::time::sleep(Duration::from_millis(1)).await;
            println!("{} bytes", line.len());
            Ok(())
        })
}
