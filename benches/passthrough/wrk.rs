//! `wrk`: as many requests as its connections bring through, one thread of it, and what it measured.

use std::{io, net::SocketAddr, process::Command};

/// Prints the figures as numbers: requests, errors, seconds, the 99th percentile in milliseconds.
const FIGURES: &str = r#"
done = function(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  print(string.format("figures %d %d %f %f", summary.requests, failed, summary.duration / 1e6, latency:percentile(99) / 1e3))
end
"#;

/// Whom to ask, and how much.
pub struct Load<'a> {
    pub address: SocketAddr,
    pub path: &'a str,
    pub connections: usize,
    pub seconds: u32,
}

/// What came of it.
pub struct Figures {
    pub requests: f64,
    /// Requests in a second.
    pub rate: f64,
    /// The 99th percentile in milliseconds.
    pub late: f64,
}

/// Runs it to its end; fails when any answer failed.
pub fn run(load: &Load) -> io::Result<Figures> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("figures.lua");
    std::fs::write(&script, FIGURES)?;
    let mut command = Command::new("wrk");
    command.args([
        "--threads",
        "1",
        "--connections",
        &load.connections.to_string(),
        "--duration",
        &format!("{}s", load.seconds),
        "--script",
    ]);
    command.arg(&script).arg(format!("http://{}{}", load.address, load.path));
    let output = command.output().map_err(|error| io::Error::other(format!("wrk: {error}; install it, as by `apt-get install wrk`")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let figures = text.lines().find_map(|line| line.strip_prefix("figures ")).unwrap_or_default();
    let figures: Vec<f64> = figures.split(' ').filter_map(|figure| figure.parse().ok()).collect();
    match figures[..] {
        [requests, 0.0, seconds, late] if requests > 0.0 => Ok(Figures { requests, rate: requests / seconds, late }),
        _ => Err(io::Error::other(format!("wrk: {text}{}", String::from_utf8_lossy(&output.stderr)))),
    }
}
