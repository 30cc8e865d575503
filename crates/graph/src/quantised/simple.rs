//! Blocks of 32 numbers: a binary16 scale, for some an offset, then the weights. Of weights of four
//! bits byte i holds number i in its low half and number 16 + i in its high half; a fifth bit of
//! number i is bit i of four bytes that come before.

use super::{all_finite, extreme, read_f16, write_f16};

/// Elements of a block.
const BLOCK: usize = 32;
const HALF: usize = BLOCK / 2;

/// 1/scale, 0 for a scale of 0.
fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

pub(super) fn write_q8_0(numbers: &[f32], block: &mut [u8]) {
    let extreme = if all_finite(numbers) { extreme(numbers) } else { f32::NAN };
    let scale = extreme.abs() / 127.0;
    let inverse = inverse(scale);
    write_f16(block, 0, scale);
    for (weight, x) in block[2..].iter_mut().zip(numbers) {
        // `round` takes halves away from zero, as roundf does.
        *weight = (x * inverse).round() as i8 as u8;
    }
}

pub(super) fn read_q8_0(block: &[u8], numbers: &mut [f32]) {
    let scale = read_f16(block, 0);
    for (number, &weight) in numbers.iter_mut().zip(&block[2..]) {
        *number = scale * f32::from(weight as i8);
    }
}

/// Scale·(q − 2^(BITS − 1)): Q4_0, Q5_0.
pub(super) fn write_centred<const BITS: u32>(numbers: &[f32], block: &mut [u8]) {
    let centre = f32::from(1_u8 << (BITS - 1));
    let extreme = if all_finite(numbers) { extreme(numbers) } else { f32::NAN };
    // The extreme becomes the one end of −centre..centre that has no other.
    let scale = extreme / -centre;
    let inverse = f64::from(inverse(scale));
    write_f16(block, 0, scale);
    let weight = |x: f32| (f64::from(x) * inverse + f64::from(centre) + 0.5) as u8;
    write_weights::<BITS>(&mut block[2..], |i| weight(numbers[i]));
}

pub(super) fn read_centred<const BITS: u32>(block: &[u8], numbers: &mut [f32]) {
    let scale = read_f16(block, 0);
    let centre = 1 << (BITS - 1);
    let number = |weight: u8| scale * f32::from(weight as i8 - centre);
    read_weights::<BITS>(&block[2..], |i, weight| numbers[i] = number(weight));
}

/// Scale·q + offset: Q4_1, Q5_1.
pub(super) fn write_shifted<const BITS: u32>(numbers: &[f32], block: &mut [u8]) {
    let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
    for &x in numbers {
        (low, high) = (low.min(x), high.max(x));
    }
    if !all_finite(numbers) {
        (low, high) = (f32::NAN, f32::NAN);
    }
    let scale = (high - low) / f32::from((1_u8 << BITS) - 1);
    let inverse = inverse(scale);
    write_f16(block, 0, scale);
    write_f16(block, 2, low);
    let weight = |x: f32| ((x - low) * inverse + 0.5) as u8;
    write_weights::<BITS>(&mut block[4..], |i| weight(numbers[i]));
}

pub(super) fn read_shifted<const BITS: u32>(block: &[u8], numbers: &mut [f32]) {
    let (scale, offset) = (read_f16(block, 0), read_f16(block, 2));
    read_weights::<BITS>(&block[4..], |i, q| numbers[i] = f32::from(q) * scale + offset);
}

/// Weights of four or five bits, cut to the largest there is.
fn write_weights<const BITS: u32>(bytes: &mut [u8], weight: impl Fn(usize) -> u8) {
    let weight = |i| weight(i).min((1 << BITS) - 1);
    let (fifth, low) = bytes.split_at_mut(if BITS == 5 { BLOCK / 8 } else { 0 });
    for (i, byte) in low.iter_mut().enumerate() {
        *byte = (weight(i) & 15) | weight(HALF + i) << 4;
    }
    for (i, byte) in fifth.iter_mut().enumerate() {
        *byte = (0..8).map(|bit| weight(8 * i + bit) >> 4 << bit).sum();
    }
}

fn read_weights<const BITS: u32>(bytes: &[u8], mut take: impl FnMut(usize, u8)) {
    let (fifth, low) = bytes.split_at(if BITS == 5 { BLOCK / 8 } else { 0 });
    let bit = |i: usize| fifth.get(i / 8).map_or(0, |byte| (byte >> (i % 8) & 1) << 4);
    for (i, &pair) in low.iter().enumerate() {
        take(i, pair & 15 | bit(i));
        take(HALF + i, pair >> 4 | bit(HALF + i));
    }
}
