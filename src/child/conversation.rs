//! A conversation with a child. The conversation outlives a `communicate` that ends before the
//! child ends. The output that was collected is in the buffers of the streams.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

use super::input::Feed;
use super::processes::Processes;
use super::streams::{Entry, Front, Streams};
use super::waiters::Waiters;
use crate::machine::communicate::{Answer, Child, Communicator, Given, Input, Stdin};
use crate::task_table::Key;

/// A conversation with a child: see the head of this file.
pub(crate) struct Conversation {
    /// The machine, which knows how far the conversation has come.
    pub machine: Communicator,
    /// The input, until all of it is fed. If it is bytes, `machine.fed()` of them are fed already.
    pub input: Feed,
    /// The tasks whose communicates have begun, the oldest first. The front task leads: it alone
    /// advances the machine.
    pub waiters: Waiters,
}

/// What the machine is given for one advance, besides the streams.
pub(crate) struct Terms {
    pub key: Key,
    pub child: Child,
    /// Whether this is the last advance, because the deadline or the end of the linger time has
    /// come. poll(2) is asked once more then.
    pub is_last: bool,
    /// Whether the reader of stdin has gone.
    pub is_hung_up: bool,
    pub limit: usize,
}

impl Conversation {
    /// The conversation with these children. All communicates of one pipe share it.
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

    /// True if this task leads the conversation: it is the front of `waiters`, or no task waits.
    pub fn is_led_by(&self, key: Key) -> bool {
        self.waiters.front().map_or(true, |front| front == key)
    }

    /// Advances the machine. It is given only those streams in whose queues this task is the front.
    pub fn advance<'a>(&mut self, streams: &'a Streams, terms: &Terms) -> Answer {
        // One poll(2) may look at a stream before the child's last write, and at the pidfd after
        // the child's end. So once the child has ended, poll(2) is asked about the streams again.
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
        readers.for_each(Front::after_read);
        answer
    }
}
