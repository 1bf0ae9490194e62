//! The language-neutral vectors of `communicate.json`: each case is a child, its input, and what a
//! communicate with it must give.

mod support;

#[path = "children/help.rs"]
mod help;

use std::collections::HashMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use asyncfile::op::Communicate;
use asyncfile::{done, sleep, wait, yield_now, AsyncFile, AsyncPipe, Scheduler};
use serde_json::Value;
use sha1::{Digest, Sha1};

use help::{code, piped};
use support::{base64, pipe, watchdog};

#[test]
fn communicate_gives_what_the_vectors_say() {
    let _watchdog = watchdog();
    let vectors: Value = serde_json::from_str(include_str!("vectors/communicate.json")).unwrap();
    let data = inputs(&vectors["data"]);
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 27, "all of them");
    for case in cases {
        eprintln!("case {}: {}", case["id"], case["name"]);
        run(case, &data);
    }
}

fn run(case: &Value, data: &HashMap<&str, Vec<u8>>) {
    let input = case["input"].as_str().map(|name| &data[name]);
    let special = case["special"].as_str().unwrap_or("");
    let start = Instant::now();
    let mut sched = Scheduler::new();
    let outputs: Vec<Output> = if special == "many" {
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                sched.spawn(
                    AsyncPipe::new(child(case)).unwrap().communicate(()),
                    |task| done(task.output()?),
                )
            })
            .collect();
        tasks
            .into_iter()
            .map(|task| sched.join(task).unwrap())
            .collect()
    } else {
        let pipe = match special.strip_prefix("chain:") {
            Some(last) => chain(child(case), last),
            None => AsyncPipe::new(child(case)).unwrap(),
        };
        let _sibling = (special == "sibling").then(sibling);
        if special == "readline" {
            assert!(sched
                .block_on(pipe.readline())
                .unwrap()
                .unwrap()
                .ends_with(b"\n"));
        }
        let op = match case["kind"].as_str().unwrap() {
            "data" => match input {
                Some(bytes) => pipe.communicate(bytes),
                None => pipe.communicate(()),
            },
            "file" => pipe.communicate(file_with(input.unwrap())),
            "async" => communicate_async(&mut sched, &pipe, &case["special"], input),
            kind => panic!("unknown kind {kind}"),
        };
        vec![sched.block_on(op).unwrap()]
    };
    let seconds = start.elapsed().as_secs_f64();
    let (least, most) = (
        case["tmin"].as_f64().unwrap(),
        case["tmax"].as_f64().unwrap(),
    );
    assert!(
        least <= seconds && seconds <= most,
        "{seconds} s are not in {least}..={most}"
    );
    for output in outputs {
        assert_eq!(code(output.status), case["exit"].as_i64().unwrap() as i32);
        assert_stream(&output.stdout, &case["stdout"]);
        assert_stream(&output.stderr, &case["stderr"]);
    }
}

fn child(case: &Value) -> std::process::Child {
    piped(
        case["sh"].as_str().unwrap(),
        case["pipes"].as_str().unwrap(),
    )
}

fn chain(mut first: std::process::Child, last: &str) -> AsyncPipe {
    let between = first.stdout.take().unwrap();
    let last = help::sh(last)
        .stdin(between)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    AsyncPipe::chain(first, last).unwrap()
}

/// Started while the other child's stdin is open here, and alive until it is dropped.
fn sibling() -> Sibling {
    Sibling(Command::new("sleep").arg("60").spawn().unwrap())
}

struct Sibling(std::process::Child);

impl Drop for Sibling {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn file_with(content: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    file
}

/// An AsyncFile over a pipe, and a task that feeds it.
fn communicate_async(
    sched: &mut Scheduler<'_>,
    pipe: &AsyncPipe,
    special: &Value,
    input: Option<&Vec<u8>>,
) -> Communicate {
    let (reader, writer) = self::pipe();
    let writer = AsyncFile::new(writer).unwrap();
    match special {
        Value::Array(chunks) => {
            let mut chunks = chunks.clone().into_iter();
            let mut text: Option<String> = None;
            let detached = sched.spawn(yield_now(), move |task| {
                task.ok()?;
                if let Some(text) = text.take() {
                    return wait(writer.write(text).full());
                }
                match chunks.next() {
                    Some(chunk) => {
                        text = Some(chunk[1].as_str().unwrap().to_owned());
                        wait(sleep(Duration::from_secs_f64(chunk[0].as_f64().unwrap())))
                    }
                    None => done(()),
                }
            });
            drop(detached);
        }
        Value::String(what) if what == "data" => {
            let op = writer.write(input.unwrap()).full();
            drop(sched.spawn(op, move |task| {
                task.ok()?;
                writer.close();
                done(())
            }));
        }
        Value::String(what) if what == "yes" => {
            let lines = "y\n".repeat(1000);
            drop(sched.spawn(
                writer.write(&lines).full(),
                move |task| match task.written() {
                    Ok(_) => wait(writer.write(&lines).full()),
                    Err(_) => done(()), // the child has gone, and the AsyncFile with it
                },
            ));
        }
        other => panic!("unknown special {other}"),
    }
    pipe.communicate(AsyncFile::new(reader).unwrap())
}

/// None: the stream was not piped, and there is nothing.
fn assert_stream(bytes: &[u8], expected: &Value) {
    match expected {
        Value::Null => assert!(bytes.is_empty()),
        Value::String(encoded) => assert_eq!(bytes, base64(encoded)),
        large => assert_sha1(bytes, large),
    }
}

fn assert_sha1(bytes: &[u8], expected: &Value) {
    assert_eq!(bytes.len() as u64, expected["len"].as_u64().unwrap());
    let sha1: String = Sha1::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(sha1, expected["sha1"].as_str().unwrap());
}

/// Made as the vectors' `how` says, and checked.
fn inputs(data: &Value) -> HashMap<&str, Vec<u8>> {
    let digits = |len| {
        b"0123456789abcdef"
            .iter()
            .copied()
            .cycle()
            .take(len)
            .collect()
    };
    let make = |name: &str| -> Vec<u8> {
        match name {
            "empty" => Vec::new(),
            "hello" => b"hello".to_vec(),
            "abc" => b"abc".to_vec(),
            "1M" => digits(1_048_576),
            "4M+1" => digits(4_194_305),
            "100K" => digits(100_000),
            "all256" => (0..=255).collect(),
            "lines" => b"Error one\nfine\nan error\nok\n".to_vec(),
            "unsorted" => b"b\na\nc\n".to_vec(),
            "crlf" => b"a\r\nb\r\nlast".to_vec(),
            "nonl" => b"no newline".to_vec(),
            other => panic!("unknown data {other}"),
        }
    };
    let mut inputs = HashMap::new();
    for (name, expected) in data.as_object().unwrap() {
        let bytes = make(name);
        assert_sha1(&bytes, expected);
        inputs.insert(name.as_str(), bytes);
    }
    inputs
}
