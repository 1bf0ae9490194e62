//! The model beside a program: every file, every child, every task, as they must be.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::os::unix::io::{AsRawFd, RawFd};
use std::time::Duration;

use asyncfile::sim::{self, Passed};
use asyncfile::{
    AsyncFile, AsyncPipe, End, JoinHandle, Queue, Receiver, Remote, Sender, TaskError,
};

use super::messages::Messages;
use super::operations::Model;

pub type FileId = usize;
pub type TaskId = usize;
pub type PipeId = usize;
pub type StreamId = usize;

#[derive(Default)]
pub struct World {
    pub files: RefCell<Vec<File>>,
    pub pipes: RefCell<Vec<Pipe>>,
    /// What is on its way between two files.
    pub streams: RefCell<Vec<Stream>>,
    /// How many sockets were given to the library: each is asked for its type once.
    pub sockets: Cell<u64>,
    pub tasks: RefCell<Vec<Task>>,
    /// Failures of tasks that nobody has a handle for: to come out of the next drive, once.
    pub owed: RefCell<Vec<String>>,
    /// Those of tasks that did not look whether they had failed.
    pub perhaps_owed: Cell<usize>,
    pub channel: RefCell<Channel>,
    pub queue: RefCell<QueueModel>,
    pub remote: RefCell<Option<Remote>>,
    /// Closures sent by a Remote.
    pub sent_calls: Cell<u64>,
    /// Those of them that were called.
    pub called: std::sync::Arc<std::sync::atomic::AtomicU64>,
    pub ends: RefCell<BTreeMap<(&'static str, String), u64>>,
    /// The kernel does nothing unusual.
    pub is_calm: bool,
    /// A descriptor was closed behind the library's back, or its number may be another file's:
    /// every call may fail.
    pub is_tainted: Cell<bool>,
    pub traces: bool,
    /// Each resume's task.
    pub order: RefCell<Vec<TaskId>>,
    /// Numbers of what somebody else uses, too: the library has duplicates.
    pub shared: RefCell<Vec<RawFd>>,
    /// A Remote has asked for a stop since the last drive was looked at.
    pub is_stopped: Cell<bool>,
    /// The task that is being resumed does not look whether its operation has failed.
    pub is_looking_away: Cell<bool>,
    /// Nobody begins anything any more.
    pub is_finale: Cell<bool>,
    /// Failures go to `on_failure`, and not out of a drive.
    pub are_failures_told: Cell<bool>,
}

/// A queue between tasks, what is in it, and who waits for it, in order.
#[derive(Default)]
pub struct QueueModel {
    pub handle: Option<Queue<u64>>,
    pub capacity: usize,
    pub items: VecDeque<u64>,
    pub next: u64,
    pub is_closed: bool,
    /// For an item, and for room.
    pub waiters: [VecDeque<TaskId>; 2],
}

impl QueueModel {
    /// Whether there is room, or an item.
    pub fn has(&self, room: bool) -> bool {
        match room {
            true => self.items.len() < self.capacity && !self.is_closed,
            false => !self.items.is_empty(),
        }
    }

    /// Something for this task, and it is its turn.
    pub fn has_for(&self, room: bool, task: TaskId) -> bool {
        self.has(room) && self.waiters[usize::from(room)].front() == Some(&task)
    }

    pub fn push(&mut self) {
        let handle = match self.handle.clone() {
            Some(handle) => handle,
            None => return,
        };
        let pushed = handle.push(self.next);
        match self.has(true) {
            true => {
                assert_eq!(pushed, Ok(()), "there is room");
                self.items.push_back(self.next);
            }
            false => assert_eq!(pushed, Err(self.next), "it comes back"),
        }
        self.next += 1;
        assert_eq!(handle.len(), self.items.len());
    }

    pub fn pop(&mut self) {
        if let Some(handle) = self.handle.clone() {
            assert_eq!(handle.pop(), self.items.pop_front(), "items in their order");
            assert_eq!(handle.len(), self.items.len());
        }
    }

    pub fn close(&mut self) {
        if let Some(handle) = &self.handle {
            handle.close();
            self.is_closed = true;
        }
    }
}

/// What goes in at one file and is to come out at another: bytes, or messages.
#[derive(Default)]
pub struct Stream {
    pub bytes: VecDeque<u8>,
    pub messages: VecDeque<Vec<u8>>,
    /// Nothing goes in any more: its sender has been shut down, or is closed.
    pub is_over: bool,
}

/// What threads have sent, in order.
#[derive(Default)]
pub struct Channel {
    pub sender: Option<Sender<u64>>,
    pub receiver: Option<Receiver<u64>>,
    pub sent: u64,
    pub received: u64,
}

/// An open file.
pub struct File {
    pub fd: RawFd,
    /// None: a child's stream, which its pipe has.
    pub handle: Option<AsyncFile>,
    pub of: Option<(PipeId, usize)>,
    /// All that the kernel gave for it, and how much of that was handed over.
    pub came: Vec<u8>,
    pub delivered: usize,
    /// The kernel has said that there is no more.
    pub has_ended: bool,
    /// Who waits to read, in order.
    pub readers: VecDeque<TaskId>,
    pub writers: VecDeque<Writer>,
    pub is_closed: bool,
    pub is_regular: bool,
    pub is_socket: bool,
    /// Of a socket: it sends no more.
    pub is_shut: bool,
    /// Of a socket that keeps messages apart.
    pub messages: Option<Messages>,
    /// Tasks may read it. (One that the driver reads from outside is neither readable nor writable,
    /// so that no task does.)
    pub is_readable: bool,
    pub is_writable: bool,
    /// Its other end is an actor's: it goes at the finale.
    pub has_actor: bool,
    /// Another process has its open file description, too.
    pub is_shared: bool,
    /// Its descriptor is another one's duplicate, which stays open.
    pub is_duplicate: bool,
    /// The stream that it reads from, and that it writes to, if both of its ends are files here.
    pub input: Option<StreamId>,
    pub output: Option<StreamId>,
}

impl File {
    /// Whether it can be read, and written, and has an actor at its other end.
    pub fn abilities(&self) -> [bool; 3] {
        [self.is_readable, self.is_writable, self.has_actor]
    }

    /// Whether it is a socket whose peer is not told when it sends no more.
    pub fn is_datagram(&self) -> bool {
        self.messages
            .as_ref()
            .map_or(false, |messages| !messages.have_end)
    }
}

/// A write that waits, or goes on.
pub struct Writer {
    pub task: TaskId,
    pub intent: Intent,
    pub taken: usize,
    /// How many messages the kernel took.
    pub messages: usize,
}

/// What a writer writes.
pub enum Intent {
    Data(Vec<u8>),
    /// What is left of its pipe's input.
    Feed,
    /// Nothing, and nothing after it.
    ShutDown,
}

/// A child, or several.
pub struct Pipe {
    pub pipe: AsyncPipe,
    /// stdin, stdout, stderr.
    pub files: [Option<FileId>; 3],
    pub input: Input,
    /// How many communicates wait.
    pub busy: usize,
    /// One has ended well: the next ones have nothing to give.
    pub is_over: bool,
}

/// What a communicate has not fed yet.
pub enum Input {
    Nothing,
    Bytes(Vec<u8>),
    Stream(FileId),
}

/// How a task is to end, or has.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    Running,
    Done(u32),
    Failed(String),
    Panicked(String),
    Cancelled,
    /// It did not look whether its operation had failed.
    DoneOrFailed(u32),
}

pub struct Task {
    pub handle: Option<JoinHandle<u32>>,
    /// What it waits for, and since when.
    pub model: Option<Model>,
    pub since: Duration,
    pub ending: Ending,
    /// Its result was taken, or given up with the handle.
    pub is_told: bool,
    /// How often its body was dropped.
    pub drops: u32,
    pub ops_left: u32,
}

pub fn now() -> Duration {
    sim::with(|kernel| kernel.time()).expect("a program runs on a kernel")
}

impl World {
    pub fn trace(&self, line: impl FnOnce() -> String) {
        if self.traces {
            eprintln!("{:>12?}  {}", now(), line());
        }
    }

    pub fn count(&self, name: &'static str, end: String) {
        *self.ends.borrow_mut().entry((name, end)).or_default() += 1;
    }

    /// Takes in what the kernel has given and taken since it was asked last.
    pub fn sync(&self) {
        let passed = sim::with(|kernel| kernel.take_passed()).expect("a kernel");
        if self.is_tainted.get() {
            return; // whose a number is cannot be known
        }
        let mut files = self.files.borrow_mut();
        for (fd, passed) in passed {
            let id = match files.iter().rposition(|file| file.fd == fd) {
                Some(id) => id,
                None => continue, // the wake pipe's
            };
            let file = &mut files[id];
            match passed {
                Passed::Read(bytes) => {
                    file.has_ended |= bytes.is_empty();
                    file.came.extend_from_slice(&bytes);
                    match &mut file.messages {
                        Some(messages) => messages.end(),
                        None => self.take_out(file, &bytes),
                    }
                }
                Passed::Written(bytes) => {
                    self.put_in(file, &bytes);
                    self.has_written(&mut files, id, &bytes);
                }
                Passed::ReadByAnother(bytes) => {
                    self.take_out(file, &bytes);
                    self.count("second user", "Read".into());
                }
                Passed::WrittenByAnother(bytes) => {
                    self.put_in(file, &bytes);
                    self.count("second user", "Written".into());
                }
                Passed::Message {
                    message,
                    came,
                    is_peek,
                } => {
                    if !is_peek {
                        self.take_out(file, &message);
                    }
                    let messages = file.messages.as_mut().expect("it keeps messages apart");
                    messages.receive(message, came, is_peek);
                }
                Passed::Lost => {
                    if let Some(stream) = file.input {
                        self.streams.borrow_mut()[stream].messages.clear();
                    }
                    self.count("messages", "Lost".into());
                }
                Passed::ShutDown => {
                    let is_meant = |writer: &Writer| matches!(writer.intent, Intent::ShutDown);
                    assert!(
                        file.writers.front().map_or(false, is_meant),
                        "fd {fd} is shut down before its turn"
                    );
                    file.is_shut = true;
                    self.end_stream(file);
                }
            }
        }
    }

    fn put_in(&self, file: &File, bytes: &[u8]) {
        if let Some(stream) = file.output {
            let stream = &mut self.streams.borrow_mut()[stream];
            match file.messages {
                Some(_) => stream.messages.push_back(bytes.to_vec()),
                None => stream.bytes.extend(bytes),
            }
        }
    }

    fn take_out(&self, file: &File, bytes: &[u8]) {
        let stream = match file.input {
            Some(stream) => &mut self.streams.borrow_mut()[stream],
            None => return,
        };
        if file.messages.is_some() {
            let next = stream.messages.pop_front();
            assert_eq!(next.as_deref(), Some(bytes), "the message that was next");
            return;
        }
        let bytes_of = &mut stream.bytes;
        assert!(
            bytes_of.len() >= bytes.len()
                && bytes_of.drain(..bytes.len()).eq(bytes.iter().copied()),
            "other bytes come out than went in"
        );
    }

    fn end_stream(&self, file: &File) {
        if let (Some(stream), false) = (file.output, file.is_datagram()) {
            self.streams.borrow_mut()[stream].is_over = true;
        }
    }

    /// A task has written these.
    fn has_written(&self, files: &mut [File], id: FileId, bytes: &[u8]) {
        let file = &mut files[id];
        let fd = file.fd;
        let writer = match file.writers.front_mut() {
            Some(writer) => writer,
            None => panic!(
                "{} bytes were written to fd {fd}, and nobody writes there",
                bytes.len()
            ),
        };
        match &writer.intent {
            Intent::Data(data) if file.messages.is_some() => {
                assert!(
                    bytes == data && writer.messages == 0,
                    "fd {fd} got another message than its first writer's"
                );
                (writer.taken, writer.messages) = (bytes.len(), 1);
                self.count("messages", "Sent".into());
            }
            Intent::Data(data) => {
                let rest = &data[writer.taken..];
                assert!(
                    rest.starts_with(bytes),
                    "fd {fd} got other bytes than its first writer's next ones"
                );
                writer.taken += bytes.len();
            }
            Intent::Feed => {
                let (pipe, _) = file.of.expect("only a child is communicated with");
                self.feed(files, pipe, bytes);
            }
            Intent::ShutDown => panic!("fd {fd} was written to before its turn"),
        }
    }

    /// This file is a socket. `messages`: it keeps them apart. One that was not taken over was asked
    /// for its type, too.
    pub fn has_socket(&self, id: Option<FileId>, messages: Option<Messages>) {
        self.sockets.set(self.sockets.get() + 1);
        if let Some(id) = id {
            let file = &mut self.files.borrow_mut()[id];
            (file.is_socket, file.messages) = (true, messages);
        }
    }

    /// Whether all that is to come to a reader of this file has come at the finale, and its end.
    pub fn will_end(&self, file: &File) -> bool {
        let is_over = |stream: StreamId| self.streams.borrow()[stream].is_over;
        !file.is_datagram() && (file.has_actor || file.input.map_or(false, is_over))
    }

    /// The descriptor of this file was taken over once more, as that one, or is closed.
    pub fn has_followed(&self, old: FileId, new: Option<FileId>) {
        let (is_socket, is_shut, messages) = {
            let file = &self.files.borrow()[old];
            let messages = file.messages.as_ref().map(Messages::of_same_kind);
            (file.is_socket, file.is_shut, messages)
        };
        if is_socket {
            self.has_socket(new, messages);
        }
        let files = &mut *self.files.borrow_mut();
        let new = match new {
            Some(new) => new,
            None => return,
        };
        files[new].is_shared = files[old].is_shared;
        files[new].is_duplicate = files[old].is_duplicate;
        (files[new].input, files[new].output) = (files[old].input, files[old].output);
        files[new].is_shut = is_shut;
        files[new].is_regular = files[old].is_regular;
        if let (Some(stream), false) = (files[new].output, is_shut) {
            self.streams.borrow_mut()[stream].is_over = false;
        }
    }

    /// What is written to one comes out at the other.
    pub fn connect(&self, from: Option<FileId>, to: Option<FileId>) {
        let mut streams = self.streams.borrow_mut();
        let mut files = self.files.borrow_mut();
        if let (Some(from), Some(to)) = (from, to) {
            files[from].output = Some(streams.len());
            files[to].input = Some(streams.len());
            streams.push(Stream::default());
        }
    }

    /// A communicate has fed these.
    fn feed(&self, files: &mut [File], pipe: PipeId, bytes: &[u8]) {
        match &mut self.pipes.borrow_mut()[pipe].input {
            Input::Nothing => panic!("a communicate without input has fed {} bytes", bytes.len()),
            Input::Bytes(rest) => {
                assert!(
                    rest.starts_with(bytes),
                    "a communicate has fed other bytes than its input's next ones"
                );
                rest.drain(..bytes.len());
            }
            Input::Stream(source) => {
                let source = &mut files[*source];
                let rest = &source.came[source.delivered..];
                assert!(
                    rest.starts_with(bytes),
                    "a communicate has fed other bytes than its source's next ones"
                );
                source.delivered += bytes.len();
            }
        }
    }

    /// The task was handed these bytes of this file.
    pub fn deliver(&self, task: TaskId, file: FileId, bytes: &[u8]) {
        let file = &mut self.files.borrow_mut()[file];
        if bytes.is_empty() || self.is_tainted.get() {
            return;
        }
        let rest = &file.came[file.delivered..];
        assert!(
            rest.starts_with(bytes),
            "task {task} was handed {bytes:?} of fd {}, and next are {rest:?}",
            file.fd
        );
        file.delivered += bytes.len();
    }

    /// The task was shown these bytes of this file: they stay.
    pub fn show(&self, task: TaskId, file: FileId, bytes: &[u8]) {
        let file = &self.files.borrow()[file];
        assert!(
            self.is_tainted.get() || file.came[file.delivered..].starts_with(bytes),
            "task {task} was shown {bytes:?} of fd {}",
            file.fd
        );
    }

    /// It is this task's turn to have something of this file.
    pub fn is_its_turn(&self, task: TaskId, file: FileId) -> bool {
        let (files, tasks) = (self.files.borrow(), self.tasks.borrow());
        // A communicate whose child reads no more has left its source.
        let may_have_left = |reader: &TaskId| {
            files[file].of.is_none()
                && matches!(tasks[*reader].model, Some(Model::Communicate { .. }))
        };
        files[file]
            .readers
            .iter()
            .find(|reader| **reader == task || !may_have_left(reader))
            == Some(&task)
    }

    /// Another communicate with this child waited before this task's.
    pub fn is_anothers(&self, task: TaskId, pipe: PipeId) -> bool {
        let (files, tasks) = (self.files.borrow(), self.tasks.borrow());
        let is_another = |reader: &TaskId| {
            let talks = |part: &Model| matches!(part, Model::Communicate { pipe: other, .. } if *other == pipe);
            *reader != task
                && tasks[*reader]
                    .model
                    .as_ref()
                    .is_some_and(|model| model.any(&talks))
        };
        let [_, stdout, stderr] = self.pipes.borrow()[pipe].files;
        let mut streams = stdout.into_iter().chain(stderr);
        streams.any(|stream| {
            files[stream]
                .readers
                .iter()
                .take_while(|reader| **reader != task)
                .any(is_another)
        })
    }

    /// The task waits no more, wherever it did.
    pub fn leave(&self, task: TaskId) {
        for file in self.files.borrow_mut().iter_mut() {
            file.readers.retain(|reader| *reader != task);
            file.writers.retain(|writer| writer.task != task);
        }
        for waiters in &mut self.queue.borrow_mut().waiters {
            waiters.retain(|waiter| *waiter != task);
        }
        let model = self.tasks.borrow_mut()[task].model.take();
        if let Some(Model::Communicate { pipe, .. }) = model {
            let pipe = &mut self.pipes.borrow_mut()[pipe];
            pipe.busy -= 1;
        }
    }

    /// The task has ended, or is marked to.
    pub fn end(&self, task: TaskId, ending: Ending) {
        self.leave(task);
        let mut tasks = self.tasks.borrow_mut();
        let task = &mut tasks[task];
        assert_eq!(task.ending, Ending::Running, "a task ends once");
        task.ending = ending;
        if task.handle.is_none() {
            self.owe(task);
        }
    }

    /// Nobody has a handle: a failure is everybody's.
    fn owe(&self, task: &mut Task) {
        task.is_told = true;
        match &task.ending {
            Ending::Failed(message) | Ending::Panicked(message) => {
                self.owed.borrow_mut().push(message.clone())
            }
            Ending::DoneOrFailed(_) => self.perhaps_owed.set(self.perhaps_owed.get() + 1),
            Ending::Running | Ending::Done(_) | Ending::Cancelled => {}
        }
    }

    /// Lets go of the task's handle.
    pub fn detach(&self, task: TaskId) {
        let handle = self.tasks.borrow_mut()[task].handle.take();
        if let Some(handle) = handle {
            self.trace(|| format!("detach task {task}"));
            let mut tasks = self.tasks.borrow_mut();
            let model = &mut tasks[task];
            if model.ending != Ending::Running && !model.is_told {
                self.owe(model);
            }
            drop(tasks);
            drop(handle);
        }
    }

    /// Takes the task's result, if it has one, and compares it.
    pub fn take(&self, task: TaskId) {
        let (is_finished, result) = match &self.tasks.borrow()[task].handle {
            Some(handle) => (handle.is_finished(), handle.take()),
            None => return,
        };
        let mut tasks = self.tasks.borrow_mut();
        let model = &mut tasks[task];
        assert_eq!(
            is_finished && !model.is_told,
            result.is_some(),
            "task {task}: a result, once"
        );
        let result = match result {
            Some(result) => result,
            None => return,
        };
        model.is_told = true;
        self.trace(|| format!("task {task} has ended: {result:?}"));
        match (&result, &model.ending) {
            (Ok(value), Ending::Done(expected) | Ending::DoneOrFailed(expected))
                if value == expected => {}
            (Err(TaskError::Failed(error)), Ending::Failed(message))
                if error.to_string() == *message => {}
            (Err(TaskError::Failed(_)), Ending::DoneOrFailed(_)) => {}
            (Err(TaskError::Panicked(said)), Ending::Panicked(message)) if said == message => {}
            (Err(TaskError::Cancelled), Ending::Cancelled) => {}
            (result, ending) => {
                panic!("task {task} is to end as {ending:?}, and its handle says {result:?}")
            }
        }
    }

    /// Drops the task's handle, or what cancels it by its drop.
    pub fn drop_cancelling(&self, task: TaskId, gives_back: bool) {
        let handle = self.tasks.borrow_mut()[task].handle.take();
        let handle = match handle {
            Some(handle) => handle.cancel_on_drop(),
            None => return,
        };
        if gives_back {
            self.count("cancel_on_drop", "GivenBack".into());
            self.tasks.borrow_mut()[task].handle = Some(handle.into_handle());
            return;
        }
        self.trace(|| format!("task {task}'s handle cancels it"));
        self.count("cancel_on_drop", "Dropped".into());
        if self.tasks.borrow()[task].ending == Ending::Running {
            self.end(task, Ending::Cancelled);
        } else if !self.tasks.borrow()[task].is_told {
            self.owe(&mut self.tasks.borrow_mut()[task]);
        }
        drop(handle);
    }

    /// A drive has ended with this.
    pub fn accept(&self, error: &TaskError) {
        self.trace(|| format!("the drive ends: {error}"));
        let text = error.to_string();
        let is_no_tasks = text.starts_with("poll: ") || text.starts_with("wake on fd");
        assert!(
            is_no_tasks || !self.are_failures_told.get(),
            "a drive ends with what is to be told: {text}"
        );
        self.pay(error);
    }

    /// The failure is one that is owed.
    pub fn pay(&self, error: &TaskError) {
        let message = match error {
            TaskError::Panicked(message) => message.clone(),
            other => other.to_string(),
        };
        let mut owed = self.owed.borrow_mut();
        let is_the_kernels = !self.is_calm && message.starts_with("poll: ")
            || self.is_tainted.get() && message.starts_with("wake on fd");
        if let Some(at) = owed.iter().position(|owed| *owed == message) {
            owed.remove(at);
        } else if self.perhaps_owed.get() > 0
            && matches!(error, TaskError::Failed(_))
            && !is_the_kernels
        {
            self.perhaps_owed.set(self.perhaps_owed.get() - 1);
        } else {
            assert!(
                is_the_kernels,
                "a failure of nobody's: {message}; owed are {owed:?}"
            );
        }
    }

    /// Between turns: handles, buffers and bodies are as the model says.
    pub fn check(&self) {
        self.sync();
        for (id, task) in self.tasks.borrow().iter().enumerate() {
            if let Some(handle) = &task.handle {
                let is_over = task.ending != Ending::Running;
                assert_eq!(
                    handle.is_finished(),
                    is_over,
                    "task {id} is to be {:?}",
                    task.ending
                );
            }
            let is_over = task.ending != Ending::Running;
            assert_eq!(
                task.drops,
                u32::from(is_over),
                "how often the body of task {id} was dropped"
            );
        }
        let files = self.files.borrow().len();
        for id in 0..files {
            let held = self.with_file(id, AsyncFile::buffered);
            let file = &self.files.borrow()[id];
            match held {
                Some(held) if !self.may_be_closed(id) && !self.is_tainted.get() => {
                    let expected = match &file.messages {
                        Some(messages) => messages.bytes().len(),
                        None => file.came.len() - file.delivered,
                    };
                    assert_eq!(held, expected, "fd {}: came and not handed over", file.fd);
                }
                _ => {}
            }
        }
    }

    /// After a drive that was not stopped: what was closed or sent in it has had its effect in it;
    /// of what ended no descriptor is left.
    pub fn check_drive(&self) {
        if self.is_stopped.take() || self.is_tainted.get() {
            return;
        }
        let calls = self.called.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(
            calls,
            self.sent_calls.get(),
            "closures that were sent are called, once"
        );
        let tasks = self.tasks.borrow();
        let waiting = || {
            tasks
                .iter()
                .enumerate()
                .filter_map(|(id, task)| Some((id, task.model.as_ref()?)))
        };
        for (id, model) in waiting() {
            let is_closed = model.any(&|part| match part {
                Model::Read { file, .. }
                | Model::Write { file, .. }
                | Model::ShutDown { file, .. }
                | Model::Ready { file, .. } => self.files.borrow()[*file].is_closed,
                _ => false,
            });
            assert!(!is_closed, "task {id} waits on what is closed: {model:?}");
            let waits_for_messages = model.any(&|part| matches!(part, Model::Receive { .. }));
            let can_come = self.channel.borrow().receiver.is_some();
            assert!(
                !waits_for_messages || can_come,
                "task {id} waits for messages that nobody can receive"
            );
        }
        // A pidfd is kept while its child lives, or until its end is noticed.
        let (pidfds, (living, zombies)) =
            sim::with(|kernel| (kernel.pidfds(), kernel.children())).expect("a kernel");
        assert!(
            pidfds <= living + zombies,
            "{pidfds} pidfds of {living} living children and {zombies} others"
        );
    }

    /// Calls this with the file, if there is a handle to it.
    pub fn with_file<R>(&self, id: FileId, call: impl FnOnce(&AsyncFile) -> R) -> Option<R> {
        let (handle, of) = {
            let file = &self.files.borrow()[id];
            (file.handle.clone(), file.of)
        };
        match (handle, of) {
            (Some(handle), _) => Some(call(&handle)),
            (None, Some((pipe, stream))) => {
                // A clone of the pipe, not of the file: who has a handle to its stdin keeps it
                // open.
                let pipe = self.pipes.borrow()[pipe].pipe.clone();
                let file = [pipe.stdin(), pipe.stdout(), pipe.stderr()][stream];
                file.map(call)
            }
            (None, None) => None,
        }
    }

    pub fn add_file(
        &self,
        handle: AsyncFile,
        is_readable: bool,
        is_writable: bool,
        has_actor: bool,
    ) -> FileId {
        let fd = handle.as_raw_fd();
        self.add(
            fd,
            Some(handle),
            None,
            [is_readable, is_writable, has_actor],
        )
    }

    pub fn add(
        &self,
        fd: RawFd,
        handle: Option<AsyncFile>,
        of: Option<(PipeId, usize)>,
        [is_readable, is_writable, has_actor]: [bool; 3],
    ) -> FileId {
        self.sync(); // what was written under this number until now was another file's
        let mut files = self.files.borrow_mut();
        files.push(File {
            fd,
            handle,
            of,
            came: Vec::new(),
            delivered: 0,
            has_ended: false,
            readers: VecDeque::new(),
            writers: VecDeque::new(),
            is_closed: false,
            is_regular: false,
            is_socket: false,
            is_shut: false,
            messages: None,
            is_readable,
            is_writable,
            has_actor,
            is_shared: false,
            is_duplicate: false,
            input: None,
            output: None,
        });
        files.len() - 1
    }

    pub fn close(&self, id: FileId) {
        self.sync();
        if self.with_file(id, AsyncFile::close).is_some() {
            self.trace(|| format!("close fd {}", self.files.borrow()[id].fd));
        }
        self.has_closed(id);
    }

    /// What was buffered is gone, and the number may be another's.
    pub fn has_closed(&self, id: FileId) {
        let file = &mut self.files.borrow_mut()[id];
        let was_closed = std::mem::replace(&mut file.is_closed, true);
        file.delivered = file.came.len();
        if let Some(messages) = &mut file.messages {
            messages.forget();
        }
        if !was_closed && !file.is_shared && !file.is_duplicate {
            self.end_stream(file);
        }
        file.fd = -1;
    }

    /// Whether the handle of this file may say that it is closed, although nobody here has closed
    /// it: a child's stdin, which communicate and exit close.
    pub fn may_be_closed(&self, id: FileId) -> bool {
        let file = &self.files.borrow()[id];
        file.is_closed || matches!(file.of, Some((_, 0)))
    }

    pub fn ended(&self, name: &'static str, end: End) {
        self.count(name, format!("{end:?}"));
    }
}
