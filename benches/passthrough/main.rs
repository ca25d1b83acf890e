//! What the hop costs: requests that no rule concerns, through Podium and through nginx, by `wrk`, on this machine.
//!
//! `just bench-passthrough` prints requests a second, the 99th percentile and the processor time of one request, each as a ratio to nginx
//! in the same round. The upstream is one more nginx that serves two files from memory. All of them share the processors, so that the
//! requests a second also tell what `wrk` and the upstream cost; the processor time is the proxy's own.
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

#[path = "../load/mod.rs"]
mod load;
mod nginx;
mod wrk;

use std::{io, net::SocketAddr, thread};

use clap::Parser;

use self::{
    load::{
        machine::{load_average, processor_seconds},
        podium::{Podium, free_addresses},
        report::Spread,
    },
    nginx::Nginx,
    wrk::Load,
};

/// A root page of an engine, and an answer of usual size.
const ANSWERS: [(&str, usize); 2] = [("small", 96), ("64 KB", 64 << 10)];
const CONNECTIONS: [usize; 4] = [1, 16, 64, 256];

#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds; a figure is the median of them.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds that each of the three is asked for in a round, for each row.
    #[arg(long, default_value_t = 1)]
    seconds: u32,
    /// Only this many connections.
    #[arg(long)]
    connections: Option<usize>,
    /// What cargo passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Who is asked, and whose processor time counts.
struct Asked<'a> {
    address: SocketAddr,
    processes: &'a [u32],
}

/// What one of them did, round by round.
#[derive(Debug, Default)]
struct Measured {
    /// Requests in a second.
    rate: Vec<f64>,
    /// The 99th percentile in milliseconds.
    late: Vec<f64>,
    /// Microseconds of processor time for a request.
    cost: Vec<f64>,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let [engine, proxy] = free_addresses()?;
    let _engine = Nginx::files(engine, &ANSWERS)?;
    let nginx = Nginx::proxy(proxy, engine)?;
    let podium = Podium::start(engine, "")?;
    let workers = nginx.workers()?;
    let asked = [
        Asked { address: engine, processes: &[] },
        Asked { address: proxy, processes: &workers },
        Asked { address: podium.address, processes: &[podium.process()] },
    ];
    let cores = thread::available_parallelism()?;
    println!("load average before: {}; {cores} processors, {} rounds of {} s each\n", load_average(), arguments.rounds, arguments.seconds);
    println!(
        "| answer | connections | direct, requests/s | nginx | podium | podium / nginx | p99 nginx, ms | podium | podium / nginx | processor time of a request, nginx, µs | podium | podium / nginx |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for (answer, _) in ANSWERS {
        for connections in CONNECTIONS.into_iter().filter(|count| arguments.connections.is_none_or(|only| only == *count)) {
            row(answer, connections, &asked, &arguments)?;
        }
    }
    println!("\nload average after: {}", load_average());
    Ok(())
}

/// Asks all three in turn, round by round, and prints what came of it.
fn row(answer: &str, connections: usize, asked: &[Asked; 3], arguments: &Arguments) -> io::Result<()> {
    let mut measured = [const { Measured { rate: Vec::new(), late: Vec::new(), cost: Vec::new() } }; 3];
    let path = nginx::path(answer);
    for _ in 0..arguments.rounds {
        for (one, all) in asked.iter().zip(&mut measured) {
            let before = processor_seconds(one.processes)?;
            let load = wrk::run(&Load { address: one.address, path: &path, connections, seconds: arguments.seconds })?;
            let spent = processor_seconds(one.processes)? - before;
            all.rate.push(load.rate);
            all.late.push(load.late);
            all.cost.push(spent * 1e6 / load.requests);
        }
    }
    let [direct, nginx, podium] = &measured;
    println!(
        "| {answer} | {connections} | {:.0} | {:.0} | {:.0} | **{}** | {:.2} | {:.2} | {} | {:.1} | {:.1} | {} |",
        median(&direct.rate),
        median(&nginx.rate),
        median(&podium.rate),
        ratio(&podium.rate, &nginx.rate),
        median(&nginx.late),
        median(&podium.late),
        ratio(&podium.late, &nginx.late),
        median(&nginx.cost),
        median(&podium.cost),
        ratio(&podium.cost, &nginx.cost),
    );
    Ok(())
}

fn median(figures: &[f64]) -> f64 {
    Spread::new(figures.iter().copied()).median()
}

/// The ratio of each round, as the median with its spread.
fn ratio(own: &[f64], other: &[f64]) -> Spread {
    Spread::new(own.iter().zip(other).map(|(own, other)| own / other))
}
