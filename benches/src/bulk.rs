//! Work 2: bytes in bulk, 64 KiB at a time, from a child.

use std::process::Command;

use crate::chunks::{self, Sink};
use crate::emit;
use crate::work::{variant, Shows, Size, Work};

pub fn works() -> Vec<Work> {
    vec![Work {
        name: "bulk".into(),
        unit: "KiB",
        about: "bytes through a pipe from a child, read 64 KiB at a time".into(),
        full: 4 << 20,
        quick: 256 << 10,
        param: 1024,
        shows: Shows::Time,
        variants: vec![
            variant("limit", |size| sum(size, chunks::limit)),
            variant("limit + poll", |size| sum(size, chunks::polling)),
            variant("asyncfile", |size| sum(size, chunks::asyncfile)),
            variant("std", |size| sum(size, chunks::std)),
            variant("subprocess", |size| sum(size, chunks::subprocess)),
            variant("tokio", |size| sum(size, chunks::tokio)),
            variant("smol", |size| sum(size, chunks::smol)),
            variant("mio", |size| sum(size, chunks::mio)),
            variant("calloop", |size| sum(size, chunks::calloop)),
        ],
        left_out: Vec::new(),
    }]
}

struct Sum(u64);

impl Sink for Sum {
    fn chunk(&mut self, bytes: &[u8]) {
        self.0 += bytes.len() as u64;
    }
}

/// How many bytes came, which is the check.
fn sum(size: Size, chunks: fn(Command, &mut Sum)) -> u64 {
    let mut sum = Sum(0);
    chunks(emit::bytes(size.count * size.param), &mut sum);
    sum.0
}
