//! Sources read into memory as a whole, for small ones: notices are applied to the posts they are about.

use super::{Item, ReadOptions, Remarks, scan};
use crate::error::{PostsError, RejectReason};
use crate::post::{About, Notice, Post, Tombstone};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

/// What was read of one or more paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intake {
    /// The posts; notices have been applied to them.
    pub posts: Vec<Post>,
    /// Rejected records by reason; reposts, which say nothing of their own, are among them.
    pub rejected: BTreeMap<String, usize>,
    /// What was guessed, changed, rounded or left out while reading.
    pub remarks: Remarks,
}

/// Reads several paths into memory; rejected records are counted, damage is an error.
///
/// # Errors
/// As [`scan`].
pub fn read_all<P: AsRef<Path>>(paths: &[P], options: &ReadOptions) -> Result<Intake, PostsError> {
    let mut intake = Intake::default();
    let mut gone_authors: HashSet<String> = HashSet::new();
    for path in paths {
        let meter = AtomicU64::new(0);
        let scanned = scan(path.as_ref(), options, &meter, &mut |item| {
            match item {
                Item::Post(post) if post.repost && post.tombstone.is_none() => {
                    let reason = RejectReason::Repost.to_string();
                    *intake.rejected.entry(reason).or_insert(0) += 1;
                }
                Item::Post(post) => intake.posts.push(*post),
                Item::Notice(notice) if notice.reversed => {}
                Item::Notice(Notice { about, removal, at_unix_seconds, .. }) => match about {
                    About::Post(id) => {
                        let tombstone = Some(Tombstone { at_unix_seconds, removal });
                        intake.posts.push(Post { id, tombstone, ..Post::default() });
                    }
                    About::Author(author) => {
                        gone_authors.insert(author.to_lowercase());
                    }
                },
                Item::Rejected(rejected) => {
                    *intake.rejected.entry(rejected.reason.to_string()).or_insert(0) += 1;
                }
            }
            Ok(())
        })?;
        intake.remarks.merge(&scanned.remarks);
        // A file of nothing but reposts holds no post of its own.
        if let (true, Some((reason, records))) =
            (intake.posts.is_empty(), intake.rejected.first_key_value())
        {
            return Err(PostsError::NoUsablePosts {
                path: PathBuf::from(path.as_ref()),
                records: *records as u64,
                first_reason: reason.clone(),
                remarks: intake.remarks.clone(),
            });
        }
    }
    if !gone_authors.is_empty() {
        let is_gone = |name: &str| gone_authors.contains(&name.to_lowercase());
        for post in &mut intake.posts {
            if is_gone(&post.author) || post.author_id.as_deref().is_some_and(is_gone) {
                post.tombstone.get_or_insert_default();
                post.text.clear();
            }
        }
    }
    Ok(intake)
}
