//! Posts that every rule kept to threads, threads to documents and dialogues.
//!
//! Kept posts are spilled by thread; a bucket of threads is one task, sorted on disk. On which side of the
//! held-out border each falls is decided in `held_out`.

use super::attributes::{self, Mark, PII, VERDICT};
use super::counts::{ThreadCounts, Written};
use super::lines::{self, dialogue_lines, document_line};
use super::options::Stage;
use super::removals::{bucket_of, key_of};
use super::workdir::{place, shard_and_row};
use super::{BUCKETS, Ingest, SORT_BYTES, held_out, manifest, threading};
use crate::conversations::reading_order;
use crate::error::CorpusError;
use crate::store::{
    Buckets, Fields, Keyed, Sorter, Spread, Store, Words, at, put_bytes, write_json,
};
use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use stoa_posts::{Column, Post, Split, Values, read_posts, write_whole_with};

/// A kept post: hash of its thread in two halves, its place. It carries the thread's name and itself.
type KeptRecord = Keyed<3>;

/// Spills a shard's kept posts by thread.
pub(super) fn shard(ingest: &Ingest<'_>, index: usize) -> Result<(), CorpusError> {
    let Ingest { work, store, readings, options, .. } = ingest;
    let shard = &readings.shards[index];
    let mut posts = read_posts(&store.posts(&shard.name))?;
    let verdicts = attributes::read(store, VERDICT, &shard.name)?;
    if options.runs(Stage::Pii) {
        mask(store, &shard.name, &mut posts, &verdicts)?;
    }
    let threads = threading::of_shard(ingest, index, posts.len())?;
    let path = work.of_shard("by-thread", shard);
    let mut buckets = Buckets::new(BUCKETS);
    let mut beginnings = held_out::ThreadStarters::new();
    let rows = posts.iter().zip(threads).zip(verdicts).enumerate();
    for (row, ((post, thread), _)) in rows.filter(|(_, (_, verdict))| *verdict == Mark::Kept) {
        beginnings.push(&thread, post, place(index, row));
        let text = serde_json::to_vec(post)
            .map_err(|cause| CorpusError::Io { path: path.clone(), cause: cause.into() })?;
        let mut body = Vec::with_capacity(8 + thread.len() + text.len());
        put_bytes(&mut body, thread.as_bytes());
        put_bytes(&mut body, &text);
        let key = key_of(&thread);
        let words = [(key >> 64) as u64, key as u64, place(index, row)];
        let record: KeptRecord = Keyed { words, body: body.into_boxed_slice() };
        buckets.push(bucket_of(key), &record);
    }
    beginnings.write(&work.of_shard(held_out::THREAD_STARTERS, shard), work.durability)?;
    buckets.write(&path, work.durability)
}

/// What is written of a thread, by its place: that of its first post. It carries the lines of its
/// documents, then those of its dialogues.
type ThreadRecord = Keyed<1>;

/// Writes the documents and dialogues of a bucket, threads in the order of their first post read.
pub(super) fn write(ingest: &Ingest<'_>, bucket: usize) -> Result<(), CorpusError> {
    let Ingest { work, store, readings, .. } = ingest;
    let files = work.of_shards("by-thread", &readings.shards);
    let folder = work.sorting("write", bucket);
    let mut kept = Sorter::new(&folder, "kept", SORT_BYTES);
    Buckets::each(&files, bucket, BUCKETS, |record: KeptRecord| kept.push(record))?;
    let mut threads = Sorter::new(&folder, "threads", SORT_BYTES);
    let mut aside = Spread::new(&folder, readings.shards.len(), SORT_BYTES);
    let mut gathered = ThreadCounts::default();
    let mut thread: Vec<KeptRecord> = Vec::new();
    for record in kept.sorted()? {
        let record = record?;
        if thread.first().is_some_and(|first| first.words[..2] != record.words[..2]) {
            gathered.add(write_thread(ingest, &thread, &mut threads, &mut aside)?);
            thread.clear();
        }
        thread.push(record);
    }
    gathered.add(write_thread(ingest, &thread, &mut threads, &mut aside)?);
    let (documents, dialogues) = (store.documents(bucket), store.dialogues(bucket));
    if gathered.threads > 0 {
        let dialogues_too = gathered.dialogues > 0;
        write_whole_with(&documents, store.durability(), |documents_file| {
            let mut documents_out = BufWriter::new(documents_file);
            let both = |dialogues_out: &mut dyn Write| {
                for record in threads.sorted()? {
                    let record: ThreadRecord = record?;
                    let mut fields = Fields::new(&record.body);
                    documents_out.write_all(fields.bytes()).map_err(at(&documents))?;
                    dialogues_out.write_all(fields.bytes()).map_err(at(&dialogues))?;
                }
                dialogues_out.flush().map_err(at(&dialogues))
            };
            if dialogues_too {
                write_whole_with(&dialogues, store.durability(), |file| {
                    both(&mut BufWriter::new(file))
                })?;
            } else {
                both(&mut std::io::sink())?;
            }
            documents_out.flush().map_err(at(&documents))
        })?;
    }
    aside.write(&work.of_bucket(held_out::EXCLUDED, bucket), work.durability)?;
    let mut written = Written { gathered, files: BTreeMap::new() };
    for path in [documents, dialogues].into_iter().filter(|path| path.exists()) {
        let (name, sum) = manifest::named_checksum(store, &path)?;
        written.files.insert(name, sum);
    }
    write_json(&work.of_bucket("written", bucket), work.durability, &written)
}

/// Puts placeholders in the place of personal data in what is trained on; the attribute says how many
/// of which kind a post had. The post itself stays as it was.
fn mask(
    store: &Store,
    shard: &str,
    posts: &mut [Post],
    verdicts: &[Mark],
) -> Result<(), CorpusError> {
    let mut marks = Vec::with_capacity(posts.len());
    let mut kinds = Vec::with_capacity(posts.len());
    for (post, verdict) in posts.iter_mut().zip(verdicts) {
        let asked = *verdict == Mark::Kept;
        marks.push(if asked { Mark::Kept } else { Mark::Unasked });
        let found = if asked { lines::mask(post) } else { Vec::new() };
        let names: Vec<&str> = found.iter().map(|finding| finding.kind.placeholder()).collect();
        kinds.push((!names.is_empty()).then(|| names.join(" ")));
    }
    let more =
        vec![Column { name: attributes::FOUND, required: false, values: Values::Text(kinds) }];
    attributes::write(store, PII, shard, posts, &marks, more)
}

/// Puts the lines of a thread in the order of its place, and the rows that are set aside by shard; its posts
/// come in the order of reading.
fn write_thread(
    ingest: &Ingest<'_>,
    records: &[KeptRecord],
    threads: &mut Sorter<ThreadRecord>,
    aside: &mut Spread,
) -> Result<ThreadCounts, CorpusError> {
    let Some(first) = records.first() else { return Ok(ThreadCounts::default()) };
    let sides = &ingest.sides;
    let name = Fields::new(&first.body).text();
    let posts: Vec<(u64, Post)> = records
        .iter()
        .filter_map(|record| {
            let mut fields = Fields::new(&record.body);
            fields.bytes();
            Some((record.words[2], serde_json::from_slice(fields.bytes()).ok()?))
        })
        .collect();
    let split = sides.side(name, &posts);
    let (posts, gone): (Vec<_>, Vec<_>) =
        posts.into_iter().partition(|(_, post)| sides.stays(split, post));
    for (place, _) in &gone {
        let (shard, row) = shard_and_row(*place);
        aside.push(shard, row as u64, &Words([row as u64]))?;
    }
    let thread = reading_order(name.to_string(), posts.into_iter().map(|(_, post)| post).collect());
    let mut gathered = ThreadCounts {
        threads: 1,
        set_aside: gone.len() as u64,
        missing_parents: thread.missing_parents as u64,
        ..ThreadCounts::default()
    };
    let (mut documents, mut dialogues) = (Vec::new(), Vec::new());
    // A corpus of one thread is cut before its last post.
    let count = thread.replies.len();
    let cut = if sides.alone() { count.saturating_sub(1) } else { count };
    let (body, rest) = thread.replies.split_at(cut);
    for (replies, split) in [(body, split), (rest, Split::HeldOut)] {
        if replies.is_empty() {
            continue;
        }
        let document = document_line(&ingest.key, &thread, replies, split);
        gathered.held_out += u64::from(split == Split::HeldOut);
        gathered.bytes += document.text_bytes;
        documents.extend_from_slice(document.line.as_bytes());
        documents.push(b'\n');
    }
    for line in dialogue_lines(&ingest.key, &thread, body, split) {
        dialogues.extend_from_slice(line.as_bytes());
        dialogues.push(b'\n');
        gathered.dialogues += 1;
    }
    let mut lines = Vec::with_capacity(8 + documents.len() + dialogues.len());
    put_bytes(&mut lines, &documents);
    put_bytes(&mut lines, &dialogues);
    threads.push(Keyed { words: [first.words[2]], body: lines.into_boxed_slice() })?;
    Ok(gathered)
}
