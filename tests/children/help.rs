//! Children for the tests, and what a process has left behind.
#![allow(dead_code)]

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Output, Stdio};

use asyncfile::{done, AsyncPipe, End, Op, Scheduler};

use crate::support::{turn_until, Fifo};

/// A period that divides no buffer and no page.
const PERIOD: usize = 251;
const BLOCK: usize = PERIOD * 4096;

pub fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// stdin and stdout piped, stderr the test's own.
pub fn spawn(script: &str) -> AsyncPipe {
    AsyncPipe::piped(&mut sh(script)).unwrap()
}

/// All three piped.
pub fn spawn_with_stderr(script: &str) -> AsyncPipe {
    AsyncPipe::piped(sh(script).stderr(Stdio::piped())).unwrap()
}

/// Those of stdin (`i`), stdout (`o`) and stderr (`e`) are piped that are named; the others are
/// /dev/null.
pub fn piped(script: &str, names: &str) -> std::process::Child {
    let stdio = |name| {
        if names.contains(name) {
            Stdio::piped()
        } else {
            Stdio::null()
        }
    };
    sh(script)
        .stdin(stdio('i'))
        .stdout(stdio('o'))
        .stderr(stdio('e'))
        .spawn()
        .unwrap()
}

/// An echo that lives until its stdin is closed.
pub fn cat() -> AsyncPipe {
    AsyncPipe::piped(&mut Command::new("cat")).unwrap()
}

/// `len` bytes of a sequence in which every cut, loss and repetition shows.
pub fn pattern(len: usize) -> Vec<u8> {
    let block: Vec<u8> = (0..BLOCK.min(len)).map(|i| (i % PERIOD) as u8).collect();
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        bytes.extend_from_slice(&block[..block.len().min(len - bytes.len())]);
    }
    bytes
}

/// Compares what comes in pieces with [`pattern`].
pub struct Comparison {
    block: Vec<u8>,
    pub len: usize,
}

impl Comparison {
    pub fn new() -> Comparison {
        Comparison {
            block: pattern(2 * BLOCK),
            len: 0,
        }
    }

    #[track_caller]
    pub fn add(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(BLOCK) {
            assert!(
                self.block[self.len % PERIOD..].starts_with(piece),
                "wrong bytes after {}",
                self.len
            );
            self.len += piece.len();
        }
    }
}

#[track_caller]
pub fn assert_pattern(bytes: &[u8], len: usize) {
    let mut comparison = Comparison::new();
    comparison.add(bytes);
    assert_eq!(comparison.len, len);
}

/// The output with its streams as text, its status as a code or a negative signal.
#[track_caller]
pub fn assert_output(output: &Output, code: i32, stdout: &str, stderr: &str) {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(
        (self::code(output.status), &*out, &*err),
        (code, stdout, stderr)
    );
}

pub fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| -status.signal().unwrap())
}

/// Waits for one operation as a task; the error, and why it ended.
pub fn failure(sched: &mut Scheduler<'_>, op: impl Into<Op>) -> (io::Error, End) {
    let task = sched.spawn(op, |task| {
        let end = task.end();
        match task.outcome() {
            asyncfile::Outcome::Failed(error) => done((error, end)),
            other => panic!("it did not fail: {other:?}"),
        }
    });
    sched.join(task).unwrap()
}

/// Waits until the child has ended, and does not reap it.
pub fn await_end(id: u32) {
    // SAFETY: a zeroed siginfo_t is valid, and the pointer is to a live one.
    let answer = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_PID, id, &mut info, libc::WEXITED | libc::WNOWAIT)
    };
    assert_eq!(answer, 0, "{}", io::Error::last_os_error());
}

/// waitpid(2), as a host does that reaps whatever it finds.
pub fn reap_behind(id: u32) {
    // SAFETY: a null status is allowed.
    let answer = unsafe { libc::waitpid(id as libc::pid_t, std::ptr::null_mut(), 0) };
    assert_eq!(answer, id as libc::pid_t, "{}", io::Error::last_os_error());
}

pub fn kill(id: u32, signal: i32) {
    // SAFETY: takes two numbers.
    assert_eq!(
        unsafe { libc::kill(id as libc::pid_t, signal) },
        0,
        "{}",
        io::Error::last_os_error()
    );
}

/// Where a child stands until the test lets it go on: a FIFO's name in its script, as in
/// `read line < GATE`.
pub struct Gate(Fifo);

impl Gate {
    pub fn new() -> Gate {
        Gate(Fifo::new())
    }

    /// Turns until the child stands there; a line written to this lets it go.
    pub fn reached(&self, sched: &mut Scheduler<'_>) -> fs::File {
        let open = || {
            fs::File::options()
                .write(true)
                .custom_flags(libc::O_NONBLOCK)
                .open(self.0.path())
        };
        let mut writer = None;
        turn_until(sched, || {
            writer = open().ok(); // ENXIO as long as nobody reads
            writer.is_some()
        });
        writer.unwrap()
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.path().display().fmt(f)
    }
}

/// What a process can leave behind. Process-wide: look at it only in a process of one's own.
#[derive(Debug, PartialEq, Eq)]
pub struct Belongings {
    pub descriptors: usize,
    pub threads: usize,
    /// Those that run, and those that have ended and were not reaped.
    pub children: usize,
}

impl Belongings {
    pub fn count() -> Belongings {
        let entries = |dir| fs::read_dir(dir).unwrap().count();
        Belongings {
            descriptors: entries("/proc/self/fd"),
            threads: entries("/proc/self/task"),
            children: children().len(),
        }
    }
}

/// Runs it, and asserts that nothing of it is left. Before that, once for what a first run leaves
/// for good.
pub fn leaves_nothing(mut run: impl FnMut()) {
    run();
    let before = Belongings::count();
    run();
    assert_eq!(Belongings::count(), before);
}

/// A script that leads a process group.
pub fn group(script: &str) -> Command {
    let mut command = sh(script);
    command.process_group(0);
    command
}

/// The processes of this group that have not ended.
pub fn living(group: u32) -> Vec<u32> {
    let mut living = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let id = entry.file_name().to_string_lossy().parse();
        if let (Ok(id), Ok(stat)) = (id, fs::read_to_string(entry.path().join("stat"))) {
            // `1234 (its (strange) name) S PARENT GROUP ...`
            let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 1..]
                .split_whitespace()
                .collect();
            if fields[2] == group.to_string() && !matches!(fields[0], "Z" | "X") {
                living.push(id);
            }
        }
    }
    living
}

/// The processes whose parent is this one, and whether each is a zombie.
pub fn children() -> Vec<(u32, bool)> {
    let me = std::process::id().to_string();
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let id = entry.file_name().to_string_lossy().parse();
        // `1234 (its (strange) name) Z 1 ...`
        if let (Ok(id), Ok(stat)) = (id, fs::read_to_string(entry.path().join("stat"))) {
            let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 1..]
                .split_whitespace()
                .collect();
            if fields[1] == me {
                children.push((id, fields[0] == "Z"));
            }
        }
    }
    children
}
