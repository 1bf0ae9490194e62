//! Talks to a server over its stdin and stdout, as an editor talks to a language server: each
//! message is a header `Content-Length: N`, an empty line, and N bytes of JSON. Several requests
//! are in flight at once, each with a deadline of its own. A server that ends, or writes what is no
//! message, fails all requests that wait.
//!
//!     cargo run --example rpc_client                       # a small server of its own
//!     rpc_client [--timeout SECONDS] [--server COMMAND] [METHOD [PARAMS]]...
//!
//! METHOD and PARAMS (JSON, null if it is left out: a word that begins with [, { or " is one) are
//! sent as JSON-RPC requests. COMMAND is run by `sh -c`. Prints `ID METHOD: RESULT` for each answer
//! as it comes.
//! Exit status: 0 if all requests were answered, 1 if one was not or failed, 2 for a wrong command
//! line.

use asyncfile::{
    done, queue, then, wait, yield_now, AsyncFile, AsyncPipe, Flow, Next, Queue, Scheduler,
    StateFlow, Task,
};
use serde_json::{json, Value};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::process::{Command, ExitCode};
use std::rc::Rc;
use std::time::Duration;

const USAGE: &str = "usage: rpc_client [--timeout SECONDS] [--server COMMAND] [METHOD [PARAMS]]...";
/// A longer header line, or message, is no message.
const LONGEST_HEADER: usize = 1024;
const LONGEST_MESSAGE: usize = 64 * 1024 * 1024;
/// The time that the server has to end after its stdin is closed.
const GRACE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let options = match arguments(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(complaint) => {
            say(&format!("{complaint}\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    let result = match options.is_server {
        true => serve().map(|()| true),
        false => ask(options),
    };
    match result {
        Ok(all_answered) => ExitCode::from(!all_answered as u8),
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// On stderr. If it cannot be written to, nothing is said.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "rpc_client: {text}");
}

/// The error names stdout.
fn of_stdout(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("stdout: {error}"))
}

/// Sends the requests, and prints the answers. Returns whether all were answered.
fn ask(options: Options) -> io::Result<bool> {
    let pipe = AsyncPipe::piped(Command::new("sh").arg("-c").arg(&options.server))?.kill_on_drop();
    let mut sched = Scheduler::new();
    let client = Client::start(&pipe, &mut sched);
    let asked: Vec<_> = (options.requests.into_iter())
        .map(|(method, params)| {
            let (id, answer) = client.request(&method, params);
            let client = client.clone();
            sched.spawn(answer.ready().timeout(options.timeout), move |task| {
                let result = client.answer(id, &answer, task);
                match &result {
                    Ok(result) => {
                        writeln!(io::stdout(), "{id} {method}: {result}").map_err(of_stdout)?
                    }
                    Err(error) => say(&format!("{id} {method}: {error}")),
                }
                done(result.is_ok())
            })
        })
        .collect();
    let mut all_answered = true;
    for request in asked {
        all_answered &= sched.join(request)?;
    }
    client.outgoing.close(); // the writer ends, and closes the server's stdin
    if let Err(error) = sched.block_on(pipe.exit().timeout(GRACE)) {
        say(&format!("the server does not end: {error}"));
    }
    Ok(all_answered)
}

/// Handles to one connection. A task writes the requests, another one reads the answers.
#[derive(Clone)]
struct Client {
    outgoing: Queue<Vec<u8>>,
    waiting: Rc<RefCell<Waiting>>,
}

/// The requests that wait: for each a queue with room for its one answer.
#[derive(Default)]
struct Waiting {
    last_id: u64,
    answers: BTreeMap<u64, Queue<Value>>,
    /// Why there will be no more answers.
    failure: Option<String>,
}

impl Client {
    fn start(pipe: &AsyncPipe, sched: &mut Scheduler) -> Client {
        let client = Client {
            outgoing: queue(usize::MAX),
            waiting: Rc::default(),
        };
        let stdin = pipe.take_stdin().expect("piped");
        let outgoing = client.outgoing.clone();
        sched.spawn(outgoing.ready(), writer(stdin, outgoing, client.clone()));
        let reader = Reader {
            stdout: pipe.stdout().expect("piped").clone(),
            length: None,
            client: client.clone(),
        };
        sched.spawn_states(yield_now(), reader, Reader::start);
        client
    }

    /// Sends a request. Its answer comes through the queue.
    fn request(&self, method: &str, params: Value) -> (u64, Queue<Value>) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.last_id += 1;
        let (id, answer) = (waiting.last_id, queue(1));
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        if waiting.failure.is_some() || self.outgoing.push(framed(&body)).is_err() {
            answer.close();
        }
        waiting.answers.insert(id, answer.clone());
        (id, answer)
    }

    /// The result of a request whose wait has ended. One that has timed out is forgotten: its late
    /// answer is dropped.
    fn answer(&self, id: u64, answer: &Queue<Value>, task: &mut Task) -> io::Result<Value> {
        let mut waiting = self.waiting.borrow_mut();
        waiting.answers.remove(&id);
        task.ok().map_err(|error| match error.kind() {
            ErrorKind::TimedOut => io::Error::new(ErrorKind::TimedOut, "no answer in time"),
            _ => error,
        })?;
        let mut answer = answer.pop().ok_or_else(|| {
            let failure = waiting
                .failure
                .as_deref()
                .unwrap_or("the connection is closed");
            io::Error::new(ErrorKind::ConnectionAborted, failure)
        })?;
        match answer.get_mut("result").map(Value::take) {
            Some(result) => Ok(result),
            None => Err(io::Error::new(
                ErrorKind::Other,
                answer["error"].to_string(),
            )),
        }
    }

    /// Hands an answer to the task that waits for it. What is no answer is a request or a
    /// notification of the server's: this client has no use for them.
    fn deliver(&self, message: Value) {
        let id = message["id"]
            .as_u64()
            .filter(|_| message["method"].is_null());
        if let Some(answer) = id.and_then(|id| self.waiting.borrow_mut().answers.remove(&id)) {
            let _ = answer.push(message); // it is closed if the connection has failed
        }
    }

    /// There will be no more answers.
    fn fail(&self, why: &str) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.failure.get_or_insert(why.to_owned());
        waiting.answers.values().for_each(Queue::close);
    }
}

/// Writes requests in their order. The server's stdin is closed when the queue is.
fn writer(
    stdin: AsyncFile,
    outgoing: Queue<Vec<u8>>,
    client: Client,
) -> impl FnMut(&mut Task) -> Flow {
    move |task| {
        if let Err(error) = task.ok() {
            client.fail(&format!("the server takes no requests: {error}"));
            return done(());
        }
        match outgoing.pop() {
            Some(request) => wait(stdin.write_all(request)),
            None if outgoing.is_closed() => done(()),
            None => wait(outgoing.ready()),
        }
    }
}

fn framed(body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!("Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Reads messages: start -> header -> header -> ... -> body -> header -> ...
struct Reader {
    stdout: AsyncFile,
    length: Option<usize>,
    client: Client,
}

impl Reader {
    fn start(&mut self, task: &mut Task) -> StateFlow<Self> {
        task.ok()?;
        then(self.stdout.readline().limit(LONGEST_HEADER), Self::header)
    }

    fn header(&mut self, task: &mut Task) -> StateFlow<Self> {
        let line = match task.line() {
            Ok(Some(line)) => std::str::from_utf8(line).unwrap_or("").trim_end(),
            Ok(None) => return self.fail("the server has ended"),
            Err(error) => return self.fail(&error.to_string()),
        };
        match (line.split_once(':'), self.length) {
            (Some((name, value)), _) if name.eq_ignore_ascii_case("content-length") => {
                self.length = value
                    .trim()
                    .parse()
                    .ok()
                    .filter(|len| *len <= LONGEST_MESSAGE);
                Next::again(Self::header)
            }
            (Some(_), _) => Next::again(Self::header), // another header
            (None, Some(length)) if line.is_empty() => {
                then(self.stdout.read_exact(length), Self::body)
            }
            (None, _) => self.fail(&format!("not a message: {line:?}")),
        }
    }

    fn body(&mut self, task: &mut Task) -> StateFlow<Self> {
        self.length = None;
        match task.bytes().map(serde_json::from_slice) {
            Ok(Ok(message)) => self.client.deliver(message),
            Ok(Err(error)) => return self.fail(&format!("not JSON: {error}")),
            Err(error) => return self.fail(&error.to_string()),
        }
        then(self.stdout.readline().limit(LONGEST_HEADER), Self::header)
    }

    fn fail(&mut self, why: &str) -> StateFlow<Self> {
        self.client.fail(why);
        Next::done()
    }
}

/// The small server, in a process of its own: `add` sums numbers, `echo` returns its params,
/// `sleep` waits for so many milliseconds, `crash` ends the server.
fn serve() -> io::Result<()> {
    let mut stdin = io::stdin().lock();
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stdin.read_line(&mut line)? == 0 {
                return Ok(());
            }
            match line.trim_end().split_once(": ") {
                Some((_, value)) => length = value.parse().map_err(io::Error::other)?,
                None => break,
            }
        }
        let mut body = vec![0; length];
        stdin.read_exact(&mut body)?;
        let request: Value = serde_json::from_slice(&body)?;
        let params = request["params"].clone();
        let answer = match request["method"].as_str() {
            Some("add") => {
                let numbers = params.as_array().into_iter().flatten();
                json!({"result": numbers.filter_map(Value::as_f64).sum::<f64>()})
            }
            Some("echo") => json!({ "result": params }),
            Some("sleep") => {
                let time = Duration::from_millis(params[0].as_u64().unwrap_or(0));
                let id = request["id"].clone();
                std::thread::Builder::new().spawn(move || {
                    std::thread::sleep(time);
                    let _ = send(json!({"result": "slept"}), id);
                })?;
                continue;
            }
            Some("crash") => return Err(io::Error::other("crashed, as was asked")),
            _ => json!({"error": {"code": -32601, "message": "no such method"}}),
        };
        send(answer, request["id"].clone())?;
    }
}

/// Writes one message of the small server's.
fn send(mut answer: Value, id: Value) -> io::Result<()> {
    answer["jsonrpc"] = "2.0".into();
    answer["id"] = id;
    let mut stdout = io::stdout().lock();
    stdout.write_all(&framed(&answer))?;
    stdout.flush()
}

struct Options {
    is_server: bool,
    server: String,
    timeout: Duration,
    requests: Vec<(String, Value)>,
}

fn arguments(args: impl Iterator<Item = std::ffi::OsString>) -> Result<Options, String> {
    let mut args = args
        .map(|arg| arg.to_string_lossy().into_owned())
        .peekable();
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut options = Options {
        is_server: false,
        server: format!(
            "exec '{}' --serve",
            own.display().to_string().replace('\'', r"'\''")
        ),
        timeout: Duration::from_secs(10),
        requests: Vec::new(),
    };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--serve" => options.is_server = true,
            "--server" => options.server = args.next().ok_or("--server needs a command")?,
            "--timeout" => {
                let seconds = args.next().and_then(|text| text.parse().ok());
                let seconds = seconds.filter(|seconds| (0.001..=1e9).contains(seconds));
                options.timeout =
                    Duration::from_secs_f64(seconds.ok_or("--timeout: not 0.001 to 1e9 seconds")?);
            }
            _ if arg.starts_with('-') => return Err(format!("unknown option {arg}")),
            _ => {
                let params = args.next_if(|next| next.starts_with(['[', '{', '"']));
                let params = params.map_or(Ok(Value::Null), |text| {
                    serde_json::from_str(&text).map_err(|error| format!("{text}: {error}"))
                });
                options.requests.push((arg, params?));
            }
        }
    }
    if options.requests.is_empty() {
        options.requests = vec![
            ("sleep".into(), json!([300])),
            ("add".into(), json!([1, 2, 3])),
            ("echo".into(), json!({"some": "text"})),
        ];
    }
    Ok(options)
}
