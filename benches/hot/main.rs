//! What Podium adds to a search whose scores it has: a canned upstream, asked directly and through the real binary, in turn.
//!
//! `just bench-hot` prints it for windows of 100 hits of 300 bytes and of 2 KB, all of them returned and a page of 10, at 500 searches a
//! second through and as many direct.
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

#[path = "../load/mod.rs"]
mod load;

use std::{io, net::SocketAddr};

use clap::Parser;

use self::load::{
    arrivals::Target,
    machine::{load_average, processor_seconds},
    measured::{Rounds, measure},
    podium::Podium,
    upstream,
};

/// Bytes of text in a hit.
const SOURCES: [usize; 2] = [300, 2048];
const WINDOW: usize = 100;
const PAGE: usize = 10;
/// Milliseconds that may be added to the 99th percentile.
const GOAL: f64 = 1.0;
/// Different searches, in turn.
const SEARCHES: usize = 50;

const RULE: &str = r#"
[models.identity]
kind = "fake-identity"
[[rules]]
index = ["shop"]
model = "identity"
fields = ["title", "text"]
window = 100
timeout = "30s"
total-timeout = "60s"
"#;

#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds; a figure is the median of them.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds of one round of one row.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Searches in a second through Podium, and as many direct.
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// What cargo passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    println!(
        "load average before: {}; {} rounds, {} searches/s through and as many direct\n",
        load_average(),
        arguments.rounds,
        arguments.rate
    );
    println!(
        "| hits, bytes of text, returned | direct p50, ms | p99 | through p50 | p99 | added p50 | added p99 (goal {GOAL}) | processor time of a search, ms |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for source in SOURCES {
        let engine = upstream::start(source)?;
        let podium = Podium::start(engine, RULE)?;
        for returned in [PAGE, WINDOW] {
            row(engine, &podium, (source, returned), &arguments)?;
        }
    }
    println!("\nload average after: {}", load_average());
    Ok(())
}

fn row(engine: SocketAddr, podium: &Podium, (source, returned): (usize, usize), arguments: &Arguments) -> io::Result<()> {
    let targets = [
        searches(engine, returned, ""),
        searches(podium.address, returned, "rerank-status: reranked; model=\"identity\"; window=100; scored=100; cached=100"),
    ];
    let rounds = Rounds { count: arguments.rounds, rate: arguments.rate * 2.0, seconds: arguments.seconds };
    let before = processor_seconds(&[podium.process()])?;
    let measured = measure(&targets, &rounds)?;
    let spent = processor_seconds(&[podium.process()])? - before;
    let [direct, through] = measured.as_slice() else { unreachable!("one result for each target") };
    let searches = arguments.rate * (arguments.seconds * arguments.rounds as f64 + 1.0);
    println!(
        "| {WINDOW} of {source}, {returned} | {} | {} | {} | {} | {} | **{}** | {:.2} |",
        direct.p50(),
        direct.p99(),
        through.p50(),
        through.p99(),
        through.added_to(direct, 0.5),
        through.added_to(direct, 0.99),
        spent * 1e3 / searches,
    );
    Ok(())
}

/// Searches as shops send them.
fn searches(address: SocketAddr, size: usize, expected: &'static str) -> Target {
    let body = |number| {
        format!(
            r#"{{"query":{{"bool":{{"must":[{{"multi_match":{{"query":"red running shoes {number}","fields":["title^3","text"]}}}}],"filter":[{{"term":{{"in_stock":true}}}}]}}}},"size":{size}}}"#
        )
    };
    Target::searches(address, "/shop/_search", (0..SEARCHES).map(body), expected)
}
