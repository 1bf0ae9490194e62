//! What one of N waiters costs, for N from 1,000 to 64,000: writes queued on one file, readers
//! queued on it that time out, joiners of one task, and tasks that wait for the items of a queue,
//! one each, or until it is closed.
//!
//!     cargo run --release -- [N...]
//!
//! The last column is what one of the most waiters costs over what one of the fewest does. A queue
//! that is entered and left at the same cost, however long it is, gives the ratio of the sleepers,
//! which queue nowhere: about 1, and more where the caches end. A queue that is searched gives
//! about 64.
//!
//! User CPU time of the loop's thread is counted. Each N makes as many rounds as give the same
//! number of waiters, and the fastest of three tries counts.

use std::error::Error;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use asyncfile::{again, done, queue, sleep, AsyncFile, JoinHandle, Scheduler};

type Tried = Result<Duration, Box<dyn Error>>;
/// Makes N waiters, and returns the CPU time of all.
type Work = fn(usize) -> Tried;

const WORKS: [(&str, Work); 6] = [
    ("writes queued on one file", queued_writes),
    ("readers that time out", readers_that_time_out),
    ("joiners of one task", joiners),
    ("takers of a queue's items", takers),
    ("waiters for a queue's end", latched),
    ("sleepers, for comparison", sleepers),
];
const TRIES: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let asked = std::env::args().skip(1).map(|n| n.parse());
    let mut counts = asked.collect::<Result<Vec<usize>, _>>()?;
    if counts.is_empty() {
        counts = vec![1_000, 4_000, 16_000, 64_000];
    }
    let most = counts.iter().copied().max().unwrap_or(1);
    print!("| ns of user CPU for one of N |");
    counts.iter().for_each(|n| print!(" {n} |"));
    println!(" ratio |\n|---|{}--:|", "--:|".repeat(counts.len()));
    for (name, work) in WORKS {
        let each = (counts.iter().map(|&n| fastest(work, n, (most / n).max(1))))
            .collect::<Result<Vec<f64>, _>>()?;
        print!("| {name} |");
        each.iter().for_each(|nanos| print!(" {nanos:.0} |"));
        println!(" {:.2} |", each[each.len() - 1] / each[0]);
    }
    Ok(())
}

/// The nanoseconds of one waiter, in the fastest of some tries of so many rounds.
fn fastest(work: Work, n: usize, rounds: usize) -> Result<f64, Box<dyn Error>> {
    let mut fastest = Duration::MAX;
    for _ in 0..TRIES {
        let mut taken = Duration::ZERO;
        for _ in 0..rounds {
            taken += work(n)?;
        }
        fastest = fastest.min(taken);
    }
    Ok(fastest.as_nanos() as f64 / (n * rounds) as f64)
}

/// User CPU time of this thread.
fn user_cpu() -> Duration {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: the pointer is to a live structure, which the kernel fills in.
    let usage = unsafe {
        assert_eq!(libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()), 0);
        usage.assume_init()
    };
    Duration::new(
        usage.ru_utime.tv_sec as u64,
        usage.ru_utime.tv_usec as u32 * 1000,
    )
}

/// The socket takes some hundreds of the writes. The others queue until the peer reads.
fn queued_writes(n: usize) -> Tried {
    let (ours, mut peer) = UnixStream::pair()?;
    let file = AsyncFile::new(ours)?;
    let mut sched = Scheduler::new();
    let begun = user_cpu();
    for n in 0..n {
        sched.spawn(file.write(format!("{n}\n")).full(), |task| done(task.ok()?));
    }
    let mut alive = n;
    loop {
        let before = alive;
        alive = sched.turn(Some(Duration::ZERO))?;
        if alive == before {
            break;
        }
    }
    let reader = std::thread::spawn(move || peer.read_to_end(&mut Vec::new()));
    sched.run()?;
    let taken = user_cpu() - begun;
    file.close();
    reader.join().expect("it only reads")?;
    Ok(taken)
}

fn readers_that_time_out(n: usize) -> Tried {
    let (ours, _peer) = UnixStream::pair()?;
    let file = AsyncFile::new(ours)?;
    let mut sched = Scheduler::new();
    let begun = user_cpu();
    for _ in 0..n {
        let line = file.readline().timeout(Duration::from_millis(20));
        sched.spawn(line, |task| {
            task.line().unwrap_err();
            done(())
        });
    }
    sched.run()?;
    Ok(user_cpu() - begun)
}

fn joiners(n: usize) -> Tried {
    let mut sched = Scheduler::new();
    let begun = user_cpu();
    let one: Rc<JoinHandle<()>> =
        Rc::new(sched.spawn(sleep(Duration::from_millis(5)), |task| done(task.ok()?)));
    for _ in 0..n {
        sched.spawn(one.finished(), |task| done(task.ok()?));
    }
    sched.run()?;
    Ok(user_cpu() - begun)
}

/// Each waits for an item, and takes it. The queue is much shorter than its wait list.
fn takers(n: usize) -> Tried {
    let items = queue(16);
    let mut sched = Scheduler::new();
    let begun = user_cpu();
    for _ in 0..n {
        let own = items.clone();
        sched.spawn(items.ready(), move |task| {
            task.ok()?;
            own.pop().expect("it is its turn");
            done(())
        });
    }
    let mut left = n;
    sched.spawn(items.room(), move |task| {
        task.ok()?;
        while left > 0 && items.push(left).is_ok() {
            left -= 1;
        }
        if left > 0 {
            again()
        } else {
            done(())
        }
    });
    sched.run()?;
    Ok(user_cpu() - begun)
}

fn latched(n: usize) -> Tried {
    let latch = queue::<()>(0);
    let mut sched = Scheduler::new();
    let begun = user_cpu();
    for _ in 0..n {
        sched.spawn(latch.ready(), |task| done(task.ok()?));
    }
    sched.turn(Some(Duration::ZERO))?;
    latch.close();
    sched.run()?;
    Ok(user_cpu() - begun)
}

fn sleepers(n: usize) -> Tried {
    let mut sched = Scheduler::new();
    let begun = user_cpu();
    for _ in 0..n {
        sched.spawn(sleep(Duration::from_millis(20)), |task| done(task.ok()?));
    }
    sched.run()?;
    Ok(user_cpu() - begun)
}
