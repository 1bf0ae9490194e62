//! Rust source as a list of tokens: words and marks, each with its line.
//!
//! Comments are left out. A literal and a lifetime are one token each, without their text: no
//! path is found in a string. What only tests and fuzz targets compile can be taken out, too.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// What stands for the text of a literal or a lifetime.
const LITERAL: &str = "\"";

#[derive(Clone, Debug)]
pub struct Token {
    /// A word, one character of punctuation, one of `::`, `->`, `=>`, or [`LITERAL`].
    pub text: String,
    /// The lines that the token stands on: more than one for a long string.
    pub lines: RangeInclusive<usize>,
}

impl Token {
    pub fn is(&self, text: &str) -> bool {
        self.text == text
    }

    pub fn is_word(&self) -> bool {
        self.text.starts_with(is_word_start)
    }

    pub fn line(&self) -> usize {
        *self.lines.start()
    }
}

/// All tokens of a source file. Source that does not compile gives some tokens, too, and no panic.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut lexer = Lexer {
        chars: text.chars().collect(),
        at: 0,
        line: 1,
        tokens: Vec::new(),
    };
    while lexer.at < lexer.chars.len() {
        lexer.token();
    }
    lexer.tokens
}

/// How many lines hold a token: blank lines and comments are not counted.
pub fn code_lines(tokens: &[Token]) -> usize {
    tokens
        .iter()
        .flat_map(|token| token.lines.clone())
        .collect::<BTreeSet<_>>()
        .len()
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    tokens: Vec<Token>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn starts_with(&self, text: &str) -> bool {
        text.chars()
            .enumerate()
            .all(|(ahead, c)| self.peek(ahead) == Some(c))
    }

    /// Moves on by one character, and counts lines.
    fn step(&mut self) -> Option<char> {
        let c = self.peek(0)?;
        self.at += 1;
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.step();
        }
    }

    fn push(&mut self, text: impl Into<String>, first_line: usize) {
        self.tokens.push(Token {
            text: text.into(),
            lines: first_line..=self.line,
        });
    }

    fn token(&mut self) {
        let line = self.line;
        match self.peek(0).expect("the caller has looked") {
            c if c.is_whitespace() => self.skip(1),
            _ if self.starts_with("//") => {
                while self.peek(0).is_some_and(|c| c != '\n') {
                    self.skip(1);
                }
            }
            _ if self.starts_with("/*") => self.block_comment(),
            c if is_word_start(c) => self.word_or_literal(),
            c if c.is_ascii_digit() => {
                while self.peek(0).is_some_and(is_word_part) {
                    self.skip(1);
                }
                self.push(LITERAL, line);
            }
            '"' => self.string(),
            '\'' => self.char_or_lifetime(),
            c => {
                let pair = ["::", "->", "=>"]
                    .into_iter()
                    .find(|pair| self.starts_with(pair));
                self.skip(pair.map_or(1, str::len));
                self.push(pair.map_or(c.to_string(), str::to_string), line);
            }
        }
    }

    /// A block comment, which may hold others.
    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.peek(0).is_some() {
            if self.starts_with("/*") {
                depth += 1;
                self.skip(2);
            } else if self.starts_with("*/") {
                depth -= 1;
                self.skip(2);
                if depth == 0 {
                    return;
                }
            } else {
                self.skip(1);
            }
        }
    }

    /// A word, or a literal with a prefix: `b"..."`, `r#"..."#`, `b'x'`. The word of `r#type` is
    /// `type`.
    fn word_or_literal(&mut self) {
        let line = self.line;
        let mut word = String::new();
        while self.peek(0).is_some_and(is_word_part) {
            word.extend(self.step());
        }
        let hashes = (0..)
            .take_while(|&ahead| self.peek(ahead) == Some('#'))
            .count();
        match (word.as_str(), self.peek(hashes)) {
            ("r" | "br" | "cr", Some('"')) => {
                self.skip(hashes);
                self.raw_string(hashes);
            }
            ("b" | "c", Some('"')) if hashes == 0 => self.string(),
            ("b", Some('\'')) if hashes == 0 => self.char_or_lifetime(),
            ("r", Some(c)) if hashes == 1 && is_word_start(c) => self.skip(1),
            _ => self.push(word, line),
        }
    }

    fn string(&mut self) {
        let line = self.line;
        self.skip(1);
        loop {
            match self.step() {
                Some('\\') => self.skip(1),
                Some('"') | None => break,
                Some(_) => {}
            }
        }
        self.push(LITERAL, line);
    }

    fn raw_string(&mut self, hashes: usize) {
        let line = self.line;
        let end = format!("\"{}", "#".repeat(hashes));
        self.skip(1);
        while self.peek(0).is_some() && !self.starts_with(&end) {
            self.skip(1);
        }
        self.skip(end.len());
        self.push(LITERAL, line);
    }

    /// `'a'`, `'\n'` and `'\u{7f}'` are characters, `'a` and `'static` are lifetimes.
    fn char_or_lifetime(&mut self) {
        let line = self.line;
        self.skip(1);
        if self.peek(0) == Some('\\') {
            self.skip(2);
            while self.peek(0).is_some_and(|c| c != '\'') {
                self.skip(1);
            }
            self.skip(1);
        } else if self.peek(1) == Some('\'') {
            self.skip(2);
        } else {
            while self.peek(0).is_some_and(is_word_part) {
                self.skip(1);
            }
        }
        self.push(LITERAL, line);
    }
}

fn is_word_start(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

fn is_word_part(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// The tokens without what only tests, doctests and fuzz targets compile: items, fields, arms and
/// statements under `#[cfg(test)]`, `#[cfg(any(test, fuzzing))]` and the like.
pub fn without_tests(tokens: &[Token]) -> Vec<Token> {
    without(tokens, |_| true)
}

/// The tokens without the modules that only tests, doctests and fuzz targets compile.
pub fn without_test_modules(tokens: &[Token]) -> Vec<Token> {
    without(tokens, |thing| {
        thing.iter().take_while(|t| !t.is("{")).any(|t| t.is("mod"))
    })
}

/// The tokens without those of the things under a `cfg` of tests that `is_dropped` says.
fn without(tokens: &[Token], is_dropped: fn(&[Token]) -> bool) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let attribute = attribute(tokens, at);
        let is_never_shipped = attribute.as_ref().is_some_and(|it| it.is_never_shipped);
        match attribute {
            Some(attribute) if is_never_shipped && attribute.is_of_the_file => return Vec::new(),
            Some(attribute) if is_never_shipped => {
                let end = end_of_thing(tokens, attribute.end);
                if !is_dropped(&tokens[attribute.end..end]) {
                    kept.extend_from_slice(&tokens[at..end]);
                }
                at = end;
            }
            Some(attribute) => {
                kept.extend_from_slice(&tokens[at..attribute.end]);
                at = attribute.end;
            }
            None => {
                kept.push(tokens[at].clone());
                at += 1;
            }
        }
    }
    kept
}

struct Attribute {
    /// The index behind its closing bracket.
    end: usize,
    /// It begins with `#!`.
    is_of_the_file: bool,
    /// It is a `cfg` that no build for users fulfils.
    is_never_shipped: bool,
}

fn attribute(tokens: &[Token], at: usize) -> Option<Attribute> {
    let has = |at: usize, text| tokens.get(at).is_some_and(|token| token.is(text));
    if !has(at, "#") {
        return None;
    }
    let is_of_the_file = has(at + 1, "!");
    let open = at + 1 + usize::from(is_of_the_file);
    if !has(open, "[") {
        return None;
    }
    let is_never_shipped = has(open + 1, "cfg")
        && has(open + 2, "(")
        && predicate(tokens, &mut (open + 3)) == Some(false);
    Some(Attribute {
        end: behind_group(tokens, open),
        is_of_the_file,
        is_never_shipped,
    })
}

/// Whether a build for users fulfils the predicate. None: some do, some do not.
fn predicate(tokens: &[Token], at: &mut usize) -> Option<bool> {
    let word = tokens.get(*at)?.text.clone();
    *at += 1;
    let mut parts = Vec::new();
    if tokens.get(*at).is_some_and(|token| token.is("(")) {
        let end = behind_group(tokens, *at);
        *at += 1;
        while *at + 1 < end {
            parts.push(predicate(tokens, at));
            // Behind a part stands a comma, or the value of `feature = "..."` and then a comma.
            while *at + 1 < end && !tokens[*at].is_word() {
                *at += 1;
            }
        }
        *at = end;
    }
    match word.as_str() {
        "test" | "doctest" | "fuzzing" => Some(false),
        "not" => parts.first().copied().flatten().map(|part| !part),
        "all" if parts.contains(&Some(false)) => Some(false),
        "any" if parts.contains(&Some(true)) => Some(true),
        "all" | "any" if parts.contains(&None) => None,
        "all" | "any" => Some(word == "all"),
        _ => None,
    }
}

/// The index behind the group that opens at `open`.
fn behind_group(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// The index behind the item, statement, field or arm that begins at `at`, its other attributes
/// included.
fn end_of_thing(tokens: &[Token], mut at: usize) -> usize {
    while let Some(attribute) = attribute(tokens, at) {
        at = attribute.end;
    }
    let rest = &tokens[at..];
    let text = |ahead: usize| rest.get(ahead).map_or("", |token| token.text.as_str());
    let mut head = 0;
    loop {
        head = match text(head) {
            "pub" | "crate" if text(head + 1) == "(" => behind_group(rest, head + 1),
            "pub" | "async" | "default" => head + 1,
            "unsafe" if text(head + 1) != "{" => head + 1,
            "const" if ["fn", "unsafe", "async", "extern"].contains(&text(head + 1)) => head + 1,
            "extern" if text(head + 1) == LITERAL && text(head + 2) != "{" => head + 2,
            _ => break,
        };
    }
    at + match text(head) {
        "fn" | "struct" | "enum" | "union" | "impl" | "trait" | "mod" | "macro_rules" => {
            end_of_item(rest, head)
        }
        "use" | "const" | "static" | "type" | "let" | "return" | "extern" => {
            end_of_line_item(rest, head)
        }
        "if" | "match" | "for" | "while" | "loop" | "unsafe" | "{" => end_of_block(rest, head),
        _ => end_of_part(rest, head),
    }
}

/// Behind the first `;` or braces.
fn end_of_item(tokens: &[Token], mut at: usize) -> usize {
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            ";" => return at + 1,
            "{" => return behind_group(tokens, at),
            "(" | "[" => at = behind_group(tokens, at),
            "}" => return at,
            _ => at += 1,
        }
    }
    at
}

/// Behind the first `;` outside all brackets; `extern "C" { ... }` has none.
fn end_of_line_item(tokens: &[Token], mut at: usize) -> usize {
    let is_extern_block =
        tokens[at].is("extern") && !tokens.get(at + 1).is_some_and(|t| t.is("crate"));
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            ";" => return at + 1,
            "{" if is_extern_block => return behind_group(tokens, at),
            "(" | "[" | "{" => at = behind_group(tokens, at),
            "}" => return at,
            _ => at += 1,
        }
    }
    at
}

/// Behind the braces of a statement, and those of its `else`.
fn end_of_block(tokens: &[Token], mut at: usize) -> usize {
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "{" => {
                at = behind_group(tokens, at);
                if !tokens.get(at).is_some_and(|token| token.is("else")) {
                    return at;
                }
            }
            "(" | "[" => at = behind_group(tokens, at),
            "}" => return at,
            _ => at += 1,
        }
    }
    at
}

/// Behind a field, a variant, a `match` arm or an expression: behind its comma or semicolon, or at
/// the bracket that closes what it stands in.
fn end_of_part(tokens: &[Token], mut at: usize) -> usize {
    let mut angles = 0;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            ";" => return at + 1,
            "," if angles == 0 => return at + 1,
            ")" | "]" | "}" => return at,
            "=>" if tokens.get(at + 1).is_some_and(|token| token.is("{")) => {
                let end = behind_group(tokens, at + 1);
                return end + usize::from(tokens.get(end).is_some_and(|token| token.is(",")));
            }
            "(" | "[" | "{" => at = behind_group(tokens, at),
            // `Map<K, V>` and `f::<A, B>()`; in `n < m` the word before is in small letters.
            "<" if is_before_generics(tokens, at) => {
                angles += 1;
                at += 1;
            }
            ">" if angles > 0 => {
                angles -= 1;
                at += 1;
            }
            _ => at += 1,
        }
    }
    at
}

fn is_before_generics(tokens: &[Token], angle: usize) -> bool {
    let before = angle.checked_sub(1).map(|at| &tokens[at]);
    before.is_some_and(|token| token.is("::") || token.text.starts_with(char::is_uppercase))
}
