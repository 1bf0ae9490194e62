//! Follows a file as it grows, through `tail -F`: also when it is truncated, replaced, or not there
//! yet. When no line comes for a while, a heartbeat on stderr says so. `first` waits for the
//! child's end and for Ctrl-C at once. The timeout is for each wait, and a half line that is there
//! when the deadline comes is not lost.
//!
//!     cargo run --example tail_f -- [--every SECONDS] [--lines N] FILE
//!     tail_f --every 60 /var/log/syslog | grep -i error
//!
//! SECONDS: how long a silence is until the heartbeat (default 10, 0.001 to 1e9). N: how many of
//! the last lines to begin with (default 10). Ctrl-C and SIGTERM end it; `tail` is ended and waited
//! for in any case.
//! Exit status: 0 after Ctrl-C or SIGTERM, 1 if something failed, 2 for a wrong command line.

mod signals;

use asyncfile::{
    first, then, yield_now, AsyncFile, AsyncPipe, End, Next, Op, Scheduler, StateFlow, Task,
};
use std::cell::Cell;
use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::rc::Rc;
use std::time::Duration;

use signals::Signals;

const USAGE: &str = "usage: tail_f [--every SECONDS] [--lines N] FILE";
/// Lines are passed on in pieces of at most so many bytes.
const PIECE: usize = 64 * 1024;
/// How long `tail` may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let options = match arguments(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(complaint) => {
            say(&format!("{complaint}\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    match follow(&options) {
        Ok(lines) => {
            say(&format!("ended after {lines} lines"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(&format!("{}: {error}", options.path.to_string_lossy()));
            ExitCode::FAILURE
        }
    }
}

/// On stderr. If it cannot be written to, nothing is said.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "tail_f: {text}");
}

/// Prints until a signal comes. Returns how many lines it has printed.
fn follow(options: &Options) -> io::Result<u64> {
    let signals = Signals::new()?;
    let mut tail = Command::new("tail");
    tail.args(["-n", &options.lines.to_string(), "-F", "--"])
        .arg(&options.path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    // A process group of its own: Ctrl-C on the terminal does not reach tail, and we end it.
    let pipe = AsyncPipe::spawn(tail.process_group(0))?;
    // Shared with the shell: its flags must not change.
    let stdout = AsyncFile::duplicate(&io::stdout())?;
    let lines = Rc::new(Cell::new(0));
    let printer = Printer {
        pipe: pipe.clone(),
        stdout,
        every: options.every,
        lines: lines.clone(),
    };

    let mut sched = Scheduler::new();
    let printer = sched.spawn_states(yield_now(), printer, Printer::listen);
    let which = sched.block_on(first([
        Op::from(printer.finished()),
        signals.file.readable().into(),
    ]));
    let status = end(&pipe, &mut sched)?;
    // What tail had said before is still to be printed, unless our stdout takes nothing.
    match sched.block_on(printer.finished().timeout(GRACE)) {
        Err(error) if error.kind() != ErrorKind::TimedOut => return Err(error),
        _ => {}
    }
    match printer.take() {
        Some(Err(error)) => Err(error.into()),
        Some(Ok(_)) if which? == 0 => Err(io::Error::new(
            ErrorKind::Other,
            format!("tail has ended: {status}"),
        )),
        _ => Ok(lines.get()),
    }
}

/// Ends the child, with SIGKILL if SIGTERM does not, and waits for it.
fn end(pipe: &AsyncPipe, sched: &mut Scheduler) -> io::Result<ExitStatus> {
    pipe.signal(libc::SIGTERM)?;
    match sched.block_on(pipe.exit().timeout(GRACE)) {
        Err(error) if error.kind() == ErrorKind::TimedOut => {
            pipe.kill()?;
            sched.block_on(pipe.exit())
        }
        ended => ended,
    }
}

/// listen -> heard -> listen: lines are read, then printed. After a silence: heard -> heard.
struct Printer {
    pipe: AsyncPipe,
    stdout: AsyncFile,
    every: Duration,
    lines: Rc<Cell<u64>>,
}

impl Printer {
    fn listen(&mut self, task: &mut Task) -> StateFlow<Self> {
        task.ok()?; // it has begun, or all is written
        then(
            self.pipe.readlines().limit(PIECE).timeout(self.every),
            Self::heard,
        )
    }

    fn heard(&mut self, task: &mut Task) -> StateFlow<Self> {
        if task.end() == End::TimedOut {
            let held = self.pipe.stdout().map_or(0, AsyncFile::buffered);
            let (lines, every) = (self.lines.get(), self.every);
            say(&format!(
                "nothing new for {every:?}; {lines} lines so far, {held} bytes of the next"
            ));
            return Next::again(Self::heard);
        }
        let mut text = Vec::new();
        for line in task.lines()? {
            text.extend_from_slice(line);
            self.lines
                .set(self.lines.get() + line.ends_with(b"\n") as u64);
        }
        match text.is_empty() {
            true => Next::done(), // the end of tail's output
            false => then(self.stdout.write(text).full(), Self::listen),
        }
    }
}

struct Options {
    path: OsString,
    every: Duration,
    lines: u64,
}

fn arguments(mut args: impl Iterator<Item = OsString>) -> Result<Options, String> {
    let (mut path, mut every, mut lines) = (None, Duration::from_secs(10), 10);
    while let Some(arg) = args.next() {
        let mut value = || {
            args.next()
                .and_then(|value| value.into_string().ok())
                .unwrap_or_default()
        };
        match &*arg.to_string_lossy() {
            "--every" => {
                let seconds = value()
                    .parse()
                    .ok()
                    .filter(|seconds| (0.001..=1e9).contains(seconds));
                every =
                    Duration::from_secs_f64(seconds.ok_or("--every: not 0.001 to 1e9 seconds")?);
            }
            "--lines" => lines = value().parse().map_err(|_| "--lines: not a number")?,
            option if option.starts_with('-') => return Err(format!("unknown option {option}")),
            _ if path.is_some() => return Err("more than one file".into()),
            _ => path = Some(arg),
        }
    }
    Ok(Options {
        path: path.ok_or("no file given")?,
        every,
        lines,
    })
}
