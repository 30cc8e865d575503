//! The command line: every option declared once, with the help that teaches it. No behaviour.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use stoa_dialogue::Json;
use stoa_graph::DType;
use stoa_models::CACHE_TYPES;
use stoa_runs::{ModelOptions, Storage};

use crate::bench::BenchCommand;

/// From public posts to a model you can talk to, on this machine, with nothing else installed.
///
/// Start with `stoa up`: it makes a small fictional public square (or reads your posts), trains a
/// tokenizer and a model on it, examines the model, and opens a chat.
#[derive(Debug, Parser)]
#[command(name = "stoa", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// Machine settings, common to all commands.
    #[command(flatten)]
    pub machine: MachineArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Machine settings, common to all commands.
#[derive(Args, Clone, Debug)]
pub struct MachineArgs {
    /// Worker threads [default: one per core]. Results are the same for any number.
    #[arg(long, global = true, value_name = "N", help_heading = "Machine")]
    pub threads: Option<usize>,
    /// Instruction set instead of the best this machine has: portable, avx2, avx512, neon.
    #[arg(long, global = true, value_name = "SET", help_heading = "Machine", env = "STOA_ISA")]
    pub isa: Option<String>,
    /// Refuse programs that need more memory than this, such as 800M or 6G [default: what this
    /// machine has].
    #[arg(long, global = true, value_name = "SIZE", help_heading = "Machine", value_parser = parse_bytes)]
    pub memory_limit: Option<usize>,
    /// Print one JSON object on the last line of standard output, for scripts.
    #[arg(long, global = true, help_heading = "Output")]
    pub json: bool,
    /// No progress bars.
    #[arg(long, short, global = true, help_heading = "Output")]
    pub quiet: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The whole path: posts, tokenizer, model, examination, chat.
    Up(UpArgs),
    /// Read posts, or make the sample square.
    #[command(subcommand)]
    Posts(PostsCommand),
    /// Train a tokenizer; encode and decode text.
    #[command(subcommand)]
    Tokens(TokensCommand),
    /// Train a model by a run file: one stage of it, or all.
    Train(TrainCommand),
    /// Talk to a trained model.
    Chat(ChatArgs),
    /// Models by name: list, show, get, import, export, quantize, merge, card.
    #[command(subcommand)]
    Models(crate::models::ModelsCommand),
    /// Examine and measure a trained model.
    #[command(subcommand)]
    Eval(EvalCommand),
    /// Measure this machine and this engine.
    #[command(subcommand)]
    Bench(BenchCommand),
    /// What a training run on thousands of accelerators takes: layout, time, memory, failures,
    /// money, energy, with error bars.
    Plan(Box<crate::plan::PlanArgs>),
    /// Print a completion script for a shell: `stoa completions bash > /etc/bash_completion.d/stoa`.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Options of `stoa up`.
#[derive(Args, Debug)]
pub struct UpArgs {
    /// Directory of the run; an existing run resumes.
    #[arg(long, value_name = "DIR", default_value = "runs/square")]
    pub dir: PathBuf,
    /// Seed of everything random. Same seed, same model.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Train on these posts instead of the sample square: JSONL, JSON, CSV, text, an X archive
    /// (folder, .zip, .tar.gz or tweets.js); .gz is read as it is.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub posts: Vec<PathBuf>,
    /// Layers of the model; width and everything else follow from it.
    #[arg(long, value_name = "N")]
    pub depth: Option<usize>,
    /// Share of the default number of training steps, to try things out (0.1) or train longer (3).
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    pub effort: f64,
    /// Questions in the examination.
    #[arg(long, value_name = "N", default_value_t = 300)]
    pub questions: usize,
    /// What the products of training multiply; weights are f32 either way.
    #[arg(long = "weights", alias = "precision", value_enum, default_value = "f32")]
    pub precision: PrecisionArg,
    /// Stop after the examination instead of opening a chat.
    #[arg(long)]
    pub no_chat: bool,
}

/// `stoa posts …`
#[derive(Debug, Subcommand)]
pub enum PostsCommand {
    /// Ingest sources into a store: posts with verdicts as Parquet, documents, dialogues, a manifest.
    Ingest(Box<crate::posts::IngestArgs>),
    /// Write job files for an ingest on many machines: Slurm arrays and Kubernetes indexed Jobs.
    ///
    /// `stoa posts jobs --shards 16 --to jobs -- dump/*.jsonl.gz --out /shared/corpus`, then
    /// `jobs/slurm/submit.sh` or `jobs/kubernetes/run.sh`.
    Jobs(crate::posts::JobsArgs),
    /// Show one post's path through the rules.
    Explain(crate::posts::ExplainArgs),
    /// Remove posts or people from a store; list the token shards and runs that saw them.
    Forget(crate::posts::ForgetArgs),
    /// Count a store: survival by language, source and basis.
    Stats(crate::posts::StatsArgs),
    /// Draw posts of a store, all or those that a rule dropped.
    Sample(crate::posts::SampleArgs),
    /// Compare the verdicts of two stores.
    Diff(crate::posts::DiffArgs),
    /// Write the sample square: posts, documents, dialogues and the examination, as JSONL.
    Square {
        /// Seed of the square. Same seed, same bytes.
        #[arg(long, value_name = "N", default_value_t = 1)]
        seed: u64,
        /// Directory to write to.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Read posts from any known export and write them as they were read, as JSONL.
    Read {
        /// Files, folders or archives.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Directory to write to; without it only the counts are printed.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Does a cleaning rule drop one side's posts more than another's? Rates by side, language and
    /// length with author-clustered intervals, and a verdict on every rule.
    ///
    /// Exit status: 0 every rule is within the margin, 3 a rule leans, 4 undetermined (too few authors
    /// to tell), 1 an error.
    Audit(crate::posts::AuditArgs),
}

/// `stoa tokens …`
#[derive(Debug, Subcommand)]
pub enum TokensCommand {
    /// Train a byte-level BPE tokenizer on text files, a document per line, or on the texts of
    /// .jsonl files (.gz too).
    Train {
        /// Tokens, bytes and special tokens included.
        #[arg(long, value_name = "V", default_value_t = 8192)]
        vocab_size: usize,
        /// The tokenizer.json to write.
        #[arg(long, value_name = "FILE", default_value = "tokenizer.json")]
        out: PathBuf,
        /// Pre-tokenisation: gpt2, gpt4, o200k, qwen2, llama3, …
        #[arg(long, value_name = "NAME", default_value = "gpt4")]
        pattern: String,
        /// Text files.
        #[arg(required = true, value_name = "TEXT")]
        texts: Vec<PathBuf>,
    },
    /// Turn a store of any size into token shards to train on, in little memory: documents of the
    /// training and of the held-out side, and dialogues with what is learned of them. A run that
    /// was stopped continues; files of the store that have their shards are kept.
    Shards {
        /// The directory that `stoa posts ingest --out` wrote.
        #[arg(value_name = "STORE")]
        store: PathBuf,
        /// The tokenizer.json to encode with. A chat template in its directory lays out dialogues,
        /// else ChatML.
        #[arg(long, value_name = "FILE")]
        tokenizer: PathBuf,
        /// Directory of the shards.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Do part I of N, so that several machines share the work; the bytes are the same for any N.
        #[arg(long, value_name = "I/N", default_value = "1/1")]
        shard: String,
    },
    /// Print the ids of each line of a file as a line of JSON.
    Encode {
        /// A tokenizer.json, tekken.json, SentencePiece .model, vocab.json beside merges.txt, a model
        /// directory, a GGUF file, or a tiktoken rank file with --pattern.
        #[arg(long, value_name = "FILE")]
        tokenizer: PathBuf,
        /// Pre-tokenisation of files that do not hold it, tiktoken ranks and vocab.json: gpt2,
        /// cl100k, o200k, …
        #[arg(long, value_name = "NAME")]
        pattern: Option<String>,
        /// Put the special tokens around each line that the tokenizer's template has, such as a BOS.
        #[arg(long)]
        add_special_tokens: bool,
        /// Read the names of special tokens in the text as those tokens. Without it they are text.
        #[arg(long)]
        read_special_tokens: bool,
        /// Text file; `-` for standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// The inverse of encode: lines of JSON ids to text.
    Decode {
        /// The tokenizer, as for encode.
        #[arg(long, value_name = "FILE")]
        tokenizer: PathBuf,
        /// Leave special tokens out of the text.
        #[arg(long)]
        skip_special_tokens: bool,
        /// File of id lines; `-` for standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// `stoa train …`
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    arg_required_else_help = true
)]
pub struct TrainCommand {
    /// A stage, or all of them.
    #[command(flatten)]
    pub stages: Option<TrainArgs>,
    /// Anything else.
    #[command(subcommand)]
    pub other: Option<TrainOther>,
}

/// What `stoa train` does without training.
#[derive(Debug, Subcommand)]
pub enum TrainOther {
    /// Print a run file with every key and its default, to start from.
    Example,
}

/// Options of training stages.
#[derive(Args, Debug)]
pub struct TrainArgs {
    /// The stage, by its name in the run file: `pretrain` and `chat` where it names none. Without
    /// STAGE: all of them in their order.
    #[arg(value_name = "STAGE")]
    pub stage: Option<String>,
    /// The run file. `stoa train example` prints one.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Continue from the last good checkpoint.
    #[arg(long)]
    pub resume: bool,
    /// With --resume: continue although the run file has changed since the checkpoint, for instance
    /// to a lower learning rate. The result is then not that of one uninterrupted run.
    #[arg(long, requires = "resume")]
    pub changed_settings: bool,
}

/// Options of `stoa chat`.
#[derive(Args, Debug)]
pub struct ChatArgs {
    /// The model and how it is taken into memory.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Answer this prompt and exit; print the answer alone.
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// System message.
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// How answers are drawn.
    #[command(flatten)]
    pub sampling: SamplingArgs,
}

/// Which model, and how it is taken into memory.
#[derive(Args, Clone, Debug)]
pub struct ModelArgs {
    /// The model: the directory of a run or a checkpoint in it, a directory with config.json,
    /// safetensors and tokenizer.json, a GGUF file, or a name of `stoa models list`.
    #[arg(long, alias = "run", value_name = "FILE|DIR|NAME", default_value = "runs/square")]
    pub model: PathBuf,
    /// Tokens of a conversation [default: what a quarter of the memory holds, and never more than the
    /// model is meant for].
    #[arg(long, value_name = "N", help_heading = "Memory")]
    pub context: Option<usize>,
    /// The type weights are kept in: keep (as the file has them), f32, f16, bf16, q8_0, …
    #[arg(long, value_name = "TYPE", default_value = "keep", value_parser = parse_storage,
        help_heading = "Memory")]
    pub weights: Storage,
    /// The type of the cache of keys and values: f32, f16, bf16, q8_0.
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = parse_cache_type,
        help_heading = "Memory")]
    pub cache: DType,
    /// The layout in which the model is asked, in place of its own: the name of one of its templates;
    /// chatml, gemma, llama3 or mistral; raw for plain text to continue; or a file.
    #[arg(long, value_name = "NAME|FILE", help_heading = "Template")]
    pub chat_template: Option<String>,
    /// A variable of the template, its value as JSON or else as text: enable_thinking=false. May be
    /// given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_variable, help_heading = "Template")]
    pub template_var: Vec<(String, Json)>,
}

/// A variable of a template.
fn parse_variable(text: &str) -> Result<(String, Json), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let plain = |c: char| c == '_' || c.is_ascii_alphanumeric();
    if name.is_empty() || !name.chars().all(plain) || name.starts_with(|c: char| c.is_ascii_digit())
    {
        return Err(format!("{name:?} is not the name of a variable"));
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| Json::from(value));
    Ok((name.to_owned(), value))
}

impl ModelArgs {
    /// As the library takes them.
    pub fn options(&self) -> ModelOptions {
        ModelOptions {
            context: self.context,
            weights: self.weights,
            cache: self.cache,
            template: self.chat_template.clone(),
            template_variables: self.template_var.clone(),
        }
    }
}

/// An element type of weights by its name.
pub fn parse_type(text: &str) -> Result<DType, String> {
    let numeric = |ty: &DType| ty.is_float() || ty.is_quantised();
    let types = DType::ALL.into_iter().filter(numeric);
    type_among(text, types).map_err(|names| format!("there is no type `{text}`; there are {names}"))
}

/// An element type of a cache by its name.
pub fn parse_cache_type(text: &str) -> Result<DType, String> {
    type_among(text, CACHE_TYPES.into_iter())
        .map_err(|names| format!("no cache is kept in `{text}`; use one of {names}"))
}

/// The type of a name, or the names that there are.
fn type_among(text: &str, types: impl Iterator<Item = DType> + Clone) -> Result<DType, String> {
    let found = types.clone().find(|ty| ty.name() == text.to_lowercase());
    found.ok_or_else(|| types.map(DType::name).collect::<Vec<_>>().join(", "))
}

/// `keep` or an element type.
pub fn parse_storage(text: &str) -> Result<Storage, String> {
    match text.to_lowercase().as_str() {
        "keep" => Ok(Storage::Keep),
        _ => parse_type(text).map(Storage::As).map_err(|error| format!("{error}, and keep")),
    }
}

/// How answers are drawn.
#[derive(Args, Clone, Debug)]
pub struct SamplingArgs {
    /// 0 always takes the most likely token; higher is more varied [default: the model's, else 0.7].
    #[arg(long, value_name = "T", help_heading = "Sampling")]
    pub temperature: Option<f32>,
    /// Only the K most likely tokens; 0 for all [default: the model's, else 0].
    #[arg(long, value_name = "K", help_heading = "Sampling")]
    pub top_k: Option<usize>,
    /// Only the most likely tokens that together have this probability [default: the model's, else 1].
    #[arg(long, value_name = "P", help_heading = "Sampling")]
    pub top_p: Option<f32>,
    /// Only tokens at least this probable relative to the most likely one [default: the model's,
    /// else 0].
    #[arg(long, value_name = "P", help_heading = "Sampling")]
    pub min_p: Option<f32>,
    /// Above 1: tokens already used become less likely [default: the model's, else 1].
    #[arg(long, value_name = "R", help_heading = "Sampling")]
    pub repetition_penalty: Option<f32>,
    /// Same seed, same answer.
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Sampling")]
    pub seed: u64,
    /// Longest answer, in tokens.
    #[arg(long, value_name = "M", default_value_t = 200, help_heading = "Sampling")]
    pub max_tokens: usize,
    /// Stop before this text; may be given several times.
    #[arg(long, value_name = "TEXT", help_heading = "Sampling")]
    pub stop: Vec<String>,
}

impl Default for SamplingArgs {
    fn default() -> Self {
        SamplingArgs {
            temperature: None,
            top_k: None,
            top_p: None,
            min_p: None,
            repetition_penalty: None,
            seed: 1,
            max_tokens: 200,
            stop: Vec::new(),
        }
    }
}

impl SamplingArgs {
    /// What `up` talks with: little chance, so that a small model stays with what it knows.
    pub fn for_up(seed: u64) -> Self {
        SamplingArgs { temperature: Some(0.2), seed, ..SamplingArgs::default() }
    }
}

/// `stoa eval …`
#[derive(Debug, Subcommand)]
pub enum EvalCommand {
    /// Ask questions about the square that are not in the training text.
    Exam {
        /// Directory of the run.
        #[arg(long, alias = "model", value_name = "DIR", default_value = "runs/square")]
        run: PathBuf,
        /// Seed that draws the questions.
        #[arg(long, value_name = "N", default_value_t = 1)]
        seed: u64,
        /// How many.
        #[arg(long, value_name = "K", default_value_t = 300)]
        questions: usize,
    },
    /// Bits per byte of a text, or of the held-out documents of a run.
    ///
    /// `stoa eval bpb --model M text.txt --json`. Lower is better; a model that knows nothing of a
    /// text needs 8.
    Bpb {
        /// The model.
        #[command(flatten)]
        model: ModelArgs,
        /// A text file in UTF-8, .gz too; without it, the held-out documents of the run.
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// The logits of the token after some tokens: one number for each token of the vocabulary.
    Logits {
        /// The model.
        #[command(flatten)]
        model: ModelArgs,
        /// Tokens to begin with, by their ids: `1,2,3`.
        #[arg(long, value_name = "ID,…", value_delimiter = ',', required = true)]
        ids: Vec<u32>,
    },
}

/// What products multiply in training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrecisionArg {
    /// f32.
    F32,
    /// bfloat16, summed in f32.
    Bf16,
}

impl From<PrecisionArg> for stoa_models::Precision {
    fn from(arg: PrecisionArg) -> Self {
        match arg {
            PrecisionArg::F32 => Self::F32,
            PrecisionArg::Bf16 => Self::Bf16,
        }
    }
}

/// Bytes from a number with an optional suffix K, M, G or T (powers of 1024).
fn parse_bytes(text: &str) -> Result<usize, String> {
    let remedy = || format!("`{text}` is not a size; write for example 800M or 6G");
    let text_upper = text.trim().trim_end_matches(['b', 'B']).trim_end_matches('i').to_uppercase();
    let digits = text_upper.trim_end_matches(['K', 'M', 'G', 'T']);
    let shift = match &text_upper[digits.len()..] {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(remedy()),
    };
    let number: f64 = digits.trim().parse().map_err(|_| remedy())?;
    let bytes = number * f64::from(1_u32 << 10).powi(shift / 10);
    if bytes.is_finite() && bytes >= 1.0 { Ok(bytes as usize) } else { Err(remedy()) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn variables_of_templates_are_json_or_else_text() {
        let read = |text| parse_variable(text).unwrap().1;
        assert_eq!(read("enable_thinking=false"), Json::from(false));
        assert_eq!(read("a=12"), Json::Integer(12));
        assert_eq!(read("a=high"), Json::from("high"));
        assert_eq!(read("a="), Json::from(""));
        assert!(["=1", "a b=1", "1a=2", "a"].iter().all(|text| parse_variable(text).is_err()));
    }

    #[test]
    fn sizes_have_suffixes() {
        assert_eq!(parse_bytes("800M"), Ok(800 << 20));
        assert_eq!(parse_bytes("1.5GiB"), Ok(3 << 29));
        assert_eq!(parse_bytes("4096"), Ok(4096));
        assert!(parse_bytes("lots").unwrap_err().contains("800M"));
        assert!(parse_bytes("-3G").is_err());
    }
}
