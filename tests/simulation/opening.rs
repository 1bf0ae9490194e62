//! What a program opens and starts, and what is at the other ends.

use std::mem::ManuallyDrop;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use asyncfile::sim::{self, Act, Guise, Program};
use asyncfile::{AsyncFile, AsyncPipe};

use super::messages::Messages;
use super::world::{Input, Pipe, World};
use super::{chance, choose, kernel, one_of, operations};

pub const MOST_FILES: usize = 12;

/// Opens something more, if there is not enough.
pub fn open(world: &Rc<World>) {
    if world.files.borrow().len() >= MOST_FILES {
        return;
    }
    let capacity = one_of(&[65536, 4096, 100, 1 << 20]);
    let add = |fd, is_readable, is_writable, has_actor| {
        let is_shared = chance(96);
        if is_shared {
            let time = Duration::from_millis(choose(20_000).into());
            kernel(|kernel| kernel.share(fd, vec![Act::Sleep(time)]));
        }
        let is_duplicate = chance(24);
        let file = if is_duplicate {
            world.shared.borrow_mut().push(fd);
            AsyncFile::duplicate(&*ManuallyDrop::new(sim::owned(fd)))
        } else {
            AsyncFile::new(sim::owned(fd))
        };
        match file {
            Ok(file) => {
                let id = world.add_file(file, is_readable, is_writable, has_actor);
                let file = &mut world.files.borrow_mut()[id];
                (file.is_shared, file.is_duplicate) = (is_shared, is_duplicate);
                Some(id)
            }
            Err(error) => {
                assert!(!world.is_calm, "fd {fd} cannot be taken over: {error}");
                None
            }
        }
    };
    match choose(6) {
        0 => {
            let mut acts = talk();
            if capacity > 1 << 18 && chance(64) {
                // more than an advance moves
                acts.push(Act::Write(0, operations::text(300_000, 7, 5000)));
            }
            let guise = match choose(8) {
                6 => Guise::File,
                7 => Guise::Terminal,
                _ => Guise::Pipe,
            };
            let fd = kernel(|kernel| {
                let fd = kernel.reader(capacity, acts);
                kernel.disguise(fd, guise);
                fd
            });
            add(fd, true, false, true);
        }
        1 if chance(80) => {
            let (acts, has_end) = (converse(), choose(2) == 1);
            let fd = kernel(|kernel| kernel.message_socket(capacity, has_end, acts));
            let id = add(fd, true, true, true);
            world.has_socket(id, Some(Messages::new(capacity, has_end)));
        }
        1 => {
            let acts = if chance(64) { converse() } else { talk() };
            let fd = kernel(|kernel| kernel.socket(capacity, acts));
            let id = add(fd, true, true, true);
            world.has_socket(id, None);
        }
        2 => {
            let acts = listen();
            add(
                kernel(|kernel| kernel.writer(capacity, acts)),
                false,
                true,
                true,
            );
        }
        3 => {
            let (reader, writer) = kernel(|kernel| kernel.pipe(capacity));
            let reader = add(reader, true, false, false);
            world.connect(add(writer, false, true, false), reader);
        }
        4 => {
            let has_end = match chance(100) {
                true => Some(choose(2) == 1),
                false => None,
            };
            let pair = kernel(|kernel| match has_end {
                Some(has_end) => kernel.message_pair(capacity, has_end),
                None => kernel.socketpair(capacity),
            });
            let (one, other) = (
                add(pair.0, true, true, false),
                add(pair.1, true, true, false),
            );
            for id in [one, other] {
                let messages = has_end.map(|has_end| Messages::new(capacity, has_end));
                world.has_socket(id, messages);
            }
            world.connect(one, other);
            world.connect(other, one);
        }
        // What a regular file has is there at once.
        _ if chance(40) => {
            let contents = text();
            let id = add(kernel(|kernel| kernel.regular(contents)), true, true, true);
            if let Some(id) = id {
                world.files.borrow_mut()[id].is_regular = true;
            }
        }
        _ => start(world),
    }
}

/// Starts a child, or a chain of two.
fn start(world: &Rc<World>) {
    let stderr = choose(2) == 1;
    let names = if chance(64) {
        vec!["first", "last"]
    } else {
        vec!["last"]
    };
    let mut commands: Vec<Command> = names.iter().map(Command::new).collect();
    for name in names {
        let group = chance(64);
        let acts = match choose(4) {
            0 => vec![Act::Copy { from: 0, to: 1 }],
            _ => behave(stderr),
        };
        kernel(|kernel| {
            kernel.program(
                name,
                Program {
                    acts,
                    stderr: stderr && name == "last",
                    group,
                },
            )
        });
    }
    let pipe = match AsyncPipe::pipeline(&mut commands) {
        Ok(pipe) => pipe,
        Err(error) => {
            assert!(!world.is_calm, "a child that does not start: {error}");
            return;
        }
    };
    let pipe = match chance(32) {
        true => pipe.kill_on_drop(),
        false => pipe,
    };
    let id = world.pipes.borrow().len();
    let streams = [pipe.stdin(), pipe.stdout(), pipe.stderr()].map(|stream| stream.map(fd));
    let files = [0, 1, 2].map(|stream| {
        streams[stream].map(|fd| {
            world.add(
                fd,
                None,
                Some((id, stream)),
                [stream > 0, stream == 0, true],
            )
        })
    });
    if let (Some(stdin), true) = (files[0], chance(50)) {
        world.files.borrow_mut()[stdin].handle = pipe.stdin().cloned();
    }
    world.pipes.borrow_mut().push(Pipe {
        pipe,
        files,
        input: Input::Nothing,
        busy: 0,
        is_over: false,
    });
}

fn fd(file: &AsyncFile) -> std::os::unix::io::RawFd {
    std::os::unix::io::AsRawFd::as_raw_fd(file)
}

/// What an actor at the other end of a file does.
pub fn talk() -> Vec<Act> {
    acts(|| match choose(6) {
        0..=2 => Act::Write(0, text()),
        3 => Act::Read(0, 1 + choose(5000) as usize),
        _ => pause(),
    })
}

/// What the peer of a socket does: it may wait for the end of what it is sent, and answer then, or
/// end what it sends and go on reading.
pub fn converse() -> Vec<Act> {
    let mut acts = acts(|| match choose(12) {
        0..=2 => Act::Write(0, text()),
        3 => Act::Write(0, Vec::new()),
        4 | 5 => Act::Read(0, 1 + choose(5000) as usize),
        6 => Act::Drain(0),
        7 if chance(128) => Act::ShutDown(0),
        8 => Act::Urge(0),
        _ => pause(),
    });
    if chance(48) {
        // An empty message, and one behind it, and the end.
        acts.extend([Act::Write(0, Vec::new()), pause(), Act::Write(0, text())]);
    }
    acts
}

fn listen() -> Vec<Act> {
    let mut acts = acts(|| {
        if choose(3) == 0 {
            pause()
        } else {
            Act::Read(0, 1 + choose(20_000) as usize)
        }
    });
    if chance(128) {
        acts.push(Act::Drain(0));
    }
    acts
}

fn behave(stderr: bool) -> Vec<Act> {
    let mut acts = acts(|| match choose(10) {
        0..=2 => Act::Write(1, text()),
        3 if stderr => Act::Write(2, text()),
        4 => Act::Read(0, 1 + choose(5000) as usize),
        5 => Act::Close(choose(if stderr { 3 } else { 2 }) as usize),
        6 if chance(128) => Act::Leave(vec![pause(), Act::Write(1, text()), pause()]),
        7 => Act::Drain(0),
        _ => pause(),
    });
    if chance(32) {
        acts.insert(0, Act::IgnoreTerm);
    }
    acts.push(Act::Exit(choose(3) as i32));
    acts
}

fn acts(act: impl FnMut() -> Act) -> Vec<Act> {
    std::iter::repeat_with(act)
        .take(choose(10) as usize)
        .collect()
}

fn pause() -> Act {
    Act::Sleep(Duration::from_micros(choose(500_000).into()))
}

/// Lines, long and short, and parts of them.
fn text() -> Vec<u8> {
    let length = match choose(8) {
        0..=4 => 1 + choose(20) as usize,
        5 => 130,
        6 => one_of(&[4096, 5000, 9000]),
        _ if chance(128) => one_of(&[65536, 140_000, 300_000, 300_000]),
        _ => 1000,
    };
    let every = 1 + choose(if length > 1000 { 3000 } else { 30 }) as usize;
    operations::text(length, choose(200) as usize, every)
}
