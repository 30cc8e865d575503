//! The choice of scales and weights for a part of a block, the one that brings the least error among
//! some candidates. The candidates, the order of sums and their precision are those of ggml's
//! reference, since each decides on bits.

/// Below this magnitude all weights are zero.
const TINY: f32 = 1e-15;

/// The nearest integer, halves to even.
pub(super) fn nearest(x: f32) -> i32 {
    x.round_ties_even() as i32
}

/// How [`scale_and_offset`] searches.
pub(super) struct Search {
    /// The largest weight.
    pub most: i32,
    /// Levels that the first candidate has more than `most`.
    pub first: f32,
    /// Levels from one candidate to the next.
    pub step: f32,
    /// Number of steps.
    pub steps: u8,
    /// Whether errors count by magnitude, not by square.
    pub by_magnitude: bool,
}

/// Scale and offset, both not negative as a rule, such that scale·q − offset is near the numbers,
/// each counted by its importance; and the weights q.
pub(super) fn scale_and_offset<const N: usize>(
    numbers: &[f32; N],
    importance: &[f32; N],
    search: &Search,
) -> (f32, f32, [u8; N]) {
    let each = || numbers.iter().copied().zip(importance.iter().copied());
    let (mut low, mut high) = (numbers[0], numbers[0]);
    let (mut sum_w, mut sum_x) = (importance[0], importance[0] * numbers[0]);
    for (x, w) in each().skip(1) {
        (low, high) = (low.min(x), high.max(x));
        sum_w += w;
        sum_x += w * x;
    }
    low = low.min(0.0);
    if high == low {
        return (0.0, -low, [0; N]);
    }
    let most = search.most as f32;
    let weights = |levels: f32, low: f32| {
        numbers.map(|x| nearest(levels * (x - low)).clamp(0, search.most) as u8)
    };
    let error = |weights: &[u8; N], scale: f32, low: f32| {
        let mut sum = 0.0;
        for ((x, w), &q) in each().zip(weights) {
            let apart = scale * f32::from(q) + low - x;
            sum += w * if search.by_magnitude { apart.abs() } else { apart * apart };
        }
        sum
    };
    let levels = most / (high - low);
    let mut best = (1.0 / levels, low, weights(levels, low));
    let mut least = error(&best.2, best.0, best.1);
    for step in 0..=search.steps {
        // A candidate starts from the best offset so far.
        let levels = (search.first + search.step * f32::from(step) + most) / (high - best.1);
        let candidate = weights(levels, best.1);
        let (mut sum_q, mut sum_q2, mut sum_xq) = (0.0, 0.0, 0.0);
        for ((x, w), &q) in each().zip(&candidate) {
            let q = f32::from(q);
            sum_q += w * q;
            sum_q2 += w * q * q;
            sum_xq += w * q * x;
        }
        let determinant = sum_w * sum_q2 - sum_q * sum_q;
        if determinant > 0.0 {
            let mut scale = (sum_w * sum_xq - sum_x * sum_q) / determinant;
            let mut offset = (sum_q2 * sum_x - sum_q * sum_xq) / determinant;
            if offset > 0.0 {
                (scale, offset) = (sum_xq / sum_q2, 0.0);
            }
            let found = error(&candidate, scale, offset);
            if found < least {
                (least, best) = (found, (scale, offset, candidate));
            }
        }
    }
    (best.0, -best.1, best.2)
}

/// A scale such that scale·q is near the numbers, squares counted by squares, for weights q in
/// −half..half; and the weights, plus half.
pub(super) fn scale<const N: usize>(numbers: &[f32; N], half: i32) -> (f32, [u8; N]) {
    let extreme = super::extreme(numbers);
    if extreme.abs() < TINY {
        return (0.0, [0; N]);
    }
    let weights = |levels: f32| numbers.map(|x| nearest(levels * x).clamp(-half, half - 1));
    let sums = |weights: &[i32; N]| {
        let (mut sum_xq, mut sum_q2) = (0.0, 0.0);
        for (&x, &q) in numbers.iter().zip(weights) {
            let (w, q) = (x * x, q as f32);
            sum_xq += w * x * q;
            sum_q2 += w * q * q;
        }
        (sum_xq, sum_q2)
    };
    let mut chosen = weights(-(half as f32) / extreme);
    let (sum_xq, sum_q2) = sums(&chosen);
    let mut scale = if sum_q2 == 0.0 { 0.0 } else { sum_xq / sum_q2 };
    let mut best = scale * sum_xq;
    for step in (-9..=9).filter(|&step| step != 0) {
        let candidate = weights(-(half as f32 + 0.1 * step as f32) / extreme);
        let (sum_xq, sum_q2) = sums(&candidate);
        if sum_q2 > 0.0 && sum_xq * sum_xq > best * sum_q2 {
            (chosen, scale) = (candidate, sum_xq / sum_q2);
            best = scale * sum_xq;
        }
    }
    (scale, chosen.map(|q| (q + half) as u8))
}

/// As [`scale`], by changing one weight at a time while that helps.
pub(super) fn scale_stepwise<const N: usize>(numbers: &[f32; N], half: i32) -> (f32, [u8; N]) {
    const ROUNDS: usize = 5;
    let extreme = super::extreme(numbers);
    if extreme.abs() < TINY {
        return (0.0, [0; N]);
    }
    let levels = -(half as f32) / extreme;
    let limit = |q: i32| q.clamp(-half, half - 1);
    let mut weights = numbers.map(|x| limit(nearest(levels * x)));
    let (mut sum_xq, mut sum_q2) = (0.0_f32, 0.0_f32);
    for (&x, &q) in numbers.iter().zip(&weights) {
        let (w, q) = (x * x, q as f32);
        sum_xq += w * x * q;
        sum_q2 += w * q * q;
    }
    for _ in 0..ROUNDS {
        let mut changed = false;
        for (&x, weight) in numbers.iter().zip(&mut weights) {
            let (w, q) = (x * x, *weight as f32);
            let mut without_xq = sum_xq - w * x * q;
            if without_xq <= 0.0 {
                continue;
            }
            let mut without_q2 = sum_q2 - w * q * q;
            let other = limit(nearest(x * without_q2 / without_xq));
            if other == *weight {
                continue;
            }
            without_xq += w * x * other as f32;
            without_q2 += w * other as f32 * other as f32;
            let better = without_xq * without_xq * sum_q2 > sum_xq * sum_xq * without_q2;
            if without_q2 > 0.0 && better {
                (*weight, sum_xq, sum_q2, changed) = (other, without_xq, without_q2, true);
            }
        }
        if !changed {
            break;
        }
    }
    let scale = if sum_q2 > 0.0 { sum_xq / sum_q2 } else { 0.0 };
    (scale, weights.map(|q| (q + half) as u8))
}
