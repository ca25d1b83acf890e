//! What queries find and how they score, as OpenSearch 3.8 answered the same requests on the same documents.

use serde_json::{Value, json};

use super::{Mark, UrlQuery, parse, testing::Shop};

/// Compares the hits of each query with OpenSearch's.
fn assert_hits(cases: Vec<(Value, &[(&str, f32)])>) {
    let shop = Shop::new();
    for (query, expected) in cases {
        let hits = shop.search(query.clone());
        let joined = |ids: Vec<&str>| ids.join(" ");
        assert_eq!(
            joined(hits.iter().map(|(id, _)| id.as_str()).collect()),
            joined(expected.iter().map(|(id, _)| *id).collect()),
            "{query}"
        );
        for ((id, score), (_, wanted)) in hits.iter().zip(expected) {
            assert!((score - wanted).abs() <= wanted * 1e-6, "{query}: {id} scores {score}, not {wanted}");
        }
    }
}

#[test]
fn match_scores_as_lucene() {
    let title = |body: Value| json!({"match": {"title": body}});
    let all: &[_] = &[("1", 0.873_107_5), ("3", 0.268_573_52), ("2", 0.257_536_23)];
    assert_hits(vec![
        (title(json!("quick fox")), &[("1", 0.659_469_5), ("2", 0.257_536_23)]),
        (title(json!({"query": "quick fox", "operator": "and", "boost": 2})), &[("1", 1.318_939)]),
        (title(json!({"query": "quick fox", "operator": "AND", "minimum_should_match": "1"})), &[]),
        (title(json!({"query": "quick", "minimum_should_match": 2})), &[("2", 0.257_536_23), ("1", 0.213_638_01)]),
        (title(json!({"query": "quick brown fox", "minimum_should_match": "2<75%"})), &all[..1]),
        (title(json!({"query": "quick brown fox", "minimum_should_match": "150%"})), &[]),
        (title(json!({"query": "quick brown fox", "minimum_should_match": "-150%"})), all),
        (title(json!({"query": "quick brown zzz", "minimum_should_match": "-1"})), &[("1", 0.427_276_02)]),
        (title(json!("quick quick")), &[("2", 0.515_072_46), ("1", 0.427_276_02)]),
        (title(json!({"query": "fox", "boost": 0})), &[("1", 0.0)]),
        (title(json!(true)), &[]),
        (json!({"match": {"body": "the of"}}), &[]),
        (json!({"match": {"tag": "a"}}), &[("1", 1.0), ("2", 1.0)]),
        (json!({"match": {"n": 1.5}}), &[]),
        (json!({"match": {"t": "2024-01-03"}}), &[("3", 1.0)]),
        (json!({"match": {"_id": "1"}}), &[("1", 1.0)]),
        (json!({"match": {"nosuch": "fox"}}), &[]),
        (json!({"match": {"o": "x"}}), &[]),
    ]);
}

#[test]
fn phrases_keep_the_places_of_stop_words() {
    assert_hits(vec![
        (json!({"match_phrase": {"title": "quick foxes"}}), &[("2", 0.547_484_04)]),
        (json!({"match_phrase": {"title": {"query": "quick brown", "slop": 0}}}), &[("1", 0.427_276_02)]),
        (json!({"match_phrase": {"title": "brown the fox"}}), &[]),
        (json!({"match_phrase": {"body": "running over the lazy"}}), &[]),
        (json!({"match_phrase": {"tag": "a"}}), &[("1", 1.0), ("2", 1.0)]),
        (json!({"match_phrase": {"n": "2"}}), &[("2", 1.0)]),
    ]);
}

#[test]
fn multi_match_takes_the_best_field_or_all() {
    let multi = |body: Value| json!({"multi_match": body});
    let bread: &[_] = &[("3", 0.560_473_9), ("1", 0.445_831_48), ("4", 0.230_805_34)];
    assert_hits(vec![
        (multi(json!({"query": "fox", "fields": ["title^2", "body"]})), &[("1", 0.891_662_96), ("4", 0.230_805_34)]),
        (multi(json!({"query": "fox bread"})), bread),
        (multi(json!({"query": "5"})), &[("4", 1.0)]),
        (multi(json!({"query": "fox", "fields": ["nosuch"]})), &[]),
        (
            multi(json!({"query": "quick foxes", "fields": ["title^2", "body"], "operator": "and", "tie_breaker": 0.3})),
            &[("2", 1.255_320_9)],
        ),
        (multi(json!({"query": "quick brown", "fields": ["title", "body"], "minimum_should_match": 2})), &[("1", 0.427_276_02)]),
        (multi(json!({"query": "quick brown", "fields": "title"})), &[("1", 0.427_276_02), ("3", 0.268_573_52), ("2", 0.257_536_23)]),
        (multi(json!({"query": "quick brown", "fields": ["ti*^2"]})), &[("1", 0.854_552_03), ("3", 0.537_147_05), ("2", 0.515_072_46)]),
        (multi(json!({"query": "a", "fields": []})), &[("1", 1.0), ("2", 1.0)]),
        (
            multi(json!({"query": "fox bread", "fields": ["title", "body"], "type": "most_fields"})),
            &[("3", 1.108_145), ("1", 0.615_340_95), ("4", 0.230_805_34)],
        ),
    ]);
}

#[test]
fn exact_values_score_one() {
    let both: &[_] = &[("1", 1.0), ("2", 1.0)];
    assert_hits(vec![
        (json!({"term": {"tag": "c"}}), &[("3", 1.0)]),
        (json!({"term": {"tag": {"value": "a", "boost": 2}}}), &[("1", 2.0), ("2", 2.0)]),
        (json!({"term": {"b": true}}), &[("1", 0.213_638_01), ("3", 0.213_638_01)]),
        (json!({"term": {"b": "false"}}), &[("2", 0.445_831_48)]),
        (json!({"term": {"n": 3}}), &[("3", 1.0)]),
        (json!({"term": {"n": 1.5}}), &[]),
        (json!({"term": {"i": "1.0"}}), &[("1", 1.0)]),
        (json!({"term": {"f": 1.1}}), &[("1", 1.0)]),
        (json!({"term": {"t": "2024-01-01"}}), both),
        (json!({"term": {"title": "quick"}}), &[("2", 0.257_536_23), ("1", 0.213_638_01)]),
        (json!({"term": {"title": "Quick"}}), &[]),
        (json!({"terms": {"tag": ["a", "c"]}}), &[("1", 1.0), ("2", 1.0), ("3", 1.0)]),
        (json!({"terms": {"tag": ["a"], "boost": 2}}), &[("1", 2.0), ("2", 2.0)]),
        (json!({"terms": {"tag": []}}), &[]),
        (json!({"terms": {"title": ["quick", "fox"]}}), both),
        (json!({"terms": {"b": [true]}}), &[("1", 0.213_638_01), ("3", 0.213_638_01)]),
        (json!({"terms": {"b": [true, false]}}), &[("1", 1.0), ("2", 1.0), ("3", 1.0)]),
        (json!({"terms": {"n": [1, "6", 2.5]}}), &[("1", 1.0), ("5", 1.0)]),
        (json!({"terms": {"t": ["2024-01-03", "2025"]}}), &[("3", 1.0)]),
        (json!({"ids": {"values": ["1", "3"]}}), &[("1", 1.0), ("3", 1.0)]),
        (json!({"ids": {"values": "1"}}), &[("1", 1.0)]),
        (json!({"exists": {"field": "title"}}), &[("1", 1.0), ("2", 1.0), ("3", 1.0), ("5", 1.0)]),
        (json!({"exists": {"field": "title.keyword"}}), &[("1", 1.0), ("2", 1.0), ("3", 1.0), ("5", 1.0)]),
        (json!({"exists": {"field": "o"}}), &[("1", 1.0)]),
        (json!({"exists": {"field": "nosuch"}}), &[]),
    ]);
}

#[test]
fn ranges_round_days_and_fractions() {
    let both: &[_] = &[("1", 1.0), ("2", 1.0)];
    let range = |field: &str, body: Value| json!({"range": {field: body}});
    assert_hits(vec![
        (range("n", json!({"gt": 1.5, "lt": "2.5"})), &[("2", 1.0)]),
        (range("n", json!({"gte": 4})), &[("3", 1.0), ("4", 1.0), ("5", 1.0)]),
        (range("n", json!({"gte": null, "lt": 3, "boost": 2})), &[("1", 2.0), ("2", 2.0)]),
        (range("n", json!({"gte": 5, "lt": 3})), &[]),
        (range("n", json!({})), &[("1", 1.0), ("2", 1.0), ("3", 1.0), ("4", 1.0), ("5", 1.0)]),
        (range("f", json!({"gt": 1.1, "lte": 7.25})), &[("2", 1.0), ("4", 1.0)]),
        (range("d", json!({"gte": 1.5})), &[("1", 1.0)]),
        (range("t", json!({"gt": "2024-01-01", "lte": "2024-01-01"})), &[]),
        (range("t", json!({"gte": "2024-01-01", "lte": "2024-01-01"})), both),
        (range("t", json!({"gt": "2024-01-01"})), &[("3", 1.0)]),
        (range("t", json!({"lt": 1_704_067_200_001_i64})), &[("1", 1.0)]),
        (range("t", json!({"gte": "2024", "lt": "2025-01"})), &[("1", 1.0), ("2", 1.0), ("3", 1.0)]),
        (range("b", json!({"gte": false})), &[("1", 1.0), ("2", 1.0), ("3", 1.0)]),
        (range("tag", json!({"gte": "a", "lt": "c"})), both),
        (range("title", json!({"gte": "a", "lt": "c"})), &[("1", 1.0), ("3", 1.0)]),
        (range("nosuch", json!({"gte": 1})), &[]),
    ]);
}

#[test]
fn bool_joins_as_lucene() {
    let everything: &[_] = &[("1", 1.0), ("2", 1.0), ("3", 1.0), ("4", 1.0), ("5", 1.0)];
    let quick = json!({"match": {"title": "quick"}});
    let a = json!({"term": {"tag": "a"}});
    let c = json!({"term": {"tag": "c"}});
    let boolean = |body: Value| json!({"bool": body});
    assert_hits(vec![
        (json!({"match_all": {}}), everything),
        (json!({"match_all": {"boost": 1.5}}), &[("1", 1.5), ("2", 1.5), ("3", 1.5), ("4", 1.5), ("5", 1.5)]),
        (json!({"match_none": {}}), &[]),
        (boolean(json!({})), everything),
        (boolean(json!({"must_not": a})), &[("3", 0.0), ("4", 0.0), ("5", 0.0)]),
        (boolean(json!({"filter": a, "boost": 3})), &[("1", 0.0), ("2", 0.0)]),
        (boolean(json!({"must": [{"match_all": {}}, a]})), &[("1", 2.0), ("2", 2.0)]),
        (boolean(json!({"must": [boolean(json!({"must_not": a})), {"match_all": {}}]})), &[("3", 1.0), ("4", 1.0), ("5", 1.0)]),
        (boolean(json!({"filter": a, "should": quick})), &[("2", 0.257_536_23), ("1", 0.213_638_01)]),
        (boolean(json!({"filter": [a], "should": [c], "minimum_should_match": 1})), &[]),
        (
            boolean(json!({"should": [quick, {"match": {"title": "brown"}}], "minimum_should_match": "-5"})),
            &[("1", 0.427_276_02), ("3", 0.268_573_52), ("2", 0.257_536_23)],
        ),
        (boolean(json!({"should": [quick], "minimum_should_match": 2})), &[]),
        (boolean(json!({"must": [quick], "minimum_should_match": 1})), &[]),
        (boolean(json!({"must_not": a, "minimum_should_match": 1})), &[("3", 0.0), ("4", 0.0), ("5", 0.0)]),
        (boolean(json!({"must_not": [quick], "should": c, "minimum_should_match": 0})), &[("3", 1.0)]),
        (
            boolean(json!({"should": [quick, c, {"match_none": {}}], "minimum_should_match": 1})),
            &[("3", 1.0), ("2", 0.257_536_23), ("1", 0.213_638_01)],
        ),
    ]);
}

#[test]
fn query_strings_are_read_as_lucene_does() {
    let query = |text: &str| json!({"query_string": {"query": text}});
    let with = |text: &str, more: Value| {
        let mut body = more;
        body["query"] = Value::from(text);
        json!({"query_string": body})
    };
    let three: &[_] = &[("1", 0.873_107_5), ("3", 0.268_573_52), ("2", 0.257_536_23), ("4", 0.230_805_34)];
    let bread: &[_] = &[("3", 0.560_473_9), ("1", 0.445_831_48), ("4", 0.230_805_34)];
    assert_hits(vec![
        (query("fox bread"), bread),
        (query("fox AND 5"), &[("4", 1.230_805_4)]),
        (query("2024-01-01"), &[("1", 1.0), ("2", 1.0)]),
        (query("true"), &[("1", 0.213_638_01), ("3", 0.213_638_01)]),
        (query("+fox -quick"), &[("4", 0.230_805_34)]),
        (query("quick AND fox OR bread"), &[("1", 0.659_469_5)]),
        (query("quick OR fox AND bread"), &[]),
        (query("title:(quick fox)^2 \"brown bread\""), &[("1", 1.318_939), ("3", 1.0), ("2", 0.515_072_46)]),
        (query("NOT fox"), &[("2", 0.0), ("3", 0.0), ("5", 0.0)]),
        (query("bread (NOT fox)"), &[("3", 0.560_473_9), ("2", 0.0), ("5", 0.0)]),
        (query("bread AND (NOT fox)"), &[("3", 0.560_473_9)]),
        (query("title:nosuch OR nofield:fox"), &[]),
        (query("title:quick^3 || tag:c"), &[("3", 1.0), ("2", 0.772_608_7), ("1", 0.640_914)]),
        (query("n:abc"), &[]),
        (query("*"), &[("1", 1.0), ("2", 1.0), ("3", 1.0), ("4", 1.0), ("5", 1.0)]),
        (query("*:*"), &[("1", 1.0), ("2", 1.0), ("3", 1.0), ("4", 1.0), ("5", 1.0)]),
        (query("_exists_:body"), &[("1", 1.0), ("3", 1.0), ("4", 1.0)]),
        (query(""), &[]),
        (query("quick brown fox"), three),
        (with("quick brown AND bread", json!({"default_operator": "AND"})), &[]),
        (with("\"brown bread\"", json!({"fields": ["title^3", "body"]})), &[("3", 2.487_142)]),
        (with("the AND fox", json!({"fields": ["body"]})), &[("4", 0.230_805_34), ("1", 0.169_509_5)]),
        (with("the", json!({"default_field": "body"})), &[]),
        (with("quick brown fox", json!({"minimum_should_match": 2})), three),
        (with("quick brown fox", json!({"fields": ["title"], "minimum_should_match": 2})), &three[..1]),
        (with("fox bread", json!({"default_field": "title", "default_operator": "AND", "boost": 2})), &[]),
    ]);
}

#[test]
fn the_url_has_a_query_string() {
    let shop = Shop::new();
    let ids = |text, default_field, default_operator| {
        let hits = shop.search_url(&UrlQuery { text, default_field, default_operator });
        hits.into_iter().map(|(id, _)| id).collect::<String>()
    };
    assert_eq!(ids("fox bread", None, None), "314");
    assert_eq!(ids("fox bread", Some("title"), None), "31");
    assert_eq!(ids("brown bread", Some("title"), Some("and")), "3");
}

#[test]
fn what_is_to_be_marked_comes_along() {
    let shop = Shop::new();
    let clause = parse(
        &json!({"bool": {
            "must": {"match": {"title": {"query": "Quick", "boost": 2}}}, "filter": {"term": {"tag": "a"}},
            "should": {"match_phrase": {"body": "over the lazy"}}, "must_not": {"match": {"title": "bread"}}
        }}),
        &shop.schema,
    );
    let mark = |field: &str, terms: &[(usize, &str)], weight| Mark {
        field: field.to_owned(),
        terms: terms.iter().map(|(at, term)| (*at, (*term).to_owned())).collect(),
        weight,
    };
    let mut marks = clause.unwrap().marks;
    marks.sort_by(|one, other| one.field.cmp(&other.field));
    assert_eq!(marks, [mark("body", &[(0, "over"), (2, "lazi")], 1.0), mark("tag", &[(0, "a")], 1.0), mark("title", &[(0, "quick")], 2.0)]);
}
