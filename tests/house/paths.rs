//! Which file a path means: `crate::`, `super::`, `self::`, a path that begins with a child module
//! or with a module that the file has imported, and public names that lib.rs exports again.

use std::collections::{BTreeMap, BTreeSet};

use crate::tokens::Token;

/// A module or an item, as the names from the crate's root to it.
pub type Path = Vec<String>;

/// A path as it stands in a file.
#[derive(Clone, Debug)]
pub struct Written {
    pub line: usize,
    pub segments: Path,
    /// It ends with `::*`.
    pub is_glob: bool,
    /// For a path in a `use`: the name that it gets in its module.
    pub imported_as: Option<String>,
    /// The modules with braces around it, within its file.
    pub within: Path,
}

impl Written {
    pub fn text(&self) -> String {
        self.segments.join("::") + if self.is_glob { "::*" } else { "" }
    }
}

/// All paths of a file: those in `use` declarations, one for each leaf, and those in code.
pub fn paths(tokens: &[Token]) -> Vec<Written> {
    let mut reader = Reader {
        tokens,
        within: Vec::new(),
        found: Vec::new(),
    };
    reader.read();
    reader.found
}

/// The modules that are declared with braces in a file.
pub fn modules_with_braces(tokens: &[Token]) -> BTreeSet<Path> {
    let mut within = Within::default();
    let enter = |at| within.enter(tokens, at).then(|| within.names());
    (0..tokens.len()).filter_map(enter).collect()
}

/// The modules with braces around a place, with the depth of each one's braces.
#[derive(Default)]
struct Within {
    modules: Vec<(String, usize)>,
    depth: usize,
}

impl Within {
    /// Takes one token more. Returns true if it opens a module.
    fn enter(&mut self, tokens: &[Token], at: usize) -> bool {
        match tokens[at].text.as_str() {
            "{" => {
                self.depth += 1;
                let is_module = at >= 2 && tokens[at - 2].is("mod") && tokens[at - 1].is_word();
                if is_module {
                    self.modules.push((tokens[at - 1].text.clone(), self.depth));
                }
                is_module
            }
            "}" => {
                self.modules.retain(|(_, depth)| *depth < self.depth);
                self.depth = self.depth.saturating_sub(1);
                false
            }
            _ => false,
        }
    }

    fn names(&self) -> Path {
        self.modules.iter().map(|(name, _)| name.clone()).collect()
    }
}

struct Reader<'a> {
    tokens: &'a [Token],
    within: Path,
    found: Vec<Written>,
}

impl Reader<'_> {
    fn is(&self, at: usize, text: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| token.is(text))
    }

    fn read(&mut self) {
        let mut within = Within::default();
        let mut at = 0;
        while at < self.tokens.len() {
            within.enter(self.tokens, at);
            self.within = within.names();
            let begins = |back, text| at >= back && self.is(at - back, text);
            at = if self.is(at, "use") && !begins(1, ".") {
                let is_external = self.is(at + 1, "::");
                let start = at + 1 + usize::from(is_external);
                let first = self.found.len();
                let end = self.tree(start, Vec::new(), true);
                if is_external {
                    self.found.truncate(first);
                }
                end
            } else if self.tokens[at].is_word()
                && self.is(at + 1, "::")
                && !begins(1, "::")
                && !begins(1, ".")
                && !(begins(1, "in") && begins(2, "(") && begins(3, "pub"))
            {
                self.tree(at, Vec::new(), false)
            } else {
                at + 1
            };
        }
    }

    /// Reads a path, or the tree of a `use`, that begins at `at`. Returns the index behind it.
    fn tree(&mut self, mut at: usize, mut segments: Path, is_use: bool) -> usize {
        let line = self.tokens.get(at).map_or(0, Token::line);
        loop {
            match self.tokens.get(at) {
                Some(token) if token.is_word() => {
                    segments.push(token.text.clone());
                    at += 1;
                    let is_longer = self.is(at, "::") && !self.is(at + 1, "<");
                    if !is_longer {
                        return self.leaf(line, at, segments, is_use);
                    }
                    at += 1;
                }
                Some(token) if token.is("{") && is_use => {
                    at += 1;
                    while at < self.tokens.len() && !self.is(at, "}") {
                        let next = self.tree(at, segments.clone(), true);
                        // A leaf that cannot be read is passed over, token by token.
                        at = if next == at || self.is(next, ",") {
                            next + 1
                        } else {
                            next
                        };
                    }
                    return at + 1;
                }
                Some(token) if token.is("*") && is_use => {
                    self.push(line, segments, true, None);
                    return at + 1;
                }
                _ => {
                    self.push(line, segments, false, None);
                    return at;
                }
            }
        }
    }

    /// A path has ended before `at`, where in a `use` its other name may stand.
    fn leaf(&mut self, line: usize, at: usize, mut segments: Path, is_use: bool) -> usize {
        if is_use && segments.len() > 1 && segments.last().is_some_and(|last| last == "self") {
            segments.pop();
        }
        let other_name = is_use && self.is(at, "as");
        let name = match self.tokens.get(at + 1) {
            Some(token) if other_name => Some(token.text.clone()),
            _ => segments.last().cloned(),
        };
        self.push(line, segments, false, name.filter(|_| is_use));
        at + 2 * usize::from(other_name)
    }

    fn push(&mut self, line: usize, segments: Path, is_glob: bool, imported_as: Option<String>) {
        let within = self.within.clone();
        if !segments.is_empty() {
            self.found.push(Written {
                line,
                segments,
                is_glob,
                imported_as,
                within,
            });
        }
    }
}

/// The modules of the crate, and the names that lib.rs gives to what lies elsewhere.
#[derive(Debug, Default)]
pub struct Modules {
    /// Each module that is a file, with the file's name.
    files: BTreeMap<Path, String>,
    /// The modules that lib.rs declares with braces. They have no file of their own.
    inside_lib: BTreeSet<Path>,
    /// What a `use` in lib.rs makes of a name: its module and its own name, as written there.
    exports: BTreeMap<Path, Written>,
    /// The `use` declarations of lib.rs that end with `*`.
    globs: Vec<Written>,
}

/// What a path means.
#[derive(Debug, PartialEq, Eq)]
pub enum Target {
    /// Something in this file.
    File(String),
    /// A module that has no file: the crate's root, or one that lib.rs declares with braces.
    Module(Path),
    /// Nothing that lib.rs knows.
    Unknown,
    /// Another crate's, or a name from the same file.
    Elsewhere,
}

impl Modules {
    /// `files` are the names of all files but lib.rs; `lib` is what lib.rs consists of.
    pub fn new<'a>(files: impl Iterator<Item = &'a str>, lib: &[Token]) -> Modules {
        let module = |name: &str| name.split('/').map(str::to_string).collect();
        let (globs, exports) = paths(lib)
            .into_iter()
            .filter(|path| path.is_glob || path.imported_as.is_some())
            .partition::<Vec<_>, _>(|path| path.is_glob);
        let export = |path: Written| {
            let name = path.imported_as.clone().expect("it is no glob");
            ([path.within.clone(), vec![name]].concat(), path)
        };
        Modules {
            files: files.map(|name| (module(name), name.to_string())).collect(),
            inside_lib: modules_with_braces(lib),
            exports: exports.into_iter().map(export).collect(),
            globs,
        }
    }

    /// Whether the names of this module are those that lib.rs gives it.
    fn is_inside_lib(&self, module: &[String]) -> bool {
        module.is_empty() || self.inside_lib.contains(module)
    }

    /// The `use` declarations of lib.rs that take all names of one of the crate's modules.
    pub fn globs_of_lib(&self) -> impl Iterator<Item = &Written> {
        let no_imports = BTreeMap::new();
        let is_ours = move |glob: &&Written| self.absolute(&[], glob, &no_imports).is_some();
        self.globs.iter().filter(is_ours)
    }

    /// The path from the crate's root, of a path that stands in `module`. `imports` are the modules
    /// that the file has given a name. None: it begins with another crate's name, or with that of
    /// something in the same file.
    pub fn absolute(
        &self,
        module: &[String],
        written: &Written,
        imports: &BTreeMap<String, Path>,
    ) -> Option<Path> {
        let here = [module, &written.within].concat();
        let (first, rest) = written.segments.split_first()?;
        let start = match first.as_str() {
            "crate" | "asyncfile" => Vec::new(),
            "self" => here,
            "super" => {
                let more = rest
                    .iter()
                    .take_while(|segment| *segment == "super")
                    .count();
                let up = here.len().checked_sub(more + 1)?;
                return Some([&here[..up], &rest[more..]].concat());
            }
            name => match imports.get(name) {
                Some(import) => import.clone(),
                None => {
                    let child = [here, vec![first.clone()]].concat();
                    if !self.files.contains_key(&child) && !self.inside_lib.contains(&child) {
                        return None;
                    }
                    child
                }
            },
        };
        Some([&start, rest].concat())
    }

    /// The modules to which the `use` declarations of a file give a name.
    pub fn imports(&self, module: &[String], paths: &[Written]) -> BTreeMap<String, Path> {
        let mut imports = BTreeMap::new();
        for path in paths {
            if let Some(name) = &path.imported_as {
                if let Some(target) = self.absolute(module, path, &imports) {
                    if self.files.contains_key(&target) || self.inside_lib.contains(&target) {
                        imports.insert(name.clone(), target);
                    }
                }
            }
        }
        imports
    }

    /// The file that a path from the crate's root leads to: the longest module in it that is one.
    pub fn target(&self, path: &[String]) -> Target {
        self.follow(path, 0)
    }

    fn follow(&self, path: &[String], detours: usize) -> Target {
        let mut file = None;
        for end in 0..=path.len() {
            let module = &path[..end];
            if let Some(name) = self.files.get(module) {
                file = Some(name.clone());
            } else if !self.is_inside_lib(module) {
                return match (file, self.exports.get(module)) {
                    (Some(file), _) => Target::File(file),
                    // A name that means itself is an error of the compiler's.
                    (None, Some(export)) if detours < 8 => {
                        let start = match self.absolute(&[], export, &BTreeMap::new()) {
                            Some(start) => start,
                            None => match self.sibling(export) {
                                Some(start) => start,
                                None => return Target::Elsewhere,
                            },
                        };
                        self.follow(&[&start, &path[end..]].concat(), detours + 1)
                    }
                    _ => Target::Unknown,
                };
            }
        }
        file.map_or_else(|| Target::Module(path.to_vec()), Target::File)
    }

    /// `pub use Name as Other` in lib.rs, where `Name` comes from another `use` beside it.
    fn sibling(&self, export: &Written) -> Option<Path> {
        let first = [&export.within, &export.segments[..1]].concat();
        let is_itself = export.imported_as.as_ref() == export.segments.first();
        let is_known = !is_itself && self.exports.contains_key(&first);
        is_known.then(|| [&export.within, &export.segments[..]].concat())
    }
}
