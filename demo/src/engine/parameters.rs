//! The parameters of a URL: read once, and refused by name where an endpoint does not know them.

use percent_encoding::percent_decode_str;

use super::{
    error::{ApiError, Cause},
    media,
};

/// Those that every endpoint takes. They change how an answer is written, or nothing.
const EVERYWHERE: [&str; 3] = ["pretty", "human", "error_trace"];

/// Decoded names and values in the order of the URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    path: String,
    pairs: Vec<(String, String)>,
}

// === impl Parameters ===

impl Parameters {
    /// Reads the query of a URL with this path.
    pub(super) fn read(path: &str, query: Option<&str>) -> Self {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        });
        Self { path: path.to_owned(), pairs: pairs.collect() }
    }

    /// Refuses any parameter that is neither among `known` nor taken everywhere, and values that make no sense.
    pub(super) fn allow(&self, known: &[&str]) -> Result<(), ApiError> {
        let unknown = |name: &&str| !known.contains(name) && !EVERYWHERE.contains(name);
        let mut names: Vec<&str> = self.pairs.iter().map(|(name, _)| name.as_str()).filter(unknown).collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            return self.pairs.iter().try_for_each(|(name, value)| check(name, value));
        }
        let plural = if names.len() == 1 { "" } else { "s" };
        let list: Vec<String> = names.iter().map(|name| format!("[{name}]")).collect();
        Err(ApiError::illegal_argument(format!("request [{}] contains unrecognized parameter{plural}: {}", self.path, list.join(", "))))
    }

    /// Returns the refusal of a body where none is read.
    pub(super) fn without_body(&self) -> ApiError {
        ApiError::illegal_argument(format!("request [{}] does not support having a body", self.path))
    }

    /// Returns a parameter's value; the last one counts.
    pub(super) fn get(&self, wanted: &str) -> Option<&str> {
        self.pairs.iter().rev().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }

    /// Returns whether a flag is set: `x`, `x=` and `x=true` set it.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        self.get(name).map(|value| boolean(name, value)).transpose()
    }

    /// Returns a count, as `size`.
    pub(super) fn count(&self, name: &str) -> Result<Option<usize>, ApiError> {
        self.get(name).map(|value| number(name, value)).transpose()
    }
}

/// Refuses wrong values of parameters that change nothing here, so that nobody else reads them.
pub(super) fn check(name: &str, value: &str) -> Result<(), ApiError> {
    match name {
        "pretty"
        | "human"
        | "error_trace"
        | "local"
        | "realtime"
        | "request_cache"
        | "typed_keys"
        | "ccs_minimize_roundtrips"
        | "phase_took"
        | "wait_for_no_relocating_shards"
        | "wait_for_no_initializing_shards" => boolean(name, value).map(drop),
        "batched_reduce_size" | "max_concurrent_searches" | "max_concurrent_shard_requests" | "pre_filter_shard_size" => {
            number(name, value).map(drop)
        }
        "timeout" | "master_timeout" | "cluster_manager_timeout" | "cancel_after_time_interval" if !is_duration(value) => {
            let reason = "as a time value: unit is missing or unrecognized";
            Err(ApiError::illegal_argument(format!("failed to parse setting [{name}] with value [{value}] {reason}")))
        }
        // One shard has no others to share its statistics with.
        "search_type" if !["query_then_fetch", "dfs_query_then_fetch"].contains(&value) => {
            Err(ApiError::illegal_argument(format!("No search type for [{value}]")))
        }
        "wait_for_active_shards" if !["0", "1"].contains(&value) => {
            Err(ApiError::unsupported(format!("[wait_for_active_shards] of [{value}]")))
        }
        "wait_for_events" if !["immediate", "urgent", "high", "normal", "low", "languid"].contains(&value) => {
            Err(ApiError::illegal_argument(format!("No enum constant for [wait_for_events] of [{value}]")))
        }
        "source_content_type" if !media::is_json(value) => {
            Err(ApiError::illegal_argument(format!("Unknown value for source_content_type [{value}]")))
        }
        _ => Ok(()),
    }
}

fn number(name: &str, value: &str) -> Result<usize, ApiError> {
    let number: i64 = value.parse::<i32>().map(i64::from).map_err(|_| {
        let reason = format!("Failed to parse int parameter [{name}] with value [{value}]");
        ApiError::illegal_argument(reason).caused_by(Cause::new("number_format_exception", format!("For input string: \"{value}\"")))
    })?;
    usize::try_from(number).map_err(|_| ApiError::illegal_argument(format!("[{name}] parameter cannot be negative, found [{number}]")))
}

fn boolean(name: &str, value: &str) -> Result<bool, ApiError> {
    match value {
        "" | "true" => Ok(true),
        "false" => Ok(false),
        other => Err(ApiError::illegal_argument(format!(
            "Failed to parse value [{other}] as only [true] or [false] are allowed. (parameter [{name}])"
        ))),
    }
}

/// Whether it is written as `30s`; 0 and -1 need no unit.
fn is_duration(text: &str) -> bool {
    let unit = text.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let is_counted = unit.len() < text.len() && ["nanos", "micros", "ms", "s", "m", "h", "d"].contains(&unit);
    is_counted || ["0", "-1"].contains(&text)
}

fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::Parameters;

    #[test]
    fn names_and_values_are_decoded() {
        let parameters = Parameters::read("/a/_search", Some("q=red+%22shoe%22&size=3&pretty&&x=a%3Db"));
        assert_eq!(parameters.get("q"), Some("red \"shoe\""));
        assert_eq!(parameters.count("size"), Ok(Some(3)));
        assert_eq!(parameters.flag("pretty"), Ok(Some(true)));
        assert_eq!(parameters.get("x"), Some("a=b"));
        assert_eq!(parameters.get("from"), None);
    }

    #[test]
    fn what_an_endpoint_does_not_know_is_named() {
        let parameters = Parameters::read("/a/_search", Some("b=1&a=2&size=1"));
        let error = parameters.allow(&["size"]).unwrap_err();
        assert_eq!(error.cause().reason(), "request [/a/_search] contains unrecognized parameters: [a], [b]");
        assert_eq!(parameters.allow(&["a", "b", "size"]), Ok(()));
    }

    #[test]
    fn numbers_are_whole_and_not_negative() {
        for wrong in ["size=-1", "size=a", "size=1.5", "size=", "size=99999999999"] {
            assert!(Parameters::read("/", Some(wrong)).count("size").is_err(), "{wrong}");
        }
        assert!(Parameters::read("/", Some("refresh=maybe")).flag("refresh").is_err());
    }

    #[test]
    fn values_that_change_nothing_have_to_make_sense() {
        for (name, right, wrong) in [
            ("pretty", ["", "true"], "maybe"),
            ("timeout", ["30s", "-1"], "banana"),
            ("master_timeout", ["1ms", "0"], "5"),
            ("typed_keys", ["true", "false"], "1"),
            ("pre_filter_shard_size", ["1", "128"], "x"),
            ("search_type", ["query_then_fetch", "dfs_query_then_fetch"], "foo"),
            ("wait_for_active_shards", ["0", "1"], "7"),
            ("wait_for_events", ["languid", "normal"], "soon"),
            ("source_content_type", ["application/json", "application/vnd.elasticsearch%2Bjson;compatible-with=9"], "text/plain"),
        ] {
            let allowed = |value: &str| Parameters::read("/", Some(&format!("{name}={value}"))).allow(&[name]);
            assert_eq!(right.map(allowed), [Ok(()), Ok(())], "{name}");
            assert!(allowed(wrong).unwrap_err().cause().reason().contains(&format!("[{wrong}]")), "{name}");
        }
    }
}
