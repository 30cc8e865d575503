//! Evaluation sets from files, for the stage that keeps their texts out of training.

use crate::error::CorpusError;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use stoa_posts::decontamination::Evaluations;

/// Reads files of texts: every string of a line of JSON, or the line itself; gzip too.
pub(super) fn read(paths: &[PathBuf]) -> Result<Evaluations, CorpusError> {
    let mut evaluations = Evaluations::new();
    for path in paths {
        read_file(&mut evaluations, path)?;
    }
    Ok(evaluations)
}

fn read_file(evaluations: &mut Evaluations, path: &Path) -> Result<(), CorpusError> {
    let io = |cause| CorpusError::Io { path: path.to_path_buf(), cause };
    let file = std::fs::File::open(path).map_err(io)?;
    let mut file = BufReader::new(file);
    let packed = file.fill_buf().map_err(io)?.starts_with(&[0x1f, 0x8b]);
    let lines: Box<dyn BufRead> = if packed {
        Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(file)))
    } else {
        Box::new(file)
    };
    for line in lines.lines() {
        let line = line.map_err(io)?;
        match serde_json::from_str::<Value>(&line) {
            Ok(value) => add_strings(evaluations, &value),
            Err(_) => evaluations.add(&line),
        }
    }
    Ok(())
}

fn add_strings(evaluations: &mut Evaluations, value: &Value) {
    match value {
        Value::String(text) => evaluations.add(text),
        Value::Array(values) => values.iter().for_each(|value| add_strings(evaluations, value)),
        Value::Object(fields) => {
            fields.values().for_each(|value| add_strings(evaluations, value));
        }
        _ => {}
    }
}
