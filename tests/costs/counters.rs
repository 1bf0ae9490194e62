//! The counters: of allocations by a global allocator, of system calls by functions that stand in
//! for libc's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr;

use libc::{c_int, c_void, iovec, nfds_t, pollfd, size_t, ssize_t, timespec};

/// What this thread has done since the last [`begin`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Calls {
    pub polls: u64,
    /// Calls of read and recv.
    pub reads: u64,
    /// Calls of write and send.
    pub writes: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Memory {
    /// Calls of the allocator that gave memory, growing included.
    pub allocations: u64,
    /// The bytes that they gave; a growing one counts as its new size.
    pub allocated: u64,
    /// Bytes given less bytes given back.
    pub live: i64,
}

thread_local! {
    static CALLS: Cell<Calls> = const { Cell::new(Calls { polls: 0, reads: 0, writes: 0 }) };
    static MEMORY: Cell<Memory> = const { Cell::new(Memory { allocations: 0, allocated: 0, live: 0 }) };
}

pub fn calls() -> Calls {
    CALLS.get()
}

pub fn memory() -> Memory {
    MEMORY.get()
}

/// What the calls were since `before`.
pub fn calls_since(before: Calls) -> Calls {
    let now = calls();
    Calls {
        polls: now.polls - before.polls,
        reads: now.reads - before.reads,
        writes: now.writes - before.writes,
    }
}

/// What `run` calls.
pub fn calls_of<T>(run: impl FnOnce() -> T) -> (Calls, T) {
    let before = calls();
    let value = run();
    (calls_since(before), value)
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(given: usize, taken: usize) {
    let mut memory = MEMORY.get();
    if given > 0 {
        memory.allocations += 1;
        memory.allocated += given as u64;
    }
    memory.live += given as i64 - taken as i64;
    MEMORY.set(memory);
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.realloc(ptr, layout, size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(ptr, layout) }
    }
}

fn count_call(add: impl FnOnce(&mut Calls)) {
    let mut calls = CALLS.get();
    add(&mut calls);
    CALLS.set(calls);
}

// The executable's symbols come before those of shared libraries. Each function goes on to a
// sibling that does the same with one more argument, so that no number of a system call is needed.
// (`poll` itself does not exist on every Linux.) SAFETY of them all: the caller's promises are
// passed on as they are.

#[no_mangle]
unsafe extern "C" fn poll(set: *mut pollfd, len: nfds_t, timeout: c_int) -> c_int {
    count_call(|calls| calls.polls += 1);
    let time = timespec {
        tv_sec: (timeout / 1000) as _,
        tv_nsec: (timeout % 1000 * 1_000_000) as _,
    };
    let time = if timeout < 0 {
        ptr::null()
    } else {
        &raw const time
    };
    unsafe { libc::ppoll(set, len, time, ptr::null()) }
}

#[no_mangle]
unsafe extern "C" fn read(fd: c_int, data: *mut c_void, len: size_t) -> ssize_t {
    count_call(|calls| calls.reads += 1);
    unsafe {
        libc::readv(
            fd,
            &iovec {
                iov_base: data,
                iov_len: len,
            },
            1,
        )
    }
}

#[no_mangle]
unsafe extern "C" fn recv(fd: c_int, data: *mut c_void, len: size_t, flags: c_int) -> ssize_t {
    count_call(|calls| calls.reads += 1);
    unsafe { libc::recvfrom(fd, data, len, flags, ptr::null_mut(), ptr::null_mut()) }
}

#[no_mangle]
unsafe extern "C" fn write(fd: c_int, data: *const c_void, len: size_t) -> ssize_t {
    count_call(|calls| calls.writes += 1);
    unsafe {
        libc::writev(
            fd,
            &iovec {
                iov_base: data.cast_mut(),
                iov_len: len,
            },
            1,
        )
    }
}

#[no_mangle]
unsafe extern "C" fn send(fd: c_int, data: *const c_void, len: size_t, flags: c_int) -> ssize_t {
    count_call(|calls| calls.writes += 1);
    unsafe { libc::sendto(fd, data, len, flags, ptr::null(), 0) }
}

#[test]
fn the_counters_count_what_this_thread_does() {
    use std::io::{Read, Write};
    let before = memory();
    let boxed = std::hint::black_box(Box::new([0u8; 1000]));
    assert_eq!(
        (
            memory().allocations - before.allocations,
            memory().live - before.live
        ),
        (1, 1000)
    );
    drop(boxed);
    assert_eq!(
        (
            memory().allocations - before.allocations,
            memory().live - before.live
        ),
        (1, 0)
    );

    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let (counted, ()) = calls_of(|| {
        writer.write_all(b"1").unwrap();
        writer.write_all(b"2").unwrap();
        reader.read_exact(&mut [0; 2]).unwrap();
        crate::descriptors::ask(&mut []).unwrap();
    });
    assert_eq!(
        counted,
        Calls {
            polls: 1,
            reads: 1,
            writes: 2
        }
    );
    let (counted, _) = calls_of(|| std::thread::spawn(|| crate::descriptors::ask(&mut [])).join());
    assert_eq!(counted.polls, 0, "another thread's call");
}
