//! Sources that are addresses: objects in S3, Google Cloud Storage or Azure, and files on the web.
//!
//! What an address is, is known in every build; reading one takes the feature `remote`. Of an address
//! only what is no secret is ever shown or stored: not a password, not the query of a signed link.

use crate::error::PostsError;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What an address begins with. `abfs` is Azure's own scheme, `s3a` Hadoop's.
const SCHEMES: [&str; 8] = ["s3", "s3a", "gs", "az", "abfs", "abfss", "https", "http"];

/// What is known of a remote file before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its size.
    pub bytes: u64,
    /// When it was changed, in Unix seconds; 0 when the server does not say.
    pub changed: u64,
}

/// Scheme and the rest, when a path is an address.
pub(super) fn parts(path: &Path) -> Option<(&str, &str)> {
    let (scheme, rest) = path.to_str()?.split_once("://")?;
    SCHEMES.contains(&scheme).then_some((scheme, rest))
}

/// Whether a path is an address.
pub fn is_address(path: &Path) -> bool {
    parts(path).is_some()
}

/// Whether a path is an address that stands for all objects whose keys begin with it.
pub(super) fn is_prefix(path: &Path) -> bool {
    parts(path).is_some_and(|(scheme, rest)| !is_web(scheme) && rest.ends_with('/'))
}

pub(super) fn is_web(scheme: &str) -> bool {
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

/// The sources with every prefix replaced by the objects below it that hold posts, in order of key.
///
/// # Errors
/// A prefix that cannot be listed, or holds nothing.
pub fn expanded(sources: &[PathBuf]) -> Result<Vec<PathBuf>, PostsError> {
    let mut all = Vec::with_capacity(sources.len());
    for source in sources {
        if !is_prefix(source) {
            all.push(source.clone());
            continue;
        }
        let objects = remote::list(source)?;
        if objects.is_empty() {
            return Err(PostsError::NoPostFiles { path: source.clone() });
        }
        all.extend(objects);
    }
    Ok(all)
}

/// Opens a remote file as a stream.
///
/// # Errors
/// [`PostsError::Remote`], with the address and the remedy.
pub(super) fn open(path: &Path) -> Result<Box<dyn Read>, PostsError> {
    remote::open(path)
}

/// Size and time of a remote file.
///
/// # Errors
/// [`PostsError::Remote`], with the address and the remedy.
pub fn facts(path: &Path) -> Result<Facts, PostsError> {
    remote::facts(path)
}

#[cfg(feature = "remote")]
use super::remote;

/// What stands in the place of reading addresses in a build without it.
#[cfg(not(feature = "remote"))]
mod remote {
    use super::{Facts, PostsError, shown};
    use std::io::Read;
    use std::path::{Path, PathBuf};

    fn left_out<T>(path: &Path) -> Result<T, PostsError> {
        Err(PostsError::RemoteLeftOut { address: shown(path) })
    }

    pub(super) fn open(path: &Path) -> Result<Box<dyn Read>, PostsError> {
        left_out(path)
    }

    pub(super) fn facts(path: &Path) -> Result<Facts, PostsError> {
        left_out(path)
    }

    pub(super) fn list(path: &Path) -> Result<Vec<PathBuf>, PostsError> {
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
    #[cfg(not(feature = "remote"))]
    fn a_build_without_it_says_how_to_build_with_it() {
        let address = Path::new("https://example.org/a.jsonl?secret");
        let error = facts(address).expect_err("is left out");
        let message = error.to_string();
        assert!(message.contains("https://example.org/a.jsonl:"), "{message}");
        assert!(message.contains("--features remote") && !message.contains("secret"), "{message}");
        assert!(open(address).is_err() && expanded(&["s3://square/".into()]).is_err());
        assert_eq!(expanded(&["a/".into()]).expect("no address"), [PathBuf::from("a/")]);
    }
}
