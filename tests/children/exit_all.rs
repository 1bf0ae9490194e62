//! Waiting for every child of a pipe.

use std::io::ErrorKind;
use std::time::Duration;

use asyncfile::{again, done, first, AsyncPipe, Op, Outcome, Scheduler};

use crate::help::{cat, code, failure, kill, reap_behind, sh, Gate};
use crate::support::{kind, put, settle, turn_until, watchdog, SHORT};

fn codes(statuses: Vec<std::process::ExitStatus>) -> Vec<i32> {
    statuses.into_iter().map(code).collect()
}

/// found/c8: communicate and exit wait for the last stage alone.
#[test]
fn it_waits_for_a_stage_that_outlives_the_last_one() {
    let _watchdog = watchdog();
    let gate = Gate::new();
    let slow = format!("trap '' PIPE; echo x; exec >&-; read line < {gate}; exit 7");
    let chain = AsyncPipe::pipeline([sh(&slow), sh("head -n 1")]).unwrap();
    let mut sched = Scheduler::new();
    sched.block_on(chain.communicate(())).unwrap();
    assert_eq!(chain.statuses()[0], None);
    assert_eq!(
        kind(sched.block_on(chain.exit_all().timeout(SHORT))),
        ErrorKind::TimedOut
    );
    let mut answers = 0;
    let all = sched.spawn(chain.exit_all(), move |task| {
        answers += 1;
        assert_eq!(codes(task.exits()?), [7, 0]);
        assert_eq!(
            codes(task.exits()?),
            [7, 0],
            "it gives the same answer again"
        );
        assert!(matches!(task.outcome(), Outcome::Exits(statuses) if statuses.len() == 2));
        assert_eq!(task.exit().unwrap_err().kind(), ErrorKind::InvalidInput);
        match answers {
            1 => again(),
            _ => done(()),
        }
    });
    put(&gate.reached(&mut sched), b"\n");
    sched.join(all).unwrap();
}

#[test]
fn the_statuses_are_in_the_order_of_the_chain_whoever_ends_first() {
    let _watchdog = watchdog();
    // The others may be ignored: by nohup, or in a background job.
    let signals = [
        libc::SIGKILL,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGALRM,
        libc::SIGTERM,
    ];
    for last_first in [false, true] {
        let chain = AsyncPipe::pipeline([(); 5].map(|()| sh("exec sleep 600"))).unwrap();
        let mut sched = Scheduler::new();
        let all = sched.spawn(chain.exit_all(), |task| done(task.exits()?));
        settle(&mut sched);
        let mut ids: Vec<_> = chain.ids().into_iter().zip(signals).collect();
        if last_first {
            ids.reverse();
        }
        for (id, signal) in ids {
            assert!(!all.is_finished());
            kill(id, signal);
            turn_until(&mut sched, || {
                chain
                    .statuses()
                    .iter()
                    .filter(|status| status.is_some())
                    .count()
                    >= 1
            });
        }
        assert_eq!(
            codes(sched.join(all).unwrap()),
            signals.map(|signal| -signal)
        );
    }
}

#[test]
fn of_one_child_it_is_that_ones() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let pipe = AsyncPipe::piped(sh("exit 3")).unwrap();
    assert_eq!(codes(sched.block_on(pipe.exit_all()).unwrap()), [3]);
    assert_eq!(
        codes(sched.block_on(pipe.exit_all()).unwrap()),
        [3],
        "also after the end"
    );
}

#[test]
fn a_child_that_somebody_else_has_reaped_is_an_error_that_names_its_position() {
    let _watchdog = watchdog();
    let chain = AsyncPipe::pipeline([(); 3].map(|()| sh("exec sleep 600"))).unwrap();
    let mut sched = Scheduler::new();
    let all = sched.spawn(chain.exit_all(), |task| done(task.exits()?));
    settle(&mut sched);
    let ids = chain.ids();
    ids.iter().for_each(|id| kill(*id, libc::SIGKILL));
    reap_behind(ids[1]);
    let error = std::io::Error::from(sched.join(all).unwrap_err());
    let expected = format!(
        "exit_all: the status of child {}, stage 2, is unknown: somebody else has reaped it",
        ids[1]
    );
    assert_eq!(
        (error.kind(), error.to_string()),
        (ErrorKind::Other, expected)
    );
    // The others' statuses are there.
    let known: Vec<_> = chain
        .statuses()
        .into_iter()
        .map(|status| status.map(code))
        .collect();
    assert_eq!(known, [Some(-9), None, Some(-9)]);
    assert_eq!(
        failure(&mut sched, chain.exit_all()).0.kind(),
        ErrorKind::Other
    );
}

#[test]
fn as_a_loser_it_has_no_effect() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let pipe = cat();
    for _ in 0..3 {
        let ops = [
            Op::from(pipe.exit_all()),
            asyncfile::sleep(Duration::from_millis(1)).into(),
        ];
        assert_eq!(sched.block_on(first(ops)).unwrap(), 1);
    }
    let output = sched.block_on(pipe.communicate("still there")).unwrap();
    assert_eq!(output.stdout, b"still there");
    assert_eq!(sched.block_on(first([pipe.exit_all()])).unwrap(), 0);
}
