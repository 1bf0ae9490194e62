//! What a child costs beside what it costs with std: every system call, counted by ptrace(2).

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use asyncfile::{first, AsyncPipe, Scheduler};

use crate::descriptors::{alone, guard, Test};

const DATA: [u8; 100] = [b'x'; 100];

/// How many system calls `run` makes, in a fork of this process. Those of the children that it
/// starts are not counted.
fn system_calls(run: impl FnOnce()) -> usize {
    // SAFETY: the other threads of this process sleep and hold no lock that the fork would take.
    let id = unsafe { libc::fork() };
    assert!(id >= 0);
    if id == 0 {
        // SAFETY: takes no pointer that is looked at; the fork stops here until it is traced.
        unsafe {
            libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
            libc::raise(libc::SIGSTOP);
        }
        run();
        // SAFETY: ends the fork without the rest of the test.
        unsafe { libc::_exit(0) };
    }
    let (mut stops, mut status) = (0, 0);
    let wait = |status: &mut i32| {
        // SAFETY: the pointer is to a live int.
        assert_eq!(unsafe { libc::waitpid(id, status, 0) }, id);
    };
    wait(&mut status);
    loop {
        let is_call = libc::WSTOPSIG(status) == libc::SIGTRAP | 0x80;
        let signal = match libc::WSTOPSIG(status) {
            libc::SIGSTOP | libc::SIGTRAP => 0,
            _ if is_call => 0,
            signal => signal,
        };
        stops += usize::from(is_call);
        // SAFETY: no pointers.
        unsafe {
            libc::ptrace(libc::PTRACE_SETOPTIONS, id, 0, libc::PTRACE_O_TRACESYSGOOD);
            assert_eq!(libc::ptrace(libc::PTRACE_SYSCALL, id, 0, signal), 0);
        }
        wait(&mut status);
        if libc::WIFEXITED(status) {
            assert_eq!(libc::WEXITSTATUS(status), 0);
            return stops / 2; // one at the beginning of a call, one at its end
        }
    }
}

/// A child more, when the first ones have warmed up what is made once.
fn of_ten(run: impl Fn(usize)) -> usize {
    system_calls(|| run(20)) - system_calls(|| run(10))
}

/// Each child ends in its turn, and a `first` of the exits of all that are left waits for it.
fn end_one_by_one(count: usize) {
    let mut pipes: Vec<_> = std::iter::repeat_with(|| AsyncPipe::piped(Command::new("/bin/cat")))
        .take(count)
        .collect::<Result<_, _>>()
        .unwrap();
    let mut sched = Scheduler::new();
    while !pipes.is_empty() {
        pipes[pipes.len() / 2].close_stdin();
        let exits: Vec<_> = pipes.iter().map(AsyncPipe::exit).collect();
        let ended = sched.block_on(first(exits)).unwrap();
        pipes.remove(ended);
    }
}

#[test]
fn a_first_of_the_exits_of_many_children_costs_each_child_the_same() -> Test {
    alone(|| {
        let _guard = guard();
        let calls = [10, 20, 40].map(|count| system_calls(|| end_one_by_one(count)));
        let each = [(calls[1] - calls[0]) / 10, (calls[2] - calls[1]) / 20];
        assert!(each[1] <= each[0] + 1, "calls of one more child: {each:?}");
        Ok(())
    })
}

#[test]
fn a_child_that_is_fed_read_and_reaped_costs_at_most_five_calls_more_than_stds() -> Test {
    alone(|| {
        let _guard = guard();
        let std = of_ten(|count| {
            for _ in 0..count {
                let mut command = Command::new("/bin/cat");
                command.stdin(Stdio::piped()).stdout(Stdio::piped());
                let mut child = command.spawn().unwrap();
                child.stdin.take().unwrap().write_all(&DATA).unwrap();
                let mut data = Vec::new();
                child.stdout.take().unwrap().read_to_end(&mut data).unwrap();
                assert!(child.wait().unwrap().success() && data == DATA);
            }
        });
        let ours = of_ten(|count| {
            let mut sched = Scheduler::new();
            for _ in 0..count {
                let pipe = AsyncPipe::piped(Command::new("/bin/cat")).unwrap();
                let output = sched.block_on(pipe.communicate(&DATA[..])).unwrap();
                assert!(output.status.success() && output.stdout == DATA);
            }
        });
        assert!(std >= 150, "{std} calls for ten of std's children");
        assert!(
            ours <= std + 50,
            "{ours} calls for ten children, {std} for std's"
        );
        Ok(())
    })
}
