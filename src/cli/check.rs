//! `podium check`: what is wrong, before anybody depends on it.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use serde::Serialize;

use super::WRONG;
use crate::config::{self, Config, Problem};

/// What a check found, for programs.
#[derive(Serialize)]
struct Report<'a> {
    file: &'a Path,
    problems: Vec<Problem>,
}

/// Checks `file` and says so to people.
pub(super) fn run(file: &Path) -> anyhow::Result<ExitCode> {
    let Config { models, rules, upstream, .. } = config::load(file)?;
    let counts = [counted(upstream.nodes.len(), "node"), counted(models.len(), "model"), counted(rules.len(), "rule")];
    writeln!(io::stdout(), "{}: {}, no problems", file.display(), counts.join(", "))?;
    Ok(ExitCode::SUCCESS)
}

/// Checks `file` and says so to programs: one JSON object on the standard output, whatever was found.
pub(super) fn run_json(file: &Path) -> anyhow::Result<ExitCode> {
    let problems = config::load(file).err().map_or_else(Vec::new, |found| found.problems);
    let code = if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(WRONG) };
    let report = serde_json::to_string(&Report { file, problems })?;
    writeln!(io::stdout(), "{report}")?;
    Ok(code)
}

fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}
