//! The fitted constants: what share of a specification real runs attain. Few, each with the
//! physical bounds it may not leave and the value expected before any run was seen.
//! Finding them is the work of [`super::fit()`].

use serde::{Deserialize, Serialize};

macro_rules! constants {
    ($($(#[doc = $doc:literal])+ $name:ident: $prior:literal in $low:literal..$high:literal,)+) => {
        /// Constants of the cost model.
        #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Constants {
            $($(#[doc = $doc])+ pub $name: f64,)+
        }

        /// Every constant in order: name, meaning, bounds, prior.
        pub const CONSTANTS: &[Constant] = &[
            $(Constant {
                name: stringify!($name),
                meaning: concat!($($doc),+),
                low: $low,
                high: $high,
                prior: $prior,
            },)+
        ];

        impl Constants {
            /// What is expected before any run was seen.
            pub const PRIOR: Constants = Constants { $($name: $prior,)+ };

            /// In the order of [`CONSTANTS`].
            pub fn to_vec(&self) -> Vec<f64> {
                vec![$(self.$name),+]
            }

            /// From the order of [`CONSTANTS`].
            ///
            /// # Panics
            /// When there are fewer values than constants.
            pub fn from_slice(values: &[f64]) -> Self {
                let mut values = values.iter().copied();
                let mut next = || values.next().expect("one value for each constant");
                Constants { $($name: next(),)+ }
            }
        }
    };
}

/// A constant's description.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Constant {
    /// Field of [`Constants`].
    pub name: &'static str,
    /// What it is.
    pub meaning: &'static str,
    /// Least value that makes physical sense.
    pub low: f64,
    /// Greatest.
    pub high: f64,
    /// Expected before fitting.
    pub prior: f64,
}

constants! {
    /// Share of the measured 16-bit product rate that products inside training attain.
    gemm_bf16: 0.88 in 0.6..1.0,
    /// Share of the 8-bit data-sheet rate that products attain, casts apart.
    gemm_fp8: 0.60 in 0.35..0.85,
    /// Share of the 4-bit data-sheet rate that products attain, casts apart.
    gemm_fp4: 0.50 in 0.25..0.80,
    /// Share of the 16-bit data-sheet rate of fused attention on Ampere and older.
    attention_ampere: 0.55 in 0.35..0.75,
    /// The same on Hopper, of kernels carried over from Ampere.
    attention_hopper: 0.33 in 0.2..0.5,
    /// The same on Blackwell and what is not named.
    attention_blackwell: 0.50 in 0.25..0.80,
    /// Share of memory bandwidth that pointwise kernels attain.
    pointwise: 0.75 in 0.45..0.95,
    /// Passes over memory of unfused pointwise work, as a multiple of the fused ones.
    unfused: 2.0 in 1.0..4.0,
    /// Share of the fast link's rate that collectives attain.
    nvlink: 0.70 in 0.4..0.95,
    /// Share of the network's rate that collectives attain inside training.
    network: 0.65 in 0.3..0.95,
    /// Share of tensor-parallel exchange hidden by programs that overlap it.
    tensor_hidden: 0.60 in 0.0..0.95,
    /// Share of data-parallel exchange hidden by programs that overlap it, room permitting.
    data_hidden: 0.80 in 0.3..1.0,
    /// Share of exchange among experts over the fast link that is hidden.
    expert_hidden: 0.40 in 0.0..0.95,
    /// Share of the network's rate that exchange among experts attains: many small uneven messages.
    all_to_all: 0.50 in 0.15..0.9,
    /// Share of the product rate that the small products of experts attain.
    grouped: 0.80 in 0.4..1.0,
    /// Seconds lost to the network at each step of a ring, in microseconds.
    hop_us: 4.0 in 0.5..15.0,
    /// Idle microseconds between two kernels.
    gap_us: 1.5 in 0.0..6.0,
    /// Slowdown by waiting for the slowest, for each doubling of the number of machines.
    straggling: 0.006 in 0.0..0.03,
    /// Seconds of each step outside it all: data loading, logging, synchronisation.
    step_overhead: 0.03 in 0.0..0.25,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priors_lie_within_their_bounds_and_order_is_kept() {
        for constant in CONSTANTS {
            assert!(
                constant.low < constant.prior && constant.prior < constant.high,
                "{constant:?}"
            );
        }
        let values: Vec<f64> = (0..CONSTANTS.len()).map(|i| i as f64).collect();
        assert_eq!(Constants::from_slice(&values).to_vec(), values);
    }
}
