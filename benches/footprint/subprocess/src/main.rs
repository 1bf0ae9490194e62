//! Runs a command and counts the lines that it prints: by subprocess.

use std::io::BufRead;
use subprocess::{Exec, Redirection};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let exec = Exec::cmd(args.next().ok_or("which command?")?).args(args);
    let mut job = exec
        .stdin(Redirection::Null)
        .stdout(Redirection::Pipe)
        .start()?;
    let mut out = std::io::BufReader::new(job.stdout.take().expect("piped"));
    let (mut lines, mut line) = (0_u64, Vec::new());
    while out.read_until(b'\n', &mut line)? > 0 {
        lines += 1;
        line.clear();
    }
    println!("{lines} lines, {}", job.join()?);
    Ok(())
}
