//! Reads the process's environment, once: nothing else in Podium looks at it.

#![allow(clippy::disallowed_methods, reason = "this is the one place")]

use std::{env, fs, path::PathBuf};

/// What the environment says.
#[derive(Clone, Default)]
pub struct Environment {
    /// The log filter, `PODIUM_LOG`.
    pub log: Option<String>,
    /// The user's own folder.
    pub home: Option<PathBuf>,
    /// Where the hub's files are kept: `HF_HUB_CACHE`, or `hub` in `HF_HOME`, or `~/.cache/huggingface/hub`.
    pub hub_cache: Option<PathBuf>,
    /// The hub's address, `HF_ENDPOINT`.
    pub hub_endpoint: String,
    /// What opens gated models: `HF_TOKEN`, or what the hub's own tools left in a file. Never printed.
    pub hub_token: Option<String>,
    /// Whether nothing may be downloaded: `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE`.
    pub offline: bool,
    /// Podium's own cache folder: `podium` in `XDG_CACHE_HOME`, or `~/.cache/podium`.
    pub cache: PathBuf,
}

// === impl Environment ===

impl Environment {
    /// Reads it.
    pub fn read() -> Self {
        let path = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let text = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let switch = |name: &str| text(name).is_some_and(|value| ["1", "true", "yes", "on"].contains(&value.to_lowercase().as_str()));
        let home = env::home_dir();
        let caches = path("XDG_CACHE_HOME").or_else(|| home.as_ref().map(|home| home.join(".cache")));
        let hub_home = path("HF_HOME").or_else(|| caches.as_ref().map(|caches| caches.join("huggingface")));
        let token_file = path("HF_TOKEN_PATH").or_else(|| hub_home.as_ref().map(|folder| folder.join("token")));
        let kept_token = || fs::read_to_string(token_file?).ok();
        Self {
            log: text("PODIUM_LOG"),
            hub_cache: path("HF_HUB_CACHE").or_else(|| hub_home.as_ref().map(|folder| folder.join("hub"))),
            hub_endpoint: text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into()),
            hub_token: text("HF_TOKEN").or_else(kept_token).map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()),
            offline: switch("HF_HUB_OFFLINE") || switch("TRANSFORMERS_OFFLINE"),
            cache: caches.unwrap_or_else(env::temp_dir).join("podium"),
            home,
        }
    }
}
