//! Takes out of a hit's `fields` what Podium had added to them, so that the client gets what it asked for.

use std::sync::Arc;

use super::{
    json::Kind,
    layout::{Edit, Layout},
};

/// Returns what becomes of `fields`, the text of a hit's `fields` or `ignored_field_values`, without the `added` names.
///
/// Elasticsearch groups what lies in nested objects (`"n":[{"t":[..]}]`), OpenSearch writes `"n.t":[..]`. What is left
/// empty goes too, as the engine would not have printed it. Elasticsearch orders fields by a hash whose size follows
/// their number: what stays may stand in another order than in an answer without the added names.
pub(crate) fn strip(fields: &str, added: &[Arc<str>]) -> Edit {
    if added.is_empty() { Edit::Keep } else { strip_object(fields, "", added) }
}

fn strip_object(object: &str, prefix: &str, added: &[Arc<str>]) -> Edit {
    let Ok(layout) = Layout::of_object(object) else { return Edit::Keep };
    let edits = layout.items().iter().map(|item| {
        let path = format!("{prefix}{}", item.key);
        let group = format!("{path}.");
        let value = layout.value(item);
        // Engines print every field as an array; anything else here is part of some field's value.
        if Kind::of(value) != Kind::Array {
            Edit::Keep
        } else if added.iter().any(|name| **name == path) {
            Edit::Drop
        } else if added.iter().any(|name| name.starts_with(&group)) {
            strip_group(value, &group, added)
        } else {
            Edit::Keep
        }
    });
    settle(&layout, &edits.collect::<Vec<_>>())
}

fn strip_group(group: &str, prefix: &str, added: &[Arc<str>]) -> Edit {
    let Ok(layout) = Layout::of_array(group) else { return Edit::Keep };
    let edits = layout.items().iter().map(|item| strip_object(layout.value(item), prefix, added));
    settle(&layout, &edits.collect::<Vec<_>>())
}

fn settle(layout: &Layout<'_>, edits: &[Edit]) -> Edit {
    if edits.iter().all(|edit| *edit == Edit::Keep) {
        return Edit::Keep;
    }
    if edits.iter().all(|edit| *edit == Edit::Drop) {
        return Edit::Drop;
    }
    let mut text = String::with_capacity(layout.as_str().len());
    layout.write(edits, None, &mut text);
    Edit::Replace(text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Edit, strip};

    fn stripped(fields: &str, added: &[&str]) -> Edit {
        strip(fields, &added.iter().map(|name| Arc::from(*name)).collect::<Vec<_>>())
    }

    fn becomes(text: &str) -> Edit {
        Edit::Replace(text.to_owned())
    }

    #[test]
    fn flat_names() {
        let fields = r#"{"n.t":["a","b"],"n.u":[1],"title":["x"],"n.t.keyword":["a"]}"#;
        assert_eq!(stripped(fields, &["n.t"]), becomes(r#"{"n.u":[1],"title":["x"],"n.t.keyword":["a"]}"#));
        assert_eq!(stripped(fields, &["title", "n.u"]), becomes(r#"{"n.t":["a","b"],"n.t.keyword":["a"]}"#));
        assert_eq!(stripped(fields, &["n", "titl", "itle", "t"]), Edit::Keep);
        assert_eq!(stripped(r#"{"title":["x"],"n.t":[1]}"#, &["title", "n.t"]), Edit::Drop);
    }

    #[test]
    fn leaves_inside_grouped_nested_objects() {
        let fields = r#"{"n":[{"t":["a"]},{"u":[1],"t":["b"]},{"u":[2]}],"x":[0]}"#;
        assert_eq!(stripped(fields, &["n.t"]), becomes(r#"{"n":[{"u":[1]},{"u":[2]}],"x":[0]}"#));
        assert_eq!(stripped(fields, &["n.t", "n.u"]), becomes(r#"{"x":[0]}"#));
        assert_eq!(stripped(r#"{"n":[{"t":["a"]},{"t":["b"]}]}"#, &["n.t"]), Edit::Drop);
        assert_eq!(stripped(r#"{"n":[{"m":[{"a.t":["a"]}],"u":[1]}]}"#, &["n.m.a.t"]), becomes(r#"{"n":[{"u":[1]}]}"#));
    }

    #[test]
    fn values_that_only_look_like_groups_stay() {
        let fields = r#"{"flat":[{"t":"x"}],"point":[{"type":"Point","coordinates":[1.0,2.0]}],"empty":[],"t":{"u":["x"]}}"#;
        assert_eq!(stripped(fields, &["flat.t", "point.type", "empty.t", "t.u"]), Edit::Keep);
        assert_eq!(stripped("{}", &["t"]), Edit::Keep);
        assert_eq!(stripped("null", &["t"]), Edit::Keep);
    }
}
