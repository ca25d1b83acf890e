//! Real weights against what their makers published: `just real-weights [MODEL…]`, for machines that can reach a hub.
//!
//! A model is named by a part of its name; `NAME=SOURCE` takes it from somewhere else, such as a folder. Not part of CI: the weights
//! are gigabytes.

mod published;

use std::{
    env,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use podium::{
    app,
    config::{Environment, KINDS, parse},
    models,
};
use rerank_plugin::{
    Loaded, Pair, Score, Silent, Stop,
    testing::conformance::{document, query},
};

use self::published::{Published, Scale, all};

/// Returns each pair's score from the model at `source`.
fn scores(published: &Published, source: &str) -> Result<Vec<f64>, String> {
    let revision = if source == published.name { format!("revision = '{}'\n", published.revision) } else { String::new() };
    let file = format!("upstream.nodes = ['http://127.0.0.1:1']\n[models.m]\nsource = '{source}'\n{revision}");
    let config = parse(Path::new("published.toml"), &file, KINDS).map_err(|problems| problems.to_string())?;
    let surroundings = app::surroundings(&config, Environment::read(), Arc::new(Silent));
    let loaded = models::load(&config.models["m"], &surroundings).map_err(|error| error.to_string())?;
    let Loaded::Local { preparer, mut workers } = loaded else { return Err("it runs elsewhere".to_owned()) };
    let stop = Stop::default();
    let mut score = |asked: &str, text: &str| -> Option<Score> {
        let asked = preparer.query(&query(asked)).ok()?;
        let prepared = preparer.document(&asked, &document(text)).ok()?;
        let worker = workers.first_mut()?;
        let state = worker.begin(&[&asked], &stop).pop()?.ok()?;
        let scored = worker.score(&[Pair { state, document: &prepared, stop: &stop }]).pop()?.ok();
        worker.end(state);
        scored
    };
    let one = |(asked, text, _): &(String, String, f64)| {
        let score = score(asked, text).ok_or_else(|| format!("it does not score {text:?}"))?;
        Ok(f64::from(match published.scale {
            Scale::Logit | Scale::Cosine => score.order(),
            Scale::Presented => score.presented(),
        }))
    };
    published.pairs.iter().map(one).collect()
}

/// Tells of one model, and returns whether it scores as published.
fn tell(published: &Published, source: &str, out: &mut impl Write) -> io::Result<bool> {
    let Published { name, tolerance, computed, pairs, .. } = published;
    writeln!(out, "{name}\n  published  {} ({computed}), {:?}", published.source, published.scale)?;
    let found = match scores(published, source) {
        Ok(found) => found,
        Err(reason) => {
            writeln!(out, "  NOT THERE  {reason}")?;
            return Ok(false);
        }
    };
    for ((asked, text, expected), score) in pairs.iter().zip(&found) {
        let shown: String = text.chars().take(40).collect();
        writeln!(out, "  {expected:>12.6} {score:>12.6}  {asked:?}, {shown:?}")?;
    }
    let furthest = pairs.iter().zip(&found).map(|((.., expected), found)| (expected - found).abs()).fold(0.0, f64::max);
    let fine = furthest <= *tolerance;
    writeln!(out, "  {}  max |Δ| {furthest:.1e}, allowed {tolerance:.0e}", if fine { "as published" } else { "OTHERWISE" })?;
    Ok(fine)
}

fn main() -> io::Result<ExitCode> {
    let asked: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let mut out = io::stdout().lock();
    let (mut told, mut fine) = (0, 0);
    for published in all() {
        let wanted = asked.iter().map(|argument| argument.split_once('=').unwrap_or((argument, &published.name)));
        let mut wanted = wanted.filter(|(part, _)| published.name.contains(part));
        let Some((_, source)) = wanted.next().or(asked.is_empty().then_some(("", &published.name))) else { continue };
        told += 1;
        fine += usize::from(tell(&published, source, &mut out)?);
    }
    writeln!(out, "{fine} of {told} as published")?;
    Ok(if told > 0 && fine == told { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
