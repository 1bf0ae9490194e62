//! Runs a small program with an observer, and draws what it has seen: who waits for what, when it
//! runs, when poll(2) sleeps, and what woke whom.
//!
//!     cargo run --example timeline -- DIR
//!
//! It writes DIR/timeline.svg, one picture that stands alone, and DIR/timeline.html, a page that
//! steps through it turn by turn, with buttons or the arrow keys. Neither needs a network.
//!
//! Exit status: 0, 1 if something failed, 2 for a wrong command line.

use asyncfile::trace::Event;
use asyncfile::{
    again, done, first, queue, sleep, wait, AsyncFile, AsyncPipe, End, Op, Scheduler, TaskError,
};
use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use tape::{Names, Tape};

#[path = "timeline/layout.rs"]
mod layout;
#[path = "timeline/page.rs"]
mod page;
#[path = "timeline/svg.rs"]
mod svg;
#[path = "timeline/tape.rs"]
mod tape;

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Two lines, with time between them.
const COUNT: &str = "for n in 1 2; do echo $n; sleep 0.03; done";
/// Each line, as soon as it comes.
const NAME: &str = "while read n; do echo line $n; done";

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let directory = match (args.next(), args.next()) {
        (Some(directory), None) => directory,
        _ => {
            let _ = writeln!(io::stderr(), "usage: timeline DIR");
            return ExitCode::from(2);
        }
    };
    match draw(Path::new(&directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "timeline: {error}");
            ExitCode::FAILURE
        }
    }
}

fn draw(directory: &Path) -> io::Result<()> {
    let tape = RefCell::new(Tape::default());
    let names = run(&tape)?;
    let picture = layout::lay_out(&tape.into_inner(), &names);
    let (svg, page) = (svg::draw(&picture), page::make(&picture));
    for (name, text) in [("timeline.svg", svg), ("timeline.html", page)] {
        let path = directory.join(name);
        let named = |place: String| move |error| io::Error::other(format!("{place}: {error}"));
        std::fs::write(&path, text).map_err(named(path.display().to_string()))?;
        writeln!(io::stdout(), "{}", path.display()).map_err(named("stdout".into()))?;
    }
    Ok(())
}

/// The program that is drawn: five tasks. The observer writes on the tape what happens. The answer
/// is what the tasks are called.
fn run(tape: &RefCell<Tape>) -> io::Result<Names> {
    let began = Instant::now();
    let (silent, _peer) = silent_socket()?;
    let lines = queue(8);
    let printed = Cell::new(0);
    let mut sched = Scheduler::new();
    sched.observe(|trace| tape.borrow_mut().record(began.elapsed(), trace));

    // The reader takes lines from two children, and then waits for the exit of the last one.
    let mut commands = [COUNT, NAME].map(|script| {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(script);
        shell
    });
    let pipe = AsyncPipe::pipeline(commands.iter_mut())?;
    pipe.close_stdin();
    let (to_print, mut has_all) = (lines.clone(), false);
    let reader = sched.spawn(pipe.readline(), move |task| {
        if has_all {
            return done(task.exit()?);
        }
        match task.line()? {
            Some(line) => {
                let line = String::from_utf8_lossy(line).into_owned();
                to_print.push(line).expect("there is room for all");
                again()
            }
            None => {
                has_all = true;
                to_print.close();
                wait(pipe.exit())
            }
        }
    });

    // The printer is woken by the reader, through a queue.
    let printer = sched.spawn(lines.ready(), |task| {
        if task.end() == End::Eof {
            return done(());
        }
        while lines.pop().is_some() {
            printed.set(printed.get() + 1);
        }
        again()
    });

    // Nobody ever writes what the patient task reads: its time runs out.
    let patient = sched.spawn(silent.readline().timeout(20 * MS), |task| {
        match task.end() {
            End::TimedOut => done(()),
            end => Err(io::Error::other(format!("{end:?} in a silent socket"))),
        }
    });

    // Nor does either of these ever end: the racer is cancelled.
    let race = first([Op::from(silent.readline()), sleep(HOUR).into()]);
    let racer = sched.spawn(race, |task| done(task.which()));
    let id = racer.id();

    let mut naps = 0;
    let sleeper = sched.spawn(sleep(25 * MS), move |task| {
        task.ok()?;
        naps += 1;
        if naps < 2 {
            return again();
        }
        racer.cancel();
        done(())
    });

    let names = vec![
        (reader.id(), "reader"),
        (printer.id(), "printer"),
        (patient.id(), "patient"),
        (sleeper.id(), "sleeper"),
        (id, "racer"),
    ];
    let failed = |error: TaskError| io::Error::from(error);
    sched.run().map_err(failed)?;
    drop(sched);
    let status = reader.take().expect("it has ended").map_err(failed)?;
    match (status.success(), printed.get()) {
        (true, 2) => Ok(names),
        _ => Err(io::Error::other(format!("{printed:?} lines, {status}"))),
    }
}

/// A socket from which nothing comes while its peer lives.
fn silent_socket() -> io::Result<(AsyncFile, UnixStream)> {
    let (ours, peer) = UnixStream::pair()?;
    Ok((AsyncFile::new(ours)?, peer))
}
