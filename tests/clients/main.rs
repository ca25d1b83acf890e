//! The official clients of both products, unchanged: one scenario in each language, direct and through Podium, compared by operation.
//!
//! The programs beside this file print what the client made of each answer, so that what is compared is what a program would see.

mod compare;
#[cfg(feature = "demo")]
mod embedded;
mod programs;
#[path = "../engines/rig/mod.rs"]
#[allow(dead_code, reason = "the tests on real engines need more of it")]
mod rig;

use self::{
    compare::{Scenario, differing, without_scores},
    programs::{Language, Program},
    rig::{
        engines::{Engine, on_each, say, skip},
        gateway::{Gateway, status_of},
    },
};

/// What all gateways here share; the model `identity` keeps every order, `reverse` turns every window round.
const MODELS: &str = r#"
[models.identity]
kind = "fake-identity"
[models.reverse]
kind = "fake-reverse"

[defaults]
fields = ["title"]
window = 50
timeout = "30s"
total-timeout = "60s"
fusion = { kind = "replace" }

[[rules]]
"#;
const NO_RULE: &str = "index = ['nothing-has-this-name']\nmodel = 'reverse'\n";
const SAME_ORDER: &str = "index = ['clients-*']\nmodel = 'identity'\nscore = 'keep'\n";
const TURNED_ROUND: &str = "index = ['clients-*']\nmodel = 'reverse'\n";

#[test]
fn python() {
    unchanged(Language::Python);
}

#[test]
fn javascript() {
    unchanged(Language::JavaScript);
}

#[test]
fn rust() {
    unchanged(Language::Rust);
}

#[test]
fn go() {
    unchanged(Language::Go);
}

#[test]
fn java() {
    unchanged(Language::Java);
}

/// Runs a language's scenario on each engine: direct, where nothing may differ, and where exactly the order of ranked hits must.
fn unchanged(language: Language) {
    let program = match programs::ready(language) {
        Ok(program) => program,
        Err(missing) => return skip(&format!("the clients for {} need what is not here: {missing}", language.name())),
    };
    on_each(|engine| {
        let direct = run(&program, engine, None);
        direct.check(engine.product);
        let mut differences = Vec::new();
        let untouched = run(&program, engine, Some(NO_RULE));
        differences.extend(differing("no rule", &direct, &untouched));
        let same = run(&program, engine, Some(SAME_ORDER));
        differences.extend(differing("the same order", &direct, &same));
        let reranked = without_scores(run(&program, engine, Some(TURNED_ROUND)));
        let (expected, count) = without_scores(direct.clone()).turned_round(&reranked);
        differences.extend(differing("reranked", &expected, &reranked));
        let operations = direct.len();
        let found = differences.len();
        let client = format!("{} for {}", engine.product.name(), language.name());
        say(&format!("{client}: {operations} operations compared three times, {found} differing; {count} came back reranked"));
        let texts: Vec<_> = differences.into_iter().map(|difference| difference.text).collect();
        assert!(texts.is_empty(), "{client}:\n{}", texts.join("\n"));
    });
}

/// Runs the scenario directly, or through a gateway with this rule, which is seen to be at work first.
fn run(program: &Program, engine: &Engine, rule: Option<&str>) -> Scenario {
    let index = format!("clients-{}", program.language.name());
    let Some(rule) = rule else {
        return program.run(engine.address, engine.product, &index);
    };
    let gateway = Gateway::start(engine, &format!("{MODELS}{rule}"));
    let shoes = ["1", "2"].map(|id| (id, r#"{"title":"shoe"}"#.to_owned()));
    engine.fill(&index, "{}", shoes);
    let found = gateway.call("GET", &format!("/{index}/_search?q=title:shoe"), "");
    assert_eq!(status_of(&found).starts_with("reranked"), rule != NO_RULE, "{}: {}", status_of(&found), found.text());
    program.run(gateway.address, engine.product, &index)
}
