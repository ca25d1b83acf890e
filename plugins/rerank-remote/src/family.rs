//! Sets a remote model up, and asks it once: a wrong key or a wrong name is told at the start, not at the first search.

use std::{fs, sync::Arc, time::Duration};

use reqwest::{Certificate, Client, ClientBuilder, Url, redirect::Policy};
use rerank_plugin::{Card, Deadline, Detection, Endpoints, Family, Fingerprint, Folder, LoadError, LoadOptions, Loaded, Progress, Source};
use sha2::{Digest, Sha256};

use crate::{
    call::Failure,
    endpoint::Endpoint,
    protocol::{PROTOCOLS, Protocol},
    scorer::{RemoteModel, short_documents},
};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(1);
/// How long a connection is kept between calls: servers of Python often close theirs after 5 s.
const IDLE: Duration = Duration::from_secs(4);
/// How long the first answer may take: the server may load its model for it.
const FIRST_ANSWER: Duration = Duration::from_secs(30);
/// Documents of a call to Text Embeddings Inference, unless its server was started with another limit.
const TEI_BATCH: usize = 32;
/// Of our own code: to be raised when what is sent changes.
const VERSION: u8 = 1;

/// The family of rerankers that run elsewhere: `kind = "remote"`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Remote;

impl Family for Remote {
    fn kind(&self) -> &'static str {
        "remote"
    }

    fn detect(&self, _folder: &Folder) -> Detection {
        Detection::No
    }

    /// Asks every endpoint once for two scores; one that answers is enough.
    fn load(&self, source: &Source, options: &LoadOptions, progress: &dyn Progress) -> Result<Loaded, LoadError> {
        let Source::Endpoints(endpoints) = source else {
            return Err(unsupported("a remote model has no files", "write `protocol` and `endpoints` instead of `source`"));
        };
        let protocol = Protocol::by_name(&endpoints.protocol).ok_or_else(|| {
            let known = PROTOCOLS.map(|(name, _)| name).join(", ");
            unsupported(&format!("there is no protocol {:?}", endpoints.protocol), &format!("the protocols are {known}"))
        })?;
        if endpoints.model.is_none() && protocol.needs_model() {
            return Err(unsupported("this protocol names the model in each call", "write `model` as the server calls it"));
        }
        progress.begin("asking the endpoints", None);
        first_answer(protocol, endpoints, options)?;
        Ok(Loaded::Remote(Arc::new(model(protocol, endpoints, options)?)))
    }
}

fn model(protocol: Protocol, endpoints: &Endpoints, options: &LoadOptions) -> Result<RemoteModel, LoadError> {
    let batch = if protocol == Protocol::Tei { endpoints.batch.min(TEI_BATCH) } else { endpoints.batch };
    let mut asked = Vec::new();
    for written in &endpoints.urls {
        let url = Url::parse(written).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let url = url.ok_or_else(|| unsupported("an endpoint is no http or https address", "write it as \"http://host:port\""))?;
        asked.push(Endpoint::new(protocol.address(&url, endpoints.model.as_deref()), batch));
    }
    if asked.is_empty() {
        return Err(unsupported("there are no endpoints", "write `endpoints`, such as [\"http://127.0.0.1:8000\"]"));
    }
    let mut card = Card::new("remote", fingerprint(endpoints, options), protocol.scale(), options.max_tokens.unwrap_or(u32::MAX));
    card.takes_instruction = protocol.takes_instruction();
    let http = client(protocol, endpoints)?;
    let (model, max_tokens) = (endpoints.model.clone(), options.max_tokens);
    Ok(RemoteModel { card, http, protocol, endpoints: asked, model, max_tokens, tells: false })
}

fn client(protocol: Protocol, endpoints: &Endpoints) -> Result<Client, LoadError> {
    let headers = protocol.headers(endpoints.token.as_deref());
    let headers = headers.map_err(|_| unsupported("the token cannot stand in a header", "check `token` for line feeds"))?;
    // One for the whole process; whoever comes first sets it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // A redirect would carry texts, and perhaps the token, to where nobody configured them to go.
    let mut builder = Client::builder().default_headers(headers).connect_timeout(CONNECT).pool_idle_timeout(IDLE).redirect(Policy::none());
    builder = trust(builder, endpoints)?;
    builder.build().map_err(|error| unsupported(&format!("no client for the endpoints: {error}"), "check `tls`"))
}

fn trust(mut builder: ClientBuilder, endpoints: &Endpoints) -> Result<ClientBuilder, LoadError> {
    if let Some(path) = &endpoints.ca {
        let pem = fs::read(path).map_err(|source| LoadError::Unreadable { path: path.clone(), source })?;
        let certificates = Certificate::from_pem_bundle(&pem).ok().filter(|all| !all.is_empty());
        let reason = "holds no certificate in PEM form".to_owned();
        let certificates = certificates.ok_or_else(|| LoadError::Malformed { path: path.clone(), reason })?;
        builder = builder.tls_certs_only(certificates);
    }
    Ok(builder.tls_danger_accept_invalid_certs(endpoints.accepts_any_certificate))
}

/// Asks on a client and a runtime of its own: connections belong to the runtime that made them.
fn first_answer(protocol: Protocol, endpoints: &Endpoints, options: &LoadOptions) -> Result<(), LoadError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| unsupported(&format!("no runtime for the endpoints: {error}"), "check the system's limits"))?;
    // What is asked is Podium's own, so that what the server says of it may be told.
    let model = RemoteModel { tells: true, ..model(protocol, endpoints, options)? };
    let documents = short_documents();
    let ask = model.short_ones(&documents);
    let mut last = String::new();
    for endpoint in &model.endpoints {
        match runtime.block_on(model.ask_one(endpoint, ask, Deadline::after(FIRST_ANSWER))) {
            Ok(scores) if scores.iter().all(Option::is_some) => return Ok(()),
            Ok(_) => last = format!("{} takes not even two short documents", endpoint.address),
            // Too much to do is no reason against a model.
            Err(Failure::Busy(_)) => return Ok(()),
            Err(failure) => last = failure.to_string(),
        }
    }
    Err(unsupported(&last, "Podium asks again in a while"))
}

/// Servers do not say what they run: two models are the same where they are asked for in the same way.
fn fingerprint(endpoints: &Endpoints, options: &LoadOptions) -> Fingerprint {
    let mut hash = Sha256::new();
    let Endpoints { urls, protocol, model, .. } = endpoints;
    let mut sorted = urls.clone();
    sorted.sort();
    hash.update([VERSION]);
    for piece in [protocol.as_str(), model.as_deref().unwrap_or_default()].into_iter().chain(sorted.iter().map(String::as_str)) {
        hash.update((piece.len() as u64).to_le_bytes());
        hash.update(piece);
    }
    hash.update(options.max_tokens.unwrap_or(u32::MAX).to_le_bytes());
    Fingerprint(hash.finalize().into())
}

fn unsupported(reason: &str, remedy: &str) -> LoadError {
    LoadError::Unsupported { reason: reason.to_owned(), remedy: remedy.to_owned() }
}
