//! What operations show of themselves, what their clones do, and what becomes of a wait whose
//! descriptor was closed behind the library's back and is another file's now.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;

use asyncfile::{
    again, channel, done, first, never, queue, sleep, ticks, yield_now, AsyncFile, AsyncPipe, Op,
    OperationError, Scheduler, Sender, TaskError,
};

mod support;
use support::{pipe, settle, socketpair, turn_until, LONG, SHORT};

type Test = Result<(), Box<dyn std::error::Error>>;

fn file() -> (AsyncFile, OwnedFd) {
    let (ours, theirs) = socketpair();
    (AsyncFile::new(ours).expect("a socket"), theirs)
}

/// A child that ends when its stdin does.
fn cat() -> AsyncPipe {
    AsyncPipe::piped(Command::new("cat")).expect("cat")
}

#[test]
fn every_operation_is_shown_on_one_line_that_begins_with_its_name() -> Test {
    let (file, _other) = file();
    let pipe = cat();
    let fd = file.as_raw_fd();
    let numbers = queue::<u8>(1);
    let mut sched = Scheduler::new();
    let task = sched.spawn(never(), |task| done(task.ok()?));
    let on_file: Vec<(&str, Op)> = vec![
        ("read", file.read(3).into()),
        ("read full", file.read(3).full().into()),
        ("read_exact", file.read_exact(3).into()),
        ("peek", file.peek(3).into()),
        ("read_to_end", file.read_to_end().into()),
        ("readline", file.readline().into()),
        ("readlines", file.readlines().into()),
        ("write", file.write("abc").into()),
        ("write full", file.write("abc").full().into()),
        ("write_all", file.write_all("abc").into()),
        ("readable", file.readable().into()),
        ("writable", file.writable().into()),
        ("readiness", file.readiness(libc::POLLIN).into()),
        ("shutdown_write", file.shutdown_write().into()),
    ];
    let other: Vec<(&str, Op)> = vec![
        ("sleep", sleep(LONG).into()),
        ("yield_now", yield_now().into()),
        ("ticks", ticks(LONG).into()),
        ("first", first([sleep(LONG)]).into()),
        ("communicate", pipe.communicate("abc").into()),
        ("exit", pipe.exit().into()),
        ("exit_all", pipe.exit_all().into()),
        ("stop", pipe.stop(LONG).into()),
        ("join", task.finished().into()),
        ("ready", numbers.ready().into()),
    ];
    for (name, op) in &on_file {
        let shown = format!("{op:?}");
        assert!(shown.contains(&format!("fd {fd}")), "{name}: {shown}");
    }
    for (name, op) in on_file.iter().chain(&other) {
        let shown = format!("{op:?}");
        assert!(shown.starts_with(name), "{name}: {shown}");
        assert!(!shown.contains('\n'), "{name}: {shown}");
    }
    Ok(())
}

#[test]
fn the_types_of_operations_are_shown_as_the_operations_are() -> Test {
    let (file, _other) = file();
    let pipe = cat();
    macro_rules! shown_alike {
        ($($op:expr),* $(,)?) => {
            $(assert_eq!(format!("{:?}", $op), format!("{:?}", Op::from($op)));)*
        };
    }
    shown_alike!(
        file.read(3),
        file.readline(),
        file.readlines(),
        file.read_to_end(),
        file.write("abc"),
        file.readable(),
        file.readiness(libc::POLLOUT),
        file.shutdown_write(),
        sleep(LONG),
        yield_now(),
        pipe.exit(),
        pipe.exit_all(),
        pipe.stop(LONG),
    );
    Ok(())
}

#[test]
fn streams_that_were_not_piped_and_ends_of_a_channel_are_shown() -> Test {
    let pipe = AsyncPipe::spawn(Command::new("true"))?;
    let shown = [
        (format!("{:?}", pipe.write("x")), "stdin"),
        (format!("{:?}", pipe.readline()), "stdout"),
        (format!("{:?}", pipe.readline_stderr()), "stderr"),
    ];
    for (shown, stream) in shown {
        assert!(shown.contains(&format!("{stream} (not piped)")), "{shown}");
    }
    let (sender, receiver) = channel::<u8>();
    let _second: Sender<u8> = sender.clone();
    assert_eq!(format!("{sender:?}"), "Sender");
    assert_eq!(format!("{receiver:?}"), "Receiver (2 senders)");
    Ok(())
}

#[test]
fn a_clone_waits_by_itself_and_has_the_timeout() -> Test {
    let (file, other) = file();
    let pipe = cat();
    let numbers = queue::<u8>(1);
    let mut sched = Scheduler::new();
    let target = sched.spawn(never(), |task| done(task.ok()?));
    macro_rules! both_time_out {
        ($($name:expr => $op:expr),* $(,)?) => {
            $({
                let op = $op.timeout(SHORT);
                let copy = op.clone();
                for op in [Op::from(op), Op::from(copy)] {
                    let task = sched.spawn(op, |task| done(task.end()));
                    assert_eq!(sched.join(task)?, asyncfile::End::TimedOut, "{}", $name);
                }
            })*
        };
    }
    both_time_out!(
        "exit" => pipe.exit(),
        "exit_all" => pipe.exit_all(),
        "join" => target.finished(),
        "readable" => file.readable(),
        "readiness" => file.readiness(libc::POLLIN),
        "queue" => numbers.ready(),
    );
    // Another clone, without a timeout, ends with what it waits for.
    let exit = pipe.exit();
    let waits: Vec<_> = [exit.clone(), exit]
        .into_iter()
        .map(|exit| sched.spawn(exit, |task| done(task.exit()?.success())))
        .collect();
    settle(&mut sched);
    pipe.close_stdin();
    for wait in waits {
        assert!(sched.join(wait)?);
    }
    let half_close = file.shutdown_write();
    sched.block_on(half_close.clone())?;
    sched.block_on(half_close)?; // shutdown(2) is idempotent
    let other = AsyncFile::new(other)?;
    assert_eq!(sched.block_on(other.readline())?, None);
    Ok(())
}

#[test]
fn a_join_of_another_schedulers_task_fails_and_names_it() -> Test {
    let mut one = Scheduler::new();
    let mut two = Scheduler::new();
    let theirs = one.spawn(never(), |task| done(task.ok()?));
    let finished = theirs.finished();
    let error = two
        .block_on(finished)
        .expect_err("it is another scheduler's");
    assert_eq!(
        OperationError::of(&error).map(OperationError::operation),
        Some("join")
    );
    let error = two.join(theirs).expect_err("it is another scheduler's");
    assert!(error.to_string().contains("another scheduler's"), "{error}");
    let ours = two.spawn(yield_now(), |_task| done(1));
    two.run()?;
    assert_eq!(ours.take().expect("it has ended")?, 1);
    match two.join(ours) {
        Err(TaskError::Failed(error)) => {
            assert!(error.to_string().contains("taken before"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    Ok(())
}

/// Closes the only descriptor in the scheduler's poll set, as a program does that closes a number
/// by mistake, and gives the number to a pipe's reading end. Returns both ends.
fn take_number(sched: &mut Scheduler<'_>) -> (AsyncFile, OwnedFd) {
    let mut set = Vec::new();
    sched.pollfds(&mut set);
    assert_eq!(set.len(), 1, "one wait");
    let number = set[0].fd;
    let (reader, writer) = pipe();
    // SAFETY: dup2 closes the number, which is what this test is about, and opens it again.
    let reader = unsafe {
        assert_eq!(libc::dup2(reader.as_raw_fd(), number), number);
        OwnedFd::from_raw_fd(number)
    };
    (AsyncFile::new(reader).expect("a pipe"), writer)
}

#[test]
fn a_reader_whose_number_is_another_files_fails_and_takes_nothing_of_it() -> Test {
    let (ours, _theirs) = file();
    let mut sched = Scheduler::new();
    let lost = sched.spawn(ours.readline(), |task| {
        done(task.line()?.map(<[u8]>::to_vec))
    });
    settle(&mut sched);
    let (file, writer) = take_number(&mut sched);
    let line = sched.spawn(file.readline(), |task| {
        done(task.line()?.map(<[u8]>::to_vec))
    });
    turn_until(&mut sched, || lost.is_finished());
    match sched.join(lost) {
        Err(TaskError::Failed(error)) => {
            let errno = OperationError::of(&error).and_then(OperationError::raw_os_error);
            assert_eq!(errno, Some(libc::EBADF), "{error}");
        }
        other => panic!("{other:?}"),
    }
    drop(ours); // does not close the number, which is another file's
    std::io::Write::write_all(&mut std::fs::File::from(writer), b"one\n")?;
    assert_eq!(sched.join(line)?.as_deref(), Some(&b"one\n"[..]));
    Ok(())
}

#[test]
fn an_exit_goes_on_when_its_pidfd_has_become_another_file() -> Test {
    let pipe = cat();
    let mut sched = Scheduler::new();
    let exit = sched.spawn(pipe.exit(), |task| done(task.exit()?.success()));
    settle(&mut sched);
    let (file, writer) = take_number(&mut sched);
    let line = sched.spawn(file.readline(), |task| match task.line()? {
        Some(line) => done(line.to_vec()),
        None => again(),
    });
    settle(&mut sched);
    pipe.close_stdin();
    assert!(
        sched.join(exit)?,
        "the child's end is noticed without the pidfd"
    );
    std::io::Write::write_all(&mut std::fs::File::from(writer), b"one\n")?;
    assert_eq!(
        sched.join(line)?,
        b"one\n",
        "and the other file is nobody else's"
    );
    Ok(())
}

#[test]
fn a_wake_pipe_whose_number_is_another_files_is_reported_and_the_file_is_left_alone() -> Test {
    let mut sched = Scheduler::new();
    let (sender, receiver) = channel::<u8>();
    let wait = sched.spawn(receiver.ready(), move |task| {
        task.ok()?;
        done(receiver.try_recv().is_ok())
    });
    settle(&mut sched);
    let (file, writer) = take_number(&mut sched);
    let line = sched.spawn(file.readline(), |task| match task.line()? {
        Some(line) => done(line.to_vec()),
        None => again(),
    });
    let error = loop {
        match sched.turn(Some(SHORT)) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("wake"), "{error}");
    std::io::Write::write_all(&mut std::fs::File::from(writer), b"one\n")?;
    assert_eq!(sched.join(line)?, b"one\n");
    sender.send(1).expect("the receiver lives");
    wait.cancel();
    Ok(())
}
