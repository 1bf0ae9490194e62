//! Signals: gotchas 8 and 14.

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use asyncfile::{done, sleep, yield_now, AsyncFile, Scheduler, TaskError};
use libc::c_int;

use crate::descriptors::{alone, guard, ms, pattern, pipe, Test, ZERO};

// ---------------------------------------- 8. EINTR recomputes from the deadline and never surfaces

thread_local! {
    static SIGNALS: Cell<u32> = const { Cell::new(0) };
}

extern "C" fn count(_signal: libc::c_int) {
    SIGNALS.set(SIGNALS.get() + 1);
}

/// While it lives, the thread that made it is hit by signals, thousands in a second, whose handler
/// restarts no call. It has begun when this is made.
struct Storm {
    over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
    before: u32,
}

fn storm() -> Storm {
    // SAFETY: a zeroed sigaction is valid: no flags (SA_RESTART above all), an empty mask; the
    // handler touches a thread-local number only.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count as extern "C" fn(libc::c_int) as usize;
        assert_eq!(
            libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()),
            0
        );
    }
    // SAFETY: no preconditions. As an integer, because pthread_t is a pointer on some systems.
    let target = unsafe { libc::pthread_self() } as usize;
    let over = Arc::new(AtomicBool::new(false));
    let until = over.clone();
    let thread = thread::spawn(move || {
        while !until.load(Ordering::Relaxed) {
            // SAFETY: the target joins this thread before it ends.
            unsafe { libc::pthread_kill(target as libc::pthread_t, libc::SIGUSR1) };
            thread::sleep(Duration::from_micros(100));
        }
    });
    let calm = SIGNALS.get();
    while SIGNALS.get() == calm {
        thread::yield_now();
    }
    Storm {
        over,
        thread: Some(thread),
        before: SIGNALS.get(),
    }
}

impl Storm {
    /// How many signals have hit this thread since the storm began.
    fn signals(&self) -> u32 {
        SIGNALS.get() - self.before
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

#[test]
fn a_sleep_in_a_storm_of_signals_is_as_long_as_it_should_be() -> Test {
    let _guard = guard();
    let storm = storm();
    let start = Instant::now();
    Scheduler::new().block_on(sleep(ms(100)))?;
    assert!(start.elapsed() >= ms(100));
    assert!(storm.signals() > 0);
    Ok(())
}

#[test]
fn a_timeout_in_a_storm_of_signals_falls_due_in_time() -> Test {
    let _guard = guard();
    let (file, _writer) = pipe()?;
    let storm = storm();
    let start = Instant::now();
    // If each signal began the timeout anew, it would never fall due.
    let error = Scheduler::new()
        .block_on(file.readline().timeout(ms(100)))
        .unwrap_err();
    assert!(start.elapsed() >= ms(100));
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(storm.signals() > 0);
    Ok(())
}

#[test]
fn a_turn_in_a_storm_of_signals_is_as_long_as_it_should_be() -> Test {
    let _guard = guard();
    let (file, _writer) = pipe()?;
    let mut sched = Scheduler::new();
    sched.spawn(file.readline(), |task| done(task.line()?.is_some()));
    // To let the new task begin is work; the next turn has none.
    assert_eq!(sched.turn(Some(ZERO))?, 1);
    let storm = storm();
    let start = Instant::now();
    assert_eq!(sched.turn(Some(ms(100)))?, 1);
    assert!(start.elapsed() >= ms(100), "{:?}", start.elapsed());
    assert!(storm.signals() > 0);
    Ok(())
}

#[test]
fn data_that_moves_in_a_storm_of_signals_arrives_whole() -> Test {
    let _guard = guard();
    let (left, right) = UnixStream::pair()?;
    let (mut there, mut back) = (right.try_clone()?, right);
    let file = AsyncFile::new(left)?;
    let data = pattern(8 << 20);
    // The other side takes a piece and gives it back, so that this one waits in both directions
    // again and again.
    let other_side = thread::spawn(move || -> std::io::Result<()> {
        let mut piece = [0; 4096];
        loop {
            match there.read(&mut piece)? {
                0 => return Ok(()),
                n => back.write_all(&piece[..n])?,
            }
        }
    });
    let mut sched = Scheduler::new();
    let storm = storm();
    let writer = sched.spawn(file.write(&data).full(), |task| done(task.written()?));
    let reader = sched.spawn(file.read(data.len()).full(), |task| {
        done(task.bytes()? == data)
    });
    sched.run()?;
    assert_eq!(sched.join(writer)?, data.len());
    assert!(sched.join(reader)?);
    assert!(storm.signals() > 0);
    file.close();
    other_side.join().unwrap()?;
    Ok(())
}

// ------------------------- 14. SIGPIPE: the host's disposition and the thread's mask are the host's

fn set_sigpipe(disposition: libc::sighandler_t) {
    // SAFETY: no handler.
    assert_ne!(
        unsafe { libc::signal(libc::SIGPIPE, disposition) },
        libc::SIG_ERR
    );
}

/// The signals of this thread's mask that are blocked (SIG_BLOCK of none), or the pending ones.
fn signals(of: unsafe extern "C" fn(*mut libc::sigset_t) -> c_int) -> Vec<c_int> {
    // SAFETY: a zeroed sigset_t is valid, and the pointers are to a live one.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        assert_eq!(of(&mut set), 0);
        (1..32)
            .filter(|signal| libc::sigismember(&set, *signal) == 1)
            .collect()
    }
}

fn blocked() -> Vec<c_int> {
    unsafe extern "C" fn ask(set: *mut libc::sigset_t) -> c_int {
        // SAFETY: a null new set only asks; the caller's pointer is to a live set.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), set) }
    }
    signals(ask)
}

fn pending() -> Vec<c_int> {
    signals(libc::sigpending)
}

fn change_mask(how: c_int, signal: c_int) {
    // SAFETY: the set is initialised, and lives through the calls.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        assert_eq!(libc::pthread_sigmask(how, &set, std::ptr::null_mut()), 0);
    }
}

/// A write to a pipe without reader, by each kind of drive. With SIGPIPE at its default one that is
/// not held back ends the process.
fn write_by_each_drive(sched: &mut Scheduler<'_>, mut before: impl FnMut()) -> Test {
    type Drive = fn(&mut Scheduler<'_>) -> Result<(), TaskError>;
    let drives: [Drive; 4] = [
        |sched| sched.run(),
        |sched| {
            let other = sched.spawn(yield_now(), |_| done(()));
            sched.join(other)
        },
        |sched| sched.turn(Some(ZERO)).map(drop),
        |sched| sched.dispatch(&[]).map(drop),
    ];
    let dead = || -> std::io::Result<AsyncFile> {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        AsyncFile::new(writer)
    };
    for (index, drive) in drives.into_iter().enumerate() {
        let file = dead()?;
        let write = sched.spawn(file.write("x"), |task| {
            done(task.written().unwrap_err().kind())
        });
        before();
        while !write.is_finished() {
            drive(sched)?;
        }
        let kind = write.take().unwrap()?;
        assert_eq!(kind, ErrorKind::BrokenPipe, "drive {index}");
    }
    let file = dead()?;
    before();
    let error = sched.block_on(file.write("x")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    Ok(())
}

#[test]
fn sigpipes_disposition_is_asked_anew_by_each_drive() -> Test {
    alone(|| {
        let _guard = guard();
        let mut sched = Scheduler::new();
        for _ in 0..2 {
            set_sigpipe(libc::SIG_IGN);
            write_by_each_drive(&mut sched, || {})?;
            // Before each drive: a drive that has seen SIG_IGN knows nothing of the next one.
            let (quiet, _reader) = crate::descriptors::pipe_to().map(|(r, w)| (w, r))?;
            write_by_each_drive(&mut Scheduler::new(), || {
                set_sigpipe(libc::SIG_IGN);
                let other = Scheduler::new().block_on(quiet.write("x"));
                assert_eq!(other.unwrap(), 1);
                set_sigpipe(libc::SIG_DFL);
            })?;
            write_by_each_drive(&mut sched, || {})?;
        }
        Ok(())
    })
}

#[test]
fn the_threads_signal_mask_is_after_a_write_as_it_was_before() -> Test {
    alone(|| {
        let _guard = guard();
        let mut sched = Scheduler::new();
        set_sigpipe(libc::SIG_DFL);
        change_mask(libc::SIG_BLOCK, libc::SIGUSR2);
        let before = blocked();
        assert!(!before.contains(&libc::SIGPIPE) && before.contains(&libc::SIGUSR2));
        write_by_each_drive(&mut sched, || {})?;
        assert_eq!(blocked(), before, "after EPIPE");
        assert_eq!(pending(), [], "after EPIPE");
        let (_reader, file) = crate::descriptors::pipe_to()?;
        assert_eq!(sched.block_on(file.write("x"))?, 1);
        assert_eq!(blocked(), before, "after a write that has succeeded");

        // The host blocks SIGPIPE itself: it stays blocked, and no SIGPIPE of ours is pending.
        change_mask(libc::SIG_BLOCK, libc::SIGPIPE);
        let before = blocked();
        write_by_each_drive(&mut sched, || {})?;
        assert_eq!(blocked(), before, "blocked by the host");
        assert_eq!(pending(), [], "blocked by the host");

        // One of the host's own is pending: it is not taken away.
        // SAFETY: takes a number; the signal is blocked.
        assert_eq!(unsafe { libc::raise(libc::SIGPIPE) }, 0);
        write_by_each_drive(&mut sched, || {})?;
        assert_eq!(pending(), [libc::SIGPIPE], "the host's own");
        assert_eq!(blocked(), before, "with the host's own pending");
        Ok(())
    })
}
