//! The options of `stoa models`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use stoa_models::{GgufTypes, StoredTypes};
use stoa_runs::Storage;

use crate::cli::{ModelArgs, parse_storage};

/// `stoa models …`
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// The models that are kept by name.
    List,
    /// What a model is: family, weights, types, context, template, licence.
    Show {
        /// A model: a name, a run, a directory or a GGUF file.
        #[arg(value_name = "MODEL")]
        model: PathBuf,
    },
    /// Fetch a model of the hub: `stoa models get hf:ORG/NAME`, or one GGUF file of it,
    /// `hf:ORG/NAME:Q8_0`.
    ///
    /// A fetch that was stopped continues with the same command. HF_ENDPOINT names another hub, HF_TOKEN
    /// is for models that want an account. Pickles (.bin, .pt) are not fetched.
    Get(GetArgs),
    /// Keep a model directory, a checkpoint or a GGUF file under a name.
    Import(ImportArgs),
    /// Write a model as other tools read it.
    Export(ExportArgs),
    /// What smaller weights cost: the error of each tensor, and bits per byte of a text before and
    /// after. With --out, the model is written so.
    Quantize(QuantizeArgs),
    /// Merge a LoRA adapter (peft) into the weights of its base.
    Merge(MergeArgs),
    /// Write the model card: where the model came from, licence, evaluation, hashes.
    Card {
        /// A model: a name, a run, a directory or a GGUF file.
        #[arg(value_name = "MODEL")]
        model: PathBuf,
        /// The file to write; without it, the card is printed.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// Options of `stoa models get`.
#[derive(Args, Debug)]
pub struct GetArgs {
    /// `hf:ORG/NAME`, `hf:ORG/NAME@REVISION`, `hf:ORG/NAME:FILE` or a part of a file's name.
    #[arg(value_name = "HF:ORG/NAME[:FILE]")]
    pub model: String,
    /// The name to keep it by [default: ORG/NAME, with the file's name where one is given].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

/// Options of `stoa models import`.
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// A run, a model directory or a GGUF file.
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// The name to keep it by [default: the name of the file or directory].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Link to the files instead of copying them: they must stay where they are.
    #[arg(long)]
    pub link: bool,
}

/// What models are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// A directory with config.json, model.safetensors, tokenizer and template.
    Safetensors,
    /// One file with weights, tokenizer and template, as llama.cpp reads it.
    Gguf,
}

/// Options of `stoa models export`.
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// The model: a name, a run, a directory or a GGUF file.
    #[arg(long, alias = "run", value_name = "MODEL", default_value = "runs/square")]
    pub model: PathBuf,
    /// What to write.
    #[arg(long, value_enum, default_value = "safetensors")]
    pub to: Form,
    /// The type of the matrices: keep, f32, f16, bf16; of GGUF files also q8_0, q4_0, q4_k_m.
    #[arg(long = "type", alias = "weights", value_name = "TYPE", default_value = "keep",
        value_parser = parse_mixture)]
    pub weights: Storage,
    /// Where to write.
    #[arg(long, value_name = "DIR|FILE")]
    pub out: PathBuf,
    /// Continue although the files of the model state no licence.
    #[arg(long)]
    pub accept_unknown_licence: bool,
}

/// Options of `stoa models quantize`.
#[derive(Args, Debug)]
pub struct QuantizeArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// The type to try: q8_0, q4_0, q4_k_m, bf16, …
    #[arg(long, value_name = "TYPE", value_parser = parse_mixture)]
    pub to: Storage,
    /// Write the model so, as a GGUF file.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// A text file to measure bits per byte on, before and after.
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,
    /// Continue although the files of the model state no licence.
    #[arg(long)]
    pub accept_unknown_licence: bool,
}

/// `keep`, what GGUF files are written as, or an element type.
fn parse_mixture(text: &str) -> Result<Storage, String> {
    match GgufTypes::named(&text.to_lowercase()) {
        Some(types) => Ok(Storage::Mixture(types)),
        None => parse_storage(text).map_err(|error| format!("{error}, q4_k_m")),
    }
}

/// The types of a GGUF file.
///
/// # Errors
/// A type that such files are not written as, with those that they are.
pub fn gguf_types(storage: Storage, kept: &StoredTypes) -> anyhow::Result<GgufTypes> {
    let named = match storage {
        Storage::Mixture(types) => return Ok(types),
        Storage::As(dtype) => dtype.to_string(),
        Storage::Keep => kept.to_string(),
    };
    GgufTypes::named(&named).with_context(|| {
        let names = GgufTypes::NAMES.join(", ");
        format!("GGUF files are not written as {named}; give --type {names}")
    })
}

/// Options of `stoa models merge`.
#[derive(Args, Debug)]
pub struct MergeArgs {
    /// The model directory that the adapter was trained on, or its name.
    #[arg(long, value_name = "MODEL")]
    pub base: PathBuf,
    /// The directory of the adapter: adapter_config.json and adapter_model.safetensors.
    #[arg(long, value_name = "DIR")]
    pub adapter: PathBuf,
    /// The directory to write.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Continue although the files of the model state no licence.
    #[arg(long)]
    pub accept_unknown_licence: bool,
}
