//! Files: their handles, the scheduler they wait in, and what is left when they go.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

use asyncfile::{done, op, wait, AsyncFile, JoinHandle, Op, Scheduler, Task};

use crate::descriptors::{assert_names, guard, numbered_pipe, pipe, pipe_to, sockets, Test, ZERO};

#[test]
fn a_file_may_move_from_one_scheduler_to_another() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    writer.write_all(b"one\ntwo\n")?;
    assert_eq!(
        Scheduler::new().block_on(file.readline())?.as_deref(),
        Some(&b"one\n"[..])
    );
    assert_eq!(file.buffered(), 4, "what the first had read ahead");
    let mut second = Scheduler::new();
    assert_eq!(
        second.block_on(file.readline())?.as_deref(),
        Some(&b"two\n"[..])
    );
    let waiting = second.spawn(file.readline(), |task| done(task.line()?.is_none()));
    assert_eq!(second.turn(Some(ZERO))?, 1);
    drop((second, waiting));
    writer.write_all(b"three\n")?;
    assert_eq!(
        Scheduler::new().block_on(file.readline())?.as_deref(),
        Some(&b"three\n"[..])
    );
    Ok(())
}

#[test]
fn waiting_for_a_file_in_two_schedulers_at_once_is_an_error_at_once() -> Test {
    let _guard = guard();
    let (file, fd, mut writer) = numbered_pipe()?;
    let (mut first, mut second) = (Scheduler::new(), Scheduler::new());
    let reader = first.spawn(file.readline(), |task| {
        done(task.line()?.map(<[u8]>::to_vec))
    });
    assert_eq!(first.turn(Some(ZERO))?, 1);
    let error = second.block_on(file.readline()).unwrap_err();
    assert_names(&error, "readline", fd, "scheduler");
    writer.write_all(b"for the first\n")?;
    assert_eq!(
        first.join(reader)?.as_deref(),
        Some(&b"for the first\n"[..])
    );
    writer.write_all(b"for the second\n")?;
    assert_eq!(
        second.block_on(file.readline())?.as_deref(),
        Some(&b"for the second\n"[..])
    );
    Ok(())
}

#[test]
fn the_last_handle_gives_the_descriptor_back_with_what_was_read_ahead() -> Test {
    let _guard = guard();
    let (file, fd, mut writer) = numbered_pipe()?;
    writer.write_all(b"a line\nread ahead")?;
    Scheduler::new().block_on(file.readline())?;
    let (descriptor, rest) = file.into_inner().map_err(|_| "it is the only handle")?;
    assert_eq!((descriptor.as_raw_fd(), rest), (fd, b"read ahead".to_vec()));
    writer.write_all(b", and not")?;
    drop(writer);
    let mut after = Vec::new();
    std::fs::File::from(descriptor).read_to_end(&mut after)?;
    assert_eq!(after, b", and not");
    Ok(())
}

#[test]
fn a_descriptor_that_somebody_needs_is_not_given_back() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    let other_handle = file.clone();
    let file = file.into_inner().map(drop).unwrap_err();
    drop(other_handle);
    let mut sched = Scheduler::new();
    let reader = sched.spawn(file.readline(), |task| {
        done(task.line()?.map(<[u8]>::to_vec))
    });
    assert_eq!(sched.turn(Some(ZERO))?, 1);
    let file = file.into_inner().map(drop).unwrap_err();
    writer.write_all(b"a line\n")?;
    assert_eq!(
        sched.join(reader)?.as_deref(),
        Some(&b"a line\n"[..]),
        "the operation goes on"
    );
    let operation = file.readline();
    let file = file.into_inner().map(drop).unwrap_err();
    drop(operation);
    assert!(file.into_inner().is_ok());
    Ok(())
}

#[test]
fn all_handles_of_a_file_share_its_buffer() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    let other = file.clone();
    writer.write_all(b"one\ntwo\n")?;
    let mut sched = Scheduler::new();
    assert_eq!(
        sched.block_on(file.readline())?.as_deref(),
        Some(&b"one\n"[..])
    );
    assert_eq!(other.buffered(), 4);
    assert_eq!(
        sched.block_on(other.readline())?.as_deref(),
        Some(&b"two\n"[..])
    );
    Ok(())
}

#[test]
fn dropping_the_last_handle_closes_the_descriptor() -> Test {
    let (mut reader, file) = pipe_to()?;
    let other = file.clone();
    let mut sched = Scheduler::new();
    assert_eq!(sched.block_on(file.write("bytes"))?, 5);
    drop((file, other));
    let mut got = Vec::new();
    reader.read_to_end(&mut got)?;
    assert_eq!(got, b"bytes");
    Ok(())
}

#[test]
fn whatever_becomes_a_descriptor_becomes_a_file() -> Test {
    let _guard = guard();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = AsyncFile::new(TcpStream::connect(listener.local_addr()?)?)?;
    let server = AsyncFile::new(OwnedFd::from(listener.accept()?.0))?;
    let mut sched = Scheduler::new();
    sched.block_on(client.write("over tcp\n").full())?;
    assert_eq!(
        sched.block_on(server.readline())?.as_deref(),
        Some(&b"over tcp\n"[..])
    );

    let mut file = tempfile::tempfile()?;
    file.write_all(b"a regular file\n")?;
    std::io::Seek::rewind(&mut file)?;
    let file = AsyncFile::new(file)?;
    assert_eq!(
        sched.block_on(file.readline())?.as_deref(),
        Some(&b"a regular file\n"[..])
    );
    assert_eq!(sched.block_on(file.readline())?, None);
    Ok(())
}

#[test]
fn what_is_lent_may_be_written_to_the_same_file_while_the_next_line_waits() -> Test {
    let _guard = guard();
    let (file, mut peer) = sockets()?;
    peer.write_all(b"one\ntwo\n")?;
    peer.shutdown(std::net::Shutdown::Write)?;
    let mut writes = false;
    let mut sched = Scheduler::new();
    let echo = sched.spawn(file.readline(), |task| {
        writes = !writes;
        if !writes {
            task.ok()?;
            return wait(file.readline());
        }
        match task.line()? {
            Some(line) => wait(file.write(line).full()),
            None => done(file.close()),
        }
    });
    sched.join(echo)?;
    let mut got = Vec::new();
    peer.read_to_end(&mut got)?;
    assert_eq!(got, b"one\ntwo\n");
    Ok(())
}

#[test]
fn what_is_lent_stays_as_it_is_though_another_task_is_spawned_and_the_file_is_closed() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    writer.write_all(b"lent\nand more\n")?;
    let mut sched = Scheduler::new();
    let reader = sched.spawn(file.readline(), |task| {
        let line = task.line()?.unwrap();
        task.spawn(file.readline(), |task| done(task.line().is_err()));
        assert_eq!(line, b"lent\n");
        file.close();
        done(line.to_vec())
    });
    assert_eq!(sched.join(reader)?, b"lent\n");
    sched.run()?;
    Ok(())
}

#[test]
fn what_a_write_is_given_comes_in_many_shapes() -> Test {
    let _guard = guard();
    let (mut reader, file) = pipe_to()?;
    let (string, vec) = (String::from("string "), b"vec ".to_vec());
    let shared: std::rc::Rc<[u8]> = std::rc::Rc::from(&b"rc"[..]);
    let mut sched = Scheduler::new();
    for op in [
        file.write(b"array "),
        file.write(&b"slice "[..]),
        file.write("str "),
        file.write(&string),
        file.write(string.clone()),
        file.write(&vec),
        file.write(vec.clone()),
        file.write(shared.clone()),
    ] {
        sched.block_on(op.full())?;
    }
    file.close();
    let mut got = String::new();
    reader.read_to_string(&mut got)?;
    assert_eq!(got, "array slice str string string vec vec rc");
    Ok(())
}

#[test]
fn everything_here_stays_on_its_thread() {
    // Compiles for who is not Send only: with Send, the compiler could not choose between the two.
    trait Choice<Which> {
        fn unambiguous() {}
    }
    impl<T: ?Sized> Choice<()> for T {}
    impl<T: ?Sized + Send> Choice<u8> for T {}
    <AsyncFile as Choice<_>>::unambiguous();
    <Scheduler<'static> as Choice<_>>::unambiguous();
    <Task<'static, 'static> as Choice<_>>::unambiguous();
    <JoinHandle<()> as Choice<_>>::unambiguous();
    <Op as Choice<_>>::unambiguous();
    <op::Read as Choice<_>>::unambiguous();
    <op::Write as Choice<_>>::unambiguous();
}
