//! Remote: closures, wakes and stops from other threads and from signal handlers, whenever they
//! come.

mod threads;

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{mpsc, Arc, Mutex};
use std::thread;
use std::time::Duration;

use asyncfile::{
    done, sleep, wait, yield_now, AsyncFile, Flow, JoinHandle, Remote, Scheduler, Task, TaskError,
};
use threads::*;

/// A body that sleeps for ever.
fn for_ever(task: &mut Task) -> Flow {
    task.ok()?;
    wait(sleep(LONG))
}

fn asleep<'t>(sched: &mut Scheduler<'t>) {
    sched.spawn(sleep(LONG), for_ever);
}

#[test]
fn a_remote_can_go_to_any_thread() {
    fn is<T: Clone + Send + Sync + 'static>() {}
    is::<Remote>();
}

// ---- wakes

#[test]
fn a_wake_before_the_turn_counts() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    asleep(&mut sched);
    sched.remote().unwrap().wake();
    assert_eq!(sched.turn(None).unwrap(), 1);
}

#[test]
fn a_wake_ends_a_turn_that_sleeps() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    asleep(&mut sched);
    let remote = sched.remote().unwrap();
    for _ in 0..1000 {
        let remote = remote.clone();
        let waker = thread::spawn(move || remote.wake()); // before the sleep, or during it
        assert_eq!(sched.turn(None).unwrap(), 1);
        waker.join().unwrap();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn wakes_from_four_threads_coalesce_and_never_block() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    asleep(&mut sched);
    let remote = sched.remote().unwrap();
    // Nobody reads the pipe meanwhile: 400,000 bytes would not fit into it.
    let written: u64 = thread::scope(|scope| {
        let wakers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let before = writes();
                    (0..100_000).for_each(|_| remote.wake());
                    writes() - before
                })
            })
            .collect();
        wakers.into_iter().map(|waker| waker.join().unwrap()).sum()
    });
    assert_eq!(written, 1);
    sched.turn(None).unwrap();
    let before = polls();
    assert_eq!(sched.turn(Some(Duration::from_millis(1))).unwrap(), 1);
    assert_eq!(polls() - before, 1, "and after the one it sleeps again");
}

/// A wake may come at any point of the code that takes the wakes before it: the flag and the byte
/// must agree afterwards.
#[test]
fn after_wakes_at_all_moments_the_next_one_still_ends_a_sleep() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    asleep(&mut sched);
    let remote = sched.remote().unwrap();
    for round in 0..300 {
        let waker = {
            let remote = remote.clone();
            thread::spawn(move || {
                for n in 0..200 {
                    remote.wake();
                    (0..(n * 7 + round) % 400).for_each(|_| std::hint::spin_loop());
                }
            })
        };
        while !waker.is_finished() {
            sched.turn(Some(Duration::ZERO)).unwrap();
        }
        waker.join().unwrap();
        while sched.turn(Some(Duration::ZERO)).is_ok() && is_woken(&mut sched) {}
        remote.wake();
        assert!(is_woken(&mut sched), "round {round}: the next one is lost");
    }
}

/// Whether a poll(2) of the scheduler's descriptors would not sleep.
fn is_woken(sched: &mut Scheduler<'_>) -> bool {
    let mut set = Vec::new();
    sched.pollfds(&mut set);
    // SAFETY: the pointer and the length are those of a live vector.
    unsafe { libc::poll(set.as_mut_ptr(), set.len() as libc::nfds_t, 0) > 0 }
}

#[test]
#[cfg(target_os = "linux")]
fn a_wake_from_the_running_turn_makes_no_system_call() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let remote = sched.remote().unwrap();
    let called = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&called);
    sched.spawn(yield_now(), move |_task| {
        let count = Arc::clone(&count);
        remote.run(move |_sched| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        done(())
    });
    let before = writes();
    sched.run().unwrap();
    assert_eq!((called.load(Ordering::Relaxed), writes() - before), (1, 0));
}

/// Writes into a non-blocking pipe until no more fits, and something must.
#[cfg(target_os = "linux")]
fn fill(pipe: &mut std::fs::File) {
    let mut filled = 0;
    loop {
        match pipe.write(&[0; 4096]) {
            Ok(size) => filled += size,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                assert_eq!((error.kind(), filled > 0), (ErrorKind::WouldBlock, true));
                return;
            }
        }
    }
}

/// The pipe is filled through another descriptor of it.
#[test]
#[cfg(target_os = "linux")]
fn a_full_pipe_loses_no_wake() {
    use std::os::unix::fs::OpenOptionsExt;
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    asleep(&mut sched);
    let remote = sched.remote().unwrap();
    let mut set = Vec::new();
    sched.pollfds(&mut set);
    let path = format!("/proc/self/fd/{}", set[0].fd);
    let mut pipe = std::fs::File::options()
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .unwrap();
    fill(&mut pipe);
    let (called, calls) = mpsc::channel();
    let another = remote.clone();
    thread::spawn(move || {
        another.wake();
        another.run(move |_sched| called.send(()).unwrap());
    })
    .join()
    .unwrap();
    sched.turn(None).unwrap();
    assert_eq!(calls.try_recv(), Ok(()));
    // What is still in it makes it look around, and no more.
    for _ in 0..5000 {
        assert_eq!(sched.turn(Some(Duration::ZERO)).unwrap(), 1);
    }
    fill(&mut pipe); // it was emptied meanwhile: there is room
    drop(remote);
}

#[test]
fn without_a_remote_there_is_no_pipe_and_without_its_clones_poll_does_not_watch_it() {
    let mut sched = Scheduler::new();
    let watched = |sched: &mut Scheduler| {
        let mut set = Vec::new();
        sched.pollfds(&mut set);
        set.len()
    };
    assert_eq!(watched(&mut sched), 0);
    let remote = sched.remote().unwrap();
    let (clone, second) = (remote.clone(), sched.remote().unwrap());
    assert_eq!(watched(&mut sched), 1, "one pipe for all");
    drop((remote, clone));
    sched.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(watched(&mut sched), 1);
    drop(second);
    sched.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(watched(&mut sched), 0);
}

#[test]
fn while_a_remote_lives_nothing_is_stalled() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let slot: Rc<Cell<Option<JoinHandle<()>>>> = Rc::default();
    let handle = Rc::clone(&slot);
    // A task that waits for itself: nothing can ever wake it.
    slot.set(Some(sched.spawn(yield_now(), move |task| {
        task.ok()?;
        let own = handle.take().unwrap();
        let op = own.finished();
        handle.set(Some(own));
        wait::<()>(op)
    })));
    let remote = sched.remote().unwrap();
    let holder = thread::spawn(move || {
        remote.wake();
        drop(remote); // the last one: it is asleep for good, and must find that out
    });
    assert!(matches!(sched.run(), Err(TaskError::Stalled(_))));
    holder.join().unwrap();
    slot.take().unwrap().cancel();
    sched.run().unwrap();
}

#[test]
fn a_remote_does_not_keep_run_going() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let remote = sched.remote().unwrap();
    sched.run().unwrap();
    remote.wake();
    sched.run().unwrap();
    let task = sched.spawn(yield_now(), |_task| done(7));
    assert_eq!(sched.join(task).unwrap(), 7);
}

// ---- closures

#[test]
fn closures_that_were_sent_before_run_begins_are_called_first_and_may_spawn() {
    let _watchdog = watchdog();
    let log = Arc::new(Mutex::new(Vec::new()));
    let mut sched = Scheduler::new();
    let remote = sched.remote().unwrap();
    for n in 0..3 {
        let log = Arc::clone(&log);
        assert!(remote.run(move |sched| {
            log.lock().unwrap().push(format!("closure {n}"));
            sched.spawn(yield_now(), move |_task| {
                log.lock().unwrap().push(format!("its task {n}"));
                done(())
            });
        }));
    }
    sched.run().unwrap();
    assert_eq!(
        *log.lock().unwrap(),
        [
            "closure 0",
            "closure 1",
            "closure 2",
            "its task 0",
            "its task 1",
            "its task 2"
        ]
    );
}

#[test]
fn no_closure_is_lost_while_run_ends_again_and_again() {
    const CLOSURES: usize = 20_000;
    let _watchdog = watchdog();
    let called = Arc::new(AtomicUsize::new(0));
    let mut sched = Scheduler::new();
    let remote = sched.remote().unwrap();
    let sender = {
        let called = Arc::clone(&called);
        thread::spawn(move || {
            for n in 0..CLOSURES {
                let called = Arc::clone(&called);
                remote.run(move |sched| {
                    assert_eq!(called.fetch_add(1, Ordering::Relaxed), n, "in order");
                    sched.spawn(yield_now(), |_task| done(()));
                });
            }
        })
    };
    while called.load(Ordering::Relaxed) < CLOSURES {
        sched.run().unwrap();
    }
    sender.join().unwrap();
    sched.run().unwrap();
    assert_eq!(called.load(Ordering::Relaxed), CLOSURES);
}

#[test]
fn closures_wake_a_loop_that_sleeps_each_time() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    asleep(&mut sched);
    let remote = sched.remote().unwrap();
    let sender = thread::spawn(move || {
        for n in 0..2000 {
            let (answer, answered) = mpsc::channel();
            remote.run(move |_sched| answer.send(n).unwrap());
            // The next one is sent when the scheduler is asleep again, or about to be.
            assert_eq!(answered.recv(), Ok(n));
        }
        remote.stop();
    });
    sched.run().unwrap();
    sender.join().unwrap();
}

#[test]
fn no_lock_is_held_while_a_closure_runs() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let remote = sched.remote().unwrap();
    let (called, calls) = mpsc::channel();
    let inner = remote.clone();
    remote.run(move |sched| {
        let another = sched.remote().unwrap();
        // Another thread sends, wakes, and asks what it is, while this closure waits for it.
        thread::spawn(move || {
            another.run(move |_sched| called.send(()).unwrap());
            another.wake();
            format!("{another:?}")
        })
        .join()
        .unwrap();
        drop(inner);
    });
    sched.run().unwrap();
    assert_eq!(calls.try_recv(), Ok(()));
}

#[test]
fn a_closure_may_drive_the_scheduler() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let remote = sched.remote().unwrap();
    let log = Arc::new(Mutex::new(Vec::new()));
    let inner = Arc::clone(&log);
    remote.run(move |sched| {
        let task = sched.spawn(sleep(Duration::from_millis(1)), |_task| done(5));
        inner.lock().unwrap().push(sched.join(task).unwrap());
        sched.run().unwrap();
    });
    let last = Arc::clone(&log);
    remote.run(move |_sched| last.lock().unwrap().push(6));
    let task = sched.spawn(sleep(Duration::from_millis(2)), |_task| done(7));
    let joined = sched.join(task).unwrap();
    log.lock().unwrap().push(joined);
    let mut log = log.lock().unwrap().clone();
    log.sort_unstable();
    assert_eq!(log, [5, 6, 7]);
}

#[test]
fn a_closure_that_sends_itself_leaves_room_for_others() {
    fn again(remote: Remote, sched: &mut Scheduler<'_>, count: Arc<AtomicUsize>) {
        let _ = sched;
        count.fetch_add(1, Ordering::Relaxed);
        let next = remote.clone();
        remote.run(move |sched| again(next, sched, count));
    }
    let _watchdog = watchdog();
    let count = Arc::new(AtomicUsize::new(0));
    let mut sched = Scheduler::new();
    let remote = sched.remote().unwrap();
    let (first, counter) = (remote.clone(), Arc::clone(&count));
    remote.run(move |sched| again(first, sched, counter));
    let (mut theirs, ours) = UnixStream::pair().unwrap();
    let file = AsyncFile::new(ours).unwrap();
    theirs.write_all(b"line\n").unwrap();
    let line = sched.block_on(file.readline()).unwrap();
    assert_eq!(line.unwrap(), b"line\n");
    sched.block_on(sleep(Duration::from_millis(5))).unwrap();
    assert!(count.load(Ordering::Relaxed) > 1);
}

#[test]
fn a_panic_in_a_closure_comes_out_of_the_drive_and_the_others_are_called() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let remote = sched.remote().unwrap();
    let (called, calls) = mpsc::channel();
    remote.run(|_sched| panic!("ouch"));
    remote.run(move |_sched| called.send(()).unwrap());
    assert_eq!(sched.run().unwrap_err().to_string(), "panicked: ouch");
    assert!(calls.try_recv().is_err(), "not yet");
    sched.run().unwrap();
    assert_eq!(calls.try_recv(), Ok(()));
}

#[test]
fn a_scheduler_that_is_gone_drops_what_it_was_sent_and_says_so() {
    struct Told(mpsc::Sender<&'static str>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.send("dropped").unwrap();
        }
    }
    let (told, drops) = mpsc::channel();
    let sched = Scheduler::new();
    let remote = sched.remote().unwrap();
    let value = Told(told.clone());
    let own = remote.clone(); // the closure holds a Remote of the scheduler that holds it
    assert!(remote.run(move |_sched| drop((value, own))));
    assert!(drops.try_recv().is_err());
    drop(sched);
    assert_eq!(drops.try_recv(), Ok("dropped"));
    let value = Told(told);
    assert!(!remote.run(move |_sched| drop(value)));
    assert_eq!(drops.try_recv(), Ok("dropped"));
    remote.wake();
    remote.stop();
    assert_eq!(format!("{remote:?}"), "Remote of a scheduler (gone)");
}

// ---- stops

#[test]
fn stop_ends_run_and_keeps_the_tasks() {
    let _watchdog = watchdog();
    let count = Cell::new(0);
    let mut sched = Scheduler::new();
    let stopper = sched.remote().unwrap();
    let count = &count;
    // Never out of work: run does not end of its own accord.
    sched.spawn(yield_now(), move |_task| {
        count.set(count.get() + 1);
        if count.get() % 10 == 0 {
            stopper.stop();
        }
        if count.get() == 25 {
            return done(());
        }
        wait(yield_now())
    });
    sched.run().unwrap();
    assert_eq!(count.get(), 10, "as soon as the body returns");
    sched.run().unwrap();
    assert_eq!(count.get(), 20);
    sched.run().unwrap();
    assert_eq!(count.get(), 25);
}

#[test]
fn stop_ends_a_run_that_sleeps() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    asleep(&mut sched);
    let remote = sched.remote().unwrap();
    for _ in 0..500 {
        let remote = remote.clone();
        let stopper = thread::spawn(move || remote.stop());
        sched.run().unwrap();
        stopper.join().unwrap();
    }
    assert_eq!(sched.turn(Some(Duration::ZERO)).unwrap(), 1);
}

#[test]
fn a_stop_before_run_begins_counts_and_many_count_as_one() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let remote = sched.remote().unwrap();
    let task = sched.spawn(yield_now(), |_task| done(7));
    remote.stop();
    remote.stop();
    sched.run().unwrap();
    assert!(!task.is_finished());
    sched.run().unwrap();
    assert_eq!(task.take().unwrap().unwrap(), 7);
}

#[test]
fn stop_does_not_wait_for_a_task_that_never_blocks() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let remote = sched.remote().unwrap();
    let zero = AsyncFile::new(std::fs::File::open("/dev/zero").unwrap()).unwrap();
    let mut reads = 0;
    let read = Rc::new(Cell::new(0));
    let seen = Rc::clone(&read);
    sched.spawn(zero.read(1), move |task| -> Flow {
        task.bytes()?;
        reads += 1;
        seen.set(reads);
        if reads == 3 {
            remote.stop();
        }
        wait(zero.read(1))
    });
    sched.run().unwrap();
    assert_eq!(read.get(), 3);
}

#[test]
fn a_stopped_join_says_so_and_its_task_goes_on() {
    let _watchdog = watchdog();
    let ended = Cell::new(false);
    let mut sched = Scheduler::new();
    let remote = sched.remote().unwrap();
    let task = sched.spawn(sleep(Duration::from_millis(1)), |_task| {
        ended.set(true);
        done(())
    });
    remote.stop();
    let error = sched.join(task).unwrap_err();
    assert!(matches!(error, TaskError::Stopped));
    assert_eq!(error.to_string(), "stopped");
    sched.run().unwrap();
    assert!(ended.get());
}

#[test]
fn a_join_whose_task_has_ended_gives_its_result_and_leaves_the_stop_to_the_next_drive() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let remote = sched.remote().unwrap();
    let task = sched.spawn(yield_now(), move |_task| {
        remote.stop();
        done(7)
    });
    assert_eq!(sched.join(task).unwrap(), 7);
    asleep(&mut sched);
    sched.run().unwrap();
}

#[test]
fn a_stopped_block_on_loses_nothing() {
    let _watchdog = watchdog();
    let (mut theirs, ours) = UnixStream::pair().unwrap();
    let file = AsyncFile::new(ours).unwrap();
    let mut sched = Scheduler::new();
    let remote = sched.remote().unwrap();
    theirs.write_all(b"half a ").unwrap();
    let buffered = file.clone();
    sched.spawn(yield_now(), move |_task| match buffered.buffered() {
        0 => wait(yield_now()),
        _ => {
            remote.stop();
            done(())
        }
    });
    let error = sched.block_on(file.readline()).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Other, "stopped")
    );
    assert!(matches!(
        error.get_ref().unwrap().downcast_ref(),
        Some(TaskError::Stopped)
    ));
    theirs.write_all(b"line\n").unwrap();
    assert_eq!(
        sched.block_on(file.readline()).unwrap().unwrap(),
        b"half a line\n"
    );
}

#[test]
fn a_failure_comes_out_before_the_stop() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let remote = sched.remote().unwrap();
    asleep(&mut sched);
    sched.spawn(yield_now(), move |_task| -> Flow {
        remote.stop();
        Err(ErrorKind::AddrInUse.into())
    });
    assert!(
        matches!(sched.run(), Err(TaskError::Failed(error)) if error.kind() == ErrorKind::AddrInUse)
    );
    sched.run().unwrap();
    assert_eq!(sched.turn(Some(Duration::ZERO)).unwrap(), 1);
}

#[test]
fn a_stop_during_a_turn_is_over_with_it() {
    let _watchdog = watchdog();
    let count = Cell::new(0);
    let mut sched = Scheduler::new();
    let remote = sched.remote().unwrap();
    for _ in 0..2 {
        let (remote, count) = (remote.clone(), &count);
        sched.spawn(yield_now(), move |_task| {
            count.set(count.get() + 1);
            remote.stop();
            done(())
        });
    }
    assert_eq!(sched.turn(None).unwrap(), 1);
    assert_eq!(count.get(), 1);
    assert_eq!(sched.turn(None).unwrap(), 0);
}

// ---- signal handlers

/// A static, because a handler has no arguments.
static HANDLED: Mutex<Option<&'static Remote>> = Mutex::new(None);
static HANDLER: std::sync::atomic::AtomicPtr<Remote> =
    std::sync::atomic::AtomicPtr::new(std::ptr::null_mut());

extern "C" fn on_signal(signal: libc::c_int) {
    // SAFETY: the Remote behind it is never dropped, and the pointer was set before the handler was
    // installed.
    let remote = unsafe { &*HANDLER.load(Ordering::Acquire) };
    if signal == libc::SIGUSR1 {
        remote.wake();
    } else {
        remote.stop();
    }
}

#[test]
fn wake_and_stop_in_a_signal_handler_keep_errno() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    asleep(&mut sched);
    let remote: &'static Remote = Box::leak(Box::new(sched.remote().unwrap()));
    *HANDLED.lock().unwrap() = Some(remote); // reachable, so that no leak checker complains
    HANDLER.store(remote as *const Remote as *mut Remote, Ordering::Release);
    // SAFETY: the handler does only what signal handlers may do.
    unsafe {
        let handler = on_signal as extern "C" fn(libc::c_int) as libc::sighandler_t;
        libc::signal(libc::SIGUSR1, handler);
        libc::signal(libc::SIGUSR2, handler);
    }
    let raise = |signal| {
        // SAFETY: fails with EBADF, which is what errno then is; the handler runs before raise
        // returns.
        unsafe {
            libc::close(-1);
            libc::raise(signal);
        }
        assert_eq!(
            std::io::Error::last_os_error().raw_os_error(),
            Some(libc::EBADF)
        );
    };
    raise(libc::SIGUSR1);
    assert_eq!(sched.turn(None).unwrap(), 1);
    raise(libc::SIGUSR2);
    sched.run().unwrap();

    // And from the kernel's side, while poll sleeps: EINTR ends the sleep, or the byte does.
    // SAFETY: pthread_self has no conditions, and the thread lives until the other one is joined.
    let this = unsafe { libc::pthread_self() } as usize;
    let killer = thread::spawn(move || {
        // SAFETY: as above.
        unsafe { libc::pthread_kill(this as libc::pthread_t, libc::SIGUSR2) };
    });
    sched.run().unwrap();
    killer.join().unwrap();
}

// ---- a foreign loop

#[test]
fn in_a_foreign_loop_a_wake_ends_the_hosts_poll() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let remote = sched.remote().unwrap();
    let log = Rc::new(RefCell::new(Vec::new()));
    let (called, calls) = mpsc::channel();
    let sender = thread::spawn(move || {
        for n in 0..500 {
            let called = called.clone();
            remote.run(move |_sched| called.send(n).unwrap());
            if n % 2 == 0 {
                thread::yield_now();
            }
        }
    });
    while log.borrow().len() < 500 {
        let mut set = Vec::new();
        let timeout = match sched.pollfds(&mut set) {
            Some(time) => time.as_millis() as libc::c_int,
            None => -1,
        };
        // SAFETY: the pointer and the length are those of a live vector.
        unsafe { libc::poll(set.as_mut_ptr(), set.len() as libc::nfds_t, timeout) };
        assert_eq!(sched.dispatch(&set).unwrap(), 0);
        log.borrow_mut().extend(calls.try_iter());
    }
    sender.join().unwrap();
    assert!(log.borrow().iter().copied().eq(0..500));
    sched.dispatch(&[]).unwrap();
}

#[test]
fn a_wake_between_pollfds_and_the_hosts_poll_ends_that_poll() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let remote = sched.remote().unwrap();
    let poll = |set: &mut Vec<libc::pollfd>| {
        // SAFETY: the pointer and the length are those of a live vector.
        unsafe { libc::poll(set.as_mut_ptr(), set.len() as libc::nfds_t, -1) }
    };
    sched.dispatch(&[]).unwrap(); // starts the hidden task that receives the Remote's calls
    let mut set = Vec::new();
    for _ in 0..2 {
        set.clear();
        assert_eq!(sched.pollfds(&mut set), None);
        remote.wake(); // in the scheduler's own thread
        assert_eq!(poll(&mut set), 1);
        sched.dispatch(&set).unwrap();
    }
    remote.wake();
    set.clear();
    sched.pollfds(&mut set);
    assert_eq!(poll(&mut set), 1, "a wake before pollfds ends it, too");
    let (called, calls) = mpsc::channel();
    sched.dispatch(&set).unwrap();
    set.clear();
    assert_eq!(sched.pollfds(&mut set), None);
    remote.run(move |_sched| called.send(()).unwrap());
    assert_eq!(poll(&mut set), 1, "and so does a call");
    sched.dispatch(&set).unwrap();
    assert_eq!(calls.try_recv(), Ok(()));
}

/// While `join` waits for one task, a detached task's failure is kept, and that is no work.
#[test]
#[cfg(target_os = "linux")]
fn a_failure_that_is_kept_for_the_next_drive_does_not_make_the_loop_spin() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let _remote = sched.remote().unwrap(); // something to poll for
    sched.spawn(yield_now(), |_task| -> Flow {
        Err(ErrorKind::AddrInUse.into())
    });
    let before = polls();
    sched.block_on(sleep(Duration::from_millis(20))).unwrap();
    assert!(polls() - before <= 3, "{} polls", polls() - before);
    assert!(sched.run().is_err());
}

#[test]
fn a_closure_may_put_another_scheduler_in_the_place_of_this_one() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let remote = sched.remote().unwrap();
    let asleep = sched.spawn(sleep(Duration::MAX), |task| done(task.ok()?));
    let is_done = Arc::new(AtomicUsize::new(0));
    let mark = Arc::clone(&is_done);
    remote.run(move |sched| {
        *sched = Scheduler::new();
        drop(sched.spawn(yield_now(), move |task| {
            mark.fetch_add(1, Ordering::Relaxed);
            done(task.ok()?)
        }));
    });
    assert!(matches!(sched.join(asleep), Err(TaskError::Cancelled)));
    sched.run().unwrap();
    assert_eq!(is_done.load(Ordering::Relaxed), 1);
}

// ---- the hidden task, and when calls are made

#[test]
fn a_remote_counts_neither_for_the_end_of_run_nor_in_the_number_of_tasks() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let remote = sched.remote().unwrap();
    assert_eq!(sched.turn(None).unwrap(), 0, "without tasks it returns");
    asleep(&mut sched);
    assert_eq!(sched.turn(Some(Duration::ZERO)).unwrap(), 1);
    assert_eq!(sched.dispatch(&[]).unwrap(), 1);
    let lines = format!("{sched:?}");
    assert_eq!(lines.lines().count(), 1, "{lines}");
    remote.run(|sched| {
        sched.spawn(yield_now(), |_task| done(()));
    });
    assert_eq!(sched.turn(Some(Duration::ZERO)).unwrap(), 2);
    assert_eq!(sched.turn(Some(Duration::ZERO)).unwrap(), 1);
    drop(sched);
    let mut sched = Scheduler::new();
    let _remote = sched.remote().unwrap();
    sched.run().unwrap();
}

#[test]
fn no_observer_sees_what_a_remote_does() {
    let _watchdog = watchdog();
    let seen = RefCell::new(Vec::new());
    let mut sched = Scheduler::new();
    sched.observe(|trace| seen.borrow_mut().push(trace.task));
    let remote = sched.remote().unwrap();
    remote.run(|_sched| {});
    remote.wake();
    sched.run().unwrap();
    drop(remote);
    sched.run().unwrap();
    assert!(seen.borrow().is_empty());
    let task = sched.spawn(yield_now(), |_task| done(()));
    sched.run().unwrap();
    assert!(!seen.borrow().is_empty());
    assert!(seen.borrow().iter().all(|id| *id == task.id()));
}

#[test]
fn after_the_last_remote_a_task_is_stalled_also_if_it_was_dropped_in_the_own_thread() {
    let _watchdog = watchdog();
    for is_driven in [false, true] {
        let mut sched = Scheduler::new();
        sched.spawn(sleep(Duration::MAX), for_ever);
        let remote = sched.remote().unwrap();
        if is_driven {
            assert_eq!(sched.turn(Some(Duration::ZERO)).unwrap(), 1);
        }
        drop(remote);
        assert!(matches!(sched.run(), Err(TaskError::Stalled(_))));
    }
}

#[test]
fn a_remote_can_be_had_again_after_the_last_one() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    for n in 0..3 {
        let remote = sched.remote().unwrap();
        let (called, calls) = mpsc::channel();
        assert!(remote.run(move |_sched| called.send(n).unwrap()));
        drop(remote);
        sched.run().unwrap();
        assert_eq!(calls.try_recv(), Ok(n));
    }
}

#[test]
fn a_call_just_before_the_last_remote_is_dropped_is_made() {
    let _watchdog = watchdog();
    for _ in 0..500 {
        let mut sched = Scheduler::new();
        sched.spawn(sleep(Duration::MAX), for_ever);
        let remote = sched.remote().unwrap();
        let (called, calls) = mpsc::channel();
        let thread = thread::spawn(move || {
            assert!(remote.run(move |_sched| called.send(()).unwrap()));
            drop(remote);
        });
        assert!(matches!(sched.run(), Err(TaskError::Stalled(_))));
        assert_eq!(calls.try_recv(), Ok(()));
        thread.join().unwrap();
    }
}

#[test]
fn all_calls_before_run_are_made_by_a_run_without_tasks() {
    const CALLS: usize = 5000;
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let remotes = [sched.remote().unwrap(), sched.remote().unwrap()];
    let (called, calls) = mpsc::channel();
    for n in 0..CALLS {
        let called = called.clone();
        remotes[n % 2].run(move |_sched| called.send(n).unwrap());
    }
    sched.run().unwrap();
    assert!(calls.try_iter().eq(0..CALLS), "in order, whichever Remote");
}

#[test]
fn a_call_that_comes_during_a_nested_drive_is_made_by_it_and_in_order() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let remote = sched.remote().unwrap();
    let log = Arc::new(Mutex::new(Vec::new()));
    let note = |what| {
        let log = Arc::clone(&log);
        move || log.lock().unwrap().push(what)
    };
    let (first, second, third, end) = (note(1), note(2), note(3), note(4));
    let sender = remote.clone();
    remote.run(move |sched| {
        let (go, gone) = asyncfile::channel();
        let task = sched.spawn(gone.ready(), |task| done(task.ok()?));
        // The nested join ends only when the third call was made.
        let thread = thread::spawn(move || {
            sender.run(move |_sched| {
                third();
                go.send(()).unwrap();
            });
        });
        first();
        sched.join(task).unwrap();
        thread.join().unwrap();
        end();
        drop(gone);
    });
    remote.run(move |_sched| second());
    sched.run().unwrap();
    assert_eq!(*log.lock().unwrap(), [1, 2, 3, 4]);
}

#[test]
fn a_remote_that_a_closure_asks_for_works_also_if_it_was_the_last_ones_closure() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let remote = sched.remote().unwrap();
    let (called, calls) = mpsc::channel();
    remote.run(move |sched| {
        let another = sched.remote().unwrap();
        thread::spawn(move || another.run(move |_sched| called.send(()).unwrap()))
            .join()
            .unwrap();
    });
    drop(remote);
    sched.run().unwrap();
    assert_eq!(calls.try_recv(), Ok(()));
}

#[test]
fn a_stop_between_two_calls_leaves_the_second_to_the_next_drive() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let remote = sched.remote().unwrap();
    let (called, calls) = mpsc::channel();
    for n in 0..2 {
        let (called, stopper) = (called.clone(), remote.clone());
        remote.run(move |_sched| {
            called.send(n).unwrap();
            stopper.stop();
        });
    }
    sched.run().unwrap();
    assert_eq!(calls.try_iter().collect::<Vec<_>>(), [0]);
    let work = sched.pollfds(&mut Vec::new());
    assert_eq!(work, Some(Duration::ZERO), "a call is left");
    sched.run().unwrap();
    assert_eq!(calls.try_iter().collect::<Vec<_>>(), [1]);
}

#[test]
fn a_call_that_a_stop_has_left_is_dropped_with_the_scheduler() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let remote = sched.remote().unwrap();
    let (called, calls) = mpsc::channel::<()>();
    let stopper = remote.clone();
    remote.run(move |_sched| stopper.stop());
    remote.run(move |_sched| called.send(()).unwrap());
    sched.run().unwrap();
    assert_eq!(calls.try_recv(), Err(mpsc::TryRecvError::Empty));
    drop(sched);
    assert_eq!(calls.try_recv(), Err(mpsc::TryRecvError::Disconnected));
}

#[test]
fn a_scheduler_that_takes_anothers_place_makes_none_of_its_calls() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let remote = sched.remote().unwrap();
    let (called, calls) = mpsc::channel::<()>();
    remote.run(|sched| *sched = Scheduler::new());
    remote.run(move |_sched| called.send(()).unwrap());
    sched.run().unwrap();
    assert_eq!(calls.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    assert!(!remote.run(|_sched| {}), "its scheduler is gone");
    sched.run().unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn the_wake_pipe_is_closed_with_the_scheduler_and_its_remotes() {
    use std::os::unix::fs::FileTypeExt;
    let is_pipe = |fd: i32| {
        let file = std::fs::metadata(format!("/proc/self/fd/{fd}"));
        file.map_or(false, |file| file.file_type().is_fifo())
    };
    let inode = |fd: i32| std::fs::read_link(format!("/proc/self/fd/{fd}")).ok();
    for remote_is_last in [false, true] {
        let mut sched = Scheduler::new();
        let remote = sched.remote().unwrap();
        let mut set = Vec::new();
        sched.pollfds(&mut set);
        let (fd, pipe) = (set[0].fd, inode(set[0].fd));
        assert!(is_pipe(fd));
        if remote_is_last {
            drop(sched);
            assert_eq!(inode(fd), pipe, "a Remote may write");
            remote.wake();
            drop(remote);
        } else {
            drop(remote);
            sched.run().unwrap();
            assert_eq!(inode(fd), pipe, "it serves the next Remote");
            drop(sched);
        }
        assert_ne!(inode(fd), pipe);
    }
}

#[test]
fn no_lock_is_held_while_a_closure_is_dropped_uncalled() {
    let _watchdog = watchdog();
    /// Uses the Remote when it is dropped, and tells whether a scheduler was there.
    struct Calls(Remote, mpsc::Sender<bool>);
    impl Drop for Calls {
        fn drop(&mut self) {
            self.0.wake();
            self.0.stop();
            let is_received = self.0.run(|_sched| {});
            self.1.send(is_received).unwrap();
        }
    }
    for turns in 0..2 {
        let (tells, told) = mpsc::channel();
        let mut sched = Scheduler::new();
        let remote = sched.remote().unwrap();
        let send = |count| {
            for _ in 0..count {
                let calls = Calls(remote.clone(), tells.clone());
                remote.run(move |_sched| drop(calls));
            }
        };
        for _ in 0..turns {
            sched.turn(Some(Duration::ZERO)).unwrap(); // the hidden task is there
        }
        send(2);
        if turns == 1 {
            remote.stop();
            sched.turn(Some(Duration::ZERO)).unwrap();
            send(1);
        }
        drop(sched); // with calls that no turn came to
        send(1); // to nobody
        let answers: Vec<bool> = told.try_iter().collect();
        assert_eq!(answers, vec![false; 3 + turns], "{turns} turns");
    }
}

// ---- what a stop ends

/// Nothing is resumed any more in a drive that was stopped: not the next line of the task that has
/// stopped it, and no other task that is ready.
#[test]
fn after_a_stop_no_body_is_called_in_that_drive() {
    let _watchdog = watchdog();
    type Drive = fn(&mut Scheduler<'_>);
    let drives: [Drive; 4] = [
        |sched| sched.run().unwrap(),
        |sched| assert_eq!(sched.turn(None).unwrap(), 2),
        |sched| {
            let mut set = Vec::new();
            sched.pollfds(&mut set);
            // SAFETY: the pointer and the length are those of one slice.
            let answer = unsafe { libc::poll(set.as_mut_ptr(), set.len() as _, 0) };
            assert_ne!(answer, -1);
            assert_eq!(sched.dispatch(&set).unwrap(), 2);
        },
        |sched| {
            let error = sched.block_on(sleep(LONG)).unwrap_err();
            assert!(error.to_string().contains("stopped"), "{error}");
        },
    ];
    for (index, drive) in drives.into_iter().enumerate() {
        for asks_anew in [false, true] {
            let (mut theirs, ours) = UnixStream::pair().unwrap();
            theirs.write_all(&b"line\n".repeat(100)).unwrap();
            let file = AsyncFile::new(ours).unwrap();
            let (lines, others, others_then) = (Cell::new(0), Cell::new(0), Cell::new(0));
            let stopper = RefCell::new(None::<Remote>);
            let mut sched = Scheduler::new();
            stopper.replace(Some(sched.remote().unwrap()));
            sched.spawn(file.readline(), |task| -> Flow {
                task.line()?;
                lines.set(lines.get() + 1);
                others_then.set(others.get());
                stopper.borrow().as_ref().unwrap().stop();
                match asks_anew {
                    true => wait(file.readline()),
                    false => asyncfile::again(),
                }
            });
            sched.spawn(yield_now(), |task| -> Flow {
                task.ok()?;
                others.set(others.get() + 1);
                asyncfile::again()
            });
            for line in 1..=3 {
                while lines.get() < line {
                    drive(&mut sched);
                }
                assert_eq!(lines.get(), line, "drive {index}, {asks_anew}");
                assert_eq!(
                    others.get(),
                    others_then.get(),
                    "drive {index}, {asks_anew}"
                );
            }
        }
    }
}

/// A drive within a drive: the stop ends the inner one, which is under way, and that one only.
#[test]
fn a_stop_within_a_nested_drive_ends_that_one_only() {
    let _watchdog = watchdog();
    let told = Arc::new(Mutex::new(Vec::new()));
    let mut sched = Scheduler::new();
    let remote = sched.remote().unwrap();
    let (stopper, tells) = (remote.clone(), Arc::clone(&told));
    let last = remote.clone();
    remote.run(move |sched| {
        sched.spawn(yield_now(), move |_| {
            stopper.stop();
            done(())
        });
        let outer = sched
            .block_on(sleep(LONG))
            .map_err(|error| error.to_string());
        tells.lock().unwrap().push(outer.unwrap_err());
        let tells = Arc::clone(&tells);
        sched.spawn(yield_now(), move |_| {
            tells
                .lock()
                .unwrap()
                .push("the outer drive goes on".to_owned());
            last.stop();
            done(())
        });
    });
    asleep(&mut sched);
    sched.run().unwrap();
    let told = told.lock().unwrap();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("stopped"), "{told:?}");
}
