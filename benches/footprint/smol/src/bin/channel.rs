//! Has a thread send numbers to the loop, which adds them: by smol.

use smol::channel;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (sender, receiver) = channel::unbounded();
    let send = move || (1..=100_u64).try_for_each(|n| sender.send_blocking(n));
    let worker = std::thread::spawn(send);
    smol::block_on(async {
        let mut sum = 0;
        while let Ok(number) = receiver.recv().await {
            sum += number;
        }
        println!("{sum}");
    });
    worker.join().expect("it does not panic")?;
    Ok(())
}
