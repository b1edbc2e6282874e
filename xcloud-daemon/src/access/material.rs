//! Certificate files to what TLS needs, judged before it is used: bytes and a moment in, no file or clock read.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail};
use rustls::{
    RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, PrivateKeyDer, UnixTime,
        pem::{self, PemObject as _},
    },
    sign::CertifiedKey,
};
use webpki::{EndEntityCert, KeyUsage};

/// After the last moment that a certificate can name.
const END_OF_TIME: Duration = Duration::from_secs(253_402_300_800);
/// Most certificates in a file.
const MOST: usize = 1_000;

/// Where the files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// Certificate chain and key of this process.
    pub own: Option<(PathBuf, PathBuf)>,
    /// Authorities that vouch for the other side, and for this one.
    pub ca: PathBuf,
}

/// What the files hold.
#[derive(Clone, PartialEq, Eq)]
pub struct Contents {
    /// Certificate chain and key.
    pub own: Option<(Vec<u8>, Vec<u8>)>,
    /// Authorities.
    pub ca: Vec<u8>,
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Contents(..)")
    }
}

/// Which end of a connection a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The one that listens.
    Server,
    /// The one that connects.
    Client,
}

/// A certificate that its authorities vouch for now, and its key.
#[derive(Clone, Debug)]
pub struct Own {
    /// Both.
    pub key: Arc<CertifiedKey>,
    /// Last moment at which the certificate is valid.
    pub not_after: UnixTime,
}

/// What the files say, whole and in order.
#[derive(Clone, Debug)]
pub struct Material {
    /// Who this process is, if it has a certificate.
    pub own: Option<Own>,
    /// Whom it believes.
    pub roots: Arc<RootCertStore>,
}

/// The cryptography used, whatever else other parts of this program bring along.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Understands and judges what the files hold.
///
/// # Errors
/// Names the file and what is wrong with it: it cannot be understood, key and certificate are no pair, the certificate is
/// not valid now, or no authority vouches for it at this end.
pub fn judge(paths: &Paths, contents: &Contents, end: End, now: UnixTime) -> Result<Material> {
    let mut roots = RootCertStore::empty();
    for one in certificates(&contents.ca).with_context(|| paths.ca.display().to_string())? {
        roots.add(one).map_err(|error| anyhow!("{}: {error}", paths.ca.display()))?;
    }
    let own = match (&paths.own, &contents.own) {
        (Some((cert, key)), Some((cert_bytes, key_bytes))) => {
            let chain = certificates(cert_bytes).with_context(|| cert.display().to_string())?;
            let private = PrivateKeyDer::from_pem_slice(key_bytes)
                .map_err(|error| anyhow!("{}: {}", key.display(), unreadable(&error)))?;
            let pair = CertifiedKey::from_der(chain, private, &provider())
                .map_err(|error| anyhow!("{} and {}: {error}", cert.display(), key.display()))?;
            let not_after = vouched(&pair.cert, &roots, end, now)
                .with_context(|| format!("{} by {}", cert.display(), paths.ca.display()))?;
            Some(Own { key: Arc::new(pair), not_after })
        }
        _ => None,
    };
    Ok(Material { own, roots: Arc::new(roots) })
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).take(MOST).collect();
    match found {
        Ok(found) if found.is_empty() => bail!("holds no certificate"),
        Ok(found) => Ok(found),
        Err(error) => Err(anyhow!("{}", unreadable(&error))),
    }
}

fn unreadable(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "is cut off".into(),
        pem::Error::NoItemsFound => "holds no private key".into(),
        other => other.to_string(),
    }
}

/// Checks that authorities vouch for a chain now; returns until when its first certificate is valid.
///
/// # Errors
/// They do not.
pub fn vouched(
    chain: &[CertificateDer<'_>],
    roots: &RootCertStore,
    end: End,
    now: UnixTime,
) -> Result<UnixTime> {
    let (first, rest) = chain.split_first().context("there is no certificate")?;
    let leaf = EndEntityCert::try_from(first).map_err(|error| anyhow!("{error}"))?;
    let at = |moment| {
        let usage = match end {
            End::Server => KeyUsage::server_auth(),
            End::Client => KeyUsage::client_auth(),
        };
        let algorithms = provider().signature_verification_algorithms.all;
        leaf.verify_for_usage(algorithms, &roots.roots, rest, moment, usage, None, None).map(drop)
    };
    at(now).map_err(|error| explain(&error, end))?;
    // The only way to be told: asked for a moment when it is over, the check says since when.
    match at(UnixTime::since_unix_epoch(END_OF_TIME)) {
        Err(webpki::Error::CertExpired { not_after, .. }) => Ok(not_after),
        _ => bail!("it does not say until when it is valid"),
    }
}

fn explain(error: &webpki::Error, end: End) -> anyhow::Error {
    match error {
        webpki::Error::CertExpired { not_after, .. } => anyhow!("expired at {}", text(*not_after)),
        webpki::Error::CertNotValidYet { not_before, .. } => {
            anyhow!("not valid before {}", text(*not_before))
        }
        // The second, where an authority was made again under the same name.
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
            anyhow!("none of these authorities has signed it")
        }
        webpki::Error::RequiredEkuNotFoundContext(_) => anyhow!(
            "its extended key usage does not allow {}",
            match end {
                End::Server => "a server",
                End::Client => "a client",
            }
        ),
        other => anyhow!("{other}"),
    }
}

/// A moment as people read it.
#[must_use]
pub fn text(moment: UnixTime) -> String {
    let since_1970 = Duration::from_secs(moment.as_secs());
    let time = std::time::SystemTime::UNIX_EPOCH.checked_add(since_1970);
    // Beyond year 9999 there is no such text.
    let time = time.filter(|_| since_1970 < END_OF_TIME);
    time.map_or_else(|| "never".into(), |time| humantime::format_rfc3339_seconds(time).to_string())
}
