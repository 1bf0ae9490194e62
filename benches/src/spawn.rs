//! Work 6: tasks that do next to nothing: a million of them started and joined.

use std::time::Duration;

use asyncfile::{done, wait, yield_now, JoinHandle, Scheduler};
use calloop::EventLoop;

use crate::peers::{on_smol, on_tokio};
use crate::work::{variant, Shows, Size, Variant, Work};

pub fn works() -> Vec<Work> {
    let work = |name: &str, about: &str, variants| Work {
        name: name.into(),
        unit: "task",
        about: about.into(),
        full: 1_000_000,
        quick: 50_000,
        param: 0,
        shows: Shows::Time,
        variants,
        left_out: vec![("mio", "has no tasks, nor callbacks")],
    };
    let one_by_one = vec![
        variant("limit", limit_one_by_one),
        variant("asyncfile join", asyncfile_one_by_one),
        variant("asyncfile finished", asyncfile_inside),
        Variant {
            name: "std + threads",
            run: std_one_by_one,
            share: 100,
        },
        variant("tokio", tokio_one_by_one),
        variant("smol", smol_one_by_one),
        variant("calloop idle", calloop_one_by_one),
    ];
    let at_once = vec![
        variant("limit", limit_at_once),
        variant("asyncfile join", asyncfile_at_once),
        Variant {
            name: "std + threads",
            run: std_at_once,
            share: 1000,
        },
        variant("tokio", tokio_at_once),
        variant("smol", smol_at_once),
        variant("calloop idle", calloop_at_once),
    ];
    vec![
        work(
            "spawn-one-by-one",
            "a task started and joined, then the next",
            one_by_one,
        ),
        work(
            "spawn-at-once",
            "all tasks started, then all joined",
            at_once,
        ),
    ]
}

/// Every task gives its number: they must add up.
fn check(sum: u64, size: Size) -> u64 {
    assert_eq!(sum, size.count * (size.count - 1) / 2);
    1
}

type Call = Box<dyn FnOnce() -> u64>;

/// A boxed closure in a queue of one.
fn limit_one_by_one(size: Size) -> u64 {
    let mut queue: Vec<Call> = Vec::new();
    let mut sum = 0;
    for n in 0..size.count {
        queue.push(Box::new(move || n));
        sum += std::hint::black_box(&mut queue).pop().expect("just pushed")();
    }
    check(sum, size)
}

/// Boxed closures in a queue.
fn limit_at_once(size: Size) -> u64 {
    let queue: Vec<Call> = (0..size.count)
        .map(|n| Box::new(move || n) as Call)
        .collect();
    check(
        std::hint::black_box(queue)
            .into_iter()
            .map(|call| call())
            .sum(),
        size,
    )
}

fn asyncfile_one_by_one(size: Size) -> u64 {
    let mut sched = Scheduler::new();
    let mut sum = 0;
    for n in 0..size.count {
        let handle = sched.spawn(yield_now(), move |_| done(n));
        sum += sched.join(handle).expect("it ends well");
    }
    check(sum, size)
}

/// The same from within a task, as tokio and smol do it.
fn asyncfile_inside(size: Size) -> u64 {
    let mut sched = Scheduler::new();
    let (mut begun, mut sum) = (0, 0);
    let mut last: Option<JoinHandle<u64>> = None;
    let all = sched.spawn(yield_now(), move |task| {
        if let Some(last) = &last {
            sum += last.take().expect("it has ended")?;
        }
        if begun == size.count {
            return done(sum);
        }
        let n = begun;
        begun += 1;
        let next = task.spawn(yield_now(), move |_| done(n));
        wait(last.insert(next).finished())
    });
    check(sched.join(all).expect("it ends well"), size)
}

fn asyncfile_at_once(size: Size) -> u64 {
    let mut sched = Scheduler::new();
    let handles: Vec<_> = (0..size.count)
        .map(|n| sched.spawn(yield_now(), move |_| done(n)))
        .collect();
    check(
        handles
            .into_iter()
            .map(|handle| sched.join(handle).expect("it ends well"))
            .sum(),
        size,
    )
}

fn thread(n: u64) -> std::thread::JoinHandle<u64> {
    let builder = std::thread::Builder::new().stack_size(64 * 1024);
    builder.spawn(move || n).expect("threads can be had")
}

fn std_one_by_one(size: Size) -> u64 {
    check(
        (0..size.count)
            .map(|n| thread(n).join().expect("no panic"))
            .sum(),
        size,
    )
}

fn std_at_once(size: Size) -> u64 {
    let threads: Vec<_> = (0..size.count).map(thread).collect();
    check(
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .sum(),
        size,
    )
}

fn tokio_one_by_one(size: Size) -> u64 {
    on_tokio(async move {
        let mut sum = 0;
        for n in 0..size.count {
            sum += tokio::spawn(async move { n }).await.expect("no panic");
        }
        check(sum, size)
    })
}

fn tokio_at_once(size: Size) -> u64 {
    on_tokio(async move {
        let tasks: Vec<_> = (0..size.count)
            .map(|n| tokio::spawn(async move { n }))
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.expect("no panic");
        }
        check(sum, size)
    })
}

fn smol_one_by_one(size: Size) -> u64 {
    on_smol(|executor| async move {
        let mut sum = 0;
        for n in 0..size.count {
            sum += executor.spawn(async move { n }).await;
        }
        check(sum, size)
    })
}

fn smol_at_once(size: Size) -> u64 {
    on_smol(|executor| async move {
        let tasks: Vec<_> = (0..size.count)
            .map(|n| executor.spawn(async move { n }))
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await;
        }
        check(sum, size)
    })
}

/// calloop has callbacks, not tasks: those of one turn.
fn calloop_one_by_one(size: Size) -> u64 {
    let mut event_loop: EventLoop<u64> = EventLoop::try_new().expect("epoll");
    let mut sum = 0;
    for n in 0..size.count {
        event_loop.handle().insert_idle(move |sum| *sum += n);
        event_loop
            .dispatch(Duration::ZERO, &mut sum)
            .expect("epoll_wait");
    }
    check(sum, size)
}

fn calloop_at_once(size: Size) -> u64 {
    let mut event_loop: EventLoop<u64> = EventLoop::try_new().expect("epoll");
    let mut sum = 0;
    for n in 0..size.count {
        event_loop.handle().insert_idle(move |sum| *sum += n);
    }
    event_loop
        .dispatch(Duration::ZERO, &mut sum)
        .expect("epoll_wait");
    check(sum, size)
}
