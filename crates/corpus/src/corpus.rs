//! From threads to what a model learns from: documents for pretraining, dialogues for fine-tuning.
//!
//! On which side of the held-out border a thread is, `split` says.

use crate::conversations::{Conversation, Reply};
use crate::error::CorpusError;
use crate::ingest::BUCKETS;
use crate::store::{Store, each_line};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use stoa_dialogue::Dialogue;
use stoa_posts::normalise::Handles;
use stoa_posts::units::after_handles;
use stoa_posts::{Language, LanguageSource, Post, Split};

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

/// Everything a model is trained on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Corpus {
    /// Pretraining documents of both splits.
    pub documents: Vec<Document>,
    /// Fine-tuning dialogues, from training threads only.
    pub dialogues: Vec<Dialogue>,
}

impl Corpus {
    /// Reads the documents and dialogues of a store, in the order of their files.
    ///
    /// # Errors
    /// A file that cannot be read, or holds something else.
    pub fn of_store(store: &Store) -> Result<Corpus, CorpusError> {
        let mut corpus = Corpus::default();
        for bucket in 0..BUCKETS {
            let (documents, dialogues) = (store.documents(bucket), store.dialogues(bucket));
            if documents.exists() {
                each_line(&documents, |document, _| {
                    corpus.documents.push(document);
                    Ok(())
                })?;
            }
            if dialogues.exists() {
                each_line(&dialogues, |dialogue, _| {
                    corpus.dialogues.push(dialogue);
                    Ok(())
                })?;
            }
        }
        Ok(corpus)
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
    let text =
        if post.in_reply_to.is_some() { after_handles(&post.text) } else { post.text.as_str() };
    let words: Vec<&str> = text.split_whitespace().collect();
    handles.replace_as(&words.join(" "), identify)
}

/// Longest dialogue, in utterances (DialoGPT, Zhang et al. 2020, takes paths of 2 to 10).
const MAX_DIALOGUE: usize = 10;

/// The dialogues along the paths of some posts of a thread, which must not answer later ones: one for each
/// last reply, speakers alternating.
///
/// Each has its language. Consecutive posts of one author are joined. Where paths fork, only the first goes
/// back to the start; the others begin at the fork.
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
    let mut covered = vec![false; replies.len()];
    for leaf in (0..replies.len()).filter(|&index| !has_reply[index]) {
        let mut path = vec![leaf];
        covered[leaf] = true;
        let mut current = leaf;
        while let Some(parent) = replies[current].parent {
            path.push(parent);
            current = parent;
            if std::mem::replace(&mut covered[parent], true) {
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
    utterances.truncate(MAX_DIALOGUE);
    utterances.truncate(utterances.len() / 2 * 2);
    if utterances.is_empty() {
        return None;
    }
    let members: Vec<Reply> = path.iter().map(|&index| replies[index].clone()).collect();
    let (language, _) = main_language(&members);
    let texts = utterances.into_iter().map(|(_, text)| text);
    Some((Dialogue::alternating(texts), language))
}
