//! Whether what a task was resumed with is what it was owed.

use std::io::{self, ErrorKind};
use std::process::ExitStatus;
use std::time::Duration;

use asyncfile::machine::read::Want;
use asyncfile::machine::write::Extent;
use asyncfile::machine::SHARE;
use asyncfile::{sim, End, OperationError, Outcome, Task};
use libc::{c_short, POLLERR, POLLHUP, POLLIN, POLLNVAL};

use super::messages;
use super::operations::{Aspect, Limits, Model};
use super::world::{now, Ending, FileId, Input, PipeId, TaskId, World, Writer};
use super::{chance, choose};

/// Looks at the outcome of what the task waited for. An error is one that it may have.
pub fn check(world: &World, me: TaskId, model: &Model, task: &mut Task<'_, '_>) -> io::Result<()> {
    let end = task.end();
    let (since, name) = (world.tasks.borrow()[me].since, model.name());
    world.ended(name, end);
    world.trace(|| format!("task {me}: {name} ends: {end:?}"));
    if world.is_tainted.get() {
        return match task.outcome() {
            Outcome::Failed(error) => Err(error),
            _ => Ok(()),
        };
    }
    let result = hand_over(world, me, model, task, end, since);
    let ended = match (model, &result) {
        // Its own limits have cut it.
        (Model::First { .. }, Err(error)) if is_of(error, "first") => model,
        (Model::First { models, .. }, _) => &models[task.which()],
        _ => model,
    };
    if let Err(error) = &result {
        world.trace(|| format!("task {me}: {error}"));
        assert_allowed(world, me, ended, error, end, since);
    }
    assert_in_time(world, model, since);
    assert_in_time(world, ended, since);
    if end == End::TimedOut && is_cut_by_moment(ended, since) {
        world.count("until", ended.name().into());
    }
    result
}

fn is_of(error: &io::Error, operation: &str) -> bool {
    OperationError::of(error).map_or(false, |error| error.operation() == operation)
}

/// It would have taken longer without its `until`.
fn is_cut_by_moment(model: &Model, since: Duration) -> bool {
    let limits = model.limits();
    let span = Limits {
        until: None,
        ..limits
    };
    limits.until.is_some() && limits.due(since) != span.due(since)
}

/// It has not gone on after it was due.
fn assert_in_time(world: &World, model: &Model, since: Duration) {
    if let (Some(due), true) = (model.limits().due(since), world.is_calm) {
        assert!(
            now() <= due,
            "{model:?} was due at {due:?}, and ends at {:?}",
            now()
        );
    }
}

fn hand_over(
    world: &World,
    me: TaskId,
    model: &Model,
    task: &mut Task<'_, '_>,
    end: End,
    since: Duration,
) -> io::Result<()> {
    match model {
        Model::First { models, .. } => {
            let which = task.which();
            assert!(which < models.len(), "{which} of {} ended", models.len());
            hand_over(world, me, &models[which], task, end, since)
        }
        Model::Read {
            file,
            want,
            delimiter,
            is_peek,
            limits,
        } => {
            let keeps_messages = world.files.borrow()[*file].messages.is_some();
            let bytes = match keeps_messages {
                true => messages::read(world, *file, (*want, *is_peek), task, end)?,
                false => read(world, me, *file, (*want, *delimiter, *is_peek), task, end)?,
            };
            let wants_nothing = matches!(want, Want::Some(0) | Want::Full(0) | Want::Exact(0));
            let may_be_out_of_turn = bytes == 0 && (end == End::TimedOut || wants_nothing);
            assert!(
                may_be_out_of_turn || world.is_its_turn(me, *file),
                "task {me} was served before its turn"
            );
            if end == End::TimedOut {
                assert_due(world, *limits, since);
                assert_nothing_was_there(world, me, model, bytes);
            }
            Ok(())
        }
        Model::Write {
            file,
            data,
            extent,
            limits,
        } => {
            let written = task.written();
            if let Err(error) = &written {
                assert_says_what_was_taken(world, me, *file, (*extent, end), error);
            }
            let written = written?;
            let keeps_messages = world.files.borrow()[*file].messages.is_some();
            if end == End::TimedOut {
                assert_due(world, *limits, since);
                assert!(
                    written > 0 && written < data.len() && *extent != Extent::All,
                    "{written} of {} bytes, and timed out",
                    data.len()
                );
            }
            let files = world.files.borrow();
            let writer = files[*file]
                .writers
                .front()
                .filter(|writer| writer.task == me);
            match writer {
                Some(writer) => assert_eq!(
                    (writer.taken, writer.messages),
                    (written, usize::from(keeps_messages)),
                    "what was written, and what the kernel took"
                ),
                None => assert!(
                    data.is_empty() && !keeps_messages,
                    "task {me} has written before its turn"
                ),
            }
            if end == End::Complete {
                let expected = match extent {
                    Extent::Once if !keeps_messages => data.len().min(1),
                    _ => data.len(),
                };
                assert!(
                    written >= expected,
                    "{written} of {} bytes, and complete",
                    data.len()
                );
            }
            Ok(())
        }
        Model::ShutDown { file, .. } => {
            task.ok()?;
            let file = &world.files.borrow()[*file];
            let is_mine = |writer: &Writer| writer.task == me;
            let is_its_turn = file.writers.front().map_or(false, is_mine);
            assert!(
                file.is_closed || file.is_shut && is_its_turn,
                "fd {} was shut down in its turn",
                file.fd
            );
            Ok(())
        }
        Model::Sleep { time, limits } => {
            task.ok()?;
            let is_cut = limits
                .due(since)
                .map_or(false, |due| due < since.saturating_add(*time));
            assert!(!is_cut, "{model:?} was not cut");
            assert!(
                now() - since >= *time,
                "a sleep of {time:?} ended after {:?}",
                now() - since
            );
            Ok(())
        }
        Model::Ticks {
            period, made, last, ..
        } => {
            task.ok()?;
            let passed = ((now() - *made).as_nanos() / period.as_nanos()) as u32;
            assert!(passed > last.get(), "{model:?} has ticked early");
            // Where the clock jumps, the library may have looked at it before the last jump.
            last.set(if world.is_calm {
                passed
            } else {
                last.get() + 1
            });
            if world.is_calm {
                let next = *made + *period * passed;
                assert!(now() == next || since > next, "{model:?} is late");
            }
            Ok(())
        }
        Model::Join { target, .. } => {
            task.ok()?;
            assert_ne!(
                world.tasks.borrow()[*target].ending,
                Ending::Running,
                "task {target} has not ended"
            );
            Ok(())
        }
        Model::Ready {
            file, aspect, came, ..
        } => match aspect {
            Aspect::Events(events) => {
                assert_said(world, *file, *events, task.revents()?);
                Ok(())
            }
            Aspect::Readable => {
                task.ok()?;
                if world.is_calm {
                    assert_readable(world, *file, *came);
                }
                Ok(())
            }
            Aspect::Writable => task.ok(),
        },
        Model::Yield => task.ok(),
        Model::Exit { pipe, .. } => {
            let status = task.exit()?;
            exited_at(world, *pipe, status);
            Ok(())
        }
        Model::ExitAll { pipe, .. } => {
            let (statuses, exits) = (task.exits()?, exits(world, *pipe));
            assert_eq!(statuses.len(), exits.len());
            for (status, (id, exit)) in statuses.into_iter().zip(exits) {
                assert_eq!(Some(status), exit.map(|(status, _)| status), "child {id}");
            }
            Ok(())
        }
        Model::Stop { pipe, grace, .. } => {
            let status = task.exit()?;
            let is_late = world.is_calm && now() > since + *grace;
            assert!(!is_late, "{model:?} has not killed after its grace");
            exited_at(world, *pipe, status);
            let all = exits(world, *pipe);
            assert!(all.iter().all(|(_, exit)| exit.is_some()), "{all:?}");
            Ok(())
        }
        Model::Communicate {
            pipe,
            limit,
            linger,
            ..
        } => {
            let output = task.output()?;
            let exited_at = exited_at(world, *pipe, output.status);
            world.count("communicate", "Output".into());
            let files = world.pipes.borrow()[*pipe].files;
            // The end of a second one's linger is not the end of the first one's conversation.
            let is_anothers = world.is_anothers(me, *pipe);
            let was_over = world.pipes.borrow()[*pipe].is_over;
            world.pipes.borrow_mut()[*pipe].is_over |= !is_anothers;
            for (file, bytes) in [(files[1], &output.stdout), (files[2], &output.stderr)] {
                let file = match file {
                    Some(file) => file,
                    None => {
                        assert!(
                            bytes.is_empty(),
                            "a stream that was not piped has said {bytes:?}"
                        );
                        continue;
                    }
                };
                let is_owed = world.is_its_turn(me, file) || world.files.borrow()[file].is_closed;
                assert!(
                    is_owed || bytes.is_empty(),
                    "communicate was served before its turn"
                );
                world.deliver(me, file, bytes);
                if is_owed && !was_over {
                    assert_all_handed_over(world, file, *linger, exited_at, since);
                }
            }
            assert!(
                linger.is_some() || output.stdout.len() + output.stderr.len() <= *limit,
                "more than the limit"
            );
            if !is_anothers {
                world.pipes.borrow_mut()[*pipe].input = Input::Nothing;
            }
            Ok(())
        }
        Model::Queue { room, .. } => {
            task.ok()?;
            let mut queue = world.queue.borrow_mut();
            if end == End::Eof {
                let is_over = queue.is_closed && (*room || queue.items.is_empty());
                assert!(is_over, "the end of a queue");
                return Ok(());
            }
            assert!(
                queue.has_for(*room, me),
                "task {me} was served before its turn"
            );
            match room {
                _ if chance(40) => {} // the next one's
                true => queue.push(),
                false => queue.pop(),
            }
            Ok(())
        }
        Model::Receive { .. } => {
            task.ok()?;
            let mut channel = world.channel.borrow_mut();
            let received = channel
                .receiver
                .as_ref()
                .map(|receiver| receiver.try_recv());
            if let Some(Ok(message)) = received {
                assert_eq!(message, channel.received, "messages come in order, once");
                channel.received += 1;
            } else if end == End::Eof {
                let is_lost = channel.sender.is_some() || channel.received != channel.sent;
                assert!(channel.receiver.is_none() || !is_lost, "no message is lost");
            }
            Ok(())
        }
    }
}

/// How and when a child has exited.
type Exit = Option<(ExitStatus, Duration)>;

/// The children, and how and when each has exited.
fn exits(world: &World, pipe: PipeId) -> Vec<(u32, Exit)> {
    let ids = world.pipes.borrow()[pipe].pipe.ids();
    let exit = |id| sim::with(|kernel| kernel.exit_of(id)).expect("a kernel");
    ids.into_iter().map(|id| (id, exit(id))).collect()
}

fn last_exit(world: &World, pipe: PipeId) -> (u32, Exit) {
    let mut exits = exits(world, pipe);
    exits.pop().expect("a chain is never empty")
}

/// The last child has exited with this status. The answer is when.
fn exited_at(world: &World, pipe: PipeId, status: ExitStatus) -> Duration {
    match last_exit(world, pipe) {
        (last, Some((truth, at))) => {
            assert_eq!(status, truth, "the status of child {last}");
            at
        }
        (last, None) => panic!("child {last} runs, and is said to have ended with {status}"),
    }
}

/// A communicate has handed over all that it held of this stream, and has heard its end, unless it
/// lingered long enough.
fn assert_all_handed_over(
    world: &World,
    file: FileId,
    linger: Option<Duration>,
    exited_at: Duration,
    since: Duration,
) {
    let file = &world.files.borrow()[file];
    assert_eq!(
        file.came.len(),
        file.delivered,
        "fd {}: communicate has handed over all that came",
        file.fd
    );
    if let (Some(linger), true) = (linger, world.is_calm) {
        let took = now().saturating_sub(exited_at.max(since));
        assert!(took <= linger, "a linger of {linger:?} took {took:?}");
    }
    if file.has_ended || file.is_closed {
        return;
    }
    let linger = linger.expect("without linger, communicate waits for the end");
    assert!(
        now() - exited_at >= linger,
        "fd {}: a linger of {linger:?} was over after {:?}",
        file.fd,
        now() - exited_at
    );
}

/// What was said to be readable is, or was until somebody else has read it.
fn assert_readable(world: &World, file: FileId, came_before: usize) {
    let file = &world.files.borrow()[file];
    if file.is_shared {
        return; // its second user may have read it
    }
    let has_come = file.came.len() > file.delivered.min(came_before) || file.has_ended;
    let ask = |kernel: &mut sim::Kernel| {
        let was_readable = kernel.truth_of_late(file.fd) & (POLLIN | POLLERR | POLLHUP) != 0;
        was_readable || kernel.is_readable_now(file.fd)
    };
    let is_readable = file.is_closed || has_come || sim::with(ask).expect("a kernel");
    assert!(is_readable, "fd {} is not readable", file.fd);
}

/// What readiness was said to be: of what was asked for, and true.
fn assert_said(world: &World, file: FileId, events: c_short, revents: c_short) {
    let file = &world.files.borrow()[file];
    let asked = events | POLLERR | POLLHUP | POLLNVAL;
    assert!(
        revents != 0 && revents & !asked == 0,
        "readiness {events:#x} of fd {}: {revents:#x}",
        file.fd
    );
    if world.is_calm && !file.is_closed {
        let truth = sim::with(|kernel| kernel.truth_of_late(file.fd)).expect("a kernel");
        assert_eq!(
            revents & !truth,
            0,
            "readiness {events:#x} of fd {}: {revents:#x} was not true",
            file.fd
        );
    }
}

/// A write that failed says how many bytes were written before, and none of a message were.
fn assert_says_what_was_taken(
    world: &World,
    me: TaskId,
    file: FileId,
    (extent, end): (Extent, End),
    error: &io::Error,
) {
    let files = world.files.borrow();
    let mut writers = files[file].writers.iter();
    let (taken, messages) = writers
        .find(|writer| writer.task == me)
        .map_or((0, 0), |writer| (writer.taken, writer.messages));
    assert_eq!(messages, 0, "a message was sent, and {error}");
    assert!(
        end != End::TimedOut || extent == Extent::All || taken == 0,
        "a write that has timed out says what was written: {taken} bytes"
    );
    let said = format!(", {taken} bytes written");
    let says = error.to_string().contains(&said);
    assert!(
        files[file].is_closed || says == (taken > 0),
        "{taken} bytes were written: {error}"
    );
}

/// Whether a reader of the file may find its end.
fn may_be_at_end(world: &World, id: FileId) -> bool {
    let (fd, has_ended) = {
        let file = &world.files.borrow()[id];
        (file.fd, file.has_ended)
    };
    // A terminal's EIO was no end when it came, and its other side has hung up before poll(2) was
    // asked about it.
    let is_hung_up = || sim::with(|kernel| kernel.was_hung_up_at_poll(fd)).expect("a kernel");
    has_ended || (!world.is_calm && is_hung_up())
}

/// What a reading operation has handed over, taken. The answer is how much.
fn read(
    world: &World,
    me: TaskId,
    id: FileId,
    (want, delimiter, is_peek): (Want, u8, bool),
    task: &mut Task<'_, '_>,
    end: End,
) -> io::Result<usize> {
    let held = || {
        let file = &world.files.borrow()[id];
        file.came.len() - file.delivered
    };
    assert!(
        end != End::Eof || may_be_at_end(world, id),
        "the end of fd {}, and it has not come",
        world.files.borrow()[id].fd
    );
    match want {
        Want::Line(limit) => match task.line()? {
            None => {
                assert_eq!((end, held()), (End::Eof, 0), "no line, at the end");
                Ok(0)
            }
            Some(line) => {
                let newline = line.iter().position(|byte| *byte == delimiter);
                let is_right = match end {
                    End::Complete => newline == Some(line.len() - 1) && line.len() <= limit,
                    End::Limit => newline.is_none() && line.len() == limit,
                    End::Eof => newline.is_none() && !line.is_empty() && line.len() == held(),
                    End::TimedOut | End::Failed => false,
                };
                assert!(is_right, "{end:?} of a limit of {limit}: {line:?}");
                world.deliver(me, id, line);
                Ok(line.len())
            }
        },
        Want::Lines(limit) => {
            let mut all = 0;
            let lines = task.lines()?;
            let most = if chance(32) {
                choose(4) as usize
            } else {
                usize::MAX
            };
            for line in lines.take(most) {
                let is_whole =
                    line.iter().position(|byte| *byte == delimiter) == Some(line.len() - 1);
                assert!(
                    !line.is_empty() && (is_whole || end != End::Complete),
                    "{end:?}: {line:?}"
                );
                world.deliver(me, id, line);
                all += line.len();
            }
            assert!(
                all <= limit,
                "{all} bytes of lines, and the limit is {limit}"
            );
            if all == 0 && most > 0 {
                assert_eq!((end, held()), (End::Eof, 0), "no lines, at the end");
            }
            Ok(all)
        }
        Want::Some(size) | Want::Full(size) | Want::Exact(size) | Want::ToEnd(size) => {
            let bytes = task.bytes()?;
            let len = bytes.len();
            let is_right = match (want, end) {
                (Want::Some(_), End::Complete) => (len > 0 || size == 0) && len <= size,
                (Want::Full(_) | Want::Exact(_), End::Complete) => len == size,
                (Want::ToEnd(_), End::Limit) => len == size,
                (Want::Some(_), End::Eof) => len == 0 && held() == 0,
                (Want::Full(_) | Want::ToEnd(_), End::Eof) => len < size && len == held(),
                (Want::Some(_) | Want::Full(_) | Want::ToEnd(_), End::TimedOut) => {
                    len > 0 && len <= size
                }
                _ => false,
            };
            assert!(
                is_right,
                "{want:?} ended with {len} bytes, {end:?}, and {} were held",
                held()
            );
            match is_peek {
                false => world.deliver(me, id, bytes),
                true => world.show(me, id, bytes),
            }
            Ok(len)
        }
    }
}

/// It was not cut before its time.
fn assert_due(world: &World, limits: Limits, since: Duration) {
    let due = limits.due(since);
    let due = due.expect("only what has a timeout times out");
    assert!(now() >= due, "{limits:?}: it fell due early");
    if world.is_calm {
        assert_eq!(now(), due, "on a calm kernel it is to the instant");
    }
}

/// The operation may end with this error.
pub fn assert_allowed(
    world: &World,
    me: TaskId,
    model: &Model,
    error: &io::Error,
    end: End,
    since: Duration,
) {
    let kind = error.kind();
    // That the kernel has nothing now is no operation's failure. (poll(2)'s is, from outside.)
    let is_of_poll = error.to_string().starts_with("poll: ");
    assert!(
        kind != ErrorKind::WouldBlock || is_of_poll,
        "{model:?} ended with {error}"
    );
    if end == End::TimedOut {
        assert_eq!(kind, ErrorKind::TimedOut);
        assert_due(world, model.limits(), since);
        return assert_nothing_was_there(world, me, model, 0);
    }
    let closed = |file: FileId| world.may_be_closed(file);
    let keeps_messages = |file: FileId| world.files.borrow()[file].messages.is_some();
    let by_nature = match model {
        Model::Read {
            want: Want::ToEnd(0) | Want::Line(0) | Want::Lines(0),
            file,
            ..
        } => kind == ErrorKind::InvalidInput || closed(*file) && kind == ErrorKind::NotConnected,
        Model::Read {
            want: Want::Exact(_),
            file,
            ..
        } if kind == ErrorKind::UnexpectedEof => may_be_at_end(world, *file),
        Model::Read { file, want, .. } if keeps_messages(*file) => {
            if kind == ErrorKind::InvalidInput {
                world.count("messages", "Refused".into());
            }
            closed(*file) && kind == ErrorKind::NotConnected
                || !matches!(want, Want::Some(_)) && kind == ErrorKind::InvalidInput
        }
        Model::Read { file, .. } | Model::Ready { file, .. } => {
            closed(*file) && kind == ErrorKind::NotConnected
        }
        Model::ShutDown { file, .. } => {
            let is_no_socket = !world.files.borrow()[*file].is_socket;
            closed(*file) && kind == ErrorKind::NotConnected
                || is_no_socket && errno(error) == Some(libc::ENOTSOCK)
        }
        Model::Write { file, data, .. } => {
            let by_messages = match &world.files.borrow()[*file].messages {
                Some(messages) if errno(error) == Some(libc::EMSGSIZE) => {
                    world.count("messages", "TooLong".into());
                    data.len() > messages.capacity
                }
                // Its peer has gone: the first send says so, the next ones have none.
                Some(messages) => {
                    !messages.have_end
                        && matches!(errno(error), Some(libc::ECONNREFUSED | libc::ENOTCONN))
                }
                None => false,
            };
            closed(*file) && kind == ErrorKind::NotConnected
                || by_messages
                || matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
        }
        // Its limit, its streams closed, its status unknown, a source that feeds two.
        Model::Communicate { .. } => matches!(
            kind,
            ErrorKind::Other
                | ErrorKind::NotConnected
                | ErrorKind::InvalidInput
                | ErrorKind::ConnectionReset
        ),
        Model::Exit { .. } | Model::ExitAll { .. } | Model::Stop { .. } => {
            kind == ErrorKind::Other && !world.is_calm
        }
        Model::Sleep { .. } | Model::Yield | Model::Join { .. } | Model::First { .. } => false,
        Model::Receive { .. } | Model::Queue { .. } | Model::Ticks { .. } => false,
    };
    let by_socket = matches!(model, Model::Read { .. }) && kind == ErrorKind::ConnectionReset;
    let is_injected = !world.is_calm && error.to_string().contains("os error");
    let is_injected = is_injected || !world.is_calm && source_is_os_error(error);
    // An error queue, or a hangup behind an error that poll(2) has withheld.
    let is_injected = is_injected || !world.is_calm && error.to_string().contains("error queue");
    assert!(
        by_nature || by_socket || is_injected,
        "{model:?} ended with {error}"
    );
}

pub fn errno(error: &io::Error) -> Option<i32> {
    OperationError::of(error)?.raw_os_error()
}

/// The kernel has said it.
fn source_is_os_error(error: &io::Error) -> bool {
    let source = error.get_ref().and_then(|error| error.source());
    let source = source.and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| source.raw_os_error().is_some())
}

/// What could be had at its deadline is had: bytes, and an end behind them. `taken`: so many were.
fn assert_nothing_was_there(world: &World, me: TaskId, model: &Model, taken: usize) {
    if let Model::Queue { room, .. } = model {
        let is_there = world.queue.borrow().has_for(*room, me);
        assert!(!is_there, "{model:?} timed out in its turn");
    }
    if let Model::Join { target, .. } = model {
        let ending = &world.tasks.borrow()[*target].ending;
        assert_eq!(*ending, Ending::Running, "{model:?} timed out");
    }
    if !world.is_calm {
        return;
    }
    let ask = |fd, ask: fn(&sim::Kernel, i32) -> bool| {
        sim::with(|kernel| ask(kernel, fd)).expect("a kernel")
    };
    let was_hung_up = |file: FileId| {
        ask(
            world.files.borrow()[file].fd,
            sim::Kernel::was_hung_up_at_poll,
        )
    };
    match model {
        Model::Read { file, want, .. } => {
            // What a second user has read was there at the poll, and more may have come since.
            let (fd, held, is_mine) = {
                let file = &world.files.borrow()[*file];
                (
                    file.fd,
                    file.came.len() - file.delivered,
                    !file.is_closed && !file.is_shared && file.readers.len() == 1,
                )
            };
            // With the smallest size_hint that is drawn, a share of 64 calls is less than one of
            // bytes.
            let share = if let Want::Line(_) = want {
                64 * 7
            } else {
                SHARE
            };
            if taken + held >= share {
                return; // the others' turn
            }
            let is_there = match want {
                Want::Some(_) => {
                    ask(fd, sim::Kernel::was_readable_at_poll)
                        && ask(fd, sim::Kernel::is_readable_now)
                }
                _ => was_hung_up(*file),
            };
            assert!(
                !is_mine || !is_there,
                "{model:?} timed out beside what could be had of fd {fd}"
            );
        }
        Model::Ready {
            file,
            aspect: Aspect::Events(events),
            ..
        } => {
            let file = &world.files.borrow()[*file];
            let asked = events | POLLERR | POLLHUP | POLLNVAL;
            let truth = sim::with(|kernel| kernel.lasting_truth(file.fd)).expect("a kernel");
            let is_alone = file.readers.is_empty() && file.writers.is_empty();
            assert!(
                file.is_closed || !is_alone || truth & asked == 0,
                "{model:?} timed out beside {truth:#x}"
            );
        }
        Model::ShutDown { file, .. } => {
            let file = &world.files.borrow()[*file];
            let is_mine = file
                .writers
                .front()
                .map_or(false, |writer| writer.task == me);
            assert!(
                file.is_closed || !is_mine,
                "{model:?} timed out in its turn"
            );
        }
        Model::Sleep { time, .. } => {
            let is_over = now() >= world.tasks.borrow()[me].since.saturating_add(*time);
            assert!(!is_over, "{model:?} timed out when it was over");
        }
        Model::Ticks {
            period, made, last, ..
        } => {
            let passed = ((now() - *made).as_nanos() / period.as_nanos()) as u32;
            assert!(passed <= last.get(), "{model:?} timed out beside a tick");
        }
        Model::First { models, .. } => models
            .iter()
            .for_each(|model| assert_nothing_was_there(world, me, model, 0)),
        Model::Communicate { pipe, .. } => {
            let (last, exit) = last_exit(world, *pipe);
            let has_exited = exit.is_some_and(|(_, at)| at < now());
            let [_, stdout, stderr] = world.pipes.borrow()[*pipe].files;
            let has_ended = |file: FileId| world.is_its_turn(me, file) && was_hung_up(file);
            let have_ended = stdout.into_iter().chain(stderr).all(has_ended);
            assert!(
                !has_exited || !have_ended,
                "{model:?} timed out, and child {last} has ended and all it said"
            );
        }
        Model::ExitAll { pipe, .. } | Model::Stop { pipe, .. } => {
            let is_over = |(_, exit): &(u32, Exit)| exit.is_some_and(|(_, at)| at < now());
            let all = exits(world, *pipe);
            assert!(
                !all.iter().all(is_over),
                "{model:?} timed out, and all have exited: {all:?}"
            );
        }
        Model::Exit { pipe, .. } => {
            let (last, exit) = last_exit(world, *pipe);
            assert!(
                !exit.is_some_and(|(_, at)| at < now()),
                "{model:?} timed out, and child {last} has exited"
            );
        }
        _ => {}
    }
}
