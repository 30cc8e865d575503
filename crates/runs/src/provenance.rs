//! Where a model came from, as far as its files say: its run, the posts it was trained on by their basis
//! of use, what it was measured at, its licence; and the model card that says so (`README.md`, as the
//! hub has it). Guesses nothing: what is not known is written as that.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stoa_corpus::Store;
use stoa_corpus::ingest::statistics;
use stoa_durable::FileEntry;
use stoa_gguf::GgufFile;
use stoa_models::ModelError;
use stoa_shelf::{Licence, belongs};

use crate::facts::ModelFacts;
use crate::{Model, RunFiles, RunsError, TextSource, passport};

/// Where a model came from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// Its licence.
    pub licence: Licence,
    /// Whether this program trained it, from drawn weights.
    pub trained_here: bool,
    /// Where it was got from.
    pub origin: Option<String>,
    /// The directory of its run.
    pub run: Option<PathBuf>,
    /// The text it was trained on.
    pub text: Option<String>,
    /// Posts that were kept for training and measuring, by basis of use; `None` where no store of
    /// them is beside the run.
    pub posts_by_basis: Option<BTreeMap<String, u64>>,
    /// Steps and tokens of its training, and bits per byte on held-out text.
    pub training: Option<Value>,
    /// Questions and right answers of its last examination.
    pub examination: Option<(u64, u64)>,
    /// What is to be said of how this was read.
    #[serde(skip)]
    pub notes: Vec<String>,
}

impl Model {
    /// Where the model came from: by its run, or by what it carries since it was written.
    ///
    /// # Errors
    /// A store of its run, or what it carries, that cannot be read.
    pub fn provenance(&self, facts: &ModelFacts) -> Result<Provenance, RunsError> {
        let directory = self.directory();
        if let Some(carried) = self.carried()? {
            let known = facts.licence.is_known();
            let licence = if known { facts.licence.clone() } else { carried.licence };
            let origin = facts.origin.clone().or(carried.origin);
            return Ok(Provenance { licence, origin, ..carried });
        }
        let mut provenance = Provenance {
            licence: facts.licence.clone(),
            trained_here: facts.trained_here,
            origin: facts.origin.clone(),
            training: json_file(&directory.join("state.json")),
            ..Provenance::default()
        };
        // A checkpoint is RUN/checkpoints/STEP.
        let whole = std::fs::canonicalize(directory).ok();
        let parent = whole.as_deref().and_then(Path::parent);
        let run = parent.filter(|parent| parent.ends_with("checkpoints")).and_then(Path::parent);
        if let Some(run) = run.filter(|run| facts.trained_here && run.join("run.toml").exists()) {
            provenance.of_run(run)?;
        }
        Ok(provenance)
    }
}

impl Model {
    fn carried(&self) -> Result<Option<Provenance>, RunsError> {
        match self {
            Model::Directory(directory) => passport::of_directory(directory),
            Model::Gguf(path) => {
                Ok(passport::of_gguf(&GgufFile::open(path).map_err(ModelError::from)?))
            }
        }
    }
}

impl Provenance {
    fn of_run(&mut self, run: &Path) -> Result<(), RunsError> {
        let files = RunFiles::new(run);
        self.run = Some(run.to_owned());
        match TextSource::read(&files)? {
            Some(TextSource::Square { seed }) => {
                self.text =
                    Some(format!("the sample square of seed {seed}, whose people are invented"));
                self.posts_by_basis = Some(BTreeMap::new());
            }
            Some(TextSource::Posts { files: posts }) => {
                self.text = Some(posts.join(", "));
                let counts = statistics(&Store::new(&files.store()))?.by_basis;
                let kept = counts.into_iter().map(|(basis, survival)| (basis, survival.kept));
                self.posts_by_basis = Some(kept.filter(|(_, kept)| *kept > 0).collect());
            }
            None => {}
        }
        if let Some(exam) = json_file(&files.exam()) {
            self.examination = exam["questions"].as_u64().zip(exam["right"].as_u64());
        }
        Ok(())
    }

    /// That the model may be handed on: it was made here, or its licence is stated, or the person
    /// accepts that it is not.
    ///
    /// # Errors
    /// [`RunsError::UnknownLicence`].
    pub fn check_licence(&self, model: &Path, accepted: bool) -> Result<(), RunsError> {
        if accepted || self.trained_here || self.licence.is_known() {
            return Ok(());
        }
        Err(RunsError::UnknownLicence(model.to_owned()))
    }
}

fn json_file(path: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// The files of a model directory with their hashes, but for the card itself.
///
/// # Errors
/// A file that cannot be read.
pub fn hashes(directory: &Path) -> Result<BTreeMap<String, FileEntry>, RunsError> {
    let mut hashes = BTreeMap::new();
    let entries = std::fs::read_dir(directory).map_err(crate::error::io("listing", directory))?;
    for entry in entries {
        let path = entry.map_err(crate::error::io("listing", directory))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_file() && name != "README.md" && (belongs(&name) || name.ends_with(".gguf")) {
            hashes.insert(name, FileEntry::of(&path)?);
        }
    }
    Ok(hashes)
}

/// The model card: a head that the hub reads, then what is known, in words.
pub fn card(
    facts: &ModelFacts,
    provenance: &Provenance,
    files: &BTreeMap<String, FileEntry>,
) -> String {
    let mut text = String::from("---\n");
    let licence = provenance.licence.name.as_deref();
    let licence =
        licence.unwrap_or(if provenance.licence.is_known() { "other" } else { "unknown" });
    let _ = writeln!(text, "license: {licence}");
    if let Some(link) = &provenance.licence.link {
        let _ = writeln!(text, "license_link: {link}");
    }
    if !provenance.licence.base_models.is_empty() {
        text += "base_model:\n";
        for base in &provenance.licence.base_models {
            let _ = writeln!(text, "- {base}");
        }
    }
    text += "library_name: stoa\npipeline_tag: text-generation\n---\n\n# Model card\n\n";
    let _ = writeln!(
        text,
        "{} of {} weights: {} layers of width {}, {} tokens in its vocabulary, {} tokens of context. \
         Chat template: {}.\n",
        facts.family,
        facts.parameters,
        facts.layers,
        facts.hidden,
        facts.vocabulary,
        facts.context,
        facts.template
    );
    text += &origin(provenance);
    text += &evaluation(provenance);
    let _ = writeln!(text, "## Licence\n\n{}\n", licence_words(provenance));
    text += "## Files\n\n| file | bytes | SHA-256 |\n|---|---|---|\n";
    for (name, file) in files {
        let _ = writeln!(text, "| `{name}` | {} | `{}` |", file.bytes, file.sha256);
    }
    text
}

fn origin(provenance: &Provenance) -> String {
    let mut text = String::from("## Where it came from\n\n");
    match (&provenance.origin, provenance.trained_here) {
        (Some(origin), _) => drop(writeln!(text, "Got from {origin}.\n")),
        (None, true) => text += "Trained by Stoa from drawn weights; it has no base model.\n\n",
        (None, false) => text += "Its files do not say where it came from.\n\n",
    }
    if let Some(data) = &provenance.text {
        let _ = writeln!(text, "Text: {data}.\n");
    }
    match &provenance.posts_by_basis {
        None => text += "Training posts by basis of use: not known.\n\n",
        Some(counts) if counts.is_empty() => text += "Training posts by basis of use: none.\n\n",
        Some(counts) => {
            text += "| basis of use | training posts |\n|---|---|\n";
            for (basis, count) in counts {
                let basis = if basis.is_empty() { "not stated" } else { basis };
                let _ = writeln!(text, "| {basis} | {count} |");
            }
            text += "\n";
        }
    }
    text
}

fn evaluation(provenance: &Provenance) -> String {
    let mut text = String::from("## Evaluation\n\n");
    let score = provenance.training.as_ref().and_then(|state| state["held_out_score"].as_f64());
    if let Some(score) = score {
        let _ = writeln!(text, "Held-out text: {score:.4} bits per byte.\n");
    }
    if let Some((questions, right)) = provenance.examination {
        let _ = writeln!(text, "Examination: {right} of {questions} unseen questions right.\n");
    }
    if score.is_none() && provenance.examination.is_none() {
        text += "Not measured here.\n\n";
    }
    text
}

fn licence_words(provenance: &Provenance) -> String {
    let licence = &provenance.licence;
    if !licence.is_known() {
        return match provenance.trained_here {
            true => "Not stated: its maker decides.".to_owned(),
            false => "Not stated by the files it came with.".to_owned(),
        };
    }
    let files = match licence.files.is_empty() {
        true => String::new(),
        false => format!(" Terms and notices: {}.", licence.files.join(", ")),
    };
    let link = licence.link.as_ref().map(|link| format!(" Its terms: {link}"));
    format!("{}.{files}{}", licence.described(), link.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_written_as_that() {
        let text = origin(&Provenance::default());
        assert!(text.contains("do not say where"), "{text}");
        assert!(text.contains("not known"), "{text}");
        assert!(evaluation(&Provenance::default()).contains("Not measured"));
        let counts = BTreeMap::from([(String::new(), 3), ("consent".to_owned(), 4)]);
        let known = Provenance { posts_by_basis: Some(counts), ..Provenance::default() };
        let text = origin(&known);
        assert!(text.contains("| not stated | 3 |") && text.contains("| consent | 4 |"), "{text}");
    }

    #[test]
    fn an_unknown_licence_stops_unless_it_is_accepted() {
        let unknown = Provenance::default();
        let message = unknown.check_licence(Path::new("m"), false).unwrap_err().to_string();
        assert!(message.contains("--accept-unknown-licence"), "{message}");
        unknown.check_licence(Path::new("m"), true).unwrap();
        let own = Provenance { trained_here: true, ..Provenance::default() };
        own.check_licence(Path::new("m"), false).unwrap();
        let name = Some("mit".to_owned());
        let stated = Licence { name, ..Licence::default() };
        let stated = Provenance { licence: stated, ..Provenance::default() };
        stated.check_licence(Path::new("m"), false).unwrap();
    }
}
