//! `queue`: of the tasks that wait, one is woken for what is there, in the order they came.
// `done(task.ok()?)` is how a task ends that only waited.
#![allow(clippy::unit_arg)]

mod support;

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use asyncfile::trace::Event;
use asyncfile::{
    again, done, first, op, queue, sleep, wait, yield_now, End, JoinHandle, Op, Queue, Scheduler,
    TaskError,
};
use support::*;

const HOUR: Duration = Duration::from_secs(3600);

/// Which of the two sides of a queue a test is about: what waits at one is let pass by the other.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Ready,
    Room,
}

impl Side {
    /// A queue of three places that has nothing for tasks on this side.
    fn queue(self) -> Queue<u32> {
        let queue = queue(3);
        while self == Side::Room && queue.push(0).is_ok() {}
        queue
    }

    fn op(self, queue: &Queue<u32>) -> op::Ready {
        match self {
            Side::Ready => queue.ready(),
            Side::Room => queue.room(),
        }
    }

    /// There is one more for a task on this side.
    fn give(self, queue: &Queue<u32>) {
        match self {
            Side::Ready => queue.push(0).unwrap(),
            Side::Room => drop(queue.pop().unwrap()),
        }
    }

    /// A task on this side takes one. False if there is none.
    fn take(self, queue: &Queue<u32>) -> bool {
        match self {
            Side::Ready => queue.pop().is_some(),
            Side::Room => queue.push(0).is_ok(),
        }
    }
}

type Names = Rc<RefCell<Vec<u32>>>;

/// A task that waits again and again, writes its number down when it is resumed, and takes one.
fn taker<'t>(
    sched: &mut Scheduler<'t>,
    side: Side,
    queue: &Queue<u32>,
    log: &Names,
    number: u32,
) -> JoinHandle<()> {
    let (queue, log) = (queue.clone(), Rc::clone(log));
    sched.spawn(side.op(&queue), move |task| {
        log.borrow_mut().push(number);
        side.take(&queue);
        match task.end() {
            End::Eof => done(()),
            _ => again(),
        }
    })
}

/// How often this task is advanced from here on: what is woken is advanced, also for nothing.
fn advances(sched: &mut Scheduler<'_>, handle: &JoinHandle<()>) -> Rc<Cell<u32>> {
    let (count, id) = (Rc::new(Cell::new(0)), handle.id());
    let counted = Rc::clone(&count);
    sched.observe(move |trace| {
        let is_advanced = matches!(trace.event, Event::Advanced { .. }) && trace.task == id;
        counted.set(counted.get() + u32::from(is_advanced));
    });
    count
}

fn turn(sched: &mut Scheduler<'_>) {
    sched.turn(Some(Duration::ZERO)).unwrap();
}

/// The numbers of the tasks that were resumed.
fn resumed(log: &Names) -> Vec<u32> {
    log.take()
}

#[test]
fn items_come_out_in_their_order_and_no_more_than_the_capacity_go_in() {
    let queue = queue(2);
    assert_eq!((queue.len(), queue.pop()), (0, None));
    assert_eq!((queue.push("a"), queue.push("b")), (Ok(()), Ok(())));
    assert_eq!((queue.push("c"), queue.len()), (Err("c"), 2));
    let other = queue.clone();
    assert_eq!((other.pop(), queue.push("d")), (Some("a"), Ok(())));
    assert_eq!(
        (other.pop(), other.pop(), other.pop()),
        (Some("b"), Some("d"), None)
    );
    assert!(queue.is_empty() && !queue.is_closed());
}

#[test]
fn one_task_is_woken_for_one_item_and_they_take_turns() {
    let _watchdog = watchdog();
    for side in [Side::Ready, Side::Room] {
        let (queue, log, mut sched) = (side.queue(), Names::default(), Scheduler::new());
        for number in 1..=3 {
            taker(&mut sched, side, &queue, &log, number);
        }
        turn(&mut sched);
        assert_eq!(resumed(&log), [0; 0], "{side:?}: nothing is there");
        side.give(&queue);
        turn(&mut sched);
        assert_eq!(resumed(&log), [1], "{side:?}: one for one");
        side.give(&queue);
        side.give(&queue);
        turn(&mut sched);
        assert_eq!(
            resumed(&log),
            [2, 3],
            "{side:?}: the next, since one was left"
        );
        (0..3).for_each(|_| side.give(&queue));
        turn(&mut sched);
        assert_eq!(resumed(&log), [1, 2, 3], "{side:?}");
        turn(&mut sched);
        assert_eq!(resumed(&log), [0; 0], "{side:?}: all was taken");
    }
}

/// The first takes both: the second is not woken for nothing.
#[test]
fn a_task_that_takes_all_leaves_nothing_to_wake_another_for() {
    let _watchdog = watchdog();
    for side in [Side::Ready, Side::Room] {
        let (queue, log, mut sched) = (side.queue(), Names::default(), Scheduler::new());
        let greedy = queue.clone();
        sched.spawn(side.op(&queue), move |task| {
            task.ok()?;
            while side.take(&greedy) {}
            again::<()>()
        });
        let other = taker(&mut sched, side, &queue, &log, 2);
        turn(&mut sched);
        let advances = advances(&mut sched, &other);
        side.give(&queue);
        side.give(&queue);
        turn(&mut sched);
        assert_eq!((advances.get(), resumed(&log)), (0, vec![]), "{side:?}");
    }
}

/// However a task gives up its turn, what it has left wakes the next one.
#[test]
fn what_a_task_leaves_wakes_the_next_one() {
    let _watchdog = watchdog();
    type Leaving = fn() -> asyncfile::Flow;
    let ways: [(&str, Leaving); 4] = [
        ("it waits for something else", || wait(sleep(HOUR))),
        ("it ends", || done(())),
        ("it fails", || Err(ErrorKind::Other.into())),
        ("it panics", || {
            std::panic::resume_unwind(Box::new("on purpose"))
        }),
    ];
    for side in [Side::Ready, Side::Room] {
        for (way, leave) in ways {
            let (queue, log, mut sched) = (side.queue(), Names::default(), Scheduler::new());
            let handle = sched.spawn(side.op(&queue), move |_| leave());
            taker(&mut sched, side, &queue, &log, 2);
            turn(&mut sched);
            side.give(&queue);
            turn(&mut sched);
            assert_eq!(resumed(&log), [2], "{side:?}, {way}");
            drop(handle.take());
        }
    }
}

/// Its wake was for it alone: it passes on.
#[test]
fn a_task_that_is_woken_and_then_cancelled_or_loses_passes_its_turn_on() {
    let _watchdog = watchdog();
    for side in [Side::Ready, Side::Room] {
        let (queue, log, mut sched) = (side.queue(), Names::default(), Scheduler::new());
        let woken = taker(&mut sched, side, &queue, &log, 1);
        taker(&mut sched, side, &queue, &log, 2);
        turn(&mut sched);
        side.give(&queue);
        woken.cancel();
        turn(&mut sched);
        assert_eq!(resumed(&log), [2], "{side:?}: cancelled");

        let (queue, other) = (side.queue(), side.queue());
        let both = first([side.op(&other), side.op(&queue)]);
        let which = Rc::new(Cell::new(9));
        let winner = Rc::clone(&which);
        sched.spawn(both, move |task| {
            winner.set(task.which());
            task.ok()?;
            wait::<()>(sleep(HOUR))
        });
        taker(&mut sched, side, &queue, &log, 2);
        turn(&mut sched);
        side.give(&queue);
        side.give(&other);
        turn(&mut sched);
        assert_eq!(
            (which.get(), resumed(&log)),
            (0, vec![2]),
            "{side:?}: a loser"
        );
        assert!(!side.take(&queue), "{side:?}: it has taken nothing");
        assert!(side.take(&other), "{side:?}: nor has the winner");
    }
}

/// In a `first`, the turn of the winner lasts as long as otherwise: nobody is woken for what its
/// body takes.
#[test]
fn a_winner_keeps_its_turn_until_its_body_has_run() {
    let _watchdog = watchdog();
    for side in [Side::Ready, Side::Room] {
        let (queue, log, mut sched) = (side.queue(), Names::default(), Scheduler::new());
        let own = queue.clone();
        let nested = first([Op::from(sleep(HOUR)), first([side.op(&queue)]).into()]);
        sched.spawn(nested, move |task| {
            task.ok()?;
            assert!(side.take(&own));
            again::<()>()
        });
        let other = taker(&mut sched, side, &queue, &log, 2);
        turn(&mut sched);
        let advances = advances(&mut sched, &other);
        side.give(&queue);
        turn(&mut sched);
        assert_eq!((advances.get(), resumed(&log)), (0, vec![]), "{side:?}");
        side.give(&queue);
        turn(&mut sched);
        assert_eq!(
            resumed(&log),
            [2],
            "{side:?}: the first has gone to the back"
        );
    }
}

/// A task that comes while another one waits, is woken, or has its turn: behind it.
#[test]
fn a_task_that_comes_later_queues_behind() {
    let _watchdog = watchdog();
    for side in [Side::Ready, Side::Room] {
        let (queue, log, mut sched) = (side.queue(), Names::default(), Scheduler::new());
        taker(&mut sched, side, &queue, &log, 1);
        turn(&mut sched);
        // The order of the ready queue is the other way round: the late one is advanced first.
        let (late, names) = (queue.clone(), Rc::clone(&log));
        sched.spawn(yield_now(), move |task| {
            if task.end() == End::Complete && names.borrow().is_empty() {
                names.borrow_mut().push(8);
                side.give(&late);
                return wait(side.op(&late));
            }
            names.borrow_mut().push(2);
            side.take(&late);
            again::<()>()
        });
        turn(&mut sched);
        assert_eq!(resumed(&log), [8, 1], "{side:?}: woken");
        // While the first has its turn: it starts the other one, and leaves what is there.
        let (queue, log, mut sched) = (side.queue(), Names::default(), Scheduler::new());
        let (own, names) = (queue.clone(), Rc::clone(&log));
        sched.spawn(side.op(&queue), move |task| {
            task.ok()?;
            names.borrow_mut().push(1);
            let (queue, names) = (own.clone(), Rc::clone(&names));
            if names.borrow().len() == 1 {
                task.spawn(side.op(&own), move |_| {
                    names.borrow_mut().push(2);
                    side.take(&queue);
                    again::<()>()
                });
            }
            again::<()>()
        });
        side.give(&queue);
        turn(&mut sched);
        assert_eq!(resumed(&log)[..2], [1, 2], "{side:?}: in its turn");
    }
}

/// A task that waits again goes to the back, also when its share of a turn is used up.
#[test]
fn tasks_that_wait_again_and_again_alternate() {
    let _watchdog = watchdog();
    for side in [Side::Ready, Side::Room] {
        let queue = match side {
            Side::Ready => queue(5000),
            Side::Room => queue(10_000),
        };
        while queue.len() < 5000 {
            queue.push(0).unwrap();
        }
        let (log, mut sched) = (Names::default(), Scheduler::new());
        for number in 1..=2 {
            taker(&mut sched, side, &queue, &log, number);
        }
        for _ in 0..20 {
            turn(&mut sched);
        }
        let log = resumed(&log);
        assert_eq!(log.len(), 5000, "{side:?}");
        assert!(log.chunks(2).all(|pair| pair == [1, 2]), "{side:?}");
    }
}

#[test]
fn close_ends_room_at_once_and_ready_when_the_queue_is_empty() {
    let _watchdog = watchdog();
    let (queue, log, mut sched) = (queue(2), Names::default(), Scheduler::new());
    queue.push(1).unwrap();
    queue.push(2).unwrap();
    let room = [0, 1].map(|_| sched.spawn(queue.room(), |task| done((task.ok()?, task.end()))));
    turn(&mut sched);
    queue.close();
    turn(&mut sched);
    for room in room {
        assert_eq!(room.take().unwrap().unwrap(), ((), End::Eof));
    }
    assert_eq!(
        sched
            .block_on(queue.room())
            .map(|()| queue.push(3))
            .unwrap(),
        Err(3)
    );
    for number in 1..=3 {
        taker(&mut sched, Side::Ready, &queue, &log, number);
    }
    turn(&mut sched);
    assert_eq!(resumed(&log), [1, 2, 2, 3, 1], "two items, then three ends");
    assert_eq!(sched.turn(Some(Duration::ZERO)).unwrap(), 0);
    queue.close();
    assert!(queue.is_closed());
    let late = sched.spawn(queue.ready(), |task| done((task.ok()?, task.end())));
    assert_eq!(sched.join(late).unwrap(), ((), End::Eof));
}

#[test]
fn a_pop_that_empties_a_closed_queue_ends_all_that_wait_for_ready() {
    let _watchdog = watchdog();
    let (queue, log, mut sched) = (queue(2), Names::default(), Scheduler::new());
    for number in 1..=3 {
        taker(&mut sched, Side::Ready, &queue, &log, number);
    }
    turn(&mut sched);
    queue.push(1).unwrap();
    queue.close();
    assert_eq!(queue.pop(), Some(1), "before the first is resumed");
    turn(&mut sched);
    assert_eq!(resumed(&log), [1, 2, 3]);
    sched.run().unwrap();
}

#[test]
fn what_is_pushed_after_close_comes_back_and_what_was_before_comes_out() {
    let queue = queue(3);
    queue.push('a').unwrap();
    queue.close();
    assert_eq!((queue.push('b'), queue.len()), (Err('b'), 1));
    assert_eq!((queue.pop(), queue.pop()), (Some('a'), None));
}

#[test]
fn a_queue_without_places_is_a_latch() {
    let _watchdog = watchdog();
    let latch = queue(0);
    assert_eq!((latch.push("nothing"), latch.pop()), (Err("nothing"), None));
    let mut sched = Scheduler::new();
    let waiting = [latch.ready(), latch.room(), latch.ready()]
        .map(|op| sched.spawn(op, |task| done((task.ok()?, task.end()))));
    for _ in 0..3 {
        turn(&mut sched);
    }
    assert!(waiting.iter().all(|task| !task.is_finished()));
    latch.close();
    for task in waiting {
        assert_eq!(sched.join(task).unwrap(), ((), End::Eof));
    }
}

#[test]
fn dropping_handles_closes_nothing() {
    let _watchdog = watchdog();
    let jobs = queue::<u8>(4);
    let mut sched = Scheduler::new();
    let task = sched.spawn(jobs.ready(), |task| done(task.ok()?));
    drop((jobs.clone(), jobs));
    assert!(matches!(sched.run(), Err(TaskError::Stalled(_))));
    assert!(!task.is_finished());
}

#[test]
fn stalled_says_which_task_waits_for_which_queue() {
    let _watchdog = watchdog();
    let (empty, full) = (queue(2), queue(1));
    full.push(()).unwrap();
    empty.push(()).unwrap();
    empty.pop();
    let mut sched = Scheduler::new();
    let tasks = [
        sched.spawn(empty.ready(), |task| done(task.ok()?)),
        sched.spawn(first([full.room(), empty.ready()]), |task| done(task.ok()?)),
    ];
    let Err(TaskError::Stalled(text)) = sched.run() else {
        panic!("it is stalled");
    };
    let (empty, full) = (format!("{empty:?}"), format!("{full:?}"));
    assert_ne!(empty.split(',').next(), full.split(',').next());
    assert!(empty.ends_with(", 0 of 2 items") && full.ends_with(", 1 of 1 items"));
    let [one, two] = tasks.map(|task| task.id());
    let expected = [
        format!("task {one}: ready of {empty}\n"),
        format!("task {two}: first of [room of {full}; ready of {empty}]\n"),
    ];
    assert_eq!(text, expected.concat());
}

/// Not stalled: another task may fill it.
#[test]
fn a_queue_that_another_task_fills_later_stalls_nobody() {
    let _watchdog = watchdog();
    let jobs = queue(1);
    let mut sched = Scheduler::new();
    let (own, filled) = (jobs.clone(), jobs.clone());
    let task = sched.spawn(jobs.ready(), move |task| {
        done(task.ok().map(|()| own.pop())?)
    });
    sched.spawn(sleep(SHORT / 10), move |task| {
        task.ok()?;
        filled.push(7).unwrap();
        done(())
    });
    assert_eq!(sched.join(task).unwrap(), Some(7));
}

#[test]
fn ready_and_room_can_time_out_and_leave_the_queue() {
    let _watchdog = watchdog();
    for side in [Side::Ready, Side::Room] {
        let (queue, log, mut sched) = (side.queue(), Names::default(), Scheduler::new());
        let timed = side.op(&queue).timeout(SHORT / 10);
        let timed = sched.spawn(timed, |task| done(task.ok().unwrap_err()));
        taker(&mut sched, side, &queue, &log, 2);
        let error = sched.join(timed).unwrap();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let name = if side == Side::Ready { "ready" } else { "room" };
        assert_eq!(error.to_string(), format!("{name}: timed out after 2ms"));
        side.give(&queue);
        turn(&mut sched);
        assert_eq!(resumed(&log), [2], "{side:?}");
        // What can be had without waiting is had.
        side.give(&queue);
        sched
            .block_on(side.op(&queue).timeout(Duration::ZERO))
            .unwrap_err();
        assert_eq!(resumed(&log), [2], "{side:?}: the older one had it");
    }
    let queue = queue(1);
    queue.push(1).unwrap();
    let mut sched = Scheduler::new();
    sched
        .block_on(queue.ready().timeout(Duration::ZERO))
        .unwrap();
}

/// After a `first`, the winner is fresh and at the back, a loser's clock goes on.
#[test]
fn again_after_a_first_keeps_the_clock_of_ready_and_room() {
    let _watchdog = watchdog();
    for side in [Side::Ready, Side::Room] {
        let queue = side.queue();
        let mut sched = Scheduler::new();
        let began = std::time::Instant::now();
        let both = first([
            Op::from(sleep(SHORT / 20)),
            side.op(&queue).timeout(2 * SHORT).into(),
        ]);
        let task = sched.spawn(both, move |task| match task.which() {
            0 => {
                task.ok()?;
                again()
            }
            _ => done((task.end(), began.elapsed())),
        });
        let (end, took) = sched.join(task).unwrap();
        assert!(
            end == End::TimedOut && took >= 2 * SHORT,
            "{side:?}: {end:?} after {took:?}"
        );
    }
}

#[test]
fn an_item_may_borrow() {
    let _watchdog = watchdog();
    let log = RefCell::new(Vec::new());
    let seen = &log;
    let texts = [String::from("one"), String::from("two")];
    let mut sched = Scheduler::new();
    {
        let lent: Queue<&str> = queue(2);
        let own = lent.clone();
        sched.spawn(lent.ready(), move |task| {
            task.ok()?;
            match own.pop() {
                Some(text) => seen.borrow_mut().push(text),
                None => return done(()),
            }
            again()
        });
        texts.iter().for_each(|text| lent.push(text).unwrap());
        lent.close();
        sched.run().unwrap();
        drop(sched);
    }
    assert_eq!(log.into_inner(), ["one", "two"]);
}

/// Its drop may use the queue: nothing is borrowed meanwhile.
#[test]
fn an_item_s_drop_may_use_the_queue() {
    struct Pusher(Queue<Option<Pusher>>);
    impl Drop for Pusher {
        fn drop(&mut self) {
            let _ = self.0.push(None);
        }
    }
    let queue = queue(2);
    assert!(queue.push(Some(Pusher(queue.clone()))).is_ok());
    drop(queue.pop());
    assert_eq!(queue.len(), 1);
    queue.close();
    drop(queue.push(Some(Pusher(queue.clone()))));
    assert_eq!(queue.len(), 1);
}

#[test]
fn a_queue_that_is_waited_for_in_two_schedulers_at_once_is_an_error_at_once() {
    let _watchdog = watchdog();
    for side in [Side::Ready, Side::Room] {
        let queue = side.queue();
        let (mut one, mut other) = (Scheduler::new(), Scheduler::new());
        let waiting = one.spawn(side.op(&queue), |task| done(task.ok()?));
        turn(&mut one);
        let error = other.block_on(side.op(&queue)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("another scheduler"), "{error}");
        // But the other side is free, and so is this one when nobody waits any more.
        drop(one);
        assert!(matches!(waiting.take(), Some(Err(TaskError::Cancelled))));
        side.give(&queue);
        other.block_on(side.op(&queue)).unwrap();
    }
}

/// Each side may be another scheduler's.
#[test]
fn a_queue_may_lead_from_one_scheduler_to_another() {
    let _watchdog = watchdog();
    let (queue, sum) = (queue(1), Cell::new(0));
    let (mut from, mut to) = (Scheduler::new(), Scheduler::new());
    let mut next = 1..=10;
    let pushed = queue.clone();
    let pushing = from.spawn(queue.room(), move |task| {
        task.ok()?;
        match next.next() {
            Some(n) => drop(pushed.push(n)),
            None => return done(pushed.close()),
        }
        again()
    });
    let (popped, sum) = (queue.clone(), &sum);
    let popping = to.spawn(queue.ready(), move |task| {
        task.ok()?;
        match popped.pop() {
            Some(n) => sum.set(sum.get() + n),
            None => return done(()),
        }
        again()
    });
    while !(pushing.is_finished() && popping.is_finished()) {
        turn(&mut from);
        turn(&mut to);
    }
    assert_eq!(sum.get(), 55);
}

/// A host that pushes between `pollfds` and its own poll is not woken by that: it asks again.
#[test]
fn a_push_from_a_foreign_loop_is_work_for_the_next_dispatch() {
    let _watchdog = watchdog();
    let queue = queue(1);
    let mut sched = Scheduler::new();
    let task = sched.spawn(queue.ready(), |task| done(task.ok()?));
    sched.dispatch(&[]).unwrap();
    let mut set = Vec::new();
    assert_eq!(
        (sched.pollfds(&mut set), set.len()),
        (None, 0),
        "no descriptor"
    );
    queue.push(1).unwrap();
    assert_eq!(sched.pollfds(&mut set), Some(Duration::ZERO));
    sched.dispatch(&[]).unwrap();
    assert!(task.is_finished());
}

/// The same operation twice: the second is that of the same task, and nothing is lost.
#[test]
fn a_first_of_two_of_the_same_queue_takes_the_earlier() {
    let _watchdog = watchdog();
    for side in [Side::Ready, Side::Room] {
        let (queue, log, mut sched) = (side.queue(), Names::default(), Scheduler::new());
        let (own, names) = (queue.clone(), Rc::clone(&log));
        sched.spawn(first([side.op(&queue), side.op(&queue)]), move |task| {
            names.borrow_mut().push(task.which() as u32);
            side.take(&own);
            again::<()>()
        });
        taker(&mut sched, side, &queue, &log, 5);
        turn(&mut sched);
        (0..3).for_each(|_| side.give(&queue));
        turn(&mut sched);
        assert_eq!(resumed(&log), [0, 5, 0], "{side:?}");
    }
}

#[test]
fn a_scheduler_that_is_dropped_leaves_the_queue_usable() {
    let _watchdog = watchdog();
    let (queue, log) = (queue(3), Names::default());
    queue.push(1).unwrap();
    let mut sched = Scheduler::new();
    for number in 1..=3 {
        taker(&mut sched, Side::Ready, &queue, &log, number);
    }
    drop(sched);
    assert_eq!((resumed(&log), queue.len()), (vec![], 1));
    let mut sched = Scheduler::new();
    taker(&mut sched, Side::Ready, &queue, &log, 4);
    turn(&mut sched);
    assert_eq!(resumed(&log), [4]);
}
