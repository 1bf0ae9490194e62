//! Four functions for a C program with a poll(2) loop of its own. They are documented in `lines.h`.
//!
//! Behind them are a scheduler and two tasks. One feeds the command; one reads its lines and then
//! waits for its exit.

use std::ffi::{c_char, c_int, c_void, CStr, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use asyncfile::{
    again, done, wait, yield_now, AsyncFile, AsyncPipe, Flow, OperationError, Scheduler, Task,
    TaskError,
};
use libc::pollfd;

type Callback = unsafe extern "C" fn(arg: *mut c_void, line: *const c_char, len: usize);

/// What `struct lines *` points to.
pub struct Lines {
    sched: Scheduler<'static>,
    pipe: AsyncPipe,
    /// Kept from round to round, so that its memory is used again.
    set: Vec<pollfd>,
}

/// # Safety
///
/// `command` is NUL-terminated, `input` has `len` bytes, `on_line` may be called with `arg` until
/// `lines_free`.
#[no_mangle]
pub unsafe extern "C" fn lines_start(
    command: *const c_char,
    input: *const c_char,
    len: usize,
    on_line: Callback,
    arg: *mut c_void,
) -> *mut Lines {
    // SAFETY: the caller's promises. An empty input may have any address.
    let (command, input) = unsafe {
        let input = if len == 0 {
            Vec::new()
        } else {
            std::slice::from_raw_parts(input.cast(), len).to_vec()
        };
        (OsStr::from_bytes(CStr::from_ptr(command).to_bytes()), input)
    };
    let tell = move |line: *const u8, len| {
        // SAFETY: the caller's promise; a line is lent for as long as the callback runs.
        unsafe { on_line(arg, line.cast(), len) }
    };
    match start(command, input, tell) {
        Ok(lines) => Box::into_raw(Box::new(lines)),
        Err(error) => {
            set_errno(&error);
            std::ptr::null_mut()
        }
    }
}

fn start(
    command: &OsStr,
    input: Vec<u8>,
    tell: impl Fn(*const u8, usize) + 'static,
) -> io::Result<Lines> {
    let pipe = AsyncPipe::piped(Command::new("/bin/sh").arg("-c").arg(command))?;
    let stdin = pipe.take_stdin().expect("piped");
    let mut sched = Scheduler::new();
    sched.spawn(yield_now(), feeder(stdin, input));
    sched.spawn(pipe.readline(), reader(pipe.clone(), tell));
    Ok(Lines {
        sched,
        pipe,
        set: Vec::new(),
    })
}

/// Writes the input. The command's stdin is closed when the task ends and drops it. A command that
/// reads no more is no failure: the write ends with EPIPE, and there is no SIGPIPE.
fn feeder(stdin: AsyncFile, input: Vec<u8>) -> impl FnMut(&mut Task<'_, 'static>) -> Flow {
    let mut input = Some(input);
    move |task| match (task.ok(), input.take()) {
        (Ok(()), Some(input)) => wait(stdin.write(input).full()),
        (Err(error), _) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => done(()),
    }
}

/// Hands over the lines, and then the exit status.
fn reader(
    pipe: AsyncPipe,
    tell: impl Fn(*const u8, usize),
) -> impl FnMut(&mut Task<'_, 'static>) -> Flow {
    let mut is_at_end = false;
    move |task| {
        if is_at_end {
            tell(std::ptr::null(), shell_status(task.exit()?));
            return done(());
        }
        match task.line()? {
            Some(line) => {
                tell(line.as_ptr(), line.len());
                again()
            }
            None => {
                is_at_end = true;
                wait(pipe.exit())
            }
        }
    }
}

fn shell_status(status: ExitStatus) -> usize {
    match (status.code(), status.signal()) {
        (Some(code), _) => code as usize,
        (None, signal) => 128 + signal.unwrap_or(0) as usize,
    }
}

/// # Safety
///
/// `lines` is from `lines_start`, `set` has room for `room` entries, `timeout` for one.
#[no_mangle]
pub unsafe extern "C" fn lines_pollfds(
    lines: *mut Lines,
    set: *mut pollfd,
    room: usize,
    timeout: *mut c_int,
) -> usize {
    // SAFETY: the caller's promise. There is no second reference: all calls are from one thread,
    // and none is from inside a callback.
    let lines = unsafe { &mut *lines };
    lines.set.clear();
    let time = lines.sched.pollfds(&mut lines.set);
    let len = lines.set.len();
    // SAFETY: the caller's promises; at most `room` entries are written.
    unsafe {
        *timeout = time.map_or(-1, milliseconds);
        if len > 0 && len <= room {
            std::ptr::copy_nonoverlapping(lines.set.as_ptr(), set, len);
        }
    }
    len
}

/// Rounded up: rounded down, poll(2) would return a little too early, again and again.
fn milliseconds(time: Duration) -> c_int {
    c_int::try_from(time.as_nanos().saturating_add(999_999) / 1_000_000).unwrap_or(c_int::MAX)
}

/// # Safety
///
/// `lines` is from `lines_start`, `set` has `len` entries.
#[no_mangle]
pub unsafe extern "C" fn lines_dispatch(
    lines: *mut Lines,
    set: *const pollfd,
    len: usize,
) -> c_int {
    // SAFETY: the caller's promises. An empty set may have any address.
    let (lines, set) = unsafe {
        let set = if len == 0 {
            &[][..]
        } else {
            std::slice::from_raw_parts(set, len)
        };
        (&mut *lines, set)
    };
    match lines.sched.dispatch(set) {
        Ok(alive) => c_int::try_from(alive).unwrap_or(c_int::MAX),
        Err(error) => {
            set_errno(&TaskError::into(error));
            -1
        }
    }
}

/// # Safety
///
/// `lines` is from `lines_start` and is not used again, or NULL.
#[no_mangle]
pub unsafe extern "C" fn lines_free(lines: *mut Lines) {
    if lines.is_null() {
        return;
    }
    // SAFETY: the caller's promise: the pointer came out of a Box, and is not used again.
    let Lines { sched, pipe, .. } = *unsafe { Box::from_raw(lines) };
    drop(sched); // the tasks are dropped: from here on nothing calls back
    let _ = pipe.kill(); // no signal is sent if the command has ended
    let _ = Scheduler::new().block_on(pipe.exit());
}

fn set_errno(error: &io::Error) {
    let of_operation = OperationError::of(error).and_then(OperationError::raw_os_error);
    let errno = of_operation.or(error.raw_os_error()).unwrap_or(libc::EIO);
    // SAFETY: each thread has its own errno.
    unsafe { *errno_location() = errno };
}

#[cfg(any(target_os = "linux", target_os = "dragonfly"))]
use libc::__errno_location as errno_location;

#[cfg(any(target_os = "netbsd", target_os = "openbsd"))]
use libc::__errno as errno_location;

#[cfg(any(target_os = "macos", target_os = "freebsd"))]
use libc::__error as errno_location;
