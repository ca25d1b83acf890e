//! The command line: one file per subcommand, and how a failure becomes an exit code.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};

use crate::config::Problems;

mod check;
#[cfg(feature = "demo")]
mod demo;
mod explain;
mod product;
mod progress;
mod serve;
mod terminal;
mod warm;

/// Reranks the searches of Elasticsearch and OpenSearch clients with a neural model.
#[derive(Clone, Debug, Parser)]
#[command(name = "podium", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Stands between the clients and the cluster until it is told to stop.
    Serve {
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Says what is wrong with a configuration and what it depends on.
    Check {
        #[command(flatten)]
        file: ConfigFile,
        /// Writes JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Shows what becomes of one search, and why: rule, query text, texts, scores, ranks before and after.
    Explain(explain::Arguments),
    /// Computes the vectors of an index ahead of time, so that the first searches meet a warm cache.
    Warm(warm::Arguments),
    /// Shows on this machine what Podium does to the searches of a sample shop: an engine, the shop, and Podium in front.
    #[cfg(feature = "demo")]
    Demo(demo::Arguments),
}

#[derive(Clone, Debug, Args)]
struct ConfigFile {
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = "podium.toml")]
    config: PathBuf,
}

/// Wrong usage (clap's own code for it) or configuration.
const WRONG: u8 = 2;

// === impl Cli ===

impl Cli {
    /// Runs the command; returns 0 when all is fine, 1 when it failed, 2 when the configuration is wrong.
    pub fn run(self) -> ExitCode {
        let ended = match self.command {
            Command::Serve { file } => serve::run(&file.config),
            Command::Check { file, json: false } => check::run(&file.config),
            Command::Check { file, json: true } => check::run_json(&file.config),
            Command::Explain(arguments) => explain::run(&arguments),
            Command::Warm(arguments) => warm::run(&arguments),
            #[cfg(feature = "demo")]
            Command::Demo(arguments) => demo::run(&arguments),
        };
        ended.unwrap_or_else(|error| {
            // With the terminal gone there is nobody left to tell.
            let _ = writeln!(io::stderr(), "{error:#}");
            ExitCode::from(if error.is::<Problems>() { WRONG } else { 1 })
        })
    }
}
