//! One call to one endpoint, and what becomes of its answer.

use std::{error::Error, time::Duration};

use reqwest::{Client, Response, StatusCode, header::CONTENT_TYPE};

use crate::{
    endpoint::Endpoint,
    protocol::{Ask, NoScores, Protocol},
};

/// The largest answer that is read: 10,000 scores take a tenth of it, unless the server sends the documents back.
const MOST_ANSWER: usize = 16 << 20;
/// How much of an error is shown.
const MOST_SHOWN: usize = 200;

/// Why a call gave no scores.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Failure {
    /// It can be tried elsewhere: nothing listens, the connection broke, the server is ill.
    #[error("{0}")]
    Endpoint(String),
    /// The server has too much to do.
    #[error("{0}")]
    Busy(String),
    /// The server is there, and its model is not, or it has too much to do.
    #[error("{0}")]
    Away(String),
    /// Too many documents, or too many bytes, for one call.
    #[error("{0}")]
    TooLarge(String),
    /// What is asked is refused, and would be elsewhere too.
    #[error("{0}")]
    Refused(String),
    /// The time was up.
    #[error("no answer in time")]
    Late,
}

/// Sends `ask` to `endpoint` and returns the scores in the order of its documents. A refusal says what the server said where that may
/// be told (`tell`): servers quote the texts that they refuse.
pub(crate) async fn call(
    http: &Client,
    (protocol, endpoint): (Protocol, &Endpoint),
    ask: Ask<'_>,
    (budget, tell): (Duration, bool),
) -> Result<Vec<f32>, Failure> {
    let body = protocol.body(&endpoint.address, ask);
    let exchange = async {
        let response = http
            .post(endpoint.address.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string())
            .send()
            .await
            .map_err(|error| unreachable(endpoint, error))?;
        let status = response.status();
        let answer = read(response, endpoint).await?;
        if !status.is_success() {
            return Err(refusal((protocol, endpoint), status, tell.then_some(answer.as_slice())));
        }
        protocol.scores(&answer, ask.documents.len()).map_err(|error: NoScores| Failure::Endpoint(format!("{}: {error}", shown(endpoint))))
    };
    tokio::time::timeout(budget, exchange).await.unwrap_or(Err(Failure::Late))
}

async fn read(mut response: Response, endpoint: &Endpoint) -> Result<Vec<u8>, Failure> {
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(endpoint, error))? {
        if answer.len() + chunk.len() > MOST_ANSWER {
            return Err(Failure::Endpoint(format!("{} answers with more than {MOST_ANSWER} bytes", shown(endpoint))));
        }
        answer.extend_from_slice(&chunk);
    }
    Ok(answer)
}

fn unreachable(endpoint: &Endpoint, error: reqwest::Error) -> Failure {
    let error = error.without_url();
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        reason.push_str(": ");
        reason.push_str(&deeper.to_string());
        cause = deeper.source();
    }
    reason.truncate(reason.floor_char_boundary(MOST_SHOWN));
    Failure::Endpoint(format!("{} does not answer: {reason}", shown(endpoint)))
}

fn refusal((protocol, endpoint): (Protocol, &Endpoint), status: StatusCode, answer: Option<&[u8]>) -> Failure {
    let said = answer.map_or_else(String::new, |answer| {
        let said = String::from_utf8_lossy(&answer[..answer.len().min(MOST_SHOWN)]).into_owned();
        format!(": {}", said.split_whitespace().collect::<Vec<_>>().join(" "))
    });
    let words = |remedy: &str| format!("{} answers {status}{remedy}{said}", shown(endpoint));
    match status {
        StatusCode::TOO_MANY_REQUESTS => Failure::Busy(words("")),
        StatusCode::PAYLOAD_TOO_LARGE => Failure::TooLarge(words("")),
        // What Text Embeddings Inference and Infinity say to too many documents, and Infinity to one that is too long for it.
        StatusCode::UNPROCESSABLE_ENTITY if protocol.counts_by_422() => Failure::TooLarge(words("")),
        StatusCode::SERVICE_UNAVAILABLE => Failure::Away(words("")),
        StatusCode::REQUEST_TIMEOUT | StatusCode::FAILED_DEPENDENCY | StatusCode::TOO_EARLY => Failure::Endpoint(words("")),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::Refused(words(", check `token`")),
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Failure::Refused(words(", check `endpoints`, `protocol` and `model`")),
        status if status.is_client_error() || status.is_redirection() => Failure::Refused(words("")),
        _ => Failure::Endpoint(words("")),
    }
}

/// The address as it may be shown: without user, password and query.
fn shown(endpoint: &Endpoint) -> String {
    let address = &endpoint.address;
    format!("{}{}", address.origin().ascii_serialization(), address.path())
}
