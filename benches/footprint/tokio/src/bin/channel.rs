//! Has a thread send numbers to the loop, which adds them: by tokio.

use tokio::sync::mpsc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let worker = std::thread::spawn(move || (1..=100_u64).try_for_each(|n| sender.send(n)));
    tokio::runtime::Builder::new_current_thread()
        .build()?
        .block_on(async {
            let mut sum = 0;
            while let Some(number) = receiver.recv().await {
                sum += number;
            }
            println!("{sum}");
        });
    worker.join().expect("it does not panic")?;
    Ok(())
}
