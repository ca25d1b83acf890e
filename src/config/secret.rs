//! Secrets: a literal, or where it stands; never printed.

use std::{fmt, fs, io, path::PathBuf};

use super::{
    Environment,
    reader::{Item, Reported},
};

/// A secret, or where it stands. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// In the configuration itself.
    Literal(String),
    /// In this variable of the environment.
    Variable(String),
    /// In this file, without the white space around it.
    File(PathBuf),
}

/// Why a secret is not there.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set, or empty.
    #[error("the environment has no variable {0}: set it")]
    Variable(String),
    /// The file cannot be read.
    #[error("{} cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file has nothing in it.
    #[error("{} is empty, and should hold a secret", .0.display())]
    Empty(PathBuf),
}

pub(super) fn secret(item: &Item<'_>) -> Result<Secret, Reported> {
    let remedy = "must be a string, { env = \"NAME\" } or { file = \"path\" }";
    if !item.is_table() {
        let text = item.secret_text(remedy)?;
        return if text.is_empty() { Err(item.refuse_unseen(remedy)) } else { Ok(Secret::Literal(text.to_owned())) };
    }
    let (variable, file) = item.table(&[], |table| {
        let variable = table.read("env", Item::name).optional();
        (variable, table.read("file", Item::name).optional())
    })?;
    match (variable, file) {
        (Some(variable), None) => Ok(Secret::Variable(variable)),
        (None, Some(file)) => Ok(Secret::File(PathBuf::from(file))),
        _ => Err(item.refuse_unseen(remedy)),
    }
}

// === impl Secret ===

impl Secret {
    /// Returns the secret itself.
    ///
    /// # Errors
    /// It is not where it should be.
    pub fn reveal(&self) -> Result<String, SecretError> {
        match self {
            Self::Literal(text) => Ok(text.clone()),
            Self::Variable(name) => Environment::variable(name).ok_or_else(|| SecretError::Variable(name.clone())),
            Self::File(path) => {
                let read = fs::read_to_string(path).map_err(|source| SecretError::File { path: path.clone(), source })?;
                let text = read.trim();
                if text.is_empty() { Err(SecretError::Empty(path.clone())) } else { Ok(text.to_owned()) }
            }
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => formatter.write_str("Literal(…)"),
            Self::Variable(name) => formatter.debug_tuple("Variable").field(name).finish(),
            Self::File(path) => formatter.debug_tuple("File").field(path).finish(),
        }
    }
}
