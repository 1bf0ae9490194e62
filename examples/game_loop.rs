//! A game loop of 60 frames a second. Each frame gives the tasks one turn that does not wait,
//! `turn(Some(ZERO))`, and then draws until the next frame is due. A turn is bounded: a task is
//! resumed a limited number of times in it, however much comes in. The numbers show it: a thread
//! floods one socket with lines as fast as it can, and each frame sees a bounded number of them.
//!
//!     cargo run --release --example game_loop -- [--frames N] [--calm]      # --calm: no flood
//!
//! Prints a line for each second. Exit status: 0, 1 if something failed, 2 for a wrong command
//! line.

use asyncfile::{again, done, sleep, AsyncFile, Flow, Scheduler, Task};
use std::cell::Cell;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

const FRAME: Duration = Duration::from_nanos(1_000_000_000 / 60);
/// How long drawing takes in each frame.
const DRAW: Duration = Duration::from_millis(8);
const USAGE: &str = "usage: game_loop [--frames N] [--calm]";

/// What the tasks change and the frames show.
#[derive(Default)]
struct World {
    /// Messages of the network that came in this frame.
    messages: Cell<u64>,
    monsters: Cell<u64>,
}

fn main() -> ExitCode {
    let (mut frames, mut is_calm, mut is_understood) = (180, false, true);
    let mut args = std::env::args_os().skip(1);
    while let Some(arg) = args.next() {
        match &*arg.to_string_lossy() {
            "--frames" => match args.next().and_then(|value| value.to_str()?.parse().ok()) {
                Some(value) => frames = value,
                None => is_understood = false,
            },
            "--calm" => is_calm = true,
            _ => is_understood = false,
        }
    }
    if !is_understood {
        say(USAGE);
        return ExitCode::from(2);
    }
    match play(frames, is_calm) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// On stderr. If it cannot be written to, nothing is said.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "game_loop: {text}");
}

/// The error names stdout.
fn of_stdout(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("stdout: {error}"))
}

fn play(frames: u32, is_calm: bool) -> io::Result<()> {
    let (mut theirs, ours) = UnixStream::pair()?;
    let peer = thread::Builder::new().spawn(move || {
        let lines = b"move 1 2\n".repeat(if is_calm { 1 } else { 1000 });
        while theirs.write_all(&lines).is_ok() {
            if is_calm {
                thread::sleep(Duration::from_millis(5));
            }
        }
    })?;

    let world = World::default();
    let mut sched = Scheduler::new();
    // The operation has a handle to the file, so the task needs none.
    sched.spawn(AsyncFile::new(ours)?.readline(), network_task(&world));
    sched.spawn(sleep(Duration::from_millis(100)), spawner(&world));

    let mut second = Second::default();
    let mut next_frame = Instant::now();
    for frame in 1..=frames {
        // ---- input and timers
        let begin = Instant::now();
        world.messages.set(0);
        sched.turn(Some(Duration::ZERO))?;
        second.add(world.messages.get(), begin.elapsed());
        // ---- draw, until the next frame is due
        draw(begin + DRAW);
        next_frame += FRAME;
        match next_frame.checked_duration_since(Instant::now()) {
            Some(left) => thread::sleep(left),
            None => {
                second.late += 1;
                next_frame = Instant::now(); // frames that were missed are left out
            }
        }
        if frame % 60 == 0 || frame == frames {
            second.show(&world)?;
            second = Second::default();
        }
    }
    drop(sched); // the task is dropped, and our end of the socket: the peer's next write fails
    peer.join().expect("the peer does not panic");
    Ok(())
}

/// Takes messages from the network. Under a flood it would go on for ever; the turn ends it.
fn network_task<'t>(world: &'t World) -> impl FnMut(&mut Task<'_, 't>) -> Flow + 't {
    move |task| match task.line()? {
        Some(_message) => {
            world.messages.set(world.messages.get() + 1);
            again()
        }
        None => done(()),
    }
}

/// A monster every 100 ms of the game.
fn spawner<'t>(world: &'t World) -> impl FnMut(&mut Task<'_, 't>) -> Flow + 't {
    move |task| {
        task.ok()?;
        world.monsters.set(world.monsters.get() + 1);
        again()
    }
}

/// Keeps the processor busy, as drawing does.
fn draw(until: Instant) {
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}

/// The numbers of one second.
#[derive(Default)]
struct Second {
    frames: u32,
    late: u32,
    messages: u64,
    most: u64,
    longest: Duration,
}

impl Second {
    fn add(&mut self, messages: u64, turn: Duration) {
        self.frames += 1;
        self.messages += messages;
        self.most = self.most.max(messages);
        self.longest = self.longest.max(turn);
    }

    fn show(&self, world: &World) -> io::Result<()> {
        writeln!(
            io::stdout(),
            "{} frames ({} late), {} messages, at most {} in a frame, longest turn {:.2} ms, \
             {} monsters",
            self.frames,
            self.late,
            self.messages,
            self.most,
            self.longest.as_secs_f64() * 1e3,
            world.monsters.get()
        )
        .map_err(of_stdout)
    }
}
