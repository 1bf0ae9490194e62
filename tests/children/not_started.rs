//! Children that cannot be started: the errno, the program and its stage are in the error, and
//! nothing is left. Each in a process of its own, whose limits and descriptors concern nobody else.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use asyncfile::{AsyncPipe, OperationError, Scheduler};

use crate::descriptors::{alone, words, Test};
use crate::help::{children, leaves_nothing, sh, Belongings};
use crate::support::watchdog;

/// What is wrong with a spawn: its errno, and the beginning of its text.
#[track_caller]
fn assert_fails(result: io::Result<AsyncPipe>, errno: i32, text: &str) {
    let error = result.unwrap_err();
    let cause = OperationError::of(&error).expect("a spawn has failed");
    assert_eq!(
        (cause.operation(), cause.raw_os_error()),
        ("spawn", Some(errno)),
        "{error}"
    );
    assert_eq!(error.kind(), io::Error::from_raw_os_error(errno).kind());
    assert_eq!(error.to_string(), format!("spawn {text}: {}", words(errno)));
}

/// Alone, and as each stage of a pipeline.
#[track_caller]
fn assert_fails_everywhere(make: impl Fn() -> Command, errno: i32) {
    let name = make().get_program().to_string_lossy().into_owned();
    let idle = || sh("exec sleep 600");
    leaves_nothing(|| {
        assert_fails(AsyncPipe::spawn(make()), errno, &name);
        assert_fails(AsyncPipe::piped(make()), errno, &name);
        assert_fails(AsyncPipe::merged(make()), errno, &name);
        assert_fails(AsyncPipe::pipeline([make()]), errno, &name);
        for failing in 0..3 {
            let mut commands = [idle(), idle(), idle()];
            commands[failing] = make();
            let text = format!("{name}, stage {} of 3", failing + 1);
            assert_fails(AsyncPipe::pipeline(commands), errno, &text);
            assert_eq!(children(), []);
        }
    });
}

fn script(dir: &Path, mode: u32) -> std::path::PathBuf {
    let path = dir.join("program");
    fs::write(&path, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

#[test]
fn a_program_that_is_missing() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        assert_fails_everywhere(|| Command::new("/missing/program"), libc::ENOENT);
        assert_fails_everywhere(|| Command::new("no-program-of-this-name"), libc::ENOENT);
        Ok(())
    })
}

#[test]
fn a_program_that_is_not_executable() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let dir = tempfile::tempdir()?;
        let path = script(dir.path(), 0o644);
        assert_fails_everywhere(|| Command::new(&path), libc::EACCES);
        Ok(())
    })
}

#[test]
fn a_program_of_no_known_format() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let dir = tempfile::tempdir()?;
        let path = script(dir.path(), 0o755);
        fs::write(&path, b"\x7fELF and no more")?;
        assert_fails_everywhere(|| Command::new(&path), libc::ENOEXEC);
        Ok(())
    })
}

#[test]
fn a_program_that_is_being_written() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let dir = tempfile::tempdir()?;
        let path = script(dir.path(), 0o755);
        let writer = File::options().append(true).open(&path)?;
        assert_fails_everywhere(|| Command::new(&path), libc::ETXTBSY);
        drop(writer);
        drop(AsyncPipe::piped(Command::new(&path))?);
        Ok(())
    })
}

#[test]
fn too_many_arguments() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let large = || {
            let mut command = Command::new("true");
            command.args(std::iter::repeat("x".repeat(100_000)).take(100));
            command
        };
        assert_fails_everywhere(large, libc::E2BIG);
        Ok(())
    })
}

#[test]
fn a_working_directory_that_cannot_be_entered_is_named() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let dir = tempfile::tempdir()?;
        let file = script(dir.path(), 0o755);
        let missing = dir.path().join("missing");
        for (path, errno) in [(&missing, libc::ENOENT), (&file, libc::ENOTDIR)] {
            let there = || {
                let mut command = Command::new("ls");
                command.current_dir(path);
                command
            };
            let text = format!("ls, working directory {}", path.display());
            assert_fails(AsyncPipe::spawn(there()), errno, &text);
            assert_fails(AsyncPipe::piped(there()), errno, &text);
            let text = format!("ls, stage 2 of 2, working directory {}", path.display());
            assert_fails(AsyncPipe::pipeline([sh("cat"), there()]), errno, &text);
        }
        // A directory that is there is not what is missing.
        let mut missing = Command::new("/missing/program");
        missing.current_dir(dir.path());
        assert_fails(AsyncPipe::spawn(missing), libc::ENOENT, "/missing/program");
        Ok(())
    })
}

/// With 0 descriptors left, 1, ..., until it can be started: each pipe that is made on the way, and
/// std's own, fails once.
#[test]
fn no_descriptors_left() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        limit(libc::RLIMIT_NOFILE, 60);
        let starts: [fn() -> io::Result<AsyncPipe>; 4] = [
            || {
                AsyncPipe::spawn(
                    Command::new("true")
                        .stdin(Stdio::piped())
                        .stdout(Stdio::piped()),
                )
            },
            || AsyncPipe::piped(Command::new("true")),
            || AsyncPipe::merged(Command::new("true")),
            || AsyncPipe::pipeline([(); 3].map(|()| Command::new("true"))),
        ];
        for start in starts {
            drop(start()?);
            let mut failures = 0;
            for free in 0.. {
                let mut hoard: Vec<File> =
                    std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
                hoard.truncate(hoard.len() - free);
                let result = start();
                drop(hoard);
                match result {
                    Ok(pipe) => {
                        Scheduler::new().block_on(pipe.exit())?;
                        break;
                    }
                    Err(error) => {
                        let cause = OperationError::of(&error).expect("a spawn has failed");
                        assert_eq!(cause.raw_os_error(), Some(libc::EMFILE), "{error}");
                        assert!(error.to_string().starts_with("spawn true"), "{error}");
                        failures += 1;
                    }
                }
            }
            assert!(failures >= 3, "{failures}");
            while !children().is_empty() {
                drop(AsyncPipe::spawn(Command::new("true"))?); // those of a pipe that was dropped
                Scheduler::new().turn(None)?;
            }
        }
        let left = Belongings::count();
        assert!(left.descriptors < 20, "{left:?}");
        Ok(())
    })
}

#[test]
fn no_processes_left() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        // SAFETY: these take numbers. Root is subject to no such limit.
        unsafe {
            if libc::geteuid() == 0 {
                assert_eq!((libc::setgid(65534), libc::setuid(65534)), (0, 0));
            }
        }
        limit(libc::RLIMIT_NPROC, 0);
        leaves_nothing(|| {
            assert_fails(AsyncPipe::spawn(Command::new("true")), libc::EAGAIN, "true");
            assert_fails(AsyncPipe::piped(Command::new("true")), libc::EAGAIN, "true");
            let two = || [Command::new("true"), Command::new("cat")];
            assert_fails(
                AsyncPipe::pipeline(two()),
                libc::EAGAIN,
                "true, stage 1 of 2",
            );
        });
        Ok(())
    })
}

fn limit(what: libc::__rlimit_resource_t, most: u64) {
    let limit = libc::rlimit {
        rlim_cur: most,
        rlim_max: most,
    };
    // SAFETY: the pointer is to a live structure.
    assert_eq!(unsafe { libc::setrlimit(what, &limit) }, 0);
}

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const IS: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const ANSWER: u32 = libc::BPF_RET | libc::BPF_K;

/// From here on F_SETFL fails with ENOMEM in this process.
fn fail_to_set_flags() {
    let low_half = if cfg!(target_endian = "little") { 0 } else { 4 };
    install(&mut [
        filter(LOAD, 0, 0, 0),
        filter(IS, 0, 3, libc::SYS_fcntl as u32),
        filter(LOAD, 0, 0, 16 + 8 + low_half),
        filter(IS, 0, 1, libc::F_SETFL as u32),
        filter(ANSWER, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOMEM as u32),
        filter(ANSWER, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]);
}

/// From here on this process has no such call.
fn remove(call: libc::c_long) {
    install(&mut [
        filter(LOAD, 0, 0, 0),
        filter(IS, 0, 1, call as u32),
        filter(ANSWER, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
        filter(ANSWER, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]);
}

fn install(program: &mut [libc::sock_filter]) {
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the program lives through the calls.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, mode, &program), 0);
    }
}

fn filter(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    }
}

#[track_caller]
fn assert_stream_refused(result: io::Result<AsyncPipe>, operation: &str, text: &str) {
    let error = result.unwrap_err();
    let cause = OperationError::of(&error).expect("an operation has failed");
    assert_eq!(
        (cause.operation(), cause.raw_os_error()),
        (operation, Some(libc::ENOMEM))
    );
    let fd = cause.fd().expect("the stream's");
    assert_eq!(
        error.to_string(),
        format!("{text} on fd {fd}: {}", words(libc::ENOMEM))
    );
}

#[test]
fn a_stream_that_cannot_be_taken_over_is_named() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let of_host = sh("exec sleep 600")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let id = of_host.id();
        fail_to_set_flags();
        assert_stream_refused(
            AsyncPipe::new(of_host),
            "AsyncPipe::new",
            "AsyncPipe::new stdout",
        );
        assert_eq!(children(), [(id, false)], "it is the host's, and lives on");
        crate::help::kill(id, libc::SIGKILL);
        crate::help::await_end(id);
        // A pipe that the library made needs no such call.
        let output = Scheduler::new().block_on(AsyncPipe::piped(sh("cat"))?.communicate("in"))?;
        assert_eq!(output.stdout, b"in");
        assert_eq!(children(), []);
        Ok(())
    })
}

/// A kernel without RWF_NOWAIT for pipes: O_NONBLOCK is set by the first call.
#[test]
fn where_the_kernel_has_no_reads_and_writes_that_do_not_wait_nothing_waits_all_the_same() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        remove(libc::SYS_preadv2);
        remove(libc::SYS_pwritev2);
        let mut sched = Scheduler::new();
        let data = vec![b'x'; 1 << 20];
        let output = sched.block_on(AsyncPipe::piped(Command::new("cat"))?.communicate(&data))?;
        assert!(output.status.success() && output.stdout == data);
        // More than fits, and a read of what does not come.
        let pipe = AsyncPipe::piped(sh("exec sleep 60"))?.kill_on_drop();
        let short = std::time::Duration::from_millis(20);
        let write = pipe.write(&data).full().timeout(short);
        assert!(sched.block_on(write)? < data.len());
        let error = sched.block_on(pipe.read(1).timeout(short)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        Ok(())
    })
}
