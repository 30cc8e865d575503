//! JSON as Python and Windows write it: with a byte-order mark, and with NaN and Infinity, which the
//! standard does not have and which are read as texts of that name.

use serde_json::Value;

/// The value that bytes describe.
///
/// # Errors
/// What is wrong, with line and column.
pub fn read_json(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match serde_json::from_slice(bytes) {
        Ok(value) => Ok(value),
        Err(error) => match quoted(bytes) {
            Some(standard) => serde_json::from_slice(&standard),
            None => Err(error),
        },
    }
}

/// The same with NaN and Infinity in quotation marks; `None` if there are none outside strings.
fn quoted(bytes: &[u8]) -> Option<Vec<u8>> {
    const WORDS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];
    let mut out = Vec::with_capacity(bytes.len() + 16);
    let (mut at, mut in_string, mut found) = (0, false, false);
    while let Some(&byte) = bytes.get(at) {
        let word = WORDS.into_iter().find(|word| !in_string && bytes[at..].starts_with(word));
        if let Some(word) = word {
            found = true;
            out.push(b'"');
            out.extend(word);
            out.push(b'"');
            at += word.len();
            continue;
        }
        out.push(byte);
        at += 1;
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                out.extend(bytes.get(at));
                at += 1;
            }
            _ => {}
        }
    }
    found.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_python_and_windows_write_is_read() {
        let text = "\u{feff}{\"a\": NaN, \"b\": [-Infinity, 1], \"NaN\\\" Infinity\": \"NaN\"}";
        let expected = json!({"a": "NaN", "b": ["-Infinity", 1], "NaN\" Infinity": "NaN"});
        assert_eq!(read_json(text.as_bytes()).unwrap(), expected);
        assert!(read_json(b"{\"a\": NaN").is_err());
        assert!(read_json(b"{\"a\\").is_err());
        assert!(read_json(b"").is_err());
    }
}
