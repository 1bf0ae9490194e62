//! The map of the house: the table in the crate's documentation that gives each file its floor.

use std::collections::BTreeMap;
use std::fmt;

const HEADING: &str = "# The map of the house";

/// Where a room lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Floor {
    /// Counted from 0, with its name: what lies on it may use its own floor and those below.
    Numbered(u32, String),
    /// What lies in an annex may use that annex and every floor. No floor may use an annex.
    Annex(String),
    /// Rooms of the tests: they may use anything.
    Tests,
}

impl Floor {
    /// Whether a file here may name what lies on `other`.
    pub fn may_use(&self, other: &Floor) -> bool {
        match (self, other) {
            (Floor::Tests, _) | (_, Floor::Tests) => true,
            (Floor::Numbered(here, _), Floor::Numbered(there, _)) => there <= here,
            (Floor::Numbered(..), Floor::Annex(_)) => false,
            (Floor::Annex(_), Floor::Numbered(..)) => true,
            (Floor::Annex(here), Floor::Annex(there)) => here == there,
        }
    }

    fn parse(cell: &str) -> Option<Floor> {
        let (first, name) = cell.split_once(' ').unwrap_or((cell, ""));
        match first {
            "-" => Some(Floor::Tests),
            "annex" => Some(Floor::Annex(name.trim().to_string())),
            number => Some(Floor::Numbered(
                number.parse().ok()?,
                name.trim().to_string(),
            )),
        }
    }
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Floor::Numbered(number, name) => {
                write!(f, "floor {}", format!("{number} {name}").trim())
            }
            Floor::Annex(name) => write!(f, "annex {name}"),
            Floor::Tests => f.write_str("the tests' rooms"),
        }
    }
}

/// Each room of the table with its floor. A room is a file, named as its path below `src/` without
/// `.rs` and without `/mod`.
#[derive(Debug, Default)]
pub struct Map {
    pub rooms: BTreeMap<String, Floor>,
    /// What is wrong with the table itself.
    pub faults: Vec<String>,
}

impl Map {
    /// Reads the table under the heading in lib.rs.
    pub fn parse(lib: &str) -> Map {
        let mut map = Map::default();
        let docs = lib
            .lines()
            .enumerate()
            .filter_map(|(at, line)| Some((at + 1, line.trim_start().strip_prefix("//!")?.trim())));
        let section = docs.skip_while(|(_, line)| *line != HEADING).skip(1);
        let section = section.take_while(|(_, line)| !line.starts_with("# "));
        for (line, row) in section.filter(|(_, line)| line.starts_with('|')) {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let (floor, rooms) = (cells[0], cells.get(1).copied().unwrap_or(""));
            if floor != "floor" && !floor.starts_with("--") && !floor.starts_with(":-") {
                map.row(line, floor, rooms);
            }
        }
        if map.rooms.is_empty() {
            map.faults
                .push(format!("src/lib.rs: no table under `{HEADING}`"));
        }
        map
    }

    fn row(&mut self, line: usize, floor: &str, rooms: &str) {
        let fault = |text: String| format!("src/lib.rs:{line}: {text}");
        match Floor::parse(floor) {
            None => self.faults.push(fault(format!("`{floor}` is no floor"))),
            Some(floor) => {
                for room in rooms
                    .split('`')
                    .skip(1)
                    .step_by(2)
                    .filter(|room| !room.contains('*'))
                {
                    let room = room.trim_end_matches('/').to_string();
                    if self.rooms.insert(room.clone(), floor.clone()).is_some() {
                        self.faults.push(fault(format!("`{room}` is named twice")));
                    }
                }
            }
        }
    }

    /// The floor of a file. A file below a room of the tests is one, too. None: the map does not
    /// name it.
    pub fn floor(&self, file: &str) -> Option<&Floor> {
        let is_tests = |room: &str| self.rooms.get(room) == Some(&Floor::Tests);
        let below = file
            .match_indices('/')
            .map(|(at, _)| &file[..at])
            .find(|room| is_tests(room));
        self.rooms.get(below.unwrap_or(file))
    }
}
