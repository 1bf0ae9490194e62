//! Has a thread send numbers to the loop, which adds them: by std alone.

use std::sync::mpsc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (sender, receiver) = mpsc::channel();
    let worker = std::thread::spawn(move || (1..=100_u64).try_for_each(|n| sender.send(n)));
    println!("{}", receiver.iter().sum::<u64>());
    worker.join().expect("it does not panic")?;
    Ok(())
}
