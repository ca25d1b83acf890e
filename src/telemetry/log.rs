//! Logs: key-values on standard error, filtered by `PODIUM_LOG`. Query texts, bodies and credentials are never logged.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt, util::TryInitError};

/// The filter without `PODIUM_LOG`.
const DEFAULT_FILTER: &str = "podium=info,warn";

/// Why logging did not start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not one.
    #[error("PODIUM_LOG = {filter:?} is not a log filter: {source}; write for example podium=debug,warn")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Something else logs already.
    #[error(transparent)]
    Taken(#[from] TryInitError),
}

/// Starts to log.
///
/// # Errors
/// See [`LogError`].
pub fn start(filter: Option<&str>) -> Result<(), LogError> {
    let filter = filter.unwrap_or(DEFAULT_FILTER);
    let parsed = EnvFilter::try_new(filter).map_err(|source| LogError::Filter { filter: filter.to_owned(), source })?;
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal()).with_target(false);
    tracing_subscriber::registry().with(parsed).with(lines).try_init()?;
    Ok(())
}
