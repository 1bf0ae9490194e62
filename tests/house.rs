//! The files of `src/` against the map in lib.rs: every file has a place in it, and no path leads
//! from a floor to a higher one or to an annex.
//!
//! The map is the table under "The map of the house" in the crate's documentation. Its first column
//! is the floor (`0 kernel`, `annex child`, or `-` for the rooms of the tests). Its second column
//! names the files in backticks, without `.rs`. A file may use its own floor and those below. An
//! annex may use every floor and itself. No floor may use an annex, and no annex another one.
//!
//! A path is resolved by the names of the files and by the `use` declarations of lib.rs, without a
//! compiler. A name that another module exports again leads to that module, whose own paths are
//! checked, too: two steps that do not lead upwards are one that does not.
#![allow(clippy::incompatible_msrv)] // Tests are compiled by today's compiler.

#[path = "house/made_up.rs"]
mod made_up;
#[path = "house/map.rs"]
mod map;
#[path = "house/paths.rs"]
mod paths;
#[path = "house/tokens.rs"]
mod tokens;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use map::{Floor, Map};
use paths::{Modules, Target};
use tokens::Token;

/// The files that are enough to explain the loop, to be read in one sitting.
const ONE_SITTING: [&str; 7] = [
    "scheduler/turn",
    "reactor",
    "descriptor",
    "wait_list",
    "machine/read",
    "op/read",
    "op/timeout",
];
/// The aim is 1,000. The limit is where the files are: lower it with every change that shortens
/// them.
const LINES_OF_ONE_SITTING: usize = 1_160;
const LINES_OF_A_FILE: usize = 300;
/// The aim is 5,000. As above.
const LINES_OF_ALL: usize = 10_600;

/// The crate's source: its map, and its files by their names (`op/read`, `scheduler`).
struct House {
    map: Map,
    files: BTreeMap<String, File>,
    modules: Modules,
}

struct File {
    /// Where it lies below `src/`.
    path: String,
    tokens: Vec<Token>,
    /// `tokens` without what only tests and fuzz targets compile.
    shipped: Vec<Token>,
    /// How many lines hold code, without what only tests and fuzz targets compile.
    lines: usize,
}

impl House {
    /// Reads the crate's own source.
    fn ours() -> House {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut sources = Vec::new();
        read_sources(&src, "", &mut sources);
        House::new(sources)
    }

    /// `sources` are the paths of the files below `src/`, and their texts.
    fn new(sources: impl IntoIterator<Item = (String, String)>) -> House {
        let mut files = BTreeMap::new();
        let mut lib = String::new();
        for (path, text) in sources {
            if path == "lib.rs" {
                lib = text.clone();
            }
            let name = path.trim_end_matches(".rs");
            let name = name.strip_suffix("/mod").unwrap_or(name).to_string();
            let tokens = tokens::tokens(&text);
            let shipped = tokens::without_tests(&tokens);
            let lines = tokens::code_lines(&shipped);
            files.insert(
                name,
                File {
                    path,
                    tokens,
                    shipped,
                    lines,
                },
            );
        }
        let names = files
            .keys()
            .map(String::as_str)
            .filter(|name| *name != "lib");
        let modules = Modules::new(names, files.get("lib").map_or(&[], |lib| &lib.shipped));
        House {
            map: Map::parse(&lib),
            files,
            modules,
        }
    }

    /// Whether the map need not name the file: tests, invariants that tests assert, and what lies
    /// in a room of the tests.
    fn is_for_tests(&self, name: &str) -> bool {
        let is_named_so = |part| part == "tests" || part == "invariants";
        self.map.floor(name) == Some(&Floor::Tests) || name.split('/').any(is_named_so)
    }

    /// The files that users compile, but lib.rs.
    fn rooms(&self) -> impl Iterator<Item = (&str, &File)> {
        let files = self.files.iter().map(|(name, file)| (name.as_str(), file));
        files.filter(|(name, _)| *name != "lib" && !self.is_for_tests(name))
    }

    /// What the map names and is no file, and which files it does not name.
    fn faults_of_the_map(&self) -> Vec<String> {
        let mut faults = self.map.faults.clone();
        for room in self.map.rooms.keys() {
            if !self.files.contains_key(room) {
                faults.push(format!(
                    "src/lib.rs: the map names `{room}`, which is no file"
                ));
            }
        }
        for (name, file) in self.rooms() {
            if self.map.floor(name).is_none() {
                faults.push(format!("src/{}: the map does not name `{name}`", file.path));
            }
        }
        faults
    }

    /// The paths that lead upwards, and those that cannot be followed: file, line, path, both
    /// floors.
    fn arrows_upwards(&self) -> Vec<String> {
        let mut found = Vec::new();
        for glob in self.modules.globs_of_lib() {
            let place = format!("src/lib.rs:{}: {}", glob.line, glob.text());
            found.push(format!("{place}: hides which names it exports"));
        }
        for (name, file) in self.rooms() {
            if let Some(floor) = self.map.floor(name) {
                self.arrows_of(name, file, floor, &mut found);
            }
        }
        found
    }

    fn arrows_of(&self, name: &str, file: &File, floor: &Floor, found: &mut Vec<String>) {
        let module: Vec<String> = name.split('/').map(str::to_string).collect();
        let paths = paths::paths(&file.shipped);
        let imports = self.modules.imports(&module, &paths);
        for path in &paths {
            let Some(absolute) = self.modules.absolute(&module, path, &imports) else {
                continue;
            };
            let place = format!("src/{}:{}: {}", file.path, path.line, path.text());
            match self.modules.target(&absolute) {
                Target::File(target) if self.is_for_tests(&target) => {}
                Target::File(target) => {
                    let there = self.map.floor(&target);
                    if let Some(there) = there.filter(|there| !floor.may_use(there)) {
                        let file = &self.files[&target].path;
                        found.push(format!("{place}: {floor} uses {there} (src/{file})"));
                    }
                }
                Target::Module(_) if path.is_glob => {
                    found.push(format!("{place}: hides which names of lib.rs it uses"));
                }
                Target::Module(_) | Target::Elsewhere => {}
                Target::Unknown => found.push(format!("{place}: lib.rs has no such name")),
            }
        }
    }

    /// The files with more lines of code than `most`.
    fn longer_than(&self, most: usize) -> Vec<String> {
        let is_long =
            |(name, file): &(&String, &File)| file.lines > most && !self.is_for_tests(name);
        let long = self.files.iter().filter(is_long);
        long.map(|(_, file)| format!("src/{}: {} lines of code", file.path, file.lines))
            .collect()
    }

    /// The lines of code of these files, together and in a list. The first that is missing is an
    /// error.
    fn lines_of(&self, names: &[&str]) -> Result<(usize, String), String> {
        let mut sum = 0;
        let mut list = String::new();
        for name in names {
            let file = self.files.get(*name);
            let lines = file.ok_or(format!("there is no src/{name}.rs"))?.lines;
            sum += lines;
            list += &format!("{lines:6} {name}\n");
        }
        Ok((sum, list))
    }

    /// Where `unsafe` stands outside the files of `sys`.
    fn unsafe_elsewhere(&self) -> Vec<String> {
        let is_sys = |name: &str| name == "sys" || name.starts_with("sys/");
        let mut found = Vec::new();
        for (_, file) in self.files.iter().filter(|(name, _)| !is_sys(name)) {
            for token in file.tokens.iter().filter(|token| token.is("unsafe")) {
                found.push(format!("src/{}:{}: unsafe", file.path, token.line()));
            }
        }
        found
    }
}

/// The Rust files of a directory and of those in it.
fn read_sources(dir: &Path, prefix: &str, sources: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).expect("the directory can be read") {
        let path = entry.expect("the directory can be read").path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("it is UTF-8");
        if path.is_dir() {
            read_sources(&path, &format!("{prefix}{name}/"), sources);
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).expect("source is UTF-8");
            sources.push((format!("{prefix}{name}"), text));
        }
    }
}

#[track_caller]
fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn the_map_names_every_file_once_and_nothing_else() {
    assert_none(&House::ours().faults_of_the_map());
}

#[test]
fn no_path_leads_to_a_higher_floor_or_into_an_annex() {
    assert_none(&House::ours().arrows_upwards());
}

#[test]
fn no_file_has_more_than_300_lines_of_code() {
    assert_none(&House::ours().longer_than(LINES_OF_A_FILE));
}

#[test]
fn the_files_of_one_sitting_do_not_grow() {
    let (sum, list) = House::ours().lines_of(&ONE_SITTING).unwrap();
    assert!(sum < LINES_OF_ONE_SITTING, "{sum} lines of code:\n{list}");
}

#[test]
fn the_source_does_not_grow() {
    let house = House::ours();
    let names: Vec<&str> = house.rooms().map(|(name, _)| name).chain(["lib"]).collect();
    let (sum, list) = house.lines_of(&names).unwrap();
    println!("{sum} lines of code:\n{list}");
    assert!(sum < LINES_OF_ALL, "{sum} lines of code:\n{list}");
}

#[test]
fn unsafe_occurs_in_the_files_of_sys_alone() {
    assert_none(&House::ours().unsafe_elsewhere());
}
