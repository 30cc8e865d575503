//! The architectures that are read, as a table: what their names in `general.architecture` stand for
//! beyond what keys say.

use std::path::Path;

use super::tensors::{FUSED_ATTENTION, FUSED_GATE, Fused};
use crate::{
    Biases, Block, Family, LanguageConfig, MlpKind, ModelError, Norm, QkNorm, RopeScaling,
    SlidingWindow,
};

/// Which layers have the window that the file gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Windows {
    /// All.
    All,
    /// All but every n-th.
    AllButEvery(usize),
}

/// What an architecture computes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Architecture {
    pub name: &'static str,
    pub family: Family,
    pub block: Block,
    /// The block where `use_parallel_residual` has the other value.
    pub other_block: Option<Block>,
    pub norm: Norm,
    /// Factors of norms are stored as 1 + w for the w of safetensors files.
    pub norm_offset: bool,
    pub mlp: MlpKind,
    pub qk_norm: QkNorm,
    /// Norm of queries and keys of models whose files hold factors for it.
    pub optional_qk_norm: QkNorm,
    /// Queries and keys are stored with the two features of a pair side by side.
    pub pairs_adjacent: bool,
    pub learned_positions: bool,
    /// The embedding is multiplied by √hidden.
    pub embedding_root: bool,
    pub windows: Windows,
    /// Base of the frequencies in layers with a window, where keys name none.
    pub local_rope_theta: Option<f32>,
    /// Every n-th layer is without positions.
    pub unrotated_every: Option<usize>,
    /// Layers of the one size whose scores are scaled by hidden / heads, not by the size of a head.
    pub scaled_by_width: Option<usize>,
    /// `logit_scale` divides.
    pub logit_divisor: bool,
    /// Bounds of scores and logits, where keys name none.
    pub softcaps: Option<[f32; 2]>,
    /// Parameters that are written as one tensor; where files have them apart, they are read so.
    pub fused: &'static [Fused],
}

const LLAMA: Architecture = Architecture {
    name: "llama",
    family: Family::Llama,
    block: Block::PreNorm,
    other_block: None,
    norm: Norm::Rms,
    norm_offset: false,
    mlp: MlpKind::Swiglu,
    qk_norm: QkNorm::None,
    optional_qk_norm: QkNorm::None,
    pairs_adjacent: true,
    learned_positions: false,
    embedding_root: false,
    windows: Windows::All,
    local_rope_theta: None,
    unrotated_every: None,
    scaled_by_width: None,
    logit_divisor: false,
    softcaps: None,
    fused: &[],
};

const QWEN2: Architecture =
    Architecture { name: "qwen2", family: Family::Qwen2, pairs_adjacent: false, ..LLAMA };

const GEMMA: Architecture = Architecture {
    name: "gemma",
    family: Family::Gemma,
    norm_offset: true,
    mlp: MlpKind::Geglu,
    embedding_root: true,
    ..QWEN2
};

const GPT_NEOX: Architecture = Architecture {
    name: "gptneox",
    family: Family::GptNeox,
    block: Block::ParallelTwoNorms,
    other_block: Some(Block::PreNorm),
    norm: Norm::Layer,
    mlp: MlpKind::GeluExact,
    fused: &[FUSED_ATTENTION],
    ..QWEN2
};

const ARCHITECTURES: [Architecture; 15] = [
    LLAMA,
    QWEN2,
    Architecture { name: "qwen3", family: Family::Qwen3, qk_norm: QkNorm::PerHead, ..QWEN2 },
    GEMMA,
    Architecture {
        name: "gemma2",
        family: Family::Gemma2,
        block: Block::PreAndPostNorm,
        windows: Windows::AllButEvery(2),
        scaled_by_width: Some(46),
        softcaps: Some([50.0, 30.0]),
        ..GEMMA
    },
    Architecture {
        name: "gemma3",
        family: Family::Gemma3,
        block: Block::PreAndPostNorm,
        qk_norm: QkNorm::PerHead,
        windows: Windows::AllButEvery(6),
        local_rope_theta: Some(10_000.0),
        scaled_by_width: Some(62),
        ..GEMMA
    },
    Architecture {
        name: "phi3",
        family: Family::Phi3,
        fused: &[FUSED_ATTENTION, FUSED_GATE],
        ..QWEN2
    },
    Architecture {
        name: "olmo2",
        family: Family::Olmo2,
        block: Block::PostNorm,
        qk_norm: QkNorm::OverAllHeads,
        ..QWEN2
    },
    Architecture { name: "granite", family: Family::Granite, logit_divisor: true, ..LLAMA },
    Architecture { name: "smollm3", family: Family::Smollm3, unrotated_every: Some(4), ..LLAMA },
    Architecture {
        name: "stablelm",
        family: Family::Stablelm,
        other_block: Some(Block::Parallel),
        norm: Norm::Layer,
        optional_qk_norm: QkNorm::LayerByHead,
        ..QWEN2
    },
    Architecture {
        name: "gpt2",
        family: Family::Gpt2,
        block: Block::PreNorm,
        other_block: None,
        mlp: MlpKind::Gelu,
        learned_positions: true,
        ..GPT_NEOX
    },
    GPT_NEOX,
    Architecture {
        name: "falcon",
        family: Family::Falcon,
        block: Block::Parallel,
        other_block: None,
        ..GPT_NEOX
    },
    Architecture {
        name: "command-r",
        family: Family::Cohere,
        block: Block::Parallel,
        norm: Norm::LayerUnbiased,
        optional_qk_norm: QkNorm::LayerByHead,
        ..LLAMA
    },
];

impl Architecture {
    /// Key of what is added in norms.
    pub const fn eps_key(&self) -> &'static str {
        match self.norm {
            Norm::Rms => "attention.layer_norm_rms_epsilon",
            Norm::Layer | Norm::LayerUnbiased => "attention.layer_norm_epsilon",
        }
    }

    /// What llama.cpp makes of such a model otherwise.
    pub fn notes(&self, config: &LanguageConfig) -> Vec<String> {
        let window = config.sliding_window.as_ref().filter(|_| self.windows == Windows::All);
        let note = |sliding: &SlidingWindow| {
            let (window, name) = (sliding.window, self.name);
            format!("the window of {window} tokens is in the file; llama.cpp has none in {name}")
        };
        window.map(note).into_iter().collect()
    }

    /// Whether a configuration is a model of this architecture, as far as it can be seen without a file:
    /// what is written is read again and compared.
    fn fits(&self, config: &LanguageConfig) -> bool {
        let root = (config.hidden as f32).sqrt();
        let scales = [config.residual_scale, config.attention_scale, config.logit_scale];
        let scaled = scales.iter().any(Option::is_some)
            || config.embedding_scale.is_some() && !self.embedding_root;
        let windows = |layer: usize| match self.windows {
            Windows::All => true,
            Windows::AllButEvery(n) => !(layer + 1).is_multiple_of(n),
        };
        let windowed = config.sliding_window.as_ref().is_none_or(|sliding| {
            sliding.layers.iter().copied().eq((0..config.layers).filter(|&layer| windows(layer)))
        });
        let qk_norms = [self.qk_norm, self.optional_qk_norm];
        (config.block == self.block || Some(config.block) == self.other_block)
            && (self.norm, self.mlp) == (config.norm, config.mlp.kind)
            && qk_norms.contains(&config.qk_norm)
            && (self.norm_offset, self.learned_positions)
                == (config.norm_offset, config.learned_positions)
            && self.embedding_root == (config.embedding_scale == Some(root))
            && scaled == matches!(self.name, "granite" | "command-r")
            && self.unrotated_every.is_some() != config.layers_without_positions.is_empty()
            && self.local_rope_theta.is_some() == config.local_rope_theta.is_some()
            && windowed
            && self.writes_positions(config)
            && self.writes_biases(config.biases)
    }

    /// Whether keys and tensors of a file say all of the rotation, and llama.cpp reads them.
    fn writes_positions(&self, config: &LanguageConfig) -> bool {
        let is_llama = self.name == "llama";
        let scaling = match &config.rope_scaling {
            None | Some(RopeScaling::Linear { .. }) => true,
            Some(RopeScaling::Llama3 { .. }) => is_llama,
            Some(RopeScaling::LongRope { short_factor, long_factor, attention_factor, .. }) => {
                self.name == "phi3"
                    || is_llama && short_factor == long_factor && *attention_factor == 1.0
            }
            Some(RopeScaling::Yarn { beta_fast, beta_slow, attention_factor, .. }) => {
                (*beta_fast, *beta_slow, *attention_factor) == (32.0, 1.0, None)
            }
            Some(RopeScaling::Dynamic { .. }) => false,
        };
        let partial = matches!(self.name, "stablelm" | "gptneox" | "phi3");
        scaling && (config.rotary_dim.is_none() || partial)
    }

    /// Whether llama.cpp reads these biases.
    fn writes_biases(&self, biases: Biases) -> bool {
        let of_qkv = Biases { qkv: biases.qkv, ..Biases::default() };
        match self.name {
            "llama" => true,
            "qwen2" | "stablelm" => biases == of_qkv,
            "gpt2" | "gptneox" => biases == Biases { qkv: true, output: true, mlp: true },
            _ => biases == Biases::default(),
        }
    }
}

/// The architecture that a model is written as.
pub(super) fn of(config: &LanguageConfig) -> Option<&'static Architecture> {
    let mut fitting: Vec<&'static Architecture> =
        ARCHITECTURES.iter().filter(|known| known.fits(config)).collect();
    // Its own family's first; biases of queries, keys and values are those of Qwen 2.
    fitting.sort_by_key(|known| {
        (known.family != config.family, (known.name == "qwen2") != config.biases.qkv)
    });
    fitting.first().copied()
}

/// Names of the architectures that are read.
pub fn architectures() -> impl Iterator<Item = &'static str> {
    ARCHITECTURES.iter().map(|architecture| architecture.name)
}

/// The architecture of a name.
pub(super) fn find(path: &Path, name: &str) -> Result<&'static Architecture, ModelError> {
    ARCHITECTURES.iter().find(|known| known.name == name).ok_or_else(|| ModelError::Architecture {
        path: path.to_owned(),
        name: name.to_owned(),
        known: architectures().collect::<Vec<_>>().join(", "),
    })
}
