//! Descriptors that mislead a loop: gotchas 26, 28, 31, 34 and 35.

#![cfg(target_os = "linux")]

use std::cell::Cell;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::mem::size_of_val;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use asyncfile::{again, done, AsyncFile, AsyncPipe, End, OperationError, Scheduler};
use libc::{c_int, POLLERR};

use crate::descriptors::{guard, idle, ms, pattern, pipe_to, Fifo, Test, HOUR, ZERO};

// -------------------------------------------- 26. POLLERR, and EAGAIN: a socket's error queue

fn set_option(socket: &impl AsRawFd, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    let size = size_of_val(&value) as libc::socklen_t;
    let pointer = (&value as *const c_int).cast();
    // SAFETY: the pointer and the size are those of a live int.
    match unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, pointer, size) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Asks poll(2) for nothing, until it says ERR.
fn await_error(socket: &impl AsRawFd) {
    let mut set = libc::pollfd {
        fd: socket.as_raw_fd(),
        events: 0,
        revents: 0,
    };
    // SAFETY: the pointer is to one live entry.
    let answers = unsafe { libc::poll(&mut set, 1, 10_000) };
    assert_eq!((answers, set.revents), (1, POLLERR));
}

/// Takes one message out of a socket's error queue.
fn take_error(socket: &impl AsRawFd) -> bool {
    let mut control = [0_u64; 64];
    // SAFETY: all zeros is a message without parts.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    // SAFETY: the message has no parts, and its control buffer is live.
    unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, flags) >= 0 }
}

/// A socket, and its other handle, with something in its error queue and no SO_ERROR.
struct Queue {
    name: &'static str,
    file: AsyncFile,
    socket: OwnedFd,
    has_room: bool,
    /// What keeps the other end open.
    _peer: Option<TcpStream>,
}

fn refused(address: &str, level: c_int, option: c_int) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((address, 0))?;
    set_option(&socket, level, option, 1)?;
    let nobody = UdpSocket::bind((address, 0))?.local_addr()?;
    socket.send_to(b"ping", nobody)?; // ICMP says that nobody is there
    await_error(&socket);
    assert!(socket.take_error()?.is_some(), "SO_ERROR is taken");
    Ok(socket)
}

fn tcp() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    set_option(&listener, libc::SOL_SOCKET, libc::SO_RCVBUF, 1 << 16)?;
    let ours = TcpStream::connect(listener.local_addr()?)?;
    Ok((ours, listener.accept()?.0))
}

fn queues() -> Result<Vec<Queue>, Box<dyn std::error::Error>> {
    let mut queues = Vec::new();
    let mut add = |name, socket: OwnedFd, is_duplicate, has_room, peer| -> io::Result<()> {
        let other = socket.try_clone()?;
        let file = match is_duplicate {
            true => AsyncFile::duplicate(&socket)?,
            false => AsyncFile::new(socket)?,
        };
        queues.push(Queue {
            name,
            file,
            socket: other,
            has_room,
            _peer: peer,
        });
        Ok(())
    };
    for is_duplicate in [false, true] {
        let socket = refused("127.0.0.1", libc::SOL_IP, libc::IP_RECVERR)?;
        add("IP_RECVERR", socket.into(), is_duplicate, true, None)?;
        if let Ok(socket) = refused("::1", libc::SOL_IPV6, libc::IPV6_RECVERR) {
            add("IPV6_RECVERR", socket.into(), is_duplicate, true, None)?;
        }
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let flags = libc::SOF_TIMESTAMPING_TX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE;
        let name = libc::SO_TIMESTAMPING;
        set_option(&socket, libc::SOL_SOCKET, name, flags as c_int)?;
        let peer = UdpSocket::bind("127.0.0.1:0")?;
        socket.send_to(b"ping", peer.local_addr()?)?;
        await_error(&socket);
        add("SO_TIMESTAMPING", socket.into(), is_duplicate, true, None)?;
        let (mut socket, peer) = tcp()?;
        set_option(&socket, libc::SOL_SOCKET, libc::SO_ZEROCOPY, 1)?;
        set_option(&socket, libc::SOL_SOCKET, libc::SO_SNDBUF, 1 << 16)?;
        // SAFETY: the pointer and the length are those of a live array.
        let sent = unsafe {
            let flags = libc::MSG_ZEROCOPY;
            libc::send(socket.as_raw_fd(), [0_u8; 64].as_ptr().cast(), 64, flags)
        };
        assert_eq!(sent, 64);
        await_error(&socket);
        socket.set_nonblocking(true)?;
        while socket.write(&pattern(1 << 16)).is_ok() {}
        socket.set_nonblocking(false)?;
        add(
            "MSG_ZEROCOPY",
            socket.into(),
            is_duplicate,
            false,
            Some(peer),
        )?;
    }
    Ok(queues)
}

#[track_caller]
fn assert_says_so(error: &io::Error, operation: &str, name: &str) {
    assert_eq!(error.kind(), ErrorKind::Other, "{name}: {error}");
    assert!(error.to_string().contains("error queue"), "{name}: {error}");
    let carried = OperationError::of(error).expect("an operation has failed");
    assert_eq!(carried.operation(), operation, "{name}");
}

#[test]
fn an_error_queue_ends_each_reader_with_an_error_in_one_turn() -> Test {
    let _guard = guard();
    for queue in queues()? {
        let mut sched = Scheduler::new();
        for _ in 0..3 {
            let reader = sched.spawn(queue.file.read(100), |task| done(task.bytes().unwrap_err()));
            let mut turns = 0;
            while sched.turn(Some(ms(1)))? > 0 {
                turns += 1;
                assert!(turns <= 2, "{}: the reader spins", queue.name);
            }
            assert_says_so(&reader.take().unwrap()?, "read", queue.name);
        }
        let wait = queue.file.read(100).timeout(HOUR);
        assert_says_so(&sched.block_on(wait).unwrap_err(), "read", queue.name);
    }
    Ok(())
}

#[test]
fn an_error_queue_ends_each_writer_without_room_with_an_error_in_one_turn() -> Test {
    let _guard = guard();
    for queue in queues()?.into_iter().filter(|queue| !queue.has_room) {
        let mut sched = Scheduler::new();
        for _ in 0..3 {
            let write = queue.file.write(pattern(4 << 20)).full().timeout(HOUR);
            let writer = sched.spawn(write, |task| done(task.written().unwrap_err()));
            let mut turns = 0;
            while sched.turn(Some(ms(1)))? > 0 {
                turns += 1;
                assert!(turns <= 4, "{}: the writer spins", queue.name);
            }
            assert_says_so(&writer.take().unwrap()?, "write full", queue.name);
        }
    }
    Ok(())
}

#[test]
fn a_reader_goes_on_when_the_error_queue_was_emptied() -> Test {
    let _guard = guard();
    for queue in queues()?.into_iter().filter(|queue| queue.has_room) {
        let mut sched = Scheduler::new();
        assert!(sched.block_on(queue.file.read(100)).is_err());
        while take_error(&queue.socket) {}
        let reader = sched.spawn(queue.file.read(100), |task| done(task.bytes()?.to_vec()));
        let mut set = Vec::new();
        assert_eq!(idle(&mut sched, &mut set)?, None, "{}", queue.name);
        let socket = UdpSocket::from(queue.socket);
        let from = UdpSocket::bind((socket.local_addr()?.ip(), 0))?;
        from.send_to(b"pong", socket.local_addr()?)?;
        assert_eq!(sched.join(reader)?, b"pong", "{}", queue.name);
    }
    Ok(())
}

#[test]
fn bytes_come_before_what_is_in_the_error_queue() -> Test {
    let _guard = guard();
    for queue in queues()?.into_iter().filter(|queue| queue.has_room) {
        let socket = UdpSocket::from(queue.socket);
        let from = UdpSocket::bind((socket.local_addr()?.ip(), 0))?;
        from.send_to(b"pong", socket.local_addr()?)?;
        let mut sched = Scheduler::new();
        assert_eq!(sched.block_on(queue.file.read(100))?, b"pong");
        assert_says_so(
            &sched.block_on(queue.file.read(100)).unwrap_err(),
            "read",
            queue.name,
        );
    }
    Ok(())
}

#[test]
fn a_pending_error_is_reported_by_the_call_itself() -> Test {
    let _guard = guard();
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    set_option(&socket, libc::SOL_IP, libc::IP_RECVERR, 1)?;
    let nobody = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
    socket.send_to(b"ping", nobody)?;
    await_error(&socket);
    let error = Scheduler::new()
        .block_on(AsyncFile::new(socket)?.read(9))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    Ok(())
}

#[test]
fn bare_readiness_is_told_of_an_error_queue() -> Test {
    let _guard = guard();
    for queue in queues()? {
        let mut sched = Scheduler::new();
        sched.block_on(queue.file.readable().timeout(HOUR))?;
        sched.block_on(queue.file.writable().timeout(HOUR))?;
    }
    Ok(())
}

#[test]
fn a_child_is_not_fed_from_an_error_queue_for_ever() -> Test {
    let _guard = guard();
    // Message sockets feed no child: TCP is left.
    for queue in queues()?.into_iter().filter(|queue| !queue.has_room) {
        let cat = AsyncPipe::piped(Command::new("cat"))?;
        let talk = cat.communicate(queue.file).timeout(HOUR);
        let error = Scheduler::new().block_on(talk).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("communicate input: its error queue"),
            "{}: {error}",
            queue.name
        );
    }
    Ok(())
}

// --------------------------------------------------------- 28. S_IFREG does not mean "never waits"

/// What one reader of the kernel's log has taken, another one misses.
static ONE_READER: Mutex<()> = Mutex::new(());

/// The kernel's log, at its end: whoever reads it waits for the next message.
fn log(flags: c_int) -> Option<File> {
    let open = |flags| {
        let mut options = File::options();
        options.read(true).custom_flags(flags).open("/proc/kmsg")
    };
    let mut log = open(libc::O_NONBLOCK).ok()?; // a privilege
    while log.read(&mut [0; 1 << 16]).is_ok() {}
    open(flags).ok()
}

fn say(message: &str) -> io::Result<()> {
    let mut log = File::options().write(true).open("/dev/kmsg")?;
    log.write_all(message.as_bytes())
}

#[test]
fn a_file_that_waits_is_polled_whatever_its_mode_says() -> Test {
    let _guard = guard();
    let _one = ONE_READER.lock();
    for (flags, is_duplicate) in [(0, false), (0, true), (libc::O_NONBLOCK, false)] {
        let Some(log) = log(flags) else {
            return Ok(());
        };
        let file = match is_duplicate {
            true => AsyncFile::duplicate(&log)?,
            false => AsyncFile::new(log.try_clone()?)?,
        };
        let mut sched = Scheduler::new();
        let message = format!("asyncfile-test-{}-{is_duplicate}", std::process::id());
        let wanted = message.clone();
        let reader = sched.spawn(file.readline(), move |task| match task.line()? {
            Some(line) if String::from_utf8_lossy(line).contains(&wanted) => done(()),
            Some(_) => again(), // another's
            None => Err(ErrorKind::UnexpectedEof.into()),
        });
        // In a read(2) that waits, this turn would not end.
        assert_eq!(sched.turn(Some(ms(1)))?, 1);
        while !reader.is_finished() {
            say(&message)?; // the log is everybody's: another process may have taken the last one
            sched.turn(Some(ms(100)))?;
        }
        reader.take().unwrap()?;
    }
    Ok(())
}

#[test]
fn what_is_always_ready_in_proc_and_sys_is_read_to_its_end() -> Test {
    let _guard = guard();
    let paths = [
        "/proc/self/status",
        "/proc/self/maps",
        "/proc/mounts",
        "/proc/self/mountinfo",
        "/proc/sys/kernel/hostname",
        "/proc/sys/kernel/ostype",
        "/proc/pressure/cpu",
        "/sys/class/net/lo/operstate",
        "/sys/kernel/mm/transparent_hugepage/enabled",
        "/sys/devices/system/cpu/online",
        "/sys/fs/cgroup/cgroup.events",
        "/sys/fs/cgroup/unified/cgroup.controllers",
    ];
    let mut seen = 0;
    for path in paths {
        let Ok(file) = File::open(path) else { continue };
        seen += 1;
        for is_duplicate in [false, true] {
            let file = match is_duplicate {
                true => AsyncFile::duplicate(&file)?,
                false => AsyncFile::new(File::open(path)?)?,
            };
            let lines = Cell::new(0);
            let mut sched = Scheduler::new();
            let reader = sched.spawn(file.readline(), |task| match task.line()? {
                Some(_) => {
                    lines.set(lines.get() + 1);
                    again()
                }
                None => done(task.end()),
            });
            let mut turns = 0;
            while sched.turn(None)? > 0 {
                turns += 1;
                assert!(turns < 1000, "{path}: the loop spins");
            }
            assert_eq!(reader.take().unwrap()?, End::Eof, "{path}");
            let expected = std::fs::read_to_string(path)?.lines().count();
            if path != "/proc/self/maps" {
                assert_eq!(lines.get(), expected, "{path}");
            }
        }
    }
    assert!(seen >= 6);
    Ok(())
}

#[test]
fn a_file_in_proc_is_written_as_ever() -> Test {
    let _guard = guard();
    let path = "/proc/self/comm";
    let open = || File::options().write(true).open(path);
    let mut sched = Scheduler::new();
    let file = AsyncFile::new(open()?)?;
    assert_eq!(sched.block_on(file.write("by new"))?, 6);
    let other = open()?;
    let file = AsyncFile::duplicate(&other)?;
    assert_eq!(sched.block_on(file.write("by duplicate"))?, 12);
    Ok(())
}

type Feeder<'a> = Box<dyn Fn() -> io::Result<()> + 'a>;

#[test]
fn a_child_is_fed_from_a_file_that_has_nothing_yet() -> Test {
    let _guard = guard();
    let _one = ONE_READER.lock();
    let fifo = Fifo::new()?;
    let nonblocking = fifo.reader()?;
    let is_written = Cell::new(false);
    let write = || match is_written.replace(true) {
        true => Ok(()),
        false => fifo.writer()?.write_all(b"hello\n"),
    };
    let fifo = (nonblocking, Box::new(write) as Feeder);
    let log = log(libc::O_NONBLOCK);
    let log = log.map(|log| (log, Box::new(|| say("hello")) as Feeder));
    for (file, write) in [fifo].into_iter().chain(log) {
        let head = AsyncPipe::piped(Command::new("head").args(["-n", "1"]))?;
        let mut sched = Scheduler::new();
        let fed = sched.spawn(head.communicate(file), |task| done(task.output()?.stdout));
        assert_eq!(sched.turn(Some(ms(1)))?, 1);
        while !fed.is_finished() {
            write()?;
            sched.turn(Some(ms(100)))?;
        }
        assert!(fed.take().unwrap()?.ends_with(b"\n"));
    }
    Ok(())
}

// --------------------------------------- 31. After EAGAIN a timeout of zero still makes the call

#[test]
fn a_write_with_a_timeout_of_zero_is_tried_where_pollout_says_nothing() -> Test {
    let _guard = guard();
    for is_duplicate in [false, true] {
        for full in [false, true] {
            let (ours, theirs) = UnixDatagram::pair()?;
            let file = match is_duplicate {
                true => AsyncFile::duplicate(&ours)?,
                false => AsyncFile::new(ours)?,
            };
            let write = || match full {
                true => file.write("x").full().timeout(ZERO),
                false => file.write("x").timeout(ZERO),
            };
            let mut sched = Scheduler::new();
            while sched.block_on(write()).is_ok() {}
            for _ in 0..10 {
                theirs.recv(&mut [0; 8])?;
            }
            // POLLOUT comes when three quarters are free.
            for nth in 0..10 {
                assert_eq!(sched.block_on(write())?, 1, "write {nth} of 10");
            }
            let error = sched.block_on(write()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
        }
    }
    Ok(())
}

#[test]
fn a_write_that_has_waited_is_tried_once_more_at_its_deadline() -> Test {
    let _guard = guard();
    let (ours, theirs) = UnixDatagram::pair()?;
    let file = AsyncFile::new(ours)?;
    let mut sched = Scheduler::new();
    while sched.block_on(file.write("x").timeout(ZERO)).is_ok() {}
    let write = file.write("x").timeout(ms(20));
    let writer = sched.spawn(write, |task| done(task.written()?));
    assert_eq!(sched.turn(Some(ZERO))?, 1);
    theirs.recv(&mut [0; 8])?;
    assert_eq!(sched.join(writer)?, 1);
    Ok(())
}

#[test]
fn a_pipe_that_has_a_page_of_room_again_takes_a_write_with_a_timeout_of_zero() -> Test {
    let _guard = guard();
    let (mut reader, file) = pipe_to()?;
    let mut sched = Scheduler::new();
    while sched
        .block_on(file.write(pattern(4096)).timeout(ZERO))
        .is_ok()
    {}
    reader.read_exact(&mut [0; 4096])?;
    assert_eq!(sched.block_on(file.write("x").timeout(ZERO))?, 1);
    Ok(())
}

#[test]
fn a_read_with_a_timeout_of_zero_has_what_pollin_does_not_tell_of() -> Test {
    let _guard = guard();
    let (ours, mut theirs) = tcp()?;
    set_option(&ours, libc::SOL_SOCKET, libc::SO_RCVLOWAT, 100)?;
    let file = AsyncFile::new(ours)?;
    let mut sched = Scheduler::new();
    let read = || file.read(100).timeout(ZERO);
    assert_eq!(
        sched.block_on(read()).unwrap_err().kind(),
        ErrorKind::TimedOut
    );
    theirs.write_all(b"few")?;
    let mut come = Vec::new();
    while come.len() < 3 {
        match sched.block_on(read()) {
            Ok(bytes) => come.extend(bytes),
            Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut), // on its way
        }
    }
    assert_eq!(come, b"few");
    Ok(())
}

#[test]
fn a_fifo_without_writer_is_not_at_its_end_for_a_timeout_of_zero() -> Test {
    let _guard = guard();
    let fifo = Fifo::new()?;
    let file = AsyncFile::new(fifo.reader()?)?;
    let error = Scheduler::new()
        .block_on(file.read(1).timeout(ZERO))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    Ok(())
}

// ------------------------------------------------------ 34. Read-ahead throws descriptors away

/// Sends a byte, and this descriptor with it.
fn pass(socket: &UnixStream, descriptor: &impl AsRawFd) -> io::Result<()> {
    let mut control = [0_u64; 4];
    let mut byte = [b'x'];
    let mut part = one_part(&mut byte);
    let message = message(&mut part, &mut control);
    // SAFETY: the control buffer has room for one descriptor, and everything is live.
    unsafe {
        let head = libc::CMSG_FIRSTHDR(&message);
        (*head).cmsg_level = libc::SOL_SOCKET;
        (*head).cmsg_type = libc::SCM_RIGHTS;
        (*head).cmsg_len = libc::CMSG_LEN(4) as _;
        *libc::CMSG_DATA(head).cast::<c_int>() = descriptor.as_raw_fd();
        match libc::sendmsg(socket.as_raw_fd(), &message, 0) {
            1 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Takes one byte, and says whether a descriptor came with it. None: there is no byte.
fn take_passed(socket: &UnixStream) -> Option<bool> {
    let mut control = [0_u64; 4];
    let mut byte = [0];
    let mut part = one_part(&mut byte);
    let mut message = message(&mut part, &mut control);
    // SAFETY: everything is live. What comes is closed.
    unsafe {
        if libc::recvmsg(socket.as_raw_fd(), &mut message, libc::MSG_DONTWAIT) != 1 {
            return None;
        }
        let head = libc::CMSG_FIRSTHDR(&message);
        let has_come = !head.is_null();
        if has_come {
            libc::close(*libc::CMSG_DATA(head).cast::<c_int>());
        }
        Some(has_come)
    }
}

fn one_part(byte: &mut [u8; 1]) -> libc::iovec {
    libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    }
}

fn message(part: &mut libc::iovec, control: &mut [u64; 4]) -> libc::msghdr {
    // SAFETY: all zeros is a message without parts.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (part, 1);
    message.msg_control = control.as_mut_ptr().cast();
    // SAFETY: takes a number.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(4) } as _;
    message
}

#[test]
fn what_is_passed_behind_a_line_is_kept_with_a_size_hint_of_1() -> Test {
    let _guard = guard();
    for (hint, expected) in [(0, None), (1, Some(true))] {
        let (ours, mut theirs) = UnixStream::pair()?;
        let file = AsyncFile::duplicate(&ours)?;
        let mut sched = Scheduler::new();
        theirs.write_all(b"a descriptor follows\n")?;
        pass(&theirs, &theirs)?;
        theirs.write_all(b"and a line\n")?;
        let line = sched.block_on(file.readline().size_hint(hint))?;
        assert_eq!(line.unwrap(), b"a descriptor follows\n");
        if expected.is_some() {
            assert_eq!(file.buffered(), 0);
            assert_eq!(take_passed(&ours), expected);
            let line = sched.block_on(file.readline().size_hint(hint))?;
            assert_eq!(line.unwrap(), b"and a line\n");
        } else {
            assert!(file.buffered() > 0, "the descriptor's byte was read ahead");
        }
    }
    Ok(())
}

#[test]
fn what_is_passed_with_a_line_is_lost() -> Test {
    let _guard = guard();
    let (ours, mut theirs) = UnixStream::pair()?;
    let file = AsyncFile::duplicate(&ours)?;
    pass(&theirs, &theirs)?;
    theirs.write_all(b"\n")?;
    let line = Scheduler::new().block_on(file.readline().size_hint(1))?;
    assert_eq!(line.unwrap(), b"x\n");
    assert_eq!(take_passed(&ours), None);
    Ok(())
}

// ------------------------------------------- 35. A FIFO's end is not for ever: it is opened O_RDWR

#[test]
fn a_fifo_that_is_opened_to_be_written_as_well_has_no_end_between_two_writers() -> Test {
    let _guard = guard();
    let fifo = Fifo::new()?;
    let both = File::options().read(true).write(true).open(fifo.path())?;
    let file = AsyncFile::new(both)?;
    let mut sched = Scheduler::new();
    for line in ["first writer\n", "second writer\n"] {
        fifo.writer()?.write_all(line.as_bytes())?;
        let read = sched.block_on(file.readline())?;
        assert_eq!(read.as_deref(), Some(line.as_bytes()));
        let reader = sched.spawn(file.readline().timeout(Duration::MAX), |task| {
            done(task.line()?.is_none())
        });
        let mut set = Vec::new();
        assert_eq!(idle(&mut sched, &mut set)?, None, "it waits");
        assert_eq!(set.len(), 1);
        reader.cancel();
    }
    Ok(())
}
