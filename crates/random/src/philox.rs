//! Philox4x32-10: random numbers as a pure function of (seed, position), so that a sequence draws
//! the same numbers whatever else runs at the same time. No state. (Salmon et al., "Parallel random
//! numbers: as easy as 1, 2, 3", SC'11, §4.3.)

/// Multipliers of the two lanes (ibid., table 2).
const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// Added to the key each round: the golden ratio and √3 − 1 as 32-bit fractions (ibid.).
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
/// Rounds: ten leave a safety margin over the seven that pass BigCrush (ibid.).
const ROUNDS: usize = 10;

/// The block cipher: four random words for each (counter, key).
pub fn philox4x32(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..ROUNDS {
        if round > 0 {
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        let (high0, low0) = multiply(MULTIPLIERS[0], counter[0]);
        let (high1, low1) = multiply(MULTIPLIERS[1], counter[2]);
        counter = [high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0];
    }
    counter
}

/// A number in [0, 1) with 53 random bits: the draw at `position` of the stream `seed`.
pub fn uniform(seed: u64, position: u64) -> f64 {
    let words = philox4x32(
        [position as u32, (position >> 32) as u32, 0, 0],
        [seed as u32, (seed >> 32) as u32],
    );
    let bits = u64::from(words[0]) << 32 | u64::from(words[1]);
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// Upper and lower half of a product.
fn multiply(a: u32, b: u32) -> (u32, u32) {
    let product = u64::from(a) * u64::from(b);
    ((product >> 32) as u32, product as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers published with the paper's Random123 library (`kat_vectors`).
    #[test]
    fn published_vectors() {
        let cases = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([!0; 4], [!0; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, expected) in cases {
            assert_eq!(philox4x32(counter, key), expected);
        }
    }

    #[test]
    fn uniform_is_uniform_over_positions_and_over_seeds() {
        // 64 cells, 64 000 draws: χ² has 63 degrees of freedom; 103.4 is its 99.9 % quantile.
        for draw in [|i| uniform(7, i), |i| uniform(i, 7)] as [fn(u64) -> f64; 2] {
            let mut cells = [0u32; 64];
            for i in 0..64_000 {
                cells[(draw(i) * 64.0) as usize] += 1;
            }
            let chi_square: f64 =
                cells.iter().map(|&n| (f64::from(n) - 1000.0).powi(2) / 1000.0).sum();
            assert!(chi_square < 103.4, "{chi_square}");
        }
    }
}
