//! From the file as written to the configuration as used: what keys mean together, and `[defaults]` under each rule.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use toml::de::DeTable;

use super::{
    Admin, Config, ExtRerank, Kind, Model, OnTimeout, Problems, QueryFrom, QueryText, Rule, ScorePolicy, Several, When,
    raw::{RawFile, loopback},
    raw_rule::{RawRule, Window},
    reader::{Findings, Reported, Table},
};

/// Returns what `text`, the content of `file`, configures; `kinds` are the kinds of models that there are.
///
/// # Errors
/// All that is wrong with it, at once; where it is no TOML, the first thing that is.
pub fn parse(file: &Path, text: &str, kinds: &[Kind]) -> Result<Config, Problems> {
    // Only the message is kept: the error's own print shows the line, which may hold a secret.
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map(|span| Findings::line(text, &span));
        Problems::of_file(file, line, error.message().to_owned())
    })?;
    let findings = Findings::new(text);
    let config = Table::root(table.into_inner(), &findings, |root| validate(RawFile::read(root, kinds)));
    let problems = findings.into_problems();
    if problems.is_empty() { Ok(config) } else { Err(Problems::new(file, problems)) }
}

/// Returns the configuration, which is to be used only if no problem was written down.
fn validate(raw: RawFile<'_>) -> Config {
    check_addresses(&raw);
    check_answers(&raw);
    let models: BTreeMap<_, _> = raw.models.into_iter().map(|model| (model.name.clone(), Arc::new(model))).collect();
    let rules = raw.rules.into_iter().enumerate();
    let rules = rules.filter_map(|(number, written)| rule(number, written, &raw.defaults, &models).ok());
    Config {
        rules: rules.map(Arc::new).collect(),
        listener: raw.listener,
        admin: Admin { address: raw.admin_address.or(loopback(9281)), token: raw.admin_token.optional() },
        upstream: raw.upstream,
        limits: raw.limits,
        cache: raw.cache,
        models,
        headers: raw.defaults.headers.or(true),
    }
}

const DEFAULT_WINDOW: Window = Window { least: None, most: 100 };

fn check_addresses(raw: &RawFile<'_>) {
    let [listener, admin] =
        [(&raw.listener_address, 9280), (&raw.admin_address, 9281)].map(|(address, port)| address.get().copied().unwrap_or(loopback(port)));
    if !admin.ip().is_loopback() && !raw.admin_token.is_given() {
        raw.admin_address.refuse("must be a loopback address, such as \"127.0.0.1:9281\", or be guarded: write admin.token");
    }
    let shared = listener.port() == admin.port() && listener.port() != 0;
    if shared && (listener.ip() == admin.ip() || listener.ip().is_unspecified()) {
        let moved = if raw.admin_address.is_given() { &raw.admin_address } else { &raw.listener_address };
        moved.refuse(format!("listener and admin must not share port {}", listener.port()));
    }
}

fn check_answers(raw: &RawFile<'_>) {
    let is_kept = |rule: &&RawRule<'_>| rule.answer_cache.get().is_some_and(|time| !time.is_zero());
    for rule in raw.rules.iter().chain([&raw.defaults]).filter(|rule| raw.cache.answers == 0 && is_kept(rule)) {
        rule.answer_cache.refuse("cache.answers is 0, so that no answer is kept; raise it or leave this out");
    }
}

fn rule(number: usize, written: RawRule<'_>, defaults: &RawRule<'_>, models: &BTreeMap<Arc<str>, Arc<Model>>) -> Result<Rule, Reported> {
    let (timeout, total_timeout) = budgets(&written, defaults);
    let index = written.index.required("write the indices that the rule is for, such as [\"products*\"]");
    let model = written.model.or_given(&defaults.model);
    if let Some(name) = model.get()
        && !models.contains_key(name.as_str())
    {
        model.refuse(unknown_model(models));
    }
    let model = model.required("write the name of a model of this file");
    let fields =
        written.fields.or_given(&defaults.fields).required("write what the model is to read, such as [\"title\", \"description\"]");
    let window = written.window.or_given(&defaults.window);
    if let Some(most) = model.as_ref().ok().and_then(|name| models.get(name.as_str())).map(|model| model.max_queue)
        && window.get().copied().unwrap_or(DEFAULT_WINDOW).most as usize > most
    {
        window.refuse(format!("a window of this rule never fits into its model's max-queue of {most}; lower it or raise max-queue"));
    }
    let default_query = QueryText { from: QueryFrom::Auto, several: Several::Common, filters: false };
    let (index, model, fields) = (index?, model?, fields?);
    let window = window.or(DEFAULT_WINDOW);
    Ok(Rule {
        number,
        index: index.taken,
        not_index: index.left,
        when: written.when.or_given(&defaults.when).or(When::default()),
        model: Arc::from(model),
        instruction: written.instruction.or_given(&defaults.instruction).optional().map(Arc::from),
        fields,
        query: written.query.or_given(&defaults.query).or(default_query),
        trust_client: written.trust_client.or_given(&defaults.trust_client).or(false),
        serve_retrievers: written.serve_retrievers.or_given(&defaults.serve_retrievers).or(false),
        ext_rerank: written.ext_rerank.or_given(&defaults.ext_rerank).or(ExtRerank::Forward),
        min_score: written.min_score.or_given(&defaults.min_score).optional(),
        window: window.most as usize,
        least_window: window.least.map(|least| least as usize),
        on_timeout: written.on_timeout.or_given(&defaults.on_timeout).or(OnTimeout::EngineOrder),
        timeout,
        total_timeout,
        fusion: written.fusion.or_given(&defaults.fusion).optional(),
        trust: written.trust.or_given(&defaults.trust).optional(),
        score: written.score.or_given(&defaults.score).or(ScorePolicy::Replace),
        annotate: written.annotate.or_given(&defaults.annotate).or(false),
        answer_cache: written.answer_cache.or_given(&defaults.answer_cache).optional().filter(|time| !time.is_zero()),
        headers: written.headers.or_given(&defaults.headers).or(true),
    })
}

/// Returns `timeout` and `total-timeout`.
fn budgets(written: &RawRule<'_>, defaults: &RawRule<'_>) -> (Duration, Duration) {
    let timeout = written.timeout.clone().or_given(&defaults.timeout);
    let total = written.total_timeout.clone().or_given(&defaults.total_timeout);
    if let (Some(part), Some(whole)) = (timeout.get(), total.get())
        && part > whole
    {
        let [shown_part, shown_whole] = [part, whole].map(|time| humantime::format_duration(*time));
        total.refuse(format!(
            "the engine and reranking together ({shown_whole}) get less than reranking alone (timeout, {shown_part}), which never gets that much; write a total-timeout of {shown_part} and what the engine takes"
        ));
    }
    (timeout.or(Duration::from_millis(300)), total.or(Duration::from_secs(5)))
}

fn unknown_model(models: &BTreeMap<Arc<str>, Arc<Model>>) -> String {
    let names: Vec<_> = models.keys().map(AsRef::as_ref).collect();
    if names.is_empty() {
        "no model has this name; describe it under [models.NAME]".to_owned()
    } else {
        format!("no model has this name; there are: {}", names.join(", "))
    }
}
