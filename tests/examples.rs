//! The examples are run as a user runs them, on real files, FIFOs, sockets and terminals; what they
//! print is compared with `wc` and std. `cargo test` builds them; before
//! `cargo test --test examples`, `cargo build --examples` must.

mod built;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::io::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for something that should come at once.
const GUARD: Duration = Duration::from_secs(60);

// ---- how an example is run

fn example(name: &str) -> Command {
    let mut command = Command::new(built::example(name));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(name: &str, args: &[&OsStr]) -> Output {
    example(name).args(args).output().unwrap()
}

fn run_with_input(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input)); // a child that stops early is no failure here
        child.wait_with_output().unwrap()
    })
}

#[track_caller]
fn assert_prints(output: &Output, code: i32, stdout: &str, stderr_part: &str) {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(
        (output.status.code(), &*out),
        (Some(code), stdout),
        "stderr: {err}"
    );
    assert!(
        err.contains(stderr_part),
        "{err:?} does not contain {stderr_part:?}"
    );
    assert!(!err.contains("panicked"), "{err}");
}

/// An example that goes on running; killed when the test ends, however it ends.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    err: BufReader<ChildStderr>,
}

impl Running {
    fn start(command: &mut Command) -> Running {
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let err = BufReader::new(child.stderr.take().unwrap());
        Running { child, out, err }
    }

    fn out_line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line
    }

    fn err_line(&mut self) -> String {
        let mut line = String::new();
        self.err.read_line(&mut line).unwrap();
        line
    }

    #[track_caller]
    fn err_line_with(&mut self, part: &str) -> String {
        let mut seen = String::new();
        loop {
            let line = self.err_line();
            assert!(
                !line.is_empty(),
                "stderr ended without {part:?}, after: {seen}"
            );
            if line.contains(part) {
                return line;
            }
            seen.push_str(&line);
        }
    }

    /// Waits for its own end: the exit status, and what was left on stdout and stderr.
    fn finish(mut self) -> Output {
        drop(self.child.stdin.take());
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        self.out.read_to_end(&mut stdout).unwrap();
        self.err.read_to_end(&mut stderr).unwrap();
        Output {
            status: self.child.wait().unwrap(),
            stdout,
            stderr,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// ---- what they are given

/// `LINES BYTES` as `wc` counts them.
fn wc(path: &Path) -> String {
    let output = Command::new("wc")
        .args(["-l", "-c"])
        .stdin(File::open(path).unwrap())
        .output()
        .unwrap();
    let numbers: Vec<&str> = std::str::from_utf8(&output.stdout)
        .unwrap()
        .split_whitespace()
        .collect();
    format!("{}\n", numbers.join(" "))
}

fn source_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/scheduler/turn.rs")
}

/// Lines of many lengths, empty ones, CR, NUL, bytes that are no UTF-8, no newline at the end;
/// about `size` bytes.
fn awkward_text(size: usize) -> Vec<u8> {
    let mut text = Vec::new();
    let mut seed = 1u32;
    while text.len() < size {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = match seed >> 28 {
            0 => 0,
            1 => 20_000,
            _ => (seed >> 16) as usize % 120,
        };
        text.extend(
            (0..length).map(|i| [b'a', b'\r', 0, 0xff, b' ', 0xc3][(i + seed as usize) % 6]),
        );
        text.push(b'\n');
    }
    text.extend_from_slice(b"no newline here");
    text
}

fn fifo(path: &Path) {
    let status = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(status.success());
}

/// Opened for reading too: that does not wait for a reader, who might never come.
fn write_to(fifo: &Path) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(fifo)
        .unwrap()
}

/// Something is there to be read or accepted.
fn becomes_readable(fd: &impl AsRawFd) -> bool {
    let mut entry = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: the pointer is to one live pollfd.
    unsafe { libc::poll(&mut entry, 1, GUARD.as_millis() as libc::c_int) == 1 }
}

/// Every example says what is wrong with its command line, and exits with 2.
#[test]
fn a_wrong_command_line_is_told_with_the_usage() {
    let wrong: &[(&str, &[&str])] = &[
        ("socket_afile", &["one", "two"]),
        ("line_count", &["--timeout"]),
        ("line_count", &["--timeout", "soon"]),
        ("line_count", &["--timeout", "-1"]),
        ("line_count", &["--timeout", "nan"]),
        ("line_count", &["--timeout", "1e30"]),
        ("line_count", &["--lines"]),
        ("line_count", &["one", "two"]),
        ("foreign_loop", &[]),
        ("foreign_loop", &["--every", "0", "path"]),
        ("foreign_loop", &["--every"]),
        ("foreign_loop", &["--never", "path"]),
        ("echo_server", &["--port", "70000"]),
        ("echo_server", &["--port"]),
        ("echo_server", &["--max-connections", "0"]),
        ("echo_server", &["--timeout", "inf"]),
        ("echo_server", &["somewhere"]),
        ("expect", &[]),
        ("expect", &["localhost:1", "localhost:2"]),
        ("expect", &["localhost:1", "--until", ""]),
        ("expect", &["localhost:1", "--tick", "1e20"]),
        ("idle", &["0"]),
        ("idle", &["many"]),
        ("idle", &["1", "2"]),
    ];
    for (name, args) in wrong {
        let args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
        assert_prints(&run(name, &args), 2, "", &format!("usage: {name}"));
    }
}

// ---- socket_afile

#[test]
fn socket_afile_hands_over_every_byte_of_its_own_source() {
    assert_transfers(&[], &source_file());
}

#[test]
fn socket_afile_hands_over_awkward_and_empty_files() {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("awkward", awkward_text(3_000_000)),
        ("empty", vec![]),
        ("newline", b"\n".to_vec()),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        assert_transfers(&[path.as_os_str()], &path);
    }
}

#[track_caller]
fn assert_transfers(args: &[&OsStr], path: &Path) {
    use sha1::{Digest, Sha1};
    let content = fs::read(path).unwrap();
    let sha1: String = Sha1::digest(&content)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let counts = wc(path);
    let (lines, bytes) = counts.trim_end().split_once(' ').unwrap();
    let row = format!("{bytes} bytes, {lines} lines, sha1 {sha1}");
    assert_prints(
        &run("socket_afile", args),
        0,
        &format!("sent     {row}\nreceived {row}\n"),
        "",
    );
}

#[test]
fn socket_afile_names_the_file_that_it_cannot_read() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    assert_prints(
        &run("socket_afile", &[missing.as_os_str()]),
        1,
        "",
        "missing: No such file",
    );
    assert_prints(
        &run("socket_afile", &[dir.path().as_os_str()]),
        1,
        "",
        "Is a directory",
    );
}

// ---- line_count

#[test]
fn line_count_counts_like_wc_wherever_the_bytes_come_from() {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("awkward", awkward_text(3_000_000)),
        ("long", vec![b'x'; 2_500_000]),
        ("empty", vec![]),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, &content).unwrap();
        let expected = wc(&path);

        assert_prints(&run("line_count", &[path.as_os_str()]), 0, &expected, "");
        let from_file = example("line_count")
            .stdin(File::open(&path).unwrap())
            .output()
            .unwrap();
        assert_prints(&from_file, 0, &expected, "");
        assert_prints(
            &run_with_input(&mut example("line_count"), &content),
            0,
            &expected,
            "",
        );
        assert_prints(
            &run_with_input(
                example("line_count").args(["--timeout", "60", "-"]),
                &content,
            ),
            0,
            &expected,
            "",
        );

        let fifo_path = dir.path().join(format!("{name}.fifo"));
        fifo(&fifo_path);
        let socket_path = dir.path().join(format!("{name}.socket"));
        let listener = UnixListener::bind(&socket_path).unwrap();
        // Not scoped threads: a failure of the test must not wait for a writer that nobody reads
        // from.
        let (text, path) = (content.clone(), fifo_path.clone());
        thread::spawn(move || {
            OpenOptions::new()
                .write(true)
                .open(path)
                .unwrap()
                .write_all(&text)
                .unwrap()
        });
        assert_prints(
            &run("line_count", &[fifo_path.as_os_str()]),
            0,
            &expected,
            "",
        );
        thread::spawn(move || listener.accept().unwrap().0.write_all(&content).unwrap());
        assert_prints(
            &run("line_count", &[socket_path.as_os_str()]),
            0,
            &expected,
            "",
        );
    }
}

#[test]
fn line_count_says_what_it_has_counted_when_no_line_comes_in_time() {
    let (mut near, far) = UnixStream::pair().unwrap();
    near.write_all(b"one\ntwo\nhalf").unwrap();
    let start = Instant::now();
    let output = example("line_count")
        .args(["--timeout", "0.3"])
        .stdin(OwnedFd::from(far))
        .output()
        .unwrap();
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_prints(&output, 1, "", "counted so far: 2 lines, 8 bytes");
    assert_prints(&output, 1, "", "timed out after 300ms, 4 bytes kept");
    drop(near); // it was open to the end
}

/// The deadline is the line's: bytes that trickle in do not put it off.
#[test]
fn line_count_is_not_held_up_by_a_line_that_trickles_in() {
    let start = Instant::now();
    let mut child = example("line_count")
        .args(["--timeout", "0.3"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    while stdin.write_all(b"x").is_ok() {
        assert!(
            start.elapsed() < GUARD,
            "it goes on waiting while the line grows"
        );
        thread::sleep(Duration::from_millis(5)); // the pace of the trickle
    }
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_prints(
        &child.wait_with_output().unwrap(),
        1,
        "",
        "counted so far: 0 lines, 0 bytes",
    );
}

#[test]
fn line_count_does_not_wait_for_ever_for_a_fifo_that_nobody_opens() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    fifo(&path);
    let args = ["--timeout".as_ref(), "0.2".as_ref(), path.as_os_str()];
    assert_prints(&run("line_count", &args), 1, "", "timed out after 200ms");
}

#[test]
fn line_count_leaves_the_flags_of_a_shared_stdin_alone() {
    let mut cat = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut writer, reader) = (
        cat.stdin.take().unwrap(),
        OwnedFd::from(cat.stdout.take().unwrap()),
    );
    // SAFETY: fcntl with F_GETFL only reads the flags of an open descriptor.
    let flags = || unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_GETFL) };
    let before = flags();
    writer.write_all(b"a line\n").unwrap();
    assert!(becomes_readable(&reader));
    let mut command = example("line_count");
    let child = command
        .args(["--timeout", "0.2"])
        .stdin(reader.try_clone().unwrap())
        .spawn()
        .unwrap();
    assert_prints(
        &child.wait_with_output().unwrap(),
        1,
        "",
        "counted so far: 1 lines, 7 bytes",
    );
    assert_eq!(flags(), before);
    drop(writer);
    assert!(cat.wait().unwrap().success());
}

#[test]
fn line_count_names_what_it_cannot_open_or_read() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    assert_prints(
        &run("line_count", &[missing.as_os_str()]),
        1,
        "",
        "missing: No such file",
    );
    assert_prints(
        &run("line_count", &[dir.path().as_os_str()]),
        1,
        "",
        "Is a directory",
    );
    let unheard = dir.path().join("socket");
    drop(UnixListener::bind(&unheard).unwrap());
    assert_prints(
        &run("line_count", &[unheard.as_os_str()]),
        1,
        "",
        "socket: Connection refused",
    );
}

// ---- foreign_loop

#[test]
fn foreign_loop_runs_tasks_console_and_timer_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    let paths = [dir.path().join("a"), dir.path().join("b")];
    paths.iter().for_each(|path| fifo(path));
    let mut command = example("foreign_loop");
    command
        .args(["--every", "0.05"])
        .args(&paths)
        .stdin(Stdio::piped());
    let mut host = Running::start(&mut command);
    let mut console = host.child.stdin.take().unwrap();
    let mut writers = [write_to(&paths[0]), write_to(&paths[1])];

    for round in 0..20 {
        for (writer, path) in writers.iter_mut().zip(&paths) {
            writeln!(writer, "line {round}").unwrap();
            assert_eq!(
                host.out_line(),
                format!("{}: line {round}\n", path.display())
            );
        }
    }
    host.err_line_with("status: 40 lines, 2 alive"); // from the timer, with nothing typed
    console.write_all(b"help\nsta").unwrap();
    host.err_line_with("unknown command \"help\"");
    console.write_all(b"tus\n").unwrap();

    let [mut a, b] = writers;
    a.write_all(b"no newline").unwrap();
    drop(a);
    assert_eq!(
        host.out_line(),
        format!("{}: no newline\n", paths[0].display())
    );
    host.err_line_with("status: 41 lines, 1 alive");
    drop(b);
    assert_prints(&host.finish(), 0, "", ""); // no path is left, though the console is open
}

#[test]
fn foreign_loop_quits_when_it_is_told_and_goes_on_without_a_console() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    fifo(&path);
    assert_prints(
        &run_with_input(example("foreign_loop").arg(&path), b"quit\n"),
        0,
        "",
        "",
    );

    // stdin is at its end from the start
    let mut host = Running::start(example("foreign_loop").arg(&path));
    let mut writer = write_to(&path);
    writer.write_all(b"x\n").unwrap();
    assert_eq!(host.out_line(), format!("{}: x\n", path.display()));
    drop(writer);
    assert_prints(&host.finish(), 0, "", "");
}

#[test]
fn foreign_loop_copies_what_it_can_when_a_path_fails() {
    let dir = tempfile::tempdir().unwrap();
    let (missing, good) = (dir.path().join("missing"), dir.path().join("good"));
    fs::write(&good, "1\n2\n").unwrap();
    let output = run(
        "foreign_loop",
        &[
            missing.as_os_str(),
            dir.path().as_os_str(),
            good.as_os_str(),
        ],
    );
    let expected = format!("{0}: 1\n{0}: 2\n", good.display());
    assert_prints(&output, 1, &expected, "missing: No such file");
    assert_prints(&output, 1, &expected, "Is a directory");
}

// ---- echo_server

const MAX_FRAME: usize = 1024 * 1024;

fn start_server(command: &mut Command) -> (Running, String) {
    let mut server = Running::start(command);
    let line = server.out_line();
    let address = line
        .trim_end()
        .strip_prefix("listening on ")
        .expect("the address")
        .to_owned();
    (server, address)
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(GUARD)).unwrap();
    stream.set_write_timeout(Some(GUARD)).unwrap();
    stream
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut frame = (body.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}

#[track_caller]
fn assert_echoes(stream: &mut TcpStream, body: &[u8]) {
    stream.write_all(&frame(body)).unwrap();
    assert_answers(stream, body);
}

#[track_caller]
fn assert_answers(stream: &mut TcpStream, body: &[u8]) {
    let mut answer = vec![0; body.len()];
    stream.read_exact(&mut answer).unwrap();
    assert!(answer == body, "{} other bytes came back", body.len());
}

/// Closed by the server, with a reset if it had not read everything.
#[track_caller]
fn assert_closed(stream: &mut TcpStream) {
    // Not `read`: with a timeout on the socket, a signal interrupts it even under SA_RESTART.
    match stream.read_to_end(&mut Vec::new()) {
        Ok(0) => {}
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
        other => panic!("not closed: {other:?}"),
    }
}

/// Room for a thousand sockets here, and for as many in the server, which inherits the limit.
fn allow_descriptors(wanted: libc::rlim_t) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls are given a pointer to the live rlimit above.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        if limit.rlim_cur < wanted {
            limit.rlim_cur = wanted;
            assert_eq!(
                libc::setrlimit(libc::RLIMIT_NOFILE, &limit),
                0,
                "the hard limit is {}",
                limit.rlim_max
            );
        }
    }
}

#[test]
fn echo_server_serves_a_thousand_connections_of_every_kind() {
    allow_descriptors(1500);
    let (mut server, address) = start_server(example("echo_server").args(["--timeout", "600"]));
    let body_of = |i: usize| -> Vec<u8> { (0..i * 37 % 5000).map(|k| (i + k) as u8).collect() };

    let mut clients: Vec<TcpStream> = (0..1000).map(|_| connect(&address)).collect();
    let mut cut_off = HashSet::new();
    let mut slow = Vec::new();
    for (i, mut client) in clients.drain(..).enumerate() {
        match i % 10 {
            0 => {
                client
                    .write_all(&frame(&vec![b'x'; 100 + i])[..4 + i / 2])
                    .unwrap(); // dies within the body
                cut_off.insert(client.local_addr().unwrap().to_string());
                if i % 20 == 0 {
                    client.shutdown(Shutdown::Write).unwrap();
                    assert_closed(&mut client);
                }
            }
            1 => {
                client.write_all(&[0, 0]).unwrap(); // dies within the length
                cut_off.insert(client.local_addr().unwrap().to_string());
            }
            2 => {
                client
                    .write_all(&(MAX_FRAME as u32 + 1).to_be_bytes())
                    .unwrap();
                assert_closed(&mut client);
                cut_off.insert(client.local_addr().unwrap().to_string());
            }
            3 | 4 => slow.push((i, client)),
            5 => drop(client), // says nothing at all
            _ => {
                for body in [body_of(i), vec![], body_of(i + 500)] {
                    assert_echoes(&mut client, &body);
                }
                let two = [frame(&body_of(i)), frame(b"behind it")].concat();
                client.write_all(&two).unwrap();
                assert_answers(&mut client, &[&body_of(i)[..], b"behind it"].concat());
            }
        }
    }
    // The slow ones send two frames a byte at a time, in turn: 200 frames are under way at once.
    let bytes: Vec<Vec<u8>> = slow
        .iter()
        .map(|(i, _)| frame(format!("slow {i}").as_bytes()).repeat(2))
        .collect();
    for at in 0..bytes.iter().map(Vec::len).max().unwrap() {
        for ((_, client), bytes) in slow.iter_mut().zip(&bytes) {
            if let Some(byte) = bytes.get(at) {
                client.write_all(&[*byte]).unwrap();
            }
        }
    }
    for (i, client) in &mut slow {
        assert_answers(client, format!("slow {i}slow {i}").as_bytes());
    }
    // Each of those that broke off is told, once; so they have all come to their ends.
    while !cut_off.is_empty() {
        let line = server.err_line();
        let peer = line
            .strip_prefix("echo_server: ")
            .and_then(|rest| rest.split(": ").next())
            .unwrap_or_default();
        assert!(
            cut_off.remove(peer),
            "unexpected, or the second of its kind: {line:?}"
        );
    }
    assert_echoes(&mut connect(&address), &vec![7; MAX_FRAME]);
    assert!(server.child.try_wait().unwrap().is_none());
}

#[test]
fn echo_server_ends_a_connection_that_stops_in_the_middle_and_no_other() {
    let (mut server, address) = start_server(example("echo_server").args(["--timeout", "1"]));
    let start = Instant::now();
    let mut stuck = [&b""[..], b"\0\0", b"\0\0\0\x09half"].map(|sent| {
        let mut client = connect(&address);
        client.write_all(sent).unwrap();
        client
    });
    stuck.iter_mut().for_each(|client| assert_closed(client));
    assert!(start.elapsed() >= Duration::from_secs(1));
    let told = [server.err_line(), server.err_line(), server.err_line()].concat();
    for reason in [
        "timed out after 1s",
        "a length timed out after 2 of 4 bytes",
        "a frame timed out after 4 of 9 bytes",
    ] {
        assert!(told.contains(reason), "{told}");
    }
    // A client that takes no answer: the server gives up after what the sockets' buffers hold.
    let mut deaf = connect(&address);
    let frame = frame(&vec![1; MAX_FRAME]);
    while deaf.write_all(&frame).is_ok() {}
    server.err_line_with("timed out after 1s");
    assert_echoes(&mut connect(&address), b"still there");
}

#[test]
fn echo_server_out_of_descriptors_waits_and_does_not_spin() {
    let mut command = example("echo_server");
    // SAFETY: between fork and exec only setrlimit is called, which is async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            let limit = libc::rlimit {
                rlim_cur: 24,
                rlim_max: 24,
            };
            if libc::setrlimit(libc::RLIMIT_NOFILE, &limit) == 0 {
                Ok(())
            } else {
                Err(io::Error::last_os_error())
            }
        });
    }
    let start = Instant::now();
    let (mut server, address) = start_server(&mut command);
    let mut served: Vec<TcpStream> = (0..30).map(|_| connect(&address)).collect();
    (0..5).for_each(|_| drop(server.err_line_with("Too many open files")));
    assert!(
        start.elapsed() >= Duration::from_millis(800),
        "it tried again too soon"
    );

    served
        .iter_mut()
        .take(10)
        .for_each(|client| assert_echoes(client, b"served"));
    let mut waiting = served.split_off(10);
    drop(served); // ten descriptors are free again
    waiting
        .iter_mut()
        .take(15)
        .for_each(|client| assert_echoes(client, b"served later"));
}

#[test]
fn echo_server_takes_no_more_connections_than_allowed() {
    let (mut server, address) =
        start_server(example("echo_server").args(["--max-connections", "2"]));
    let (mut first, mut second) = (connect(&address), connect(&address));
    assert_echoes(&mut first, b"first");
    assert_echoes(&mut second, b"second");
    let mut third = connect(&address);
    third.write_all(&frame(b"third")).unwrap();
    server.err_line_with("2 connections, the most allowed");
    drop(first);
    assert_answers(&mut third, b"third");
    assert_echoes(&mut second, b"second again");
}

#[test]
fn echo_server_says_that_the_port_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    assert_prints(
        &run("echo_server", &["--port".as_ref(), port.as_ref()]),
        1,
        "",
        "Address already in use",
    );
}

// ---- expect

/// A server for one client, and the example connected to it; its stdin is given by the test.
fn start_expect(args: &[&str], stdin: Stdio) -> (Running, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = example("expect");
    command
        .arg(listener.local_addr().unwrap().to_string())
        .args(args)
        .stdin(stdin);
    let running = Running::start(&mut command);
    assert!(becomes_readable(&listener), "it does not connect");
    let (peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(GUARD)).unwrap();
    (running, peer)
}

fn peer_line(peer: &TcpStream) -> String {
    let (mut line, mut byte) = (Vec::new(), [0; 1]);
    while line.last() != Some(&b'\n') && (&*peer).read_exact(&mut byte).is_ok() {
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

#[test]
fn expect_loses_nothing_when_a_tick_comes_in_the_middle_of_a_line() {
    let (mut expect, mut peer) = start_expect(&["--tick", "0.05"], Stdio::piped());
    let mut stdin = expect.child.stdin.take().unwrap();

    stdin.write_all(b"typed in ").unwrap();
    peer.write_all(b"whole\nsaid in ").unwrap();
    assert_eq!(expect.out_line(), "whole\n");
    // both lines are half there, and it has ticked
    expect.err_line_with("1 lines heard, 8 bytes of the next");
    expect.err_line_with("1 lines heard, 8 bytes of the next");
    stdin.write_all(b"two parts\n").unwrap();
    assert_eq!(peer_line(&peer), "typed in two parts\n");
    peer.write_all(b"two parts\n").unwrap();
    assert_eq!(expect.out_line(), "said in two parts\n");

    stdin.write_all(b"the rest").unwrap();
    drop(stdin);
    // and then the end of file, which does not end the listening
    assert_eq!(peer_line(&peer), "the rest");
    peer.write_all(b"goodbye").unwrap();
    drop(peer);
    assert_prints(&expect.finish(), 0, "goodbye", "");
}

#[test]
fn expect_ends_when_the_text_has_come_and_fails_when_it_never_does() {
    let (expect, mut peer) = start_expect(&["--until", "220 "], Stdio::null());
    peer.write_all(b"one moment\nx 220 ready\nnot printed\n")
        .unwrap();
    assert_prints(&expect.finish(), 0, "one moment\nx 220 ready\n", "");

    let (expect, mut peer) = start_expect(&["--until", "220 "], Stdio::null());
    peer.write_all(b"421 no\n").unwrap();
    drop(peer);
    assert_prints(
        &expect.finish(),
        1,
        "421 no\n",
        "closed before \"220 \" came",
    );
}

/// A server that answers before it reads on: whoever writes in full without reading waits for ever.
#[test]
fn expect_sends_and_hears_more_than_the_buffers_hold_at_once() {
    let input: Vec<u8> = (0..20_000)
        .flat_map(|i| format!("line {i} {:->1000}\n", "").into_bytes())
        .collect();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        let mut chunk = [0; 65536];
        loop {
            match peer.read(&mut chunk).unwrap() {
                0 => break,
                n => peer.write_all(&chunk[..n]).unwrap(),
            }
        }
    });
    let output = run_with_input(example("expect").arg(&address), &input);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.stdout == input,
        "{} bytes sent, {} heard",
        input.len(),
        output.stdout.len()
    );
}

#[test]
fn expect_on_a_terminal_sends_what_is_typed_and_leaves_its_flags_alone() {
    let (mut keyboard, terminal) = terminal();
    // SAFETY: fcntl with F_GETFL only reads the flags of an open descriptor.
    let flags = || unsafe { libc::fcntl(terminal.as_raw_fd(), libc::F_GETFL) };
    let before = flags();
    let (mut expect, mut peer) =
        start_expect(&["--tick", "0.05"], terminal.try_clone().unwrap().into());
    keyboard.write_all(b"hello\n").unwrap();
    assert_eq!(peer_line(&peer), "hello\n");
    assert_eq!(flags(), before);
    keyboard.write_all(b"\x04").unwrap(); // ^D on an empty line: the end of file
    assert_eq!(peer_line(&peer), "");
    peer.write_all(b"world\n").unwrap();
    assert_eq!(expect.out_line(), "world\n");
    drop(peer);
    assert_prints(&expect.finish(), 0, "", "");
    assert_eq!(flags(), before);
}

/// The two sides of a pseudo terminal: what a keyboard and screen would be, and what a program gets
/// as its terminal.
fn terminal() -> (File, OwnedFd) {
    let (mut near, mut far) = (-1, -1);
    let none = std::ptr::null_mut();
    // SAFETY: openpty fills in the two integers; the null pointers ask for defaults; each
    // descriptor gets one owner.
    unsafe {
        assert_eq!(
            libc::openpty(&mut near, &mut far, none, none.cast(), none.cast()),
            0
        );
        libc::fcntl(near, libc::F_SETFD, libc::FD_CLOEXEC);
        (File::from_raw_fd(near), OwnedFd::from_raw_fd(far))
    }
}

#[test]
fn expect_says_where_it_could_not_connect() {
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    assert_prints(
        &run("expect", &[gone.as_ref()]),
        1,
        "",
        &format!("{gone}: Connection refused"),
    );
    assert_prints(
        &run("expect", &["no port".as_ref()]),
        1,
        "",
        "expect: no port: ",
    );
}

// ---- idle

#[test]
fn idle_tasks_cost_little() {
    let output = run("idle", &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tasks = number_before(&text, " tasks, each blocked");
    assert!(
        tasks == 10_000 || String::from_utf8_lossy(&output.stderr).contains("ulimit -Hn"),
        "{text}"
    );
    assert!(number_before(&text, " bytes per task") <= 300, "{text}");
}

#[test]
fn idle_says_when_there_are_too_few_descriptors() {
    let mut command = example("idle");
    // SAFETY: between fork and exec only setrlimit is called, which is async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            let limit = libc::rlimit {
                rlim_cur: 100,
                rlim_max: 216,
            };
            if libc::setrlimit(libc::RLIMIT_NOFILE, &limit) == 0 {
                Ok(())
            } else {
                Err(io::Error::last_os_error())
            }
        });
    }
    let output = command.arg("5000").output().unwrap();
    assert_eq!(
        number_before(
            &String::from_utf8_lossy(&output.stdout),
            " tasks, each blocked"
        ),
        100
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains("allow 100 connections, not 5000"));
}

fn number_before(text: &str, what: &str) -> usize {
    let before = text.split(what).next().unwrap();
    before
        .rsplit(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap()
        .parse()
        .unwrap_or_else(|_| panic!("{text}"))
}
