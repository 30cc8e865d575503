//! What is no source of posts, recognised by its first bytes: pictures, sound, films, programs, archives of
//! other kinds, and formats that are read from their end and so not from a stream.
//!
//! Words that a text could begin with are not enough: signatures of letters alone are looked at with
//! what surrounds them.

/// What a source is instead of posts, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileSignature {
    pub(super) kind: &'static str,
    pub(super) remedy: &'static str,
}

const GIVE_POSTS: &str = "give a file of posts";
const UNPACK: &str = "unpack it and give the files in it";
const CONVERT: &str = "convert it to UTF-8, for instance with iconv";
const SAVE: &str = "save it to a file and give that: it is read from its end";

/// Signatures at the first byte, from the formats' specifications and the `magic` database of file(1).
const SIGNATURES: &[(&[u8], &str, &str)] = &[
    (b"\x89PNG\r\n\x1a\n", "a PNG picture", GIVE_POSTS),
    (b"\xff\xd8\xff", "a JPEG picture", GIVE_POSTS),
    (b"GIF87a", "a GIF picture", GIVE_POSTS),
    (b"GIF89a", "a GIF picture", GIVE_POSTS),
    (b"II*\0", "a TIFF picture", GIVE_POSTS),
    (b"MM\0*", "a TIFF picture", GIVE_POSTS),
    (b"%PDF-", "a PDF document", GIVE_POSTS),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document", GIVE_POSTS),
    (b"\x7fELF", "a program (ELF)", GIVE_POSTS),
    (b"\xcf\xfa\xed\xfe", "a program (Mach-O)", GIVE_POSTS),
    (b"\xce\xfa\xed\xfe", "a program (Mach-O)", GIVE_POSTS),
    (b"\xca\xfe\xba\xbe", "a program (Java or Mach-O)", GIVE_POSTS),
    (b"\0asm", "a program (WebAssembly)", GIVE_POSTS),
    (b"!<arch>\n", "a library of programs", GIVE_POSTS),
    (b"\x1aE\xdf\xa3", "a film (Matroska or WebM)", GIVE_POSTS),
    (b"OggS\0", "sound or a film (Ogg)", GIVE_POSTS),
    (b"fLaC\0", "sound (FLAC)", GIVE_POSTS),
    (b"SQLite format 3\0", "an SQLite database", "export its table of posts as CSV"),
    (b"\xfd7zXZ\0", "xz data", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    (b"\x04\"M\x18", "lz4 data", UNPACK),
    (b"\x1f\x8b", "gzip data packed twice", UNPACK),
    (b"\x28\xb5\x2f\xfd", "zstd data packed twice", UNPACK),
    (b"PK\x03\x04", "a zip archive in a stream or packed twice", SAVE),
    (b"PK\x05\x06", "an empty zip archive", GIVE_POSTS),
    (b"PAR1", "a Parquet file in a stream or packed", SAVE),
    (b"\xff\xfe\0\0", "text in UTF-32", CONVERT),
    (b"\0\0\xfe\xff", "text in UTF-32", CONVERT),
];

/// What the first bytes of a source say it is, when that is none of what is read.
pub(super) fn foreign(head: &[u8]) -> Option<FileSignature> {
    let found = |kind, remedy| Some(FileSignature { kind, remedy });
    let signed = SIGNATURES.iter().find(|(signature, ..)| head.starts_with(signature));
    if let Some((_, kind, remedy)) = signed {
        return found(kind, remedy);
    }
    let at =
        |place: usize, bytes: &[u8]| head.get(place..).is_some_and(|rest| rest.starts_with(bytes));
    // Words that a text could begin with as well, but not with such bytes after them.
    let nul_by = |bytes: usize| head.iter().take(bytes).any(|&byte| byte == 0);
    if at(0, b"RIFF") && [b"WEBP", b"WAVE", b"AVI "].iter().any(|kind| at(8, *kind)) {
        return found("a picture, sound or a film (RIFF)", GIVE_POSTS);
    }
    if at(4, b"ftyp") && nul_by(4) {
        return found("a film or picture (MP4, HEIF)", GIVE_POSTS);
    }
    if at(0, b"MZ") && nul_by(64) {
        return found("a program (Windows)", GIVE_POSTS);
    }
    if at(0, b"BM") && nul_by(16) {
        return found("a bitmap picture", GIVE_POSTS);
    }
    if at(0, b"ID3") && head.get(3).is_some_and(|&version| version < 16) {
        return found("sound (MP3)", GIVE_POSTS);
    }
    None
}

/// What bytes are that are no text of any kind: a zero byte stands in no text of UTF-8.
pub(super) fn binary(head: &[u8]) -> Option<FileSignature> {
    let binary =
        FileSignature { kind: "binary data", remedy: "give a file of posts, or say --format" };
    head.contains(&0).then_some(binary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_no_signatures() {
        for text in
            ["MZ is a name", "BMW and others", "RIFF and raff, WEBP", "ID3 tags", "PARIS", "", "7z"]
        {
            assert_eq!(foreign(text.as_bytes()), None, "{text}");
        }
        for (head, kind) in [
            (&b"MZ\x90\0\x03\0"[..], "Windows"),
            (b"RIFF\x24\0\0\0WEBPVP8 ", "RIFF"),
            (b"\0\0\0\x18ftypisom", "MP4"),
            (b"ID3\x04\0\0", "MP3"),
            (b"BM\x36\0\0\0\0\0", "bitmap"),
            (b"\x7fELF\x02\x01", "ELF"),
        ] {
            let found = foreign(head).expect("it is recognised");
            assert!(found.kind.contains(kind), "{}", found.kind);
        }
    }
}
