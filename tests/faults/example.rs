//! One run of an example, with or without faults, and with the peer that it needs.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{channel, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use super::{built, signals, CALLS};

/// What no run takes unless it hangs.
const GUARD: Duration = Duration::from_secs(30);

/// Which runs of an example print the same.
#[derive(Clone, Copy, PartialEq)]
enum Same {
    Bytes,
    /// The order of the lines is the children's.
    Lines,
    /// The numbers are measured.
    Words,
}

/// What is done beside it.
#[derive(Clone, Copy, PartialEq)]
enum Beside {
    Nothing,
    /// SIGTERM, when its stdout ends with this.
    Stop(&'static str),
    /// A peer that it connects to sends two lines and closes.
    Peer,
    /// It is a server: a client says and hears these, twice. Then SIGTERM.
    Client(&'static [u8], usize),
}

pub struct Case {
    pub name: &'static str,
    example: &'static str,
    args: &'static [&'static str],
    stdin: &'static str,
    same: Same,
    beside: Beside,
}

const fn case(
    name: &'static str,
    example: &'static str,
    args: &'static [&'static str],
    stdin: &'static str,
    same: Same,
    beside: Beside,
) -> Case {
    Case {
        name,
        example,
        args,
        stdin,
        same,
        beside,
    }
}

/// Each example, `line_count` with a file and with a pipe that it shares.
#[rustfmt::skip]
pub static CASES: [Case; 17] = [
    case("chat_server", "chat_server", &[], "", Same::Bytes, Beside::Client(b"x\n", 12)),
    case("echo_server", "echo_server", &[], "", Same::Bytes, Beside::Client(b"\0\0\0\x05hello", 5)),
    case("expect", "expect", &["ADDRESS"], "typed\n", Same::Bytes, Beside::Peer),
    case("foreign_loop", "foreign_loop", &["Cargo.toml", "LICENSE-MIT"], "status\n", Same::Lines, Beside::Nothing),
    case("game_loop", "game_loop", &["--frames", "2", "--calm"], "", Same::Words, Beside::Nothing),
    case("idle", "idle", &["4"], "", Same::Words, Beside::Nothing),
    case("line_count FILE", "line_count", &["Cargo.toml"], "", Same::Bytes, Beside::Nothing),
    case("line_count -", "line_count", &["--timeout", "20"], "one\ntwo\nthree\n", Same::Bytes, Beside::Nothing),
    case("parallel", "parallel", &["-j", "2", "echo a; echo b", "echo c >&2"], "", Same::Lines, Beside::Nothing),
    case("pipe_csum", "pipe_csum", &["Cargo.toml"], "", Same::Bytes, Beside::Nothing),
    case("pipe_grep", "pipe_grep", &["a", "Cargo.toml"], "", Same::Bytes, Beside::Nothing),
    case("repl", "repl", &["--timeout", "5", "sh"], "echo said\necho again\n", Same::Bytes, Beside::Nothing),
    case("rpc_client", "rpc_client", &[], "", Same::Bytes, Beside::Nothing),
    case("socket_afile", "socket_afile", &[], "", Same::Bytes, Beside::Nothing),
    case("supervise", "supervise", &["SERVICES"], "", Same::Bytes, Beside::Stop("a: b\n")),
    case("tail_f", "tail_f", &["--lines", "1", "Cargo.toml"], "", Same::Bytes, Beside::Stop("\n")),
    case("workers", "workers", &["--threads", "2", "LICENSE-MIT", "Cargo.toml"], "", Same::Lines, Beside::Nothing),
];

impl Case {
    /// One connection, or one service, may fail, and it goes on.
    pub fn is_server(&self) -> bool {
        matches!(self.beside, Beside::Client(..)) || self.example == "supervise"
    }
}

pub enum Faults {
    None,
    /// As strace's `inject` takes it.
    Call(String),
    /// The file to be preloaded, and a seed.
    Short(PathBuf, u64),
}

pub struct Run {
    pub status: ExitStatus,
    stdout: String,
    pub stderr: String,
    /// What the client has heard.
    heard: Vec<u8>,
    pub is_hanging: bool,
    /// The processes that it has left behind.
    pub left: String,
    /// Whether the log has the beginning of `main`.
    pub has_begun: bool,
    before_main: BTreeMap<String, usize>,
    since: BTreeMap<String, usize>,
    /// The lines of the log with an injected fault.
    pub hits: Vec<String>,
    early_hits: usize,
}

impl Run {
    pub fn calls_of(&self, call: &str) -> usize {
        self.since.get(call).copied().unwrap_or(0)
    }

    pub fn before_main(&self, call: &str) -> usize {
        self.before_main.get(call).copied().unwrap_or(0)
    }

    pub fn all_calls(&self) -> usize {
        self.since.values().sum()
    }

    pub fn is_hit_before_main(&self) -> bool {
        self.early_hits > 0
    }

    pub fn has_hit_stderr(&self) -> bool {
        self.hits.iter().any(|hit| hit.starts_with("write(2,"))
    }

    /// What it printed, as far as it is the same in each run.
    pub fn output(&self, case: &Case) -> (String, Vec<u8>) {
        let mut lines: Vec<&str> = self.stdout.split_inclusive('\n').collect();
        let printed = match case.same {
            _ if self.stdout.starts_with("listening on ") => String::new(),
            Same::Bytes => self.stdout.clone(),
            Same::Lines => {
                lines.sort_unstable();
                lines.concat()
            }
            Same::Words => {
                lines.retain(|line| !line.contains("KiB resident")); // if /proc tells
                lines.concat().replace(|c: char| c.is_ascii_digit(), "")
            }
        };
        (printed, self.heard.clone())
    }

    /// Reads strace's log. The handler of SIGBUS is the last thing that Rust's runtime sets up.
    fn read_log(&mut self, log: &str) {
        for line in log.lines() {
            let call = line.split('(').next().unwrap_or_default();
            if line.starts_with("rt_sigaction(SIGBUS, {") {
                self.has_begun = true;
            } else if CALLS.contains(&call) {
                // std's own, when it starts a child by fork(2). It waits for the child if it fails.
                let is_std = call == "recvfrom" && !line.contains("MSG_DONTWAIT");
                let counts = match self.has_begun && !is_std {
                    true => &mut self.since,
                    false => &mut self.before_main,
                };
                *counts.entry(call.to_string()).or_default() += 1;
            }
            if line.ends_with("(INJECTED)") {
                self.early_hits += usize::from(!self.has_begun);
                self.hits.push(line.to_string());
            }
        }
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "    {}", self.status)?;
        for hit in self.hits.iter().take(5) {
            writeln!(f, "    hit: {hit}")?;
        }
        for line in self.stdout.lines().take(5) {
            writeln!(f, "    stdout: {line}")?;
        }
        for line in self.stderr.lines().take(10) {
            writeln!(f, "    stderr: {line}")?;
        }
        Ok(())
    }
}

/// The tests here watch which processes are left, and those of one run are not those of another.
pub fn one_at_a_time() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let guard = ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    // SAFETY: takes numbers: what a run leaves becomes a child of this process.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
    guard
}

pub fn strace_is_there() -> Result<(), String> {
    let output = Command::new("strace")
        .args([
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "inject=chdir:error=EIO",
            "true",
        ])
        .output()
        .map_err(|error| format!("strace: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

pub fn run(case: &Case, faults: &Faults) -> Run {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let services = directory.path().join("services");
    fs::write(&services, "a: echo b; exec sleep 1000\n").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();

    let program = built::example(case.example);
    let is_traced = !matches!(faults, Faults::Short(..));
    let mut command = match faults {
        Faults::None => strace(&log, None),
        Faults::Call(expression) => strace(&log, Some(expression)),
        Faults::Short(shim, seed) => {
            let mut command = Command::new(&program);
            command.env("LD_PRELOAD", shim);
            command.env("SHORT_COUNTS", seed.to_string());
            command
        }
    };
    if is_traced {
        command.arg(&program);
    }
    command.args(case.args.iter().map(|arg| match *arg {
        "ADDRESS" => address.to_string(),
        "SERVICES" => services.display().to_string(),
        arg => arg.to_string(),
    }));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.process_group(0);
    signals::with_defaults(&mut command);

    let peer = (case.beside == Beside::Peer).then(|| {
        thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let _ = socket.write_all(b"one\ntwo\n");
            let _ = socket.shutdown(Shutdown::Write);
            let _ = socket.read_to_end(&mut Vec::new());
        })
    });
    let mut child = command.spawn().unwrap();
    // A child that ends early takes no input.
    let _ = child.stdin.take().unwrap().write_all(case.stdin.as_bytes());
    let mut run = follow(case, child, is_traced);
    if let Some(peer) = peer {
        drop(TcpStream::connect(address)); // it may never have come
        peer.join().unwrap();
    }
    run.left = left_behind();
    if is_traced {
        run.read_log(&fs::read_to_string(&log).unwrap_or_default());
    }
    run
}

fn strace(log: &Path, inject: Option<&str>) -> Command {
    let mut command = Command::new("strace");
    let trace = format!("trace=rt_sigaction,{}", CALLS.join(","));
    command
        .args(["-qq", "-s", "0", "-e", "signal=none", "-e", &trace, "-o"])
        .arg(log);
    if let Some(inject) = inject {
        command.args(["-e", &format!("inject={inject}")]);
    }
    command
}

enum Event {
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
}

/// Drives a run to its end.
fn follow(case: &Case, mut child: Child, is_traced: bool) -> Run {
    let (sender, events) = channel();
    let mut stdout = child.stdout.take().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let to_stdout = sender.clone();
    let readers = [
        thread::spawn(move || pass_on(&mut stdout, |bytes| to_stdout.send(Event::Stdout(bytes)))),
        thread::spawn(move || pass_on(&mut stderr, |bytes| sender.send(Event::Stderr(bytes)))),
    ];
    let mut run = Run {
        status: ExitStatus::from_raw(0),
        stdout: String::new(),
        stderr: String::new(),
        heard: Vec::new(),
        is_hanging: false,
        left: String::new(),
        has_begun: false,
        before_main: BTreeMap::new(),
        since: BTreeMap::new(),
        hits: Vec::new(),
        early_hits: 0,
    };
    let (mut is_done, mut is_unhappy) = (false, false);
    let until = Instant::now() + GUARD;
    loop {
        // A client that has gone is nothing to say.
        let until = if is_unhappy {
            Instant::now() + GUARD / 15
        } else {
            until
        };
        let is_said = match events.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Event::Stdout(bytes)) => {
                run.stdout += &String::from_utf8_lossy(&bytes);
                false
            }
            Ok(Event::Stderr(bytes)) => {
                run.stderr += &String::from_utf8_lossy(&bytes);
                run.stderr.ends_with('\n') // a message is written in parts
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) if is_unhappy => true,
            Err(RecvTimeoutError::Timeout) => {
                run.is_hanging = true;
                break;
            }
        };
        if is_unhappy && (is_said || run.stderr.is_empty()) {
            is_unhappy = false;
            is_done = true;
            signal(&child, is_traced, libc::SIGTERM);
        } else if is_said && case.example == "supervise" && !is_done {
            is_unhappy = true; // it ends, or goes on and says more
        }
        let is_ready = match case.beside {
            Beside::Nothing | Beside::Peer => false,
            Beside::Stop(text) => run.stdout.ends_with(text),
            Beside::Client(..) => run.stdout.ends_with('\n'),
        };
        if is_ready && !is_done {
            is_done = true;
            if let Beside::Client(said, heard) = case.beside {
                // A server ends or says what is wrong before it is stopped.
                is_unhappy = !converse(&mut run, said, heard);
            }
            if !is_unhappy {
                signal(&child, is_traced, libc::SIGTERM);
            }
        }
    }
    if run.is_hanging {
        signal(&child, is_traced, libc::SIGKILL);
        // SAFETY: takes numbers. The child leads its group, and is not reaped.
        unsafe { libc::kill(-(child.id() as libc::pid_t), libc::SIGKILL) };
    }
    run.status = child.wait().unwrap();
    if !run.is_hanging {
        for reader in readers {
            reader.join().unwrap();
        }
    }
    run
}

fn pass_on<E>(source: &mut impl Read, send: impl Fn(Vec<u8>) -> Result<(), E>) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = source.read(&mut bytes) {
        let _ = send(bytes[..count].to_vec());
    }
}

/// One or two exchanges with a server, which may end or close at any time. Whether all went well.
fn converse(run: &mut Run, said: &[u8], heard: usize) -> bool {
    let address = run
        .stdout
        .trim_end()
        .strip_prefix("listening on ")
        .unwrap_or_default();
    let Ok(mut client) = TcpStream::connect(address) else {
        return false;
    };
    client.set_read_timeout(Some(GUARD / 2)).unwrap();
    for _ in 0..if said.ends_with(b"\n") { 1 } else { 2 } {
        let mut bytes = vec![0; heard];
        let answer = client
            .write_all(said)
            .and_then(|()| client.read_exact(&mut bytes));
        match answer {
            Ok(()) => run.heard.extend(bytes),
            Err(_) => return false,
        }
    }
    true
}

/// Sends a signal to the example, which strace has started.
fn signal(child: &Child, is_traced: bool, signal: libc::c_int) {
    let id = child.id();
    let target = match is_traced {
        false => Some(id as libc::pid_t),
        true => {
            let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
            let first = children.unwrap_or_default();
            first
                .split_whitespace()
                .next()
                .and_then(|first| first.parse().ok())
        }
    };
    if let Some(target) = target {
        // SAFETY: takes numbers.
        unsafe { libc::kill(target, signal) };
    }
}

/// The processes that a run has left, and that do not end by themselves. They are children of this
/// process by now.
fn left_behind() -> String {
    let until = Instant::now() + GUARD;
    let mut left = String::new();
    loop {
        // SAFETY: a null status is not written to.
        match unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } {
            -1 => return left, // ECHILD
            0 if left.is_empty() && Instant::now() > until => {
                let id = std::process::id();
                for task in fs::read_dir(format!("/proc/{id}/task")).unwrap() {
                    let path = task.unwrap().path().join("children");
                    for child in fs::read_to_string(path)
                        .unwrap_or_default()
                        .split_whitespace()
                    {
                        let line = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
                        let line = String::from_utf8_lossy(&line).replace('\0', " ");
                        left += &format!("{child} {line}; ");
                        // SAFETY: takes numbers; the child is ours and not reaped.
                        unsafe { libc::kill(child.parse().unwrap(), libc::SIGKILL) };
                    }
                }
            }
            0 => thread::sleep(Duration::from_micros(200)), // no test passes by it
            _ => {}
        }
    }
}
