//! How a model is spread over devices: the parallel sizes, what is sharded, what is recomputed.
//! Checks the arithmetic of a layout; neither its speed nor its memory.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{PlanError, Result};
use crate::model::ModelShape;

/// What the data-parallel ranks share (ZeRO stages, arXiv:1910.02054; FSDP, arXiv:2304.11277).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sharding {
    /// Nothing: every rank holds all.
    None,
    /// Optimizer state (ZeRO-1, distributed optimizer).
    Optimizer,
    /// Also gradients (ZeRO-2).
    Gradients,
    /// Also weights, gathered layer by layer (ZeRO-3, FSDP).
    Full,
}

/// What is recomputed in the backward pass instead of kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recompute {
    /// Nothing.
    None,
    /// The cheap and large part: attention scores, norms, activations (arXiv:2205.05198).
    Selective,
    /// All but the input of each block (arXiv:1604.06174).
    Full,
}

/// Parallel sizes and the choices that go with them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layout {
    /// Tensor-parallel ranks.
    pub tp: usize,
    /// Pipeline stages.
    pub pp: usize,
    /// Model chunks of a stage (interleaving); 1 for none.
    pub vpp: usize,
    /// Data-parallel replicas.
    pub dp: usize,
    /// Context-parallel ranks.
    pub cp: usize,
    /// Expert-parallel ranks, taken from tp × cp × dp.
    pub ep: usize,
    /// What replicas share.
    pub sharding: Sharding,
    /// What is recomputed.
    pub recompute: Recompute,
    /// Sequences of a micro-batch.
    pub micro_batch: usize,
}

/// A layout as far as it was asked for; the rest is open.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AskedLayout {
    /// Tensor-parallel ranks.
    pub tp: Option<usize>,
    /// Pipeline stages.
    pub pp: Option<usize>,
    /// Model chunks of a stage.
    pub vpp: Option<usize>,
    /// Data-parallel replicas.
    pub dp: Option<usize>,
    /// Context-parallel ranks.
    pub cp: Option<usize>,
    /// Expert-parallel ranks.
    pub ep: Option<usize>,
    /// What replicas share.
    pub sharding: Option<Sharding>,
    /// What is recomputed.
    pub recompute: Option<Recompute>,
    /// Sequences of a micro-batch.
    pub micro_batch: Option<usize>,
}

impl AskedLayout {
    /// With ones and nothing shared or recomputed for what is open.
    pub fn filled(&self) -> Layout {
        let one = |size: Option<usize>| size.unwrap_or(1);
        Layout {
            tp: one(self.tp),
            pp: one(self.pp),
            vpp: one(self.vpp),
            dp: one(self.dp),
            cp: one(self.cp),
            ep: one(self.ep),
            sharding: self.sharding.unwrap_or(Sharding::Optimizer),
            recompute: self.recompute.unwrap_or(Recompute::None),
            micro_batch: one(self.micro_batch),
        }
    }

    /// What of a layout was open: name and value, in the words of `--layout`.
    pub fn chosen(&self, layout: &Layout) -> Vec<String> {
        let sizes = [
            ("tp", self.tp, layout.tp),
            ("pp", self.pp, layout.pp),
            ("vpp", self.vpp, layout.vpp),
            ("dp", self.dp, layout.dp),
            ("cp", self.cp, layout.cp),
            ("ep", self.ep, layout.ep),
            ("micro", self.micro_batch, layout.micro_batch),
        ];
        let open = sizes.iter().filter(|(_, asked, _)| asked.is_none());
        let mut all: Vec<String> = open.map(|(name, _, n)| format!("{name}={n}")).collect();
        if self.sharding.is_none() {
            all.push(format!("sharding={}", layout.sharding.name()));
        }
        if self.recompute.is_none() {
            all.push(format!("recompute={}", layout.recompute.name()));
        }
        all
    }
}

impl Sharding {
    /// As `--layout` writes it.
    pub fn name(self) -> &'static str {
        match self {
            Sharding::None => "none",
            Sharding::Optimizer => "optimizer",
            Sharding::Gradients => "gradients",
            Sharding::Full => "full",
        }
    }
}

impl Recompute {
    /// As `--layout` writes it.
    pub fn name(self) -> &'static str {
        match self {
            Recompute::None => "none",
            Recompute::Selective => "selective",
            Recompute::Full => "full",
        }
    }
}

impl Layout {
    /// One device, nothing shared.
    pub fn single() -> Self {
        Layout {
            tp: 1,
            pp: 1,
            vpp: 1,
            dp: 1,
            cp: 1,
            ep: 1,
            sharding: Sharding::None,
            recompute: Recompute::None,
            micro_batch: 1,
        }
    }

    /// Devices it takes: tp · pp · cp · dp.
    pub fn gpus(&self) -> usize {
        self.tp * self.pp * self.cp * self.dp
    }

    /// Replicas of an expert's weights.
    pub fn expert_dp(&self) -> usize {
        (self.tp * self.cp * self.dp / self.ep).max(1)
    }

    /// Micro-batches a replica runs in a step of `global_batch` sequences (at least one).
    pub fn micro_batches(&self, global_batch: usize) -> usize {
        global_batch.div_ceil(self.dp * self.micro_batch).max(1)
    }

    /// Layers of the fullest stage.
    pub fn layers_per_stage(&self, model: &ModelShape) -> f64 {
        let layers = model.layers + model.extra_layers;
        // Embedding and head may take the place of a layer each (arXiv:2407.21783 section 3.3.2):
        // then the stages are even.
        if (layers + 2).is_multiple_of(self.pp) && !layers.is_multiple_of(self.pp) {
            ((layers + 2) / self.pp) as f64
        } else {
            layers.div_ceil(self.pp) as f64
        }
    }

    /// Checks the layout against a model, a cluster and a batch.
    ///
    /// # Errors
    /// Names the rule that is broken and the nearest layout that obeys it.
    pub fn check(&self, model: &ModelShape, gpus: usize, global_batch: usize) -> Result<()> {
        let impossible = |reason: String, nearest: Layout| {
            Err(PlanError::Layout {
                layout: self.to_string(),
                reason,
                nearest: nearest.to_string(),
            })
        };
        let sizes = [self.tp, self.pp, self.vpp, self.dp, self.cp, self.ep, self.micro_batch];
        if sizes.contains(&0) {
            return impossible("every size must be at least 1".to_owned(), self.at_least_one());
        }
        if self.gpus() != gpus {
            let shard = self.tp * self.pp * self.cp;
            let nearest = if shard <= gpus && gpus.is_multiple_of(shard) {
                Layout { dp: gpus / shard, ..*self }
            } else {
                let tp = divisor_near(gpus, self.tp);
                let cp = divisor_near(gpus / tp, self.cp);
                let pp = divisor_near(gpus / tp / cp, self.pp);
                Layout { tp, cp, pp, dp: gpus / (tp * cp * pp), ..*self }
            };
            let reason = format!("tp·pp·cp·dp is {}, not {gpus} GPUs", self.gpus());
            return impossible(reason, nearest);
        }
        if !model.heads.is_multiple_of(self.tp) {
            let reason = format!("tp does not divide the {} heads", model.heads);
            return impossible(reason, self.with_tp(divisor_near(gcd(model.heads, gpus), self.tp)));
        }
        let layers = model.layers + model.extra_layers;
        if self.pp > layers {
            let reason = format!("{} stages for {layers} layers", self.pp);
            let pp = divisor_near(self.gpus() / (self.tp * self.cp), layers);
            return impossible(reason, Layout { pp, dp: gpus / (self.tp * self.cp * pp), ..*self });
        }
        if self.pp * self.vpp > layers + 2 {
            let reason = format!("pp·vpp is {}, more than {layers} layers", self.pp * self.vpp);
            return impossible(reason, Layout { vpp: (layers / self.pp).max(1), ..*self });
        }
        if self.vpp > 1 && self.pp == 1 {
            let reason = "interleaving needs pipeline stages".to_owned();
            return impossible(reason, Layout { vpp: 1, ..*self });
        }
        if self.dp * self.micro_batch > global_batch {
            let reason = format!(
                "dp·micro-batch is {}, more than the {global_batch} sequences of a step",
                self.dp * self.micro_batch
            );
            return impossible(
                reason,
                Layout { micro_batch: (global_batch / self.dp).max(1), ..*self },
            );
        }
        match model.experts {
            None if self.ep > 1 => {
                impossible("a dense model has no experts".to_owned(), Layout { ep: 1, ..*self })
            }
            Some(e) if !e.count.is_multiple_of(self.ep) => {
                let reason = format!("ep does not divide the {} experts", e.count);
                impossible(reason, Layout { ep: divisor_near(e.count, self.ep), ..*self })
            }
            Some(_) if !(self.tp * self.cp * self.dp).is_multiple_of(self.ep) => {
                let ranks = self.tp * self.cp * self.dp;
                let reason = format!("ep does not divide the {ranks} ranks of a stage");
                impossible(reason, Layout { ep: divisor_near(ranks, self.ep), ..*self })
            }
            _ => Ok(()),
        }
    }

    fn at_least_one(self) -> Self {
        let one = |n: usize| n.max(1);
        Layout {
            tp: one(self.tp),
            pp: one(self.pp),
            vpp: one(self.vpp),
            dp: one(self.dp),
            cp: one(self.cp),
            ep: one(self.ep),
            micro_batch: one(self.micro_batch),
            ..self
        }
    }

    fn with_tp(self, tp: usize) -> Self {
        let gpus = self.gpus();
        let pp = divisor_near(gpus / tp, self.pp);
        let cp = divisor_near(gpus / tp / pp, self.cp);
        Layout { tp, pp, cp, dp: gpus / (tp * pp * cp), ..self }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tp {} · pp {}", self.tp, self.pp)?;
        if self.vpp > 1 {
            write!(f, "×{}", self.vpp)?;
        }
        write!(f, " · dp {}", self.dp)?;
        for (name, size) in [("cp", self.cp), ("ep", self.ep)] {
            if size > 1 {
                write!(f, " · {name} {size}")?;
            }
        }
        let sharding = match self.sharding {
            Sharding::None => "nothing sharded",
            Sharding::Optimizer => "optimizer sharded",
            Sharding::Gradients => "optimizer and gradients sharded",
            Sharding::Full => "fully sharded",
        };
        let recompute = match self.recompute {
            Recompute::None => "no recompute",
            Recompute::Selective => "selective recompute",
            Recompute::Full => "full recompute",
        };
        write!(f, " · micro-batch {} · {sharding} · {recompute}", self.micro_batch)
    }
}

/// The divisor of `n` nearest to `wanted`, the smaller of two.
pub(crate) fn divisor_near(n: usize, wanted: usize) -> usize {
    divisors(n).into_iter().min_by_key(|&d| (d.abs_diff(wanted), d)).unwrap_or(1)
}

/// Divisors of `n`, ascending.
pub(crate) fn divisors(n: usize) -> Vec<usize> {
    let mut small: Vec<usize> =
        (1..).take_while(|d| d * d <= n).filter(|d| n.is_multiple_of(*d)).collect();
    let large: Vec<usize> = small.iter().rev().map(|d| n / d).filter(|l| l * l > n).collect();
    small.extend(large);
    small
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Models;

    #[test]
    fn divisors_are_complete() {
        assert_eq!(divisors(36), [1, 2, 3, 4, 6, 9, 12, 18, 36]);
        assert_eq!(divisor_near(36, 8), 9);
        assert_eq!(divisors(1), [1]);
    }

    #[test]
    fn broken_rules_are_named_with_a_way_out() {
        let model = Models::published().find("llama-405b").unwrap().clone();
        let good = Layout { tp: 8, pp: 16, dp: 128, ..Layout::single() };
        assert_eq!(good.check(&model, 16_384, 2048), Ok(()));
        let cases = [
            (Layout { dp: 100, ..good }, "not 16384 GPUs"),
            (Layout { tp: 3, ..good }, "not 16384 GPUs"),
            (Layout { ep: 2, ..good }, "dense"),
            (Layout { vpp: 99, ..good }, "pp·vpp"),
            (Layout { micro_batch: 64, ..good }, "micro-batch"),
            (Layout { tp: 0, ..good }, "at least 1"),
        ];
        for (layout, word) in cases {
            let error = layout.check(&model, 16_384, 2048).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("nearest possible"), "{error}");
        }
    }
}
