//! A function that is interrupted after one of its instructions, and again after a later one, so
//! that what another thread may do at any moment is done at every one. The processor's trap flag has
//! each instruction raise SIGTRAP, whose handler counts. Nothing depends on the time.

#![allow(unsafe_code)]

use std::arch::asm;
use std::cell::Cell;
use std::sync::atomic::{AtomicPtr, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};

/// What the handler needs.
struct Steps<'a> {
    /// How many instructions are left until the interruption.
    left: Cell<u64>,
    /// Whether it was made.
    is_over: Cell<bool>,
    /// The interruption. False if it is not possible here: then it is made at a later instruction.
    between: &'a dyn Fn() -> bool,
}

static STEPS: AtomicPtr<Steps<'static>> = AtomicPtr::new(std::ptr::null_mut());

/// One function is stepped through at a time: a handler is the whole process's.
static LOCK: Mutex<()> = Mutex::new(());

extern "C" fn on_step(_: libc::c_int) {
    // SAFETY: the pointer is to the structure of the function that is stepped through, which waits
    // for this handler.
    let steps = unsafe { &*STEPS.load(SeqCst) };
    steps.left.set(steps.left.get().saturating_sub(1));
    if steps.left.get() == 0 && !steps.is_over.get() {
        steps.is_over.set((steps.between)());
    }
}

/// At most about so many moments are tried. An unoptimised function has many more instructions, of
/// which few look at what is shared.
const MOMENTS: u64 = 250;

/// Calls `stepped` again and again, each time on what `make` makes, and has `between` called after
/// another of its instructions; then `check` looks at the result. `between` interrupts `stepped`: it
/// must not take a lock that `stepped` may hold.
pub fn for_each_step<S, T>(
    make: impl Fn() -> S,
    stepped: impl Fn(&S) -> T,
    between: impl Fn(&S) -> bool,
    check: impl Fn(S, T),
) {
    let _lock = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: a zeroed sigaction is valid; the handler looks at what lives as long as the steps.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_step as extern "C" fn(libc::c_int) as usize;
        let answer = libc::sigaction(libc::SIGTRAP, &action, std::ptr::null_mut());
        assert_eq!(answer, 0);
    }
    let state = make();
    let (_, left, _) = run(u64::MAX, &|| stepped(&state), &|| false);
    let all = u64::MAX - left;
    assert!(all > 10, "{all} steps");
    for step in (1..all).step_by((all / MOMENTS + 1) as usize) {
        let state = make();
        let (result, _, is_interrupted) = run(step, &|| stepped(&state), &|| between(&state));
        if is_interrupted {
            check(state, result);
        }
    }
}

/// Calls `stepped` and interrupts it after this step. Returns how many steps were left then, and
/// whether it was interrupted.
fn run<T>(step: u64, stepped: &dyn Fn() -> T, between: &dyn Fn() -> bool) -> (T, u64, bool) {
    let steps = Steps {
        left: Cell::new(step),
        is_over: Cell::new(false),
        between,
    };
    STEPS.store((&steps as *const Steps<'_>).cast_mut().cast(), SeqCst);
    // SAFETY: the trap flag (bit 8) has no other effect than SIGTRAP, which is handled.
    unsafe { asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq") };
    let result = stepped();
    // SAFETY: as above.
    unsafe { asm!("pushfq", "and qword ptr [rsp], -0x101", "popfq") };
    (result, steps.left.get(), steps.is_over.get())
}
