//! How a program is driven, from its beginning to its end, and what must be true in between and
//! afterwards.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use asyncfile::machine::read::Want;
use asyncfile::sim::{self, Kernel};
use asyncfile::trace::Event;
use asyncfile::{channel, first, AsyncFile, End, Scheduler, TaskError};

use super::messages::{self, Messages};
use super::opening::{converse, open, talk, MOST_FILES};
use super::operations::{Aspect, Limits};
use super::tasks::{act, add_task, spawn, MOST_TASKS};
use super::world::{now, Ending, FileId, Input, TaskId, World};
use super::{chance, choose, kernel, one_of, operations, outcomes};

type Ends = BTreeMap<(&'static str, String), u64>;

thread_local! {
    /// Whether all programs of this thread are observed. None: the program itself decides.
    pub static IS_OBSERVED: Cell<Option<bool>> = const { Cell::new(None) };

    /// The tasks of the last program of this thread, each time that one was resumed.
    pub static ORDER: RefCell<Vec<TaskId>> = const { RefCell::new(Vec::new()) };
}

const HOUR: Duration = Duration::from_secs(3600);

/// Runs a program from its beginning to its end. The answer is how often which operation ended how.
pub fn drive(is_calm: bool, traces: bool) -> Ends {
    let world = Rc::new(World {
        is_calm,
        traces,
        ..World::default()
    });
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
    let is_observed = chance(96);
    if IS_OBSERVED.with(Cell::get).unwrap_or(is_observed) {
        let world = Rc::clone(&world);
        sched.observe(move |trace| match trace.event {
            Event::Advanced { from, to, .. } => {
                [from, to]
                    .into_iter()
                    .for_each(|state| world.count("state", state.into()));
            }
            Event::Done(end) => {
                let has_looked = !world.is_looking_away.replace(false);
                assert!(
                    has_looked || end != End::Failed,
                    "a failure that nobody has looked at passes silently"
                );
            }
            _ => world.is_looking_away.set(false),
        });
    }
    if chance(160) {
        let capacity = one_of(&[1, 2, 0, 5]);
        let mut queue = world.queue.borrow_mut();
        (queue.handle, queue.capacity) = (Some(asyncfile::queue(capacity)), capacity);
    }
    if chance(96) {
        let world = Rc::clone(&world);
        world.are_failures_told.set(true);
        sched.on_failure(move |_, error| {
            world.trace(|| format!("told: {error}"));
            world.count("on_failure", "told".into());
            world.pay(&error);
            if chance(20) {
                act(&world, Some(0)); // as a task may
            }
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
            let most = one_of(&[
                Duration::ZERO,
                Duration::from_micros(300),
                Duration::from_millis(20),
                HOUR,
            ]);
            world.trace(|| format!("turn({most:?})"));
            sched.turn(Some(most)).map(drop)
        }
        5 => {
            world.trace(|| "a foreign loop".into());
            let mut set = Vec::new();
            let most = sched.pollfds(&mut set).unwrap_or(HOUR).min(HOUR);
            // Another's entries, before and behind ours; ours in another order.
            set.insert(
                0,
                libc::pollfd {
                    fd: -1,
                    events: libc::POLLIN,
                    revents: 0,
                },
            );
            if choose(2) == 1 {
                set.reverse();
            }
            match kernel(|kernel| kernel.poll(&mut set, Some(most))) {
                Ok(_) => {
                    if chance(40) {
                        act(world, None); // between the poll and its answers
                                          // And a turn of its own, which knows better. A shared
                                          // descriptor must not be called on old answers.
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
                    assert_eq!(
                        error.to_string(),
                        "stopped",
                        "what a sleep from outside ends with"
                    );
                    assert!(
                        world.is_stopped.get(),
                        "a drive is stopped, and nobody has asked for it"
                    );
                }
                _ => {}
            }
            Ok(())
        }
        _ => sched.turn(Some(Duration::from_secs(1))).map(drop),
    };
    sched.check_invariants();
    if let Err(error) = result {
        world.accept(&error);
    }
    settle(world, sched);
}

/// A read by ordinary code: cut by its timeout, it is an error, and what it had read stays in the
/// file. What a `first` hands over there stays, too. That is a file that no task reads: who of
/// several was served first could not be told from outside.
fn read_from_outside(world: &Rc<World>, sched: &mut Scheduler<'static>) {
    let me = world.tasks.borrow().len();
    let is_fit =
        |file: &super::world::File| file.abilities() == [false, false, true] && !file.is_closed;
    let found = world.files.borrow().iter().position(is_fit);
    if me == MOST_TASKS || found.is_none() && world.files.borrow().len() >= MOST_FILES {
        return;
    }
    let file = match found {
        Some(file) => file,
        None => {
            let has_end = match chance(100) {
                true => Some(choose(2) == 1),
                false => None,
            };
            let acts = match has_end {
                Some(_) => converse(),
                None => talk(),
            };
            let fd = kernel(|kernel| match has_end {
                Some(has_end) => kernel.message_socket(4096, has_end, acts),
                None => kernel.reader(4096, acts),
            });
            let file = AsyncFile::new(sim::owned(fd));
            let id = file
                .ok()
                .map(|file| world.add_file(file, false, false, true));
            if let Some(has_end) = has_end {
                world.has_socket(id, Some(Messages::new(4096, has_end)));
            }
            match id {
                Some(id) => id,
                None => return,
            }
        }
    };
    let size = 1 + choose(30) as usize;
    let limits = Limits {
        timeout: Some(Duration::from_micros(choose(300_000).into())),
        until: None,
    };
    let keeps_messages = world.files.borrow()[file].messages.is_some();
    let is_put_back = chance(80);
    let want = match keeps_messages || is_put_back {
        true => Want::Some(size),
        false => Want::Full(size),
    };
    let model = operations::Model::Read {
        file,
        want,
        delimiter: b'\n',
        is_peek: false,
        limits,
    };
    world.sync();
    add_task(world, 0);
    operations::begin(world, me, model.clone());
    world.trace(|| format!("block_on, as task {me}, {is_put_back}: {model:?}"));
    let since = now();
    let time = limits.timeout.expect("set above");
    let result = world.with_file(file, |file| {
        let read = file.read(size).timeout(time);
        match want {
            _ if is_put_back => sched.block_on(first([read])).map(|_| None),
            Want::Full(_) => sched.block_on(read.full()).map(Some),
            _ => sched.block_on(read).map(Some),
        }
    });
    world.sync();
    match result {
        _ if world.is_tainted.get() => {}
        // Closed since it was served: that is not seen from here.
        Some(Ok(_)) if world.files.borrow()[file].is_closed => {}
        Some(Ok(None)) => {
            if let Some(messages) = &mut world.files.borrow_mut()[file].messages {
                messages.put_back(size);
            }
            world.count("first", "PutBack".into());
        }
        Some(Ok(Some(bytes))) => {
            assert!(
                world.is_its_turn(me, file),
                "block_on was served before its turn"
            );
            let has_ended = world.files.borrow()[file].has_ended;
            match want {
                Want::Some(_) => messages::check_bytes(world, file, size, &bytes),
                _ => assert!(
                    bytes.len() == size || has_ended,
                    "a full read of {size}: {bytes:?}"
                ),
            }
            if !keeps_messages {
                world.deliver(me, file, &bytes);
            }
        }
        Some(Err(error)) if error.to_string() == "stopped" => {
            assert!(
                world.is_stopped.get(),
                "a drive is stopped, and nobody has asked for it"
            );
        }
        Some(Err(error)) => {
            let end = match error.kind() {
                io::ErrorKind::TimedOut if outcomes::errno(&error).is_none() => End::TimedOut,
                _ => End::Failed,
            };
            outcomes::assert_allowed(world, me, &model, &error, end, since);
        }
        None => {}
    }
    world.end(me, Ending::Done(0));
    world.tasks.borrow_mut()[me].drops = 1;
}

/// Takes what failures are left, with turns that do not wait, and then looks at what must be true.
fn settle(world: &World, sched: &mut Scheduler<'static>) {
    loop {
        match sched.turn(Some(Duration::ZERO)) {
            Ok(_) => break,
            Err(error) => world.accept(&error),
        }
    }
    sched.check_invariants();
    world.check();
    world.check_drive();
    assert!(
        world.owed.borrow().is_empty(),
        "failures that did not come out: {:?}",
        world.owed.borrow()
    );
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
    world.queue.borrow_mut().close();
    *world.remote.borrow_mut() = None;
    let files = world.files.borrow().len();
    (0..files).for_each(|file| world.close(file));
    for attempt in 0.. {
        match sched.run() {
            Ok(())
                if world
                    .tasks
                    .borrow()
                    .iter()
                    .all(|task| task.ending != Ending::Running) =>
            {
                break
            }
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
    if model
        .limits()
        .due(world.tasks.borrow()[task].since)
        .is_some()
    {
        return false;
    }
    let is_front = |file: &super::world::File| {
        let front = file.writers.front();
        front.map_or(false, |writer| writer.task == task)
    };
    match model {
        Read { file, .. } => {
            let file = &files[*file];
            !world.will_end(file) || file.readers.front() != Some(&task)
        }
        Write { file, .. } => !files[*file].has_actor || !is_front(&files[*file]),
        ShutDown { file, .. } => !is_front(&files[*file]),
        Ready { file, aspect, .. } => {
            let file = &files[*file];
            !file.has_actor || file.is_datagram() || file.is_regular && *aspect != Aspect::Readable
        }
        Communicate { pipe, .. } => {
            let pipes = world.pipes.borrow();
            let is_behind = |file: &usize| files[*file].readers.front() != Some(&task);
            matches!(pipes[*pipe].input, Input::Stream(_))
                || pipes[*pipe].files[1..].iter().flatten().any(is_behind)
        }
        Join { .. } | Receive { .. } | Queue { .. } => true,
        Sleep { time, .. } => *time == Duration::MAX,
        First { models, .. } => models.iter().all(|model| may_hang(world, task, model)),
        Yield | Ticks { .. } | Exit { .. } | ExitAll { .. } | Stop { .. } => false,
    }
}

/// Nothing ends it: a sleep for ever, a circle of joins, or who waits for one of these.
fn is_endless(model: &operations::Model) -> bool {
    let limits = model.limits();
    match model {
        _ if limits.due(Duration::ZERO).is_some() => false,
        operations::Model::Sleep { time, .. } => *time == Duration::MAX,
        operations::Model::Join { .. } => true,
        operations::Model::First { models, .. } => models.iter().all(is_endless),
        _ => false,
    }
}

/// All is let go of, and nothing is left.
fn end(world: Rc<World>, sched: Scheduler<'static>) -> Ends {
    world.sync();
    let running: Vec<TaskId> = {
        let tasks = world.tasks.borrow();
        (0..tasks.len())
            .filter(|id| tasks[*id].ending == Ending::Running)
            .collect()
    };
    running
        .into_iter()
        .for_each(|task| world.end(task, Ending::Cancelled));
    drop(sched);
    let tasks = world.tasks.borrow().len();
    for task in 0..tasks {
        world.take(task);
        assert_eq!(
            world.tasks.borrow()[task].drops,
            1,
            "how often the body of task {task} was dropped"
        );
    }
    world.sync();
    *world.remote.borrow_mut() = None;
    *world.channel.borrow_mut() = Default::default();
    world.tasks.borrow_mut().clear();
    let calls = world.called.load(Ordering::Relaxed);
    assert!(
        calls <= world.sent_calls.get(),
        "a closure that was sent is called once"
    );
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
        let types = kernel.types;
        let is_once = world.is_tainted.get() || types == world.sockets.get();
        assert!(
            is_once,
            "{} sockets were asked {types} times for their type",
            world.sockets.get()
        );
        for fd in world.shared.take() {
            let is_as_found = world.is_tainted.get() || kernel.flags(fd) & libc::O_NONBLOCK == 0;
            assert!(
                is_as_found,
                "fd {fd} is somebody else's, and has other flags"
            );
            kernel.close_behind(fd);
        }
    });
    let _ = Scheduler::new().turn(Some(Duration::ZERO)); // reaps
    if !world.is_tainted.get() {
        kernel(|kernel| {
            assert!(
                kernel.descriptors().is_empty(),
                "descriptors are left open: {:?}",
                kernel.descriptors()
            );
            assert_eq!(
                kernel.changed_flags(),
                0,
                "descriptions were left with other flags"
            );
            assert_eq!(kernel.children(), (0, 0), "children are left");
        });
    }
    ORDER.with(|order| order.replace(world.order.take()));
    world.ends.take()
}

fn read_the_rest(world: &World, id: FileId) {
    let is_fit = {
        let file = &world.files.borrow()[id];
        !file.is_closed
            && file.is_readable
            && file.has_actor
            && file.of.is_none()
            && !world.is_tainted.get()
    };
    if world.files.borrow()[id].messages.is_some() {
        return receive_the_rest(world, id);
    }
    if !is_fit {
        return;
    }
    let mut sched = Scheduler::new();
    let rest = world.with_file(id, |file| sched.block_on(file.read_to_end()));
    world.sync();
    let file = &world.files.borrow()[id];
    match rest {
        Some(Ok(rest)) => assert_eq!(
            rest,
            file.came[file.delivered..],
            "the rest of fd {}",
            file.fd
        ),
        Some(Err(error)) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}"),
        None => {}
    }
}

/// The messages that are on their way to this file come, and no others.
fn receive_the_rest(world: &World, id: FileId) {
    if world.files.borrow()[id].is_closed || world.is_tainted.get() {
        return;
    }
    let mut sched = Scheduler::new();
    loop {
        let read = world.with_file(id, |file| {
            sched.block_on(file.read(usize::MAX).timeout(Duration::ZERO))
        });
        world.sync();
        match read {
            Some(Ok(bytes)) if messages::is_end(world, id, &bytes) => break,
            Some(Ok(bytes)) => messages::check_bytes(world, id, usize::MAX, &bytes),
            Some(Err(error)) if error.kind() == io::ErrorKind::TimedOut => break,
            Some(Err(error)) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}"),
            None => break,
        }
    }
    let file = &world.files.borrow()[id];
    if let Some(stream) = file.input {
        let left = &world.streams.borrow()[stream].messages;
        assert!(left.is_empty(), "fd {}: {left:?} did not come", file.fd);
    }
}
