//! `podium serve`: from the configuration to the running gateway.

use std::{path::Path, process::ExitCode, sync::Arc};

use anyhow::Context;
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};
use tracing::{info, warn};

use super::progress;
use crate::{
    app::{self, App},
    config::{self, Config, Environment},
    machine::{Demand, Memory},
    telemetry,
};

/// Runs the gateway that `file` describes until it is told to stop; ends at once when the file is wrong.
pub(super) fn run(file: &Path) -> anyhow::Result<ExitCode> {
    let config = config::load(file)?;
    let environment = Environment::read();
    telemetry::start(environment.log.as_deref())?;
    let runtime = runtime::Builder::new_multi_thread().enable_all().build().context("no threads to run on")?;
    runtime.block_on(serve(config, environment))?;
    // A model that hangs must not keep the program from ending.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: Config, environment: Environment) -> anyhow::Result<()> {
    if let Some(Err(too_large)) = Memory::of_this_machine().map(|memory| Demand::of(&config).check(&memory)) {
        // Nothing is taken before it is needed: it may never be.
        warn!(%too_large, "the configuration may take more memory than there is");
    }
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let nodes = config.upstream.nodes.len();
    let rules = config.rules.len();
    let surroundings = app::surroundings(&config, environment, Arc::new(progress::Logged));
    let downloads = surroundings.downloads.clone();
    let app = App::bind(config, surroundings).await?;
    info!(address = %app.address()?, admin = %app.admin_address()?, nodes, rules, "serving");
    app.serve(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
    .await;
    // The threads that download end with the process: what they have begun would stay.
    downloads.give_up();
    info!("drained");
    Ok(())
}
