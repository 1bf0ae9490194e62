//! A chat server. The first line of a client is its name; every further line goes to all others as
//! `NAME: LINE`.
//!
//! Each client has two tasks. One reads its lines. The other writes what is queued for the client,
//! and waits on a channel while the queue is empty. Each line is in memory once, for however many
//! clients (`Rc<[u8]>`). The queue is bounded: a client whose socket takes nothing while ROOM lines
//! are queued is dropped; it and the others get a line that says so.
//!
//!     cargo run --example chat_server -- [--port N]               # then: nc 127.0.0.1 PORT
//!
//! Listens on loopback and prints the address on stdout; without --port, any free port. After
//! Ctrl-C (or SIGTERM) it says goodbye, gives the clients a second to take what is queued for them,
//! and ends with status 0; a second Ctrl-C ends it at once.
//! Exit status: 1 if it cannot print, listen, accept or poll, 2 for a wrong command line.

use asyncfile::{
    again, channel, done, sleep, wait, AsyncFile, End, Flow, OperationError, Receiver, Remote,
    Scheduler, Sender, Task, TaskError,
};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::mpsc::TryRecvError;
use std::sync::OnceLock;
use std::time::Duration;

/// The most lines that are queued for a client whose socket is full.
const ROOM: usize = 256;
const LONGEST_LINE: usize = 4096;
/// The most that a client may take for one line.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the clients have at the end.
const LEAVE: Duration = Duration::from_secs(1);
/// How long the acceptor sleeps before it tries again.
const PAUSE: Duration = Duration::from_millis(200);
/// What accept(2) fails with while there is no free descriptor, or no memory.
const SHORTAGES: [i32; 4] = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
const ACCEPTS_PER_TURN: usize = 64;

/// For the signal handler, to which no argument can be passed.
static REMOTE: OnceLock<Remote> = OnceLock::new();

/// `stop` may be called in a signal handler: it is atomics and a write(2).
extern "C" fn on_signal(_signal: libc::c_int) {
    if let Some(remote) = REMOTE.get() {
        remote.stop();
    }
}

fn main() -> ExitCode {
    let args = std::env::args_os().skip(1);
    let args: Vec<_> = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
    let port = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Some(0),
        ["--port", port] => port.parse().ok(),
        _ => None,
    };
    let port = match port {
        Some(port) => port,
        None => {
            say("usage: chat_server [--port N]");
            return ExitCode::from(2);
        }
    };
    match serve(port) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// On stderr. If it cannot be written to, nothing is said.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "chat_server: {text}");
}

/// The error names stdout.
fn of_stdout(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("stdout: {error}"))
}

fn serve(port: u16) -> io::Result<()> {
    let mut sched = Scheduler::new();
    let remote = sched.remote()?;
    let remote = REMOTE.get_or_init(|| remote);
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler does nothing that a signal handler may not do, and REMOTE is set.
        unsafe {
            libc::signal(
                signal,
                on_signal as extern "C" fn(libc::c_int) as libc::sighandler_t,
            )
        };
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?; // a client may have gone between poll(2) and accept(2)
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?).map_err(of_stdout)?;

    let room = Rc::new(Room::default());
    let incoming = AsyncFile::duplicate(&listener)?;
    let acceptor = sched.spawn(
        incoming.readable(),
        acceptor(listener, incoming, Rc::clone(&room)),
    );
    drive(&mut sched)?; // until the signal handler stops it, or the acceptor fails
    if let Some(Err(failure)) = acceptor.take() {
        return Err(failure.into());
    }
    let clients = room.clients.borrow().len();
    let printed = writeln!(io::stdout(), "{clients} clients, taking leave");
    acceptor.cancel();
    room.close();
    sched.spawn(sleep(LEAVE), move |_task| {
        remote.stop();
        done(())
    });
    drive(&mut sched)?;
    printed.map_err(of_stdout) // the clients have their leave in any case
}

/// Runs until all tasks have ended or the Remote stops it. A failure is that of one client's task;
/// the others go on.
fn drive(sched: &mut Scheduler) -> io::Result<()> {
    loop {
        match sched.run() {
            Ok(()) => return Ok(()),
            // The loop itself has failed: the next turn would fail, too, at once and for ever.
            Err(error @ (TaskError::Stalled(_) | TaskError::Poll(_))) => return Err(error.into()),
            Err(error) => say(&error.to_string()),
        }
    }
}

/// Accepts connections while clients wait. When no descriptor is free, the listener stays readable,
/// so the task sleeps a little.
fn acceptor<'t>(
    listener: TcpListener,
    incoming: AsyncFile,
    room: Rc<Room>,
) -> impl FnMut(&mut Task<'_, 't>) -> Flow + 't {
    move |task| {
        task.ok()?;
        for _ in 0..ACCEPTS_PER_TURN {
            match listener.accept() {
                Ok((stream, _)) => room.enter(stream, task)?,
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

/// The clients that are there.
#[derive(Default)]
struct Room {
    clients: RefCell<BTreeMap<u64, Rc<Client>>>,
    entered: Cell<u64>,
}

struct Client {
    number: u64,
    sock: AsyncFile,
    /// None until its first line.
    name: RefCell<Option<String>>,
    /// The queue of lines for it. None: it gets nothing more, and its writer ends after the rest.
    lines: RefCell<Option<Sender<Rc<[u8]>>>>,
    /// How many lines are queued.
    waiting: Cell<usize>,
    /// A line is being written: the socket was full.
    is_writing: Cell<bool>,
    /// The client was dropped: this is written instead of what is queued.
    dropped_for: RefCell<Option<Rc<[u8]>>>,
}

impl Room {
    fn enter(self: &Rc<Self>, stream: TcpStream, task: &mut Task<'_, '_>) -> io::Result<()> {
        let _ = stream.set_nodelay(true);
        let (sender, receiver) = channel();
        let client = Rc::new(Client {
            number: self.entered.get(),
            sock: AsyncFile::new(stream)?,
            name: RefCell::default(),
            lines: RefCell::new(Some(sender)),
            waiting: Cell::new(0),
            is_writing: Cell::new(false),
            dropped_for: RefCell::default(),
        });
        self.entered.set(client.number + 1);
        self.clients
            .borrow_mut()
            .insert(client.number, Rc::clone(&client));
        task.spawn(receiver.ready(), writer(Rc::clone(&client), receiver));
        task.spawn(
            client.sock.readline().limit(LONGEST_LINE),
            reader(Rc::clone(self), client),
        );
        Ok(())
    }

    /// Queues a text for all clients but one. Clients that do not keep up are dropped, and the
    /// others get a line about it.
    fn say(&self, text: &str, but: u64) {
        let line: Rc<[u8]> = format!("{text}\n").into_bytes().into();
        let all: Vec<_> = self.clients.borrow().values().cloned().collect();
        let slow: Vec<_> = all
            .into_iter()
            .filter(|client| client.number != but && !client.takes(&line))
            .collect();
        for client in slow {
            self.drop_client(&client, "you are too slow");
            self.say(&format!("* {} was too slow", client.shown()), client.number);
        }
    }

    /// The client gets one last line, and nothing more.
    fn drop_client(&self, client: &Client, why: &str) {
        self.clients.borrow_mut().remove(&client.number);
        *client.dropped_for.borrow_mut() = Some(format!("* {why}, goodbye\n").into_bytes().into());
        client.lines.take();
    }

    fn close(&self) {
        for client in std::mem::take(&mut *self.clients.borrow_mut()).into_values() {
            client.takes(&Rc::from(&b"* the server is shut down, goodbye\n"[..]));
            client.lines.take();
        }
    }
}

impl Client {
    /// Queues a line for it. False if it is too slow.
    fn takes(&self, line: &Rc<[u8]>) -> bool {
        if let Some(lines) = &*self.lines.borrow() {
            if self.is_writing.get() && self.waiting.get() >= ROOM {
                return false;
            }
            self.waiting.set(self.waiting.get() + 1);
            // It fails if the client's writer has failed; then its reader ends, too.
            let _ = lines.send(Rc::clone(line));
        }
        true
    }

    /// A client that has gone is nothing to report, and neither is a socket that was closed here.
    fn say_if_unexpected(&self, error: &io::Error) {
        let errno = OperationError::of(error).and_then(OperationError::raw_os_error);
        if !matches!(errno, None | Some(libc::ECONNRESET | libc::EPIPE)) {
            say(&format!("{}: {error}", self.shown()));
        }
    }

    fn shown(&self) -> String {
        self.name
            .borrow()
            .clone()
            .unwrap_or_else(|| format!("client {}", self.number))
    }
}

/// Reads a client's lines until it leaves or is dropped.
fn reader<'t>(room: Rc<Room>, client: Rc<Client>) -> impl FnMut(&mut Task<'_, 't>) -> Flow + 't {
    move |task| {
        let line = match task.line() {
            Ok(Some(line)) if task.end() != End::Limit => {
                String::from_utf8_lossy(line).trim_end().to_owned()
            }
            Ok(Some(_)) => {
                room.drop_client(&client, &format!("a line is at most {LONGEST_LINE} bytes"));
                return done(());
            }
            end => {
                if let Err(error) = end {
                    client.say_if_unexpected(&error);
                }
                let was_here = room.clients.borrow_mut().remove(&client.number).is_some();
                if was_here && client.name.borrow().is_some() {
                    room.say(&format!("* {} left", client.shown()), client.number);
                }
                client.lines.take();
                return done(());
            }
        };
        if client.lines.borrow().is_none() {
            return done(()); // the client was dropped, or the server shuts down
        }
        let is_named = client.name.borrow().is_some();
        if is_named {
            room.say(&format!("{}: {line}", client.shown()), client.number);
        } else {
            let welcome = format!("* welcome {line}\n").into_bytes();
            *client.name.borrow_mut() = Some(line);
            client.takes(&welcome.into());
            room.say(&format!("* {} came", client.shown()), client.number);
        }
        again()
    }
}

/// Writes what is queued for a client, one line at a time.
fn writer<'t>(
    client: Rc<Client>,
    lines: Receiver<Rc<[u8]>>,
) -> impl FnMut(&mut Task<'_, 't>) -> Flow + 't {
    move |task| {
        let answer = task.ok();
        client.is_writing.set(false);
        if answer.is_err() || task.end() == End::TimedOut {
            if let Err(error) = answer {
                client.say_if_unexpected(&error);
            }
            client.sock.close(); // that ends its reader, too
            return done(());
        }
        loop {
            match lines.try_recv() {
                Ok(line) => {
                    client.waiting.set(client.waiting.get() - 1);
                    if client.dropped_for.borrow().is_none() {
                        client.is_writing.set(true);
                        return wait(client.sock.write(line).full().timeout(PATIENCE));
                    }
                }
                Err(TryRecvError::Empty) => return wait(lines.ready()),
                Err(TryRecvError::Disconnected) => match client.dropped_for.take() {
                    Some(farewell) => {
                        return wait(client.sock.write(farewell).full().timeout(PATIENCE))
                    }
                    None => {
                        client.sock.close();
                        return done(());
                    }
                },
            }
        }
    }
}
