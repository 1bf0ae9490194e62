//! A conversation with a child: what outlives a communicate that was cut. What was collected is in
//! the streams' buffers.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

use super::input::Feed;
use super::processes::Processes;
use super::streams::{Entry, Front, Streams};
use super::waiters::Waiters;
use crate::machine::communicate::{Answer, Child, Communicator, Given, Input, Stdin};
use crate::task_table::Key;

/// See the head of this file.
pub(crate) struct Conversation {
    /// How far it has come.
    pub machine: Communicator,
    /// What is left to be fed.
    pub input: Feed,
    /// The communicates under way, in the order they were waited for. The front leads the
    /// conversation.
    pub waiters: Waiters,
}

/// What is known in one advance, besides the streams.
pub(crate) struct Terms {
    pub key: Key,
    pub child: Child,
    /// There will be no other time: poll(2) is asked for what it has not told of.
    pub is_last: bool,
    /// stdin's reader has gone.
    pub is_hung_up: bool,
    pub limit: usize,
}

impl Conversation {
    /// That with these children: the same for each communicate.
    pub fn with(processes: &Processes) -> Rc<RefCell<Conversation>> {
        let mut kept = processes.conversation.borrow_mut();
        let known = kept.clone().and_then(|kept| kept.downcast().ok());
        known.unwrap_or_else(|| {
            let [_, stdout, stderr] = processes.streams();
            let conversation = Rc::new(RefCell::new(Conversation {
                machine: Communicator::new(!stdout.is_absent(), !stderr.is_absent()),
                input: Feed::Nothing,
                waiters: Waiters::new(),
            }));
            *kept = Some(Rc::clone(&conversation) as Rc<dyn Any>);
            conversation
        })
    }

    /// Whether this task's communicate leads it, or would.
    pub fn is_led_by(&self, key: Key) -> bool {
        self.waiters.front().map_or(true, |front| front == key)
    }

    /// One advance of the machine, with those streams that are this task's to use.
    pub fn advance<'a>(&mut self, streams: &'a Streams, terms: &Terms) -> Answer {
        // poll(2) may have looked at a stream before the child said its last, and at the pidfd
        // after that: once the child has ended, it is asked again.
        let has_ended = terms.child != Child::Running;
        let front = |entry: &'a Entry| entry.front(terms.key, terms.is_last, has_ended);
        let (mut stdin, mut stdout) = (front(&streams.stdin), front(&streams.stdout));
        let mut stderr = front(&streams.stderr);
        let mut source = streams.source.as_ref().and_then(front);
        let mut few = [0; 16];
        let answer = self.machine.advance(Given {
            input: match (&mut self.input, &mut source) {
                (Feed::Nothing | Feed::Broken(_), _) => Input::None,
                (Feed::Bytes(data), _) => Input::Bytes(&data.bytes(&mut few)[self.machine.fed()..]),
                (Feed::Stream(_), Some(front)) => {
                    Input::Stream(&mut front.state.inflow, &mut front.calls)
                }
                (Feed::Stream(_), None) => Input::Elsewhere,
            },
            stdin: stdin.as_mut().map(|front| Stdin {
                sink: &mut front.calls,
                is_hung_up: terms.is_hung_up,
            }),
            stdout: stdout.as_mut().map(Front::tap),
            stderr: stderr.as_mut().map(Front::tap),
            child: terms.child,
            is_last: terms.is_last,
            limit: terms.limit,
        });
        let readers = [stdout, stderr, source].into_iter().flatten();
        readers.for_each(Front::has_read);
        answer
    }
}
