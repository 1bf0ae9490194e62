//! The pages of the guide (`src/guide/*.md`) against the source: what they quote stands in the file
//! that they name, the runs that they show are what the examples print today, and the files and
//! functions that they name exist. The Rust programs on them are doctests. `cargo test` builds the
//! examples; before `cargo test --test guide`, `cargo build --examples` must.

mod built;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A page: its name and its text.
struct Page {
    name: String,
    text: String,
}

/// A block of code on a page.
struct Block {
    /// The page and the line, for messages.
    place: String,
    /// What stands behind the fence: `rust`, `text`, `text,NAME`, `sh`.
    info: String,
    lines: Vec<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<Page> {
    let paths = fs::read_dir(root().join("src/guide")).unwrap();
    let paths = paths.map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .collect();
    paths.sort();
    let page = |path: &PathBuf| Page {
        name: path.file_stem().unwrap().to_str().unwrap().to_string(),
        text: fs::read_to_string(path).unwrap(),
    };
    paths.iter().map(page).collect()
}

impl Block {
    /// The file from which the block is taken: its first line names it.
    fn source(&self) -> Option<&str> {
        let first = self.lines.first()?;
        first
            .strip_prefix("// ")
            .filter(|path| path.ends_with(".rs"))
    }
}

impl Page {
    fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut is_inside = false;
        for (at, line) in self.text.lines().enumerate() {
            match line.strip_prefix("```") {
                Some(info) if !is_inside => {
                    blocks.push(Block {
                        place: format!("src/guide/{}.md:{}", self.name, at + 1),
                        info: info.to_string(),
                        lines: Vec::new(),
                    });
                    is_inside = true;
                }
                Some(_) => is_inside = false,
                None if is_inside => blocks.last_mut().unwrap().lines.push(line.to_string()),
                None => {}
            }
        }
        assert!(!is_inside, "{}.md ends within a block", self.name);
        blocks
    }

    /// What stands between backquotes, outside of the blocks.
    fn code_spans(&self) -> Vec<String> {
        let mut is_inside = false;
        let mut prose = String::new();
        for line in self.text.lines() {
            if line.starts_with("```") {
                is_inside = !is_inside;
            } else if !is_inside {
                prose += line;
                prose.push('\n');
            }
        }
        let spans = prose.split('`').skip(1).step_by(2);
        spans.map(str::to_string).collect()
    }
}

/// All files of Rust below a directory, as one text.
fn all_rust(dir: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all += &all_rust(&path);
        } else if path.extension().is_some_and(|end| end == "rs") {
            all += &fs::read_to_string(&path).unwrap();
        }
    }
    all
}

#[track_caller]
fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn each_block_is_a_program_or_a_quote_or_says_that_it_is_neither() {
    let mut faults = Vec::new();
    let dirs = ["src", "examples", "tests"];
    let all: String = dirs.iter().map(|dir| all_rust(&root().join(dir))).collect();
    let all = bare(&all);
    for block in pages().iter().flat_map(Page::blocks) {
        let is_known = match &block.info[..] {
            "rust" | "rust,no_run" => true, // compiled as documentation
            "rust,ignore" => {
                block.source().is_some() || all.contains(&bare(&block.lines.join("\n")))
            }
            info if info.starts_with("rust,") => info.starts_with("rust,compile_fail,E"),
            info => ["text", "sh", "console"].contains(&info.split(',').next().unwrap()),
        };
        if !is_known {
            faults.push(format!("{}: a block of {:?}", block.place, block.info));
        }
    }
    assert_none(&faults);
}

#[test]
fn no_line_of_a_block_has_more_than_85_columns() {
    let mut faults = Vec::new();
    for block in pages().iter().flat_map(Page::blocks) {
        for line in block.lines.iter().filter(|line| line.chars().count() > 85) {
            faults.push(format!("{}: {line}", block.place));
        }
    }
    assert_none(&faults);
}

/// A text without white space, and without the marks of comments that are documentation.
fn bare(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let line = line.trim_start();
        let inner = line
            .strip_prefix("//!")
            .or_else(|| line.strip_prefix("///"));
        inner.unwrap_or(line).to_string()
    });
    let text: String = lines.collect();
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// What a block quotes from a file stands there, piece after piece. `...` stands between two
/// pieces.
fn fault_of_quote(block: &Block, path: &str) -> Option<String> {
    let text = match fs::read_to_string(root().join(path)) {
        Ok(text) => bare(&text),
        Err(error) => return Some(format!("{}: {path}: {error}", block.place)),
    };
    let mut rest = &text[..];
    let is_dots = |line: &String| line.trim() == "...";
    for piece in block.lines[1..].split(is_dots) {
        let piece = piece.join("\n");
        match rest.find(&bare(&piece)) {
            Some(at) => rest = &rest[at..],
            None => return Some(format!("{}: {path} has no\n{piece}", block.place)),
        }
    }
    None
}

#[test]
fn what_is_quoted_stands_in_the_file_that_is_named() {
    let mut quotes = 0;
    let mut faults = Vec::new();
    for block in pages().iter().flat_map(Page::blocks) {
        if let Some(path) = block.source() {
            quotes += 1;
            faults.extend(fault_of_quote(&block, path));
        }
    }
    assert_none(&faults);
    assert!(quotes > 5, "{quotes} quotes");
}

#[test]
fn a_quote_that_is_not_in_its_file_is_found() {
    let lines = [
        "// src/reactor.rs",
        "pub trait Watch {",
        "...",
        "no such line",
    ];
    let mut block = Block {
        place: String::new(),
        info: String::new(),
        lines: lines.map(str::to_string).to_vec(),
    };
    assert!(fault_of_quote(&block, "src/reactor.rs").is_some());
    block.lines[1] = "pub(crate)   trait Watch {".to_string();
    block.lines.truncate(2);
    assert_eq!(fault_of_quote(&block, "src/reactor.rs"), None);
}

/// What is wrong with a name in backquotes: there is no such file, test or method.
fn fault_of_name(name: &str, source: &str, tests: &str) -> Option<String> {
    let is_word = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let is_file = name.ends_with(".rs") && is_word(&name.replace(['/', '.'], ""));
    let exists = |dir| root().join(dir).join(name).is_file();
    // What fuzzing needs is no part of the package.
    let is_left_out = name == "tests/corpus.rs" && !root().join("fuzz").exists();
    if is_file && !is_left_out && !["src", "", "examples/ladder"].iter().any(exists) {
        return Some(format!("there is no file {name}"));
    }
    // A name of so many words is a test's.
    let test = format!("fn {name}()");
    let is_test = is_word(name) && name.matches('_').count() > 4;
    if is_test && !source.contains(&test) && !tests.contains(&test) {
        return Some(format!("there is no test {name}"));
    }
    let (of, method) = name.split_once("::")?;
    let is_method = is_word(of)
        && is_word(method)
        && of.starts_with(|c: char| c.is_ascii_uppercase())
        && method.starts_with(|c: char| c.is_ascii_lowercase());
    let is_missing = is_method && !source.contains(&format!("fn {method}"));
    is_missing.then(|| format!("there is no {name}"))
}

#[test]
fn files_and_functions_that_are_named_exist() {
    let source = all_rust(&root().join("src"));
    let tests = all_rust(&root().join("tests"));
    let mut faults = Vec::new();
    for page in pages() {
        for name in page.code_spans() {
            let fault = fault_of_name(&name, &source, &tests);
            faults.extend(fault.map(|fault| format!("{}.md: {fault}", page.name)));
        }
        for link in page.text.split("/src/asyncfile/").skip(1) {
            let path = link.split(".html").next().unwrap();
            if !root().join("src").join(path).is_file() {
                faults.push(format!("{}.md: a link to src/{path}", page.name));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn a_name_of_nothing_is_found() {
    let fault = |name| fault_of_name(name, "fn advance(", "fn a_test_that_has_a_long_name()");
    for name in [
        "reactor.rs",
        "a_test_that_has_a_long_name",
        "Reader::advance",
        "End::Eof",
    ] {
        assert_eq!(fault(name), None);
    }
    for name in [
        "op/no_file.rs",
        "another_test_that_has_a_long_name",
        "Reader::retreat",
    ] {
        assert!(fault(name).is_some(), "{name}");
    }
}

#[test]
fn the_index_names_each_page() {
    let pages = pages();
    let index = pages.iter().find(|page| page.name == "index").unwrap();
    let named = index.code_spans();
    let is_missing = |page: &&Page| page.name != "index" && !named.contains(&page.name);
    let missing = pages.iter().filter(is_missing);
    assert_none(&missing.map(|page| page.name.clone()).collect::<Vec<_>>());
}

// ---- the runs that are shown

/// The lines of the run of this example that the guide shows, in their order.
fn shown(example: &str) -> Vec<String> {
    let info = format!("text,{example}");
    let blocks = pages().into_iter().flat_map(|page| page.blocks());
    let blocks = blocks.filter(|block| block.info == info);
    blocks.flat_map(|block| block.lines).collect()
}

fn is_system_call(line: &str) -> bool {
    ["poll(", "read(", "write(", "close("]
        .iter()
        .any(|call| line.starts_with(call))
}

/// A command without the descriptors that this process has inherited, so that the numbers in the
/// output are always the same.
fn with_standard_descriptors(program: &str) -> Command {
    let mut command = Command::new("sh");
    let close = "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; exec \"$@\"";
    command.args(["-c", close, "sh", program]);
    command
}

fn lines(output: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(output).unwrap();
    text.lines().map(str::to_string).collect()
}

#[track_caller]
fn assert_shown(example: &str) {
    let path = built::example(example);
    let Output { status, stdout, .. } = with_standard_descriptors(path.to_str().unwrap())
        .output()
        .unwrap();
    assert!(status.success());
    let shown = shown(example);
    let transitions: Vec<&String> = shown.iter().filter(|line| !is_system_call(line)).collect();
    assert_eq!(transitions, lines(&stdout).iter().collect::<Vec<_>>());
    match traced(&path) {
        Some(traced) => assert_eq!(
            shown.iter().map(|line| settled(line)).collect::<Vec<_>>(),
            traced
        ),
        None => println!("no strace that may trace: the system calls are not compared"),
    }
}

/// The output of the program and its system calls, in their order. None if strace is not there, or
/// may not trace.
fn traced(path: &Path) -> Option<Vec<String>> {
    let mut command = with_standard_descriptors("strace");
    command.args(["-s", "99", "-e", "trace=poll,read,write,close"]);
    let output = command.arg(path).output().ok()?;
    if !output.status.success() {
        return None;
    }
    let traced = lines(&output.stderr);
    let output_of = |line: &String| {
        let text = line.strip_prefix("write(1, \"")?.split("\\n\", ").next()?;
        Some(text.replace("\\\"", "\"").replace("\\\\", "\\"))
    };
    let traced = traced
        .iter()
        .map(|line| output_of(line).unwrap_or(line.clone()));
    let traced = traced.skip_while(|line| line != "the first turn begins");
    let traced = traced.filter(|line| !line.starts_with("+++"));
    Some(traced.map(|line| settled(&line)).collect())
}

/// A line of strace without its padding. The milliseconds that are left of a minute depend on how
/// fast the machine is.
fn settled(line: &str) -> String {
    if !is_system_call(line) {
        return line.to_string();
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut line = words.join(" ");
    if let Some((call, answer)) = line
        .split_once(") = ")
        .filter(|_| line.starts_with("poll("))
    {
        let (set, wait) = call.rsplit_once(", ").unwrap();
        if (2..=60_000).contains(&wait.parse().unwrap_or(0)) {
            line = format!("{set}, 60000) = {answer}");
        }
    }
    line
}

#[test]
fn the_run_of_follow_one_line_is_as_shown() {
    assert_shown("follow_one_line");
}

#[test]
fn the_run_of_follow_a_cancel_is_as_shown() {
    assert_shown("follow_a_cancel");
}
