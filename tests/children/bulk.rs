//! Much data, both ways at once; children that read nothing, half, or late. Gotchas 14 to 16.

use std::rc::Rc;

use asyncfile::{done, wait, yield_now, Scheduler};

use crate::help::{
    assert_output, assert_pattern, cat, pattern, spawn, spawn_with_stderr, Comparison,
};
use crate::support::watchdog;

const MIB: usize = 1 << 20;

#[test]
fn communicate_moves_256_mib_through_cat_both_ways() {
    let _watchdog = watchdog();
    let output = Scheduler::new()
        .block_on(cat().communicate(pattern(256 * MIB)))
        .unwrap();
    assert!(output.status.success());
    assert_pattern(&output.stdout, 256 * MIB);
}

#[test]
fn a_feeder_and_a_reader_move_256_mib_through_cat_both_ways() {
    let _watchdog = watchdog();
    // The block's length is a multiple of the pattern's period: one after the other they are the
    // pattern.
    let block: Rc<[u8]> = pattern(251 * 1024).into();
    let total = 256 * MIB;
    let pipe = cat();
    let mut sched = Scheduler::new();
    let (stdin, mut fed) = (pipe.stdin().unwrap().clone(), 0);
    let feeder = sched.spawn(yield_now(), move |task| {
        task.ok()?;
        if fed >= total {
            stdin.close();
            return done(fed);
        }
        fed += block.len();
        wait(stdin.write(Rc::clone(&block)).full())
    });
    let mut comparison = Comparison::new();
    let reader = sched.spawn(pipe.read(MIB), {
        let pipe = pipe.clone();
        move |task| match task.bytes()? {
            [] => done(comparison.len),
            bytes => {
                comparison.add(bytes);
                wait(pipe.read(MIB))
            }
        }
    });
    let fed = sched.join(feeder).unwrap();
    assert!(fed >= total);
    assert_eq!(sched.join(reader).unwrap(), fed);
    assert!(sched.block_on(pipe.exit()).unwrap().success());
}

#[test]
fn a_mebibyte_to_stdout_and_to_stderr_at_once_is_collected_apart() {
    let _watchdog = watchdog();
    let pipe = spawn_with_stderr(
        "head -c 1048576 /dev/zero | tr '\\0' o & head -c 1048576 /dev/zero | tr '\\0' e >&2; wait",
    );
    let output = Scheduler::new().block_on(pipe.communicate(())).unwrap();
    assert!(output.stdout == vec![b'o'; MIB]);
    assert!(output.stderr == vec![b'e'; MIB]);
}

#[test]
fn one_stream_after_the_other_is_collected_in_either_order() {
    let _watchdog = watchdog();
    let (out, err) = ("head -c 1048576 /dev/zero", "head -c 1048576 /dev/zero >&2");
    for script in [
        format!("{out}; {err}; {out}; {err}"),
        format!("{err}; {out}; {err}; {out}"),
    ] {
        let output = Scheduler::new()
            .block_on(spawn_with_stderr(&script).communicate(pattern(MIB)))
            .unwrap();
        assert_eq!(
            (output.stdout.len(), output.stderr.len()),
            (2 * MIB, 2 * MIB)
        );
    }
}

#[test]
fn a_child_that_reads_nothing_is_no_error() {
    let _watchdog = watchdog();
    for (script, code, stdout) in [
        ("exit 3", 3, ""),
        ("exec <&-; echo closed; exit 4", 4, "closed\n"),
        ("echo one; echo two", 0, "one\ntwo\n"),
    ] {
        let output = Scheduler::new()
            .block_on(spawn_with_stderr(script).communicate(pattern(MIB)))
            .unwrap();
        assert_output(&output, code, stdout, "");
    }
}

#[test]
fn a_child_that_reads_half_is_no_error() {
    let _watchdog = watchdog();
    let half = MIB / 2;
    let pipe = spawn(&format!("head -c {half}"));
    let output = Scheduler::new()
        .block_on(pipe.communicate(pattern(MIB)))
        .unwrap();
    assert_pattern(&output.stdout, half);

    // It lives on with its stdin closed.
    let pipe = spawn(&format!(
        "head -c {half} | wc -c; exec <&-; echo done; exit 5"
    ));
    let output = Scheduler::new()
        .block_on(pipe.communicate(pattern(MIB)))
        .unwrap();
    assert_output(&output, 5, &format!("{half}\ndone\n"), "");
}

#[test]
fn a_child_that_reads_late_has_all_of_it() {
    let _watchdog = watchdog();
    let pipe = spawn_with_stderr("head -c 1048576 /dev/zero >&2; head -c 1048576 /dev/zero; cat");
    let output = Scheduler::new()
        .block_on(pipe.communicate(pattern(MIB)))
        .unwrap();
    assert_eq!(output.stderr.len(), MIB);
    assert!(output.stdout[..MIB].iter().all(|&byte| byte == 0));
    assert_pattern(&output.stdout[MIB..], MIB);
}

#[test]
fn a_child_that_reads_a_byte_at_a_time_has_all_of_it() {
    let _watchdog = watchdog();
    let pipe = spawn("dd bs=1 2>&-");
    let output = Scheduler::new()
        .block_on(pipe.communicate(pattern(200_000)))
        .unwrap();
    assert_pattern(&output.stdout, 200_000);
}
