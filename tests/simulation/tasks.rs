//! What a program's tasks do, and what else happens beside them.

use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use asyncfile::sim;
use asyncfile::{again, done, wait, AsyncFile, Flow, JoinHandle, Op, Scheduler, Task};

use super::opening::open;
use super::world::{now, Ending, Task as TaskModel, TaskId, World};
use super::{chance, choose, kernel, one_of, operations, outcomes};

/// A body, as it is spawned: boxed, because it spawns others of its own kind.
type Body = Box<dyn for<'e, 't> FnMut(&mut Task<'e, 't>) -> Flow<u32>>;

pub const MOST_TASKS: usize = 14;

/// Something happens from outside, or from within a task.
pub fn act(world: &Rc<World>, me: Option<TaskId>) {
    if world.is_finale.get() {
        return;
    }
    let tasks = world.tasks.borrow().len() as u32;
    match choose(18) {
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
                let sent = sender.send(next);
                assert_eq!(
                    sent.is_ok(),
                    channel.receiver.is_some(),
                    "it is sent if somebody receives"
                );
                channel.sent += 1;
            }
        }
        8 if chance(20) => {
            let receiver = world.channel.borrow_mut().receiver.take();
            drop(receiver);
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
                        let calls = std::sync::Arc::clone(&world.called);
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
                let signal = one_of(&[libc::SIGKILL, libc::SIGTERM, 0]);
                let _ = match chance(64) {
                    true => pipe.pipe.signal_group(signal),
                    false => pipe.pipe.signal(signal),
                };
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
        14 => {
            // Who has a handle to a child's stdin lets go of it.
            let mut files = world.files.borrow_mut();
            let handle = files
                .iter_mut()
                .find(|file| file.of.is_some() && file.handle.is_some())
                .and_then(|file| file.handle.take());
            drop(files);
            drop(handle);
        }
        15 if tasks > 0 => {
            world.sync();
            world.drop_cancelling(choose(tasks) as usize, choose(4) == 3);
        }
        16 => world.queue.borrow_mut().push(),
        17 if chance(10) => world.queue.borrow_mut().close(),
        17 => world.queue.borrow_mut().pop(),
        _ => {}
    }
}

pub fn close_pipe(world: &World) {
    let count = world.pipes.borrow().len() as u32;
    if count > 0 {
        let pipe = choose(count) as usize;
        world.sync();
        let handle = world.pipes.borrow()[pipe].pipe.clone();
        handle.close();
        let files = world.pipes.borrow()[pipe].files;
        files
            .iter()
            .flatten()
            .for_each(|file| world.has_closed(*file));
    }
}

/// Takes a descriptor back, looks whether it is as it was, and has it taken over once more.
pub fn give_back(world: &World) {
    let count = world.files.borrow().len();
    let id = choose(count.max(1) as u32) as usize;
    let is_fit =
        |file: &super::world::File| !file.is_closed && !world.shared.borrow().contains(&file.fd);
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
            let expected = match &file.messages {
                Some(messages) => messages.bytes(),
                None => file.came[file.delivered..].to_vec(),
            };
            assert!(
                held == expected,
                "fd {fd} is given back with what was read ahead"
            );
            assert_eq!(
                kernel(|kernel| kernel.flags(fd)) & libc::O_NONBLOCK,
                0,
                "fd {fd} is given back as it was"
            );
        }
        Err(handle) => return world.files.borrow_mut()[id].handle = Some(handle),
    }
    let (fd, of) = (
        world.files.borrow()[id].fd,
        world.files.borrow()[id].abilities(),
    );
    world.has_closed(id);
    let file = AsyncFile::new(sim::owned(fd));
    let new = file
        .ok()
        .map(|file| world.add_file(file, of[0], of[1], of[2]));
    world.has_followed(id, new);
}

pub fn cancel(world: &World, task: TaskId) {
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
pub fn spawn(world: &Rc<World>, spawn: impl FnOnce(Op, Body) -> JoinHandle<u32>) {
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
    let guard = Guard {
        world: Rc::clone(world),
        me,
    };
    let handle = spawn(op, Box::new(move |task| resume(&guard, task)));
    world.tasks.borrow_mut()[me].handle = Some(handle);
    if chance(60) {
        world.detach(me);
    }
}

pub fn add_task(world: &World, ops_left: u32) {
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
    world.order.borrow_mut().push(me);
    world.sync();
    let (model, ending, value) = {
        let tasks = world.tasks.borrow();
        (
            tasks[me].model.clone(),
            tasks[me].ending.clone(),
            me as u32 * 100 + tasks[me].ops_left,
        )
    };
    assert_eq!(
        ending,
        Ending::Running,
        "task {me} is resumed, and has ended"
    );
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
    if model.can_be_repeated() && chance(100) {
        world.trace(|| format!("task {me} waits again: {model:?}"));
        operations::begin(world, me, model);
        return again();
    }
    let (op, model) = operations::next(world, me);
    world.trace(|| format!("task {me} waits: {op:?}"));
    operations::begin(world, me, model);
    wait(op)
}
