//! The connecting end of TLS: who this process is when it calls.

use std::{
    future::pending,
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::{Context as _, Result};
use rustls::{
    ClientConfig, client::Resumption, pki_types::ServerName, sign::SingleCertAndKey, version::TLS13,
};
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Interval, MissedTickBehavior, interval},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    credentials::Credentials,
    material::{End, Material, Paths, provider},
    verify::UriVerifier,
};
use crate::{cli::access::TlsArgs, usage::usage};

static OWN: OnceLock<Caller> = OnceLock::new();

/// Who calls, and whom it believes.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    tls: Option<Arc<Credentials<ClientConfig>>>,
    server_name: Option<ServerName<'static>>,
    /// How often whoever stays connected looks for a new certificate.
    every: Duration,
    args: TlsArgs,
}

/// Waits for new certificates: a connection stays with those that it was made with.
#[derive(Debug)]
pub struct Renewal(Option<Waiting>);

#[derive(Debug)]
struct Waiting {
    looks: Interval,
    changes: watch::Receiver<Arc<ClientConfig>>,
    tls: Arc<Credentials<ClientConfig>>,
}

impl Renewal {
    /// Returns when there are some; never without TLS. Nothing is lost if it is dropped meanwhile.
    pub async fn due(&mut self) {
        let Some(Waiting { looks, changes, tls }) = &mut self.0 else { return pending().await };
        loop {
            looks.tick().await;
            tls.look();
            if changes.has_changed().unwrap_or(false) {
                return;
            }
        }
    }
}

/// This process, as [`identify`] made it known.
pub fn own() -> &'static Caller {
    OWN.get_or_init(Caller::default)
}

/// Says once, at the start, who this process is whenever it calls.
///
/// # Errors
/// Certificates are missing or wrong.
pub fn identify(args: &TlsArgs) -> Result<()> {
    let caller = Caller::new(args)?;
    OWN.set(caller).ok().context("this process has said already who it is")
}

/// Where flags say that certificates are.
///
/// # Errors
/// Some flags are missing.
pub fn paths(args: &TlsArgs) -> Result<Option<Paths>> {
    let own = match (&args.tls_cert, &args.tls_key) {
        (Some(cert), Some(key)) => Some((cert.clone(), key.clone())),
        (None, None) => None,
        _ => return Err(usage("--tls-cert and --tls-key belong together, and one is missing")),
    };
    match &args.tls_ca {
        Some(ca) => Ok(Some(Paths { own, ca: ca.clone() })),
        None if own.is_some() => {
            Err(usage("--tls-cert is given without --tls-ca, so nobody could be believed"))
        }
        None if args.tls_server_name.is_some() => {
            Err(usage("--tls-server-name is given without --tls-ca, so nothing could vouch for it"))
        }
        None => Ok(None),
    }
}

impl Caller {
    /// As flags say.
    ///
    /// # Errors
    /// Certificates are missing or wrong.
    pub fn new(args: &TlsArgs) -> Result<Self> {
        let (every, args) = (args.tls_poll, args.clone());
        let Some(paths) = paths(&args)? else { return Ok(Self { every, args, ..Self::default() }) };
        let (uri, server_name) = match &args.tls_server_name {
            Some(name) if name.contains("://") => (Some(name.clone()), None),
            Some(name) => {
                let parsed = ServerName::try_from(name.clone()).map_err(|_| {
                    usage(format!("--tls-server-name {name:?} is no host's name, address or URI"))
                })?;
                (None, Some(parsed))
            }
            None => (None, None),
        };
        let build = move |material: &Material| build(material, uri.as_deref());
        let tls =
            Credentials::load(paths, End::Client, build).context("certificates to call with")?;
        Ok(Self { tls: Some(Arc::new(tls)), server_name, every, args })
    }

    /// Whether it speaks TLS unless told otherwise.
    #[must_use]
    pub const fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Waits for new certificates from now on.
    #[must_use]
    pub fn renewal(&self) -> Renewal {
        let tls = self.tls.clone();
        Renewal(tls.map(|tls| {
            tls.look();
            let mut looks = interval(self.every.max(Duration::from_millis(1)));
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            Waiting { looks, changes: tls.changes(), tls }
        }))
    }

    /// The flags that make another process of this program the same caller.
    #[must_use]
    pub fn flags(&self) -> Vec<String> {
        let files = [
            ("--tls-cert", &self.args.tls_cert),
            ("--tls-key", &self.args.tls_key),
            ("--tls-ca", &self.args.tls_ca),
        ];
        let files = files.into_iter().filter_map(|(flag, path)| {
            path.as_ref().map(|path| format!("{flag}={}", path.display()))
        });
        let name = self.args.tls_server_name.as_ref();
        files.chain(name.map(|name| format!("--tls-server-name={name}"))).collect()
    }

    /// Connects to a host with the newest certificates there are.
    ///
    /// # Errors
    /// Nobody answers there, or who does is not believed.
    pub async fn connect(&self, host: &str, port: u16) -> io::Result<TlsStream<TcpStream>> {
        let Some(tls) = &self.tls else {
            return Err(io::Error::other("https:// needs --tls-ca, to know whom to believe"));
        };
        tls.look();
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned()).map_err(io::Error::other)?,
        };
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        TlsConnector::from(tls.current()).connect(name, stream).await
    }
}

/// Only TLS 1.3, and no session that outlives a certificate.
fn build(material: &Material, uri: Option<&str>) -> Result<ClientConfig> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .context("TLS 1.3")?;
    let roots = Arc::clone(&material.roots);
    let builder = match uri {
        Some(uri) => {
            let verifier = UriVerifier { uri: uri.into(), roots, provider };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
        None => builder.with_root_certificates(roots),
    };
    let mut config = match &material.own {
        Some(own) => {
            let key = SingleCertAndKey::from(own.key.as_ref().clone());
            builder.with_client_cert_resolver(Arc::new(key))
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}
