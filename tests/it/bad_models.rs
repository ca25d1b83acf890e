//! What a wrong `[models.NAME]` is answered with: each message as a whole.

use std::path::Path;

use podium::config::{self, FAKE_KINDS, KINDS, parse};
use rerank_plugin::{Chunking, ControlTokens, Device, Dtype};

use crate::bad_config::{UPSTREAM, read, table};

#[test]
fn models() {
    table(&[
        ("[models.n]", "p.toml:9: models.n.source: missing; write a hub name such as \"owner/name\", or a folder such as \"./model\""),
        (
            "[models.n]\nsource = '../m'",
            "p.toml:10: models.n.source = \"../m\": must be a hub name such as \"owner/name\" or \"owner/name:Q8_0\", a folder or GGUF file beginning with ./ or /, or \"pypi:name\"",
        ),
        (
            "[models.n]\nsource = 'a/b/c'",
            "p.toml:10: models.n.source = \"a/b/c\": must be a hub name such as \"owner/name\" or \"owner/name:Q8_0\", a folder or GGUF file beginning with ./ or /, or \"pypi:name\"",
        ),
        (
            "[models.n]\nsource = 'pypi:../m'",
            "p.toml:10: models.n.source = \"pypi:../m\": must be a hub name such as \"owner/name\" or \"owner/name:Q8_0\", a folder or GGUF file beginning with ./ or /, or \"pypi:name\"",
        ),
        (
            "[models.n]\nsource = 'https://user:secret@hub/m'",
            "p.toml:10: models.n.source = \"…\": must be a hub name such as \"owner/name\" or \"owner/name:Q8_0\", a folder or GGUF file beginning with ./ or /, or \"pypi:name\"",
        ),
        ("[models.n]\nsource = './n'\nkind = 'qwen3-vl'", "p.toml:11: models.n.kind = \"qwen3-vl\": not supported by this version"),
        (
            "[models.n]\nsource = './n'\nkind = 'fake-reverse'",
            "p.toml:11: models.n.kind = \"fake-reverse\": must be \"auto\" or \"cross-encoder\" or \"embedding\" or \"qwen3\" or \"remote\"",
        ),
        ("[models.n]\nsource = './n'\nmax-tokens = 4", "p.toml:11: models.n.max-tokens = 4: must be a whole number from 8 to 131072"),
        (
            "[models.n]\nsource = './n'\ncontrol-tokens = 'keep'",
            "p.toml:11: models.n.control-tokens = \"keep\": must be \"escape\" or \"parse\"",
        ),
        ("[models.n]\nsource = './n'\nvectors = 'i8'", "p.toml:11: models.n.vectors = \"i8\": must be \"f32\" or \"f16\""),
        ("[models.n]\nsource = './n'\ndimensions = 0", "p.toml:11: models.n.dimensions = 0: must be a whole number from 1 to 65536"),
        ("[models.n]\nsource = './n'\nsha256 = 'abc'", "p.toml:11: models.n.sha256 = \"abc\": must be 64 hexadecimal digits"),
        ("[models.'a b']\nsource = './n'", "p.toml:9: models.\"a b\" = {…}: a model's name is made of letters, digits, `-`, `_` and `.`"),
        ("[models]\nn = 'x'", "p.toml:10: models.n = \"x\": must be a table"),
    ]);
}

#[test]
fn chunks() {
    let model = |keys: &str| format!("[models.n]\nsource = './n'\n{keys}");
    let refused = |of_kind: &str| {
        format!(
            "p.toml:12: models.n.chunking = {{…}}: {of_kind} cuts no chunks; leave it out, raise max-tokens, or take a cross-encoder or a qwen3"
        )
    };
    table(&[
        (
            &model("chunking = true"),
            "p.toml:11: models.n.chunking = true: must be a table, such as { tokens = 256, overlap = 32, max = 4 }",
        ),
        (&model("chunking = { tokens = 7 }"), "p.toml:11: models.n.chunking.tokens = 7: must be a whole number from 8 to 131072"),
        (&model("chunking = { max = 0 }"), "p.toml:11: models.n.chunking.max = 0: must be a whole number from 1 to 64"),
        (&model("chunking = { max = 65 }"), "p.toml:11: models.n.chunking.max = 65: must be a whole number from 1 to 64"),
        (
            &model("chunking = { tokens = 64, overlap = 64 }"),
            "p.toml:11: models.n.chunking.overlap = 64: must be fewer than the 64 tokens of a chunk, so that each chunk says something new",
        ),
        (
            &model("chunking = { overlap = 256 }"),
            "p.toml:11: models.n.chunking.overlap = 256: must be fewer than the 256 tokens of a chunk, so that each chunk says something new",
        ),
        (
            &model("max-tokens = 128\nchunking = { tokens = 129 }"),
            "p.toml:12: models.n.chunking.tokens = 129: is more than max-tokens, so that no chunk is ever whole; write fewer, less by what \
             queries take, or raise max-tokens",
        ),
        (&model("chunking = { size = 9 }"), "p.toml:11: models.n.chunking.size: unknown key; known here: tokens, overlap, max"),
        (&model("kind = 'embedding'\nchunking = {}"), &refused("embedding")),
        (
            "[models.n]\nkind = 'remote'\nprotocol = 'tei'\nendpoints = ['http://a']\nchunking = {}",
            "p.toml:13: models.n.chunking: unknown key; known here: kind, max-tokens, load, protocol, endpoints, model, token, batch, tls",
        ),
    ]);
    let chunking = |keys: &str| read(&format!("{UPSTREAM}{}", model(keys))).expect("right").models["n"].chunking;
    let cut = |tokens, overlap, max| Some(Chunking { tokens, overlap, max });
    assert_eq!(chunking(""), None, "off unless it is asked for");
    assert_eq!(chunking("chunking = {}"), cut(256, 32, 4));
    assert_eq!(chunking("kind = 'qwen3'\nchunking = { tokens = 100 }"), cut(100, 12, 4));
    assert_eq!(chunking("kind = 'cross-encoder'\nmax-tokens = 128\nchunking = { max = 64 }"), cut(128, 16, 64));
    assert_eq!(chunking("kind = 'auto'\nchunking = { tokens = 512, overlap = 0, max = 1 }"), cut(512, 0, 1));
}

#[test]
fn models_that_run_elsewhere() {
    let remote = |keys: &str| format!("[models.n]\nkind = 'remote'\n{keys}");
    let right = "protocol = 'tei'\nendpoints = ['http://a:1/x']";
    table(&[
        (
            &remote(""),
            "p.toml:9: models.n.protocol: missing; write how the servers are asked, such as \"cohere\" or \"tei\"\n\
             p.toml:9: models.n.endpoints: missing; write where the servers are, such as [\"http://127.0.0.1:8000\"]",
        ),
        (
            &remote("protocol = 'tei'\nendpoints = ['a']"),
            "p.toml:12: models.n.endpoints[0] = \"a\": must be an http or https address, such as \"http://127.0.0.1:9200\"",
        ),
        (
            &remote("protocol = 'tei'\nendpoints = ['http://u:canary@a', 'http://a?token=canary']"),
            "p.toml:12: models.n.endpoints[0]: must not hold a user name or password; write `token`\n\
             p.toml:12: models.n.endpoints[1]: must end with the path: no query and no fragment",
        ),
        (
            &remote("protocol = 'tei'\nendpoints = ['http://a', 'http://a']"),
            "p.toml:12: models.n.endpoints[1] = \"http://a\": stands twice",
        ),
        (&remote(&format!("{right}\nbatch = 0")), "p.toml:13: models.n.batch = 0: must be a whole number from 1 to 10000"),
        (&remote(&format!("{right}\ntoken = 3")), "p.toml:13: models.n.token: must be a string, { env = \"NAME\" } or { file = \"path\" }"),
        (
            &remote(&format!("{right}\ntoken = {{ env = 'A', file = 'b' }}")),
            "p.toml:13: models.n.token: must be a string, { env = \"NAME\" } or { file = \"path\" }",
        ),
        (
            &remote(&format!("{right}\nsource = './n'")),
            "p.toml:13: models.n.source: unknown key; known here: kind, max-tokens, load, protocol, endpoints, model, token, batch, tls",
        ),
    ]);
    let text = format!("{UPSTREAM}{}\ntoken = {{ env = 'KEY' }}\nmodel = 'x'\ntls = {{ verify = false }}", remote(right));
    let model = &read(&text).expect("right").models["n"];
    let far = model.remote.as_ref().expect("it runs elsewhere");
    assert_eq!((far.batch, far.verify, far.model.as_deref()), (64, false, Some("x")));
    assert_eq!(far.token, Some(config::Secret::Variable("KEY".to_owned())));
    assert!(!format!("{:?}", config::Secret::Literal("canary".to_owned())).contains("canary"));
}

#[test]
fn a_kind_that_loads_nothing_needs_no_source() {
    let text = format!(
        "{UPSTREAM}[models.n]\nkind = 'fake-reverse'\n[models.m]\nkind = 'auto'\nsource = 'pypi:m'\ncontrol-tokens = 'parse'\ndimensions = 64\nvectors = 'f16'\nsha256 = '{}'",
        "aB".repeat(32)
    );
    let models = parse(Path::new("p.toml"), &text, &[KINDS, FAKE_KINDS].concat()).expect("right").models;
    assert_eq!((models["n"].kind.as_deref(), models["n"].source.as_deref()), (Some("fake-reverse"), None));
    assert_eq!((models["m"].kind.as_deref(), models["m"].source.as_deref()), (None, Some("pypi:m")));
    assert_eq!(models["m"].sha256, Some("ab".repeat(32)));
    assert_eq!((models["n"].dimensions, models["m"].dimensions), (None, Some(64)));
    assert_eq!((models["n"].half_vectors, models["m"].half_vectors), (false, true));
    assert_eq!((models["n"].control_tokens, models["m"].control_tokens), (ControlTokens::Escape, ControlTokens::Parse));
}

#[test]
fn places_to_compute_that_are_none() {
    const DEVICE: &str = "must be \"auto\", \"cpu\", a CUDA device such as \"cuda:0\", or a list of devices such as [\"cuda:0\", \"cuda:1\"], one worker each";
    for (written, wrong) in [
        ("'gpu'", format!("device = \"gpu\": {DEVICE}")),
        ("'cuda'", format!("device = \"cuda\": {DEVICE}")),
        ("'cuda:01'", format!("device = \"cuda:01\": {DEVICE}")),
        ("'cuda:-1'", format!("device = \"cuda:-1\": {DEVICE}")),
        ("1", format!("device = 1: {DEVICE}")),
        ("[]", format!("device = []: {DEVICE}")),
        ("['cuda:0', 3]", format!("device[1] = 3: {DEVICE}")),
        ("['cuda:0', 'auto']", "device[1] = \"auto\": stands alone; a list names its devices".to_owned()),
        ("['cuda:0', 'cpu', 'cuda:0']", "device[2] = \"cuda:0\": stands twice; a device has one worker".to_owned()),
    ] {
        table(&[(&format!("[models.n]\nsource = './n'\ndevice = {written}"), &format!("p.toml:11: models.n.{wrong}"))]);
    }
    const THREADS: &str = "are those of a worker on the processor, and `device` names none; leave it out, or name \"cpu\" too";
    for devices in ["'cuda:0'", "['cuda:0', 'cuda:1']"] {
        table(&[(
            &format!("[models.n]\nsource = './n'\ndevice = {devices}\nthreads = 8"),
            &format!("p.toml:12: models.n.threads = 8: {THREADS}"),
        )]);
    }
    table(&[
        (
            "[models.n]\nsource = './n'\ndtype = 'f64'",
            "p.toml:11: models.n.dtype = \"f64\": must be \"auto\" or \"f32\" or \"f16\" or \"bf16\"",
        ),
        (
            "[models.n]\nkind = 'remote'\nprotocol = 'tei'\nendpoints = ['http://a']\ndevice = 'cpu'",
            "p.toml:13: models.n.device: unknown key; known here: kind, max-tokens, load, protocol, endpoints, model, token, batch, tls",
        ),
    ]);
}

#[test]
fn places_to_compute() {
    let read = |keys: &str| {
        let config = read(&format!("{UPSTREAM}[models.n]\nsource = './n'\n{keys}")).expect("right");
        (config.models["n"].devices.clone(), config.models["n"].dtype)
    };
    assert_eq!(read(""), (vec![], None));
    assert_eq!(read("threads = 8"), (vec![], None));
    assert_eq!(read("device = ['cuda:1', 'cpu']\nthreads = 8"), (vec![Device::Cuda(1), Device::Cpu], None));
    assert_eq!(read("device = 'auto'\ndtype = 'auto'"), (vec![], None));
    assert_eq!(read("device = 'cpu'\ndtype = 'bf16'"), (vec![Device::Cpu], Some(Dtype::Bf16)));
    assert_eq!(read("device = 'cuda:11'\ndtype = 'f16'"), (vec![Device::Cuda(11)], Some(Dtype::F16)));
    assert_eq!(read("device = ['cuda:1', 'cpu']\ndtype = 'f32'"), (vec![Device::Cuda(1), Device::Cpu], Some(Dtype::F32)));
}
