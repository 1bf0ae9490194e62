//! What a host may rely on: the library starts no thread, installs no signal handler, keeps nothing
//! of the process but the list of orphans, runs nothing before it is called, leaves SIGPIPE as it
//! was, and every descriptor that it opens is closed on exec. The table of these promises, with the
//! other tests that hold them, is in the guide ("Places").

#![cfg(target_os = "linux")]

mod descriptors;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use asyncfile::{channel, done, first, sleep, AsyncFile, AsyncPipe, Op, Scheduler};
use descriptors::{alone, pipe, Test, HOUR};

/// Something of every kind: files, children, timers, other threads' calls. `during` is called while
/// a task runs and a child lives.
fn use_everything(during: &mut dyn FnMut()) -> Test {
    let mut sched = Scheduler::new();
    let remote = sched.remote()?;
    let (sender, receiver) = channel();
    remote.run(|_| {});
    remote.wake();
    assert!(sender.send(()).is_ok());
    sched.block_on(receiver.ready())?;

    let (near, far) = UnixStream::pair()?;
    let (near, far) = (AsyncFile::duplicate(&near)?, AsyncFile::new(far)?);
    sched.block_on(near.write_all("line\n"))?;
    let (reader, _writer) = pipe()?;
    let either = first([
        Op::from(far.readline()),
        reader.readline().timeout(HOUR).into(),
    ]);
    sched.block_on(either)?;

    let mut leader = Command::new("cat");
    let child = AsyncPipe::piped(leader.process_group(0))?.kill_on_drop();
    let dropped = AsyncPipe::piped(Command::new("cat"))?;
    sched.block_on(child.write_all("said\n"))?;
    let task = sched.spawn(child.readline(), |task| {
        let is_there = task.line()?.is_some();
        during();
        done(is_there)
    });
    assert!(sched.join(task)?);
    drop(dropped);
    let status = sched.block_on(child.stop(Duration::ZERO))?;
    assert!(!status.success());
    sched.block_on(sleep(Duration::from_millis(1)))?;
    Ok(())
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn no_thread_is_started() -> Test {
    alone(|| {
        let before = threads();
        let mut meanwhile = 0;
        use_everything(&mut || meanwhile = threads())?;
        assert_eq!((meanwhile, threads()), (before, before));
        Ok(())
    })
}

/// What every signal does, as the kernel has it.
fn dispositions() -> Vec<(usize, libc::c_int)> {
    let of = |signal| {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: a null new action only asks; the pointer is to a live structure, and all zeros are
        // a valid one.
        let action = unsafe {
            libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
            action.assume_init()
        };
        (action.sa_sigaction, action.sa_flags)
    };
    (1..=64).map(of).collect()
}

/// The signals that are blocked, and those that are pending, in this thread.
fn masks() -> (Vec<libc::c_int>, Vec<libc::c_int>) {
    // SAFETY: both sets are live and initialised before they are filled in; null for the new mask
    // only asks.
    unsafe {
        let mut sets = [MaybeUninit::<libc::sigset_t>::zeroed().assume_init(); 2];
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut sets[0]);
        libc::sigpending(&mut sets[1]);
        let members = |set| {
            (1..=64)
                .filter(|signal| libc::sigismember(set, *signal) == 1)
                .collect()
        };
        (members(&sets[0]), members(&sets[1]))
    }
}

#[test]
fn no_signal_has_another_handler_afterwards() -> Test {
    alone(|| {
        let before = dispositions();
        let mut meanwhile = Vec::new();
        use_everything(&mut || meanwhile = dispositions())?;
        assert_eq!(meanwhile, before);
        assert_eq!(dispositions(), before);
        Ok(())
    })
}

#[test]
fn sigpipe_is_left_as_it_was_found() -> Test {
    alone(|| {
        for (disposition, how) in [
            (libc::SIG_DFL, libc::SIG_UNBLOCK),
            (libc::SIG_DFL, libc::SIG_BLOCK),
            (libc::SIG_IGN, libc::SIG_UNBLOCK),
        ] {
            // SAFETY: takes numbers; all zeros are an empty set.
            unsafe {
                libc::signal(libc::SIGPIPE, disposition);
                let mut set = MaybeUninit::<libc::sigset_t>::zeroed().assume_init();
                libc::sigaddset(&mut set, libc::SIGPIPE);
                libc::pthread_sigmask(how, &set, std::ptr::null_mut());
            }
            let before = (dispositions(), masks());
            write_where_nobody_reads()?;
            assert_eq!((dispositions(), masks()), before);
        }
        Ok(())
    })
}

/// Writes to a pipe that was taken over, to one that is shared, to a socket and to a child.
fn write_where_nobody_reads() -> Test {
    let mut sched = Scheduler::new();
    let (reader, writer) = io::pipe()?;
    let (ours, theirs) = UnixStream::pair()?;
    let mut child = AsyncPipe::piped(Command::new("true"))?;
    sched.block_on(child.exit())?;
    drop((reader, theirs));
    let files = [
        AsyncFile::duplicate(&writer)?,
        AsyncFile::new(writer)?,
        AsyncFile::duplicate(&ours)?,
        AsyncFile::new(ours)?,
        child.take_stdin().expect("it is piped"),
    ];
    child = AsyncPipe::piped(Command::new("true"))?;
    for file in files {
        for _ in 0..2 {
            let error = sched.block_on(file.write("nobody reads this")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        }
    }
    assert!(sched
        .block_on(child.communicate(vec![0; 1 << 20]))?
        .status
        .success());
    Ok(())
}

#[test]
fn every_descriptor_that_is_opened_is_closed_on_exec() -> Test {
    alone(|| {
        let open = || -> BTreeMap<libc::c_int, bool> {
            let flags = |fd| {
                // SAFETY: F_GETFD takes a number and touches no memory.
                (fd, unsafe { libc::fcntl(fd, libc::F_GETFD) })
            };
            let open = (0..1024).map(flags).filter(|(_, flags)| *flags != -1);
            open.map(|(fd, flags)| (fd, flags & libc::FD_CLOEXEC != 0))
                .collect()
        };
        let before = open();
        let mut meanwhile = BTreeMap::new();
        use_everything(&mut || meanwhile = open())?;
        meanwhile.retain(|fd, _| !before.contains_key(fd));
        assert!(meanwhile.len() >= 8, "{meanwhile:?}");
        assert!(
            meanwhile.values().all(|is_closed| *is_closed),
            "{meanwhile:?}"
        );
        Ok(())
    })
}

/// The source of what users compile, file by file, without comments.
fn sources() -> Vec<(PathBuf, String)> {
    fn read(directory: &Path, sources: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            match path.is_dir() {
                true if name == "sim" => {} // the tests' kernel
                true => read(&path, sources),
                false if !name.ends_with(".rs") || name == "tests.rs" || name == "sim.rs" => {}
                false => {
                    let text = fs::read_to_string(&path).unwrap();
                    let shipped = text.split("#[cfg(test)]\nmod tests").next().unwrap();
                    let code = |line: &&str| !line.trim_start().starts_with("//");
                    let lines: Vec<&str> = shipped.lines().filter(code).collect();
                    sources.push((path, lines.join("\n")));
                }
            }
        }
    }
    let mut found = Vec::new();
    read(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut found,
    );
    found
}

/// A static of a thread is indented, within `thread_local!`. `REFUSED` is a switch of the tests,
/// `SHARED` and `IS_SHARED` say that there are orphans.
#[test]
fn the_list_of_orphans_is_the_only_state_of_the_process() {
    let mut statics = Vec::new();
    for (_, text) in sources() {
        for line in text.lines() {
            let line = line.strip_prefix("pub(crate) ").unwrap_or(line);
            if let Some(rest) = line.strip_prefix("static ") {
                statics.push(rest.split(':').next().unwrap().to_string());
            }
        }
    }
    statics.sort();
    assert_eq!(statics, ["IS_SHARED", "ORPHANS", "REFUSED", "SHARED"]);
}

/// A function that runs before `main` stands in a section of its own. Without one, a program that
/// links the library and never calls it allocates nothing and opens nothing. Nor is anything left
/// for the end of the process.
#[test]
fn nothing_runs_before_the_first_call_or_at_the_process_s_end() {
    let unwanted = [
        "link_section",
        "no_mangle",
        "atexit",
        "thread::spawn",
        "thread::Builder",
    ];
    for (path, text) in sources() {
        for word in unwanted {
            assert!(!text.contains(word), "{}: {word}", path.display());
        }
    }
}

/// The tables of `src/guide/places.md` name tests as `file::test` or by the path of their file.
#[test]
fn every_test_that_the_guide_names_is_there() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = String::new();
    for directory in ["tests", "tests/gotchas", "tests/children"] {
        for entry in fs::read_dir(top.join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                tests += &fs::read_to_string(path).unwrap();
            }
        }
    }
    let guide = fs::read_to_string(top.join("src/guide/places.md")).unwrap();
    let mut found = 0;
    for name in guide.split('`').skip(1).step_by(2) {
        if name.contains('/') {
            let there = [top.join(name), top.join("src").join(name)];
            assert!(there.iter().any(|path| path.exists()), "{name}");
        } else if name.contains("::") || name.matches('_').count() > 3 {
            let function = name.rsplit("::").next().unwrap();
            assert!(tests.contains(&format!("fn {function}(")), "{name}");
            found += 1;
        }
    }
    assert!(found > 15, "{found}");
}
