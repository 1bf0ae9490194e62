//! The ladder: its rungs are run as the guide's page (`src/guide/ladder.md`) shows them, by a shell
//! with a quiet pipe as its descriptor 3, and must print what the page shows. Where the page shows
//! `^C`, the program must be asleep in a call that nothing but the test could end.
//!
//! `cargo test` builds the rungs; before `cargo test --test ladder`, `cargo build --examples` must.
#![allow(clippy::incompatible_msrv)] // Tests are compiled by today's compiler.

mod built;
#[path = "../examples/ladder/readline.rs"]
mod readline;
#[path = "house/tokens.rs"]
#[allow(dead_code)]
mod tokens;

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use readline::Readline;

const LINES: usize = 80;
/// How long a test waits for something that should come at once.
const GUARD: Duration = Duration::from_secs(60);
const RUN: &str = "cargo run -q --example ";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> String {
    fs::read_to_string(root().join("src/guide/ladder.md")).unwrap()
}

/// The files of the ladder, by their names without `.rs`, and their texts.
fn files() -> Vec<(String, String)> {
    let files = fs::read_dir(root().join("examples/ladder")).unwrap();
    let mut files: Vec<(String, String)> = files
        .map(|file| {
            let path = file.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_string();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// The rungs, from the first to the last.
fn rungs() -> Vec<(String, String)> {
    let mut files = files();
    files.retain(|(name, _)| name.starts_with(|first: char| first.is_ascii_digit()));
    files
}

/// The page's blocks of this kind.
fn blocks(page: &str, kind: &str) -> Vec<String> {
    let blocks = page.split("\n```").skip(1).step_by(2);
    let of_kind = blocks.filter_map(|block| block.strip_prefix(kind)?.strip_prefix('\n'));
    of_kind.map(str::to_string).collect()
}

/// One program of the page.
#[derive(Default)]
struct Shown {
    name: String,
    /// The commands before it, and its own.
    script: String,
    output: String,
    hangs: bool,
}

/// Reads a block of commands (`$ ...`) and their outputs.
fn shown(block: &str) -> Vec<Shown> {
    let (mut all, mut next) = (Vec::new(), Shown::default());
    let mut lines = block.lines().peekable();
    while let Some(line) = lines.next() {
        let mut command = line.strip_prefix("$ ").expect("a command").to_string();
        while command.ends_with('\\') {
            command.truncate(command.len() - 1);
            command += lines.next().expect("a continued line").trim_start();
        }
        while let Some(line) = lines.next_if(|line| !line.starts_with("$ ")) {
            next.hangs |= line == "^C";
            if line != "^C" {
                next.output += &format!("{line}\n");
            }
        }
        next.script += &format!("{command}\n");
        if let Some((_, name)) = command.split_once(RUN) {
            next.name = name.split(' ').next().unwrap().to_string();
            all.push(std::mem::take(&mut next));
        }
    }
    all
}

/// Where one program runs: with its own quiet pipe, and files for what it prints.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        Place { dir }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The shell, ready to run the program. It becomes the program, if that is to hang.
    fn shell(&self, shown: &Shown) -> Command {
        let program = format!("{} ", built::example(&shown.name).display());
        let run = format!("{RUN}{} -- ", shown.name);
        let exec = if shown.hangs { "exec " } else { "" };
        let script = format!(
            "mkfifo /tmp/quiet; exec 3<>/tmp/quiet; echo secret >/tmp/other\n{}",
            shown.script.replace(&run, &format!("{exec}{program}"))
        );
        let script = script.replace("/tmp/quiet", self.file("quiet").to_str().unwrap());
        let script = script.replace("/tmp/other", self.file("other").to_str().unwrap());
        let mut shell = Command::new("bash");
        shell
            .args(["-c", &script])
            .current_dir(root())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(File::create(self.file("out")).unwrap())
            .stderr(File::create(self.file("err")).unwrap());
        shell
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap()
    }
}

/// The number of a descriptor depends on what the test has inherited.
fn without_numbers(text: &str) -> String {
    let mut parts = text.split("on fd ");
    let mut result = parts.next().unwrap().to_string();
    for part in parts {
        result += "on fd N";
        result += part.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    result
}

/// Runs what the page shows of this rung.
#[track_caller]
fn run(name: &str) {
    let shown = blocks(&page(), "console")
        .into_iter()
        .flat_map(|block| shown(&block))
        .filter(|shown| shown.name == name);
    let mut count = 0;
    for shown in shown {
        count += 1;
        match shown.hangs {
            true => hang(&shown),
            false => finish(&shown),
        }
    }
    assert!(count > 0, "the page does not show {name}");
}

#[track_caller]
fn finish(shown: &Shown) {
    let place = Place::new();
    let mut child = place.shell(shown).spawn().unwrap();
    let (ended, watch) = mpsc::channel::<()>();
    let group = child.id();
    let guard = thread::spawn(move || {
        if watch.recv_timeout(GUARD) == Err(RecvTimeoutError::Timeout) {
            kill_group(group);
        }
    });
    child.wait().unwrap();
    drop(ended);
    guard.join().unwrap();
    let output = place.read("out");
    let err = place.read("err");
    let (wanted, found) = (without_numbers(&shown.output), without_numbers(&output));
    assert_eq!(wanted, found, "{}: {err}", shown.script);
}

/// The program must print what is shown, and then sleep in its last call. The quiet pipe has no
/// writer but the program itself, and all of its other input was there before it began: so nothing
/// ends this sleep.
#[track_caller]
fn hang(shown: &Shown) {
    if !cfg!(target_os = "linux") {
        return; // there is no /proc
    }
    let place = Place::new();
    let mut shell = place.shell(shown);
    let mut child = shell.env("LADDER_TRACE", "1").spawn().unwrap();
    let end = Instant::now() + GUARD;
    let last_call = loop {
        let trace = place.read("err");
        let last = trace.lines().last().unwrap_or("").to_string();
        let is_call = last.starts_with("read(") || last == "poll(-1)";
        if is_call && is_asleep(child.id()) && place.read("err") == trace {
            break last;
        }
        let is_late = Instant::now() > end || child.try_wait().unwrap().is_some();
        if is_late {
            kill_group(child.id());
            panic!("{}: it does not hang: {trace}", shown.script);
        }
        thread::yield_now();
    };
    let output = place.read("out");
    kill_group(child.id());
    child.wait().unwrap();
    assert_eq!(output, shown.output, "{}", shown.script);
    // Rungs 1 and 3 wait in read(2), and the others in poll(2) alone.
    let is_in_read = shown.name.contains("_1_") || shown.name.contains("_3_");
    assert_eq!(last_call.starts_with("read"), is_in_read, "{last_call}");
}

fn is_asleep(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().unwrap().starts_with('S')
}

fn kill_group(leader: u32) {
    // SAFETY: no pointers. The group is that of a child that was not reaped.
    unsafe { libc::kill(-(leader as libc::pid_t), libc::SIGKILL) };
}

#[test]
fn rung_1_waits_for_the_quiet_file_and_does_not_read_the_other() {
    run("ladder_1_blocking");
}

#[test]
fn rung_2_reads_what_is_ready_and_shows_halves_of_lines() {
    run("ladder_2_poll");
}

#[test]
fn rung_3_shows_whole_lines_and_waits_for_bytes_that_were_taken() {
    run("ladder_3_lines");
}

#[test]
fn rung_4_waits_in_poll_alone_and_for_ever() {
    run("ladder_4_machine");
}

#[test]
fn rung_5_times_out_after_two_polls_and_treats_all_files_alike() {
    run("ladder_5_deadlines");
}

#[test]
fn rung_6_follows_commands_and_reads_under_a_number_that_is_used_again() {
    run("ladder_6_tasks");
}

#[test]
fn rung_7_learns_that_its_file_was_closed() {
    run("ladder_7_close");
}

#[test]
fn rung_8_names_the_operation() {
    run("ladder_8_asyncfile");
}

#[test]
fn each_file_has_at_most_80_lines_of_code() {
    for (name, text) in files() {
        let lines = tokens::code_lines(&tokens::tokens(&text));
        assert!(lines <= LINES, "{name}: {lines} lines of code");
    }
    assert_eq!(rungs().len(), 8);
}

#[test]
fn each_head_names_the_flaw_that_it_mends_and_its_own_with_a_command() {
    for (at, (name, text)) in rungs().into_iter().enumerate() {
        let (_, flaw) = text.split_once("//! Its flaw: ").expect(&name);
        let (head, _) = text.split_once("\n\n").unwrap();
        let run = format!("cargo run --example ladder_{name} -- ");
        assert_eq!(
            head.matches(&run).count(),
            2,
            "{name}: how it is run, and its flaw"
        );
        assert!(!flaw.is_empty());
        let mends = format!(
            "//! It mends the flaw{} of rung {at}: ",
            if at == 7 { "s" } else { "" }
        );
        assert_eq!(head.contains(&mends), at > 0, "{name}: {mends}");
    }
}

#[test]
fn the_rungs_below_the_library_do_without_it() {
    for (name, text) in files() {
        let uses_it = tokens::tokens(&text)
            .iter()
            .any(|token| token.is("asyncfile"));
        assert_eq!(uses_it, name == "8_asyncfile", "{name}");
    }
}

/// A new rung has the lines of the one before, and few others.
#[test]
fn a_rung_is_a_small_step() {
    let rungs = rungs();
    for pair in rungs[..7].windows(2) {
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        let before: Vec<&str> = pair[0].1.lines().collect();
        let new = pair[1].1.lines().filter(is_code);
        let new = new.filter(|line| !before.contains(line)).count();
        assert!(new <= 35, "{}: {new} new lines", pair[1].0);
    }
}

/// What the page shows of a program stands in that program.
#[test]
fn the_page_shows_lines_of_the_rungs() {
    let page = page();
    let dense =
        |text: &str| -> Vec<String> { text.lines().map(|line| line.trim().to_string()).collect() };
    let sections: Vec<&str> = page.split("\n# ").skip(1).collect();
    assert_eq!(sections.len(), 8);
    for (section, (name, text)) in sections.into_iter().zip(rungs()) {
        let shown = blocks(section, "rust,ignore");
        assert!(!shown.is_empty(), "{name}");
        for block in shown {
            let (lines, text) = (dense(&block), dense(&text));
            let is_there = text.windows(lines.len()).any(|part| part == lines);
            assert!(is_there, "{name}: {block}");
        }
    }
    for kind in ["console", "rust,ignore", "sh", "text"] {
        for block in blocks(&page, kind) {
            let is_wide = |line: &str| line.chars().count() > 85;
            assert!(!block.lines().any(is_wide), "{block}");
        }
    }
}

#[test]
fn the_machine_of_rung_4_runs_without_a_descriptor() {
    let mut pieces = [
        Ok(&b"one\ntw"[..]),
        Err(ErrorKind::WouldBlock),
        Ok(b"o\nhalf"),
        Ok(b""),
        Ok(b""),
        Err(ErrorKind::Other),
    ]
    .into_iter();
    let mut source = |room: &mut [u8]| -> io::Result<usize> {
        let piece = pieces.next().expect("the machine ends before")?;
        room[..piece.len()].copy_from_slice(piece);
        Ok(piece.len())
    };
    let mut machine = Readline::default();
    let mut next = || machine.advance(&mut source);
    assert_eq!(next().unwrap().unwrap(), "one\n");
    assert!(next().is_none(), "blocked, with half a line kept");
    assert_eq!(next().unwrap().unwrap(), "two\n");
    assert_eq!(next().unwrap().unwrap(), "half");
    assert_eq!(next().unwrap().unwrap(), "");
    assert_eq!(next().unwrap().unwrap_err().kind(), ErrorKind::Other);
}
