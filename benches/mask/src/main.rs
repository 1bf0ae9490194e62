//! The search for newlines in 64 KiB: memchr for each line, as the library does it, against a mask
//! that has a bit for each newline of the next 64 bytes. The mask is made in safe Rust, eight bytes
//! at a time. Where it has no bit, memchr searches on.
//!
//!     cargo run --release                      nanoseconds of CPU for a line, and the ratio
//!     cargo run --release -- mask 20 1000      one variant, one length, so many buffers: for callgrind

use std::env;
use std::hint::black_box;
use std::time::Instant;

const SIZE: usize = 64 * 1024;
const ROUNDS: usize = 21;

/// Searches a buffer, and returns a value that depends on the length of every line.
type Search = fn(&[u8]) -> u64;

const SEARCHES: [(&str, Search); 2] = [("memchr", by_memchr), ("mask", by_mask)];

fn by_memchr(buffer: &[u8]) -> u64 {
    let (mut sum, mut rest) = (0, buffer);
    while let Some(at) = memchr::memchr(b'\n', rest) {
        sum = add(sum, at);
        rest = &rest[at + 1..];
    }
    sum
}

fn by_mask(buffer: &[u8]) -> u64 {
    // `mask` has a bit for each newline from `base` on that was not taken.
    let (mut sum, mut start, mut base, mut mask) = (0, 0, 0, 0);
    loop {
        if mask == 0 {
            if let Some(block) = buffer[start..].first_chunk() {
                base = start;
                mask = newlines(block);
            }
        }
        let at = match mask {
            0 => match memchr::memchr(b'\n', &buffer[start..]) {
                Some(at) => start + at,
                None => return sum,
            },
            _ => base + mask.trailing_zeros() as usize,
        };
        mask &= mask.wrapping_sub(1);
        sum = add(sum, at - start);
        start = at + 1;
    }
}

/// A bit for each newline, the lowest for the first byte.
fn newlines(block: &[u8; 64]) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let mut mask = 0;
    for (index, word) in block.chunks_exact(8).enumerate() {
        let word = u64::from_le_bytes(word.try_into().expect("eight bytes"));
        let other = word ^ u64::from_ne_bytes([b'\n'; 8]); // a newline is a byte of 0 now
        let found = !(((other & LOW) + LOW) | other | LOW); // and has its highest bit set now
                                                            // One bit of each byte goes to the highest byte.
        mask |= ((found >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * index);
    }
    mask
}

fn add(sum: u64, len: usize) -> u64 {
    black_box(sum.wrapping_mul(31).wrapping_add(len as u64))
}

fn buffer(len: usize) -> Vec<u8> {
    let byte = |at| if (at + 1) % len == 0 { b'\n' } else { b'x' };
    (0..SIZE).map(byte).collect()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [name, len, times] = &arguments[..] {
        let number = |text: &String| text.parse().expect("a number");
        let (_, search) = SEARCHES
            .iter()
            .find(|(known, _)| known == name)
            .expect("a variant");
        let buffer = buffer(number(len));
        for _ in 0..number(times) {
            black_box(search(black_box(&buffer)));
        }
        return;
    }
    println!("| bytes of a line | memchr, ns | mask, ns | ratio |\n|--:|--:|--:|--:|");
    for len in [10, 20, 40, 100, 1000, SIZE] {
        let buffer = buffer(len);
        assert_eq!(
            by_memchr(&buffer),
            by_mask(&buffer),
            "both find the same lines"
        );
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (times, (_, search)) in times.iter_mut().zip(SEARCHES) {
                let began = Instant::now();
                for _ in 0..100 {
                    black_box(search(black_box(&buffer)));
                }
                let lines = 100 * (SIZE / len);
                times.push(began.elapsed().as_nanos() as f64 / lines as f64);
            }
        }
        let [memchr, mask] = times.map(median);
        println!("| {len} | {memchr:.1} | {mask:.1} | {:.2} |", mask / memchr);
    }
}
