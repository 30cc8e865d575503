//! Readers: any usual file of posts to `Post`s, one after the other.
//!
//! Formats are told by content (`framing`): JSON lines, JSON arrays, CSV and TSV, plain text, files of
//! X archives, all of them gzipped or not, in folders, zip or tar archives. A record that is no post
//! is a `Reject::Record` and reading goes on; damage to a source is a `Reject::Fatal` and ends it.

mod container;
mod framing;
mod input;
mod moment;
mod table;
mod tweet;
mod wording;

use crate::error::{PostsError, Reject, Rejected};
use crate::post::{Origin, Post};
use container::{Contents, Source};
use framing::{Frame, Frames};
use input::Input;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// Keep what was read before compressed data breaks off or a JSON array ends early, instead of
    /// refusing the file.
    pub keep_truncated: bool,
    /// Longest record, in bytes.
    pub record_limit_bytes: usize,
    /// Most bytes taken into memory from one archive.
    pub archive_limit_bytes: u64,
}

impl Default for ReadOptions {
    fn default() -> ReadOptions {
        ReadOptions {
            keep_truncated: false,
            record_limit_bytes: 64 << 20,
            archive_limit_bytes: 2 << 30,
        }
    }
}

/// Author given to the posts of an X archive, which do not name it.
const ARCHIVE_OWNER: &str = "archive_owner";

/// The posts of a file, folder or archive. See `Reject` for what can stand between them.
pub fn read(path: impl AsRef<Path>, options: &ReadOptions) -> Reader {
    let path = path.as_ref().to_path_buf();
    let mut reader = Reader {
        path,
        options: options.clone(),
        waiting: VecDeque::new(),
        frames: None,
        source: Arc::from(""),
        notes: Notes::default(),
        ready: VecDeque::new(),
        records: 0,
        records_of_source: 0,
        posts: 0,
        first_reason: None,
        ended: false,
    };
    if let Err(error) = reader.open() {
        reader.end_with(error);
    }
    reader
}

/// What was read of one or more paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intake {
    /// The posts.
    pub posts: Vec<Post>,
    /// Rejected records by reason.
    pub rejected: BTreeMap<String, usize>,
}

/// Reads several paths; rejected records are counted, damage is an error.
pub fn read_all<P: AsRef<Path>>(paths: &[P], options: &ReadOptions) -> Result<Intake, PostsError> {
    let mut intake = Intake::default();
    for path in paths {
        for item in read(path, options) {
            match item {
                Ok(post) => intake.posts.push(post),
                Err(Reject::Fatal(error)) => return Err(error),
                Err(Reject::Record(rejected)) => {
                    *intake.rejected.entry(rejected.reason.to_string()).or_insert(0) += 1;
                }
            }
        }
    }
    Ok(intake)
}

/// Iterator over the posts of a path.
pub struct Reader {
    path: PathBuf,
    options: ReadOptions,
    waiting: VecDeque<Source>,
    frames: Option<Frames>,
    source: Arc<str>,
    notes: Notes,
    ready: VecDeque<Result<Post, Reject>>,
    records: u64,
    records_of_source: u64,
    posts: u64,
    first_reason: Option<String>,
    ended: bool,
}

impl Reader {
    fn open(&mut self) -> Result<(), PostsError> {
        let Contents { posts, notes } =
            container::open(&self.path, self.options.archive_limit_bytes)?;
        for source in notes {
            self.notes.read(source, &self.options)?;
        }
        self.waiting = posts.into();
        Ok(())
    }

    fn end_with(&mut self, error: PostsError) {
        self.ended = true;
        self.waiting.clear();
        self.frames = None;
        let error = match error {
            PostsError::Truncated { path, decoded_bytes, cause, .. } => {
                PostsError::Truncated { path, decoded_bytes, cause, posts: self.posts }
            }
            other => other,
        };
        self.ready.push_back(Err(Reject::Fatal(error)));
    }

    /// Reads until something is ready or everything is read.
    fn advance(&mut self) -> Result<(), PostsError> {
        while self.ready.is_empty() && !self.ended {
            let Some(frames) = &mut self.frames else {
                match self.waiting.pop_front() {
                    Some(source) => {
                        self.source = Arc::from(source.path().display().to_string());
                        self.records_of_source = 0;
                        self.frames = Frames::open(input(source, &self.options)?)?;
                    }
                    None => {
                        self.ended = true;
                        self.check_total()?;
                    }
                }
                continue;
            };
            match frames.next() {
                Ok(Some(frame)) => self.take(frame),
                Ok(None) => self.frames = None,
                Err(error) if self.options.keep_truncated && is_cut(&error) => self.frames = None,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reading that ends without a post is an error, which says why.
    fn check_total(&self) -> Result<(), PostsError> {
        let path = self.path.clone();
        match (&self.first_reason, self.posts) {
            (_, 1..) => Ok(()),
            (None, 0) => Err(PostsError::Empty { path }),
            (Some(reason), 0) => Err(PostsError::NoUsablePosts {
                path,
                records: self.records,
                first_reason: reason.clone(),
            }),
        }
    }

    fn take(&mut self, frame: Frame) {
        let archive = self.frames.as_ref().is_some_and(Frames::is_archive);
        let records = match frame.content {
            Ok(records) => records.into_iter().map(Ok).collect(),
            Err(reason) => vec![Err(reason)],
        };
        for record in records {
            let origin = Origin {
                source: self.source.clone(),
                record: self.records_of_source,
                byte_offset: frame.byte_offset,
            };
            self.records += 1;
            self.records_of_source += 1;
            let judged = record.and_then(|mut record| {
                self.notes.complete(&mut record);
                record.into_post(origin)
            });
            self.ready.push_back(match judged {
                Ok(mut post) => {
                    if archive && post.author.is_empty() {
                        post.author = ARCHIVE_OWNER.to_string();
                    }
                    self.posts += u64::from(post.tombstone.is_none());
                    Ok(post)
                }
                Err(reason) => {
                    self.first_reason.get_or_insert_with(|| reason.to_string());
                    Err(Reject::Record(Rejected {
                        source: self.source.clone(),
                        line: frame.line,
                        byte_offset: frame.byte_offset,
                        reason,
                    }))
                }
            });
        }
    }
}

impl Iterator for Reader {
    type Item = Result<Post, Reject>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(error) = self.advance() {
            self.end_with(error);
        }
        self.ready.pop_front()
    }
}

fn is_cut(error: &PostsError) -> bool {
    match error {
        PostsError::Truncated { .. } => true,
        PostsError::WrongJson { cause, .. } => cause.starts_with("the file ends"),
        _ => false,
    }
}

fn input(source: Source, options: &ReadOptions) -> Result<Input, PostsError> {
    let (stream, path) = open_source(source)?;
    Input::open(stream, &path, options.record_limit_bytes)
}

fn open_source(source: Source) -> Result<(Box<dyn Read>, PathBuf), PostsError> {
    match source {
        Source::Member { path, bytes } => Ok((Box::new(Cursor::new(bytes)), path)),
        Source::File(path) => match File::open(&path) {
            Ok(file) => Ok((Box::new(file), path)),
            Err(cause) => Err(PostsError::Io { path, cause }),
        },
    }
}

/// Letters by which a cut tweet is matched with its whole text, where no identifier does it.
const OPENING_LETTERS: usize = 80;

/// The whole texts of an X archive's long posts, which `tweets.js` holds cut.
#[derive(Default)]
struct Notes {
    by_id: HashMap<String, String>,
    by_opening: HashMap<String, String>,
}

impl Notes {
    fn read(&mut self, source: Source, options: &ReadOptions) -> Result<(), PostsError> {
        let (stream, path) = open_source(source)?;
        let mut text = String::new();
        stream
            .take(options.archive_limit_bytes)
            .read_to_string(&mut text)
            .map_err(|cause| PostsError::Io { path: path.clone(), cause })?;
        let start = text.find('=').map_or(0, |at| at + 1);
        let notes: Vec<Value> =
            serde_json::from_str(&text[start..]).map_err(|error| PostsError::WrongJson {
                path,
                line: error.line() as u64,
                byte_offset: start as u64,
                cause: error.to_string(),
            })?;
        for note in notes {
            // Real archives have `core.text`; documentation shows `noteTweetResults.text`.
            let paths = ["/noteTweet/core/text", "/noteTweet/noteTweetResults/text"];
            let Some(text) = paths.iter().find_map(|path| note.pointer(path)?.as_str()) else {
                continue;
            };
            if let Some(id) = note.pointer("/noteTweet/tweetId").and_then(Value::as_str) {
                self.by_id.insert(id.to_string(), text.to_string());
            }
            self.by_opening.insert(opening(text), text.to_string());
        }
        Ok(())
    }

    /// Puts the whole text in the place of a cut one.
    fn complete(&self, record: &mut tweet::Record) {
        if self.by_opening.is_empty() {
            return;
        }
        let by_id = record.get(tweet::Part::Id).and_then(|id| self.by_id.get(id));
        let whole = by_id.or_else(|| {
            let cut = record.get(tweet::Part::Text)?;
            // Only texts at the length limit can be cut.
            (cut.chars().count() > OPENING_LETTERS).then(|| self.by_opening.get(&opening(cut)))?
        });
        if let Some(whole) = whole {
            record.set(tweet::Part::Text, Some(whole.clone()));
        }
    }
}

fn opening(text: &str) -> String {
    text.chars().take(OPENING_LETTERS).collect()
}
