//! What a measured process counts of itself: CPU time (its own and its children's), wall time, a
//! check value.
//!
//! Every variant runs in a process of its own, so `getrusage` speaks of nothing else, and neither
//! memory nor threads leak from one into the next. The process prints one line, and [`run_apart`]
//! reads it.

use std::io;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::work::{Run, Size};

/// What one run of one variant took.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// User and system time of the process, all threads.
    pub own: Duration,
    /// User and system time of the children it has reaped.
    pub children: Duration,
    pub wall: Duration,
    /// Must be the same for every variant of a work.
    pub check: u64,
    /// What else the work tells: bytes, microseconds.
    pub notes: Vec<(String, f64)>,
}

/// The clocks of this process.
struct Clocks {
    wall: Instant,
    own: Duration,
    children: Duration,
}

impl Clocks {
    fn read() -> Clocks {
        let children = cpu(libc::RUSAGE_CHILDREN);
        let own = cpu(libc::RUSAGE_SELF);
        Clocks {
            wall: Instant::now(),
            own,
            children,
        }
    }
}

static STARTED: Mutex<Option<Clocks>> = Mutex::new(None);
static STOPPED: Mutex<Option<Clocks>> = Mutex::new(None);
static NOTES: Mutex<Vec<(&'static str, f64)>> = Mutex::new(Vec::new());

/// What was until now does not count: preparation. Otherwise the beginning of the work is the
/// start.
pub fn start() {
    *STARTED.lock().expect("nobody panics with it") = Some(Clocks::read());
}

/// What comes from here on does not count: tidying up. Otherwise the end of the work is the end.
pub fn stop() {
    *STOPPED.lock().expect("nobody panics with it") = Some(Clocks::read());
}

/// Something else that is to be told of this run.
pub fn note(name: &'static str, value: f64) {
    NOTES
        .lock()
        .expect("nobody panics with it")
        .push((name, value));
}

/// User and system time.
fn cpu(who: libc::c_int) -> Duration {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: the pointer is to a live structure, which the kernel fills in.
    let usage = unsafe {
        assert_eq!(libc::getrusage(who, usage.as_mut_ptr()), 0);
        usage.assume_init()
    };
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// Bytes that malloc has given out, large mappings included.
pub fn heap() -> u64 {
    // SAFETY: takes nothing, returns a structure.
    let info = unsafe { libc::mallinfo2() };
    (info.uordblks + info.hblkhd) as u64
}

/// Resident bytes of this process.
pub fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("/proc is mounted");
    let pages: u64 = text
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .expect("statm has seven numbers");
    // SAFETY: takes a number.
    pages * unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64
}

/// In the measured process: runs the variant and prints what it took.
pub fn run_here(run: Run, size: Size) {
    // SAFETY: takes a number. One that hangs is killed, and told of as such.
    unsafe { libc::alarm(300) };
    start();
    let check = run(size);
    let stopped = STOPPED
        .lock()
        .expect("nobody panics with it")
        .take()
        .unwrap_or_else(Clocks::read);
    let started = STARTED
        .lock()
        .expect("nobody panics with it")
        .take()
        .expect("started above");
    let own = (stopped.own - started.own).as_nanos();
    let children = (stopped.children - started.children).as_nanos();
    let wall = (stopped.wall - started.wall).as_nanos();
    print!("{own} {children} {wall} {check}");
    for (name, value) in NOTES.lock().expect("nobody panics with it").iter() {
        print!(" {}={value}", name.replace(' ', "_"));
    }
    println!();
}

/// Starts this program again to run one variant of one work. If that fails: why, in a line.
pub fn run_apart(work: &str, variant: &str, count: u64) -> Result<Taken, String> {
    let output = run_again(work, variant, count).map_err(|error| error.to_string())?;
    let last_words = String::from_utf8_lossy(&output.stderr);
    let last_word = last_words
        .lines()
        .rev()
        .find(|line| !line.is_empty() && !line.starts_with("note:"));
    match parse(&String::from_utf8_lossy(&output.stdout)) {
        Some(taken) if output.status.success() => Ok(taken),
        _ => Err(format!(
            "{}: {}",
            output.status,
            last_word.unwrap_or("no word of why")
        )),
    }
}

fn run_again(work: &str, variant: &str, count: u64) -> io::Result<Output> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["--run", work, variant, &count.to_string()])
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .output()
}

/// Takes a GiB of memory and gives it back. In a virtual machine the host provides memory when it
/// is touched for the first time, which can cost more than the work does: whoever comes first would
/// pay for all.
pub fn touch_memory() {
    // SAFETY: a new mapping, which nobody looks at, and its own length. If there is none, nothing
    // is lost.
    unsafe {
        let (none, flags) = (
            std::ptr::null_mut(),
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
        );
        let memory = libc::mmap(
            none,
            1 << 30,
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            -1,
            0,
        );
        if memory != libc::MAP_FAILED {
            libc::munmap(memory, 1 << 30);
        }
    }
}

/// From here on this process, and all that it starts, runs on this processor only.
pub fn pin(cpu: usize) -> io::Result<()> {
    // SAFETY: zero is an empty set; the calls get a live one, its size, and a number that CPU_SET
    // checks against it.
    let answer = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, std::mem::size_of_val(&set), &set)
    };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn parse(text: &str) -> Option<Taken> {
    let mut words = text.split_whitespace();
    let mut number = || words.next()?.parse::<u64>().ok();
    let (own, children, wall, check) = (number()?, number()?, number()?, number()?);
    let notes = words.filter_map(|word| {
        let (name, value) = word.split_once('=')?;
        Some((name.replace('_', " "), value.parse().ok()?))
    });
    let time = Duration::from_nanos;
    Some(Taken {
        own: time(own),
        children: time(children),
        wall: time(wall),
        check,
        notes: notes.collect(),
    })
}
