//! The long posts of an X archive, which its `tweets.js` holds cut: joined with their whole texts.
//!
//! `note-tweet.js` seldom says which tweet a text belongs to. Then it is the tweet whose cut text the
//! whole one begins with, and of several the one that was created nearest to it. A text completes one
//! tweet; where two pairs are as good as each other, none is made. Tweets that may be completed wait
//! until the source has been read.

use super::clean_text::clean;
use super::record::at;
use super::timestamp;
use crate::error::PostsError;
use crate::post::Post;
use crate::twitter_text::weighted_length;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;
use std::path::Path;

/// Letters by which whole texts are looked up, and so the fewest of a cut text.
const OPENING_LETTERS: usize = 20;
/// Weighted length from which a text without an ellipsis may be cut: the limit of 280, less a link and
/// some letters.
const CUT_WEIGHT: usize = 240;
/// Seconds between a tweet and its whole text, where another tweet or text is possible too: they are
/// created in one request; a day allows for times without a zone.
const FARTHEST_SECONDS: u64 = 86_400;
/// Whole texts compared with one tweet, the nearest in time.
const MOST_CANDIDATES: usize = 64;
/// Most bytes of `note-tweet.js` taken into memory.
const LARGEST_FILE_BYTES: u64 = 1 << 30;

/// The whole text of a long post.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Note {
    /// The tweet's identifier, where it is given.
    tweet: Option<String>,
    created: Option<i64>,
    text: String,
}

impl Note {
    /// The note in an element of `note-tweet.js`.
    pub(super) fn of(value: &Value) -> Option<Note> {
        // Real archives have `core.text`; documentation shows `noteTweetResults.text`.
        let paths = ["/noteTweet/core/text", "/noteTweet/noteTweetResults/text"];
        let text = paths.iter().find_map(|path| value.pointer(path)?.as_str())?;
        let tweet = ["/noteTweet/tweetId", "/noteTweet/tweet_id"];
        let created = ["/noteTweet/createdAt", "/noteTweet/created_at"];
        Some(Note {
            tweet: tweet.iter().find_map(|path| at(value, path)),
            created: created
                .iter()
                .find_map(|path| at(value, path))
                .and_then(|time| timestamp::parse(&time)),
            text: text.to_string(),
        })
    }
}

/// What became of tweets and texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Joined {
    pub(super) by_id: u64,
    pub(super) by_text: u64,
    /// Tweets that stay cut, for more than one text may be theirs.
    pub(super) ambiguous: u64,
    /// Texts that complete no tweet.
    pub(super) unused: u64,
}

/// The whole texts of an X archive's long posts, and the tweets that wait for them.
#[derive(Default)]
pub(super) struct Notes {
    notes: Vec<Note>,
    /// Each as it is compared.
    keys: Vec<String>,
    known: HashSet<Note>,
    by_id: HashMap<String, usize>,
    by_opening: HashMap<String, Vec<usize>>,
    waiting: Vec<Post>,
}

impl Notes {
    /// Reads `note-tweet.js`.
    pub(super) fn read(&mut self, path: &Path, stream: impl Read) -> Result<(), PostsError> {
        let mut text = String::new();
        stream
            .take(LARGEST_FILE_BYTES)
            .read_to_string(&mut text)
            .map_err(|cause| PostsError::Io { path: path.to_path_buf(), cause })?;
        let start = text.find('=').map_or(0, |at| at + 1);
        let notes: Vec<Value> =
            serde_json::from_str(&text[start..]).map_err(|error| PostsError::WrongJson {
                path: path.to_path_buf(),
                line: error.line() as u64,
                byte_offset: start as u64,
                cause: error.to_string(),
            })?;
        notes.iter().filter_map(Note::of).for_each(|note| self.add(note));
        Ok(())
    }

    /// Takes a whole text; one that is there already is the same.
    pub(super) fn add(&mut self, note: Note) {
        if !self.known.insert(note.clone()) {
            return;
        }
        let index = self.notes.len();
        let key = key(&clean(&note.text));
        match &note.tweet {
            Some(id) => {
                self.by_id.entry(id.clone()).or_insert(index);
            }
            None => {
                self.by_opening.entry(opening(&key)).or_default().push(index);
            }
        }
        self.keys.push(key);
        self.notes.push(note);
    }

    /// Keeps a post until the end if a text may complete it; else gives it back.
    pub(super) fn hold(&mut self, post: Box<Post>) -> Option<Box<Post>> {
        if self.notes.is_empty() || post.tombstone.is_some() {
            return Some(post);
        }
        let named = self.by_id.contains_key(&post.id);
        let begun = || is_cut(&post.text) && self.begins(&key(&post.text)).next().is_some();
        if !(named || begun()) {
            return Some(post);
        }
        self.waiting.push(*post);
        None
    }

    /// The texts without a tweet's identifier that begin with a cut one.
    fn begins<'n>(&'n self, cut: &'n str) -> impl Iterator<Item = usize> + 'n {
        let alike = self.by_opening.get(&opening(cut)).map_or(&[][..], Vec::as_slice);
        let long_enough = cut.chars().count() >= OPENING_LETTERS;
        let begins = move |note: &usize| long_enough && self.keys[*note].starts_with(cut);
        alike.iter().copied().filter(begins)
    }

    /// Completes what waits, and gives it back in its order.
    pub(super) fn join(&mut self) -> (Vec<Post>, Joined) {
        let mut waiting = std::mem::take(&mut self.waiting);
        // A tweet that stands in two files is one tweet.
        let mut tweets: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, post) in waiting.iter().enumerate() {
            tweets.entry(post.id.as_str()).or_insert(index);
        }
        let mut of_tweet: HashMap<String, usize> = HashMap::new();
        let mut joined = Joined::default();
        let (mut pairs, mut without) = (Vec::new(), 0);
        for (&id, &index) in &tweets {
            if let Some(&note) = self.by_id.get(id) {
                of_tweet.insert(id.to_string(), note);
                joined.by_id += 1;
                continue;
            }
            without += 1;
            pairs.extend(self.pairs_of(index, &waiting[index]));
        }
        let matched = matching(pairs);
        joined.by_text = matched.len() as u64;
        joined.ambiguous = without - joined.by_text;
        let ids = matched.into_iter().map(|(tweet, note)| (waiting[tweet].id.clone(), note));
        of_tweet.extend(ids);
        joined.unused = (self.notes.len() - of_tweet.len()) as u64;
        for post in &mut waiting {
            if let Some(&note) = of_tweet.get(&post.id) {
                post.text = clean(&self.notes[note].text);
            }
        }
        (waiting, joined)
    }

    fn pairs_of(&self, tweet: usize, post: &Post) -> Vec<Pair> {
        let cut = key(&post.text);
        let seconds =
            |note: usize| Some(post.created_at_unix_seconds?.abs_diff(self.notes[note].created?));
        let mut pairs: Vec<Pair> = self
            .begins(&cut)
            .map(|note| Pair { seconds: seconds(note).unwrap_or(u64::MAX), tweet, note })
            .collect();
        pairs.sort();
        pairs.truncate(MOST_CANDIDATES);
        pairs
    }
}

/// A tweet and a text that may complete it, by the time between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    /// The largest number where a time is missing.
    seconds: u64,
    tweet: usize,
    note: usize,
}

/// The pairs to make: the nearest first, each tweet and text once, and none of two that are as near.
fn matching(mut pairs: Vec<Pair>) -> Vec<(usize, usize)> {
    pairs.sort();
    let mut choices: HashMap<(bool, usize), u32> = HashMap::new();
    for pair in &pairs {
        *choices.entry((true, pair.tweet)).or_default() += 1;
        *choices.entry((false, pair.note)).or_default() += 1;
    }
    let alone =
        |pair: &Pair| choices[&(true, pair.tweet)] == 1 && choices[&(false, pair.note)] == 1;
    let near = |pair: &Pair| alone(pair) || pair.seconds <= FARTHEST_SECONDS;
    let mut done: HashSet<(bool, usize)> = HashSet::new();
    let mut made = Vec::new();
    for alike in pairs.chunk_by(|left, right| left.seconds == right.seconds) {
        let free: Vec<&Pair> = alike
            .iter()
            .filter(|pair| near(pair))
            .filter(|pair| {
                !done.contains(&(true, pair.tweet)) && !done.contains(&(false, pair.note))
            })
            .collect();
        let mut uses: HashMap<(bool, usize), u32> = HashMap::new();
        for pair in &free {
            *uses.entry((true, pair.tweet)).or_default() += 1;
            *uses.entry((false, pair.note)).or_default() += 1;
        }
        for pair in free {
            if uses[&(true, pair.tweet)] == 1 && uses[&(false, pair.note)] == 1 {
                made.push((pair.tweet, pair.note));
            }
            // What is as near to two is left; nothing farther may take it.
            done.insert((true, pair.tweet));
            done.insert((false, pair.note));
        }
    }
    made
}

/// Whether a text, without its links, may be the beginning of a longer one.
fn is_cut(text: &str) -> bool {
    text.ends_with('…') || weighted_length(text, true).weight >= CUT_WEIGHT
}

/// A clean text as cut and whole ones are compared: without links and ellipsis at its end, spaces
/// single.
fn key(text: &str) -> String {
    let words = text
        .split_whitespace()
        .filter(|word| !word.starts_with("http://") && !word.starts_with("https://"));
    let mut key = String::with_capacity(text.len());
    for word in words {
        if !key.is_empty() {
            key.push(' ');
        }
        key.push_str(word);
    }
    key.truncate(key.trim_end_matches(['…', ' ']).len());
    key
}

fn opening(key: &str) -> String {
    key.chars().take(OPENING_LETTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn post(id: &str, created: Option<i64>, text: &str) -> Post {
        let created_at_unix_seconds = created;
        Post { id: id.to_string(), text: clean(text), created_at_unix_seconds, ..Post::default() }
    }

    fn note(created: Option<i64>, text: &str) -> Note {
        Note { tweet: None, created, text: text.to_string() }
    }

    fn long(number: usize) -> String {
        let opening = "A note on the weather at the lighthouse, as it is written every week: ";
        format!("{opening}{}. This was number {number}.", "wind and rain, ".repeat(20))
    }

    fn cut(text: &str) -> String {
        let short: String = text.chars().take(270).collect();
        format!("{}… https://t.co/abcdefghij", short.replace('&', "&amp;"))
    }

    /// The joins, as text by identifier; what was given back at once as it was.
    fn joined(notes: Vec<Note>, posts: Vec<Post>) -> (HashMap<String, String>, Joined) {
        let mut all = Notes::default();
        notes.into_iter().for_each(|note| all.add(note));
        let mut texts: HashMap<String, String> = HashMap::new();
        for post in posts {
            if let Some(post) = all.hold(Box::new(post)) {
                texts.insert(post.id, post.text);
            }
        }
        let (waited, counts) = all.join();
        texts.extend(waited.into_iter().map(|post| (post.id.clone(), post.text)));
        (texts, counts)
    }

    #[test]
    fn the_nearest_in_time_is_completed() {
        let day = 86_400;
        let notes = vec![note(Some(7 * day), &long(2)), note(Some(0), &long(1))];
        let posts = vec![
            post("a", Some(1), &cut(&long(1))),
            post("b", Some(7 * day + 1), &cut(&long(2))),
            post("c", Some(30 * day), &cut(&long(3))),
            post("d", Some(0), "A note on the weather"),
        ];
        let (texts, counts) = joined(notes, posts);
        assert_eq!((&texts["a"], &texts["b"]), (&long(1), &long(2)));
        assert!(texts["c"].ends_with('…') && texts["d"] == "A note on the weather");
        assert_eq!(counts, Joined { by_text: 2, ambiguous: 1, ..Joined::default() });
    }

    #[test]
    fn what_is_as_near_to_two_is_left() {
        let notes = vec![note(Some(5), &long(1)), note(Some(5), &long(2))];
        let posts = vec![post("a", Some(5), &cut(&long(1)))];
        let (texts, counts) = joined(notes, posts);
        assert!(texts["a"].ends_with('…'));
        assert_eq!(counts, Joined { ambiguous: 1, unused: 2, ..Joined::default() });
        // Without times a text that can belong to one tweet alone is that tweet's.
        let (texts, _) = joined(vec![note(None, &long(1))], vec![post("a", None, &cut(&long(1)))]);
        assert_eq!(texts["a"], long(1));
        let twice = vec![post("a", None, &cut(&long(1))), post("b", None, &cut(&long(1)))];
        let (texts, counts) = joined(vec![note(None, &long(1))], twice);
        assert!(texts.values().all(|text| text.ends_with('…')));
        assert_eq!(counts, Joined { ambiguous: 2, unused: 1, ..Joined::default() });
    }

    #[test]
    fn identifiers_come_first_and_escapes_do_not_matter() {
        let text =
            format!("Soup & bread at the harbour, all crews & guests: {}", "so much ".repeat(50));
        let text = text.trim();
        let named = Note { tweet: Some("b".to_string()), created: Some(0), text: long(9) };
        let posts = vec![post("a", Some(3), &cut(text)), post("b", Some(0), &cut(&long(1)))];
        let (texts, counts) = joined(vec![named, note(Some(3), text)], posts);
        assert_eq!((texts["a"].as_str(), &texts["b"]), (text, &long(9)));
        assert_eq!(counts, Joined { by_id: 1, by_text: 1, ..Joined::default() });
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

        /// Texts and tweets of distinct times find each other in any order, and a text is never used
        /// for two tweets.
        #[test]
        fn each_finds_its_own(
            order in Just((0..12_usize).collect::<Vec<_>>()).prop_shuffle(),
            lost_notes in proptest::collection::hash_set(0..12_usize, 0..4),
            apart in 1..5_i64,
        ) {
            let time = |number: usize| Some(number as i64 * apart * 1000);
            let notes = order.iter().filter(|number| !lost_notes.contains(number));
            let notes = notes.map(|&number| note(time(number), &long(number))).collect();
            let posts = (0..12).map(|number| {
                post(&number.to_string(), time(number), &cut(&long(number)))
            });
            let (texts, counts) = joined(notes, posts.collect());
            prop_assert_eq!(texts.len(), 12);
            for number in 0..12 {
                let whole = texts[&number.to_string()] == long(number);
                prop_assert_eq!(whole, !lost_notes.contains(&number));
            }
            prop_assert_eq!(counts.by_text as usize, 12 - lost_notes.len());
        }

        /// Whatever the pairs are, no tweet and no text is in two of those that are made, and what is
        /// made was possible.
        #[test]
        fn pairs_do_not_overlap(pairs in proptest::collection::vec((0..4_u64, 0..6_usize, 0..6_usize), 0..20)) {
            let pairs: Vec<Pair> = pairs.into_iter()
                .map(|(seconds, tweet, note)| Pair { seconds, tweet, note }).collect();
            let made = matching(pairs.clone());
            let tweets: HashSet<usize> = made.iter().map(|pair| pair.0).collect();
            let notes: HashSet<usize> = made.iter().map(|pair| pair.1).collect();
            prop_assert_eq!((tweets.len(), notes.len()), (made.len(), made.len()));
            for (tweet, note) in made {
                prop_assert!(pairs.iter().any(|pair| (pair.tweet, pair.note) == (tweet, note)));
            }
        }
    }
}
