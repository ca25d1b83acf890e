//! The requests that both engines get, one after the other.

/// One request.
pub(super) struct Sent {
    pub(super) method: &'static str,
    pub(super) target: &'static str,
    pub(super) body: &'static str,
}

const fn get(target: &'static str) -> Sent {
    Sent { method: "GET", target, body: "" }
}

const fn delete(target: &'static str) -> Sent {
    Sent { method: "DELETE", target, body: "" }
}

const fn head(target: &'static str) -> Sent {
    Sent { method: "HEAD", target, body: "" }
}

const fn put(target: &'static str, body: &'static str) -> Sent {
    Sent { method: "PUT", target, body }
}

const fn post(target: &'static str, body: &'static str) -> Sent {
    Sent { method: "POST", target, body }
}

/// Searches the shop.
const fn search(body: &'static str) -> Sent {
    Sent { method: "POST", target: "/same/_search", body }
}

const DEFINITION: &str = r#"{"settings":{"number_of_shards":1,"number_of_replicas":0},"mappings":{"properties":{
    "title":{"type":"text","analyzer":"english","fields":{"plain":{"type":"text"},"raw":{"type":"keyword","ignore_above":64}}},
    "about":{"type":"text"},"colour":{"type":"keyword"},"price":{"type":"double"},"weight":{"type":"float"},"stock":{"type":"integer"},
    "sold":{"type":"long"},"new":{"type":"boolean"},"since":{"type":"date"},
    "maker":{"properties":{"name":{"type":"keyword"},"city":{"type":"text"}}}}}}"#;

const DOCUMENTS: &str = r#"{"index":{"_id":"1"}}
{"title":"Red running shoes","about":"Light shoes for the road, and for running fast","colour":"red","price":89.9,"weight":0.31,"stock":3,"sold":9007199254740993,"new":true,"since":"2020-01-02","maker":{"name":"Acme","city":"New York"}}
{"index":{"_id":"2"}}
{"title":"Blue running shoe","about":"Heavy shoes for the trail","colour":"blue","price":120,"weight":0.45,"stock":0,"new":false,"since":"2021-06-01T12:30:00Z","maker":{"name":"Best","city":"York"}}
{"index":{"_id":"3"}}
{"title":"Women's red dress","about":"A dress for the evening","colour":["red","silver"],"price":55.25,"stock":7,"since":1577836800000}
{"index":{"_id":"4"}}
{"title":"Green hat","about":"","colour":"green","new":true}
{"index":{"_id":"5"}}
{"title":["Shoe polish","Polish for shoes"],"about":"polish polish polish","price":[3.5,4.5],"stock":12}
{"index":{"_id":"6"}}
{"title":null,"about":"nothing","colour":null}
{"create":{"_id":"1"}}
{"title":"again"}
{"delete":{"_id":"77"}}
{"index":{"_id":"8"}}
{"stock":"many"}
{"index":{"_index":"UPPER","_id":"1"}}
{}
"#;

/// In their order: what one changes the next ones see.
pub(super) const REQUESTS: &[Sent] = &[
    get("/"),
    head("/"),
    head("/same"),
    put("/same", DEFINITION),
    put("/same", ""),
    head("/same"),
    get("/same"),
    get("/same/_mapping"),
    get("/_cluster/health/same"),
    post("/same/_bulk?refresh=true", DOCUMENTS),
    // Documents
    get("/same/_doc/1"),
    get("/same/_doc/1?_source=false"),
    get("/same/_doc/1?_source_includes=title,maker.*"),
    get("/same/_doc/1?_source_includes="),
    get("/same/_doc/77"),
    head("/same/_doc/1"),
    head("/same/_doc/77"),
    // Changes, in an index of their own: deleted documents count in scores until segments are merged
    put("/life", DEFINITION),
    put("/life/_doc/10", r#"{"title":"New"}"#),
    put("/life/_doc/10?refresh=true", r#"{"title":"Newer"}"#),
    put("/life/_create/10", "{}"),
    put("/life/_doc/10?op_type=create", "{}"),
    put("/life/_doc/11", r#"{"stock":"many"}"#),
    put("/life/_doc/11", r#"{"new":"maybe"}"#),
    put("/life/_doc/11", r#"{"since":"yesterday"}"#),
    put("/life/_doc/11", r#"{"title":{"a":1}}"#),
    put("/life/_doc/11", r#"{"maker":"Acme"}"#),
    put("/life/_doc/11", "{"),
    put("/life/_doc/11", "[]"),
    put("/life/_doc/11", ""),
    put("/life/_doc/11?refresh=maybe", "{}"),
    delete("/life/_doc/10"),
    delete("/life/_doc/10?refresh=true"),
    put("/life/_doc/10", r#"{"title":"Newest"}"#),
    delete("/life/_doc/10?refresh=true"),
    post("/life/_bulk", "{\"index\":{\"_id\":\"9\"}}\n{\"sold\":5}\n{\"delete\":{\"_id\":\"9\"}}\n{\"create\":{\"_id\":\"9\"}}\n{}\n"),
    // New fields
    post("/life/_doc/12?refresh=true", r#"{"extra":"some words","count":3,"ratio":0.5,"on":"2020-01-01","yes":true,"deep":{"er":"x"}}"#),
    get("/life/_mapping"),
    delete("/life/_doc/12?refresh=true"),
    put("/same/_mapping", r#"{"properties":{"added":{"type":"keyword"}}}"#),
    put("/same/_mapping", r#"{"properties":{"stock":{"type":"keyword"}}}"#),
    put("/same/_mapping", ""),
    // Counts
    get("/same/_count"),
    post("/same/_count", r#"{"query":{"term":{"colour":"red"}}}"#),
    get("/same/_count?q=colour:red"),
    post("/same/_count", r#"{"size":1}"#),
    // Queries
    search(""),
    search(r#"{"query":{"match_all":{}}}"#),
    search(r#"{"query":{"match_all":{"boost":2.5}}}"#),
    search(r#"{"query":{"match":{"title":"running shoes"}}}"#),
    search(r#"{"query":{"match":{"title":{"query":"red running shoes","operator":"and"}}}}"#),
    search(r#"{"query":{"match":{"title":{"query":"red running shoes","minimum_should_match":2}}}}"#),
    search(r#"{"query":{"match":{"title":{"query":"red running shoes","minimum_should_match":"67%","boost":3}}}}"#),
    search(r#"{"query":{"match":{"title":"the"}}}"#),
    search(r#"{"query":{"match":{"colour":"red"}}}"#),
    search(r#"{"query":{"match":{"stock":"3"}}}"#),
    search(r#"{"query":{"match":{"stock":"many"}}}"#),
    search(r#"{"query":{"match":{"nofield":"x"}}}"#),
    search(r#"{"query":{"match":{"maker.city":"york"}}}"#),
    search(r#"{"query":{"multi_match":{"query":"red shoes","fields":["title^2","about"]}}}"#),
    search(r#"{"query":{"multi_match":{"query":"red shoes","fields":["title","about"],"type":"most_fields"}}}"#),
    search(r#"{"query":{"multi_match":{"query":"polish shoes","fields":["title","about"],"tie_breaker":0.3}}}"#),
    search(r#"{"query":{"bool":{"must":[{"match":{"title":"shoe"}}],"filter":[{"term":{"colour":"red"}}]}}}"#),
    search(r#"{"query":{"bool":{"should":[{"match":{"title":"shoe"}},{"term":{"colour":"green"}}],"must_not":[{"term":{"new":false}}]}}}"#),
    search(r#"{"query":{"bool":{"filter":{"range":{"price":{"gte":50,"lt":100}}}}}}"#),
    search(
        r#"{"query":{"bool":{"must":{"match_all":{}},"should":[{"term":{"colour":"red"}},{"term":{"colour":"silver"}}],"minimum_should_match":1}}}"#,
    ),
    search(r#"{"query":{"term":{"colour":{"value":"red","boost":2}}}}"#),
    search(r#"{"query":{"term":{"new":true}}}"#),
    search(r#"{"query":{"term":{"title":"shoe"}}}"#),
    search(r#"{"query":{"terms":{"colour":["green","silver"]}}}"#),
    search(r#"{"query":{"terms":{"stock":[0,12]}}}"#),
    search(r#"{"query":{"range":{"since":{"gte":"2020-01-01","lte":"2020-12-31"}}}}"#),
    search(r#"{"query":{"range":{"stock":{"gt":0,"lte":7}}}}"#),
    search(r#"{"query":{"query_string":{"query":"title:running AND colour:red"}}}"#),
    search(r#"{"query":{"query_string":{"query":"red -dress","fields":["title^3","about"]}}}"#),
    search(r#"{"query":{"query_string":{"query":"\"running shoes\"","default_field":"title"}}}"#),
    get("/same/_search?q=title:shoes"),
    get("/same/_search?q=shoes&df=about"),
    get("/same/_search?q=running+shoes&df=title&default_operator=AND"),
    // Pages, totals, orders
    search(r#"{"from":1,"size":2,"query":{"match":{"title":"shoes"}}}"#),
    search(r#"{"size":0}"#),
    search(r#"{"from":100}"#),
    search(r#"{"track_total_hits":true}"#),
    search(r#"{"track_total_hits":false}"#),
    search(r#"{"track_total_hits":2}"#),
    get("/same/_search?size=1&from=1&track_total_hits=true"),
    search(r#"{"sort":["price"]}"#),
    search(r#"{"sort":[{"price":"desc"}]}"#),
    search(r#"{"sort":[{"stock":{"order":"asc","missing":"_first"}},{"weight":"desc"}]}"#),
    search(r#"{"sort":[{"colour":"asc"},{"since":{"order":"desc"}}]}"#),
    search(r#"{"sort":[{"new":"desc"},{"sold":"asc"}],"track_scores":true}"#),
    search(r#"{"sort":[{"colour":{"order":"desc"}},"_score"],"query":{"match":{"title":"red shoes"}}}"#),
    search(r#"{"sort":"_score","query":{"match":{"title":"red shoes"}}}"#),
    search(r#"{"sort":["title"]}"#),
    search(r#"{"sort":["nofield"]}"#),
    get("/same/_search?sort=stock:desc,price:asc&size=3"),
    // What is shown
    search(r#"{"_source":false}"#),
    search(r#"{"_source":["title","maker.name"]}"#),
    search(r#"{"_source":{"includes":["*"],"excludes":["m*","about"]}}"#),
    search(r#"{"_source":"title"}"#),
    search(r#"{"_source":false,"fields":["title","price","since","new","maker.name","sold","weight"]}"#),
    search(r#"{"fields":["*"],"size":2}"#),
    search(r#"{"version":true,"seq_no_primary_term":true,"size":1}"#),
    search(r#"{"min_score":0.5,"query":{"match":{"title":"red running"}}}"#),
    search(r#"{"query":{"match":{"title":"shoes"}},"highlight":{"type":"plain","fields":{"title":{}}}}"#),
    search(
        r#"{"query":{"match":{"about":"shoes"}},"highlight":{"type":"plain","fields":{"about":{"number_of_fragments":0}},"pre_tags":["<b>"],"post_tags":["</b>"]}}"#,
    ),
    // Many searches
    post("/same/_msearch", "{}\n{\"size\":1}\n{\"index\":\"nope\"}\n{}\n{}\n{\"sort\":[\"nofield\"]}\n"),
    post("/_msearch", "{\"foo\":1}\n{}\n"),
    post("/_msearch", "{}\n{}"),
    post("/same/_msearch", "{}\n{\"query\":{\"foo\":{}}}\n"),
    // Several indices
    put("/same2/_doc/1?refresh=true", r#"{"title":"shoe","price":1.0}"#),
    get("/same,same2/_search?size=20"),
    get("/same*/_count"),
    post("/same,same2/_search", r#"{"sort":[{"price":"asc"}],"size":3}"#),
    get("/nothing*/_search"),
    get("/same,nope/_search"),
    get("/same,nope/_search?ignore_unavailable=true&size=0"),
    get("/nothing*/_search?allow_no_indices=false"),
    post("/same*/_refresh", ""),
    // What makes no sense
    get("/nope/_search"),
    get("/nope"),
    get("/nope/_doc/1"),
    get("/nope/_mapping"),
    delete("/nope"),
    delete("/nope/_doc/1"),
    put("/UPPER", ""),
    put("/_under", ""),
    put("/made", r#"{"foo":1}"#),
    put("/made", r#"{"settings":{"foo":1}}"#),
    put("/made", r#"{"settings":{"number_of_shards":0}}"#),
    put("/made", r#"{"mappings":{"properties":{"a":{"type":"nosuchtype"}}}}"#),
    put("/made", r#"{"mappings":{"properties":{"a":{"type":"text","analyzer":"nosuchanalyzer"}}}}"#),
    put("/made", "{"),
    search(r#"{"foo":1}"#),
    search(r#"{"query":{"foo":{}}}"#),
    search(r#"{"query":{"match":{}}}"#),
    search(r#"{"query":{"match":{"title":{"query":"x","foo":1}}}}"#),
    search(r#"{"query":{"bool":{"foo":[]}}}"#),
    search(r#"{"query":{"range":{"price":{"foo":1}}}}"#),
    search(r#"{"query":{"terms":{"colour":"red"}}}"#),
    search(r#"{"query":{"query_string":{"query":"title:("}}}"#),
    search(r#"{"query":[]}"#),
    search(r#"{"query":{"multi_match":{"query":"red","fields":["title","about"],"tie_breaker":-3}}}"#),
    search(r#"{"size":-1}"#),
    search(r#"{"from":-1}"#),
    search(r#"{"size":"x"}"#),
    search(r#"{"from":9999,"size":2}"#),
    search("{"),
    search("[]"),
    get("/same/_search?foo=1"),
    get("/same/_search?size=x"),
    get("/same/_search?pretty=maybe"),
    get("/same/_search?timeout=banana"),
    get("/same/_search?search_type=foo"),
    get("/same/_search?request_cache=maybe"),
    get("/same/_search?batched_reduce_size=x"),
    get("/same/_search?size=-1"),
    post("/same/_bulk", "{\"index\":{\"_id\":\"1\"}}\n{}"),
    post("/same/_bulk", "{\"foo\":{}}\n{}\n"),
    post("/same/_bulk", "{\"index\":{\"zz\":1}}\n{}\n"),
    post("/_bulk", "{\"index\":{}}\n{}\n"),
    post("/same/_bulk", "{\"delete\":{}}\n"),
    post("/same/_bulk", ""),
    post("/same", ""),
    get("/same/_doc"),
    get("/same/a/b"),
    delete("/same,nope"),
    delete("/life"),
    delete("/same*"),
];
