//! What every fuzz target does with its bytes, and what must hold whatever the bytes are.
//!
//! A reader may refuse a source; it may not panic, lose count, or hand over a post without what every
//! post has. The targets are built and run by `cargo xtask fuzz`.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use stoa_assistant::{GenerationDefaults, Sampler, Sampling};
use stoa_dialogue::{ChatTemplate, Conversation, Json, LocalTime, Message};
use stoa_graph::{DType, Tensor, TensorType};
use stoa_models::{Adapter, Weights};
use stoa_planner::hugging_face::{Families, read_as};
use stoa_posts::decontamination::Evaluations;
use stoa_posts::rules::{self, RulePost};
pub use stoa_posts::{DateOrder, Format, Quote, ReadOptions, TableOptions};
use stoa_posts::{Item, Rejected, identify, normal_form, normalise, pii, units};
use stoa_posts::{scan, twitter_text};
use stoa_shelf::HubModel;
use stoa_shelf::hub::HubName;
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

/// The files of a model directory between lines of `---`: `config.json`, the index, the weights (a shard
/// where there is an index). Recognises the directory, reads it, and writes again what it read.
///
/// # Panics
/// When a model that was read has weights of another shape, or does not read back.
pub fn model_directory(data: &[u8]) {
    let parts = pieces(data);
    // An empty piece is a file that is not there.
    let part = |at: usize| parts.get(at).copied().filter(|bytes| !bytes.is_empty());
    let (index, weights) = (part(1), part(2));
    let files = [
        ("config.json", part(0)),
        ("model.safetensors.index.json", index),
        ("model.safetensors", weights.filter(|_| index.is_none())),
        ("part.safetensors", weights.filter(|_| index.is_some())),
    ];
    let folder = folder("model");
    for (name, bytes) in files {
        let path = folder.join(name);
        let _ = std::fs::remove_file(&path);
        if let Some(bytes) = bytes {
            std::fs::write(&path, bytes).expect("a place for the bytes");
        }
    }
    if let Err(error) = stoa_shelf::recognise(&folder) {
        assert!(!error.to_string().is_empty());
    }
    stoa_models::file_notes(&folder);
    let Ok(loaded) = stoa_models::load(&folder) else { return };
    assert!(loaded.config.layers <= loaded.weights.len(), "layers without weights");
    let written = stoa_models::to_safetensors(&loaded.weights).expect("weights that were read");
    let again = stoa_models::from_safetensors(&written).expect("our own file");
    assert!(again == loaded.weights, "weights do not read back");
    let config = stoa_models::to_hugging_face_as_named(&loaded.config);
    let again = stoa_models::from_hugging_face(&config).expect("our own config.json");
    assert_eq!(again.config.max_time, loaded.config.max_time);
}

/// A `generation_config.json`.
///
/// # Panics
/// When what was read draws a token that is none.
pub fn generation_config(data: &[u8]) {
    std::fs::write(folder("generation").join("generation_config.json"), data)
        .expect("a place for the bytes");
    let Ok(read) = GenerationDefaults::read(&folder("generation")) else { return };
    assert!(read.unused.iter().all(|asked| asked.contains(" = ")));
    let sampling = read.over(Sampling::default());
    let Ok(mut sampler) = Sampler::new(&sampling, &[], 4) else { return };
    let drawn = sampler.draw(&mut [0.0, 1.0, -2.0, 0.5]).expect("four numbers");
    assert!(drawn.index() < 4);
}

/// An `adapter_config.json` and the weights of the adapter, between lines of `---`; merged into a small
/// base.
///
/// # Panics
/// When a merge changes the shape of the base.
pub fn adapter(data: &[u8]) {
    let pieces = pieces(data);
    let [config, weights, ..] = &pieces[..] else { return };
    let Ok(config) = std::str::from_utf8(config) else { return };
    let Ok(weights) = stoa_models::from_safetensors(weights) else { return };
    let Ok(adapter) = Adapter::new(config, weights) else { return };
    let ty = TensorType::new(DType::F32, vec![2, 2]);
    let matrix = Tensor::from_f64(&ty, &[1.0, 0.0, 0.0, 1.0]).expect("four numbers");
    let mut base = Weights::from([("model.q.weight".to_owned(), matrix)]);
    let Ok(merged) = adapter.merge(&mut base) else { return };
    assert_eq!(base.len(), 1);
    assert_eq!(base["model.q.weight"].ty(), ty);
    assert!(merged.added.len() + merged.replaced.len() <= 1);
}

/// What a hub answers of a model: the object of a revision and pages of its files, between lines of `---`.
///
/// # Panics
/// When a file is chosen that leads out of the model's folder, is pickled, or takes the place of another.
pub fn hub_listing(data: &[u8]) {
    let pages = pieces(data).into_iter().filter_map(|page| serde_json::from_slice(page).ok());
    let pages: Vec<serde_json::Value> = pages.collect();
    let [whole, pages @ ..] = &pages[..] else { return };
    let model = HubModel::of_answers("main", whole, pages);
    for wanted in ["hf:o/n", "hf:o/n:q8_0", "hf:o/n:m-00001-of-00002.gguf", "hf:o/n:a/m.bin"] {
        let wanted = HubName::parse(wanted).expect("a name");
        let Ok((files, left_out)) = model.choose(&wanted) else { continue };
        assert!(files.len() + left_out.len() >= model.files.len());
        let mut names = std::collections::BTreeSet::new();
        for file in files {
            let path = Path::new(&file.path);
            let plain = |part: std::path::Component<'_>| matches!(part, std::path::Component::Normal(name) if !name.is_empty());
            assert!(path.components().all(plain), "{path:?} leads elsewhere");
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            assert!(!name.starts_with('.') && !name.ends_with(".bin"), "{name:?} is fetched");
            assert!(names.insert(name), "two files get the name of {path:?}");
        }
    }
}

/// A GGUF file as a model: its configuration, names, types, and tokenizer.
///
/// # Panics
/// When a tensor that was accepted cannot be read.
pub fn gguf_model(data: &[u8]) {
    let path = file("model.gguf", data);
    if let Ok(tokenizer) = stoa_assistant::gguf_tokenizer(&path) {
        let ids = tokenizer.encode_with_special("Who has\n a caf\u{e9}? <s>");
        assert!(ids.iter().all(|id| id.index() < tokenizer.vocab_size()));
    }
    let Ok(model) = stoa_models::load_gguf(&path) else { return };
    assert!(model.config.layers <= model.weights.len(), "layers without weights");
    for (name, tensor) in &model.weights {
        assert!(tensor.ty().size_bytes() <= data.len() * 8, "{name} is larger than the file");
    }
}

/// The bytes between lines of `---`.
fn pieces(data: &[u8]) -> Vec<&[u8]> {
    const BETWEEN: &[u8] = b"\n---\n";
    let (mut pieces, mut rest) = (Vec::new(), data);
    while let Some(at) = rest.windows(BETWEEN.len()).position(|bytes| bytes == BETWEEN) {
        pieces.push(&rest[..at]);
        rest = &rest[at + BETWEEN.len()..];
    }
    pieces.push(rest);
    pieces
}

/// A folder of this name beside the files of [`file`].
fn folder(name: &str) -> PathBuf {
    let folder = file("place", b"").with_file_name(name);
    std::fs::create_dir_all(&folder).expect("a place for the files");
    folder
}
