//! TLS towards a receiver, which is not ours: version 1.2 will do, and an authority of the system's may vouch for it.

use std::{io, path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result, bail};
use rustls::{
    CertificateError, ClientConfig, Error, RootCertStore,
    pki_types::ServerName,
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::access::{
    credentials::Credentials,
    material::{End, Paths, provider},
};

/// Whom an exporter believes, and who it says it is.
#[derive(Debug)]
pub struct Tls {
    roots: Roots,
    own: Option<Credentials<CertifiedKey>>,
}

/// Who vouches for receivers.
#[derive(Debug)]
enum Roots {
    File(PathBuf, Box<Credentials<Arc<RootCertStore>>>),
    System(Arc<RootCertStore>),
}

impl Tls {
    /// Believes the authorities of a file, else the system's, and shows a certificate if there is one.
    ///
    /// # Errors
    /// Files are missing or wrong, or the system has no authorities.
    pub fn new(ca: Option<PathBuf>, own: Option<Paths>) -> Result<Self> {
        let roots = match ca {
            Some(ca) => {
                let paths = Paths { own: None, ca: ca.clone() };
                let all = Credentials::load(paths, End::Client, |it| Ok(Arc::clone(&it.roots)));
                Roots::File(ca, Box::new(all.context("--otlp-ca")?))
            }
            None => Roots::System(Arc::new(of_system()?)),
        };
        let own = own.map(|paths| {
            let key = Credentials::load(paths, End::Client, |it| {
                let own = it.own.as_ref().context("there is no certificate")?;
                Ok(own.key.as_ref().clone())
            });
            key.context("--otlp-show-cert")
        });
        Ok(Self { roots, own: own.transpose()? })
    }

    /// Connects with the newest certificates there are.
    ///
    /// # Errors
    /// Nobody answers there, or who does is not believed.
    pub async fn connect(&self, host: &str, port: u16) -> io::Result<TlsStream<TcpStream>> {
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let stream = TcpStream::connect((&name[..], port)).await?;
        stream.set_nodelay(true)?;
        let config = self.config().map_err(io::Error::other)?;
        let server = ServerName::try_from(name.clone()).map_err(io::Error::other)?;
        let connected = TlsConnector::from(Arc::new(config)).connect(server, stream).await;
        connected.map_err(|error| self.explain(&name, error))
    }

    fn config(&self) -> Result<ClientConfig, Error> {
        let roots = match &self.roots {
            Roots::File(_, all) => {
                all.look();
                Arc::clone(all.current().as_ref())
            }
            Roots::System(all) => Arc::clone(all),
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS12, &TLS13])?
            .with_root_certificates(roots);
        let mut config = match &self.own {
            Some(own) => {
                own.look();
                let key = SingleCertAndKey::from(own.current().as_ref().clone());
                builder.with_client_cert_resolver(Arc::new(key))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }

    /// What went wrong, and what to do about it.
    fn explain(&self, host: &str, error: io::Error) -> io::Error {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
        let believed = match &self.roots {
            Roots::File(path, _) => format!("{} (--otlp-ca)", path.display()),
            Roots::System(_) => "the system (--otlp-ca names others)".into(),
        };
        io::Error::other(match cause {
            Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                format!("{host} shows a certificate that was signed by no authority of {believed}")
            }
            Some(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => format!("{host} shows a certificate that is another host's"),
            Some(Error::InvalidMessage(_)) => format!("{host} does not speak TLS at that port"),
            _ => return error,
        })
    }
}

/// The authorities of the system, where its OpenSSL would look for them.
fn of_system() -> Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        bail!(
            "no authority of the system was found to vouch for the receiver: name a file by --otlp-ca"
        );
    }
    Ok(roots)
}
