//! What training programs do, read from the dated data file `data/software.toml`: facts of their
//! papers and documentation. Their speed is not stated here.

use serde::{Deserialize, Serialize};

use crate::error::{PlanError, Result, nearest};

/// The data file, as text.
pub const SOFTWARE_DATA: &str = include_str!("../data/software.toml");

/// A training program as far as its speed depends on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Software {
    /// Part of its name, in lower case.
    #[serde(rename = "match")]
    pub name: String,
    /// Attention keeps no score matrix and skips the masked half (arXiv:2205.14135).
    pub flash_attention: bool,
    /// Fused attention is written for Hopper (cuDNN, FlashAttention-3), not carried over.
    pub native_attention: bool,
    /// Share of products that selective recompute repeats.
    pub selective_products: f64,
    /// A stage may hold several chunks of the model.
    pub interleaving: bool,
    /// Pipeline bubble relative to one-forward-one-backward.
    pub bubble: f64,
    /// Expert exchange overlaps with computation.
    pub expert_overlap: bool,
    /// Bytes kept for a logit.
    pub logit_bytes: f64,
    /// Share of pointwise work inside fused kernels.
    pub fused: f64,
    /// Norms are split over the tensor-parallel ranks (arXiv:2205.05198 section 4.2).
    pub sequence_parallel: bool,
    /// Tensor-parallel exchange overlaps with products.
    pub tensor_overlap: bool,
    /// Gradient and weight exchange overlaps with computation.
    pub data_overlap: bool,
    /// Bytes of a gradient.
    pub gradient_bytes: f64,
    /// A stage keeps what it sent to the next one until its gradient is back.
    #[serde(default)]
    pub keeps_stage_outputs: bool,
    /// Most parameters gathered at once under full sharding; without, two blocks.
    #[serde(default)]
    pub gathered_params: Option<f64>,
    /// Source of these facts.
    pub source: String,
    /// When it was true.
    pub date: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    software: Vec<Software>,
}

/// The programs of the data file, the most specific names first.
///
/// # Errors
/// When the text is not such a file or has no entry for unnamed programs.
pub fn read(text: &str, place: &str) -> Result<Vec<Software>> {
    let malformed = |reason: String| PlanError::Malformed { place: place.to_owned(), reason };
    let file: File = toml::from_str(text).map_err(|error| malformed(error.to_string()))?;
    let mut programs = file.software;
    programs.sort_by_key(|program| std::cmp::Reverse(program.name.len()));
    if programs.last().is_none_or(|program| !program.name.is_empty()) {
        return Err(malformed("one entry must have match = \"\", for unnamed programs".to_owned()));
    }
    Ok(programs)
}

/// The shipped programs.
pub fn published() -> Vec<Software> {
    read(SOFTWARE_DATA, "data/software.toml").expect("the shipped data file is tested")
}

/// The entry that fits the name a person gave.
///
/// # Errors
/// When none does: with the nearest names.
pub fn named(programs: &[Software], name: &str) -> Result<Software> {
    let spelled = name.trim().to_lowercase().replace(['_', ' '], "-");
    let mut known = programs.iter().filter(|program| !program.name.is_empty());
    let matches = |program: &&Software| spelled.contains(&program.name.replace(' ', "-"));
    known.clone().find(matches).cloned().ok_or_else(|| {
        let names: Vec<&str> = known.by_ref().map(|program| program.name.as_str()).collect();
        PlanError::UnknownSoftware {
            name: name.to_owned(),
            nearest: nearest(&spelled, names.iter().map(|name| [*name])),
            known: names.join(", "),
        }
    })
}

/// The entry that fits a program's name; the one of present practice when none does.
pub fn find(programs: &[Software], name: &str) -> Software {
    let name = name.to_lowercase();
    let found = programs.iter().find(|program| name.contains(&program.name));
    found.expect("the empty name is contained in all").clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_program_is_found() {
        let programs = published();
        assert_eq!(find(&programs, "Megatron-DeepSpeed").name, "megatron-deepspeed");
        assert_eq!(find(&programs, "DeepSpeed ZeRO-3").name, "deepspeed");
        assert_eq!(find(&programs, "something new").name, "");
        assert_eq!(named(&programs, "Megatron_Core 0.8").unwrap().name, "megatron-core");
        assert_eq!(named(&programs, "Meta internal").unwrap().name, "meta internal");
        for (asked, offered) in [("megatron-cor", "megatron-core"), ("torchtitn", "torchtitan")] {
            let error = named(&programs, asked).unwrap_err();
            let PlanError::UnknownSoftware { nearest, known, .. } = &error else {
                panic!("{error}")
            };
            assert!(
                nearest.starts_with(&format!("{offered}, ")) && known.contains("nemo"),
                "{error}"
            );
        }
        assert!(named(&programs, "").is_err() && named(&programs, "something new").is_err());
        assert!(programs.iter().all(|p| (0.0..=1.0).contains(&p.fused) && p.date.len() == 7));
    }
}
