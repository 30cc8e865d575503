//! Posts that every rule kept to threads, threads to documents and dialogues.
//!
//! The verdict of all rules together is an attribute of its own. Kept posts are spilled by thread;
//! a bucket of threads is one task. The held-out split is a function of the thread's name; only a
//! corpus whose threads all fall on one side is cut otherwise, as in `corpus`.

use super::attributes::{self, Mark};
use super::copies::{EXACT, NEAR, spam_rule};
use super::judging::{DECONTAMINATION, GATES};
use super::options::{IngestOptions, Stage};
use super::settling::{bucket_of, key_of};
use super::tasks::{self, Progress};
use super::threading;
use super::{BUCKETS, Shard, Work};
use crate::conversations::reading_order;
use crate::corpus::{Split, document, split_of, thread_dialogues};
use crate::draws::stable_hash;
use crate::error::PostsError;
use crate::pii;
use crate::post::Post;
use crate::rules::Rule;
use crate::store::{
    AuthorKey, Buckets, Column, Fields, Store, Values, put_bytes, put_u32, read_posts, write_whole,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::HashMap;

/// The attribute with the kinds of personal data that were masked.
pub(super) const PII: &str = "pii";
/// The attribute that sums all others up: kept, or the first rule that dropped the post.
pub(super) const VERDICT: &str = "verdict";

/// The rules whose attributes there are, in the order in which they count.
pub(super) fn rules_in_order(store: &Store, rules: &[Box<dyn Rule>]) -> Vec<String> {
    let names = GATES.iter().map(|gate| (*gate).to_string());
    let names = names.chain(rules.iter().map(|rule| rule.name().to_string())).chain([
        DECONTAMINATION.to_string(),
        spam_rule(),
        EXACT.to_string(),
        NEAR.to_string(),
    ]);
    let there = store.rules().unwrap_or_default();
    names.filter(|name| there.contains(&attributes::directory(name))).collect()
}

/// Writes the verdict of each row of each shard.
pub(super) fn verdicts(
    store: &Store,
    shards: &[Shard],
    rules: &[String],
    threads: usize,
    progress: &Progress<'_>,
) -> Result<(), PostsError> {
    tasks::run("verdicts", shards.len(), threads, progress, &|index| {
        let shard = &shards[index].name;
        if store.attribute(VERDICT, shard).exists() {
            return Ok(());
        }
        let posts = read_posts(&store.posts(shard))?;
        let mut verdicts = vec![Mark::Kept; posts.len()];
        for rule in rules {
            for (verdict, mark) in verdicts.iter_mut().zip(attributes::read(store, rule, shard)?) {
                if let (Mark::Kept, Mark::Dropped { of, .. }) = (&verdict, &mark) {
                    *verdict = Mark::Dropped { reason: rule.clone(), of: of.clone() };
                }
            }
        }
        attributes::write(store, VERDICT, shard, &posts, &verdicts, Vec::new())
    })
}

/// On which sides the threads of a shard fall.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Sides {
    train: bool,
    held_out: bool,
    /// The thread of lowest hash, and whether it is the only one.
    lowest: Option<String>,
    alone: bool,
}

impl Sides {
    fn add(&mut self, thread: &str) {
        match split_of(thread) {
            Split::Train => self.train = true,
            Split::HeldOut => self.held_out = true,
        }
        let only = self.lowest.as_deref().is_none_or(|lowest| lowest == thread);
        self.alone = (self.alone || self.lowest.is_none()) && only;
        let hash = |thread: &str| (stable_hash(thread.as_bytes()), thread.to_string());
        if self.lowest.as_deref().is_none_or(|lowest| hash(thread) < hash(lowest)) {
            self.lowest = Some(thread.to_string());
        }
    }

    fn merge(&mut self, other: &Sides) {
        self.train |= other.train;
        self.held_out |= other.held_out;
        if let Some(lowest) = &other.lowest {
            let alone = other.alone && (self.alone || self.lowest.is_none());
            self.add(lowest);
            self.alone &= alone;
        }
    }

    /// The side of a thread, given those of all.
    fn split(&self, thread: &str) -> Split {
        let moved = self.lowest.as_deref() == Some(thread);
        match split_of(thread) {
            Split::Train if moved && !self.held_out => Split::HeldOut,
            Split::HeldOut if moved && !self.train => Split::Train,
            split => split,
        }
    }
}

/// What came of the threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gathered {
    /// Threads with a kept post.
    pub threads: u64,
    /// Of their documents, those that are held out.
    pub held_out: u64,
    /// Posts that kept posts answer, but that are not kept or not there.
    pub missing_parents: u64,
    /// Dialogues.
    pub dialogues: u64,
    /// Bytes of documents.
    pub bytes: u64,
}

/// Gathers kept posts by thread and writes documents and dialogues.
pub(super) fn run(
    options: &IngestOptions,
    work: &Work,
    store: &Store,
    key: &AuthorKey,
    shards: &[Shard],
    progress: &Progress<'_>,
) -> Result<Gathered, PostsError> {
    let (threads, masks) = (options.threads, options.runs(Stage::Pii));
    tasks::run("gather", shards.len(), threads, progress, &|index| {
        spill(work, store, shards, index, masks)
    })?;
    let mut sides = Sides::default();
    for shard in shards {
        let path = work.sides(&shard.name);
        let text = std::fs::read(&path).map_err(|cause| PostsError::Io { path, cause })?;
        sides.merge(&serde_json::from_slice(&text).unwrap_or_default());
    }
    let files: Vec<_> = shards.iter().map(|shard| work.by_thread(&shard.name)).collect();
    let all = std::sync::Mutex::new(Gathered::default());
    tasks::run("write", BUCKETS, threads, progress, &|bucket| {
        let records = Buckets::read(&files, bucket, BUCKETS)?;
        let gathered = bucket_of_threads(store, key, &sides, bucket, &records)?;
        let mut all = all.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        all.threads += gathered.threads;
        all.held_out += gathered.held_out;
        all.missing_parents += gathered.missing_parents;
        all.dialogues += gathered.dialogues;
        all.bytes += gathered.bytes;
        Ok(())
    })?;
    Ok(all.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()))
}

fn spill(
    work: &Work,
    store: &Store,
    shards: &[Shard],
    index: usize,
    masks: bool,
) -> Result<(), PostsError> {
    let shard = &shards[index].name;
    let (path, sides_path) = (work.by_thread(shard), work.sides(shard));
    if sides_path.exists() {
        return Ok(());
    }
    let mut posts = read_posts(&store.posts(shard))?;
    let verdicts = attributes::read(store, VERDICT, shard)?;
    if masks {
        mask(store, shard, &mut posts, &verdicts)?;
    }
    let threads = threading::of_shard(work, index, shards.len(), posts.len())?;
    let mut buckets = Buckets::new(BUCKETS);
    let mut sides = Sides::default();
    let rows = posts.iter().zip(threads).zip(verdicts).enumerate();
    for (row, ((post, thread), _)) in rows.filter(|(_, (_, verdict))| *verdict == Mark::Kept) {
        sides.add(&thread);
        let part = buckets.part(bucket_of(key_of(&thread)));
        put_bytes(part, thread.as_bytes());
        put_u32(part, index as u32);
        put_u32(part, row as u32);
        let text = serde_json::to_vec(post)
            .map_err(|cause| PostsError::Io { path: path.clone(), cause: cause.into() })?;
        put_bytes(part, &text);
    }
    buckets.write(&path)?;
    let text = serde_json::to_vec(&sides)
        .map_err(|cause| PostsError::Io { path: sides_path.clone(), cause: cause.into() })?;
    write_whole(&sides_path, &text)
}

/// Puts placeholders in the place of personal data in what is trained on; the attribute says how many
/// of which kind a post had. The post itself stays as it was.
fn mask(
    store: &Store,
    shard: &str,
    posts: &mut [Post],
    verdicts: &[Mark],
) -> Result<(), PostsError> {
    let mut marks = Vec::with_capacity(posts.len());
    let mut kinds = Vec::with_capacity(posts.len());
    for (post, verdict) in posts.iter_mut().zip(verdicts) {
        let asked = *verdict == Mark::Kept;
        marks.push(if asked { Mark::Kept } else { Mark::Unasked });
        let found = if asked { pii::find(&post.text) } else { Vec::new() };
        let names: Vec<&str> = found.iter().map(|finding| finding.kind.placeholder()).collect();
        kinds.push((!names.is_empty()).then(|| names.join(" ")));
        if !found.is_empty() {
            post.text = pii::replace(&post.text).into_owned();
        }
    }
    let more = vec![Column { name: "found", required: false, values: Values::Text(kinds) }];
    attributes::write(store, PII, shard, posts, &marks, more)
}

fn bucket_of_threads(
    store: &Store,
    key: &AuthorKey,
    sides: &Sides,
    bucket: usize,
    records: &[u8],
) -> Result<Gathered, PostsError> {
    let mut fields = Fields::new(records);
    let mut threads: HashMap<&str, Vec<((u32, u32), &[u8])>> = HashMap::new();
    while !fields.is_empty() {
        let thread = fields.text();
        let place = (fields.u32(), fields.u32());
        threads.entry(thread).or_default().push((place, fields.bytes()));
    }
    let mut threads: Vec<_> = threads.into_iter().collect();
    threads.iter_mut().for_each(|(_, posts)| posts.sort_unstable());
    // Threads stand in the order of their first post read.
    threads.sort_by_key(|(_, posts)| posts.first().map(|(place, _)| *place));
    let identify = |handle: &str| key.hash(handle);
    let mut gathered = Gathered::default();
    let (mut documents, mut dialogues) = (Vec::new(), Vec::new());
    for (name, posts) in threads {
        let posts: Vec<Post> =
            posts.iter().filter_map(|(_, text)| serde_json::from_slice(text).ok()).collect();
        let count = posts.len();
        let thread = reading_order(name.to_string(), posts);
        gathered.threads += 1;
        gathered.missing_parents += thread.missing_parents as u64;
        // A corpus of one thread is cut before its last post.
        let cut = if sides.alone { count.saturating_sub(1) } else { count };
        let (body, rest) = thread.replies.split_at(cut);
        let split = if sides.alone { Split::Train } else { sides.split(name) };
        for (replies, split) in [(body, split), (rest, Split::HeldOut)] {
            if replies.is_empty() {
                continue;
            }
            let document = document(&thread, replies, split, &identify);
            gathered.held_out += u64::from(split == Split::HeldOut);
            gathered.bytes += document.text.len() as u64;
            let line = json!({
                "id": document.id,
                "text": document.text,
                "language": document.language,
                "split": document.split,
                "posts": replies.iter().map(|reply| reply.post.id.as_str()).collect::<Vec<_>>(),
            });
            documents.extend_from_slice(line.to_string().as_bytes());
            documents.push(b'\n');
        }
        if split == Split::HeldOut {
            continue;
        }
        for dialogue in thread_dialogues(&thread, body, &identify) {
            let messages: Vec<_> = dialogue
                .turns
                .iter()
                .map(|turn| json!({"role": turn.role, "content": turn.text}))
                .collect();
            let line = json!({
                "messages": messages,
                "language": dialogue.language,
                "thread": name,
            });
            dialogues.extend_from_slice(line.to_string().as_bytes());
            dialogues.push(b'\n');
            gathered.dialogues += 1;
        }
    }
    if !documents.is_empty() {
        write_whole(&store.documents(bucket), &documents)?;
    }
    if !dialogues.is_empty() {
        write_whole(&store.dialogues(bucket), &dialogues)?;
    }
    Ok(gathered)
}
