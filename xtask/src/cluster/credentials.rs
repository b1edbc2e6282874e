//! Who may do what in the cluster: a certificate for the API server, a key for service accounts, a token for everybody
//! else. Made anew for each cluster.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::plan::{API_PORT, API_SERVICE, NODES, PLANE_IPV4};
use crate::command;

/// Names the API server is called by.
const NAMES: [&str; 4] = [
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

/// Files of one cluster's credentials.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    directory: PathBuf,
}

impl Credentials {
    /// Those of the cluster whose state is in `state`.
    pub(super) fn of(state: &Path) -> Self {
        Self { directory: state.join("credentials") }
    }

    /// Makes them.
    pub(super) fn make(&self) -> Result<()> {
        fs::create_dir_all(&self.directory)
            .with_context(|| format!("creating {}", self.directory.display()))?;
        self.certificates().context("making certificates")?;
        let mut tokens = String::new();
        for (user, group) in users() {
            let token = token()?;
            tokens += &format!("{token},{user},{user},{group}\n");
            fs::write(self.kubeconfig(&user), self.config(&user, &token))?;
        }
        fs::write(self.file("tokens.csv"), tokens)?;
        Ok(())
    }

    /// One of the files.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// How `user` finds the API server and proves who it is.
    pub(super) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.file(&format!("{}.kubeconfig", user.replace(':', "-")))
    }

    fn openssl(&self, words: &str) -> Result<()> {
        let mut openssl = Command::new("openssl");
        openssl.current_dir(&self.directory).args(words.split(' '));
        command::output(&mut openssl).map(|_| ())
    }

    fn certificates(&self) -> Result<()> {
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        self.openssl(&format!(
            "req -x509 {key} -days 7 -subj /CN=xcloud-cluster -keyout ca.key -out ca.crt"
        ))?;
        self.openssl(&format!("req {key} -subj /CN=kube-apiserver -keyout api.key -out api.csr"))?;
        let names = NAMES.map(|name| format!("DNS:{name}")).join(",");
        let names =
            format!("subjectAltName={names},IP:{API_SERVICE},IP:{PLANE_IPV4},IP:127.0.0.1\n");
        fs::write(self.file("api.extensions"), names)?;
        self.openssl(
            "x509 -req -days 7 -in api.csr -CA ca.crt -CAkey ca.key -CAcreateserial -extfile api.extensions -out api.crt",
        )?;
        self.openssl("genrsa -out accounts.key 2048")
    }

    fn config(&self, user: &str, token: &str) -> String {
        let authority = self.file("ca.crt");
        format!(
            "apiVersion: v1\n\
             kind: Config\n\
             clusters: [{{name: c, cluster: {{server: 'https://{PLANE_IPV4}:{API_PORT}', certificate-authority: {}}}}}]\n\
             users: [{{name: '{user}', user: {{token: '{token}'}}}}]\n\
             contexts: [{{name: c, context: {{cluster: c, user: '{user}'}}}}]\n\
             current-context: c\n",
            authority.display()
        )
    }
}

/// Everybody, with their group. The rights of the system's own are those that Kubernetes gives to these names.
fn users() -> Vec<(String, &'static str)> {
    let own = [
        ("admin", "system:masters"),
        ("system:kube-controller-manager", ""),
        ("system:kube-scheduler", ""),
        ("system:kube-proxy", ""),
    ];
    let own = own.map(|(user, group)| (user.to_owned(), group));
    let nodes = NODES.map(|node| (format!("system:node:{}", node.name()), "system:nodes"));
    own.into_iter().chain(nodes).collect()
}

fn token() -> Result<String> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("reading /dev/urandom")?;
    Ok(bytes.map(|byte| format!("{byte:02x}")).concat())
}
