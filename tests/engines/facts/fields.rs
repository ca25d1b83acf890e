//! What `fields` yields beside the other ways to ask for values.

use serde_json::{Value, json};

use crate::rig::engines::{Engine, Product, on, on_each};

const MAPPING: &str = r#"{"settings":{"number_of_shards":1,"number_of_replicas":0},"mappings":{"properties":{
    "title":{"type":"text","copy_to":"copied"},"copied":{"type":"text"},"called":{"type":"alias","path":"title"},
    "content":{"properties":{"text":{"type":"text"}}},
    "n":{"type":"nested","properties":{"t":{"type":"text"}}},
    "tag":{"type":"keyword","ignore_above":5},"big":{"type":"long"}}}}"#;
const DOCUMENT: &str = r#"{"title":"red shoe","content":{"text":"a shoe"},"n":[{"t":"a"},{"t":"b"}],"tag":"too long for it","big":9007199254740993,"un.dotted":"odd"}"#;

fn filled(engine: &Engine, index: &str) {
    engine.fill(index, MAPPING, [("1", DOCUMENT.to_owned())]);
}

fn first_hit(engine: &Engine, index: &str, body: &str) -> Value {
    engine.ok("POST", &format!("/{index}/_search"), body)["hits"]["hits"][0].clone()
}

#[test]
fn fields_read_the_source_though_it_is_switched_off() {
    on_each(|engine| {
        filled(engine, "fields-source-off");
        let hit = first_hit(engine, "fields-source-off", r#"{"_source":false,"fields":["title","content.text","n.t","big","un.dotted"]}"#);
        assert!(hit.get("_source").is_none(), "{hit}");
        let fields = &hit["fields"];
        assert_eq!(fields["title"], json!(["red shoe"]));
        assert_eq!(fields["content.text"], json!(["a shoe"]));
        assert_eq!(fields["big"], json!([9_007_199_254_740_993_u64]));
        assert_eq!(fields["un.dotted"], json!(["odd"]));
    });
}

#[test]
fn nested_values_are_flat_on_opensearch_and_grouped_on_elasticsearch() {
    on_each(|engine| {
        filled(engine, "fields-nested");
        let fields = &first_hit(engine, "fields-nested", r#"{"_source":false,"fields":["n.t"]}"#)["fields"];
        let expected = match engine.product {
            Product::OpenSearch => json!({"n.t":["a","b"]}),
            Product::Elasticsearch => json!({"n":[{"t":["a"]},{"t":["b"]}]}),
        };
        assert_eq!(*fields, expected);
    });
}

#[test]
fn elasticsearch_shows_ignored_values_of_a_requested_field_after_the_fields() {
    on_each(|engine| {
        filled(engine, "fields-ignored");
        let asked = engine.call("POST", "/fields-ignored/_search", r#"{"_source":false,"fields":["title","tag"]}"#);
        let not_asked = first_hit(engine, "fields-ignored", r#"{"_source":false}"#);
        assert!(not_asked.get("ignored_field_values").is_none(), "{not_asked}");
        let hit = &asked.hits()[0];
        assert!(hit["fields"].get("tag").is_none(), "{hit}");
        match engine.product {
            Product::OpenSearch => {
                assert!(hit.get("_ignored").is_none(), "{hit}");
                assert!(hit.get("ignored_field_values").is_none(), "{hit}");
            }
            Product::Elasticsearch => {
                assert_eq!(hit["_ignored"], json!(["tag"]));
                assert_eq!(not_asked["_ignored"], json!(["tag"]));
                assert_eq!(hit["ignored_field_values"], json!({"tag":["too long for it"]}));
                let text = asked.text();
                assert!(text.find("\"fields\"") < text.find("\"ignored_field_values\""), "{text}");
            }
        }
    });
}

#[test]
fn copied_fields_come_on_elasticsearch_alone_and_aliases_on_both() {
    on_each(|engine| {
        filled(engine, "fields-copied");
        let fields = &first_hit(engine, "fields-copied", r#"{"_source":false,"fields":["copied","called"]}"#)["fields"];
        let expected = match engine.product {
            Product::OpenSearch => json!({"called":["red shoe"]}),
            Product::Elasticsearch => json!({"called":["red shoe"],"copied":["red shoe"]}),
        };
        assert_eq!(*fields, expected);
    });
}

#[test]
fn an_index_without_source_is_refused_by_opensearch_and_textless_on_elasticsearch() {
    on_each(|engine| {
        let mapping = r#"{"settings":{"number_of_shards":1,"number_of_replicas":0},"mappings":{"_source":{"enabled":false}}}"#;
        engine.fill("fields-sourceless-a", mapping, [("hidden", DOCUMENT.to_owned())]);
        filled(engine, "fields-sourceless-b");
        let body = r#"{"fields":["title"]}"#;
        let alone = engine.call("POST", "/fields-sourceless-a/_search", body);
        let beside = engine.call("POST", "/fields-sourceless-*/_search", body);
        match engine.product {
            Product::OpenSearch => {
                assert_eq!(alone.status, 400, "{}", alone.text());
                assert_eq!(beside.status, 200, "{}", beside.text());
                assert_eq!(beside.json()["_shards"]["failed"], 1);
                assert_eq!(beside.ids(), ["1"]);
            }
            Product::Elasticsearch => {
                assert_eq!(alone.status, 200, "{}", alone.text());
                assert!(alone.hits()[0].get("fields").is_none(), "{}", alone.text());
                assert_eq!(beside.json()["_shards"]["failed"], 0);
                assert_eq!(beside.ids().len(), 2);
            }
        }
    });
}

#[test]
fn fields_are_refused_beside_no_stored_fields() {
    on_each(|engine| {
        filled(engine, "fields-none");
        let reply = engine.call("POST", "/fields-none/_search", r#"{"fields":["title"],"stored_fields":"_none_"}"#);
        let expected = match engine.product {
            Product::OpenSearch => 500,
            Product::Elasticsearch => 400,
        };
        assert_eq!(reply.status, expected, "{}", reply.text());
    });
}

#[test]
fn fields_beside_stored_fields_come_without_the_source() {
    on_each(|engine| {
        filled(engine, "fields-stored");
        let hit = first_hit(engine, "fields-stored", r#"{"fields":["title"],"stored_fields":["x"]}"#);
        assert!(hit.get("_source").is_none(), "{hit}");
        assert_eq!(hit["fields"]["title"], json!(["red shoe"]));
    });
}

#[test]
fn a_script_field_of_the_same_name_is_overwritten() {
    on(Product::OpenSearch, |engine| {
        filled(engine, "fields-script");
        let script = r#""script_fields":{"title":{"script":"'from the script'"}}"#;
        let alone = first_hit(engine, "fields-script", &format!("{{{script}}}"));
        assert_eq!(alone["fields"]["title"], json!(["from the script"]));
        let both = first_hit(engine, "fields-script", &format!("{{{script},\"fields\":[\"title\"]}}"));
        assert_eq!(both["fields"]["title"], json!(["red shoe"]));
    });
}

#[test]
fn unmapped_fields_can_be_asked_for_on_elasticsearch_alone() {
    on_each(|engine| {
        filled(engine, "fields-unmapped");
        let reply = engine.call("POST", "/fields-unmapped/_search", r#"{"fields":[{"field":"nowhere","include_unmapped":true}]}"#);
        let expected = match engine.product {
            Product::OpenSearch => 400,
            Product::Elasticsearch => 200,
        };
        assert_eq!(reply.status, expected, "{}", reply.text());
    });
}

#[test]
fn collapse_adds_its_field_to_every_hit() {
    on_each(|engine| {
        filled(engine, "fields-collapse");
        let hit = first_hit(engine, "fields-collapse", r#"{"collapse":{"field":"big"}}"#);
        assert_eq!(hit["fields"], json!({"big":[9_007_199_254_740_993_u64]}));
    });
}
