//! A blocking HTTP/1.1 client that sends the target as written and shows the answer's bytes.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use flate2::read::GzDecoder;
use serde_json::Value;

/// How long an answer may stay silent; the first search may load a model.
const SILENCE: Duration = Duration::from_secs(300);

/// One answer, its body taken out of its framing but not decoded.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// Sends a JSON body (none when empty).
pub(crate) fn json(address: SocketAddr, method: &str, target: &str, body: &str) -> Reply {
    let headers: &[(&str, &str)] = if body.is_empty() { &[] } else { &[("Content-Type", "application/json")] };
    send(address, method, target, headers, body.as_bytes())
}

/// Sends one request on a connection of its own.
pub(crate) fn send(address: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(SILENCE)).expect("a timeout that is not zero");
    let mut request = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        request.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    let request = [request.as_bytes(), b"\r\n", body].concat();
    stream.write_all(&request).expect("the request is taken");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    Reply::parse(&answer)
}

/// A connection that stays open from one request to the next.
#[derive(Debug)]
pub(crate) struct Kept {
    stream: BufReader<TcpStream>,
    address: SocketAddr,
}

// === impl Kept ===

impl Kept {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("somebody listens");
        stream.set_read_timeout(Some(SILENCE)).expect("a timeout that is not zero");
        stream.set_nodelay(true).expect("a connection");
        Self { stream: BufReader::new(stream), address }
    }

    /// Sends a JSON body; the answer has to say how long it is.
    pub(crate) fn json(&mut self, method: &str, target: &str, body: &str) -> Reply {
        let address = self.address;
        let length = body.len();
        let head =
            format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n");
        self.stream.get_mut().write_all(format!("{head}\r\n{body}").as_bytes()).expect("the request is taken");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let read = self.stream.read_until(b'\n', &mut answer).expect("a head");
            assert!(read > 0, "the connection was closed");
        }
        let mut reply = Reply::parse(&answer);
        let announced = reply.header("content-length").and_then(|written| written.parse().ok()).expect("a length");
        reply.body.resize(announced, 0);
        self.stream.read_exact(&mut reply.body).expect("a whole body");
        reply
    }
}

// === impl Reply ===

impl Reply {
    fn parse(answer: &[u8]) -> Self {
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head");
        let head = std::str::from_utf8(&answer[..end]).expect("a head in UTF-8");
        let mut lines = head.split("\r\n");
        let status_line = lines.next().expect("a status line");
        let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let headers = lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name.into(), value.trim().into())).collect();
        let mut reply = Self { status, headers, body: answer[end + 4..].to_vec() };
        // The answer to HEAD has no body, whatever it says of one.
        if !reply.body.is_empty() && reply.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            reply.body = without_chunks(&reply.body);
        }
        reply
    }

    /// Returns a header's value; the name in any case.
    pub(crate) fn header(&self, wanted: &str) -> Option<&str> {
        self.all(wanted).next()
    }

    /// Returns every value of a header that stands several times.
    pub(crate) fn all(&self, wanted: &str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.as_str())
    }

    /// Returns the body as text, gunzipped when it says that it is compressed.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        match self.header("content-encoding") {
            Some("gzip") => GzDecoder::new(self.body.as_slice()).read_to_string(&mut text),
            _ => self.body.as_slice().read_to_string(&mut text),
        }
        .expect("a body in UTF-8");
        text
    }

    /// Returns the body as JSON.
    pub(crate) fn json(&self) -> Value {
        let text = self.text();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Returns the hits.
    pub(crate) fn hits(&self) -> Vec<Value> {
        let answer = self.json();
        answer["hits"]["hits"].as_array().unwrap_or_else(|| panic!("no hits: {answer}")).clone()
    }

    /// Returns the hits' ids in order.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.hits().iter().map(|hit| hit["_id"].as_str().expect("an id").to_owned()).collect()
    }
}

fn without_chunks(mut chunked: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line_end = chunked.windows(2).position(|two| two == b"\r\n").expect("a chunk's size");
        let size = std::str::from_utf8(&chunked[..line_end]).expect("a size in ASCII");
        let size = usize::from_str_radix(size, 16).expect("a size in hexadecimal");
        if size == 0 {
            return body;
        }
        let (chunk, rest) = chunked[line_end + 2..].split_at(size);
        body.extend_from_slice(chunk);
        chunked = rest.strip_prefix(b"\r\n").expect("a chunk's end");
    }
}
