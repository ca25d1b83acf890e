//! The settings of an index: the few that this engine has, in the forms that clients write.

use serde_json::{Map, Value, json};

use super::error::{ApiError, Cause};

/// What can be set when an index is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    /// Copies that a cluster would keep on other nodes. There are none, so that an index with replicas is yellow.
    pub(super) replicas: u32,
}

// === impl Settings ===

impl Default for Settings {
    /// The engines' own default.
    fn default() -> Self {
        Self { replicas: 1 }
    }
}

impl Settings {
    /// Reads `{"number_of_replicas": 0}`, with or without `index`, nested or with dots.
    pub(super) fn parse(json: &Value) -> Result<Self, ApiError> {
        let mut settings = Self::default();
        let Value::Object(object) = json else {
            return Err(ApiError::parsing("settings must be an object"));
        };
        let mut flat = Vec::new();
        flatten(object, "", &mut flat);
        for (key, value) in flat {
            let name = key.strip_prefix("index.").unwrap_or(&key);
            match name {
                "number_of_shards" => match number(name, value, 1)? {
                    1 => {}
                    other => return Err(ApiError::unsupported(format!("[index.number_of_shards] of [{other}]"))),
                },
                "number_of_replicas" => settings.replicas = number(name, value, 0)?,
                "refresh_interval" if value == "1s" => {}
                "refresh_interval" => {
                    return Err(ApiError::unsupported(format!("[index.refresh_interval] other than [1s], as [{}],", plain(value))));
                }
                other if other.split('.').next() == Some("analysis") => {
                    return Err(ApiError::unsupported(format!("[index.{other}]")));
                }
                other => {
                    let reason = format!(
                        "unknown setting [index.{other}] please check that any required plugins are installed, or check the breaking \
                         changes documentation for removed settings"
                    );
                    return Err(ApiError::new(400, Cause::new("settings_exception", reason)));
                }
            }
        }
        Ok(settings)
    }

    /// Returns what is kept beside an index, so that [`Self::parse`] reads it again.
    pub(super) fn to_json(self) -> Value {
        json!({"number_of_replicas": self.replicas})
    }
}

/// Collects the leaves with the dotted paths to them.
fn flatten<'a>(object: &'a Map<String, Value>, prefix: &str, flat: &mut Vec<(String, &'a Value)>) {
    for (key, value) in object {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Object(inner) => flatten(inner, &path, flat),
            _ => flat.push((path, value)),
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Reads a number that may be written as a string.
fn number(name: &str, value: &Value, least: u32) -> Result<u32, ApiError> {
    let written = plain(value);
    match written.parse::<u32>() {
        Ok(number) if number >= least => Ok(number),
        Ok(_) => {
            Err(ApiError::illegal_argument(format!("Failed to parse value [{written}] for setting [index.{name}] must be >= {least}")))
        }
        Err(_) => Err(ApiError::illegal_argument(format!("Failed to parse value [{written}] for setting [index.{name}]"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Settings;

    #[test]
    fn every_form_of_a_setting_is_read() {
        for form in [
            json!({"number_of_shards": 1, "number_of_replicas": 0}),
            json!({"index": {"number_of_replicas": "0"}}),
            json!({"index.number_of_replicas": 0, "index": {"refresh_interval": "1s"}}),
        ] {
            assert_eq!(Settings::parse(&form), Ok(Settings { replicas: 0 }), "{form}");
        }
        for nothing in [json!({}), json!({"index": {}})] {
            assert_eq!(Settings::parse(&nothing), Ok(Settings { replicas: 1 }), "{nothing}");
        }
        let kept = Settings { replicas: 3 };
        assert_eq!(Settings::parse(&kept.to_json()), Ok(kept));
    }

    #[test]
    fn other_settings_are_named() {
        for (wrong, named) in [
            (json!({"number_of_shards": 2}), "[index.number_of_shards] of [2]"),
            (json!({"number_of_shards": 0}), "must be >= 1"),
            (json!({"number_of_replicas": -1}), "[index.number_of_replicas]"),
            (json!({"index": {"refresh_interval": "-1"}}), "[index.refresh_interval]"),
            (json!({"analysis": {"analyzer": {"mine": {"type": "custom"}}}}), "[index.analysis.analyzer.mine.type]"),
            (json!({"foo": 1}), "unknown setting [index.foo]"),
            (json!([]), "object"),
        ] {
            let error = Settings::parse(&wrong).unwrap_err();
            assert!(error.cause().reason().contains(named), "{error}");
        }
    }
}
