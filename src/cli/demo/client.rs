//! A client of the engine and of Podium, as any other is: requests over loopback HTTP, and how long their answers took.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use http::{HeaderMap, Method, StatusCode, header::CONTENT_TYPE};
use reqwest::RequestBuilder;
use serde_json::Value;

use super::address::Address;

const CONNECT: Duration = Duration::from_secs(5);
/// Longer than any budget of the demo's rules.
const LONGEST: Duration = Duration::from_secs(180);
/// An answer that is larger comes from no search engine.
const MAX_ANSWER: usize = 64 << 20;

/// Speaks to one address.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    address: Address,
}

/// One whole answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) took: Duration,
}

// === impl Client ===

impl Client {
    pub(super) fn new(address: Address) -> anyhow::Result<Self> {
        // Refused when another part of the process was first; either way there is one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // What runs on this machine, and what Podium reaches directly, is not asked through a proxy.
        let http = reqwest::Client::builder().no_proxy().connect_timeout(CONNECT).timeout(LONGEST).build()?;
        Ok(Self { http, address })
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Sends a request with a JSON body, none when empty.
    pub(super) async fn call(&self, method: Method, path: &str, json: &str) -> anyhow::Result<Answer> {
        self.send(method, path, json, |request| request.header(CONTENT_TYPE, "application/json")).await
    }

    /// Sends a request that `with` completes.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: &str,
        with: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> anyhow::Result<Answer> {
        let url = self.address.url();
        let mut request = self.http.request(method, format!("{url}{path}"));
        if let Some(credentials) = self.address.credentials() {
            request = request.basic_auth(&credentials.user, Some(&credentials.password));
        }
        if !body.is_empty() {
            request = with(request).body(body.to_owned());
        }
        let started = Instant::now();
        let mut response = request.send().await.map_err(reqwest::Error::without_url).with_context(|| format!("{url} does not answer"))?;
        let (status, headers, mut text) = (response.status(), response.headers().clone(), Vec::new());
        while let Some(chunk) = response.chunk().await.with_context(|| format!("{url} broke off"))? {
            text.extend_from_slice(&chunk);
            if text.len() > MAX_ANSWER {
                bail!("{url} answers with more than {MAX_ANSWER} bytes");
            }
        }
        Ok(Answer { status, headers, body: text, took: started.elapsed() })
    }
}

// === impl Answer ===

impl Answer {
    /// Returns the answer's JSON; an error in the engine's own words when it is one.
    pub(super) fn json(&self) -> anyhow::Result<Value> {
        let json: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        if self.status.is_success() && json.is_object() {
            return Ok(json);
        }
        match self.reason(&json) {
            Some(reason) => bail!("{}: {reason}", self.status),
            None => bail!("{}", self.status),
        }
    }

    /// Returns the type of the error that the engine answers.
    pub(super) fn error_type(&self) -> Option<String> {
        let json: Value = serde_json::from_slice(&self.body).ok()?;
        json["error"]["type"].as_str().map(ToOwned::to_owned)
    }

    /// Returns a header's text, empty when there is none.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn reason(&self, json: &Value) -> Option<String> {
        let error = &json["error"];
        error["reason"].as_str().or(error.as_str()).map(ToOwned::to_owned)
    }
}
