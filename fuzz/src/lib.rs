//! What every fuzz target does with its bytes, and what must hold whatever the bytes are.
//!
//! A reader may refuse a source; it may not panic, lose count, or hand over a post without what every
//! post has. The targets are built and run by `cargo xtask fuzz`.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use stoa_dialogue::{ChatTemplate, Conversation, Json, LocalTime, Message};
use stoa_planner::hugging_face::{Families, read_as};
use stoa_posts::decontamination::Evaluations;
use stoa_posts::rules::{self, RulePost};
pub use stoa_posts::{DateOrder, Format, Quote, ReadOptions, TableOptions};
use stoa_posts::{Item, Rejected, identify, normal_form, normalise, pii, units};
use stoa_posts::{scan, twitter_text};
use stoa_tokens::{Pattern, Tokenizer};

/// Longest record and most decoded bytes: small, so that the paths beyond them are met.
const RECORD_LIMIT_BYTES: usize = 1 << 16;
const ARCHIVE_LIMIT_BYTES: u64 = 1 << 24;

/// Reads the bytes as a file of this name and format.
///
/// # Panics
/// When counts do not add up or a post lacks what every post has.
pub fn read(name: &str, format: Format, data: &[u8]) {
    read_with(name, data, &ReadOptions { format, ..ReadOptions::default() });
}

/// As [`read`], with options; what they say of embedded posts, damage and limits is not heard, but for
/// a record limit below that of [`read`].
///
/// # Panics
/// As [`read`].
pub fn read_with(name: &str, data: &[u8], options: &ReadOptions) {
    let path = file(name, data);
    // Odd lengths read with the options that take the most from a damaged source.
    let generous = data.len() % 2 == 1;
    let options = ReadOptions {
        embedded: generous,
        keep_truncated: generous,
        record_limit_bytes: RECORD_LIMIT_BYTES.min(options.record_limit_bytes),
        archive_limit_bytes: ARCHIVE_LIMIT_BYTES,
        ..options.clone()
    };
    let (mut posts, mut notices, mut rejected) = (0, 0, 0);
    let meter = AtomicU64::new(0);
    let scanned = scan(&path, &options, &meter, &mut |item| {
        match item {
            Item::Post(post) => {
                posts += 1;
                assert!(!post.id.is_empty(), "a post without an identifier");
                assert!(post.text.is_empty() || post.tombstone.is_none(), "words of a gone post");
                assert!(post.in_reply_to.as_ref() != Some(&post.id), "a reply to itself");
            }
            Item::Notice(_) => notices += 1,
            Item::Rejected(Rejected { reason, .. }) => {
                rejected += 1;
                assert!(!reason.kind().is_empty() && !reason.to_string().is_empty());
            }
        }
        Ok(())
    });
    match scanned {
        Ok(counts) => {
            assert_eq!((counts.posts, counts.notices, counts.rejected), (posts, notices, rejected));
            assert_eq!(counts.records, posts + notices + rejected + counts.asides);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A file with these bytes, which the next call overwrites: in memory where the system has a place
/// for that.
fn file(name: &str, data: &[u8]) -> PathBuf {
    thread_local! {
        static FOLDER: tempfile::TempDir = {
            let memory = Path::new("/dev/shm");
            let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
            made.expect("a folder for the bytes")
        };
    }
    FOLDER.with(|folder| {
        let path = folder.path().join(name);
        std::fs::write(&path, data).expect("a place for the bytes");
        path
    })
}

/// Does to a text what an ingest does: repairs it, names its language, judges it by every rule, makes
/// its normal form and puts placeholders for its handles.
///
/// # Panics
/// When what is invisible or not trimmed is left, units leave something out, or decontamination does not
/// find a text in itself.
pub fn normalise(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let normal = stoa_posts::normalise::normalise(text);
    assert_eq!(normal, normal.trim());
    assert!(!normal.contains(['\0', '\u{7f}', '\u{feff}']), "invisible letters are left");
    assert!(!identify::identify(&normal).language.is_empty());
    let post = RulePost::of_text(&normal);
    for rule in rules::PROFILES.into_iter().filter_map(rules::profile).flatten() {
        rule.judge(&post);
    }
    assert_eq!(normal_form(&normal).trim(), normal_form(&normal));
    let units: String = units::units(&normal).map(|unit| unit.text).collect();
    assert_eq!(units, normal.split_whitespace().collect::<String>(), "units leave something out");
    let mut evaluations = Evaluations::new();
    evaluations.add(&normal);
    let found = evaluations.contamination(&normal).is_some();
    assert_eq!(found, evaluations.too_short() == 0, "an evaluation text is not found in itself");
    let mut handles = normalise::Handles::new();
    handles.replace(&normalise::name_links(&normal, |_| None));
}

/// Finds and masks personal data.
///
/// # Panics
/// When findings overlap or lie outside the text, or something is left after masking.
pub fn personal_data(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut end = 0;
    for finding in pii::find(text) {
        assert!(finding.range.start >= end && finding.range.end > finding.range.start);
        end = finding.range.end;
        assert!(text.get(finding.range).is_some(), "a finding cuts a letter");
    }
    let masked = pii::replace(text);
    assert!(masked.len() <= text.len() + "[email]".len() * text.len());
}

/// Finds the entities of a text and measures it.
///
/// # Panics
/// When entities overlap or cut a letter.
pub fn entities(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut end = 0;
    for entity in twitter_text::entities(text) {
        assert!(entity.range.start >= end && entity.range.end > entity.range.start);
        end = entity.range.end;
        assert!(text.get(entity.range).is_some(), "an entity cuts a letter");
    }
    twitter_text::reply_to(text);
    for whole_emoji in [false, true] {
        let length = twitter_text::weighted_length(text, whole_emoji);
        assert!(length.valid_utf16 <= length.utf16 + 1);
    }
}

/// Reads a model's config.json.
///
/// # Panics
/// When a model is accepted that cannot be counted or multiplied.
pub fn model_config(data: &[u8]) {
    thread_local! {
        static FAMILIES: Families = Families::published();
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(read) = FAMILIES.with(|families| read_as(families, text, "config.json")) else { return };
    let counted = read.shape.counted.expect("a config.json is counted");
    assert!(counted.total > 0 && counted.active <= counted.total);
    let flops = read.shape.train_flops_per_token(4096, true).0;
    assert!(flops.is_finite() && flops > 0.0);
}

/// Reads a chat template and renders a conversation with tools, an answer and thoughts by it.
///
/// # Panics
/// When two renderings of one conversation differ.
pub fn chat_template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(template) = ChatTemplate::new(text) else { return };
    let object = |fields: Vec<(&str, Json)>| {
        Json::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    };
    let items = Json::Array(vec![Json::Integer(1), Json::Float(2.5), Json::Null, "b".into()]);
    let arguments = object(vec![("a", items)]);
    let function = object(vec![("name", "f".into()), ("arguments", arguments)]);
    let call = Json::Array(vec![object(vec![("function", function)])]);
    let messages = [
        Message::system("rules"),
        Message::user("Où? \n <b>"),
        Message::assistant("there").with_field("tool_calls", call.clone()),
        Message::assistant("4").with_field("reasoning_content", Json::from("hm")),
    ];
    let now = LocalTime::from_unix(1_800_000_000, 0);
    let conversation =
        Conversation { tools: std::slice::from_ref(&call), ..Conversation::new(&messages, now) };
    let rendered = template.render(&conversation).ok();
    assert_eq!(rendered, template.render(&conversation).ok());
}

/// Reads a device by its figures.
///
/// # Panics
/// When a device is accepted that multiplies in no format or holds nothing.
pub fn device(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(given) = stoa_planner::device_file::read(text, "device") else { return };
    let gpu = &given.gpu;
    assert!(gpu.supports(gpu.default_precision()) && gpu.memory.0 > 0.0 && gpu.node > 0);
    assert!(gpu.domain.is_multiple_of(gpu.node) && gpu.gemm_bf16 <= gpu.bf16);
}

/// Reads the bytes as every kind of tokenizer file, and encodes a text with what opens.
///
/// # Panics
/// When ids are outside the vocabulary, or a tokenizer does not read what it writes.
pub fn tokenizers(data: &[u8]) {
    const TEXT: &str = "Who has\n a caf\u{e9}? 123 \u{6f22}\u{5b57} <s>";
    let half = data.len() / 2;
    let read = [
        Tokenizer::from_hugging_face_json(data),
        Tokenizer::from_tekken(data),
        Tokenizer::from_sentence_piece(data),
        Tokenizer::from_vocab_and_merges(&data[..half], &data[half..], Some(Pattern::Gpt2)),
        Tokenizer::from_tiktoken(data, Pattern::Gpt4, &[]),
    ];
    for tokenizer in read.into_iter().flatten() {
        let ids = tokenizer.encode_with_special(TEXT);
        assert!(ids.iter().all(|id| id.index() < tokenizer.vocab_size()));
        assert!(tokenizer.decode(&ids).is_ok());
        let written = tokenizer.to_hugging_face_json();
        let again = Tokenizer::from_hugging_face_json(written.as_bytes()).expect("our own file");
        assert_eq!(again.encode(TEXT), tokenizer.encode(TEXT));
    }
}

/// The head of a GGUF file: a head or an error, and no tensor of it leaves the file.
///
/// # Panics
/// When one does.
pub fn gguf(data: &[u8]) {
    let Ok(header) = stoa_gguf::Header::read(std::path::Path::new("input"), data) else { return };
    for tensor in header.tensors {
        let found = data.get(tensor.range).expect("a tensor lies in the file");
        assert_eq!(found.len(), tensor.ty.size_bytes());
    }
}
