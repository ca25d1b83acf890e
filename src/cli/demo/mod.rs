//! `podium demo`: a search engine, a sample shop and Podium in front of it on this machine, and what that does to the shop's searches.
//!
//! Every search is a real one over loopback HTTP: once to the engine, once through Podium, whose configuration is printed.

mod address;
mod client;
mod cluster;
mod compare;
mod example;
mod front;
mod report;
mod search;
mod signals;
mod stage;
mod steps;
mod table;
mod warm;

use std::{
    io::{self, IsTerminal, Write, stderr},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use podium_demo::shop;
use tokio::runtime;

use self::{
    address::Address,
    client::Client,
    cluster::Cluster,
    compare::Comparer,
    front::{Front, Plan},
    report::{EngineFacts, Model, Podium, Report},
    signals::Signals,
    stage::Stage,
    steps::Steps,
    table::{Invitation, Table},
};
use crate::{config::Environment, inference::Reranker, telemetry};

/// What `podium demo` can be told.
#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// Ends after the comparison instead of waiting for Ctrl-C.
    #[arg(long)]
    exit: bool,
    /// Writes JSON, for programs.
    #[arg(long)]
    json: bool,
    /// Uses this cluster, with an index of its own that is removed at the end.
    #[arg(long, value_name = "URL")]
    engine: Option<Address>,
    /// Where clients connect to Podium; left out, 9280 or the next free one.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// A hub name, a folder (./ or /), or pypi:name.
    #[arg(long, value_name = "SOURCE", default_value = example::MINILM)]
    model: String,
}

/// The filter of the log without `PODIUM_LOG`: other lines would tear bars and table.
const QUIET: &str = "error";

/// How long threads that still compute may take to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// What runs, once all of it runs.
struct Set<'s> {
    cluster: &'s Cluster,
    front: &'s Front,
    reranker: Arc<Reranker>,
    /// A client of Podium.
    podium: Client,
    index: String,
    products: usize,
}

/// Shows the demo; returns 0 when it was shown, 128 and the signal's number when a signal came before.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let environment = Environment::read();
    telemetry::start(Some(environment.log.as_deref().unwrap_or(QUIET)))?;
    // Lines of the log would tear bars, too.
    let steps = Arc::new(Steps::new(stderr().is_terminal() && environment.log.is_none()));
    let runtime = runtime::Builder::new_multi_thread().enable_all().build().context("no threads to run on")?;
    let ended = runtime.block_on(Box::pin(play(arguments, environment, &steps)));
    runtime.shutdown_timeout(PATIENCE);
    ended
}

/// Shows the demo until it is over or a signal comes, and takes everything down again in either case.
async fn play(arguments: &Arguments, environment: Environment, steps: &Arc<Steps>) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let mut stage = Stage::set()?;
    let shown = tokio::select! {
        shown = Box::pin(show(arguments, environment, &mut stage, steps)) => shown.map(|()| ExitCode::SUCCESS),
        code = signals.next() => Ok(code),
    };
    steps.clear();
    if stage.shown && !arguments.exit {
        signals.next().await;
    }
    let down = tokio::select! {
        down = stage.take_down() => down,
        // Somebody does not want to wait any more.
        code = signals.next() => return Ok(code),
    };
    // What went wrong first is the reason that counts.
    shown.and_then(|code| down.map(|()| code))
}

async fn show(arguments: &Arguments, environment: Environment, stage: &mut Stage, steps: &Arc<Steps>) -> anyhow::Result<()> {
    let set = set(arguments, environment, stage, steps).await?;
    if !arguments.json {
        writeln!(anstream::stdout(), "{}", set.front.example)?;
    }
    let report = measure(&set, arguments, steps).await?;
    steps.clear();
    match arguments.json {
        true => writeln!(io::stdout(), "{}", serde_json::to_string(&report)?)?,
        false => write!(anstream::stdout(), "{}", Table(&report))?,
    }
    if !arguments.json && !arguments.exit {
        write!(anstream::stdout(), "{}", Invitation(&report))?;
    }
    stage.shown = true;
    Ok(())
}

/// Starts everything and loads the shop.
async fn set<'s>(arguments: &Arguments, environment: Environment, stage: &'s mut Stage, steps: &Arc<Steps>) -> anyhow::Result<Set<'s>> {
    let reached = match &arguments.engine {
        Some(address) => Cluster::given(address).await?,
        None => Cluster::embedded(stage.folder(), steps).await?,
    };
    let address = reached.client().address().clone();
    let index = stage.cluster.insert(reached).create().await?;
    let plan = Plan {
        port: arguments.port,
        node: address.url(),
        index: &index,
        source: &arguments.model,
        environment,
        downloads: stage.downloads.clone(),
    };
    stage.front = Some(Front::start(plan, stage.folder(), steps).await?);
    let Stage { cluster: Some(cluster), front: Some(front), .. } = stage else { unreachable!("both were put there") };

    let reranker = front.model().await?;
    steps.done(&format!("model {}: {}, {} tokens", arguments.model, reranker.card().kind, reranker.card().max_tokens));
    let products = shop::products();
    steps.count("loading the shop", products.len());
    cluster.fill(&products, steps).await?;
    steps.done(&format!("{} products in {} at {}/{index}", products.len(), cluster.product(), address.url()));
    let podium = Client::new(address.at(format!("http://{}", front.address)))?;
    Ok(Set { cluster, front, reranker, podium, index, products: products.len() })
}

/// Measures what the report says: cold searches first, because everything after them is cached.
async fn measure(set: &Set<'_>, arguments: &Arguments, steps: &Steps) -> anyhow::Result<Report> {
    let Set { cluster, front, reranker, podium, index, products } = set;
    let engine = cluster.client();
    let comparer = Comparer { engine, podium, index, window: front.rule.window };
    let cold = comparer.cold(steps).await?;
    let warmed = warm::warm(engine, index, front, reranker, steps).await?;
    let computed = warmed.documents - warmed.cached;
    steps.done(&format!("{computed} vectors computed in {:.1} s", warmed.took.as_secs_f64()));
    let mut comparison = comparer.all(&shop::queries(), steps).await?;
    comparison.times.insert(1, cold);
    let too_short_budget = comparer.hurried().await?;
    let card = reranker.card();
    Ok(Report {
        podium: Podium { version: env!("CARGO_PKG_VERSION"), address: front.address.to_string(), admin: front.admin.to_string() },
        engine: EngineFacts {
            product: cluster.product().to_owned(),
            address: engine.address().url().to_owned(),
            embedded: cluster.is_embedded(),
            index: index.clone(),
            products: *products,
        },
        model: Model {
            source: arguments.model.clone(),
            kind: card.kind.to_string(),
            fingerprint: card.fingerprint.to_string(),
            max_tokens: card.max_tokens,
            window: front.rule.window,
            vectors: computed,
            vectors_seconds: warmed.took.as_secs_f64(),
        },
        configuration: front.example.clone(),
        ndcg_at_10: comparison.relevance,
        times: comparison.times,
        too_short_budget,
        seconds: steps.since_start().as_secs_f64(),
        queries: comparison.queries,
    })
}
