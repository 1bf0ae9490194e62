//! The errors. An error holds a code, names and numbers. Its text is made when it is printed.

use std::error::Error;
use std::fmt;
use std::io;
use std::os::unix::io::RawFd;

/// What every [`io::Error`] of an operation carries: the operation's name, the descriptor, the
/// cause.
///
/// The error prints as `readline on fd 5: timed out after 1s, 37 bytes kept`. Callers match on the
/// [`io::ErrorKind`] of the `io::Error` that carries it. The errno is kept in here, because an
/// `io::Error` that carries another error has no errno itself.
///
/// # Example
///
/// This shows how to get the errno of a failed write:
///
/// ```
/// use asyncfile::{AsyncFile, OperationError, Scheduler};
///
/// let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
/// drop(reader);
/// let file = AsyncFile::new(writer)?;
/// let error = Scheduler::new().block_on(file.write(b"x")).unwrap_err();
/// let cause = OperationError::of(&error).expect("a write has failed");
/// assert_eq!((cause.operation(), cause.raw_os_error()), ("write", Some(libc::EPIPE)));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct OperationError {
    operation: &'static str,
    /// Negative if the operation has no descriptor.
    fd: RawFd,
    cause: Cause,
}

/// Why an operation failed.
pub(crate) enum Cause {
    /// The kernel's error, or an error that the machine or the port has made itself.
    System(io::Error),
    /// The kernel's error, and the name of what it concerns: a program, a stream, a child, or the
    /// group of a child.
    Named { name: String, error: io::Error },
    /// The kernel's error, or an end of file, after `bytes` bytes were moved. `what` says whether
    /// they were "kept" or "written".
    Partly {
        error: io::Error,
        bytes: usize,
        what: &'static str,
    },
    /// A write took only a part of its bytes, and the task called `ok`, which confirms only a whole
    /// write.
    Short { written: usize, of: usize },
    /// A fixed text, and the kind of the error.
    Says(io::ErrorKind, &'static str),
    /// The deadline came. `after` is the timeout in nanoseconds. It is None if the moment of
    /// `until` has come. `what` tells whether the `bytes` bytes were "kept" or "written".
    TimedOut {
        after: Option<u64>,
        bytes: usize,
        what: &'static str,
    },
    /// More than `limit` bytes came. `kept` says how many bytes are kept.
    Limit { limit: usize, kept: usize },
    /// The child's status is unknown, because somebody else has reaped it. `stage` is its position
    /// in the pipeline, counted from 1. The text leaves out a stage of 0.
    Reaped { child: u32, stage: usize },
    /// The task called an accessor that does not fit the operation that it waited for.
    Misfit { accessor: &'static str },
    /// The task called an accessor a second time for what can be taken once.
    Taken { accessor: &'static str },
    /// The operation is a member of a `first` but must not be one, because half of it cannot be put
    /// back.
    Member { operation: &'static str },
    /// An operation that cannot be waited for again.
    Once,
}

impl Cause {
    /// The kernel's error, and how many bytes were moved before it.
    pub fn partly(error: io::Error, bytes: usize, what: &'static str) -> Cause {
        match bytes {
            0 => Cause::System(error),
            bytes => Cause::Partly { error, bytes, what },
        }
    }

    /// The same cause, and the number of bytes that were moved before it.
    #[cold]
    pub fn after(self, bytes: usize, what: &'static str) -> Cause {
        match self {
            Cause::Says(kind, text) if bytes > 0 => Cause::Partly {
                error: io::Error::new(kind, text),
                bytes,
                what,
            },
            cause => cause,
        }
    }

    /// The error of the kernel, if that is the cause.
    fn system(&self) -> Option<&io::Error> {
        match self {
            Cause::System(error) | Cause::Named { error, .. } | Cause::Partly { error, .. } => {
                Some(error)
            }
            _ => None,
        }
    }

    fn kind(&self) -> io::ErrorKind {
        match self {
            Cause::System(error) | Cause::Named { error, .. } | Cause::Partly { error, .. } => {
                error.kind()
            }
            Cause::Short { .. } => io::ErrorKind::WriteZero,
            Cause::Says(kind, _) => *kind,
            Cause::TimedOut { .. } => io::ErrorKind::TimedOut,
            Cause::Limit { .. } | Cause::Reaped { .. } => io::ErrorKind::Other,
            Cause::Misfit { .. } | Cause::Taken { .. } | Cause::Member { .. } | Cause::Once => {
                io::ErrorKind::InvalidInput
            }
        }
    }

    /// True for the failure of an operation, false for the misuse of an accessor or of `again`.
    fn is_failure(&self) -> bool {
        !matches!(
            self,
            Cause::Misfit { .. } | Cause::Taken { .. } | Cause::Once
        )
    }
}

impl OperationError {
    /// The cause that this error carries, if an operation has failed. None if the task has misused
    /// an accessor or [`again`](crate::again).
    ///
    /// # Example
    ///
    /// This shows the parts of an error:
    ///
    /// ```
    /// use asyncfile::{AsyncPipe, OperationError};
    /// use std::process::Command;
    ///
    /// let error = AsyncPipe::piped(Command::new("/no/such/program")).unwrap_err();
    /// let cause = OperationError::of(&error).expect("of an operation");
    /// assert_eq!(cause.raw_os_error(), Some(libc::ENOENT));
    /// assert_eq!(cause.fd(), None);
    /// ```
    pub fn of(error: &io::Error) -> Option<&OperationError> {
        let carried = error.get_ref()?.downcast_ref::<OperationError>()?;
        Some(carried).filter(|carried| carried.cause.is_failure())
    }

    /// The operation's name: `readline`, `write_all`, `communicate`, `spawn`.
    pub fn operation(&self) -> &str {
        self.operation
    }

    /// The descriptor that the operation worked on. None for an operation without one.
    pub fn fd(&self) -> Option<RawFd> {
        Some(self.fd).filter(|fd| *fd >= 0)
    }

    /// The errno, if a system call failed. None for a timeout, a limit, a closed file.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.cause.system()?.raw_os_error()
    }
}

impl fmt::Display for OperationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Misfit { accessor } => {
                write!(
                    f,
                    "{accessor} does not fit: the task waited for {}",
                    self.operation
                )?;
                return write_fd(f, " fd ", self.fd);
            }
            Cause::Taken { accessor } => {
                write!(f, "{accessor} after {}", self.operation)?;
                write_fd(f, " fd ", self.fd)?;
                return f.write_str(": it was taken before");
            }
            Cause::Named { name, error } => {
                write!(f, "{} {name}", self.operation)?;
                write_fd(f, " on fd ", self.fd)?;
                return write!(f, ": {error}");
            }
            _ => {}
        }
        f.write_str(self.operation)?;
        write_fd(f, " on fd ", self.fd)?;
        f.write_str(": ")?;
        match &self.cause {
            Cause::System(error) => error.fmt(f),
            Cause::Partly { error, bytes, what } => write!(f, "{error}, {bytes} bytes {what}"),
            Cause::Short { written, of } => write!(
                f,
                "{written} of {of} bytes written: see written() or write_all()"
            ),
            Cause::Says(_, text) => f.write_str(text),
            Cause::TimedOut { after, bytes, what } => {
                match after {
                    Some(after) => write!(f, "timed out after {}", Milliseconds(*after))?,
                    None => f.write_str("timed out at the moment that was set")?,
                }
                match bytes {
                    0 => Ok(()),
                    bytes => write!(f, ", {bytes} bytes {what}"),
                }
            }
            Cause::Limit { limit, kept } => {
                write!(
                    f,
                    "more than the limit of {limit} bytes came, {kept} bytes kept"
                )
            }
            Cause::Reaped { child, stage } => {
                write!(f, "the status of child {child}")?;
                if *stage > 0 {
                    write!(f, ", stage {stage},")?;
                }
                f.write_str(" is unknown: somebody else has reaped it")
            }
            Cause::Member { operation } => write!(f, "{operation} cannot be put back"),
            Cause::Once => f.write_str("it cannot be waited for again: its data is gone"),
            Cause::Misfit { .. } | Cause::Taken { .. } | Cause::Named { .. } => {
                unreachable!("written above")
            }
        }
    }
}

impl fmt::Debug for OperationError {
    /// Debug prints the same text as Display, because the values of the fields do not explain the
    /// error.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn write_fd(f: &mut fmt::Formatter<'_>, before: &str, fd: RawFd) -> fmt::Result {
    if fd < 0 {
        return Ok(());
    }
    write!(f, "{before}{fd}")
}

impl Error for OperationError {
    /// The kernel's error, whose `raw_os_error` is the errno. None if the kernel reported no error.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let error = self.cause.system()?;
        Some(error)
    }
}

/// Nanoseconds, printed in whole seconds or milliseconds, rounded up. (Formatting a `Duration`
/// would link the formatting of fractions into every program.)
pub(crate) struct Milliseconds(pub u64);

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 / 1_000_000 + u64::from(self.0 % 1_000_000 > 0) {
            whole if whole > 0 && whole % 1000 == 0 => write!(f, "{}s", whole / 1000),
            rest => write!(f, "{rest}ms"),
        }
    }
}

/// An error that names the operation, its descriptor and the cause. A negative `fd` stands for no
/// descriptor.
#[cold]
pub(crate) fn named(operation: &'static str, fd: RawFd, cause: Cause) -> io::Error {
    io::Error::new(
        cause.kind(),
        OperationError {
            operation,
            fd,
            cause,
        },
    )
}

/// The kernel's error, with the operation and the descriptor named.
#[cold]
pub(crate) fn system(operation: &'static str, fd: RawFd, error: io::Error) -> io::Error {
    named(operation, fd, Cause::System(error))
}

/// An InvalidInput error for the misuse of a call that has no descriptor, such as `join`.
#[cold]
pub(crate) fn invalid(operation: &'static str, text: &'static str) -> io::Error {
    named(
        operation,
        -1,
        Cause::Says(io::ErrorKind::InvalidInput, text),
    )
}

/// Why a task ended without a value, or why a drive ended.
///
/// # Example
///
/// This shows the error that a task has returned:
///
/// ```
/// use asyncfile::{yield_now, Flow, Scheduler, TaskError};
/// use std::io::ErrorKind;
///
/// let mut sched = Scheduler::new();
/// let failing = sched.spawn(yield_now(), |_task| -> Flow { Err(ErrorKind::NotFound.into()) });
/// match sched.join(failing) {
///     Err(TaskError::Failed(error)) => assert_eq!(error.kind(), ErrorKind::NotFound),
///     other => panic!("{other:?}"),
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum TaskError {
    /// The task's body returned this error, or its operation failed with this error and the body
    /// did not look at it.
    Failed(io::Error),
    /// The task's body panicked, with this message.
    Panicked(String),
    /// The task was cancelled, or its scheduler was dropped.
    Cancelled,
    /// [`Remote::stop`](crate::Remote::stop) was called while `join` or `block_on` waited for the
    /// task.
    Stopped,
    /// Tasks are alive and nothing can ever wake them. The text has a line for each, with what it
    /// waits for. The tasks are kept: cancel one, spawn another, or drop the scheduler.
    Stalled(String),
    /// poll(2) itself has failed. No task has failed, and all are kept. The cause is EINVAL (more
    /// descriptors than RLIMIT_NOFILE) or ENOMEM.
    Poll(io::Error),
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskError::Failed(error) | TaskError::Poll(error) => error.fmt(f),
            TaskError::Panicked(message) => write!(f, "panicked: {message}"),
            TaskError::Cancelled => f.write_str("cancelled"),
            TaskError::Stopped => f.write_str("stopped"),
            TaskError::Stalled(tasks) => {
                write!(
                    f,
                    "stalled: nothing can ever wake\n{}",
                    tasks.strip_suffix('\n').unwrap_or(tasks)
                )
            }
        }
    }
}

impl Error for TaskError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            TaskError::Failed(error) | TaskError::Poll(error) => Some(error),
            _ => None,
        }
    }
}

impl From<TaskError> for io::Error {
    /// `Failed` and `Poll` give their error back as it was. Every other error becomes an
    /// `io::Error` of the kind [`io::ErrorKind::Other`] that carries it.
    fn from(error: TaskError) -> io::Error {
        match error {
            TaskError::Failed(error) | TaskError::Poll(error) => error,
            other => io::Error::new(io::ErrorKind::Other, other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_printed_in_whole_milliseconds_rounded_up() {
        let texts = [
            (0, "0ms"),
            (1, "1ms"),
            (20_000_000, "20ms"),
            (1_000_000_000, "1s"),
        ];
        for (time, text) in texts {
            assert_eq!(Milliseconds(time).to_string(), text);
        }
        assert_eq!(Milliseconds(1_500_000_000).to_string(), "1500ms");
    }

    #[test]
    fn a_misuse_of_an_accessor_is_no_failure_of_an_operation() {
        let misuse = named(
            "readline",
            5,
            Cause::Misfit {
                accessor: "bytes()",
            },
        );
        assert!(OperationError::of(&misuse).is_none());
        assert_eq!(
            misuse.to_string(),
            "bytes() does not fit: the task waited for readline fd 5"
        );
        let timeout = named(
            "read",
            5,
            Cause::TimedOut {
                after: Some(1),
                bytes: 0,
                what: "kept",
            },
        );
        let carried = OperationError::of(&timeout).unwrap();
        assert_eq!((carried.fd(), carried.raw_os_error()), (Some(5), None));
    }
}
