//! The example `timeline` draws what an observer has seen. What it draws is complete: a lane for
//! each task, and an arrow with two ends for each wake, also if the children are slow.
//! `cargo test` builds the example; before `cargo test --test examples_timeline`,
//! `cargo build --examples` must.

mod built;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

const TASKS: [&str; 5] = ["reader", "printer", "patient", "sleeper", "racer"];

/// An element of the picture: its name, and its attributes.
type Element<'a> = (&'a str, Vec<(&'a str, &'a str)>);

/// Draws into this directory. `path` is searched for programs first.
fn draw(directory: &Path, path: Option<&Path>) -> Output {
    let mut command = Command::new(built::example("timeline"));
    if let Some(path) = path {
        let rest = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{rest}", path.display()));
    }
    command.arg(directory).output().unwrap()
}

/// The elements of a well-formed text, in their order. Fails if it is not well-formed.
fn elements(xml: &str) -> Vec<Element<'_>> {
    let (_comment, xml) = xml.split_once("-->").unwrap();
    let (mut open, mut all, mut rest) = (Vec::new(), Vec::new(), xml);
    while let Some(start) = rest.find('<') {
        assert!(!rest[..start].contains('>'), "{:?}", &rest[..start]);
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "what is closed was open");
            continue;
        }
        let (tag, is_empty) = tag
            .strip_suffix('/')
            .map_or((tag, false), |tag| (tag, true));
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let mut quoted = attributes.split('"');
        let pairs = std::iter::from_fn(|| Some((quoted.next()?.trim(), quoted.next()?)));
        let pairs = pairs.map(|(key, value)| (key.strip_suffix('=').expect("="), value));
        all.push((name, pairs.collect()));
        if !is_empty {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    assert_eq!(rest.trim(), "");
    all
}

fn attribute<'a>((name, attributes): &Element<'a>, wanted: &str) -> &'a str {
    let found = attributes.iter().find(|(key, _)| *key == wanted);
    found.unwrap_or_else(|| panic!("{name} has no {wanted}")).1
}

fn has_class(element: &Element<'_>, class: &str) -> bool {
    let (_, attributes) = element;
    let classes = attributes.iter().filter(|(key, _)| *key == "class");
    classes
        .flat_map(|(_, value)| value.split(' '))
        .any(|one| one == class)
}

fn number(text: &str) -> f64 {
    text.parse()
        .unwrap_or_else(|_| panic!("{text:?} is no number"))
}

fn assert_complete(directory: &Path) {
    let svg = fs::read_to_string(directory.join("timeline.svg")).unwrap();
    let page = fs::read_to_string(directory.join("timeline.html")).unwrap();
    let all = elements(&svg);
    let of = |class: &'static str| all.iter().filter(move |element| has_class(element, class));
    let count = |words: &str| page.matches(words).count();

    // The picture stands alone, and in a page of Markdown: there is no empty line in it.
    assert!(page.contains(&svg) && !svg.contains("\n\n"));
    assert_eq!(
        page.matches("http").count(),
        1,
        "the name of SVG is no link"
    );

    // A lane for each task, and poll(2)'s.
    let lanes: Vec<f64> = of("name")
        .map(|name| number(attribute(name, "x")) + 6.0)
        .collect();
    assert_eq!(lanes.len(), 1 + TASKS.len());
    TASKS
        .iter()
        .for_each(|name| assert!(svg.contains(&format!(">{name}</text>"))));
    assert_eq!(of("begins").count(), TASKS.len());
    // In the legend, too, there is one of each.
    assert_eq!((of("ends").count() - 1, of("dropped").count() - 1), (4, 1));

    // An arrow for each wake and each cancel. Those of the legend come last.
    let arrows: Vec<_> = of("arrow").collect();
    let wakes = count(" is woken by ") - count("is woken by the program");
    let itself = |name: &&str| count(&format!("{name} is woken by {name}<"));
    let own: usize = TASKS.iter().map(itself).sum();
    assert_eq!(arrows.len() - 3, wakes - own + count(" is cancelled by "));
    assert!(count(" is woken by its deadline") >= 2 && count("is woken by fd ") >= 3);
    assert!(
        count("printer is woken by reader") >= 3 && count("racer is cancelled by sleeper") == 1
    );
    for arrow in &arrows[..arrows.len() - 3] {
        let path = attribute(arrow, "d").strip_prefix('M').unwrap();
        let (from, to) = path.split_once('H').unwrap();
        let ends = [number(from.split(' ').next().unwrap()), number(to)];
        let lane = |end: f64| lanes.iter().position(|lane| (lane - end).abs() < 14.0);
        let [from, to] = ends.map(|end| lane(end).expect("an arrow begins and ends at a lane"));
        assert!(from != to && to > 0, "from lane {from} to lane {to}");
    }

    // Nothing lies outside, and one turn follows the other.
    let size = attribute(&all[0], "viewBox").split(' ').map(number);
    let size: Vec<f64> = size.collect();
    for element in &all {
        for (key, value) in &element.1 {
            let most = match *key {
                "x" | "x1" | "x2" | "cx" => size[2],
                "y" | "y1" | "y2" | "cy" => size[3],
                _ => continue,
            };
            assert!((0.0..most).contains(&number(value)), "{element:?}");
        }
    }
    let titles = of("title").map(|title| number(attribute(title, "y")));
    let titles: Vec<f64> = titles.collect();
    assert_eq!(
        (titles.len(), of("turn").count()),
        (count("<section>"), count("<section>"))
    );
    assert!(
        titles.windows(2).all(|two| two[1] - two[0] > 50.0),
        "{titles:?}"
    );
}

#[test]
fn the_picture_is_well_formed_and_complete() {
    let directory = tempfile::tempdir().unwrap();
    let output = draw(directory.path(), None);
    assert!(output.status.success(), "{output:?}");
    assert_complete(directory.path());
}

/// Each shell begins late: all deadlines come before the first line.
#[test]
fn it_is_complete_when_the_children_are_slow() {
    let directory = tempfile::tempdir().unwrap();
    let shell = directory.path().join("sh");
    fs::write(&shell, "#!/bin/sh\nsleep 0.3\nexec /bin/sh \"$@\"\n").unwrap();
    fs::set_permissions(&shell, fs::Permissions::from_mode(0o755)).unwrap();
    let output = draw(directory.path(), Some(directory.path()));
    assert!(output.status.success(), "{output:?}");
    assert_complete(directory.path());
    let page = fs::read_to_string(directory.path().join("timeline.html")).unwrap();
    assert!(page.find("racer is cancelled") < page.find("printer is woken by reader"));
}

#[test]
fn it_says_what_it_could_not_do() {
    let missing = draw(Path::new("/nonexistent"), None);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).starts_with("timeline: "));
    let usage = Command::new(built::example("timeline")).output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
}
