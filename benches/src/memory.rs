//! Work 6, its other half: what a task costs while it waits, in bytes.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use asyncfile::{done, sleep, wait, AsyncFile, Scheduler};
use calloop::generic::Generic;
use calloop::timer::{TimeoutAction, Timer};
use calloop::{EventLoop, PostAction};
use mio::unix::SourceFd;
use mio::Interest;

use crate::descriptors::async_fd;
use crate::measure::{heap, note, resident};
use crate::peers::{self, eventfd, on_smol, on_tokio, pollfd, Mio};
use crate::work::{variant, Shows, Size, Variant, Work};

const HOUR: Duration = Duration::from_secs(3600);

pub fn works() -> Vec<Work> {
    let work = |name: &str, about: &str, full, variants, left_out| Work {
        name: name.into(),
        unit: "task",
        about: about.into(),
        full,
        quick: full / 20,
        param: 0,
        shows: Shows::Memory,
        variants,
        left_out,
    };
    let waiting_to_read = vec![
        variant("limit", limit_waiting),
        variant("asyncfile", asyncfile_waiting),
        Variant {
            name: "std + threads",
            run: std_waiting,
            share: 10,
        },
        variant("tokio", tokio_waiting),
        variant("smol", smol_waiting),
        variant("mio", mio_waiting),
        variant("calloop", calloop_waiting),
    ];
    let asleep = vec![
        variant("limit", limit_asleep),
        variant("asyncfile", asyncfile_asleep),
        variant("tokio", tokio_asleep),
        variant("smol", smol_asleep),
        variant("calloop", calloop_asleep),
    ];
    let no_timers = vec![
        ("std + threads", "100,000 threads are too many"),
        ("mio", "has no timers"),
    ];
    vec![
        work(
            "memory-read",
            "tasks that wait to read, each from a descriptor of its own",
            10_000,
            waiting_to_read,
            vec![],
        ),
        work(
            "memory-sleep",
            "tasks asleep for an hour",
            100_000,
            asleep,
            no_timers,
        ),
    ]
}

/// The heap and resident bytes that each of `size.count` has cost since `self` was made.
struct Memory {
    heap: u64,
    resident: u64,
}

impl Memory {
    fn now() -> Memory {
        Memory {
            heap: heap(),
            resident: resident(),
        }
    }

    fn told(self, size: Size) -> u64 {
        let now = Memory::now();
        note(
            "heap bytes",
            now.heap.saturating_sub(self.heap) as f64 / size.count as f64,
        );
        note(
            "resident bytes",
            now.resident.saturating_sub(self.resident) as f64 / size.count as f64,
        );
        1
    }
}

/// The descriptors are made before the measuring.
fn descriptors(size: Size) -> (Vec<OwnedFd>, Memory) {
    peers::many_descriptors();
    let fds: Vec<OwnedFd> = (0..size.count).map(|_| eventfd()).collect();
    let memory = Memory::now();
    (fds, memory)
}

/// A closure, boxed, and an entry of poll's set.
fn limit_waiting(size: Size) -> u64 {
    let (fds, memory) = descriptors(size);
    let mut set = Vec::with_capacity(fds.len());
    let mut calls: Vec<Box<dyn FnMut() -> usize>> = Vec::with_capacity(fds.len());
    for fd in fds {
        set.push(pollfd(&fd, libc::POLLIN));
        calls.push(Box::new(move || peers::read(&fd, &mut [0; 8]).unwrap_or(0)));
    }
    assert_eq!(peers::poll(&mut set, 0), 0);
    let told = memory.told(size);
    drop(calls);
    told
}

fn asyncfile_waiting(size: Size) -> u64 {
    let (fds, memory) = descriptors(size);
    let mut sched = Scheduler::new();
    for fd in fds {
        let file = AsyncFile::new(fd).expect("an eventfd");
        sched.spawn(file.read(8), move |task| {
            if task.bytes()?.is_empty() {
                done(())
            } else {
                wait(file.read(8))
            }
        });
    }
    while sched.turn(Some(Duration::ZERO)).expect("nobody fails") as u64 != size.count {}
    settle(&mut sched);
    memory.told(size)
}

/// A turn advances a bounded number of tasks: until all wait.
fn settle(sched: &mut Scheduler) {
    while sched.pollfds(&mut Vec::new()) == Some(Duration::ZERO) {
        sched.turn(Some(Duration::ZERO)).expect("nobody fails");
    }
}

/// What a thread keeps is not malloc's: only the resident bytes count, and the kernel's stack comes
/// on top.
fn std_waiting(size: Size) -> u64 {
    let (fds, memory) = descriptors(size);
    let started = std::sync::Arc::new(std::sync::Barrier::new(fds.len() + 1));
    for fd in fds {
        peers::blocking(&fd);
        let here = std::sync::Arc::clone(&started);
        std::thread::spawn(move || {
            here.wait();
            peers::read(&fd, &mut [0; 8])
        });
    }
    started.wait();
    memory.told(size)
}

fn tokio_waiting(size: Size) -> u64 {
    let (fds, memory) = descriptors(size);
    on_tokio(async move {
        for fd in fds {
            tokio::spawn(async move {
                let fd = async_fd(fd);
                let mut bytes = [0; 8];
                while let Ok(mut ready) = fd.readable().await {
                    let _ = ready.try_io(|fd| peers::read(fd, &mut bytes));
                }
            });
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        memory.told(size)
    })
}

fn smol_waiting(size: Size) -> u64 {
    let (fds, memory) = descriptors(size);
    on_smol(|executor| async move {
        for fd in fds {
            let task = executor.spawn(async move {
                let fd = smol::Async::new(fd).expect("an eventfd");
                let mut bytes = [0; 8];
                while fd.read_with(|fd| peers::read(fd, &mut bytes)).await.is_ok() {}
            });
            task.detach();
        }
        smol::Timer::after(Duration::from_millis(1)).await;
        while executor.try_tick() {}
        memory.told(size)
    })
}

fn mio_waiting(size: Size) -> u64 {
    let (fds, memory) = descriptors(size);
    let mut mio = Mio::new();
    let mut calls: Vec<Box<dyn FnMut() -> usize>> = Vec::with_capacity(fds.len());
    for (token, fd) in fds.into_iter().enumerate() {
        mio.add(
            &mut SourceFd(&fd.as_fd().as_raw_fd()),
            token,
            Interest::READABLE,
        );
        calls.push(Box::new(move || peers::read(&fd, &mut [0; 8]).unwrap_or(0)));
    }
    mio.turn(Some(Duration::ZERO), |_| {});
    memory.told(size)
}

fn calloop_waiting(size: Size) -> u64 {
    let (fds, memory) = descriptors(size);
    let mut event_loop: EventLoop<()> = EventLoop::try_new().expect("epoll");
    for fd in fds {
        let source = Generic::new(fd, calloop::Interest::READ, calloop::Mode::Level);
        let read = |_, fd: &mut calloop::generic::NoIoDrop<OwnedFd>, _: &mut ()| {
            peers::read(&**fd, &mut [0; 8])?;
            Ok(PostAction::Continue)
        };
        event_loop
            .handle()
            .insert_source(source, read)
            .expect("it can be polled");
    }
    event_loop
        .dispatch(Duration::ZERO, &mut ())
        .expect("epoll_wait");
    memory.told(size)
}

/// A closure, boxed, and its time in a heap.
fn limit_asleep(size: Size) -> u64 {
    let memory = Memory::now();
    let mut calls: Vec<Box<dyn FnMut() -> u64>> = Vec::with_capacity(size.count as usize);
    let mut times = std::collections::BinaryHeap::with_capacity(size.count as usize);
    for n in 0..size.count {
        calls.push(Box::new(move || n));
        times.push((
            std::cmp::Reverse(std::time::Instant::now() + HOUR),
            n as u32,
        ));
    }
    memory.told(size)
}

fn asyncfile_asleep(size: Size) -> u64 {
    let memory = Memory::now();
    let mut sched = Scheduler::new();
    for n in 0..size.count {
        sched.spawn(sleep(HOUR), move |_| done(n));
    }
    settle(&mut sched);
    memory.told(size)
}

fn tokio_asleep(size: Size) -> u64 {
    let memory = Memory::now();
    on_tokio(async move {
        for n in 0..size.count {
            tokio::spawn(async move {
                tokio::time::sleep(HOUR).await;
                n
            });
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        memory.told(size)
    })
}

fn smol_asleep(size: Size) -> u64 {
    let memory = Memory::now();
    on_smol(|executor| async move {
        for n in 0..size.count {
            let task = executor.spawn(async move {
                smol::Timer::after(HOUR).await;
                n
            });
            task.detach();
        }
        smol::Timer::after(Duration::from_millis(1)).await;
        while executor.try_tick() {}
        memory.told(size)
    })
}

fn calloop_asleep(size: Size) -> u64 {
    let memory = Memory::now();
    let event_loop: EventLoop<u64> = EventLoop::try_new().expect("epoll");
    for n in 0..size.count {
        let wake = move |_, _: &mut (), sum: &mut u64| {
            *sum += n;
            TimeoutAction::Drop
        };
        event_loop
            .handle()
            .insert_source(Timer::from_duration(HOUR), wake)
            .expect("a timer");
    }
    memory.told(size)
}
