//! Runs a command and counts the lines that it prints: by tokio.

use std::process::Stdio;
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
            let (mut lines, mut line) = (0_u64, Vec::new());
            while out.read_until(b'\n', &mut line).await? > 0 {
                lines += 1;
                line.clear();
            }
            println!("{lines} lines, {}", child.wait().await?);
            Ok(())
        })
}
