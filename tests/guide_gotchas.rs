//! Two pages of the guide (`src/guide/`): each gotcha has a heading, a program, and the names of
//! tests that there are; each exercise has a hint and a solution.

use std::fs;
use std::path::Path;

const PAGE: &str = include_str!("../src/guide/gotchas.md");

/// How many there are.
const GOTCHAS: usize = 38;

/// The texts of the gotchas, each from its heading on, in their order.
fn gotchas() -> Vec<&'static str> {
    let mut parts = PAGE.split("\n## ");
    parts.next(); // the head of the page
    let upto_next_part = |part: &'static str| part.split("\n# ").next().unwrap();
    // In a program `# ` begins a line that is not shown.
    parts
        .map(|part| match part.split_once("*Guarded by*") {
            Some((_, guards)) => &part[..part.len() - guards.len() + upto_next_part(guards).len()],
            None => part,
        })
        .collect()
}

/// What stands in backticks.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The names of tests that the text says guard it, each with its file.
fn guards(text: &str) -> Vec<(&str, &str)> {
    let (mut found, mut file) = (Vec::new(), "");
    let guards = text
        .split_once("*Guarded by*")
        .map_or("", |(_, guards)| guards);
    for name in names(guards) {
        match name.ends_with(".rs") {
            true => file = name,
            false => found.push((file, name)),
        }
    }
    found
}

/// Whether the file has a test of this name.
fn is_test(file: &str, name: &str) -> bool {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut rest = text.as_str();
    while let Some((_, after)) = rest.split_once("#[test]") {
        let function = after.split_once("fn ").map_or("", |(_, function)| function);
        if function
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('('))
        {
            return true;
        }
        rest = after;
    }
    false
}

#[test]
fn every_gotcha_has_its_number_a_program_and_tests_that_there_are() {
    let gotchas = gotchas();
    assert_eq!(gotchas.len(), GOTCHAS);
    for (index, text) in gotchas.into_iter().enumerate() {
        let heading = text.lines().next().unwrap();
        let number = format!("{}. ", index + 1);
        assert!(heading.starts_with(&number), "{number} is: {heading}");
        assert!(text.contains("\n```"), "{heading}: no program");
        let text = text.split("\nNext: ").next().unwrap();
        let guards = guards(text);
        assert!(!guards.is_empty(), "{heading}: no test");
        for (file, name) in guards {
            assert!(is_test(file, name), "{heading}: {file} has no test {name}");
        }
    }
}

#[test]
fn a_name_that_is_no_test_is_found() {
    let own = "tests/guide_gotchas.rs";
    assert!(is_test(own, "a_name_that_is_no_test_is_found"));
    assert!(!is_test(own, "a_name_that_is_no_test"));
    assert!(!is_test(own, "is_test"));
    let text = "# x\n*Guarded by* `a.rs`: `one`,\n`two`, and `b.rs`: `three`.";
    assert_eq!(
        guards(text),
        [("a.rs", "one"), ("a.rs", "two"), ("b.rs", "three")]
    );
}

#[test]
fn every_exercise_has_a_hint_and_a_solution_that_is_a_test() {
    let page = include_str!("../src/guide/exercises.md");
    let exercises: Vec<&str> = page.split("\n## ").skip(1).collect();
    assert_eq!(exercises.len(), 8);
    for text in exercises {
        let heading = text.lines().next().unwrap();
        assert!(
            text.contains("<summary>Hint</summary>"),
            "{heading}: no hint"
        );
        let solution = text.split_once("*Solution:*").expect("a solution").1;
        let names: Vec<&str> = names(solution).take(2).collect();
        assert!(is_test(names[0], names[1]), "{heading}: {names:?}");
    }
}
