//! `{% generation %}` … `{% endgeneration %}`: the tags with which templates mark the words that
//! training learns. They become a scope without variables, which Jinja calls `with`, that writes
//! the variables [`BEGIN`] and [`END`] at its borders; white-space control is kept. Does not parse
//! the rest of the template.

/// Variable written where learned text begins.
pub(crate) const BEGIN: &str = "__generation_begin";
/// Variable written where learned text ends.
pub(crate) const END: &str = "__generation_end";

/// The template with its generation tags replaced, outside comments and raw text; whether there
/// were any.
pub(crate) fn with_generation_marks(source: &str) -> (String, bool) {
    let mut out = String::with_capacity(source.len());
    let mut found = false;
    let mut rest = source;
    while let Some(at) = ["{%", "{{", "{#"].iter().filter_map(|open| rest.find(open)).min() {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let close = match &tag[..2] {
            "{#" => "#}",
            "{{" => "}}",
            _ => "%}",
        };
        let end = tag[2..].find(close).map_or(tag.len(), |i| i + 4);
        let (tag, after) = tag.split_at(end);
        rest = after;
        match block(tag) {
            // White space before the tag is the first block's to strip, that after it the last's:
            // both stay blocks, since `trim_blocks` and `lstrip_blocks` touch blocks only.
            Some((left, "generation", right)) => {
                found = true;
                out.push_str(&format!(
                    "{{%{left} with %}}{{{{ {BEGIN} }}}}{{% set {BEGIN} = {BEGIN} {right}%}}"
                ));
            }
            Some((left, "endgeneration", right)) => out.push_str(&format!(
                "{{%{left} set {END} = {END} %}}{{{{ {END} }}}}{{% endwith {right}%}}"
            )),
            Some((_, "raw", _)) => {
                out.push_str(tag);
                let raw = rest.find("endraw").map_or(rest.len(), |i| i + "endraw".len());
                out.push_str(&rest[..raw]);
                rest = &rest[raw..];
            }
            _ => out.push_str(tag),
        }
    }
    (out + rest, found)
}

/// The word of a block tag that holds nothing else, with the white-space controls around it.
fn block(tag: &str) -> Option<(&str, &str, &str)> {
    let inner = tag.strip_prefix("{%")?.strip_suffix("%}")?;
    let word = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    let left = &inner[..inner.len() - word.len()];
    let name = word.strip_suffix(['-', '+']).unwrap_or(word);
    Some((left, name.trim(), &word[name.len()..]))
}

#[cfg(test)]
mod tests {
    use super::with_generation_marks as f;

    #[test]
    fn tags_become_scopes_with_their_white_space_control() {
        let (text, found) = f("a {%- generation -%} b {% endgeneration +%} c");
        assert!(found);
        assert_eq!(
            text,
            "a {%- with %}{{ __generation_begin }}{% set __generation_begin = __generation_begin \
             -%} b {% set __generation_end = __generation_end %}{{ __generation_end }}{% endwith \
             +%} c"
        );
    }

    #[test]
    fn comments_raw_text_expressions_and_other_tags_stay() {
        for same in [
            "{# {% generation %} #}",
            "{% raw %}{% generation %}{% endraw %}",
            "{{ '{% generation %}' }}",
            "{% if generation %}{% endif %}",
            "{% set generation = 1 %}",
            "no tags",
            "{% unfinished",
        ] {
            assert_eq!(f(same), (same.to_owned(), false));
        }
    }
}
