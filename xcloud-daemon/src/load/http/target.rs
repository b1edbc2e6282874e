//! From a URL and flags to the bytes of a request.

use anyhow::{Context as _, Result};

use crate::usage::usage;

/// An address of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Host and port as written, for the header.
    pub authority: String,
    /// Path and query.
    pub path: String,
}

/// Understands `http://HOST[:PORT][/PATH]`.
///
/// # Errors
/// It is something else.
pub fn parse(text: &str) -> Result<Url> {
    let wrong = |why: &str| usage(format!("{text:?} {why}; a URL is http://HOST[:PORT]/PATH"));
    if text.starts_with("https://") {
        return Err(wrong("asks for encryption, which this test does not do"));
    }
    let rest = text.strip_prefix("http://").ok_or_else(|| wrong("does not begin with http://"))?;
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong("holds spaces or characters that are not ASCII"));
    }
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            (host, port.parse().map_err(|_| wrong("has no port that is a number up to 65535"))?)
        }
        _ => (authority, 80),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() || host.contains('@') {
        return Err(wrong("has no host, or a user before it"));
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok(Url { host: host.into(), port, authority: authority.into(), path })
}

/// The body that a flag names.
///
/// # Errors
/// It is a file that cannot be read.
pub fn body(flag: Option<&str>) -> Result<Vec<u8>> {
    match flag.map(|text| text.strip_prefix('@').ok_or(text)) {
        None => Ok(Vec::new()),
        Some(Err(text)) => Ok(text.into()),
        Some(Ok(path)) => std::fs::read(path).with_context(|| format!("reading the body {path}")),
    }
}

/// The bytes of a request.
///
/// # Errors
/// Method or headers are not such.
pub fn request(url: &Url, method: &str, headers: &[String], body: &[u8]) -> Result<Vec<u8>> {
    let pairs = fields(method, headers)?;
    let mut fields = String::new();
    let has = |name: &str| pairs.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    if !has("host") {
        fields += &format!("Host: {}\r\n", url.authority);
    }
    if !has("content-length") && announces(method, body) {
        fields += &format!("Content-Length: {}\r\n", body.len());
    }
    for header in headers {
        fields += &format!("{header}\r\n");
    }
    let head = format!("{method} {} HTTP/1.1\r\n{fields}\r\n", url.path);
    Ok([head.as_bytes(), body].concat())
}

/// Whether a request says how long its body is.
pub fn announces(method: &str, body: &[u8]) -> bool {
    !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH")
}

/// Headers of a request with this method, as names and values.
///
/// # Errors
/// Method or headers are not such.
pub fn fields<'a>(method: &str, headers: &'a [String]) -> Result<Vec<(&'a str, &'a str)>> {
    if method.is_empty() || !method.bytes().all(is_token) {
        return Err(usage(format!("--method is {method:?}, which is no method of HTTP")));
    }
    if method == "CONNECT" {
        return Err(usage("--method CONNECT makes a tunnel, and nothing to time"));
    }
    let field = |header: &'a String| {
        let field = header.split_once(':').filter(|(name, value)| {
            !name.is_empty()
                && name.bytes().all(is_token)
                && value.bytes().all(|byte| byte == b'\t' || byte >= b' ' && byte != 0x7f)
        });
        let wrong = || usage(format!("--header is {header:?}; a header is `Name: value`"));
        field.map(|(name, value)| (name, value.trim())).ok_or_else(wrong)
    };
    headers.iter().map(field).collect()
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, u16, String) {
        let url = parse(text).expect("a URL");
        (url.host, url.port, url.path)
    }

    #[test]
    fn urls_are_taken_apart() {
        assert_eq!(parts("http://a.b"), ("a.b".into(), 80, "/".into()));
        assert_eq!(parts("http://a:8080/x?y=1#z"), ("a".into(), 8080, "/x?y=1".into()));
        assert_eq!(parts("http://[::1]:81?q"), ("::1".into(), 81, "/?q".into()));
        assert_eq!(parts("http://[::1]/"), ("::1".into(), 80, "/".into()));
        for wrong in [
            "a.b",
            "https://a/",
            "http://",
            "http://a:b/",
            "http://u@h/",
            "http://a/ b",
            "http://a:70000/",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_request_is_what_a_server_expects() {
        let url = parse("http://a:1/p").expect("a URL");
        let plain = request(&url, "GET", &[], b"").expect("a request");
        assert_eq!(plain, b"GET /p HTTP/1.1\r\nHost: a:1\r\n\r\n");
        let headers = ["host: b".to_owned(), "X-A: 1".to_owned()];
        let post = request(&url, "POST", &headers, b"xy").expect("a request");
        assert_eq!(post, b"POST /p HTTP/1.1\r\nContent-Length: 2\r\nhost: b\r\nX-A: 1\r\n\r\nxy");
    }

    #[test]
    fn nothing_can_be_smuggled_into_a_request() {
        let url = parse("http://a/").expect("a URL");
        for header in ["A", ": b", "A b: c", "A: b\r\nC: d"] {
            assert!(request(&url, "GET", &[header.to_owned()], b"").is_err(), "{header:?}");
        }
        for method in ["", "G ET", "GET\r\n", "CONNECT"] {
            assert!(request(&url, method, &[], b"").is_err(), "{method:?}");
        }
    }
}
