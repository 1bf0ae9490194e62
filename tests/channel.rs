//! Channels: messages from threads and tasks to tasks, and what they cost.

mod threads;

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::mpsc::{self, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use asyncfile::{
    channel, done, first, sleep, wait, yield_now, AsyncFile, End, Flow, JoinHandle, Op, Receiver,
    Scheduler, Sender,
};
use threads::*;

/// A task that receives until all senders are gone.
fn collect<'t, T: 't>(
    sched: &mut Scheduler<'t>,
    receiver: Receiver<T>,
) -> asyncfile::JoinHandle<Vec<T>> {
    let mut all = Vec::new();
    sched.spawn(receiver.ready(), move |task| {
        task.ok()?;
        loop {
            match receiver.try_recv() {
                Ok(message) => all.push(message),
                Err(TryRecvError::Empty) => return wait(receiver.ready()),
                Err(TryRecvError::Disconnected) => return done(std::mem::take(&mut all)),
            }
        }
    })
}

#[test]
fn a_sender_can_go_to_any_thread_and_a_receiver_stays() {
    fn is_send<T: Clone + Send>() {}
    is_send::<Sender<Cell<u8>>>();
    // Ambiguous, and no program, if it were Send.
    trait Stays<A> {
        fn it_stays() {}
    }
    impl<T> Stays<()> for T {}
    impl<T: Send> Stays<u8> for T {}
    <Receiver<u8> as Stays<_>>::it_stays();
}

// ---- from other threads

#[test]
#[cfg(target_os = "linux")]
fn of_four_threads_with_100_000_messages_each_all_arrive_in_order_and_the_loop_sleeps_when_idle() {
    const THREADS: usize = 4;
    const MESSAGES: u32 = 100_000;
    let _watchdog = watchdog();
    let (sender, receiver) = channel();
    let resumes = Cell::new(0);
    let mut sched = Scheduler::new();
    let threads: Vec<_> = (0..THREADS)
        .map(|who| {
            let sender = sender.clone();
            thread::spawn(move || (0..MESSAGES).for_each(|n| sender.send((who, n)).unwrap()))
        })
        .collect();
    drop(sender);
    let mut next = [0; THREADS];
    let resumed = &resumes;
    let task = sched.spawn(receiver.ready(), move |task| {
        task.ok()?;
        resumed.set(resumed.get() + 1);
        loop {
            match receiver.try_recv() {
                Ok((who, n)) => {
                    assert_eq!(n, next[who], "of thread {who}");
                    next[who] += 1;
                }
                Err(TryRecvError::Empty) => return wait(receiver.ready()),
                Err(TryRecvError::Disconnected) => return done(next),
            }
        }
    });
    let before = polls();
    assert_eq!(sched.join(task).unwrap(), [MESSAGES; THREADS]);
    let polls = polls() - before;
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    // Each time poll says something a message is there, but for a byte that was written late.
    assert!(
        polls <= 2 * resumes.get() + 4,
        "{polls} polls for {} resumes",
        resumes.get()
    );
}

#[test]
#[cfg(target_os = "linux")]
fn one_message_at_a_time_costs_a_poll_or_two_each() {
    const MESSAGES: u64 = 2000;
    let _watchdog = watchdog();
    let (sender, receiver) = channel();
    let (answer, answers) = mpsc::channel();
    let thread = thread::spawn(move || {
        for n in 0..MESSAGES {
            sender.send(n).unwrap();
            assert_eq!(answers.recv(), Ok(n)); // the loop is about to sleep
        }
    });
    let mut sched = Scheduler::new();
    let task = sched.spawn(receiver.ready(), move |task| {
        task.ok()?;
        loop {
            match receiver.try_recv() {
                Ok(n) => answer.send(n).unwrap(),
                Err(TryRecvError::Empty) => return wait(receiver.ready()),
                Err(TryRecvError::Disconnected) => return done(()),
            }
        }
    });
    let before = polls();
    sched.join(task).unwrap();
    thread.join().unwrap();
    assert!(
        polls() - before <= 2 * MESSAGES + 4,
        "{} polls",
        polls() - before
    );
}

/// Each message comes at another moment of the task's way into the wait.
#[test]
fn a_message_that_comes_while_a_task_begins_to_wait_is_not_missed() {
    const MESSAGES: usize = 20_000;
    let _watchdog = watchdog();
    let (sender, receiver) = channel();
    let taken = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let seen = taken.clone();
    let thread = thread::spawn(move || {
        for n in 0..MESSAGES {
            while seen.load(std::sync::atomic::Ordering::Acquire) < n {
                thread::yield_now(); // the scheduler may need this core
            }
            (0..n % 97).for_each(|_| std::hint::spin_loop());
            sender.send(n).unwrap();
        }
    });
    let mut sched = Scheduler::new();
    let task = sched.spawn(receiver.ready(), move |task| {
        task.ok()?;
        match receiver.try_recv() {
            Ok(n) => taken.store(n + 1, std::sync::atomic::Ordering::Release),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => {
                return done(taken.load(std::sync::atomic::Ordering::Relaxed))
            }
        }
        asyncfile::again()
    });
    assert_eq!(sched.join(task).unwrap(), MESSAGES);
    thread.join().unwrap();
}

#[test]
fn the_last_sender_to_go_wakes_the_tasks_that_wait() {
    let _watchdog = watchdog();
    for _ in 0..500 {
        let (sender, receiver) = channel::<u8>();
        let mut sched = Scheduler::new();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let sender = sender.clone();
                thread::spawn(move || drop(sender))
            })
            .collect();
        drop(sender);
        let task = sched.spawn(receiver.ready(), move |task| {
            task.ok()?;
            done((task.end(), receiver.try_recv()))
        });
        assert_eq!(
            sched.join(task).unwrap(),
            (End::Eof, Err(TryRecvError::Disconnected))
        );
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    }
}

// ---- from tasks of the same scheduler

#[test]
#[cfg(target_os = "linux")]
fn a_message_from_task_to_task_costs_no_system_call() {
    const MESSAGES: u64 = 100;
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let ((ping, pinged), (pong, ponged)) = (channel(), channel());
    let mut rounds = 0;
    sched.spawn(pinged.ready(), move |task| -> Flow {
        task.ok()?;
        while let Ok(n) = pinged.try_recv() {
            if pong.send(n).is_err() {
                return done(());
            }
        }
        wait(pinged.ready())
    });
    sched.turn(Some(Duration::ZERO)).unwrap(); // it waits, and the wake pipe is there
    let (polls_before, writes_before) = (polls(), writes());
    let task = sched.spawn(yield_now(), move |task| {
        task.ok()?;
        match ponged.try_recv() {
            Ok(n) => assert_eq!(n, rounds),
            Err(_) => assert_eq!(rounds, 0),
        }
        rounds += 1;
        if rounds > MESSAGES {
            return done(());
        }
        ping.send(rounds).unwrap();
        wait(ponged.ready())
    });
    sched.join(task).unwrap();
    assert_eq!(writes() - writes_before, 0);
    assert!(
        polls() - polls_before <= 2,
        "{} polls",
        polls() - polls_before
    );
}

#[test]
fn messages_may_borrow_what_was_declared_before_the_scheduler() {
    let _watchdog = watchdog();
    let text = String::from("borrowed");
    let (sender, receiver) = channel::<&str>();
    let mut sched = Scheduler::new();
    sched.spawn(yield_now(), {
        let text = &text;
        move |_task| {
            sender.send(text).unwrap();
            sender.send(&text[..3]).unwrap();
            done(())
        }
    });
    sched.run().unwrap();
    let task = collect(&mut sched, receiver);
    // The task that held the sender has ended: its body is dropped, and the sender with it.
    assert_eq!(sched.join(task).unwrap(), ["borrowed", "bor"]);
}

// ---- ready, an operation like any other

#[test]
fn ready_ends_at_once_if_a_message_is_there_and_takes_nothing() {
    let _watchdog = watchdog();
    let (sender, receiver) = channel();
    sender.send(1).unwrap();
    sender.send(2).unwrap();
    let mut sched = Scheduler::new();
    for _ in 0..3 {
        sched.block_on(receiver.ready()).unwrap();
    }
    assert_eq!(receiver.try_recv(), Ok(1));
    sched.block_on(receiver.ready()).unwrap();
    assert_eq!(receiver.try_recv(), Ok(2));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    let error = sched
        .block_on(receiver.ready().timeout(Duration::ZERO))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "none is there any more");
    drop(sender);
    sched.block_on(receiver.ready()).unwrap();
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
}

#[test]
fn messages_come_before_the_end() {
    let (sender, receiver) = channel();
    let second = sender.clone();
    sender.send(1).unwrap();
    second.send(2).unwrap();
    drop((sender, second));
    let mut sched = Scheduler::new();
    let task = sched.spawn(receiver.ready(), |task| {
        task.ok()?;
        done(task.end())
    });
    assert_eq!(sched.join(task).unwrap(), End::Complete);
    assert_eq!([receiver.try_recv(), receiver.try_recv()], [Ok(1), Ok(2)]);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
}

#[test]
fn ready_times_out_not_early_and_says_what_it_was() {
    let _watchdog = watchdog();
    let (sender, receiver) = channel::<u8>();
    let mut sched = Scheduler::new();
    let start = Instant::now();
    let error = sched
        .block_on(receiver.ready().timeout(Duration::from_millis(20)))
        .unwrap_err();
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::TimedOut, "ready: timed out after 20ms")
    );
    sender.send(1).unwrap();
    sched
        .block_on(receiver.ready().timeout(Duration::from_millis(20)))
        .unwrap();
    assert_eq!(receiver.try_recv(), Ok(1));
}

#[test]
fn a_message_beats_a_deadline() {
    let _watchdog = watchdog();
    let (sender, receiver) = channel();
    let mut sched = Scheduler::new();
    let due = Duration::from_millis(1);
    let task = sched.spawn(receiver.ready().timeout(due), |task| {
        done(task.ok().is_ok())
    });
    sched.turn(Some(Duration::ZERO)).unwrap();
    let start = Instant::now();
    while start.elapsed() < due {
        std::hint::spin_loop();
    }
    sender.send(1).unwrap(); // its time is over, and the turn that would say so has not begun
    assert!(sched.join(task).unwrap());
}

#[test]
fn first_of_a_message_and_a_line_loses_neither() {
    let _watchdog = watchdog();
    let (mut theirs, ours) = UnixStream::pair().unwrap();
    let file = AsyncFile::new(ours).unwrap();
    let (sender, receiver) = channel();
    let log = RefCell::new(Vec::new());
    let mut sched = Scheduler::new();
    let next = {
        let file = file.clone();
        move |receiver: &Receiver<i32>| first([Op::from(receiver.ready()), file.readline().into()])
    };
    let seen = &log;
    let task = sched.spawn(next(&receiver), move |task| {
        match task.which() {
            0 => match receiver.try_recv() {
                Ok(n) => seen.borrow_mut().push(n.to_string()),
                Err(TryRecvError::Empty) => unreachable!("ready said so"),
                Err(TryRecvError::Disconnected) => return done(()),
            },
            _ => seen
                .borrow_mut()
                .push(String::from_utf8_lossy(task.line()?.unwrap()).into_owned()),
        }
        wait(next(&receiver))
    });
    let turn = |sched: &mut Scheduler| sched.turn(Some(Duration::ZERO)).unwrap();
    theirs.write_all(b"half a ").unwrap();
    turn(&mut sched);
    sender.send(1).unwrap();
    sender.send(2).unwrap();
    turn(&mut sched);
    theirs.write_all(b"line\n").unwrap();
    turn(&mut sched);
    turn(&mut sched);
    sender.send(3).unwrap();
    drop(sender);
    sched.join(task).unwrap();
    assert_eq!(*log.borrow(), ["1", "2", "half a line\n", "3"]);
}

#[test]
fn of_several_tasks_that_wait_all_are_resumed() {
    let _watchdog = watchdog();
    let (sender, receiver) = channel();
    let receiver = Rc::new(receiver);
    let mut sched = Scheduler::new();
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let receiver = Rc::clone(&receiver);
            sched.spawn(receiver.ready(), move |task| {
                task.ok()?;
                done(receiver.try_recv())
            })
        })
        .collect();
    sched.turn(Some(Duration::ZERO)).unwrap();
    thread::spawn(move || sender.send(7).unwrap())
        .join()
        .unwrap();
    let mut got: Vec<_> = tasks
        .into_iter()
        .map(|task| sched.join(task).unwrap())
        .collect();
    got.sort_by_key(|result| result.is_err());
    assert_eq!(got[0], Ok(7));
    assert!(got[1].is_err() && got[2].is_err());
}

#[test]
fn a_cancelled_task_waits_no_more() {
    let _watchdog = watchdog();
    let (sender, receiver) = channel();
    let mut sched = Scheduler::new();
    let task = sched.spawn(receiver.ready(), |task| {
        task.ok()?;
        done(())
    });
    sched.turn(Some(Duration::ZERO)).unwrap();
    let mut set = Vec::new();
    sched.pollfds(&mut set);
    assert_eq!(set.len(), 1, "the wake pipe");
    task.cancel();
    set.clear();
    sched.pollfds(&mut set);
    assert_eq!(set.len(), 0);
    sender.send(1).unwrap();
    sched.run().unwrap();
    assert_eq!(receiver.try_recv(), Ok(1));
}

#[test]
fn a_receiver_may_move_from_scheduler_to_scheduler() {
    let _watchdog = watchdog();
    let (sender, receiver) = channel();
    let mut one = Scheduler::new();
    one.block_on(receiver.ready().timeout(Duration::from_millis(1)))
        .unwrap_err();
    let thread = thread::spawn(move || sender.send(7).unwrap());
    let mut other = Scheduler::new();
    other.block_on(receiver.ready()).unwrap();
    assert_eq!(receiver.try_recv(), Ok(7));
    thread.join().unwrap();
}

#[test]
fn a_clone_of_an_operation_that_waits_waits_for_itself() {
    let _watchdog = watchdog();
    let (sender, receiver) = channel();
    let ready = receiver.ready();
    let mut sched = Scheduler::new();
    let tasks = [
        sched.spawn(ready.clone(), |task| done(task.ok()?)),
        sched.spawn(ready, |task| done(task.ok()?)),
    ];
    sched.turn(Some(Duration::ZERO)).unwrap();
    sender.send(()).unwrap();
    for task in tasks {
        sched.join(task).unwrap();
    }
}

#[test]
fn a_task_that_waits_for_a_message_is_not_stalled_and_its_line_says_how_many_senders_there_are() {
    let _watchdog = watchdog();
    let (sender, receiver) = channel::<u8>();
    let second = sender.clone();
    let mut sched = Scheduler::new();
    sched.spawn(
        receiver.ready().timeout(Duration::from_secs(1800)),
        |task| done(task.ok()?),
    );
    sched.turn(Some(Duration::ZERO)).unwrap();
    let line = format!("{sched:?}");
    assert!(
        line.starts_with("task 1: ready of a channel, 2 senders, 1"),
        "{line}"
    );
    let thread = thread::spawn(move || drop((sender, second)));
    sched.run().unwrap();
    thread.join().unwrap();
}

// ---- ends

#[test]
fn a_send_without_receiver_gives_the_message_back() {
    let (sender, receiver) = channel();
    sender.send(String::from("in time")).unwrap();
    drop(receiver);
    assert_eq!(
        sender.send(String::from("too late")),
        Err(String::from("too late"))
    );
}

#[test]
fn no_lock_is_held_while_a_message_is_dropped() {
    let _watchdog = watchdog();
    /// Sends when it is dropped.
    #[derive(Debug)]
    struct Chain(Option<Sender<Chain>>, mpsc::Sender<bool>);
    impl Drop for Chain {
        fn drop(&mut self) {
            if let Some(sender) = self.0.take() {
                let refused = sender.send(Chain(None, self.1.clone())).is_err();
                self.1.send(refused).unwrap();
            }
        }
    }
    let (told, refused) = mpsc::channel();
    let (sender, receiver) = channel();
    sender
        .send(Chain(Some(sender.clone()), told.clone()))
        .unwrap();
    sender.send(Chain(Some(sender.clone()), told)).unwrap();
    drop(receiver.try_recv()); // while the receiver lives
    assert_eq!(refused.try_recv(), Ok(false));
    drop(receiver); // and after that
    assert_eq!(refused.try_recv(), Ok(true));
}

#[test]
fn every_message_is_dropped_once() {
    let _watchdog = watchdog();
    let token = std::sync::Arc::new(());
    let (sender, receiver) = channel();
    let thread = {
        let token = token.clone();
        thread::spawn(move || while sender.send(token.clone()).is_ok() {})
    };
    let mut sched = Scheduler::new();
    for _ in 0..100 {
        sched.block_on(receiver.ready()).unwrap();
        drop(receiver.try_recv());
    }
    drop(receiver);
    thread.join().unwrap();
    assert_eq!(std::sync::Arc::strong_count(&token), 1);
}

#[test]
fn a_scheduler_that_is_dropped_forgets_its_waiters() {
    let (sender, receiver) = channel();
    let mut sched = Scheduler::new();
    sched.spawn(receiver.ready(), |task| done(task.ok()?));
    sched.turn(Some(Duration::ZERO)).unwrap();
    drop(sched);
    sender.send(1).unwrap();
    assert_eq!(receiver.try_recv(), Ok(1));
}

// ---- together

#[test]
fn a_bound_is_a_second_channel_that_carries_permits() {
    const ROOM: usize = 3;
    let _watchdog = watchdog();
    let ((sender, receiver), (permit, permits)) = (channel(), mpsc::channel());
    (0..ROOM).for_each(|_| permit.send(()).unwrap());
    let in_flight = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let sent = in_flight.clone();
    let thread = thread::spawn(move || {
        for n in 0..1000 {
            permits.recv().unwrap();
            assert!(sent.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < ROOM);
            sender.send(n).unwrap();
        }
    });
    let mut next = 0;
    let mut sched = Scheduler::new();
    let task = sched.spawn(receiver.ready(), move |task| {
        task.ok()?;
        loop {
            match receiver.try_recv() {
                Ok(n) => {
                    assert_eq!(n, next);
                    next += 1;
                    in_flight.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    let _ = permit.send(());
                }
                Err(TryRecvError::Empty) => return wait(receiver.ready()),
                Err(TryRecvError::Disconnected) => return done(next),
            }
        }
    });
    assert_eq!(sched.join(task).unwrap(), 1000);
    thread.join().unwrap();
}

#[test]
fn messages_and_timers_do_not_starve_each_other() {
    let _watchdog = watchdog();
    let (sender, receiver) = channel();
    let mut sched = Scheduler::new();
    // A task that sends to itself for ever.
    sender.send(()).unwrap();
    sched.spawn(receiver.ready(), move |task| -> Flow {
        task.ok()?;
        receiver.try_recv().unwrap();
        sender.send(()).unwrap();
        wait(receiver.ready())
    });
    sched.block_on(sleep(Duration::from_millis(5))).unwrap();
}

#[test]
fn the_receivers_end_ends_the_waits_on_it() {
    let _watchdog = watchdog();
    let (sender, receiver) = channel::<u8>();
    let mut sched = Scheduler::new();
    let waits = sched.spawn(receiver.ready(), |task| {
        task.ok()?;
        done(task.end())
    });
    let (ready, mut receiver) = (receiver.ready(), Some(receiver));
    drop(sched.spawn(yield_now(), move |task| {
        task.ok()?;
        drop(receiver.take());
        done(())
    }));
    assert_eq!(sched.join(waits).unwrap(), End::Eof);
    assert_eq!(sender.send(1), Err(1));
    sched.block_on(ready).unwrap();
}

// ---- schedulers and loops

#[test]
fn tasks_of_two_schedulers_may_wait_on_one_receiver() {
    let _watchdog = watchdog();
    let (sender, receiver) = channel();
    let (mut one, mut other) = (Scheduler::new(), Scheduler::new());
    let tasks = [&mut one, &mut other].map(|sched| {
        let task = sched.spawn(receiver.ready(), |task| done(task.ok()?));
        sched.turn(Some(Duration::ZERO)).unwrap();
        task
    });
    let thread = thread::spawn(move || sender.send(7).unwrap());
    let [first, second] = tasks;
    one.join(first).unwrap();
    other.join(second).unwrap();
    thread.join().unwrap();
    assert_eq!(receiver.try_recv(), Ok(7));
}

#[test]
fn a_message_of_another_schedulers_task_in_the_same_thread_arrives() {
    let _watchdog = watchdog();
    let (sender, receiver) = channel();
    let mut sched = Scheduler::new();
    let task = sched.spawn(receiver.ready(), move |task| {
        task.ok()?;
        done(receiver.try_recv())
    });
    sched.turn(Some(Duration::ZERO)).unwrap();
    let mut other = Scheduler::new();
    other.spawn(yield_now(), move |_task| {
        sender.send(7).unwrap();
        done(())
    });
    other.run().unwrap();
    assert_eq!(sched.join(task).unwrap(), Ok(7));
}

#[test]
fn a_message_between_pollfds_and_the_hosts_poll_ends_that_poll() {
    let _watchdog = watchdog();
    let (sender, receiver) = channel();
    let got = Cell::new(0);
    let count = &got;
    let mut sched = Scheduler::new();
    sched.spawn(receiver.ready(), move |task| {
        task.ok()?;
        loop {
            match receiver.try_recv() {
                Ok(()) => count.set(count.get() + 1),
                Err(TryRecvError::Empty) => return asyncfile::again(),
                Err(TryRecvError::Disconnected) => return done(()),
            }
        }
    });
    sched.dispatch(&[]).unwrap();
    for n in 0..10 {
        let mut set = Vec::new();
        assert_eq!(sched.pollfds(&mut set), None);
        sender.send(()).unwrap(); // the host's own code, in the scheduler's thread
                                  // SAFETY: the pointer and the length are those of a live vector.
        let ready = unsafe { libc::poll(set.as_mut_ptr(), set.len() as libc::nfds_t, -1) };
        assert_eq!(ready, 1);
        assert_eq!(sched.dispatch(&set).unwrap(), 1);
        assert_eq!(got.get(), n + 1);
    }
    drop(sender);
    sched.run().unwrap();
}

#[test]
fn a_receiver_whose_task_waits_for_something_else_is_not_watched_and_its_task_may_be_stalled() {
    let _watchdog = watchdog();
    let (sender, receiver) = channel::<u8>();
    let mut sched = Scheduler::new();
    sched.spawn(receiver.ready(), move |task| -> Flow {
        task.ok()?;
        let _ = receiver.try_recv();
        wait(sleep(Duration::MAX))
    });
    sched.turn(Some(Duration::ZERO)).unwrap();
    sender.send(1).unwrap();
    assert!(matches!(sched.run(), Err(asyncfile::TaskError::Stalled(_))));
    let mut set = Vec::new();
    sched.pollfds(&mut set);
    assert!(set.is_empty());
}

#[test]
#[cfg(target_os = "linux")]
fn a_send_that_no_task_waits_for_makes_no_system_call_in_any_thread() {
    let _watchdog = watchdog();
    let (sender, receiver) = channel();
    let mut sched = Scheduler::new();
    sched
        .block_on(receiver.ready().timeout(Duration::from_millis(1)))
        .unwrap_err(); // the wake pipe is made
    let written = thread::spawn(move || {
        let before = writes();
        (0..1000).for_each(|n| sender.send(n).unwrap());
        writes() - before
    });
    assert_eq!(written.join().unwrap(), 0);
    assert_eq!(receiver.try_recv(), Ok(0));
}

#[test]
#[cfg(target_os = "linux")]
fn many_sends_to_a_task_that_waits_cost_one_byte() {
    let _watchdog = watchdog();
    let (sender, receiver) = channel();
    let mut sched = Scheduler::new();
    let task = sched.spawn(receiver.ready(), |task| done(task.ok()?));
    sched.turn(Some(Duration::ZERO)).unwrap();
    let written = thread::spawn(move || {
        let before = writes();
        (0..1000).for_each(|n| sender.send(n).unwrap());
        writes() - before
    });
    assert_eq!(written.join().unwrap(), 1);
    sched.join(task).unwrap();
    let all: Vec<_> = std::iter::from_fn(|| receiver.try_recv().ok()).collect();
    assert!(all.into_iter().eq(0..1000));
}

/// Each of them enters the wait queue and leaves it: neither may search it.
#[test]
fn ten_thousand_tasks_wait_on_one_receiver_and_leave() {
    const TASKS: usize = 10_000;
    let _watchdog = watchdog();
    let (sender, receiver) = channel();
    let woken = Cell::new(0);
    let count = &woken;
    let mut sched = Scheduler::new();
    let tasks: Vec<_> = (0..2 * TASKS)
        .map(|_| {
            sched.spawn(receiver.ready(), move |task| {
                count.set(count.get() + 1);
                done(task.ok()?)
            })
        })
        .collect();
    sched.turn(Some(Duration::ZERO)).unwrap();
    tasks.iter().step_by(2).for_each(JoinHandle::cancel);
    assert_eq!(sched.turn(Some(Duration::ZERO)).unwrap(), TASKS);
    sender.send(()).unwrap();
    sched.run().unwrap();
    assert_eq!(woken.get(), TASKS);
}

/// Of a receiver that is dropped, both the messages that it has taken and those that it has not.
#[test]
fn a_message_that_is_dropped_with_its_receiver_may_use_the_channel() {
    let _watchdog = watchdog();
    #[derive(Debug)]
    struct Uses(
        Option<Sender<Uses>>,
        mpsc::Sender<&'static str>,
        &'static str,
    );
    impl Drop for Uses {
        fn drop(&mut self) {
            if let Some(sender) = self.0.take() {
                let clone = sender.clone();
                let inner = Uses(None, self.1.clone(), "inner");
                drop(sender.send(inner).expect_err("the receiver is gone"));
                drop(clone);
                self.1.send(self.2).unwrap();
            }
        }
    }
    let (tells, told) = mpsc::channel();
    let (sender, receiver) = channel();
    let send = |name| {
        let uses = Uses(Some(sender.clone()), tells.clone(), name);
        sender.send(uses).unwrap();
    };
    send("handed over");
    send("taken");
    let first = receiver.try_recv().unwrap();
    send("left in the channel");
    drop(receiver);
    drop(first);
    let mut all: Vec<&str> = told.try_iter().collect();
    all.sort_unstable();
    assert_eq!(all, ["handed over", "left in the channel", "taken"]);
}
