//! Starts both engines once per test run; they end with this test run however it ends, because they read a pipe from it.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::Path,
    process::{ChildStdin, Command, ExitStatus, Stdio},
    sync::OnceLock,
    thread,
};

use serde_json::Value;

use super::http::{self, Reply};

/// Lines of an engine's output that are shown when it does not start.
const LAST_LINES: usize = 40;

/// Which engine it is, where the two differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    OpenSearch,
    Elasticsearch,
}

/// One running engine.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) product: Product,
    pub(crate) address: SocketAddr,
    /// Its standard input: the engine ends when this closes.
    _input: ChildStdin,
}

/// Runs a test on each engine that can be had.
pub(crate) fn on_each(test: impl Fn(&Engine)) {
    for engine in running() {
        test(engine);
    }
}

/// Runs a test on one of them.
pub(crate) fn on(product: Product, test: impl Fn(&Engine)) {
    running().iter().filter(|engine| engine.product == product).for_each(test);
}

fn running() -> &'static [Engine] {
    static RUNNING: OnceLock<Vec<Engine>> = OnceLock::new();
    RUNNING.get_or_init(|| {
        let starts = [Product::OpenSearch, Product::Elasticsearch].map(|product| thread::spawn(move || Engine::start(product, &[])));
        starts
            .into_iter()
            .filter_map(|start| match start.join().expect("the starting thread does not panic") {
                Ok(engine) => Some(engine),
                Err(failure) => {
                    skip(&failure);
                    None
                }
            })
            .collect()
    })
}

/// Says aloud that an engine is not tested; on CI, where none may be left out, fails.
#[expect(clippy::disallowed_methods, reason = "only a test that leaves something out asks for CI")]
pub(crate) fn skip(reason: &str) {
    assert!(std::env::var_os("CI").is_none(), "on CI nothing may be skipped: {reason}");
    say(&format!("SKIPPED: {reason}"));
}

/// Prints past the harness's capture: figures are for reading when all is well, too.
pub(crate) fn say(line: &str) {
    writeln!(std::io::stderr(), "\n{line}").expect("standard error takes a line");
}

/// Returns a folder in memory that is big enough for an engine: tests make hundreds of indices, each of which a disk syncs.
fn memory() -> Option<&'static str> {
    const FOLDER: &str = "/dev/shm";
    const ENOUGH: u64 = 1 << 30; // of free bytes: engines refuse writes to a disk that is nearly full
    let free = rustix::fs::statvfs(FOLDER).ok()?;
    (free.f_bavail * free.f_frsize >= ENOUGH).then_some(FOLDER)
}

// === impl Product ===

impl Product {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OpenSearch => "opensearch",
            Self::Elasticsearch => "elasticsearch",
        }
    }
}

// === impl Engine ===

impl Engine {
    /// Starts one with these settings (`name=value`) on a free port.
    pub(crate) fn start(product: Product, settings: &[&str]) -> Result<Self, String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engines/start.sh");
        let mut command = Command::new("bash");
        if let Some(folder) = memory() {
            command.env("TMPDIR", folder);
        }
        let mut child = command
            .arg(script)
            .args([product.name(), "0"])
            .args(settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("bash cannot be run: {error}"))?;
        let input = child.stdin.take().expect("it was asked for");
        let mut lines = BufReader::new(child.stdout.take().expect("it was asked for")).lines().map_while(Result::ok);
        let mut last = VecDeque::new();
        while let Some(line) = lines.next() {
            if let Some(address) = line.strip_prefix("ready http://") {
                thread::spawn(move || lines.for_each(drop)); // a full pipe would stop the engine
                return Ok(Self { product, address: address.parse().expect("an address"), _input: input });
            }
            last.push_back(line);
            if last.len() > LAST_LINES {
                last.pop_front();
            }
        }
        let status: ExitStatus = child.wait().map_err(|error| error.to_string())?;
        Err(format!("{} did not start ({status})\n{}", product.name(), last.make_contiguous().join("\n")))
    }

    /// Sends a request with a JSON body (none when empty).
    pub(crate) fn call(&self, method: &str, target: &str, body: &str) -> Reply {
        http::json(self.address, method, target, body)
    }

    /// Sends a request that must succeed and returns its JSON.
    pub(crate) fn ok(&self, method: &str, target: &str, body: &str) -> Value {
        let reply = self.call(method, target, body);
        assert!(reply.status < 300, "{:?} {method} {target} {body}: {} {}", self.product, reply.status, reply.text());
        reply.json()
    }

    /// Makes an index anew from its settings and mappings, and fills it with (id, document) pairs.
    pub(crate) fn fill<'a>(&self, index: &str, definition: &str, documents: impl IntoIterator<Item = (&'a str, String)>) {
        let gone = self.call("DELETE", &format!("/{index}"), "");
        assert!([200, 404].contains(&gone.status), "{}", gone.text());
        self.ok("PUT", &format!("/{index}"), definition);
        let lines: String =
            documents.into_iter().map(|(id, document)| format!("{{\"index\":{{\"_id\":\"{id}\"}}}}\n{document}\n")).collect();
        if !lines.is_empty() {
            self.bulk(index, &lines);
        }
    }

    /// Sends bulk lines, none of which may fail.
    pub(crate) fn bulk(&self, index: &str, lines: &str) {
        let headers = [("Content-Type", "application/x-ndjson")];
        let reply = http::send(self.address, "POST", &format!("/{index}/_bulk?refresh=true"), &headers, lines.as_bytes());
        assert_eq!(reply.json()["errors"], Value::Bool(false), "{}", reply.text());
    }
}
