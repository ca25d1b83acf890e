//! Searches that others wrote, and a variation of every other, on a real engine: directly twice, so that what the engine itself does not
//! repeat is left out by evidence; through Podium without a rule; with a model that leaves the order, which must give the engine's
//! bytes; and with a model that turns the window round, which must give the engine's hits.

mod variations;

use std::{collections::BTreeMap, net::SocketAddr, ops::Range, sync::Arc};

use serde_json::{Map, Value, json};

use crate::{
    comparator::{Answer, Promise, Reranked, compare, compare_items},
    corpus::{self, Written, say},
    difference::Difference,
    generated::{Index, Needs, PRICE, indices},
    golden::gateway,
    page::{PageAsked, from_the_first, widens, window_of},
    raw,
    rig::engines::{Engine, Product, on},
    support::http::Call,
};

const WINDOW: usize = 20;
const SIDE_BY_SIDE: usize = 3;
/// Hits that a search must have to count.
const ENOUGH: u64 = 10;
/// Searches that must have been compared, reranked and untouched each.
const GOAL: usize = 400;
/// Differences that are shown.
const SHOWN: usize = 12;

/// A search as it is sent.
#[derive(Clone, Debug)]
struct Search {
    product: Product,
    name: String,
    method: String,
    target: String,
    body: String,
}

/// Where answers come from.
#[derive(Clone, Copy)]
struct Addresses {
    engine: SocketAddr,
    gateway: SocketAddr,
}

/// What came of comparing.
#[derive(Clone, Debug, Default)]
struct Tally {
    searches: usize,
    /// Searches whose two direct answers differ.
    noise: Vec<String>,
    /// Searches that the engine refuses, and those with too few hits: compared, not counted.
    refused: usize,
    few: usize,
    untouched: usize,
    reranked: usize,
    /// Answers of a model that leaves the order.
    same: usize,
    /// Searches whose filtered `_source` Elasticsearch prints in another way beside `fields`: see the fact below.
    otherwise: usize,
    /// Multi searches of two of the searches, and their items that were reranked.
    bundles: usize,
    reranked_items: usize,
    bytes: usize,
    /// How often Podium said what.
    said: BTreeMap<String, usize>,
    failures: Vec<String>,
}

#[test]
fn opensearch_gives_the_same_directly_and_through() {
    on(Product::OpenSearch, compare_on);
}

#[test]
fn elasticsearch_gives_the_same_directly_and_through() {
    on(Product::Elasticsearch, compare_on);
}

fn compare_on(engine: &Engine) {
    let written: Vec<Written> = corpus::requests().into_iter().chain(corpus::rally()).filter(is_search).collect();
    if written.is_empty() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let tally = runtime.block_on(run(engine, &written));
    say(&tally.report(&format!("{:?}", engine.product)));
    assert_eq!(tally.failures.iter().take(SHOWN).collect::<Vec<_>>(), [""; 0], "{} in all", tally.failures.len());
    assert!(tally.reranked >= GOAL && tally.untouched >= GOAL, "{} reranked, {} untouched", tally.reranked, tally.untouched);
    assert!(tally.noise.len() * 20 <= tally.searches, "too much noise: {:?}", tally.noise);
}

/// Whether it is a search of indices by its path; what it names is replaced by a generated index.
fn is_search(written: &Written) -> bool {
    let path = written.target.split('?').next().unwrap_or_default().trim_end_matches('/');
    path.split('/').skip(1).collect::<Vec<_>>().iter().rev().take(2).next() == Some(&"_search") && path.matches('/').count() <= 2
}

async fn run(engine: &Engine, written: &[Written]) -> Tally {
    let (product, engine) = (engine.product, engine.address);
    let body = |own: &Written| serde_json::from_str(&own.body).unwrap_or(Value::Null);
    let indices = indices(written.iter().map(|own| Needs::of(&body(own))));
    for index in &indices {
        fill(engine, index).await;
    }
    let addresses = Addresses { engine, gateway: gateway(engine, &rules(&indices)).await };
    let searches = Arc::new(in_turn(indices.iter().map(|index| searches_of(product, index, written)).collect()));
    let workers = (0..SIDE_BY_SIDE).map(|worker| {
        let own = Arc::clone(&searches);
        tokio::spawn(async move {
            let mut tally = Tally::default();
            let mut before = None;
            for search in own.iter().skip(worker).step_by(SIDE_BY_SIDE) {
                let Some(wide) = search.compare(addresses, &mut tally).await.filter(|_| search.may_be_bundled()) else { continue };
                match before.take() {
                    None => before = Some((search, wide)),
                    Some(first) if first.0.index() == search.index() => before = Some((search, wide)),
                    Some(first) => compare_bundle([first, (search, wide)], addresses, &mut tally).await,
                }
            }
            tally
        })
    });
    let workers: Vec<_> = workers.collect();
    let mut whole = Tally::default();
    for worker in workers {
        whole.add(worker.await.unwrap());
    }
    whole
}

/// Returns a search of each index, then another of each, and so on: at one time, and in one multi search, no two may have the same query
/// and the same hits, because what the model says of them is computed once, and this model says where a hit stood.
fn in_turn(of_indices: Vec<Vec<Search>>) -> Vec<Search> {
    let mut rest: Vec<_> = of_indices.into_iter().map(Vec::into_iter).collect();
    let mut searches = Vec::new();
    loop {
        let before = searches.len();
        searches.extend(rest.iter_mut().filter_map(Iterator::next));
        if searches.len() == before {
            return searches;
        }
    }
}

fn searches_of(product: Product, index: &Index, written: &[Written]) -> Vec<Search> {
    let both = index.serves.iter().flat_map(|(number, _)| {
        let own = &written[*number];
        let query = own.target.split_once('?').map_or(String::new(), |(_, query)| format!("?{query}"));
        let (name, method, body) = (own.name.clone(), own.method.clone(), own.body.clone());
        let as_written = Search { product, name, method, target: format!("/{}/_search{query}", index.name), body };
        let ours = number.is_multiple_of(2).then(|| variations::variation(product, index, *number));
        [as_written].into_iter().chain(ours)
    });
    both.collect()
}

/// Compares two searches as the items of one multi search.
async fn compare_bundle(pair: [(&Search, Option<(Wide, String)>); 2], addresses: Addresses, tally: &mut Tally) {
    let line = |search: &Search| format!("{{\"index\":\"{}\"}}\n{}\n", search.index(), search.body);
    let lines = pair.iter().map(|(search, _)| line(search)).collect::<String>();
    let call = Call::post("/_msearch", lines).with("content-type", "application/x-ndjson");
    let direct = Answer::of(&call.send(addresses.engine).await);
    let through = async |rules: &str| Answer::of(&call.clone().with("x-rules", rules).send(addresses.gateway).await);
    let (none, same, reverse) = (through("none").await, through("same").await, through("reverse").await);
    tally.bundles += 1;
    tally.bytes += [&direct, &none, &same, &reverse].map(|answer| answer.body.len()).iter().sum::<usize>();
    let (first, second) = (item(pair[0].1.as_ref()), item(pair[1].1.as_ref()));
    tally.reranked_items += first.1 + second.1;
    let untouched = [Promise::Untouched, Promise::Untouched];
    for (what, answer, promises) in [("none", &none, &untouched), ("same", &same, &untouched), ("reverse", &reverse, &[first.0, second.0])]
    {
        let found = compare_items(&direct, answer, promises);
        if !found.is_empty() {
            let few: Vec<_> = found.iter().take(4).collect();
            tally.failures.push(format!("multi search, {what}: {few:?} {} {}", line(pair[0].0), line(pair[1].0)));
        }
    }
}

/// Returns what is promised of an item that is reranked so alone, and how many items that makes.
fn item(wide: Option<&(Wide, String)>) -> (Promise<'_>, usize) {
    wide.map_or((Promise::Untouched, 0), |(own, status)| (Promise::Reranked(own.promise(status)), 1))
}

/// Makes an index anew.
async fn fill(engine: SocketAddr, index: &Index) {
    let target = format!("/{}", index.name);
    Call::get(&target).by(http::Method::DELETE).send(engine).await;
    let mut definition = index.definition();
    loop {
        let made = Call::post(&target, definition.to_string()).by(http::Method::PUT).send(engine).await;
        if made.status == 200 {
            break;
        }
        // The engines here lack some modules: what they do not know is not indexed.
        let text = made.text();
        let unknown = ["type [", "handler for type ["].iter().find_map(|mark| text.split_once(mark)?.1.split_once(']'));
        let unknown = unknown.unwrap_or_else(|| panic!("{definition}: {text}")).0.to_owned();
        assert!(drop_type(&mut definition, &unknown), "{definition}: {text}");
    }
    let bulk = Call::post("/_bulk?refresh=true", index.lines()).with("content-type", "application/x-ndjson");
    let filled = bulk.send(engine).await;
    assert_eq!(filled.status, 200, "{}", filled.text());
    let answer: Value = serde_json::from_str(&filled.text()).unwrap();
    let refused = answer["items"].as_array().into_iter().flatten().filter(|item| item["index"]["status"].as_u64() != Some(201));
    let reasons: Vec<String> = refused.map(|item| item["index"]["error"].to_string()).collect();
    if let Some(reason) = reasons.first() {
        say(&format!("{}: {} documents refused, the first: {}", index.name, reasons.len(), &reason[..reason.len().min(300)]));
    }
}

/// Maps every field of this type as something that is not indexed; returns whether there was one.
fn drop_type(definition: &mut Value, unknown: &str) -> bool {
    if definition.get("type").is_some_and(|own| own == unknown) {
        *definition = json!({"type": "object", "enabled": false});
        return true;
    }
    let inner: Vec<&mut Value> = definition.as_object_mut().into_iter().flat_map(Map::values_mut).collect();
    inner.into_iter().filter_map(|value| drop_type(value, unknown).then_some(())).count() > 0
}

fn rules(indices: &[Index]) -> String {
    let rule = |index: &Index, model: &str, score: &str| {
        let Index { name, reads, .. } = index;
        format!(
            "[[rules]]\nindex = ['{name}']\nwhen = {{ header = {{ x-rules = '{model}' }} }}\nmodel = '{model}'\nfields = ['{reads}']\nscore = '{score}'\n"
        )
    };
    let all: String = indices.iter().map(|index| rule(index, "reverse", "replace") + &rule(index, "same", "keep")).collect();
    format!(
        "[models.reverse]\nkind = 'fake-reverse'\n[models.same]\nkind = 'fake-identity'\n\
         [defaults]\nwindow = {WINDOW}\ntimeout = '30s'\ntotal-timeout = '60s'\nfusion = {{ kind = 'replace' }}\n{all}"
    )
}

// === impl Search ===

impl Search {
    fn index(&self) -> &str {
        self.target.split('/').nth(1).unwrap_or_default()
    }

    fn call(&self, target: &str) -> Call {
        let call = if self.body.is_empty() { Call::get(target) } else { Call::post(target, self.body.as_str()) };
        call.by(self.method.parse().unwrap())
    }

    /// Compares all its answers; returns how it was reranked, if it was, unless it is noise or refused.
    async fn compare(&self, addresses: Addresses, tally: &mut Tally) -> Option<Option<(Wide, String)>> {
        let Addresses { engine, gateway } = addresses;
        let call = self.call(&self.target);
        let (direct, again) = (Answer::of(&call.send(engine).await), Answer::of(&call.send(engine).await));
        tally.searches += 1;
        if !compare(&direct, &again, &Promise::Untouched).is_empty() {
            tally.noise.push(self.name.clone());
            return None;
        }
        let through = async |rules: &str| Answer::of(&call.clone().with("x-rules", rules).send(gateway).await);
        let (none, same, reverse) = (through("none").await, through("same").await, through("reverse").await);
        tally.bytes += [&direct, &none, &same, &reverse].map(|answer| answer.body.len()).iter().sum::<usize>();
        let status = reverse.header("rerank-status").to_owned();
        let mut as_reranked = direct.clone();
        let is_reranked = |answer: &Answer| window_of(answer.header("rerank-status")).is_some();
        if self.filters_source() && (is_reranked(&same) || is_reranked(&reverse)) {
            as_reranked.set_body(&self.beside_fields(engine, &self.target, direct.text().unwrap_or_default()).await);
            tally.otherwise += usize::from(as_reranked.body != direct.body);
        }
        let promised = |answer: &Answer| if is_reranked(answer) { &as_reranked } else { &direct };
        let wide = self.wide(engine, window_of(&status), &as_reranked).await;
        let promise = wide.as_ref().map_or(Promise::Untouched, |wide| Promise::Reranked(wide.promise(&status)));
        self.tell(tally, "without a rule", compare(&direct, &none, &Promise::Untouched));
        self.tell(tally, "in the same order", compare(promised(&same), &same, &Promise::Untouched));
        self.tell(tally, &status, compare(promised(&reverse), &reverse, &promise));
        *tally.said.entry(status.split("; model").next().unwrap_or_default().to_owned()).or_default() += 1;
        let enough = hits(&direct) >= ENOUGH || wide.as_ref().is_some_and(|own| own.hits >= ENOUGH as usize);
        match direct.status {
            200 if enough => {
                tally.untouched += 1;
                tally.reranked += usize::from(wide.is_some());
                tally.same += usize::from(same.header("rerank-status").starts_with("reranked"));
            }
            200 => tally.few += 1,
            _ => tally.refused += 1,
        }
        (direct.status == 200).then_some(wide.map(|own| (own, status)))
    }

    /// Whether it can be an item of a multi search as it is. What Elasticsearch prints in another way is compared alone.
    fn may_be_bundled(&self) -> bool {
        !self.target.contains('?') && self.body.starts_with('{') && !self.body.contains('\n') && !self.filters_source()
    }

    /// Returns the engine's answer to the whole search, when it was reranked.
    async fn wide(&self, engine: SocketAddr, window: Option<usize>, direct: &Answer) -> Option<Wide> {
        let window = window?;
        let body: Value = serde_json::from_str(&self.body).unwrap_or_default();
        let page = PageAsked::read(&self.target, self.body.as_bytes())?;
        let (from, text) = if widens(&self.target, &body) {
            let end = window.max(page.from + page.size);
            let target = from_the_first(&self.target, end);
            let text = self.call(&target).send(engine).await.text();
            (page.from, if self.filters_source() { self.beside_fields(engine, &target, &text).await } else { text })
        } else {
            (0, direct.text()?.to_owned())
        };
        let read: Value = serde_json::from_str(&text).ok()?;
        Some(Wide { hits: read["hits"]["hits"].as_array()?.len(), text, from, window })
    }

    /// Whether Elasticsearch filters `_source` for it.
    fn filters_source(&self) -> bool {
        self.product == Product::Elasticsearch && (self.target.contains("_source") || self.body.contains("\"_source\""))
    }

    /// Returns the engine's answer `text` with each `_source` as the engine prints it when `fields` are asked for as well.
    async fn beside_fields(&self, engine: SocketAddr, target: &str, text: &str) -> String {
        let mut body: Value = serde_json::from_str(&self.body).unwrap_or_else(|_| json!({}));
        let mut fields = body["fields"].as_array().cloned().unwrap_or_default();
        fields.push(PRICE.into());
        body["fields"] = fields.into();
        let beside = Call::post(target, body.to_string()).send(engine).await.text();
        let sources = |answer: &str| -> Vec<Range<usize>> {
            let read = raw::parse(answer);
            let hits = read.iter().flat_map(|root| root.at(answer, &["hits", "hits"])).flat_map(raw::Node::items);
            hits.filter_map(|hit| hit.get(answer, "_source")).map(|source| source.span.clone()).collect()
        };
        let (own, other) = (sources(text), sources(&beside));
        assert_eq!(own.len(), other.len(), "{beside}");
        raw::splice(text, own.into_iter().zip(other).map(|(span, there)| (span, beside[there].to_owned())).collect())
    }

    fn tell(&self, tally: &mut Tally, what: &str, found: Vec<Difference>) {
        if !found.is_empty() {
            let few: Vec<_> = found.iter().take(4).collect();
            tally.failures.push(format!("{} ({what}): {few:?} {} {} {}", self.name, self.method, self.target, self.body));
        }
    }
}

/// Elasticsearch filters `_source` in another way when `fields` are asked for too, as Podium has to: the keys come in another order,
/// and objects that the filter emptied stay. The client's own `fields` do the same.
#[test]
fn a_fact_elasticsearch_prints_a_filtered_source_in_another_way_beside_fields() {
    on(Product::Elasticsearch, |engine| {
        let document = r#"{"podium_big":1,"podium_price":1,"title":"x","category":1,"log":{"file":{"path":"x"}}}"#;
        engine.fill("filtered", "{}", [("1", document.to_owned())]);
        let source = |more: &str| {
            let text = engine.call("POST", "/filtered/_search", &format!(r#"{{"_source":{{"excludes":["log.file.path"]}}{more}}}"#)).text();
            let root = raw::parse(&text).unwrap();
            root.at(&text, &["hits", "hits"]).unwrap().items()[0].get(&text, "_source").unwrap().text(&text).to_owned()
        };
        let (alone, beside) = (source(""), source(r#","fields":["title"]"#));
        assert_eq!(alone, r#"{"podium_big":1,"podium_price":1,"title":"x","category":1}"#);
        assert_ne!(alone, beside);
        let expected = json!({"podium_big":1,"podium_price":1,"title":"x","category":1,"log":{"file":{}}});
        assert_eq!(serde_json::from_str::<Value>(&beside).unwrap(), expected);
    });
}

/// The engine's answer to a search from its first hit.
struct Wide {
    text: String,
    hits: usize,
    from: usize,
    window: usize,
}

// === impl Wide ===

impl Wide {
    /// The model turns the window round; what has no text stays, so that the order is known when all have a score.
    fn promise(&self, status: &str) -> Reranked<'_> {
        let all_scored = status.contains(&format!("scored={};", self.window)) && !self.text.contains("e38") && !self.text.contains("E38");
        let window = self.window.min(self.hits);
        let order = all_scored.then(|| (0..window).rev().chain(window..self.hits).collect());
        Reranked { wide: &self.text, from: self.from, window, order }
    }
}

/// Returns how many hits there are in all, as far as the answer says so.
fn hits(answer: &Answer) -> u64 {
    let read: Value = answer.text().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let total = &read["hits"]["total"];
    let listed = read["hits"]["hits"].as_array().map_or(0, Vec::len) as u64;
    total["value"].as_u64().or(total.as_u64()).unwrap_or(listed)
}

// === impl Tally ===

impl Tally {
    fn add(&mut self, other: Self) {
        self.searches += other.searches;
        self.refused += other.refused;
        self.few += other.few;
        self.untouched += other.untouched;
        self.reranked += other.reranked;
        self.same += other.same;
        self.otherwise += other.otherwise;
        self.bundles += other.bundles;
        self.reranked_items += other.reranked_items;
        self.bytes += other.bytes;
        self.noise.extend(other.noise);
        self.failures.extend(other.failures);
        for (said, times) in other.said {
            *self.said.entry(said).or_default() += times;
        }
    }

    fn report(&self, product: &str) -> String {
        let Self { searches, refused, few, untouched, reranked, same, otherwise, bundles, reranked_items, bytes, .. } = self;
        format!(
            "{product}: {searches} searches; noise, left out: {}; refused by the engine: {refused}, with fewer than {ENOUGH} hits: {few}, compared and not counted; \
             untouched: {untouched}; reranked: {reranked}; reranked into the same order: {same}; \
             with a `_source` as Elasticsearch prints it beside `fields`: {otherwise}; \
             multi searches of two: {bundles} with {reranked_items} reranked items; {bytes} bytes; {} differ\n{:?}\nnoise: {:?}",
            self.noise.len(),
            self.failures.len(),
            self.said,
            self.noise
        )
    }
}
