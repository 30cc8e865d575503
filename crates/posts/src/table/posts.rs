//! The Parquet form of [`Post`]: one row a post, the columns that docs/posts.md lists.

use super::columns::{Column, Values, read_columns, write_columns};
use super::whole_file::Durability;
use crate::error::PostsError;
use crate::post::{Consent, Language, LanguageSource, Origin, Post, Removal, Tombstone};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

const NAMES: [&str; 24] = [
    "id",
    "author",
    "author_id",
    "declared_bot",
    "text",
    "created_at",
    "edited_at",
    "language",
    "language_source",
    "in_reply_to",
    "quotes",
    "reposts",
    "conversation",
    "repost",
    "source_app",
    "basis",
    "licence",
    "consent",
    "consent_at",
    "tombstone",
    "tombstoned_at",
    "source",
    "record",
    "byte_offset",
];

/// Writes a shard of posts.
///
/// # Errors
/// A disk that cannot be written.
pub fn write_posts(path: &Path, durability: Durability, posts: &[Post]) -> Result<(), PostsError> {
    fn texts<'a>(posts: &'a [Post], get: impl Fn(&'a Post) -> Option<&'a str>) -> Values {
        Values::Text(posts.iter().map(|post| get(post).map(str::to_string)).collect())
    }
    let tombstone = |post: &Post| post.tombstone.map(|tombstone| tombstone.removal.name());
    let number = |get: fn(&Post) -> Option<i64>| posts.iter().map(get).collect::<Vec<_>>();
    let values = [
        (true, texts(posts, |post| Some(&post.id))),
        (true, texts(posts, |post| Some(&post.author))),
        (false, texts(posts, |post| post.author_id.as_deref())),
        (true, Values::Flag(posts.iter().map(|post| Some(post.declared_bot)).collect())),
        (true, texts(posts, |post| Some(&post.text))),
        (false, Values::Time(number(|post| post.created_at_unix_seconds))),
        (false, Values::Time(number(|post| post.edited_at_unix_seconds))),
        (true, Values::Text(posts.iter().map(|p| Some(p.language.code().to_string())).collect())),
        (true, texts(posts, |post| Some(post.language_source.name()))),
        (false, texts(posts, |post| post.in_reply_to.as_deref())),
        (false, texts(posts, |post| post.quotes.as_deref())),
        (false, texts(posts, |post| post.reposts.as_deref())),
        (false, texts(posts, |post| post.conversation.as_deref())),
        (true, Values::Flag(posts.iter().map(|post| Some(post.repost)).collect())),
        (false, texts(posts, |post| post.source_app.as_deref())),
        (true, texts(posts, |post| Some(&post.basis))),
        (false, texts(posts, |post| post.licence.as_deref())),
        (true, texts(posts, |post| Some(post.consent.name()))),
        (false, Values::Time(number(|post| post.consent_at_unix_seconds))),
        (false, Values::Text(posts.iter().map(|p| tombstone(p).map(str::to_string)).collect())),
        (false, Values::Time(number(|post| post.tombstone.and_then(|t| t.at_unix_seconds)))),
        (true, texts(posts, |post| Some(&post.origin.source))),
        (true, Values::Count(number(|post| Some(post.origin.record as i64)))),
        (true, Values::Count(number(|post| Some(post.origin.byte_offset as i64)))),
    ];
    let columns: Vec<Column> = NAMES
        .into_iter()
        .zip(values)
        .map(|(name, (required, values))| Column { name, required, values })
        .collect();
    write_columns(path, durability, "post", &columns)
}

/// Reads a shard of posts.
///
/// # Errors
/// A file that is missing, damaged or of another schema.
pub fn read_posts(path: &Path) -> Result<Vec<Post>, PostsError> {
    let wrong = |name: &str| PostsError::WrongParquet {
        path: path.to_path_buf(),
        cause: format!("the column `{name}` is missing or of another type"),
    };
    let mut columns: HashMap<&str, Values> = HashMap::new();
    for (name, values) in NAMES.into_iter().zip(read_columns(path, &NAMES)?) {
        match values {
            Some(values) => columns.insert(name, values),
            // Stores of 0.1.0 do not say where languages come from.
            None if name == "language_source" => None,
            // A file without rows has no row group, so no columns either.
            None => return Ok(Vec::new()),
        };
    }
    let language_sources = columns.remove("language_source").and_then(Values::into_texts);
    let mut language_sources = language_sources.unwrap_or_default().into_iter();
    let mut text = |name: &str| {
        let values = columns.remove(name).and_then(Values::into_texts);
        values.map(Vec::into_iter).ok_or_else(|| wrong(name))
    };
    let (mut id, mut author, mut body) = (text("id")?, text("author")?, text("text")?);
    let (mut language, mut in_reply_to) = (text("language")?, text("in_reply_to")?);
    let (mut quotes, mut reposts) = (text("quotes")?, text("reposts")?);
    let (mut conversation, mut source_app) = (text("conversation")?, text("source_app")?);
    let (mut basis, mut licence) = (text("basis")?, text("licence")?);
    let (mut consent, mut tombstone) = (text("consent")?, text("tombstone")?);
    let (mut source, mut author_id) = (text("source")?, text("author_id")?);
    let mut number = |name: &str| {
        let values = columns.remove(name).and_then(Values::into_numbers);
        values.map(Vec::into_iter).ok_or_else(|| wrong(name))
    };
    let mut edited = number("edited_at")?;
    let (mut created, mut consent_at) = (number("created_at")?, number("consent_at")?);
    let (mut tombstoned_at, mut record) = (number("tombstoned_at")?, number("record")?);
    let mut byte_offset = number("byte_offset")?;
    let repost = columns.remove("repost").and_then(Values::into_flags);
    let repost = repost.ok_or_else(|| wrong("repost"))?;
    let bots = columns.remove("declared_bot").and_then(Values::into_flags);
    let bots = bots.ok_or_else(|| wrong("declared_bot"))?;
    let mut sources: HashMap<String, Arc<str>> = HashMap::new();
    let mut posts = Vec::with_capacity(repost.len());
    for (repost, declared_bot) in repost.into_iter().zip(bots) {
        let source = source.next().flatten().unwrap_or_default();
        let source = sources.entry(source).or_insert_with_key(|name| Arc::from(name.as_str()));
        let removal = tombstone.next().flatten();
        let at_unix_seconds = tombstoned_at.next().flatten();
        posts.push(Post {
            id: id.next().flatten().unwrap_or_default(),
            author: author.next().flatten().unwrap_or_default(),
            author_id: author_id.next().flatten(),
            declared_bot: declared_bot.unwrap_or_default(),
            text: body.next().flatten().unwrap_or_default(),
            created_at_unix_seconds: created.next().flatten(),
            edited_at_unix_seconds: edited.next().flatten(),
            in_reply_to: in_reply_to.next().flatten(),
            quotes: quotes.next().flatten(),
            reposts: reposts.next().flatten(),
            conversation: conversation.next().flatten(),
            language: Language::from_code(&language.next().flatten().unwrap_or_default()),
            language_source: LanguageSource::from_name(
                &language_sources.next().flatten().unwrap_or_default(),
            ),
            source_app: source_app.next().flatten(),
            basis: basis.next().flatten().unwrap_or_default(),
            licence: licence.next().flatten(),
            consent: Consent::from_name(&consent.next().flatten().unwrap_or_default()),
            consent_at_unix_seconds: consent_at.next().flatten(),
            tombstone: removal.map(|removal| Tombstone {
                at_unix_seconds,
                // A word that a later version may write still marks the post as gone.
                removal: Removal::from_name(&removal).unwrap_or_default(),
            }),
            repost: repost.unwrap_or_default(),
            origin: Origin {
                source: source.clone(),
                record: record.next().flatten().unwrap_or_default() as u64,
                byte_offset: byte_offset.next().flatten().unwrap_or_default() as u64,
            },
        });
    }
    Ok(posts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn posts_come_back_as_they_were() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("p.parquet");
        let full = Post {
            id: "1".into(),
            author: "ab".into(),
            author_id: Some("12".into()),
            declared_bot: true,
            edited_at_unix_seconds: Some(3),
            text: "été 🙂\n".into(),
            created_at_unix_seconds: Some(-5),
            in_reply_to: Some("0".into()),
            quotes: Some("q".into()),
            reposts: Some("r".into()),
            conversation: Some("c".into()),
            language: Language::from_code("de"),
            language_source: LanguageSource::Identified,
            source_app: Some("app".into()),
            basis: "opt-in".into(),
            licence: Some("CC0-1.0".into()),
            consent: Consent::Granted,
            consent_at_unix_seconds: Some(9),
            tombstone: Some(Tombstone { at_unix_seconds: None, removal: Removal::Withheld }),
            repost: true,
            origin: Origin { source: Arc::from("f.jsonl"), record: 7, byte_offset: 1 << 40 },
        };
        let posts = vec![full, Post { id: "2".into(), ..Post::default() }];
        write_posts(&path, Durability::Unsynced, &posts).expect("writes");
        assert_eq!(read_posts(&path).expect("reads"), posts);
        write_posts(&path, Durability::Unsynced, &[]).expect("writes none");
        assert_eq!(read_posts(&path).expect("reads none"), []);
    }
}
