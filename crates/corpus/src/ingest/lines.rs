//! What is written of a thread: the lines of its documents and dialogues, without personal data.
//!
//! An ingest and a later `forget` both write threads here, so that a rewritten thread differs only by
//! what is erased.

use crate::conversations::{Conversation, Reply};
use crate::corpus::{document, thread_dialogues};
use crate::store::AuthorKey;
use serde::Serialize;
use serde_json::json;
use stoa_dialogue::Dialogue;
use stoa_posts::pii::{self, Finding, PiiKind};
use stoa_posts::{Language, Post, Split};

/// The line of a document, and the bytes of text in it.
pub(super) struct DocumentLine {
    pub(super) line: String,
    pub(super) text_bytes: u64,
}

/// A dialogue of a thread, as a store holds it.
#[derive(Serialize)]
struct DialogueLine<'t> {
    #[serde(flatten)]
    dialogue: Dialogue,
    language: Language,
    thread: &'t str,
}

/// The document of some posts of a thread as a line of JSON, without its end.
pub(super) fn document_line(
    key: &AuthorKey,
    thread: &Conversation,
    replies: &[Reply],
    split: Split,
) -> DocumentLine {
    let document = document(thread, replies, split, &|handle| key.hash(handle));
    let line = json!({
        "id": document.id,
        "text": document.text,
        "language": document.language,
        "language_source": document.language_source,
        "split": document.split,
        "posts": replies.iter().map(|reply| reply.post.id.as_str()).collect::<Vec<_>>(),
    });
    DocumentLine { line: line.to_string(), text_bytes: document.text.len() as u64 }
}

/// The dialogues of some posts of a thread as lines of JSON, without their ends. Threads that are held
/// out have none.
pub(super) fn dialogue_lines(
    key: &AuthorKey,
    thread: &Conversation,
    replies: &[Reply],
    split: Split,
) -> Vec<String> {
    if split == Split::HeldOut {
        return Vec::new();
    }
    let dialogues = thread_dialogues(thread, replies, &|handle| key.hash(handle));
    let line = |(dialogue, language): (Dialogue, Language)| {
        let line = DialogueLine { dialogue, language, thread: &thread.id };
        serde_json::to_string(&line).expect("every field of a dialogue has a JSON form")
    };
    dialogues.into_iter().map(line).collect()
}

/// Puts placeholders in the place of a post's personal data; says what there was. Handles stay: a
/// thread numbers its people.
pub(super) fn mask(post: &mut Post) -> Vec<Finding> {
    let mut found = pii::find(&post.text);
    found.retain(|finding| finding.kind != PiiKind::Handle);
    if !found.is_empty() {
        post.text = pii::mask(&post.text, &found).into_owned();
    }
    found
}
