//! The values that operations hand over to ordinary code, which owns these values: see
//! [`Scheduler::block_on`](crate::Scheduler::block_on).

use std::io;

use crate::machine::End;
use crate::op::{
    Op, Read, ReadToEnd, Readline, Readlines, Ready, Shutdown, Sleep, Write, YieldNow,
};
use crate::task::Task;

/// An operation that [`Scheduler::block_on`](crate::Scheduler::block_on) can wait for from ordinary
/// code. Every operation implements it.
pub trait Operation: Into<Op> + Sealed {
    /// The value that the operation hands over, owned.
    type Output: 'static;

    /// Takes the output from the task that was resumed with it.
    #[doc(hidden)]
    fn output(task: &mut Task<'_, '_>) -> io::Result<Self::Output>;
}

/// Keeps types outside the library from being operations.
pub trait Sealed {}

impl Sealed for Read {}
impl Sealed for ReadToEnd {}
impl Sealed for Readline {}
impl Sealed for Readlines {}
impl Sealed for Write {}
impl Sealed for Ready {}
impl Sealed for Shutdown {}
impl Sealed for Sleep {}
impl Sealed for YieldNow {}

/// All bytes of a read. If the timeout has ended the read early, the result is an error, and the
/// bytes stay in the file. Ordinary code could not tell such a part from all bytes.
fn whole(task: &mut Task<'_, '_>) -> io::Result<Vec<u8>> {
    let bytes = task.bytes()?;
    if task.end() != End::TimedOut {
        return Ok(bytes.to_vec());
    }
    let kept = task.put_back()?;
    Err(task.cut(kept))
}

impl Operation for Read {
    type Output = Vec<u8>;
    fn output(task: &mut Task<'_, '_>) -> io::Result<Vec<u8>> {
        whole(task)
    }
}

impl Operation for ReadToEnd {
    type Output = Vec<u8>;
    fn output(task: &mut Task<'_, '_>) -> io::Result<Vec<u8>> {
        whole(task)
    }
}

impl Operation for Readline {
    type Output = Option<Vec<u8>>;
    fn output(task: &mut Task<'_, '_>) -> io::Result<Option<Vec<u8>>> {
        Ok(task.line()?.map(<[u8]>::to_vec))
    }
}

impl Operation for Readlines {
    type Output = Vec<Vec<u8>>;
    fn output(task: &mut Task<'_, '_>) -> io::Result<Vec<Vec<u8>>> {
        Ok(task.lines()?.map(<[u8]>::to_vec).collect())
    }
}

impl Operation for Write {
    type Output = usize;
    fn output(task: &mut Task<'_, '_>) -> io::Result<usize> {
        task.written()
    }
}

impl Operation for Ready {
    type Output = ();
    fn output(task: &mut Task<'_, '_>) -> io::Result<()> {
        task.ok()
    }
}

impl Operation for Shutdown {
    type Output = ();
    fn output(task: &mut Task<'_, '_>) -> io::Result<()> {
        task.ok()
    }
}

impl Operation for Sleep {
    type Output = ();
    fn output(task: &mut Task<'_, '_>) -> io::Result<()> {
        task.ok()
    }
}

impl Operation for YieldNow {
    type Output = ();
    fn output(task: &mut Task<'_, '_>) -> io::Result<()> {
        task.ok()
    }
}
