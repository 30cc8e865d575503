//! Rules that judge one post by itself, in named profiles, and rules that must see the whole corpus.
//!
//! `gopher`, `c4` and `dialogpt` are published filters of web and forum text, here so that they can be
//! audited; on posts they lean (docs/posts-rules.md). `posts` is the profile to use. Nothing here
//! reads or writes: a caller stores each verdict next to the post, and what is dropped stays
//! inspectable.

mod c4;
mod dialogpt;
mod gopher;
mod posts;
mod template;
mod words;

use crate::Post;

pub use c4::Blocklist;
pub use template::{SPAM_COPIES, SPAM_REASON};
pub use template::{TemplateSpam, template};
pub use words::bare_text;

/// What a rule may know of a post.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RulePost<'a> {
    /// The text, normalised or as a rule's publication expects it.
    pub text: &'a str,
    /// BCP 47 tag of its language; `und` when it is unknown.
    pub language: &'a str,
    /// Author, as a handle or a keyed hash; empty when unknown.
    pub author: &'a str,
    /// The program it was posted with (X's `source`, Mastodon's `application.name`).
    pub source_app: Option<&'a str>,
    /// Whether it answers another post.
    pub is_reply: bool,
    /// Whether the source marks the account as automated (Mastodon's and Bluesky's `bot`).
    pub declared_bot: bool,
}

impl<'a> From<&'a Post> for RulePost<'a> {
    fn from(post: &'a Post) -> Self {
        RulePost {
            text: &post.text,
            language: post.language.code(),
            author: &post.author,
            source_app: post.source_app.as_deref(),
            is_reply: post.in_reply_to.is_some(),
            declared_bot: post.declared_bot,
        }
    }
}

impl<'a> RulePost<'a> {
    /// A post of which only the text is known.
    pub fn of_text(text: &'a str) -> RulePost<'a> {
        RulePost { text, language: "und", ..RulePost::default() }
    }
}

/// What a rule says of one post.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Judgement {
    /// The rule has nothing against it.
    Keep,
    /// The rule drops it.
    Drop {
        /// Why, in a few words that are the same for every post dropped for this reason.
        reason: &'static str,
    },
}

impl Judgement {
    /// Drops for `reason` where `wrong`.
    pub fn drop_if(wrong: bool, reason: &'static str) -> Judgement {
        if wrong { Judgement::Drop { reason } } else { Judgement::Keep }
    }

    /// Whether the post stays.
    pub fn keeps(self) -> bool {
        self == Judgement::Keep
    }
}

/// A rule on single posts: a pure function with a name.
pub trait Rule: Send + Sync {
    /// Stable name, `profile/rule`; it names the column of verdicts.
    fn name(&self) -> &'static str;
    /// Judges one post.
    fn judge(&self, post: &RulePost<'_>) -> Judgement;
}

/// A rule that counts over the whole corpus first: observe every post (in any order, in shards that
/// are merged), then judge every post.
pub trait CorpusRule: Send + Sync {
    /// Stable name, `profile/rule`.
    fn name(&self) -> &'static str;
    /// Takes one post into account.
    fn observe(&mut self, post: &RulePost<'_>);
    /// Adds what another shard observed.
    fn merge(&mut self, other: Self)
    where
        Self: Sized;
    /// Judges one post by what was observed.
    fn judge(&self, post: &RulePost<'_>) -> Judgement;
}

/// Names of all profiles.
pub const PROFILES: [&str; 4] = ["gopher", "c4", "dialogpt", "posts"];

/// The rules of a profile on single posts, in the order they are applied; nothing for another name.
///
/// The `posts` profile is completed by [`TemplateSpam`]; `c4` and `dialogpt` by a [`Blocklist`] of
/// the caller's words, since the lists of the papers are not ours to ship.
pub fn profile(name: &str) -> Option<Vec<Box<dyn Rule>>> {
    match name {
        "gopher" => Some(gopher::rules()),
        "c4" => Some(c4::rules()),
        "dialogpt" => Some(dialogpt::rules()),
        "posts" => Some(posts::rules()),
        _ => None,
    }
}

/// The first rule that drops the post, with its reason.
pub fn first_drop(
    rules: &[Box<dyn Rule>],
    post: &RulePost<'_>,
) -> Option<(&'static str, &'static str)> {
    rules.iter().find_map(|rule| match rule.judge(post) {
        Judgement::Keep => None,
        Judgement::Drop { reason } => Some((rule.name(), reason)),
    })
}

/// A rule that is a function.
struct Simple {
    name: &'static str,
    judge: fn(&RulePost<'_>) -> Judgement,
}

impl Rule for Simple {
    fn name(&self) -> &'static str {
        self.name
    }

    fn judge(&self, post: &RulePost<'_>) -> Judgement {
        (self.judge)(post)
    }
}

fn simple(name: &'static str, judge: fn(&RulePost<'_>) -> Judgement) -> Box<dyn Rule> {
    Box::new(Simple { name, judge })
}

#[cfg(test)]
mod tests;
