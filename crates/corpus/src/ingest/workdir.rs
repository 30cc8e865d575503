//! Where work in progress lies, below `state/`, and what shards are called.

use super::BUCKETS;
use super::options::Plan;
use crate::error::CorpusError;
use std::path::PathBuf;
use stoa_posts::Durability;

/// A shard of posts: its place in the order of reading and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PostShard {
    pub(super) source: usize,
    pub(super) part: usize,
    pub(super) name: String,
    pub(super) posts: u64,
}

/// A row's place in the order of reading as one number.
pub(super) fn place(shard: usize, row: usize) -> u64 {
    (shard as u64) << 32 | row as u64
}

/// PostShard and row of a place.
pub(super) fn shard_and_row(place: u64) -> (usize, usize) {
    ((place >> 32) as usize, (place & u64::from(u32::MAX)) as usize)
}

pub(super) fn shard_name(source: usize, part: usize) -> String {
    format!("{source:05}-{part:05}")
}

/// Where work in progress lies.
pub(super) struct Work {
    pub(super) root: PathBuf,
    pub(super) durability: Durability,
    pub(super) plan: Plan,
}

impl Work {
    /// A folder of outputs.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(super) fn source_counts(&self, source: usize) -> PathBuf {
        self.root.join("sources").join(format!("{source:05}.json"))
    }

    pub(super) fn source_rejects(&self, source: usize) -> PathBuf {
        self.root.join("rejects").join(format!("{source:05}.jsonl"))
    }

    pub(super) fn raw(&self, source: usize, part: usize) -> PathBuf {
        self.root.join("raw").join(format!("{}.parquet", shard_name(source, part)))
    }

    pub(super) fn keys(&self, source: usize, part: usize) -> PathBuf {
        self.root.join("keys").join(shard_name(source, part))
    }

    /// What a task of a bucket wrote.
    pub(super) fn of_bucket(&self, folder: &str, bucket: usize) -> PathBuf {
        self.root.join(folder).join(format!("{bucket:02}"))
    }

    /// What the tasks of all buckets wrote, in order.
    pub(super) fn of_buckets(&self, folder: &str) -> Vec<PathBuf> {
        (0..BUCKETS).map(|bucket| self.of_bucket(folder, bucket)).collect()
    }

    /// What a task of a shard wrote.
    pub(super) fn of_shard(&self, folder: &str, shard: &PostShard) -> PathBuf {
        self.root.join(folder).join(&shard.name)
    }

    /// What the tasks of all shards wrote, in order.
    pub(super) fn of_shards(&self, folder: &str, shards: &[PostShard]) -> Vec<PathBuf> {
        shards.iter().map(|shard| self.of_shard(folder, shard)).collect()
    }

    /// Where a task's sorts go beyond memory.
    pub(super) fn sorting(&self, phase: &str, task: usize) -> PathBuf {
        self.root.join("sorting").join(format!("{phase}-{task}"))
    }

    /// A row of flags that a task of a shard wrote.
    pub(super) fn read_flags(
        &self,
        folder: &str,
        shard: &PostShard,
    ) -> Result<Vec<bool>, CorpusError> {
        let path = self.of_shard(folder, shard);
        let bytes = std::fs::read(&path).map_err(|cause| CorpusError::Io { path, cause })?;
        Ok(bytes.into_iter().map(|byte| byte == 1).collect())
    }
}
