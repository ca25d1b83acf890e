//! A running engine with a folder of its own, and a small blocking HTTP client.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use podium_demo::engine::{Engine, StartError};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::TcpListener, runtime::Runtime};

/// An answer slower than this is none.
const SILENCE: Duration = Duration::from_secs(30);

/// One engine with a runtime of its own.
pub(crate) struct Rig {
    runtime: Runtime,
    engine: Option<Engine>,
    folder: TempDir,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) text: String,
}

// === impl Rig ===

impl Rig {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let mut rig = Self { runtime, engine: None, folder: tempfile::tempdir().unwrap() };
        rig.restart();
        rig
    }

    /// Stops the engine if it runs, and starts one in the same folder.
    pub(crate) fn restart(&mut self) {
        if let Some(engine) = self.engine.take() {
            self.runtime.block_on(engine.stop());
        }
        self.try_start().unwrap();
    }

    /// Starts an engine in the same folder.
    pub(crate) fn try_start(&mut self) -> Result<(), StartError> {
        let started = self.runtime.block_on(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            Engine::start(listener, self.folder.path()).await
        });
        self.engine = Some(started?);
        Ok(())
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.engine.as_ref().unwrap().address()
    }

    /// Takes the engine out, to be stopped or dropped.
    pub(crate) fn take(&mut self) -> Engine {
        self.engine.take().unwrap()
    }

    /// Sends a JSON body (none when empty).
    pub(crate) fn call(&self, method: &str, target: &str, body: &str) -> Reply {
        let headers: &[(&str, &str)] = if body.is_empty() { &[] } else { &[("Content-Type", "application/json")] };
        self.send(method, target, headers, body.as_bytes())
    }

    /// Sends a request that must succeed, and returns its JSON.
    pub(crate) fn ok(&self, method: &str, target: &str, body: &str) -> Value {
        let reply = self.call(method, target, body);
        assert!(reply.status < 300, "{method} {target} {body}: {} {}", reply.status, reply.text);
        reply.json()
    }

    /// Sends a request that must be refused with `status`, and returns the type and the reason.
    pub(crate) fn refused(&self, (method, target, body): (&str, &str, &str), status: u16) -> (String, String) {
        let reply = self.call(method, target, body);
        assert_eq!(reply.status, status, "{method} {target} {body}: {}", reply.text);
        let error = &reply.json()["error"];
        assert_eq!(reply.json()["status"], status, "{}", reply.text);
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{}", reply.text)).to_owned();
        (text(&error["type"]), text(&error["root_cause"][0]["reason"]))
    }

    pub(crate) fn bulk(&self, target: &str, lines: &str) -> Value {
        let reply = self.send("POST", target, &[("Content-Type", "application/x-ndjson")], lines.as_bytes());
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.json()
    }

    /// Returns the ids that a search finds, in order.
    pub(crate) fn ids(&self, target: &str, body: &str) -> Vec<String> {
        ids(&self.ok("POST", target, body))
    }

    pub(crate) fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut request = format!("{method} {target} HTTP/1.1\r\nHost: here\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(SILENCE)).unwrap();
        stream.write_all(&[request.as_bytes(), b"\r\n", body].concat()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, text) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer but {answer:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply { status, head: head.to_ascii_lowercase(), text: text.to_owned() }
    }
}

pub(crate) fn ids(answer: &Value) -> Vec<String> {
    let hits = answer["hits"]["hits"].as_array().unwrap_or_else(|| panic!("{answer}"));
    hits.iter().map(|hit| hit["_id"].as_str().unwrap().to_owned()).collect()
}

// === impl Reply ===

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}
