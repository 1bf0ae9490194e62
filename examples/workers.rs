//! Work that blocks, in threads beside the tasks. poll(2) says that a regular file is always ready,
//! and reading one waits for the disk. Here a few std threads do that, and send what they have
//! counted through a channel to the task that prints it. Twice a second this task also says on
//! stderr how much of the work is finished.
//!
//!     cargo run --example workers -- [--threads N] PATH...
//!
//! Prints `LINES BYTES PATH` for each PATH, in the order in which they are finished, and the sums.
//! Exit status: 0, 1 if a PATH could not be read (the others are) or the printing failed, 2 for a
//! wrong command line.

use asyncfile::{again, channel, done, first, sleep, Flow, Op, Receiver, Scheduler, Sender, Task};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::TryRecvError;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(500);
const USAGE: &str = "usage: workers [--threads N] PATH...";

/// What a worker sends: which path, and its lines and bytes.
type Counted = (usize, io::Result<(u64, u64)>);

#[derive(Default)]
struct Sums {
    lines: u64,
    bytes: u64,
    finished: usize,
    failed: usize,
}

fn main() -> ExitCode {
    let (threads, paths) = match arguments() {
        Some(arguments) => arguments,
        None => {
            say(USAGE);
            return ExitCode::from(2);
        }
    };
    match count_all(threads, paths) {
        Ok(sums) => ExitCode::from((sums.failed > 0) as u8),
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// On stderr. If it cannot be written to, nothing is said.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "workers: {text}");
}

/// The error names stdout.
fn of_stdout(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("stdout: {error}"))
}

/// Starts the workers and prints what they send, and the sums. No worker is joined: if stdout
/// fails, one may still wait for its path, and the process ends all the same.
fn count_all(threads: usize, paths: Vec<PathBuf>) -> io::Result<Sums> {
    let (sender, receiver) = channel();
    let jobs = Arc::new(Jobs {
        paths,
        next: AtomicUsize::new(0),
    });
    for started in 0..threads.min(jobs.paths.len()) {
        let (jobs, sender) = (Arc::clone(&jobs), sender.clone());
        match thread::Builder::new().spawn(move || work(&jobs, sender)) {
            Ok(_thread) => {}
            Err(error) if started == 0 => return Err(error),
            Err(error) => {
                say(&format!("{started} threads, not {threads}: {error}"));
                break;
            }
        }
    }
    drop(sender); // the workers have the other senders: when they end, the channel ends
    let mut sched = Scheduler::new();
    let message_or_tick = first([Op::from(receiver.ready()), sleep(TICK).into()]);
    let printer = sched.spawn(message_or_tick, printer(&jobs.paths, receiver));
    let sums = sched.join(printer)?;
    writeln!(io::stdout(), "{} {} total", sums.lines, sums.bytes).map_err(of_stdout)?;
    Ok(sums)
}

/// What the workers share.
struct Jobs {
    paths: Vec<PathBuf>,
    /// The index of the next path to be counted.
    next: AtomicUsize,
}

/// A worker: takes the next path until there is none, or the receiver is gone.
fn work(jobs: &Jobs, sender: Sender<Counted>) {
    loop {
        let index = jobs.next.fetch_add(1, Ordering::Relaxed);
        match jobs.paths.get(index) {
            Some(path) if sender.send((index, count(path))).is_ok() => {}
            _ => return,
        }
    }
}

/// The work: it may wait for a disk, a network file system, a FIFO without writer.
fn count(path: &PathBuf) -> io::Result<(u64, u64)> {
    let mut file = BufReader::new(File::open(path)?);
    let (mut lines, mut bytes) = (0, 0);
    loop {
        let part = file.fill_buf()?;
        if part.is_empty() {
            return Ok((lines, bytes));
        }
        lines += part.iter().filter(|&&byte| byte == b'\n').count() as u64;
        let size = part.len();
        bytes += size as u64;
        file.consume(size);
    }
}

/// Prints what the workers send, and a line on stderr at each tick; joins to the sums.
fn printer<'a>(
    paths: &'a [PathBuf],
    receiver: Receiver<Counted>,
) -> impl FnMut(&mut Task<'_, 'a>) -> Flow<Sums> + 'a {
    let mut sums = Sums::default();
    move |task| {
        task.ok()?;
        if task.which() == 1 {
            say(&format!("{} of {} finished", sums.finished, paths.len()));
        }
        loop {
            match receiver.try_recv() {
                Ok((index, counted)) => {
                    let path = paths[index].display();
                    sums.finished += 1;
                    match counted {
                        Ok((lines, bytes)) => {
                            writeln!(io::stdout(), "{lines} {bytes} {path}").map_err(of_stdout)?;
                            sums.lines += lines;
                            sums.bytes += bytes;
                        }
                        Err(error) => {
                            say(&format!("{path}: {error}"));
                            sums.failed += 1;
                        }
                    }
                }
                // The one of the two that has not ended keeps its clock: messages delay no tick.
                Err(TryRecvError::Empty) => return again(),
                Err(TryRecvError::Disconnected) => return done(std::mem::take(&mut sums)),
            }
        }
    }
}

fn arguments() -> Option<(usize, Vec<PathBuf>)> {
    let mut args: Vec<_> = std::env::args_os().skip(1).collect();
    let mut threads = thread::available_parallelism().map_or(2, usize::from);
    if args.first().map_or(false, |arg| arg == "--threads") {
        threads = args
            .get(1)?
            .to_str()?
            .parse()
            .ok()
            .filter(|&threads| threads > 0)?;
        args.drain(..2);
    }
    (!args.is_empty()).then(|| (threads, args.into_iter().map(PathBuf::from).collect()))
}
