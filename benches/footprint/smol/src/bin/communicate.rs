//! Runs a command, feeds it, and has its output: by smol.

use smol::future::zip;
use smol::io::AsyncWriteExt;
use smol::process::{Command, Stdio};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    smol::block_on(async {
        let mut args = std::env::args_os().skip(1);
        let mut command = Command::new(args.next().ok_or("which command?")?);
        let mut child = command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut input = child.stdin.take().expect("piped");
        let feed = async move { input.write_all(b"one\ntwo\nthree").await };
        let (fed, output) = zip(feed, child.output()).await;
        fed?;
        let output = output?;
        println!("{} bytes, {}", output.stdout.len(), output.status);
        Ok(())
    })
}
