//! How a table is written: what parts its fields, whether they are quoted and how, where lines end, and
//! whether it has a header. Given by options, else found from a sample.
//!
//! **The rule.** Lines end by a line feed where there is one, else by a carriage return. A first line `sep=;`
//! names the separator. Else each separator (comma, semicolon, tab, bar) is tried with each way of quoting
//! on the first 64 KiB. A row is sound when it has as many fields as the first one and quotation marks stand
//! as that way writes them: none after the end of a quoted field, each field closed; and, read without
//! quoting, no field with doubled marks and no column that is always in marks. The separator under which the
//! first row has the name of a text column is preferred, then the largest share of lines in sound rows, then
//! most fields. On a tie marks quote, unless a tab or bar parts fields and marks stand only where no writer
//! needs them. A first row without any usual name that holds a number, a time or a sentence is no header.

use super::record::Part;
use super::timestamp;

/// How fields that hold separators, line ends or quotation marks are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quote {
    /// Fields are never quoted; a quotation mark is a letter.
    None,
    /// In quotation marks, one within by two (RFC 4180).
    Double,
    /// In quotation marks, one within after a backslash.
    Backslash,
}

impl Quote {
    /// Every way with the name the command line uses.
    pub const ALL: [(&'static str, Quote); 3] =
        [("none", Quote::None), ("double", Quote::Double), ("backslash", Quote::Backslash)];

    /// The way of a name.
    pub fn from_name(name: &str) -> Option<Quote> {
        Quote::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, quote)| quote)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Quote::ALL.into_iter().find(|(_, quote)| *quote == self).map_or("", |(name, _)| name)
    }
}

/// What is given of a dialect; what is not is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableOptions {
    /// How fields are quoted.
    pub quote: Option<Quote>,
    /// What parts fields.
    pub delimiter: Option<u8>,
    /// Whether the first row is a row like the others.
    pub no_header: bool,
}

/// The dialect of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    pub(super) quote: Quote,
    pub(super) line_end: u8,
    /// Whether a first line `sep=` comes before the header.
    pub(super) sep_line: bool,
}

/// Separators in order of preference.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// In place of a separator in a table of one column: a control character that parts fields in no text.
pub(super) const NO_DELIMITER: u8 = 0x1f;
/// Lines of an unclosed field at the end of a sample that are a fault; fewer may be cut by the sample.
const OPEN_LINES: usize = 16;

impl Dialect {
    /// The dialect of a sample of a table's start; `whole` when it is all of it. `is_text` says whether a
    /// name is one of a text column.
    pub(super) fn of(
        sample: &[u8],
        whole: bool,
        options: &TableOptions,
        is_text: &dyn Fn(&str) -> bool,
    ) -> Dialect {
        let line_end = if sample.contains(&b'\n') { b'\n' } else { b'\r' };
        let (separator, rest) = match sep_line(sample, line_end) {
            Some((separator, rest)) => (Some(separator), rest),
            None => (None, sample),
        };
        let sep_line = separator.is_some();
        let given = options.delimiter.or(separator);
        let rest = if whole { rest } else { whole_lines(rest, line_end) };
        let quotes = Quote::ALL.map(|(_, quote)| quote);
        let delimiters = given.map_or(DELIMITERS.to_vec(), |given| vec![given]);
        let mut best: Option<(Score, Dialect)> = None;
        for delimiter in delimiters {
            let dialects = quotes
                .into_iter()
                .filter(|quote| options.quote.is_none_or(|given| given == *quote))
                .map(|quote| Dialect { delimiter, quote, line_end, sep_line });
            for dialect in dialects {
                let score = dialect.score(rest, whole, is_text);
                let enough = score.width > 1 || given.is_some();
                if enough && best.as_ref().is_none_or(|(known, _)| score.beats(known)) {
                    best = Some((score, dialect));
                }
            }
        }
        let single = Dialect {
            delimiter: NO_DELIMITER,
            quote: options.quote.unwrap_or(Quote::Double),
            line_end,
            sep_line,
        };
        best.map_or(single, |(_, dialect)| dialect)
    }

    fn score(&self, sample: &[u8], whole: bool, is_text: &dyn Fn(&str) -> bool) -> Score {
        let rows = rows(sample, self);
        let width = rows.first().map_or(0, |row| row.fields.len());
        let has_text =
            rows.first().is_some_and(|row| row.fields.iter().any(|field| is_text(&field.name())));
        let by_column = (self.quote == Quote::None).then(|| always_in_marks(&rows));
        let always = by_column.is_some_and(|columns| columns.contains(&true));
        let (mut sound, mut lines, mut needed, mut idle) = (0, 0, 0, 0);
        let count = rows.len();
        for (number, row) in rows.iter().enumerate() {
            let open = row.fields.last().is_some_and(|field| field.open);
            if open && !whole && number + 1 == count && row.lines <= OPEN_LINES {
                continue;
            }
            let strays = row.fields.iter().any(|field| field.stray);
            let doubled = self.quote == Quote::None
                && row.fields.iter().any(|field| field.marks == Marks::Needed);
            lines += row.lines;
            if row.fields.len() == width && !open && !strays && !doubled && !always {
                sound += row.lines;
            }
            for field in &row.fields {
                needed += usize::from(field.marks == Marks::Needed);
                idle += usize::from(field.marks == Marks::Idle);
            }
        }
        let columns = always_in_marks(&rows);
        let people = needed == 0 && idle > 0 && !columns.contains(&true);
        let preference = match (self.quote, self.delimiter) {
            (Quote::None, b'\t' | b'|') if people => 3,
            (Quote::Double, _) => 2,
            (Quote::None, _) => 1,
            (Quote::Backslash, _) => 0,
        };
        Score { has_text, sound, lines: lines.max(1), width, preference }
    }
}

/// How well a dialect fits a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Score {
    /// Whether the first row names a text column.
    has_text: bool,
    /// Lines in sound rows, of all.
    sound: usize,
    lines: usize,
    /// Fields of the first row.
    width: usize,
    preference: u8,
}

impl Score {
    fn beats(&self, other: &Score) -> bool {
        let share = |score: &Score| score.sound as f64 / score.lines as f64;
        let (own, others) = (share(self), share(other));
        if self.has_text != other.has_text {
            return self.has_text;
        }
        if own != others {
            return own > others;
        }
        // Separators were tried in order of preference: a later one must have more fields.
        (self.width, self.preference) > (other.width, other.preference)
    }
}

/// Quotation marks around a whole field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marks {
    No,
    /// Around a field without separator, line end or mark in it.
    Idle,
    /// Around a field that needs them.
    Needed,
}

/// A field of a sample as it is written.
struct SampleField<'s> {
    raw: &'s [u8],
    marks: Marks,
    /// Something stands after the mark that closes it.
    stray: bool,
    /// Nothing closes it.
    open: bool,
}

impl SampleField<'_> {
    /// The field as a column's name.
    fn name(&self) -> String {
        name_of(self.raw)
    }
}

/// A header's field as a name: without marks and white space, in lower case.
pub(super) fn name_of(field: &[u8]) -> String {
    String::from_utf8_lossy(field).trim().trim_matches('"').trim().to_lowercase()
}

/// A row of a sample.
struct SampleRow<'s> {
    fields: Vec<SampleField<'s>>,
    lines: usize,
}

/// The separator that a line `sep=;` names, and what comes after that line.
fn sep_line(sample: &[u8], line_end: u8) -> Option<(u8, &[u8])> {
    let end = sample.iter().position(|&byte| byte == line_end)?;
    let line = sample[..end].strip_suffix(b"\r").unwrap_or(&sample[..end]);
    let line = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(line);
    match line {
        [s, e, p, b'=', separator] if [s, e, p].map(u8::to_ascii_lowercase) == *b"sep" => {
            Some((*separator, &sample[end + 1..]))
        }
        _ => None,
    }
}

/// Whether a source begins with a line that names its separator.
pub(super) fn has_sep_line(head: &[u8]) -> bool {
    sep_line(head, b'\n').is_some()
}

/// The sample up to its last line end, where there is one.
fn whole_lines(sample: &[u8], line_end: u8) -> &[u8] {
    let end = sample.iter().rposition(|&byte| byte == line_end);
    end.map_or(sample, |end| &sample[..=end])
}

/// The rows of a sample; blank lines are none.
fn rows<'s>(sample: &'s [u8], dialect: &Dialect) -> Vec<SampleRow<'s>> {
    let mut rows = Vec::new();
    let mut at = 0;
    while at < sample.len() {
        if sample[at] == dialect.line_end || sample[at] == b'\r' {
            at += 1;
            continue;
        }
        let mut row = SampleRow { fields: Vec::new(), lines: 1 };
        loop {
            let (field, end, lines) = field(sample, at, dialect);
            row.fields.push(field);
            row.lines += lines;
            at = end + 1;
            if end >= sample.len() || sample[end] == dialect.line_end {
                break;
            }
        }
        rows.push(row);
    }
    rows
}

/// The field at a place, where it ends, and the line ends in it.
fn field<'s>(sample: &'s [u8], start: usize, dialect: &Dialect) -> (SampleField<'s>, usize, usize) {
    let ends = |byte: u8| byte == dialect.delimiter || byte == dialect.line_end;
    let plain_end = |from: usize| {
        sample[from..].iter().position(|&byte| ends(byte)).map_or(sample.len(), |at| from + at)
    };
    let without_return = |end: usize| {
        let raw = &sample[start..end];
        let at_line_end = end == sample.len() || sample[end] == dialect.line_end;
        raw.strip_suffix(b"\r").filter(|_| at_line_end).unwrap_or(raw)
    };
    if dialect.quote == Quote::None || sample.get(start) != Some(&b'"') {
        let end = plain_end(start);
        let raw = without_return(end);
        return (SampleField { raw, marks: marks_of(raw), stray: false, open: false }, end, 0);
    }
    let (mut at, mut lines, mut needed) = (start + 1, 0, false);
    while at < sample.len() {
        let byte = sample[at];
        let next = sample.get(at + 1);
        if dialect.quote == Quote::Backslash && byte == b'\\' {
            needed |= next == Some(&b'"');
            at += 2;
            continue;
        }
        if byte == b'"' {
            if next != Some(&b'"') {
                break;
            }
            needed = true;
            at += 2;
            continue;
        }
        lines += usize::from(byte == dialect.line_end);
        needed |= ends(byte) || byte == b'\r';
        at += 1;
    }
    let open = at >= sample.len();
    let end = if open { sample.len() } else { plain_end(at + 1) };
    let raw = without_return(end);
    let stray = !open && raw.len() > at + 1 - start;
    let marks = if needed { Marks::Needed } else { Marks::Idle };
    (SampleField { raw, marks, stray, open }, end, lines)
}

/// Marks around a field that is read without quoting: needed where those within are doubled or escaped.
fn marks_of(raw: &[u8]) -> Marks {
    let Some(inner) = raw.strip_prefix(b"\"").and_then(|raw| raw.strip_suffix(b"\"")) else {
        return Marks::No;
    };
    let (mut at, mut pairs) = (0, 0);
    while at < inner.len() {
        match (inner[at], inner.get(at + 1)) {
            (b'"', Some(b'"')) | (b'\\', Some(b'"')) => {
                pairs += 1;
                at += 2;
            }
            (b'"', _) => return Marks::No,
            _ => at += 1,
        }
    }
    if pairs > 0 { Marks::Needed } else { Marks::Idle }
}

/// Columns whose fields after the first row are all in marks: two of them, or one and that of the first row.
fn always_in_marks(rows: &[SampleRow<'_>]) -> Vec<bool> {
    let width = rows.first().map_or(0, |row| row.fields.len());
    (0..width)
        .map(|column| {
            let fields = rows.iter().skip(1).filter_map(|row| row.fields.get(column));
            let filled: Vec<_> = fields.filter(|field| !field.raw.is_empty()).collect();
            let first = rows[0].fields[column].marks != Marks::No;
            filled.len() + usize::from(first) > 1
                && filled.iter().all(|field| field.marks != Marks::No)
        })
        .collect()
}

/// Whether text stands after a closing mark in a line, so that its marks do not quote.
pub(super) fn has_stray(line: &[u8], dialect: &Dialect) -> bool {
    rows(line, dialect).iter().flat_map(|row| &row.fields).any(|field| field.stray)
}

/// Whether a first row holds what no header does, and no usual name of any part of a post.
pub(super) fn is_data(names: &[String]) -> bool {
    let usual = |name: &String| {
        Part::ALL.iter().any(|part| part.names().iter().any(|known| known.to_lowercase() == *name))
    };
    let value = |name: &String| {
        let name = name.trim();
        let digits = name.bytes().filter(u8::is_ascii_digit).count();
        let number = digits > 0
            && name.bytes().all(|byte| byte.is_ascii_digit() || b"+-.,:/eE ".contains(&byte));
        let words = name.split_whitespace().count();
        number || words > 6 || name.starts_with('@') || timestamp::parse(name).is_some()
    };
    // Data frames without names number their columns.
    let counted = names.iter().enumerate().all(|(column, name)| *name == column.to_string());
    !counted && !names.iter().any(usual) && names.iter().any(value)
}
