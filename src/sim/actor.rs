//! Actors: the programs at the other ends, which run one act after another in simulated time.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use super::table::{Id, Object};
use super::Kernel;
use crate::sys::Kind;

/// One act of an actor. Ends are the indices into the list that the actor was given. Reading an end
/// that it has closed gives an end of file, and writing to it does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Does nothing for this long.
    Sleep(Duration),
    /// Writes all of these bytes to an end. Where messages are kept apart, they are one message. If
    /// nobody reads the other end, the actor ends by SIGPIPE.
    Write(usize, Vec<u8>),
    /// Reads once from an end: 1 to this many bytes, one message, or the end of file.
    Read(usize, usize),
    /// Shuts the sending side of a socket down, and goes on reading.
    ShutDown(usize),
    /// Sends urgent data to a stream socket. Its peer has POLLPRI until it reads.
    Urge(usize),
    /// Reads from an end until its end of file.
    Drain(usize),
    /// Copies all bytes from one end to another, until the end of file, as cat does.
    Copy {
        /// The index of the pipe end that is read.
        from: usize,
        /// The index of the pipe end that is written to.
        to: usize,
    },
    /// Ignores SIGTERM from here on.
    IgnoreTerm,
    /// Closes an end.
    Close(usize),
    /// Starts another actor that shares all ends which are open by then. It stands for a
    /// grandchild, which outlives the child.
    Leave(Vec<Act>),
    /// Ends, with this exit code. An actor with no acts left ends with code 0.
    Exit(i32),
}

/// How many bytes a `Copy` moves at a time.
const CHUNK: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Actor {
    acts: VecDeque<Act>,
    ends: Vec<Option<Id>>,
    /// The actor sleeps until this time.
    wake: Option<Duration>,
    /// Only for a `Copy`: the bytes that were read and not yet written.
    held: Vec<u8>,
    /// How many bytes of `held`, or of the bytes of a `Write`, are written.
    written: usize,
    /// The number of the child that this actor is. None for an actor that is no child.
    pub child: Option<u32>,
    /// The leader of the actor's process group, if the leader is a child.
    pub group: Option<u32>,
    pub is_stopped: bool,
    pub ignores_term: bool,
    is_over: bool,
}

/// The result of one step of an actor.
enum Step {
    /// The act is done, and the next one begins.
    Next,
    /// A part of the act was done.
    Part,
    /// The actor must wait.
    Blocked,
    /// The actor has ended. The number is its status as waitpid(2) returns it.
    Over(i32),
}

impl Kernel {
    /// Starts an actor that does `acts` and has these ends of pipes and sockets.
    pub(super) fn add_actor(
        &mut self,
        acts: Vec<Act>,
        ends: Vec<Option<Id>>,
        child: Option<u32>,
        group: Option<u32>,
    ) {
        ends.iter().flatten().for_each(|&id| self.hold(id));
        let acts = if self.is_over { Vec::new() } else { acts };
        self.actors.push(Actor {
            acts: acts.into(),
            ends,
            child,
            group,
            ..Actor::default()
        });
        self.is_stirred = true;
    }

    /// When the first of the sleeping actors wakes.
    pub(super) fn next_wake(&self) -> Option<Duration> {
        let awake = self.actors.iter().filter(|actor| !actor.is_stopped);
        awake.filter_map(|actor| actor.wake).min()
    }

    /// Lets all actors go on as far as they can at the present time. Returns whether any of them
    /// has done something.
    pub(super) fn run_actors(&mut self) -> bool {
        let is_time = self.next_wake().map_or(false, |at| at <= self.time);
        if !self.is_stirred && !is_time {
            return false;
        }
        let mut has_moved = false;
        loop {
            self.is_stirred = false;
            for index in 0..self.actors.len() {
                has_moved |= self.run_actor(index);
            }
            if !self.is_stirred {
                break;
            }
        }
        self.actors.retain(|actor| !actor.is_over);
        has_moved
    }

    fn run_actor(&mut self, index: usize) -> bool {
        let mut actor = std::mem::take(&mut self.actors[index]);
        let mut has_moved = false;
        while !actor.is_stopped && !actor.is_over {
            match actor.wake {
                Some(wake) if wake > self.time => break,
                _ => actor.wake = None,
            }
            match self.step(&mut actor) {
                Step::Next => {
                    let act = actor.acts.pop_front();
                    actor.written = 0;
                    self.note(|| format!("actor {index}: has done {act:?}"));
                }
                Step::Part => {}
                Step::Blocked => break,
                Step::Over(status) => {
                    self.note(|| format!("actor {index}: over, with {status:#x}"));
                    self.end_actor(&mut actor, status);
                }
            }
            has_moved = true;
        }
        self.actors[index] = actor;
        has_moved
    }

    fn step(&mut self, actor: &mut Actor) -> Step {
        let act = match actor.acts.front_mut() {
            Some(act) => act,
            None => return Step::Over(0),
        };
        match act {
            Act::Sleep(time) => {
                actor.wake = Some(self.time.saturating_add(*time));
                Step::Next
            }
            Act::Write(end, bytes) => {
                let end = at(&actor.ends, *end);
                self.write_part(end, bytes, &mut actor.written, &mut actor.wake)
            }
            Act::Read(end, size) => {
                match self.read_part(
                    at(&actor.ends, *end),
                    *size,
                    &mut actor.held,
                    &mut actor.wake,
                ) {
                    Step::Part => {
                        actor.held.clear();
                        Step::Next
                    }
                    step => step,
                }
            }
            Act::Drain(end) => {
                let step = self.read_part(
                    at(&actor.ends, *end),
                    CHUNK,
                    &mut actor.held,
                    &mut actor.wake,
                );
                actor.held.clear();
                step
            }
            Act::Copy { from, .. } if actor.held.is_empty() => self.read_part(
                at(&actor.ends, *from),
                CHUNK,
                &mut actor.held,
                &mut actor.wake,
            ),
            Act::Copy { to, .. } => {
                let end = at(&actor.ends, *to);
                match self.write_part(end, &actor.held, &mut actor.written, &mut actor.wake) {
                    Step::Next => {
                        actor.held.clear();
                        actor.written = 0;
                        Step::Part
                    }
                    step => step,
                }
            }
            Act::Close(end) => {
                if let Some(id) = actor.ends.get_mut(*end).and_then(Option::take) {
                    self.release(id);
                }
                Step::Next
            }
            Act::IgnoreTerm => {
                actor.ignores_term = true;
                Step::Next
            }
            Act::ShutDown(end) => {
                if let Some(id) = at(&actor.ends, *end) {
                    let _ = self.shut_down(id); // ENOTSOCK
                }
                Step::Next
            }
            Act::Urge(end) => {
                let id = at(&actor.ends, *end);
                if let Some(Object::Socket {
                    output,
                    kind: Kind::Socket,
                    ..
                }) = id.map(|id| &self.descriptions[id].object)
                {
                    self.streams[*output].is_urgent = true;
                }
                Step::Next
            }
            Act::Leave(acts) => {
                let acts = std::mem::take(acts);
                self.add_actor(acts, actor.ends.clone(), None, actor.group);
                Step::Next
            }
            Act::Exit(code) => Step::Over((*code & 0xff) << 8),
        }
    }

    /// Reads for an actor. Returns `Part` if bytes or a message are in `held`, and `Next` if the
    /// act has ended.
    fn read_part(
        &mut self,
        end: Option<Id>,
        size: usize,
        held: &mut Vec<u8>,
        wake: &mut Option<Duration>,
    ) -> Step {
        let id = match end {
            Some(id) if size > 0 => id,
            _ => return Step::Next,
        };
        let keeps_messages = self.keeps_messages(id);
        let has_message = self.has_message(id);
        let there = match self.descriptions[id].object {
            _ if keeps_messages => size,
            Object::Reader(stream) | Object::Socket { input: stream, .. } => {
                self.streams[stream].bytes.len()
            }
            _ => 0,
        };
        let (size, pause) = match keeps_messages {
            true => (size, None),
            false => self.part(there.min(size)),
        };
        held.resize(size.max(1), 0);
        let answer = self.take(id, held);
        held.truncate(*answer.as_ref().unwrap_or(&0));
        match answer {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Step::Blocked,
            Ok(0) if has_message => Step::Part,
            Ok(0) | Err(_) => Step::Next,
            Ok(_) => {
                *wake = pause;
                Step::Part
            }
        }
    }

    /// Whether a message socket has a message, which may be empty.
    fn has_message(&self, id: Id) -> bool {
        match self.descriptions[id].object {
            Object::Socket { input, .. } => !self.streams[input].messages.is_empty(),
            _ => false,
        }
    }

    /// Writes for an actor. Returns `Next` when all bytes are written.
    fn write_part(
        &mut self,
        end: Option<Id>,
        bytes: &[u8],
        written: &mut usize,
        wake: &mut Option<Duration>,
    ) -> Step {
        let rest = &bytes[*written..];
        let (id, keeps_messages) = match end {
            Some(id) if !rest.is_empty() || self.keeps_messages(id) => {
                (id, self.keeps_messages(id))
            }
            _ => return Step::Next,
        };
        let (size, pause) = match keeps_messages {
            true => (rest.len(), None),
            false => self.part(rest.len()),
        };
        match self.put(id, &rest[..size]) {
            Ok(size) => {
                *written += size;
                // The actor pauses only if it could do something. Otherwise time would pass for
                // ever.
                *wake = pause;
                match *written == bytes.len() {
                    true => Step::Next,
                    false => Step::Part,
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Step::Blocked,
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => Step::Over(libc::SIGPIPE),
            Err(_) => Step::Next,
        }
    }

    /// Returns how many of `size` bytes an actor moves, and until when it sleeps after that.
    fn part(&mut self, size: usize) -> (usize, Option<Duration>) {
        if size < 2 || !self.hit(self.faults.actors_pause, "actor pauses") {
            return (size, None);
        }
        let pause = Duration::from_micros(1 + u64::from(self.choose(2000)));
        (
            1 + self.choose(size as u32 - 1) as usize,
            Some(self.time + pause),
        )
    }

    fn end_actor(&mut self, actor: &mut Actor, status: i32) {
        actor.is_over = true;
        actor.wake = None;
        for end in &mut actor.ends {
            if let Some(id) = end.take() {
                self.release(id);
            }
        }
        if let Some(child) = actor.child {
            self.exit_child(child, status);
        }
    }

    /// Ends the actors for which `is_meant` is true.
    pub(super) fn end_those(&mut self, status: i32, is_meant: impl Fn(&Actor) -> bool) {
        while let Some(index) = self.actors.iter().position(&is_meant) {
            let mut actor = self.actors.swap_remove(index);
            self.end_actor(&mut actor, status);
        }
    }

    /// Ends all actors.
    pub(super) fn end_actors(&mut self) {
        for mut actor in std::mem::take(&mut self.actors) {
            self.end_actor(&mut actor, 0);
        }
    }
}

/// The description of the end with this number. None if the end is closed.
fn at(ends: &[Option<Id>], number: usize) -> Option<Id> {
    ends.get(number).copied().flatten()
}
