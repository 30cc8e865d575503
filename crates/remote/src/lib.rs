//! Files at addresses: objects in S3, Google Cloud Storage or Azure, and files on the web. The only
//! room with an HTTP client.
//!
//! What an address is, is known in every build; reading one takes the feature `client`. Of an address
//! only what is no secret is ever shown: not a password, not the query of a signed link. Knows nothing
//! of what files hold.

#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod web;

use std::io::Read;
use std::path::{Path, PathBuf};

/// What an address begins with. `abfs` is Azure's own scheme, `s3a` Hadoop's.
const SCHEMES: [&str; 8] = ["s3", "s3a", "gs", "az", "abfs", "abfss", "https", "http"];

/// What a remote file could not be read for. Streams carry it inside an I/O error, through decoders.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// A path that is no address.
    #[error("{}: not an address; it begins with one of {}", path.display(), SCHEMES.join(", "))]
    NoAddress {
        /// The path.
        path: PathBuf,
    },
    /// The network or its server refused.
    #[error("{}: {cause}; {remedy}", address.display())]
    Failed {
        /// The address, without what is secret in it.
        address: PathBuf,
        /// What was answered.
        cause: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A build that reads no addresses.
    #[error(
        "{}: this build reads no addresses; build one that does with `cargo build --release \
         --features remote`, or fetch the file first", address.display()
    )]
    LeftOut {
        /// The address, without what is secret in it.
        address: PathBuf,
    },
}

/// What is known of a remote file before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its size.
    pub bytes: u64,
    /// When it was changed, in Unix seconds; 0 when the server does not say.
    pub changed: u64,
}

/// Scheme and the rest, when a path is an address.
fn parts(path: &Path) -> Option<(&str, &str)> {
    let (scheme, rest) = path.to_str()?.split_once("://")?;
    SCHEMES.contains(&scheme).then_some((scheme, rest))
}

/// Whether a path is an address.
pub fn is_address(path: &Path) -> bool {
    parts(path).is_some()
}

/// Whether a path is an address that stands for all objects whose keys begin with it.
pub fn is_prefix(path: &Path) -> bool {
    parts(path).is_some_and(|(scheme, rest)| !is_web(scheme) && rest.ends_with('/'))
}

fn is_web(scheme: &str) -> bool {
    scheme.starts_with("http")
}

/// A path as it may be shown and stored: of a web address no password, no query, no fragment.
pub fn shown(path: &Path) -> PathBuf {
    match parts(path) {
        Some((scheme, rest)) if is_web(scheme) => {
            let rest = rest.split(['?', '#']).next().unwrap_or("");
            let (host, place) = rest.split_once('/').map_or((rest, None), |(h, p)| (h, Some(p)));
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            let place = place.map_or(String::new(), |place| format!("/{place}"));
            format!("{scheme}://{host}{place}").into()
        }
        _ => path.to_path_buf(),
    }
}

/// A request of a web server.
#[derive(Clone, Copy, Debug)]
pub struct WebRequest<'a> {
    /// The address, `http` or `https`.
    pub address: &'a str,
    /// What to show for access; never part of a message.
    pub bearer: Option<&'a str>,
    /// The first byte that is wanted.
    pub from: u64,
}

/// The answer of a web server, of whatever status.
pub struct WebResponse {
    /// Its status: 200 with all bytes, 206 with those from the one asked for.
    pub status: u16,
    /// Bytes that follow, where the server says.
    pub length: Option<u64>,
    /// The address of the next page of a list.
    pub next: Option<String>,
    /// What follows.
    pub body: Box<dyn Read>,
}

/// Asks a web server.
///
/// # Errors
/// [`RemoteError`], with the address and the remedy.
pub fn get(request: &WebRequest<'_>) -> Result<WebResponse, RemoteError> {
    web::get(request)
}

/// Opens a remote file as a stream, which is resumed where its connection breaks.
///
/// # Errors
/// [`RemoteError`], with the address and the remedy.
pub fn open(path: &Path) -> Result<Box<dyn Read>, RemoteError> {
    client::open(path)
}

/// Size and time of a remote file.
///
/// # Errors
/// [`RemoteError`], with the address and the remedy.
pub fn facts(path: &Path) -> Result<Facts, RemoteError> {
    client::facts(path)
}

/// The objects below a prefix that are not empty and whose keys `wanted` takes, in order of key.
///
/// # Errors
/// [`RemoteError`], with the address and the remedy.
pub fn list(prefix: &Path, wanted: &dyn Fn(&Path) -> bool) -> Result<Vec<PathBuf>, RemoteError> {
    client::list(prefix, wanted)
}

/// What stands in the place of requests in a build without a client.
#[cfg(not(feature = "client"))]
mod web {
    use super::{RemoteError, WebRequest, WebResponse, shown};
    use std::path::Path;

    pub(super) fn get(request: &WebRequest<'_>) -> Result<WebResponse, RemoteError> {
        Err(RemoteError::LeftOut { address: shown(Path::new(request.address)) })
    }
}

/// What stands in the place of the client in a build without it.
#[cfg(not(feature = "client"))]
mod client {
    use super::{Facts, RemoteError, shown};
    use std::io::Read;
    use std::path::{Path, PathBuf};

    fn left_out<T>(path: &Path) -> Result<T, RemoteError> {
        Err(RemoteError::LeftOut { address: shown(path) })
    }

    pub(super) fn open(path: &Path) -> Result<Box<dyn Read>, RemoteError> {
        left_out(path)
    }

    pub(super) fn facts(path: &Path) -> Result<Facts, RemoteError> {
        left_out(path)
    }

    pub(super) fn list(
        path: &Path,
        _: &dyn Fn(&Path) -> bool,
    ) -> Result<Vec<PathBuf>, RemoteError> {
        left_out(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_recognised_and_show_no_secret() {
        for path in ["posts.jsonl", "-", "C:\\posts", "s3/posts", "file:///posts", "s3:/posts"] {
            assert!(!is_address(Path::new(path)), "{path}");
        }
        assert!(is_prefix(Path::new("s3://square/2017/")));
        assert!(!is_prefix(Path::new("s3://square/2017")));
        assert!(!is_prefix(Path::new("https://example.org/")));
        for (address, expected) in [
            ("https://example.org/a.jsonl?X-Sig=secret#top", "https://example.org/a.jsonl"),
            ("https://ann:secret@example.org/a", "https://example.org/a"),
            ("http://example.org?secret", "http://example.org"),
            ("az://posts@account/a?b.jsonl", "az://posts@account/a?b.jsonl"),
            ("posts@home?.jsonl", "posts@home?.jsonl"),
        ] {
            assert_eq!(shown(Path::new(address)), Path::new(expected));
        }
    }

    #[test]
    #[cfg(not(feature = "client"))]
    fn a_build_without_a_client_says_how_to_build_with_it() {
        let address = Path::new("https://example.org/a.jsonl?secret");
        let message = facts(address).expect_err("is left out").to_string();
        assert!(message.contains("https://example.org/a.jsonl:"), "{message}");
        assert!(message.contains("--features remote") && !message.contains("secret"), "{message}");
        assert!(open(address).is_err() && list(Path::new("s3://square/"), &|_| true).is_err());
    }
}
