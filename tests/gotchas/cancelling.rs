//! Cancelling from inside a body: gotcha 19.

use std::cell::{Cell, RefCell};
use std::io::Write;

use asyncfile::{done, sleep, wait, yield_now, JoinHandle, Scheduler, TaskError};

use crate::descriptors::{guard, pipe, sockets, Test, HOUR, ZERO};

// -------------------------------------------- 19. Cancel from inside a callback, itself or another

/// Counts its drops. A body owns one, by naming it as a whole: a closure that names a field takes
/// only that.
struct Bell<'a>(&'a Cell<u32>);

impl Drop for Bell<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn a_body_that_cancels_itself_runs_to_its_return_and_never_again() -> Test {
    let _guard = guard();
    let (resumes, drops) = (Cell::new(0), Cell::new(0));
    let own: RefCell<Option<JoinHandle<u8>>> = RefCell::default();
    let mut sched = Scheduler::new();
    let bell = Bell(&drops);
    let (own_ref, resumes_ref) = (&own, &resumes);
    let handle = sched.spawn(yield_now(), move |task| {
        let owned = &bell;
        task.ok()?;
        own_ref.borrow().as_ref().unwrap().cancel();
        assert_eq!(owned.0.get(), 0, "the body still runs");
        resumes_ref.set(resumes_ref.get() + 1);
        wait(yield_now())
    });
    own.replace(Some(handle));
    sched.run()?;
    assert_eq!((resumes.get(), drops.get()), (1, 1));
    let handle = own.take().unwrap();
    assert!(matches!(sched.join(handle), Err(TaskError::Cancelled)));
    Ok(())
}

#[test]
fn a_task_that_is_ready_and_cancelled_by_another_is_not_resumed() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    let (other, mut peer) = sockets()?;
    let (resumed, drops) = (Cell::new(0), Cell::new(0));
    let handles: RefCell<Vec<JoinHandle<()>>> = RefCell::default();
    let mut sched = Scheduler::new();
    for file in [&file, &other] {
        let (bell, handles, resumed) = (Bell(&drops), &handles, &resumed);
        let me = handles.borrow().len();
        let handle = sched.spawn(file.readline(), move |task| {
            let owned = &bell;
            task.line()?;
            resumed.set(resumed.get() + 1);
            handles.borrow()[1 - me].cancel();
            assert_eq!(
                owned.0.get(),
                0,
                "cancel marks: no body is dropped while another runs"
            );
            done(())
        });
        handles.borrow_mut().push(handle);
    }
    assert_eq!(sched.turn(Some(ZERO))?, 2);
    writer.write_all(b"a line\n")?;
    peer.write_all(b"a line\n")?;
    sched.run()?;
    assert_eq!((resumed.get(), drops.get()), (1, 2));
    Ok(())
}

#[test]
fn a_cancelled_task_leaves_the_queue_of_its_file() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    let mut sched = Scheduler::new();
    let head = sched.spawn(file.readline(), |task| done(task.line()?.is_some()));
    let tail = sched.spawn(file.readline(), |task| {
        done(task.line()?.map(<[u8]>::to_vec))
    });
    assert_eq!(sched.turn(Some(ZERO))?, 2);
    sched.spawn(yield_now(), move |task| {
        task.ok()?;
        head.cancel();
        done(())
    });
    writer.write_all(b"for the second\n")?;
    assert_eq!(sched.join(tail)?.as_deref(), Some(&b"for the second\n"[..]));
    Ok(())
}

#[test]
fn a_body_that_is_dropped_may_cancel_another() -> Test {
    struct CancelOnDrop(JoinHandle<()>);
    impl Drop for CancelOnDrop {
        fn drop(&mut self) {
            self.0.cancel();
        }
    }
    let _guard = guard();
    let drops = Cell::new(0);
    let mut sched = Scheduler::new();
    let bell = Bell(&drops);
    let last = sched.spawn(sleep(HOUR), move |task| {
        let _owned = &bell;
        done(task.ok()?)
    });
    let chained = CancelOnDrop(last);
    let middle = sched.spawn(sleep(HOUR), move |task| {
        let _owned = &chained;
        done(task.ok()?)
    });
    let chained = CancelOnDrop(middle);
    let first = sched.spawn(sleep(HOUR), move |task| {
        let _owned = &chained;
        done(task.ok()?)
    });
    sched.spawn(yield_now(), move |task| {
        task.ok()?;
        first.cancel();
        done(())
    });
    sched.run()?;
    assert_eq!(drops.get(), 1, "the drop of each body cancels the next");
    Ok(())
}

#[test]
fn cancelling_twice_or_after_the_end_changes_nothing() -> Test {
    let _guard = guard();
    let drops = Cell::new(0);
    let mut sched = Scheduler::new();
    let bell = Bell(&drops);
    let asleep = sched.spawn(sleep(HOUR), move |task| {
        let _owned = &bell;
        done(task.ok()?)
    });
    let ended = sched.spawn(yield_now(), |task| done(task.ok().map(|()| 7)?));
    assert_eq!(sched.turn(Some(ZERO))?, 1);
    for _ in 0..2 {
        asleep.cancel();
        ended.cancel();
    }
    assert_eq!(sched.turn(Some(ZERO))?, 0);
    asleep.cancel();
    assert_eq!(drops.get(), 1);
    assert_eq!(sched.join(ended)?, 7);
    assert!(matches!(sched.join(asleep), Err(TaskError::Cancelled)));
    Ok(())
}
