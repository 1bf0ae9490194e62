//! Has a thread send numbers to the loop, which adds them: by asyncfile.

use asyncfile::{again, channel, done, Scheduler};
use std::sync::mpsc::TryRecvError;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (sender, receiver) = channel();
    let worker = std::thread::spawn(move || (1..=100_u64).try_for_each(|n| sender.send(n)));
    let mut sched = Scheduler::new();
    let mut sum = 0;
    let adder = sched.spawn(receiver.ready(), move |task| {
        task.ok()?;
        loop {
            match receiver.try_recv() {
                Ok(number) => sum += number,
                Err(TryRecvError::Empty) => return again(),
                Err(TryRecvError::Disconnected) => return done(sum),
            }
        }
    });
    println!("{}", sched.join(adder)?);
    worker.join().expect("it does not panic").map_err(|_| "nobody receives")?;
    Ok(())
}
