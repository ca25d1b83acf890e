//! Starts a server with one of the fixtures; it ends with this test run however that ends, because it reads a pipe from it.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use serde_json::json;
use tempfile::TempDir;

/// A cross-encoder of 64 positions; its folder has what the plugin needs, and no more.
const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/plugins/rerank-cross-encoder/tests/fixtures/bert");

/// One running server.
pub(crate) struct Server {
    pub(crate) address: String,
    child: Child,
    input: Option<ChildStdin>,
}

/// Returns a folder with the fixture as a repository has it: what reads it by `AutoTokenizer` must be told how long pairs are.
pub(crate) fn checkpoint() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(Path::new(FIXTURE).join(name), folder.path().join(name)).unwrap();
    }
    let tokenizer = json!({
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 64,
        "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]",
    });
    fs::write(folder.path().join("tokenizer_config.json"), tokenizer.to_string()).unwrap();
    folder
}

/// Prints past the harness's capture: figures are for reading when all is well, too.
pub(crate) fn say(line: &str) {
    writeln!(std::io::stderr(), "\n{line}").expect("standard error takes a line");
}

// === impl Server ===

impl Server {
    /// Starts one by its name on a port, 0 for a free one.
    pub(crate) fn start(name: &str, folder: &Path, port: u16, options: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/start.sh");
        let mut command = Command::new("bash");
        command.arg(script).arg(name).arg(folder).arg(port.to_string()).args(options).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(address) = line.trim().strip_prefix("ready ").map(str::to_owned) else {
            panic!("{name} did not start: {:?}", child.wait())
        };
        Self { address, child, input }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.rsplit(':').next().unwrap().parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.input.take());
        self.child.wait().unwrap();
    }
}
