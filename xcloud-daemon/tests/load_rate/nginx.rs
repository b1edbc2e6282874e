//! A server that others wrote.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use crate::harness::{count, load};

struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its master ends its workers before it ends.
        crate::harness::send(nix::sys::signal::Signal::SIGTERM, &self.0);
        let _ = self.0.wait();
    }
}

/// Serves a folder, on one port with HTTP/1.1, on the other with HTTP/2; `None` where there is no nginx.
fn start(folder: &Path) -> Option<(Nginx, [u16; 2])> {
    let program =
        ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().find(|path| Path::new(path).exists());
    let Some(program) = program else {
        assert!(std::env::var_os("CI").is_none(), "nginx has to be there in CI: cargo xtask test");
        eprintln!("SKIPPED: no nginx here; `cargo xtask test` as root installs it");
        return None;
    };
    let free = [0; 2].map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let ports = free.map(|listener| listener.local_addr().expect("bound").port());
    let [port, port2] = ports;
    let root = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("{name}_temp_path {root}/{name};"))
        .collect();
    let config = format!(
        "daemon off; worker_processes 1; pid {root}/pid; error_log {root}/error.log; events {{}} http {{ access_log off; \
         keepalive_requests 10; {temporary} server {{ listen 127.0.0.1:{port}; listen 127.0.0.1:{port2} http2; root \
         {root}; }} }}"
    );
    // Workers may be another user's.
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(folder, readable).expect("own folder");
    fs::write(folder.join("page"), vec![b'x'; 10_240]).expect("writable");
    fs::write(folder.join("nginx.conf"), config).expect("writable");
    let child = Command::new(program)
        .arg("-p")
        .arg(folder)
        .arg("-c")
        .arg(folder.join("nginx.conf"))
        .spawn()
        .expect("nginx runs");
    let nginx = Nginx(child);
    let until = Instant::now() + Duration::from_secs(20);
    while ports.iter().any(|port| TcpStream::connect(("127.0.0.1", *port)).is_err()) {
        assert!(Instant::now() < until, "nginx does not listen");
        thread::sleep(Duration::from_millis(20));
    }
    Some((nginx, ports))
}

#[test]
fn nginx_is_understood() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some((_nginx, [port, _])) = start(folder.path()) else {
        return;
    };
    let url = format!("http://127.0.0.1:{port}");
    // It hangs up after ten answers on a connection, and says so.
    let trial = load(&format!("http {url}/page -R 500 -c 10 -d 1s"));
    assert_eq!((count(&trial, "scheduled"), count(&trial, "done")), (500, 500));
    assert!(count(&trial, "reconnects") > 0);
    let trial = load(&format!("http {url}/page -X HEAD -R 100 -c 2 -d 1s"));
    assert_eq!(count(&trial, "done"), 100);
    let trial = load(&format!("http {url}/none -R 100 -c 2 -d 1s"));
    assert_eq!(count(&trial, "failed_status"), 100);
    let trial = load(&format!("http {url}/page -c 10 -d 1s"));
    assert_eq!(count(&trial, "done"), count(&trial, "scheduled"));
}

#[test]
fn nginx_is_understood_in_http2() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some((_nginx, [_, port])) = start(folder.path()) else {
        return;
    };
    let url = format!("http://127.0.0.1:{port}");
    // It takes ten requests on a connection, and says so.
    let trial = load(&format!("http {url}/page --http2 -R 500 -c 10 -d 1s"));
    assert_eq!((count(&trial, "scheduled"), count(&trial, "done")), (500, 500));
    assert!(count(&trial, "reconnects") > 0);
    let trial = load(&format!("http {url}/page --http2 -s 5 -R 500 -c 4 -d 1s"));
    assert_eq!(count(&trial, "done") + count(&trial, "failed_goaway"), 500, "{:?}", trial.metrics);
    let trial = load(&format!("http {url}/page --http2 -X HEAD -R 100 -c 2 -d 1s"));
    assert_eq!(count(&trial, "done"), 100);
    let trial = load(&format!("http {url}/none --http2 -R 100 -c 2 -d 1s"));
    assert_eq!(count(&trial, "failed_status"), 100);
    let trial = load(&format!("http {url}/page --http2 -c 10 -d 1s"));
    assert_eq!(count(&trial, "done"), count(&trial, "scheduled"));
}
