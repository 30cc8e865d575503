//! Stoa's side of `cargo xtask bench tokens`: obeys JSON commands on stdin, one a line, and
//! answers each with one line of JSON, as `xtask/oracle/tokens/side.py` does for the other side.
//!
//! Commands: `load`, `texts`, `encode`, `ids`, `decode`, `ranks`, `train`; see [`Side::obey`].

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use stoa_tokens::{Pattern, TokenId, TokenTables, Tokenizer, TrainOptions};

type Failure = Box<dyn std::error::Error>;

/// What commands have brought in so far.
#[derive(Default)]
struct Side {
    tokenizer: Option<Tokenizer>,
    texts: Vec<String>,
    ids: Vec<Vec<TokenId>>,
}

fn main() -> Result<(), Failure> {
    let mut side = Side::default();
    for line in io::stdin().lock().lines() {
        let answer = side.obey(&serde_json::from_str(&line?)?)?;
        println!("{answer}");
        io::stdout().flush()?;
    }
    Ok(())
}

impl Side {
    fn obey(&mut self, command: &Value) -> Result<Value, Failure> {
        let text = |key: &str| command[key].as_str().ok_or(format!("{command} lacks {key}"));
        let pattern = |name| Pattern::from_name(name).ok_or("unknown pattern");
        match text("do")? {
            // {"tokenizer": FILE}, {"tables": FILE} or {"ranks": FILE, "pattern": NAME}
            "load" => {
                let start = Instant::now();
                self.tokenizer = Some(match (text("tokenizer"), text("tables")) {
                    (Ok(path), _) => Tokenizer::open(Path::new(path))?,
                    (_, Ok(path)) => Tokenizer::from_tables(&read_tables(path)?)?,
                    _ => {
                        let path = Path::new(text("ranks")?);
                        Tokenizer::open_tiktoken(path, pattern(text("pattern")?)?, &[])?
                    }
                });
                Ok(json!({"seconds": start.elapsed().as_secs_f64()}))
            }
            // {"path": FILE}: one JSON string a line
            "texts" => {
                let lines = BufReader::new(File::open(text("path")?)?).lines();
                self.texts.clear();
                for line in lines {
                    self.texts.push(serde_json::from_str(&line?)?);
                }
                let bytes: usize = self.texts.iter().map(String::len).sum();
                Ok(json!({"texts": self.texts.len(), "bytes": bytes}))
            }
            // Encodes every text by itself on this thread.
            "encode" => {
                let tokenizer = self.tokenizer.as_ref().ok_or("no tokenizer loaded")?;
                let start = Instant::now();
                let tokens: usize =
                    self.texts.iter().map(|text| tokenizer.encode(text).len()).sum();
                Ok(json!({"seconds": {"encode": start.elapsed().as_secs_f64()}, "tokens": tokens}))
            }
            // {"out": FILE, "special": BOOL}: for each text, the number of ids and the ids, u32 LE;
            // tells how many characters had no token so far
            "ids" => {
                let tokenizer = self.tokenizer.as_ref().ok_or("no tokenizer loaded")?;
                let ids: Vec<Vec<TokenId>> = match command["special"].as_bool() {
                    Some(true) => {
                        self.texts.iter().map(|text| tokenizer.encode_document(text)).collect()
                    }
                    _ => tokenizer.encode_batch(&self.texts, 0),
                };
                let mut out = BufWriter::new(File::create(text("out")?)?);
                for ids in &ids {
                    out.write_all(&(ids.len() as u32).to_le_bytes())?;
                    for id in ids {
                        out.write_all(&id.0.to_le_bytes())?;
                    }
                }
                out.flush()?;
                let left_out = tokenizer.characters_left_out();
                self.ids = ids;
                Ok(json!({"texts": self.texts.len(), "left_out": left_out}))
            }
            // {"out": FILE}: what the ids of the last command decode to, each as a JSON string
            "decode" => {
                let tokenizer = self.tokenizer.as_ref().ok_or("no tokenizer loaded")?;
                let mut out = BufWriter::new(File::create(text("out")?)?);
                for ids in &self.ids {
                    let decoded = tokenizer.decode_lossy(ids);
                    writeln!(out, "{}", serde_json::to_string(&decoded)?)?;
                }
                out.flush()?;
                Ok(json!({"texts": self.ids.len()}))
            }
            // {"ranks": FILE}: writes the tokens as a rank file and tells the pattern
            "ranks" => {
                let tokenizer = self.tokenizer.as_ref().ok_or("no tokenizer loaded")?;
                tokenizer.save_tiktoken(Path::new(text("ranks")?))?;
                let pattern = tokenizer.pattern();
                Ok(json!({
                    "pattern": pattern.map(Pattern::name),
                    // The spelling that other programs run fastest, where there are several.
                    "regex": pattern.map(|p| p.synonyms().next().unwrap_or(p.regex())),
                    "normalizes": tokenizer.normalizes(),
                }))
            }
            // {"vocab_size": N, "pattern": NAME, "threads": N, "tokenizer": FILE, "ranks": FILE}
            "train" => {
                let number = |key: &str| command[key].as_u64().ok_or(format!("no {key}"));
                let options = TrainOptions {
                    vocab_size: number("vocab_size")? as usize,
                    pattern: pattern(text("pattern")?)?,
                    special_tokens: Vec::new(),
                    min_pair_count: 1,
                    threads: number("threads")? as usize,
                    ..TrainOptions::default()
                };
                let start = Instant::now();
                let trained =
                    Tokenizer::train(&self.texts, &options, |_| ControlFlow::Continue(()))?;
                let seconds = start.elapsed().as_secs_f64();
                trained.save(Path::new(text("tokenizer")?))?;
                trained.save_tiktoken(Path::new(text("ranks")?))?;
                self.tokenizer = Some(trained);
                Ok(json!({"seconds": {"train": seconds}, "regex": options.pattern.regex()}))
            }
            other => Err(format!("unknown command {other}").into()),
        }
    }
}

/// The tables of a GGUF file as one JSON object, under their names without `tokenizer.ggml`.
fn read_tables(path: &str) -> Result<TokenTables, Failure> {
    let tables: Value = serde_json::from_reader(BufReader::new(File::open(path)?))?;
    let id = |name: &str| tables[name].as_u64().map(|id| id as u32);
    let flag = |name: &str| tables[name].as_bool();
    let list = |name: &str| tables[name].as_array().cloned().unwrap_or_default();
    Ok(TokenTables {
        model: tables["model"].as_str().unwrap_or_default().to_owned(),
        pre: tables["pre"].as_str().map(str::to_owned),
        tokens: serde_json::from_value(list("tokens").into())?,
        token_types: serde_json::from_value(list("token_type").into())?,
        scores: serde_json::from_value(list("scores").into())?,
        merges: serde_json::from_value(list("merges").into())?,
        bos: id("bos_token_id"),
        eos: id("eos_token_id"),
        unknown: id("unknown_token_id"),
        add_bos: flag("add_bos_token"),
        add_eos: flag("add_eos_token"),
        add_space_prefix: flag("add_space_prefix"),
    })
}
