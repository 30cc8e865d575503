//! Where the bytes of quantised blocks lie in a panel. A block is cut into sections of equal units:
//! scales of two bytes, quads of weights that are neighbours along the sum. Unit by unit, those of
//! all columns of the panel lie side by side, in as many bytes as in rows, so that a vector loads
//! the same unit of neighbouring columns.

use stoa_graph::DType;

/// A run of equal units of a block.
struct Section {
    /// Bytes of a unit.
    unit: usize,
    /// Units of the section.
    count: usize,
    /// Whether the unit is 32 bits, one for each weight, which a panel holds quad by quad: bit g of
    /// byte j belongs to weight j of quad g.
    is_bits: bool,
}

const fn section(unit: usize, count: usize) -> Section {
    Section { unit, count, is_bits: false }
}

const BITS: Section = Section { unit: 4, count: 1, is_bits: true };

/// The sections of a block, in their order in a row.
fn sections(dtype: DType) -> &'static [Section] {
    const Q8_0: &[Section] = &[section(2, 1), section(4, 8)];
    const Q4_0: &[Section] = &[section(2, 1), section(4, 4)];
    const Q4_1: &[Section] = &[section(2, 2), section(4, 4)];
    const Q5_0: &[Section] = &[section(2, 1), BITS, section(4, 4)];
    const Q5_1: &[Section] = &[section(2, 2), BITS, section(4, 4)];
    const Q4K: &[Section] = &[section(2, 2), section(1, 12), section(4, 32)];
    const Q5K: &[Section] = &[section(2, 2), section(1, 12), section(4, 8), section(4, 32)];
    const Q6K: &[Section] = &[section(4, 32), section(4, 16), section(1, 16), section(2, 1)];
    match dtype {
        DType::Q8_0 => Q8_0,
        DType::Q4_0 => Q4_0,
        DType::Q4_1 => Q4_1,
        DType::Q5_0 => Q5_0,
        DType::Q5_1 => Q5_1,
        DType::Q4_K => Q4K,
        DType::Q5_K => Q5K,
        DType::Q6_K => Q6K,
        DType::Q2_K | DType::Q3_K | DType::F32 | DType::BF16 | DType::F16 | DType::I32 => {
            unreachable!("only what `has_panels` names is in panels")
        }
    }
}

/// Copies a unit; bits change their order on the way.
#[inline(always)]
fn copy(section: &Section, from: &[u8], to: &mut [u8], bits: fn(u32) -> u32) {
    let (from, to) = (&from[..section.unit], &mut to[..section.unit]);
    match (section.is_bits, from.first_chunk()) {
        (true, Some(word)) => to.copy_from_slice(&bits(u32::from_le_bytes(*word)).to_le_bytes()),
        _ => to.copy_from_slice(from),
    }
}

/// Bit 4g + j to bit 8j + g.
fn quad_by_quad(bits: u32) -> u32 {
    (0..32).fold(0, |to, i| to | (bits >> i & 1) << (8 * (i % 4) + i / 4))
}

/// The reverse.
fn one_by_one(bits: u32) -> u32 {
    (0..32).fold(0, |to, i| to | (bits >> (8 * (i % 4) + i / 4) & 1) << i)
}

/// Calls `f` with the place of each unit of a block in its row, that in the panel of the same block of
/// all columns, for column `at`, and its section.
#[inline(always)]
fn each_unit(dtype: DType, width: usize, at: usize, mut f: impl FnMut(usize, usize, &Section)) {
    let mut start = 0;
    for section in sections(dtype) {
        let &Section { unit, count, .. } = section;
        for i in 0..count {
            f(start + i * unit, start * width + (i * width + at) * unit, section);
        }
        start += unit * count;
    }
}

fn row_bytes(dtype: DType, cols: usize) -> usize {
    let layout = dtype.block();
    cols / layout.elements * layout.bytes
}

/// Rows of `cols` numbers, at most `width` of them, as a panel; columns without a row are zero.
///
/// # Panics
/// If the panel is shorter than `width` rows, or there are more rows than that.
pub(in super::super) fn to_panel(
    dtype: DType,
    cols: usize,
    width: usize,
    rows: &[u8],
    panel: &mut [u8],
) {
    let (size, length) = (dtype.block().bytes, row_bytes(dtype, cols));
    if length == 0 {
        return;
    }
    assert!(rows.len() <= width * length && panel.len() == width * length, "a panel of rows");
    if rows.len() < panel.len() {
        panel.fill(0);
    }
    for (at, row) in rows.chunks_exact(length).enumerate() {
        for (block, to) in row.chunks_exact(size).zip(panel.chunks_exact_mut(width * size)) {
            each_unit(dtype, width, at, |from, place, section| {
                copy(section, &block[from..], &mut to[place..], quad_by_quad);
            });
        }
    }
}

/// Row `at` of a panel, block after block.
///
/// # Panics
/// If the panel or the row have another length.
pub(in super::super) fn row_of_panel(
    dtype: DType,
    width: usize,
    panel: &[u8],
    at: usize,
    row: &mut [u8],
) {
    let size = dtype.block().bytes;
    assert!(panel.len() == width * row.len() && at < width, "a row of a panel");
    for (block, from) in row.chunks_exact_mut(size).zip(panel.chunks_exact(width * size)) {
        each_unit(dtype, width, at, |to, place, section| {
            copy(section, &from[place..], &mut block[to..], one_by_one);
        });
    }
}
