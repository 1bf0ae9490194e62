//! What was measured, as tables for people and as JSON for machines.

use std::fmt::Write;

use crate::footprint::Footprint;
use crate::measure::Taken;
use crate::work::{Shows, Work};

/// The medians of a variant's rounds, per unit of work; times are nanoseconds.
pub struct Row {
    pub name: &'static str,
    pub cpu: f64,
    pub wall: f64,
    pub children: f64,
    /// CPU time as a multiple of the limit's.
    pub ratio: f64,
    /// How far apart the rounds were: the difference of the extremes, as a part of the median.
    pub spread: f64,
    pub notes: Vec<(String, f64)>,
    pub check: u64,
}

/// A work and what its variants took.
pub struct Measured {
    pub work: Work,
    pub count: u64,
    pub rounds: usize,
    pub rows: Vec<Row>,
}

/// Sums up the rounds of one variant, which did so many units in each.
pub fn row(name: &'static str, count: u64, rounds: &[Taken]) -> Row {
    let per_unit = |of: fn(&Taken) -> std::time::Duration| -> Vec<f64> {
        rounds.iter().map(|taken| of(taken).as_nanos() as f64 / count as f64).collect()
    };
    let mut cpu = per_unit(|taken| taken.own);
    let notes = rounds[0].notes.iter().map(|(note, _)| {
        let values = rounds.iter().flat_map(|taken| taken.notes.iter().filter(|(other, _)| other == note));
        (note.clone(), median(&mut values.map(|(_, value)| *value).collect::<Vec<_>>()))
    });
    let middle = median(&mut cpu);
    Row {
        name,
        cpu: middle,
        wall: median(&mut per_unit(|taken| taken.wall)),
        children: median(&mut per_unit(|taken| taken.children)),
        ratio: 0.0,
        spread: (cpu[cpu.len() - 1] - cpu[0]) / middle,
        notes: notes.collect(),
        check: rounds[0].check,
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
        let limit = rows[0].cpu;
        rows.iter_mut().for_each(|row| row.ratio = row.cpu / limit);
        Measured { work, count, rounds, rows }
    }

    /// A table.
    pub fn table(&self) -> String {
        let Measured { work, rows, .. } = self;
        let mut text = format!("### {}\n\n{} ({}", work.name, work.about, thousands(self.count));
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
        head.extend(rows[0].notes.iter().map(|(note, _)| note.clone()));
        let _ = writeln!(text, "| {} |\n|---{}|", head.join(" | "), "|--:".repeat(head.len() - 1));
        for row in rows {
            let mut cells = vec![row.name.to_string()];
            if work.shows != Shows::Memory {
                let spread = format!("{:.0} %", row.spread * 100.0);
                cells.extend([time(row.cpu), format!("{:.2}", row.ratio), spread, time(row.wall)]);
            }
            if work.shows == Shows::Children {
                cells.push(time(row.children));
            }
            cells.extend(row.notes.iter().map(|(_, value)| thousands(value.round() as u64)));
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        text
    }

    /// An object.
    pub fn json(&self) -> String {
        let rows = self.rows.iter().map(|row| {
            let notes = row.notes.iter().map(|(note, value)| format!("{:?}:{value}", note));
            format!(
                "{{\"variant\":{:?},\"cpu_ns\":{:.2},\"ratio\":{:.4},\"spread\":{:.4},\"wall_ns\":{:.2},\
                 \"children_ns\":{:.2},\"check\":{},\"notes\":{{{}}}}}",
                row.name,
                row.cpu,
                row.ratio,
                row.spread,
                row.wall,
                row.children,
                row.check,
                notes.collect::<Vec<_>>().join(",")
            )
        });
        format!(
            "{{\"work\":{:?},\"about\":{:?},\"unit\":{:?},\"count\":{},\"rounds\":{},\"variants\":[\n  {}\n]}}",
            self.work.name,
            self.work.about,
            self.work.unit,
            self.count,
            self.rounds,
            rows.collect::<Vec<_>>().join(",\n  ")
        )
    }
}

pub fn footprint_table(rows: &[Footprint]) -> String {
    let mut text =
        String::from("### footprint\n\nA program that runs a command and counts the lines of its output.\n\n");
    text += "| library | crates | clean build | stripped bytes | built for size |\n|---|--:|--:|--:|--:|\n";
    for row in rows {
        let (bytes, small) = (thousands(row.bytes), thousands(row.small_bytes));
        let _ = writeln!(text, "| {} | {} | {:.1} s | {bytes} | {small} |", row.name, row.crates, row.seconds);
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
    format!("{{\"work\":\"footprint\",\"programs\":[\n  {}\n]}}", rows.collect::<Vec<_>>().join(",\n  "))
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
