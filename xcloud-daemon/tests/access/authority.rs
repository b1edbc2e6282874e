//! A certificate authority, and files as Kubernetes keeps a secret's: names that link to a directory which is replaced whole.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType, date_time_ymd,
};
use tempfile::TempDir;
use xcloud::cli::access::TlsArgs;

static AUTHORITIES: AtomicU64 = AtomicU64::new(0);

/// Who vouches.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) cert: String,
    pub(crate) key: String,
}

/// Years in which a certificate is valid.
type Years = (i32, i32);
pub(crate) const NOW: Years = (2020, 2099);
pub(crate) const PAST: Years = (2001, 2002);
pub(crate) const FUTURE: Years = (2098, 2099);

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        // Two of the same name would be told apart by their signatures only.
        let number = AUTHORITIES.fetch_add(1, Ordering::Relaxed);
        params.distinguished_name.push(DnType::CommonName, format!("test authority {number}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// Vouches for names, each a URI, an IP address or a DNS name.
    pub(crate) fn issue(&self, names: &[&str], years: Years) -> Pair {
        self.issue_for(names, years, &[])
    }

    /// The same for certain uses only.
    pub(crate) fn issue_for(
        &self,
        names: &[&str],
        (from, to): Years,
        uses: &[ExtendedKeyUsagePurpose],
    ) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        params.extended_key_usages = uses.to_vec();
        params.subject_alt_names = names.iter().map(|name| san(name)).collect();
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Pair { cert, key: key.serialize_pem() }
    }
}

fn san(name: &str) -> SanType {
    if name.contains("://") {
        return SanType::URI(name.try_into().expect("ASCII"));
    }
    match name.parse() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(name.try_into().expect("ASCII")),
    }
}

/// A directory that a secret is mounted at.
pub(crate) struct Secret {
    directory: TempDir,
    version: AtomicU64,
}

impl Secret {
    pub(crate) fn new(pair: &Pair, ca: &str) -> Self {
        let secret =
            Self { directory: TempDir::new().expect("a directory"), version: AtomicU64::new(0) };
        secret.put(&pair.cert, &pair.key, ca);
        for name in ["tls.crt", "tls.key", "ca.crt"] {
            symlink(Path::new("..data").join(name), secret.path(name)).expect("a link");
        }
        secret
    }

    /// Replaces all files at once.
    pub(crate) fn put(&self, cert: &str, key: &str, ca: &str) {
        let version = self.version.fetch_add(1, Ordering::Relaxed);
        let (new, link, data) =
            (self.path(&format!("..{version}")), self.path("..data_tmp"), self.path("..data"));
        fs::create_dir(&new).expect("a directory");
        for (name, text) in [("tls.crt", cert), ("tls.key", key), ("ca.crt", ca)] {
            fs::write(new.join(name), text).expect("a file");
        }
        symlink(new.file_name().expect("a name"), &link).expect("a link");
        fs::rename(link, data).expect("the new one takes its place");
        if let Some(before) = version.checked_sub(1) {
            fs::remove_dir_all(self.path(&format!("..{before}"))).expect("the old one goes");
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Flags of a process with these files.
    pub(crate) fn flags(&self) -> String {
        let path = |name| self.path(name).display().to_string();
        format!(
            "--tls-cert {} --tls-key {} --tls-ca {}",
            path("tls.crt"),
            path("tls.key"),
            path("ca.crt")
        )
    }

    /// The same, as read.
    pub(crate) fn args(&self) -> TlsArgs {
        TlsArgs {
            tls_cert: Some(self.path("tls.crt")),
            tls_key: Some(self.path("tls.key")),
            tls_ca: Some(self.path("ca.crt")),
            ..TlsArgs::default()
        }
    }
}
