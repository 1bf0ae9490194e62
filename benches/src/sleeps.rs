//! Work 7: a hundred thousand sleeps, and how late they end. (A read's deadline armed a million
//! times: `ping_pong`.)
//!
//! Each sleeps for its own part of a second, from the moment it runs first. Late is what is between
//! the time it asked for and the moment it runs again.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use asyncfile::{done, sleep, wait, yield_now, Scheduler};
use calloop::timer::{TimeoutAction, Timer};
use calloop::EventLoop;

use crate::measure::note;
use crate::peers::{on_smol, on_tokio, poll, Mio};
use crate::work::{variant, Shows, Size, Variant, Work};

pub fn works() -> Vec<Work> {
    vec![Work {
        name: "sleeps".into(),
        unit: "sleep",
        about: "100,000 tasks asleep at once, for up to a second".into(),
        full: 100_000,
        quick: 10_000,
        param: 0,
        shows: Shows::Time,
        variants: vec![
            variant("limit", limit),
            variant("asyncfile", asyncfile),
            Variant {
                name: "std + threads",
                run: std,
                share: 100,
            },
            variant("tokio", tokio),
            variant("smol", smol),
            variant("mio", mio),
            variant("calloop", calloop),
        ],
        left_out: Vec::new(),
    }]
}

/// How long the nth sleeps: the times of all are spread over a second, out of order.
fn time(n: u64) -> Duration {
    Duration::from_micros(n * 7_919 % 1_000_003)
}

/// How late they were.
#[derive(Default)]
struct Late {
    ended: u64,
    sum: Duration,
    most: Duration,
}

impl Late {
    fn woken(&mut self, due: Instant) {
        let now = Instant::now();
        assert!(now >= due, "early");
        self.ended += 1;
        self.sum += now - due;
        self.most = self.most.max(now - due);
    }

    fn told(&self, size: Size) -> u64 {
        assert_eq!(self.ended, size.count);
        note(
            "us late on average",
            self.sum.as_secs_f64() * 1e6 / self.ended as f64,
        );
        note("us late at most", self.most.as_secs_f64() * 1e6);
        1
    }
}

/// A heap of times; `rest` waits until one has come or, rounded up to what it can, a little longer.
fn heap(size: Size, mut rest: impl FnMut(Duration)) -> u64 {
    let mut late = Late::default();
    let mut times: BinaryHeap<Reverse<Instant>> = (0..size.count)
        .map(|n| Reverse(Instant::now() + time(n)))
        .collect();
    while let Some(&Reverse(first)) = times.peek() {
        let now = Instant::now();
        match first.checked_duration_since(now) {
            Some(left) if left > Duration::ZERO => rest(left),
            _ => {
                times.pop();
                late.woken(first);
            }
        }
    }
    late.told(size)
}

fn limit(size: Size) -> u64 {
    heap(size, |left| {
        poll(&mut [], left.as_micros().div_ceil(1000) as i32);
    })
}

fn mio(size: Size) -> u64 {
    let mut mio = Mio::new();
    heap(size, move |left| mio.turn(Some(left), |_| {}))
}

fn asyncfile(size: Size) -> u64 {
    let late = RefCell::new(Late::default());
    let mut sched = Scheduler::new();
    for n in 0..size.count {
        let late = &late;
        let mut due = None;
        sched.spawn(yield_now(), move |task| {
            task.ok()?;
            match due {
                None => {
                    due = Some(Instant::now() + time(n));
                    wait(sleep(time(n)))
                }
                Some(due) => {
                    late.borrow_mut().woken(due);
                    done(())
                }
            }
        });
    }
    sched.run().expect("nobody fails");
    drop(sched);
    late.into_inner().told(size)
}

fn std(size: Size) -> u64 {
    let late = Mutex::new(Late::default());
    std::thread::scope(|scope| {
        for n in 0..size.count {
            let late = &late;
            let builder = std::thread::Builder::new().stack_size(64 * 1024);
            let sleeper = move || {
                let due = Instant::now() + time(n * 100);
                std::thread::sleep(time(n * 100));
                late.lock().expect("nobody panics").woken(due);
            };
            builder
                .spawn_scoped(scope, sleeper)
                .expect("threads can be had");
        }
    });
    let late = late.into_inner().expect("nobody panics");
    late.told(size)
}

fn tokio(size: Size) -> u64 {
    let late = Arc::new(Mutex::new(Late::default()));
    on_tokio(async {
        let mut tasks = Vec::new();
        for n in 0..size.count {
            let late = Arc::clone(&late);
            tasks.push(tokio::spawn(async move {
                let due = Instant::now() + time(n);
                tokio::time::sleep_until(due.into()).await;
                late.lock().expect("nobody panics").woken(due);
            }));
        }
        for task in tasks {
            task.await.expect("no panic");
        }
    });
    let late = late.lock().expect("nobody panics");
    late.told(size)
}

fn smol(size: Size) -> u64 {
    let late = Rc::new(RefCell::new(Late::default()));
    on_smol(|executor| {
        let late = Rc::clone(&late);
        async move {
            let mut tasks = Vec::new();
            for n in 0..size.count {
                let late = Rc::clone(&late);
                tasks.push(executor.spawn(async move {
                    let due = Instant::now() + time(n);
                    smol::Timer::at(due).await;
                    late.borrow_mut().woken(due);
                }));
            }
            for task in tasks {
                task.await;
            }
        }
    });
    let late = late.borrow();
    late.told(size)
}

fn calloop(size: Size) -> u64 {
    let mut event_loop: EventLoop<Late> = EventLoop::try_new().expect("epoll");
    let mut late = Late::default();
    for n in 0..size.count {
        let due = Instant::now() + time(n);
        let wake = move |_, _: &mut (), late: &mut Late| {
            late.woken(due);
            TimeoutAction::Drop
        };
        event_loop
            .handle()
            .insert_source(Timer::from_deadline(due), wake)
            .expect("a timer");
    }
    while late.ended < size.count {
        event_loop.dispatch(None, &mut late).expect("epoll_wait");
    }
    late.told(size)
}
