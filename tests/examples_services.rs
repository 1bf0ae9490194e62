//! The examples that keep programs running and talk to them, `supervise` and `rpc_client`, run as a
//! user runs them. `cargo test` builds them; with `cargo test --test examples_services` alone,
//! `cargo build --examples` does.

mod built;
mod signals;
mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use support::watchdog;

fn example(name: &str) -> Command {
    let mut command = Command::new(built::example(name));
    command.stdin(Stdio::null());
    signals::with_defaults(&mut command);
    command
}

/// A running `supervise`.
struct Supervise {
    child: Child,
    stdout: BufReader<ChildStdout>,
    _file: tempfile::NamedTempFile,
}

impl Supervise {
    fn start(args: &[&str], services: &str) -> Supervise {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), services).unwrap();
        let mut command = example("supervise");
        command.args(args).arg(file.path());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        Supervise {
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
            _file: file,
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn signal(&self, signal: libc::c_int) {
        // SAFETY: kill takes two numbers; the child is not reaped yet.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    /// The status, the rest of stdout, and stderr.
    fn end(mut self) -> (Option<i32>, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.stdout.read_to_string(&mut out).unwrap();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut err).unwrap();
        (self.child.wait().unwrap().code(), out, err)
    }
}

/// Whether there is a process of this number that is not a zombie.
fn is_alive(process: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().unwrap_or("").chars().next();
    state.map_or(false, |state| state != 'Z' && state != 'X')
}

#[test]
fn a_service_that_ends_is_started_again_and_each_of_its_lines_has_its_name() {
    let _alive = watchdog();
    let mut supervise = Supervise::start(
        &[],
        "# the services\n\none: echo out; echo err >&2; exit 3\n",
    );
    for _ in 0..3 {
        assert_eq!(supervise.line(), "one: out");
        assert_eq!(supervise.line(), "one: err");
    }
    supervise.signal(libc::SIGTERM);
    let (code, _, err) = supervise.end();
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("supervise: one: exit status: 3\n"), "{err}");
}

#[test]
fn a_signal_stops_every_service_with_its_group() {
    let _alive = watchdog();
    let mut supervise = Supervise::start(
        &["--grace", "60"],
        "tree: sleep 1000 & echo $!; wait\nplain: echo $$; exec sleep 1000\n",
    );
    let lines = [supervise.line(), supervise.line()];
    let process = |line: &String| line.split_once(": ").unwrap().1.to_owned();
    let processes = lines.iter().map(process).collect::<Vec<_>>();
    assert!(
        processes.iter().all(|process| is_alive(process)),
        "{lines:?}"
    );
    supervise.signal(libc::SIGINT);
    let (code, out, err) = supervise.end();
    assert_eq!((code, &*out), (Some(0), ""), "{err}");
    assert!(
        !processes.iter().any(|process| is_alive(process)),
        "{lines:?}"
    );
}

#[test]
fn a_service_that_takes_no_sigterm_is_killed_after_the_grace_or_at_a_second_signal() {
    for grace in ["0.05", "1000"] {
        let _alive = watchdog();
        let mut supervise = Supervise::start(
            &["--grace", grace],
            "deaf: trap 'echo no' TERM; echo ready; while :; do :; done\n",
        );
        assert_eq!(supervise.line(), "deaf: ready");
        supervise.signal(libc::SIGTERM);
        assert_eq!(supervise.line(), "deaf: no");
        supervise.signal(libc::SIGTERM);
        assert_eq!(supervise.end().0, Some(0));
    }
}

#[test]
fn a_service_whose_check_fails_or_takes_too_long_is_stopped_and_started_again() {
    for check in ["exit 1", "exec sleep 1000"] {
        let _alive = watchdog();
        let services = format!("web: echo up; exec sleep 1000\nweb check 0.02: {check}\n");
        let mut supervise = Supervise::start(&["--grace", "60"], &services);
        for _ in 0..3 {
            assert_eq!(supervise.line(), "web: up");
        }
        supervise.signal(libc::SIGTERM);
        let (code, _, err) = supervise.end();
        assert_eq!(code, Some(0), "{err}");
        assert!(err.contains("supervise: web: check: "), "{err}");
        assert!(err.contains("supervise: web: signal: 15"), "{err}");
    }
}

#[test]
fn a_file_of_services_that_is_wrong_is_a_message_and_status_2() {
    let wrong = [
        ("", "no services"),
        ("one\n", "not `NAME: COMMAND`"),
        ("one: a\none: b\n", "one is there twice"),
        ("one check 1: a\n", "one: a check before its service"),
        ("one: a\none check x: b\n", "x: not 0.001 to 1e9 seconds"),
    ];
    for (services, complaint) in wrong {
        let (code, out, err) = Supervise::start(&[], services).end();
        assert_eq!((code, &*out), (Some(2), ""), "{err}");
        assert!(
            err.starts_with("supervise: ") && err.contains(complaint),
            "{err}"
        );
    }
    let missing = example("supervise").arg("/nowhere").output().unwrap();
    assert_eq!(missing.status.code(), Some(2));
}

fn rpc(args: &[&str]) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let Output {
        status,
        stdout,
        stderr,
    } = example("rpc_client").args(args).output().unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn requests_are_answered_as_their_answers_come() {
    let _alive = watchdog();
    let (code, out, err) = rpc(&[]);
    assert_eq!((code, &*err), (Some(0), ""));
    assert_eq!(
        out,
        "2 add: 6.0\n3 echo: {\"some\":\"text\"}\n1 sleep: \"slept\"\n"
    );
}

#[test]
fn each_request_has_a_deadline_of_its_own() {
    let _alive = watchdog();
    let (code, out, err) = rpc(&["--timeout", "3", "sleep", "[100000]", "add", "[1, 2]"]);
    assert_eq!((code, &*out), (Some(1), "2 add: 3.0\n"));
    assert_eq!(err, "rpc_client: 1 sleep: no answer in time\n");
}

#[test]
fn a_server_that_ends_fails_every_request_that_waits() {
    let _alive = watchdog();
    let (code, out, err) = rpc(&["sleep", "[100000]", "crash", "no_such", "[1]"]);
    assert_eq!((code, &*out), (Some(1), ""));
    for request in ["1 sleep", "2 crash", "3 no_such"] {
        assert!(err.contains(&format!("rpc_client: {request}: ")), "{err}");
    }
}

#[test]
fn a_server_that_speaks_another_language_is_an_error() {
    let _alive = watchdog();
    for (timeout, server, complaint) in [
        ("60", "echo hello; cat", "not a message: \"hello\""),
        (
            "60",
            "printf 'Content-Length: 3\\r\\n\\r\\nabc'; cat",
            "not JSON",
        ),
        (
            "60",
            "printf 'Content-Length: 99\\r\\n\\r\\nab'; exec cat >&2",
            "unexpected end of file",
        ),
        ("0.2", "cat", "no answer in time"),
    ] {
        let (code, out, err) = rpc(&["--timeout", timeout, "--server", server, "add"]);
        assert_eq!((code, &*out), (Some(1), ""), "{server}: {err}");
        assert!(err.contains(complaint), "{server}: {err}");
    }
}
