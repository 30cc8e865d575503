//! Stop strings in streamed text: text is withheld until it cannot be the beginning of one.
//!
//! The text ends at the first moment at which it contains a stop string, whatever pieces it
//! arrives in: of several, the one that ends first counts, and of those the longest. The stop
//! string and what follows are not part of the answer. Knows nothing of tokens.

use crate::AssistantError;

/// Watches a growing text for stop strings.
#[derive(Clone, Debug)]
pub struct StopMatcher {
    stops: Vec<String>,
    /// Text that may still turn out to begin a stop string.
    withheld: String,
}

/// What a piece of text led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    /// Text that belongs to the answer for certain.
    pub text: String,
    /// The stop string found, which ends the text.
    pub stop: Option<String>,
}

impl StopMatcher {
    /// A matcher for these strings.
    ///
    /// # Errors
    /// [`AssistantError::EmptyStopString`].
    pub fn new(stops: &[String]) -> Result<Self, AssistantError> {
        if stops.iter().any(String::is_empty) {
            return Err(AssistantError::EmptyStopString);
        }
        Ok(StopMatcher { stops: stops.to_vec(), withheld: String::new() })
    }

    /// Adds a piece of text.
    pub fn push(&mut self, piece: &str) -> Released {
        self.withheld.push_str(piece);
        let text = &self.withheld;
        let hits = self.stops.iter().filter_map(|stop| Some((text.find(stop.as_str())?, stop)));
        if let Some((start, stop)) = hits.min_by_key(|&(start, stop)| (start + stop.len(), start)) {
            let stop = Some(stop.clone());
            self.withheld.truncate(start);
            return Released { text: std::mem::take(&mut self.withheld), stop };
        }
        let open = self.stops.iter().map(|stop| open_prefix(text, stop)).max().unwrap_or(0);
        let kept = self.withheld.split_off(text.len() - open);
        Released { text: std::mem::replace(&mut self.withheld, kept), stop: None }
    }

    /// The text withheld, when no more will come.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.withheld)
    }
}

/// Bytes of the longest end of `text` that begins `stop` without being all of it.
fn open_prefix(text: &str, stop: &str) -> usize {
    let longest = text.len().min(stop.len() - 1);
    // A byte match is a character match: both are UTF-8, and a beginning of `stop` that matches
    // an end of `text` begins with a whole first byte, hence on a border of `text`, and ends with
    // the text, hence on a border of `stop`.
    (1..=longest).rev().find(|&n| text.as_bytes().ends_with(&stop.as_bytes()[..n])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    /// The definition: grow the text character by character until it contains a stop string.
    fn slow(text: &str, stops: &[String]) -> (String, Option<String>) {
        let ends = text.char_indices().map(|(i, c)| i + c.len_utf8());
        for end in ends {
            let so_far = &text[..end];
            let longest = stops.iter().filter(|s| so_far.ends_with(*s)).max_by_key(|s| s.len());
            if let Some(stop) = longest {
                return (so_far[..end - stop.len()].to_owned(), Some(stop.clone()));
            }
        }
        (text.to_owned(), None)
    }

    fn fast(pieces: &[&str], stops: &[String]) -> (String, Option<String>) {
        let mut matcher = StopMatcher::new(stops).unwrap();
        let mut out = String::new();
        for piece in pieces {
            let released = matcher.push(piece);
            out += &released.text;
            if released.stop.is_some() {
                return (out, released.stop);
            }
        }
        out += &matcher.finish();
        (out, None)
    }

    #[test]
    fn withholds_only_what_may_begin_a_stop_string() {
        let mut matcher = StopMatcher::new(&["\n\nUser:".into(), "é!".into()]).unwrap();
        assert_eq!(matcher.push("Bonjour\n").text, "Bonjour");
        assert_eq!(matcher.push("\n").text, "");
        assert_eq!(matcher.push("\n").text, "\n");
        assert_eq!(matcher.push("Us").text, "");
        assert_eq!(matcher.push("age é").text, "\n\nUsage ");
        assert_eq!(matcher.push("té").text, "ét");
        assert_eq!(matcher.finish(), "é");
    }

    #[test]
    fn an_empty_stop_string_is_refused() {
        assert!(StopMatcher::new(&[String::new()]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Default::default() })]

        /// A small alphabet with one-, two- and four-byte characters makes overlaps common.
        #[test]
        fn equals_the_definition_whatever_the_pieces(
            text in "[abé😀]{0,24}",
            stops in prop::collection::vec("[abé😀]{1,4}", 0..4),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let borders: Vec<usize> =
                text.char_indices().map(|(i, _)| i).chain([text.len()]).collect();
            let mut cuts: Vec<usize> = cuts.iter().map(|i| borders[i.index(borders.len())]).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&str> = cuts.windows(2).map(|w| &text[w[0]..w[1]]).collect();
            prop_assert_eq!(fast(&pieces, &stops), slow(&text, &stops));
        }

        /// Nothing is withheld longer than needed: the rest begins some stop string.
        #[test]
        fn what_is_withheld_begins_a_stop_string(
            text in "[abé😀]{0,24}", stops in prop::collection::vec("[abé😀]{1,4}", 0..4),
        ) {
            let mut matcher = StopMatcher::new(&stops).unwrap();
            matcher.push(&text);
            let rest = matcher.finish();
            let begins = stops.iter().any(|s| s.starts_with(&rest));
            prop_assert!(rest.is_empty() || begins, "withheld {:?} of {:?}", rest, text);
        }
    }
}
