//! The wire formats: which address is asked, what is sent, and where the scores stand in the answer.

use reqwest::{
    Url,
    header::{AUTHORIZATION, HeaderMap, HeaderValue, InvalidHeaderValue},
};
use rerank_plugin::Scale;
use serde::Deserialize;
use serde_json::{Value, json};

/// A wire format that a server of rerankers speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `POST /v2/rerank` of Cohere (docs.cohere.com/reference/rerank).
    Cohere,
    /// `POST /v1/rerank` of Jina (api.jina.ai/redoc), which many servers speak.
    Jina,
    /// `POST /v1/rerank` of vLLM, or `/score` where the endpoint ends so (docs.vllm.ai, "Pooling models").
    Vllm,
    /// `POST /rerank` of Text Embeddings Inference (huggingface.github.io/text-embeddings-inference).
    Tei,
    /// `POST /v1/rerank` of another Podium's admin port.
    Podium,
    /// `POST /_inference/rerank/{id}` of Elasticsearch 8.14 and newer.
    Elasticsearch,
    /// `POST /_plugins/_ml/models/{id}/_predict` of OpenSearch with a cross-encoder.
    OpenSearch,
}

/// Every protocol, by its name in the configuration.
pub const PROTOCOLS: [(&str, Protocol); 7] = [
    ("cohere", Protocol::Cohere),
    ("jina", Protocol::Jina),
    ("vllm", Protocol::Vllm),
    ("tei", Protocol::Tei),
    ("podium", Protocol::Podium),
    ("elasticsearch", Protocol::Elasticsearch),
    ("opensearch", Protocol::OpenSearch),
];

/// What is asked in one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) model: Option<&'a str>,
    pub(crate) instruction: Option<&'a str>,
    pub(crate) query: &'a str,
    pub(crate) documents: &'a [String],
    pub(crate) max_tokens: Option<u32>,
}

/// Why an answer holds no scores.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum NoScores {
    #[error("the answer is not JSON of this protocol: {0}")]
    Shape(String),
    #[error("{found} scores for {expected} documents")]
    Count { found: usize, expected: usize },
    #[error("a score for document {0}, which was not asked for or has one already")]
    Index(usize),
    #[error("the score {0} is not a finite number")]
    NotFinite(f32),
}

/// `[{index, score}]`, under the names of all protocols.
#[derive(Deserialize)]
struct Indexed {
    index: usize,
    #[serde(alias = "relevance_score")]
    score: f32,
}

/// OpenSearch: one result per document, or one for all; the scores come in the order of the documents.
#[derive(Deserialize)]
struct Predicted {
    inference_results: Vec<Outputs>,
}

#[derive(Deserialize)]
struct Outputs {
    output: Vec<Output>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    data: Vec<f32>,
}

// === impl Protocol ===

impl Protocol {
    /// Returns the protocol of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        PROTOCOLS.iter().find(|(own, _)| *own == name).map(|(_, protocol)| *protocol)
    }

    /// How its scores are to be read. Where a server says either, the reading that presents any number sensibly.
    pub(crate) fn scale(self) -> Scale {
        match self {
            Self::Cohere | Self::Jina | Self::Vllm | Self::Podium => Scale::Probability,
            // Asked for raw scores; the inference APIs hand on what their models say.
            Self::Tei | Self::Elasticsearch | Self::OpenSearch => Scale::Logit,
        }
    }

    /// Whether the model must be named: it is part of the address, or the server cannot guess it.
    pub(crate) fn needs_model(self) -> bool {
        matches!(self, Self::Cohere | Self::Jina | Self::Podium | Self::Elasticsearch | Self::OpenSearch)
    }

    /// Whether an instruction reaches the model.
    pub(crate) fn takes_instruction(self) -> bool {
        self == Self::Podium
    }

    /// Returns the address that is asked: `endpoint` itself where it ends as the protocol's own path does, else that path behind it.
    pub(crate) fn address(self, endpoint: &Url, model: Option<&str>) -> Url {
        let model = model.unwrap_or_default();
        let (path, ends): (&[&str], &[&str]) = match self {
            Self::Cohere => (&["v2", "rerank"], &["rerank"]),
            Self::Jina | Self::Podium => (&["v1", "rerank"], &["rerank"]),
            Self::Vllm => (&["v1", "rerank"], &["rerank", "score"]),
            Self::Tei => (&["rerank"], &["rerank"]),
            Self::Elasticsearch => (&["_inference", "rerank", model], &[]),
            Self::OpenSearch => (&["_plugins", "_ml", "models", model, "_predict"], &[]),
        };
        let mut address = endpoint.clone();
        let last = endpoint.path_segments().and_then(|segments| segments.rev().find(|segment| !segment.is_empty()).map(str::to_owned));
        if !last.is_some_and(|last| ends.contains(&last.as_str()))
            && let Ok(mut segments) = address.path_segments_mut()
        {
            segments.pop_if_empty().extend(path);
        }
        address
    }

    /// Returns the header that carries `token`: written whole where it names its scheme (`Basic …`), else in the scheme of the protocol.
    ///
    /// # Errors
    /// The token has characters that no header can have.
    pub(crate) fn headers(self, token: Option<&str>) -> Result<HeaderMap, InvalidHeaderValue> {
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            let scheme = if self == Self::Elasticsearch { "ApiKey" } else { "Bearer" };
            let written = if token.contains(' ') { token.to_owned() } else { format!("{scheme} {token}") };
            let mut value = HeaderValue::try_from(written)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(headers)
    }

    /// Returns the body of a call to `address`.
    pub(crate) fn body(self, address: &Url, ask: Ask<'_>) -> Value {
        let Ask { model, instruction, query, documents, max_tokens } = ask;
        let mut body = match self {
            Self::Vllm if address.path().trim_end_matches('/').ends_with("/score") => json!({ "text_1": query, "text_2": documents }),
            Self::Tei => json!({ "query": query, "texts": documents, "raw_scores": true, "truncate": true }),
            Self::Elasticsearch => json!({ "query": query, "input": documents }),
            Self::OpenSearch => json!({ "query_text": query, "text_docs": documents }),
            _ => json!({ "query": query, "documents": documents, "top_n": documents.len() }),
        };
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                body[key] = value;
            }
        };
        match self {
            Self::Cohere => set("max_tokens_per_doc", max_tokens.map(Value::from)),
            Self::Jina => set("return_documents", Some(Value::from(false))),
            // -1: the model's own limit; without it, one long document is an error for all.
            Self::Vllm => set("truncate_prompt_tokens", Some(max_tokens.map_or_else(|| Value::from(-1), Value::from))),
            Self::Podium => set("instruction", instruction.map(Value::from)),
            Self::Tei | Self::Elasticsearch | Self::OpenSearch => {}
        }
        if !matches!(self, Self::Tei | Self::Elasticsearch | Self::OpenSearch) {
            set("model", model.map(Value::from));
        }
        body
    }

    /// Whether the server itself cuts what is too long, told how by the call.
    pub(crate) fn cuts(self) -> bool {
        matches!(self, Self::Cohere | Self::Vllm)
    }

    /// Whether 422 says that documents are too many or too long; for the others it is a call of another shape.
    pub(crate) fn counts_by_422(self) -> bool {
        matches!(self, Self::Tei | Self::Jina)
    }

    /// Returns the scores of an answer, in the order of the `expected` documents.
    ///
    /// # Errors
    /// The answer has another shape, or not one finite score for each document.
    pub(crate) fn scores(self, answer: &[u8], expected: usize) -> Result<Vec<f32>, NoScores> {
        let scores = match self {
            Self::OpenSearch => in_order(answer)?,
            _ => by_index(self.list(answer)?, expected)?,
        };
        if scores.len() != expected {
            return Err(NoScores::Count { found: scores.len(), expected });
        }
        scores.iter().find(|score| !score.is_finite()).map_or(Ok(()), |score| Err(NoScores::NotFinite(*score)))?;
        Ok(scores)
    }

    /// Returns the list of scores, wherever this protocol has it.
    fn list(self, answer: &[u8]) -> Result<Vec<Indexed>, NoScores> {
        #[derive(Deserialize)]
        struct Under {
            #[serde(alias = "data", alias = "rerank")]
            results: Vec<Indexed>,
        }
        match self {
            Self::Tei => serde_json::from_slice(answer).map_err(shape),
            _ => serde_json::from_slice::<Under>(answer).map(|under| under.results).map_err(shape),
        }
    }
}

fn shape(error: serde_json::Error) -> NoScores {
    // Its own words quote what stands there.
    NoScores::Shape(format!("line {}, column {}", error.line(), error.column()))
}

fn by_index(list: Vec<Indexed>, expected: usize) -> Result<Vec<f32>, NoScores> {
    if list.len() != expected {
        return Err(NoScores::Count { found: list.len(), expected });
    }
    let mut scores = vec![None; expected];
    for Indexed { index, score } in list {
        match scores.get_mut(index) {
            Some(place @ None) => *place = Some(score),
            _ => return Err(NoScores::Index(index)),
        }
    }
    Ok(scores.into_iter().flatten().collect())
}

fn in_order(answer: &[u8]) -> Result<Vec<f32>, NoScores> {
    let predicted: Predicted = serde_json::from_slice(answer).map_err(shape)?;
    let outputs = predicted.inference_results.into_iter().flat_map(|result| result.output);
    Ok(outputs.filter(|output| output.name == "similarity").flat_map(|output| output.data).collect())
}

#[cfg(test)]
mod tests {
    use reqwest::Url;
    use serde_json::json;

    use super::{Ask, NoScores, PROTOCOLS, Protocol};

    fn address(protocol: Protocol, endpoint: &str) -> String {
        protocol.address(&Url::parse(endpoint).expect("an address"), Some("my model")).to_string()
    }

    #[test]
    fn the_path_is_added_where_it_is_missing() {
        for (protocol, endpoint, asked) in [
            (Protocol::Cohere, "https://api.cohere.com", "https://api.cohere.com/v2/rerank"),
            (Protocol::Cohere, "http://gateway/cohere/v2/rerank", "http://gateway/cohere/v2/rerank"),
            (Protocol::Jina, "http://a:1/", "http://a:1/v1/rerank"),
            (Protocol::Vllm, "http://a:1", "http://a:1/v1/rerank"),
            (Protocol::Vllm, "http://a:1/score", "http://a:1/score"),
            (Protocol::Vllm, "http://a:1/score/", "http://a:1/score/"),
            (Protocol::Tei, "http://a:1/tei/", "http://a:1/tei/rerank"),
            (Protocol::Podium, "http://a:9281", "http://a:9281/v1/rerank"),
            (Protocol::Elasticsearch, "https://es:9200", "https://es:9200/_inference/rerank/my%20model"),
            (Protocol::OpenSearch, "https://os:9200/x", "https://os:9200/x/_plugins/_ml/models/my%20model/_predict"),
        ] {
            assert_eq!(address(protocol, endpoint), asked);
        }
    }

    #[test]
    fn a_call_is_written_as_the_server_documents_it() {
        let documents = ["a".to_owned(), "b".to_owned()];
        let ask = Ask { model: Some("m"), instruction: None, query: "q", documents: &documents, max_tokens: Some(9) };
        let body = |protocol: Protocol, endpoint: &str| protocol.body(&Url::parse(endpoint).expect("an address"), ask);
        let (rerank, score) = ("http://a/v1/rerank", "http://a/score");
        let d = json!(["a", "b"]);
        for (protocol, endpoint, expected) in [
            (Protocol::Cohere, rerank, json!({"model":"m","query":"q","documents":d,"top_n":2,"max_tokens_per_doc":9})),
            (Protocol::Jina, rerank, json!({"model":"m","query":"q","documents":d,"top_n":2,"return_documents":false})),
            (Protocol::Vllm, rerank, json!({"model":"m","query":"q","documents":d,"top_n":2,"truncate_prompt_tokens":9})),
            (Protocol::Vllm, score, json!({"model":"m","text_1":"q","text_2":d,"truncate_prompt_tokens":9})),
            (Protocol::Tei, rerank, json!({"query":"q","texts":d,"raw_scores":true,"truncate":true})),
            (Protocol::Podium, rerank, json!({"model":"m","query":"q","documents":d,"top_n":2})),
            (Protocol::Elasticsearch, rerank, json!({"query":"q","input":d})),
            (Protocol::OpenSearch, rerank, json!({"query_text":"q","text_docs":d})),
        ] {
            assert_eq!(body(protocol, endpoint), expected, "{protocol:?}");
        }
    }

    #[test]
    fn scores_are_read_in_the_order_of_the_documents() {
        let cohere = r#"{"id":"1","results":[{"index":1,"relevance_score":0.9},{"index":0,"relevance_score":0.25}],"meta":{}}"#;
        let score = r#"{"object":"list","data":[{"index":0,"object":"score","score":0.25},{"index":1,"object":"score","score":0.9}]}"#;
        let tei = r#"[{"index":1,"score":0.9},{"index":0,"score":0.25}]"#;
        let elasticsearch = r#"{"rerank":[{"index":1,"relevance_score":0.9,"text":"b"},{"index":0,"relevance_score":0.25}]}"#;
        let each = r#"{"inference_results":[{"output":[{"name":"similarity","data_type":"FLOAT32","shape":[1],"data":[0.25],
            "byte_buffer":{"array":"","order":"LITTLE_ENDIAN"}}]},{"output":[{"name":"similarity","data":[0.9]}]}]}"#;
        let together = r#"{"inference_results":[{"output":[{"name":"similarity","data":[0.25]},{"name":"similarity","data":[0.9]}]}]}"#;
        for (protocol, answer) in [
            (Protocol::Cohere, cohere),
            (Protocol::Jina, cohere),
            (Protocol::Podium, cohere),
            (Protocol::Vllm, cohere),
            (Protocol::Vllm, score),
            (Protocol::Tei, tei),
            (Protocol::Elasticsearch, elasticsearch),
            (Protocol::OpenSearch, each),
            (Protocol::OpenSearch, together),
        ] {
            assert_eq!(protocol.scores(answer.as_bytes(), 2), Ok(vec![0.25, 0.9]), "{protocol:?}");
        }
    }

    #[test]
    fn an_answer_with_other_scores_is_none() {
        let jina = |answer: &str| Protocol::Jina.scores(answer.as_bytes(), 2);
        assert_eq!(jina(r#"{"results":[{"index":0,"score":1}]}"#), Err(NoScores::Count { found: 1, expected: 2 }));
        assert_eq!(jina(r#"{"results":[{"index":0,"score":1},{"index":0,"score":1}]}"#), Err(NoScores::Index(0)));
        assert_eq!(jina(r#"{"results":[{"index":0,"score":1},{"index":2,"score":1}]}"#), Err(NoScores::Index(2)));
        assert!(matches!(jina(r#"{"results":[{"index":0,"score":1},{"index":1,"score":1e300}]}"#), Err(NoScores::NotFinite(_))));
        for wrong in ["<html>", "", "[]", r#"{"results":[{"index":0,"score":NaN},{"index":1,"score":1}]}"#, r#"{"error":"no"}"#] {
            assert!(matches!(jina(wrong), Err(NoScores::Shape(_))), "{wrong}");
        }
        let one = br#"{"inference_results":[{"output":[{"name":"similarity","data":[0.25]}]}]}"#;
        assert_eq!(Protocol::OpenSearch.scores(one, 2), Err(NoScores::Count { found: 1, expected: 2 }));
    }

    #[test]
    fn a_token_goes_into_the_scheme_of_the_protocol() {
        let written = |protocol: Protocol, token| {
            let headers = protocol.headers(Some(token)).expect("a header");
            headers["authorization"].to_str().expect("text").to_owned()
        };
        assert_eq!(written(Protocol::Cohere, "k"), "Bearer k");
        assert_eq!(written(Protocol::Elasticsearch, "k"), "ApiKey k");
        assert_eq!(written(Protocol::OpenSearch, "Basic dTpw"), "Basic dTpw");
        assert!(Protocol::Jina.headers(Some("a\nb")).is_err() && Protocol::Jina.headers(None).is_ok_and(|headers| headers.is_empty()));
    }

    #[test]
    fn every_protocol_has_a_name() {
        assert!(PROTOCOLS.iter().all(|(name, protocol)| Protocol::by_name(name) == Some(*protocol)));
        assert_eq!(Protocol::by_name("grpc"), None);
    }
}
