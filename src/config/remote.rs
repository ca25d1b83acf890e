//! The keys of a model that runs elsewhere.

use std::path::PathBuf;

use super::{
    Secret,
    raw::node_address,
    reader::{Item, Reported, Table, whole},
    secret::secret,
};

/// What `[models.NAME]` says when its kind is `remote`.
#[derive(Clone, Debug)]
pub struct Remote {
    /// The wire format.
    pub protocol: String,
    /// The servers' addresses; at least one.
    pub endpoints: Vec<String>,
    /// The model's name there.
    pub model: Option<String>,
    /// What the servers are shown.
    pub token: Option<Secret>,
    /// Documents of one call.
    pub batch: usize,
    /// PEM file of certificate authorities to trust instead of the built-in ones.
    pub ca: Option<PathBuf>,
    /// Whether certificates are checked.
    pub verify: bool,
}

// === impl Remote ===

impl Remote {
    pub(super) fn read(table: &mut Table<'_>) -> Result<Self, Reported> {
        let protocol = table.read("protocol", Item::name).required("write how the servers are asked, such as \"cohere\" or \"tei\"");
        let endpoints = table.read("endpoints", endpoints).required("write where the servers are, such as [\"http://127.0.0.1:8000\"]");
        let model = table.read("model", Item::name).optional();
        let token = table.read("token", secret).optional();
        let batch = table.read("batch", whole(1..=10_000)).or(64) as usize;
        let (ca, verify) = table.section("tls", &[], |tls| {
            let ca = tls.read("ca", Item::name).optional().map(PathBuf::from);
            (ca, tls.read("verify", Item::flag).or(true))
        });
        Ok(Self { protocol: protocol?, endpoints: endpoints?, model, token, batch, ca, verify })
    }
}

fn endpoints(list: &Item<'_>) -> Result<Vec<String>, Reported> {
    let mut known = Vec::new();
    list.each("must be an array of addresses, such as [\"http://127.0.0.1:8000\"]", |item| {
        let address = node_address(item, "must not hold a user name or password; write `token`")?;
        if known.contains(&address) {
            return Err(item.refuse("stands twice"));
        }
        known.push(address.clone());
        Ok(address)
    })
}
