//! Clients that search, look at every answer, and sometimes go away before it comes.

use std::{
    collections::BTreeMap,
    io::{self, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    load::arrivals::{connect, content_length, read_head},
    world::{self, Told, WINDOW},
};

/// An answer that has not come by then is lost.
const LOST: Duration = Duration::from_secs(20);

/// Different searches; a part of them is asked for again and again.
const NUMBERS: u64 = 400_000;
const OFTEN: u64 = 2_000;
/// Those whose kept answers are met before they are emptied.
const AGAIN: u64 = 20;

/// The rules, by the index that has them.
const RULES: [&str; 3] = ["whole", "partial", "answers"];
const IDENTITIES: u64 = 4;

/// What all clients share.
pub struct Plan {
    pub address: SocketAddr,
    /// Searches that are still to be sent.
    pub left: AtomicU64,
    pub until: Instant,
    pub seed: u64,
}

/// What one client saw, or all.
#[derive(Debug, Default)]
pub struct Seen {
    /// Answers by their word and reason, and `cancelled`.
    pub outcomes: BTreeMap<String, u64>,
    pub wrong: Vec<String>,
    pub lost: Vec<String>,
}

/// One search.
struct Search {
    number: u64,
    rule: &'static str,
    size: usize,
    who: String,
}

/// Searches until nothing is left.
pub fn run(plan: &Plan, client: u64) -> Seen {
    let mut random = fastrand::Rng::with_seed(plan.seed ^ client.wrapping_mul(0x9e37_79b9));
    let mut seen = Seen::default();
    let mut connection = None;
    while Instant::now() < plan.until && plan.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
        let search = Search::any(&mut random);
        let cancels = random.u8(..100) < 3;
        let outcome = if cancels {
            connection = None;
            search.cancel(plan.address, Duration::from_micros(random.u64(..3000)))
        } else {
            search.ask(plan.address, &mut connection)
        };
        match outcome {
            Ok(outcome) => *seen.outcomes.entry(outcome).or_default() += 1,
            Err(Trouble::Wrong(what)) => seen.wrong.push(what),
            Err(Trouble::Lost(what)) => {
                connection = None;
                seen.lost.push(format!("{}: {what}", search.number));
            }
        }
    }
    seen
}

enum Trouble {
    Wrong(String),
    Lost(io::Error),
}

// === impl Search ===

impl Search {
    fn any(random: &mut fastrand::Rng) -> Self {
        let rule = RULES[random.usize(..RULES.len())];
        let number = match (rule, random.bool()) {
            ("answers", true) => random.u64(..AGAIN),
            (_, true) => random.u64(..OFTEN),
            (_, false) => random.u64(..NUMBERS),
        };
        let size = if rule == "partial" || random.bool() { WINDOW } else { 5 };
        Self { number, rule, size, who: format!("u{}", random.u64(..IDENTITIES)) }
    }

    fn request(&self) -> Vec<u8> {
        let Self { number, rule, size, who } = self;
        let body = world::question(*number, *size);
        let length = body.len();
        format!(
            "POST /{rule}/_search HTTP/1.1\r\nHost: a\r\nAuthorization: {who}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }

    fn cancel(&self, address: SocketAddr, after: Duration) -> Result<String, Trouble> {
        let mut stream = TcpStream::connect(address).map_err(Trouble::Lost)?;
        stream.write_all(&self.request()).map_err(Trouble::Lost)?;
        thread::sleep(after);
        Ok("cancelled".to_owned())
    }

    fn ask(&self, address: SocketAddr, kept: &mut Option<BufReader<TcpStream>>) -> Result<String, Trouble> {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => connect(address).map_err(Trouble::Lost)?,
        };
        let (head, body) = self.exchange(&mut connection).map_err(Trouble::Lost)?;
        *kept = Some(connection);
        let status = head.lines().find_map(|line| line.strip_prefix("rerank-status: ")).unwrap_or_default();
        let told = Told {
            word: status.split(';').next().unwrap_or_default(),
            window: parameter(status, "window="),
            scored: parameter(status, "scored="),
        };
        if !head.starts_with("http/1.1 200 ") {
            return Err(Trouble::Wrong(head));
        }
        match world::wrong(&body, (self.number, self.size, &self.who), &told) {
            Some(what) => Err(Trouble::Wrong(format!("{}, {status}: {what}", self.number))),
            None => Ok(outcome(status, &told)),
        }
    }

    fn exchange(&self, connection: &mut BufReader<TcpStream>) -> io::Result<(String, String)> {
        connection.get_ref().set_read_timeout(Some(LOST))?;
        connection.get_mut().write_all(&self.request())?;
        let head = read_head(connection)?;
        let mut body = vec![0; content_length(&head).ok_or_else(|| io::Error::other(head.clone()))?];
        connection.read_exact(&mut body)?;
        Ok((head, String::from_utf8_lossy(&body).into_owned()))
    }
}

/// Returns the word of an answer with its reason, and whether it was remembered, whole or small.
fn outcome(status: &str, told: &Told<'_>) -> String {
    let reason = status.split_once("reason=").map_or("", |(_, reason)| reason.split(';').next().unwrap_or_default());
    let small = if told.window > 0 && told.window < WINDOW { " small" } else { "" };
    let again = if status.contains("answer=hit") { " again" } else { "" };
    format!("{}{small}{again} {reason}", told.word).trim_end().to_owned()
}

fn parameter(status: &str, name: &str) -> usize {
    let behind = status.split_once(name).map_or("", |(_, behind)| behind);
    behind.split(';').next().and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

// === impl Seen ===

impl Seen {
    pub fn add(&mut self, other: Self) {
        self.wrong.extend(other.wrong);
        self.lost.extend(other.lost);
        for (outcome, count) in other.outcomes {
            *self.outcomes.entry(outcome).or_default() += count;
        }
    }
}
