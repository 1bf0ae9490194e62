//! How the library behaves in somebody else's process: descriptors that are not for children, a
//! host that forks, that has closed its standard streams, that has reached its limit, that ignores
//! SIGCHLD, that is hit by signals. All of that is the whole process's, so each test starts its
//! own.

mod descriptors;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use asyncfile::{done, sleep, AsyncFile, AsyncPipe, Scheduler};
use descriptors::{alone, guard, ms, pattern, pipe, Test};

const LONG: Duration = Duration::from_secs(60);

fn cats(count: usize) -> Vec<Command> {
    (0..count).map(|_| Command::new("cat")).collect()
}

/// The numbers of the descriptors that are open in this process.
fn open_descriptors() -> BTreeSet<RawFd> {
    // SAFETY: F_GETFD takes a number and touches no memory.
    (0..4096)
        .filter(|fd| unsafe { libc::fcntl(*fd, libc::F_GETFD) } != -1)
        .collect()
}

fn is_nonblocking(fd: &impl AsRawFd) -> bool {
    // SAFETY: F_GETFL takes a number and touches no memory.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) & libc::O_NONBLOCK != 0 }
}

/// No child is left, neither alive nor as a zombie.
#[track_caller]
fn assert_childless() {
    // SAFETY: a null status is allowed.
    let answer = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
    let error = io::Error::last_os_error();
    assert_eq!(
        (answer, error.raw_os_error()),
        (-1, Some(libc::ECHILD)),
        "0: one lives; above: that one was a zombie"
    );
}

/// What a signal does: a handler, or SIG_IGN, SIG_DFL.
fn set_signal(signal: libc::c_int, action: libc::sighandler_t, flags: libc::c_int) {
    // SAFETY: a zeroed sigaction is a valid one; the handlers of this file do only what a handler
    // may.
    let answer = unsafe {
        let mut new: libc::sigaction = std::mem::zeroed();
        new.sa_sigaction = action;
        new.sa_flags = flags;
        libc::sigaction(signal, &new, std::ptr::null_mut())
    };
    assert_eq!(answer, 0);
}

/// A conversation of each kind with children, and one with ourselves: bytes come back as they went.
fn converse() -> Test {
    let data = pattern(300_000);
    let mut sched = Scheduler::new();
    let output = sched.block_on(
        AsyncPipe::piped(&mut Command::new("cat"))?
            .communicate(&data)
            .timeout(LONG),
    )?;
    assert!(
        output.status.success() && output.stdout == data,
        "spawn: {} bytes came",
        output.stdout.len()
    );

    let output = sched.block_on(
        AsyncPipe::pipeline(cats(3))?
            .communicate(&data)
            .timeout(LONG),
    )?;
    assert!(
        output.status.success() && output.stdout == data,
        "pipeline: {} bytes came",
        output.stdout.len()
    );

    let mut both = Command::new("sh");
    both.args(["-c", "cat; echo on stderr >&2"])
        .stderr(Stdio::piped());
    let output = sched.block_on(
        AsyncPipe::piped(&mut both)?
            .communicate(&data)
            .timeout(LONG),
    )?;
    assert!(
        output.stdout == data && output.stderr == b"on stderr\n",
        "{:?}",
        String::from_utf8_lossy(&output.stderr)
    );

    let (reader, writer) = io::pipe()?;
    let (reader, writer) = (AsyncFile::new(reader)?, AsyncFile::new(writer)?);
    let writing = sched.spawn(writer.write(&data).full(), |task| done(task.written()?));
    let read = sched.block_on(reader.read(data.len()).full().timeout(LONG))?;
    assert!(read == data && sched.join(writing)? == data.len());

    let (near, far) = UnixStream::pair()?;
    let (near, far) = (AsyncFile::duplicate(&near)?, AsyncFile::new(far)?);
    sched.block_on(near.write("a line\n").full().timeout(LONG))?;
    assert_eq!(
        sched.block_on(far.readline().timeout(LONG))?.as_deref(),
        Some(&b"a line\n"[..])
    );
    Ok(())
}

// --------------------------------------------------------------- no descriptor leaks into children

/// What a child finds open: `ls` has one more, to list them.
fn open_in_a_child() -> String {
    let output = Command::new("ls")
        .arg("/dev/fd")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_child_has_its_three_streams_and_nothing_else_of_ours() -> Test {
    alone(|| {
        let _guard = guard();
        let before = open_in_a_child();
        let mut sched = Scheduler::new();
        let (file, mut writer) = pipe()?;
        let shared = AsyncFile::duplicate(&io::stdin())?;
        let (near, far) = UnixStream::pair()?;
        let sockets = [AsyncFile::duplicate(&near)?, AsyncFile::new(far)?];
        let mut speaking = Command::new("cat");
        let talking = AsyncPipe::piped(speaking.stderr(Stdio::piped()))?;
        let many = AsyncPipe::pipeline(cats(4))?;
        // Whoever waits for an exit has one more descriptor. While somebody has a handle to stdin,
        // it is not closed for that.
        let stdins = [talking.stdin().cloned(), many.stdin().cloned()];
        let exits =
            [&talking, &many].map(|pipe| sched.spawn(pipe.exit(), |task| done(task.exit()?)));
        let reading = sched.spawn(file.readline(), |task| {
            done(task.line()?.map(<[u8]>::to_vec))
        });
        sched.turn(Some(Duration::ZERO))?;
        sched.turn(Some(Duration::ZERO))?;

        assert_eq!(open_in_a_child(), before);
        let mut ls = Command::new("ls");
        let listing = AsyncPipe::pipeline([ls.arg("/dev/fd"), &mut Command::new("cat")])?;
        let listed = sched.block_on(listing.communicate(()))?;
        // With a pipe for stdin, as with /dev/null.
        assert_eq!(String::from_utf8(listed.stdout)?, before);

        writer.write_all(b"still there\n")?;
        assert_eq!(sched.join(reading)?.as_deref(), Some(&b"still there\n"[..]));
        stdins.iter().flatten().for_each(AsyncFile::close);
        for exit in exits {
            assert!(sched.join(exit)?.success());
        }
        drop((shared, sockets));
        Ok(())
    })
}

#[test]
fn a_child_that_another_thread_starts_meanwhile_has_nothing_of_ours_either() -> Test {
    alone(|| {
        let _guard = guard();
        let before = open_in_a_child();
        let (is_over, count) = (AtomicBool::new(false), AtomicU32::new(0));
        thread::scope(|scope| -> Test {
            let starter = scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    assert_eq!(open_in_a_child(), before);
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
            let rounds = || -> Test {
                // Until both have been at it often enough to have met.
                while count.load(Ordering::Relaxed) < 100 && !starter.is_finished() {
                    converse()?;
                    drop(AsyncFile::duplicate(&io::stdin())?);
                }
                Ok(())
            };
            let result = rounds();
            is_over.store(true, Ordering::Relaxed);
            starter
                .join()
                .map_err(|panic| resume_unwind(panic))
                .and(result)
        })
    })
}

// ------------------------------------------------------------------ fork in the host

/// Forks the host; the other one runs `there` and ends, with 0 if that went well.
fn fork(there: impl FnOnce() -> Test) -> libc::pid_t {
    // SAFETY: this process has one other thread, the guard, that holds no lock.
    match unsafe { libc::fork() } {
        0 => {
            let result = catch_unwind(AssertUnwindSafe(there));
            let code = match result {
                Ok(Ok(())) => 0,
                Ok(Err(error)) => {
                    let _ = writeln!(io::stderr(), "in the fork: {error}");
                    1
                }
                Err(_) => 2,
            };
            // SAFETY: ends the process, without what was the parent's to run at its exit.
            unsafe { libc::_exit(code) }
        }
        -1 => panic!("fork: {}", io::Error::last_os_error()),
        id => id,
    }
}

#[track_caller]
fn assert_succeeds(id: libc::pid_t) {
    let mut status = 0;
    // SAFETY: the status is a live int.
    assert_eq!(unsafe { libc::waitpid(id, &mut status, 0) }, id);
    assert_eq!(status, 0, "how the fork ended");
}

#[test]
fn a_fork_of_the_host_that_only_ends_disturbs_nothing() -> Test {
    alone(|| {
        let _guard = guard();
        let mut sched = Scheduler::new();
        let cat = AsyncPipe::pipeline(cats(2))?;
        for round in 0..10 {
            let line = format!("round {round}\n");
            let reading = sched.spawn(cat.readline().timeout(LONG), |task| {
                done(task.line()?.map(<[u8]>::to_vec))
            });
            sched.turn(Some(Duration::ZERO))?;
            assert_succeeds(fork(|| Ok(())));
            sched.block_on(cat.write(&line).full())?;
            assert_eq!(sched.join(reading)?.as_deref(), Some(line.as_bytes()));
        }
        cat.close_stdin();
        assert!(sched.block_on(cat.exit().timeout(LONG))?.success());
        Ok(())
    })
}

#[test]
fn a_fork_of_the_host_has_schedulers_and_children_of_its_own() -> Test {
    alone(|| {
        let _guard = guard();
        let mut sched = Scheduler::new();
        let cat = AsyncPipe::piped(&mut Command::new("cat"))?;
        drop(AsyncPipe::piped(&mut Command::new("cat"))?); // on the list of those to be reaped
        let reading = sched.spawn(cat.readline().timeout(LONG), |task| {
            done(task.line()?.map(<[u8]>::to_vec))
        });
        sched.turn(Some(Duration::ZERO))?;
        assert_succeeds(fork(converse));
        converse()?;
        sched.block_on(cat.write("mine\n").full())?;
        assert_eq!(sched.join(reading)?.as_deref(), Some(&b"mine\n"[..]));
        Ok(())
    })
}

#[test]
fn a_fork_of_the_host_neither_kills_nor_reaps_the_host_s_children() -> Test {
    alone(|| {
        let _guard = guard();
        let mut sched = Scheduler::new();
        let cat = AsyncPipe::pipeline(cats(3))?;
        let copy = cat.clone();
        assert_succeeds(fork(move || {
            let _ = copy.try_wait(); // not its child: unknown
            let _ = copy.signal(libc::SIGTERM);
            let _ = copy.kill();
            let _ = Scheduler::new().block_on(sleep(Duration::ZERO));
            drop(copy);
            Ok(())
        }));
        assert_eq!(cat.statuses(), [None; 3]);
        let output = sched.block_on(cat.communicate("alive").timeout(LONG))?;
        assert!(output.status.success() && output.stdout == b"alive");
        Ok(())
    })
}

/// Both have the same open file descriptions, and with them the flags.
#[test]
fn a_fork_of_the_host_that_drops_our_files_does_not_make_ours_wait_in_the_kernel() -> Test {
    alone(|| {
        let _guard = guard();
        let (reader, writer) = io::pipe()?;
        let flags = writer.try_clone()?;
        let writer = AsyncFile::new(writer)?;
        let cat = AsyncPipe::piped(&mut Command::new("cat"))?;
        let mut files = Some((writer, cat));
        assert_succeeds(fork(|| {
            drop(files.take()); // in the fork; here they stay
            Ok(())
        }));
        let (writer, cat) = files.expect("the fork has its own copy of this variable");
        assert!(
            is_nonblocking(&flags),
            "a write to a full pipe would stop the whole host"
        );
        // More than fits, and nobody reads: it must be the timeout that ends it.
        let stdin = cat.stdin().expect("piped").clone();
        for file in [writer, stdin] {
            let write = file.write(pattern(1 << 20)).full().timeout(ms(20));
            assert!(Scheduler::new().block_on(write)? < 1 << 20);
        }
        drop(reader);
        Ok(())
    })
}

// ------------------------------------------------------------- descriptors 0, 1, 2 closed at start

/// Runs `body` in a process that has closed these of its standard streams; they are back when it
/// fails, to say so.
fn without(closed: &[RawFd], body: impl FnOnce() -> Test) -> Test {
    // SAFETY: numbers; the copies are closed on exec and above what a child is told to look at.
    let saved: Vec<_> = closed
        .iter()
        .map(|fd| {
            (*fd, unsafe {
                libc::fcntl(*fd, libc::F_DUPFD_CLOEXEC, 1000)
            })
        })
        .collect();
    assert!(saved.iter().all(|(_, copy)| *copy >= 1000));
    // SAFETY: they are ours in this process, and nobody else uses them until they are back.
    closed
        .iter()
        .for_each(|fd| assert_eq!(unsafe { libc::close(*fd) }, 0));
    let result = catch_unwind(AssertUnwindSafe(body));
    for (fd, copy) in saved {
        // SAFETY: as above.
        unsafe {
            libc::dup2(copy, fd);
            libc::close(copy);
        }
    }
    result.unwrap_or_else(|panic| resume_unwind(panic))
}

const SETS: [&[RawFd]; 8] = [&[], &[0], &[1], &[2], &[0, 1], &[0, 2], &[1, 2], &[0, 1, 2]];

#[test]
fn a_host_without_standard_streams_talks_to_its_children_all_the_same() -> Test {
    alone(|| {
        let _guard = guard();
        for closed in SETS {
            let before = open_descriptors();
            without(closed, converse).map_err(|error| format!("without {closed:?}: {error}"))?;
            assert_eq!(open_descriptors(), before);
            assert_childless();
        }
        Ok(())
    })
}

/// std starts a child another way if there is something to do between fork and exec.
#[test]
fn a_host_without_standard_streams_starts_children_the_other_way_too() -> Test {
    alone(|| {
        let _guard = guard();
        let data = pattern(100_000);
        let forked = |mut command: Command| {
            // SAFETY: does nothing.
            unsafe { command.pre_exec(|| Ok(())) };
            command
        };
        let mut broken = Vec::new();
        for closed in SETS {
            for stages in 1..=3 {
                let (data, mut text) = (&data, String::new());
                let result = without(closed, || {
                    let mut commands: Vec<_> = cats(stages).into_iter().map(forked).collect();
                    for command in &mut commands {
                        command.stderr(Stdio::piped());
                    }
                    let pipe = AsyncPipe::pipeline(commands)?;
                    let output = Scheduler::new().block_on(pipe.communicate(data).timeout(LONG))?;
                    text = String::from_utf8_lossy(&output.stderr).into_owned();
                    match output.status.success() && output.stdout == *data {
                        true => Ok(()),
                        false => {
                            Err(
                                format!("{}, {} bytes came", output.status, output.stdout.len())
                                    .into(),
                            )
                        }
                    }
                });
                if let Err(error) = result {
                    broken.push(format!(
                        "without {closed:?}, {stages} stages: {error}; {text}"
                    ));
                }
            }
        }
        assert!(broken.is_empty(), "{broken:#?}");
        Ok(())
    })
}

#[test]
fn a_file_may_have_any_number_also_that_of_a_standard_stream() -> Test {
    alone(|| {
        let _guard = guard();
        without(&[0, 1, 2], || {
            let (reader, writer) = io::pipe()?;
            assert_eq!((reader.as_raw_fd(), writer.as_raw_fd()), (0, 1));
            let (reader, writer) = (AsyncFile::new(reader)?, AsyncFile::new(writer)?);
            let copy = AsyncFile::duplicate(&OwnedFd::from(File::open("/dev/null")?))?;
            assert!(
                copy.as_raw_fd() > 2,
                "who takes 2 for stderr would write into our file"
            );
            let mut sched = Scheduler::new();
            sched.block_on(writer.write("through 1 to 0\n").full())?;
            assert_eq!(
                sched.block_on(reader.readline())?.as_deref(),
                Some(&b"through 1 to 0\n"[..])
            );
            let waiting = sched.spawn(reader.readline(), |task| {
                done(task.line().unwrap_err().kind())
            });
            sched.turn(Some(Duration::ZERO))?;
            reader.close();
            assert_eq!(sched.join(waiting)?, ErrorKind::NotConnected);
            let fd = writer.into_inner().map_err(|_| "another handle?")?.0;
            assert_eq!((fd.as_raw_fd(), is_nonblocking(&fd)), (1, false));
            Ok(())
        })
    })
}

// -------------------------------------------------------------- RLIMIT_NOFILE reached and released

fn set_limit(soft: libc::rlim_t) -> libc::rlim_t {
    // SAFETY: the structures are live.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        let before = std::mem::replace(&mut limit.rlim_cur, soft);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
        before
    }
}

#[test]
fn at_the_limit_of_descriptors_what_is_open_works_on_and_what_fails_leaves_nothing() -> Test {
    alone(|| {
        let _guard = guard();
        let before = open_descriptors();
        // With each number of free descriptors at the end, another step of a start is the one that
        // fails.
        for limit in 40..56 {
            let usual = set_limit(limit);
            let mut sched = Scheduler::new();
            let mut pipes = Vec::new();
            let error = loop {
                match AsyncPipe::pipeline(cats(3)) {
                    Ok(pipe) => pipes.push(pipe),
                    Err(error) => break error,
                }
            };
            let text = error.to_string();
            assert!(text.contains("cat"), "{text:?} does not name the program");
            assert!(
                text.contains("os error 24"),
                "{text:?} does not give the cause"
            );
            assert_eq!(
                open_descriptors().len(),
                before.len() + 2 * pipes.len(),
                "the failed one has left something"
            );
            assert!(pipes.len() >= 5);

            // All at once, and with no descriptor to be had for noticing their exits.
            let mut room = Vec::new();
            while let Ok(file) = File::open("/dev/null") {
                room.push(file);
            }
            let data = pattern(100_000);
            let tasks: Vec<_> = pipes
                .iter()
                .map(|pipe| {
                    sched.spawn(pipe.communicate(&data).timeout(LONG), |task| {
                        done(task.output()?)
                    })
                })
                .collect();
            for task in tasks {
                let output = sched.join(task)?;
                assert!(output.status.success() && output.stdout == data);
            }

            // Released, all is as it was.
            drop((room, pipes));
            converse()?;
            drop(sched);
            assert_eq!(open_descriptors(), before);
            set_limit(usual);
        }
        Ok(())
    })
}

#[test]
fn a_duplicate_that_finds_no_descriptor_says_so_and_works_when_one_is_free() -> Test {
    alone(|| {
        let _guard = guard();
        let usual = set_limit(30);
        let (reader, mut writer) = io::pipe()?;
        let mut room = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            room.push(file);
        }
        let error = AsyncFile::duplicate(&reader).unwrap_err();
        assert!(error.to_string().contains("os error 24"), "{error}");
        room.pop();
        let file = AsyncFile::duplicate(&reader)?;
        writer.write_all(b"a line\n")?;
        assert_eq!(
            Scheduler::new().block_on(file.readline())?.as_deref(),
            Some(&b"a line\n"[..])
        );
        set_limit(usual);
        Ok(())
    })
}

// ------------------------------------------------------------------ SIGCHLD ignored by the host

/// The kernel reaps: a status that nobody has kept is unknown, not success, and nobody waits for it
/// for ever.
fn talk_while_the_kernel_reaps() -> Test {
    let mut sched = Scheduler::new();
    for stages in [1, 3] {
        let pipe = AsyncPipe::pipeline(cats(stages))?;
        let error = sched
            .block_on(pipe.communicate("kept").timeout(LONG))
            .unwrap_err();
        assert!(
            error.kind() == ErrorKind::Other && error.to_string().contains("unknown"),
            "{error}"
        );
        assert_eq!(sched.block_on(pipe.read_to_end().timeout(LONG))?, b"kept");
        assert_eq!(
            sched
                .block_on(pipe.exit().timeout(LONG))
                .unwrap_err()
                .kind(),
            ErrorKind::Other
        );
        assert_eq!(pipe.try_wait().unwrap_err().kind(), ErrorKind::Other);
        assert_eq!(pipe.statuses(), vec![None; stages]);
        pipe.kill()?; // to nobody: its number may be another process's
    }
    let pipe = AsyncPipe::piped(&mut Command::new("cat"))?;
    pipe.close_stdin();
    let exit = sched.spawn(pipe.exit().timeout(LONG), |task| {
        done(task.exit().unwrap_err().to_string())
    });
    let text = sched.join(exit)?;
    assert!(text.contains("unknown"), "{text}");

    let missing = [
        Command::new("cat"),
        Command::new("/nonexistent/program"),
        Command::new("cat"),
    ];
    assert_eq!(
        AsyncPipe::pipeline(missing).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    drop(AsyncPipe::pipeline(cats(3))?);
    sched.block_on(sleep(Duration::ZERO))?;
    Ok(())
}

#[test]
fn with_sigchld_ignored_a_status_is_unknown_and_nothing_hangs_or_is_lost() -> Test {
    alone(|| {
        let _guard = guard();
        let before = open_descriptors();
        set_signal(libc::SIGCHLD, libc::SIG_IGN, 0);
        talk_while_the_kernel_reaps()?;
        set_signal(libc::SIGCHLD, libc::SIG_DFL, libc::SA_NOCLDWAIT);
        talk_while_the_kernel_reaps()?;
        set_signal(libc::SIGCHLD, libc::SIG_DFL, 0);
        converse()?;
        assert_eq!(open_descriptors(), before);
        Ok(())
    })
}

#[test]
fn with_sigchld_ignored_children_start_the_other_way_too() -> Test {
    alone(|| {
        let _guard = guard();
        set_signal(libc::SIGCHLD, libc::SIG_IGN, 0);
        let mut cat = Command::new("cat");
        // SAFETY: does nothing.
        unsafe { cat.pre_exec(|| Ok(())) };
        let pipe = AsyncPipe::piped(&mut cat)?;
        let mut sched = Scheduler::new();
        assert_eq!(
            sched
                .block_on(pipe.communicate("kept").timeout(LONG))
                .unwrap_err()
                .kind(),
            ErrorKind::Other
        );
        assert_eq!(sched.block_on(pipe.read_to_end())?, b"kept");
        Ok(())
    })
}

// ------------------------------------------------------------------ a signal storm

static SIGNALS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_signal: libc::c_int) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

/// SIGALRM, so often in each second; 0: no more.
fn storm(hertz: libc::suseconds_t) {
    let every = libc::timeval {
        tv_sec: 0,
        tv_usec: if hertz == 0 { 0 } else { 1_000_000 / hertz },
    };
    let timer = libc::itimerval {
        it_interval: every,
        it_value: every,
    };
    // SAFETY: the structure is live; a null old value is allowed.
    assert_eq!(
        unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) },
        0
    );
}

fn talk_in_a_storm(flags: libc::c_int) -> Test {
    SIGNALS.store(0, Ordering::Relaxed);
    set_signal(
        libc::SIGALRM,
        count as extern "C" fn(libc::c_int) as usize,
        flags,
    );
    storm(1000);
    // What is done here is done until it has been interrupted often enough to mean something.
    while SIGNALS.load(Ordering::Relaxed) < 500 {
        converse()?;
        let (file, _writer) = pipe()?;
        let start = Instant::now();
        let error = Scheduler::new()
            .block_on(file.readline().timeout(ms(50)))
            .unwrap_err();
        assert!(
            error.kind() == ErrorKind::TimedOut && start.elapsed() >= ms(50),
            "{error}"
        );
        let start = Instant::now();
        Scheduler::new().turn(Some(ms(1)))?;
        Scheduler::new().block_on(sleep(ms(20)))?;
        assert!(start.elapsed() >= ms(20));

        let mut pause = Command::new("sh");
        pause.args(["-c", "sleep 0.1; exit 7"]);
        let pipe = AsyncPipe::pipeline([Command::new("cat"), pause])?;
        assert_eq!(
            Scheduler::new().block_on(pipe.exit().timeout(LONG))?.code(),
            Some(7)
        );
        let error =
            AsyncPipe::pipeline([Command::new("cat"), Command::new("/nonexistent/program")])
                .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let cat = AsyncPipe::piped(&mut Command::new("cat"))?;
        cat.kill()?;
        assert_eq!(
            Scheduler::new()
                .block_on(cat.exit().timeout(LONG))?
                .signal(),
            Some(libc::SIGKILL)
        );
    }
    storm(0);
    Ok(())
}

#[test]
fn a_storm_of_signals_whose_handler_restarts_calls_changes_nothing() -> Test {
    alone(|| {
        let _guard = guard();
        let before = open_descriptors();
        talk_in_a_storm(libc::SA_RESTART)?;
        assert_eq!(open_descriptors(), before);
        Ok(())
    })
}

#[test]
fn a_storm_of_signals_whose_handler_restarts_no_call_changes_nothing() -> Test {
    alone(|| {
        let _guard = guard();
        let before = open_descriptors();
        talk_in_a_storm(0)?;
        assert_eq!(open_descriptors(), before);
        Ok(())
    })
}

/// One write or read in the middle of which the signal comes is not a short one: each byte is there
/// once.
#[test]
fn a_storm_of_signals_loses_and_doubles_no_byte_on_blocking_neighbours() -> Test {
    alone(|| {
        let _guard = guard();
        set_signal(
            libc::SIGALRM,
            count as extern "C" fn(libc::c_int) as usize,
            0,
        );
        let data = pattern(8 << 20);
        let (near, far) = UnixStream::pair()?;
        let (mut there, mut back) = (far.try_clone()?, far);
        let echo = thread::spawn(move || -> io::Result<()> {
            let mut piece = [0; 4096];
            loop {
                match there.read(&mut piece) {
                    Ok(0) => return Ok(()),
                    Ok(size) => back.write_all(&piece[..size])?,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        });
        let file = AsyncFile::new(near)?;
        storm(1000);
        let mut sched = Scheduler::new();
        let writing = sched.spawn(file.write(&data).full(), |task| done(task.written()?));
        let read = sched.block_on(file.read(data.len()).full().timeout(LONG))?;
        storm(0);
        assert!(read == data && sched.join(writing)? == data.len());
        file.close();
        echo.join().unwrap()?;
        Ok(())
    })
}
