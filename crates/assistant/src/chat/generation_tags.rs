//! `{% generation %}` … `{% endgeneration %}`: the tags with which training templates mark the
//! assistant's words. They print nothing, so they become a scope without variables, which Jinja
//! calls `with`. White-space control is kept. Does not parse the rest of the template.

/// The template with generation tags replaced, outside comments and raw text.
pub(super) fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
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
        match tag_name(tag) {
            Some("generation") => out.push_str(&tag.replacen("generation", "with", 1)),
            Some("endgeneration") => out.push_str(&tag.replacen("endgeneration", "endwith", 1)),
            Some("raw") => {
                out.push_str(tag);
                let raw = rest.find("endraw").map_or(rest.len(), |i| i + "endraw".len());
                out.push_str(&rest[..raw]);
                rest = &rest[raw..];
            }
            _ => out.push_str(tag),
        }
    }
    out + rest
}

/// The word of a block tag that holds nothing else.
fn tag_name(tag: &str) -> Option<&str> {
    let inner = tag.strip_prefix("{%")?.strip_suffix("%}")?;
    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    Some(inner.strip_suffix(['-', '+']).unwrap_or(inner).trim())
}

#[cfg(test)]
mod tests {
    use super::without_generation_tags as f;

    #[test]
    fn tags_become_scopes_with_their_white_space_control() {
        assert_eq!(
            f("a {%- generation -%} b {% endgeneration +%} c"),
            "a {%- with -%} b {% endwith +%} c"
        );
        assert_eq!(f("{%generation%}"), "{%with%}");
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
            assert_eq!(f(same), same);
        }
    }
}
