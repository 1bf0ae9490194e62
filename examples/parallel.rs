//! Runs commands side by side, at most J at a time, in one thread. Every line of their output is
//! printed whole, with the command's name before it: their stdout to stdout, their stderr to
//! stderr. At the end a table on stderr says how each command ended and how long it took. If our
//! output is read slowly, the commands become slow, too.
//!
//!     cargo run --example parallel -- 'make docs' 'cargo test' 'npm run lint'
//!     parallel -j 0 -f Procfile         # NAME: COMMAND, one a line; all of them at once
//!     seq 100 | sed 's/^/convert-one /' | parallel -j 8 --timeout 60 --fail-fast -f -
//!
//!   -j, --jobs J          how many run at a time (0: all; default: as many as processors)
//!   -f, --file FILE       commands, one a line ('-': from stdin); empty lines are skipped, and
//!                         lines that begin with #
//!       --timeout SECONDS the most that each command may take
//!       --fail-fast       the first failure ends the running commands, and no other is begun
//!
//! A command is run by `sh -c` in a process group of its own; its stdin is empty. The name is the
//! text before `: `, or the command's first word. To end a command is to send SIGTERM to its group,
//! and SIGKILL two seconds later. Ctrl-C ends all commands; a second one does so at once. On a
//! terminal the names are coloured, unless NO_COLOR is set.
//!
//! Exit status: 0 if all succeeded, 1 if one did not, 2 for a wrong command line, 130 after Ctrl-C,
//! 143 after SIGTERM, 129 after SIGHUP.

mod signals;

use asyncfile::{
    again, done, first, sleep, then, wait, yield_now, AsyncFile, AsyncPipe, JoinHandle, Next, Op,
    Scheduler, StateFlow, Task,
};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use signals::Signals;

const USAGE: &str =
    "usage: parallel [-j J] [-f FILE] [--timeout SECONDS] [--fail-fast] [COMMAND ...]";
/// A longer line is printed in pieces, each as a line of its own.
const LONGEST: usize = 64 * 1024;
const OK: &str = "ok";
/// The time from SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let options = match arguments(
        std::env::args_os()
            .skip(1)
            .map(|arg| arg.to_string_lossy().into_owned()),
    ) {
        Ok(options) => options,
        Err(complaint) => {
            say(&format!("parallel: {complaint}\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    match run(options) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            say(&format!("parallel: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> io::Result<u8> {
    let signals = Signals::new()?;
    let floor = Rc::new(Floor::new(options)?);
    let start = Instant::now();
    let mut sched = Scheduler::new();
    let manager = Rc::clone(&floor);
    sched.spawn(signals.file.read(1), move |task| {
        task.bytes()?;
        manager.interrupted(signals.last(), task);
        again::<()>()
    });
    let count = floor.options.jobs.min(floor.options.commands.len());
    let spawn = |_| sched.spawn_states(yield_now(), Worker::new(&floor), Worker::begin);
    let workers: Vec<_> = (0..count).map(spawn).collect();
    for worker in workers {
        if let Err(error) = sched.join(worker) {
            // The loop itself has failed, so no task can end the commands any more.
            floor.kill();
            return Err(error.into());
        }
    }
    say(&floor.table(start.elapsed()));
    match (floor.signal.get(), floor.failure.take()) {
        (Some(signal), _) => Ok(128 + signal as u8),
        (None, Some(error)) => Err(error),
        (None, None) => Ok((floor.successes() < floor.options.commands.len()) as u8),
    }
}

/// On stderr. If it cannot be written to, nothing is said.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// What the workers share: the commands, the jobs that run, how the others have ended.
struct Floor {
    options: Options,
    /// The width of the longest name.
    width: usize,
    /// Our stdout and stderr, and whether names are coloured there.
    out: [(AsyncFile, bool); 2],
    /// The index of the next command to begin.
    next: Cell<usize>,
    running: RefCell<Vec<Rc<Job>>>,
    /// For each command that has ended its status, and how long it took.
    ends: RefCell<Vec<Option<(String, Duration)>>>,
    is_stopped: Cell<bool>,
    signal: Cell<Option<i32>>,
    failure: Cell<Option<io::Error>>,
}

impl Floor {
    fn new(options: Options) -> io::Result<Floor> {
        let wants_colours = std::env::var_os("NO_COLOR").map_or(true, |value| value.is_empty());
        // Shared with other processes: their flags must not change.
        let stdout = AsyncFile::duplicate(&io::stdout())?;
        let stderr = match identity(&io::stdout())? == identity(&io::stderr())? {
            true => stdout.clone(), // one queue for both: no line in the middle of another
            false => AsyncFile::duplicate(&io::stderr())?,
        };
        Ok(Floor {
            width: options
                .commands
                .iter()
                .map(|(name, _)| name.chars().count())
                .max()
                .unwrap_or(0),
            out: [
                (stdout, wants_colours && io::stdout().is_terminal()),
                (stderr, wants_colours && io::stderr().is_terminal()),
            ],
            next: Cell::new(0),
            running: RefCell::default(),
            ends: RefCell::new(options.commands.iter().map(|_| None).collect()),
            is_stopped: Cell::new(false),
            signal: Cell::new(None),
            failure: Cell::new(None),
            options,
        })
    }

    /// Ctrl-C came, or another signal that ends us.
    fn interrupted(&self, signal: i32, task: &mut Task) {
        let (running, left) = (
            self.running.borrow().len(),
            self.options.commands.len() - self.next.get(),
        );
        if self.signal.replace(Some(signal)).is_some() {
            self.kill();
            say(&format!(
                "parallel: interrupted again: {running} commands were killed"
            ));
            std::process::exit(128 + signal);
        }
        say(&format!(
            "parallel: interrupted: ending {running} commands, {left} are not begun"
        ));
        self.stop(task);
    }

    /// Ends the running commands; no other is begun.
    fn stop(&self, task: &mut Task) {
        if !self.is_stopped.replace(true) {
            self.running
                .borrow()
                .iter()
                .for_each(|job| job.end("stopped", Duration::ZERO, task));
        }
    }

    fn kill(&self) {
        for job in self.running.borrow().iter() {
            let _ = job.pipe.kill_group(); // one that cannot be killed is not waited for
        }
    }

    fn table(&self, total: Duration) -> String {
        let (width, ends) = (self.width.max("COMMAND".len()), self.ends.borrow());
        let mut table = format!("\n{:width$}  {:>9}  STATUS\n", "COMMAND", "SECONDS");
        for ((name, _), end) in self.options.commands.iter().zip(&*ends) {
            let (status, seconds) = match end {
                None => ("not begun", "-".into()),
                Some((status, time)) => (&**status, format!("{:.2}", time.as_secs_f64())),
            };
            table += &format!("{name:width$}  {seconds:>9}  {status}\n");
        }
        table
            + &format!(
                "{} of {} succeeded in {:.2} s",
                self.successes(),
                ends.len(),
                total.as_secs_f64()
            )
    }

    fn successes(&self) -> usize {
        self.ends
            .borrow()
            .iter()
            .flatten()
            .filter(|(status, _)| status == OK)
            .count()
    }
}

/// A command that runs. Its shell leads a group, which gets the signals.
struct Job {
    pipe: AsyncPipe,
    start: Instant,
    /// Why we have ended it, if we have.
    why: Cell<Option<&'static str>>,
    /// The tasks that end it, at once or later.
    enders: RefCell<Vec<JoinHandle<()>>>,
}

impl Job {
    fn start(command: &str) -> io::Result<Rc<Job>> {
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let pipe = AsyncPipe::spawn(shell.process_group(0))?;
        Ok(Rc::new(Job {
            pipe,
            start: Instant::now(),
            why: Cell::default(),
            enders: RefCell::default(),
        }))
    }

    /// Ends it after that time: SIGTERM, later SIGKILL. If a process that has left the group keeps
    /// the streams open even then, they are closed here.
    fn end(self: &Rc<Self>, why: &'static str, after: Duration, task: &mut Task) {
        let job = Rc::downgrade(self);
        let mut steps = [Some(libc::SIGTERM), Some(libc::SIGKILL), None].into_iter();
        let ender = task.spawn(sleep(after), move |task| {
            task.ok()?;
            match (steps.next().flatten(), job.upgrade()) {
                (Some(signal), Some(job)) => {
                    job.why.set(job.why.get().or(Some(why)));
                    let _ = job.pipe.signal_group(signal); // the exit is waited for in any case
                    return wait(sleep(GRACE));
                }
                (None, Some(job)) => job.pipe.close(),
                (_, None) => {}
            }
            done(())
        });
        self.enders.borrow_mut().push(ender);
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.enders.borrow().iter().for_each(JoinHandle::cancel);
    }
}

/// Runs one command after the other: begin -> heard -> printed -> heard -> ... -> exited, and so on
/// with the next one.
struct Worker {
    floor: Rc<Floor>,
    number: usize,
    job: Option<Rc<Job>>,
    /// Whether the job's stdout and stderr are open.
    is_open: [bool; 2],
    prefixes: [Vec<u8>; 2],
}

impl Worker {
    fn new(floor: &Rc<Floor>) -> Worker {
        Worker {
            floor: Rc::clone(floor),
            number: 0,
            job: None,
            is_open: [false; 2],
            prefixes: Default::default(),
        }
    }

    fn begin(&mut self, task: &mut Task) -> StateFlow<Self> {
        task.ok()?;
        self.next(task)
    }

    fn next(&mut self, task: &mut Task) -> StateFlow<Self> {
        while !self.floor.is_stopped.get()
            && self.floor.next.get() < self.floor.options.commands.len()
        {
            self.number = self.floor.next.replace(self.floor.next.get() + 1);
            match Job::start(&self.floor.options.commands[self.number].1) {
                Ok(job) => {
                    job.end("timed out", self.floor.options.timeout, task);
                    self.floor.running.borrow_mut().push(Rc::clone(&job));
                    self.job = Some(job);
                    self.is_open = [true; 2];
                    self.prefixes = [0, 1].map(|stream| self.prefix(self.floor.out[stream].1));
                    return self.listen(task);
                }
                Err(error) => self.record(format!("cannot start: {error}"), Duration::ZERO, task),
            }
        }
        Next::done()
    }

    fn job(&self) -> &Rc<Job> {
        self.job
            .as_ref()
            .expect("a command runs in all states but the first")
    }

    fn listen(&mut self, _task: &mut Task) -> StateFlow<Self> {
        let pipe = &self.job().pipe;
        let streams = [pipe.stdout(), pipe.stderr()].into_iter().zip(self.is_open);
        let reads: Vec<Op> = streams
            .filter_map(|(stream, is_open)| stream.filter(|_| is_open))
            .map(|stream| stream.readlines().limit(LONGEST).into())
            .collect();
        match reads.is_empty() {
            false => then(first(reads), Self::heard),
            true => then(pipe.exit(), Self::exited),
        }
    }

    fn heard(&mut self, task: &mut Task) -> StateFlow<Self> {
        let stream = if self.is_open[0] { task.which() } else { 1 };
        let mut text = Vec::new();
        match task.lines() {
            Ok(lines) => {
                for line in lines {
                    text.extend_from_slice(&self.prefixes[stream]);
                    text.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
                    text.push(b'\n');
                }
            }
            // The task that ends the job has closed the stream.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
            Err(error) => return Err(error),
        }
        if text.is_empty() {
            self.is_open[stream] = false;
            return self.listen(task);
        }
        then(self.floor.out[stream].0.write(text).full(), Self::printed)
    }

    fn printed(&mut self, task: &mut Task) -> StateFlow<Self> {
        // Our output cannot be written: the commands are ended, and what they still say is lost.
        if let Err(error) = task.written() {
            self.floor.failure.set(Some(error));
            self.floor.stop(task);
        }
        self.listen(task)
    }

    fn exited(&mut self, task: &mut Task) -> StateFlow<Self> {
        let status = task.exit();
        if let Some(job) = self.job.take() {
            self.floor
                .running
                .borrow_mut()
                .retain(|other| !Rc::ptr_eq(other, &job));
            let status = match (job.why.get(), status) {
                (Some(why), _) => why.to_owned(),
                (None, Err(error)) => error.to_string(),
                (None, Ok(status)) => match (status.code(), status.signal()) {
                    (Some(0), _) => OK.to_owned(),
                    (Some(code), _) => format!("exit {code}"),
                    (None, signal) => format!("signal {}", signal.unwrap_or(0)),
                },
            };
            self.record(status, job.start.elapsed(), task);
        }
        self.next(task)
    }

    fn record(&mut self, status: String, time: Duration, task: &mut Task) {
        if status != OK && self.floor.options.fail_fast && !self.floor.is_stopped.get() {
            let name = &self.floor.options.commands[self.number].0;
            say(&format!(
                "parallel: {name}: {status}; the others are stopped"
            ));
            self.floor.stop(task);
        }
        self.floor.ends.borrow_mut()[self.number] = Some((status, time));
    }

    fn prefix(&self, is_coloured: bool) -> Vec<u8> {
        let (name, width) = (
            &self.floor.options.commands[self.number].0,
            self.floor.width,
        );
        match is_coloured {
            true => format!("\x1b[{}m{name:width$} |\x1b[0m ", 31 + self.number % 6).into_bytes(),
            false => format!("{name:width$} | ").into_bytes(),
        }
    }
}

/// The same for two descriptors of one file.
fn identity(fd: &impl AsFd) -> io::Result<(u64, u64)> {
    let metadata = File::from(fd.as_fd().try_clone_to_owned()?).metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

struct Options {
    /// The name, and what the shell is given.
    commands: Vec<(String, String)>,
    jobs: usize,
    timeout: Duration,
    fail_fast: bool,
}

fn arguments(args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut args = args.flat_map(|arg| match arg.split_once('=') {
        Some((option @ ("--jobs" | "--file" | "--timeout"), value)) => {
            vec![option.to_owned(), value.to_owned()]
        }
        _ if arg.starts_with("-j") || arg.starts_with("-f") => {
            vec![arg[..2].to_owned(), arg[2..].to_owned()]
        }
        _ => vec![arg],
    });
    let (mut jobs, mut timeout, mut fail_fast) = (None, Duration::MAX, false);
    let mut commands = Vec::new();
    while let Some(arg) = args.next() {
        let mut value = || {
            args.find(|value| !value.is_empty())
                .ok_or(format!("{arg} needs a value"))
        };
        match arg.as_str() {
            "-j" | "--jobs" => {
                jobs = Some(
                    value()?
                        .parse()
                        .map_err(|_| format!("{arg}: not a number"))?,
                )
            }
            "-f" | "--file" => commands.extend(commands_of(&value()?)?),
            "--timeout" => {
                let seconds = value()?
                    .parse()
                    .ok()
                    .filter(|seconds| (0.001..=1e9).contains(seconds));
                timeout =
                    Duration::from_secs_f64(seconds.ok_or("--timeout: not 0.001 to 1e9 seconds")?);
            }
            "--fail-fast" => fail_fast = true,
            _ if arg.starts_with('-') => return Err(format!("unknown option {arg}")),
            _ => commands.push(arg),
        }
    }
    if commands.is_empty() {
        return Err("no commands given".into());
    }
    let jobs = match jobs {
        Some(0) => usize::MAX,
        Some(jobs) => jobs,
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    Ok(Options {
        commands: named(commands),
        jobs,
        timeout,
        fail_fast,
    })
}

fn commands_of(path: &str) -> Result<Vec<String>, String> {
    let text = if path == "-" {
        io::read_to_string(io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(|error| format!("{path}: {error}"))?;
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(str::to_owned).collect())
}

/// `NAME: COMMAND`, or a command whose first word is its name. A name that comes more than once
/// gets a number.
fn named(commands: Vec<String>) -> Vec<(String, String)> {
    let split = |command: String| match command.split_once(": ") {
        Some((name, rest))
            if name
                .chars()
                .all(|c| c.is_alphanumeric() || "_-.".contains(c))
                && !name.is_empty() =>
        {
            (name.to_owned(), rest.to_owned())
        }
        _ => {
            let word = command.split_whitespace().next().unwrap_or("sh");
            (word.rsplit('/').next().unwrap_or(word).to_owned(), command)
        }
    };
    let mut commands: Vec<_> = commands.into_iter().map(split).collect();
    let mut counts = HashMap::new();
    commands
        .iter()
        .for_each(|(name, _)| *counts.entry(name.clone()).or_insert(0) += 1);
    for (number, (name, _)) in commands
        .iter_mut()
        .enumerate()
        .filter(|(_, (name, _))| counts[name] > 1)
    {
        *name = format!("{name}.{}", number + 1);
    }
    commands
}
