//! Sources that are addresses, as the room `remote` reads them: which objects below a prefix hold
//! posts.

use std::path::PathBuf;

use stoa_remote::{is_prefix, list};

use super::container::is_of_posts;
use super::remarks::Remarks;
use crate::error::PostsError;

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
        let objects = list(source, &is_of_posts)?;
        if objects.is_empty() {
            return Err(PostsError::NoPostFiles {
                path: source.clone(),
                remarks: Remarks::default(),
            });
        }
        all.extend(objects);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_no_prefixes() {
        assert_eq!(expanded(&["a/".into()]).expect("no address"), [PathBuf::from("a/")]);
    }

    #[test]
    #[cfg(not(feature = "remote"))]
    fn a_build_without_a_client_says_how_to_build_with_it() {
        let message = expanded(&["s3://square/".into()]).expect_err("is left out").to_string();
        assert!(message.contains("s3://square/:"), "{message}");
        assert!(message.contains("--features remote"), "{message}");
    }
}
