//! Programs around the library, run as a user runs them: the chat server with a thousand
//! connections, the workers, the game loop, the hosts in C and GLib. `cargo test` builds the
//! examples; with `cargo test --test hosts` alone, `cargo build --examples` does.

mod built;
mod signals;
mod threads;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;

use threads::watchdog;

fn example(name: &str) -> Command {
    let mut command = Command::new(built::example(name));
    signals::with_defaults(&mut command);
    command
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

// ---- the chat server

/// A server of the test's own; killed if the test fails.
struct Server {
    child: Child,
    out: BufReader<ChildStdout>,
    address: String,
}

impl Server {
    fn start() -> Server {
        let mut child = example("chat_server")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let address = line
            .trim_end()
            .strip_prefix("listening on ")
            .expect("its first line")
            .to_owned();
        Server {
            child,
            out,
            address,
        }
    }

    /// A client that is in the room.
    fn client(&self, name: &str) -> Client {
        let mut client = Client::connect(self);
        client.say(name);
        assert_eq!(
            client
                .hear_until(|line| line.starts_with("* welcome"))
                .last()
                .unwrap(),
            &format!("* welcome {name}")
        );
        client
    }

    fn signal(&self, signal: libc::c_int) {
        // SAFETY: our own child, not yet waited for.
        assert_eq!(
            unsafe { libc::kill(self.child.id() as libc::pid_t, signal) },
            0
        );
    }

    /// What it printed last, after it has ended well.
    fn end(&mut self) -> String {
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        rest
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn connect(server: &Server) -> Client {
        let stream = TcpStream::connect(&server.address).unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            stream: BufReader::new(stream),
        }
    }

    fn say(&mut self, line: &str) {
        self.stream
            .get_mut()
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }

    /// The next line; None at the end.
    fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line).unwrap() {
            0 => None,
            _ => Some(line.strip_suffix('\n').expect("a whole line").to_owned()),
        }
    }

    /// All lines up to and with one that is wanted.
    fn hear_until(&mut self, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.hear().expect("the server goes on");
            let is_last = is_wanted(&line);
            lines.push(line);
            if is_last {
                return lines;
            }
        }
    }

    fn hear_all(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.hear()).collect()
    }
}

/// As many open files as the system lets us have, here and in the children. At least how many are
/// needed?
fn allow_files(needed: libc::rlim_t) -> bool {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointers are to a live structure.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        limit.rlim_cur = limit.rlim_max.min(65_536);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
    }
    limit.rlim_cur >= needed
}

#[test]
fn the_chat_server_brings_every_line_to_a_thousand_clients() {
    const CLIENTS: usize = 1000;
    const SPEAKERS: usize = 20;
    const LINES: usize = 5;
    let _watchdog = watchdog();
    let clients_wanted = if allow_files(CLIENTS as libc::rlim_t + 50) {
        CLIENTS
    } else {
        200
    };
    let mut server = Server::start();
    let mut clients: Vec<_> = (0..clients_wanted)
        .map(|_| Client::connect(&server))
        .collect();
    // So few at a time that even all in one turn are no more news than a client's queue has room
    // for.
    for first in (0..clients_wanted).step_by(100) {
        let last = clients_wanted.min(first + 100);
        for (n, client) in clients.iter_mut().enumerate().take(last).skip(first) {
            client.say(&format!("user{n}"));
        }
        for (n, client) in clients.iter_mut().enumerate().take(last).skip(first) {
            let welcome = format!("* welcome user{n}");
            client.hear_until(|line| line == welcome);
        }
    }
    for line in 0..LINES {
        for (n, client) in clients.iter_mut().take(SPEAKERS).enumerate() {
            client.say(&format!("{line} of {n}"));
        }
    }
    for (n, client) in clients.iter_mut().enumerate() {
        let mut heard: HashMap<String, usize> = HashMap::new();
        let wanted = (SPEAKERS - usize::from(n < SPEAKERS)) * LINES;
        while heard.values().sum::<usize>() < wanted {
            let line = client.hear().expect("the server goes on");
            if let Some((who, what)) = line.split_once(": ") {
                let next = heard.entry(who.to_owned()).or_default();
                assert_eq!(
                    what,
                    format!("{next} of {}", &who["user".len()..]),
                    "to user{n}"
                );
                *next += 1;
            }
        }
        assert!(
            !heard.contains_key(&format!("user{n}")),
            "nobody hears himself"
        );
    }
    server.signal(libc::SIGINT);
    for client in &mut clients {
        assert_eq!(
            client.hear_all().last().unwrap(),
            "* the server is shut down, goodbye"
        );
    }
    assert_eq!(
        server.end(),
        format!("{clients_wanted} clients, taking leave\n")
    );
}

#[test]
fn the_chat_server_drops_a_client_that_does_not_read_and_says_so() {
    const WINDOW: usize = 50;
    let _watchdog = watchdog();
    let mut server = Server::start();
    let mut slow = server.client("slow");
    let (mut talker, mut witness) = (server.client("talker"), server.client("witness"));
    let (heard, hears) = mpsc::channel();
    let witness = thread::spawn(move || {
        witness.hear_until(|line| {
            let _ = heard.send(());
            line == "* slow was too slow"
        });
        witness
    });
    // Never far ahead of who listens. It ends when the witness has heard of the drop, and hangs up.
    let line = "x".repeat(4000);
    let mut ahead = 0;
    'talk: loop {
        talker.say(&line);
        ahead += 1;
        while ahead > WINDOW {
            match hears.recv() {
                Ok(()) => ahead -= 1,
                Err(_) => break 'talk,
            }
        }
    }
    let mut witness = witness.join().unwrap();
    assert_eq!(
        slow.hear_all().last().unwrap(),
        "* you are too slow, goodbye"
    );
    talker.say("still here?");
    witness.hear_until(|line| line == "talker: still here?");
    server.signal(libc::SIGTERM);
    assert_eq!(server.end(), "2 clients, taking leave\n");
}

#[test]
fn the_chat_server_ends_although_a_client_does_not_read() {
    let _watchdog = watchdog();
    let mut server = Server::start();
    let deaf = server.client("deaf");
    let mut talker = server.client("talker");
    // Perhaps more than its socket takes; less than a client may be behind.
    let line = "x".repeat(4000);
    for _ in 0..200 {
        talker.say(&line);
    }
    drop(talker);
    server.signal(libc::SIGINT);
    server.signal(libc::SIGINT); // the second one, if it comes later than the first: at once
    assert!(server.end().ends_with("clients, taking leave\n"));
    drop(deaf);
}

#[test]
fn the_chat_server_refuses_a_line_without_end_and_the_others_hear_of_who_leaves() {
    let _watchdog = watchdog();
    let mut server = Server::start();
    let (mut one, two) = (server.client("one"), server.client("two"));
    one.hear_until(|line| line == "* two came");
    drop(two);
    one.hear_until(|line| line == "* two left");
    one.say(&"x".repeat(5000));
    assert_eq!(
        one.hear_all().last().unwrap(),
        "* a line is at most 4096 bytes, goodbye"
    );
    server.signal(libc::SIGTERM);
    assert_eq!(server.end(), "0 clients, taking leave\n");
}

// ---- the others

#[test]
fn the_workers_count_what_there_is() {
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let mut wanted = Vec::new();
    let mut command = example("workers");
    command.args(["--threads", "3"]);
    let (mut lines, mut bytes) = (0, 0);
    for n in 0..20 {
        let path = dir.path().join(format!("file{n}"));
        let content = "line\n".repeat(n * 1000) + "rest";
        std::fs::write(&path, &content).unwrap();
        wanted.push(format!("{} {} {}", n * 1000, content.len(), path.display()));
        lines += n * 1000;
        bytes += content.len();
        command.arg(path);
    }
    let output = command.output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
    let mut got: Vec<_> = stdout(&output).lines().collect();
    assert_eq!(got.pop().unwrap(), format!("{lines} {bytes} total"));
    got.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(got, wanted);

    let output = example("workers")
        .arg(dir.path().join("none"))
        .output()
        .unwrap();
    assert_eq!(
        (output.status.code(), stdout(&output)),
        (Some(1), "0 0 total\n")
    );
    assert_eq!(example("workers").output().unwrap().status.code(), Some(2));
}

#[test]
fn a_flood_does_not_take_more_than_its_share_of_a_frame() {
    let _watchdog = watchdog();
    let output = example("game_loop")
        .args(["--frames", "70"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let seconds: Vec<Vec<u64>> = stdout(&output)
        .lines()
        .map(|line| {
            line.split(|c: char| !c.is_ascii_digit())
                .filter_map(|number| number.parse().ok())
                .collect()
        })
        .collect();
    assert_eq!([seconds[0][0], seconds[1][0]], [60, 10], "frames");
    for second in seconds {
        let (frames, messages, most) = (second[0], second[2], second[3]);
        assert!(most <= 1000, "{most} messages in a frame");
        assert!(messages <= frames * most);
    }
}

#[test]
fn the_hosts_in_c_run_clean_and_leave_nothing() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/c_host/build_and_run.sh");
    if !script.exists() {
        eprintln!("skipped: not a part of the package");
        return;
    }
    // Beside this build's directory: two cargos do not wait for each other.
    let target = std::env::current_exe()
        .unwrap()
        .parent()
        .unwrap()
        .join("../../c_host");
    let output = Command::new(script)
        .env("CARGO_TARGET_DIR", &target)
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    println!("{out}");
    assert!(output.status.success(), "{out}\n{err}");
    if out.contains("--- host") {
        assert!(
            out.contains("cat: 1000000 lines, 8000000 bytes, status 0\n"),
            "{out}"
        );
        assert_eq!(
            out.matches("--- ").count() - out.matches(", valgrind").count(),
            out.matches("nothing is left running").count()
        );
    }
    for host in ["host", "glib_host"] {
        if out.contains(&format!("--- {host}\n")) {
            let full = std::fs::File::options().write(true).open("/dev/full");
            let mut command = Command::new(target.join(host));
            let output = command.stdout(full.unwrap()).output().unwrap();
            let err = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{host}: {err}");
            assert!(err.contains("stdout"), "{host}: {err}");
        }
    }
}
