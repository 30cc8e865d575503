//! SentencePiece `.model` files of the BPE kind.
//!
//! Such a file is a Protocol Buffers message; the few fields that matter are read by hand. Unigram
//! models and normalisation by table are refused by name. Text gets what the file's trainer wrote
//! down: ▁ for spaces and before the text, bytes for what has no token.

use serde_json::json;

use super::tables::{TokenTables, sentence_piece};
use crate::{Tokenizer, TokensError};

/// One field of a message.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Float(f32),
    /// A 64-bit value, of which no field here is.
    Other,
}

/// The fields of a message, in order, as number and value.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The next field; an error if the message ends inside it.
    fn next(&mut self) -> Result<Option<(u64, Field<'a>)>, TokensError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Field::Number(self.varint()?),
            1 => {
                self.take(8)?;
                Field::Other
            }
            2 => {
                let length = self.varint()?;
                Field::Bytes(self.take(length)?)
            }
            5 => {
                let bytes = self.take(4)?;
                Field::Float(bytes.try_into().map_or(0.0, f32::from_le_bytes))
            }
            _ => return Err(TokensError::MalformedModel),
        };
        Ok(Some((key >> 3, value)))
    }

    fn varint(&mut self) -> Result<u64, TokensError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = *self.take(1)? else { return Err(TokensError::MalformedModel) };
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(TokensError::MalformedModel)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], TokensError> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (taken, rest) =
            self.rest.split_at_checked(length).ok_or(TokensError::MalformedModel)?;
        self.rest = rest;
        Ok(taken)
    }
}

/// What the file says beside its tokens.
#[derive(Default)]
struct Model {
    tables: TokenTables,
    /// 1 Unigram (also where nothing stands), 2 BPE, 3 words, 4 characters.
    kind: u64,
    suffix_spaces: bool,
    bytes: bool,
    charsmap: bool,
    rule: String,
    no_prefix: bool,
    keeps_spaces: bool,
    no_escape: bool,
}

impl Tokenizer {
    /// Reads a SentencePiece model of the BPE kind.
    pub fn from_sentence_piece(bytes: &[u8]) -> Result<Self, TokensError> {
        let model = read_model(bytes)?;
        refuse_other_kinds(&model)?;
        let mut tables = model.tables;
        tables.model = "llama".to_owned();
        tables.add_space_prefix = Some(!model.no_prefix);
        sentence_piece(&tables, |settings| {
            settings.model.byte_fallback = model.bytes;
            let normalizers = settings.normalizer["normalizers"].as_array_mut();
            if let Some(normalizers) = normalizers.filter(|_| !model.keeps_spaces) {
                let replace = |what: &str, content: &str| json!({"type": "Replace", "pattern": {"Regex": what}, "content": content});
                normalizers.insert(0, replace(" {2,}", " "));
                normalizers.insert(0, replace(r"\A +| +\z", ""));
            }
        })
    }
}

fn refuse_other_kinds(model: &Model) -> Result<(), TokensError> {
    let kind = match model.kind {
        0 | 1 => "UNIGRAM",
        3 => "WORD",
        4 => "CHAR",
        _ => "BPE",
    };
    let refuse = |field: &str, value: &str, supported: &str| {
        Err(TokensError::Unsupported {
            field: field.to_owned(),
            value: value.to_owned(),
            supported: supported.to_owned(),
        })
    };
    if kind != "BPE" {
        return refuse("trainer_spec.model_type", kind, "BPE");
    }
    if model.charsmap {
        return refuse("normalizer_spec.precompiled_charsmap", &model.rule, "none (identity)");
    }
    if model.suffix_spaces {
        return refuse("trainer_spec.treat_whitespace_as_suffix", "true", "false");
    }
    if model.no_escape {
        return refuse("normalizer_spec.escape_whitespaces", "false", "true");
    }
    Ok(())
}

fn read_model(bytes: &[u8]) -> Result<Model, TokensError> {
    let mut model = Model {
        tables: TokenTables {
            unknown: Some(0),
            bos: Some(1),
            eos: Some(2),
            ..TokenTables::default()
        },
        ..Model::default()
    };
    let mut fields = Fields { rest: bytes };
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Field::Bytes(piece)) => read_piece(piece, &mut model.tables)?,
            (2, Field::Bytes(spec)) => read_trainer(spec, &mut model)?,
            (3, Field::Bytes(spec)) => read_normalizer(spec, &mut model)?,
            _ => {}
        }
    }
    if model.tables.tokens.is_empty() {
        return Err(TokensError::MalformedModel);
    }
    Ok(model)
}

fn read_piece(bytes: &[u8], tables: &mut TokenTables) -> Result<(), TokensError> {
    let (mut piece, mut score, mut kind) = (String::new(), 0.0, 1);
    let mut fields = Fields { rest: bytes };
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Field::Bytes(text)) => match std::str::from_utf8(text) {
                Ok(text) => piece = text.to_owned(),
                Err(_) => return Err(TokensError::MalformedModel),
            },
            (2, Field::Float(value)) => score = value,
            (3, Field::Number(value)) => kind = value as u32,
            _ => {}
        }
    }
    tables.tokens.push(piece);
    tables.scores.push(score);
    tables.token_types.push(kind);
    Ok(())
}

fn read_trainer(bytes: &[u8], model: &mut Model) -> Result<(), TokensError> {
    // Negative numbers mean that there is no such token; they do not fit 32 bits.
    let id = |value: u64| u32::try_from(value).ok();
    let mut fields = Fields { rest: bytes };
    while let Some((number, value)) = fields.next()? {
        let Field::Number(value) = value else { continue };
        match number {
            3 => model.kind = value,
            24 => model.suffix_spaces = value != 0,
            35 => model.bytes = value != 0,
            40 => model.tables.unknown = id(value),
            41 => model.tables.bos = id(value),
            42 => model.tables.eos = id(value),
            _ => {}
        }
    }
    Ok(())
}

fn read_normalizer(bytes: &[u8], model: &mut Model) -> Result<(), TokensError> {
    let mut fields = Fields { rest: bytes };
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Field::Bytes(name)) => model.rule = String::from_utf8_lossy(name).into_owned(),
            (2, Field::Bytes(map)) => model.charsmap = !map.is_empty(),
            (3, Field::Number(value)) => model.no_prefix = value == 0,
            (4, Field::Number(value)) => model.keeps_spaces = value == 0,
            (5, Field::Number(value)) => model.no_escape = value == 0,
            _ => {}
        }
    }
    Ok(())
}
