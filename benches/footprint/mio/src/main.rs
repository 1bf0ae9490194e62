//! Runs a command and counts the lines that it prints: by mio and hand.

use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read};
use std::process::{Command, Stdio};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let mut command = Command::new(args.next().ok_or("which command?")?);
    let mut child = command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut out = mio::unix::pipe::Receiver::from(child.stdout.take().expect("piped"));
    out.set_nonblocking(true)?;
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(8);
    poll.registry()
        .register(&mut out, Token(0), Interest::READABLE)?;
    let (mut lines, mut is_cut, mut buffer) = (0_u64, false, vec![0; 64 * 1024]);
    'all: loop {
        poll.poll(&mut events, None)?;
        loop {
            match out.read(&mut buffer) {
                Ok(0) => break 'all,
                Ok(read) => {
                    lines += memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64;
                    is_cut = buffer[read - 1] != b'\n';
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
    println!("{} lines, {}", lines + u64::from(is_cut), child.wait()?);
    Ok(())
}
