//! A terminal program in one task: what is typed goes to a socket, what the socket says is printed, and a tick tells
//! how things are. `first` waits for all of them at once; the ones that did not end are put back, so a tick in the
//! middle of a line takes nothing of the line. stdin may be a terminal, a pipe, a file: its flags stay as they are.
//!
//!     cargo run --example expect -- HOST:PORT [--until TEXT] [--tick SECONDS]
//!     printf 'HEAD / HTTP/1.0\r\n\r\n' | expect localhost:8080 --until '200 OK'
//!
//! Ends when the other side has closed, or after the first line that has TEXT in it. Ticks (every 10 s) are on stderr.
//! Exit status: 0, 1 when TEXT never came or something failed, 2 for a wrong command line.

use asyncfile::{first, sleep, then, yield_now, AsyncFile, Next, Op, Scheduler, Task};
use std::io::{self, ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "usage: expect HOST:PORT [--until TEXT] [--tick SECONDS]";
const LONGEST: usize = 64 * 1024; // a longer line passes in pieces

fn main() -> ExitCode {
    let options = match arguments(std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned())) {
        Ok(options) => options,
        Err(complaint) => {
            eprintln!("expect: {complaint}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let (address, until) = (options.address.clone(), options.until.clone());
    match (converse(options), until) {
        (Ok(false), Some(text)) => eprintln!("expect: {address}: closed before {text:?} came"),
        (Err(error), _) => eprintln!("expect: {address}: {error}"),
        (Ok(_), _) => return ExitCode::SUCCESS,
    }
    ExitCode::FAILURE
}

struct Options {
    address: String,
    until: Option<String>,
    tick: Duration,
}

/// The whole conversation; whether the text that was waited for came.
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
    stream: TcpStream, // the same socket, to shut one direction down
    input: Input,
    next_tick: Instant,
    options: Options,
    heard: u64,
    found: bool,
}

enum Input {
    Typing,           // the next line is awaited from stdin
    Sending(Vec<u8>), // what the socket has not taken yet; stdin waits meanwhile
    Ended,
}

impl Terminal {
    fn listen(&mut self, task: &mut Task) -> io::Result<Next<Self>> {
        let tick = sleep(self.next_tick.saturating_duration_since(task.clock()));
        let input: Op = match self.input {
            Input::Typing => self.stdin.readline().limit(LONGEST).into(),
            Input::Sending(_) => self.socket.writable().into(),
            Input::Ended => sleep(Duration::MAX).into(),
        };
        let reply = self.socket.readline().limit(LONGEST);
        then(first([tick.into(), input, reply.into()]), Self::woken)
    }

    fn woken(&mut self, task: &mut Task) -> io::Result<Next<Self>> {
        match (task.which(), &mut self.input) {
            (0, _) => {
                let held = self.socket.buffered();
                eprintln!("expect: {} lines heard, {held} bytes of the next", self.heard);
                self.next_tick = task.clock() + self.options.tick;
            }
            (1, Input::Typing) => match task.line()? {
                Some(line) => self.input = Input::Sending(line.to_vec()),
                None => self.stop_sending(),
            },
            // Not in full: a server that first wants its own answer to be read would wait for us, and we for it.
            (1, Input::Sending(data)) => {
                task.ok()?;
                return then(self.socket.write(&*data), Self::sent);
            }
            _ => match task.line()? {
                Some(line) => {
                    io::stdout().write_all(line)?;
                    io::stdout().flush()?;
                    self.heard += line.ends_with(b"\n") as u64;
                    let text = self.options.until.as_deref();
                    self.found =
                        text.map_or(false, |text| line.windows(text.len()).any(|part| part == text.as_bytes()));
                    if self.found {
                        return Next::done();
                    }
                }
                None => return Next::done(),
            },
        }
        self.listen(task)
    }

    fn sent(&mut self, task: &mut Task) -> io::Result<Next<Self>> {
        match (task.written(), &mut self.input) {
            (Ok(count), Input::Sending(data)) if count < data.len() => drop(data.drain(..count)),
            (Ok(_), input) => *input = Input::Typing,
            // The other side has gone; what it said before is still to be read.
            (Err(error), _) if [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset].contains(&error.kind()) => {
                self.stop_sending()
            }
            (Err(error), _) => return Err(error),
        }
        self.listen(task)
    }

    fn stop_sending(&mut self) {
        self.input = Input::Ended;
        let _ = self.stream.shutdown(Shutdown::Write); // fails if the other side has gone: the reading shows that
    }
}

fn arguments(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let (mut address, mut until, mut tick) = (None, None, Duration::from_secs(10));
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--until" => until = Some(args.next().filter(|text| !text.is_empty()).ok_or("--until needs a text")?),
            "--tick" => {
                let value = args.next().unwrap_or_default();
                let seconds = value.parse().ok().filter(|seconds| (0.001..=1e9).contains(seconds));
                tick = seconds
                    .map(Duration::from_secs_f64)
                    .ok_or(format!("--tick {value:?}: not 0.001 to 1e9 seconds"))?;
            }
            option if option.starts_with('-') => return Err(format!("unknown option {option}")),
            _ if address.is_some() => return Err("more than one address".into()),
            _ => address = Some(arg),
        }
    }
    Ok(Options { address: address.ok_or("no address given")?, until, tick })
}
