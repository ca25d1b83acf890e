//! One call of an HTTP client, and its answer as bytes.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{codings::unpack, soon};

/// A request that can be sent to the gateway and to the engine alike.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: Method,
    target: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Whether it broke off, perhaps before its head (then there is no status).
    pub(crate) broken: bool,
}

// === impl Call ===

impl Call {
    /// A request without a body.
    pub(crate) fn get(target: &str) -> Self {
        Self { method: Method::GET, target: target.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    /// A request with a JSON body.
    pub(crate) fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { method: Method::POST, body: body.into(), ..Self::get(target) }.with("content-type", "application/json")
    }

    /// A search of `/products`.
    pub(crate) fn search(body: &str) -> Self {
        Self::post("/products/_search", body)
    }

    /// The same with one more header.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(own, _)| *own != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The same with this method.
    pub(crate) fn by(self, method: Method) -> Self {
        Self { method, ..self }
    }

    /// The same with this query string.
    pub(crate) fn query(mut self, query: &str) -> Self {
        self.target = format!("{}?{query}", self.target.split('?').next().unwrap());
        self
    }

    /// Sends it on a connection of its own.
    pub(crate) async fn send(&self, address: SocketAddr) -> Reply {
        let stream = soon(TcpStream::connect(address)).await.unwrap();
        let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(&self.method).uri(&self.target).header("host", "search.example");
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(Bytes::from(self.body.clone()))).unwrap();
        let Ok(response) = soon(client.send_request(request)).await else {
            return Reply { status: 0, headers: HeaderMap::new(), body: Vec::new(), broken: true };
        };
        let (head, mut rest) = response.into_parts();
        let (mut body, mut broken) = (Vec::new(), false);
        while let Some(frame) = soon(rest.frame()).await {
            match frame {
                Ok(frame) => body.extend(frame.into_data().unwrap_or_default()),
                Err(_) => {
                    broken = true;
                    break;
                }
            }
        }
        Reply { status: head.status.as_u16(), headers: head.headers, body, broken }
    }
}

// === impl Reply ===

impl Reply {
    /// A header's value, empty when it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// What the gateway says of itself.
    pub(crate) fn rerank_status(&self) -> &str {
        self.header("rerank-status")
    }

    /// The body without its coding.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(unpack(self.header("content-encoding"), &self.body).unwrap()).unwrap()
    }
}
