//! Drives a line-oriented program that wants to talk to a terminal, with lines from stdin. Each
//! line is sent when the answer to the line before it is complete. Each answer may take so many
//! seconds. The end of an answer is a text in the middle of a stream: `first` waits for more of the
//! stream, for the deadline and for Ctrl-C at once. What comes behind the text belongs to the next
//! answer.
//!
//!     printf '1+1\n2^100\n' | cargo run --example repl -- bc
//!     repl --timeout 2 sh < setup.sh > transcript
//!     repl --prompt 'sqlite> ' sqlite3 my.db
//!
//!   --timeout SECONDS  for each answer (default 10)
//!   --prompt TEXT      what the program prints when it waits for a line. bc, sh, bash, dash and
//!                      python3 need none: they are made to print a text that nothing else prints
//!                      (for bc, each line of stdin must be complete in itself)
//!
//! Prints `> LINE` and the answer, line by line. At the end of stdin the program gets a ^D, and may
//! take so many seconds once more.
//! Exit status: the program's (128 + N after signal N); 1 if an answer did not come or something
//! failed, 2 for a wrong command line, 130 after Ctrl-C.

mod signals;

use asyncfile::{
    first, sleep, then, yield_now, AsyncFile, AsyncPipe, End, Next, Op, OperationError, Scheduler,
    StateFlow, Task,
};
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode};
use std::ptr::null_mut;
use std::time::{Duration, Instant};

use signals::Signals;

const USAGE: &str = "usage: repl [--timeout SECONDS] [--prompt TEXT] PROGRAM [ARGUMENT ...]";
/// A terminal takes no longer line: N_TTY_BUF_SIZE, without the newline and one byte.
const LONGEST: usize = 4094;
const END_OF_FILE: &[u8] = b"\x04";

fn main() -> ExitCode {
    let options = match arguments(
        std::env::args_os()
            .skip(1)
            .map(|arg| arg.to_string_lossy().into_owned()),
    ) {
        Ok(options) => options,
        Err(complaint) => {
            say(&format!("{complaint}\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    let program = options.program[0].clone();
    converse(options).map_or_else(
        |error| {
            say(&format!("{program}: {error}"));
            ExitCode::FAILURE
        },
        ExitCode::from,
    )
}

/// On stderr. If it cannot be written to, nothing is said.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "repl: {text}");
}

/// The errno of a system call that failed in an operation.
fn errno_of(error: &io::Error) -> Option<i32> {
    OperationError::of(error)?.raw_os_error()
}

/// The whole conversation. Returns the exit status.
fn converse(options: Options) -> io::Result<u8> {
    let signals = Signals::new()?;
    let dialect = Dialect::of(&options);
    let (master, child) = start(&options, &dialect)?;
    let timeout = options.timeout;
    let session = Session {
        // Shared with the shell: their flags must not change.
        stdin: AsyncFile::duplicate(&io::stdin())?,
        stdout: AsyncFile::duplicate(&io::stdout())?,
        setup: dialect.setup,
        mark: dialect.mark,
        after: dialect.after,
        master,
        signals,
        timeout,
        echoes: false,
        heard: Vec::new(),
        sent: None,
        deadline: Instant::now() + timeout,
        ending: Ending::None,
    };
    let mut sched = Scheduler::new();
    let session = sched.spawn_states(yield_now(), session, Session::begin);
    let session = sched.join(session);
    if !matches!(
        &session,
        Ok(Session {
            ending: Ending::Closed,
            ..
        })
    ) {
        child.kill()?;
    }
    // The terminal is dropped with the session: processes that still have it get SIGHUP.
    let ending = session.map(|session| session.ending);
    let status = match sched.block_on(child.exit().timeout(timeout)) {
        Err(error) if error.kind() == ErrorKind::TimedOut => {
            child.kill()?;
            sched.block_on(child.exit())?
        }
        status => status?,
    };
    match ending? {
        Ending::Interrupted(signal) => {
            say("interrupted: the program was ended");
            Ok(128 + signal)
        }
        _ => Ok(status.code().unwrap_or(128 + status.signal().unwrap_or(0)) as u8),
    }
}

/// How a program is made to print a mark when it waits for a line. The text that makes it do so
/// does not contain the mark: an echo of that text must not be taken for the mark.
struct Dialect {
    environment: Vec<(&'static str, String)>,
    setup: Vec<u8>,
    mark: Vec<u8>,
    /// Sent after each line.
    after: Vec<u8>,
}

impl Dialect {
    fn of(options: &Options) -> Dialect {
        let (left, right) = ("<repl:", format!("{}>", std::process::id()));
        let mark = format!("{left}{right}");
        let program = options.program[0].rsplit('/').next().unwrap_or_default();
        let (environment, setup, after) = match (&options.prompt, program) {
            (Some(_), _) => (vec![], String::new(), String::new()),
            (None, "sh" | "dash" | "bash") => (
                vec![],
                format!("PS1='{left}''{right}' PS2='{left}''{right}'\n"),
                String::new(),
            ),
            (None, program) if program.starts_with("python") => {
                let setup = format!("import sys; sys.ps1 = sys.ps2 = '{left}' '{right}'\n");
                (
                    vec![("PYTHON_BASIC_REPL", "1".into())],
                    setup,
                    String::new(),
                )
            }
            // bc has no prompt. An expression that is a string prints the string.
            (None, "bc") => {
                let after = format!("\"{left}\"; \"{right}\"\n");
                (vec![], after.clone(), after)
            }
            (None, _) => (vec![], String::new(), String::new()),
        };
        let mark = options.prompt.clone().unwrap_or(mark).into_bytes();
        Dialect {
            environment,
            setup: setup.into_bytes(),
            mark,
            after: after.into_bytes(),
        }
    }
}

/// The program on the other side of a pseudo-terminal.
fn start(options: &Options, dialect: &Dialect) -> io::Result<(AsyncFile, AsyncPipe)> {
    let (master, slave) = terminal()?;
    let mut command = Command::new(&options.program[0]);
    command
        .args(&options.program[1..])
        .env("TERM", "dumb")
        .envs(dialect.environment.iter().cloned());
    command
        .stdin(slave.try_clone()?)
        .stdout(slave.try_clone()?)
        .stderr(slave);
    // SAFETY: between fork and exec the closure makes two system calls and nothing else.
    unsafe {
        command.pre_exec(|| {
            match libc::setsid() != -1 && libc::ioctl(0, libc::TIOCSCTTY as _, 0) != -1 {
                true => Ok(()),
                false => Err(io::Error::last_os_error()),
            }
        })
    };
    let child = command.spawn()?;
    // The command is dropped here, and with it our last copy of the slave.
    Ok((AsyncFile::new(master)?, AsyncPipe::new(child)?))
}

/// A pseudo-terminal, master and slave. It echoes nothing, changes no newline, and is wide.
#[allow(clippy::unnecessary_mut_passed)] // macOS' openpty takes the size as *mut
fn terminal() -> io::Result<(OwnedFd, OwnedFd)> {
    let (mut master, mut slave) = (-1, -1);
    let mut size = libc::winsize {
        ws_row: 24,
        ws_col: 10_000,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the pointers are to live variables, or null where that is allowed.
    if unsafe { libc::openpty(&mut master, &mut slave, null_mut(), null_mut(), &mut size) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: openpty has just made these two for us.
    let (master, slave) = unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
    // SAFETY: the descriptors are open; a zeroed termios is a valid one, and tcgetattr fills it in.
    let answer = unsafe {
        let mut modes: libc::termios = std::mem::zeroed();
        let answer = libc::tcgetattr(slave.as_raw_fd(), &mut modes);
        modes.c_lflag &= !libc::ECHO;
        modes.c_oflag &= !libc::OPOST;
        answer | libc::tcsetattr(slave.as_raw_fd(), libc::TCSANOW, &modes)
    };
    // std's duplicates are closed on exec; openpty's are not.
    // SAFETY: F_SETFD takes an int.
    let set =
        |fd: &OwnedFd| unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
    match answer | set(&master) | set(&slave) {
        0 => Ok((master, slave)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// begin -> sent -> heard -> ... -> heard -> printed -> asked -> sent, and so on, until the program
/// or stdin ends. `heard` and `asked` wait for the same thing again until it is enough.
struct Session {
    stdin: AsyncFile,
    stdout: AsyncFile,
    master: AsyncFile,
    signals: Signals,
    setup: Vec<u8>,
    mark: Vec<u8>,
    after: Vec<u8>,
    echoes: bool,
    timeout: Duration,
    /// What the program has said and was not printed.
    heard: Vec<u8>,
    /// The line whose answer is expected.
    sent: Option<Vec<u8>>,
    deadline: Instant,
    ending: Ending,
}

#[derive(PartialEq)]
enum Ending {
    None,
    Asked,
    AskedAgain,
    Closed,
    Interrupted(u8),
}

impl Session {
    fn begin(&mut self, task: &mut Task) -> StateFlow<Self> {
        task.ok()?;
        let setup = self.setup.clone();
        self.send(setup, None)
    }

    fn send(&mut self, text: Vec<u8>, sent: Option<Vec<u8>>) -> StateFlow<Self> {
        self.sent = sent;
        self.deadline = Instant::now() + self.timeout;
        then(
            self.master.write(text).full().timeout(self.timeout),
            Self::sent,
        )
    }

    fn sent(&mut self, task: &mut Task) -> StateFlow<Self> {
        match task.written() {
            // The other side has gone (Linux). What it said is still to be read.
            Err(error) if errno_of(&error) == Some(libc::EIO) => self.listen(task),
            Err(error) => Err(error),
            Ok(_) => self.listen(task),
        }
    }

    /// Waits for more from the program, a signal or the deadline, whichever comes first.
    fn listen(&mut self, task: &mut Task) -> StateFlow<Self> {
        let left = self.deadline.saturating_duration_since(task.clock());
        let ops: [Op; 3] = [
            self.master.read(4096).into(),
            self.signals.file.read(1).into(),
            sleep(left).into(),
        ];
        then(first(ops), Self::heard)
    }

    fn heard(&mut self, task: &mut Task) -> StateFlow<Self> {
        match task.which() {
            0 => {
                let from = self.heard.len().saturating_sub(self.mark.len() - 1);
                if self.take_in(task)? == End::Eof {
                    let rest = std::mem::take(&mut self.heard);
                    return self.print(rest);
                }
                let found = self.heard[from..]
                    .windows(self.mark.len())
                    .position(|part| part == self.mark);
                match found {
                    Some(at) if self.ending == Ending::None => {
                        let rest = self.heard.split_off(from + at + self.mark.len());
                        let mut answer = std::mem::replace(&mut self.heard, rest);
                        answer.truncate(from + at);
                        self.print(answer)
                    }
                    _ => Next::again(Self::heard), // the sleep keeps its clock
                }
            }
            1 => self.interrupted(task),
            // A program that changes its terminal's mode, as line editors do between two lines,
            // may have thrown the ^D away. It is sent once more.
            _ if self.ending == Ending::Asked => {
                self.ending = Ending::AskedAgain;
                self.send(END_OF_FILE.to_vec(), None)
            }
            _ => {
                let line = match &self.sent {
                    Some(line) => format!("no answer to {:?}", String::from_utf8_lossy(line)),
                    None if self.ending == Ending::AskedAgain => "it did not end".into(),
                    None => "it did not ask for a line".into(),
                };
                let (timeout, heard) = (self.timeout, String::from_utf8_lossy(&self.heard));
                Err(io::Error::new(
                    ErrorKind::TimedOut,
                    format!("{line} within {timeout:?}, but {heard:?}"),
                ))
            }
        }
    }

    /// The program has said more, or has ended.
    fn take_in(&mut self, task: &mut Task) -> io::Result<End> {
        let bytes = task.bytes()?;
        self.heard.extend_from_slice(bytes);
        if bytes.is_empty() {
            self.ending = Ending::Closed;
        }
        Ok(task.end())
    }

    fn interrupted(&mut self, task: &mut Task) -> StateFlow<Self> {
        task.bytes()?;
        self.ending = Ending::Interrupted(self.signals.last() as u8);
        Next::done()
    }

    /// The line, if one was sent, and the answer to it.
    fn print(&mut self, answer: Vec<u8>) -> StateFlow<Self> {
        let mut text = Vec::new();
        let mut answer = &answer[..];
        if let Some(line) = self.sent.take() {
            text = [b"> ", &line[..], b"\n"].concat();
            // A program that edits its lines itself also echoes them.
            if self.echoes {
                answer = answer
                    .strip_prefix(&line[..])
                    .map_or(answer, |rest| rest.trim_ascii_start());
                answer = answer
                    .trim_ascii_end()
                    .strip_suffix(self.after.trim_ascii_end())
                    .unwrap_or(answer);
            }
        } else if answer.trim_ascii().is_empty() {
            answer = b""; // a last newline after the prompt
        } else if self.ending == Ending::None && !self.setup.is_empty() {
            // The program's greeting, and its own prompt.
            let setup = self.setup.trim_ascii_end();
            self.echoes = answer.windows(setup.len()).any(|part| part == setup);
            answer = b"";
        }
        text.extend_from_slice(answer);
        if !text.is_empty() && !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        then(self.stdout.write(text).full(), Self::printed)
    }

    fn printed(&mut self, task: &mut Task) -> StateFlow<Self> {
        task.written()?;
        match self.ending {
            Ending::None => self.ask(),
            _ => Next::done(),
        }
    }

    /// Waits for a line from stdin. Meanwhile it takes in what the program says.
    fn ask(&mut self) -> StateFlow<Self> {
        let line = self.stdin.readline().limit(LONGEST + 1);
        then(
            first([
                Op::from(line),
                self.signals.file.read(1).into(),
                self.master.read(4096).into(),
            ]),
            Self::asked,
        )
    }

    fn asked(&mut self, task: &mut Task) -> StateFlow<Self> {
        match task.which() {
            0 => match task.line()? {
                Some(line) => {
                    let line = line.strip_suffix(b"\n").unwrap_or(line).to_vec();
                    if line.len() > LONGEST {
                        return Err(io::Error::new(
                            ErrorKind::InvalidInput,
                            format!("a line of over {LONGEST} bytes"),
                        ));
                    }
                    let text = [&line[..], b"\n", &self.after].concat();
                    self.send(text, Some(line))
                }
                None => {
                    self.ending = Ending::Asked;
                    self.send(END_OF_FILE.to_vec(), None)
                }
            },
            1 => self.interrupted(task),
            _ => match self.take_in(task)? {
                End::Eof => {
                    let rest = std::mem::take(&mut self.heard);
                    self.print(rest)
                }
                _ => Next::again(Self::asked),
            },
        }
    }
}

struct Options {
    program: Vec<String>,
    timeout: Duration,
    prompt: Option<String>,
}

fn arguments(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        program: Vec::new(),
        timeout: Duration::from_secs(10),
        prompt: None,
    };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--timeout" => {
                let seconds = args.next().and_then(|value| value.parse().ok());
                let seconds = seconds.filter(|seconds| (0.001..=1e6).contains(seconds));
                options.timeout =
                    Duration::from_secs_f64(seconds.ok_or("--timeout: not 0.001 to 1e6 seconds")?);
            }
            "--prompt" => {
                options.prompt = Some(
                    args.next()
                        .filter(|text| !text.is_empty())
                        .ok_or("--prompt needs a text")?,
                );
            }
            option if option.starts_with('-') => return Err(format!("unknown option {option}")),
            _ => {
                options.program.push(arg);
                options.program.extend(args.by_ref()); // all the rest is the program's
            }
        }
    }
    let program = options.program.first().ok_or("no program given")?;
    let name = program.rsplit('/').next().unwrap_or_default();
    match options.prompt.is_some()
        || name.starts_with("python")
        || ["sh", "dash", "bash", "bc"].contains(&name)
    {
        true => Ok(options),
        false => Err(format!(
            "{program}: what does it say when it waits for a line? --prompt tells"
        )),
    }
}
