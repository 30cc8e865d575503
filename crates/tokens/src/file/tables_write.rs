//! A tokenizer as the tables of a GGUF file. What is written is read again by [`Tokenizer::from_tables`]
//! and compared part by part: what would change the ids of ordinary text is refused by the name of the
//! part, what changes those of some texts is noted.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::pre_names::PreName;
use super::tables::{TokenTables, kind, of_spaces};
use crate::error::excerpt;
use crate::merge::Merge;
use crate::pipeline::{
    Alphabet, Cutting, Matcher, Normalizer, Pipeline, PreTokenizer, Prepend, byte_of,
};
use crate::{TokenId, Tokenizer, TokensError};

/// A tokenizer as tables.
#[derive(Clone, Debug)]
pub struct WrittenTables {
    /// The tables.
    pub tables: TokenTables,
    /// What they have no place for, in a few words each: texts that it touches get other ids, or decode
    /// to other text.
    pub notes: Vec<String>,
}

/// What the tables say of the pipeline.
#[derive(Clone, Copy)]
enum Form {
    /// Merges, cut as a name says.
    Named(&'static PreName),
    /// Scores; ▁ for spaces, and before text.
    Spaces { prefix: bool },
}

/// The sign for spaces.
const SPACE: char = '▁';

impl Tokenizer {
    /// The tables of a model with an embedding of so many rows: one entry for each, those without a
    /// token marked as unused.
    ///
    /// # Errors
    /// [`TokensError::NoTables`] for a part that no tables describe.
    pub fn to_tables(&self, rows: usize) -> Result<WrittenTables, TokensError> {
        let mut refused = None;
        for (form, note) in self.forms()? {
            let tables = self.tables_of(form, rows);
            match self.differences(&Tokenizer::from_tables(&tables)?, form, rows) {
                Ok(mut notes) => {
                    notes.extend(note);
                    return Ok(WrittenTables { tables, notes });
                }
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.unwrap_or_else(|| {
            let (field, value) = match self.settings.pre_tokenizer.is_null() {
                true => ("normalizer", &self.settings.normalizer),
                false => ("pre_tokenizer", &self.settings.pre_tokenizer),
            };
            no_tables(field, value.to_string())
        }))
    }

    /// The forms that may describe the pipeline, best first, with what they change.
    fn forms(&self) -> Result<Vec<(Form, Option<String>)>, TokensError> {
        let mut forms = Vec::new();
        let own = &self.pipeline;
        for name in PreName::all() {
            let pipeline = Pipeline::compile(&name.settings(false))?;
            let cuts = (pipeline.alphabet, &pipeline.cutting) == (own.alphabet, &own.cutting);
            if cuts && (name.in_bytes() || pipeline.normalizers == own.normalizers) {
                forms.push((Form::Named(name), None));
            }
        }
        let ignores = self.settings.model.ignore_merges;
        forms.sort_by_key(|(form, _)| match form {
            Form::Named(name) => name.ignore_merges != ignores,
            Form::Spaces { .. } => false,
        });
        if own.alphabet == Alphabet::Characters && !own.spells_bytes {
            forms.extend(self.spaces()?);
        }
        Ok(forms)
    }

    /// ▁ for spaces, where normalizers or the first step of cutting put it, and nothing is cut.
    fn spaces(&self) -> Result<Option<(Form, Option<String>)>, TokensError> {
        let own = &self.pipeline;
        for prefix in [true, false] {
            if Pipeline::compile(&of_spaces(prefix))?.normalizers == own.normalizers {
                let whole = match &own.cutting {
                    Cutting::Machine { .. } => false,
                    // No spaces are left to cut at.
                    Cutting::Steps(steps) => steps.iter().all(|step| {
                        matches!(step, PreTokenizer::Split { what: Matcher::Text(text), invert: false, .. } if text == " ")
                    }),
                };
                return Ok(whole.then_some((Form::Spaces { prefix }, None)));
            }
        }
        let Cutting::Steps(steps) = &own.cutting else { return Ok(None) };
        let [PreTokenizer::Metaspace { replacement: SPACE, prepend, split: false }] =
            steps.as_slice()
        else {
            return Ok(None);
        };
        let note = |what: &str| {
            Some(format!(
                "pre_tokenizer Metaspace puts ▁ {what}, GGUF files before all text and after every \
                 special token"
            ))
        };
        let (prefix, note) = match prepend {
            Prepend::Never => (false, None),
            Prepend::First => (true, note("before a text that begins with none")),
            Prepend::Always => (true, note("before text that begins with none")),
        };
        let form = (Form::Spaces { prefix }, note);
        Ok(own.normalizers.is_empty().then_some(form))
    }

    fn tables_of(&self, form: Form, rows: usize) -> TokenTables {
        let spaces = matches!(form, Form::Spaces { .. });
        let mut taken: HashSet<String> = HashSet::new();
        let mut entries: Vec<Option<(String, u32)>> = Vec::with_capacity(rows);
        for id in 0..rows as u32 {
            let entry = self.entry(id, form);
            taken.extend(entry.iter().map(|(text, _)| text.clone()));
            entries.push(entry);
        }
        let unused = |(id, entry): (usize, Option<(String, u32)>)| {
            entry.unwrap_or_else(|| {
                let mut named = (0..).map(|n| format!("[PAD{}{id}]", "_".repeat(n)));
                let free = named.find(|name| !taken.contains(name));
                (free.unwrap_or_default(), kind::UNUSED)
            })
        };
        let (tokens, token_types) = entries.into_iter().enumerate().map(unused).unzip();
        let around = &self.pipeline.around;
        let first = |ids: &[TokenId]| ids.first().map(|id| id.0);
        TokenTables {
            model: match form {
                Form::Spaces { .. } => "llama",
                Form::Named(name) if name.in_bytes() => "gpt2",
                Form::Named(name) => name.name(),
            }
            .to_owned(),
            pre: match form {
                Form::Spaces { .. } => None,
                Form::Named(name) => Some(name.name().to_owned()),
            },
            tokens,
            token_types,
            scores: if spaces { self.scores(rows) } else { Vec::new() },
            merges: if spaces { Vec::new() } else { self.merge_texts(rows) },
            bos: first(&around.prefix),
            eos: first(&around.suffix),
            unknown: self.symbols.unknown().filter(|&id| (id as usize) < rows),
            add_bos: Some(!around.prefix.is_empty()),
            add_eos: Some(!around.suffix.is_empty()),
            add_space_prefix: match form {
                Form::Spaces { prefix } => Some(prefix),
                Form::Named(name) => (!name.in_bytes()).then_some(false),
            },
        }
    }

    /// Text and kind of an id that has a token.
    fn entry(&self, id: u32, form: Form) -> Option<(String, u32)> {
        let spaces = matches!(form, Form::Spaces { .. });
        if let Some(token) = self.added_token(id) {
            let unknown = spaces && self.symbols.unknown() == Some(id);
            let kind = match token.special {
                true if unknown => kind::UNKNOWN,
                true => kind::CONTROL,
                false => kind::USER_DEFINED,
            };
            return Some((token.content.clone(), kind));
        }
        let spelling = self.vocabulary.spelling(id)?;
        let byte = self.settings.model.byte_fallback && byte_of(&spelling).is_some();
        Some((spelling, if byte { kind::BYTE } else { kind::NORMAL }))
    }

    fn merge_texts(&self, rows: usize) -> Vec<String> {
        let spelling = |id: u32| self.vocabulary.spelling(id).unwrap_or_default();
        let text = |merge: Merge| format!("{} {}", spelling(merge.left), spelling(merge.right));
        self.ordinary_merges(rows).map(text).collect()
    }

    /// A score for each token by the stretch of its first merge; whatever is not merged has the lowest.
    fn scores(&self, rows: usize) -> Vec<f32> {
        let mut scores = vec![f32::NAN; rows];
        let mut place = 0.0;
        let merges: Vec<Merge> = self.ordinary_merges(rows).collect();
        for stretch in self.stretches(&merges) {
            place -= 1.0;
            for merge in &merges[stretch] {
                let score = &mut scores[merge.merged as usize];
                *score = if score.is_nan() { place } else { *score };
            }
        }
        place -= 1.0;
        scores.iter_mut().filter(|score| score.is_nan()).for_each(|score| *score = place);
        scores
    }

    /// Stretches of merges that one score stands for: the ways to one token, or to several that are each a
    /// run of one character, where these ways alternate. In Gemma's vocabulary runs of spaces, tabs and
    /// new lines have one score, and its `tokenizer.json` has their ways by the lengths of the parts.
    fn stretches(&self, merges: &[Merge]) -> Vec<Range<usize>> {
        let mut last = HashMap::new();
        last.extend(merges.iter().enumerate().map(|(at, merge)| (merge.merged, at)));
        let (mut stretches, mut from) = (Vec::new(), 0);
        while from < merges.len() {
            let (mut end, mut at) = (from, from);
            while at <= end {
                end = end.max(last[&merges[at].merged]);
                at += 1;
            }
            let stretch = &merges[from..at];
            if stretch.iter().all(|merge| self.is_run(merge.merged)) {
                stretches.push(from..at);
            } else {
                for ways in stretch.chunk_by(|a, b| a.merged == b.merged) {
                    stretches.push(from..from + ways.len());
                    from += ways.len();
                }
            }
            from = at;
        }
        stretches
    }

    /// Whether a token is one character, once or more often.
    fn is_run(&self, id: u32) -> bool {
        let spelling = self.vocabulary.spelling(id).unwrap_or_default();
        let mut characters = spelling.chars();
        characters.next().is_some_and(|first| characters.all(|other| other == first))
    }

    /// The merges of tokens that text can give: special tokens are cut out before anything is merged.
    fn ordinary_merges(&self, rows: usize) -> impl Iterator<Item = Merge> + '_ {
        let ordinary = move |id: u32| (id as usize) < rows && !self.is_special(TokenId(id));
        let all = self.merges.merges().iter().copied();
        all.filter(move |merge| [merge.left, merge.right, merge.merged].into_iter().all(ordinary))
    }

    /// What the tokenizer that was read from the tables does otherwise.
    fn differences(
        &self,
        read: &Self,
        form: Form,
        rows: usize,
    ) -> Result<Vec<String>, TokensError> {
        let mut notes = Vec::new();
        let within = |id: u32| (id as usize) < rows;
        let ordinary = |id: u32| within(id) && self.added_token(id).is_none();
        for token in self.vocabulary.tokens().iter().filter(|token| ordinary(token.id)) {
            if read.vocabulary.token(token.id) != Some(token) {
                let spelling = token.spelling(self.vocabulary.alphabet());
                return Err(no_tables("model.vocab", format!("{spelling:?}")));
            }
        }
        let merges: Vec<Merge> = self.ordinary_merges(rows).collect();
        let found: Vec<Merge> = read.ordinary_merges(rows).collect();
        match form {
            Form::Named(_) => check_merges(self, &merges, &found)?,
            Form::Spaces { .. } => {
                let stretches = self.stretches(&merges);
                let reordered = |merges: &[Merge]| {
                    let mut merges = merges.to_vec();
                    for stretch in &stretches {
                        if let Some(ways) = merges.get_mut(stretch.clone()) {
                            ways.sort_by_key(|merge| (merge.merged, merge.left, merge.right));
                        }
                    }
                    merges
                };
                check_merges(self, &reordered(&merges), &reordered(&found))?;
                if merges != found {
                    notes.push(
                        "model.merges has the ways to one token, or to runs of one character, in another \
                         order, which a text of overlapping ways may show"
                            .to_owned(),
                    );
                }
            }
        }
        let differs = self.merges.merges().len() - merges.len();
        if differs > 0 {
            notes.push(format!(
                "{differs} merges of special tokens, or of tokens beyond the embedding, which only their \
                 text read as plain text needs"
            ));
        }
        let whole = |tokenizer: &Self, id: u32| {
            let bytes = tokenizer.vocabulary.bytes(id)?;
            let (entry, found) = tokenizer.vocabulary.find(bytes)?;
            (found == id).then(|| tokenizer.whole[entry])
        };
        let ids =
            || self.vocabulary.tokens().iter().map(|token| token.id).filter(|&id| ordinary(id));
        if let Some(id) = ids().find(|&id| whole(self, id) != whole(read, id)) {
            let spelling = self.vocabulary.spelling(id).unwrap_or_default();
            let flag = self.settings.model.ignore_merges;
            return Err(no_tables("model.ignore_merges", format!("{flag} (of {spelling:?})")));
        }
        let bytes = self.pipeline.alphabet == Alphabet::Bytes;
        let never_unknown = bytes && self.vocabulary.missing_byte().is_none();
        if !never_unknown && !self.symbols.same_as(&read.symbols) {
            let unknown = &self.settings.model.unk_token;
            return Err(no_tables("model.unk_token", format!("{unknown:?}")));
        }
        self.note_differences(read, rows, &mut notes);
        Ok(notes)
    }

    /// The parts around the model.
    fn note_differences(&self, read: &Self, rows: usize, notes: &mut Vec<String>) {
        let named = |part: &serde_json::Value| excerpt(&part.to_string());
        if self.pipeline.alphabet == Alphabet::Bytes
            && self.pipeline.normalizers != read.pipeline.normalizers
        {
            let what = match self.pipeline.normalizers.as_slice() {
                [Normalizer::Form(form)] => format!("{form:?}").to_uppercase(),
                _ => named(&self.settings.normalizer),
            };
            notes.push(format!(
                "normalizer {what}: GGUF files have none, so that text which it changes gets other ids"
            ));
        }
        let beyond: Vec<&str> = (self.added.iter())
            .filter(|token| token.id as usize >= rows)
            .map(|token| token.content.as_str())
            .collect();
        if let Some(first) = beyond.first() {
            let count = beyond.len();
            notes.push(format!("{count} added tokens beyond the embedding, {first:?} the first"));
        }
        let normalizes = self.normalizes();
        for (flag, holds) in [
            ("lstrip", (|token| token.lstrip) as fn(&crate::AddedToken) -> bool),
            ("rstrip", |token| token.rstrip),
            ("single_word", |token| token.single_word),
            ("normalized", |token| token.normalized),
        ] {
            let matters = |token: &&crate::AddedToken| {
                let changes = || self.pipeline.normalize(&token.content) != token.content;
                holds(token) && (flag != "normalized" || normalizes && changes())
            };
            let found: Vec<&crate::AddedToken> = self.added.iter().filter(matters).collect();
            if let Some(first) = found.first() {
                let (count, first) = (found.len(), &first.content);
                notes.push(format!("{flag} of {count} added tokens, {first:?} the first"));
            }
        }
        if self.pipeline.around != read.pipeline.around {
            notes.push(format!(
                "post_processor {}, of which the first token before and after a text is kept",
                named(&self.settings.post_processor)
            ));
        }
        if self.pipeline.decoder != read.pipeline.decoder {
            notes.push(format!("decoder {}", named(&self.settings.decoder)));
        }
        notes.extend(self.left_aside());
    }
}

/// That merges are the same in the same order.
fn check_merges(
    tokenizer: &Tokenizer,
    given: &[Merge],
    found: &[Merge],
) -> Result<(), TokensError> {
    if given == found {
        return Ok(());
    }
    let at = given.iter().zip(found).take_while(|(given, found)| given == found).count();
    let spelled = |merge: Option<&Merge>| match merge {
        None => "none".to_owned(),
        Some(merge) => {
            let part = |id| tokenizer.vocabulary.spelling(id).unwrap_or_default();
            format!("{:?} + {:?}", part(merge.left), part(merge.right))
        }
    };
    let value = format!("{} where tables give {}", spelled(given.get(at)), spelled(found.get(at)));
    Err(no_tables(&format!("model.merges[{at}]"), value))
}

fn no_tables(field: &str, value: String) -> TokensError {
    TokensError::NoTables { field: field.to_owned(), value: excerpt(&value) }
}
