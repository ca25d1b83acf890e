//! Finds the one rule that all index expressions of a search belong to.
//!
//! An expression is compared as text: `*` in a rule's pattern stands for any text, `*` in a request for itself. So a request
//! for `prod*` matches `prod*` and `p*`, and never `products*`: whatever the request may stand for, the pattern covers it.
//! A rule's exclusion is compared in the same way: `-products-internal` leaves a search of `products-internal`, and none
//! of `products*`, whose answer may hold hits of that index.

use std::sync::Arc;

use http::HeaderMap;
use wildmatch::WildMatchPattern;

use crate::{
    config::{Rule, When},
    es::url::Params,
};

/// `*` alone is special: patterns hold no control characters.
type Pattern = WildMatchPattern<'*', '\0'>;

/// What the rules say about a search.
#[derive(Clone, Debug)]
pub enum Match {
    /// All its index expressions belong to this rule.
    Rule(Arc<Rule>),
    /// None belongs to any rule.
    NoRule,
    /// They belong to different rules, or some to none.
    Mixed {
        /// Whether every rule among them lets the answer say so.
        headers: bool,
    },
}

/// Returns the rule of a search of `index`, the decoded expressions of its path or header.
pub fn find(index: &str, query: Option<&str>, headers: &HeaderMap, rules: &[Arc<Rule>]) -> Match {
    let open: Vec<_> = rules.iter().filter(|rule| holds(&rule.when, query, headers)).collect();
    let found: Vec<_> = positive(index).into_iter().map(|expression| open.iter().find(|rule| takes(rule, expression))).collect();
    let mut matched = found.iter().flatten();
    match matched.next() {
        None => Match::NoRule,
        Some(first) if found.iter().all(|rule| rule.is_some_and(|rule| Arc::ptr_eq(rule, first))) => Match::Rule(Arc::clone(first)),
        Some(first) => Match::Mixed { headers: first.headers && matched.all(|rule| rule.headers) },
    }
}

/// Returns the expressions that add indices: all of them (`*`) when there is no expression at all, none when each excludes.
pub(super) fn positive(index: &str) -> Vec<&str> {
    let mut expressions = index.split(',').filter(|expression| !expression.is_empty()).peekable();
    if expressions.peek().is_none() {
        return vec!["*"];
    }
    expressions.filter(|expression| !expression.starts_with('-')).map(|name| if name == "_all" { "*" } else { name }).collect()
}

fn takes(rule: &Rule, expression: &str) -> bool {
    matching(&rule.index, expression).is_some() && matching(&rule.not_index, expression).is_none()
}

/// Returns the first of the patterns that covers an expression.
pub(super) fn matching<'p>(patterns: &'p [String], expression: &str) -> Option<&'p str> {
    patterns.iter().find(|pattern| Pattern::new(pattern).matches(expression)).map(String::as_str)
}

/// Returns whether a rule's conditions hold. Of a header that stands several times one value is enough; a query string that
/// may be read in two ways meets no condition.
pub(super) fn holds(when: &When, query: Option<&str>, headers: &HeaderMap) -> bool {
    let has = |(name, value): (&String, &String)| headers.get_all(name).iter().any(|sent| sent.as_bytes() == value.as_bytes());
    when.header.iter().all(has)
        && (when.url_param.is_empty()
            || Params::parse(query).is_ok_and(|params| when.url_param.iter().all(|(name, value)| params.get(name) == Some(value))))
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use http::{HeaderMap, HeaderValue};
    use proptest::prelude::{Strategy, proptest};

    use super::{Match, Pattern, find};
    use crate::config::{KINDS, Rule, parse};

    fn rules(written: &str) -> Vec<Arc<Rule>> {
        let start = "upstream.nodes = ['http://a']\nmodels.m.source = './m'\ndefaults = { model = 'm', fields = ['title'] }\n";
        parse(Path::new("podium.toml"), &format!("{start}{written}"), KINDS).expect("right").rules
    }

    fn matched(index: &str, query: Option<&str>, headers: &HeaderMap, rules: &[Arc<Rule>]) -> String {
        match find(index, query, headers, rules) {
            Match::Rule(rule) => format!("rule {}", rule.number),
            Match::NoRule => "no-rule".to_owned(),
            Match::Mixed { headers } => format!("mixed, headers {headers}"),
        }
    }

    fn table(rules: &[Arc<Rule>], rows: &[(&str, &str)]) {
        for (index, expected) in rows {
            assert_eq!(matched(index, None, &HeaderMap::new(), rules), *expected, "{index}");
        }
    }

    #[test]
    fn all_expressions_belong_to_one_rule() {
        let rules = rules("rules = [{ index = ['products*', 'shop'] }, { index = ['pro*', 'news'], headers = false }]");
        table(
            &rules,
            &[
                ("products", "rule 0"),
                ("products-eu,shop", "rule 0"),
                ("products,products-eu,", "rule 0"),
                ("prod", "rule 1"),
                ("products,news", "mixed, headers false"),
                ("products,other", "mixed, headers true"),
                ("other,products", "mixed, headers true"),
                ("other", "no-rule"),
                ("other,another", "no-rule"),
                ("Products", "no-rule"),
                ("cluster:products", "no-rule"),
                ("*", "no-rule"),
                ("_all", "no-rule"),
                ("", "no-rule"),
            ],
        );
    }

    #[test]
    fn patterns_of_a_request_are_text() {
        table(
            &rules("rules = [{ index = ['products*'] }]"),
            &[("products*", "rule 0"), ("products-*", "rule 0"), ("prod*", "no-rule"), ("product?", "no-rule"), ("*products", "no-rule")],
        );
        table(&rules("rules = [{ index = ['p?o*'] }]"), &[("p?ox", "rule 0"), ("prox", "no-rule")]);
    }

    #[test]
    fn exclusions_of_a_request_do_not_count() {
        table(
            &rules("rules = [{ index = ['products*'] }, { index = ['*'] }]"),
            &[("products*,-products-old", "rule 0"), ("-news,products", "rule 0"), ("*,-products", "rule 1"), ("-products", "no-rule")],
        );
    }

    #[test]
    fn exclusions_of_a_rule_leave_to_the_next() {
        let rules = rules("rules = [{ index = ['products*', '-products-internal*'] }, { index = ['*', '-.*'] }]");
        table(
            &rules,
            &[
                ("products-eu", "rule 0"),
                ("products-internal-1", "rule 1"),
                ("products*", "rule 0"),
                ("products-internal*", "rule 1"),
                ("products-eu,products-internal", "mixed, headers true"),
                (".kibana", "no-rule"),
            ],
        );
    }

    #[test]
    fn everything_is_one_expression() {
        for all in ["*", "_all"] {
            let rules = rules(&format!("rules = [{{ index = ['{all}'] }}]"));
            table(&rules, &[("*", "rule 0"), ("_all", "rule 0"), ("", "rule 0"), (",", "rule 0"), ("a,b*", "rule 0")]);
        }
    }

    #[test]
    fn other_clusters_and_date_math_are_text() {
        table(
            &rules("rules = [{ index = ['eu:products*', '<logs-{now/d}>'] }]"),
            &[("eu:products-1", "rule 0"), ("us:products-1", "no-rule"), ("<logs-{now/d}>", "rule 0"), ("<logs-{now/M}>", "no-rule")],
        );
    }

    #[test]
    fn a_condition_narrows_a_rule() {
        let rules = rules(
            "rules = [{ index = ['*'], when = { header = { X-Ad-Slot = 'feed' }, url-param = { preference = 'b c' } } }, { index = ['*'] }]",
        );
        let mut headers = HeaderMap::new();
        assert_eq!(matched("a", Some("preference=b+c"), &headers, &rules), "rule 1");
        headers.append("x-ad-slot", HeaderValue::from_static("top"));
        headers.append("x-ad-slot", HeaderValue::from_static("feed"));
        for (query, expected) in [
            (Some("size=3&preference=b%20c"), "rule 0"),
            (Some("pre%66erence=b+c"), "rule 0"),
            (Some("preference=B+c"), "rule 1"),
            (Some("preference=b+c&preference=b+c"), "rule 1"),
            (Some("preference"), "rule 1"),
            (None, "rule 1"),
        ] {
            assert_eq!(matched("a", query, &headers, &rules), expected, "{query:?}");
        }
    }

    /// What the wildcards mean, told by what they mean: a part may be nothing, or lose its first letter to the star.
    fn covers(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], rest) => rest.is_empty(),
            (['*', after @ ..], _) => covers(after, text) || text.split_first().is_some_and(|(_, rest)| covers(pattern, rest)),
            ([letter, after @ ..], [first, rest @ ..]) => letter == first && covers(after, rest),
            (_, []) => false,
        }
    }

    fn names() -> impl Strategy<Value = String> {
        "[ab?*.é]{0,8}"
    }

    proptest! {
        #[test]
        fn a_star_is_any_text_and_nothing_else_is_special(pattern in names(), text in names()) {
            let [letters, text_letters] = [&pattern, &text].map(|name| name.chars().collect::<Vec<_>>());
            assert_eq!(Pattern::new(&pattern).matches(&text), covers(&letters, &text_letters));
        }

        #[test]
        fn a_pattern_that_takes_a_pattern_takes_what_that_stands_for(
            pattern in names(), text in names(), filler in "[ab?.é]{0,4}",
        ) {
            let wide = Pattern::new(&pattern);
            if wide.matches(&text) {
                assert!(wide.matches(&text.replace('*', &filler)));
            }
        }
    }
}
