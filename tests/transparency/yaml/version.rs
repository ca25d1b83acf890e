//! Versions, and which tests they leave out.

use super::document::Node;

/// What a `skip` may ask of a runner; this one has all of these.
const FEATURES: [&str; 13] = [
    "allowed_warnings",
    "close_to",
    "contains",
    "embedded_stash_key",
    "headers",
    "node_selector",
    "regex",
    "stash_in_key",
    "stash_in_path",
    "stash_path_replace",
    "transform_and_set",
    "warnings",
    "yaml",
];

/// Major, minor, patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version([u32; 3]);

// === impl Version ===

impl Version {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let text = text.split('-').next().unwrap_or_default();
        let mut numbers = [0; 3];
        for (number, part) in numbers.iter_mut().zip(text.split('.')) {
            *number = part.parse().map_err(|_| format!("{text} is no version"))?;
        }
        Ok(Self(numbers))
    }

    /// Returns whether one of the ranges (`1.0.0 - 2.99.99, 3.1.0 - `) holds it.
    pub(super) fn is_in(self, ranges: &str) -> Result<bool, String> {
        if ranges.trim() == "all" {
            return Ok(true);
        }
        for range in ranges.split(',') {
            let (from, to) = range.split_once('-').ok_or_else(|| format!("{range} is no range"))?;
            let above = from.trim().is_empty() || self >= Self::read(from.trim())?;
            let below = to.trim().is_empty() || self <= Self::read(to.trim())?;
            if above && below {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns why a `skip` leaves a test out, if it does.
    pub(super) fn skips(self, skip: &Node) -> Result<Option<String>, String> {
        let mut reason = None;
        for (key, node) in skip.entries().ok_or("skip without keys")? {
            match key.as_str() {
                "version" if self.is_in(&node.plain_text())? => reason = Some(format!("version {}", node.plain_text())),
                "features" => {
                    let wanted = node.plain_text();
                    let lacking = wanted.split(',').find(|wanted| !FEATURES.contains(wanted));
                    reason = reason.or(lacking.map(|feature| format!("feature {feature}")));
                }
                "version" | "reason" => {}
                other => return Err(format!("skip has {other}")),
            }
        }
        Ok(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::Version;
    use crate::yaml::document::documents;

    #[test]
    fn ranges_are_closed_and_may_be_open_ended() {
        let version = Version::read("3.8.0-SNAPSHOT").unwrap();
        for (ranges, inside) in [
            ("all", true),
            (" - 3.7.99", false),
            (" - 3.8.0", true),
            ("3.8.0 - ", true),
            ("- 3.0.99, 3.7.0 - ", true),
            ("1.0.0 - 2.99.99, 3.9.0 - ", false),
        ] {
            assert_eq!(version.is_in(ranges), Ok(inside), "{ranges}");
        }
        assert!(version.is_in("3.8").is_err() && version.is_in("x - y").is_err());
    }

    #[test]
    fn a_skip_leaves_out_by_version_or_by_feature() {
        let skips = |text: &str| Version([3, 8, 0]).skips(&documents(text).unwrap()[0]);
        assert_eq!(skips("{version: ' - 3.7.99', reason: r}"), Ok(None));
        assert_eq!(skips("{version: all, reason: r}"), Ok(Some("version all".into())));
        assert_eq!(skips("{features: [headers, warnings]}"), Ok(None));
        assert_eq!(skips("{features: [headers, xpack]}"), Ok(Some("feature xpack".into())));
        assert!(skips("{cluster: x}").is_err());
    }
}
