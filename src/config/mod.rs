//! What the operator wrote, checked and ready to use. `raw` mirrors the file, `validate` finds every problem in it.
//!
//! Everything past this module may rely on a [`Config`] being right.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rerank_plugin::{Chunking, ControlTokens, Device, Dtype};

mod chunking;
mod env;
mod kind;
mod placement;
mod problem;
mod raw;
mod raw_rule;
mod reader;
mod remote;
mod secret;
mod validate;

pub use env::Environment;
pub use kind::{FAKE_KINDS, KINDS, Kind};
pub use problem::{Problem, Problems};
pub use remote::Remote;
pub use secret::{Secret, SecretError};
pub use validate::parse;

/// Reads a configuration file.
///
/// # Errors
/// All that is wrong with it, at once.
pub fn load(file: &Path) -> Result<Config, Problems> {
    let text = fs::read_to_string(file).map_err(|error| {
        let remedy = format!("cannot be read: {error}; write this file or name another with --config");
        Problems::of_file(file, None, remedy)
    })?;
    parse(file, &text, &Kind::of_this_build())
}

/// One configuration file, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect.
    pub listener: Listener,
    /// Where operators connect.
    pub admin: Admin,
    /// The cluster.
    pub upstream: Upstream,
    /// Bounds on untrusted input.
    pub limits: Limits,
    /// Sizes of the caches.
    pub cache: Cache,
    /// The models by name; every rule's model is among them.
    pub models: BTreeMap<Arc<str>, Arc<Model>>,
    /// The rules; the first that matches wins.
    pub rules: Vec<Arc<Rule>>,
    /// Whether searches without a rule say so in `Rerank-Status` (`defaults.headers`).
    pub headers: bool,
}

/// `[listener]`
#[derive(Clone, Debug)]
pub struct Listener {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// How long open requests may go on after a signal.
    pub drain_timeout: Duration,
    /// How long a request's whole head may take.
    pub header_timeout: Duration,
    /// How long a connection may stay open between requests.
    pub idle_timeout: Duration,
    /// The largest head of a request in bytes.
    pub max_header_bytes: usize,
    /// Connections at one time; further ones wait in the system's queue.
    pub max_connections: usize,
}

/// `[admin]`
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where to listen.
    pub address: SocketAddr,
    /// What callers of the rerank API and readers of the metrics must show; there is one where `address` is not loopback.
    pub token: Option<Secret>,
}

/// `[upstream]`
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The cluster's nodes; at least one.
    pub nodes: Vec<Node>,
    /// How long a TCP and TLS connect may take.
    pub connect_timeout: Duration,
    /// For `https` nodes.
    pub tls: UpstreamTls,
    /// Who asks when Podium asks for itself.
    pub credentials: Option<Credentials>,
}

/// One node's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Whether to speak TLS.
    pub tls: bool,
    /// Host and port as the node expects them in `Host`.
    pub authority: http::uri::Authority,
    /// What goes before every path: empty, or `/prefix` without a slash at the end.
    pub prefix: String,
}

/// `[upstream.tls]`
#[derive(Clone, Debug)]
pub struct UpstreamTls {
    /// PEM file of certificate authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// Whether certificates are checked.
    pub verify: bool,
}

/// `[upstream.credentials]`
#[derive(Clone, Debug)]
pub enum Credentials {
    /// A user and its password.
    Password {
        /// The user.
        user: String,
        /// Its password.
        password: Secret,
    },
    /// An API key, as the engine gives it to be sent.
    ApiKey(Secret),
}

/// `[limits]`
#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest search or answer that is looked into, in decoded bytes.
    pub max_inspected_body: usize,
    /// Bytes of all searches and answers together that are looked into at one time.
    pub inspected_memory: usize,
    /// Searches with a rule at one time.
    pub max_concurrent_searches: usize,
}

/// `[cache]`
#[derive(Clone, Debug)]
pub struct Cache {
    /// Bytes for scores; 0 keeps none.
    pub scores: u64,
    /// Who shares them.
    pub scores_scope: ScoresScope,
    /// Bytes for whole answers, of rules that keep them.
    pub answers: u64,
    /// Bytes for embeddings; 0 keeps none.
    pub vectors: u64,
    /// Where vectors are that were computed ahead.
    pub vectors_file: Option<PathBuf>,
    /// How long later pages follow the first; zero remembers nothing.
    pub page_memory: Duration,
}

/// Who shares the scores that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScoresScope {
    /// Everybody.
    Shared,
    /// Those alone who ask with the same identity.
    Identity,
}

/// `[models.NAME]`
#[derive(Clone, Debug)]
pub struct Model {
    /// Its name in the file.
    pub name: Arc<str>,
    /// The family; `None` finds it out from the checkpoint (`auto`).
    pub kind: Option<String>,
    /// A folder, a hub name or a package, as written; `None` for kinds that load nothing.
    pub source: Option<String>,
    /// The hub's branch, tag or commit.
    pub revision: String,
    /// Where it computes, one worker each; none: wherever is best.
    pub devices: Vec<Device>,
    /// What it computes in; `None`: what is best there.
    pub dtype: Option<Dtype>,
    /// Threads of the worker on the processor.
    pub threads: usize,
    /// Tokens of a document that are looked at; `None`: the family's default.
    pub max_tokens: Option<u32>,
    /// Token budget of one forward pass.
    pub batch_tokens: u32,
    /// Pairs that may wait.
    pub max_queue: usize,
    /// Whether it is loaded when it is first asked for, and not before.
    pub lazy: bool,
    /// What becomes of the model's control tokens that stand in a text.
    pub control_tokens: ControlTokens,
    /// How many numbers of a vector are kept, the first ones; `None`: all.
    pub dimensions: Option<u32>,
    /// Whether vectors are kept in f16.
    pub half_vectors: bool,
    /// How long documents are cut into chunks; `None`: not at all.
    pub chunking: Option<Chunking>,
    /// What the weights must hash to, in hexadecimal.
    pub sha256: Option<String>,
    /// Who answers for it, where it runs elsewhere.
    pub remote: Option<Remote>,
}

/// `[[rules]]`
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its place in the file, from 0.
    pub number: usize,
    /// Patterns of index expressions that it takes, with `*` for any text.
    pub index: Vec<String>,
    /// Patterns that it leaves, written with a `-` before them.
    pub not_index: Vec<String>,
    /// Narrower conditions; all must hold.
    pub when: When,
    /// The model's name.
    pub model: Arc<str>,
    /// What the model is told to do; `None`: what its authors ask for. Only for models that take one.
    pub instruction: Option<Arc<str>>,
    /// What the model sees of a hit, in this order; at least one.
    pub fields: Vec<Field>,
    /// Where the query text is.
    pub query: QueryText,
    /// Whether `Rerank-Query` and `Rerank-Dry-Run` are believed.
    pub trust_client: bool,
    /// Whether a `text_similarity_reranker` is taken over.
    pub serve_retrievers: bool,
    /// What becomes of `ext.rerank`.
    pub ext_rerank: ExtRerank,
    /// How many hits are reranked.
    pub window: usize,
    /// The fewest that are worth reranking when not all would be scored in time; `None`: all or none.
    pub least_window: Option<usize>,
    /// What reranking may add to a search.
    pub timeout: Duration,
    /// What the engine and reranking may take together.
    pub total_timeout: Duration,
    /// What becomes of a window of which only a part has scores when the time is over.
    pub on_timeout: OnTimeout,
    /// How the engine's and the model's scores become one; `None`: by the kind of the model.
    pub fusion: Option<Fusion>,
    /// Fixes the trust of adaptive fusion, 0..=1.
    pub trust: Option<f64>,
    /// The least score of the model, as people see it, with which a hit stays; 0..=1.
    pub min_score: Option<f64>,
    /// What becomes of `_score`.
    pub score: ScorePolicy,
    /// Whether each hit's `fields` gains `_rerank`.
    pub annotate: bool,
    /// How long a reranked answer is given to whoever asks the same in the same way; `None`: never.
    pub answer_cache: Option<Duration>,
    /// Whether the answer carries `Rerank-Status` and `Server-Timing`.
    pub headers: bool,
}

/// `when = { header = {..}, url-param = {..} }`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct When {
    /// Header names (lowercase) and the values that they must have.
    pub header: BTreeMap<String, String>,
    /// URL parameters and the (decoded) values that they must have.
    pub url_param: BTreeMap<String, String>,
}

/// One field of a hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its path, with dots.
    pub name: Arc<str>,
    /// Written before its text as `label: text`.
    pub label: Option<Arc<str>>,
    /// Its own budget in tokens.
    pub max_tokens: Option<u32>,
}

/// `query = { .. }`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryText {
    /// Where to look first.
    pub from: QueryFrom,
    /// What to do with several distinct texts.
    pub several: Several,
    /// Whether `bool.filter` and `bool.must_not` are walked too.
    pub filters: bool,
}

/// Where the query text is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryFrom {
    /// In the order of precedence.
    Auto,
    /// At this JSON pointer of the body (RFC 6901), then as `Auto`.
    Pointer(String),
    /// In this URL parameter, then as `Auto`.
    UrlParam(String),
    /// In this parameter of a search template, then as `Auto`.
    TemplateParam(String),
}

/// What to do with several distinct query texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Several {
    /// The most frequent, then the longest.
    Common,
    /// The longest.
    Longest,
    /// All, joined by a space in the order found.
    Join,
    /// No reranking.
    Bypass,
}

/// How the engine's and the model's scores become one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fusion {
    /// Trust in the model follows its correlation with the engine.
    Adaptive,
    /// `weight` of the model, the rest of the engine's minmax.
    Weighted {
        /// 0..=1.
        weight: f64,
    },
    /// The model alone.
    Replace,
    /// Reciprocal ranks, summed.
    Rrf,
}

/// What becomes of a window of which only a part has scores when the time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTimeout {
    /// The engine's order stays.
    EngineOrder,
    /// What has a score is ordered, the rest comes behind it in the engine's order.
    Partial,
}

/// What becomes of `ext.rerank`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtRerank {
    /// It goes to the engine.
    Forward,
    /// It is taken out, and Podium does what it asks for.
    Serve,
}

/// What becomes of `_score`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScorePolicy {
    /// It is the score that the order follows.
    Replace,
    /// It stays the engine's.
    Keep,
}

// === impl Rule ===

impl Rule {
    /// Whether anything in a search is taken over.
    pub fn serves(&self) -> bool {
        self.serve_retrievers || self.ext_rerank == ExtRerank::Serve
    }
}
