//! Runs a command, feeds it, and has its output: by tokio.

use std::process::Stdio;
use tokio::io::AsyncWriteExt;
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
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()?;
            let mut input = child.stdin.take().expect("piped");
            let feed = async move { input.write_all(b"one\ntwo\nthree").await };
            let (fed, output) = tokio::join!(feed, child.wait_with_output());
            fed?;
            let output = output?;
            println!("{} bytes, {}", output.stdout.len(), output.status);
            Ok(())
        })
}
