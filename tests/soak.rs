//! Many operations of every kind, and children of every kind, again and again in one scheduler:
//! what the process holds stays flat. The heap is counted by the allocator; descriptors, threads
//! and children are the kernel's count.
//!
//! `cargo test` runs a tenth. `SOAK=full cargo test --release --test soak -- --nocapture` runs it
//! all. The test is alone in its binary: another one's descriptors would be counted, too.

#![cfg(target_os = "linux")]

mod descriptors;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};
use std::time::Duration;

use asyncfile::{
    again, channel, done, first, never, queue, sleep, ticks, yield_now, AsyncFile, AsyncPipe, End,
    Op, Scheduler,
};
use descriptors::{Test, HOUR};

const ROUNDS: usize = 400;
/// Pools, tables and caches have their sizes after so many rounds.
const WARM: usize = 8;
/// What one round may hold more than another: buffers that are kept for the next one.
const SLACK: isize = 16 << 10;
const SHORT: Duration = Duration::from_micros(50);

struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is passed to the system's allocator unchanged. `realloc` and `alloc_zeroed` are
// the trait's own, which call these two.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as isize, Relaxed);
        // SAFETY: the caller's promise about `layout` is the one that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Relaxed);
        // SAFETY: `block` came from `alloc` above, so from `System`, with the same layout.
        unsafe { System.dealloc(block, layout) }
    }
}

/// What the process holds.
#[derive(Debug, PartialEq)]
struct Held {
    descriptors: usize,
    threads: usize,
    children: usize,
}

fn entries(path: &str) -> usize {
    std::fs::read_dir(path).unwrap().count()
}

fn held() -> Held {
    let mut children = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let path = task.unwrap().path().join("children");
        children += std::fs::read_to_string(path)
            .unwrap()
            .split_whitespace()
            .count();
    }
    Held {
        descriptors: entries("/proc/self/fd"),
        threads: entries("/proc/self/task"),
        children,
    }
}

#[test]
fn memory_descriptors_threads_and_children_stay_flat() -> Test {
    let rounds = match std::env::var_os("SOAK") {
        Some(_) => ROUNDS,
        None => ROUNDS / 10,
    };
    let mut sched = Scheduler::new();
    drop(sched.remote()?); // the wake pipe lives as long as the scheduler
    let before = held();
    let mut warm = 0;
    for round in 0..rounds {
        streams(&mut sched)?;
        messages_and_queues(&mut sched)?;
        time(&mut sched)?;
        children(&mut sched)?;
        // Dropped children are reaped by the turns that come.
        while held().children > 0 {
            sched.turn(Some(Duration::from_millis(1)))?;
        }
        assert_eq!(held(), before, "round {round}");
        let live = LIVE.load(Relaxed);
        match round {
            0..WARM => warm = warm.max(live),
            _ => assert!(
                live <= warm + SLACK,
                "round {round}: {live} bytes, not {warm}"
            ),
        }
    }
    println!("{rounds} rounds, {} of {warm} bytes", LIVE.load(Relaxed));
    Ok(())
}

/// Every operation on a stream, on what was taken over and on what is shared.
fn streams(sched: &mut Scheduler<'_>) -> Test {
    for is_shared in [false, true] {
        let (ours, theirs) = UnixStream::pair()?;
        let (reader, mut writer) = io::pipe()?;
        let socket = match is_shared {
            true => AsyncFile::duplicate(&ours)?,
            false => AsyncFile::new(ours.try_clone()?)?,
        };
        let peer = AsyncFile::new(theirs)?;
        let pipe = match is_shared {
            true => AsyncFile::duplicate(&reader)?,
            false => AsyncFile::new(reader.try_clone()?)?,
        };
        let copy = sched.spawn(peer.readline(), |task| match task.line()? {
            Some(line) if line == b"end\n" => done(true),
            Some(_) => again(),
            None => done(false),
        });
        for _ in 0..200 {
            assert_eq!(sched.block_on(socket.write("a line\n"))?, 7);
        }
        sched.block_on(socket.write_all(vec![b'x'; 300_000]).timeout(HOUR))?;
        sched.block_on(socket.write_all("\nend\n"))?;
        assert!(sched.join(copy)?);
        sched.block_on(socket.shutdown_write())?;
        assert_eq!(sched.block_on(peer.read_to_end())?, b"");
        sched.block_on(peer.writable())?;

        writer.write_all(b"one\ntwo;three\0four\nfive\nrest")?;
        assert_eq!(sched.block_on(pipe.peek(3))?, b"one");
        assert_eq!(sched.block_on(pipe.readline())?.unwrap(), b"one\n");
        assert_eq!(sched.block_on(pipe.read_until(b';'))?.unwrap(), b"two;");
        assert_eq!(sched.block_on(pipe.read_exact(6))?, b"three\0");
        let lines = sched.spawn(pipe.readlines(), |task| done(task.lines()?.count()));
        assert_eq!(sched.join(lines)?, 2);
        let cut = sched.spawn(pipe.readline().timeout(SHORT), |task| match task.end() {
            End::TimedOut => done(()),
            _ => panic!("no line is there"),
        });
        sched.join(cut)?;
        assert_eq!(pipe.buffered(), 4);
        let cancelled = sched.spawn(pipe.readline(), |_| done(()));
        let loser = first([Op::from(sleep(SHORT)), pipe.readline().into()]);
        sched.block_on(loser)?;
        cancelled.cancel();
        drop(writer);
        sched.block_on(pipe.readable())?;
        assert_eq!(sched.block_on(pipe.read_to_end())?, b"rest");
        assert!(sched.block_on(pipe.write("no").timeout(HOUR)).is_err());
    }
    Ok(())
}

fn messages_and_queues(sched: &mut Scheduler<'_>) -> Test {
    let (sender, receiver) = channel::<Vec<u8>>();
    let (items, taken) = (queue(4), Rc::new(Cell::new(0)));
    let (producer, consumer) = (items.clone(), items.clone());
    let mut left = 100;
    let pushing = sched.spawn(producer.room(), move |task| {
        task.ok()?;
        while left > 0 && producer.push(vec![0_u8; 100]).is_ok() {
            left -= 1;
        }
        if left == 0 {
            producer.close();
            return done(());
        }
        again()
    });
    let count = Rc::clone(&taken);
    let popping = sched.spawn(consumer.ready(), move |task| {
        task.ok()?;
        while consumer.pop().is_some() {
            count.set(count.get() + 1);
        }
        if task.end() == End::Eof {
            done(())
        } else {
            again()
        }
    });
    sched.join(pushing)?;
    sched.join(popping)?;
    assert_eq!(taken.get(), 100);
    for _ in 0..10 {
        assert!(sender.send(vec![1; 1000]).is_ok());
        sched.block_on(receiver.ready())?;
        assert!(receiver.try_recv().is_ok());
    }
    let remote = sched.remote()?;
    let waiting = sched.spawn(never(), |_| done(())).cancel_on_drop();
    remote.run(|sched| drop(sched.spawn(yield_now(), |_| done(()))));
    remote.wake();
    sched.turn(Some(HOUR))?;
    drop(waiting);
    Ok(())
}

fn time(sched: &mut Scheduler<'_>) -> Test {
    let mut beats = 0;
    let beating = sched.spawn(ticks(SHORT), move |task| {
        task.ok()?;
        beats += 1;
        if beats == 5 {
            done(())
        } else {
            again()
        }
    });
    let sleepers: Vec<_> = (0..50)
        .map(|i| sched.spawn(sleep(SHORT * i), |task| done(task.ok()?)))
        .collect();
    let waiter = sched.spawn(beating.finished().timeout(HOUR), |task| done(task.ok()?));
    for sleeper in sleepers {
        sched.join(sleeper)?;
    }
    sched.join(waiter)?;
    Ok(())
}

fn shell(line: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", line]);
    shell
}

/// A child of each kind, each with another end.
fn children(sched: &mut Scheduler<'_>) -> Test {
    let output = sched.block_on(AsyncPipe::piped(Command::new("cat"))?.communicate("said"))?;
    assert_eq!(output.stdout, b"said");
    let merged = AsyncPipe::merged(shell("echo one; echo two >&2"))?;
    assert_eq!(
        sched.block_on(merged.communicate(()))?.stdout,
        b"one\ntwo\n"
    );
    let stages = AsyncPipe::pipeline([Command::new("cat"), Command::new("cat")])?;
    assert_eq!(
        sched
            .block_on(stages.communicate(vec![7; 100_000]))?
            .stdout
            .len(),
        100_000
    );
    assert_eq!(sched.block_on(stages.exit_all())?.len(), 2);

    // A leader stays a zombie until the grace is over: its group may have others.
    let stopped = AsyncPipe::piped(shell("exec sleep 1000").process_group(0))?;
    let status = sched.block_on(stopped.stop(Duration::from_millis(1)))?;
    assert!(matches!(
        status.signal(),
        Some(libc::SIGTERM | libc::SIGKILL)
    ));
    drop(AsyncPipe::piped(shell("exec sleep 1000"))?.kill_on_drop());
    drop(AsyncPipe::piped(shell("exit 3"))?);
    let mut quiet = Command::new("true");
    let spawned = AsyncPipe::spawn(quiet.stdin(Stdio::null()).stdout(Stdio::null()))?;
    assert!(sched.block_on(spawned.exit().timeout(HOUR))?.success());

    let late = AsyncPipe::piped(Command::new("cat"))?;
    let cut = sched.block_on(late.communicate(()).timeout(Duration::ZERO));
    assert!(cut.map_or(true, |output| output.status.success()));
    assert!(AsyncPipe::piped(Command::new("/nowhere/at all")).is_err());
    let fed = AsyncPipe::piped(Command::new("cat"))?;
    let stdin = fed.take_stdin().expect("it is piped");
    let feeder = sched.spawn(yield_now(), move |task| {
        task.ok()?;
        let _never_waited_for = stdin.write("nothing");
        done(())
    });
    assert_eq!(sched.block_on(fed.readline())?, None);
    sched.join(feeder)?;
    Ok(())
}
