//! The byte alphabet of GPT-2: one printable character for each of the 256 bytes.
//!
//! `tokenizer.json` spells token bytes in it. Printable Latin-1 stands for itself; the other
//! bytes take U+0100 onwards in order.

/// Whether a byte stands for itself.
const fn is_printable(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff)
}

/// The character of each byte.
const CHARACTERS: [char; 256] = {
    let mut characters = ['\0'; 256];
    let mut shifted = 0;
    let mut byte = 0;
    while byte < 256 {
        characters[byte] = if is_printable(byte as u8) {
            byte as u8 as char
        } else {
            shifted += 1;
            match char::from_u32(0xff + shifted) {
                Some(character) => character,
                None => unreachable!(),
            }
        };
        byte += 1;
    }
    characters
};

/// One more than the last code point in use.
const CODES: usize = 0x144;

/// The byte of each code point, or -1.
const BYTES: [i16; CODES] = {
    let mut bytes = [-1; CODES];
    let mut byte = 0;
    while byte < 256 {
        bytes[CHARACTERS[byte] as usize] = byte as i16;
        byte += 1;
    }
    bytes
};

/// Spells bytes in the alphabet.
pub(crate) fn spell(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| CHARACTERS[byte as usize]).collect()
}

/// The bytes that a word of the alphabet spells; nothing if a character is outside it.
pub(crate) fn unspell(word: &str) -> Option<Vec<u8>> {
    let byte = |character| BYTES.get(character as usize).and_then(|&byte| u8::try_from(byte).ok());
    word.chars().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_printable_character() {
        let all: Vec<u8> = (0..=255).collect();
        let word = spell(&all);
        assert_eq!(unspell(&word), Some(all));
        assert!(
            word.chars().all(|character| !character.is_whitespace() && !character.is_control())
        );
        assert_eq!(spell(b" hi\n"), "\u{120}hi\u{10a}");
        assert_eq!(unspell("▁hi"), None);
    }
}
