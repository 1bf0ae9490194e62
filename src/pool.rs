//! The free list of read and write buffers, one for each thread.
//!
//! A buffer is held only while it has bytes in it or a system call fills it. Ten thousand idle
//! connections therefore share the few buffers that lie here. Everything that uses a buffer lives
//! on one thread (`!Send`), so a thread-local list needs no lock and no handle to a scheduler.
//!
//! Buffers come in two sizes. *Large* ones hold what one `read(2)` of a full pipe brings; *small*
//! ones hold the partial line of a blocked reader, or the copied bytes of a short write. Anything
//! bigger is made for its one use and not kept.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The memory of a buffer. The vector's length is its capacity: each byte is initialised once, when
/// the vector is made. The memory is shared (`Rc`) only while a resumed task looks at it.
pub(crate) type Storage = Rc<Vec<u8>>;

/// The most bytes that one read of a full pipe brings: a pipe holds 64 KiB (pipe(7)).
pub(crate) const CHUNK: usize = 64 * 1024;

/// A partial line shorter than this moves to a small buffer while its reader is blocked.
pub(crate) const SMALL: usize = 4 * 1024;

/// The size of a large buffer. It has room for a partial line of `SMALL` bytes and for `CHUNK`
/// bytes after it. So one read takes all that a full pipe holds, even after such a line.
pub(crate) const LARGE: usize = CHUNK + SMALL;

/// The size of the smallest buffer. A short partial line fits into it.
const LEAST: usize = 128;

/// How many free buffers of each size the list keeps. A thread keeps at most 544 KiB in large
/// buffers (these and the spare one, 68 KiB each) and 128 KiB in small ones (4 KiB each at most).
const LARGE_KEPT: usize = 7;
const SMALL_KEPT: usize = 32;

/// The free buffers of a thread. `spare` is one large buffer: most programs need no more than that.
/// `large` and `small` hold the other ones.
struct Free {
    spare: Cell<Option<Storage>>,
    large: RefCell<Vec<Storage>>,
    small: RefCell<Vec<Storage>>,
}

thread_local! {
    static FREE: Free = const {
        Free { spare: Cell::new(None), large: RefCell::new(Vec::new()), small: RefCell::new(Vec::new()) }
    };
}

/// A large buffer, with no promise about what is in it.
#[inline]
pub(crate) fn take_large() -> Storage {
    match FREE.try_with(|free| free.spare.take()) {
        Ok(Some(storage)) => storage,
        _ => take(LARGE),
    }
}

/// A buffer of at least `size` bytes, with no promise about what is in it.
#[cold]
pub(crate) fn take(size: usize) -> Storage {
    let found = FREE.try_with(|free| match size {
        0..=SMALL => free.small.borrow_mut().pop(),
        _ if size <= LARGE => free.large.borrow_mut().pop().or_else(|| free.spare.take()),
        _ => None,
    });
    match found {
        Ok(Some(storage)) if storage.len() >= size => storage,
        // A small buffer that is too small is freed, and a larger one is made in its place: the
        // small buffers grow to what their users need.
        _ => Rc::new(vec![0; rounded(size)]),
    }
}

fn rounded(size: usize) -> usize {
    match size {
        0..=SMALL => size.next_power_of_two().max(LEAST),
        _ if size <= LARGE => LARGE,
        _ => size,
    }
}

/// Takes a buffer back. A buffer that a task still looks at is left to that task.
#[inline(never)]
pub(crate) fn give(mut storage: Storage) {
    if Rc::get_mut(&mut storage).is_none() {
        return;
    }
    if storage.len() == LARGE {
        // While the thread ends, the list may be gone. The buffer is freed then.
        let before = FREE.try_with(|free| free.spare.replace(Some(storage)));
        if let Ok(Some(other)) = before {
            keep(other);
        }
    } else {
        keep(storage);
    }
}

#[cold]
fn keep(storage: Storage) {
    let _ = FREE.try_with(|free| match storage.len() {
        LARGE if free.large.borrow().len() < LARGE_KEPT => free.large.borrow_mut().push(storage),
        0..=SMALL if free.small.borrow().len() < SMALL_KEPT => {
            free.small.borrow_mut().push(storage)
        }
        _ => {}
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_given_back_is_handed_out_again() {
        let first = take(CHUNK);
        let address = first.as_ptr();
        give(first);
        assert_eq!(take(CHUNK).as_ptr(), address);
    }

    #[test]
    fn a_buffer_that_is_lent_is_not_handed_out() {
        let first = take(10);
        let lent = Rc::clone(&first);
        give(first);
        assert_ne!(take(10).as_ptr(), lent.as_ptr());
    }

    #[test]
    fn sizes_are_rounded_to_what_can_be_exchanged() {
        assert_eq!(take(1).len(), LEAST);
        assert_eq!(take(SMALL).len(), SMALL);
        assert_eq!(take(SMALL + 1).len(), LARGE);
        assert_eq!(take(LARGE + 1).len(), LARGE + 1);
    }

    #[test]
    fn a_thread_keeps_a_bounded_number_of_free_buffers_of_each_size() {
        let kept = || {
            FREE.with(|free| {
                let spare = free.spare.take();
                let has_spare = spare.is_some();
                free.spare.set(spare);
                let (large, small) = (free.large.borrow(), free.small.borrow());
                (has_spare, large.len(), small.len())
            })
        };
        assert_eq!(kept(), (false, 0, 0), "a test has a thread of its own");
        let all = |size| (0..100).map(|_| take(size)).collect::<Vec<_>>();
        all(LARGE).into_iter().for_each(give);
        assert_eq!(kept(), (true, LARGE_KEPT, 0));
        all(LEAST).into_iter().for_each(give);
        assert_eq!(kept(), (true, LARGE_KEPT, SMALL_KEPT));
        all(LARGE + 1).into_iter().for_each(give);
        assert_eq!(kept(), (true, LARGE_KEPT, SMALL_KEPT), "made for one use");
    }

    #[test]
    fn a_small_buffer_that_is_too_small_gives_way_to_a_larger_one() {
        give(take(LEAST));
        assert_eq!(take(LEAST + 1).len(), 2 * LEAST);
        assert_eq!(FREE.with(|free| free.small.borrow().len()), 0);
    }
}
