//! Files of other tools by what they begin with: what each is, and what to do to have its model read.
//! Tables only; nothing is converted.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::ShelfError;
use crate::error::io;

/// Something that is not read as a model.
#[derive(Debug, PartialEq, Eq)]
pub struct Foreign {
    /// What it is, after "is".
    pub what: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A GGUF file.
    Gguf,
    /// A safetensors file.
    Safetensors,
    /// A JSON object.
    Json,
    /// A file of another tool.
    Foreign(&'static Foreign),
    /// None of these.
    Unknown,
}

/// Bytes that decide.
const HEAD: usize = 1024;

const SAFETENSORS_OF_TRANSFORMERS: &str = "get the model's safetensors, or write it once more with \
    `model.save_pretrained(DIR, safe_serialization=True)` of transformers";
const FETCH_AGAIN: &str = "fetch the file again, by its download address and not by the address of \
    its page";

macro_rules! foreign {
    ($($name:ident: $what:expr, $remedy:expr;)*) => {$(
        pub(crate) const $name: Foreign = Foreign { what: $what, remedy: $remedy };
    )*};
}

foreign! {
    ADAPTER: "a LoRA adapter, not a whole model",
        "merge it first: `stoa models merge --base MODEL --adapter DIR --out NEW`";
    PICKLE: "a PyTorch pickle (pytorch_model.bin, .pt, .pth), which may run code when it is opened",
        SAFETENSORS_OF_TRANSFORMERS;
    SENTENCEPIECE: "a SentencePiece model (tokenizer.model): a vocabulary, not a model",
        "give the model's directory";
    LFS_POINTER: "a Git LFS pointer, a few lines that stand for the file",
        "run `git lfs pull` in its directory, or fetch the file itself";
    ANNEX_POINTER: "a git-annex pointer, a line that stands for the file",
        "run `git annex get` in its directory, or fetch the file itself";
    GGML: "a GGML file of before GGUF (ggml, ggmf, ggjt), which no tool reads any more",
        "get the model as GGUF or safetensors";
    ONNX: "an ONNX model", "get the model's safetensors or GGUF";
    HTML: "a web page saved as a file", FETCH_AGAIN;
    XML: "an XML text, for instance the error of an object store", FETCH_AGAIN;
    HUB_ANSWER: "an error message of a model hub saved as a file",
        "check the name and the access to the model, then fetch the file again";
    EMPTY: "empty", "fetch the file again";
    ZIP: "a zip archive", "unpack it, then give the directory or the file in it";
    ARCHIVE: "a compressed file or an archive", "unpack it, then give the directory or the file in it";
    HDF5: "an HDF5 file, weights of Keras or TensorFlow", SAFETENSORS_OF_TRANSFORMERS;
    TFLITE: "a TensorFlow Lite model", "get the model's safetensors or GGUF";
    TENSORFLOW: "a TensorFlow model", SAFETENSORS_OF_TRANSFORMERS;
    FLAX: "weights of Flax (msgpack)", SAFETENSORS_OF_TRANSFORMERS;
    NUMPY: "an array of NumPy", "get the model's safetensors or GGUF";
    COREML: "a Core ML model", "get the model's safetensors or GGUF";
    OPENVINO: "an OpenVINO model", "get the model's safetensors or GGUF";
    PROGRAM: "a program, perhaps a llamafile", "get the model's GGUF file";
    PICTURES: "a pipeline of diffusers, which makes pictures", "give a language model";
    TOKENIZER: "a tokenizer, not a model", "give the model's directory";
    CONFIG: "the configuration of a model", "give its directory";
    RUN_FILE: "a run file", "give the directory of its run, or train it with `stoa train --config`";
    META: "a model in the layout of its publisher (params.json, consolidated weights)",
        "get it in the layout of Hugging Face: config.json, model.safetensors, tokenizer.json";
    SEVERAL_BYTES: "none of the model files that are known here",
        "give a GGUF file, a model directory, or a run (`stoa up --dir …` makes one)";
}

/// Bytes at an offset, and what a file with them is.
const BY_BYTES: &[(usize, &[u8], Content)] = &[
    (0, b"GGUF", Content::Gguf),
    (0, b"lmgg", Content::Foreign(&GGML)),
    (0, b"fmgg", Content::Foreign(&GGML)),
    (0, b"tjgg", Content::Foreign(&GGML)),
    (0, b"algg", Content::Foreign(&GGML)),
    (0, b"version https://git-lfs", Content::Foreign(&LFS_POINTER)),
    (0, b"version https://hawser", Content::Foreign(&LFS_POINTER)),
    (0, b"/annex/objects/", Content::Foreign(&ANNEX_POINTER)),
    (0, b"\x89HDF\r\n\x1a\n", Content::Foreign(&HDF5)),
    (0, b"\x93NUMPY", Content::Foreign(&NUMPY)),
    (4, b"TFL3", Content::Foreign(&TFLITE)),
    (0, b"\x1f\x8b", Content::Foreign(&ARCHIVE)),
    (0, b"BZh", Content::Foreign(&ARCHIVE)),
    (0, b"\xfd7zXZ\0", Content::Foreign(&ARCHIVE)),
    (0, b"\x28\xb5\x2f\xfd", Content::Foreign(&ARCHIVE)),
    (0, b"7z\xbc\xaf\x27\x1c", Content::Foreign(&ARCHIVE)),
    (0, b"Rar!", Content::Foreign(&ARCHIVE)),
    (257, b"ustar", Content::Foreign(&ARCHIVE)),
    (0, b"\x7fELF", Content::Foreign(&PROGRAM)),
    (0, b"MZ", Content::Foreign(&PROGRAM)),
    (0, b"Entry not found", Content::Foreign(&HUB_ANSWER)),
    (0, b"Repository not found", Content::Foreign(&HUB_ANSWER)),
    (0, b"Invalid username or password", Content::Foreign(&HUB_ANSWER)),
    (0, b"Access to model", Content::Foreign(&HUB_ANSWER)),
    // Pickles by protocol 2 to 5; the first opcode after it is a mark, a long or a frame.
    (0, b"\x80\x02", Content::Foreign(&PICKLE)),
    (0, b"\x80\x03", Content::Foreign(&PICKLE)),
    (0, b"\x80\x04", Content::Foreign(&PICKLE)),
    (0, b"\x80\x05", Content::Foreign(&PICKLE)),
];

/// How texts begin, in lower case, without what is blank before.
const BY_TEXT: &[(&str, Content)] = &[
    ("<!doctype html", Content::Foreign(&HTML)),
    ("<html", Content::Foreign(&HTML)),
    ("<head", Content::Foreign(&HTML)),
    ("<?xml", Content::Foreign(&XML)),
    ("<error", Content::Foreign(&XML)),
];

/// Files in a directory without weights that are read, and what the directory then holds. `*` at
/// the beginning or the end stands for anything.
pub(crate) const BY_NAME: &[(&str, &Foreign)] = &[
    ("adapter_config.json", &ADAPTER),
    ("adapter_model.*", &ADAPTER),
    ("model_index.json", &PICTURES),
    ("consolidated*", &META),
    ("pytorch_model*", &PICKLE),
    ("*.bin", &PICKLE),
    ("*.pt", &PICKLE),
    ("*.pth", &PICKLE),
    ("*.ckpt", &PICKLE),
    ("tf_model.h5", &HDF5),
    ("*.h5", &HDF5),
    ("*.keras", &HDF5),
    ("saved_model.pb", &TENSORFLOW),
    ("flax_model.msgpack", &FLAX),
    ("*.msgpack", &FLAX),
    ("*.onnx", &ONNX),
    ("*.npz", &NUMPY),
    ("*.tflite", &TFLITE),
    ("*.mlpackage", &COREML),
    ("*.mlmodel", &COREML),
    ("openvino_model*", &OPENVINO),
    ("*.llamafile", &PROGRAM),
    ("*.zip", &ZIP),
];

/// What a file holds.
///
/// # Errors
/// A file that cannot be read.
pub fn content_of(path: &Path) -> Result<Content, ShelfError> {
    let mut file = File::open(path).map_err(io("reading", path))?;
    let mut head = Vec::with_capacity(HEAD);
    file.by_ref().take(HEAD as u64).read_to_end(&mut head).map_err(io("reading", path))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    Ok(content(&head, &name))
}

/// What a file that begins so holds; the name decides only between what may begin alike.
fn content(head: &[u8], name: &str) -> Content {
    if head.is_empty() {
        return Content::Foreign(&EMPTY);
    }
    let found = |(at, bytes, _): &&(usize, &[u8], Content)| {
        head.get(*at..).is_some_and(|rest| rest.starts_with(bytes))
    };
    if let Some((_, _, content)) = BY_BYTES.iter().find(found) {
        return *content;
    }
    if head.starts_with(b"PK") {
        return Content::Foreign(if holds_pickle(head, name) { &PICKLE } else { &ZIP });
    }
    // The header of a safetensors file is its length in eight bytes, then a JSON object.
    if head.get(8) == Some(&b'{') && head[6..8] == [0, 0] {
        return Content::Safetensors;
    }
    text(head, name).or_else(|| protobuf(head, name)).unwrap_or(Content::Unknown)
}

/// Whether a zip is the form in which PyTorch has saved since 1.6.
fn holds_pickle(head: &[u8], name: &str) -> bool {
    let inside = head.windows(8).any(|bytes| bytes == b"data.pkl");
    inside || [".bin", ".pt", ".pth", ".ckpt"].iter().any(|end| name.ends_with(end))
}

fn text(head: &[u8], name: &str) -> Option<Content> {
    let start = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let start = String::from_utf8_lossy(start.trim_ascii_start()).to_lowercase();
    if let Some((_, content)) = BY_TEXT.iter().find(|(begin, _)| start.starts_with(begin)) {
        return Some(*content);
    }
    if start.starts_with('{') {
        let whole = |key: &str| start.contains(key);
        return Some(match name {
            "adapter_config.json" => Content::Foreign(&ADAPTER),
            "config.json" => Content::Foreign(&CONFIG),
            "tokenizer.json" | "tokenizer_config.json" => Content::Foreign(&TOKENIZER),
            _ if whole("\"lora_alpha\"") => Content::Foreign(&ADAPTER),
            _ if whole("\"added_tokens\"") => Content::Foreign(&TOKENIZER),
            _ if start.starts_with("{\"error\"") => Content::Foreign(&HUB_ANSWER),
            _ => Content::Json,
        });
    }
    name.ends_with(".toml").then_some(Content::Foreign(&RUN_FILE))
}

/// Formats that are messages of protocol buffers have no signature: their first fields decide.
fn protobuf(head: &[u8], name: &str) -> Option<Content> {
    // SentencePiece: pieces (field 1), each with its text (field 1), the first of them <unk>.
    if head[0] == 0x0a
        && head.get(2) == Some(&0x0a)
        && head.windows(5).take(64).any(|w| w == b"<unk>")
    {
        return Some(Content::Foreign(&SENTENCEPIECE));
    }
    // ONNX: its version (field 1, 3 to 30), then the name of the program that wrote it (field 2).
    let onnx = head[0] == 0x08
        && head.get(1).is_some_and(|version| (3..30).contains(version))
        && head.get(2) == Some(&0x12);
    if onnx || name.ends_with(".onnx") {
        return Some(Content::Foreign(&ONNX));
    }
    (name == "tokenizer.model").then_some(Content::Foreign(&SENTENCEPIECE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(head: &[u8], name: &str) -> &'static str {
        match content(head, name) {
            Content::Foreign(foreign) => foreign.what,
            other => panic!("{name} is {other:?}"),
        }
    }

    #[test]
    fn files_are_known_by_what_they_begin_with() {
        assert_eq!(content(b"GGUF\x03\0\0\0", "blob"), Content::Gguf);
        assert_eq!(content(b"\x40\0\0\0\0\0\0\0{\"a\":", "blob"), Content::Safetensors);
        assert_eq!(content(b"anything", "blob"), Content::Unknown);
        assert_eq!(content(b"{\"a\": 1}", "other.json"), Content::Json);
        let cases: &[(&[u8], &str, &str)] = &[
            (b"", "model.gguf", "empty"),
            (b"PK\x03\x04........archive/data.pkl", "weights", "pickle"),
            (b"PK\x03\x04", "pytorch_model.bin", "pickle"),
            (b"PK\x03\x04", "model.gguf", "zip"),
            (b"\x80\x02\x8a\x0al\xfc\x9c", "old", "pickle"),
            (b"\x0a\x0e\x0a\x05<unk>\x15\0\0\0\0\x18\x02", "sp", "SentencePiece"),
            (b"\x08\x07\x12\x07pytorch", "x", "ONNX"),
            (b"version https://git-lfs.github.com/spec/v1\noid", "x", "LFS"),
            (b"tjgg\x03\0\0\0", "ggml-model-q4_0.bin", "GGML"),
            (b"\n\n<!DOCTYPE HTML><title>", "model.gguf", "web page"),
            (b"<?xml version=\"1.0\"?><Error>", "model.gguf", "XML"),
            (b"{\"error\":\"not here\"}", "model.gguf", "message of a model hub"),
            (b"Invalid username or password.", "model.gguf", "message of a model hub"),
            (b"{\"r\": 8, \"lora_alpha\": 16}", "adapter.json", "LoRA adapter"),
            (b"{\"version\": \"1.0\", \"added_tokens\": []}", "tok", "tokenizer"),
            (b"[data]\ntokenizer = 1", "run.toml", "run file"),
            (b"\x7fELF\x02", "model.llamafile", "program"),
            (b"\x1f\x8b\x08", "model.tar.gz", "archive"),
        ];
        for (head, name, expected) in cases {
            assert!(what(head, name).contains(expected), "{name}: {}", what(head, name));
        }
    }
}
