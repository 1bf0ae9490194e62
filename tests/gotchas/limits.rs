//! Sizes the kernel does not promise: gotchas 6 and 16.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;

use asyncfile::{done, wait, yield_now, AsyncFile, Scheduler};

use crate::descriptors::{alone, guard, idle, ms, pattern, pipe_to, sockets, Test};

// --------------------------------------- 6. `nfds` above RLIMIT_NOFILE is EINVAL, even for fd = -1

/// Both directions of both ends of `pairs` sockets at once: each of the four has its own reader and
/// writer, and all of them wait.
fn move_data_through(pairs: usize, bytes: usize) -> Test {
    let data: std::rc::Rc<[u8]> = pattern(bytes).into();
    let mut files = Vec::new();
    for _ in 0..pairs {
        let (left, right) = UnixStream::pair()?;
        files.extend([AsyncFile::new(left)?, AsyncFile::new(right)?]);
    }
    let complete = Cell::new(0);
    let mut sched = Scheduler::new();
    for file in &files {
        let (data, complete) = (&data, &complete);
        sched.spawn(file.write(data.clone()).full(), |task| {
            complete.set(complete.get() + usize::from(task.written()? == data.len()));
            done(())
        });
        sched.spawn(file.read(bytes).full(), move |task| {
            complete.set(complete.get() + usize::from(task.bytes()? == &data[..]));
            done(())
        });
    }
    sched.run()?;
    assert_eq!(complete.get(), 4 * pairs);
    Ok(())
}

#[test]
fn nearly_all_descriptors_can_wait_in_both_directions_at_once() -> Test {
    alone(|| {
        let _guard = guard();
        const LIMIT: u64 = 64;
        let limit = libc::rlimit {
            rlim_cur: LIMIT as libc::rlim_t,
            rlim_max: LIMIT as libc::rlim_t,
        };
        // SAFETY: a valid struct; the limit is that of this process alone.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
        // As many pairs as fit, found by trying, so that all but at most one of the descriptors are
        // in use.
        let mut pairs = Vec::new();
        while let Ok(pair) = UnixStream::pair() {
            pairs.push(pair);
        }
        let fitting = pairs.len();
        assert!(
            4 * fitting as u64 > LIMIT,
            "an entry for each direction would be more than the limit"
        );
        drop(pairs);
        // Descriptors that were given back leave no holes: the third round has as much room as the
        // first.
        for _ in 0..3 {
            move_data_through(fitting, 1 << 20)?;
        }
        Ok(())
    })
}

#[test]
fn descriptors_that_come_and_go_during_one_run_leave_no_holes_in_the_set() -> Test {
    alone(|| {
        let _guard = guard();
        const LIMIT: libc::rlim_t = 32;
        let limit = libc::rlimit {
            rlim_cur: LIMIT,
            rlim_max: LIMIT,
        };
        // SAFETY: as above.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
        let (anchor, _kept) = sockets()?;
        let mut sched = Scheduler::new();
        let forever = sched.spawn(anchor.readline(), |task| done(task.line().is_err()));
        for _ in 0..4 * LIMIT {
            let (file, mut peer) = sockets()?;
            let reader = sched.spawn(file.readline(), |task| done(task.line()?.is_some()));
            let mut set = Vec::new();
            idle(&mut sched, &mut set)?;
            assert_eq!(set.len(), 2);
            peer.write_all(b"a line\n")?;
            assert!(sched.join(reader)?);
        }
        forever.cancel();
        Ok(sched.run()?)
    })
}

// -------------------------------------------- 16. POLLOUT does not mean that the whole buffer fits

#[test]
fn a_write_ends_with_what_there_was_room_for() -> Test {
    let _guard = guard();
    let (mut reader, file) = pipe_to()?;
    let data = pattern(1 << 20);
    let mut sched = Scheduler::new();
    let first = sched.block_on(file.write(&data))?;
    assert!(
        (1..data.len()).contains(&first),
        "a pipe has no room for {first} bytes"
    );
    // A page of room is enough for POLLOUT, and too little for two pages.
    let mut got = vec![0; 4096];
    reader.read_exact(&mut got)?;
    let second = sched.block_on(file.write(&data[first..first + 8192]).timeout(ms(60_000)))?;
    assert!((1..=8192).contains(&second));
    drop(file);
    reader.read_to_end(&mut got)?;
    assert!(
        got == data[..first + second],
        "the count is what the kernel took"
    );
    Ok(())
}

#[test]
fn a_full_write_goes_on_where_the_last_one_ended() -> Test {
    let _guard = guard();
    let data = pattern(3 << 20);
    for over_a_socket in [false, true] {
        let (file, mut reader): (AsyncFile, Box<dyn Read + Send>) = if over_a_socket {
            let (file, peer) = sockets()?;
            (file, Box::new(peer))
        } else {
            let (reader, file) = pipe_to()?;
            (file, Box::new(reader))
        };
        let other_side = thread::spawn(move || -> io::Result<Vec<u8>> {
            let mut got = Vec::new();
            let mut piece = [0; 1021];
            loop {
                match reader.read(&mut piece)? {
                    0 => return Ok(got),
                    n => got.extend_from_slice(&piece[..n]),
                }
            }
        });
        let mut chunks = data.chunks(1 << 20);
        let mut sched = Scheduler::new();
        let writer = sched.spawn(yield_now(), |task| {
            task.ok()?;
            match chunks.next() {
                Some(chunk) => wait(file.write(chunk).full()),
                None => {
                    file.close();
                    done(())
                }
            }
        });
        sched.join(writer)?;
        assert!(other_side.join().unwrap()? == data);
    }
    Ok(())
}
