//! Where an audit finds its posts: files with a column for the side, or the store of an ingest.
//!
//! A store holds no column for the side. It knows where each post was read, so the column is looked up
//! there again; the source must be lines of JSON or a table, as it was.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;
use stoa_audit::{Facet, Tally, length_stratum};
use stoa_corpus::Store;
use stoa_posts::rules::RulePost;
use stoa_posts::{Post, ReadOptions, Row, Rows, Values, read_columns, read_posts};

use super::args::AuditArgs;
use crate::terminal::Terminal;

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
/// The verdict of all rules together, which a store keeps beside those of the rules.
const TOGETHER: &str = "verdict";
/// Rows between two looks at the progress bar.
const ROWS_BETWEEN: u64 = 4096;

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
pub struct Labelled {
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

impl Labelled {
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
    sides: Vec<String>,
    reference: Option<String>,
    only: Vec<(String, String)>,
}

enum Posts {
    Files(Vec<PathBuf>),
    Store { store: Store, rules: Vec<String> },
}

/// A column of a row, wherever it stands.
type Get<'a> = &'a dyn Fn(&str) -> Option<String>;
/// What is done with each post and its levels of the facets.
type Show<'a> = &'a mut dyn FnMut(&Labelled, &[&str]) -> anyhow::Result<()>;

impl Source {
    /// Opens files or a store.
    ///
    /// # Errors
    /// Nothing that can be read; no column of text; conditions that are none.
    pub fn open(args: &AuditArgs) -> anyhow::Result<Source> {
        let only = args
            .only
            .iter()
            .map(|condition| {
                let parts = condition.split_once('=');
                let parts = parts.map(|(column, value)| (column.to_owned(), value.to_owned()));
                parts.with_context(|| format!("--where {condition}: write COLUMN=VALUE"))
            })
            .collect::<anyhow::Result<_>>()?;
        let stored = args.sources.iter().any(|path| path.is_dir());
        let (posts, columns, known) = if stored { open_store(args)? } else { open_files(args)? };
        let (sides, reference) = (args.sides.clone(), args.reference.clone());
        Ok(Source { posts, columns, known, sides, reference, only })
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
    pub fn order(&self, tally: &Tally) -> anyhow::Result<Vec<String>> {
        let mut sides = match self.sides.is_empty() {
            true => tally.sides().into_iter().map(str::to_owned).collect(),
            false => self.sides.clone(),
        };
        if let Some(reference) = &self.reference {
            let place = sides.iter().position(|side| side == reference).with_context(|| {
                format!("--reference {reference}: the sides are {}", sides.join(", "))
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
        terminal: &Terminal,
        what: &str,
        mut show: impl FnMut(&Labelled, &[&str]) -> anyhow::Result<()>,
    ) -> anyhow::Result<LeftOut> {
        match &self.posts {
            Posts::Files(paths) => self.each_row(paths, terminal, what, &mut show),
            Posts::Store { store, rules } => {
                self.each_stored(store, rules, terminal, what, &mut show)
            }
        }
    }

    fn each_row(
        &self,
        paths: &[PathBuf],
        terminal: &Terminal,
        what: &str,
        show: Show<'_>,
    ) -> anyhow::Result<LeftOut> {
        let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |data| data.len());
        let mut bar = terminal.bar(what, paths.iter().map(size).sum(), "bytes");
        let mut left_out = LeftOut::default();
        let (mut before, mut count) = (0, 0_u64);
        for path in paths {
            let mut rows = Rows::open(path, &ReadOptions::default())?;
            while let Some(row) = rows.next() {
                count += 1;
                if count.is_multiple_of(ROWS_BETWEEN) {
                    bar.update(before + rows.consumed_bytes(), "");
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
                let post = Labelled {
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
        bar.finish(&format!("{count} rows"));
        Ok(left_out)
    }

    fn each_stored(
        &self,
        store: &Store,
        rules: &[String],
        terminal: &Terminal,
        what: &str,
        show: Show<'_>,
    ) -> anyhow::Result<LeftOut> {
        let shards = store.shards()?;
        let mut bar = terminal.bar(what, shards.len() as u64, "shards");
        let mut left_out = LeftOut::default();
        let mut labels = Labels::default();
        let mut count = 0_u64;
        for (done, shard) in shards.iter().enumerate() {
            bar.update(done as u64, "");
            let posts = read_posts(&store.posts(shard))?;
            let drops = rules
                .iter()
                .map(|rule| drops(&store.attribute(rule, shard), posts.len()))
                .collect::<anyhow::Result<Vec<_>>>()?;
            for (at, stored) in posts.iter().enumerate() {
                count += 1;
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
                let post = Labelled {
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
        bar.finish(&format!("{count} posts"));
        Ok(left_out)
    }

    /// Whether a column is asked for that only the source has.
    fn needs_source(&self) -> bool {
        let columns = &self.columns;
        let asked = std::iter::once(&columns.side).chain(&columns.topic).chain(&columns.by);
        let mut asked = asked.chain(self.only.iter().map(|(column, _)| column));
        asked.any(|column| !STORED.contains(&column.as_str()))
    }

    fn wanted_side(&self, get: Get<'_>, left_out: &mut LeftOut) -> Option<String> {
        let wanted = |(column, value): &(String, String)| get(column).as_ref() == Some(value);
        if !self.only.iter().all(wanted) {
            left_out.not_wanted += 1;
            return None;
        }
        let compared = |side: &String| self.sides.is_empty() || self.sides.contains(side);
        let side = get(&self.columns.side).filter(compared);
        left_out.other_side += u64::from(side.is_none());
        side
    }

    fn show(&self, get: Get<'_>, post: &Labelled, show: Show<'_>) -> anyhow::Result<()> {
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

fn open_files(args: &AuditArgs) -> anyhow::Result<(Posts, Columns, Vec<String>)> {
    let mut first = None;
    for path in &args.sources {
        for row in Rows::open(path, &ReadOptions::default())? {
            if let Ok(row) = row? {
                first = Some(row);
                break;
            }
        }
    }
    let first = first.context("no row could be read; give JSON lines, CSV, TSV or Parquet")?;
    let usual = |names: &[&str]| {
        let found = names.iter().find(|name| first.get(name).is_some());
        found.map(|name| (*name).to_owned())
    };
    let text = args.text.clone().or_else(|| usual(TEXT)).with_context(|| {
        let columns = first.columns().join(", ");
        format!("no column holds the text (columns: {columns}); name it with --text")
    })?;
    let distinct = |column: &String| *column != args.side;
    let columns = Columns {
        side: args.side.clone(),
        text,
        author: args.author.clone().or_else(|| usual(AUTHOR)),
        language: args.language.clone().or_else(|| usual(LANGUAGE)).filter(distinct),
        topic: args.topic.clone(),
        by: args.by.clone(),
    };
    Ok((Posts::Files(args.sources.clone()), columns, first.columns()))
}

fn open_store(args: &AuditArgs) -> anyhow::Result<(Posts, Columns, Vec<String>)> {
    let [root] = &args.sources[..] else {
        anyhow::bail!("give one store, or files; several stores are audited one by one");
    };
    for (option, given) in
        [("--text", &args.text), ("--author", &args.author), ("--language", &args.language)]
    {
        if given.is_some() {
            anyhow::bail!("{option} names a column of files; a store knows its own");
        }
    }
    let store = Store::new(root);
    if store.shards()?.is_empty() {
        anyhow::bail!("{} holds no posts; make it with `stoa posts ingest`", root.display());
    }
    let mut rules = store.rules()?;
    rules.retain(|rule| rule != TOGETHER);
    if rules.is_empty() && args.rules.is_none() {
        anyhow::bail!("{} holds no verdicts; name a profile with --rules", root.display());
    }
    let columns = Columns {
        side: args.side.clone(),
        text: "text".to_owned(),
        author: Some("author".to_owned()),
        language: (args.side != "language").then(|| "language".to_owned()),
        topic: args.topic.clone(),
        by: args.by.clone(),
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
fn drops(path: &Path, posts: usize) -> anyhow::Result<Vec<bool>> {
    if !path.exists() {
        return Ok(vec![false; posts]);
    }
    let kept = read_columns(path, &["kept"])?.pop().flatten().and_then(Values::into_flags);
    let kept = kept.unwrap_or_default();
    if kept.len() != posts {
        anyhow::bail!("{}: {} verdicts on {posts} posts; ingest again", path.display(), kept.len());
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
    fn of(&mut self, post: &Post) -> anyhow::Result<Option<&Row>> {
        let source = &*post.origin.source;
        if self.source != source {
            self.source = source.to_owned();
            self.rows.clear();
            let rows =
                Rows::open(Path::new(source), &ReadOptions::default()).with_context(|| {
                    format!("the column is looked up where the posts were read: {source}")
                })?;
            for row in rows {
                if let Ok(row) = row? {
                    self.rows.insert(row.byte_offset(), row);
                }
            }
        }
        Ok(self.rows.get(&post.origin.byte_offset))
    }
}
