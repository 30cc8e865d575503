//! Where each format keeps the parts of a post: one table of data, a line a field.
//!
//! Of the fields of one part the first that is filled wins, in the order of the table. `field_table`
//! compiles it once, so that a record is gone through once, whatever the table holds. What a network
//! does with a field (identifiers of a kind, HTML) stands in the file of that network.

use super::record::Part;

/// How the fields of a record hang together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Shape {
    /// A post of X, of its exporters, of Stoa, or of a table.
    #[default]
    Post,
    /// A Gnip activity.
    Gnip,
    /// A record of `app.bsky.feed.post`.
    Bluesky,
    /// A status of Mastodon's API.
    Mastodon,
    /// An object of ActivityPub.
    ActivityPub,
    /// A comment or submission of Reddit.
    Reddit,
}

impl Shape {
    pub(super) const ALL: [Shape; 6] = [
        Shape::Post,
        Shape::Gnip,
        Shape::Bluesky,
        Shape::Mastodon,
        Shape::ActivityPub,
        Shape::Reddit,
    ];
}

/// Where a field's name comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Common,
    Stoa,
    XV1,
    XV2,
    XGraphQl,
    XArchive,
    CommunityArchive,
    Twarc1,
    Twarc2,
    Snscrape,
    Twint,
    WebExporter,
    Gnip,
    Bluesky,
    Mastodon,
    ActivityPub,
    Reddit,
    Praw,
}

impl Source {
    /// The shape of its records.
    pub(super) fn shape(self) -> Shape {
        match self {
            Self::Gnip => Shape::Gnip,
            Self::Bluesky => Shape::Bluesky,
            Self::Mastodon => Shape::Mastodon,
            Self::ActivityPub => Shape::ActivityPub,
            Self::Reddit | Self::Praw => Shape::Reddit,
            _ => Shape::Post,
        }
    }
}

/// A field: who writes it, where it stands (keys and places in lists, joined by points; in tables and
/// flat objects the whole is one name), and which part of a post it is.
pub(super) type Field = (Source, &'static str, Part);

use Source::*;

/// Every field, the more trusted of a part first: whole texts before cut ones, strings before numbers,
/// handles before numbers.
#[rustfmt::skip]
pub(super) const FIELDS: &[Field] = &[
    (XV2, "note_tweet.text", Part::Text),
    (XArchive, "noteTweet.core.text", Part::Text),
    (XGraphQl, "note_tweet.note_tweet_results.result.text", Part::Text),
    (XV1, "extended_tweet.full_text", Part::Text),
    (XV1, "full_text", Part::Text),
    (XGraphQl, "legacy.full_text", Part::Text),
    (Snscrape, "rawContent", Part::Text),
    (Common, "text", Part::Text),
    (Common, "content", Part::Text),
    (Common, "body", Part::Text),
    (Twint, "tweet", Part::Text),
    (Common, "message", Part::Text),
    (Common, "fullText", Part::Text),
    (Common, "tweet_text", Part::Text),
    (Snscrape, "renderedContent", Part::Text),
    (Gnip, "long_object.body", Part::Text),
    (Gnip, "body", Part::Text),
    (Gnip, "object.summary", Part::Text),
    (Bluesky, "text", Part::Text),
    (Mastodon, "content", Part::Text),
    (ActivityPub, "content", Part::Text),
    (Reddit, "body", Part::Text),
    (Reddit, "selftext", Part::Text),

    (ActivityPub, "name", Part::Title),
    (Reddit, "title", Part::Title),

    (Mastodon, "spoiler_text", Part::Warning),
    (ActivityPub, "summary", Part::Warning),

    (XV1, "id_str", Part::Id),
    (XGraphQl, "rest_id", Part::Id),
    (Common, "id", Part::Id),
    (Common, "tweet_id", Part::Id),
    (Common, "status_id", Part::Id),
    (Common, "tweetid", Part::Id),
    (Common, "post_id", Part::Id),
    (Gnip, "id", Part::Id),
    (Bluesky, "uri", Part::Id),
    (Mastodon, "id", Part::Id),
    (ActivityPub, "id", Part::Id),
    (Reddit, "name", Part::Id),
    (Reddit, "id", Part::Id),

    (XV1, "user.screen_name", Part::Author),
    (Snscrape, "user.username", Part::Author),
    (XV2, "author.username", Part::Author),
    (Common, "author.screen_name", Part::Author),
    (XGraphQl, "core.user_results.result.legacy.screen_name", Part::Author),
    (XGraphQl, "core.user_results.result.core.screen_name", Part::Author),
    (Common, "user.handle", Part::Author),
    (Common, "author.handle", Part::Author),
    (Common, "user.name", Part::Author),
    (Common, "author.name", Part::Author),
    (Common, "author", Part::Author),
    (WebExporter, "screen_name", Part::Author),
    (Twarc1, "user_screen_name", Part::Author),
    (Common, "username", Part::Author),
    (Common, "user", Part::Author),
    (Common, "handle", Part::Author),
    (XV1, "user.id_str", Part::Author),
    (XV2, "author.id", Part::Author),
    (XV2, "author_id", Part::Author),
    (XV1, "user.id", Part::Author),
    (Common, "user_id", Part::Author),
    (CommunityArchive, "account_id", Part::Author),
    (Common, "name", Part::Author),
    (Gnip, "actor.preferredUsername", Part::Author),
    (Mastodon, "account.acct", Part::Author),
    (ActivityPub, "attributedTo", Part::Author),
    (ActivityPub, "attributedTo.id", Part::Author),
    (ActivityPub, "attributedTo.0", Part::Author),
    (ActivityPub, "actor", Part::Author),
    (ActivityPub, "actor.id", Part::Author),
    (Reddit, "author", Part::Author),
    (Praw, "author.name", Part::Author),

    (XV1, "user.id_str", Part::AuthorId),
    (XV2, "author.id_str", Part::AuthorId),
    (XV2, "author.id", Part::AuthorId),
    (XV1, "user.id", Part::AuthorId),
    (XV2, "author_id", Part::AuthorId),
    (XGraphQl, "legacy.user_id_str", Part::AuthorId),
    (Common, "user_id", Part::AuthorId),
    (CommunityArchive, "account_id", Part::AuthorId),
    (Common, "external_author_id", Part::AuthorId),
    (Gnip, "actor.id", Part::AuthorId),
    (Mastodon, "account.url", Part::AuthorId),
    (Mastodon, "account.id", Part::AuthorId),
    (Reddit, "author_fullname", Part::AuthorId),

    (XV1, "created_at", Part::Created),
    (XGraphQl, "legacy.created_at", Part::Created),
    (Common, "createdAt", Part::Created),
    (Snscrape, "date", Part::Created),
    (Common, "time", Part::Created),
    (Common, "timestamp", Part::Created),
    (Common, "publish_date", Part::Created),
    (Common, "published", Part::Created),
    (Common, "created", Part::Created),
    (Common, "created_utc", Part::Created),
    (Common, "datetime", Part::Created),
    (Stoa, "created_at_unix_seconds", Part::Created),
    (Gnip, "postedTime", Part::Created),
    (Bluesky, "createdAt", Part::Created),
    (Mastodon, "created_at", Part::Created),
    (ActivityPub, "published", Part::Created),
    (Reddit, "created_utc", Part::Created),
    (Reddit, "created", Part::Created),

    (Common, "edited_at", Part::Edited),
    (Stoa, "edited_at_unix_seconds", Part::Edited),
    (Mastodon, "edited_at", Part::Edited),
    (ActivityPub, "updated", Part::Edited),
    (Reddit, "edited", Part::Edited),

    (XV1, "in_reply_to_status_id_str", Part::Reply),
    (XGraphQl, "legacy.in_reply_to_status_id_str", Part::Reply),
    (XV1, "in_reply_to_status_id", Part::Reply),
    (Common, "in_reply_to_status_status_id", Part::Reply),
    (Snscrape, "inReplyToTweetId", Part::Reply),
    (Twarc2, "referenced_tweets.replied_to.id", Part::Reply),
    (CommunityArchive, "reply_to_tweet_id", Part::Reply),
    (Common, "in_reply_to_tweet_id", Part::Reply),
    (Common, "in_reply_to_id", Part::Reply),
    (WebExporter, "in_reply_to", Part::Reply),
    (Common, "reply_to", Part::Reply),
    (Common, "parent_id", Part::Reply),
    (Gnip, "inReplyTo.link", Part::Reply),
    (Gnip, "inReplyTo.href", Part::Reply),
    (Bluesky, "reply.parent.uri", Part::Reply),
    (Mastodon, "in_reply_to_id", Part::Reply),
    (ActivityPub, "inReplyTo", Part::Reply),
    (ActivityPub, "inReplyTo.id", Part::Reply),
    (Reddit, "parent_id", Part::Reply),
    (Snscrape, "parentId", Part::Reply),

    (XV1, "quoted_status_id_str", Part::Quote),
    (XV1, "quoted_status_id", Part::Quote),
    (XGraphQl, "legacy.quoted_status_id_str", Part::Quote),
    (XV1, "quoted_status.id_str", Part::Quote),
    (XV1, "quoted_status.id", Part::Quote),
    (Snscrape, "quotedTweet.id", Part::Quote),
    (Twarc2, "referenced_tweets.quoted.id", Part::Quote),
    (WebExporter, "quoted_status", Part::Quote),
    (Stoa, "quotes", Part::Quote),
    (Common, "quoted_id", Part::Quote),
    (Common, "quoted_tweet_id", Part::Quote),
    (Twarc1, "retweet_or_quote_id", Part::Quote),
    (Gnip, "twitter_quoted_status.id", Part::Quote),
    (Bluesky, "embed.record.uri", Part::Quote),
    (Bluesky, "embed.record.record.uri", Part::Quote),
    (Mastodon, "quote.quoted_status.id", Part::Quote),
    (Mastodon, "quote.id", Part::Quote),
    (ActivityPub, "quoteUrl", Part::Quote),
    (ActivityPub, "quoteUri", Part::Quote),
    (ActivityPub, "quote", Part::Quote),

    (XV1, "retweeted_status.id_str", Part::RepostOf),
    (XV1, "retweeted_status.id", Part::RepostOf),
    (XV1, "retweeted_status_id_str", Part::RepostOf),
    (XV1, "retweeted_status_id", Part::RepostOf),
    (XGraphQl, "legacy.retweeted_status_result.result.rest_id", Part::RepostOf),
    (Snscrape, "retweetedTweet.id", Part::RepostOf),
    (Twarc2, "referenced_tweets.retweeted.id", Part::RepostOf),
    (WebExporter, "retweeted_status", Part::RepostOf),
    (Twint, "retweet_id", Part::RepostOf),
    (Stoa, "reposts", Part::RepostOf),
    (Common, "repost_of", Part::RepostOf),
    (Reddit, "crosspost_parent", Part::RepostOf),

    (XV2, "conversation_id", Part::Thread),
    (XGraphQl, "legacy.conversation_id_str", Part::Thread),
    (Snscrape, "conversationId", Part::Thread),
    (Common, "conversation_id_str", Part::Thread),
    (Common, "thread_id", Part::Thread),
    (Stoa, "conversation", Part::Thread),
    (Bluesky, "reply.root.uri", Part::Thread),
    (ActivityPub, "conversation", Part::Thread),
    (ActivityPub, "context", Part::Thread),
    (Reddit, "link_id", Part::Thread),

    (XV1, "lang", Part::Language),
    (Common, "language", Part::Language),
    (XGraphQl, "legacy.lang", Part::Language),
    (Gnip, "twitter_lang", Part::Language),
    (Gnip, "gnip.language.value", Part::Language),
    (Gnip, "language", Part::Language),
    (Bluesky, "langs.0", Part::Language),
    (Mastodon, "language", Part::Language),

    (Common, "is_retweet", Part::Repost),
    (Common, "isRetweet", Part::Repost),
    (Twint, "retweet", Part::Repost),
    (Common, "is_repost", Part::Repost),
    (Stoa, "repost", Part::Repost),
    (Twarc1, "tweet_type", Part::Repost),

    (Stoa, "source_app", Part::App),
    (Common, "client", Part::App),
    (Common, "app", Part::App),
    (Snscrape, "sourceLabel", Part::App),
    (Gnip, "generator.displayName", Part::App),
    (Mastodon, "application.name", Part::App),

    (Stoa, "basis", Part::Basis),
    (Stoa, "licence", Part::Licence),
    (Common, "license", Part::Licence),
    (Stoa, "consent", Part::Consent),
    (Stoa, "consent_at", Part::ConsentAt),
    (Stoa, "consent_at_unix_seconds", Part::ConsentAt),

    (Common, "deleted", Part::Deleted),
    (Common, "deleted_at", Part::DeletedAt),
    (Stoa, "tombstoned_at", Part::DeletedAt),

    (Stoa, "declared_bot", Part::Bot),
    (Common, "is_bot", Part::Bot),
    (Common, "bot", Part::Bot),
    (Common, "is_automated", Part::Bot),
    (Common, "user.bot", Part::Bot),
    (Common, "user.is_bot", Part::Bot),
    (Common, "user.is_automated", Part::Bot),
    (Common, "author.bot", Part::Bot),
    (Common, "author.is_bot", Part::Bot),
    (Common, "author.is_automated", Part::Bot),
    (Common, "account_type", Part::Bot),
    (Mastodon, "account.bot", Part::Bot),
    (Mastodon, "account.actor_type", Part::Bot),
    (ActivityPub, "attributedTo.type", Part::Bot),
    (ActivityPub, "actor.type", Part::Bot),
    (Reddit, "author.is_bot", Part::Bot),
];

/// A program that collects posts of other people, known by fields that only it writes, all of which
/// must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scraper {
    pub(super) name: &'static str,
    pub(super) fields: &'static [&'static str],
}

const fn scraper(name: &'static str, fields: &'static [&'static str]) -> Scraper {
    Scraper { name, fields }
}

/// Programs and dumps that collect posts without their authors: what they hold gets the basis and licence
/// `unknown`.
pub(super) const SCRAPERS: &[Scraper] = &[
    scraper("snscrape", &["_type", "url", "date"]),
    scraper("snscrape", &["renderedContent"]),
    scraper("snscrape", &["rawContent"]),
    scraper("twint", &["user_rt_id"]),
    scraper("twint", &["replies_count", "retweets_count"]),
    scraper("twitter-web-exporter", &["screen_name", "views_count"]),
    scraper("twitter-web-exporter", &["screen_name", "profile_image_url", "full_text"]),
    scraper("X GraphQL", &["legacy", "rest_id"]),
    scraper("Pushshift", &["retrieved_on"]),
    scraper("Pushshift", &["retrieved_utc"]),
    scraper("Arctic Shift", &["_meta", "subreddit"]),
    scraper("PRAW", &["_fetched"]),
    scraper("PRAW", &["comment_limit"]),
];

/// The names of a part in tables, most trusted first.
pub(super) fn names(part: Part) -> Vec<&'static str> {
    let usual = |field: &&Field| field.2 == part && field.0.shape() == Shape::Post;
    FIELDS.iter().filter(usual).map(|(_, path, _)| *path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    #[test]
    fn no_field_stands_twice() {
        for (at, (source, path, part)) in FIELDS.iter().enumerate() {
            let again = FIELDS[..at].iter().any(|(other, same, of)| {
                same == path && of == part && other.shape() == source.shape()
            });
            assert!(!again, "{path}");
        }
    }

    /// The name of a source on the page of formats.
    fn name(source: Source) -> &'static str {
        match source {
            Common => "common",
            Stoa => "Stoa",
            XV1 => "X API v1.1",
            XV2 => "X API v2",
            XGraphQl => "X GraphQL",
            XArchive => "X archive",
            CommunityArchive => "Community Archive",
            Twarc1 => "twarc v1",
            Twarc2 => "twarc v2",
            Snscrape => "snscrape",
            Twint => "twint",
            WebExporter => "twitter-web-exporter",
            Gnip => "Gnip",
            Bluesky => "Bluesky",
            Mastodon => "Mastodon",
            ActivityPub => "ActivityPub",
            Reddit => "Reddit, Pushshift, Arctic Shift",
            Praw => "PRAW",
        }
    }

    /// The list of fields of docs/posts.md.
    fn page() -> String {
        let mut page = String::from("|part|fields, the first that is filled wins|\n|---|---|\n");
        for part in Part::ALL {
            let (mut of_part, mut before) = (String::new(), None);
            for (source, path, _) in FIELDS.iter().filter(|field| field.2 == part) {
                match before {
                    Some(before) if before == *source => of_part.push_str(", "),
                    Some(_) => of_part.push_str("; "),
                    None => {}
                }
                if before != Some(*source) {
                    of_part.push_str(name(*source));
                    of_part.push(' ');
                }
                let _ = write!(of_part, "`{path}`");
                before = Some(*source);
            }
            let _ = writeln!(page, "|`{}`|{of_part}|", part.mapping());
        }
        page
    }

    #[test]
    fn the_page_lists_the_table() {
        let docs = include_str!("../../../../docs/posts.md");
        let page = page();
        if std::env::var_os("STOA_PRINT_FIELDS").is_some() {
            println!("{page}");
        }
        assert!(
            docs.contains(&page),
            "docs/posts.md lists other fields; run this test with STOA_PRINT_FIELDS=1 and paste"
        );
        for scraper in SCRAPERS {
            assert!(docs.contains(scraper.name), "docs/posts.md does not name {}", scraper.name);
        }
    }
}
