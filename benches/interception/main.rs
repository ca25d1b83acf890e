//! What Podium adds to a search when its model costs nothing: a canned upstream, asked directly and through the real binary.
//!
//! `just bench-interception` prints the added time for 100 hits of 2 KB and, as a table, from 10 to 1,000 hits. Direct and through take
//! turns request by request, at a fixed rate; a figure is the median of the rounds, with the least and the greatest.
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

#[path = "../load/mod.rs"]
mod load;

use std::{fmt::Write, io, net::SocketAddr};

use clap::Parser;

use self::load::{
    arrivals::Target,
    machine::load_average,
    measured::{Rounds, measure},
    podium::Podium,
    upstream,
};

/// Hits of the table's rows.
const SIZES: [usize; 5] = [10, 30, 100, 300, 1000];
/// The row that has a goal, and hits of the page that a client asks for.
const WINDOW: usize = 100;
const PAGE: usize = 10;
/// Milliseconds that may be added to the median search of [`WINDOW`] hits.
const GOAL: f64 = 0.5;

#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds; a figure is the median of them.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds of one round of the first measurement; a row of the table takes a third of it.
    #[arg(long, default_value_t = 9.0)]
    seconds: f64,
    /// Requests in a second, all targets together.
    #[arg(long, default_value_t = 120.0)]
    rate: f64,
    /// What cargo passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let engine = upstream::start(upstream::SOURCE)?;
    let podium = Podium::start(engine, &rules())?;
    println!("load average before: {}; {} rounds, {} requests a second\n", load_average(), arguments.rounds, arguments.rate);
    headline(engine, &podium, &arguments)?;
    table(engine, &podium, &arguments)?;
    println!("\nload average after: {}", load_average());
    Ok(())
}

/// One rule for each row of the table, with a window of that many hits. `plain` has none.
fn rules() -> String {
    let mut rules = String::from("[models.identity]\nkind = \"fake-identity\"\n[limits]\nmax-inspected-body = \"64MiB\"\n");
    for hits in SIZES {
        write!(
            rules,
            "[[rules]]\nindex = [\"window-{hits}\"]\nmodel = \"identity\"\nfields = [\"title\", \"text\"]\nwindow = {hits}\ntimeout = \"30s\"\ntotal-timeout = \"60s\"\n"
        )
        .expect("a string takes everything");
    }
    rules
}

/// A search as shops send it; `index` chooses the rule.
fn search(address: SocketAddr, index: &str, size: usize, expected: &'static str) -> Target {
    let body = format!(
        r#"{{"query":{{"bool":{{"must":[{{"multi_match":{{"query":"red running shoes for wet roads","fields":["title^3","text"]}}}}],"filter":[{{"term":{{"in_stock":true}}}}]}}}},"size":{size}}}"#
    );
    Target::search(address, &format!("/{index}/_search"), &body, expected)
}

/// Prints the row that has a goal, all ways of asking side by side.
fn headline(engine: SocketAddr, podium: &Podium, arguments: &Arguments) -> io::Result<()> {
    let index = format!("window-{WINDOW}");
    let targets = [
        search(engine, &index, WINDOW, ""),
        search(podium.address, &index, WINDOW, "rerank-status: reranked;"),
        search(podium.address, "plain", WINDOW, "rerank-status: skipped; reason=no-rule"),
        search(engine, &index, PAGE, ""),
        search(podium.address, &index, PAGE, "rerank-status: reranked;"),
    ];
    let measured = measure(&targets, &Rounds { count: arguments.rounds, rate: arguments.rate, seconds: arguments.seconds })?;
    let [direct, through, streamed, page, paged] = measured.as_slice() else { unreachable!("one result for each target") };
    println!("{WINDOW} hits of {} bytes of text, ms              p50                     p99 of all rounds", upstream::SOURCE);
    for (name, one) in [
        ("direct, all hits", direct),
        ("through, all hits reranked", through),
        ("through, all hits, no rule", streamed),
        ("direct, a page of 10", page),
        ("through, a page of 10 of the window", paged),
    ] {
        println!("{name:<36} {:<23} {:.2}", one.p50().to_string(), one.pooled(0.99));
    }
    let added = through.added_to(direct, 0.5);
    println!("\nadded by interception to the same {WINDOW} hits, p50: {added} ms; goal {GOAL}");
    println!("added by the hop alone (no rule), p50: {} ms", streamed.added_to(direct, 0.5));
    println!("added to a page of {PAGE}, the wider search's bytes included, p50: {} ms", paged.added_to(page, 0.5));
    println!("added p99 (of all rounds): {:.2} ms", through.pooled(0.99) - direct.pooled(0.99));
    Ok(())
}

/// Prints what is added from 10 to 1,000 hits; answers of more than [`WINDOW`] are asked for so much more slowly.
fn table(engine: SocketAddr, podium: &Podium, arguments: &Arguments) -> io::Result<()> {
    println!("\n| hits | direct p50, ms | through p50, ms | added p50, ms | added for each hit, µs |\n|---|---|---|---|---|");
    for hits in SIZES {
        let index = format!("window-{hits}");
        let targets = [search(engine, &index, hits, ""), search(podium.address, &index, hits, "rerank-status: reranked;")];
        let rate = arguments.rate * WINDOW as f64 / hits.max(WINDOW) as f64;
        let measured = measure(&targets, &Rounds { count: arguments.rounds, rate, seconds: arguments.seconds / 3.0 })?;
        let [direct, through] = measured.as_slice() else { unreachable!("one result for each target") };
        let added = through.added_to(direct, 0.5);
        println!("| {hits} | {} | {} | {added} | {:.1} |", direct.p50(), through.p50(), added.median() * 1e3 / hits as f64);
    }
    Ok(())
}
