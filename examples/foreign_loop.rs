//! A host with a poll(2) loop of its own: a game, a GUI, a C program. It has a descriptor (a
//! console on stdin) and a timer (a status line on stderr). The tasks that copy the lines of each
//! PATH to stdout run in the same loop: `pollfds` adds what they wait for to the host's set,
//! `dispatch` gives them what poll(2) has answered.
//!
//!     cargo run --example foreign_loop -- [--every SECONDS] PATH...     # FIFOs, terminals, files
//!
//! The console knows `status` and `quit`. The loop ends with `quit`, or when every PATH has come to
//! its end.
//! Exit status: 0, 1 if a PATH could not be opened or read (the others go on), 2 for a wrong
//! command line.

use asyncfile::{again, done, AsyncFile, Flow, Scheduler, Task};
use std::cell::Cell;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::io::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "usage: foreign_loop [--every SECONDS] PATH...";
const LONGEST: usize = 64 * 1024;

fn main() -> ExitCode {
    let (paths, every) = match arguments(std::env::args_os().skip(1)) {
        Ok(arguments) => arguments,
        Err(complaint) => {
            say(&format!("{complaint}\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    match host(&paths, every) {
        Ok(failures) => ExitCode::from((failures > 0) as u8),
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// On stderr. If it cannot be written to, nothing is said.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "foreign_loop: {text}");
}

/// The error names stdin.
fn of_stdin(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("stdin: {error}"))
}

/// The error names stdout.
fn of_stdout(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("stdout: {error}"))
}

/// The loop itself. Returns how many of the paths failed.
fn host(paths: &[PathBuf], every: Duration) -> io::Result<usize> {
    let lines = Cell::new(0u64);
    let mut failures = 0;
    let mut sched = Scheduler::new();
    for path in paths {
        // O_NONBLOCK: opening a FIFO would otherwise stop the loop until it has a writer.
        match OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
        {
            Ok(file) => {
                let file = AsyncFile::new(file)?;
                sched.spawn(file.readline().limit(LONGEST), copy_lines(path, &lines));
            }
            Err(error) => {
                say(&format!("{}: {error}", path.display()));
                failures += 1;
            }
        }
    }

    let mut console = Console {
        stdin: Some(File::from(
            io::stdin().as_fd().try_clone_to_owned().map_err(of_stdin)?,
        )),
        typed: Vec::new(),
    };
    let mut set = Vec::new();
    let mut next_status = Instant::now() + every;
    let mut alive = paths.len() - failures;
    while alive > 0 {
        set.clear();
        set.push(console.interest());
        let work_due = sched.pollfds(&mut set);
        let status_due = next_status.saturating_duration_since(Instant::now());
        poll(
            &mut set,
            work_due.map_or(status_due, |due| due.min(status_due)),
        )?;

        if set[0].revents != 0 {
            for command in console.commands().map_err(of_stdin)? {
                match command.as_str() {
                    "quit" => return Ok(failures),
                    "status" => say(&format!("status: {} lines, {alive} alive", lines.get())),
                    other => say(&format!("unknown command {other:?}: status or quit")),
                }
            }
        }
        if Instant::now() >= next_status {
            say(&format!("status: {} lines, {alive} alive", lines.get()));
            next_status = Instant::now() + every;
        }
        let mut polled = &set[..];
        alive = loop {
            match sched.dispatch(polled) {
                Ok(left) => break left,
                Err(error) => {
                    say(&error.to_string()); // one path; the others go on
                    failures += 1;
                    polled = &[];
                }
            }
        };
    }
    Ok(failures)
}

/// The body of a task: each line of the file goes to stdout, behind the path.
fn copy_lines<'t>(
    path: &'t Path,
    lines: &'t Cell<u64>,
) -> impl FnMut(&mut Task<'_, 't>) -> Flow + 't {
    let name = path.display();
    move |task| match task
        .line()
        .map_err(|e| io::Error::new(e.kind(), format!("{name}: {e}")))?
    {
        Some(line) => {
            let mut out = io::stdout().lock();
            let written = write!(out, "{name}: ").and_then(|()| out.write_all(line));
            written.map_err(of_stdout)?;
            if !line.ends_with(b"\n") {
                out.write_all(b"\n").map_err(of_stdout)?; // the file's last line, or a piece of a very long one
            }
            lines.set(lines.get() + 1);
            again()
        }
        None => done(()),
    }
}

/// The host's own descriptor, of which the scheduler knows nothing.
struct Console {
    /// None after its end.
    stdin: Option<File>,
    typed: Vec<u8>,
}

impl Console {
    /// The host's entry in the set. poll(2) ignores a negative descriptor.
    fn interest(&self) -> libc::pollfd {
        let fd = self.stdin.as_ref().map_or(-1, |stdin| stdin.as_raw_fd());
        libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        }
    }

    /// Makes one read, which cannot block after poll(2). Returns the commands that are complete.
    fn commands(&mut self) -> io::Result<Vec<String>> {
        let mut chunk = [0; 1024];
        match self
            .stdin
            .as_mut()
            .map_or(Ok(0), |stdin| stdin.read(&mut chunk))
        {
            Ok(0) => self.stdin = None,
            Ok(n) => self.typed.extend_from_slice(&chunk[..n]),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) => {}
            Err(error) => return Err(error),
        }
        let whole = self
            .typed
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |at| at + 1);
        let commands: Vec<u8> = self.typed.drain(..whole).collect();
        Ok(String::from_utf8_lossy(&commands)
            .lines()
            .map(|line| line.trim().to_owned())
            .collect())
    }
}

fn poll(set: &mut [libc::pollfd], timeout: Duration) -> io::Result<()> {
    // Rounded up: rounded down, the wait would end before anything is due, and the loop would spin.
    let milliseconds = ((timeout.as_nanos() + 999_999) / 1_000_000).min(i32::MAX as u128) as i32;
    // SAFETY: pointer and length are those of one slice, borrowed mutably for the whole call.
    if unsafe { libc::poll(set.as_mut_ptr(), set.len() as libc::nfds_t, milliseconds) } >= 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.kind() == io::ErrorKind::Interrupted {
        Ok(())
    } else {
        Err(io::Error::new(error.kind(), format!("poll: {error}")))
    }
}

fn arguments(mut args: impl Iterator<Item = OsString>) -> Result<(Vec<PathBuf>, Duration), String> {
    let (mut paths, mut every) = (Vec::new(), Duration::from_secs(1));
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        if text == "--every" {
            let value = args.next().ok_or("--every needs a number of seconds")?;
            let number = value
                .to_str()
                .and_then(|text| text.parse().ok())
                .filter(|n| (0.001..=1e9).contains(n));
            every = number
                .map(Duration::from_secs_f64)
                .ok_or(format!("--every {value:?}: not 0.001 to 1e9 seconds"))?;
        } else if text.starts_with('-') {
            return Err(format!("unknown option {text}"));
        } else {
            paths.push(arg.into());
        }
    }
    if paths.is_empty() {
        Err("no path given".into())
    } else {
        Ok((paths, every))
    }
}
