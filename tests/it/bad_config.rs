//! What a wrong configuration is answered with: each message as a whole.

use std::{fs, path::Path};

use podium::config::{self, Config, KINDS, parse};

/// The parts of a right file.
pub(crate) const UPSTREAM: &str = "[upstream]\nnodes = ['http://127.0.0.1:9200']\n";
const MODEL: &str = "[models.m]\nsource = './m'\n";
const RULE: &str = "[[rules]]\nindex = ['a']\nmodel = 'm'\nfields = ['title']\n";

pub(crate) fn read(text: &str) -> Result<Config, String> {
    parse(Path::new("p.toml"), text, KINDS).map_err(|problems| problems.to_string())
}

fn problems(text: &str) -> String {
    read(text).expect_err("a wrong file")
}

/// Asserts what is said of a right file with more lines at its end.
pub(crate) fn table(rows: &[(&str, &str)]) {
    for (more, expected) in rows {
        assert_eq!(problems(&format!("{UPSTREAM}{MODEL}{RULE}{more}")), *expected, "{more}");
    }
}

/// Asserts what is said of one key of a rule, on line 6.
fn rule(rows: &[(&str, &str)]) {
    for (key, expected) in rows {
        let start = format!("{UPSTREAM}{MODEL}[[rules]]\n");
        let others = ["index = ['a']", "model = 'm'", "fields = ['title']"];
        let others = others.into_iter().filter(|other| other.split(' ').next() != key.split(' ').next()).collect::<Vec<_>>().join("\n");
        let said = problems(&format!("{start}{key}\n{others}"));
        assert_eq!(said, format!("p.toml:6: rules[0].{expected}"), "{key}");
    }
}

/// Returns the example with the commented defaults in place.
fn whole_example() -> String {
    let written = fs::read_to_string("podium.toml").expect("the example");
    let uncommented = |line: &str| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned();
    written.lines().map(uncommented).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_is_right_and_its_defaults_are_the_defaults() {
    let written = fs::read_to_string("podium.toml").expect("the example");
    let read = |text: &str| format!("{:#?}", read(text).expect("right"));
    assert_eq!(read(&written), read(&whole_example()));
}

#[test]
fn every_key_of_the_example_refuses_a_date() {
    let example = whole_example();
    let lines: Vec<_> = example.lines().collect();
    let keys = lines.iter().enumerate().filter_map(|(number, line)| Some((number, line.split_once(" = ")?.0)));
    let keys: Vec<_> = keys.filter(|(_, key)| !key.starts_with('#')).collect();
    assert!(keys.len() > 20, "{keys:?}");
    for (number, key) in keys {
        let dated = format!("{key} = 1979-05-27");
        let mut changed = lines.clone();
        changed[number] = &dated;
        let said = problems(&changed.join("\n"));
        let named = said
            .lines()
            .any(|problem| problem.starts_with(&format!("p.toml:{}: ", number + 1)) && problem.contains(&format!(".{dated}: must be ")));
        assert!(named, "{said}");
    }
}

#[test]
fn the_smallest_file_has_an_upstream_alone() {
    let config = read(UPSTREAM).expect("right");
    assert_eq!((config.rules.len(), config.models.len(), config.headers), (0, 0, true));
    assert_eq!([config.listener.address, config.admin.address].map(|address| address.to_string()), ["127.0.0.1:9280", "127.0.0.1:9281"]);
}

#[test]
fn a_file_that_cannot_be_read() {
    let problems = config::load(Path::new("/nowhere/p.toml")).expect_err("no file").to_string();
    assert_eq!(
        problems,
        "/nowhere/p.toml: cannot be read: No such file or directory (os error 2); write this file or name another with --config"
    );
}

#[test]
fn a_file_that_is_no_toml() {
    assert_eq!(problems("[upstream]\nnodes = ['http://user:secret@a'\n"), "p.toml:2: unclosed array, expected `]`");
    assert_eq!(problems("[upstream]\nnodes = []\nnodes = []"), "p.toml:3: duplicate key");
    assert_eq!(problems("[upstream]\npassword = hunter2"), "p.toml:2: string values must be quoted, expected literal string");
}

#[test]
fn everything_is_said_at_once() {
    let text = "\
[listener]
adress = '127.0.0.1:1'
idle-timeout = 'soon'
[models.m]
kind = 'bert'
threads = 0
[defaults]
window = 0
model = 'n'
[[rules]]
fields = ['a', '', 3, 'a']
[[rules]]
index = ['a']
model = 'm'
";
    assert_eq!(
        problems(text),
        "p.toml: upstream.nodes: missing; write the addresses of the cluster, such as [\"http://127.0.0.1:9200\"]\n\
             p.toml:2: listener.adress: unknown key; did you mean `address`?\n\
             p.toml:3: listener.idle-timeout = \"soon\": must be a duration from 1ms to 1day, such as \"300ms\" or \"10s\"\n\
             p.toml:4: models.m.source: missing; write a hub name such as \"owner/name\", or a folder such as \"./model\"\n\
             p.toml:5: models.m.kind = \"bert\": must be \"auto\" or \"cross-encoder\" or \"embedding\" or \"qwen3\" or \"remote\"\n\
             p.toml:6: models.m.threads = 0: must be a whole number from 1 to 1024\n\
             p.toml:8: defaults.window = 0: must be a whole number from 1 to 10000\n\
             p.toml:9: defaults.model = \"n\": no model has this name; there are: m\n\
             p.toml:10: rules[0].index: missing; write the indices that the rule is for, such as [\"products*\"]\n\
             p.toml:11: rules[0].fields[1] = \"\": must be a field's name, with dots between its parts and without `*`\n\
             p.toml:11: rules[0].fields[2] = 3: must be a field's name, with dots between its parts and without `*`\n\
             p.toml:11: rules[0].fields[3] = \"a\": stands twice\n\
             p.toml:12: rules[1].fields: missing; write what the model is to read, such as [\"title\", \"description\"]"
    );
}

#[test]
fn unknown_keys() {
    table(&[
        ("windw = 3", "p.toml:9: rules[0].windw: unknown key; did you mean `window`?"),
        ("sticky-preference = true", "p.toml:9: rules[0].sticky-preference: not supported by this version; leave it out"),
        (
            "colour = 'red'",
            "p.toml:9: rules[0].colour: unknown key; known here: index, when, model, instruction, fields, query, trust-client, serve-retrievers, ext-rerank, min-score, window, on-timeout, timeout, total-timeout, fusion, trust, score, annotate, answer-cache, headers",
        ),
        ("[rule]", "p.toml:9: rule: unknown key; did you mean `rules`?"),
        ("[listener.tls]\nkey = 'secret'", "p.toml:9: listener.tls: not supported by this version; leave it out"),
        ("[defaults]\nindex = ['*']", "p.toml:10: defaults.index = […]: belongs to each rule; move it to [[rules]]"),
        ("[limits]\nmax_inspected_body = '1MiB'", "p.toml:10: limits.max_inspected_body: unknown key; did you mean `max-inspected-body`?"),
        (
            "[cache]\n\"a b\" = 1",
            "p.toml:10: cache.\"a b\": unknown key; known here: vectors, vectors-file, scores, answers, scores-scope, page-memory",
        ),
    ]);
}

#[test]
fn values_of_a_wrong_type_or_size() {
    table(&[
        (
            "[listener]\naddress = 'localhost:9280'",
            "p.toml:10: listener.address = \"localhost:9280\": must be an IP address and a port, such as \"127.0.0.1:9280\"",
        ),
        ("[listener]\naddress = 9280", "p.toml:10: listener.address = 9280: must be an IP address and a port, such as \"127.0.0.1:9280\""),
        (
            "[listener]\ndrain-timeout = 10",
            "p.toml:10: listener.drain-timeout = 10: must be a duration from 0s to 1day, such as \"300ms\" or \"10s\"",
        ),
        (
            "[listener]\nheader-timeout = '0s'",
            "p.toml:10: listener.header-timeout = \"0s\": must be a duration from 1ms to 1day, such as \"300ms\" or \"10s\"",
        ),
        (
            "[listener]\nidle-timeout = '3 days'",
            "p.toml:10: listener.idle-timeout = \"3 days\": must be a duration from 1ms to 1day, such as \"300ms\" or \"10s\"",
        ),
        (
            "[listener]\nmax-header-bytes = '1KiB'",
            "p.toml:10: listener.max-header-bytes = \"1KiB\": must be a size from 8.0 KiB to 16.0 MiB, such as \"64MiB\"",
        ),
        (
            "[listener]\nmax-header-bytes = 65536",
            "p.toml:10: listener.max-header-bytes = 65536: must be a size from 8.0 KiB to 16.0 MiB, such as \"64MiB\"",
        ),
        ("[listener]\nmax-connections = -1", "p.toml:10: listener.max-connections = -1: must be a whole number from 1 to 1000000"),
        ("[listener]\nmax-connections = 1.5", "p.toml:10: listener.max-connections = 1.5: must be a whole number from 1 to 1000000"),
        ("[cache]\nvectors = 'much'", "p.toml:10: cache.vectors = \"much\": must be a size from 0 B to 16.0 EiB, such as \"64MiB\""),
        (
            "[limits]\nmax-inspected-body = 0",
            "p.toml:10: limits.max-inspected-body = 0: must be a size from 1.0 KiB to 2.0 GiB, such as \"64MiB\"",
        ),
        ("[defaults]\nwindow = [1, 2]", "p.toml:10: defaults.window = […]: must be a whole number from 1 to 10000"),
        ("[defaults]\nheaders = 'yes'", "p.toml:10: defaults.headers = \"yes\": must be true or false"),
    ]);
    assert_eq!(
        problems(&format!("listener = 3\nrules = 1\nmodels = []\n{UPSTREAM}")),
        "p.toml:1: listener = 3: must be a table\n\
             p.toml:2: rules = 1: must be rules, each under its own [[rules]]\n\
             p.toml:3: models = []: must be tables, each under its own [models.NAME]"
    );
}

#[test]
fn addresses() {
    table(&[
        (
            "[admin]\naddress = '0.0.0.0:9281'",
            "p.toml:10: admin.address = \"0.0.0.0:9281\": must be a loopback address, such as \"127.0.0.1:9281\", or be guarded: write admin.token",
        ),
        (
            "[admin]\naddress = '127.0.0.1:9280'",
            "p.toml:10: admin.address = \"127.0.0.1:9280\": listener and admin must not share port 9280",
        ),
        (
            "[listener]\naddress = '0.0.0.0:9281'",
            "p.toml:10: listener.address = \"0.0.0.0:9281\": listener and admin must not share port 9281",
        ),
    ]);
    let free = "[listener]\naddress = '127.0.0.1:0'\n[admin]\naddress = '127.0.0.1:0'\n";
    assert!(read(&format!("{UPSTREAM}{free}")).is_ok());
}

#[test]
fn nodes() {
    for (nodes, expected) in [
        ("", "p.toml:1: upstream.nodes: missing; write the addresses of the cluster, such as [\"http://127.0.0.1:9200\"]"),
        ("nodes = []", "p.toml:2: upstream.nodes = []: must be an array of addresses, such as [\"http://127.0.0.1:9200\"]"),
        (
            "nodes = 'http://user:secret@a'",
            "p.toml:2: upstream.nodes = \"…\": must be an array of addresses, such as [\"http://127.0.0.1:9200\"]",
        ),
        (
            "nodes = ['http://user:secret@a:9200', 'a:9200']",
            "p.toml:2: upstream.nodes[0]: must not hold a user name or password; a client's own credentials travel unchanged\n\
             p.toml:2: upstream.nodes[1] = \"a:9200\": must be an http or https address, such as \"http://127.0.0.1:9200\"",
        ),
        (
            "nodes = ['http://a/?x=1', 'http://a#b']",
            "p.toml:2: upstream.nodes[0]: must end with the path: no query and no fragment\n\
             p.toml:2: upstream.nodes[1]: must end with the path: no query and no fragment",
        ),
        (
            "nodes = ['ftp://a', 'http://', 'http://:9200', 'http://a:99999', 'http://a b']",
            "p.toml:2: upstream.nodes[0] = \"ftp://a\": must be an http or https address, such as \"http://127.0.0.1:9200\"\n\
             p.toml:2: upstream.nodes[1] = \"http://\": must be an http or https address, such as \"http://127.0.0.1:9200\"\n\
             p.toml:2: upstream.nodes[2] = \"http://:9200\": must be an http or https address, such as \"http://127.0.0.1:9200\"\n\
             p.toml:2: upstream.nodes[3] = \"http://a:99999\": must be an http or https address, such as \"http://127.0.0.1:9200\"\n\
             p.toml:2: upstream.nodes[4] = \"http://a b\": must be an http or https address, such as \"http://127.0.0.1:9200\"",
        ),
        ("nodes = [{ url = 'http://a' }]", "p.toml:2: upstream.nodes[0] = {…}: must be a string"),
        ("nodes = ['http://a', 'http://a/']", "p.toml:2: upstream.nodes[1] = \"http://a/\": stands twice"),
    ] {
        assert_eq!(problems(&format!("[upstream]\n{nodes}")), expected, "{nodes}");
    }
}

#[test]
fn credentials_are_a_user_with_a_password_or_a_key() {
    let remedy = "must be a user and its password, such as { user = \"podium\", password = { env = \"PODIUM_PASSWORD\" } }, or an api-key";
    for (written, expected) in [
        ("credentials = 'secret'", format!("p.toml:3: upstream.credentials: {remedy}")),
        ("credentials = {}", format!("p.toml:3: upstream.credentials: {remedy}")),
        ("credentials = { user = 'podium' }", format!("p.toml:3: upstream.credentials: {remedy}")),
        ("credentials = { password = 'secret' }", format!("p.toml:3: upstream.credentials: {remedy}")),
        ("credentials = { user = 'podium', password = 'secret', api-key = 'secret' }", format!("p.toml:3: upstream.credentials: {remedy}")),
        (
            "credentials = { user = 'a:b', password = 'secret' }",
            "p.toml:3: upstream.credentials.user = \"a:b\": must hold no colon and no control characters".to_owned(),
        ),
        (
            "credentials = { api-key = 7 }",
            "p.toml:3: upstream.credentials.api-key: must be a string, { env = \"NAME\" } or { file = \"path\" }".to_owned(),
        ),
        (
            "credentials = { api-key = 'secret', token = 'secret' }",
            "p.toml:3: upstream.credentials.token: unknown key; known here: user, password, api-key".to_owned(),
        ),
    ] {
        assert_eq!(problems(&format!("{UPSTREAM}{written}")), expected, "{written}");
    }
    for right in ["credentials = { user = 'podium', password = { env = 'P' } }", "credentials.api-key = { file = './key' }"] {
        assert!(read(&format!("{UPSTREAM}{right}")).is_ok(), "{right}");
    }
}

#[test]
fn a_file_of_vectors_needs_a_cache_of_vectors() {
    let expected = "p.toml:11: cache.vectors-file = \"v.bin\": would be read into nothing: cache.vectors is 0; leave one of the two out";
    table(&[
        ("[cache]\nvectors = 0\nvectors-file = 'v.bin'", expected),
        ("[cache]\nvectors-file = ''", "p.toml:10: cache.vectors-file = \"\": must be a string that is not empty"),
    ]);
    let config = read(&format!("{UPSTREAM}[cache]\nvectors-file = './v.bin'")).expect("right");
    assert_eq!(config.cache.vectors_file.as_deref(), Some(Path::new("./v.bin")));
}

#[test]
fn nodes_are_kept_as_written() {
    let config = read("[upstream]\nnodes = ['http://a:9200', 'https://B.example/es/', 'http://[::1]:9200/a/b']").expect("right");
    let nodes = config.upstream.nodes.iter().map(|node| (node.tls, node.authority.as_str(), node.prefix.as_str()));
    assert!(nodes.eq([(false, "a:9200", ""), (true, "B.example", "/es"), (false, "[::1]:9200", "/a/b")]));
}

#[test]
fn rules() {
    rule(&[
        ("instruction = ''", "instruction = \"\": must be a string that is not empty"),
        ("index = 'a'", "index = \"a\": must be an array of names and patterns, such as [\"products*\"]"),
        ("index = []", "index = []: must be an array of names and patterns, such as [\"products*\"]"),
        ("index = ['a', 'a']", "index[1] = \"a\": stands twice"),
        ("index = ['a,b']", "index[0] = \"a,b\": must be one name or pattern, without commas and spaces"),
        ("index = ['*', '-']", "index[1] = \"-\": must be one name or pattern, without commas and spaces"),
        ("index = ['-a']", "index = […]: only leaves indices out; write what the rule is for, such as [\"*\", \"-internal\"]"),
        ("index = ['*', '_all']", "index[1] = \"_all\": stands twice"),
        ("model = 'n'", "model = \"n\": no model has this name; there are: m"),
        ("model = 3", "model = 3: must be a string that is not empty"),
        ("fields = []", "fields = []: must be an array of fields, such as [\"title\", \"description\"]"),
        ("fields = ['title', { name = 'title', label = 'T' }]", "fields[1] = {…}: stands twice"),
        ("fields = ['ti*']", "fields[0] = \"ti*\": must be a field's name, with dots between its parts and without `*`"),
        ("fields = ['a..b']", "fields[0] = \"a..b\": must be a field's name, with dots between its parts and without `*`"),
        ("fields = [{ label = 'T' }]", "fields[0].name: missing; write the field's name, such as \"title\""),
        ("fields = [{ name = 'a', boost = 2 }]", "fields[0].boost: unknown key; known here: name, label, max-tokens"),
        ("fields = [{ name = 'a', max-tokens = 0 }]", "fields[0].max-tokens = 0: must be a whole number from 1 to 131072"),
        ("when = { header = { 'a b' = 'x' } }", "when.header.\"a b\" = \"x\": this name cannot occur in a request"),
        ("when = { header = { X-A = 'x', x-a = 'y' } }", "when.header.x-a = \"y\": stands twice: case makes no difference"),
        ("when = { header = { x-a = 3 } }", "when.header.x-a = 3: must be a string"),
        ("when = { headers = { x-a = 'x' } }", "when.headers: unknown key; did you mean `header`?"),
        ("query = 'auto'", "query = \"auto\": must be a table"),
        ("query = { from = 'body' }", "query.from = \"body\": must be \"auto\""),
        ("query = { pointer = 'ext/q' }", "query.pointer = \"ext/q\": must be a JSON pointer (RFC 6901), such as \"/ext/q\""),
        ("query = { pointer = '/a~b' }", "query.pointer = \"/a~b\": must be a JSON pointer (RFC 6901), such as \"/ext/q\""),
        ("query = { pointer = '/a', url-param = 'q' }", "query = {…}: takes one of `from`, `pointer`, `url-param` and `template-param`"),
        ("query = { several = 'first' }", "query.several = \"first\": must be \"common\" or \"longest\" or \"join\" or \"bypass\""),
        ("query = { template-param = '' }", "query.template-param = \"\": must be a string that is not empty"),
        ("window = 10001", "window = 10001: must be a whole number from 1 to 10000"),
        (
            "window = { min = 200, max = 100 }",
            "window = {…}: min is 200 and max is 100: 200 > 100, so that no window fits; write a min of 100 or less",
        ),
        ("window = { min = 0, max = 100 }", "window.min = 0: must be a whole number from 1 to 10000"),
        ("window = { max = 100 }", "window.min: missing; write the fewest hits that are worth reranking, such as 20"),
        ("on-timeout = 'wait'", "on-timeout = \"wait\": must be \"engine-order\" or \"partial\""),
        ("timeout = '0s'", "timeout = \"0s\": must be a duration from 1ms to 1day, such as \"300ms\" or \"10s\""),
        ("fusion = 'adaptive'", "fusion = \"adaptive\": must be a table, such as { kind = \"adaptive\" }"),
        ("fusion = { kind = 'sum' }", "fusion.kind = \"sum\": must be \"adaptive\" or \"weighted\" or \"replace\" or \"rrf\""),
        ("fusion = { weight = 0.5 }", "fusion.kind: missing; write kind = \"adaptive\" or another"),
        ("fusion = { kind = 'weighted', weight = 1.5 }", "fusion.weight = 1.5: must be a number from 0 to 1"),
        ("fusion = { kind = 'rrf', weight = 0.5 }", "fusion.weight = 0.5: only weighted fusion has a weight"),
        ("trust = nan", "trust = nan: must be a number from 0 to 1"),
        ("score = 'drop'", "score = \"drop\": must be \"replace\" or \"keep\""),
        ("annotate = 1", "annotate = 1: must be true or false"),
        ("trust-client = 'yes'", "trust-client = \"yes\": must be true or false"),
        ("serve-retrievers = 1", "serve-retrievers = 1: must be true or false"),
        ("ext-rerank = true", "ext-rerank = true: must be \"forward\" or \"serve\""),
        ("min-score = 1.5", "min-score = 1.5: must be a number from 0 to 1"),
    ]);
}

#[test]
fn what_a_rule_lacks() {
    assert_eq!(
        problems(&format!("{UPSTREAM}{MODEL}[[rules]]")),
        "p.toml:5: rules[0].index: missing; write the indices that the rule is for, such as [\"products*\"]\n\
             p.toml:5: rules[0].model: missing; write the name of a model of this file\n\
             p.toml:5: rules[0].fields: missing; write what the model is to read, such as [\"title\", \"description\"]"
    );
    assert_eq!(
        problems(&format!("{UPSTREAM}{RULE}")),
        "p.toml:5: rules[0].model = \"m\": no model has this name; describe it under [models.NAME]"
    );
    assert_eq!(
        problems(&format!("{UPSTREAM}{RULE}{RULE}[models.a]\nsource = 'a/b'\n[models.b]\nsource = 'b'\n")),
        "p.toml:5: rules[0].model = \"m\": no model has this name; there are: a, b\n\
             p.toml:9: rules[1].model = \"m\": no model has this name; there are: a, b"
    );
}

#[test]
fn a_wrong_default_is_said_once() {
    let rule = "[[rules]]\nindex = ['a']\n";
    assert_eq!(
        problems(&format!("{UPSTREAM}[defaults]\nmodel = 'm'\nfields = 'title'\n{rule}{rule}")),
        "p.toml:4: defaults.model = \"m\": no model has this name; describe it under [models.NAME]\n\
             p.toml:5: defaults.fields = \"title\": must be an array of fields, such as [\"title\", \"description\"]"
    );
}

#[test]
fn a_window_that_no_queue_takes_is_refused() {
    let model = "[models.m]\nsource = './m'\nmax-queue = 99\n";
    let never = "a window of this rule never fits into its model's max-queue of 99; lower it or raise max-queue";
    assert_eq!(problems(&format!("{UPSTREAM}{model}{RULE}window = 100")), format!("p.toml:10: rules[0].window = 100: {never}"));
    assert!(problems(&format!("{UPSTREAM}{model}{RULE}")).ends_with(never), "the default window as well");
    assert!(read(&format!("{UPSTREAM}{model}{RULE}window = 99")).is_ok());
}

#[test]
fn a_rule_overrides_the_defaults() {
    let defaults = "[defaults]\nwindow = 50\ntimeout = '1s'\nheaders = false\nfusion = { kind = 'weighted' }\nfields = ['x']\n";
    let config = read(&format!("{UPSTREAM}{MODEL}{RULE}window = 0x1_4\ntrust = 1\n{defaults}")).expect("right");
    let rule = &config.rules[0];
    assert_eq!((rule.window, rule.timeout.as_millis(), rule.headers, config.headers), (20, 1000, false, false));
    assert_eq!((rule.fusion, rule.trust), (Some(config::Fusion::Weighted { weight: 0.5 }), Some(1.0)));
    assert_eq!(&*rule.fields[0].name, "title");
}

#[test]
fn no_secret_is_printed() {
    for text in [
        "[upstream]\nnodes = ['http://user:canary@a', 3]",
        "[upstream]\nnodes = 'http://user:canary@a'",
        "[upstream]\nnodes = ['http://a/?token=canary']",
        "[upstream]\nnodes = ['http://user:canary@a'",
        "[upstream]\nnodes = { a = 'http://user:canary@a' }",
        "[admin]\ntoken = 'canary'\naddress = 3",
        "[admin]\ntoken = ['canary']",
        "[admin]\ntoken = { env = '', file = 'canary' }",
        "[models.m]\nkind = 'remote'\ntoken = 'canary'",
        "[upstream]\npassword = 'canary'",
        "[models.m]\nsource = 'https://user:canary@hub/m'",
    ] {
        let problems = parse(Path::new("p.toml"), text, KINDS).expect_err("a wrong file");
        assert!(!format!("{problems} {problems:?}").contains("canary"), "{text}");
    }
}
