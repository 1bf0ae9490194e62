//! A terminal program in one task: it sends what is typed to a socket, prints what the socket says,
//! and ticks. `first` waits for all three at once; the operations that did not end are put back, so
//! a tick in the middle of a line takes nothing of the line. stdin may be a terminal, a pipe, a
//! file; its flags are not changed.
//!
//!     cargo run --example expect -- HOST:PORT [--until TEXT] [--tick SECONDS]
//!     printf 'HEAD / HTTP/1.0\r\n\r\n' | expect localhost:8080 --until '200 OK'
//!
//! Ends when the other side has closed, or after the first line that has TEXT in it. A tick (every
//! 10 s) is a line on stderr.
//! Exit status: 0, 1 if TEXT never came or something failed, 2 for a wrong command line.

use asyncfile::{first, sleep, then, yield_now, AsyncFile, Next, Op, Scheduler, StateFlow, Task};
use std::io::{self, ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "usage: expect HOST:PORT [--until TEXT] [--tick SECONDS]";
/// A longer line is passed on in pieces.
const LONGEST: usize = 64 * 1024;

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
    let (address, until) = (options.address.clone(), options.until.clone());
    match (converse(options), until) {
        (Ok(false), Some(text)) => say(&format!("{address}: closed before {text:?} came")),
        (Err(error), _) => say(&format!("{address}: {error}")),
        (Ok(_), _) => return ExitCode::SUCCESS,
    }
    ExitCode::FAILURE
}

/// On stderr. If it cannot be written to, nothing is said.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "expect: {text}");
}

/// On stdout, at once: a very long line comes in pieces without newline.
fn print(line: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let printed = stdout.write_all(line).and_then(|()| stdout.flush());
    printed.map_err(|error| io::Error::new(error.kind(), format!("stdout: {error}")))
}

struct Options {
    address: String,
    until: Option<String>,
    tick: Duration,
}

/// The whole conversation. Returns whether the text came.
fn converse(options: Options) -> io::Result<bool> {
    let stream = TcpStream::connect(&options.address)?;
    let terminal = Terminal {
        stdin: AsyncFile::duplicate(&io::stdin())?,
        socket: AsyncFile::duplicate(&stream)?,
        stream,
        input: Input::Typing,
        next_tick: Instant::now() + options.tick,
        options,
        heard: 0,
        found: false,
    };
    let mut sched = Scheduler::new();
    let terminal = sched.spawn_states(yield_now(), terminal, Terminal::listen);
    Ok(sched.join(terminal)?.found)
}

struct Terminal {
    stdin: AsyncFile,
    socket: AsyncFile,
    /// The same socket, to shut one direction down.
    stream: TcpStream,
    input: Input,
    next_tick: Instant,
    options: Options,
    heard: u64,
    found: bool,
}

enum Input {
    /// The next line is read from stdin.
    Typing,
    /// The socket has not taken these bytes yet. stdin is not read meanwhile.
    Sending(Vec<u8>),
    Ended,
}

impl Terminal {
    /// Waits for a tick, the input and the reply, whichever comes first.
    fn listen(&mut self, task: &mut Task) -> StateFlow<Self> {
        let tick = sleep(self.next_tick.saturating_duration_since(task.clock()));
        let input: Op = match self.input {
            Input::Typing => self.stdin.readline().limit(LONGEST).into(),
            Input::Sending(_) => self.socket.writable().into(),
            Input::Ended => sleep(Duration::MAX).into(),
        };
        let reply = self.socket.readline().limit(LONGEST);
        then(first([Op::from(tick), input, reply.into()]), Self::woken)
    }

    fn woken(&mut self, task: &mut Task) -> StateFlow<Self> {
        match (task.which(), &mut self.input) {
            (0, _) => {
                let held = self.socket.buffered();
                say(&format!(
                    "{} lines heard, {held} bytes of the next",
                    self.heard
                ));
                self.next_tick = task.clock() + self.options.tick;
                return Next::again(Self::woken); // the sleep anew; input and reply as before
            }
            (1, Input::Typing) => match task.line()? {
                Some(line) => self.input = Input::Sending(line.to_vec()),
                None => self.stop_sending(),
            },
            // Not in full: a server that sends before it reads on would wait for us, and we for it.
            (1, Input::Sending(data)) => {
                task.ok()?;
                return then(self.socket.write(&*data), Self::sent);
            }
            _ => match task.line()? {
                Some(line) => {
                    print(line)?;
                    self.heard += line.ends_with(b"\n") as u64;
                    let text = self.options.until.as_deref();
                    self.found = text.map_or(false, |text| {
                        line.windows(text.len()).any(|part| part == text.as_bytes())
                    });
                    return match self.found {
                        true => Next::done(),
                        false => Next::again(Self::woken), // the sleep keeps its clock
                    };
                }
                None => return Next::done(),
            },
        }
        self.listen(task)
    }

    fn sent(&mut self, task: &mut Task) -> StateFlow<Self> {
        match (task.written(), &mut self.input) {
            (Ok(count), Input::Sending(data)) if count < data.len() => drop(data.drain(..count)),
            (Ok(_), input) => *input = Input::Typing,
            // The other side has gone. What it said before is still there, to be read.
            (Err(error), _)
                if [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset].contains(&error.kind()) =>
            {
                self.stop_sending()
            }
            (Err(error), _) => return Err(error),
        }
        self.listen(task)
    }

    fn stop_sending(&mut self) {
        self.input = Input::Ended;
        // It fails if the other side has gone; the next read says so, too.
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

fn arguments(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let (mut address, mut until, mut tick) = (None, None, Duration::from_secs(10));
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--until" => {
                until = Some(
                    args.next()
                        .filter(|text| !text.is_empty())
                        .ok_or("--until needs a text")?,
                )
            }
            "--tick" => {
                let value = args.next().unwrap_or_default();
                let seconds = value
                    .parse()
                    .ok()
                    .filter(|seconds| (0.001..=1e9).contains(seconds));
                tick = seconds
                    .map(Duration::from_secs_f64)
                    .ok_or(format!("--tick {value:?}: not 0.001 to 1e9 seconds"))?;
            }
            option if option.starts_with('-') => return Err(format!("unknown option {option}")),
            _ if address.is_some() => return Err("more than one address".into()),
            _ => address = Some(arg),
        }
    }
    Ok(Options {
        address: address.ok_or("no address given")?,
        until,
        tick,
    })
}
