//! Tests of how many system calls children cost. The simulated kernel counts the calls.

use std::cell::RefCell;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use crate::sim::{with, Act, Kernel, Program};
use crate::{again, done, first, sleep, wait, yield_now, AsyncPipe, OperationError, Scheduler};

const SECOND: Duration = Duration::from_secs(1);

/// A simulated kernel with the program `nap`, which lives for a minute. The second value is the
/// list of the kernel's calls from here on, one line for each.
fn kernel() -> (Kernel, Rc<RefCell<Vec<String>>>) {
    kernel_that_chooses(|_| 0)
}

fn kernel_that_chooses(choose: fn(u32) -> u32) -> (Kernel, Rc<RefCell<Vec<String>>>) {
    let mut kernel = Kernel::new(choose);
    let acts = vec![Act::Sleep(60 * SECOND)];
    kernel.program(
        "nap",
        Program {
            acts,
            stderr: false,
            group: false,
        },
    );
    let lines = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&lines);
    kernel.trace(move |line| log.borrow_mut().push(line.to_owned()));
    (kernel, lines)
}

fn nap() -> AsyncPipe {
    AsyncPipe::piped(Command::new("nap")).unwrap()
}

fn count(lines: &RefCell<Vec<String>>, call: &str) -> usize {
    let lines = lines.borrow();
    lines.iter().filter(|line| line.contains(call)).count()
}

fn calls() -> (u64, u64) {
    with(|kernel| (kernel.calls, kernel.polls)).unwrap()
}

fn children() -> (usize, usize) {
    with(|kernel| kernel.children()).unwrap()
}

fn turns(sched: &mut Scheduler<'_>, count: usize) {
    let mut left = count;
    let task = sched.spawn(yield_now(), move |task| {
        task.ok()?;
        left -= 1;
        if left > 0 {
            again()
        } else {
            done(())
        }
    });
    sched.join(task).unwrap();
}

#[test]
fn a_stream_that_fails_under_a_communicate_is_named() {
    let (mut kernel, _) = kernel_that_chooses(|below| below - 1);
    kernel.faults.read_eio = 255;
    kernel.run(|| {
        let pipe = nap();
        let mut sched = Scheduler::new();
        let error = sched.block_on(pipe.communicate(())).unwrap_err();
        let cause = OperationError::of(&error).unwrap();
        assert_eq!(
            (cause.operation(), cause.raw_os_error()),
            ("communicate", Some(libc::EIO))
        );
        let (fd, words) = (
            cause.fd().unwrap(),
            std::io::Error::from_raw_os_error(libc::EIO),
        );
        assert_eq!(
            error.to_string(),
            format!("communicate stdout on fd {fd}: {words}")
        );
    });
}

#[test]
fn a_dropped_child_costs_a_turn_nothing() {
    let (kernel, _) = kernel();
    kernel.run(|| {
        let mut sched = Scheduler::new();
        (0..50).for_each(|_| drop(nap()));
        (0..4).for_each(|_| assert!(sched.turn(Some(Duration::ZERO)).is_ok()));
        let before = calls();
        turns(&mut sched, 1000);
        for _ in 0..100 {
            sched.turn(Some(Duration::ZERO)).unwrap();
        }
        let after = calls();
        let polls = after.1 - before.1;
        assert_eq!(after.0 - before.0, polls, "a call besides poll(2)");
        assert_eq!(children(), (50, 0));
        sched.block_on(sleep(100 * SECOND)).unwrap();
        assert_eq!(children(), (0, 0), "each was reaped when it ended");
        assert_eq!(with(|kernel| kernel.pidfds()), Some(0));
    });
}

#[test]
fn children_that_a_body_drops_are_watched_before_the_loop_sleeps() {
    let (kernel, _) = kernel();
    kernel.run(|| {
        let mut sched = Scheduler::new();
        let mut pipes: Vec<_> = (0..40).map(|_| nap()).collect();
        sched.spawn(yield_now(), move |task| {
            task.ok()?;
            if pipes.is_empty() {
                return done(());
            }
            pipes.clear();
            wait(sleep(3600 * SECOND))
        });
        sched.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(with(|kernel| kernel.pidfds()), Some(40));
        let mut set = Vec::new();
        sched.pollfds(&mut set);
        assert_eq!(set.len(), 40, "each wakes the loop at its end");
        sched.run().unwrap();
        assert_eq!(children(), (0, 0));
    });
}

#[test]
fn of_many_dropped_children_64_are_watched_and_the_others_are_asked() {
    let (kernel, lines) = kernel();
    kernel.run(|| {
        let mut sched = Scheduler::new();
        drop((0..300).map(|_| nap()).collect::<Vec<_>>());
        assert_eq!(with(|kernel| kernel.pidfds()), Some(0), "a drop opens none");
        (0..20).for_each(|_| assert!(sched.turn(Some(Duration::ZERO)).is_ok()));
        assert_eq!(with(|kernel| kernel.pidfds()), Some(64));
        let before = count(&lines, "waitpid");
        sched.turn(Some(Duration::ZERO)).unwrap();
        assert!(
            count(&lines, "waitpid") <= before + 32,
            "as many as there are"
        );
        sched.block_on(sleep(100 * SECOND)).unwrap();
        for _ in 0..100 {
            sched.turn(Some(Duration::ZERO)).unwrap();
        }
        assert_eq!(children(), (0, 0));
        assert_eq!(with(|kernel| kernel.pidfds()), Some(0));
    });
}

#[test]
fn a_dropped_child_outlives_the_scheduler_that_watches_it() {
    let (kernel, _) = kernel();
    kernel.run(|| {
        let mut sched = Scheduler::new();
        (0..100).for_each(|_| drop(nap()));
        (0..20).for_each(|_| assert!(sched.turn(Some(Duration::ZERO)).is_ok()));
        drop(sched);
        let mut sched = Scheduler::new();
        sched.block_on(sleep(100 * SECOND)).unwrap();
        for _ in 0..20 {
            sched.turn(Some(Duration::ZERO)).unwrap();
        }
        assert_eq!(children(), (0, 0));
    });
}

#[test]
fn hidden_watches_neither_end_a_stall_nor_keep_a_run_going() {
    let (kernel, _) = kernel();
    kernel.run(|| {
        let mut sched = Scheduler::new();
        drop(nap());
        sched.run().unwrap();
        assert_eq!(sched.turn(None).unwrap(), 0);
        assert_eq!(children(), (1, 0), "it was not waited for");
        let never = sched.spawn(sleep(Duration::MAX), |task| done(task.ok()?));
        let error = sched.run().unwrap_err();
        assert!(error.to_string().starts_with("stalled"), "{error}");
        drop(never);
    });
}

#[test]
fn a_first_of_many_exits_again_and_again_opens_each_pidfd_once() {
    let (kernel, lines) = kernel();
    kernel.run(|| {
        const COUNT: usize = 30;
        let pipes: Vec<_> = (0..COUNT).map(|_| nap()).collect();
        let mut sched = Scheduler::new();
        for _ in 0..10 {
            let ops = pipes.iter().map(|pipe| pipe.exit().timeout(SECOND));
            assert!(sched.block_on(first(ops)).is_err(), "they time out");
        }
        assert_eq!(count(&lines, "pidfd_open"), COUNT);
        assert_eq!(count(&lines, "waitpid"), 0, "poll(2) has said nothing");
        sched.block_on(sleep(100 * SECOND)).unwrap();
        for pipe in &pipes {
            assert!(sched.block_on(pipe.exit()).unwrap().success());
        }
        assert_eq!(count(&lines, "pidfd_open"), COUNT);
        assert_eq!(count(&lines, "waitpid"), COUNT);
        assert_eq!(with(|kernel| kernel.pidfds()), Some(0));
    });
}

#[test]
fn of_two_thousand_dropped_children_a_turn_has_64_entries_and_no_call_more() {
    let (kernel, lines) = kernel();
    kernel.run(|| {
        drop((0..2000).map(|_| nap()).collect::<Vec<_>>());
        let mut sched = Scheduler::new();
        (0..20).for_each(|_| assert!(sched.turn(Some(Duration::ZERO)).is_ok()));
        assert_eq!(with(|kernel| kernel.pidfds()), Some(64));
        assert_eq!(with(|kernel| kernel.descriptors().len()), Some(64));
        let (before, asked) = (calls(), count(&lines, "waitpid"));
        turns(&mut sched, 1000);
        let (after, asked) = (calls(), count(&lines, "waitpid") - asked);
        assert!(asked <= 16, "{asked} in one drive");
        let polls = after.1 - before.1;
        assert_eq!(after.0 - before.0, polls + asked as u64);
        sched.block_on(sleep(100 * SECOND)).unwrap();
        while children() != (0, 0) {
            let before = count(&lines, "waitpid");
            sched.turn(Some(Duration::ZERO)).unwrap();
            let asked = count(&lines, "waitpid") - before;
            assert!(asked <= 128, "{asked}"); // those of the poll set, and two askings
        }
        assert_eq!(with(|kernel| kernel.descriptors().len()), Some(0));
    });
}

/// The simulated kernel asserts that no signal goes to the process id of a child that was reaped.
#[test]
fn no_signal_goes_to_a_group_whose_leader_was_reaped() {
    let (mut kernel, lines) = kernel();
    let acts = vec![Act::Leave(vec![Act::Sleep(60 * SECOND)])];
    let tree = Program {
        acts,
        stderr: false,
        group: true,
    };
    kernel.program("tree", tree);
    kernel.run(|| {
        let mut sched = Scheduler::new();
        let pipe = AsyncPipe::piped(Command::new("tree")).unwrap();
        sched.block_on(pipe.exit()).unwrap();
        assert_eq!(children(), (0, 1), "the leader is kept");
        pipe.signal_group(libc::SIGWINCH).unwrap();
        // The process that the leader has left in its group is killed at the end of the grace. The
        // hidden task does that, after the last handle of the pipe is dropped.
        sched.block_on(pipe.stop(SECOND)).unwrap();
        drop(pipe);
        sched.block_on(sleep(SECOND / 2)).unwrap();
        assert_eq!((children(), count(&lines, ", 9)")), ((0, 1), 0));
        sched.block_on(sleep(SECOND)).unwrap();
        assert_eq!((children(), count(&lines, ", 9)")), ((0, 0), 1));
        // With `kill_on_drop`, the drop kills the group before it lets go of the leader.
        let pipe = AsyncPipe::piped(Command::new("tree"))
            .unwrap()
            .kill_on_drop();
        sched.block_on(pipe.exit()).unwrap();
        drop(pipe);
        assert_eq!((children(), count(&lines, ", 9)")), ((0, 0), 2));
    });
}
