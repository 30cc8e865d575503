//! Options of `stoa bench`, with the help that teaches them. No behaviour.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use stoa_graph::DType;

use crate::cli::{PrecisionArg, parse_cache_type, parse_type};

/// `stoa bench …`
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Whole training steps of a reference workload: tokens/s, peak memory, losses.
    Train(BenchTrainArgs),
    /// Time by op within a training step, with the share of this machine's FMA peak.
    Ops(BenchOpsArgs),
    /// Prompt and answer speed of a Llama-type model with random weights.
    Decode(BenchDecodeArgs),
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
    /// A model directory in the Hugging Face layout instead of random weights.
    #[arg(long, value_name = "DIR", conflicts_with = "size")]
    pub model: Option<PathBuf>,
    /// Type weights are stored in: f32, f16, bf16, q8_0, …
    #[arg(long, value_name = "TYPE", default_value = "f16", value_parser = parse_type)]
    pub weights: DType,
    /// Type of the cache of keys and values: f32, f16, bf16, q8_0.
    #[arg(long, value_name = "TYPE", default_value = "f16", value_parser = parse_cache_type)]
    pub cache: DType,
    /// Tokens of the prompt.
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub prompt: usize,
    /// Tokens of the answer.
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub tokens: usize,
    /// Also write the model here in the Hugging Face layout, and the logits after the prompt as
    /// `logits.json`, so that another program can be checked and measured on the same.
    #[arg(long, value_name = "DIR")]
    pub save: Option<PathBuf>,
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
