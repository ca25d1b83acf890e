//! The `podium` command.

use std::process::ExitCode;

use clap::Parser;
use podium::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
