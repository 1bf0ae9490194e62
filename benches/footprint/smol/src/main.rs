//! Runs a command and counts the lines that it prints: by smol.

use smol::io::AsyncBufReadExt;
use smol::process::{Command, Stdio};

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
        let (mut lines, mut line) = (0_u64, Vec::new());
        while out.read_until(b'\n', &mut line).await? > 0 {
            lines += 1;
            line.clear();
        }
        println!("{lines} lines, {}", child.status().await?);
        Ok(())
    })
}
