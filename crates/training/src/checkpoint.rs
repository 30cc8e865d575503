//! Checkpoints: `checkpoints/STEP/` with the weights and the files that make them a model, the
//! optimizer's moments, the position in the run, and a manifest with the SHA-256 of each. A directory appears
//! whole or not at all, and nothing in it is used before its checksum is right.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stoa_durable::{FileEntry, remove_directory, replace_directory, sync_parent, unfinished};
use stoa_maps::Map;
use stoa_models::{Weights, from_map, save};

use crate::TrainingError;
use crate::error::io;
use crate::guard::GuardMemory;

/// Where a run is, beside its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingState {
    /// Version of this layout.
    pub format: u32,
    /// The stage.
    pub stage: String,
    /// Steps done, over all stages.
    pub step: u64,
    /// Steps done before this stage.
    pub first_step: u64,
    /// Steps that changed the weights in this stage: AdamW's count.
    pub updates: u64,
    /// Tokens trained on in this stage.
    pub tokens: u64,
    /// Whether the stage is complete.
    pub finished: bool,
    /// What the run was started with, by which a resumed one is known to be the same.
    pub identity: Identity,
    /// The loss-spike guard's memory.
    pub guard: GuardMemory,
    /// Score on held-out data at this step, when it was evaluated: of text, bits per byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out_score: Option<f64>,
}

/// What decides a stage's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Seed of the run.
    pub seed: u64,
    /// Digest of the stage's settings.
    pub settings: String,
    /// Digest of the training data.
    pub data: String,
}

/// Layout version written.
pub(crate) const FORMAT: u32 = 1;

const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";
const MANIFEST: &str = "manifest.json";

/// A checkpoint read back.
pub struct Checkpoint {
    /// Where it was.
    pub path: PathBuf,
    /// Position.
    pub state: TrainingState,
    /// What is trained; mapped from its file.
    pub weights: Weights,
    /// Moments, mapped too; none when they were not asked for.
    pub optimizer: Weights,
}

/// What of a checkpoint is read. What is not read is not verified either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// The weights: to use the model, or to start another stage from it.
    Weights,
    /// Weights and moments: to resume.
    Everything,
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    files: BTreeMap<String, FileEntry>,
}

impl Manifest {
    /// The manifest of a checkpoint's directory, which lists what every checkpoint has.
    fn read(directory: &Path) -> Result<Self, TrainingError> {
        let path = directory.join(MANIFEST);
        let manifest: Manifest = read_json(&path)?;
        match [MODEL, OPTIMIZER, STATE].iter().find(|name| !manifest.files.contains_key(**name)) {
            Some(missing) => Err(corrupt(&path, format!("does not list {missing}"))),
            None => Ok(manifest),
        }
    }
}

/// The checkpoints of a run.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    directory: PathBuf,
}

impl Checkpoints {
    /// Those of the run in `directory`.
    pub fn of_run(directory: &Path) -> Self {
        Checkpoints { directory: directory.join("checkpoints") }
    }

    /// Where the checkpoint of a step is.
    pub fn path(&self, step: u64) -> PathBuf {
        self.directory.join(format!("{step:06}"))
    }

    /// Steps of the checkpoints there are, ascending; none when there is no directory.
    ///
    /// # Errors
    /// [`TrainingError::File`].
    pub fn steps(&self) -> Result<Vec<u64>, TrainingError> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io("listing", &self.directory)(error)),
        };
        let mut steps = Vec::new();
        for entry in entries {
            let name = entry.map_err(io("listing", &self.directory))?.file_name();
            steps.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
        }
        steps.sort_unstable();
        Ok(steps)
    }

    /// Writes a checkpoint; `files` stand beside the tensors, by name. An older one of the same
    /// step is replaced.
    ///
    /// # Errors
    /// [`TrainingError::File`], [`TrainingError::Model`]. What was there before is then still there.
    pub fn save(
        &self,
        state: &TrainingState,
        weights: &Weights,
        optimizer: &Weights,
        files: &[(String, Vec<u8>)],
    ) -> Result<PathBuf, TrainingError> {
        let path = self.path(state.step);
        let waiting = unfinished(&path);
        fs::create_dir_all(&self.directory).map_err(io("creating", &self.directory))?;
        remove_directory(&waiting)?;
        let written = write_files(&waiting, state, weights, optimizer, files)
            .and_then(|()| Ok(replace_directory(&path)?));
        if let Err(error) = written {
            // The error tells what is wrong; what cannot be removed now is removed at the next start.
            let _ = fs::remove_dir_all(&waiting);
            return Err(error);
        }
        Ok(path)
    }

    /// Reads a checkpoint. Each file that is used is read once and compared with the manifest.
    ///
    /// # Errors
    /// [`TrainingError::CorruptCheckpoint`] names the file.
    pub fn load(&self, step: u64, contents: Contents) -> Result<Checkpoint, TrainingError> {
        let path = self.path(step);
        let manifest = Manifest::read(&path)?;
        let (mut weights, mut optimizer, mut state) = (Weights::new(), Weights::new(), None);
        for (name, entry) in &manifest.files {
            let file = path.join(name);
            match name.as_str() {
                MODEL => weights = tensors(&verified_map(&path, name, entry)?)?,
                OPTIMIZER if contents == Contents::Weights => {}
                OPTIMIZER => optimizer = tensors(&verified_map(&path, name, entry)?)?,
                STATE => {
                    let bytes = verified_map(&path, name, entry)?;
                    let found: TrainingState = serde_json::from_slice(&bytes)
                        .map_err(|error| corrupt(&file, error.to_string()))?;
                    state = Some(found);
                }
                _ => drop(verify(&path, name, entry)?),
            }
        }
        let state =
            state.ok_or_else(|| corrupt(&path.join(MANIFEST), "does not list state".into()))?;
        if state.format != FORMAT || state.step != step {
            let (format, found) = (state.format, state.step);
            let problem =
                format!("has format {format} and step {found}, expected {FORMAT} and {step}");
            return Err(corrupt(&path.join(STATE), problem));
        }
        Ok(Checkpoint { path, state, weights, optimizer })
    }

    /// The newest whole checkpoint of a stage, and what is wrong with newer ones. Checkpoints of
    /// other stages are skipped, unread.
    ///
    /// # Errors
    /// [`TrainingError::NoCheckpoint`].
    pub fn newest(
        &self,
        stage: &str,
        contents: Contents,
    ) -> Result<(Checkpoint, Vec<TrainingError>), TrainingError> {
        let mut rejected = Vec::new();
        for step in self.steps()?.into_iter().rev() {
            if self.unverified_state(step).is_some_and(|state| state.stage != stage) {
                continue;
            }
            match self.load(step, contents) {
                Ok(checkpoint) => return Ok((checkpoint, rejected)),
                Err(error) => rejected.push(error),
            }
        }
        Err(TrainingError::NoCheckpoint {
            directory: self.directory.clone(),
            stage: stage.to_owned(),
            rejected: rejected.iter().map(ToString::to_string).collect(),
        })
    }

    /// Step and score of the stage's checkpoint with the lowest score on held-out data, as far as its checkpoints were evaluated and can be read.
    ///
    /// # Errors
    /// [`TrainingError::File`].
    pub fn best(&self, stage: &str) -> Result<Option<(u64, f64)>, TrainingError> {
        let steps = self.steps()?;
        let scored = steps.into_iter().filter_map(|step| {
            let state = self.unverified_state(step).filter(|state| state.stage == stage)?;
            Some((step, state.held_out_score?))
        });
        Ok(scored.min_by(|a, b| a.1.total_cmp(&b.1)))
    }

    /// Removes all but the last `keep` unfinished checkpoints and the best one of each stage; the
    /// finished ones, with which stages ended, stay. What cannot be read stays too.
    ///
    /// # Errors
    /// [`TrainingError::File`].
    pub fn prune(&self, keep: usize) -> Result<(), TrainingError> {
        let states = self.steps()?.into_iter().filter_map(|step| self.unverified_state(step));
        let passing: Vec<TrainingState> = states.filter(|state| !state.finished).collect();
        for state in &passing[..passing.len().saturating_sub(keep)] {
            if self.best(&state.stage)?.is_none_or(|(best, _)| best != state.step) {
                remove_directory(&self.path(state.step))?;
            }
        }
        Ok(())
    }

    fn unverified_state(&self, step: u64) -> Option<TrainingState> {
        read_json(&self.path(step).join(STATE)).ok()
    }

    /// Removes what writes that did not end have left.
    ///
    /// # Errors
    /// [`TrainingError::File`].
    pub fn clear_unfinished(&self) -> Result<(), TrainingError> {
        Ok(stoa_durable::clear_unfinished(&self.directory)?)
    }
}

fn write_files(
    directory: &Path,
    state: &TrainingState,
    weights: &Weights,
    optimizer: &Weights,
    files: &[(String, Vec<u8>)],
) -> Result<(), TrainingError> {
    fs::create_dir(directory).map_err(io("creating", directory))?;
    save(&directory.join(MODEL), weights)?;
    save(&directory.join(OPTIMIZER), optimizer)?;
    let state = serde_json::to_vec_pretty(state).expect("a state has a JSON form");
    let texts = [(STATE.to_owned(), state)];
    for (name, bytes) in texts.iter().chain(files) {
        let path = directory.join(name);
        fs::write(&path, bytes).map_err(io("writing", &path))?;
    }
    let mut entries = BTreeMap::new();
    let names = texts.iter().chain(files).map(|(name, _)| name.as_str());
    for name in names.chain([MODEL, OPTIMIZER]) {
        let path = directory.join(name);
        let mut file = File::open(&path).map_err(io("reading", &path))?;
        file.sync_all().map_err(io("syncing", &path))?;
        entries
            .insert(name.to_owned(), FileEntry::of_open(&mut file).map_err(io("reading", &path))?);
    }
    let path = directory.join(MANIFEST);
    let manifest = serde_json::to_vec_pretty(&Manifest { files: entries }).expect("plain strings");
    fs::write(&path, manifest).map_err(io("writing", &path))?;
    File::open(&path).and_then(|f| f.sync_all()).map_err(io("syncing", &path))?;
    Ok(sync_parent(&path)?)
}

/// Opens a file and reads all of it, as the manifest says.
fn verify(directory: &Path, name: &str, expected: &FileEntry) -> Result<File, TrainingError> {
    let path = directory.join(name);
    if Path::new(name).components().count() != 1 {
        return Err(corrupt(&directory.join(MANIFEST), format!("lists {name}, no plain name")));
    }
    let read = File::open(&path).and_then(|mut file| Ok((FileEntry::of_open(&mut file)?, file)));
    let (found, file) = read.map_err(|error| corrupt(&path, error.to_string()))?;
    compare(&path, &found, expected)?;
    Ok(file)
}

/// The file that was verified, mapped. Its checksum is read through the file and not through the map:
/// a disk that fails is then an error.
fn verified_map(directory: &Path, name: &str, expected: &FileEntry) -> Result<Map, TrainingError> {
    let file = verify(directory, name, expected)?;
    let path = directory.join(name);
    Map::of(&file, &path).map_err(|error| corrupt(&path, error.source.to_string()))
}

fn compare(path: &Path, found: &FileEntry, expected: &FileEntry) -> Result<(), TrainingError> {
    if found.bytes != expected.bytes {
        let problem = format!("has {} bytes, the manifest says {}", found.bytes, expected.bytes);
        return Err(corrupt(path, problem));
    }
    if found.sha256 != expected.sha256 {
        let problem =
            format!("has SHA-256 {}, the manifest says {}", found.sha256, expected.sha256);
        return Err(corrupt(path, problem));
    }
    Ok(())
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, TrainingError> {
    let bytes = fs::read(path).map_err(|error| corrupt(path, error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| corrupt(path, error.to_string()))
}

fn tensors(map: &Map) -> Result<Weights, TrainingError> {
    from_map(map).map_err(|error| corrupt(map.path(), error.to_string()))
}

/// Compares the files of a checkpoint's directory with its manifest, without reading tensors: those that
/// make the model, or all.
///
/// # Errors
/// [`TrainingError::CorruptCheckpoint`] names the file.
pub fn verify_checkpoint(path: &Path, contents: Contents) -> Result<(), TrainingError> {
    let manifest = Manifest::read(path)?;
    let used = |name: &str| contents == Contents::Everything || name != OPTIMIZER;
    let mut files = manifest.files.iter().filter(|(name, _)| used(name));
    files.try_for_each(|(name, entry)| verify(path, name, entry).map(drop))
}

fn corrupt(path: &Path, problem: String) -> TrainingError {
    TrainingError::CorruptCheckpoint { path: path.to_owned(), problem }
}
