//! What the demo has started and made, so that all of it goes again, whenever the end comes.

use std::path::Path;

use anyhow::Context;
use tempfile::TempDir;
use tokio::task;

use super::{cluster::Cluster, front::Front};
use crate::models::Downloads;

/// Filled as the demo goes on.
pub(super) struct Stage {
    folder: TempDir,
    pub(super) downloads: Downloads,
    pub(super) cluster: Option<Cluster>,
    pub(super) front: Option<Front>,
    /// Whether everything was shown.
    pub(super) shown: bool,
}

// === impl Stage ===

impl Stage {
    /// Makes the temporary folder.
    pub(super) fn set() -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("podium-demo-").context("no temporary folder can be made")?;
        Ok(Self { folder, downloads: Downloads::default(), cluster: None, front: None, shown: false })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Takes everything down: first what asks, then what answers, then the files.
    pub(super) async fn take_down(self) -> anyhow::Result<()> {
        let Self { folder, downloads, cluster, front, shown: _ } = self;
        let given_up = task::spawn_blocking(move || downloads.give_up());
        if let Some(front) = front {
            front.stop().await;
        }
        let removed = match cluster {
            Some(cluster) => cluster.take_down().await,
            None => Ok(()),
        };
        given_up.await.context("giving up the downloads panicked")?;
        let path = folder.path().to_owned();
        folder.close().with_context(|| format!("{} cannot be removed", path.display()))?;
        removed
    }
}
