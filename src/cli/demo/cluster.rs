//! The engine of the demo: the embedded one or `--engine`'s, with an index that this run made and takes away again.

use std::{fmt::Write as _, net::Ipv4Addr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, bail, ensure};
use http::{Method, header::CONTENT_TYPE};
use podium_demo::{
    engine::Engine,
    shop::{DEFINITION, Product},
};
use rerank_plugin::Progress;
use tokio::{task::JoinHandle, time};

use super::{address::Address, client::Client, front::bind_free, steps::Steps};
use crate::cli::product::product;

/// Where the embedded engine listens, if nobody else does.
const PORT: u16 = 9200;
/// What the index is called; where that name is taken, a number follows.
const INDEX: &str = "podium-demo";
const MOST_INDICES: usize = 20;
/// Products of one bulk request.
const BULK: usize = 100;
/// How long a cluster may take to remove the index.
const REMOVAL: Duration = Duration::from_secs(30);

/// A cluster with or without the demo's index.
pub(super) struct Cluster {
    client: Client,
    product: String,
    engine: Option<Engine>,
    index: Option<String>,
    /// On a task of its own: a signal must not make it unknown whether the index was made.
    creation: Option<JoinHandle<anyhow::Result<String>>>,
}

// === impl Cluster ===

impl Cluster {
    /// Starts the embedded engine; its files lie in `folder`.
    pub(super) async fn embedded(folder: &Path, steps: &Steps) -> anyhow::Result<Self> {
        let listener = bind_free(PORT, &[]).await?;
        let port = listener.local_addr()?.port();
        if port != PORT {
            steps.done(&format!("port {PORT} is taken: the engine takes {port}"));
        }
        let engine = Engine::start(listener, folder).await.context("the engine does not start")?;
        let address: Address = format!("http://{}:{port}", Ipv4Addr::LOCALHOST).parse().expect("an address");
        Ok(Self { engine: Some(engine), ..Self::given(&address).await? })
    }

    /// Reaches the cluster at `address`.
    pub(super) async fn given(address: &Address) -> anyhow::Result<Self> {
        let client = Client::new(address.clone())?;
        let root = client.call(Method::GET, "/", "").await?;
        if [401, 403].contains(&root.status.as_u16()) {
            bail!("{} wants credentials ({}): write --engine https://user:password@host:port", address.url(), root.status);
        }
        let product = product(&root.body).unwrap_or_else(|| "an engine that does not say its version".to_owned());
        Ok(Self { client, product, engine: None, index: None, creation: None })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the product and its version.
    pub(super) fn product(&self) -> &str {
        &self.product
    }

    /// Whether it is the embedded one.
    pub(super) fn is_embedded(&self) -> bool {
        self.engine.is_some()
    }

    /// Creates an index under a name that nothing has yet, and returns the name.
    pub(super) async fn create(&mut self) -> anyhow::Result<String> {
        let client = self.client.clone();
        let creation = self.creation.insert(tokio::spawn(async move { create_index(&client).await }));
        let created = creation.await;
        self.creation = None;
        let index = created.context("creating the index panicked")??;
        Ok(self.index.insert(index).clone())
    }

    /// Writes the products into the index and makes sure that a search finds them all.
    pub(super) async fn fill(&self, products: &[Product], steps: &Arc<Steps>) -> anyhow::Result<()> {
        let index = self.index.as_deref().context("the index is created first")?;
        for part in products.chunks(BULK) {
            let lines = bulk_lines(part)?;
            let with = |request: reqwest::RequestBuilder| request.header(CONTENT_TYPE, "application/x-ndjson");
            let written = self.client.send(Method::POST, &format!("/{index}/_bulk"), &lines, with).await?.json()?;
            if let Some(reason) =
                written["items"].as_array().into_iter().flatten().find_map(|item| item["index"]["error"]["reason"].as_str())
            {
                bail!("the engine does not take a product: {reason}");
            }
            steps.advance(part.len() as u64);
        }
        self.client.call(Method::POST, &format!("/{index}/_refresh"), "").await?.json().context("refreshing the index")?;
        let counted = self.client.call(Method::GET, &format!("/{index}/_count"), "").await?.json().context("counting the products")?;
        let (found, sent) = (counted["count"].as_u64(), products.len() as u64);
        ensure!(found == Some(sent), "{sent} products were sent and the index holds {found:?}");
        Ok(())
    }

    /// Removes what this run made, and ends the embedded engine.
    pub(super) async fn take_down(mut self) -> anyhow::Result<()> {
        if let Some(creation) = self.creation.take() {
            // Without an answer it cannot be known whether the index is there; it is not guessed.
            self.index = time::timeout(REMOVAL, creation).await.ok().and_then(Result::ok).and_then(Result::ok);
        }
        if let Some(engine) = self.engine {
            engine.stop().await;
            return Ok(());
        }
        let Some(index) = self.index else { return Ok(()) };
        let url = self.client.address().url();
        let removed = time::timeout(REMOVAL, self.client.call(Method::DELETE, &format!("/{index}"), "")).await;
        let removed = removed.map_err(anyhow::Error::from).and_then(|answer| answer?.json());
        removed.with_context(|| format!("the demo's index could not be removed: curl -X DELETE {url}/{index}")).map(drop)
    }
}

async fn create_index(client: &Client) -> anyhow::Result<String> {
    for number in 1..=MOST_INDICES {
        let index = if number == 1 { INDEX.to_owned() } else { format!("{INDEX}-{number}") };
        let created = client.call(Method::PUT, &format!("/{index}"), DEFINITION).await?;
        // Whoever made it: what is there is not touched.
        let is_taken = created
            .error_type()
            .is_some_and(|kind| ["resource_already_exists_exception", "invalid_index_name_exception"].contains(&kind.as_str()));
        if !is_taken {
            return created.json().map(|_| index).context("the engine does not create the index");
        }
    }
    bail!("the cluster has the indices {INDEX} to {INDEX}-{MOST_INDICES} already: remove those that earlier demos left")
}

fn bulk_lines(products: &[Product]) -> anyhow::Result<String> {
    let mut lines = String::new();
    for product in products {
        writeln!(lines, r#"{{"index":{{"_id":"{}"}}}}"#, product.id)?;
        writeln!(lines, "{}", serde_json::to_string(product)?)?;
    }
    Ok(lines)
}
