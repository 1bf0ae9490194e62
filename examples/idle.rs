//! Opens N idle connections, has one task wait for a line of each, and prints what a blocked task costs: the bytes that
//! the library holds for it and for its file, counted by the allocator. Silent connections should cost next to nothing.
//!
//!     cargo run --release --example idle -- [N]          (N: 10000)
//!
//! A connection is a pair of sockets: N needs twice as many descriptors. The soft limit is raised to the hard one; if
//! that does not suffice, N is lowered, with a message on stderr.
//! Exit status: 0, 1 if something failed, 2 for a wrong command line.

use asyncfile::{done, wait, AsyncFile, Flow, Scheduler, Task};
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{self, Write};
use std::mem::size_of_val;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

const OTHER_DESCRIPTORS: usize = 16; // stdin, stdout, stderr, and what was inherited

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let wanted = args.next().map_or(Some(10_000), |arg| arg.to_str().and_then(|text| text.parse().ok()));
    match (wanted.filter(|&n| n > 0), args.next()) {
        (Some(n), None) => match measure(n) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => eprintln!("idle: {error}"),
        },
        _ => {
            eprintln!("usage: idle [N]");
            return ExitCode::from(2);
        }
    }
    ExitCode::FAILURE
}

fn measure(wanted: usize) -> io::Result<()> {
    let limit = raise_descriptor_limit()?;
    let n = wanted.min(limit.saturating_sub(OTHER_DESCRIPTORS) / 2);
    if n < wanted {
        eprintln!("idle: {limit} descriptors (ulimit -Hn) allow {n} connections, not {wanted}");
    }
    let pairs = (0..n).map(|_| UnixStream::pair()).collect::<io::Result<Vec<_>>>()?;
    let (mut near_ends, _far_ends): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let mut files = Vec::with_capacity(n);
    let (live_at_first, resident_at_first) = (LIVE.load(Relaxed), resident_kib());

    for near_end in near_ends.drain(..) {
        files.push(AsyncFile::new(near_end)?);
    }
    let live_with_files = LIVE.load(Relaxed);

    let mut sched = Scheduler::new();
    let mut closures = 0;
    for file in files.drain(..) {
        let first_line = file.readline();
        let body = lines(file);
        closures += size_of_val(&body);
        sched.spawn(first_line, body);
    }
    let alive = sched.turn(Some(Duration::ZERO))?;
    let per_file = (live_with_files - live_at_first) / n.max(1);
    let per_task = (LIVE.load(Relaxed) - live_with_files - closures) / n.max(1);

    let mut out = io::stdout();
    writeln!(out, "{alive} tasks, each blocked in readline on a connection of its own")?;
    writeln!(out, "{per_task} bytes per task, {per_file} per open file, and {} of the closure", closures / n.max(1))?;
    if let (Some(resident), Some(before)) = (resident_kib(), resident_at_first) {
        let grown = resident.saturating_sub(before);
        writeln!(out, "{resident} KiB resident, {grown} of them for the files and tasks")?;
    }
    Ok(())
}

/// What a task for an idle connection looks like: it reads lines, and here none ever comes.
fn lines(file: AsyncFile) -> impl FnMut(&mut Task<'_, '_>) -> Flow {
    move |task| match task.line()? {
        Some(_line) => wait(file.readline()),
        None => done(()),
    }
}

/// The number of descriptors that the process may have, after the soft limit was raised to the hard one.
fn raise_descriptor_limit() -> io::Result<usize> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live rlimit, which the call fills in.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
    // SAFETY: the pointer is to a live rlimit, which the call only reads.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) } == 0 {
        limit = raised; // where it fails (an unlimited hard limit on some systems) the soft limit stays
    }
    Ok(usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX))
}

/// Where there is no /proc (not Linux): None.
fn resident_kib() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse().ok())
}

static LIVE: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, and how many bytes of it are in use.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is handed on to the system's allocator as it came; the counting touches no memory of the caller.
// `realloc` and `alloc_zeroed` are the trait's own, which call these two.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's promise about `layout` is the one that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: `block` came from `alloc` above, so from `System`, with the same layout.
        unsafe { System.dealloc(block, layout) }
    }
}
