//! What communicate can feed: nothing, bytes, a File, an AsyncFile. Gotcha 15.

use std::fs::File;
use std::io::{ErrorKind, Seek, SeekFrom};
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;

use asyncfile::op::Input;
use asyncfile::{done, AsyncFile, Scheduler};

use crate::help::{
    assert_output, assert_pattern, cat, failure, pattern, spawn, spawn_with_stderr, Gate,
};
use crate::support::{kind, pipe, put, regular, socketpair, turn_until, watchdog};

#[track_caller]
fn assert_echoes(input: impl Into<Input>, expected: &str) {
    let output = Scheduler::new().block_on(cat().communicate(input)).unwrap();
    assert_output(&output, 0, expected, "");
}

// --------------------------------- 15. stdin is closed when the input ends, also when it was empty

#[test]
fn stdin_is_closed_after_an_input_that_is_absent_or_empty() {
    let _watchdog = watchdog();
    assert_echoes((), "");
    assert_echoes("", "");
    assert_echoes(b"", "");
    assert_echoes(Vec::new(), "");
    assert_echoes(regular(b""), "");
    let (reader, writer) = pipe();
    drop(writer);
    assert_echoes(AsyncFile::new(reader).unwrap(), "");
}

#[test]
fn stdin_is_closed_as_soon_as_the_input_has_ended_while_the_child_lives_on() {
    let _watchdog = watchdog();
    let gate = Gate::new();
    let pipe = spawn(&format!("cat; read line < {gate}; echo $line"));
    let stdin = pipe.stdin().unwrap().clone();
    let mut sched = Scheduler::new();
    let task = sched.spawn(pipe.communicate("in, "), |task| done(task.output()?));
    // It comes to the gate when it has read its stdin to the end.
    let gate = gate.reached(&mut sched);
    assert_eq!(
        kind(sched.block_on(stdin.write("more"))),
        ErrorKind::NotConnected
    );
    put(&gate, b"out\n");
    assert_output(&sched.join(task).unwrap(), 0, "in, out\n", "");
}

// ------------------------------------------------------------------ bytes

#[test]
#[allow(
    clippy::needless_borrows_for_generic_args,
    reason = "borrowed bytes are a kind of their own"
)]
fn every_kind_of_bytes_is_fed() {
    let _watchdog = watchdog();
    assert_echoes(&b"slice"[..], "slice");
    assert_echoes(b"array", "array");
    assert_echoes(&b"vector, borrowed".to_vec(), "vector, borrowed");
    assert_echoes(b"vector".to_vec(), "vector");
    assert_echoes("text", "text");
    assert_echoes(&String::from("string, borrowed"), "string, borrowed");
    assert_echoes(String::from("string"), "string");
    assert_echoes(Rc::<[u8]>::from(&b"shared"[..]), "shared");
}

// ------------------------------------------------------------------ a File

#[test]
fn a_file_is_fed_from_its_current_position() {
    let _watchdog = watchdog();
    let mut file = regular(b"0123456789");
    file.seek(SeekFrom::Start(4)).unwrap();
    assert_echoes(file, "456789");
    let mut file = regular(b"0123456789");
    file.seek(SeekFrom::End(0)).unwrap();
    assert_echoes(file, "");
}

#[test]
fn a_large_file_is_fed_whole_and_its_position_moves_along() {
    let _watchdog = watchdog();
    let content = pattern(3_000_000);
    let file = regular(&content);
    let mut same = file.try_clone().unwrap();
    let output = Scheduler::new().block_on(cat().communicate(file)).unwrap();
    assert_pattern(&output.stdout, content.len());
    assert_eq!(same.stream_position().unwrap(), content.len() as u64);
}

/// wc says nothing before its end of file: nothing but the end of the input can bring the
/// communicate there.
#[test]
fn the_end_of_a_file_is_found_whatever_its_length_and_without_a_word_from_the_child() {
    let _watchdog = watchdog();
    for len in [
        0, 1, 4095, 4096, 65_535, 65_536, 65_537, 69_632, 69_633, 131_072, 262_144, 262_145,
        1_000_000,
    ] {
        let output = Scheduler::new()
            .block_on(spawn("wc -c").communicate(regular(&pattern(len))))
            .unwrap();
        assert_output(&output, 0, &format!("{len}\n"), "");
        let async_file = AsyncFile::new(regular(&pattern(len))).unwrap();
        let output = Scheduler::new()
            .block_on(spawn("wc -c").communicate(async_file))
            .unwrap();
        assert_output(&output, 0, &format!("{len}\n"), "");
    }
}

#[test]
fn a_file_is_read_in_bounded_pieces_and_no_further_than_the_child_reads() {
    let _watchdog = watchdog();
    let file = regular(&pattern(3_000_000));
    let mut same = file.try_clone().unwrap();
    let output = Scheduler::new()
        .block_on(spawn("head -c 10").communicate(file))
        .unwrap();
    assert_pattern(&output.stdout, 10);
    assert!(
        same.stream_position().unwrap() < 1_000_000,
        "more than the pipe and a piece were read"
    );
}

#[test]
fn a_file_that_is_a_pipe_or_an_endless_device_is_fed_like_an_async_file() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    put(&writer, b"through a pipe");
    drop(writer);
    assert_echoes(File::from(reader), "through a pipe");

    let zeros = File::open("/dev/zero").unwrap();
    let output = Scheduler::new()
        .block_on(spawn("head -c 300000 | wc -c").communicate(zeros))
        .unwrap();
    assert_output(&output, 0, "300000\n", "");
}

#[test]
fn a_file_that_cannot_be_read_fails_the_communicate_and_the_child_can_still_be_ended() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let unreadable = [
        (File::open(dir.path()).unwrap(), "Is a directory"),
        (
            File::create(dir.path().join("write-only")).unwrap(),
            "Bad file descriptor",
        ),
    ];
    for (file, cause) in unreadable {
        let pipe = cat();
        let mut sched = Scheduler::new();
        let error = sched.block_on(pipe.communicate(file)).unwrap_err();
        assert!(
            error.to_string().starts_with("communicate input: "),
            "{error}"
        );
        assert!(error.to_string().contains(cause), "{error}");
        pipe.close_stdin();
        assert_output(&sched.block_on(pipe.communicate(())).unwrap(), 0, "", "");
    }
}

// ------------------------------------------------------------------ an AsyncFile

#[test]
fn what_an_async_file_has_left_over_is_fed_first() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    put(&writer, b"a header\nleft over, ");
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    assert_eq!(
        sched.block_on(file.readline()).unwrap().unwrap(),
        b"a header\n"
    );
    assert_eq!(file.buffered(), 11);
    put(&writer, b"and the rest");
    drop(writer);
    let output = sched.block_on(cat().communicate(file)).unwrap();
    assert_output(&output, 0, "left over, and the rest", "");
}

#[test]
fn an_async_file_is_fed_as_it_comes_and_all_of_it() {
    let _watchdog = watchdog();
    let (reader, writer) = socketpair();
    let pipe = cat();
    let mut sched = Scheduler::new();
    let task = sched.spawn(pipe.communicate(AsyncFile::new(reader).unwrap()), |task| {
        done(task.output()?)
    });
    for letter in [b"a", b"b", b"c"] {
        put(&writer, letter);
        // It has come through when it has come back.
        let seen = pipe.stdout().unwrap().buffered();
        turn_until(&mut sched, || pipe.stdout().unwrap().buffered() > seen);
    }
    drop(writer);
    assert_output(&sched.join(task).unwrap(), 0, "abc", "");
}

#[test]
fn a_silent_input_does_not_hold_up_a_child_that_ends() {
    let _watchdog = watchdog();
    let (reader, _silent) = pipe();
    let pipe = spawn("exit 6");
    let output = Scheduler::new()
        .block_on(pipe.communicate(AsyncFile::new(reader).unwrap()))
        .unwrap();
    assert_output(&output, 6, "", "");
}

#[test]
fn the_copying_of_a_silent_input_ends_when_the_child_stops_reading_and_lives_on() {
    let _watchdog = watchdog();
    let (reader, _silent) = pipe();
    let gate = Gate::new();
    let pipe = spawn(&format!("exec <&-; read line < {gate}; echo $line"));
    let mut file = Some(AsyncFile::new(reader).unwrap());
    let mut sched = Scheduler::new();
    let task = sched.spawn(pipe.communicate(file.clone().unwrap()), |task| {
        done(task.output()?)
    });
    // The file has one handle again when the copying has ended.
    turn_until(&mut sched, || {
        match file.take().map(AsyncFile::into_inner) {
            Some(Ok(_)) => true,
            Some(Err(still_used)) => {
                file = Some(still_used);
                false
            }
            None => unreachable!(),
        }
    });
    put(&gate.reached(&mut sched), b"released\n");
    assert_output(&sched.join(task).unwrap(), 0, "released\n", "");
}

#[test]
fn an_endless_input_ends_with_the_child() {
    let _watchdog = watchdog();
    let zeros = AsyncFile::new(File::open("/dev/zero").unwrap()).unwrap();
    let output = Scheduler::new()
        .block_on(spawn("head -c 300000 | wc -c").communicate(zeros))
        .unwrap();
    assert_output(&output, 0, "300000\n", "");
}

#[test]
fn other_tasks_go_on_beside_an_endless_input() {
    let _watchdog = watchdog();
    let zeros = AsyncFile::new(File::open("/dev/zero").unwrap()).unwrap();
    let pipe = spawn("cat > /dev/null");
    let mut sched = Scheduler::new();
    let endless = sched.spawn(pipe.communicate(zeros), |task| done(task.output()?));
    let mut ticks = 0;
    let ticker = sched.spawn(asyncfile::yield_now(), move |task| {
        task.ok()?;
        ticks += 1;
        match ticks {
            100 => done(()),
            _ => asyncfile::wait(asyncfile::yield_now()),
        }
    });
    sched.join(ticker).unwrap();
    pipe.kill().unwrap();
    assert_output(&sched.join(endless).unwrap(), -9, "", "");
}

/// poll(2) says that nobody reads from the pipe.
fn has_no_reader(writer: RawFd) -> bool {
    let mut set = libc::pollfd {
        fd: writer,
        events: 0,
        revents: 0,
    };
    // SAFETY: the pointer is to one live entry.
    unsafe { libc::poll(&mut set, 1, 0) == 1 }
}

#[test]
fn what_the_child_does_not_take_stays_in_the_async_file() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    put(&writer, b"a line\nanother\n");
    let file = AsyncFile::new(reader).unwrap();
    let pipe = spawn("exec <&-; echo closed");
    let mut sched = Scheduler::new();
    sched.block_on(file.readline()).unwrap();
    sched.block_on(pipe.readline()).unwrap();
    // A child that another test's thread starts has a copy of the reading end until its exec.
    let stdin = pipe.stdin().unwrap().as_raw_fd();
    turn_until(&mut sched, || has_no_reader(stdin));
    let output = sched.block_on(pipe.communicate(file.clone())).unwrap();
    assert!(output.status.success());
    assert_eq!(
        sched.block_on(file.readline()).unwrap().unwrap(),
        b"another\n"
    );
}

#[test]
fn another_reader_of_the_input_keeps_its_place_before_the_communicate() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    let line = sched.spawn(file.readline(), |task| done(task.line()?.unwrap().to_vec()));
    let output = sched.spawn(cat().communicate(file), |task| done(task.output()?));
    put(&writer, b"for the reader\nfor ");
    put(&writer, b"the child");
    drop(writer);
    assert_output(&sched.join(output).unwrap(), 0, "for the child", "");
    assert_eq!(sched.join(line).unwrap(), b"for the reader\n");
}

#[test]
fn one_childs_stdout_is_anothers_input() {
    let _watchdog = watchdog();
    let (source, sink) = (
        spawn("head -c 2000000 /dev/zero"),
        spawn_with_stderr("wc -c"),
    );
    let mut sched = Scheduler::new();
    let output = sched
        .block_on(sink.communicate(source.stdout().unwrap().clone()))
        .unwrap();
    assert_output(&output, 0, "2000000\n", "");
    assert!(sched.block_on(source.exit()).unwrap().success());
}

#[test]
fn a_pipe_that_would_feed_itself_is_invalid_input() {
    let _watchdog = watchdog();
    let pipe = cat();
    let mut sched = Scheduler::new();
    let own = [
        pipe.stdin().unwrap().clone(),
        pipe.stdout().unwrap().clone(),
    ];
    for file in own {
        let (error, _) = failure(&mut sched, pipe.communicate(file));
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    assert_output(
        &sched
            .block_on(pipe.communicate("nothing was lost"))
            .unwrap(),
        0,
        "nothing was lost",
        "",
    );
}

#[test]
fn an_input_that_is_closed_or_is_closed_meanwhile_is_an_error_that_says_so() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let (reader, _silent) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    file.close();
    assert_eq!(
        kind(sched.block_on(cat().communicate(file))),
        ErrorKind::NotConnected
    );

    let (reader, _silent) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let task = sched.spawn(cat().communicate(file.clone()), |task| done(task.output()?));
    crate::support::settle(&mut sched);
    file.close();
    let error = std::io::Error::from(sched.join(task).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::NotConnected);
    assert!(error.to_string().contains("closed"), "{error}");
}
