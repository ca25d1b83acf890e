//! Indices that serve as many searches each as agree on the mappings, and documents for every one of them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::needs::{Mapped, Need, Needs};

/// Documents for each search.
pub(crate) const DOCUMENTS_EACH: usize = 26;
/// Searches that share an index at most.
const SEARCHES_EACH: usize = 24;
/// Fields of every document, for bytes that are easily broken.
pub(crate) const BIG: &str = "podium_big";
pub(crate) const PRICE: &str = "podium_price";
/// The text field of an index that has no other.
const SPARE: &str = "podium_text";
const DATES: &str =
    "strict_date_optional_time||epoch_millis||yyyy-MM-dd HH:mm:ss||dd/MM/yyyy||dd-MM-yyyy||yyyy/MM/dd||MM/dd/yyyy||yyyy-MM||yyyy";
const FILLERS: [&str; 12] =
    ["amber", "basalt", "cedar", "delta", "ember", "fjord", "garnet", "harbour", "indigo", "juniper", "krill", "lagoon"];

/// An index in the making.
pub(crate) struct Index {
    pub(crate) name: String,
    pub(crate) fields: BTreeMap<String, Need>,
    /// Numbers of the searches that it serves, and what each needs.
    pub(crate) serves: Vec<(usize, Needs)>,
    /// The text field that the model reads; every document has it.
    pub(crate) reads: String,
}

/// A small generator of numbers (a linear congruence), so that all runs have the same documents.
pub(crate) struct Dice(u64);

/// Returns indices for these searches.
pub(crate) fn indices(searches: impl IntoIterator<Item = Needs>) -> Vec<Index> {
    let mut all: Vec<Index> = Vec::new();
    for (number, mut needs) in searches.into_iter().enumerate() {
        drop_leaves_with_branches(&mut needs.fields);
        let place = all.iter().position(|index| index.takes(&needs)).unwrap_or_else(|| {
            all.push(Index { name: format!("generated-{}", all.len()), fields: BTreeMap::new(), serves: Vec::new(), reads: String::new() });
            all.len() - 1
        });
        all[place].serve(number, needs);
    }
    for index in &mut all {
        let under_nested =
            |name: &str| index.fields.iter().any(|(path, need)| need.mapped == Mapped::Nested && name.starts_with(&format!("{path}.")));
        let text =
            index.fields.iter().find(|(name, need)| need.mapped == Mapped::Text && !under_nested(name)).map(|(name, _)| name.clone());
        index.reads = text.unwrap_or_else(|| SPARE.to_owned());
        index.fields.entry(index.reads.clone()).or_insert(Need { mapped: Mapped::Text, values: Vec::new() });
    }
    all
}

/// A name is a field or holds fields, unless it is nested.
fn drop_leaves_with_branches(fields: &mut BTreeMap<String, Need>) {
    let names: Vec<String> = fields.keys().cloned().collect();
    fields.retain(|name, need| need.mapped == Mapped::Nested || !names.iter().any(|other| other.starts_with(&format!("{name}."))));
}

fn insert(document: &mut Map<String, Value>, name: &str, value: Value) {
    match name.split_once('.') {
        None => match document.get_mut(name) {
            Some(Value::Object(own)) => own.extend(value.as_object().cloned().unwrap_or_default()),
            _ => {
                document.insert(name.to_owned(), value);
            }
        },
        Some((first, rest)) => {
            let inner = document.entry(first).or_insert_with(|| json!({}));
            if let Value::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

// === impl Dice ===

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(7))
    }

    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    /// So many words.
    pub(crate) fn words(&mut self, count: usize) -> String {
        (0..count).map(|_| FILLERS[self.roll(FILLERS.len())]).collect::<Vec<_>>().join(" ")
    }
}

// === impl Index ===

impl Index {
    fn takes(&self, needs: &Needs) -> bool {
        let branches = |one: &str, other: &str| one.starts_with(other) && one[other.len()..].starts_with('.');
        self.serves.len() < SEARCHES_EACH
            && needs.fields.iter().all(|(name, need)| {
                self.fields.iter().all(|(own, there)| {
                    let nested = need.mapped == Mapped::Nested || there.mapped == Mapped::Nested;
                    if own == name {
                        there.mapped == need.mapped
                    } else {
                        !(branches(own, name) || branches(name, own)) || (nested && need_is_shared(needs, self, own, name))
                    }
                })
            })
    }

    fn serve(&mut self, number: usize, needs: Needs) {
        for (name, need) in &needs.fields {
            self.fields.entry(name.clone()).or_insert_with(|| need.clone());
        }
        self.serves.push((number, needs));
    }

    /// Settings and mappings.
    pub(crate) fn definition(&self) -> Value {
        let mut properties = Map::new();
        // Shorter names first: what is nested comes before what it holds.
        let mut names: Vec<(&String, &Need)> = self.fields.iter().collect();
        names.sort_by_key(|(name, _)| name.matches('.').count());
        for (name, need) in names {
            let mapping = match need.mapped {
                Mapped::Any => continue,
                Mapped::Keyword => json!({"type": "keyword"}),
                Mapped::Text => json!({"type": "text", "fielddata": true, "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}}),
                Mapped::Bool => json!({"type": "boolean"}),
                Mapped::Number => json!({"type": "double"}),
                Mapped::Date => json!({"type": "date", "format": DATES, "ignore_malformed": true}),
                Mapped::Ip => json!({"type": "ip", "ignore_malformed": true}),
                Mapped::RankFeature => json!({"type": "rank_feature"}),
                Mapped::Completion => json!({"type": "completion"}),
                Mapped::GeoPoint => json!({"type": "geo_point", "ignore_malformed": true}),
                Mapped::GeoShape => json!({"type": "geo_shape", "ignore_malformed": true}),
                Mapped::Nested => json!({"type": "nested", "properties": {}}),
            };
            put_mapping(&mut properties, name, mapping);
        }
        json!({"settings": {"number_of_shards": 1, "number_of_replicas": 0}, "mappings": {"properties": properties}})
    }

    /// The bulk lines of all its documents.
    pub(crate) fn lines(&self) -> String {
        let mut lines = String::new();
        for (number, needs) in &self.serves {
            for turn in 0..DOCUMENTS_EACH {
                let document = self.document(*number, needs, turn);
                lines.push_str(&format!("{{\"index\":{{\"_index\":\"{}\",\"_id\":\"{number}-{turn}\"}}}}\n{document}\n", self.name));
            }
        }
        lines
    }

    /// A document that the search finds: what it asks for, more or less often, among other words.
    fn document(&self, number: usize, needs: &Needs, turn: usize) -> String {
        let mut dice = Dice::new((number * 1000 + turn) as u64);
        let mut document = Map::new();
        let mut names: Vec<(&String, &Need)> = needs.fields.iter().collect();
        names.sort_by_key(|(name, _)| name.matches('.').count());
        for (name, need) in names {
            insert(&mut document, name, value(need, turn, &mut dice));
        }
        let own = needs.fields.get(&self.reads).map_or(&[][..], |need| &need.values);
        let own = own.iter().filter_map(Value::as_str).map(str::to_owned);
        let mut texts: Vec<String> = own.chain(needs.anywhere.iter().cloned()).collect();
        texts.push(format!("{} common number {turn}", "common ".repeat(turn % 4)));
        texts.push(dice.words(1 + turn % 7));
        // Hits that read alike have one score, and would not be turned round.
        texts.push(format!("only{number}x{turn}"));
        insert(&mut document, &self.reads, json!(texts.join(" ")));
        let rest = Value::Object(document).to_string();
        // By hand: a double does not hold the integer, and the decimal stays as it is.
        let big = 9_007_199_254_740_993_u64 + (number * 100 + turn) as u64;
        format!("{{\"{BIG}\":{big},\"{PRICE}\":{}.0,{}", turn % 5, &rest[1..])
    }
}

fn need_is_shared(needs: &Needs, index: &Index, own: &str, name: &str) -> bool {
    let nested_in = |path: &str| {
        needs.fields.get(path).is_some_and(|need| need.mapped == Mapped::Nested)
            && index.fields.get(path).is_some_and(|need| need.mapped == Mapped::Nested)
    };
    nested_in(own) || nested_in(name)
}

fn put_mapping(properties: &mut Map<String, Value>, name: &str, mapping: Value) {
    match name.split_once('.') {
        None => {
            properties.insert(name.to_owned(), mapping);
        }
        Some((first, rest)) => {
            let holder = properties.entry(first).or_insert_with(|| json!({"properties": {}}));
            if let Some(inner) = holder.get_mut("properties").and_then(Value::as_object_mut) {
                put_mapping(inner, rest, mapping);
            }
        }
    }
}

fn value(need: &Need, turn: usize, dice: &mut Dice) -> Value {
    let asked = &need.values;
    let one_or_all = |values: &[Value]| if let [alone] = values { alone.clone() } else { json!(values) };
    match need.mapped {
        Mapped::Nested => json!({}),
        Mapped::Text => {
            let texts: Vec<String> = asked.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect();
            let joined = texts.join(" ");
            if turn < 4 { json!(joined) } else { json!([joined, dice.words(1 + turn % 5)]) }
        }
        _ if !asked.is_empty() => one_or_all(asked),
        Mapped::Keyword | Mapped::Any | Mapped::Completion => json!(FILLERS[dice.roll(6)]),
        Mapped::Bool => json!(turn.is_multiple_of(2)),
        Mapped::Number | Mapped::RankFeature => json!(1.5 + dice.roll(40) as f64),
        Mapped::Date => json!(format!("2024-{:02}-{:02}", 1 + turn % 12, 1 + dice.roll(28))),
        Mapped::Ip => json!(format!("10.0.0.{turn}")),
        Mapped::GeoPoint => json!({"lat": 40.0 + turn as f64 / 10.0, "lon": -74.0}),
        Mapped::GeoShape => json!({"type": "point", "coordinates": [-74.0, 40.0 + turn as f64 / 10.0]}),
    }
}
