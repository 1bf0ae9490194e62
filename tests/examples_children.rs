//! The examples with children, run as a user runs them; what they print is compared with `grep`,
//! `wc` and `sha1sum` alone. `cargo test` builds them; with `cargo test --test examples_children`
//! alone, `cargo build --examples` does.

mod built;
mod support;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use support::watchdog;

fn example(name: &str) -> Command {
    let mut command = Command::new(built::example(name));
    command.stdin(Stdio::null());
    command
}

fn run<S: AsRef<OsStr>>(name: &str, args: &[S]) -> Output {
    example(name).args(args).output().unwrap()
}

#[track_caller]
fn assert_prints(output: &Output, code: i32, stdout: &str, stderr_part: &str) {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(
        (output.status.code(), &*out),
        (Some(code), stdout),
        "stderr: {err}"
    );
    assert!(
        err.contains(stderr_part),
        "{err:?} does not contain {stderr_part:?}"
    );
    assert!(!err.contains("panicked"), "{err}");
}

/// A directory with files.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn fifo(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        assert!(Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success());
        path
    }
}

// ------------------------------------------------------------------ pipe_grep

/// What `LC_ALL=C grep -a PATTERN < FILE | wc -lc` says.
fn grep_and_wc(pattern: &str, path: &Path) -> String {
    let grep = Command::new("grep")
        .args(["-a", "-e", pattern])
        .env("LC_ALL", "C")
        .stdin(File::open(path).unwrap())
        .output()
        .unwrap();
    let lines = grep.stdout.iter().filter(|&&byte| byte == b'\n').count();
    format!("{lines} {}\n", grep.stdout.len())
}

#[track_caller]
fn assert_greps(pattern: &str, path: &Path) {
    let expected = grep_and_wc(pattern, path);
    let code = i32::from(expected.starts_with("0 "));
    assert_prints(
        &run("pipe_grep", &[OsStr::new(pattern), path.as_os_str()]),
        code,
        &expected,
        "",
    );
}

/// Lines of 200 KB, of which every second one matches.
fn long_lines(count: usize) -> Vec<u8> {
    let mut text = Vec::new();
    for n in 0..count {
        text.extend(std::iter::repeat_n(b'.', 100_000));
        text.extend_from_slice(if n % 2 == 0 { b"needle" } else { b"straw" });
        text.extend(std::iter::repeat_n(b'.', 100_000));
        text.push(b'\n');
    }
    text
}

/// NUL, bytes that are no UTF-8, CR, and no newline at the end.
fn binary(size: usize) -> Vec<u8> {
    let mut random = support::Random(7);
    let mut bytes: Vec<u8> = (0..size).map(|_| random.below(256) as u8).collect();
    bytes.extend_from_slice(b"\n\0\xff needle \xfe\0\r\n\0no newline, needle");
    bytes
}

#[test]
fn pipe_grep_counts_what_grep_and_wc_count() {
    let _watchdog = watchdog();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/scheduler/turn.rs");
    for pattern in ["fn", "^$", "-", ".", "no such w[o]rds"] {
        assert_greps(pattern, &source);
    }
}

#[test]
fn pipe_grep_is_right_for_lines_of_200_kb() {
    let _watchdog = watchdog();
    let files = Files::new();
    let path = files.write("long", &long_lines(40));
    assert_eq!(grep_and_wc("needle", &path), "20 4000140\n");
    assert_greps("needle", &path);
}

#[test]
fn pipe_grep_is_right_for_binary_input() {
    let _watchdog = watchdog();
    let files = Files::new();
    let path = files.write("binary", &binary(2_000_000));
    assert_ne!(grep_and_wc("needle", &path), "0 0\n");
    assert_greps("needle", &path);
    assert_greps("a", &path);
}

#[test]
fn pipe_grep_is_right_for_an_empty_file() {
    let _watchdog = watchdog();
    let files = Files::new();
    assert_prints(
        &run(
            "pipe_grep",
            &[OsStr::new("x"), files.write("empty", b"").as_os_str()],
        ),
        1,
        "0 0\n",
        "",
    );
}

#[test]
fn pipe_grep_reads_fifos_and_stdin() {
    let _watchdog = watchdog();
    let files = Files::new();
    let content = long_lines(10);
    let expected = "5 1000035\n";
    let fifo = files.fifo("fifo");
    thread::scope(|scope| {
        scope.spawn(|| {
            File::options()
                .write(true)
                .open(&fifo)
                .unwrap()
                .write_all(&content)
                .unwrap()
        });
        assert_prints(
            &run("pipe_grep", &[OsStr::new("needle"), fifo.as_os_str()]),
            0,
            expected,
            "",
        );
    });
    let path = files.write("file", &content);
    let output = example("pipe_grep")
        .args(["needle", "/dev/stdin"])
        .stdin(File::open(path).unwrap())
        .output()
        .unwrap();
    assert_prints(&output, 0, expected, "");
}

#[test]
fn pipe_grep_names_a_file_that_is_missing_or_cannot_be_read() {
    let _watchdog = watchdog();
    let files = Files::new();
    let needle = OsStr::new("needle");
    assert_prints(
        &run("pipe_grep", &[needle, files.path("missing").as_os_str()]),
        2,
        "",
        "missing: No such file",
    );
    let directory = files.0.path().as_os_str();
    let output = run("pipe_grep", &[needle, directory]);
    assert_prints(&output, 2, "", "Is a directory");
    assert!(String::from_utf8_lossy(&output.stderr).contains(&*directory.to_string_lossy()));
}

/// grep ends at once with a pattern that it does not understand, long before 8 MB were fed.
#[test]
fn pipe_grep_tells_of_a_grep_that_ends_early() {
    let _watchdog = watchdog();
    let files = Files::new();
    let path = files.write("long", &long_lines(40));
    let output = run("pipe_grep", &[OsStr::new("\\("), path.as_os_str()]);
    assert_prints(&output, 2, "", "pipe_grep: grep failed with status 2");

    // A program of that name that takes a part, and says that it has had enough.
    let program = files.write("grep", b"#!/bin/sh\nhead -n 1\n");
    assert!(Command::new("chmod")
        .arg("+x")
        .arg(program)
        .status()
        .unwrap()
        .success());
    let path_with_it = format!(
        "{}:{}",
        files.0.path().display(),
        std::env::var("PATH").unwrap()
    );
    let output = example("pipe_grep")
        .args([OsStr::new("x"), path.as_os_str()])
        .env("PATH", path_with_it)
        .output()
        .unwrap();
    assert_prints(&output, 0, "1 200007\n", "");
}

#[test]
fn pipe_grep_tells_of_a_grep_that_is_not_there() {
    let _watchdog = watchdog();
    let files = Files::new();
    let path = files.write("file", b"content\n");
    let output = example("pipe_grep")
        .args([OsStr::new("x"), path.as_os_str()])
        .env("PATH", files.0.path())
        .output()
        .unwrap();
    assert_prints(
        &output,
        2,
        "",
        "pipe_grep: spawn grep, stage 1 of 2: No such file",
    );
}

// ------------------------------------------------------------------ pipe_csum

fn sha1sum<S: AsRef<OsStr>>(paths: &[S]) -> String {
    String::from_utf8(Command::new("sha1sum").args(paths).output().unwrap().stdout).unwrap()
}

#[test]
fn pipe_csum_prints_what_sha1sum_prints() {
    let _watchdog = watchdog();
    let files = Files::new();
    let mut paths = vec![
        files.write("binary", &binary(3_000_000)),
        files.write("large", &long_lines(100)),
    ];
    for len in [0, 1, 65_535, 65_536, 65_537] {
        paths.push(files.write(&len.to_string(), &binary(65_537)[..len]));
    }
    assert_prints(&run("pipe_csum", &paths), 0, &sha1sum(&paths), "");
    let output = run("pipe_csum", &paths);
    assert!(
        output.stderr.is_empty(),
        "no bar where there is no terminal"
    );
}

#[test]
fn pipe_csum_names_what_it_cannot_read_and_goes_on() {
    let _watchdog = watchdog();
    let files = Files::new();
    let fine = files.write("fine", b"abc");
    let output = run(
        "pipe_csum",
        &[files.path("missing").as_path(), files.0.path(), &fine],
    );
    assert_prints(&output, 1, &sha1sum(&[fine]), "missing: No such file");
    assert_prints(
        &output,
        1,
        &String::from_utf8_lossy(&output.stdout),
        "Is a directory",
    );
}

/// A program of that name that gives another answer each time.
#[test]
fn pipe_csum_tells_when_the_two_ways_do_not_agree() {
    let _watchdog = watchdog();
    let files = Files::new();
    let program = files.write("sha1sum", b"#!/bin/sh\ncat >/dev/null; echo $$ -\n");
    assert!(Command::new("chmod")
        .arg("+x")
        .arg(program)
        .status()
        .unwrap()
        .success());
    let path_with_it = format!(
        "{}:{}",
        files.0.path().display(),
        std::env::var("PATH").unwrap()
    );
    let output = example("pipe_csum")
        .arg(files.write("file", b"abc"))
        .env("PATH", path_with_it)
        .output()
        .unwrap();
    assert_prints(&output, 1, "", "file: communicate gave ");
}

#[test]
fn pipe_csum_shows_a_bar_on_a_terminal_for_a_large_file_only() {
    let _watchdog = watchdog();
    let files = Files::new();
    let (small, large) = (files.write("small", b"abc"), files.path("large"));
    File::create(&large).unwrap().set_len(32 << 20).unwrap();
    let on_terminal = on_a_terminal(example("pipe_csum").arg(&small));
    assert!(on_terminal.is_empty(), "{on_terminal:?}");
    let on_terminal = on_a_terminal(example("pipe_csum").arg(&large));
    assert!(on_terminal.contains("large ["), "{on_terminal:?}");
    assert!(on_terminal.contains('%'), "{on_terminal:?}");
}

/// What comes to a terminal that is its stderr.
fn on_a_terminal(command: &mut Command) -> String {
    let (mut ours, mut theirs) = (-1, -1);
    let size = libc::winsize {
        ws_row: 24,
        ws_col: 120,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the pointers are to live values, or null where that is allowed.
    let answer = unsafe {
        let none = std::ptr::null_mut();
        libc::openpty(
            &mut ours,
            &mut theirs,
            none,
            none.cast(),
            &raw const size as *mut _,
        )
    };
    assert_eq!(answer, 0);
    // SAFETY: openpty has just made both.
    let [ours, theirs] = [ours, theirs].map(|number| unsafe { OwnedFd::from_raw_fd(number) });
    let mut child = command
        .env("TERM", "xterm")
        .stdout(Stdio::null())
        .stderr(theirs)
        .spawn()
        .unwrap();
    command.stderr(Stdio::null()); // the command's own handle to the terminal
    let mut shown = Vec::new();
    let mut ours = File::from(ours);
    let mut piece = [0; 4096];
    while let Ok(size @ 1..) = ours.read(&mut piece) {
        shown.extend_from_slice(&piece[..size]); // EIO is the end: the other side has gone
    }
    assert!(child.wait().unwrap().success());
    String::from_utf8_lossy(&shown).into_owned()
}

// ------------------------------------------------------------------ both

#[test]
fn a_wrong_command_line_is_told_with_the_usage() {
    let _watchdog = watchdog();
    let wrong: [(&str, &[&str]); 4] = [
        ("pipe_grep", &[]),
        ("pipe_grep", &["pattern"]),
        ("pipe_grep", &["one", "two", "three"]),
        ("pipe_csum", &[]),
    ];
    for (name, args) in wrong {
        assert_prints(&run(name, args), 2, "", &format!("usage: {name}"));
    }
}
