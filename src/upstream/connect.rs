//! Ways to the nodes: TCP and TLS within the connect-timeout.

use std::{
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use rustls::{ClientConfig, RootCertStore, crypto::CryptoProvider};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::net::TcpStream;
use tower::Service;

use super::{error::ConnectTimedOut, unverified::Unverified};
use crate::{body::BoxError, config};

/// Why the connections to the cluster cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamSetup {
    /// The `ca` file cannot be read.
    #[error("upstream.tls.ca: {path} holds no readable PEM certificates: {source}", path = path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls_pki_types::pem::Error,
    },
    /// A certificate in the `ca` file cannot be used.
    #[error("upstream.tls.ca: {path} holds a certificate that cannot be used: {source}", path = path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// The `ca` file holds nothing.
    #[error("upstream.tls.ca: {path} holds no certificate", path = path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The system has no certificate authorities.
    #[error("the system's certificate authorities cannot be read, name a file in upstream.tls.ca: {0}")]
    SystemRoots(#[source] std::io::Error),
    /// TLS itself cannot be set up.
    #[error("tls cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Opens connections to nodes.
pub(super) type Connector = Timed<HttpsConnector<HttpConnector>>;

/// What it opens.
pub(super) type Socket = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Connects within a time limit, TLS included.
#[derive(Clone, Debug)]
pub(super) struct Timed<S> {
    inner: S,
    limit: Duration,
}

/// Builds the connector; certificates are read only when a node speaks TLS.
pub(super) fn build(settings: &config::Upstream) -> Result<Connector, UpstreamSetup> {
    let tls = if settings.nodes.iter().any(|node| node.tls) { tls(&settings.tls)? } else { unused_tls()? };
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    let inner = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
    Ok(Timed { inner, limit: settings.connect_timeout })
}

fn tls(settings: &config::UpstreamTls) -> Result<ClientConfig, UpstreamSetup> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = match &settings.ca {
        _ if !settings.verify => builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider))),
        Some(path) => builder.with_root_certificates(authorities(path)?),
        None => builder.with_native_roots().map_err(UpstreamSetup::SystemRoots)?,
    };
    Ok(builder.with_no_client_auth())
}

/// Returns a configuration that trusts nobody, for clusters without an `https` node.
fn unused_tls() -> Result<ClientConfig, UpstreamSetup> {
    let provider: CryptoProvider = rustls::crypto::ring::default_provider();
    let builder = ClientConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn authorities(path: &Path) -> Result<RootCertStore, UpstreamSetup> {
    let unreadable = |source| UpstreamSetup::Ca { path: path.to_owned(), source };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        let unusable = |source| UpstreamSetup::Certificate { path: path.to_owned(), source };
        roots.add(certificate.map_err(unreadable)?).map_err(unusable)?;
    }
    if roots.is_empty() { Err(UpstreamSetup::NoCertificate { path: path.to_owned() }) } else { Ok(roots) }
}

// === impl Timed ===

impl<S> Service<Uri> for Timed<S>
where
    S: Service<Uri>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let connect = tokio::time::timeout(self.limit, self.inner.call(address));
        Box::pin(async move { connect.await.map_err(|_| ConnectTimedOut)?.map_err(Into::into) })
    }
}
