//! Ten times more searches than the model can score: what becomes of their time, and of those that are still reranked.
//!
//! `just bench-overload` loads a model of fixed cost (a time for each batch and one for each pair) from half its capacity to ten times
//! that, with searches that are all different; then ten times again with budgets so long that nothing is shed, for contrast.
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

#[path = "../load/mod.rs"]
mod load;

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use clap::Parser;

use self::load::{
    arrivals::{Schedule, Served, Target, send},
    gateway::Gateway,
    machine::load_average,
    measured::check,
    model::{KIND, Timed},
    report::{Spread, quantile},
    upstream,
};

const COST: Timed = Timed { batch: Duration::from_millis(2), pair: Duration::from_micros(500) };
const WINDOW: usize = 20;
const BUDGET: Duration = Duration::from_millis(200);
/// What a search may take beyond its budget.
const GRACE: Duration = Duration::from_millis(10);
/// Multiples of what the model can score.
const LOADS: [f64; 6] = [0.5, 0.8, 1.0, 2.0, 5.0, 10.0];
/// Bytes of text in a hit.
const SOURCE: usize = 300;
/// Far more than the budget lets be under way.
const CONNECTIONS: usize = 256;

#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds; a figure is the median of them.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds of one round of one load.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// What cargo passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What came of one load, round by round.
#[derive(Debug, Default)]
struct Measured {
    p50: Vec<f64>,
    p99: Vec<f64>,
    /// Reranked searches in a second.
    goodput: Vec<f64>,
    outcomes: BTreeMap<String, usize>,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let capacity = capacity();
    let engine = upstream::start(SOURCE)?;
    println!(
        "load average before: {}; {} rounds of {} s; the model takes {:?} a batch and {:?} a pair, window {WINDOW}: {capacity:.0} searches/s at most; budget {BUDGET:?}\n",
        load_average(),
        arguments.rounds,
        arguments.seconds,
        COST.batch,
        COST.pair
    );
    println!("| load | searches/s | reranked/s | p50, ms | p99, ms | outcomes |\n|---|---|---|---|---|---|");
    let mut numbers = 0..;
    let mut goodput = Vec::new();
    {
        let gateway = gateway(engine, BUDGET)?;
        for load in LOADS {
            let measured = measure(&gateway, capacity * load, &arguments, &mut numbers)?;
            print(&format!("{load} x"), capacity * load, &measured);
            goodput.push((median(&measured.goodput), median(&measured.p99)));
        }
    }
    let peak = goodput.iter().map(|(reranked, _)| *reranked).fold(0.0, f64::max);
    let (last, late) = *goodput.last().expect("there are loads");
    let limit = (BUDGET + GRACE).as_secs_f64() * 1e3;
    println!(
        "\nat ten times the capacity: p99 {late:.1} ms, goal {limit:.0}; reranked searches {:.0} % of the peak, goal 90; errors 0",
        last / peak * 100.0
    );
    contrast(engine, capacity, &mut numbers)?;
    println!("\nload average after: {}", load_average());
    Ok(())
}

/// Windows in a second when every batch is as large as the micro-batches' time allows.
fn capacity() -> f64 {
    /// What a micro-batch may take on a CPU.
    const TARGET: Duration = Duration::from_millis(25);
    let pairs = (TARGET - COST.batch).as_secs_f64() / COST.pair.as_secs_f64();
    pairs / TARGET.as_secs_f64() / WINDOW as f64
}

fn gateway(engine: SocketAddr, budget: Duration) -> io::Result<Gateway> {
    let budget = budget.as_millis();
    let text = format!(
        "[models.timed]\nkind = \"{KIND}\"\nmax-queue = 1000000\n[[rules]]\nindex = [\"shop\"]\nmodel = \"timed\"\nfields = [\"title\", \"text\"]\nwindow = {WINDOW}\n\
         timeout = \"{budget}ms\"\ntotal-timeout = \"{budget}ms\"\n"
    );
    Gateway::start(engine, &text, vec![Box::new(COST)])
}

fn measure(gateway: &Gateway, rate: f64, arguments: &Arguments, numbers: &mut impl Iterator<Item = u64>) -> io::Result<Measured> {
    let mut measured = Measured::default();
    // The first is for the scheduler to learn in, and does not count.
    for round in 0..=arguments.rounds {
        let served = load(gateway, (rate, arguments.seconds), numbers)?;
        if round > 0 {
            measured.add(&served, arguments.seconds);
        }
    }
    Ok(measured)
}

/// Sends searches that nobody sent before.
fn load(gateway: &Gateway, (rate, seconds): (f64, f64), numbers: &mut impl Iterator<Item = u64>) -> io::Result<Served> {
    let count = (rate * seconds) as usize;
    let body = |number: u64| format!(r#"{{"query":{{"match":{{"text":"question number {number}"}}}},"size":10}}"#);
    let target = Target::searches(gateway.address, "/shop/_search", numbers.take(count).map(body), "rerank-status: ");
    let schedule = Schedule { rate, duration: Duration::from_secs_f64(seconds), connections: CONNECTIONS };
    Ok(check(send(&[target], schedule))?.remove(0))
}

/// The same load, and nothing is ever late: every search waits for its turn.
fn contrast(engine: SocketAddr, capacity: f64, numbers: &mut impl Iterator<Item = u64>) -> io::Result<()> {
    const PATIENCE: Duration = Duration::from_secs(120);
    const SECONDS: f64 = 2.0;
    let gateway = gateway(engine, PATIENCE)?;
    let mut measured = Measured::default();
    let started = Instant::now();
    let served = load(&gateway, (capacity * 10.0, SECONDS), numbers)?;
    // The last of them comes long after it was asked for.
    measured.add(&served, started.elapsed().as_secs_f64());
    print(&format!("10 x for {SECONDS} s, once, budget {} s", PATIENCE.as_secs()), capacity * 10.0, &measured);
    Ok(())
}

fn print(name: &str, rate: f64, measured: &Measured) {
    let all: usize = measured.outcomes.values().sum();
    let share = |(outcome, count): (&String, &usize)| format!("{outcome} {:.1} %", *count as f64 * 100.0 / all as f64);
    let outcomes: Vec<_> = measured.outcomes.iter().map(share).collect();
    println!(
        "| {name} | {rate:.0} | {} | {} | **{}** | {} |",
        Spread::new(measured.goodput.iter().copied()),
        Spread::new(measured.p50.iter().copied()),
        Spread::new(measured.p99.iter().copied()),
        outcomes.join(", ")
    );
}

fn median(figures: &[f64]) -> f64 {
    Spread::new(figures.iter().copied()).median()
}

// === impl Measured ===

impl Measured {
    fn add(&mut self, served: &Served, seconds: f64) {
        let reranked = served.outcomes.iter().filter(|(outcome, _)| outcome.starts_with("reranked")).map(|(_, count)| count).sum::<usize>();
        self.goodput.push(reranked as f64 / seconds);
        self.p50.push(quantile(&served.latencies, 0.5));
        self.p99.push(quantile(&served.latencies, 0.99));
        for (outcome, count) in &served.outcomes {
            *self.outcomes.entry(outcome.clone()).or_default() += count;
        }
    }
}
