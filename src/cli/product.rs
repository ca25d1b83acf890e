//! Which engine it is, and in which version, as it says of itself.

use crate::es::json;

/// Returns the product and its version, from the answer to `GET /`.
pub(super) fn product(text: &[u8]) -> Option<String> {
    let root = json::object(str::from_utf8(text).ok()?).ok()?;
    let version = json::object(root.get("version")?.get()).ok()?;
    let number = json::string(version.get("number")?)?;
    let product = version.get("distribution").and_then(json::string).unwrap_or("elasticsearch".into());
    Some(format!("{product} {number}"))
}

#[cfg(test)]
mod tests {
    use super::product;

    #[test]
    fn the_cluster_says_who_it_is() {
        let opensearch = br#"{"name":"n","version":{"distribution":"opensearch","number":"3.8.0"}}"#;
        assert_eq!(product(opensearch).as_deref(), Some("opensearch 3.8.0"));
        assert_eq!(product(br#"{"version":{"number":"9.5.3"}}"#).as_deref(), Some("elasticsearch 9.5.3"));
        assert_eq!(product(b"<html>"), None);
    }
}
