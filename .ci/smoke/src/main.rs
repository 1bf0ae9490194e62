//! Runs a child, feeds it and reads its lines. The child is this program itself, so that it needs
//! nothing beside it; with the argument `sh` it is a shell: an emulator of another processor starts
//! only programs of the machine's own.

use std::io::{self, BufRead, Write};
use std::process::Command;
use std::time::Duration;

use asyncfile::{again, done, AsyncPipe, Scheduler};

const LINES: u32 = 1000;
const MINUTE: Duration = Duration::from_secs(60);

fn main() {
    let argument = std::env::args().nth(1);
    if argument.as_deref() == Some("child") {
        return be_the_child();
    }
    let mut command = match argument.as_deref() {
        Some("sh") => Command::new("sh"),
        _ => Command::new(std::env::args().next().expect("a program has its name")),
    };
    match argument.as_deref() {
        Some("sh") => command.args(&["-c", "while read -r line; do echo \"$line\"; done"]),
        _ => command.arg("child"),
    };
    let pipe = AsyncPipe::piped(command).expect("it starts");
    let stdin = pipe.take_stdin().expect("it is piped");
    let mut sched = Scheduler::new();
    let mut fed = 0;
    let feeder = sched.spawn(stdin.write_all("line\n").timeout(MINUTE), move |task| {
        task.ok()?;
        fed += 1;
        match fed {
            LINES => done(()), // the last handle to stdin goes with the body
            _ => asyncfile::wait(stdin.write_all("line\n").timeout(MINUTE)),
        }
    });
    let mut count = 0;
    let counter = sched.spawn(pipe.readline().timeout(MINUTE), move |task| {
        match task.line()? {
            Some(line) => assert_eq!(line, b"line\n"),
            None => return done(count),
        }
        count += 1;
        again()
    });
    sched.join(feeder).expect("the child takes every line");
    let lines = sched.join(counter).expect("the child gives them back");
    let status = sched
        .block_on(pipe.exit().timeout(MINUTE))
        .expect("it ends");
    println!("{} lines, {}", lines, status);
    assert!(lines == LINES && status.success());
}

fn be_the_child() {
    let (stdin, mut stdout) = (io::stdin(), io::stdout());
    for line in stdin.lock().lines() {
        writeln!(stdout, "{}", line.expect("lines of text")).expect("stdout takes it");
    }
}
