//! Reads what happens around the body: how states are pooled, and that nothing but a normalisation follows.

use rerank_plugin::{Folder, LoadError};
use serde::Deserialize;

use crate::checkpoint::{CONFIG, unsupported};

pub(crate) const MODULES: &str = "modules.json";
const LIBRARY: &str = "sentence_transformers.";
/// Where the text's own settings stand, for each name that the library gave the file.
const TEXT: [&str; 3] = ["sentence_bert_config.json", "sentence_roberta_config.json", "sentence_xlm-roberta_config.json"];

/// What happens around the body.
pub(crate) struct Modules {
    pub(crate) pooling: Pooling,
    /// Whether the vectors that the model's authors compare are of length 1.
    pub(crate) normalised: bool,
    /// Whether the mean counts the prompt's tokens too.
    pub(crate) prompt_counts: bool,
    /// Whether texts are read in lower case.
    pub(crate) lower_case: bool,
}

/// What stands for a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// The mean of all states.
    Mean,
    /// The first token's state.
    First,
    /// The last token's state.
    Last,
}

#[derive(Deserialize)]
struct Module {
    path: String,
    r#type: String,
}

/// Older files have a switch for each way, newer ones name it.
#[derive(Deserialize)]
struct Written {
    pooling_mode: Option<Mode>,
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
    #[serde(default)]
    pooling_mode_max_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_sqrt_len_tokens: bool,
    #[serde(default)]
    pooling_mode_weightedmean_tokens: bool,
    #[serde(default)]
    pooling_mode_lasttoken: bool,
    include_prompt: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Mode {
    One(String),
    Several(Vec<String>),
}

#[derive(Default, Deserialize)]
struct Text {
    #[serde(default)]
    do_lower_case: bool,
}

/// Returns whether a pooling is among the modules.
pub(crate) fn pools(folder: &Folder) -> Result<bool, LoadError> {
    let modules: Vec<Module> = folder.json(MODULES)?;
    Ok(modules.iter().any(|module| module.kind() == Some("Pooling")))
}

/// Reads `modules.json` and the files that it points to.
pub(crate) fn read(folder: &Folder) -> Result<Modules, LoadError> {
    if !folder.has(MODULES) {
        return Err(unsupported(format!("{MODULES} and 1_Pooling/{CONFIG} are missing, which say how the vectors are pooled")));
    }
    let modules: Vec<Module> = folder.json(MODULES)?;
    let mut path = None;
    let mut normalised = false;
    for module in &modules {
        match module.kind() {
            Some("Transformer") if module.path.is_empty() => {}
            Some("Normalize") => normalised = true,
            Some("Pooling") if path.is_none() => path = Some(format!("{}/{CONFIG}", module.path)),
            _ => return Err(unsupported(format!("{MODULES} has a {} in {:?}", module.r#type, module.path))),
        }
    }
    let path = path.ok_or_else(|| unsupported(format!("{MODULES} has no Pooling")))?;
    let written: Written = folder.json(&path)?;
    let text = TEXT.into_iter().find(|name| folder.has(name));
    let Text { do_lower_case } = text.map_or_else(|| Ok(Text::default()), |name| folder.json(name))?;
    let pooling = written.pooling(&path)?;
    Ok(Modules { pooling, normalised, prompt_counts: written.include_prompt != Some(false), lower_case: do_lower_case })
}

// === impl Module ===

impl Module {
    /// Returns the name of the library's own module.
    fn kind(&self) -> Option<&str> {
        self.r#type.strip_prefix(LIBRARY)?.rsplit('.').next()
    }
}

// === impl Written ===

impl Written {
    fn pooling(&self, path: &str) -> Result<Pooling, LoadError> {
        let switches = [
            ("cls", self.pooling_mode_cls_token),
            ("mean", self.pooling_mode_mean_tokens),
            ("max", self.pooling_mode_max_tokens),
            ("mean_sqrt_len_tokens", self.pooling_mode_mean_sqrt_len_tokens),
            ("weightedmean", self.pooling_mode_weightedmean_tokens),
            ("lasttoken", self.pooling_mode_lasttoken),
        ];
        let modes: Vec<&str> = match &self.pooling_mode {
            Some(Mode::One(mode)) => vec![mode],
            Some(Mode::Several(modes)) => modes.iter().map(String::as_str).collect(),
            None => switches.into_iter().filter(|(_, on)| *on).map(|(mode, _)| mode).collect(),
        };
        match modes.as_slice() {
            ["mean"] => Ok(Pooling::Mean),
            ["cls"] => Ok(Pooling::First),
            ["lasttoken"] => Ok(Pooling::Last),
            [] => Err(unsupported(format!("{path} does not say how the vectors are pooled"))),
            modes => Err(unsupported(format!("{path} pools by {}", modes.join(" and ")))),
        }
    }
}

// === impl Pooling ===

impl Pooling {
    /// Returns what the library calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::First => "cls",
            Self::Last => "lasttoken",
        }
    }
}
