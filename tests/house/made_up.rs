//! The checks themselves, on small made-up houses.

use crate::map::{Floor, Map};
use crate::tokens::{code_lines, tokens, without_test_modules, without_tests};
use crate::House;

const LIB: &str = "\
//! A made-up crate.
//!
//! # The map of the house
//!
//! | floor | room | what it holds |
//! |---|---|---|
//! | 0 kernel | `sys`, `sys/process` | calls |
//! | 1 machines | `machine/read` | `not a room` |
//! | 2 reactor | `reactor` | readiness |
//! | 3 operations | `op/operate`, `op/read` | operations |
//! | 4 loop | `scheduler`, `scheduler/turn` | the turn |
//! | annex child | `child`, `child/communicate` | children |
//! | annex thread | `thread/remote` | threads |
//! | - | `sim`, `*/invariants` | the simulation |
//!
//! # What matters
//!
//! | 9 nothing | `nothing` | this is no row of the map |

mod child;
pub mod machine {
    pub mod read;
}
pub mod op {
    //! Operations.
    pub(crate) mod operate;
    pub(crate) mod read;
    pub use crate::child::Communicate;
    pub use operate::Op;
    pub use read::{Read, Readline as Line};
}
mod reactor;
mod scheduler;
#[cfg(any(test, fuzzing))]
pub mod sim;
mod sys;
mod thread {
    pub mod remote;
}

pub use op::{Communicate, Op};
pub use scheduler::Scheduler as Loop;
pub use thread::remote::Remote;
pub use Loop as Again;
";

/// A house with all files of [`LIB`]'s map, empty but for those given here.
fn house(files: &[(&str, &str)]) -> House {
    let all = [
        "child/communicate.rs",
        "child/mod.rs",
        "machine/read.rs",
        "op/operate.rs",
        "op/read.rs",
        "reactor.rs",
        "scheduler.rs",
        "scheduler/turn.rs",
        "sim.rs",
        "sys/mod.rs",
        "sys/process.rs",
        "thread/remote.rs",
    ];
    let given = |path: &str| files.iter().find(|(given, _)| *given == path);
    let empty = all
        .iter()
        .filter(|path| given(path).is_none())
        .map(|path| (*path, ""));
    let lib = given("lib.rs").is_none().then_some(("lib.rs", LIB));
    let sources = files.iter().copied().chain(empty).chain(lib);
    House::new(sources.map(|(path, text)| (path.to_string(), text.to_string())))
}

/// The arrows upwards of one file with this text.
fn arrows(path: &str, text: &str) -> Vec<String> {
    house(&[(path, text)]).arrows_upwards()
}

#[track_caller]
fn assert_arrow(path: &str, text: &str, expected: &str) {
    assert_eq!(arrows(path, text), [expected]);
}

#[track_caller]
fn assert_one_arrow(path: &str, text: &str) {
    let found = arrows(path, text);
    assert_eq!(found.len(), 1, "{text}: {found:?}");
}

#[track_caller]
fn assert_no_arrow(path: &str, text: &str) {
    let found = arrows(path, text);
    assert!(found.is_empty(), "{text}: {found:?}");
}

#[test]
fn a_use_of_a_higher_floor_is_found_with_its_file_line_path_and_both_floors() {
    assert_arrow(
        "reactor.rs",
        "//! A room.\n\nuse crate::scheduler::Scheduler;\n",
        "src/reactor.rs:3: crate::scheduler::Scheduler: floor 2 reactor uses floor 4 loop \
         (src/scheduler.rs)",
    );
}

#[test]
fn a_use_of_the_same_floor_or_a_lower_one_is_allowed() {
    assert_no_arrow(
        "scheduler.rs",
        "use crate::scheduler::turn::Turn; use crate::{op::read, sys};",
    );
    assert_no_arrow(
        "op/read.rs",
        "use crate::op::operate::Op; use crate::machine::read::Reader;",
    );
    assert_no_arrow(
        "sys/mod.rs",
        "use crate::sys::process; use std::io; use libc::c_int;",
    );
}

#[test]
fn an_inline_path_is_found() {
    assert_arrow(
        "machine/read.rs",
        "fn f() {\n    let x = 1 + crate::reactor::Reactor::now() as u64;\n}",
        "src/machine/read.rs:2: crate::reactor::Reactor::now: floor 1 machines uses \
         floor 2 reactor (src/reactor.rs)",
    );
    assert_eq!(
        arrows(
            "sys/mod.rs",
            "impl<T: crate::op::Op> X for Vec<crate::op::Line> {}"
        )
        .len(),
        2
    );
    assert_one_arrow("sys/mod.rs", "fn f() { g(<crate::reactor::R as T>::x()) }");
    assert_one_arrow("sys/mod.rs", "fn f() { crate::reactor::get::<u8>() }");
    assert_one_arrow(
        "sys/mod.rs",
        "macro_rules! m { () => { $crate::reactor::R } }",
    );
}

#[test]
fn every_leaf_of_a_nested_group_is_looked_at() {
    let text =
        "use crate::{\n    sys::{self, process::{Child, X as Y}},\n    op::{read::Read,\n    \
                operate},\n};";
    assert_eq!(
        arrows("reactor.rs", text),
        [
            "src/reactor.rs:3: crate::op::read::Read: floor 2 reactor uses floor 3 operations \
             (src/op/read.rs)",
            "src/reactor.rs:4: crate::op::operate: floor 2 reactor uses floor 3 operations \
             (src/op/operate.rs)",
        ],
    );
}

#[test]
fn a_name_that_the_root_exports_means_the_file_it_comes_from() {
    assert_arrow(
        "scheduler.rs",
        "use crate::Remote;",
        "src/scheduler.rs:1: crate::Remote: floor 4 loop uses annex thread (src/thread/remote.rs)",
    );
    assert_one_arrow("reactor.rs", "use crate::{Loop as Scheduler};");
    assert_one_arrow("reactor.rs", "use crate::Again;");
    assert_no_arrow(
        "child/mod.rs",
        "use crate::{Loop, Again}; fn f(_: crate::Op) {}",
    );
}

#[test]
fn a_name_that_a_module_of_lib_exports_means_the_file_it_comes_from() {
    let of_child = "floor 3 operations uses annex child (src/child/mod.rs)";
    let found = format!("src/op/read.rs:1: crate::op::Communicate: {of_child}");
    assert_arrow("op/read.rs", "use crate::op::Communicate;", &found);
    let found = format!("src/op/read.rs:1: super::Communicate: {of_child}");
    assert_arrow("op/read.rs", "fn f(_: super::Communicate) {}", &found);
    let found = format!("src/op/read.rs:1: crate::Communicate: {of_child}");
    assert_arrow("op/read.rs", "fn f(_: crate::Communicate) {}", &found);
    assert_no_arrow("op/read.rs", "use crate::op::Op; use super::{Line, Read};");
}

#[test]
fn a_module_that_was_imported_is_followed_where_it_is_used() {
    assert_arrow(
        "op/read.rs",
        "use crate::op;\n\nfn f(_: op::Read, _: op::Communicate) {}",
        "src/op/read.rs:3: op::Communicate: floor 3 operations uses annex child \
         (src/child/mod.rs)",
    );
    assert_one_arrow(
        "op/read.rs",
        "use crate::op as o; fn f(_: o::Communicate) {}",
    );
    assert_one_arrow("op/read.rs", "use crate::op::{self}; use op::Communicate;");
}

#[test]
fn super_means_the_module_above_also_within_braces() {
    assert_no_arrow(
        "op/read.rs",
        "use super::operate::Op; use super::super::sys;",
    );
    assert_one_arrow("op/read.rs", "use super::super::scheduler::Scheduler;");
    assert_one_arrow("machine/read.rs", "use super::super::{reactor, sys};");
    assert_no_arrow(
        "scheduler/turn.rs",
        "use super::Scheduler; use super::super::op::Op;",
    );
    assert_no_arrow(
        "reactor.rs",
        "mod inner { use super::Reactor; use super::super::sys; }",
    );
    assert_one_arrow("reactor.rs", "mod inner { use super::super::scheduler; }");
    assert_one_arrow(
        "reactor.rs",
        "mod inner { use super::X; } use super::scheduler;",
    );
}

#[test]
fn a_path_that_begins_with_a_child_module_is_followed() {
    let lib = LIB.replace("`scheduler`, `scheduler/turn`", "`scheduler`");
    let lib = lib.replace(
        "//! | annex child",
        "//! | 5 top | `scheduler/turn` |\n//! | annex child",
    );
    let scheduler = "mod turn;\npub use turn::Turn;\nfn f() { self::turn::g() }";
    let found = house(&[("lib.rs", &lib), ("scheduler.rs", scheduler)]).arrows_upwards();
    assert_eq!(
        found,
        [
            "src/scheduler.rs:2: turn::Turn: floor 4 loop uses floor 5 top (src/scheduler/turn.rs)",
            "src/scheduler.rs:3: self::turn::g: floor 4 loop uses floor 5 top \
             (src/scheduler/turn.rs)",
        ],
    );
}

#[test]
fn an_annex_uses_every_floor_and_itself_and_no_other_annex() {
    assert_no_arrow(
        "child/mod.rs",
        "use crate::scheduler::turn; use crate::sys; mod communicate;",
    );
    assert_no_arrow(
        "child/communicate.rs",
        "use super::AsyncPipe; use crate::child::exit;",
    );
    assert_arrow(
        "child/communicate.rs",
        "use crate::thread::remote::Remote;",
        "src/child/communicate.rs:1: crate::thread::remote::Remote: annex child uses \
         annex thread (src/thread/remote.rs)",
    );
}

#[test]
fn what_only_tests_and_fuzz_targets_compile_is_not_looked_at() {
    for text in [
        "#[cfg(test)]\nmod tests { use crate::scheduler::X; fn f() { crate::scheduler::g() } }",
        "#[cfg(any(test, fuzzing))]\nuse crate::{sim, scheduler::X};",
        "#[cfg(any(test, fuzzing))] #[inline] pub(crate) fn f<A, B>(a: A) -> [B; 2] { crate::X() }",
        "struct S { #[cfg(test)] a: Map<crate::op::Op, crate::op::Op>, b: u8 }",
        "fn f() { #[cfg(test)] if x { crate::scheduler::a() } else { crate::scheduler::b() } g() }",
        "fn f() { match x { #[cfg(test)] A => { crate::scheduler::a() } B => {} } }",
        "fn f() { match x { #[cfg(test)] A { a, .. } => crate::scheduler::a(), B => {} } }",
        "#[cfg(all(test, unix))] const X: [crate::scheduler::X; 1] = [crate::scheduler::X {}];",
        "#[cfg(all(feature = \"x\", any(test, fuzzing)))] impl crate::scheduler::X for Y {}",
        "#![cfg(test)] use crate::scheduler::X;",
    ] {
        assert_no_arrow("reactor.rs", text);
    }
    assert_no_arrow("sys/invariants.rs", "use crate::scheduler::X;");
    assert_no_arrow("op/tests.rs", "use crate::scheduler::X;");
    assert_no_arrow("sim/table.rs", "use crate::scheduler::X;");
}

#[test]
fn what_stands_behind_a_test_item_is_looked_at_again() {
    for text in [
        "#[cfg(test)] mod tests { fn f() { '{'; \"}\"; } } use crate::scheduler::X;",
        "#[cfg(test)] use crate::{sim}; use crate::scheduler::X;",
        "#[cfg(test)] mod tests; use crate::scheduler::X;",
        "struct S { #[cfg(test)] a: u8, b: crate::scheduler::X }",
        "fn f() { #[cfg(test)] g(a, b); crate::scheduler::h() }",
        "#[cfg(not(any(test, fuzzing)))] use crate::scheduler::X;",
        "#[cfg(not(test))] use crate::scheduler::X;",
        "#[cfg(any(test, unix))] use crate::scheduler::X;",
        "#[cfg(feature = \"test\")] use crate::scheduler::X;",
        "#[cfg_attr(test, derive(Debug))] struct S(crate::scheduler::X);",
        "#[test_of(x)] struct S(crate::scheduler::X);",
    ] {
        assert_one_arrow("reactor.rs", text);
    }
}

#[test]
fn comments_strings_and_characters_hide_no_path_and_show_none() {
    for text in [
        "// crate::scheduler::X\n/// [`X`](crate::scheduler::X)\n//! crate::scheduler::X",
        "/* crate::scheduler::X /* nested */ crate::scheduler::X */",
        "const A: &str = \"\\\" crate::scheduler::X\"; const B: &[u8] = b\"crate::scheduler::X\";",
        "const A: &str = r#\"\"crate::scheduler::X\"#; const B: &[u8] = br\"crate::scheduler::X\";",
        "#[doc = \"crate::scheduler::X\"] fn f<'a>(x: &'a u8) {}",
    ] {
        assert_no_arrow("reactor.rs", text);
    }
    for text in [
        "const A: char = '\"'; use crate::scheduler::X; const B: char = '\"';",
        "const A: u8 = b'\\''; use crate::scheduler::X; const B: &str = \"'\";",
        "fn f<'a>(x: &'a str) {} use crate::scheduler::X; // it's",
        "const A: &str = r\"\\\"; use crate::scheduler::X; const B: char = '\\u{7f}';",
        "/* // */ use crate::scheduler::X;",
        "const A: f64 = 1.5e3; fn r#type() { 0..=crate::scheduler::X }",
    ] {
        assert_one_arrow("reactor.rs", text);
    }
}

#[test]
fn a_path_that_cannot_be_followed_is_a_fault() {
    let found = "src/op/read.rs:1: super::*: hides which names of lib.rs it uses";
    assert_arrow("op/read.rs", "use super::*;", found);
    assert_arrow(
        "reactor.rs",
        "use crate::Gone;",
        "src/reactor.rs:1: crate::Gone: lib.rs has no such name",
    );
    let lib = LIB.to_string() + "pub use op::*;\npub use std::io::*;\n";
    let found = house(&[("lib.rs", &lib)]).arrows_upwards();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].ends_with(": op::*: hides which names it exports"),
        "{found:?}"
    );
}

#[test]
fn visibilities_methods_and_other_crates_are_no_arrows() {
    assert_no_arrow(
        "reactor.rs",
        "pub(crate) fn f() {} pub(in crate::scheduler) fn g() {}",
    );
    assert_no_arrow(
        "reactor.rs",
        "fn f() { x.crate_::<u8>(); scheduler::f(); Scheduler::new() }",
    );
    assert_no_arrow(
        "reactor.rs",
        "use ::scheduler::X; use std::{op, thread::{self, remote}};",
    );
}

#[test]
fn the_map_names_what_is_there_and_everything_is_in_it() {
    assert_eq!(house(&[]).faults_of_the_map(), [""; 0]);
    let house = house(&[
        ("op/new.rs", ""),
        ("sim/table.rs", ""),
        ("op/invariants.rs", ""),
    ]);
    assert_eq!(
        house.faults_of_the_map(),
        ["src/op/new.rs: the map does not name `op/new`"]
    );
    let lib = LIB.replace("`reactor`", "`reactor`, `port`, `sys`");
    let house = House::new([("lib.rs".to_string(), lib)]);
    let faults = house.faults_of_the_map();
    assert!(faults.contains(&"src/lib.rs: the map names `port`, which is no file".into()));
    assert!(
        faults.contains(&"src/lib.rs:9: `sys` is named twice".into()),
        "{faults:?}"
    );
}

#[test]
fn a_row_of_the_map_is_a_floor_an_annex_or_the_tests() {
    let map = Map::parse(LIB);
    assert_eq!(
        map.rooms["machine/read"],
        Floor::Numbered(1, "machines".into())
    );
    assert_eq!(map.rooms["child/communicate"], Floor::Annex("child".into()));
    assert_eq!(map.floor("sim/anything"), Some(&Floor::Tests));
    assert_eq!(map.floor("op/anything"), None);
    assert!(!map.rooms.contains_key("not a room") && !map.rooms.contains_key("nothing"));
    let map = Map::parse(&LIB.replace("| 2 reactor", "| two"));
    assert_eq!(map.faults, ["src/lib.rs:9: `two` is no floor"]);
    assert_eq!(Map::parse("//! Nothing.").faults.len(), 1);
}

#[test]
fn a_line_of_code_is_one_that_holds_more_than_a_comment() {
    let text = "//! Doc.\n\nfn f() { // one\n    /* \n */ \"two\n\nfour\";\n} /* five */\n\n\n\
                #[cfg(any(test, fuzzing))]\nfn g() {}\n\
                #[cfg(test)]\nmod tests {\n    fn g() {}\n}\n";
    assert_eq!(code_lines(&tokens(text)), 11);
    assert_eq!(code_lines(&without_test_modules(&tokens(text))), 7);
    assert_eq!(code_lines(&without_tests(&tokens(text))), 5);
    let long = "fn f() {}\n".repeat(40) + "#[cfg(test)]\nmod tests {\n}\n";
    let house = house(&[("reactor.rs", &long), ("op/tests.rs", &long)]);
    assert_eq!(house.longer_than(39), ["src/reactor.rs: 40 lines of code"]);
    assert_eq!(house.longer_than(40), [""; 0]);
    let (sum, list) = house.lines_of(&["reactor", "sys"]).unwrap();
    assert_eq!((sum, list.as_str()), (40, "    40 reactor\n     0 sys\n"));
    assert_eq!(
        house.lines_of(&["gone"]).unwrap_err(),
        "there is no src/gone.rs"
    );
}

#[test]
fn unsafe_is_found_outside_sys_and_not_in_comments() {
    let text = "// unsafe\n#![deny(unsafe_code)]\nfn f() { unsafe { g() } }";
    let house = house(&[
        ("reactor.rs", text),
        ("sys/mod.rs", text),
        ("sys/process.rs", text),
    ]);
    assert_eq!(house.unsafe_elsewhere(), ["src/reactor.rs:3: unsafe"]);
}

#[test]
fn source_that_does_not_compile_gives_no_panic() {
    for text in [
        "use crate::{",
        "use crate::{a, {b,}}, c};",
        "crate::",
        "use ;",
        "\"",
        "r##\"x\"#",
        "'",
        "'\\",
        "#[cfg(",
        "#[cfg(test)]",
        "#[cfg(test)] fn",
        "}}}",
        "/* /*",
        "b'",
        "#![",
        "mod {",
        "use a as",
        "use crate::{*, +, b};",
        "super::super::super::super::x",
    ] {
        house(&[("reactor.rs", text), ("lib.rs", text)]).arrows_upwards();
    }
}
