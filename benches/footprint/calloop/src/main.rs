//! Runs a command and counts the lines that it prints: by calloop and hand.

use calloop::generic::Generic;
use calloop::{EventLoop, Interest, Mode, PostAction};
use std::io::Read;
use std::process::{Command, Stdio};

#[derive(Default)]
struct Count {
    lines: u64,
    is_cut: bool,
    at_end: bool,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let mut command = Command::new(args.next().ok_or("which command?")?);
    let mut child = command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let out = std::fs::File::from(std::os::fd::OwnedFd::from(
        child.stdout.take().expect("piped"),
    ));
    let mut event_loop: EventLoop<Count> = EventLoop::try_new()?;
    let mut buffer = vec![0; 64 * 1024];
    let source = Generic::new(out, Interest::READ, Mode::Level);
    event_loop
        .handle()
        .insert_source(source, move |_, out, count| {
            let read = (&**out).read(&mut buffer)?;
            count.lines += memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64;
            match buffer[..read].last() {
                Some(last) => count.is_cut = *last != b'\n',
                None => count.at_end = true,
            }
            Ok(if count.at_end {
                PostAction::Remove
            } else {
                PostAction::Continue
            })
        })?;
    let mut count = Count::default();
    while !count.at_end {
        event_loop.dispatch(None, &mut count)?;
    }
    println!(
        "{} lines, {}",
        count.lines + u64::from(count.is_cut),
        child.wait()?
    );
    Ok(())
}
