//! Blocks of 256 numbers made of parts of 16 or 32, each with a scale of a few bits, and for some an
//! offset, in units that the block has in binary16. `K` types of ggml.

use super::fitting::{Search, nearest, scale, scale_and_offset, scale_stepwise};
use super::{all_finite, extreme, read_f16, write_f16};

/// Numbers whose bits share bytes where weights have two bits of them: four times 32.
const GROUP: usize = 128;

/// Bits `2·(i / 32)` and up of byte `i mod 32`, for the 128 numbers of a group.
fn two_bits(bytes: &[u8], i: usize) -> u8 {
    bytes[i % 32] >> (2 * (i / 32)) & 3
}

fn set_two_bits(bytes: &mut [u8], i: usize, bits: u8) {
    bytes[i % 32] |= bits << (2 * (i / 32));
}

/// Places of the parts of a block of Q2_K.
mod q2 {
    pub(super) const SCALES: usize = 0;
    pub(super) const WEIGHTS: usize = 16;
    pub(super) const UNIT: usize = 80;
    pub(super) const OFFSET_UNIT: usize = 82;
}

pub(super) fn read_q2(block: &[u8], numbers: &mut [f32]) {
    let (unit, offset_unit) = (read_f16(block, q2::UNIT), read_f16(block, q2::OFFSET_UNIT));
    for (i, number) in numbers.iter_mut().enumerate() {
        let scales = block[q2::SCALES + i / 16];
        let weights = &block[q2::WEIGHTS + i / GROUP * 32..];
        let (scale, offset) = (unit * f32::from(scales & 15), offset_unit * f32::from(scales >> 4));
        *number = scale * f32::from(two_bits(weights, i % GROUP)) - offset;
    }
}

pub(super) fn write_q2(numbers: &[f32], block: &mut [u8]) {
    const SEARCH: Search =
        Search { most: 3, first: -0.5, step: 0.1, steps: 15, by_magnitude: true };
    if !all_finite(numbers) {
        write_f16(block, q2::UNIT, f32::NAN);
        return;
    }
    let (parts, _) = numbers.as_chunks::<16>();
    let fits: Vec<_> =
        parts.iter().map(|part| scale_and_offset(part, &part.map(f32::abs), &SEARCH)).collect();
    let (most_scale, most_offset) = most_of(&fits);
    let in_units = |number: f32, most: f32| {
        if most > 0.0 { nearest(15.0 / most * number) as u8 } else { 0 }
    };
    for (part, (scale, offset, _)) in fits.iter().enumerate() {
        let offset = in_units(*offset, most_offset) << 4;
        block[q2::SCALES + part] = in_units(*scale, most_scale) | offset;
    }
    let unit = write_f16(block, q2::UNIT, most_scale / 15.0);
    let offset_unit = write_f16(block, q2::OFFSET_UNIT, most_offset / 15.0);
    for (part, (numbers, (.., fitted))) in parts.iter().zip(&fits).enumerate() {
        let scales = block[q2::SCALES + part];
        let (scale, offset) = (unit * f32::from(scales & 15), offset_unit * f32::from(scales >> 4));
        let weights = shifted_weights(numbers, fitted, scale, offset, SEARCH.most);
        for (i, weight) in weights.into_iter().enumerate() {
            let i = 16 * part + i;
            set_two_bits(&mut block[q2::WEIGHTS + i / GROUP * 32..], i % GROUP, weight);
        }
    }
}

/// Places of the parts of a block of Q3_K.
mod q3 {
    pub(super) const HIGH: usize = 0;
    pub(super) const WEIGHTS: usize = 32;
    pub(super) const SCALES: usize = 96;
    pub(super) const UNIT: usize = 108;
}

/// The scale of part `part`, of 6 bits around 32: four bits, then two.
fn q3_scale(scales: &[u8], part: usize) -> i8 {
    let low = scales[part % 8] >> (4 * (part / 8)) & 15;
    let high = scales[8 + part % 4] >> (2 * (part / 4)) & 3;
    (low | high << 4) as i8 - 32
}

pub(super) fn read_q3(block: &[u8], numbers: &mut [f32]) {
    let unit = read_f16(block, q3::UNIT);
    for (i, number) in numbers.iter_mut().enumerate() {
        let scale = unit * f32::from(q3_scale(&block[q3::SCALES..], i / 16));
        let low = two_bits(&block[q3::WEIGHTS + i / GROUP * 32..], i % GROUP);
        let high = block[q3::HIGH + i % 32] >> (i / 32) & 1;
        *number = scale * f32::from((low | high << 2) as i8 - 4);
    }
}

pub(super) fn write_q3(numbers: &[f32], block: &mut [u8]) {
    const HALF: i32 = 4;
    if !all_finite(numbers) {
        write_f16(block, q3::UNIT, f32::NAN);
        return;
    }
    let (parts, _) = numbers.as_chunks::<16>();
    let fits: Vec<_> = parts.iter().map(|part| scale_stepwise(part, HALF)).collect();
    let most = extreme(&fits.iter().map(|fit| fit.0).collect::<Vec<_>>());
    let levels = if most == 0.0 { 0.0 } else { -32.0 / most };
    for (part, (scale, _)) in fits.iter().enumerate() {
        // A block without any scale has scales of zero bits, which its unit of zero makes none.
        let scale =
            if most == 0.0 { 0 } else { (nearest(levels * scale).clamp(-32, 31) + 32) as u8 };
        block[q3::SCALES + part % 8] |= (scale & 15) << (4 * (part / 8));
        block[q3::SCALES + 8 + part % 4] |= scale >> 4 << (2 * (part / 4));
    }
    let unit = write_f16(block, q3::UNIT, if most == 0.0 { 0.0 } else { 1.0 / levels });
    for (part, (numbers, (_, fitted))) in parts.iter().zip(&fits).enumerate() {
        let scale = unit * f32::from(q3_scale(&block[q3::SCALES..], part));
        let weights = centred_weights(numbers, fitted, scale, HALF);
        for (i, weight) in weights.into_iter().enumerate() {
            let i = 16 * part + i;
            block[q3::HIGH + i % 32] |= weight >> 2 << (i / 32);
            set_two_bits(&mut block[q3::WEIGHTS + i / GROUP * 32..], i % GROUP, weight & 3);
        }
    }
}

/// Places of the parts of a block of Q4_K and Q5_K; the weights come after the fifth bits, if any.
mod q4 {
    pub(super) const UNIT: usize = 0;
    pub(super) const OFFSET_UNIT: usize = 2;
    pub(super) const SCALES: usize = 4;
    pub(super) const FIFTH: usize = 16;
    pub(super) const fn weights(bits: u32) -> usize {
        if bits == 5 { FIFTH + 32 } else { FIFTH }
    }
}

/// Scale and offset of part `part`, of 6 bits each: those of parts 0..4 lie in the low bits of 8
/// bytes, of the others four bits lie in 4 bytes more and two in the high bits of the first.
fn q4_scales(scales: &[u8], part: usize) -> (u8, u8) {
    if part < 4 {
        return (scales[part] & 63, scales[part + 4] & 63);
    }
    let low = scales[part + 4];
    (low & 15 | scales[part - 4] >> 6 << 4, low >> 4 | scales[part] >> 6 << 4)
}

pub(super) fn read_q4_or_5<const BITS: u32>(block: &[u8], numbers: &mut [f32]) {
    let (unit, offset_unit) = (read_f16(block, q4::UNIT), read_f16(block, q4::OFFSET_UNIT));
    let (parts, _) = numbers.as_chunks_mut::<32>();
    for (part, numbers) in parts.iter_mut().enumerate() {
        let (scale, offset) = q4_scales(&block[q4::SCALES..], part);
        let (scale, offset) = (unit * f32::from(scale), offset_unit * f32::from(offset));
        let low = &block[q4::weights(BITS) + part / 2 * 32..];
        for (i, number) in numbers.iter_mut().enumerate() {
            let low = low[i] >> (4 * (part % 2)) & 15;
            let high = if BITS == 5 { (block[q4::FIFTH + i] >> part & 1) << 4 } else { 0 };
            *number = scale * f32::from(low | high) - offset;
        }
    }
}

pub(super) fn write_q4_or_5<const BITS: u32>(numbers: &[f32], block: &mut [u8]) {
    let search = if BITS == 4 {
        Search { most: 15, first: -1.0, step: 0.1, steps: 20, by_magnitude: false }
    } else {
        Search { most: 31, first: -0.5, step: 0.1, steps: 15, by_magnitude: false }
    };
    if !all_finite(numbers) {
        write_f16(block, q4::UNIT, f32::NAN);
        return;
    }
    let (parts, _) = numbers.as_chunks::<32>();
    let fit = |part: &[f32; 32]| {
        let mean = part.iter().fold(0.0, |sum, x| sum + x * x) / 32.0;
        scale_and_offset(part, &part.map(|x| mean.sqrt() + x.abs()), &search)
    };
    let fits: Vec<_> = parts.iter().map(fit).collect();
    let (most_scale, most_offset) = most_of(&fits);
    let in_units = |number: f32, most: f32| {
        let levels = if most > 0.0 { 63.0 / most } else { 0.0 };
        // A negative one becomes the largest, as the cast of C has it.
        (nearest(levels * number) as u8).min(63)
    };
    let scales = &mut block[q4::SCALES..q4::FIFTH];
    for (part, (scale, offset, _)) in fits.iter().enumerate() {
        let (scale, offset) = (in_units(*scale, most_scale), in_units(*offset, most_offset));
        if part < 4 {
            (scales[part], scales[part + 4]) = (scale, offset);
        } else {
            scales[part + 4] = scale & 15 | (offset & 15) << 4;
            scales[part - 4] |= scale >> 4 << 6;
            scales[part] |= offset >> 4 << 6;
        }
    }
    let unit = write_f16(block, q4::UNIT, most_scale / 63.0);
    let offset_unit = write_f16(block, q4::OFFSET_UNIT, most_offset / 63.0);
    for (part, (numbers, (.., fitted))) in parts.iter().zip(&fits).enumerate() {
        let (scale, offset) = q4_scales(&block[q4::SCALES..], part);
        let (scale, offset) = (unit * f32::from(scale), offset_unit * f32::from(offset));
        let weights = shifted_weights(numbers, fitted, scale, offset, search.most);
        for (i, weight) in weights.into_iter().enumerate() {
            block[q4::weights(BITS) + part / 2 * 32 + i] |= (weight & 15) << (4 * (part % 2));
            if BITS == 5 {
                block[q4::FIFTH + i] |= weight >> 4 << part;
            }
        }
    }
}

/// Places of the parts of a block of Q6_K.
mod q6 {
    pub(super) const LOW: usize = 0;
    pub(super) const HIGH: usize = 128;
    pub(super) const SCALES: usize = 192;
    pub(super) const UNIT: usize = 208;
}

pub(super) fn read_q6(block: &[u8], numbers: &mut [f32]) {
    let unit = read_f16(block, q6::UNIT);
    for (i, number) in numbers.iter_mut().enumerate() {
        let scale = unit * f32::from(block[q6::SCALES + i / 16] as i8);
        let (group, at) = (i / GROUP, i % GROUP);
        let low = block[q6::LOW + group * 64 + at % 64] >> (4 * (at / 64)) & 15;
        let high = two_bits(&block[q6::HIGH + group * 32..], at);
        *number = scale * f32::from((low | high << 4) as i8 - 32);
    }
}

pub(super) fn write_q6(numbers: &[f32], block: &mut [u8]) {
    const HALF: i32 = 32;
    if !all_finite(numbers) {
        write_f16(block, q6::UNIT, f32::NAN);
        return;
    }
    let (parts, _) = numbers.as_chunks::<16>();
    let fits: Vec<_> = parts.iter().map(|part| scale(part, HALF)).collect();
    let most = extreme(&fits.iter().map(|fit| fit.0).collect::<Vec<_>>());
    if most == 0.0 {
        return;
    }
    let levels = -128.0 / most;
    let unit = write_f16(block, q6::UNIT, 1.0 / levels);
    for (part, (numbers, (scale, fitted))) in parts.iter().zip(&fits).enumerate() {
        let scale = nearest(levels * scale).min(127) as i8;
        block[q6::SCALES + part] = scale as u8;
        let weights = centred_weights(numbers, fitted, unit * f32::from(scale), HALF);
        for (i, weight) in weights.into_iter().enumerate() {
            let (group, at) = ((16 * part + i) / GROUP, (16 * part + i) % GROUP);
            block[q6::LOW + group * 64 + at % 64] |= (weight & 15) << (4 * (at / 64));
            set_two_bits(&mut block[q6::HIGH + group * 32..], at, weight >> 4);
        }
    }
}

/// The largest scale and the largest offset, at least zero.
fn most_of<W>(fits: &[(f32, f32, W)]) -> (f32, f32) {
    fits.iter().fold((0.0, 0.0), |(scale, offset), fit| (scale.max(fit.0), offset.max(fit.1)))
}

/// Weights such that scale·q − offset is nearest to the numbers; those that were fitted where the
/// scale became zero.
fn shifted_weights<const N: usize>(
    numbers: &[f32; N],
    fitted: &[u8; N],
    scale: f32,
    offset: f32,
    most: i32,
) -> [u8; N] {
    if scale == 0.0 {
        return *fitted;
    }
    numbers.map(|x| nearest((x + offset) / scale).clamp(0, most) as u8)
}

/// Weights such that scale·(q − half) is nearest to the numbers; those that were fitted where the
/// scale became zero.
fn centred_weights<const N: usize>(
    numbers: &[f32; N],
    fitted: &[u8; N],
    scale: f32,
    half: i32,
) -> [u8; N] {
    if scale == 0.0 {
        return *fitted;
    }
    numbers.map(|x| (nearest(x / scale).clamp(-half, half - 1) + half) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_of_every_value_read_as_they_were_written() {
        for value in 0..64_u8 {
            let numbers: Vec<f32> = (0..256).map(|i| (i % 16) as f32 * f32::from(value)).collect();
            let mut block = [0; 144];
            write_q4_or_5::<4>(&numbers, &mut block);
            let mut found = [0.0; 256];
            read_q4_or_5::<4>(&block, &mut found);
            for (x, y) in numbers.iter().zip(found) {
                assert!((x - y).abs() <= 0.01 * f32::from(value), "{x} became {y}");
            }
        }
    }
}
