//! Signals: gotcha 8.

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use asyncfile::{done, sleep, AsyncFile, Scheduler};

use crate::descriptors::{guard, ms, pattern, pipe, Test, ZERO};

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
