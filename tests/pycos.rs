//! What pycos' asyncfile gets wrong, sentence by sentence: here it works, with children and with
//! plain descriptors.

mod descriptors;
mod support;

#[path = "children/help.rs"]
mod help;

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::time::{Duration, Instant};

use asyncfile::{done, sleep, wait, AsyncFile, AsyncPipe, Scheduler, TaskError};

use descriptors::{alone, Test};
use help::{assert_output, await_end, cat, code, pattern, spawn, Gate};
use support::{
    fill, kind, line, logged, pipe, put, settle, socketpair, turn_until, watchdog, Log, SHORT,
};

fn file(fd: impl Into<OwnedFd>) -> AsyncFile {
    AsyncFile::new(fd).unwrap()
}

// ----------------------------------------------------------------- Integer descriptors never work.

#[test]
fn a_descriptor_that_came_as_an_integer_works() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let (reader, writer) = (reader.into_raw_fd(), writer.into_raw_fd());
    // SAFETY: the numbers were given up above, so they are nobody else's.
    let [reader, writer] =
        [reader, writer].map(|number| file(unsafe { OwnedFd::from_raw_fd(number) }));
    let mut sched = Scheduler::new();
    sched.block_on(writer.write("by number\n").full()).unwrap();
    assert_eq!(
        sched.block_on(reader.readline()).unwrap().unwrap(),
        b"by number\n"
    );
}

// --------------------------------------------------- A write timeout kills the scheduler's thread.

#[test]
fn a_write_timeout_is_that_tasks_error_and_the_others_go_on() {
    let _watchdog = watchdog();
    let (_reader, writer) = pipe();
    fill(&writer);
    let writer = file(writer);
    let ticks = Cell::new(0);
    let mut sched = Scheduler::new();
    let write = sched.spawn(writer.write("no room").timeout(2 * SHORT), |task| {
        done(task.written()?)
    });
    let ticker = sched.spawn(sleep(SHORT), |task| {
        task.ok()?;
        ticks.set(ticks.get() + 1);
        if ticks.get() == 5 {
            return done(());
        }
        wait(sleep(SHORT))
    });
    let error = io::Error::from(sched.join(write).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    sched.join(ticker).unwrap();
    assert_eq!(ticks.get(), 5);
}

// --------------------------------------------------------------- Read errors never reach the task.

#[test]
fn a_read_error_reaches_the_task() {
    let _watchdog = watchdog();
    let directory = file(File::open(".").unwrap());
    let mut sched = Scheduler::new();
    let error = sched.block_on(directory.read(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IsADirectory, "{error}");
    let dir = tempfile::tempdir().unwrap();
    let write_only = file(File::create(dir.path().join("write-only")).unwrap());
    let error = sched.block_on(write_only.readline()).unwrap_err();
    assert!(error.to_string().contains("Bad file descriptor"), "{error}");
}

// ------------------------------------------------------------------ A pty's EIO spins for ever.

#[test]
fn a_pty_whose_other_side_has_gone_is_at_its_end() {
    let _watchdog = watchdog();
    let (mut ours, mut theirs) = (-1, -1);
    // SAFETY: the first two pointers are to live numbers, and the others may be null.
    let answer = unsafe {
        let none = std::ptr::null_mut();
        libc::openpty(&mut ours, &mut theirs, none, none.cast(), none.cast())
    };
    assert_eq!(answer, 0);
    // SAFETY: openpty has just made both.
    let [ours, theirs] = [ours, theirs].map(|number| unsafe { OwnedFd::from_raw_fd(number) });
    let ours = file(ours);
    put(&theirs, b"last words");
    let mut sched = Scheduler::new();
    sched.block_on(ours.readable()).unwrap();
    drop(theirs);
    assert_eq!(sched.block_on(ours.read_to_end()).unwrap(), b"last words");
    assert_eq!(sched.block_on(ours.readline()).unwrap(), None);
}

// -------------------------------------- A readline that times out throws its partial line away ...

#[test]
fn a_readline_that_times_out_keeps_its_partial_line() {
    let _watchdog = watchdog();
    let pipe = spawn("printf half; read line; echo \" and half\"");
    let stdin = pipe.stdin().unwrap().clone();
    let mut sched = Scheduler::new();
    turn_until(&mut sched, || {
        support::pending(&BorrowRaw(pipe.stdout().unwrap())) == 4
    });
    assert_eq!(
        kind(sched.block_on(pipe.readline().timeout(SHORT))),
        ErrorKind::TimedOut
    );
    sched.block_on(stdin.write("\n")).unwrap();
    assert_eq!(
        sched.block_on(pipe.readline()).unwrap().unwrap(),
        b"half and half\n"
    );
}

/// An AsyncFile's descriptor, for a look at what the kernel holds.
struct BorrowRaw<'a>(&'a AsyncFile);

impl std::os::fd::AsFd for BorrowRaw<'_> {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        // SAFETY: the file is open as long as it is borrowed here.
        unsafe { std::os::fd::BorrowedFd::borrow_raw(self.0.as_raw_fd()) }
    }
}

// ---------------------------------------------------- ... and its timeout restarts with each read.

#[test]
fn a_readlines_timeout_is_for_the_whole_line() {
    let _watchdog = watchdog();
    let pipe = spawn("while printf x; do :; done");
    let start = Instant::now();
    assert_eq!(
        kind(Scheduler::new().block_on(pipe.readline().timeout(5 * SHORT))),
        ErrorKind::TimedOut
    );
    assert!(start.elapsed() >= 5 * SHORT);
    assert!(
        pipe.stdout().unwrap().buffered() > 1,
        "it came in many reads"
    );
    pipe.kill().unwrap();
}

// ---------------------------------------------------- One timeout per file serves both directions.

#[test]
fn each_direction_has_its_own_timeout() {
    let _watchdog = watchdog();
    let (ours, theirs) = socketpair();
    fill(&ours);
    let ours = file(ours);
    let log = Log::default();
    let mut sched = Scheduler::new();
    let _write = logged(
        &mut sched,
        &log,
        "write",
        ours.write("no room").timeout(SHORT),
    );
    let read = logged(&mut sched, &log, "read", ours.read(5).timeout(3000 * SHORT));
    turn_until(&mut sched, || log.borrow().len() == 1);
    assert!(!read.is_finished(), "the read has another deadline");
    put(&theirs, b"bytes");
    sched.run().unwrap();
    assert_eq!(*log.borrow(), ["write: TimedOut", "read: bytes"]);
}

// --------------------- A readline that emptied the buffer makes the next read a false end of file.

#[test]
fn a_read_after_a_readline_that_emptied_the_buffer_waits_for_more() {
    let _watchdog = watchdog();
    let pipe = cat();
    let mut sched = Scheduler::new();
    sched.block_on(pipe.write("a line\n").full()).unwrap();
    assert_eq!(
        sched.block_on(pipe.readline()).unwrap().unwrap(),
        b"a line\n"
    );
    assert_eq!(pipe.stdout().unwrap().buffered(), 0);
    let read = sched.spawn(pipe.read(100), |task| done(task.bytes()?.to_vec()));
    settle(&mut sched);
    assert!(!read.is_finished());
    sched.block_on(pipe.write("more").full()).unwrap();
    assert_eq!(sched.join(read).unwrap(), b"more");
}

// ------------------------------------------------------------ With two readers one hangs for ever.

#[test]
fn two_readers_of_one_file_are_both_served_in_their_order() {
    let _watchdog = watchdog();
    let pipe = spawn("echo one; echo two");
    let log = Log::default();
    let mut sched = Scheduler::new();
    let _one = logged(&mut sched, &log, "first", pipe.readline());
    let _two = logged(&mut sched, &log, "second", pipe.readline());
    sched.run().unwrap();
    assert_eq!(*log.borrow(), ["first: one\n", "second: two\n"]);
}

// ------------------------------------- communicate with no input never closes stdin (`cat` hangs);

#[test]
fn communicate_without_input_closes_stdin() {
    let _watchdog = watchdog();
    assert_output(
        &Scheduler::new().block_on(cat().communicate(())).unwrap(),
        0,
        "",
        "",
    );
}

// ------------------------------------------------------------ a child that stops reading hangs it;

#[test]
fn communicate_with_a_child_that_stops_reading_ends() {
    let _watchdog = watchdog();
    let output = Scheduler::new()
        .block_on(spawn("head -c 7; exit 3").communicate(pattern(3_000_000)))
        .unwrap();
    assert_eq!((code(output.status), output.stdout), (3, pattern(7)));
}

// ----------------------------------------------------- waiting for the exit blocks the whole loop.

#[test]
fn other_tasks_run_while_one_waits_for_an_exit() {
    let _watchdog = watchdog();
    let gate = Gate::new();
    let pipe = spawn(&format!("exec >&-; read line < {gate}; exit 2"));
    let mut sched = Scheduler::new();
    let exit = sched.spawn(pipe.exit(), |task| done(task.exit()?.code()));
    let gate = gate.reached(&mut sched);
    // The child ends when this other task lets it.
    drop(sched.spawn(sleep(SHORT), move |task| {
        task.ok()?;
        put(&gate, b"\n");
        done(())
    }));
    assert_eq!(sched.join(exit).unwrap(), Some(2));
}

// ------------------------------------------------------------------ close() forgets fd 0 ...

#[test]
fn closing_a_file_whose_number_is_0_closes_it() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let (reader, writer) = pipe();
        // SAFETY: nothing in this process uses its stdin, whose number becomes the reader's.
        let reader = unsafe {
            assert_eq!(libc::dup2(reader.into_raw_fd(), 0), 0);
            file(OwnedFd::from_raw_fd(0))
        };
        put(&writer, b"a line\n");
        let mut sched = Scheduler::new();
        assert_eq!(line(&mut sched, reader.readline())?.unwrap(), b"a line\n");
        reader.close();
        // SAFETY: takes a number.
        assert_eq!(
            unsafe { libc::fcntl(0, libc::F_GETFD) },
            -1,
            "it is still open"
        );
        Ok(())
    })
}

// ------------------------------------------------------------ ... and leaves waiting tasks asleep;

#[test]
fn closing_wakes_whoever_waits() {
    let _watchdog = watchdog();
    let pipe = cat();
    let log = RefCell::default();
    let mut sched = Scheduler::new();
    let _reader = logged(&mut sched, &log, "reader", pipe.readline());
    let _writer = logged(
        &mut sched,
        &log,
        "writer",
        pipe.write(pattern(10_000_000)).full(),
    );
    turn_until(&mut sched, || {
        pipe.stdout().unwrap().buffered() > 0 || !log.borrow().is_empty()
    });
    pipe.close();
    sched.run().unwrap();
    assert!(
        log.borrow().contains(&"writer: NotConnected".to_owned()),
        "{log:?}"
    );
    assert_eq!(log.borrow().len(), 2);
}

// -------------------------------------------------- closing an AsyncPipe closes and reaps nothing;

#[cfg(target_os = "linux")]
#[test]
fn closing_a_pipe_closes_its_streams_and_its_child_is_reaped() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let before = help::Belongings::count();
        let pipe: AsyncPipe = cat();
        pipe.close();
        assert_eq!(help::Belongings::count().descriptors, before.descriptors);
        await_end(pipe.ids()[0]);
        let mut sched = Scheduler::new();
        sched.block_on(sleep(Duration::ZERO))?;
        assert_eq!(help::Belongings::count(), before);
        Ok(())
    })
}

// -------------------------------------------------------- a `with` block swallows every exception;

#[test]
fn no_error_is_swallowed_with_the_file() {
    let _watchdog = watchdog();
    let pipe = cat();
    let mut sched = Scheduler::new();
    drop(sched.spawn(pipe.write("x"), move |task| {
        task.ok()?;
        let _closed_with_this_body = &pipe;
        Err::<asyncfile::Step<()>, _>(io::Error::other("the body's own"))
    }));
    match sched.run().unwrap_err() {
        TaskError::Failed(error) => assert_eq!(error.to_string(), "the body's own"),
        other => panic!("{other}"),
    }

    let pipe = cat();
    drop(
        sched.spawn(pipe.write("x"), move |task| -> asyncfile::Flow<()> {
            task.ok()?;
            let _closed_with_this_body = &pipe;
            panic!("the body's own panic");
        }),
    );
    assert_eq!(
        sched.run().unwrap_err().to_string(),
        "panicked: the body's own panic"
    );
}

// ------------------------------------------------------ a file at its end keeps the loop spinning.

#[test]
fn a_file_at_its_end_leaves_the_loop_asleep() {
    let _watchdog = watchdog();
    let pipe = spawn("exec >&-; read line; exit 4");
    let stdin = pipe.stdin().unwrap().clone();
    let mut sched = Scheduler::new();
    assert_eq!(sched.block_on(pipe.readline()).unwrap(), None);
    let exit = sched.spawn(pipe.exit(), |task| done(task.exit()?.code()));
    settle(&mut sched);
    // What the loop sleeps on is not readable: its end is not in there any more.
    let mut set = Vec::new();
    assert_ne!(sched.pollfds(&mut set), Some(Duration::ZERO));
    assert!(set
        .iter()
        .all(|entry| entry.fd != pipe.stdout().unwrap().as_raw_fd()));
    descriptors::ask(&mut set).unwrap();
    assert!(
        set.iter().all(|entry| entry.revents == 0),
        "the loop would spin"
    );
    stdin.close();
    assert_eq!(sched.join(exit).unwrap(), Some(4));
}
