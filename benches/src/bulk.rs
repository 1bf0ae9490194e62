//! Work 2: bytes in bulk from a child, 64 KiB at a time; and records, which are always there.

use std::process::Command;

use crate::chunks::{self, Sink};
use crate::emit;
use crate::peers::CHUNK;
use crate::work::{variant, Shows, Size, Variant, Work};

/// The size of a record.
const RECORD: usize = 512;

pub fn works() -> Vec<Work> {
    vec![
        Work {
            name: "bulk".into(),
            unit: "KiB",
            about: "bytes through a pipe from a child, read 64 KiB at a time".into(),
            full: 4 << 20,
            quick: 256 << 10,
            param: 1024,
            shows: Shows::Time,
            variants: variants::<CHUNK>(),
            left_out: Vec::new(),
        },
        Work {
            name: "records".into(),
            unit: "record",
            about: "records of 512 bytes through a pipe from a child, one read each; the child is \
                    faster than the reader"
                .into(),
            full: 2 << 20,
            quick: 128 << 10,
            param: RECORD as u64,
            shows: Shows::Time,
            variants: variants::<RECORD>(),
            left_out: Vec::new(),
        },
    ]
}

fn variants<const SIZE: usize>() -> Vec<Variant> {
    vec![
        variant("limit", |size| sum::<SIZE>(size, chunks::limit)),
        variant("limit + poll", |size| sum::<SIZE>(size, chunks::polling)),
        variant("asyncfile", |size| sum::<SIZE>(size, chunks::asyncfile)),
        variant("std", |size| sum::<SIZE>(size, chunks::std)),
        variant("subprocess", |size| sum::<SIZE>(size, chunks::subprocess)),
        variant("tokio", |size| sum::<SIZE>(size, chunks::tokio)),
        variant("smol", |size| sum::<SIZE>(size, chunks::smol)),
        variant("mio", |size| sum::<SIZE>(size, chunks::mio)),
        variant("calloop", |size| sum::<SIZE>(size, chunks::calloop)),
    ]
}

struct Sum<const SIZE: usize>(u64);

impl<const READ: usize> Sink for Sum<READ> {
    const SIZE: usize = READ;

    fn chunk(&mut self, bytes: &[u8]) {
        self.0 += bytes.len() as u64;
    }
}

/// How many bytes came, which is the check.
fn sum<const SIZE: usize>(size: Size, chunks: fn(Command, &mut Sum<SIZE>)) -> u64 {
    let mut sum = Sum(0);
    chunks(emit::bytes(size.count * size.param), &mut sum);
    sum.0
}
