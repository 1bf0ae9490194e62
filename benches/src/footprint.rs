//! Work 8: what a library adds to a small program: crates in its tree, seconds to build it, bytes.
//!
//! The programs in `footprint/` all do the same: run a command, count the lines that it prints.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

const PROGRAMS: [&str; 7] = [
    "std",
    "asyncfile",
    "subprocess",
    "tokio",
    "smol",
    "mio",
    "calloop",
];

/// A profile for the smallest program, in place of the usual one.
const SMALL: [(&str, &str); 4] = [
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "z"),
    ("CARGO_PROFILE_RELEASE_LTO", "fat"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
];

/// One program's cost.
pub struct Footprint {
    pub name: &'static str,
    /// Crates that are linked in, itself not counted.
    pub crates: usize,
    /// A clean build by the usual release profile.
    pub seconds: f64,
    /// The program by that, stripped.
    pub bytes: u64,
    /// The program built to be small.
    pub small_bytes: u64,
}

/// Builds and tries them all.
pub fn measure() -> io::Result<Vec<Footprint>> {
    let place = std::env::temp_dir().join(format!("asyncfile-footprint-{}", std::process::id()));
    let answer = PROGRAMS
        .iter()
        .map(|name| measure_one(name, &place))
        .collect();
    let _ = fs::remove_dir_all(&place);
    answer
}

fn measure_one(name: &'static str, place: &Path) -> io::Result<Footprint> {
    eprintln!("footprint of {name} ...");
    cargo(name, &["fetch"], place, &[])?;
    let tree = cargo(
        name,
        &["tree", "--prefix", "none", "--edges", "normal"],
        place,
        &[],
    )?;
    let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
    let crates: BTreeSet<&str> = tree
        .lines()
        .map(|line| line.trim_end_matches(" (*)"))
        .collect();
    let begun = Instant::now();
    let bytes = build(name, &place.join("usual"), &[])?;
    let seconds = begun.elapsed().as_secs_f64();
    let small_bytes = build(name, &place.join("small"), &SMALL)?;
    Ok(Footprint {
        name,
        crates: crates.len() - 1,
        seconds,
        bytes,
        small_bytes,
    })
}

/// Builds the program from nothing, and gives its size.
fn build(name: &str, place: &Path, profile: &[(&str, &str)]) -> io::Result<u64> {
    let place = place.join(name);
    cargo(name, &["build", "--release", "--offline"], &place, profile)?;
    let program: PathBuf = place.join("release").join(format!("footprint-{name}"));
    let output = Command::new(&program)
        .args(["printf", "one\\ntwo\\nthree"])
        .output()?;
    if !output.stdout.starts_with(b"3 lines, exit") {
        return Err(io::Error::other(format!(
            "{name} counts wrong: {}",
            String::from_utf8_lossy(&output.stdout)
        )));
    }
    Ok(fs::metadata(&program)?.len())
}

fn cargo(name: &str, args: &[&str], place: &Path, profile: &[(&str, &str)]) -> io::Result<Output> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(args)
        .current_dir(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("footprint")
                .join(name),
        )
        .env("CARGO_TARGET_DIR", place)
        .env_remove("RUSTFLAGS")
        .envs(profile.iter().copied())
        .output()?;
    match output.status.success() {
        true => Ok(output),
        false => Err(io::Error::other(format!(
            "cargo {args:?} for {name}: {}",
            String::from_utf8_lossy(&output.stderr)
        ))),
    }
}
