//! Keeps services running. A service that ends is started again after a pause, which doubles while
//! the service keeps ending early. Each line of its output is printed with its name before it.
//! SIGTERM, or Ctrl-C, stops all services and ends the program; a second one kills them at once.
//!
//!     cargo run --example supervise -- [--grace SECONDS] FILE
//!
//! FILE has a line for each service, and one for each check of a service's health:
//!
//!     NAME: COMMAND
//!     NAME check SECONDS: COMMAND
//!
//! Commands are run by `sh -c`, each in a process group of its own, with an empty stdin. A check is
//! run every SECONDS, and may take as long. A service whose check fails is stopped, and so started
//! again. To stop a service is to send SIGTERM to its group, and SIGKILL after the grace (10
//! seconds). Empty lines are skipped, and lines that begin with #.
//!
//! Exit status: 0 after a signal, 1 if something failed (the services are killed then), 2 for a
//! wrong command line or file.

mod signals;

use asyncfile::{
    done, first, op, queue, sleep, then, wait, yield_now, AsyncFile, AsyncPipe, Flow, Next, Op,
    Queue, Scheduler, StateFlow, Task,
};
use std::cell::RefCell;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use signals::Signals;

const USAGE: &str = "usage: supervise [--grace SECONDS] FILE";
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A service that ran so long is started again after the shortest pause.
const STABLE: Duration = Duration::from_secs(10);
/// A longer line is printed in pieces.
const LONGEST_LINE: usize = 64 * 1024;

fn main() -> ExitCode {
    let plan = match plan(std::env::args_os().skip(1)) {
        Ok(plan) => plan,
        Err(complaint) => {
            say(&complaint);
            return ExitCode::from(2);
        }
    };
    match supervise(plan) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// On stderr. If it cannot be written to, nothing is said.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "supervise: {text}");
}

/// Runs until a signal has stopped all services. If it fails before, the scheduler is dropped, and
/// with it the pipes, which kill their children.
fn supervise(plan: Plan) -> io::Result<()> {
    let signals = Signals::new()?;
    let house = Rc::new(House {
        stdout: AsyncFile::duplicate(&io::stdout())?,
        grace: plan.grace,
        quit: queue(0),
        pipes: RefCell::new(plan.services.iter().map(|_| None).collect()),
    });
    let mut sched = Scheduler::new();
    for (index, (name, command)) in plan.services.into_iter().enumerate() {
        let service = Service::new(index, name, command, &house);
        sched.spawn_states(yield_now(), service, Service::start);
    }
    for check in plan.checks {
        sched.spawn(house.pause(check.period), check.body(&house));
    }
    sched.spawn(signals.file.read(1), move |task| -> Flow {
        task.bytes()?;
        house.stop(task);
        wait(signals.file.read(1))
    });
    while sched.turn(None)? > 1 {} // the task that waits for signals is the last one
    Ok(())
}

/// What the tasks share.
struct House {
    stdout: AsyncFile,
    grace: Duration,
    /// A latch: it is closed by the first signal.
    quit: Queue<()>,
    /// For each service its children, while it runs.
    pipes: RefCell<Vec<Option<AsyncPipe>>>,
}

impl House {
    /// Stops the services that run. Tasks that wait for time to pass end at once.
    fn stop(&self, task: &mut Task) {
        let grace = match self.quit.is_closed() {
            false => self.grace,
            true => Duration::ZERO,
        };
        self.quit.close();
        for pipe in self.pipes.borrow().iter().flatten() {
            stop(pipe, grace, task);
        }
    }

    /// Ends when the time has passed, or at the first signal.
    fn pause(&self, time: Duration) -> op::First {
        first([Op::from(sleep(time)), self.quit.ready().into()])
    }
}

/// Starts a task that stops these children.
fn stop(pipe: &AsyncPipe, grace: Duration, task: &mut Task) {
    task.spawn(pipe.stop(grace), |task| {
        task.exit()?;
        done(())
    });
}

/// A shell that runs the command. It leads a process group.
fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).process_group(0);
    shell
}

/// start -> listen -> heard -> listen -> ... -> exited -> left -> ... -> start
struct Service {
    index: usize,
    name: String,
    command: String,
    house: Rc<House>,
    started: Instant,
    /// The pause before the next start, if this run ends early.
    pause: Duration,
}

impl Service {
    fn new(index: usize, name: String, command: String, house: &Rc<House>) -> Service {
        Service {
            index,
            name,
            command,
            house: Rc::clone(house),
            started: Instant::now(),
            pause: SHORTEST_PAUSE,
        }
    }

    fn start(&mut self, task: &mut Task) -> StateFlow<Self> {
        task.ok()?;
        if self.house.quit.is_closed() {
            return Next::done();
        }
        self.started = Instant::now();
        match AsyncPipe::merged(shell(&self.command)) {
            Ok(pipe) => {
                pipe.close_stdin();
                self.house.pipes.borrow_mut()[self.index] = Some(pipe.kill_on_drop());
                self.listen(task)
            }
            Err(error) => {
                say(&format!("{}: {error}", self.name));
                self.pause()
            }
        }
    }

    fn pipe(&self) -> AsyncPipe {
        let pipe = &self.house.pipes.borrow()[self.index];
        pipe.clone().expect("the service runs")
    }

    fn listen(&mut self, task: &mut Task) -> StateFlow<Self> {
        task.ok()?; // a write to stdout that failed ends all
        let pipe = self.pipe();
        let lines = pipe.readlines().limit(LONGEST_LINE);
        then(first([Op::from(lines), pipe.exit().into()]), Self::heard)
    }

    fn heard(&mut self, task: &mut Task) -> StateFlow<Self> {
        if task.which() == 1 {
            let status = task.exit()?;
            if !self.house.quit.is_closed() {
                say(&format!("{}: {status}", self.name));
            }
            // Its own end is over; what it has left of its group has the grace.
            return then(self.pipe().stop(self.house.grace), Self::exited);
        }
        match self.prefixed(task)? {
            Some(text) => then(self.house.stdout.write_all(text), Self::listen),
            None => then(self.pipe().exit(), Self::ended),
        }
    }

    /// It has closed its output and ended.
    fn ended(&mut self, task: &mut Task) -> StateFlow<Self> {
        let status = task.exit()?;
        if !self.house.quit.is_closed() {
            say(&format!("{}: {status}", self.name));
        }
        then(self.pipe().stop(self.house.grace), Self::over)
    }

    /// It has ended. What is left of its output is printed.
    fn exited(&mut self, task: &mut Task) -> StateFlow<Self> {
        task.exit()?;
        self.read_rest()
    }

    fn read_rest(&mut self) -> StateFlow<Self> {
        let rest = self.pipe().readlines().limit(LONGEST_LINE);
        then(rest.timeout(self.house.grace), Self::left)
    }

    fn left(&mut self, task: &mut Task) -> StateFlow<Self> {
        match self.prefixed(task) {
            Ok(Some(text)) => then(self.house.stdout.write_all(text), Self::written),
            Ok(None) => self.again(),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => self.again(),
            Err(error) => Err(error),
        }
    }

    fn written(&mut self, task: &mut Task) -> StateFlow<Self> {
        task.ok()?;
        self.read_rest()
    }

    fn over(&mut self, task: &mut Task) -> StateFlow<Self> {
        task.exit()?;
        self.again()
    }

    /// The lines that have come, each with the name before it. None at the end.
    fn prefixed(&self, task: &mut Task) -> io::Result<Option<Vec<u8>>> {
        let mut text = Vec::new();
        for line in task.lines()? {
            text.extend_from_slice(format!("{}: ", self.name).as_bytes());
            text.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
            text.push(b'\n');
        }
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// The run is over.
    fn again(&mut self) -> StateFlow<Self> {
        self.house.pipes.borrow_mut()[self.index] = None;
        if self.started.elapsed() >= STABLE {
            self.pause = SHORTEST_PAUSE;
        }
        self.pause()
    }

    fn pause(&mut self) -> StateFlow<Self> {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        then(self.house.pause(pause), Self::start)
    }
}

struct Check {
    /// The index of the service, and its name.
    service: (usize, String),
    period: Duration,
    command: String,
}

impl Check {
    /// Waits for a period, runs the command, and so on.
    fn body(self, house: &Rc<House>) -> impl FnMut(&mut Task) -> Flow {
        let house = Rc::clone(house);
        let mut running: Option<AsyncPipe> = None;
        move |task| {
            let verdict = match running.take() {
                None => {
                    task.ok()?; // the pause
                    if house.quit.is_closed() {
                        return done(());
                    }
                    let mut check = shell(&self.command);
                    check.stdin(Stdio::null()).stdout(Stdio::null());
                    match AsyncPipe::spawn(check) {
                        Ok(pipe) => {
                            let pipe = running.insert(pipe.kill_on_drop());
                            return wait(pipe.exit().timeout(self.period));
                        }
                        Err(error) => Err(error),
                    }
                }
                Some(_) => task.exit(), // dropped, one that takes too long is killed
            };
            let complaint = match verdict {
                Ok(status) if status.success() => None,
                Ok(status) => Some(status.to_string()),
                Err(error) => Some(error.to_string()),
            };
            let service = house.pipes.borrow()[self.service.0].clone();
            if let (Some(complaint), Some(pipe)) = (complaint, service) {
                say(&format!("{}: check: {complaint}", self.service.1));
                stop(&pipe, house.grace, task);
            }
            wait(house.pause(self.period))
        }
    }
}

struct Plan {
    grace: Duration,
    /// Names and commands.
    services: Vec<(String, String)>,
    checks: Vec<Check>,
}

fn plan(mut args: impl Iterator<Item = std::ffi::OsString>) -> Result<Plan, String> {
    let mut path = args.next().ok_or(USAGE)?;
    let mut plan = Plan {
        grace: Duration::from_secs(10),
        services: Vec::new(),
        checks: Vec::new(),
    };
    if path == "--grace" {
        let grace = args.next().ok_or(USAGE)?;
        plan.grace = seconds(&grace.to_string_lossy())?;
        path = args.next().ok_or(USAGE)?;
    }
    if args.next().is_some() {
        return Err(USAGE.into());
    }
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("{}: {error}", path.to_string_lossy()))?;
    for line in text.lines().map(str::trim) {
        if !line.is_empty() && !line.starts_with('#') {
            plan.add(line)?;
        }
    }
    match plan.services.is_empty() {
        true => Err(format!("{}: no services", path.to_string_lossy())),
        false => Ok(plan),
    }
}

impl Plan {
    fn add(&mut self, line: &str) -> Result<(), String> {
        let wrong = || format!("not `NAME: COMMAND` or `NAME check SECONDS: COMMAND`: {line}");
        let (head, command) = line.split_once(": ").ok_or_else(wrong)?;
        let words: Vec<_> = head.split_whitespace().collect();
        let place = |name: &str| self.services.iter().position(|(other, _)| other == name);
        match words[..] {
            [name] if place(name).is_some() => return Err(format!("{name} is there twice")),
            [name] => self.services.push((name.to_owned(), command.to_owned())),
            [name, "check", period] => {
                let index = place(name).ok_or(format!("{name}: a check before its service"))?;
                self.checks.push(Check {
                    service: (index, name.to_owned()),
                    period: seconds(period)?,
                    command: command.to_owned(),
                });
            }
            _ => return Err(wrong()),
        }
        Ok(())
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|s| (0.001..=1e9).contains(s));
    let seconds = seconds.ok_or(format!("{text}: not 0.001 to 1e9 seconds"))?;
    Ok(Duration::from_secs_f64(seconds))
}
