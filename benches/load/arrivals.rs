//! Open-loop load: requests are sent at the times that a schedule names, whatever became of the ones before.
//!
//! Every latency counts from the scheduled time, so that a request that had to wait for a slow one before it shows that wait (no
//! coordinated omission).

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Requests, and whom they go to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Who answers.
    pub address: SocketAddr,
    /// Whole requests, as they are sent: in turn, and again from the first.
    pub requests: Vec<Vec<u8>>,
    /// What the answer's head must contain, in lower case.
    pub expected: &'static str,
}

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Requests in a second, all targets together, in turn and at equal distances.
    pub rate: f64,
    /// For how long.
    pub duration: Duration,
    /// Requests that can be under way at one time; further ones wait, and their wait counts.
    pub connections: usize,
}

/// What came of one target's requests.
#[derive(Clone, Debug, Default)]
pub struct Served {
    /// From the scheduled time to the last byte of the answer.
    pub latencies: Vec<Duration>,
    /// The requests that got no answer, or not the expected one.
    pub failed: usize,
    /// The first of these answers' heads, or what was wrong.
    pub failure: Option<String>,
    /// How often each outcome came, by its word and reason in `Rerank-Status`.
    pub outcomes: BTreeMap<String, usize>,
}

/// One connection for each target, opened when it is first needed.
struct Worker<'a> {
    targets: &'a [Target],
    connections: Vec<Option<BufReader<TcpStream>>>,
    body: Vec<u8>,
}

// === impl Target ===

impl Target {
    /// Returns a search of `path` with this JSON body.
    pub fn search(address: SocketAddr, path: &str, body: &str, expected: &'static str) -> Self {
        Self { address, requests: vec![search(address, path, body)], expected }
    }

    /// Returns searches of `path`, one for each JSON body.
    pub fn searches(address: SocketAddr, path: &str, bodies: impl IntoIterator<Item = String>, expected: &'static str) -> Self {
        Self { address, requests: bodies.into_iter().map(|body| search(address, path, &body)).collect(), expected }
    }
}

fn search(address: SocketAddr, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// Sends requests to all targets in turn, and returns what came of each target's.
pub fn send(targets: &[Target], schedule: Schedule) -> Vec<Served> {
    let total = (schedule.rate * schedule.duration.as_secs_f64()) as usize;
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    let work = || {
        let mut worker = Worker { targets, connections: targets.iter().map(|_| None).collect(), body: Vec::new() };
        let mut served = vec![Served::default(); targets.len()];
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= total {
                return served;
            }
            let scheduled = start + Duration::from_secs_f64(number as f64 / schedule.rate);
            thread::sleep(scheduled.saturating_duration_since(Instant::now()));
            let turn = number % targets.len();
            let answered = worker.call(turn, number / targets.len());
            served[turn].count(answered, scheduled.elapsed());
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..schedule.connections).map(|_| scope.spawn(work)).collect();
        let mut all = vec![Served::default(); targets.len()];
        for worker in workers {
            let served = worker.join().expect("workers do not panic");
            all.iter_mut().zip(served).for_each(|(sum, part)| sum.add(part));
        }
        all
    })
}

/// Sends all requests of a target once, each when the one before it is answered; latencies count from their own beginning.
pub fn send_one_by_one(target: &Target) -> Served {
    let targets = std::slice::from_ref(target);
    let mut worker = Worker { targets, connections: vec![None], body: Vec::new() };
    let mut served = Served::default();
    for number in 0..target.requests.len() {
        let started = Instant::now();
        let answered = worker.call(0, number);
        served.count(answered, started.elapsed());
    }
    served
}

/// Sends all requests of a target once, over so many connections and as fast as they are answered.
pub fn send_at_once(target: &Target, connections: usize) -> Served {
    /// So soon after each other that all are due at once.
    const RATE: f64 = 1e6;
    let duration = Duration::from_secs_f64((target.requests.len() as f64 + 0.5) / RATE);
    send(std::slice::from_ref(target), Schedule { rate: RATE, duration, connections }).remove(0)
}

// === impl Served ===

impl Served {
    fn count(&mut self, answered: io::Result<String>, latency: Duration) {
        match answered {
            Ok(outcome) => {
                self.latencies.push(latency);
                *self.outcomes.entry(outcome).or_default() += 1;
            }
            Err(error) => {
                self.failed += 1;
                self.failure.get_or_insert(error.to_string());
            }
        }
    }

    fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.failed += other.failed;
        self.failure = self.failure.take().or(other.failure);
        for (outcome, count) in other.outcomes {
            *self.outcomes.entry(outcome).or_default() += count;
        }
    }
}

// === impl Worker ===

impl Worker<'_> {
    /// Returns the outcome.
    fn call(&mut self, turn: usize, number: usize) -> io::Result<String> {
        let target = &self.targets[turn];
        let mut connection = match self.connections[turn].take() {
            Some(connection) => connection,
            None => connect(target.address)?,
        };
        connection.get_mut().write_all(&target.requests[number % target.requests.len()])?;
        let head = read_head(&mut connection)?;
        let length = content_length(&head).ok_or_else(|| io::Error::other(format!("an answer without content-length: {head}")))?;
        self.body.resize(length, 0);
        connection.read_exact(&mut self.body)?;
        self.connections[turn] = Some(connection);
        let right = head.starts_with("http/1.1 200 ") && head.contains(target.expected);
        if right { Ok(outcome(&head)) } else { Err(io::Error::other(head)) }
    }
}

/// Returns the word of an answer's `Rerank-Status`, with its reason if it has one; of an engine's own answer nothing.
fn outcome(head: &str) -> String {
    let status = head.lines().find_map(|line| line.strip_prefix("rerank-status: ")).unwrap_or_default();
    let word = status.split(';').next().unwrap_or_default();
    status.split_once("reason=").map_or_else(|| word.to_owned(), |(_, reason)| format!("{word} {reason}"))
}

/// Opens a connection.
///
/// # Errors
/// Nobody listens.
pub fn connect(address: SocketAddr) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(BufReader::with_capacity(64 << 10, stream))
}

/// Returns an answer's head in lower case.
///
/// # Errors
/// It breaks off.
pub fn read_head(connection: &mut impl BufRead) -> io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if connection.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head.to_ascii_lowercase())
}

/// Returns the length that a head in lower case tells.
pub fn content_length(head: &str) -> Option<usize> {
    head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
}
