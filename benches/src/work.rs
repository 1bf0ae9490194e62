//! What is measured: a work, done by several variants.

/// How much of a work.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// How many units: lines, round trips, tasks.
    pub count: u64,
    /// What tells works of one kind apart: the length of a line, the number of descriptors.
    pub param: u64,
}

/// Does the work, and gives the check value.
pub type Run = fn(Size) -> u64;

/// One way to do a work.
pub struct Variant {
    pub name: &'static str,
    pub run: Run,
    /// It does one unit of so many: threads are too slow for a million.
    pub share: u64,
}

/// Something that every variant does in its own way, with the same result.
pub struct Work {
    pub name: String,
    /// What is counted.
    pub unit: &'static str,
    /// A line about it.
    pub about: String,
    /// How many units in a full run, and in a quick one.
    pub full: u64,
    pub quick: u64,
    pub param: u64,
    pub shows: Shows,
    /// The first is the limit.
    pub variants: Vec<Variant>,
    /// Who has no variant, and why.
    pub left_out: Vec<(&'static str, &'static str)>,
}

/// What a work is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// CPU and wall time.
    Time,
    /// These, and apart from them the CPU time of the children, who are a part of the work.
    Children,
    /// Only the notes: bytes.
    Memory,
}

impl Work {
    /// Its unit, many of them.
    pub fn units(&self) -> String {
        match self.unit {
            "KiB" => "KiB".into(),
            "child" => "children".into(),
            unit => format!("{unit}s"),
        }
    }

    /// It fills so much memory that it matters whether the machine has it at hand.
    pub fn fills_memory(&self) -> bool {
        matches!(
            self.name.as_str(),
            "communicate" | "spawn-at-once" | "sleeps"
        )
    }

    /// How many units a variant is to do.
    pub fn count(&self, variant: &Variant, quick: bool) -> u64 {
        let count = if quick { self.quick } else { self.full };
        (count / variant.share).max(1)
    }
}

pub fn variant(name: &'static str, run: Run) -> Variant {
    Variant {
        name,
        run,
        share: 1,
    }
}
