//! Random programs of tasks on the simulated kernel, and what must be true of every one of them.
//!
//! A program opens pipes, sockets and children, spawns tasks that wait for operations of every
//! kind, and cancels, closes, panics and lets go in between. Beside it stands a model ([`world`])
//! that knows what came in on each file, who waits for what, and how each task is to end. Checked
//! are:
//!
//! * nothing is lost: what the kernel gave was handed over once, in order, or is held (`buffered`);
//!   what it was given are the beginnings of the writes, in the order in which they were waited
//!   for; what is written to one file of a pair comes out at the other, but for what a second user
//!   of its open file description has taken, and with what it has put in;
//! * nobody is served out of turn, too early, or with more than was asked for, and nobody is told
//!   of an end that has not come, of readiness that is not there, or of a status that is not the
//!   child's;
//! * no failure passes silently, and none comes out twice;
//! * nobody hangs: when all that a task waits for has gone, the task ends; what waits on a file
//!   that is closed ends in the same drive;
//! * nothing is left: descriptors, children, O_NONBLOCK, tasks' bodies; no pidfd, once nobody waits
//!   for an exit;
//! * the scheduler's own invariants, after each turn.
//!
//! Every decision, the kernel's and the program's, is a number from one source: a seed
//! (`src/sim/seeds.rs`, which is the test), or the bytes of a fuzzer
//! (`fuzz/fuzz_targets/tasks.rs`). The same source replays the same program.

mod driver;
mod messages;
mod opening;
mod operations;
mod outcomes;
mod tasks;
mod world;

use std::collections::BTreeMap;

use asyncfile::sim::{self, Faults, Kernel};
#[allow(unused_imports)] // a fuzz target uses neither
pub use driver::{IS_OBSERVED, ORDER};

/// What a program did.
#[derive(Debug, Default)]
#[allow(dead_code)] // a fuzz target looks at none of it
pub struct Report {
    /// Faults that the kernel has injected, by kind.
    pub injected: BTreeMap<&'static str, u64>,
    /// How often an operation of each name ended in each way.
    pub ends: BTreeMap<(&'static str, String), u64>,
    /// System calls.
    pub calls: u64,
}

impl Report {
    /// Both together.
    #[allow(dead_code)]
    pub fn add(&mut self, other: Report) {
        for (kind, times) in other.injected {
            *self.injected.entry(kind).or_default() += times;
        }
        for (end, times) in other.ends {
            *self.ends.entry(end).or_default() += times;
        }
        self.calls += other.calls;
    }
}

/// Runs the program that these choices make, and fails if anything is wrong with it. `choose(n)` is
/// a number below n; one that is always 0 makes a program that ends soon. `traces`: it tells each
/// step on stderr.
pub fn run(choose: impl FnMut(u32) -> u32 + 'static, traces: bool) -> Report {
    let mut kernel = Kernel::new(choose);
    // A quarter of all programs run on a kernel that does nothing unusual: there, more can be asked
    // of them.
    let is_calm = kernel.choose(4) == 0;
    if !is_calm {
        kernel.faults = Faults::swarm(&mut |below| kernel.choose(below));
    }
    // The second users of open file descriptions are no fault: a calm kernel has them, too.
    let rates = [0, 16, 64, 160];
    kernel.faults.second_user_reads = rates[kernel.choose(4) as usize];
    kernel.faults.second_user_writes = rates[kernel.choose(4) as usize];
    kernel.most_calls = 200_000;
    if traces {
        kernel.trace(|line| eprintln!("        {line}"));
    }
    let (kernel, ends) = kernel.run(|| driver::drive(is_calm, traces));
    Report {
        injected: kernel.injected,
        ends,
        calls: kernel.calls,
    }
}

/// The choices that a fuzzer's bytes make: a byte for a small one, two or four for others. When
/// they have run out, all are 0.
pub fn bytes(data: Vec<u8>) -> impl FnMut(u32) -> u32 + 'static {
    let mut data = data.into_iter();
    move |below| {
        let number = data
            .by_ref()
            .take(size(below))
            .fold(0, |number, byte| number << 8 | u32::from(byte));
        number % below
    }
}

/// How many bytes make a choice below this.
pub fn size(below: u32) -> usize {
    match below {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}

/// The kernel that the program runs on.
fn kernel<R>(call: impl FnOnce(&mut Kernel) -> R) -> R {
    sim::with(call).expect("a program runs on a kernel")
}

/// A number below this.
fn choose(below: u32) -> u32 {
    kernel(|kernel| kernel.choose(below))
}

/// One of these.
fn one_of<T: Copy>(choices: &[T]) -> T {
    choices[choose(choices.len() as u32) as usize]
}

/// True so many times of 256; never, when the choices have run out.
fn chance(of_256: u32) -> bool {
    choose(256) >= 256 - of_256
}
