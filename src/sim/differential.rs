//! The simulated kernel against the real one: both get the same random calls, and must answer the
//! same. Only calls are made of which Linux's answers are deterministic.

#![cfg(target_os = "linux")]

use std::os::unix::io::{IntoRawFd, OwnedFd, RawFd};

use libc::{c_short, pollfd, POLLIN, POLLOUT};

use super::Kernel;
use crate::sys::{self, Kind, Wait, POLLRDHUP};

/// A number that is open in neither kernel. It stands for a closed descriptor, whose own number
/// another thread may use by then.
const NOBODY: RawFd = 2_000_000;

/// The generator splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    fn range(&mut self, below: usize) -> usize {
        self.below(below as u64) as usize
    }
}

/// A descriptor of one of the two kernels. Its `fd` is None after it was closed.
#[derive(Clone, Copy)]
struct End {
    fd: Option<RawFd>,
    kind: Kind,
}

impl End {
    fn number(self) -> RawFd {
        self.fd.unwrap_or(NOBODY)
    }
}

/// The ends of a pipe (the reader first) and of three pairs of sockets, all with O_NONBLOCK.
fn ends(pairs: [(RawFd, RawFd); 4]) -> Vec<End> {
    let end = |fd| {
        let flags = sys::status_flags(fd).unwrap();
        sys::set_status_flags(fd, flags | libc::O_NONBLOCK).unwrap();
        let kind = sys::kind(fd).unwrap();
        End { fd: Some(fd), kind }
    };
    let numbers = pairs.iter().flat_map(|(one, other)| [*one, *other]);
    numbers.map(end).collect()
}

fn real_pipe() -> (RawFd, RawFd) {
    let (reader, writer) = std::io::pipe().unwrap();
    (
        OwnedFd::from(reader).into_raw_fd(),
        OwnedFd::from(writer).into_raw_fd(),
    )
}

fn real_sockets(kind: libc::c_int) -> (RawFd, RawFd) {
    let pair = socket2::Socket::pair(socket2::Domain::UNIX, kind.into(), None);
    let (one, other) = pair.unwrap();
    (one.into_raw_fd(), other.into_raw_fd())
}

fn real_ends() -> Vec<End> {
    let kinds = [libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_SEQPACKET];
    let [stream, datagram, seqpacket] = kinds.map(real_sockets);
    ends([real_pipe(), stream, datagram, seqpacket])
}

/// Makes random calls, and returns what was answered.
fn play(seed: u64, mut ends: Vec<End>) -> Vec<String> {
    let mut random = Random(seed);
    // A small write costs a socket more memory than its bytes. More of them would fill it.
    let mut writes_left = 40;
    let mut told = Vec::new();
    for _ in 0..120 {
        let place = random.range(ends.len());
        let end = ends[place];
        let fd = end.number();
        let keeps_messages = matches!(end.kind, Kind::Datagram | Kind::Seqpacket);
        let line = match random.range(11) {
            0..=2 if keeps_messages => {
                let mut bytes = vec![0; 1 + random.range(90)];
                let is_peek = random.range(3) == 0;
                let answer = sys::receive(fd, &mut bytes, is_peek);
                format!(
                    "receive {place}, {is_peek}: {:?} {bytes:?}, {:?} left",
                    answer.map_err(|error| error.raw_os_error()),
                    sys::readable_bytes(fd).ok()
                )
            }
            0..=2 => {
                let mut bytes = vec![0; 1 + random.range(90)];
                let answer = match end.kind {
                    Kind::Socket => sys::recv(fd, &mut bytes),
                    _ => sys::read(fd, &mut bytes),
                };
                format!(
                    "read {place}: {:?} {bytes:?}",
                    answer.map_err(|error| error.raw_os_error())
                )
            }
            3..=5 if writes_left > 0 => {
                writes_left -= 1;
                // An empty message to a seqpacket socket is not sent here: if it is unread at a
                // close, some kernels make that a reset and others do not.
                let least = usize::from(end.kind == Kind::Seqpacket);
                let bytes: Vec<u8> = (0..least + random.range(90))
                    .map(|_| random.range(256) as u8)
                    .collect();
                let answer = match end.kind {
                    Kind::Pipe => sys::write(fd, &bytes),
                    _ => sys::send(fd, &bytes),
                };
                format!(
                    "write {place}, {}: {:?}",
                    bytes.len(),
                    answer.map_err(|error| error.raw_os_error())
                )
            }
            6..=7 => {
                let mut events = || {
                    [0, POLLIN, POLLOUT, POLLIN | POLLOUT | POLLRDHUP][random.range(4)] as c_short
                };
                let entry = |end: &End| pollfd {
                    fd: end.number(),
                    events: events(),
                    revents: 0,
                };
                // A closed descriptor may be in the set only once.
                let mut set: Vec<_> = ends
                    .iter()
                    .filter(|end| end.fd.is_some())
                    .map(entry)
                    .collect();
                set.push(pollfd {
                    fd: NOBODY,
                    events: POLLIN,
                    revents: 0,
                });
                let answer = sys::poll(&mut set, Wait::Not).unwrap();
                let said: Vec<_> = set
                    .iter()
                    .map(|entry| (entry.events, entry.revents))
                    .collect();
                format!("poll: {answer} {said:?}")
            }
            8 if end.fd.is_some() && ends.len() < 12 => {
                let fd = sys::duplicate(fd).unwrap().into_number();
                ends.push(End {
                    fd: Some(fd),
                    ..end
                });
                format!(
                    "dup {place}: {:?} {:?}",
                    sys::kind(fd).unwrap(),
                    sys::status_flags(fd).unwrap() & FLAGS
                )
            }
            9 if end.fd.is_some() && random.range(2) == 0 => {
                sys::close(fd);
                ends[place].fd = None;
                format!("close {place}")
            }
            10 if random.range(3) == 0 => {
                let answer = sys::shut_down_write(fd);
                format!(
                    "shutdown {place}: {:?}",
                    answer.map_err(|error| error.raw_os_error())
                )
            }
            _ => continue,
        };
        told.push(line);
    }
    ends.iter().filter_map(|end| end.fd).for_each(sys::close);
    told
}

const FLAGS: libc::c_int = libc::O_ACCMODE | libc::O_NONBLOCK;

#[test]
fn the_simulated_kernel_answers_as_the_real_one() {
    for seed in 0..2000 {
        let real = play(seed, real_ends());
        let mut kernel = Kernel::new(|_| 0);
        let pairs = [
            kernel.pipe(1 << 16),
            kernel.socketpair(1 << 17),
            kernel.message_pair(1 << 17, false),
            kernel.message_pair(1 << 17, true),
        ];
        let (_, simulated) = kernel.run(|| play(seed, ends(pairs)));
        assert_eq!(simulated, real, "seed {seed}");
    }
}

/// Fills a pipe page by page, and empties it by less than a page at a time. The pipe has room again
/// only when a whole page is free.
fn fill((reader, writer): (RawFd, RawFd)) -> (usize, Vec<(usize, c_short)>) {
    for fd in [reader, writer] {
        sys::set_status_flags(fd, sys::status_flags(fd).unwrap() | libc::O_NONBLOCK).unwrap();
    }
    let mut pages = 0;
    while sys::write(writer, &[0; 4096]).is_ok() {
        pages += 1;
    }
    let said = |size: usize| {
        let size = sys::read(reader, &mut vec![0; size]).unwrap();
        let mut set = [pollfd {
            fd: writer,
            events: POLLOUT,
            revents: 0,
        }];
        sys::poll(&mut set, Wait::Until(sys::clock::now().after(1_000_000))).unwrap();
        (size, set[0].revents)
    };
    let told = [1, 4094, 1].map(said).to_vec();
    assert!(sys::write(writer, &[0; 4096]).is_ok());
    assert_eq!(
        sys::write(writer, &[0; 4096]).unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock
    );
    sys::close(reader);
    assert_eq!(
        sys::write(writer, &[0]).unwrap_err().kind(),
        std::io::ErrorKind::BrokenPipe
    );
    sys::close(writer);
    (pages, told)
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_full_pipe_has_room_again_after_a_page() {
    let (pages, real) = fill(real_pipe());
    let mut kernel = Kernel::new(|_| 0);
    let pipe = kernel.pipe(pages * 4096);
    let (_, simulated) = kernel.run(|| fill(pipe));
    assert_eq!(simulated, (pages, real));
}
