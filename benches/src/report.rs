//! What was measured, as tables for people and as JSON for machines.

use std::fmt::Write;

use crate::footprint::Footprint;
use crate::measure::Taken;
use crate::work::{Shows, Work};

/// A variant and what came of it.
pub struct Row {
    pub name: &'static str,
    /// How many units it did in each round.
    pub count: u64,
    /// Or why there are none.
    pub figures: Result<Figures, String>,
}

/// The medians of a variant's rounds, per unit of work; times are nanoseconds.
pub struct Figures {
    pub cpu: f64,
    pub wall: f64,
    pub children: f64,
    /// CPU time as a multiple of the limit's.
    pub ratio: f64,
    /// How far apart the rounds were: the difference of the extremes, as a part of the median.
    pub spread: f64,
    pub notes: Vec<(String, f64)>,
    /// What each round has come to.
    pub checks: Vec<u64>,
}

/// A work and what its variants took.
pub struct Measured {
    pub work: Work,
    pub count: u64,
    pub rounds: usize,
    pub rows: Vec<Row>,
}

/// Sums up the rounds of one variant, which did so many units in each.
pub fn figures(count: u64, rounds: &[Taken]) -> Figures {
    let per_unit = |of: fn(&Taken) -> std::time::Duration| -> Vec<f64> {
        rounds
            .iter()
            .map(|taken| of(taken).as_nanos() as f64 / count as f64)
            .collect()
    };
    let mut cpu = per_unit(|taken| taken.own);
    let notes = rounds[0].notes.iter().map(|(note, _)| {
        let values = rounds
            .iter()
            .flat_map(|taken| taken.notes.iter().filter(|(other, _)| other == note));
        (
            note.clone(),
            median(&mut values.map(|(_, value)| *value).collect::<Vec<_>>()),
        )
    });
    let middle = median(&mut cpu);
    Figures {
        cpu: middle,
        wall: median(&mut per_unit(|taken| taken.wall)),
        children: median(&mut per_unit(|taken| taken.children)),
        ratio: 0.0,
        spread: (cpu[cpu.len() - 1] - cpu[0]) / middle,
        notes: notes.collect(),
        checks: rounds.iter().map(|taken| taken.check).collect(),
    }
}

/// Sorts, and gives the middle one, or the mean of the two in the middle.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 {
        values[half]
    } else {
        (values[half - 1] + values[half]) / 2.0
    }
}

impl Measured {
    /// The first variant is the limit.
    pub fn new(work: Work, count: u64, rounds: usize, mut rows: Vec<Row>) -> Measured {
        let limit = rows[0].figures.as_ref().map_or(f64::NAN, |limit| limit.cpu);
        rows.iter_mut()
            .flat_map(|row| &mut row.figures)
            .for_each(|figures| figures.ratio = figures.cpu / limit);
        Measured {
            work,
            count,
            rounds,
            rows,
        }
    }

    /// Which variants have come to something else than the first that has come to anything, in
    /// whichever round.
    fn disagree(&self) -> Vec<&'static str> {
        let checks = |row: &Row| {
            row.figures
                .as_ref()
                .map_or(Vec::new(), |figures| figures.checks.clone())
        };
        let right = self.rows.iter().flat_map(checks).next();
        let wrong = |row: &&Row| checks(row).iter().any(|check| Some(*check) != right);
        self.rows.iter().filter(wrong).map(|row| row.name).collect()
    }

    /// Every variant has run, and all have come to the same.
    pub fn all_agree(&self) -> bool {
        self.disagree().is_empty() && self.rows.iter().all(|row| row.figures.is_ok())
    }

    /// A table.
    pub fn table(&self) -> String {
        let Measured { work, rows, .. } = self;
        let mut text = format!(
            "### {}\n\n{} ({}",
            work.name,
            work.about,
            thousands(self.count)
        );
        let rounds = if self.rounds == 1 { "round" } else { "rounds" };
        let _ = writeln!(text, " {}, {} {rounds}).\n", work.units(), self.rounds);
        let mut head = vec!["variant".to_string()];
        if work.shows != Shows::Memory {
            head.extend([
                format!("CPU/{}", work.unit),
                "× limit".into(),
                "spread".into(),
                format!("wall/{}", work.unit),
            ]);
        }
        if work.shows == Shows::Children {
            head.push("children's CPU".into());
        }
        let notes = rows
            .iter()
            .flat_map(|row| &row.figures)
            .map(|figures| &figures.notes)
            .next();
        head.extend(notes.into_iter().flatten().map(|(note, _)| note.clone()));
        let _ = writeln!(
            text,
            "| {} |\n|---{}|",
            head.join(" | "),
            "|--:".repeat(head.len() - 1)
        );
        for row in rows {
            let mut cells = vec![row.name.to_string()];
            if row.count != self.count {
                let _ = write!(cells[0], " ({} {})", thousands(row.count), work.units());
            }
            match &row.figures {
                Ok(figures) => cells.extend(figures.cells(work.shows)),
                Err(why) => cells.push(format!("**failed**: {}", why.replace('|', "/"))),
            }
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        for (name, why) in &work.left_out {
            let _ = writeln!(text, "| {name} | not run: {why} |");
        }
        let _ = match self.disagree()[..] {
            [] => writeln!(
                text,
                "\nChecked: all rounds of all that ran have come to the same."
            ),
            ref wrong => writeln!(
                text,
                "\n**Do not agree with the rest: {}**",
                wrong.join(", ")
            ),
        };
        text
    }

    /// An object.
    pub fn json(&self) -> String {
        let rows = self.rows.iter().map(|row| match &row.figures {
            Ok(figures) => figures.json(row.name, row.count),
            Err(why) => format!("{{\"variant\":{:?},\"failed\":{}}}", row.name, quoted(why)),
        });
        let left_out = self.work.left_out.iter();
        let left_out =
            left_out.map(|(name, why)| format!("{{\"variant\":{name:?},\"not_run\":{why:?}}}"));
        let rows = rows.chain(left_out);
        format!(
            "{{\"work\":{:?},\"about\":{:?},\"unit\":{:?},\"count\":{},\"rounds\":{},\"all_agree\":{},\
             \"variants\":[\n  {}\n]}}",
            self.work.name,
            self.work.about,
            self.work.unit,
            self.count,
            self.rounds,
            self.all_agree(),
            rows.collect::<Vec<_>>().join(",\n  ")
        )
    }
}

impl Figures {
    fn cells(&self, shows: Shows) -> Vec<String> {
        let mut cells = Vec::new();
        if shows != Shows::Memory {
            let spread = format!("{:.0} %", self.spread * 100.0);
            cells.extend([
                time(self.cpu),
                format!("{:.2}", self.ratio),
                spread,
                time(self.wall),
            ]);
        }
        if shows == Shows::Children {
            cells.push(time(self.children));
        }
        cells.extend(
            self.notes
                .iter()
                .map(|(_, value)| thousands(value.round() as u64)),
        );
        cells
    }

    fn json(&self, name: &str, count: u64) -> String {
        let number = |value: f64| {
            if value.is_finite() {
                format!("{value:.4}")
            } else {
                "null".into()
            }
        };
        let notes: Vec<String> = self
            .notes
            .iter()
            .map(|(note, value)| format!("{note:?}:{}", number(*value)))
            .collect();
        let times = [
            ("cpu_ns", self.cpu),
            ("ratio", self.ratio),
            ("spread", self.spread),
            ("wall_ns", self.wall),
            ("children_ns", self.children),
        ];
        let times: Vec<String> = times
            .iter()
            .map(|(name, value)| format!("{name:?}:{}", number(*value)))
            .collect();
        let (times, notes) = (times.join(","), notes.join(","));
        format!("{{\"variant\":{name:?},\"count\":{count},{times},\"checks\":{:?},\"notes\":{{{notes}}}}}", self.checks)
    }
}

/// A string of JSON.
fn quoted(text: &str) -> String {
    let escape = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => " ".into(),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}

pub fn footprint_table(rows: &[Footprint]) -> String {
    let mut text = String::from(
        "### footprint\n\nA program that runs a command and counts the lines of its output.\n\n",
    );
    text += "| library | crates | clean build | stripped bytes | built for size |\n|---|--:|--:|--:|--:|\n";
    for row in rows {
        let (bytes, small) = (thousands(row.bytes), thousands(row.small_bytes));
        let _ = writeln!(
            text,
            "| {} | {} | {:.1} s | {bytes} | {small} |",
            row.name, row.crates, row.seconds
        );
    }
    text
}

pub fn footprint_json(rows: &[Footprint]) -> String {
    let rows = rows.iter().map(|row| {
        format!(
            "{{\"library\":{:?},\"crates\":{},\"build_seconds\":{:.2},\"bytes\":{},\"small_bytes\":{}}}",
            row.name, row.crates, row.seconds, row.bytes, row.small_bytes
        )
    });
    format!(
        "{{\"work\":\"footprint\",\"programs\":[\n  {}\n]}}",
        rows.collect::<Vec<_>>().join(",\n  ")
    )
}

/// Three digits are enough.
fn time(nanos: f64) -> String {
    let (value, unit) = match nanos {
        n if n < 1e3 => (n, "ns"),
        n if n < 1e6 => (n / 1e3, "µs"),
        n => (n / 1e6, "ms"),
    };
    match value {
        v if v < 10.0 => format!("{v:.2} {unit}"),
        v if v < 100.0 => format!("{v:.1} {unit}"),
        v => format!("{v:.0} {unit}"),
    }
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
