//! What the simulated kernel may do wrong, and how often.

/// How often each fault happens: a probability in 256ths. A fault of 0 never happens, and costs no
/// choice.
///
/// Each fault is allowed by a manual page, or was seen in a kernel. An error does not stay: the
/// next call may succeed. Several faults let time pass. An operation can also miss bytes that came
/// just before its deadline, because poll(2) withholds its answer, or a call fails with EAGAIN. A
/// test of times must allow for that.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// poll: EINTR, at once or after a part of its time.
    pub poll_eintr: u8,
    /// poll: ENOMEM.
    pub poll_enomem: u8,
    /// poll: EAGAIN, which other Unixes return for a lack of memory.
    pub poll_eagain: u8,
    /// poll: reports an event that was asked for and is not true. It does not do so for a pipe
    /// without O_NONBLOCK, where only a true answer keeps a call from waiting.
    pub poll_spurious: u8,
    /// poll: leaves out some of the true events. If that leaves no event before its time is over,
    /// it fails with EINTR a little later.
    pub poll_withheld: u8,
    /// poll: returns up to 50 ms later than it could.
    pub poll_oversleeps: u8,

    /// poll: reports ERR for a socket, although no call on the socket fails. This lasts until the
    /// fault happens again.
    pub error_queue: u8,

    /// read: EINTR.
    pub read_eintr: u8,
    /// read: EAGAIN although there are bytes, where a call never waits.
    pub read_eagain: u8,
    /// read: fewer bytes than there are.
    pub read_short: u8,
    /// read: EIO, also of a terminal that is not hung up.
    pub read_eio: u8,
    /// read: ENOMEM.
    pub read_enomem: u8,
    /// recv: ENOBUFS.
    pub read_enobufs: u8,
    /// recv: ECONNRESET, although the peer is well.
    pub read_econnreset: u8,
    /// recv: ETIMEDOUT.
    pub read_etimedout: u8,
    /// recvmsg: ECONNREFUSED, of a datagram that nobody took (udp(7)).
    pub read_econnrefused: u8,
    /// RWF_NOWAIT: an open file description refuses it for ever. This is decided at the first read.
    pub nowait_unsupported: u8,

    /// write: EINTR.
    pub write_eintr: u8,
    /// write: EAGAIN although something fits. This happens only to calls that never wait.
    pub write_eagain: u8,
    /// write: fewer bytes than fit. This does not happen where a pipe or a message socket takes all
    /// bytes or none.
    pub write_short: u8,
    /// write: EIO.
    pub write_eio: u8,
    /// write: ENOMEM.
    pub write_enomem: u8,
    /// write: ENOSPC, of a regular file.
    pub write_enospc: u8,
    /// write: EDQUOT, of a regular file.
    pub write_edquot: u8,
    /// send: ENOBUFS.
    pub write_enobufs: u8,
    /// send: ECONNRESET, although the peer is well.
    pub write_econnreset: u8,
    /// shutdown: ENOTCONN.
    pub shutdown_enotconn: u8,

    /// Any call: the clock jumps forward by up to three seconds before it.
    pub clock_jumps: u8,
    /// Any call: the actors do not run before it.
    pub actors_lag: u8,
    /// An actor moves only a part of its bytes, and then sleeps for up to 2 ms.
    pub actors_pause: u8,

    /// A read: the second user of the open file description reads before it. This rate and the next
    /// one are no faults, so a swarm does not choose them.
    pub second_user_reads: u8,
    /// A write: a second user of the open file description writes before it.
    pub second_user_writes: u8,

    /// fstat: ENOMEM.
    pub stat_enomem: u8,
    /// dup: EMFILE.
    pub dup_emfile: u8,
    /// The wake pipe: EMFILE.
    pub wake_pipe_emfile: u8,
    /// The wake pipe: ENFILE.
    pub wake_pipe_enfile: u8,

    /// spawn: EMFILE.
    pub spawn_emfile: u8,
    /// spawn: EAGAIN.
    pub spawn_eagain: u8,
    /// spawn: ENOMEM.
    pub spawn_enomem: u8,
    /// pidfd_open: ENOSYS.
    pub pidfd_enosys: u8,
    /// pidfd_open: EPERM, of a sandbox.
    pub pidfd_eperm: u8,
    /// pidfd_open: EMFILE.
    pub pidfd_emfile: u8,
    /// pidfd_open: ENFILE.
    pub pidfd_enfile: u8,
    /// pidfd_open: ENOMEM.
    pub pidfd_enomem: u8,
    /// waitpid: says that a child runs although it has exited. That happens a few times at most.
    pub wait_not_yet: u8,
    /// waitpid: ECHILD, because something else has reaped the child.
    pub wait_echild: u8,
    /// waitpid: EPERM, of a sandbox.
    pub wait_eperm: u8,
    /// kill: EPERM.
    pub kill_eperm: u8,
    /// Any call: before it, something else kills a child.
    pub child_killed: u8,
}

impl Faults {
    /// No faults.
    pub fn none() -> Faults {
        Faults::default()
    }

    /// Each kind of fault is off in half of the runs, and rare to frequent in the others. A bug
    /// that one fault hides shows in the runs without that fault (Groce and others, "Swarm
    /// testing", 2012).
    pub fn swarm(choose: &mut dyn FnMut(u32) -> u32) -> Faults {
        let mut rate = || match choose(8) {
            0..=3 => 0,
            4 => 1,
            5 => 4,
            6 => 16,
            _ => 64,
        };
        Faults {
            poll_eintr: rate(),
            poll_enomem: rate(),
            poll_eagain: rate(),
            poll_spurious: rate(),
            poll_withheld: rate(),
            poll_oversleeps: rate(),
            read_eintr: rate(),
            read_eagain: rate(),
            read_short: rate(),
            read_eio: rate(),
            read_enomem: rate(),
            read_enobufs: rate(),
            read_econnreset: rate(),
            read_etimedout: rate(),
            nowait_unsupported: rate(),
            write_eintr: rate(),
            write_eagain: rate(),
            write_short: rate(),
            write_eio: rate(),
            write_enomem: rate(),
            write_enospc: rate(),
            write_edquot: rate(),
            write_enobufs: rate(),
            write_econnreset: rate(),
            clock_jumps: rate(),
            actors_lag: rate(),
            actors_pause: rate(),
            stat_enomem: rate(),
            dup_emfile: rate(),
            wake_pipe_emfile: rate(),
            wake_pipe_enfile: rate(),
            spawn_emfile: rate(),
            spawn_eagain: rate(),
            spawn_enomem: rate(),
            pidfd_enosys: rate(),
            pidfd_emfile: rate(),
            pidfd_enfile: rate(),
            pidfd_enomem: rate(),
            wait_not_yet: rate(),
            wait_echild: rate(),
            kill_eperm: rate(),
            child_killed: rate(),
            error_queue: rate(),
            pidfd_eperm: rate(),
            wait_eperm: rate(),
            read_econnrefused: rate(),
            shutdown_enotconn: rate(),
            ..Faults::none()
        }
    }
}
