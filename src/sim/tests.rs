use std::io;
use std::os::unix::io::RawFd;
use std::process::Command;
use std::time::Duration;

use super::{now, with, Act, Faults, Guise, Kernel, Passed, Program};
use crate::sys;
use crate::{again, done, first, sleep, ticks, wait};
use crate::{AsyncFile, AsyncPipe, End, Op, OperationError, Scheduler};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn kernel() -> Kernel {
    Kernel::new(|_| 0)
}

/// A kernel in which every fault happens whose rate in `faults` is not 0.
fn unlucky() -> Kernel {
    Kernel::new(|below| below - 1)
}

fn file(fd: RawFd) -> AsyncFile {
    AsyncFile::new(sys::owned(fd)).unwrap()
}

#[test]
fn a_trickle_does_not_extend_a_deadline() {
    let mut kernel = kernel();
    let trickle = (1..100).flat_map(|_| [Act::Sleep(SECOND), Act::Write(0, b"x".to_vec())]);
    let fd = kernel.reader(4096, trickle.collect());
    let (kernel, (line, held)) = kernel.run(|| {
        let file = file(fd);
        let line = Scheduler::new().block_on(file.readline().timeout(SECOND * 5 / 2));
        (line.unwrap_err().kind(), file.buffered())
    });
    assert_eq!((line, held), (io::ErrorKind::TimedOut, 2));
    assert_eq!(kernel.time(), SECOND * 5 / 2, "to the instant");
}

#[test]
fn data_beats_the_deadline_of_the_same_turn() {
    let mut kernel = kernel();
    let fd = kernel.reader(
        4096,
        vec![
            Act::Sleep(SECOND),
            Act::Write(0, b"just in time\n".to_vec()),
        ],
    );
    let (_, line) = kernel.run(|| Scheduler::new().block_on(file(fd).readline().timeout(SECOND)));
    assert_eq!(line.unwrap().unwrap(), b"just in time\n");
}

#[test]
fn a_timeout_of_zero_gets_what_is_there_and_no_more() {
    let mut kernel = kernel();
    let acts = vec![
        Act::Write(0, b"now".to_vec()),
        Act::Sleep(SECOND),
        Act::Write(0, b"later".to_vec()),
    ];
    let fd = kernel.reader(4096, acts);
    let (kernel, ends) = kernel.run(|| {
        let file = file(fd);
        let mut sched = Scheduler::new();
        let mut ends = Vec::new();
        let task = sched.spawn(file.read(9).full().timeout(Duration::ZERO), move |task| {
            ends.push((task.end(), task.bytes().map_or(0, <[u8]>::len)));
            if ends.len() < 2 {
                wait(file.read(9).full().timeout(Duration::ZERO))
            } else {
                done(ends.clone())
            }
        });
        sched.join(task).unwrap()
    });
    assert_eq!(ends, [(End::TimedOut, 3), (End::TimedOut, 0)]);
    assert_eq!(kernel.time(), Duration::ZERO);
}

#[test]
fn a_hundred_thousand_sleeps_take_as_long_as_the_longest() {
    let (kernel, ()) = kernel().run(|| {
        let mut sched = Scheduler::new();
        for n in 0..100_000_u64 {
            sched.spawn(sleep(Duration::from_millis(n * 7919 % 1000)), |task| {
                task.ok()?;
                done(())
            });
        }
        sched.run().unwrap();
    });
    assert_eq!(kernel.time(), Duration::from_millis(999));
    assert!(
        kernel.polls <= 1001,
        "one poll for each moment at which somebody wakes: {}",
        kernel.polls
    );
}

#[test]
fn numbers_are_the_lowest_free_ones_and_closing_is_seen() {
    let mut kernel = kernel();
    let (reader, writer) = kernel.pipe(4096);
    assert_eq!((reader, writer), (1000, 1001));
    let (mut kernel, ()) = kernel.run(|| {
        let reader = file(reader);
        with(|kernel| assert_ne!(kernel.flags(1000) & libc::O_NONBLOCK, 0));
        reader.close();
        assert_eq!(with(|kernel| kernel.pipe(4096)), Some((1000, 1002)));
        assert_eq!(
            sys::write(writer, b"x").unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
    });
    assert_eq!(kernel.descriptors(), [1000, 1001, 1002]);
    assert_eq!(kernel.changed_flags(), 0, "put back before it was closed");
    kernel.close_behind(1001);
    assert_eq!(kernel.regular(Vec::new()), 1001);
}

#[test]
fn a_call_that_would_block_is_a_broken_promise() {
    let mut kernel = kernel();
    let (reader, writer) = kernel.pipe(4096);
    let (_, panics) = kernel.run(|| {
        let read = std::panic::catch_unwind(|| sys::read(reader, &mut [0])).unwrap_err();
        assert!(sys::write(writer, &[0; 4096]).is_ok());
        let write = std::panic::catch_unwind(|| sys::write(writer, &[0])).unwrap_err();
        let poll = std::panic::catch_unwind(|| {
            let mut set = [libc::pollfd {
                fd: writer,
                events: libc::POLLOUT,
                revents: 0,
            }];
            sys::poll(&mut set, sys::Wait::Forever)
        });
        [read, write, poll.unwrap_err()].map(|panic| *panic.downcast::<String>().unwrap())
    });
    assert_eq!(panics[0], "the library would block in read on fd 1000");
    assert_eq!(panics[1], "the library would block in write on fd 1001");
    assert!(
        panics[2].starts_with("poll sleeps for ever: [fd 1001 OUT"),
        "{}",
        panics[2]
    );
}

#[test]
fn a_kernel_is_gone_after_a_panic() {
    let caught = std::panic::catch_unwind(|| kernel().run(|| panic!("on purpose")));
    assert!(caught.is_err());
    assert!(with(|_| ()).is_none());
}

#[test]
fn a_loop_that_spins_is_told() {
    let mut kernel = kernel();
    kernel.most_calls = 10;
    let fd = kernel.regular(Vec::new());
    let (_, panic) = kernel.run(|| {
        let spin = || loop {
            let _ = sys::read(fd, &mut [0]);
        };
        std::panic::catch_unwind(spin)
            .map(|never: ()| never)
            .unwrap_err()
            .downcast::<String>()
            .unwrap()
    });
    assert!(panic.starts_with("the loop spins"), "{panic}");
}

#[test]
fn a_peer_that_closes_with_unread_bytes_resets_once() {
    let mut kernel = kernel();
    let fd = kernel.socket(
        4096,
        vec![Act::Write(0, b"rest".to_vec()), Act::Sleep(SECOND)],
    );
    let (kernel, ()) = kernel.run(|| {
        assert_eq!(sys::send(fd, b"unread").unwrap(), 6);
        let mut set = [libc::pollfd {
            fd,
            events: 0,
            revents: 0,
        }];
        sys::poll(&mut set, sys::Wait::Forever).unwrap();
        assert_eq!(set[0].revents, libc::POLLHUP | libc::POLLERR);
        assert_eq!(
            sys::send(fd, b"x").unwrap_err().raw_os_error(),
            Some(libc::EPIPE)
        );
        assert_eq!(sys::recv(fd, &mut [0; 9]).unwrap(), 4);
        assert_eq!(
            sys::recv(fd, &mut [0; 9]).unwrap_err().raw_os_error(),
            Some(libc::ECONNRESET)
        );
        assert_eq!(sys::recv(fd, &mut [0; 9]).unwrap(), 0);
    });
    assert_eq!(kernel.time(), SECOND);
}

#[test]
fn the_same_choices_replay_the_same_run() {
    let run = |seed| {
        let (kernel, lines) = chatter(seed, &[Act::Sleep(SECOND), Act::Copy { from: 0, to: 1 }]);
        (kernel.calls, kernel.injected, lines)
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

/// A function that returns numbers below its argument, from a seed: Knuth's MMIX generator.
fn choose(seed: u64) -> impl FnMut(u32) -> u32 {
    let mut state = seed;
    move |below| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32 % below
    }
}

/// Talks to a child with all faults. Returns the trace.
fn chatter(seed: u64, acts: &[Act]) -> (Kernel, Vec<String>) {
    let mut chooser = choose(seed);
    let faults = Faults::swarm(&mut chooser);
    let mut kernel = Kernel::new(chooser);
    kernel.faults = faults;
    kernel.most_calls = 100_000;
    let lines = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let log = std::rc::Rc::clone(&lines);
    kernel.trace(move |line| log.borrow_mut().push(line.to_owned()));
    kernel.program(
        "child",
        Program {
            acts: acts.to_vec(),
            stderr: true,
            group: false,
        },
    );
    let (kernel, ()) = kernel.run(|| {
        let mut sched = Scheduler::new();
        let pipe = AsyncPipe::piped(&mut Command::new("child"));
        if let Ok(pipe) = &pipe {
            let _ = sched.block_on(pipe.communicate(vec![b'x'; 100_000]).timeout(SECOND * 10));
        }
        drop(pipe);
        with(Kernel::finale);
        let _ = sched.turn(Some(Duration::ZERO)); // reaps
    });
    assert_eq!(kernel.children(), (0, 0), "seed {seed}");
    assert_eq!(kernel.descriptors(), [0; 0], "seed {seed}");
    assert_eq!(kernel.changed_flags(), 0, "seed {seed}");
    assert_eq!(kernel.bad_closes(), 0, "seed {seed}");
    let lines = lines.take();
    (kernel, lines)
}

#[test]
fn whatever_goes_wrong_nothing_is_left() {
    for seed in 0..300 {
        chatter(
            seed,
            &[
                Act::Copy { from: 0, to: 1 },
                Act::Write(2, b"done".to_vec()),
                Act::Exit(3),
            ],
        );
        let leave = Act::Leave(vec![
            Act::Sleep(SECOND * 3),
            Act::Write(1, b"late".to_vec()),
        ]);
        chatter(seed, &[Act::Read(0, 10), Act::Close(0), leave]);
    }
}

#[test]
fn a_duplicate_never_blocks_and_never_changes_flags() {
    for seed in 0..300 {
        let mut chooser = choose(seed);
        let mut faults = Faults::swarm(&mut chooser);
        // The tasks below do not survive these faults.
        (
            faults.read_eio,
            faults.read_enomem,
            faults.write_eio,
            faults.write_enomem,
        ) = (0, 0, 0, 0);
        (
            faults.poll_enomem,
            faults.poll_eagain,
            faults.dup_emfile,
            faults.stat_enomem,
        ) = (0, 0, 0, 0);
        let mut kernel = Kernel::new(chooser);
        kernel.faults = faults;
        let acts = (0..50).flat_map(|n| {
            [
                Act::Write(0, vec![n; 700]),
                Act::Sleep(Duration::from_millis(1)),
            ]
        });
        let fds = [
            kernel.reader(4096, acts.collect()),
            kernel.writer(
                4096,
                vec![
                    Act::Sleep(SECOND),
                    Act::Read(0, 9),
                    Act::Sleep(SECOND),
                    Act::Drain(0),
                ],
            ),
        ];
        let (kernel, ()) = kernel.run(|| {
            let [reader, writer] = fds.map(|fd| {
                let shared = std::mem::ManuallyDrop::new(sys::owned(fd));
                AsyncFile::duplicate(&*shared).unwrap()
            });
            let mut sched = Scheduler::new();
            let write = sched.spawn(writer.write(vec![1; 30_000]).full(), |task| {
                done(task.written()?)
            });
            assert_eq!(
                sched.block_on(reader.read_to_end()).unwrap().len(),
                35_000,
                "seed {seed}"
            );
            assert_eq!(sched.join(write).unwrap(), 30_000, "seed {seed}");
        });
        assert_eq!(
            (kernel.descriptors(), kernel.changed_flags()),
            (fds.to_vec(), 0),
            "seed {seed}"
        );
        assert!(
            fds.iter()
                .all(|&fd| kernel.flags(fd) & libc::O_NONBLOCK == 0),
            "seed {seed}"
        );
    }
}

/// A kernel in which second users are faster than the library this many times, and then take all
/// bytes.
fn raced(times: u32) -> Kernel {
    let mut left = times;
    let mut kernel = Kernel::new(move |below| {
        let is_faster = below == 256 && left > 0;
        left -= u32::from(is_faster);
        u32::from(is_faster) * 255
    });
    (
        kernel.faults.second_user_reads,
        kernel.faults.second_user_writes,
    ) = (1, 1);
    kernel
}

#[test]
fn what_a_second_user_reads_is_gone_and_the_reader_waits_for_more() {
    for times in 0..3 {
        let mut kernel = raced(times);
        let (first, next, last) = (b"one\n".to_vec(), b"two\n".to_vec(), b"three\n".to_vec());
        let acts = [first, next, last]
            .into_iter()
            .flat_map(|line| [Act::Write(0, line), Act::Sleep(SECOND)]);
        let fd = kernel.reader(4096, acts.collect());
        kernel.share(fd, vec![Act::Sleep(SECOND * 9)]);
        let (mut kernel, line) = kernel.run(|| Scheduler::new().block_on(file(fd).readline()));
        let expected = [&b"one\n"[..], b"two\n", b"three\n"];
        assert_eq!(line.unwrap().unwrap(), expected[times as usize]);
        assert_eq!(kernel.time(), SECOND * times, "it came when it was written");
        let taken = kernel.take_passed().into_iter();
        let taken = taken.filter(|(_, passed)| matches!(passed, Passed::ReadByAnother(_)));
        assert_eq!(taken.count(), times as usize);
    }
}

/// The documentation of `duplicate` says that a call can block where a second user is faster. The
/// second user here leaves enough that no call blocks.
#[test]
fn a_second_user_leaves_a_byte_or_a_page_where_the_call_would_wait() {
    let mut kernel = raced(3);
    let reader = kernel.reader(4096, vec![Act::Write(0, b"taken\n".to_vec())]);
    let writer = kernel.writer(3 * 4096, vec![Act::Sleep(SECOND), Act::Drain(0)]);
    for fd in [reader, writer] {
        kernel.share(fd, vec![Act::Sleep(SECOND)]);
    }
    kernel.faults.nowait_unsupported = 255; // drawn at the first read, which is the second user's
    let (mut kernel, (line, written)) = kernel.run(|| {
        let [reader, writer] = [reader, writer].map(|fd| {
            let shared = std::mem::ManuallyDrop::new(sys::owned(fd));
            AsyncFile::duplicate(&*shared).unwrap()
        });
        let mut sched = Scheduler::new();
        let line = sched.block_on(reader.readline()).unwrap();
        (line, sched.block_on(writer.write(vec![0; 5000])).unwrap())
    });
    assert_eq!((line.as_deref(), written), (Some(&b"\n"[..]), 4096));
    let sizes = kernel
        .take_passed()
        .into_iter()
        .map(|(_, passed)| match passed {
            Passed::Read(bytes)
            | Passed::Written(bytes)
            | Passed::ReadByAnother(bytes)
            | Passed::WrittenByAnother(bytes) => bytes.len(),
            Passed::Message { .. } | Passed::Lost | Passed::ShutDown => unreachable!("of sockets"),
        });
    assert_eq!(sizes.collect::<Vec<_>>(), [5, 1, 2 * 4096, 4096]);
}

#[test]
fn room_that_a_second_user_takes_is_waited_for_again() {
    let mut kernel = raced(3);
    let fd = kernel.writer(4096, vec![Act::Sleep(SECOND), Act::Drain(0)]);
    kernel.share(fd, vec![Act::Sleep(SECOND * 9)]);
    let (mut kernel, written) = kernel.run(|| {
        let file = file(fd);
        Scheduler::new().block_on(file.write(vec![7; 10_000]).full())
    });
    assert_eq!(written.unwrap(), 10_000);
    let (mut ours, mut others) = (0, 0);
    for (_, passed) in kernel.take_passed() {
        match passed {
            Passed::Written(bytes) => ours += bytes.len(),
            Passed::WrittenByAnother(bytes) => others += bytes.len(),
            passed => panic!("{passed:?}"),
        }
    }
    assert_eq!((ours, others), (10_000, 3 * 4096));
}

#[test]
fn a_duplicate_is_not_read_unasked_where_there_is_no_nowait() {
    // The second reader comes to the front in the turn of its own deadline: poll(2) was not asked
    // on its behalf.
    let mut kernel = unlucky();
    kernel.faults.nowait_unsupported = 255;
    let fd = kernel.reader(
        4096,
        vec![Act::Sleep(SECOND * 2), Act::Write(0, b"late".to_vec())],
    );
    let (_, (ends, late)) = kernel.run(|| {
        let shared = std::mem::ManuallyDrop::new(sys::owned(fd));
        let file = AsyncFile::duplicate(&*shared).unwrap();
        let mut sched = Scheduler::new();
        let reads =
            [0, 1].map(|_| sched.spawn(file.read(4).timeout(SECOND), |task| done(task.end())));
        let ends = reads.map(|read| sched.join(read).unwrap());
        (ends, sched.block_on(file.read(4)).unwrap())
    });
    assert_eq!((ends, late), ([End::TimedOut; 2], b"late".to_vec()));
}

fn cat() -> Program {
    Program {
        acts: vec![Act::Copy { from: 0, to: 1 }, Act::Exit(3)],
        stderr: false,
        group: false,
    }
}

#[test]
fn a_simulated_cat_is_talked_to() {
    let mut kernel = kernel();
    kernel.program("cat", cat());
    let (kernel, ()) = kernel.run(|| {
        let pipe = AsyncPipe::piped(&mut Command::new("cat")).unwrap();
        let bytes: Vec<u8> = (0..300_000).map(|n| n as u8).collect();
        let output = Scheduler::new().block_on(pipe.communicate(&bytes)).unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert!(output.stdout == bytes);
    });
    assert_eq!((kernel.children(), kernel.descriptors().len()), ((0, 0), 0));
    assert_eq!(kernel.time(), Duration::ZERO);
}

#[test]
fn a_pipeline_of_simulated_children_hands_on() {
    let mut kernel = kernel();
    kernel.program("cat", cat());
    let (kernel, ()) = kernel.run(|| {
        let pipe = AsyncPipe::pipeline(["cat", "cat", "cat"].map(Command::new)).unwrap();
        let output = Scheduler::new()
            .block_on(pipe.communicate("through three"))
            .unwrap();
        assert_eq!(output.stdout, b"through three");
        assert_eq!(pipe.statuses().len(), 3);
        let error = AsyncPipe::pipeline(["cat", "dog"].map(Command::new)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    });
    assert_eq!((kernel.children(), kernel.descriptors().len()), ((0, 0), 0));
}

#[test]
fn an_exit_is_waited_for_in_virtual_time() {
    for pidfds in [true, false] {
        let mut kernel = unlucky();
        kernel.faults.pidfd_enosys = if pidfds { 0 } else { 255 };
        kernel.program(
            "nap",
            Program {
                acts: vec![Act::Sleep(SECOND * 3600), Act::Exit(7)],
                stderr: false,
                group: false,
            },
        );
        let (kernel, code) = kernel.run(|| {
            let pipe = AsyncPipe::piped(&mut Command::new("nap")).unwrap();
            let early = Scheduler::new()
                .block_on(pipe.exit().timeout(SECOND))
                .unwrap_err();
            assert_eq!(early.kind(), io::ErrorKind::TimedOut);
            // A wait with a deadline checks the child as often as one without.
            Scheduler::new()
                .block_on(pipe.exit().timeout(SECOND * 7200))
                .unwrap()
                .code()
        });
        assert_eq!(code, Some(7));
        assert_eq!(kernel.injected.contains_key("pidfd_open ENOSYS"), !pidfds);
        let late = kernel.time() - SECOND * 3600;
        assert!(
            late <= Duration::from_millis(if pidfds { 0 } else { 64 }),
            "{late:?}"
        );
        if pidfds {
            assert!(
                kernel.polls <= 4,
                "asleep until there is something to do: {} polls",
                kernel.polls
            );
        }
    }
}

#[test]
fn a_child_that_somebody_else_has_reaped_has_no_status() {
    let mut kernel = unlucky();
    kernel.faults.wait_echild = 255;
    kernel.program(
        "true",
        Program {
            acts: Vec::new(),
            stderr: false,
            group: false,
        },
    );
    let (kernel, error) = kernel.run(|| {
        let pipe = AsyncPipe::piped(&mut Command::new("true")).unwrap();
        Scheduler::new().block_on(pipe.exit()).unwrap_err()
    });
    assert!(error.to_string().contains("unknown"), "{error}");
    assert_eq!(kernel.children(), (0, 0));
}

#[test]
fn a_wait_that_a_sandbox_refuses_says_nothing_of_other_reapers() {
    let mut kernel = unlucky();
    kernel.faults.wait_eperm = 255;
    let program = Program {
        acts: Vec::new(),
        stderr: false,
        group: false,
    };
    kernel.program("true", program);
    let (kernel, status) = kernel.run(|| {
        let pipe = AsyncPipe::piped(&mut Command::new("true")).unwrap();
        let mut sched = Scheduler::new();
        let error = sched.block_on(pipe.exit()).unwrap_err();
        let error = crate::OperationError::of(&error).unwrap();
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
        with(|kernel| kernel.faults = Faults::none());
        sched.block_on(pipe.exit()).unwrap()
    });
    assert!(status.success());
    assert_eq!(kernel.children(), (0, 0));
}

#[test]
fn an_error_queue_costs_each_operation_two_polls_and_two_calls() {
    let mut kernel = kernel();
    let fd = kernel.socket(
        4096,
        vec![Act::Sleep(SECOND), Act::Write(0, b"late".to_vec())],
    );
    kernel.set_error_queue(fd, true);
    let (_, bytes) = kernel.run(|| {
        let file = file(fd);
        let mut sched = Scheduler::new();
        for _ in 0..3 {
            let before = with(|kernel| (kernel.polls, kernel.reads)).unwrap();
            let error = sched.block_on(file.read(9)).unwrap_err();
            assert!(error.to_string().contains("error queue"), "{error}");
            let after = with(|kernel| (kernel.polls, kernel.reads)).unwrap();
            assert_eq!((after.0 - before.0, after.1 - before.1), (2, 2));
        }
        with(|kernel| kernel.set_error_queue(fd, false));
        sched.block_on(file.read(9)).unwrap()
    });
    assert_eq!(bytes, b"late");
}

#[test]
fn a_terminal_is_at_its_end_when_it_is_hung_up_and_not_at_an_eio_before() {
    for is_duplicate in [false, true] {
        let mut kernel = unlucky();
        kernel.faults.read_eio = 255;
        let acts = vec![Act::Write(0, b"a line\nthe rest".to_vec())];
        let fd = kernel.reader(4096, acts);
        kernel.disguise(fd, Guise::Terminal);
        let (_, ()) = kernel.run(|| {
            let open = || match is_duplicate {
                true => AsyncFile::duplicate(&*std::mem::ManuallyDrop::new(sys::owned(fd))),
                false => AsyncFile::new(sys::owned(fd)),
            };
            let file = open().unwrap();
            let mut sched = Scheduler::new();
            let error = sched.block_on(file.readline()).unwrap_err();
            let error = crate::OperationError::of(&error).unwrap();
            assert_eq!(error.raw_os_error(), Some(libc::EIO));
            with(|kernel| kernel.faults = Faults::none());
            let mut next = || sched.block_on(file.readline()).unwrap();
            assert_eq!(next().unwrap(), b"a line\n");
            assert_eq!(next().unwrap(), b"the rest");
            assert_eq!((next(), next()), (None, None));
        });
    }
}

#[test]
fn a_file_that_waits_is_polled_whatever_its_mode_says() {
    for is_duplicate in [false, true] {
        let mut kernel = kernel();
        let acts = vec![Act::Sleep(SECOND), Act::Write(0, b"late\n".to_vec())];
        let fd = kernel.reader(4096, acts);
        kernel.disguise(fd, Guise::File);
        let (kernel, line) = kernel.run(|| {
            let file = match is_duplicate {
                true => AsyncFile::duplicate(&*std::mem::ManuallyDrop::new(sys::owned(fd))),
                false => AsyncFile::new(sys::owned(fd)),
            };
            Scheduler::new().block_on(file.unwrap().readline()).unwrap()
        });
        assert_eq!(line.unwrap(), b"late\n");
        assert_eq!(kernel.time(), SECOND);
    }
}

#[test]
fn signals_stop_continue_and_end_a_child() {
    use std::os::unix::process::ExitStatusExt;
    let mut kernel = kernel();
    kernel.program("cat", cat());
    kernel.run(|| {
        let mut sched = Scheduler::new();
        let pipe = AsyncPipe::piped(&mut Command::new("cat")).unwrap();
        pipe.signal(libc::SIGSTOP).unwrap();
        sched.block_on(pipe.write("x\n")).unwrap();
        assert_eq!(
            sched
                .block_on(pipe.readline().timeout(SECOND))
                .unwrap_err()
                .kind(),
            io::ErrorKind::TimedOut
        );
        pipe.signal(libc::SIGCONT).unwrap();
        assert_eq!(sched.block_on(pipe.readline()).unwrap().unwrap(), b"x\n");
        let error = pipe.signal(77).unwrap_err();
        assert_eq!(
            OperationError::of(&error).unwrap().raw_os_error(),
            Some(libc::EINVAL)
        );
        pipe.kill().unwrap();
        assert_eq!(
            sched.block_on(pipe.exit()).unwrap().signal(),
            Some(libc::SIGKILL)
        );
    });
}

/// A million ticks of a millisecond: none is early, none is late, and none is lost. If a task is
/// busy for several ticks, the missed ones count as one, and the beat stays where it is.
#[test]
fn a_million_ticks_do_not_drift() {
    const MILLISECOND: Duration = Duration::from_millis(1);
    const TICKS: u32 = 1_000_000;
    let mut kernel = unlucky();
    kernel.most_calls = u64::MAX;
    kernel.run(|| {
        let mut sched = Scheduler::new();
        let began = now().unwrap();
        let mut count = 0;
        let beat = ticks(MILLISECOND);
        let task = sched.spawn(beat.clone(), move |task| {
            task.ok()?;
            count += 1;
            assert_eq!(now().unwrap() - began, count * MILLISECOND);
            if count < TICKS {
                again()
            } else {
                done(())
            }
        });
        sched.join(task).unwrap();
        sched.block_on(sleep(MILLISECOND * 7 / 2)).unwrap();
        sched.block_on(beat.clone()).unwrap(); // three have passed
        assert_eq!(
            now().unwrap() - began,
            TICKS * MILLISECOND + MILLISECOND * 7 / 2
        );
        sched.block_on(beat).unwrap();
        assert_eq!(now().unwrap() - began, (TICKS + 4) * MILLISECOND);
    });
}

/// A kernel whose clock jumps by three seconds at the call with this number, and at no other call.
fn jumping_at(nth: usize) -> Kernel {
    let mut chances = 0;
    let mut kernel = Kernel::new(move |below| match below {
        256 => {
            chances += 1;
            if chances == nth {
                255
            } else {
                0
            }
        }
        _ => below - 1,
    });
    kernel.faults.clock_jumps = 1;
    kernel
}

fn messages(kernel: Kernel, fd: RawFd, reads: &[(usize, Duration)]) -> Vec<(usize, End)> {
    let reads = reads.to_vec();
    let (_, ends) = kernel.run(|| {
        let (file, mut sched) = (file(fd), Scheduler::new());
        let ends = reads.iter().map(|(size, timeout)| {
            let read = file.read(*size).timeout(*timeout);
            let task = sched.spawn(read, |task| {
                let end = task.end();
                done((task.bytes().map_or(0, <[u8]>::len), end))
            });
            sched.join(task).unwrap()
        });
        ends.collect()
    });
    ends
}

/// The sender may go on, and end, between any two calls of the library.
#[test]
fn an_empty_message_is_no_end_when_its_sender_goes_on_and_ends() {
    for nth in 1..20 {
        let mut kernel = jumping_at(nth);
        let acts = vec![
            Act::Write(0, Vec::new()),
            Act::Sleep(SECOND),
            Act::Write(0, b"late".to_vec()),
        ];
        let fd = kernel.message_socket(4096, true, acts);
        let ends = messages(kernel, fd, &[(9, HOUR); 3]);
        let expected = [(0, End::Complete), (4, End::Complete), (0, End::Eof)];
        assert_eq!(ends, expected, "a jump at call {nth}");
    }
}

#[test]
fn a_long_message_is_whole_when_it_comes_at_the_last_moment() {
    for nth in 1..20 {
        for has_end in [false, true] {
            let mut kernel = jumping_at(nth);
            let acts = vec![
                Act::Sleep(SECOND),
                Act::Write(0, vec![b'x'; 100_000]),
                Act::Sleep(HOUR),
            ];
            let fd = kernel.message_socket(1 << 20, has_end, acts);
            let mut ends = messages(kernel, fd, &[(usize::MAX, SECOND / 2), (usize::MAX, HOUR)]);
            if ends[0] == (0, End::TimedOut) {
                ends.remove(0);
            }
            assert_eq!(ends[0], (100_000, End::Complete), "a jump at call {nth}");
        }
    }
}

/// A half line that is put back into the buffer does not wake a task that waits for `readiness`,
/// which ignores the buffer.
#[test]
fn readiness_beside_a_half_line_in_one_first_does_not_spin() {
    let mut kernel = kernel();
    kernel.most_calls = 100;
    let acts = vec![
        Act::Write(0, b"half a".to_vec()),
        Act::Sleep(SECOND),
        Act::Write(0, b" line\n".to_vec()),
        Act::Sleep(HOUR),
    ];
    let fd = kernel.reader(4096, acts);
    let (kernel, (which, line)) = kernel.run(|| {
        let (file, mut sched) = (file(fd), Scheduler::new());
        let half = sched.block_on(file.readline().timeout(Duration::ZERO));
        assert_eq!(half.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let both = [
            Op::from(file.readiness(libc::POLLIN)),
            file.readline().into(),
        ];
        let which = sched.block_on(first(both)).unwrap();
        (which, sched.block_on(file.readline()).unwrap())
    });
    assert_eq!((which, line.as_deref()), (0, Some(&b"half a line\n"[..])));
    assert!(kernel.polls <= 5, "{} polls", kernel.polls);
}
