//! Errors that name the operation, the descriptor and the cause, and how a task fails.

use std::error::Error;
use std::fmt;
use std::io;
use std::os::unix::io::RawFd;

/// What an operation's [`io::Error`] carries: `readline on fd 5: timed out after 1s, 37 bytes kept`.
#[derive(Debug)]
struct OperationError {
    operation: &'static str,
    fd: Option<RawFd>,
    cause: io::Error,
}

impl fmt::Display for OperationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.operation)?;
        if let Some(fd) = self.fd {
            write!(f, " on fd {fd}")?;
        }
        write!(f, ": {}", self.cause)
    }
}

impl Error for OperationError {
    /// The system's own error, with its `raw_os_error`.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.cause)
    }
}

/// The cause, with the operation and the descriptor named. Its kind stays what it was.
pub(crate) fn named(operation: &'static str, fd: impl Into<Option<RawFd>>, cause: io::Error) -> io::Error {
    let fd = fd.into().filter(|fd| *fd >= 0); // -1 stands for a stream that was never there
    io::Error::new(cause.kind(), OperationError { operation, fd, cause })
}

/// A misuse, in words.
pub(crate) fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message.into())
}

/// How a task ended that has no value.
#[derive(Debug)]
#[non_exhaustive]
pub enum TaskError {
    /// Its body returned this error, or did not look at this failure of its operation.
    Failed(io::Error),
    /// Its body panicked, with this message.
    Panicked(String),
    /// It was cancelled, or its scheduler was dropped.
    Cancelled,
    /// [`Remote::stop`](crate::Remote::stop) came while `join` or `block_on` waited for it.
    Stopped,
    /// Tasks are alive and nothing can ever wake them: one line for each, who waits for what. The tasks are
    /// kept: cancel one, spawn another, or drop the scheduler.
    Stalled(String),
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskError::Failed(error) => error.fmt(f),
            TaskError::Panicked(message) => write!(f, "panicked: {message}"),
            TaskError::Cancelled => f.write_str("cancelled"),
            TaskError::Stopped => f.write_str("stopped"),
            TaskError::Stalled(tasks) => write!(f, "stalled: nothing can ever wake\n{}", tasks.trim_end()),
        }
    }
}

impl Error for TaskError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            TaskError::Failed(error) => Some(error),
            _ => None,
        }
    }
}

impl From<TaskError> for io::Error {
    /// `Failed` gives its error back as it was; the others become [`io::ErrorKind::Other`] around themselves.
    fn from(error: TaskError) -> io::Error {
        match error {
            TaskError::Failed(error) => error,
            other => io::Error::new(io::ErrorKind::Other, other),
        }
    }
}
