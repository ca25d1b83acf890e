//! The command line of the binary: what it prints where, and its exit codes.

use std::{
    fs,
    process::{Command, Output},
};

const WRONG: &str = "[upstream]\nnodes = []\n[admin]\ntoken = 'canary'\n";

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
                    podium.toml:4: admin.token: not supported by this version; leave it out\n";
    for command in ["serve", "check"] {
        assert_eq!(said(&podium(&[command], Some(WRONG))), (Some(2), "", expected), "{command}");
    }
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
        r#"{"path":"admin.token","line":4,"value":null,"remedy":"not supported by this version; leave it out"}]}"#,
        "\n",
    );
    assert_eq!(said(&output), (Some(2), expected, ""));
}

#[test]
fn a_right_configuration_is_fine() {
    let example = fs::read_to_string("podium.toml").expect("the example");
    let fine = "podium.toml: 1 node, 1 model, 1 rule, no problems\n";
    assert_eq!(said(&podium(&["check"], Some(&example))), (Some(0), fine, ""));
    let report = "{\"file\":\"podium.toml\",\"problems\":[]}\n";
    assert_eq!(said(&podium(&["check", "--json"], Some(&example))), (Some(0), report, ""));
}

#[test]
fn wrong_usage_ends_with_2_and_the_version_with_0() {
    for wrong in [&["fly"][..], &["serve", "--confg", "x"], &["serve", "--json"], &[]] {
        let output = podium(wrong, None);
        let (code, out, err) = said(&output);
        assert_eq!((code, out), (Some(2), ""), "{wrong:?}");
        assert!(err.contains("Usage: podium"), "{err}");
    }
    let version = concat!("podium ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(said(&podium(&["--version"], None)), (Some(0), version, ""));
}
