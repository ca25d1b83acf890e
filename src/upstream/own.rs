//! Podium's own calls: small requests with its own credentials, whose answers are read whole and in time.
//!
//! A client's search never takes this way, and these credentials never travel with it.

use std::{fmt, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use tokio::time;

use super::{Upstream, UpstreamError, UpstreamSetup};
use crate::{
    body::{self, BoxError, Collected, collect_capped},
    config::{self, Credentials, SecretError},
};

/// The cluster, as Podium asks it for itself.
#[derive(Clone)]
pub struct OwnCalls {
    upstream: Upstream,
    authorization: Option<HeaderValue>,
}

/// What one call sends.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// How.
    pub method: Method,
    /// Path and query.
    pub target: &'a str,
    /// The body, empty for none.
    pub json: &'a str,
}

/// What an answer may cost.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of its body.
    pub bytes: usize,
    /// From the request to its last byte.
    pub time: Duration,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// Why Podium cannot make calls of its own.
#[derive(Debug, thiserror::Error)]
pub enum OwnCallsSetup {
    /// The connection to the cluster could not be set up.
    #[error(transparent)]
    Upstream(#[from] UpstreamSetup),
    /// The credentials are not where the configuration says.
    #[error("upstream.credentials: {0}")]
    Secret(#[from] SecretError),
    /// They cannot stand in a header.
    #[error("upstream.credentials: they hold characters that no header takes")]
    NoHeader,
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum OwnCallError {
    /// The request cannot be made: a bug, or an index that no path can name.
    #[error("{0}")]
    Request(#[from] http::Error),
    /// The cluster gave none.
    #[error("{}", with_causes(.0))]
    Upstream(#[from] UpstreamError),
    /// It broke off.
    #[error("the answer broke off: {0}")]
    Broken(BoxError),
    /// It has more bytes than it may.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    /// It took longer than it may.
    #[error("no answer within {}", humantime::format_duration(*.0))]
    Late(Duration),
}

// === impl OwnCalls ===

impl OwnCalls {
    /// Sets up the connections and looks the credentials up.
    ///
    /// # Errors
    /// See [`OwnCallsSetup`].
    pub fn new(settings: &config::Upstream) -> Result<Self, OwnCallsSetup> {
        let authorization = settings.credentials.as_ref().map(authorization).transpose()?;
        Ok(Self { upstream: Upstream::new(settings)?, authorization })
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// See [`OwnCallError`].
    pub async fn send(&self, call: Call<'_>, bounds: Bounds) -> Result<Answer, OwnCallError> {
        let answer = time::timeout(bounds.time, self.send_in_time(call, bounds.bytes)).await;
        answer.unwrap_or(Err(OwnCallError::Late(bounds.time)))
    }

    async fn send_in_time(&self, call: Call<'_>, most: usize) -> Result<Answer, OwnCallError> {
        let mut request = Request::builder().method(call.method).uri(call.target);
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if !call.json.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let sent = self.upstream.send(request.body(body::full(call.json.to_owned()))?).await?;
        let (head, received) = sent.into_parts();
        match collect_capped(received, most).await.map_err(OwnCallError::Broken)? {
            Collected::Whole(body) => Ok(Answer { status: head.status, headers: head.headers, body }),
            Collected::TooLarge(_) | Collected::TooSlow(_) => Err(OwnCallError::TooLarge(most)),
        }
    }

    /// Whether the calls carry credentials.
    pub fn has_credentials(&self) -> bool {
        self.authorization.is_some()
    }
}

impl fmt::Debug for OwnCalls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OwnCalls").field("upstream", &self.upstream).finish_non_exhaustive()
    }
}

fn authorization(credentials: &Credentials) -> Result<HeaderValue, OwnCallsSetup> {
    let value = match credentials {
        Credentials::Password { user, password } => {
            let password = password.reveal()?;
            format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
        }
        Credentials::ApiKey(key) => {
            let key = key.reveal()?;
            // Elasticsearch gives the two parts of a key, and both as one text, ready to be sent.
            if key.contains(':') { format!("ApiKey {}", STANDARD.encode(key)) } else { format!("ApiKey {key}") }
        }
    };
    let mut value = HeaderValue::try_from(value).map_err(|_| OwnCallsSetup::NoHeader)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Returns an error with all its causes, which name addresses at most.
fn with_causes(error: &UpstreamError) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |told, cause| format!("{told}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::{OwnCallsSetup, authorization};
    use crate::config::{Credentials, Secret};

    fn sent(credentials: &Credentials) -> String {
        authorization(credentials).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn credentials_become_the_header_that_engines_read() {
        let secret = |text: &str| Secret::Literal(text.to_owned());
        let password = Credentials::Password { user: "podium".to_owned(), password: secret("pass:w\u{f6}rd") };
        assert_eq!(sent(&password), "Basic cG9kaXVtOnBhc3M6d8O2cmQ=");
        assert_eq!(sent(&Credentials::ApiKey(secret("aWQ6a2V5"))), "ApiKey aWQ6a2V5");
        assert_eq!(sent(&Credentials::ApiKey(secret("id:key"))), "ApiKey aWQ6a2V5");
        let header = authorization(&password).unwrap();
        assert!(header.is_sensitive() && !format!("{header:?}").contains("cG9k"));
        assert!(matches!(authorization(&Credentials::ApiKey(secret("a\nb"))), Err(OwnCallsSetup::NoHeader)));
        let missing = authorization(&Credentials::ApiKey(Secret::File("/no/such/file".into()))).unwrap_err().to_string();
        assert_eq!(missing, "upstream.credentials: /no/such/file cannot be read");
    }
}
