//! The examples that are tools, `parallel`, `tail_f` and `repl`, are run as a user runs them, on
//! real commands, files and programs. `cargo test` builds them; with
//! `cargo test --test examples_tools` alone, `cargo build --examples` does.
//!
//! That a process is gone is seen at the end of file of a FIFO or pipe that it had open: its number
//! may be another's.

mod built;
mod signals;

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use std::ptr::null_mut;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

// ---- how an example is run

fn example(name: &str) -> Command {
    let mut command = Command::new(built::example(name));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    signals::with_defaults(&mut command);
    command
}

fn run(name: &str, args: &[&str]) -> Output {
    example(name).args(args).output().unwrap()
}

fn run_with_input(command: &mut Command, input: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    thread::scope(|scope| {
        // a child that stops early is no failure here
        scope.spawn(move || stdin.write_all(input.as_bytes()));
        child.wait_with_output().unwrap()
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn assert_ends(output: &Output, code: i32, stderr_parts: &[&str]) {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(
        output.status.code(),
        Some(code),
        "{}\nstdout: {out}\nstderr: {err}",
        output.status
    );
    for part in stderr_parts {
        assert!(err.contains(part), "{err:?} does not contain {part:?}");
    }
    assert!(!err.contains("panicked"), "{err}");
}

/// An example that goes on running; killed when the test ends, however it ends.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    err: BufReader<ChildStderr>,
}

impl Running {
    fn start(command: &mut Command) -> Running {
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let err = BufReader::new(child.stderr.take().unwrap());
        Running { child, out, err }
    }

    fn out_line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line
    }

    #[track_caller]
    fn err_line_with(&mut self, part: &str) -> String {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            self.err.read_line(&mut line).unwrap();
            assert!(
                !line.is_empty(),
                "stderr ended without {part:?}, after: {seen}"
            );
            if line.contains(part) {
                return line;
            }
            seen.push_str(&line);
        }
    }

    fn signal(&self, signal: i32) {
        // SAFETY: takes two numbers; the child was not reaped, so its number is its own.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    /// Waits for its end, and for that of whoever has its stderr: what was left on stdout and
    /// stderr.
    fn finish(mut self) -> Output {
        drop(self.child.stdin.take());
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        self.out.read_to_end(&mut stdout).unwrap();
        self.err.read_to_end(&mut stderr).unwrap();
        Output {
            status: self.child.wait().unwrap(),
            stdout,
            stderr,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ends the process, with the test's name, when the test that made it takes longer than any machine
/// needs.
#[must_use]
fn guard() -> mpsc::Sender<()> {
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let (alive, ended) = mpsc::channel();
    thread::spawn(move || {
        if ended.recv_timeout(Duration::from_secs(120)) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = writeln!(std::io::stderr(), "{test} hangs");
            process::abort();
        }
    });
    alive
}

/// A FIFO: who has it open for writing is seen to be gone at its end of file.
struct Fifo {
    path: PathBuf,
}

impl Fifo {
    fn new(dir: &Path) -> Fifo {
        let path = dir.join("fifo");
        let name = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: a NUL-terminated string that lives through the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        Fifo { path }
    }

    /// Waits for who writes to it.
    fn reader(&self) -> BufReader<File> {
        BufReader::new(File::open(&self.path).unwrap())
    }
}

impl std::fmt::Display for Fifo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.path.display().fmt(f)
    }
}

/// The writing end of a pipe for the command and all whom it starts: at its end of file they have
/// all gone.
fn held(command: &mut Command) -> impl Read {
    let (reader, writer) = std::io::pipe().unwrap();
    // SAFETY: between fork and exec it makes one system call.
    unsafe {
        command.pre_exec(
            move || match libc::fcntl(writer.as_raw_fd(), libc::F_SETFD, 0) {
                0 => Ok(()), // it is not closed on exec, in the child alone
                _ => Err(std::io::Error::last_os_error()),
            },
        )
    };
    reader
}

fn line_of(reader: &mut impl BufRead) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    line
}

fn assert_all_have_gone(mut reader: impl Read) {
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    assert_eq!(text(&rest), "");
}

fn is_there(program: &str) -> bool {
    let there = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .is_ok();
    if !there {
        println!("skipped: {program} is not there");
    }
    there
}

#[test]
fn a_wrong_command_line_is_told_with_the_usage() {
    let wrong: &[(&str, &[&str])] = &[
        ("parallel", &[]),
        ("parallel", &["-j"]),
        ("parallel", &["-j", "many", "true"]),
        ("parallel", &["-j-1", "true"]),
        ("parallel", &["--jobs=x", "true"]),
        ("parallel", &["--timeout", "0", "true"]),
        ("parallel", &["--timeout=nan", "true"]),
        ("parallel", &["--timeout", "1e30", "true"]),
        ("parallel", &["--slow-fail", "true"]),
        ("parallel", &["-f"]),
        ("parallel", &["-f", "/nonexistent/file"]),
        ("parallel", &["-f", "/dev/null"]),
        ("tail_f", &[]),
        ("tail_f", &["one", "two"]),
        ("tail_f", &["--every", "0", "one"]),
        ("tail_f", &["--every"]),
        ("tail_f", &["--lines", "-1", "one"]),
        ("tail_f", &["--follow", "one"]),
        ("repl", &[]),
        ("repl", &["--timeout", "soon", "sh"]),
        ("repl", &["--timeout"]),
        ("repl", &["--prompt", ""]),
        ("repl", &["--prompt", "> "]),
        ("repl", &["--verbose", "sh"]),
        ("repl", &["cat"]),
    ];
    for (name, args) in wrong {
        let output = run(name, args);
        assert_ends(
            &output,
            2,
            &[&format!("{name}: "), &format!("usage: {name}")],
        );
        assert_eq!(text(&output.stdout), "");
    }
}

// ---- parallel

/// Each says five lines, so that those of eight at a time meet.
const TALKER: &str = r#"
n=$1
printf 'command %s begins\n' $n
printf '%s: %0500d\n' $n $n
echo "$n, a line with spaces,	a tab and 'quotes'"
printf '%s half of a line, ' $n; printf 'and the other half\n'
printf '%s: no newline at the end' $n
"#;

fn sorted_lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn parallel_says_what_xargs_says_with_no_line_in_another() {
    let _guard = guard();
    let dir = tempfile::tempdir().unwrap();
    let (talker, collected) = (dir.path().join("talker"), dir.path().join("collected"));
    fs::write(&talker, TALKER).unwrap();
    // xargs keeps nothing apart: what it says is written in one piece, and ends with a newline.
    let said = dir.path().join("said.$1");
    let script = format!(
        "sh {0} $1 > {1}; echo >> {1}; dd bs=4000 < {1} 2> /dev/null",
        talker.display(),
        said.display()
    );
    fs::write(&collected, script).unwrap();

    let numbers: String = (1..=500).map(|n| format!("{n}\n")).collect();
    let xargs = run_with_input(
        Command::new("xargs")
            .args(["-P", "8", "-n", "1", "sh", collected.to_str().unwrap()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
        &numbers,
    );
    assert!(xargs.status.success());

    let commands: String = (1..=500)
        .map(|n| format!("sh {} {n}\n", talker.display()))
        .collect();
    let parallel = run_with_input(example("parallel").args(["-j", "8", "-f", "-"]), &commands);
    assert_ends(&parallel, 0, &["500 of 500 succeeded", "sh.500"]);
    let mut said = String::new();
    for line in text(&parallel.stdout).lines() {
        let (name, rest) = line
            .split_once("| ")
            .unwrap_or_else(|| panic!("no name before {line:?}"));
        let number = name.trim_end().strip_prefix("sh.").unwrap();
        assert!(
            rest.starts_with(number) || rest.starts_with(&format!("command {number} ")),
            "{line:?}"
        );
        said.push_str(rest);
        said.push('\n');
    }
    assert_eq!(said.lines().count(), 2500);
    assert_eq!(sorted_lines(&said), sorted_lines(&text(&xargs.stdout)));
}

/// Lines too long for one write to a pipe, in many pieces, from both streams of eight commands into
/// one pipe.
#[test]
fn parallel_keeps_long_lines_whole_when_both_streams_go_to_one_place() {
    let _guard = guard();
    let script = "for n in 1 2 3 4 5 6 7 8 9 10; do \
                  printf '%s %09000d ' $0 $n; printf '%09000d\\n' $n; printf '%s %020000d\\n' $0 $n >&2; done";
    let commands: Vec<_> = ('a'..='h')
        .map(|name| format!("{name}: sh -c \"$SCRIPT\" {name}"))
        .collect();
    let mut command = Command::new("sh");
    command
        .args(["-c", "\"$@\" 2>&1", "sh"])
        .arg(example("parallel").get_program());
    let output = command
        .args(["-j", "8"])
        .args(&commands)
        .env("SCRIPT", script)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let output = text(&output.stdout);
    // then comes the table
    let lines: Vec<_> = output.lines().take_while(|line| !line.is_empty()).collect();
    let mut expected = Vec::new();
    for name in 'a'..='h' {
        for n in 1..=10 {
            expected.push(format!("{name} | {name} {n:09000} {n:09000}"));
            expected.push(format!("{name} | {name} {n:020000}"));
        }
    }
    expected.sort_unstable();
    let mut lines: Vec<_> = lines.into_iter().map(str::to_owned).collect();
    lines.sort_unstable();
    assert!(
        lines == expected,
        "{} lines of {}",
        lines.len(),
        expected.len()
    );
}

#[test]
fn parallel_keeps_stdout_and_stderr_apart_and_names_each_line() {
    let _guard = guard();
    let output = run(
        "parallel",
        &[
            "-j1",
            "web: echo out; echo err >&2; printf rest",
            "worker: echo working; exit 3",
        ],
    );
    assert_ends(&output, 1, &["web    | err\n", "1 of 2 succeeded"]);
    assert_eq!(
        text(&output.stdout),
        "web    | out\nweb    | rest\nworker | working\n"
    );
    let err = text(&output.stderr);
    let row = |name: &str| {
        err.lines()
            .find(|line| line.starts_with(&format!("{name} ")) && !line.contains('|'))
            .unwrap()
    };
    assert!(
        row("web").ends_with("  ok") && row("worker").ends_with("  exit 3"),
        "{err}"
    );
}

#[test]
fn parallel_reads_commands_from_a_file_and_from_its_arguments() {
    let _guard = guard();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("commands");
    fs::write(
        &path,
        "# what is run\n\none: echo 1\n  /bin/echo 2 # a shell's comment\nkill -9 $$",
    )
    .unwrap();
    let output = run(
        "parallel",
        &["--file", path.to_str().unwrap(), "--jobs=1", "echo 3"],
    );
    assert_ends(&output, 1, &["signal 9", "3 of 4 succeeded"]);
    assert_eq!(text(&output.stdout), "one    | 1\necho.2 | 2\necho.4 | 3\n");
}

#[test]
fn parallel_runs_so_many_at_a_time_and_no_more() {
    let _guard = guard();
    let dir = tempfile::tempdir().unwrap();
    let running = dir.path().join("running");
    fs::create_dir(&running).unwrap();
    let script = format!("cd {}; : > $$; ls | wc -l; rm $$", running.display());
    for jobs in [1, 3] {
        let commands = vec![script.as_str(); 40];
        let output = example("parallel")
            .arg(format!("-j{jobs}"))
            .args(commands)
            .output()
            .unwrap();
        assert_ends(&output, 0, &["40 of 40"]);
        let counts: Vec<usize> = text(&output.stdout)
            .lines()
            .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(counts.len(), 40);
        assert!(
            counts.iter().all(|count| (1..=jobs).contains(count)),
            "{counts:?} with -j {jobs}"
        );
    }
    // These two wait for each other: each has to run while the other does.
    let fifo = Fifo::new(dir.path());
    let output = run(
        "parallel",
        &[
            "-j",
            "0",
            &format!("cat {fifo}"),
            &format!("echo met > {fifo}"),
        ],
    );
    assert_ends(&output, 0, &["2 of 2"]);
    assert_eq!(text(&output.stdout), "cat  | met\n");
}

#[test]
fn parallel_ends_a_command_at_its_deadline_with_all_that_it_has_started() {
    let _guard = guard();
    let start = Instant::now();
    let mut command = example("parallel");
    let holders = held(command.args(["--timeout", "0.5", "slow: sleep 1000 & sleep 1000"]));
    let tool = Running::start(&mut command);
    drop(command);
    assert_all_have_gone(holders);
    assert!(start.elapsed() >= Duration::from_millis(500));
    assert_ends(&tool.finish(), 1, &["timed out", "0 of 1 succeeded"]);
    // And one that is done before is none the worse for it.
    let output = run("parallel", &["--timeout=1000", "quick: echo done"]);
    assert_ends(&output, 0, &["1 of 1 succeeded"]);
    assert_eq!(text(&output.stdout), "quick | done\n");
}

#[test]
fn parallel_fails_fast_if_it_is_told_to() {
    let _guard = guard();
    let commands = ["bad: exit 3", "long: sleep 1000", "next: echo never"];
    let output = example("parallel")
        .args(["--fail-fast", "-j2"])
        .args(commands)
        .output()
        .unwrap();
    assert_ends(
        &output,
        1,
        &[
            "bad: exit 3; the others are stopped",
            "stopped",
            "not begun",
            "0 of 3 succeeded",
        ],
    );
    assert_eq!(text(&output.stdout), "");
    // Otherwise a failure is the failed one's.
    let output = run("parallel", &["-j1", "bad: exit 3", "next: echo still"]);
    assert_ends(&output, 1, &["1 of 2 succeeded"]);
    assert_eq!(text(&output.stdout), "next | still\n");
}

#[test]
fn parallel_ends_all_commands_on_ctrl_c_and_says_so() {
    let _guard = guard();
    for (signal, code) in [
        (libc::SIGINT, 130),
        (libc::SIGTERM, 143),
        (libc::SIGHUP, 129),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let fifo = Fifo::new(dir.path());
        let hold = format!("exec 9> {fifo}; echo ready; sleep 1000");
        let mut tool =
            Running::start(example("parallel").args(["-j2", &hold, &hold, "later: echo never"]));
        let holders = fifo.reader();
        assert_eq!(
            [tool.out_line(), tool.out_line()].map(|line| line.ends_with("| ready\n")),
            [true; 2]
        );
        tool.signal(signal);
        assert_all_have_gone(holders);
        let output = tool.finish();
        assert_ends(
            &output,
            code,
            &[
                "interrupted: ending 2 commands, 1 are not begun",
                "stopped",
                "0 of 3 succeeded",
            ],
        );
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn parallel_kills_what_does_not_end_when_it_is_asked_to() {
    let _guard = guard();
    for is_impatient in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let fifo = Fifo::new(dir.path());
        let stubborn =
            format!("trap '' TERM INT; exec 9> {fifo}; echo ready; while :; do sleep 1000; done");
        let mut tool = Running::start(example("parallel").arg(&stubborn));
        let holders = fifo.reader();
        assert!(tool.out_line().ends_with("| ready\n"));
        tool.signal(libc::SIGINT);
        tool.err_line_with("interrupted: ending 1 commands");
        if is_impatient {
            tool.signal(libc::SIGINT);
        }
        assert_all_have_gone(holders);
        let said = if is_impatient {
            "interrupted again: 1 commands were killed"
        } else {
            "0 of 1 succeeded"
        };
        assert_ends(&tool.finish(), 130, &[said]);
    }
}

#[test]
fn parallel_ends_its_commands_when_nobody_reads_any_more() {
    let _guard = guard();
    let dir = tempfile::tempdir().unwrap();
    let fifo = Fifo::new(dir.path());
    let endless = format!("exec 9> {fifo}; yes");
    let mut tool = Running::start(example("parallel").arg(&endless));
    let holders = fifo.reader();
    assert_eq!(tool.out_line(), "exec | y\n");
    let Running { child, out, .. } = &mut tool;
    let (reader, _) = std::io::pipe().unwrap();
    drop(std::mem::replace(
        out,
        BufReader::new(ChildStdout::from(OwnedFd::from(reader))),
    ));
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_all_have_gone(holders);
    assert!(tool.err_line_with("Broken pipe").starts_with("parallel: "));
}

/// A pseudo-terminal: the master's side, and the slave's.
fn terminal() -> (File, OwnedFd) {
    let (mut master, mut slave) = (-1, -1);
    // SAFETY: the pointers are to live variables, or null where that is allowed; then both
    // descriptors are ours.
    unsafe {
        assert_eq!(
            libc::openpty(&mut master, &mut slave, null_mut(), null_mut(), null_mut()),
            0
        );
        (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave))
    }
}

#[test]
fn parallel_colours_the_names_on_a_terminal_and_nowhere_else() {
    let _guard = guard();
    for (no_color, name) in [("", "\x1b[31mecho |\x1b[0m hello"), ("1", "echo | hello")] {
        let (mut master, slave) = terminal();
        let mut command = example("parallel");
        let status = command
            .arg("echo hello")
            .env("NO_COLOR", no_color)
            .stdout(slave)
            .status()
            .unwrap();
        assert!(status.success());
        let mut said = [0; 1000];
        let size = master.read(&mut said).unwrap();
        assert_eq!(text(&said[..size]), format!("{name}\r\n"));
    }
    assert_eq!(
        text(&run("parallel", &["echo hello"]).stdout),
        "echo | hello\n"
    );
}

// ---- tail_f

fn append(path: &Path, text: &str) {
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
}

#[test]
fn tail_f_prints_what_a_file_grows_by_and_ends_on_ctrl_c() {
    let _guard = guard();
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        append(&path, "0\n1\n2\n");
        let mut tool = Running::start(example("tail_f").args(["--lines", "2"]).arg(&path));
        assert_eq!([tool.out_line(), tool.out_line()], ["1\n", "2\n"]);
        for n in 3..100 {
            append(&path, &format!("{n}\n"));
            assert_eq!(tool.out_line(), format!("{n}\n"));
        }
        tool.signal(signal);
        // tail has the same stderr: its end of file comes when both have gone.
        let output = tool.finish();
        assert_ends(&output, 0, &["ended after 99 lines"]);
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn tail_f_has_a_heartbeat_and_loses_no_part_of_a_line_to_it() {
    let _guard = guard();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    append(&path, "whole\nhal");
    let mut tool = Running::start(example("tail_f").args(["--every", "0.05"]).arg(&path));
    assert_eq!(tool.out_line(), "whole\n");
    tool.err_line_with("nothing new for 50ms; 1 lines so far, 3 bytes of the next");
    append(&path, "f of it");
    tool.err_line_with("nothing new for 50ms; 1 lines so far, 10 bytes of the next");
    append(&path, "\nlast");
    assert_eq!(tool.out_line(), "half of it\n");
    tool.err_line_with("2 lines so far, 4 bytes of the next");
    tool.signal(libc::SIGINT);
    let output = tool.finish();
    assert_ends(&output, 0, &["ended after 2 lines"]);
    assert_eq!(text(&output.stdout), "last"); // what tail had said before it was ended
}

#[test]
fn tail_f_follows_a_file_that_is_replaced_and_one_that_is_not_there_yet() {
    let _guard = guard();
    let dir = tempfile::tempdir().unwrap();
    let (path, old) = (dir.path().join("log"), dir.path().join("log.1"));
    let mut tool = Running::start(example("tail_f").arg(&path));
    append(&path, "first\n");
    assert_eq!(tool.out_line(), "first\n");
    fs::rename(&path, &old).unwrap();
    append(&path, "second\n");
    assert_eq!(tool.out_line(), "second\n");
    tool.signal(libc::SIGINT);
    assert_ends(&tool.finish(), 0, &["ended after 2 lines"]);
}

#[test]
fn tail_f_passes_a_large_file_on_byte_for_byte() {
    let _guard = guard();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let content: String = (0..50_000)
        .map(|n| format!("{n} {}\n", "x".repeat(n % 97)))
        .collect();
    append(&path, &content);
    let mut tool = Running::start(example("tail_f").args(["--lines", "50000"]).arg(&path));
    let mut said = vec![0; content.len()];
    tool.out.read_exact(&mut said).unwrap();
    assert!(said == content.as_bytes());
    tool.signal(libc::SIGINT);
    assert_ends(&tool.finish(), 0, &["ended after 50000 lines"]);
}

#[test]
fn tail_f_ends_when_nobody_reads_any_more() {
    let _guard = guard();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    append(&path, "one\n");
    let mut tool = Running::start(example("tail_f").arg(&path));
    assert_eq!(tool.out_line(), "one\n");
    let (reader, _) = std::io::pipe().unwrap();
    drop(std::mem::replace(
        &mut tool.out,
        BufReader::new(ChildStdout::from(OwnedFd::from(reader))),
    ));
    append(&path, "two\n");
    assert_ends(&tool.finish(), 1, &["Broken pipe"]);
}

// ---- repl

#[test]
fn repl_prints_each_line_and_the_answer_to_it() {
    let _guard = guard();
    let script = "echo one; echo two\nprintf 'no newline'\n\nname=value\nfor n in 1 2; do\necho $n $name\ndone\n\
                  echo on stderr >&2\ntest -t 0 && echo a terminal\nexit 3\n";
    let output = run_with_input(example("repl").arg("sh"), script);
    assert_ends(&output, 3, &[]);
    assert_eq!(
        text(&output.stdout),
        "> echo one; echo two\none\ntwo\n> printf 'no newline'\nno newline\n> \n> name=value\n> for n in 1 2; do\n\
         > echo $n $name\n> done\n1 value\n2 value\n> echo on stderr >&2\non stderr\n\
         > test -t 0 && echo a terminal\na terminal\n> exit 3\n"
    );
}

/// Answers that come in many reads, each cut off where the next begins.
#[test]
fn repl_loses_nothing_between_two_answers() {
    let _guard = guard();
    let mut script = String::new();
    let mut expected = String::new();
    for n in 0..50 {
        let count = n * n * 4;
        let line =
            format!("n=0; while [ $n -lt {count} ]; do n=$((n+1)); echo $n of {count}; done");
        expected += &format!("> {line}\n");
        (1..=count).for_each(|at| expected += &format!("{at} of {count}\n"));
        script += &format!("{line}\n");
    }
    let output = run_with_input(example("repl").args(["--timeout", "60", "sh"]), &script);
    assert_ends(&output, 0, &[]);
    assert!(
        text(&output.stdout) == expected,
        "{} bytes of {}",
        output.stdout.len(),
        expected.len()
    );
}

#[test]
fn repl_calculates_with_bc() {
    let _guard = guard();
    if is_there("bc") {
        let script = "1+1\n2^100\nscale=5; 1/3\nx=(\n7\ndefine f(x) { return x*x; }; f(12)\n";
        let output = run_with_input(example("repl").args(["bc", "-q"]), script);
        assert_ends(&output, 0, &[]);
        let said = text(&output.stdout);
        let said: Vec<_> = said
            .lines()
            .filter(|line| !line.contains("error"))
            .collect();
        assert_eq!(
            said,
            [
                "> 1+1",
                "2",
                "> 2^100",
                "1267650600228229401496703205376",
                "> scale=5; 1/3",
                ".33333",
                "> x=(",
                "> 7",
                "7",
                "> define f(x) { return x*x; }; f(12)",
                "144"
            ]
        );
    }
}

#[test]
fn repl_programs_in_python() {
    let _guard = guard();
    if is_there("python3") {
        let script = "6*7\nfor n in range(2):\n  print('line', n)\n\nimport sys; x = sys.stdout.write('no newline')\n\
                      1/0\nraise SystemExit(5)\n";
        let output = run_with_input(
            example("repl").args(["--timeout", "60", "python3", "-i", "-q"]),
            script,
        );
        let said = text(&output.stdout);
        for part in [
            "> 6*7\n42\n> for",
            "> \nline 0\nline 1\n> import",
            "\nno newline",
            "ZeroDivisionError",
            "> raise ",
        ] {
            assert!(said.contains(part), "{said:?} does not contain {part:?}");
        }
        assert!(!said.contains("<repl:"), "{said:?}");
    }
}

#[test]
fn repl_talks_to_any_program_that_has_a_prompt() {
    let _guard = guard();
    let program =
        "echo hello; while printf 'say: '; read line; do echo \"you said $line\"; done; exit 4";
    let mut command = example("repl");
    let output = run_with_input(
        command.args(["--prompt", "say: ", "sh", "-c", program]),
        "one\ntwo\n",
    );
    assert_ends(&output, 4, &[]);
    assert_eq!(
        text(&output.stdout),
        "hello\n> one\nyou said one\n> two\nyou said two\n"
    );
}

#[test]
fn repl_gives_each_answer_its_time_and_no_more() {
    let _guard = guard();
    let start = Instant::now();
    let mut command = example("repl");
    let holders = held(command.args(["--timeout", "3", "sh"]).stdin(Stdio::piped()));
    let mut tool = Running::start(&mut command);
    drop(command);
    let script = b"echo first\necho a part; sleep 1000\necho never\n";
    tool.child.stdin.take().unwrap().write_all(script).unwrap();
    assert_all_have_gone(holders);
    assert!(start.elapsed() >= Duration::from_secs(3));
    let output = tool.finish();
    assert_ends(
        &output,
        1,
        &["no answer to \"echo a part; sleep 1000\" within 3s, but \"a part\\n\""],
    );
    assert_eq!(text(&output.stdout), "> echo first\nfirst\n");
}

#[test]
fn repl_ends_the_program_on_ctrl_c_and_says_so() {
    let _guard = guard();
    let dir = tempfile::tempdir().unwrap();
    let fifo = Fifo::new(dir.path());
    // In the middle of an answer, and while nothing is asked.
    for line in [
        format!("exec 9> {fifo}; echo ready >&9; sleep 1000\n"),
        format!("exec 9> {fifo}; echo ready >&9\n"),
    ] {
        let mut command = example("repl");
        let mut tool = Running::start(command.arg("sh").stdin(Stdio::piped()));
        tool.child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(line.as_bytes())
            .unwrap();
        let mut holders = fifo.reader();
        assert_eq!(line_of(&mut holders), "ready\n");
        tool.signal(libc::SIGINT);
        assert_all_have_gone(holders);
        assert_ends(&tool.finish(), 130, &["interrupted"]);
    }
}

#[test]
fn repl_says_what_it_cannot_do() {
    let _guard = guard();
    assert_ends(
        &run("repl", &["/nonexistent/sh"]),
        1,
        &["repl: /nonexistent/sh: No such file"],
    );
    let long = format!("echo {}\n", "x".repeat(5000));
    assert_ends(
        &run_with_input(example("repl").arg("sh"), &long),
        1,
        &["repl: sh: a line of over 4094 bytes"],
    );
    let ends = run_with_input(
        example("repl").args(["--prompt", "> ", "sh", "-c", "echo no prompt; exit 6"]),
        "one\n",
    );
    assert_ends(&ends, 6, &[]);
    assert_eq!(text(&ends.stdout), "no prompt\n");
    let killed = run_with_input(example("repl").arg("sh"), "kill -9 $$\n");
    assert_ends(&killed, 137, &[]);
}

/// The longest line that a terminal takes arrives whole.
#[test]
fn repl_sends_the_longest_line_that_a_terminal_takes() {
    let _guard = guard();
    let line = format!("echo {}", "x".repeat(4094 - 5));
    let output = run_with_input(example("repl").arg("sh"), &format!("{line}\n"));
    assert_ends(&output, 0, &[]);
    assert_eq!(text(&output.stdout), format!("> {line}\n{}\n", &line[5..]));
}

/// The terminal's Ctrl-C goes to the whole foreground group: the tool is told once, and what it
/// runs not at all.
#[test]
fn a_ctrl_c_from_the_terminal_is_the_tool_s_to_handle() {
    let _guard = guard();
    let (mut master, slave) = terminal();
    let mut command = example("parallel");
    command
        .arg("trap 'echo got it' INT; echo ready; while :; do sleep 0.05; done")
        .stdin(slave.try_clone().unwrap());
    // SAFETY: between fork and exec it makes two system calls and nothing else.
    unsafe {
        command.pre_exec(|| {
            match libc::setsid() != -1 && libc::ioctl(0, libc::TIOCSCTTY as _, 0) != -1 {
                true => Ok(()),
                false => Err(std::io::Error::last_os_error()),
            }
        })
    };
    let mut tool = Running::start(&mut command);
    assert!(tool.out_line().ends_with("| ready\n"));
    master.write_all(b"\x03").unwrap();
    let output = tool.finish();
    assert_ends(&output, 130, &["interrupted: ending 1 commands"]);
    assert_eq!(text(&output.stdout), "");
}
