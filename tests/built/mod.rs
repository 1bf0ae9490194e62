//! Where the built examples are.

use std::fs;
use std::path::{Path, PathBuf};

/// The program of an example. Fails if it is missing, or older than its sources.
#[track_caller]
pub fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples")
        .join(name);
    assert!(
        is_fresh(&path),
        "{} is missing or old: `cargo build --examples` makes it anew",
        path.display()
    );
    path
}

/// `cargo test --test NAME` does not build the examples: without this it would test what they once
/// were.
fn is_fresh(path: &Path) -> bool {
    let modified = |path: &Path| {
        fs::metadata(path)
            .and_then(|metadata| metadata.modified())
            .ok()
    };
    // cargo's list: `program: source...`
    let sources = fs::read_to_string(path.with_extension("d")).unwrap_or_default();
    let mut sources = sources.split_whitespace().skip(1);
    path.exists() && sources.all(|source| modified(Path::new(source)) <= modified(path))
}
