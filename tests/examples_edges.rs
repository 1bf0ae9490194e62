//! The examples where stdout takes nothing, where no thread can be started, and where poll(2)
//! itself fails. Each ends with a message and a status that says so; none panics, hangs or spins.
//! `cargo test` builds them; with `cargo test --test examples_edges` alone,
//! `cargo build --examples` does.
//!
//! The rule for stdout: whatever keeps an example from writing to it, a full disk or a reader that
//! has gone, is an error as any other.

mod built;
mod signals;
mod support;

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use support::{watchdog, Fifo};

/// Each example with arguments with which it prints something, and its stdin.
const ALONE: [(&str, &[&str], &str); 19] = [
    ("chat_server", &[], ""),
    ("echo_server", &[], ""),
    ("expect", &["ADDRESS"], ""),
    ("follow_a_cancel", &[], ""),
    ("follow_one_line", &[], ""),
    ("foreign_loop", &["Cargo.toml", "README.md"], ""),
    ("game_loop", &["--frames", "60"], ""),
    ("idle", &["4"], ""),
    ("line_count", &["Cargo.toml"], ""),
    (
        "parallel",
        &["-j", "2", "echo a; exec sleep 1000", "echo b"],
        "",
    ),
    ("pipe_csum", &["Cargo.toml", "README.md"], ""),
    ("pipe_grep", &["a", "Cargo.toml"], ""),
    ("repl", &["sh"], "echo said\n"),
    ("rpc_client", &[], ""),
    ("socket_afile", &[], ""),
    ("supervise", &["SERVICES"], ""),
    ("tail_f", &["Cargo.toml"], ""),
    ("timeline", &["DIR"], ""),
    ("workers", &["--threads", "2", "FIFO", "Cargo.toml"], ""),
];

/// The examples that wait for more, or for ever, when their stdout takes what they print.
const ENDLESS: [&str; 6] = [
    "chat_server",
    "echo_server",
    "parallel",
    "supervise",
    "tail_f",
    "workers",
];

fn example(name: &str) -> Command {
    let mut command = Command::new(built::example(name));
    command.stdin(Stdio::null());
    signals::with_defaults(&mut command);
    command
}

/// Runs it to its end, with a peer for `expect` and a FIFO that nobody writes to.
fn run(name: &str, args: &[&str], stdin: &str, how: impl FnOnce(&mut Command)) -> Output {
    let fifo = Fifo::new();
    let services = tempfile::NamedTempFile::new().unwrap();
    let directory = tempfile::tempdir().unwrap();
    fs::write(services.path(), "a: echo b; exec sleep 1000\n").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut command = example(name);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.args(args.iter().map(|arg| match *arg {
        "ADDRESS" => OsStr::new(&address),
        "FIFO" => fifo.path().as_os_str(),
        "SERVICES" => services.path().as_os_str(),
        "DIR" => directory.path().as_os_str(),
        arg => OsStr::new(arg),
    }));
    command.stdin(Stdio::piped()).stderr(Stdio::piped());
    how(&mut command);
    let mut child = command.spawn().unwrap();
    drop(command);
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    if args.contains(&"ADDRESS") {
        let _ = listener.accept().unwrap().0.write_all(b"one\ntwo\n");
    }
    child.wait_with_output().unwrap()
}

#[track_caller]
fn assert_fails(name: &str, output: &Output, part: &str) {
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(
        matches!(output.status.code(), Some(1 | 2)),
        "{name}: {}: {err}",
        output.status
    );
    assert!(!err.contains("panicked"), "{name}: {err}");
    let said = err.lines().filter(|line| line.contains(part)).count();
    assert!(said > 0, "{name} does not say {part:?}: {err}");
    let is_named = |line: &str| line.contains(part) && line.starts_with(&format!("{name}: "));
    assert!(err.lines().any(is_named), "{name}: {err}");
}

fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

#[test]
fn every_example_is_in_the_list() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension() != Some(OsStr::new("rs")) {
            continue;
        }
        let name = path.file_stem().unwrap().to_string_lossy();
        assert!(ALONE.iter().any(|(known, ..)| *known == name), "{name}");
        // They panic where the descriptor takes nothing.
        let text = fs::read_to_string(&path).unwrap();
        for panics in ["print!", "println!", "dbg!", "env::args()"] {
            assert!(!text.contains(panics), "{name} has {panics}");
        }
    }
}

#[test]
fn stdout_on_a_full_disk_is_an_error_and_a_status() {
    let _watchdog = watchdog();
    for (name, args, stdin) in ALONE {
        let output = run(name, args, stdin, |command| {
            command.stdout(full());
        });
        assert_fails(name, &output, "No space left on device");
    }
}

#[test]
fn stdout_that_nobody_reads_is_an_error_and_a_status() {
    let _watchdog = watchdog();
    for (name, args, stdin) in ALONE {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = run(name, args, stdin, |command| {
            command.stdout(writer);
        });
        assert_fails(name, &output, "Broken pipe");
    }
}

/// Rust's runtime opens /dev/null in the place of a stream that is closed at the start, so what is
/// printed is gone, as the caller has asked.
#[test]
fn stdout_and_stderr_that_are_closed_harm_nothing() {
    let _watchdog = watchdog();
    for (name, args, stdin) in ALONE {
        if ENDLESS.contains(&name) {
            continue;
        }
        for closed in [1, 2] {
            let output = run(name, args, stdin, |command| {
                command.stdout(Stdio::piped());
                // SAFETY: between fork and exec only close is called.
                unsafe {
                    command.pre_exec(move || {
                        libc::close(closed);
                        Ok(())
                    })
                };
            });
            let err = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{name}: {}: {err}", output.status);
        }
    }
}

/// What would be said on stderr is lost, and the status is the same.
#[test]
fn stderr_on_a_full_disk_changes_no_status() {
    let _watchdog = watchdog();
    for (name, ..) in ALONE {
        let usage = run(name, &["--no-such-option", "--neither"], "", |command| {
            command.stdout(Stdio::null()).stderr(full());
        });
        let takes_paths = ["pipe_csum", "workers"].contains(&name); // whatever they begin with
        let expected = if takes_paths { 1 } else { 2 };
        assert_eq!(usage.status.code(), Some(expected), "{name}");
    }
    for (name, args, stdin) in ALONE {
        let output = run(name, args, stdin, |command| {
            command.stdout(full()).stderr(full());
        });
        let code = output.status.code();
        assert!(matches!(code, Some(1 | 2)), "{name}: {}", output.status);
    }
}

/// An argument that is not UTF-8 is wrong, or names a file that is not there.
#[test]
fn an_argument_of_any_bytes_is_no_panic() {
    let _watchdog = watchdog();
    for (name, ..) in ALONE {
        let output = example(name)
            .arg(OsStr::from_bytes(b"--\xff"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_fails(name, &output, name);
    }
}

/// No address space has room for such a stack, so pthread_create(3) fails as it does where the
/// process may have no more threads.
#[test]
fn where_no_thread_can_be_started_the_examples_say_so() {
    let _watchdog = watchdog();
    for (name, args, stdin) in ALONE {
        if !["game_loop", "workers"].contains(&name) {
            continue;
        }
        let output = run(name, args, stdin, |command| {
            command.stdout(Stdio::null());
            command.env("RUST_MIN_STACK", (1_u64 << 46).to_string());
        });
        assert_fails(name, &output, "Resource temporarily unavailable");
    }
}

// ---- poll(2) fails

/// An example that waits; killed when the test ends, however it ends.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Running {
        Running(
            command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap(),
        )
    }

    fn out_line(&mut self) -> String {
        let mut line = Vec::new();
        let out = self.0.stdout.as_mut().unwrap();
        // Byte by byte: nothing of the next line is taken.
        while line.last() != Some(&b'\n') {
            let mut byte = [0];
            out.read_exact(&mut byte).unwrap();
            line.extend_from_slice(&byte);
        }
        String::from_utf8(line).unwrap()
    }

    /// Its process may have so few descriptors from here on: more than these in a poll set are
    /// EINVAL.
    fn allow_descriptors(&self, limit: libc::rlim_t) {
        let limit = libc::rlimit {
            rlim_cur: limit,
            rlim_max: limit,
        };
        let process = self.0.id() as libc::pid_t;
        // SAFETY: the new limit is live; the old one is not asked for.
        let answer = unsafe {
            libc::prlimit(
                process,
                libc::RLIMIT_NOFILE,
                &limit,
                std::ptr::null_mut::<libc::rlimit>(),
            )
        };
        assert_eq!(answer, 0);
    }

    /// It ends by itself. A loop that spins would have said more than a few lines until then, or
    /// would never end.
    #[track_caller]
    fn assert_fails_at_poll(mut self, name: &str) {
        let mut lines = 0;
        let mut said = String::new();
        for line in BufReader::new(self.0.stderr.take().unwrap()).lines() {
            let line = line.unwrap();
            lines += 1;
            assert!(lines < 50, "{name} spins: {said}");
            said += &(line + "\n");
        }
        let status = self.0.wait().unwrap();
        assert!(
            matches!(status.code(), Some(1 | 2)),
            "{name}: {status}: {said}"
        );
        assert!(said.contains("Invalid argument"), "{name}: {said}");
        assert!(!said.contains("panicked"), "{name}: {said}");
        assert!(!said.contains("lost"), "{name}: {said}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until the FIFO has a reader.
fn writer_of(path: &str) -> File {
    OpenOptions::new().write(true).open(path).unwrap()
}

/// Twenty clients are there, and are known to the server, when it may have no more than ten
/// descriptors.
#[test]
fn a_server_whose_poll_fails_ends_and_does_not_spin() {
    let _watchdog = watchdog();
    for (name, said, answer) in [
        ("echo_server", &b"\0\0\0\x01x"[..], "x"),
        ("chat_server", b"x\n", "* welcome x\n"),
    ] {
        let mut server = Running::start(&mut example(name));
        let line = server.out_line();
        let address = line.trim_end().strip_prefix("listening on ").unwrap();
        let mut clients: Vec<TcpStream> = (0..20)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        for client in &mut clients {
            client.write_all(said).unwrap();
            client.read_exact(&mut vec![0; answer.len()]).unwrap();
        }
        server.allow_descriptors(10);
        clients[0].write_all(said).unwrap();
        server.assert_fails_at_poll(name);
    }
}

#[test]
fn a_tool_whose_poll_fails_ends_and_does_not_spin() {
    let _watchdog = watchdog();
    let fifo = Fifo::new();
    let path = fifo.path().to_str().unwrap();
    let command = format!("echo begun; cat {path}");

    // What it reads is open before the limit is there. It may meet the limit before it is written
    // to, and have ended by then.
    let line_count = Running::start(example("line_count").arg(path));
    let mut writer = writer_of(path);
    line_count.allow_descriptors(0);
    let _ = writer.write_all(b"line\n");
    line_count.assert_fails_at_poll("line_count");
    drop(writer);

    let held = Fifo::new();
    let endless = format!("exec sleep 1000 >{}", held.path().display());
    let mut parallel = Running::start(example("parallel").args(["-j0", &command, &endless]));
    let mut holder = File::open(held.path()).unwrap();
    parallel.out_line();
    let mut writer = writer_of(path);
    parallel.allow_descriptors(2);
    let _ = writer.write_all(b"line\n");
    parallel.assert_fails_at_poll("parallel");
    holder.read_to_end(&mut Vec::new()).unwrap(); // no command is left

    let directory = tempfile::tempdir().unwrap();
    let growing = directory.path().join("growing");
    fs::write(&growing, "first\n").unwrap();
    let mut tail = Running::start(example("tail_f").arg(&growing));
    tail.out_line();
    tail.allow_descriptors(1);
    let mut growing = OpenOptions::new().append(true).open(&growing).unwrap();
    growing.write_all(b"second\n").unwrap();
    tail.assert_fails_at_poll("tail_f");

    let mut host = Running::start(example("foreign_loop").args(["--every", "1000", path]));
    let mut writer = writer_of(path);
    writer.write_all(b"line\n").unwrap();
    host.out_line();
    host.allow_descriptors(1);
    let _ = writer.write_all(b"line\n");
    host.assert_fails_at_poll("foreign_loop");
    drop(writer);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut expect = Running::start(example("expect").stdin(Stdio::piped()).arg(address));
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"line\n").unwrap();
    expect.out_line();
    expect.allow_descriptors(1);
    let _ = peer.write_all(b"line\n");
    expect.assert_fails_at_poll("expect");

    let grep = Running::start(example("pipe_grep").args(["x", path]));
    let mut writer = writer_of(path);
    writer.write_all(&[b'\n'; 1 << 17]).unwrap(); // more than a pipe holds: it reads
    grep.allow_descriptors(0);
    let _ = writer.write_all(b"line\n");
    grep.assert_fails_at_poll("pipe_grep");
}
