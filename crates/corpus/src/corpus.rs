//! From threads to what a model learns from: documents for pretraining, dialogues for fine-tuning.
//!
//! In memory the held-out split is a pure function of the thread's identifier (`split`), so a thread is
//! never on both sides, whatever else is in the corpus; only corpora too small for that fall back to
//! other cuts.

use crate::cleaning::Dropped;
use crate::conversations::{Conversation, Reply, conversations};
use crate::error::CorpusError;
use crate::split::{Split, split_of};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use stoa_dialogue::Dialogue;
use stoa_posts::normalise::Handles;
use stoa_posts::{Language, LanguageSource, Post};
use stoa_random::stable_hash;

/// A text to pretrain on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The thread's identifier.
    pub id: String,
    /// Posts in reading order, one a line.
    pub text: String,
    /// Language of most of its bytes.
    pub language: Language,
    /// Where the language of most of those bytes comes from.
    #[serde(default, skip_serializing_if = "LanguageSource::is_none")]
    pub language_source: LanguageSource,
    /// Side of the held-out border.
    pub split: Split,
}

/// Everything a model is trained on, and what was left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Corpus {
    /// Pretraining documents of both splits.
    pub documents: Vec<Document>,
    /// Fine-tuning dialogues, from training threads only.
    pub dialogues: Vec<Dialogue>,
    /// Threads.
    pub conversations: usize,
    /// Posts dropped, by reason.
    pub dropped: Dropped,
}

impl Corpus {
    /// Cleans and threads posts and makes text of them.
    pub fn from_posts(posts: Vec<Post>) -> Result<Corpus, CorpusError> {
        let (threads, dropped) = conversations(posts);
        let documents = documents(&threads, &dropped)?;
        Ok(Corpus {
            dialogues: reply_dialogues(&threads),
            documents,
            conversations: threads.len(),
            dropped,
        })
    }

    /// All training text, for asking whether a question stands in it: documents, then dialogues,
    /// an utterance a line.
    pub fn training_text(&self) -> String {
        let mut text = String::new();
        for document in self.documents.iter().filter(|document| document.split == Split::Train) {
            text.push_str(&document.text);
            text.push('\n');
        }
        for message in self.dialogues.iter().flat_map(|dialogue| &dialogue.messages) {
            text.push_str(message.text());
            text.push('\n');
        }
        text
    }
}

/// A document for each thread. At least one is for training and one held out: a corpus whose hashes
/// all fall on one side moves the thread of lowest hash to the other, and a single thread is cut
/// before its last post. Fewer than two posts are an error.
pub fn documents(
    threads: &[Conversation],
    dropped: &Dropped,
) -> Result<Vec<Document>, CorpusError> {
    let posts: usize = threads.iter().map(|thread| thread.replies.len()).sum();
    if posts < 2 {
        return Err(CorpusError::TooFewPosts {
            posts,
            dropped: dropped.total(),
            reasons: dropped.to_string(),
        });
    }
    if let [thread] = threads {
        let (train, held_out) = thread.replies.split_at(posts - 1);
        return Ok(vec![
            document(thread, train, Split::Train, &str::to_lowercase),
            document(thread, held_out, Split::HeldOut, &str::to_lowercase),
        ]);
    }
    let documents = threads
        .iter()
        .zip(splits(threads))
        .map(|(thread, split)| document(thread, &thread.replies, split, &str::to_lowercase))
        .collect();
    Ok(documents)
}

/// The split of each of several threads: that of its hash, unless all fall on one side.
fn splits(threads: &[Conversation]) -> Vec<Split> {
    let mut splits: Vec<Split> = threads.iter().map(|thread| split_of(&thread.id)).collect();
    for wanted in [Split::HeldOut, Split::Train] {
        if !splits.contains(&wanted) {
            let hash = |&index: &usize| stable_hash(threads[index].id.as_bytes());
            if let Some(lowest) = (0..threads.len()).min_by_key(hash) {
                splits[lowest] = wanted;
            }
        }
    }
    splits
}

/// What a mentioned handle is called where posts name their authors: the handle in lower case, or in
/// a store its keyed hash.
pub(crate) type Identify<'i> = dyn Fn(&str) -> String + 'i;

/// The document of some posts of a thread.
pub(crate) fn document(
    thread: &Conversation,
    replies: &[Reply],
    split: Split,
    identify: &Identify<'_>,
) -> Document {
    let mut handles = handles_of(thread);
    let lines: Vec<String> =
        replies.iter().map(|reply| line(&mut handles, &reply.post, identify)).collect();
    let (language, language_source) = main_language(replies);
    Document { id: thread.id.clone(), text: lines.join("\n"), language, language_source, split }
}

/// The language of most bytes, and where that of most bytes in it comes from. Ties go to the one that
/// comes first in `Language` and `LanguageSource`.
fn main_language(replies: &[Reply]) -> (Language, LanguageSource) {
    // Of equal counts `max_by_key` takes the last.
    fn most<K: Ord + Copy + Default>(bytes: impl Iterator<Item = (K, usize)>) -> K {
        let mut sums: BTreeMap<K, usize> = BTreeMap::new();
        bytes.for_each(|(key, bytes)| *sums.entry(key).or_insert(0) += bytes);
        sums.into_iter().rev().max_by_key(|&(_, sum)| sum).map(|(key, _)| key).unwrap_or_default()
    }
    let posts = || replies.iter().map(|reply| &reply.post);
    let language = most(posts().map(|post| (post.language, post.text.len())));
    let in_it = posts().filter(|post| post.language == language);
    (language, most(in_it.map(|post| (post.language_source, post.text.len()))))
}

/// Placeholders of a thread: its authors in reading order come first.
fn handles_of(thread: &Conversation) -> Handles {
    let mut handles = Handles::new();
    for reply in thread.replies.iter().filter(|reply| !reply.post.author.is_empty()) {
        handles.number(&reply.post.author);
    }
    handles
}

/// The post's text in one line, without the handles a reply starts with (the thread says who is
/// answered), every other handle replaced.
fn line(handles: &mut Handles, post: &Post, identify: &Identify<'_>) -> String {
    let mut words: Vec<&str> = post.text.split_whitespace().collect();
    if post.in_reply_to.is_some() {
        let leading = words.iter().take_while(|word| word.starts_with('@')).count();
        if leading < words.len() {
            words.drain(..leading);
        }
    }
    handles.replace_as(&words.join(" "), identify)
}

/// Longest dialogue, in utterances (DialoGPT, Zhang et al. 2020, takes paths of 2 to 10).
const LONGEST_DIALOGUE: usize = 10;

/// Dialogues along the paths of training threads: one for each last reply, speakers alternating.
///
/// Consecutive posts of one author are joined. A path is not told twice: where paths fork, only the
/// first goes back to the start; the others begin at the fork.
pub fn reply_dialogues(threads: &[Conversation]) -> Vec<Dialogue> {
    let mut dialogues = Vec::new();
    let alone = threads.len() == 1;
    for (thread, split) in threads.iter().zip(splits(threads)) {
        if !alone && split == Split::HeldOut {
            continue;
        }
        // The last post of the only thread is the held-out document.
        let replies =
            if alone { &thread.replies[..thread.replies.len() - 1] } else { &thread.replies[..] };
        let of_thread = thread_dialogues(thread, replies, &str::to_lowercase);
        dialogues.extend(of_thread.into_iter().map(|(dialogue, _)| dialogue));
    }
    dialogues
}

/// The dialogues along the paths of some posts of a thread, which must not answer later ones, each
/// with its language.
pub(crate) fn thread_dialogues(
    thread: &Conversation,
    replies: &[Reply],
    identify: &Identify<'_>,
) -> Vec<(Dialogue, Language)> {
    let mut dialogues = Vec::new();
    let mut handles = handles_of(thread);
    let texts: Vec<String> =
        replies.iter().map(|reply| line(&mut handles, &reply.post, identify)).collect();
    let mut has_reply = vec![false; replies.len()];
    replies.iter().filter_map(|reply| reply.parent).for_each(|parent| has_reply[parent] = true);
    let mut told = vec![false; replies.len()];
    for leaf in (0..replies.len()).filter(|&index| !has_reply[index]) {
        let mut path = vec![leaf];
        told[leaf] = true;
        let mut current = leaf;
        while let Some(parent) = replies[current].parent {
            path.push(parent);
            current = parent;
            if std::mem::replace(&mut told[parent], true) {
                break;
            }
        }
        path.reverse();
        dialogues.extend(alternate(replies, &texts, &path));
    }
    dialogues
}

fn alternate(replies: &[Reply], texts: &[String], path: &[usize]) -> Option<(Dialogue, Language)> {
    let mut utterances: Vec<(&str, String)> = Vec::new();
    for &index in path {
        let author = replies[index].post.author.as_str();
        match utterances.last_mut() {
            Some((speaker, text)) if *speaker == author && !author.is_empty() => {
                text.push('\n');
                text.push_str(&texts[index]);
            }
            _ => utterances.push((author, texts[index].clone())),
        }
    }
    utterances.truncate(LONGEST_DIALOGUE);
    utterances.truncate(utterances.len() / 2 * 2);
    if utterances.is_empty() {
        return None;
    }
    let members: Vec<Reply> = path.iter().map(|&index| replies[index].clone()).collect();
    let (language, _) = main_language(&members);
    let texts = utterances.into_iter().map(|(_, text)| text);
    Some((Dialogue::alternating(texts), language))
}
