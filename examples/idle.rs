//! Opens N idle connections, starts one task for each that waits for a line, and prints what a
//! blocked task costs: the bytes that the library holds for it and for its file, counted by the
//! allocator.
//!
//!     cargo run --release --example idle -- [N]          (N: 10000)
//!
//! Tables are counted apart: the scheduler's slots and the poll set are single blocks that grow by
//! doubling, so they may be up to twice as large as this N needs.
//!
//! A connection is a pair of sockets, so N needs twice as many descriptors. The soft limit is
//! raised to the hard one; if that is not enough, N is lowered, with a message on stderr.
//! Exit status: 0, 1 if something failed, 2 for a wrong command line.

use asyncfile::{again, done, AsyncFile, Flow, Scheduler, Task};
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// stdin, stdout, stderr, and what was inherited.
const OTHER_DESCRIPTORS: usize = 16;
/// A block of at least this size is a table: all that a task and its file have is smaller.
const TABLE: usize = 4096;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let wanted = args.next().map_or(Some(10_000), |arg| {
        arg.to_str().and_then(|text| text.parse().ok())
    });
    match (wanted.filter(|&n| n > 0), args.next()) {
        (Some(n), None) => match measure(n) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => say(&error.to_string()),
        },
        _ => {
            say("usage: idle [N]");
            return ExitCode::from(2);
        }
    }
    ExitCode::FAILURE
}

/// On stderr. If it cannot be written to, nothing is said.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "idle: {text}");
}

/// The error names stdout.
fn of_stdout(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("stdout: {error}"))
}

fn measure(wanted: usize) -> io::Result<()> {
    let limit = raise_descriptor_limit()?;
    let n = wanted.min(limit.saturating_sub(OTHER_DESCRIPTORS) / 2);
    if n < wanted {
        say(&format!(
            "{limit} descriptors (ulimit -Hn) allow {n} connections, not {wanted}"
        ));
    }
    let pairs = (0..n)
        .map(|_| UnixStream::pair())
        .collect::<io::Result<Vec<_>>>()?;
    let (mut near_ends, _far_ends): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let mut files = Vec::with_capacity(n);
    let (at_first, resident_at_first) = (Live::now(), resident_kib());

    for near_end in near_ends.drain(..) {
        files.push(AsyncFile::new(near_end)?);
    }
    let with_files = Live::now();

    let mut sched = Scheduler::new();
    for file in files.drain(..) {
        sched.spawn(file.readline(), read_lines);
    }
    let alive = sched.turn(Some(Duration::ZERO))?;
    let with_tasks = Live::now();
    let each = |bytes: usize| bytes / n.max(1);
    let per_file = each(with_files.blocks - at_first.blocks);
    let per_task = each(with_tasks.blocks - with_files.blocks);
    let tables = each(with_tasks.tables - at_first.tables);

    let mut out = io::stdout();
    writeln!(
        out,
        "{alive} tasks, each blocked in readline on a connection of its own"
    )
    .map_err(of_stdout)?;
    writeln!(
        out,
        "{per_task} bytes per task, {per_file} per open file, and {tables} of tables"
    )
    .map_err(of_stdout)?;
    if let (Some(resident), Some(before)) = (resident_kib(), resident_at_first) {
        let grown = resident.saturating_sub(before);
        writeln!(
            out,
            "{resident} KiB resident, {grown} of them for the files and tasks"
        )
        .map_err(of_stdout)?;
    }
    Ok(())
}

/// The body of each task: it reads lines, and here none ever comes. It needs no handle to the file,
/// because the operation has one.
fn read_lines(task: &mut Task) -> Flow {
    match task.line()? {
        Some(_line) => again(),
        None => done(()),
    }
}

/// Raises the soft limit to the hard one. Returns how many descriptors the process may have.
fn raise_descriptor_limit() -> io::Result<usize> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a live rlimit, which the call fills in.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let raised = libc::rlimit {
        rlim_cur: limit.rlim_max,
        ..limit
    };
    // SAFETY: the pointer is to a live rlimit, which the call only reads.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) } == 0 {
        limit = raised; // it fails for an unlimited hard limit, on some systems
    }
    Ok(usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX))
}

/// How much memory the process has, in KiB. None where there is no /proc (not Linux).
fn resident_kib() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| {
        line.strip_prefix("VmRSS:")?
            .trim()
            .strip_suffix("kB")?
            .trim()
            .parse()
            .ok()
    })
}

/// How many bytes are in use, in blocks smaller than `TABLE` and in larger ones.
struct Live {
    blocks: usize,
    tables: usize,
}

impl Live {
    fn now() -> Live {
        Live {
            blocks: BLOCKS.load(Relaxed),
            tables: TABLES.load(Relaxed),
        }
    }
}

static BLOCKS: AtomicUsize = AtomicUsize::new(0);
static TABLES: AtomicUsize = AtomicUsize::new(0);

fn counter(layout: Layout) -> &'static AtomicUsize {
    if layout.size() < TABLE {
        &BLOCKS
    } else {
        &TABLES
    }
}

/// The system's allocator, which counts.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is passed to the system's allocator unchanged; the counting touches no memory
// of the caller. `realloc` and `alloc_zeroed` are the trait's own, which call these two.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        counter(layout).fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's promise about `layout` is the one that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        counter(layout).fetch_sub(layout.size(), Relaxed);
        // SAFETY: `block` came from `alloc` above, so from `System`, with the same layout.
        unsafe { System.dealloc(block, layout) }
    }
}
