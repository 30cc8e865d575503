//! Options of `stoa bench`, with the help that teaches them. No behaviour.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use stoa_graph::DType;
use stoa_models::GgufTypes;

use crate::cli::{PrecisionArg, parse_cache_type, parse_type};

/// `stoa bench …`
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Whole training steps of a reference workload: tokens/s, peak memory, losses.
    Train(BenchTrainArgs),
    /// Time by op within a training step, with the share of this machine's FMA peak.
    Ops(BenchOpsArgs),
    /// Prompt and answer speed of a model, or of a Llama-type one with random weights.
    Decode(BenchDecodeArgs),
    /// What this machine can do: bytes read from memory, multiply-adds of f32, dot products of bytes.
    Machine,
}

/// Options of `stoa bench train`.
#[derive(Args, Debug)]
pub struct BenchTrainArgs {
    /// S: 6 × 384, vocabulary 8192, 16 × 256 tokens. L: 12 × 768, 50304, 4 × 512. default: what `up`
    /// trains, 4 × 192 with SwiGLU and QK-norm, vocabulary 3462, 16 × 256 tokens.
    #[arg(long, value_enum, default_value = "S", ignore_case = true)]
    pub size: Workload,
    /// Timed steps.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub steps: usize,
    /// Steps before them, not counted.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub warmup: usize,
    /// What is recomputed in the backward pass instead of kept [default: by size].
    #[arg(long, value_enum)]
    pub recompute: Option<RecomputeArg>,
    /// What products multiply; the weights themselves are f32 either way.
    #[arg(long, value_enum, default_value = "f32")]
    pub weights: PrecisionArg,
}

/// Options of `stoa bench ops`.
#[derive(Args, Debug)]
pub struct BenchOpsArgs {
    /// As in `bench train`.
    #[arg(long, value_enum, default_value = "S", ignore_case = true)]
    pub size: Workload,
    /// Profiled steps.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub steps: usize,
    /// As in `bench train`.
    #[arg(long, value_enum, default_value = "f32")]
    pub weights: PrecisionArg,
}

/// Options of `stoa bench decode`.
#[derive(Args, Debug)]
pub struct BenchDecodeArgs {
    /// As in `bench train`, with the SwiGLU of Llama.
    #[arg(long, value_enum, default_value = "L", ignore_case = true)]
    pub size: Workload,
    /// A model directory in the Hugging Face layout or a GGUF file instead of random weights.
    #[arg(long, value_name = "FILE|DIR", conflicts_with = "size")]
    pub model: Option<PathBuf>,
    /// Types weights are kept in: keep (as the files have them), f32, f16, bf16, q8_0, q4_0 with the
    /// head in q6_k, q4_k_m, … [default: keep, and f16 of random weights].
    #[arg(long, value_name = "TYPE", value_parser = parse_kept)]
    pub weights: Option<Kept>,
    /// Type of the cache of keys and values: f32, f16, bf16, q8_0.
    #[arg(long, value_name = "TYPE", default_value = "f16", value_parser = parse_cache_type)]
    pub cache: DType,
    /// Tokens of the prompt.
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub prompt: usize,
    /// Tokens of the answer.
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub tokens: usize,
    /// Write the logits after the prompt here, as JSON, so that another program can be held to them.
    #[arg(long, value_name = "FILE")]
    pub logits: Option<PathBuf>,
    /// Also say how long each op of the answer takes.
    #[arg(long)]
    pub by_op: bool,
    /// Write the model with random weights here as GGUF, and measure nothing: what reads it later has
    /// not drawn it in its own memory.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["model", "logits"])]
    pub save: Option<PathBuf>,
}

/// The types weights are kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// As the files have them.
    AsStored,
    /// As a file of these types would have them.
    As(GgufTypes),
}

fn parse_kept(text: &str) -> Result<Kept, String> {
    let text = text.to_lowercase();
    match GgufTypes::named(&text) {
        _ if text == "keep" => Ok(Kept::AsStored),
        Some(types) => Ok(Kept::As(types)),
        None => parse_type(&text)
            .map(|dtype| Kept::As(GgufTypes::All(dtype)))
            .map_err(|error| format!("{error}, q4_k_m and keep")),
    }
}

/// The reference workloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// 6 layers × 384, vocabulary 8192, 16 sequences of 256.
    #[value(name = "S")]
    S,
    /// 12 layers × 768, vocabulary 50304, 4 sequences of 512.
    #[value(name = "L")]
    L,
    /// The model that `up` trains on the sample square, 16 sequences of 256.
    #[value(name = "default")]
    Default,
}

/// What is recomputed in the backward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RecomputeArg {
    /// Nothing.
    Nothing,
    /// Norms and activations.
    Cheap,
    /// Also projections.
    Projections,
    /// Everything but the residual stream.
    Blocks,
}

impl From<RecomputeArg> for stoa_graph::Recompute {
    fn from(arg: RecomputeArg) -> Self {
        match arg {
            RecomputeArg::Nothing => Self::Nothing,
            RecomputeArg::Cheap => Self::Cheap,
            RecomputeArg::Projections => Self::Projections,
            RecomputeArg::Blocks => Self::Blocks,
        }
    }
}
