//! Runs the built `podium` in front of an engine; dropping it ends it.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    engines::{Engine, say},
    http::{self, Reply},
};

/// How long models may load; the first time they are fetched.
const READY: Duration = Duration::from_secs(300);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// One running gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    child: Child,
    folder: TempDir,
}

// === impl Gateway ===

impl Gateway {
    /// Starts it before an engine with these models and rules (TOML), and returns once every model is loaded.
    pub(crate) fn start(engine: &Engine, models_and_rules: &str) -> Self {
        Self::before(engine.address, models_and_rules)
    }

    /// Starts it before whatever engine is there. No scores are kept unless the rules say so: those of some fakes are of a place in the
    /// window, not of a text.
    pub(crate) fn before(upstream: SocketAddr, models_and_rules: &str) -> Self {
        let cache = if models_and_rules.contains("[cache]") { "" } else { "[cache]\nscores = 0\n" };
        let folder = tempfile::tempdir().expect("a folder");
        let [address, admin] = free_addresses();
        let text = format!(
            "[listener]\naddress = \"{address}\"\n[admin]\naddress = \"{admin}\"\n[upstream]\nnodes = [\"http://{upstream}\"]\n{cache}{models_and_rules}"
        );
        let config = folder.path().join("podium.toml");
        fs::write(&config, text).expect("a file in a new folder");
        let log = File::create(folder.path().join("log")).expect("a file in a new folder");
        let child = Command::new(env!("CARGO_BIN_EXE_podium"))
            .args(["serve", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("one more handle"))
            .stderr(log)
            .spawn()
            .expect("the built binary runs");
        let mut gateway = Self { address, child, folder };
        gateway.wait_until_ready(admin);
        gateway
    }

    /// Sends a request with a JSON body (none when empty).
    pub(crate) fn call(&self, method: &str, target: &str, body: &str) -> Reply {
        http::json(self.address, method, target, body)
    }

    /// Sends a search and returns its answer, which must say that it was reranked.
    pub(crate) fn reranked(&self, target: &str, body: &Value) -> Reply {
        let reply = self.call("POST", target, &body.to_string());
        let status = status_of(&reply);
        assert!(status.starts_with("reranked"), "{target} {body}: {status}: {}", reply.text());
        reply
    }

    fn wait_until_ready(&mut self, admin: SocketAddr) {
        let end = Instant::now() + READY;
        loop {
            if TcpStream::connect(admin).is_ok() && http::json(admin, "GET", "/ready", "").status == 200 {
                return;
            }
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                panic!("podium ended with {status}:\n{}", self.log());
            }
            assert!(Instant::now() < end, "podium is not ready after {READY:?}:\n{}", self.log());
            thread::sleep(BETWEEN_LOOKS);
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if thread::panicking() {
            say(&format!("podium said:\n{}", self.log()));
        }
        self.child.kill().expect("a child of ours");
        self.child.wait().expect("a child of ours");
    }
}

/// Returns `Rerank-Status`, empty when there is none.
pub(crate) fn status_of(reply: &Reply) -> &str {
    reply.header("rerank-status").unwrap_or_default()
}

/// Asks the system for two addresses that nobody listens on.
fn free_addresses() -> [SocketAddr; 2] {
    // Both are held before either is given back, or they could be the same.
    let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    held.map(|listener| listener.local_addr().expect("an address"))
}
