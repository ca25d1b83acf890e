//! `podium serve`: from the configuration to the running gateway.

use std::{path::Path, process::ExitCode};

use crate::config;

/// Runs the gateway that `file` describes; ends at once when the file is wrong.
pub(super) fn run(file: &Path) -> anyhow::Result<ExitCode> {
    config::load(file)?;
    Ok(ExitCode::SUCCESS)
}
