//! Encoding and training speed, Stoa compared with `tokenizers`, `tiktoken` and `rustbpe`.
//!
//! Every program runs in its own process on one thread and obeys the same commands (see
//! `xtask/oracle/tokens/side.py`); the processes take turns, so that a busy moment of the machine
//! does not fall on one side only, and medians over the turns are compared. Ids and trained
//! merges must be equal, else there are no figures.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::{env, fs};

use anyhow::{Context as _, bail, ensure};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::{machine, published};
use crate::scratch::Scratch;
use crate::{python_env, vocabularies, workspace};

/// Environment of the packages compared with.
const ENVIRONMENT: &str = "oracle-tokens";
/// The packages.
const PACKAGES: &[&str] = &["rustbpe==0.1.0", "tiktoken==0.14.0", "tokenizers==0.23.3"];
/// Posts encoded in a turn.
const POSTS: usize = 40_000;
/// The pattern of the bench, and the expression of it that all packages read alike.
const PATTERN: (&str, &str) = (
    "gpt4",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);

/// Options of `bench tokens`.
#[derive(Debug, clap::Args)]
pub struct TokensArgs {
    /// Programs to measure too; rustbpe trains, the others encode.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "hf,tiktoken,rustbpe")]
    against: Vec<Opponent>,
    /// Turns of each side at encoding; a third of them, at least one, at training.
    #[arg(long, default_value_t = 9)]
    repeats: usize,
    /// Tokens to train.
    #[arg(long, default_value_t = 32_768)]
    vocab_size: usize,
    /// Directory of compressed data files to take posts and training text from [default: the
    /// test data, if there is any, else made-up posts].
    #[arg(long)]
    data: Option<PathBuf>,
    /// Also compare the ids of every text in the data, with every pattern (many minutes).
    #[arg(long)]
    all_text: bool,
    /// Encode with published tokenizers instead (GPT-2, Llama 3, Qwen 3, …); nothing is trained.
    #[arg(long, conflicts_with_all = ["vocab_size", "all_text"])]
    published: bool,
    /// Only the JSON object, without the table on stderr.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Opponent {
    /// Hugging Face `tokenizers`.
    Hf,
    /// OpenAI's `tiktoken`.
    Tiktoken,
    /// `rustbpe`, which only trains.
    Rustbpe,
}

impl Opponent {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hf => "hf",
            Self::Tiktoken => "tiktoken",
            Self::Rustbpe => "rustbpe",
        }
    }
}

/// Measures and returns the figures of all sides and the ratios.
pub fn run(args: &TokensArgs) -> anyhow::Result<Value> {
    ensure!(args.repeats > 0, "--repeats must be at least 1");
    let root = workspace::root()?;
    let python = if args.published {
        vocabularies::python()?
    } else {
        python_env::ensure(ENVIRONMENT, PACKAGES)?
    };
    let bench = Bench {
        ours: build_ours(&root)?,
        python,
        scripts: root.join("xtask/oracle/tokens"),
        scratch: Scratch::new("bench-tokens")?,
    };
    let machine = machine::describe();
    if args.published {
        let (posts, report) =
            bench.posts(args.data.clone().or_else(|| test_data(&root)).as_deref())?;
        let tokenizers = published::measure(&bench, &root, (args.repeats, args.json), &posts)?;
        return Ok(json!({
            "bench": "published tokens",
            "machine": machine,
            "load_average_after": machine::load_average(),
            "repeats": args.repeats,
            "text": report,
            "tokenizers": tokenizers,
        }));
    }
    let texts = bench.texts(args, &root)?;
    let training = bench.measure_training(args, &texts)?;
    let encoding = bench.measure_encoding(args, &texts)?;
    let identical = if args.all_text { Some(bench.compare_all(&texts)?) } else { None };
    let result = json!({
        "bench": "tokens",
        "machine": machine,
        "load_average_after": machine::load_average(),
        "repeats": args.repeats,
        "text": texts.report,
        "encode": encoding,
        "train": training,
        "all_text": identical,
        "ratio": encoding["ratio"],
    });
    if !args.json {
        print_table(&result);
    }
    Ok(result)
}

/// What all measurements share.
pub(super) struct Bench {
    ours: PathBuf,
    pub(super) python: PathBuf,
    pub(super) scripts: PathBuf,
    scratch: Scratch,
}

/// Files of JSON strings, one a line.
struct Texts {
    posts: PathBuf,
    training: PathBuf,
    report: Value,
}

impl Bench {
    /// Posts to encode and text to train on.
    fn texts(&self, args: &TokensArgs, root: &Path) -> anyhow::Result<Texts> {
        let data = args.data.clone().or_else(|| test_data(root));
        let (posts, mut report) = self.posts(data.as_deref())?;
        let Some(data) = data else {
            return Ok(Texts { training: posts.clone(), posts, report });
        };
        let training = self.file("training.jsonl");
        report["training"] = self.corpus(&data, &training, None)?;
        Ok(Texts { posts, training, report })
    }

    /// Posts to encode, out of data files or made up.
    fn posts(&self, data: Option<&Path>) -> anyhow::Result<(PathBuf, Value)> {
        let posts = self.file("posts.jsonl");
        let report = if let Some(data) = data {
            json!({"source": "data files", "posts": self.corpus(data, &posts, Some(POSTS))?})
        } else {
            let script = self.scripts.join("made_up_posts.py");
            let count = self.output(Command::new(&self.python).arg(script).arg(&posts))?;
            json!({"source": "made up", "posts": count})
        };
        Ok((posts, report))
    }

    /// Texts out of data files; with `limit` so many posts.
    fn corpus(&self, data: &Path, out: &Path, limit: Option<usize>) -> anyhow::Result<Value> {
        let mut command = Command::new(&self.python);
        command.arg(self.scripts.join("corpus.py")).arg("--out").arg(out).arg(data);
        if let Some(limit) = limit {
            command.args(["--posts", &limit.to_string()]);
        }
        self.output(&mut command)
    }

    /// Trains with Stoa, and with rustbpe in turns, on one and on two threads.
    fn measure_training(&self, args: &TokensArgs, texts: &Texts) -> anyhow::Result<Value> {
        let against = args.against.contains(&Opponent::Rustbpe);
        let mut result = json!({"vocab_size": args.vocab_size});
        let (ours, theirs) = (self.file("ours.ranks"), self.file("rustbpe.ranks"));
        for threads in [1, 2] {
            let mut sides = vec![("stoa", self.start_ours()?)];
            if against {
                sides.push(("rustbpe", self.start_theirs(Opponent::Rustbpe, threads)?));
            }
            let mut seconds = vec![Vec::new(); sides.len()];
            for (_, side) in &mut sides {
                side.ask(&json!({"do": "texts", "path": texts.training}))?;
            }
            for _ in 0..args.repeats.div_ceil(3) {
                for ((name, side), seconds) in sides.iter_mut().zip(&mut seconds) {
                    let ranks = if *name == "stoa" { &ours } else { &theirs };
                    let answer = side.ask(&json!({
                        "do": "train", "vocab_size": args.vocab_size, "pattern": PATTERN.0,
                        "regex": PATTERN.1, "threads": threads, "ranks": ranks,
                        "tokenizer": self.file("tokenizer.json"),
                    }))?;
                    seconds.push(fastest(&answer)?);
                }
            }
            let medians: Vec<f64> = seconds.into_iter().map(median).collect();
            let mut figures = json!({"stoa_seconds": medians[0]});
            if let Some(theirs) = medians.get(1) {
                figures["rustbpe_seconds"] = json!(theirs);
                figures["ratio"] = json!(theirs / medians[0]);
            }
            result[format!("threads_{threads}")] = figures;
        }
        if against {
            ensure!(
                rank_lines(&ours)? == rank_lines(&theirs)?,
                "rustbpe trained other tokens than Stoa on the same text"
            );
            result["identical_tokens"] = json!(true);
        }
        Ok(result)
    }

    /// Encodes the posts one by one on one thread, in turns.
    fn measure_encoding(&self, args: &TokensArgs, texts: &Texts) -> anyhow::Result<Value> {
        let mut sides = vec![("stoa", self.start_ours()?)];
        for opponent in args.against.iter().filter(|&&o| o != Opponent::Rustbpe) {
            sides.push((opponent.name(), self.start_theirs(*opponent, 1)?));
        }
        let mut bytes = 0.0;
        for (_, side) in &mut sides {
            side.ask(&self.load("tokenizer.json", "ours.ranks", PATTERN.1))?;
            let read = side.ask(&json!({"do": "texts", "path": texts.posts}))?;
            bytes = read["bytes"].as_f64().context("a side did not count its text")?;
        }
        let mut result = Self::take_turns(&mut sides, bytes, args.repeats)?;
        if sides.len() > 1 {
            result["identical"] = self.compare_ids(&mut sides)?;
        }
        Ok(result)
    }

    /// Has sides that hold `bytes` of text encode them in turns; the first is compared with the
    /// fastest of the others.
    pub(super) fn take_turns(
        sides: &mut [(&'static str, Side)],
        bytes: f64,
        repeats: usize,
    ) -> anyhow::Result<Value> {
        let mut seconds = vec![Vec::new(); sides.len()];
        let mut tokens = Value::Null;
        for turn in 0..repeats {
            eprintln!("bench: encoding, turn {} of {repeats}", turn + 1);
            for ((_, side), seconds) in sides.iter_mut().zip(&mut seconds) {
                let answer = side.ask(&json!({"do": "encode"}))?;
                seconds.push(fastest(&answer)?);
                tokens = answer["tokens"].clone();
            }
        }
        let rates: Vec<f64> = seconds.into_iter().map(|s| bytes / 1e6 / median(s)).collect();
        let mut result = json!({"tokens": tokens});
        for ((name, _), rate) in sides.iter().zip(&rates) {
            result[format!("{name}_megabytes_per_second")] = json!(rate);
        }
        if let Some(fastest) = rates[1..].iter().copied().reduce(f64::max) {
            result["ratio"] = json!(rates[0] / fastest);
        }
        Ok(result)
    }

    /// Trains a small tokenizer with every pattern and compares the ids of all texts.
    fn compare_all(&self, texts: &Texts) -> anyhow::Result<Value> {
        let mut result = json!({});
        let mut ours = self.start_ours()?;
        ours.ask(&json!({"do": "texts", "path": texts.training}))?;
        for pattern in ["gpt2", "gpt4", "cl100k", "o200k", "qwen2", "qwen35", "tekken", "nanochat"]
        {
            eprintln!("bench: ids of all texts, {pattern}");
            let trained = ours.ask(&json!({
                "do": "train", "vocab_size": 16_384, "pattern": pattern, "threads": 2,
                "tokenizer": self.file("all.json"), "ranks": self.file("all.ranks"),
            }))?;
            let regex = trained["regex"].as_str().context("a side did not tell its pattern")?;
            let mut sides = vec![("stoa", self.start_ours()?)];
            for opponent in [Opponent::Hf, Opponent::Tiktoken] {
                sides.push((opponent.name(), self.start_theirs(opponent, 1)?));
            }
            for (_, side) in &mut sides {
                side.ask(&self.load("all.json", "all.ranks", regex))?;
                side.ask(&json!({"do": "texts", "path": texts.training}))?;
            }
            result[pattern] = self.compare_ids(&mut sides)?;
        }
        Ok(result)
    }

    /// Has all sides write the ids of their texts; counts texts whose ids differ from ours.
    pub(super) fn compare_ids(&self, sides: &mut [(&'static str, Side)]) -> anyhow::Result<Value> {
        let mut all = Vec::new();
        for (name, side) in sides {
            let out = self.file(&format!("{name}.ids"));
            side.ask(&json!({"do": "ids", "out": out}))?;
            let ids = fs::read(&out).with_context(|| format!("cannot read {}", out.display()))?;
            all.push((*name, ids));
        }
        let mut result = json!({});
        let Some(((_, ours), others)) = all.split_first() else { return Ok(result) };
        for (name, theirs) in others {
            let (texts, different) = count_different(ours, theirs)?;
            ensure!(different == 0, "{name} gives {different} of {texts} texts other ids");
            result[*name] = json!({"texts": texts, "different": different});
        }
        Ok(result)
    }

    /// The command that loads a tokenizer, with what any side needs for it.
    fn load(&self, tokenizer: &str, ranks: &str, regex: &str) -> Value {
        json!({
            "do": "load", "regex": regex,
            "tokenizer": self.file(tokenizer), "ranks": self.file(ranks),
        })
    }

    pub(super) fn start_ours(&self) -> anyhow::Result<Side> {
        Side::start(&mut Command::new(&self.ours))
    }

    pub(super) fn start_theirs(&self, opponent: Opponent, threads: usize) -> anyhow::Result<Side> {
        let mut command = Command::new(&self.python);
        command.arg(self.scripts.join("side.py")).arg(opponent.name());
        command.env("RAYON_NUM_THREADS", threads.to_string());
        command.env("TOKENIZERS_PARALLELISM", "false");
        Side::start(&mut command)
    }

    /// Runs a script; its last line of output as JSON.
    fn output(&self, command: &mut Command) -> anyhow::Result<Value> {
        let shown = workspace::shown(command);
        let output = command.stderr(Stdio::inherit()).output();
        let output = output.with_context(|| format!("cannot start `{shown}`"))?;
        ensure!(output.status.success(), "`{shown}` failed ({})", output.status);
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().last().unwrap_or_default();
        serde_json::from_str(line).with_context(|| format!("`{shown}` gave no JSON: {line}"))
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }
}

/// A program that obeys commands.
pub(super) struct Side {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Side {
    fn start(command: &mut Command) -> anyhow::Result<Self> {
        let shown = workspace::shown(command);
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start `{shown}`"))?;
        let commands = process.stdin.take().context("no stdin")?;
        let answers = BufReader::new(process.stdout.take().context("no stdout")?);
        Ok(Self { process, commands, answers })
    }

    /// Gives one command and waits for its answer.
    pub(super) fn ask(&mut self, command: &Value) -> anyhow::Result<Value> {
        writeln!(self.commands, "{command}").context("a side ended early, see above")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        if answer.is_empty() {
            bail!("a side failed at {command}: see above");
        }
        serde_json::from_str(&answer).with_context(|| format!("not JSON: {answer}"))
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Stoa's side, built in release.
pub(crate) fn build_ours(root: &Path) -> anyhow::Result<PathBuf> {
    let example = "tokens_side";
    let mut build = workspace::cargo(root);
    build.args(["build", "--release", "--package", "stoa-tokens", "--example", example]);
    workspace::check(&mut build)?;
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("cargo metadata failed")?;
    let directory = metadata.target_directory.as_std_path().join("release/examples");
    Ok(directory.join(example).with_extension(env::consts::EXE_EXTENSION))
}

/// The test data: `STOA_TEST_DATA`, else the directory that tests look in.
pub(crate) fn test_data(root: &Path) -> Option<PathBuf> {
    let named = env::var_os("STOA_TEST_DATA").map(PathBuf::from);
    let data = named.unwrap_or_else(|| root.join("../shared/data")).join("posts-and-text");
    data.is_dir().then_some(data)
}

/// Seconds of the fastest way to do what was asked.
fn fastest(answer: &Value) -> anyhow::Result<f64> {
    let ways = answer["seconds"].as_object().context("a side gave no seconds")?;
    ways.values().filter_map(Value::as_f64).reduce(f64::min).context("a side gave no seconds")
}

/// The median; the upper one of an even number.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The lines of a rank file in order.
fn rank_lines(path: &Path) -> anyhow::Result<Vec<String>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path:?}"))?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    Ok(lines)
}

/// Texts in two files of ids, and how many of them have different ids. A text is the number of
/// its ids and the ids, u32 each, little end first.
fn count_different(ours: &[u8], theirs: &[u8]) -> anyhow::Result<(usize, usize)> {
    let (mut ours, mut theirs) = (ours, theirs);
    let (mut texts, mut different) = (0, 0);
    while !ours.is_empty() || !theirs.is_empty() {
        texts += 1;
        different += usize::from(take_text(&mut ours)? != take_text(&mut theirs)?);
    }
    Ok((texts, different))
}

/// Takes the ids of one text off the front.
fn take_text<'a>(bytes: &mut &'a [u8]) -> anyhow::Result<&'a [u8]> {
    let (count, rest) = bytes.split_first_chunk().context("a file of ids ends early")?;
    let length = u32::from_le_bytes(*count) as usize * 4;
    let (ids, rest) = rest.split_at_checked(length).context("a file of ids ends early")?;
    *bytes = rest;
    Ok(ids)
}

fn print_table(result: &Value) {
    eprintln!("\nencoding posts of 116 characters, one thread");
    for (name, rate) in result["encode"].as_object().into_iter().flatten() {
        if let Some(name) = name.strip_suffix("_megabytes_per_second") {
            eprintln!("  {name:<9} {:>8.1} MB/s", rate.as_f64().unwrap_or(f64::NAN));
        }
    }
    eprintln!("  ratio to the faster of the others: {}", result["encode"]["ratio"]);
    for threads in ["threads_1", "threads_2"] {
        eprintln!("training, {threads}: {}", result["train"][threads]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_ids_are_counted_by_text() {
        let file = |texts: &[&[u32]]| -> Vec<u8> {
            let numbers = texts.iter().flat_map(|ids| [&[ids.len() as u32], *ids].concat());
            numbers.flat_map(u32::to_le_bytes).collect()
        };
        let ours = file(&[&[1, 2], &[], &[3]]);
        assert_eq!(count_different(&ours, &ours).expect("whole"), (3, 0));
        assert_eq!(count_different(&ours, &file(&[&[1], &[2], &[3]])).expect("whole"), (3, 2));
        assert!(count_different(&ours, &file(&[&[1, 2]])).is_err());
        assert!(count_different(&ours, &ours[..ours.len() - 1]).is_err());
    }

    #[test]
    fn the_middle_value_is_the_median() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    }
}
