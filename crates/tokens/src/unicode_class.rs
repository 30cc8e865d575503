//! Character classes of the pre-tokenisation patterns, as one byte of flags a character.
//!
//! ASCII comes from a constant table; the rest from a two-level table that is filled on first
//! use from the Unicode general categories. Does not normalise or fold case.

use std::sync::LazyLock;

use unicode_general_category::{GeneralCategory, get_general_category};

/// `\p{L}`: a letter.
pub(crate) const LETTER: u8 = 1;
/// `\p{N}`: a number.
pub(crate) const NUMBER: u8 = 2;
/// `\s`: the White_Space property.
pub(crate) const SPACE: u8 = 4;
/// `[\r\n]`; such a character is also `SPACE`.
pub(crate) const NEWLINE: u8 = 8;
/// `\p{M}`: a combining mark.
pub(crate) const MARK: u8 = 16;
/// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`: what may begin a capitalised word.
pub(crate) const UPPER: u8 = 32;
/// `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`: what may continue a word.
pub(crate) const LOWER: u8 = 64;

/// Flags of the 128 ASCII characters.
const ASCII: [u8; 128] = {
    let mut flags = [0; 128];
    let mut byte = 0;
    while byte < 128 {
        let character = byte as u8;
        if character.is_ascii_uppercase() {
            flags[byte] = LETTER | UPPER;
        } else if character.is_ascii_lowercase() {
            flags[byte] = LETTER | LOWER;
        } else if character.is_ascii_digit() {
            flags[byte] = NUMBER;
        } else if character == b'\n' || character == b'\r' {
            flags[byte] = SPACE | NEWLINE;
        } else if matches!(character, b' ' | b'\t' | 0x0b | 0x0c) {
            flags[byte] = SPACE;
        }
        byte += 1;
    }
    flags
};

/// Code points in one block of the two-level table.
const BLOCK: usize = 256;
/// Blocks in all of Unicode.
const BLOCKS: usize = 0x11_0000 / BLOCK;

/// Two-level table: distinct blocks of flags, and which block each range of 256 uses.
struct ClassTable {
    block_of: Vec<u16>,
    flags: Vec<u8>,
}

static CLASSES: LazyLock<ClassTable> = LazyLock::new(|| {
    let mut table = ClassTable { block_of: Vec::with_capacity(BLOCKS), flags: Vec::new() };
    let mut block = [0; BLOCK];
    for start in (0..0x11_0000_u32).step_by(BLOCK) {
        block.fill(0);
        // Only these planes hold letters, numbers, marks or spaces; asking for the others too
        // would take most of the time.
        if start < 0x4_0000 || start >> 16 == 0xe {
            for (slot, code) in block.iter_mut().zip(start..) {
                *slot = char::from_u32(code).map_or(0, flags_of);
            }
        }
        let known = table.flags.chunks_exact(BLOCK).position(|earlier| earlier == block);
        let index = known.unwrap_or_else(|| {
            table.flags.extend_from_slice(&block);
            table.flags.len() / BLOCK - 1
        });
        table.block_of.push(index as u16);
    }
    table
});

/// Flags of any character, computed from its general category.
fn flags_of(character: char) -> u8 {
    use GeneralCategory as G;
    let category = match get_general_category(character) {
        G::UppercaseLetter | G::TitlecaseLetter => LETTER | UPPER,
        G::LowercaseLetter => LETTER | LOWER,
        G::ModifierLetter | G::OtherLetter => LETTER | UPPER | LOWER,
        G::NonspacingMark | G::SpacingMark | G::EnclosingMark => MARK | UPPER | LOWER,
        G::DecimalNumber | G::LetterNumber | G::OtherNumber => NUMBER,
        _ => 0,
    };
    let space = if character.is_whitespace() { SPACE } else { 0 };
    let newline = if matches!(character, '\r' | '\n') { NEWLINE } else { 0 };
    category | space | newline
}

/// Flags and byte length of the character of `text` that starts at `at`, which must be a
/// character boundary before the end.
#[inline(always)]
pub(crate) fn class_at(text: &[u8], at: usize) -> (u8, usize) {
    let lead = text[at];
    if lead < 0x80 { (ASCII[lead as usize], 1) } else { wide_class_at(text, at) }
}

/// [`class_at`] for a character of two to four bytes.
#[inline(never)]
fn wide_class_at(text: &[u8], at: usize) -> (u8, usize) {
    let continuation = |offset: usize| u32::from(text[at + offset]) & 0x3f;
    let lead = u32::from(text[at]);
    let (code, length) = if lead < 0xe0 {
        ((lead & 0x1f) << 6 | continuation(1), 2)
    } else if lead < 0xf0 {
        ((lead & 0x0f) << 12 | continuation(1) << 6 | continuation(2), 3)
    } else {
        let high = (lead & 0x07) << 18 | continuation(1) << 12;
        (high | continuation(2) << 6 | continuation(3), 4)
    };
    let code = code as usize;
    let block = CLASSES.block_of[code / BLOCK] as usize;
    (CLASSES.flags[block * BLOCK + code % BLOCK], length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_agrees_with_the_categories_for_every_character() {
        for code in 0..=0x10_ffff {
            let Some(character) = char::from_u32(code) else { continue };
            let mut buffer = [0; 4];
            let text = character.encode_utf8(&mut buffer).as_bytes();
            let expected = (flags_of(character), text.len());
            assert_eq!(class_at(text, 0), expected, "U+{code:04X}");
        }
    }
}
