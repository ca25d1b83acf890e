//! The environment: the one place where it is read.
#![expect(clippy::disallowed_methods, reason = "this is the place where the environment is read")]

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

/// What the environment says.
#[derive(Clone, Default)]
pub struct Environment {
    /// `PODIUM_LOG`: the filter of the log.
    pub log: Option<String>,
    /// `HF_HUB_CACHE`, else `hub` in `HF_HOME`: where models of the hub are kept, by us and by others.
    pub hub_cache: PathBuf,
    /// `HF_ENDPOINT`: the hub, without a slash at the end.
    pub hub_endpoint: String,
    /// `HF_TOKEN`, else what stands in the file `token` in `HF_HOME`. Never printed.
    pub hub_token: Option<String>,
    /// `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE`: nothing is downloaded.
    pub offline: bool,
    /// `podium` in `XDG_CACHE_HOME`, else in `~/.cache`: where Podium keeps what it loads by itself.
    pub cache: PathBuf,
}

// === impl Environment ===

impl Environment {
    /// Reads the environment of this process, and the hub's token file.
    pub fn read() -> Self {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// Returns a variable that the configuration names, without the white space around it; nothing where it is empty.
    pub fn variable(name: &str) -> Option<String> {
        std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// An empty variable is none, as a relative `XDG_CACHE_HOME` is; without a home the caches lie in the working directory.
    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let home = variable("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from);
        let folder = |name| variable(name).map(|path| expand(&path, &home));
        let caches = folder("XDG_CACHE_HOME").filter(|path| path.is_absolute()).unwrap_or_else(|| home.join(".cache"));
        let hub_home = folder("HF_HOME").unwrap_or_else(|| caches.join("huggingface"));
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        let asked = |name| variable(name).is_some_and(|value| ["1", "true", "yes", "on"].contains(&value.to_ascii_lowercase().as_str()));
        Self {
            log: variable("PODIUM_LOG"),
            hub_cache: folder("HF_HUB_CACHE").unwrap_or_else(|| hub_home.join("hub")),
            hub_endpoint: endpoint.trim_end_matches('/').to_owned(),
            hub_token: variable("HF_TOKEN").or_else(|| token_in(&hub_home.join("token"))),
            offline: asked("HF_HUB_OFFLINE") || asked("TRANSFORMERS_OFFLINE"),
            cache: caches.join("podium"),
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { log, hub_cache, hub_endpoint: _, hub_token, offline, cache } = self;
        formatter
            .debug_struct("Environment")
            .field("log", log)
            .field("hub_cache", hub_cache)
            .field("hub_token", &hub_token.as_ref().map(|_| "…"))
            .field("offline", offline)
            .field("cache", cache)
            .finish_non_exhaustive()
    }
}

fn expand(path: &str, home: &Path) -> PathBuf {
    path.strip_prefix("~/").map_or_else(|| PathBuf::from(path), |rest| home.join(rest))
}

fn token_in(file: &Path) -> Option<String> {
    let token = fs::read_to_string(file).ok()?;
    Some(token.trim().to_owned()).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::Environment;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::from_variables(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn nothing_set_means_the_home_folder_and_the_public_hub() {
        let read = environment(&[("HOME", "/nowhere/home"), ("HF_TOKEN", " "), ("XDG_CACHE_HOME", "relative")]);
        assert_eq!(read.hub_cache, Path::new("/nowhere/home/.cache/huggingface/hub"));
        assert_eq!(read.cache, Path::new("/nowhere/home/.cache/podium"));
        assert_eq!(read.hub_endpoint, "https://huggingface.co");
        assert_eq!((read.log, read.hub_token, read.offline), (None, None, false));
    }

    #[test]
    fn each_variable_wins_over_what_it_is_derived_from() {
        let caches = [("HOME", "/nowhere"), ("XDG_CACHE_HOME", "/caches")];
        assert_eq!(environment(&caches).hub_cache, Path::new("/caches/huggingface/hub"));
        assert_eq!(environment(&caches).cache, Path::new("/caches/podium"));
        let home = [("HOME", "/nowhere"), ("XDG_CACHE_HOME", "/caches"), ("HF_HOME", "~/hf")];
        assert_eq!(environment(&home).hub_cache, Path::new("/nowhere/hf/hub"));
        assert_eq!(environment(&[("HF_HOME", "/hf"), ("HF_HUB_CACHE", "/hub")]).hub_cache, Path::new("/hub"));
        assert_eq!(environment(&[("HF_ENDPOINT", "http://mirror/hf/")]).hub_endpoint, "http://mirror/hf");
        assert_eq!(environment(&[("PODIUM_LOG", "debug")]).log.as_deref(), Some("debug"));
    }

    #[test]
    fn offline_is_asked_for_in_either_way() {
        for (name, value, offline) in [
            ("HF_HUB_OFFLINE", "1", true),
            ("HF_HUB_OFFLINE", "Yes", true),
            ("TRANSFORMERS_OFFLINE", "ON", true),
            ("TRANSFORMERS_OFFLINE", "true", true),
            ("HF_HUB_OFFLINE", "0", false),
            ("HF_HUB_OFFLINE", "", false),
        ] {
            assert_eq!(environment(&[(name, value)]).offline, offline, "{name}={value}");
        }
    }

    #[test]
    fn the_token_comes_from_the_variable_or_the_file_and_is_never_printed() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("token"), "hf_canary\n").expect("written");
        let home = folder.path().to_str().expect("text");
        let from_file = environment(&[("HF_HOME", home)]);
        assert_eq!(from_file.hub_token.as_deref(), Some("hf_canary"));
        assert!(!format!("{from_file:?}").contains("canary"));
        assert_eq!(environment(&[("HF_HOME", home), ("HF_TOKEN", "hf_other")]).hub_token.as_deref(), Some("hf_other"));
    }
}
