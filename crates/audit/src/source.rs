//! Where an audit finds its posts: files with a column for the side, or the store of an ingest.
//!
//! A store holds no column for the side. It knows where each post was read, so the column is looked up
//! there again; the source must be lines of JSON or a table, as it was.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use stoa_corpus::{CorpusError, Store};
use stoa_posts::rules::RulePost;
use stoa_posts::{Post, PostsError, ReadOptions, Row, Rows, Values, read_columns, read_posts};
use thiserror::Error;

use crate::{AuditError, Facet, Tally, length_stratum};

const TEXT: &[&str] = &["full_text", "text", "content", "body", "tweet", "message"];
const AUTHOR: &[&str] = &[
    "author",
    "author_id",
    "screen_name",
    "username",
    "user.screen_name",
    "handle",
    "user_id",
    "name",
];
const LANGUAGE: &[&str] = &["lang", "language"];
/// Columns of a store's posts that may name a side.
const STORED: &[&str] =
    &["language", "source", "source_app", "basis", "licence", "consent", "author", "repost"];
/// The verdict of all rules together, which a store keeps in addition to those of the rules.
const TOGETHER: &str = "verdict";
/// Rows between two looks at the progress bar.
const ROWS_BETWEEN: u64 = 4096;

/// Where posts and their sides are, and which columns say what.
#[derive(Clone, Debug, Default)]
pub struct SourceOptions {
    /// Files, or the directory of one store.
    pub sources: Vec<PathBuf>,
    /// Column of the side.
    pub side: String,
    /// Sides to compare, the reference first; all when empty.
    pub sides: Vec<String>,
    /// Side the others are compared with.
    pub reference: Option<String>,
    /// Column of the author, instead of the usual names.
    pub author: Option<String>,
    /// Column of the text, instead of the usual names.
    pub text: Option<String>,
    /// Column of the language, instead of the usual names.
    pub language: Option<String>,
    /// Column of the topic.
    pub topic: Option<String>,
    /// Further columns to list rates by.
    pub by: Vec<String>,
    /// Columns and the values that rows must have there.
    pub only: Vec<(String, String)>,
    /// Whether rules are given: a store then needs no verdicts of its own.
    pub has_rules: bool,
}

/// Posts that cannot be audited, with the remedy.
#[derive(Debug, Error)]
pub enum SourceError {
    /// Posts could not be read.
    #[error(transparent)]
    Posts(#[from] PostsError),
    /// A store could not be read.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// The tally refused a post.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// Files without a row.
    #[error("no row could be read; give JSON lines, CSV, TSV or Parquet")]
    NoRow,
    /// No column of text.
    #[error("no column holds the text (columns: {columns}); name it with --text")]
    NoText {
        /// The columns there are.
        columns: String,
    },
    /// Several stores.
    #[error("give one store, or files; several stores are audited one by one")]
    ManyStores,
    /// A column that only files have.
    #[error("{option} names a column of files; a store knows its own")]
    ColumnOfFiles {
        /// The option.
        option: &'static str,
    },
    /// A store without posts.
    #[error("{path}: holds no posts; make them with `stoa posts ingest`")]
    NoPosts {
        /// The store.
        path: PathBuf,
    },
    /// A store without verdicts.
    #[error("{path}: holds no verdicts; name a profile with --rules")]
    NoVerdicts {
        /// The store.
        path: PathBuf,
    },
    /// A reference that is no side.
    #[error("--reference {given}: the sides are {sides}")]
    NoSuchReference {
        /// The side asked for.
        given: String,
        /// The sides there are.
        sides: String,
    },
    /// An attribute that does not belong to its posts.
    #[error("{path}: {verdicts} verdicts on {posts} posts; ingest again")]
    OtherVerdicts {
        /// The attribute.
        path: PathBuf,
        /// Its rows.
        verdicts: usize,
        /// Rows of posts.
        posts: usize,
    },
    /// The file that posts of a store were read from.
    #[error("the column is looked up where the posts were read: {cause}")]
    LookUp {
        /// The error of reading.
        cause: PostsError,
    },
}

/// Which column is what.
#[derive(Clone, Debug, Serialize)]
pub struct Columns {
    /// The side.
    pub side: String,
    /// The text.
    pub text: String,
    author: Option<String>,
    language: Option<String>,
    topic: Option<String>,
    by: Vec<String>,
}

/// Rows that are not in the audit.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LeftOut {
    /// Rows looked at, the others included.
    #[serde(skip)]
    pub rows: u64,
    /// Rows that could not be read.
    rejected: u64,
    /// Rows without a side, or on a side that is not compared.
    other_side: u64,
    /// Rows without text.
    no_text: u64,
    /// Rows that `--where` leaves out.
    not_wanted: u64,
}

/// A post as the audit needs it.
pub struct AuditPost {
    /// The side it speaks for.
    pub side: String,
    /// Its text.
    pub text: String,
    /// Who wrote it.
    pub author: Option<String>,
    /// Which stored rules drop it; empty for files.
    pub stored_drops: Vec<bool>,
    language: Option<String>,
    source_app: Option<String>,
    is_reply: bool,
    declared_bot: bool,
}

impl AuditPost {
    /// What a rule may know of it.
    pub fn rule_post(&self) -> RulePost<'_> {
        RulePost {
            text: &self.text,
            language: self.language.as_deref().unwrap_or("und"),
            author: self.author.as_deref().unwrap_or(""),
            source_app: self.source_app.as_deref(),
            is_reply: self.is_reply,
            declared_bot: self.declared_bot,
        }
    }
}

/// Posts, and what their columns mean.
pub struct Source {
    posts: Posts,
    /// What the columns mean.
    pub columns: Columns,
    /// Names of the columns there are, as far as one row tells.
    pub known: Vec<String>,
    options: SourceOptions,
}

enum Posts {
    Files(Vec<PathBuf>),
    Store { store: Store, rules: Vec<String> },
}

/// A column of a row, wherever it stands.
type Get<'a> = &'a dyn Fn(&str) -> Option<String>;
/// What is done with each post and its levels of the facets.
type Show<'a> = &'a mut dyn FnMut(&AuditPost, &[&str]) -> Result<(), AuditError>;
/// Hears how far it is: units done, units in all.
type Progress<'a> = &'a mut dyn FnMut(u64, u64);

impl Source {
    /// Opens files or a store.
    ///
    /// # Errors
    /// Nothing that can be read; no column of text; columns that a store does not have.
    pub fn open(options: SourceOptions) -> Result<Source, SourceError> {
        let stored = options.sources.iter().any(|path| path.is_dir());
        let opened = if stored { open_store(&options)? } else { open_files(&options)? };
        let (posts, columns, known) = opened;
        Ok(Source { posts, columns, known, options })
    }

    /// What [`Source::each`] counts in its reports of progress.
    pub fn unit(&self) -> &'static str {
        match &self.posts {
            Posts::Files(_) => "bytes",
            Posts::Store { .. } => "shards",
        }
    }

    /// The rules whose verdicts a store holds.
    pub fn stored_rules(&self) -> Option<&[String]> {
        match &self.posts {
            Posts::Files(_) => None,
            Posts::Store { rules, .. } => Some(rules),
        }
    }

    /// Language, topic and length stratify; what is only listed does not.
    pub fn facets(&self) -> Vec<Facet> {
        let facet = |name: &str, stratifies| Facet { name: name.to_owned(), stratifies };
        let mut facets = Vec::new();
        facets.extend(self.columns.language.iter().map(|_| facet("language", true)));
        facets.extend(self.columns.topic.iter().map(|_| facet("topic", true)));
        facets.push(facet("length", true));
        facets.extend(self.columns.by.iter().map(|column| facet(column, false)));
        facets
    }

    /// The sides in the order of comparison: the reference first.
    ///
    /// # Errors
    /// A reference that is no side.
    pub fn order(&self, tally: &Tally) -> Result<Vec<String>, SourceError> {
        let SourceOptions { sides, reference, .. } = &self.options;
        let mut sides = match sides.is_empty() {
            true => tally.sides().into_iter().map(str::to_owned).collect(),
            false => sides.clone(),
        };
        if let Some(reference) = reference {
            let place = sides.iter().position(|side| side == reference);
            let place = place.ok_or_else(|| SourceError::NoSuchReference {
                given: reference.clone(),
                sides: sides.join(", "),
            })?;
            let reference = sides.remove(place);
            sides.insert(0, reference);
        }
        Ok(sides)
    }

    /// Shows every usable post, with its level of each facet.
    ///
    /// # Errors
    /// What reading says, and what `show` says.
    pub fn each(
        &self,
        progress: Progress<'_>,
        mut show: impl FnMut(&AuditPost, &[&str]) -> Result<(), AuditError>,
    ) -> Result<LeftOut, SourceError> {
        match &self.posts {
            Posts::Files(paths) => self.each_row(paths, progress, &mut show),
            Posts::Store { store, rules } => self.each_stored(store, rules, progress, &mut show),
        }
    }

    fn each_row(
        &self,
        paths: &[PathBuf],
        progress: Progress<'_>,
        show: Show<'_>,
    ) -> Result<LeftOut, SourceError> {
        let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |data| data.len());
        let total = paths.iter().map(size).sum();
        let mut left_out = LeftOut::default();
        let mut before = 0;
        for path in paths {
            let mut rows = Rows::open(path, &ReadOptions::default())?;
            while let Some(row) = rows.next() {
                left_out.rows += 1;
                if left_out.rows.is_multiple_of(ROWS_BETWEEN) {
                    progress(before + rows.consumed_bytes(), total);
                }
                let Ok(row) = row? else {
                    left_out.rejected += 1;
                    continue;
                };
                let get: Get<'_> = &|column| row.get(column);
                let columns = &self.columns;
                let Some(side) = self.wanted_side(get, &mut left_out) else { continue };
                let Some(text) = row.text(&columns.text) else {
                    left_out.no_text += 1;
                    continue;
                };
                let of = |column: &Option<String>| column.as_ref().and_then(|name| row.get(name));
                let post = AuditPost {
                    side,
                    text,
                    author: of(&columns.author),
                    stored_drops: Vec::new(),
                    language: of(&columns.language),
                    source_app: row.get("source"),
                    is_reply: false,
                    declared_bot: false,
                };
                self.show(get, &post, show)?;
            }
            before += size(path);
        }
        Ok(left_out)
    }

    fn each_stored(
        &self,
        store: &Store,
        rules: &[String],
        progress: Progress<'_>,
        show: Show<'_>,
    ) -> Result<LeftOut, SourceError> {
        let shards = store.shards()?;
        let mut left_out = LeftOut::default();
        let mut labels = Labels::default();
        for (done, shard) in shards.iter().enumerate() {
            progress(done as u64, shards.len() as u64);
            let posts = read_posts(&store.posts(shard))?;
            let drops = rules
                .iter()
                .map(|rule| drops(&store.attribute(rule, shard), posts.len()))
                .collect::<Result<Vec<_>, _>>()?;
            for (at, stored) in posts.iter().enumerate() {
                left_out.rows += 1;
                let row = if self.needs_source() { labels.of(stored)? } else { None };
                let get: Get<'_> = &|column| match STORED.contains(&column) {
                    true => stored_column(stored, column),
                    false => row.and_then(|row| row.get(column)),
                };
                let Some(side) = self.wanted_side(get, &mut left_out) else { continue };
                if stored.text.is_empty() {
                    left_out.no_text += 1;
                    continue;
                }
                let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
                let post = AuditPost {
                    side,
                    text: stored.text.clone(),
                    author: some(&stored.author),
                    stored_drops: drops.iter().map(|rule| rule[at]).collect(),
                    language: some(stored.language.code()),
                    source_app: stored.source_app.clone(),
                    is_reply: stored.in_reply_to.is_some(),
                    declared_bot: stored.declared_bot,
                };
                self.show(get, &post, show)?;
            }
        }
        Ok(left_out)
    }

    /// Whether a column is asked for that only the source has.
    fn needs_source(&self) -> bool {
        let columns = &self.columns;
        let asked = std::iter::once(&columns.side).chain(&columns.topic).chain(&columns.by);
        let mut asked = asked.chain(self.options.only.iter().map(|(column, _)| column));
        asked.any(|column| !STORED.contains(&column.as_str()))
    }

    fn wanted_side(&self, get: Get<'_>, left_out: &mut LeftOut) -> Option<String> {
        let wanted = |(column, value): &(String, String)| get(column).as_ref() == Some(value);
        if !self.options.only.iter().all(wanted) {
            left_out.not_wanted += 1;
            return None;
        }
        let sides = &self.options.sides;
        let compared = |side: &String| sides.is_empty() || sides.contains(side);
        let side = get(&self.columns.side).filter(compared);
        left_out.other_side += u64::from(side.is_none());
        side
    }

    fn show(&self, get: Get<'_>, post: &AuditPost, show: Show<'_>) -> Result<(), AuditError> {
        let of = |column: &String| get(column).unwrap_or_else(|| "(none)".to_owned());
        let mut levels = Vec::new();
        if self.columns.language.is_some() {
            levels.push(post.language.clone().unwrap_or_else(|| "und".to_owned()));
        }
        levels.extend(self.columns.topic.iter().map(of));
        levels.push(length_stratum(post.text.chars().count()).to_owned());
        levels.extend(self.columns.by.iter().map(of));
        let levels: Vec<&str> = levels.iter().map(String::as_str).collect();
        show(post, &levels)
    }
}

/// Posts, what their columns mean, and the columns there are.
type Opened = (Posts, Columns, Vec<String>);

fn open_files(options: &SourceOptions) -> Result<Opened, SourceError> {
    let mut first = None;
    for path in &options.sources {
        for row in Rows::open(path, &ReadOptions::default())? {
            if let Ok(row) = row? {
                first = Some(row);
                break;
            }
        }
    }
    let first = first.ok_or(SourceError::NoRow)?;
    let usual = |names: &[&str]| {
        let found = names.iter().find(|name| first.get(name).is_some());
        found.map(|name| (*name).to_owned())
    };
    let text = options.text.clone().or_else(|| usual(TEXT));
    let text = text.ok_or_else(|| SourceError::NoText { columns: first.columns().join(", ") })?;
    let distinct = |column: &String| *column != options.side;
    let columns = Columns {
        side: options.side.clone(),
        text,
        author: options.author.clone().or_else(|| usual(AUTHOR)),
        language: options.language.clone().or_else(|| usual(LANGUAGE)).filter(distinct),
        topic: options.topic.clone(),
        by: options.by.clone(),
    };
    Ok((Posts::Files(options.sources.clone()), columns, first.columns()))
}

fn open_store(options: &SourceOptions) -> Result<Opened, SourceError> {
    let [root] = &options.sources[..] else {
        return Err(SourceError::ManyStores);
    };
    for (option, given) in [
        ("--text", &options.text),
        ("--author", &options.author),
        ("--language", &options.language),
    ] {
        if given.is_some() {
            return Err(SourceError::ColumnOfFiles { option });
        }
    }
    let store = Store::new(root);
    if store.shards()?.is_empty() {
        return Err(SourceError::NoPosts { path: root.clone() });
    }
    let mut rules = store.rules()?;
    rules.retain(|rule| rule != TOGETHER);
    if rules.is_empty() && !options.has_rules {
        return Err(SourceError::NoVerdicts { path: root.clone() });
    }
    let columns = Columns {
        side: options.side.clone(),
        text: "text".to_owned(),
        author: Some("author".to_owned()),
        language: (options.side != "language").then(|| "language".to_owned()),
        topic: options.topic.clone(),
        by: options.by.clone(),
    };
    let known = STORED.iter().map(|column| (*column).to_owned()).collect();
    Ok((Posts::Store { store, rules }, columns, known))
}

fn stored_column(post: &Post, column: &str) -> Option<String> {
    let text = match column {
        "language" => post.language.code().to_owned(),
        "source" => post.origin.source.to_string(),
        "source_app" => post.source_app.clone()?,
        "basis" => post.basis.clone(),
        "licence" => post.licence.clone()?,
        "consent" => post.consent.name().to_owned(),
        "author" => post.author.clone(),
        "repost" => post.repost.to_string(),
        _ => return None,
    };
    Some(text).filter(|text| !text.is_empty())
}

/// Whether a stored rule drops each post of a shard. A rule that was not asked drops nothing.
fn drops(path: &Path, posts: usize) -> Result<Vec<bool>, SourceError> {
    if !path.exists() {
        return Ok(vec![false; posts]);
    }
    let kept = read_columns(path, &["kept"])?.pop().flatten().and_then(Values::into_flags);
    let kept = kept.unwrap_or_default();
    if kept.len() != posts {
        let (path, verdicts) = (path.to_path_buf(), kept.len());
        return Err(SourceError::OtherVerdicts { path, verdicts, posts });
    }
    Ok(kept.into_iter().map(|kept| kept == Some(false)).collect())
}

/// The rows of one source file, by the place at which they start. Posts of a store come source by
/// source, so one file is held at a time.
#[derive(Default)]
struct Labels {
    source: String,
    rows: HashMap<u64, Row>,
}

impl Labels {
    fn of(&mut self, post: &Post) -> Result<Option<&Row>, SourceError> {
        let source = &*post.origin.source;
        if self.source != source {
            self.source = source.to_owned();
            self.rows.clear();
            let rows = Rows::open(Path::new(source), &ReadOptions::default())
                .map_err(|cause| SourceError::LookUp { cause })?;
            for row in rows {
                if let Ok(row) = row? {
                    self.rows.insert(row.byte_offset(), row);
                }
            }
        }
        Ok(self.rows.get(&post.origin.byte_offset))
    }
}
