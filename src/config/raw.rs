//! The file as it is written: its keys, their types, and the defaults of those that stand alone.
//!
//! What takes more than one key to judge belongs to `validate`; the keys of a rule belong to `raw_rule`.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use bytesize::ByteSize;
use http::{Uri, uri::Scheme};
use rerank_plugin::ControlTokens;

use super::{
    Cache, Credentials, Kind, Limits, Listener, Model, Node, Remote, ScoresScope, Secret, Upstream, UpstreamTls,
    chunking::chunking,
    placement::{DTYPES, devices, threads},
    raw_rule::RawRule,
    reader::{Given, Item, Reported, Table, duration, size, whole, word},
    secret::secret,
};

/// The longest duration that is taken: longer ones are slips.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// The kind of models that run elsewhere.
const REMOTE: &str = "remote";
const ADDRESS: &str = "must be an http or https address, such as \"http://127.0.0.1:9200\"";
const LOAD: [(&str, bool); 2] = [("eager", false), ("lazy", true)];
const CONTROL_TOKENS: [(&str, ControlTokens); 2] = [("escape", ControlTokens::Escape), ("parse", ControlTokens::Parse)];
const SCORES_SCOPES: [(&str, ScoresScope); 2] = [("shared", ScoresScope::Shared), ("identity", ScoresScope::Identity)];
/// What a number of a vector is kept in, and whether that is half of what it is computed in.
const VECTORS: [(&str, bool); 2] = [("f32", false), ("f16", true)];

/// One file.
pub(super) struct RawFile<'f> {
    pub(super) listener: Listener,
    pub(super) listener_address: Given<'f, SocketAddr>,
    pub(super) admin_address: Given<'f, SocketAddr>,
    pub(super) admin_token: Given<'f, Secret>,
    pub(super) upstream: Upstream,
    pub(super) limits: Limits,
    pub(super) cache: Cache,
    pub(super) models: Vec<Model>,
    pub(super) defaults: RawRule<'f>,
    pub(super) rules: Vec<RawRule<'f>>,
}

// === impl RawFile ===

impl<'f> RawFile<'f> {
    /// Reads the whole file; `kinds` are the kinds of models that there are.
    pub(super) fn read(file: &mut Table<'f>, kinds: &[Kind]) -> Self {
        let (listener, listener_address) = file.section("listener", &["tls"], listener);
        let (admin_address, admin_token) =
            file.section("admin", &[], |admin| (admin.read("address", Item::address), admin.read("token", secret)));
        let rules = file.read("rules", |item| {
            item.each("must be rules, each under its own [[rules]]", |rule| rule.table(RawRule::LATER, RawRule::read_rule))
        });
        let models = file.read("models", |item| {
            let models = item.entries("must be tables, each under its own [models.NAME]")?;
            Ok(models.into_iter().filter_map(|(name, written)| model(name, &written, kinds).ok()).collect())
        });
        Self {
            listener,
            listener_address,
            admin_address,
            admin_token,
            upstream: file.section("upstream", &["response-timeout"], upstream),
            limits: file.section("limits", &[], limits),
            cache: file.section("cache", &[], cache),
            models: models.or(Vec::new()),
            defaults: file.section("defaults", RawRule::LATER, RawRule::read_defaults),
            rules: rules.or(Vec::new()),
        }
    }
}

fn listener<'f>(table: &mut Table<'f>) -> (Listener, Given<'f, SocketAddr>) {
    let address = table.read("address", Item::address);
    let listener = Listener {
        address: address.get().copied().unwrap_or(loopback(9280)),
        drain_timeout: table.read("drain-timeout", duration(Duration::ZERO..=LONGEST)).or(Duration::from_secs(10)),
        header_timeout: table.read("header-timeout", timeout).or(Duration::from_secs(10)),
        idle_timeout: table.read("idle-timeout", timeout).or(Duration::from_secs(75)),
        max_header_bytes: table.read("max-header-bytes", size(8 * KIB..=16 * MIB)).or(64 * KIB) as usize,
        max_connections: table.read("max-connections", whole(1..=1_000_000)).or(10_000) as usize,
    };
    (listener, address)
}

fn upstream(table: &mut Table<'_>) -> Upstream {
    let nodes = table.read("nodes", nodes);
    Upstream {
        nodes: nodes.required("write the addresses of the cluster, such as [\"http://127.0.0.1:9200\"]").unwrap_or_default(),
        connect_timeout: table.read("connect-timeout", timeout).or(Duration::from_secs(1)),
        tls: table.section("tls", &["certificate", "key"], |tls| UpstreamTls {
            ca: tls.read("ca", Item::name).optional().map(PathBuf::from),
            verify: tls.read("verify", Item::flag).or(true),
        }),
        credentials: table.read("credentials", credentials).optional(),
    }
}

fn credentials(item: &Item<'_>) -> Result<Credentials, Reported> {
    let remedy = "must be a user and its password, such as { user = \"podium\", password = { env = \"PODIUM_PASSWORD\" } }, or an api-key";
    if !item.is_table() {
        return Err(item.refuse_unseen(remedy));
    }
    let (user, password, api_key) = item.table(&[], |table| {
        let user = table.read("user", user_name);
        (user, table.read("password", secret), table.read("api-key", secret))
    })?;
    match (user.is_given(), password.is_given(), api_key.is_given()) {
        (true, true, false) => {
            let (user, password) = (user.required(remedy), password.required(remedy));
            Ok(Credentials::Password { user: user?, password: password? })
        }
        (false, false, true) => Ok(Credentials::ApiKey(api_key.required(remedy)?)),
        _ => Err(item.refuse_unseen(remedy)),
    }
}

/// A colon would end the name (RFC 7617).
fn user_name(item: &Item<'_>) -> Result<String, Reported> {
    let name = item.name()?;
    if name.contains(|letter: char| letter == ':' || letter.is_control()) {
        Err(item.refuse("must hold no colon and no control characters"))
    } else {
        Ok(name)
    }
}

fn limits(table: &mut Table<'_>) -> Limits {
    let body = table.read("max-inspected-body", size(KIB..=2 * GIB));
    let memory = table.read("inspected-memory", size(KIB..=u64::MAX));
    let (most, all) = (body.get().copied().unwrap_or(16 * MIB), memory.get().copied().unwrap_or(512 * MIB));
    if most > all {
        let wrong = if memory.is_given() { &memory } else { &body };
        let [most, all] = [most, all].map(|bytes| ByteSize(bytes).display().iec());
        wrong.refuse(format!(
            "max-inspected-body ({most}) is more than inspected-memory ({all}), so that a body of that size never fits; lower it or raise inspected-memory"
        ));
    }
    Limits {
        max_inspected_body: most as usize,
        inspected_memory: usize::try_from(all).unwrap_or(usize::MAX),
        max_concurrent_searches: table.read("max-concurrent-searches", whole(1..=1_000_000)).or(1024) as usize,
    }
}

fn cache(table: &mut Table<'_>) -> Cache {
    let vectors = table.read("vectors", size(0..=u64::MAX)).or(GIB);
    let vectors_file = table.read("vectors-file", Item::name);
    if vectors == 0 && vectors_file.get().is_some() {
        vectors_file.refuse("would be read into nothing: cache.vectors is 0; leave one of the two out");
    }
    Cache {
        scores: table.read("scores", size(0..=u64::MAX)).or(256 * MIB),
        answers: table.read("answers", size(0..=u64::MAX)).or(64 * MIB),
        scores_scope: table.read("scores-scope", word(&SCORES_SCOPES)).or(ScoresScope::Shared),
        vectors,
        vectors_file: vectors_file.optional().map(PathBuf::from),
        page_memory: table.read("page-memory", duration(Duration::ZERO..=LONGEST)).or(Duration::from_secs(60)),
    }
}

fn model(name: String, item: &Item<'_>, kinds: &[Kind]) -> Result<Model, Reported> {
    // The name travels in `Rerank-Status` and in metrics.
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) || name.is_empty() {
        return Err(item.refuse("a model's name is made of letters, digits, `-`, `_` and `.`"));
    }
    item.table(&[], |table| {
        let kind = table.read("kind", |written| kind(written, kinds));
        if kind.get().is_some_and(|kind| kind.name == REMOTE) {
            return remote_model(name, table);
        }
        let source = table.read("source", source);
        let max_tokens = table.read("max-tokens", whole(8..=131_072));
        let chunking = table.read("chunking", |written| chunking(written, kind.get(), max_tokens.get().copied()));
        let loads = kind.get().is_none_or(|kind| kind.loads);
        let missing = "write a hub name such as \"owner/name\", or a folder such as \"./model\"";
        let source = if loads { source.required(missing).ok() } else { source.optional() };
        let revision = table.read("revision", Item::name).or("main".to_owned());
        let named = table.read("device", devices);
        Ok(Model {
            name: Arc::from(name),
            kind: kind.optional().map(|kind| kind.name.to_owned()).filter(|kind| kind != "auto"),
            source,
            revision,
            dtype: table.read("dtype", word(&DTYPES)).or(None),
            threads: threads(table, &named),
            devices: named.or(Vec::new()),
            max_tokens: max_tokens.optional(),
            chunking: chunking.optional(),
            batch_tokens: table.read("batch-tokens", whole(1..=1_048_576)).or(16_384),
            max_queue: table.read("max-queue", whole(1..=1_000_000)).or(4096) as usize,
            lazy: table.read("load", word(&LOAD)).or(false),
            control_tokens: table.read("control-tokens", word(&CONTROL_TOKENS)).or(ControlTokens::Escape),
            dimensions: table.read("dimensions", whole(1..=65_536)).optional(),
            half_vectors: table.read("vectors", word(&VECTORS)).or(false),
            sha256: table.read("sha256", sha256).optional(),
            remote: None,
        })
    })?
}

/// A model that runs elsewhere has other keys; those of models that run here are unknown to it.
fn remote_model(name: String, table: &mut Table<'_>) -> Result<Model, Reported> {
    let max_tokens = table.read("max-tokens", whole(8..=131_072)).optional();
    Ok(Model {
        name: Arc::from(name),
        kind: Some(REMOTE.to_owned()),
        source: None,
        revision: String::new(),
        devices: Vec::new(),
        dtype: None,
        threads: 1,
        max_tokens,
        batch_tokens: 16_384,
        max_queue: usize::MAX,
        lazy: table.read("load", word(&LOAD)).or(false),
        control_tokens: ControlTokens::Escape,
        dimensions: None,
        half_vectors: false,
        chunking: None,
        sha256: None,
        remote: Some(Remote::read(table)?),
    })
}

fn kind(item: &Item<'_>, kinds: &[Kind]) -> Result<Kind, Reported> {
    if item.text("must be a string")? == "qwen3-vl" {
        return Err(item.refuse("not supported by this version"));
    }
    let words: Vec<_> = kinds.iter().map(|kind| (kind.name, *kind)).collect();
    word(&words)(item)
}

/// A folder, `pypi:name`, or a name on the hub.
fn source(item: &Item<'_>) -> Result<String, Reported> {
    let remedy =
        "must be a hub name such as \"owner/name\" or \"owner/name:Q8_0\", a folder or GGUF file beginning with ./ or /, or \"pypi:name\"";
    let text = item.text(remedy)?;
    let plain =
        |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) && !part.trim_matches('.').is_empty();
    // `owner/name:Q8_0` is one GGUF file of a repository.
    let on_hub = || {
        let (name, gguf) = text.split_once(':').map_or((text, None), |(name, gguf)| (name, Some(gguf)));
        name.split('/').count() <= 2 && name.split('/').all(plain) && gguf.is_none_or(plain)
    };
    let named = text.strip_prefix("pypi:").map_or_else(on_hub, plain);
    let folder = text.starts_with("./") || text.starts_with('/');
    if named || folder { Ok(text.to_owned()) } else { Err(item.refuse(remedy)) }
}

fn sha256(item: &Item<'_>) -> Result<String, Reported> {
    let remedy = "must be 64 hexadecimal digits";
    let text = item.text(remedy)?;
    let right = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if right { Ok(text.to_ascii_lowercase()) } else { Err(item.refuse(remedy)) }
}

fn nodes(list: &Item<'_>) -> Result<Vec<Node>, Reported> {
    let mut known = Vec::new();
    list.each("must be an array of addresses, such as [\"http://127.0.0.1:9200\"]", |item| {
        let node = node(item)?;
        if known.contains(&node) {
            return Err(item.refuse("stands twice"));
        }
        known.push(node.clone());
        Ok(node)
    })
}

fn node(item: &Item<'_>) -> Result<Node, Reported> {
    let text = node_address(item, "must not hold a user name or password; a client's own credentials travel unchanged")?;
    parsed_node(&text).ok_or_else(|| item.refuse(ADDRESS))
}

/// Returns an http or https address with an optional path; `credentials` says what to do with those that stand in it.
pub(super) fn node_address(item: &Item<'_>, credentials: &str) -> Result<String, Reported> {
    let text = item.text("must be a string")?;
    if text.contains('@') {
        return Err(item.refuse_unseen(credentials));
    }
    if text.contains(['?', '#']) {
        return Err(item.refuse_unseen("must end with the path: no query and no fragment"));
    }
    if parsed_node(text).is_some() { Ok(text.to_owned()) } else { Err(item.refuse(ADDRESS)) }
}

fn parsed_node(text: &str) -> Option<Node> {
    let uri: Uri = text.parse().ok()?;
    let authority = uri.authority().filter(|authority| !authority.host().is_empty())?;
    let has_port = authority.as_str() != authority.host();
    if has_port && authority.port_u16().is_none_or(|port| port == 0) {
        return None;
    }
    let tls = match uri.scheme()? {
        scheme if *scheme == Scheme::HTTPS => true,
        scheme if *scheme == Scheme::HTTP => false,
        _ => return None,
    };
    Some(Node { tls, authority: authority.clone(), prefix: uri.path().trim_end_matches('/').to_owned() })
}

/// A duration that must not be nothing.
pub(super) fn timeout(item: &Item<'_>) -> Result<Duration, Reported> {
    duration(Duration::from_millis(1)..=LONGEST)(item)
}

pub(super) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
