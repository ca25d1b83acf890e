//! The command line of the binary: what it prints where, and its exit codes.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    process::{Command, Output},
    thread,
};

const WRONG: &str = "[upstream]\nnodes = []\n[listener.tls]\nkey = 'canary'\n";

/// Runs `podium` in a folder that holds `config` as `podium.toml`.
fn podium(arguments: &[&str], config: Option<&str>) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    if let Some(config) = config {
        fs::write(folder.path().join("podium.toml"), config).expect("written");
    }
    Command::new(env!("CARGO_BIN_EXE_podium")).args(arguments).current_dir(folder.path()).output().expect("run")
}

fn said(output: &Output) -> (Option<i32>, &str, &str) {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| str::from_utf8(bytes).expect("text"));
    (output.status.code(), out, err)
}

#[test]
fn a_wrong_configuration_ends_every_command_with_2() {
    let expected = "podium.toml:2: upstream.nodes = []: must be an array of addresses, such as [\"http://127.0.0.1:9200\"]\n\
                    podium.toml:3: listener.tls: not supported by this version; leave it out\n";
    for command in ["serve", "check"] {
        assert_eq!(said(&podium(&[command], Some(WRONG))), (Some(2), "", expected), "{command}");
    }
    assert_eq!(said(&podium(&["explain", "--index", "a", "--query", "b"], Some(WRONG))), (Some(2), "", expected));
}

#[test]
fn a_missing_file_is_named_as_it_was_asked_for() {
    let output = podium(&["serve", "--config", "elsewhere.toml"], None);
    let expected = "elsewhere.toml: cannot be read: No such file or directory (os error 2); \
                    write this file or name another with --config\n";
    assert_eq!(said(&output), (Some(2), "", expected));
}

#[test]
fn programs_get_the_problems_as_json() {
    let output = podium(&["check", "--json"], Some(WRONG));
    let expected = concat!(
        r#"{"file":"podium.toml","problems":["#,
        r#"{"path":"upstream.nodes","line":2,"value":"[]","remedy":"must be an array of addresses, such as [\"http://127.0.0.1:9200\"]"},"#,
        r#"{"path":"listener.tls","line":3,"value":null,"remedy":"not supported by this version; leave it out"}],"#,
        r#""memory":null,"cluster":null,"vectors_file":null,"models":[],"rules":[]}"#,
        "\n",
    );
    assert_eq!(said(&output), (Some(2), expected, ""));
}

/// Serves one canned answer for each request, whatever it asks, and returns its address.
fn cluster(answer: &'static str) -> String {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = tcp.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in tcp.incoming() {
            let mut stream = stream.expect("a connection");
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).expect("a request");
            let length = answer.len();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{answer}"
            )
            .expect("an answer");
        }
    });
    format!("http://{address}")
}

#[test]
fn check_shows_what_the_model_would_see_and_what_is_missing() {
    let answer = r#"{"version":{"number":"9.5.3"},"hits":{"hits":[
        {"_index":"shoes","_id":"1","_source":{"title":"red\nshoe","brand":"x"}},{"_index":"shoes","_id":"2","_source":{}}]}}"#;
    let nodes = cluster(answer);
    let config = format!(
        "[upstream]\nnodes = ['{nodes}']\n[models.m]\nsource = './nowhere'\n\
         [[rules]]\nindex = ['shoes']\nmodel = 'm'\nfields = ['title', {{ name = 'brand', label = 'Brand' }}]\n"
    );
    let output = podium(&["check"], Some(&config));
    let (code, out, err) = said(&output);
    assert_eq!((code, err), (Some(1), ""), "a model is missing");
    let lines: Vec<&str> = out.lines().collect();
    let memory = "memory: cache.scores 256.0 MiB + cache.vectors 1.0 GiB + limits.inspected-memory 512.0 MiB = 1.8 GiB of ";
    assert!(lines[0] == "podium.toml: no problems" && lines[1].starts_with(memory), "{out}");
    assert_eq!(lines[2], "cluster: elasticsearch 9.5.3");
    assert!(lines[3].starts_with("model m: NOT LOADED: ") && lines[3].contains("./nowhere"), "{}", lines[3]);
    assert_eq!(lines[4..], ["rules[0] on shoes: 1 of 2 hits have text", "    red shoe | Brand: x"]);
}

/// Whatever the build, no machine has so many devices.
#[test]
fn check_says_where_a_model_runs_or_why_it_cannot() {
    let nodes = cluster(r#"{"version":{"number":"9.5.3"},"hits":{"hits":[]}}"#);
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/plugins/rerank-cross-encoder/tests/fixtures/bert");
    let model = |name: &str, keys: &str| format!("[models.{name}]\nsource = '{source}'\nkind = 'cross-encoder'\n{keys}\n");
    let [here, half, far] =
        [model("here", "device = 'cpu'"), model("half", "device = 'cpu'\ndtype = 'bf16'"), model("far", "device = 'cuda:4096'")];
    let output = podium(&["check"], Some(&format!("[upstream]\nnodes = ['{nodes}']\n{here}{half}{far}")));
    let (code, out, err) = said(&output);
    assert_eq!((code, err), (Some(1), ""), "{out}");
    assert!(out.contains("model here: cross-encoder, 64 tokens, on cpu in f32, fingerprint "), "{out}");
    assert!(out.contains("model half: cross-encoder, 64 tokens, on cpu in bf16, fingerprint "), "{out}");
    assert!(out.contains("model far: NOT LOADED: the device cuda:4096 cannot be used: "), "{out}");
}

#[test]
fn check_refuses_caches_that_no_machine_has_the_memory_for() {
    let nodes = cluster(r#"{"version":{"number":"9.5.3"},"hits":{"hits":[]}}"#);
    let config = format!(
        "[upstream]\nnodes = ['{nodes}']\n[cache]\nscores = '1EiB'\nvectors = '2EiB'\n[models.m]\nsource = './nowhere'\n\
         [[rules]]\nindex = ['shoes']\nmodel = 'm'\nfields = ['title']\nanswer-cache = '5s'\n"
    );
    let output = podium(&["check"], Some(&config));
    let (code, out, _) = said(&output);
    let sum = "cache.scores 1.0 EiB + cache.vectors 2.0 EiB + cache.answers 64.0 MiB + limits.inspected-memory 512.0 MiB = 3.0 EiB";
    assert_eq!(code, Some(1));
    assert!(out.contains(&format!("memory: TOO LITTLE: {sum} is more than this machine has, ")) && out.contains(": lower what is largest"));
}

#[test]
fn check_says_that_the_cluster_is_not_there() {
    let config = "[upstream]\nnodes = ['http://127.0.0.1:1']\n";
    let output = podium(&["check", "--json"], Some(config));
    let (code, out, _) = said(&output);
    assert_eq!(code, Some(1));
    assert!(out.contains(r#""cluster":{"reached":false"#) && out.contains("check upstream.nodes"), "{out}");
}

#[test]
fn wrong_usage_ends_with_2_and_the_version_with_0() {
    let search = ["explain", "--index", "a"];
    let two_searches = [&search[..], &["--query", "b", "--url-query", "q=b"]].concat();
    let bad_header = [&search[..], &["--query", "b", "--header", "no colon"]].concat();
    for wrong in [&["fly"][..], &["serve", "--confg", "x"], &["serve", "--json"], &search, &two_searches, &[]] {
        let output = podium(wrong, None);
        let (code, out, err) = said(&output);
        assert_eq!((code, out), (Some(2), ""), "{wrong:?}");
        assert!(err.contains("Usage: podium"), "{err}");
    }
    let output = podium(&bad_header, None);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).2.contains("write a name, a colon and a value"));
    let version = concat!("podium ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(said(&podium(&["--version"], None)), (Some(0), version, ""));
}
