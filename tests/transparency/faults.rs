//! Each test lets one thing go wrong between Podium and the comparator, which has to say what it is.
//!
//! The answers are Podium's own, before an engine in miniature; without the fault the comparator finds nothing in them.

use crate::{
    comparator::{Answer, Promise, Reranked, compare, compare_items},
    difference::Difference,
    raw::{self, Node},
    support::{
        app::{self, Gateway, REVERSE},
        fake_engine::{FakeEngine, Product},
        http::Call,
    },
};

const DOCUMENTS: usize = 120;
const WINDOW: usize = 50;
/// The hit that things happen to.
const VICTIM: usize = 3;

/// A search, its two answers, and the engine's to the whole of it.
struct Case {
    engine: FakeEngine,
    gateway: Gateway,
    from: usize,
    direct: Answer,
    through: Answer,
    wide: Answer,
}

fn search(from: usize, size: usize) -> Call {
    let settings = r#""_source":{"excludes":["title"]},"fields":["text","price"],"highlight":{"fields":{"title":{}}},"version":true"#;
    Call::search(&format!(r#"{{"query":{{"match":{{"title":"shoe"}}}},{settings},"from":{from},"size":{size}}}"#))
}

// === impl Case ===

impl Case {
    async fn of(from: usize, size: usize) -> Self {
        let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
        let gateway = app::start(&engine, REVERSE).await;
        let node = engine.node.address;
        let answer = async |call: Call, address| Answer::of(&call.send(address).await);
        let direct = answer(search(from, size), node).await;
        let through = answer(search(from, size), gateway.address).await;
        let wide = answer(search(0, WINDOW.max(from + size)), node).await;
        assert!(through.header("rerank-status").starts_with("reranked"), "{}", through.header("rerank-status"));
        let case = Self { engine, gateway, from, direct, through, wide };
        assert_eq!(case.differences(), [], "without a fault");
        case
    }

    /// A page that goes on behind the window.
    async fn across() -> Self {
        Self::of(0, 100).await
    }

    fn differences(&self) -> Vec<Difference> {
        let length = WINDOW.max(self.from + 100).min(DOCUMENTS);
        let order = (0..WINDOW).rev().chain(WINDOW..length).collect();
        let reranked = Reranked { wide: self.wide.text().unwrap(), from: self.from, window: WINDOW, order: Some(order) };
        compare(&self.direct, &self.through, &Promise::Reranked(reranked))
    }

    /// Changes the body that the client gets; `edit` returns spans and what comes there.
    fn change(&mut self, edit: impl FnOnce(&str, &Node) -> Vec<(std::ops::Range<usize>, String)>) {
        let text = self.through.text().unwrap().to_owned();
        let root = raw::parse(&text).unwrap();
        self.through.set_body(&raw::splice(&text, edit(&text, &root)));
    }

    /// Changes one value of the victim.
    fn change_hit(&mut self, path: &[&str], change: impl FnOnce(&str) -> String) {
        self.change(|text, root| {
            let value = hits(text, root)[VICTIM].at(text, path).unwrap();
            vec![(value.span.clone(), change(value.text(text)))]
        });
    }

    #[track_caller]
    fn assert_named(&self, expected: &[Difference]) {
        assert_eq!(self.differences(), expected);
    }

    /// The id of a hit of the page as the comparator names it.
    fn id(&self, turn: usize) -> String {
        let text = self.through.text().unwrap();
        let root = raw::parse(text).unwrap();
        format!("products/{}", hits(text, &root)[turn].get(text, "_id").unwrap().text(text).trim_matches('"'))
    }
}

fn hits<'n>(text: &str, root: &'n Node) -> &'n [Node] {
    root.at(text, &["hits", "hits"]).unwrap().items()
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_1_a_hit_is_lost() {
    let mut case = Case::across().await;
    let lost = case.id(VICTIM);
    case.change(|text, root| vec![(hits(text, root)[VICTIM].span.start..hits(text, root)[VICTIM + 1].span.start, String::new())]);
    case.assert_named(&[Difference::PageLength { direct: 100, through: 99 }, Difference::HitLost(lost)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_2_a_hit_is_doubled() {
    let mut case = Case::across().await;
    let doubled = case.id(VICTIM);
    case.change(|text, root| {
        let all = hits(text, root);
        vec![(all[VICTIM + 1].span.clone(), all[VICTIM].text(text).to_owned())]
    });
    case.assert_named(&[Difference::HitDoubled(doubled)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_3_two_hits_are_swapped_outside_the_window() {
    let mut case = Case::across().await;
    case.change(|text, root| {
        let pair = [WINDOW + 4, WINDOW + 5].map(|place| hits(text, root)[place].span.clone());
        // Their scores stay behind: those descend.
        let scores = [WINDOW + 4, WINDOW + 5].map(|place| hits(text, root)[place].get(text, "_score").unwrap().text(text).to_owned());
        let [one, other] = pair.clone().map(|span| text[span].to_owned());
        vec![(pair[0].clone(), other.replace(&scores[1], &scores[0])), (pair[1].clone(), one.replace(&scores[0], &scores[1]))]
    });
    case.assert_named(&[Difference::TailOrder { place: WINDOW + 4 }, Difference::TailOrder { place: WINDOW + 5 }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_4_the_order_of_keys_is_changed() {
    let mut case = Case::across().await;
    case.change_hit(&["_source"], |source| {
        let big = r#""big":9007199254740993"#;
        source
            .replace(&format!(",{big}"), "")
            .replace('{', &format!("{{{big},"))
            .replace(&format!("[{{{big},"), "[{")
            .replace(&format!(",{{{big},"), ",{")
    });
    case.assert_named(&[Difference::KeyOrder(format!("/hits/hits/{VICTIM}/_source"))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_5_a_long_integer_is_rounded() {
    let mut case = Case::across().await;
    case.change_hit(&["_source", "big"], |big| format!("{}", big.parse::<f64>().unwrap()));
    let at = format!("/hits/hits/{VICTIM}/_source/big");
    case.assert_named(&[Difference::Rounded { at, direct: "9007199254740993".into(), through: "9007199254740992".into() }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_6_a_decimal_is_printed_again() {
    let mut case = Case::across().await;
    case.change_hit(&["_source", "price"], |price| format!("{}", price.parse::<f64>().unwrap()));
    let at = format!("/hits/hits/{VICTIM}/_source/price");
    case.assert_named(&[Difference::Reprinted { at, direct: "1.0".into(), through: "1".into() }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_7_a_header_is_lost() {
    let mut case = Case::across().await;
    case.through.headers.retain(|(name, _)| name != "x-opensearch-version");
    case.assert_named(&[Difference::HeaderLost("x-opensearch-version".into())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_8_a_header_is_added() {
    let mut case = Case::across().await;
    case.through.headers.push(("via".into(), "1.1 somebody".into()));
    case.assert_named(&[Difference::HeaderAdded("via".into())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_9_a_field_that_the_client_asked_for_is_stripped() {
    let mut case = Case::across().await;
    case.change_hit(&["fields"], |_| r#"{"price":[1.0]}"#.into());
    case.assert_named(&[Difference::KeyLost(format!("/hits/hits/{VICTIM}/fields/text"))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_10_an_added_field_leaks() {
    let mut case = Case::across().await;
    case.change_hit(&["fields"], |fields| fields.replace('{', r#"{"title":["shoe"],"#));
    case.assert_named(&[Difference::KeyAdded(format!("/hits/hits/{VICTIM}/fields/title"))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_11_the_whole_window_comes_instead_of_the_page() {
    let mut case = Case::of(0, 10).await;
    let whole = search(0, WINDOW).send(case.gateway.address).await;
    case.through = Answer::of(&whole);
    let found = case.differences();
    assert_eq!(found[0], Difference::PageLength { direct: 10, through: WINDOW });
    assert!(found[1..].iter().all(|one| matches!(one, Difference::HitMisplaced(_))) && found.len() == 1 + WINDOW - 10, "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_12_a_stale_page_comes() {
    let mut case = Case::of(20, 10).await;
    case.through = Answer::of(&search(10, 10).send(case.gateway.address).await);
    case.assert_named(&[Difference::OtherPage { from: 10 }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_13_the_total_is_changed() {
    let mut case = Case::across().await;
    case.change(|text, root| vec![(root.at(text, &["hits", "total", "value"]).unwrap().span.clone(), "100".into())]);
    case.assert_named(&[Difference::Value { at: "/hits/total/value".into(), direct: "120".into(), through: "100".into() }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_14_a_404_becomes_a_200() {
    let case = Case::across().await;
    case.engine.trouble(|_| Some(crate::support::fake_engine::Trouble::Status(404)));
    let direct = Answer::of(&search(0, 10).send(case.engine.node.address).await);
    let mut through = Answer::of(&search(0, 10).send(case.gateway.address).await);
    assert_eq!(compare(&direct, &through, &Promise::Untouched), []);
    through.status = 200;
    assert_eq!(compare(&direct, &through, &Promise::Untouched), [Difference::Status { direct: 404, through: 200 }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_15_the_content_type_is_changed() {
    let mut case = Case::across().await;
    let (name, value) = case.through.headers.iter_mut().find(|(name, _)| name == "content-type").unwrap();
    *value = "application/json".into();
    let direct = "application/json; charset=UTF-8".into();
    let expected = Difference::HeaderChanged { name: name.clone(), direct, through: value.clone() };
    case.assert_named(&[expected]);
}

/// More than the fifteen: what else the comparator says.
#[tokio::test(flavor = "multi_thread")]
async fn other_faults_are_named_too() {
    let mut case = Case::across().await;
    let kept = case.through.clone();
    case.change(|text, root| {
        let pair = [VICTIM, VICTIM + 1].map(|place| hits(text, root)[place].get(text, "_id").unwrap().span.clone());
        vec![(pair[0].clone(), "\"of another\"".into())]
    });
    case.assert_named(&[Difference::HitForeign("products/of another".into())]);
    case.through = kept.clone();
    case.change(|text, root| vec![(root.at(text, &["hits", "max_score"]).unwrap().span.clone(), "null".into())]);
    case.assert_named(&[Difference::ScoreNull("/hits/max_score".into())]);
    case.through = kept.clone();
    case.change_hit(&["_score"], |_| "1e9".into());
    case.assert_named(&[Difference::ScoreOrder { place: VICTIM }]);
    case.through = kept.clone();
    case.through.set_body(&kept.text().unwrap().replace("\"timed_out\":false", "\"timed_out\": false"));
    assert!(matches!(case.differences()[..], [Difference::Spacing { .. }]), "{:?}", case.differences());
    case.through = kept;
    case.through.body.pop();
    assert!(matches!(case.differences()[..], [Difference::Bytes { .. }]), "{:?}", case.differences());
}

/// An answer of a multi search is compared item by item, each by its own promise.
#[tokio::test(flavor = "multi_thread")]
async fn items_of_a_multi_search_are_compared_one_by_one() {
    let case = Case::of(0, 10).await;
    let bundle = |items: [&Answer; 2]| {
        let [one, other] = items.map(|item| item.text().unwrap().to_owned());
        let mut bundled = items[0].clone();
        bundled.set_body(&format!("{{\"took\":{},\"responses\":[{one},{other}]}}", one.len() % 7));
        bundled
    };
    let order: Vec<usize> = (0..WINDOW).rev().collect();
    let reranked = Reranked { wide: case.wide.text().unwrap(), from: 0, window: WINDOW, order: Some(order) };
    let promises = [Promise::Reranked(reranked), Promise::Untouched];
    let (direct, through) = (bundle([&case.direct, &case.direct]), bundle([&case.through, &case.direct]));
    assert_eq!(compare_items(&direct, &through, &promises), []);
    let swapped = bundle([&case.direct, &case.through]);
    assert!(!compare_items(&direct, &swapped, &promises).is_empty());
    let mut changed = through.clone();
    changed.set_body(&through.text().unwrap().replacen("\"value\":120", "\"value\":121", 1));
    let expected = Difference::Value { at: "/responses/0/hits/total/value".into(), direct: "120".into(), through: "121".into() };
    assert_eq!(compare_items(&direct, &changed, &promises), [expected]);
}
