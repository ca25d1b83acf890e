//! Searches while everything goes wrong at once: the model hangs, panics, computes NaN and breaks, clients go away, caches are emptied,
//! queues are full. Every answer is compared with what that search should have had.
//!
//! `just bench-chaos` sends a million; `--searches 40000` is what CI does. Fails when an answer is wrong, lost or somebody else's, when the
//! resident size grows, or when the run did not meet what it is for.
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

mod client;
#[path = "../load/mod.rs"]
mod load;
mod model;
mod world;

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    panic, process,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use clap::Parser;

use self::{
    client::{Plan, Seen},
    load::{
        gateway::Gateway,
        machine::{load_average, resident_bytes},
        upstream,
    },
    model::{Chaotic, KIND, TOLD},
};

const CLIENTS: u64 = 16;
/// How often the caches are emptied, and the resident size is looked at.
const BETWEEN_CLEARS: Duration = Duration::from_millis(300);
/// What the resident size may grow by between the second fifth of the run and the last.
const GROWTH: f64 = 1.10;
const MEGABYTE: f64 = 1048576.0;

#[derive(Debug, Parser)]
struct Arguments {
    /// Searches.
    #[arg(long, default_value_t = 1_000_000)]
    searches: u64,
    /// Ends the run earlier after so many seconds.
    #[arg(long, default_value_t = 900)]
    seconds: u64,
    /// Of what comes by chance.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What cargo passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Small queues and small caches: both are to be full; and so little time for `partial` that it often ends midway. `answers` are kept and given out again.
fn rules() -> String {
    let rule = |index: &str, more: &str| {
        format!("[[rules]]\nindex = [\"{index}\"]\nmodel = \"chaotic\"\nfields = [\"text\"]\nfusion = {{ kind = \"replace\" }}\n{more}\n")
    };
    format!(
        "[cache]\nscores = \"2MiB\"\nanswers = \"1MiB\"\npage-memory = \"1s\"\n[models.chaotic]\nkind = \"{KIND}\"\nmax-queue = 96\n{}{}{}",
        rule("whole", "window = 8\ntimeout = \"60ms\""),
        rule("partial", "window = { min = 3, max = 8 }\ntimeout = \"10ms\"\non-timeout = \"partial\""),
        rule("answers", "window = { min = 3, max = 8 }\ntimeout = \"60ms\"\nanswer-cache = \"1s\""),
    )
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    be_silent_about_what_was_told();
    world::show_that_faults_are_found();
    let engine = upstream::start_with(world::page)?;
    let gateway = Gateway::start(engine, &rules(), vec![Box::new(Chaotic { since: Instant::now() })])?;
    println!("load average before: {}; {} searches from {CLIENTS} clients, seed {}\n", load_average(), arguments.searches, arguments.seed);
    let started = Instant::now();
    let plan = Plan {
        address: gateway.address,
        left: AtomicU64::new(arguments.searches),
        until: started + Duration::from_secs(arguments.seconds),
        seed: arguments.seed,
    };
    let done = AtomicBool::new(false);
    let (seen, sizes) = thread::scope(|scope| {
        let clearing = scope.spawn(|| clear_again_and_again(gateway.admin, &done));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn({
                    let plan = &plan;
                    move || client::run(plan, client)
                })
            })
            .collect();
        let mut seen = Seen::default();
        for client in clients {
            seen.add(client.join().expect("clients do not panic"));
        }
        done.store(true, Ordering::Relaxed);
        (seen, clearing.join().expect("this thread does not panic"))
    });
    let sizes = sizes?;
    report(&seen, &sizes, started.elapsed())
}

/// Panics that the model was told to have are not printed.
fn be_silent_about_what_was_told() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if info.payload_as_str() != Some(TOLD) {
            usual(info);
        }
    }));
}

/// Empties the caches until the end, and returns the resident sizes that it saw.
fn clear_again_and_again(admin: SocketAddr, done: &AtomicBool) -> io::Result<Vec<f64>> {
    let mut sizes = Vec::new();
    while !done.load(Ordering::Relaxed) {
        thread::sleep(BETWEEN_CLEARS);
        sizes.push(resident_bytes(process::id())? as f64);
        let mut stream = TcpStream::connect(admin)?;
        stream.write_all(b"DELETE /caches HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if !answer.starts_with("HTTP/1.1 200 ") {
            return Err(io::Error::other(format!("the caches are not emptied: {answer}")));
        }
    }
    Ok(sizes)
}

fn report(seen: &Seen, sizes: &[f64], lasted: Duration) -> io::Result<()> {
    let all: u64 = seen.outcomes.values().sum();
    println!("| outcome | searches | share |\n|---|---|---|");
    for (outcome, count) in &seen.outcomes {
        println!("| {outcome} | {count} | {:.2} % |", *count as f64 * 100.0 / all as f64);
    }
    let fifth = sizes.len() / 5;
    let [early, late] = [fifth..2 * fifth, 4 * fifth..sizes.len()].map(|part| median(&sizes[part]));
    println!(
        "\n{all} searches in {:.0} s ({:.0}/s); wrong or somebody else's: {}; lost: {}; resident size {:.1} MiB in the second fifth of the run, {:.1} MiB in the last",
        lasted.as_secs_f64(),
        all as f64 / lasted.as_secs_f64(),
        seen.wrong.len(),
        seen.lost.len(),
        early / MEGABYTE,
        late / MEGABYTE
    );
    println!("load average after: {}", load_average());
    for what in seen.wrong.iter().chain(&seen.lost).take(20) {
        println!("  {what}");
    }
    let met = |word: &str| seen.outcomes.keys().any(|outcome| outcome.starts_with(word));
    let missing: Vec<_> = MUST_BE_MET.into_iter().filter(|word| !met(word)).collect();
    let grew = late > early * GROWTH + 4.0 * MEGABYTE;
    match (seen.wrong.len() + seen.lost.len(), grew, missing.is_empty()) {
        (0, false, true) => Ok(()),
        (0, true, _) => Err(io::Error::other("the resident size grows")),
        (0, false, false) => Err(io::Error::other(format!("never met: {missing:?}"))),
        (failed, ..) => Err(io::Error::other(format!("{failed} answers are wrong or lost"))),
    }
}

/// What a run that shows anything has met.
const MUST_BE_MET: [&str; 8] = [
    "reranked",
    "reranked again",
    "partial",
    "skipped timeout",
    "skipped queue-full",
    "skipped breaker-open",
    "skipped model-error",
    "cancelled",
];

fn median(figures: &[f64]) -> f64 {
    load::report::Spread::new(figures.iter().copied()).median()
}
