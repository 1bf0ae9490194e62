//! The program itself: what it opens, what its tasks do, how it is driven, and how it ends.

use std::collections::BTreeMap;
use std::io;
use std::mem::ManuallyDrop;
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use asyncfile::machine::read::Want;
use asyncfile::sim::{self, Act, Kernel, Program};
use asyncfile::trace::Event;
use asyncfile::{channel, done, wait, AsyncFile, AsyncPipe, End, Flow, Scheduler, Task, TaskError};

use super::outcomes;
use super::world::{now, Ending, FileId, Input, Pipe, Task as TaskModel, TaskId, World};
use super::{chance, choose, one_of, operations};

type Ends = BTreeMap<(&'static str, String), u64>;

/// A body, as it is spawned: boxed, because it spawns others of its own kind.
type Body = Box<dyn for<'e, 't> FnMut(&mut Task<'e, 't>) -> Flow<u32>>;

const MOST_TASKS: usize = 14;
const MOST_FILES: usize = 12;
const HOUR: Duration = Duration::from_secs(3600);

fn kernel<R>(call: impl FnOnce(&mut Kernel) -> R) -> R {
    sim::with(call).expect("a program runs on a kernel")
}

/// Runs a program from its beginning to its end. The answer is how often which operation ended how.
pub fn drive(is_calm: bool, traces: bool) -> Ends {
    let world = Rc::new(World { is_calm, traces, ..World::default() });
    let mut sched = Scheduler::new();
    for _ in 0..1 + choose(4) {
        open(&world);
    }
    if chance(96) {
        let (sender, receiver) = channel();
        let mut channel = world.channel.borrow_mut();
        (channel.sender, channel.receiver) = (Some(sender), Some(receiver));
    }
    if chance(48) {
        *world.remote.borrow_mut() = sched.remote().ok(); // no descriptors are left, it may say
    }
    if chance(96) {
        let world = Rc::clone(&world);
        sched.observe(move |trace| match trace.event {
            Event::Advanced { from, to, .. } => {
                [from, to].into_iter().for_each(|state| world.count("state", state.into()));
            }
            Event::Done(end) => {
                let has_looked = !world.is_looking_away.replace(false);
                assert!(has_looked || end != End::Failed, "a failure that nobody has looked at passes silently");
            }
            _ => world.is_looking_away.set(false),
        });
    }
    for _ in 0..1 + choose(5) {
        spawn(&world, |op, body| sched.spawn(op, body));
    }
    for _ in 0..choose(40) {
        if chance(100) {
            act(&world, None);
            if chance(60) {
                spawn(&world, |op, body| sched.spawn(op, body));
            }
        }
        turn(&world, &mut sched);
    }
    world.is_finale.set(true);
    let is_dropped_early = chance(40);
    if is_dropped_early {
        world.trace(|| "the scheduler is dropped".into());
    } else {
        end_well(&world, &mut sched);
    }
    end(world, sched)
}

/// One turn, in one of the ways to make one.
fn turn(world: &Rc<World>, sched: &mut Scheduler<'static>) {
    let result = match choose(8) {
        0..=4 => {
            let most = one_of(&[Duration::ZERO, Duration::from_micros(300), Duration::from_millis(20), HOUR]);
            world.trace(|| format!("turn({most:?})"));
            sched.turn(Some(most)).map(drop)
        }
        5 => {
            world.trace(|| "a foreign loop".into());
            let mut set = Vec::new();
            let most = sched.pollfds(&mut set).unwrap_or(HOUR).min(HOUR);
            // Another's entries, before and behind ours; ours in another order.
            set.insert(0, libc::pollfd { fd: -1, events: libc::POLLIN, revents: 0 });
            if choose(2) == 1 {
                set.reverse();
            }
            match kernel(|kernel| kernel.poll(&mut set, Some(most))) {
                Ok(_) => {
                    if chance(40) {
                        act(world, None); // between the poll and its answers
                                          // And a turn of its own, which knows better. A shared descriptor must not be called on old answers.
                        if !world.is_calm && world.shared.borrow().is_empty() && chance(64) {
                            if let Err(error) = sched.turn(Some(Duration::ZERO)) {
                                world.accept(&error);
                            }
                            act(world, None);
                        }
                    }
                    sched.dispatch(&set).map(drop)
                }
                Err(_) => Ok(()), // the foreign loop asks again
            }
        }
        6 if chance(100) => {
            read_from_outside(world, sched);
            Ok(())
        }
        6 => {
            let time = Duration::from_micros(choose(5000).into());
            let result = sched.block_on(asyncfile::sleep(time));
            match result {
                Err(error) if !error.to_string().starts_with("poll: ") => {
                    assert_eq!(error.to_string(), "stopped", "what a sleep from outside ends with");
                    assert!(world.is_stopped.get(), "a drive is stopped, and nobody has asked for it");
                }
                _ => {}
            }
            Ok(())
        }
        _ => sched.turn(Some(Duration::from_secs(1))).map(drop),
    };
    if let Err(error) = result {
        world.accept(&error);
    }
    settle(world, sched);
}

/// A read by ordinary code: cut by its timeout, it is an error, and what it had read stays in the file. That is one that no task reads:
/// who of several was served first could not be told from outside.
fn read_from_outside(world: &Rc<World>, sched: &mut Scheduler<'static>) {
    let me = world.tasks.borrow().len();
    let is_fit = |file: &super::world::File| file.abilities() == [false, false, true] && !file.is_closed;
    let found = world.files.borrow().iter().position(is_fit);
    if me == MOST_TASKS || found.is_none() && world.files.borrow().len() >= MOST_FILES {
        return;
    }
    let file = match found {
        Some(file) => file,
        None => {
            let acts = talk();
            match AsyncFile::new(sim::owned(kernel(|kernel| kernel.reader(4096, acts)))) {
                Ok(file) => world.add_file(file, false, false, true),
                Err(_) => return,
            }
        }
    };
    let (size, time) = (1 + choose(30) as usize, Duration::from_micros(choose(300_000).into()));
    let model = operations::Model::Read { file, want: Want::Full(size), timeout: Some(time) };
    world.sync();
    add_task(world, 0);
    operations::begin(world, me, model.clone());
    world.trace(|| format!("block_on, as task {me}: {model:?}"));
    let since = now();
    let result = world.with_file(file, |file| sched.block_on(file.read(size).full().timeout(time)));
    world.sync();
    match result {
        _ if world.is_tainted.get() => {}
        // Closed since it was served: that is not seen from here.
        Some(Ok(_)) if world.files.borrow()[file].is_closed => {}
        Some(Ok(bytes)) => {
            assert!(bytes.len() == size || world.files.borrow()[file].has_ended, "a full read of {size}: {bytes:?}");
            assert!(world.is_its_turn(me, file), "block_on was served before its turn");
            world.deliver(me, file, &bytes);
        }
        Some(Err(error)) if error.to_string() == "stopped" => {
            assert!(world.is_stopped.get(), "a drive is stopped, and nobody has asked for it");
        }
        Some(Err(error)) => {
            let end = if error.kind() == io::ErrorKind::TimedOut { End::TimedOut } else { End::Failed };
            outcomes::is_allowed(world, &model, &error, end, since);
        }
        None => {}
    }
    world.end(me, Ending::Done(0));
    world.tasks.borrow_mut()[me].drops = 1;
}

/// What must be true after each drive.
fn settle(world: &World, sched: &mut Scheduler<'static>) {
    // Failures that the last drive has held back, or not come to.
    loop {
        match sched.turn(Some(Duration::ZERO)) {
            Ok(_) => break,
            Err(error) => world.accept(&error),
        }
    }
    sched.check_invariants();
    world.check();
    world.check_drive();
    assert!(world.owed.borrow().is_empty(), "failures that did not come out: {:?}", world.owed.borrow());
    let tasks = world.tasks.borrow().len();
    for task in 0..tasks {
        if chance(40) {
            world.take(task);
        }
    }
}

/// Everything that tasks wait for goes, and so do they.
fn end_well(world: &Rc<World>, sched: &mut Scheduler<'static>) {
    world.trace(|| "finale".into());
    kernel(Kernel::finale);
    let mut last = (usize::MAX, Duration::ZERO);
    loop {
        match sched.turn(Some(HOUR)) {
            Ok(0) => break,
            Ok(alive) => {
                let state = (alive, now());
                if state.0 == last.0 && state.1 >= last.1 + HOUR {
                    break;
                }
                if state.0 != last.0 {
                    last = state;
                }
            }
            Err(error) => world.accept(&error),
        }
    }
    settle(world, sched);
    for (id, task) in world.tasks.borrow().iter().enumerate() {
        if let Some(model) = &task.model {
            let is_excused = world.is_tainted.get() || may_hang(world, id, model);
            assert!(is_excused, "task {id} hangs in {model:?}");
        }
    }
    // Now what only the program itself could end.
    world.channel.borrow_mut().sender = None;
    *world.remote.borrow_mut() = None;
    let files = world.files.borrow().len();
    (0..files).for_each(|file| world.close(file));
    for attempt in 0.. {
        match sched.run() {
            Ok(()) if world.tasks.borrow().iter().all(|task| task.ending != Ending::Running) => break,
            Ok(()) => assert!(attempt < 100, "run ends, and tasks are left"), // a stop
            Err(TaskError::Stalled(_)) => {
                let tasks = world.tasks.borrow();
                let left = tasks.iter().filter_map(|task| task.model.as_ref());
                left.for_each(|model| assert!(is_endless(model), "stalled in {model:?}"));
                return;
            }
            Err(error) => world.accept(&error),
        }
    }
    settle(world, sched);
}

/// Nothing but the program itself could end it.
fn may_hang(world: &World, task: TaskId, model: &operations::Model) -> bool {
    use operations::Model::*;
    let files = world.files.borrow();
    match model {
        Read { file, .. } => !files[*file].has_actor || files[*file].readers.front() != Some(&task),
        Write { file, .. } => {
            !files[*file].has_actor || files[*file].writers.front().map_or(true, |writer| writer.task != task)
        }
        Ready { file, .. } => !files[*file].has_actor,
        Communicate { pipe, .. } => {
            let pipes = world.pipes.borrow();
            let is_behind = |file: &usize| files[*file].readers.front() != Some(&task);
            matches!(pipes[*pipe].input, Input::Stream(_)) || pipes[*pipe].files[1..].iter().flatten().any(is_behind)
        }
        Join(_) | Message { .. } => true,
        Sleep(time) => *time == Duration::MAX,
        First(models) => models.iter().all(|model| may_hang(world, task, model)),
        Yield | Exit { .. } => false,
    }
}

/// Nothing ends it: a sleep for ever, a circle of joins, or who waits for one of these.
fn is_endless(model: &operations::Model) -> bool {
    match model {
        operations::Model::Sleep(time) => *time == Duration::MAX,
        operations::Model::Join(_) => true,
        operations::Model::First(models) => models.iter().all(is_endless),
        _ => false,
    }
}

/// All is let go of, and nothing is left.
fn end(world: Rc<World>, sched: Scheduler<'static>) -> Ends {
    world.sync();
    let running: Vec<TaskId> = {
        let tasks = world.tasks.borrow();
        (0..tasks.len()).filter(|id| tasks[*id].ending == Ending::Running).collect()
    };
    running.into_iter().for_each(|task| world.end(task, Ending::Cancelled));
    drop(sched);
    let tasks = world.tasks.borrow().len();
    for task in 0..tasks {
        world.take(task);
        assert_eq!(world.tasks.borrow()[task].drops, 1, "how often the body of task {task} was dropped");
    }
    world.sync();
    *world.remote.borrow_mut() = None;
    *world.channel.borrow_mut() = Default::default();
    world.tasks.borrow_mut().clear();
    let calls = world.calls.load(Ordering::Relaxed);
    assert!(calls <= world.sent_calls.get(), "a closure that was sent is called once");
    // What came and was not handed over is still there for another scheduler.
    kernel(Kernel::finale);
    let files = world.files.borrow().len();
    for file in 0..files {
        read_the_rest(&world, file);
    }
    world.pipes.borrow_mut().clear();
    world.files.borrow_mut().clear();
    kernel(|kernel| {
        kernel.finale();
        for fd in world.shared.take() {
            let is_as_found = world.is_tainted.get() || kernel.flags(fd) & libc::O_NONBLOCK == 0;
            assert!(is_as_found, "fd {fd} is somebody else's, and has other flags");
            kernel.close_behind(fd);
        }
    });
    let _ = Scheduler::new().turn(Some(Duration::ZERO)); // reaps
    if !world.is_tainted.get() {
        kernel(|kernel| {
            assert_eq!(kernel.descriptors(), [], "descriptors are left open");
            assert_eq!(kernel.changed_flags(), 0, "descriptions were left with other flags");
            assert_eq!(kernel.children(), (0, 0), "children are left");
        });
    }
    world.ends.take()
}

fn read_the_rest(world: &World, id: FileId) {
    let is_fit = {
        let file = &world.files.borrow()[id];
        !file.is_closed && file.is_readable && file.has_actor && file.of.is_none() && !world.is_tainted.get()
    };
    if !is_fit {
        return;
    }
    let mut sched = Scheduler::new();
    let rest = world.with_file(id, |file| sched.block_on(file.read_to_end()));
    world.sync();
    let file = &world.files.borrow()[id];
    match rest {
        Some(Ok(rest)) => assert_eq!(rest, file.came[file.delivered..], "the rest of fd {}", file.fd),
        Some(Err(error)) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}"),
        None => {}
    }
}

/// Something happens from outside, or from within a task.
fn act(world: &Rc<World>, me: Option<TaskId>) {
    if world.is_finale.get() {
        return;
    }
    let tasks = world.tasks.borrow().len() as u32;
    match choose(14) {
        0 | 1 if tasks > 0 => cancel(world, choose(tasks) as usize),
        2 => {
            let files = world.files.borrow().len() as u32;
            if files > 0 {
                world.close(choose(files) as usize);
            }
        }
        3 if tasks > 0 => world.detach(choose(tasks) as usize),
        4 if tasks > 0 => world.take(choose(tasks) as usize),
        5 | 6 => open(world),
        7 => {
            let mut channel = world.channel.borrow_mut();
            let next = channel.sent;
            if let Some(sender) = &channel.sender {
                sender.send(next).expect("the receiver is there");
                channel.sent += 1;
            }
        }
        8 if chance(60) => {
            let sender = world.channel.borrow_mut().sender.take();
            drop(sender);
        }
        9 | 10 => {
            if let Some(remote) = &*world.remote.borrow() {
                match choose(3) {
                    0 => remote.wake(),
                    1 if chance(60) => {
                        world.is_stopped.set(true);
                        remote.stop();
                    }
                    _ => {
                        let calls = std::sync::Arc::clone(&world.calls);
                        let call = move |_: &mut Scheduler<'_>| {
                            calls.fetch_add(1, Ordering::Relaxed);
                        };
                        if remote.run(call) {
                            world.sent_calls.set(world.sent_calls.get() + 1);
                        }
                    }
                }
            }
        }
        11 => {
            let pipes = world.pipes.borrow();
            if !pipes.is_empty() {
                let pipe = &pipes[choose(pipes.len() as u32) as usize];
                let _ = pipe.pipe.signal(one_of(&[libc::SIGKILL, libc::SIGTERM, 0]));
                let _ = pipe.pipe.try_wait();
            }
        }
        12 if chance(30) => close_pipe(world),
        12 => give_back(world),
        13 if chance(6) && me.is_none() => {
            // Somebody closes a descriptor that is not theirs.
            let fds = kernel(|kernel| kernel.descriptors());
            if !fds.is_empty() {
                let fd = one_of(&fds);
                world.trace(|| format!("fd {fd} is closed behind the library's back"));
                world.is_tainted.set(true);
                kernel(|kernel| kernel.close_behind(fd));
            }
        }
        _ => {}
    }
}

fn close_pipe(world: &World) {
    let count = world.pipes.borrow().len() as u32;
    if count > 0 {
        let pipe = choose(count) as usize;
        world.sync();
        let handle = world.pipes.borrow()[pipe].pipe.clone();
        handle.close();
        let files = world.pipes.borrow()[pipe].files;
        files.iter().flatten().for_each(|file| world.has_closed(*file));
    }
}

/// Takes a descriptor back, looks whether it is as it was, and has it taken over once more.
fn give_back(world: &World) {
    let count = world.files.borrow().len();
    let id = choose(count.max(1) as u32) as usize;
    let is_fit = |file: &super::world::File| !file.is_closed && !world.shared.borrow().contains(&file.fd);
    if id >= count || world.is_tainted.get() || !is_fit(&world.files.borrow()[id]) {
        return;
    }
    let handle = match world.files.borrow_mut()[id].handle.take() {
        Some(handle) => handle,
        None => return,
    };
    world.sync();
    match handle.into_inner() {
        Ok((fd, held)) => {
            let fd = std::os::unix::io::IntoRawFd::into_raw_fd(fd);
            world.trace(|| format!("fd {fd} is given back, {} bytes with it", held.len()));
            let file = &world.files.borrow()[id];
            assert!(held == file.came[file.delivered..], "fd {fd} is given back with what was read ahead");
            assert_eq!(kernel(|kernel| kernel.flags(fd)) & libc::O_NONBLOCK, 0, "fd {fd} is given back as it was");
        }
        Err(handle) => return world.files.borrow_mut()[id].handle = Some(handle),
    }
    let (fd, of) = (world.files.borrow()[id].fd, world.files.borrow()[id].abilities());
    world.has_closed(id);
    if let Ok(file) = AsyncFile::new(sim::owned(fd)) {
        world.add_file(file, of[0], of[1], of[2]);
    }
}

fn cancel(world: &World, task: TaskId) {
    world.sync();
    let is_marked = {
        let tasks = world.tasks.borrow();
        let model = &tasks[task];
        match &model.handle {
            Some(handle) if model.ending == Ending::Running => {
                handle.cancel();
                true
            }
            _ => false,
        }
    };
    if is_marked {
        world.trace(|| format!("cancel task {task}"));
        world.end(task, Ending::Cancelled);
    }
}

/// Dropped with its body, and does what a user's drop may do.
struct Guard {
    world: Rc<World>,
    me: TaskId,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.world.tasks.borrow_mut()[self.me].drops += 1;
        if !std::thread::panicking() && !self.world.is_finale.get() && chance(20) {
            act(&self.world, Some(self.me));
        }
    }
}

/// Starts a task, if there are not enough.
fn spawn(world: &Rc<World>, spawn: impl FnOnce(asyncfile::Op, Body) -> asyncfile::JoinHandle<u32>) {
    let me = world.tasks.borrow().len();
    if me == MOST_TASKS || world.is_finale.get() {
        return;
    }
    let ops_left = 1 + choose(10);
    add_task(world, ops_left);
    world.sync();
    let (op, model) = operations::next(world, me);
    world.trace(|| format!("spawn task {me}: {op:?}"));
    operations::begin(world, me, model);
    let guard = Guard { world: Rc::clone(world), me };
    let handle = spawn(op, Box::new(move |task| resume(&guard, task)));
    world.tasks.borrow_mut()[me].handle = Some(handle);
    if chance(60) {
        world.detach(me);
    }
}

fn add_task(world: &World, ops_left: u32) {
    world.tasks.borrow_mut().push(TaskModel {
        handle: None,
        model: None,
        since: now(),
        ending: Ending::Running,
        is_told: false,
        drops: 0,
        ops_left,
    });
}

/// What every task does: looks at its outcome, acts, and waits for something else.
fn resume(guard: &Guard, task: &mut Task<'_, '_>) -> Flow<u32> {
    let (world, me) = (&guard.world, guard.me);
    world.sync();
    let (model, ending, value) = {
        let tasks = world.tasks.borrow();
        (tasks[me].model.clone(), tasks[me].ending.clone(), me as u32 * 100 + tasks[me].ops_left)
    };
    assert_eq!(ending, Ending::Running, "task {me} is resumed, and has ended");
    let model = model.expect("it waits for something");
    if model.can_be_ignored() && chance(12) {
        world.end(me, Ending::DoneOrFailed(value));
        world.is_looking_away.set(true);
        return done(value);
    }
    let looked = outcomes::check(world, me, &model, task);
    world.leave(me);
    if let Err(error) = looked {
        if chance(128) {
            world.end(me, Ending::Failed(error.to_string()));
            return Err(error);
        }
    }
    while chance(40) {
        act(world, Some(me));
    }
    if world.tasks.borrow()[me].ending == Ending::Cancelled {
        return done(value); // too late
    }
    if chance(20) {
        spawn(world, |op, body| task.spawn(op, body));
    }
    match choose(64) {
        63 => {
            let message = format!("task {me} panics");
            world.end(me, Ending::Panicked(message.clone()));
            std::panic::resume_unwind(Box::new(message)); // without the hook's message
        }
        62 => {
            let message = format!("task {me} fails");
            world.end(me, Ending::Failed(message.clone()));
            return Err(io::Error::other(message));
        }
        _ => {}
    }
    let ops_left = world.tasks.borrow()[me].ops_left;
    if ops_left == 0 || world.is_finale.get() {
        world.end(me, Ending::Done(value));
        return done(value);
    }
    world.tasks.borrow_mut()[me].ops_left -= 1;
    let (op, model) = operations::next(world, me);
    world.trace(|| format!("task {me} waits: {op:?}"));
    operations::begin(world, me, model);
    wait(op)
}

/// Opens something more, if there is not enough.
fn open(world: &Rc<World>) {
    if world.files.borrow().len() >= MOST_FILES {
        return;
    }
    let capacity = one_of(&[65536, 4096, 100, 1 << 20]);
    let add = |fd, is_readable, is_writable, has_actor| {
        let file = if chance(24) {
            world.shared.borrow_mut().push(fd);
            AsyncFile::duplicate(&*ManuallyDrop::new(sim::owned(fd)))
        } else {
            AsyncFile::new(sim::owned(fd))
        };
        match file {
            Ok(file) => drop(world.add_file(file, is_readable, is_writable, has_actor)),
            Err(error) => assert!(!world.is_calm, "fd {fd} cannot be taken over: {error}"),
        }
    };
    match choose(6) {
        0 => {
            let mut acts = talk();
            if capacity > 1 << 18 && chance(64) {
                acts.push(Act::Write(0, operations::text(300_000, 7, 5000))); // more than an advance moves
            }
            add(kernel(|kernel| kernel.reader(capacity, acts)), true, false, true);
        }
        1 => {
            let acts = talk();
            add(kernel(|kernel| kernel.socket(capacity, acts)), true, true, true);
        }
        2 => {
            let acts = listen();
            add(kernel(|kernel| kernel.writer(capacity, acts)), false, true, true);
        }
        3 => {
            let (reader, writer) = kernel(|kernel| kernel.pipe(capacity));
            add(reader, true, false, false);
            add(writer, false, true, false);
        }
        4 => {
            let (one, other) = kernel(|kernel| kernel.socketpair(capacity));
            add(one, true, true, false);
            add(other, true, true, false);
        }
        _ => start(world),
    }
}

/// Starts a child, or a chain of two.
fn start(world: &Rc<World>) {
    let stderr = choose(2) == 1;
    let names = if chance(64) { vec!["first", "last"] } else { vec!["last"] };
    let mut commands: Vec<Command> = names.iter().map(Command::new).collect();
    for name in names {
        let acts = match choose(4) {
            0 => vec![Act::Copy { from: 0, to: 1 }],
            _ => behave(stderr),
        };
        kernel(|kernel| kernel.program(name, Program { acts, stderr: stderr && name == "last" }));
    }
    let pipe = match AsyncPipe::pipeline(&mut commands) {
        Ok(pipe) => pipe,
        Err(error) => {
            assert!(!world.is_calm, "a child that does not start: {error}");
            return;
        }
    };
    let id = world.pipes.borrow().len();
    let streams = [pipe.stdin(), pipe.stdout(), pipe.stderr()].map(|stream| stream.map(fd));
    let files = [0, 1, 2].map(|stream| {
        streams[stream].map(|fd| world.add(fd, None, Some((id, stream)), [stream > 0, stream == 0, true]))
    });
    world.pipes.borrow_mut().push(Pipe { pipe, files, input: Input::Nothing, busy: 0, is_over: false });
}

fn fd(file: &AsyncFile) -> std::os::unix::io::RawFd {
    std::os::unix::io::AsRawFd::as_raw_fd(file)
}

/// What an actor at the other end of a file does.
fn talk() -> Vec<Act> {
    acts(|| match choose(6) {
        0..=2 => Act::Write(0, text()),
        3 => Act::Read(0, 1 + choose(5000) as usize),
        _ => pause(),
    })
}

fn listen() -> Vec<Act> {
    let mut acts = acts(|| if choose(3) == 0 { pause() } else { Act::Read(0, 1 + choose(20_000) as usize) });
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
    acts.push(Act::Exit(choose(3) as i32));
    acts
}

fn acts(act: impl FnMut() -> Act) -> Vec<Act> {
    std::iter::repeat_with(act).take(choose(10) as usize).collect()
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
