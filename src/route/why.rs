//! Says why a search has the rule that it has, expression by expression.

use std::sync::Arc;

use http::HeaderMap;
use serde::Serialize;

use super::rules::{holds, matching, positive};
use crate::config::Rule;

/// One index expression of a search, and the first rule that takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Expression {
    /// As the client wrote it, decoded.
    pub expression: String,
    /// The rule's place in the file, from 0; none when no rule takes it.
    pub rule: Option<usize>,
    /// The rule's pattern that it matches.
    pub pattern: Option<String>,
    /// Rules before it, or all, whose pattern matches too, and why they do not take it.
    pub passed_over: Vec<PassedOver>,
}

/// A rule that would take an expression.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PassedOver {
    /// Its place in the file, from 0.
    pub rule: usize,
    /// Why it does not.
    pub because: String,
}

/// Returns what the rules say about each positive expression of `index`, the decoded expressions of a search's path.
pub fn why(index: &str, query: Option<&str>, headers: &HeaderMap, rules: &[Arc<Rule>]) -> Vec<Expression> {
    let of = |expression: &str| {
        let mut found = Expression { expression: expression.to_owned(), rule: None, pattern: None, passed_over: Vec::new() };
        for rule in rules {
            let Some(pattern) = matching(&rule.index, expression) else { continue };
            let because = if let Some(left) = matching(&rule.not_index, expression) {
                format!("it leaves -{left}")
            } else if holds(&rule.when, query, headers) {
                (found.rule, found.pattern) = (Some(rule.number), Some(pattern.to_owned()));
                break;
            } else {
                "its `when` does not hold".to_owned()
            };
            found.passed_over.push(PassedOver { rule: rule.number, because });
        }
        found
    };
    positive(index).into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use http::HeaderMap;

    use super::why;
    use crate::config::{KINDS, parse};

    const RULES: &str = "upstream.nodes = ['http://a']\nmodels.m.source = './m'\ndefaults = { model = 'm', fields = ['title'] }\n\
        rules = [{ index = ['p*', '-products'] }, { index = ['prod*'], when = { header = { x = 'y' } } }, { index = ['shop', 'products'] }]";

    #[test]
    fn every_expression_has_its_rule_and_those_that_leave_it() {
        let rules = parse(Path::new("p.toml"), RULES, KINDS).expect("right").rules;
        let found = why("products,other,-x", None, &HeaderMap::new(), &rules);
        assert_eq!(found.iter().map(|one| one.expression.as_str()).collect::<Vec<_>>(), ["products", "other"]);
        assert_eq!((found[0].rule, found[0].pattern.as_deref()), (Some(2), Some("products")));
        let over: Vec<_> = found[0].passed_over.iter().map(|over| (over.rule, over.because.as_str())).collect();
        assert_eq!(over, [(0, "it leaves -products"), (1, "its `when` does not hold")]);
        assert_eq!((found[1].rule, found[1].passed_over.len()), (None, 0));
        let headers = HeaderMap::from_iter([("x".parse().expect("a name"), "y".parse().expect("a value"))]);
        assert_eq!(why("products", None, &headers, &rules)[0].rule, Some(1));
    }
}
