//! The listening end of TLS.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, UnixTime},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    sign::SingleCertAndKey,
    version::TLS13,
};
use webpki::EndEntityCert;

use super::{
    credentials::Credentials,
    grant::{Grant, Granted},
    material::{End, Material, provider, vouched},
    role::Roles,
};
use crate::{cli::access::TlsArgs, usage::usage};

/// What a connection is taken with.
#[derive(Debug)]
pub struct Serving {
    /// For TLS.
    pub config: Arc<ServerConfig>,
    roots: Arc<RootCertStore>,
}

/// Who a client is, by the certificate that it showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The name it goes by in logs.
    pub name: String,
    /// What it may be.
    pub roles: Roles,
    /// And for whom.
    pub granted: Granted,
    /// Until when.
    pub not_after: UnixTime,
}

/// Certificates of a process that listens, if it was given any.
///
/// # Errors
/// Some are missing or wrong.
pub fn of(args: &TlsArgs) -> Result<Option<Credentials<Serving>>> {
    let Some(paths) = super::caller::paths(args)? else { return Ok(None) };
    if paths.own.is_none() {
        return Err(usage(
            "--tls-ca is given without --tls-cert and --tls-key, and whoever listens needs all three",
        ));
    }
    let listening = "certificates to listen with";
    Credentials::load(paths, End::Server, build).context(listening).map(Some)
}

/// Only TLS 1.3, only with a certificate that the authorities vouch for, and no session that outlives one.
fn build(material: &Material) -> Result<Serving> {
    let provider = provider();
    let roots = Arc::clone(&material.roots);
    let own = material.own.as_ref().context("there is no certificate")?;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .context("authorities")?;
    let key = SingleCertAndKey::from(own.key.as_ref().clone());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .context("TLS 1.3")?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(key));
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Serving { config: Arc::new(config), roots })
}

impl Serving {
    /// Who showed this chain, which the handshake has verified.
    ///
    /// # Errors
    /// It cannot be understood after all.
    pub fn shown(&self, chain: &[CertificateDer<'_>], grants: &[Grant]) -> Result<Shown> {
        let first = chain.first().context("no certificate was shown")?;
        let not_after = vouched(chain, &self.roots, End::Client, UnixTime::now())?;
        let leaf = EndEntityCert::try_from(first).context("the certificate")?;
        let uris: Vec<_> = leaf.valid_uri_names().collect();
        let hosts: Vec<_> = leaf.valid_dns_names().collect();
        let name = uris.first().map(|uri| (*uri).to_owned());
        let host = || hosts.first().map(|host| format!("dns:{host}"));
        let granted = Granted::to(grants, &uris, &hosts);
        Ok(Shown {
            name: name.or_else(host).unwrap_or_else(|| "a certificate without names".into()),
            roles: granted.roles(),
            granted,
            not_after,
        })
    }
}
