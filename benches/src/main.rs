//! The measuring bench: the same work by asyncfile, by its peers and by hand, in the same run,
//! alternating.
//!
//! Each variant of a work runs in a process of its own: this program, started again with `--run`. A
//! round runs every variant once; the tables show the medians of the rounds.

mod bulk;
mod chunks;
mod communicate;
mod descriptors;
mod emit;
mod footprint;
mod lines;
mod measure;
mod memory;
mod peers;
mod ping_pong;
mod plot;
mod report;
mod sleeps;
mod spawn;
mod work;

use std::error::Error;
use std::process::ExitCode;

use report::{Measured, Row};
use work::{Size, Variant, Work};

const USAGE: &str = "\
cargo run --release -- [OPTIONS] [WORK...]

  WORK           only works whose names begin so (footprint is one of them)
  --quick        a twentieth of the size, one round: to see that all is well
  --rounds N     so many rounds (5)
  --only TEXT    only variants whose names contain this, and the limit
  --pin CPU      all on this processor: the spread shrinks from tens of percent to a few
  --json         for machines
  --svg FILE     a picture of the ratios, besides
  --list         the works and their variants, with the units of a quick run
  --run WORK VARIANT COUNT     one variant, in this process: for strace, valgrind and perf
";

/// What the arguments say.
struct Options {
    works: Vec<String>,
    quick: bool,
    rounds: Option<usize>,
    only: Option<String>,
    json: bool,
    svg: Option<String>,
}

fn works() -> Vec<Work> {
    let all = [
        lines::works(),
        bulk::works(),
        communicate::works(),
        ping_pong::works(),
        descriptors::works(),
        spawn::works(),
        memory::works(),
        sleeps::works(),
    ];
    all.into_iter().flatten().collect()
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match act(&args) {
        Ok(all_agree) => ExitCode::from(u8::from(!all_agree)),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn act(args: &[String]) -> Result<bool, Box<dyn Error>> {
    let mut args = args.to_vec();
    let pinned = args
        .iter()
        .position(|arg| arg == "--pin")
        .map(|at| args.drain(at..args.len().min(at + 2)).nth(1));
    if let Some(cpu) = &pinned {
        let cpu = cpu
            .as_deref()
            .ok_or("--pin needs the number of a processor")?;
        measure::pin(cpu.parse()?).map_err(|error| format!("--pin {cpu}: {error}"))?;
    }
    let words: Vec<&str> = args.iter().map(|arg| arg.as_str()).collect();
    match words[..] {
        ["--emit", what, count, length] => emit::emit(what, count.parse()?, length.parse()?)?,
        ["--run", work, variant, count] => run_here(work, variant, count.parse()?)?,
        ["--list"] => list(),
        ["--help" | "-h"] => print!("{USAGE}"),
        _ => return run_all(&options(&args)?),
    }
    Ok(true)
}

fn options(args: &[String]) -> Result<Options, Box<dyn Error>> {
    let mut options = Options {
        works: Vec::new(),
        quick: false,
        rounds: None,
        only: None,
        json: false,
        svg: None,
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || {
            args.next()
                .cloned()
                .ok_or(format!("{arg} needs a value\n\n{USAGE}"))
        };
        match arg.as_str() {
            "--quick" => options.quick = true,
            "--json" => options.json = true,
            "--rounds" => options.rounds = Some(value()?.parse::<usize>()?.max(1)),
            "--only" => options.only = Some(value()?),
            "--svg" => options.svg = Some(value()?),
            flag if flag.starts_with('-') => {
                return Err(format!("what is {flag}?\n\n{USAGE}").into())
            }
            work => options.works.push(work.to_string()),
        }
    }
    Ok(options)
}

/// Measures what is asked for, and tells it work by work. True if all variants of each work have
/// run, and agree.
fn run_all(options: &Options) -> Result<bool, Box<dyn Error>> {
    let is_asked = |name: &str| {
        options.works.is_empty() || options.works.iter().any(|start| name.starts_with(start))
    };
    let rounds = options.rounds.unwrap_or(if options.quick { 1 } else { 5 });
    let (mut all, mut all_agree, mut objects) = (Vec::new(), true, Vec::new());
    for work in works().into_iter().filter(|work| is_asked(&work.name)) {
        let measured = measure_work(work, rounds, options);
        all_agree &= measured.all_agree();
        if options.json {
            objects.push(measured.json());
        } else {
            println!("{}", measured.table());
        }
        all.push(measured);
    }
    if is_asked("footprint") && !(options.quick && options.works.is_empty()) {
        let rows = footprint::measure()?;
        if options.json {
            objects.push(report::footprint_json(&rows));
        } else {
            println!("{}", report::footprint_table(&rows));
        }
    }
    if options.json {
        println!("[{}]", objects.join(",\n"));
    }
    if let Some(file) = &options.svg {
        std::fs::write(file, plot::svg(&all))?;
    }
    Ok(all_agree)
}

fn measure_work(mut work: Work, rounds: usize, options: &Options) -> Measured {
    if let Some(only) = &options.only {
        let limit = work.variants[0].name;
        work.variants
            .retain(|variant| variant.name == limit || variant.name.contains(only.as_str()));
        work.left_out
            .retain(|(name, _)| name.contains(only.as_str()));
    }
    let mut taken: Vec<Result<Vec<_>, String>> =
        work.variants.iter().map(|_| Ok(Vec::new())).collect();
    for round in 1..=rounds {
        eprintln!("{}, round {round} of {rounds} ...", work.name);
        // Each round begins with another variant, so that none is always the first or always
        // follows the same one.
        for at in 0..work.variants.len() {
            let at = (at + round) % work.variants.len();
            let variant = &work.variants[at];
            // One that has failed is not tried again.
            if let Ok(rounds) = &mut taken[at] {
                if work.fills_memory() {
                    measure::touch_memory();
                }
                match measure::run_apart(
                    &work.name,
                    variant.name,
                    work.count(variant, options.quick),
                ) {
                    Ok(round) => rounds.push(round),
                    Err(why) => taken[at] = Err(why),
                }
            }
        }
    }
    let row = |(variant, taken): (&Variant, Result<Vec<_>, String>)| {
        let count = work.count(variant, options.quick);
        let figures = taken.map(|rounds| report::figures(count, &rounds));
        Row {
            name: variant.name,
            count,
            figures,
        }
    };
    let rows = work.variants.iter().zip(taken).map(row).collect();
    let count = if options.quick { work.quick } else { work.full };
    Measured::new(work, count, rounds, rows)
}

fn run_here(work: &str, variant: &str, count: u64) -> Result<(), Box<dyn Error>> {
    let work = works()
        .into_iter()
        .find(|other| other.name == work)
        .ok_or(format!("no work {work:?}"))?;
    let found = work.variants.iter().find(|other| other.name == variant);
    let variant = found.ok_or(format!("no variant {variant:?} of {}", work.name))?;
    measure::run_here(
        variant.run,
        Size {
            count,
            param: work.param,
        },
    );
    Ok(())
}

fn list() {
    for work in works() {
        for variant in &work.variants {
            println!(
                "{}\t{}\t{}\t{}",
                work.name,
                variant.name,
                work.count(variant, true),
                work.unit
            );
        }
    }
}
