//! A server with a task for each connection. A frame is a length of 4 bytes (big endian) and that
//! many bytes; the server sends the bytes back. Each state of the protocol is one function. A frame
//! longer than 1 MiB, and a client that stops in the middle of a frame or stays silent, end this
//! one connection, with a line on stderr.
//!
//!     cargo run --example echo_server -- [--port N] [--max-connections N] [--timeout SECONDS]
//!
//! Listens on loopback and prints the address on stdout; without --port, any free port. SECONDS
//! (30) is the most that each step of the client may take: to send the length, to send the body, to
//! take the answer. Runs until it is killed.
//! Exit status: 1 if it cannot print, listen, accept or poll, 2 for a wrong command line.

use asyncfile::{
    sleep, then, wait, yield_now, AsyncFile, End, Flow, Next, Scheduler, StateFlow, Task, TaskError,
};
use std::cell::Cell;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

const MAX_FRAME: u32 = 1024 * 1024;
const ACCEPTS_PER_TURN: usize = 64;
/// How long the acceptor sleeps before it tries again.
const PAUSE: Duration = Duration::from_millis(200);
/// What accept(2) fails with while there is no free descriptor, or no memory.
const SHORTAGES: [i32; 4] = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
const USAGE: &str = "usage: echo_server [--port N] [--max-connections N] [--timeout SECONDS]";

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
    match serve(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// On stderr. If it cannot be written to, nothing is said.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "echo_server: {text}");
}

/// The error names stdout.
fn of_stdout(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("stdout: {error}"))
}

struct Options {
    port: u16,
    max_connections: usize,
    timeout: Duration,
}

fn serve(options: Options) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))?;
    listener.set_nonblocking(true)?; // a client may have gone between poll(2) and accept(2)
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?).map_err(of_stdout)?;

    let taken = Cell::new(0);
    let mut sched = Scheduler::new();
    let incoming = AsyncFile::duplicate(&listener)?;
    let acceptor = sched.spawn(
        incoming.readable(),
        acceptor(listener, incoming, options, &taken),
    );
    loop {
        match sched.run() {
            Ok(()) => return sched.join(acceptor).map_err(io::Error::from),
            // The loop itself has failed: the next turn would fail, too, at once and for ever.
            Err(error @ (TaskError::Stalled(_) | TaskError::Poll(_))) => return Err(error.into()),
            Err(error) => say(&error.to_string()), // one connection; the others go on
        }
    }
}

/// Accepts connections while clients wait. When there are too many connections, or no descriptor
/// is free, the listener stays readable, and poll(2) would return at once, again and again. So the
/// task sleeps a little, until some connections have ended.
fn acceptor<'t>(
    listener: TcpListener,
    incoming: AsyncFile,
    options: Options,
    taken: &'t Cell<usize>,
) -> impl FnMut(&mut Task<'_, 't>) -> Flow + 't {
    move |task| {
        task.ok()?;
        for _ in 0..ACCEPTS_PER_TURN {
            if taken.get() >= options.max_connections {
                say(&format!(
                    "{} connections, the most allowed; again in {PAUSE:?}",
                    taken.get()
                ));
                return wait(sleep(PAUSE));
            }
            match listener.accept() {
                Ok((stream, peer)) => {
                    let echo = Echo::new(stream, peer, options.timeout, taken)?;
                    task.spawn_states(yield_now(), echo, Echo::idle);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if SHORTAGES.map(Some).contains(&error.raw_os_error()) => {
                    say(&format!("accept: {error}; again in {PAUSE:?}"));
                    return wait(sleep(PAUSE));
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
        wait(incoming.readable())
    }
}

/// One connection: idle -> header -> body -> idle. Its task drops it at its end, however the task
/// ends, and that closes the socket.
struct Echo<'t> {
    sock: AsyncFile,
    peer: SocketAddr,
    timeout: Duration,
    /// The length of the frame whose body is read.
    length: u32,
    taken: &'t Cell<usize>,
}

impl<'t> Echo<'t> {
    fn new(
        stream: TcpStream,
        peer: SocketAddr,
        timeout: Duration,
        taken: &'t Cell<usize>,
    ) -> io::Result<Self> {
        let _ = stream.set_nodelay(true); // short answers are sent at once, one packet each
        let sock = AsyncFile::new(stream)?;
        taken.set(taken.get() + 1);
        Ok(Echo {
            sock,
            peer,
            timeout,
            length: 0,
            taken,
        })
    }

    fn idle(&mut self, task: &mut Task) -> StateFlow<Self> {
        task.ok().map_err(|error| self.failed(error))?;
        then(self.sock.read(4).full().timeout(self.timeout), Self::header)
    }

    fn header(&mut self, task: &mut Task) -> StateFlow<Self> {
        let header = task.bytes().map_err(|error| self.failed(error))?;
        if header.is_empty() {
            return Next::done(); // the end of file between two frames
        }
        match <[u8; 4]>::try_from(header) {
            Ok(length) => self.length = u32::from_be_bytes(length),
            Err(_) => return Err(self.cut("a length", header.len(), 4, task.end())),
        }
        if self.length > MAX_FRAME {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "{}: a frame of {} bytes, the limit is {MAX_FRAME}",
                    self.peer, self.length
                ),
            ));
        }
        then(
            self.sock
                .read(self.length as usize)
                .full()
                .timeout(self.timeout),
            Self::body,
        )
    }

    fn body(&mut self, task: &mut Task) -> StateFlow<Self> {
        let body = task.bytes().map_err(|error| self.failed(error))?;
        if body.len() < self.length as usize {
            return Err(self.cut("a frame", body.len(), self.length, task.end()));
        }
        then(
            self.sock.write(body).full().timeout(self.timeout),
            Self::idle,
        )
    }

    fn failed(&self, error: io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.peer))
    }

    fn cut(&self, what: &str, had: usize, wanted: u32, end: End) -> io::Error {
        let (kind, why) = match end {
            End::TimedOut => (io::ErrorKind::TimedOut, "timed out"),
            _ => (io::ErrorKind::UnexpectedEof, "was cut off"),
        };
        io::Error::new(
            kind,
            format!("{}: {what} {why} after {had} of {wanted} bytes", self.peer),
        )
    }
}

impl Drop for Echo<'_> {
    fn drop(&mut self) {
        self.taken.set(self.taken.get() - 1);
    }
}

fn arguments(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        port: 0,
        max_connections: usize::MAX,
        timeout: Duration::from_secs(30),
    };
    while let Some(name) = args.next() {
        let value = args.next().unwrap_or_default();
        let understood = match name.as_str() {
            "--port" => value.parse().map(|port| options.port = port).is_ok(),
            "--max-connections" => {
                value
                    .parse()
                    .map(|most| options.max_connections = most)
                    .is_ok()
                    && options.max_connections > 0
            }
            "--timeout" => {
                let seconds = value
                    .parse()
                    .ok()
                    .filter(|seconds| (0.001..=1e9).contains(seconds));
                seconds
                    .map(|seconds| options.timeout = Duration::from_secs_f64(seconds))
                    .is_some()
            }
            _ => return Err(format!("unknown argument {name}")),
        };
        if !understood {
            return Err(format!("{name} {value:?} makes no sense"));
        }
    }
    Ok(options)
}
