//! `podium explain`: what becomes of one search, and why.
//!
//! The search goes through the same gateway as with `serve`, in this process, and is explained instead of answered.

mod table;

use std::{
    fs,
    io::{self, Read, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow};
use clap::Args;
use http::{HeaderName, HeaderValue, Method, Request, header, uri::PathAndQuery};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;
use tokio::{runtime, signal, time};

use self::table::Table;
use super::{ConfigFile, progress};
use crate::{
    app,
    body::{self, Body},
    config::{self, Config, Environment},
    intercept::{Gateway, Intercept, explain::Explanation},
    models::{Registry, State, Surroundings},
    route::{Match, Route, route},
    upstream::Upstream,
};

/// What stands in an index expression as it is.
const EXPRESSION: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b',').remove(b'*');

/// How often a model that loads is looked after.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// A search, and how its explanation is written.
#[derive(Clone, Debug, Args)]
#[command(group = clap::ArgGroup::new("search").required(true).multiple(true).args(["query", "body", "url_query"]))]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// The indices, aliases and patterns of the search, as in its path.
    #[arg(long)]
    index: String,
    /// A text to search for, in all text fields.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["body", "url_query"])]
    query: Option<String>,
    /// A file with the search's body as the application sends it; - reads the standard input.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// What stands behind the question mark, such as 'q=red+shoes'.
    #[arg(long, value_name = "QUERY", value_parser = query_string)]
    url_query: Option<String>,
    /// Hits of the page.
    #[arg(long)]
    size: Option<usize>,
    /// A header of the search, for credentials and for rules with `when`; may stand several times.
    #[arg(long, value_name = "NAME: VALUE", value_parser = named_value)]
    header: Vec<(HeaderName, HeaderValue)>,
    /// Writes JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// Explains a search; returns 1 when the cluster or the model was not there.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let config = config::load(&arguments.file.config)?;
    let request = arguments.request()?;
    let surroundings = app::surroundings(&config, Environment::read(), Arc::new(progress::Bar::default()));
    let downloads = surroundings.downloads.clone();
    let runtime = runtime::Builder::new_multi_thread().enable_all().build().context("no threads to run on")?;
    let explained = runtime.block_on(async {
        tokio::select! {
            explained = Box::pin(explain(config, surroundings, request)) => explained,
            _ = signal::ctrl_c() => Err(anyhow!("interrupted")),
        }
    });
    // A download that was interrupted leaves nothing behind.
    downloads.give_up();
    runtime.shutdown_background();
    let told = explained?;
    match arguments.json {
        true => writeln!(io::stdout(), "{}", serde_json::to_string(&told)?)?,
        false => write!(anstream::stdout(), "{}", Table(&told))?,
    }
    Ok(if told.failure.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn explain(mut config: Config, surroundings: Surroundings, request: Request<Body>) -> anyhow::Result<Explanation> {
    let upstream = Upstream::new(&config.upstream)?;
    // Only the model of the search's rule is loaded.
    let wanted = model_of(&config, &request);
    config.models.retain(|name, _| wanted.as_ref() == Some(name));
    let registry = Arc::new(Registry::start(&config, &surroundings)?);
    let unavailable = loaded(&registry).await;
    let gateway = Arc::new(Gateway::new(&config, registry, surroundings.digester));
    let mut told = Intercept::new(upstream, gateway).explain(request).await;
    if let (Some(failure), Some(reason)) = (&mut told.failure, unavailable) {
        *failure = reason;
    }
    let learns = told.rule.and_then(|number| config.rules.get(number)).is_some_and(|rule| rule.trust.is_none());
    if learns && told.model.as_ref().is_some_and(|model| model.trust.is_some()) {
        told.notes.push("a gateway that has served for a while has learnt a trust of its own: Rerank-Dry-Run shows it".to_owned());
    }
    Ok(told)
}

/// Returns the name of the model of the search's rule.
fn model_of(config: &Config, request: &Request<Body>) -> Option<Arc<str>> {
    let uri = request.uri();
    match route(request.method(), uri.path(), uri.query(), request.headers(), &config.rules) {
        Route::Search(Match::Rule(rule)) | Route::SearchEverywhere(Match::Rule(rule)) => Some(Arc::clone(&rule.model)),
        _ => None,
    }
}

/// Waits until the models are there; returns why one is not.
async fn loaded(registry: &Registry) -> Option<String> {
    // Asked for, so that one which waits for its first search is loaded too.
    registry.states().for_each(|(name, _)| drop(registry.get(name)));
    loop {
        let states: Vec<_> = registry.states().map(|(name, state)| (name.to_owned(), state)).collect();
        if !states.iter().any(|(_, state)| matches!(state, State::Idle | State::Loading)) {
            return states.into_iter().find_map(|(name, state)| match state {
                State::Unavailable(reason) => Some(format!("model {name}: {reason}")),
                State::Idle | State::Loading | State::Ready(_) | State::Broken(_) => None,
            });
        }
        time::sleep(BETWEEN_LOOKS).await;
    }
}

fn query_string(text: &str) -> Result<String, String> {
    PathAndQuery::try_from(format!("/?{text}")).map(|_| text.to_owned()).map_err(|error| format!("{error}: percent-encode it"))
}

fn named_value(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write a name, a colon and a value")?;
    let name = name.trim().parse::<HeaderName>().map_err(|error| error.to_string())?;
    let value = value.trim().parse::<HeaderValue>().map_err(|error| error.to_string())?;
    Ok((name, value))
}

// === impl Arguments ===

impl Arguments {
    /// Returns the search as a client would send it.
    fn request(&self) -> anyhow::Result<Request<Body>> {
        let body = self.read_body()?;
        let mut target = format!("/{}/_search", utf8_percent_encode(&self.index, EXPRESSION));
        let parameters = self.url_query.iter().cloned().chain(self.size.map(|size| format!("size={size}")));
        for (number, parameter) in parameters.enumerate() {
            target.push(if number == 0 { '?' } else { '&' });
            target.push_str(&parameter);
        }
        let mut request = Request::new(body::full(body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.parse().context("the index is no part of a path")?;
        if !body.is_empty() {
            request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for (name, value) in &self.header {
            request.headers_mut().insert(name, value.clone());
        }
        Ok(request)
    }

    fn read_body(&self) -> anyhow::Result<Vec<u8>> {
        let Some(file) = &self.body else {
            let search = self.query.as_ref().map(|text| json!({"query": {"multi_match": {"query": text}}}).to_string());
            return Ok(search.unwrap_or_default().into_bytes());
        };
        let mut body = Vec::new();
        let read =
            if file.as_os_str() == "-" { io::stdin().read_to_end(&mut body).map(drop) } else { fs::read(file).map(|read| body = read) };
        read.with_context(|| format!("cannot read the search's body from {}", file.display()))?;
        Ok(body)
    }
}
