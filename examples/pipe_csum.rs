//! The SHA-1 of each FILE, made by `sha1sum` twice: once fed by a communicate, once fed and read by
//! two tasks. If both agree, it prints `DIGEST  FILE`, as sha1sum does. On a terminal, a bar on
//! stderr shows how much of a large file has been read.
//!
//!     cargo run --example pipe_csum -- FILE...
//!
//! Exit status: 0, 1 if a file could not be read, the two did not agree or stdout takes nothing, 2
//! for a wrong command line.

use asyncfile::{again, done, sleep, wait, yield_now, AsyncFile, AsyncPipe, Flow, Scheduler};
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Duration;

const CHUNK: usize = 64 * 1024;
/// A bar is shown for files of at least this size.
const LARGE: u64 = 8 << 20;
const TICK: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if paths.is_empty() {
        say("usage: pipe_csum FILE...");
        return ExitCode::from(2);
    }
    let mut sched = Scheduler::new();
    let mut code = ExitCode::SUCCESS;
    for path in &paths {
        let path_shown = path.display();
        match digest(&mut sched, path) {
            Ok(digest) => {
                if let Err(error) = writeln!(io::stdout(), "{digest}  {path_shown}") {
                    say(&format!("stdout: {error}"));
                    return ExitCode::FAILURE; // the others could not be printed, either
                }
            }
            Err(error) => {
                say(&format!("{path_shown}: {error}"));
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

/// On stderr. If it cannot be written to, nothing is said.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "pipe_csum: {text}");
}

fn digest(sched: &mut Scheduler<'_>, path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let bar = bar(file.metadata()?.len(), path);
    let communicated = by_communicate(sched, file.try_clone()?, &bar)?;
    bar.set_position(file.stream_position()?);
    file.rewind()?;
    let fed = by_tasks(sched, file, &bar)?;
    if communicated != fed {
        return Err(io::Error::other(format!(
            "communicate gave {communicated}, the tasks {fed}"
        )));
    }
    Ok(fed)
}

/// A bar for both passes. Where stderr is no terminal, it draws nothing.
fn bar(len: u64, path: &Path) -> ProgressBar {
    if len < LARGE {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} [{bar:40}] {percent}% {bytes_per_sec}")
        .expect("a fixed template");
    ProgressBar::new(2 * len)
        .with_style(style)
        .with_message(path.display().to_string())
}

/// All in one operation. Meanwhile a second task looks at the file's position, again and again.
fn by_communicate(sched: &mut Scheduler<'_>, file: File, bar: &ProgressBar) -> io::Result<String> {
    let pipe = AsyncPipe::piped(Command::new("sha1sum"))?;
    let mut same_file = file.try_clone()?;
    let shown = bar.clone();
    let ticker = sched.spawn(sleep(TICK), move |task| -> Flow {
        task.ok()?;
        shown.set_position(same_file.stream_position()?);
        again()
    });
    let output = sched.block_on(pipe.communicate(file));
    ticker.cancel();
    let output = output?;
    first_word(output.status, &output.stdout)
}

/// The same by hand, with a feeder and a reader. The feeder owns the child's stdin: when the task
/// ends, it is closed, and that is the child's end of file.
fn by_tasks(sched: &mut Scheduler<'_>, file: File, bar: &ProgressBar) -> io::Result<String> {
    let file = AsyncFile::new(file)?;
    let pipe = AsyncPipe::piped(Command::new("sha1sum"))?;
    let stdin = pipe.take_stdin().expect("piped");
    let shown = bar.clone();
    let mut is_written = true;
    let feeder = sched.spawn(yield_now(), move |task| {
        if is_written {
            task.ok()?;
            is_written = false;
            return wait(file.read(CHUNK));
        }
        let chunk = task.bytes()?;
        if chunk.is_empty() {
            return done(());
        }
        is_written = true;
        shown.inc(chunk.len() as u64);
        wait(stdin.write(chunk).full())
    });
    let reader = sched.spawn(pipe.read_to_end(), |task| done(task.bytes()?.to_vec()));
    sched.join(feeder)?;
    let printed = sched.join(reader)?;
    first_word(sched.block_on(pipe.exit())?, &printed)
}

/// `DIGEST  -`, as sha1sum prints it.
fn first_word(status: ExitStatus, printed: &[u8]) -> io::Result<String> {
    let printed = String::from_utf8_lossy(printed);
    match printed.split_whitespace().next() {
        Some(digest) if status.success() => Ok(digest.to_owned()),
        _ => Err(io::Error::other(format!("sha1sum ended with {status}"))),
    }
}
