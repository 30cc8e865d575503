//! The report of an audit: differences with their margin, rates by side and by facet, samples
//! when asked for, in English or French. Pure: an audit in, a page out.

use crate::{Against, Audit, Estimate, FacetAudit, Leaning, LevelSide, RuleAudit, Sample, Unit};
use stoa_report::{
    Content, DotPlot, DotRow, Figure, ForestPlot, ForestRow, Language, Mark, Plot, Report, Section,
    Table,
};

/// The words of a language.
struct Words {
    title: &'static str,
    summary: [&'static str; 3],
    margin: &'static str,
    points: &'static str,
    percent: &'static str,
    posts: &'static str,
    authors: &'static str,
    verdict: &'static str,
    verdicts: [&'static str; 3],
    reference: &'static str,
    all: &'static str,
    differences: &'static str,
    differences_text: &'static str,
    alike: &'static str,
    alike_text: &'static str,
    rates: &'static str,
    by: &'static str,
    by_text: &'static str,
    facets: [(&'static str, &'static str); 3],
    header: [&'static str; 11],
    level_header: [&'static str; 7],
    samples: &'static str,
    samples_text: &'static str,
    method: &'static str,
    method_text: &'static str,
    posts_as_units: &'static str,
}

const ENGLISH: Words = Words {
    title: "Audit by side",
    summary: [
        "Every rule treats the sides alike within the margin.",
        "No rule is shown to lean, but at least one is not shown to be within the margin: more authors \
         would tell.",
        "At least one rule drops more of one side.",
    ],
    margin: "margin",
    points: "points",
    percent: "share dropped, %",
    posts: "posts",
    authors: "authors",
    verdict: "verdict",
    verdicts: ["within the margin", "undetermined", "leans"],
    reference: "reference",
    all: "all rules together",
    differences: "Differences of drop rates",
    differences_text: "Side minus reference: a rule to the right of zero drops more of the side, to the \
                       left more of the reference. Lines are 95 % intervals.",
    alike: "Differences between like posts",
    alike_text: "The same, between posts alike in: {}. What remains here is not explained by that.",
    rates: "Drop rates by side",
    by: "Drop rates by {}",
    by_text: "These describe; verdicts are on the whole. Where a level has few authors, look at the \
              intervals in the table.",
    facets: [("language", "language"), ("length", "length in characters"), ("topic", "topic")],
    header: [
        "rule",
        "side",
        "posts",
        "authors",
        "dropped",
        "rate, %",
        "difference, points",
        "95 % interval",
        "p (Holm)",
        "p outside margin",
        "verdict",
    ],
    level_header: [
        "level",
        "side",
        "posts",
        "dropped",
        "rate, %",
        "difference, points",
        "95 % interval",
    ],
    samples: "Some dropped posts",
    samples_text: "Drawn at random for each rule and side. Posts belong to people: look at them, do not \
                   pass them on.",
    method: "How it was measured",
    method_text: "Every rule judges every post. Authors are drawn with replacement within each side, with \
                  all their posts ({resamples} resamples, seed {seed}); intervals are BCa, taken further \
                  out where few authors write most. A side of which a rule drops nothing adds the bound \
                  of a beta-binomial model. p-values of no difference are corrected by Holm over rules \
                  and sides. A rule is within the margin when two one-sided tests at 5 % say so; it \
                  leans when it is not and its corrected p-value is below 5 %; else it is undetermined. \
                  Like posts are compared by Mantel-Haenszel differences over strata. A verdict is the \
                  worse of both comparisons.",
    posts_as_units: "The author of some posts is unknown, so posts were drawn instead of authors: \
                     intervals are too narrow where few people wrote many of them.",
};

const FRENCH: Words = Words {
    title: "Audit par camp",
    summary: [
        "Chaque règle traite les camps de la même façon, à la marge près.",
        "Aucune règle ne penche de façon démontrée, mais l'égalité à la marge près n'est pas démontrée \
         pour toutes : il faudrait plus d'auteurs.",
        "Au moins une règle écarte davantage un camp.",
    ],
    margin: "marge",
    points: "points",
    percent: "part écartée, %",
    posts: "messages",
    authors: "auteurs",
    verdict: "verdict",
    verdicts: ["dans la marge", "indéterminé", "penche"],
    reference: "référence",
    all: "toutes les règles",
    differences: "Écarts des taux de rejet",
    differences_text: "Camp moins référence : à droite de zéro, la règle écarte davantage le camp ; à \
                       gauche, davantage la référence. Les traits sont des intervalles à 95 %.",
    alike: "Écarts entre messages comparables",
    alike_text: "Les mêmes, entre messages semblables par : {}. Ce qui reste ici ne s'explique pas par là.",
    rates: "Taux de rejet par camp",
    by: "Taux de rejet par {}",
    by_text: "Ces chiffres décrivent ; les verdicts portent sur l'ensemble. Là où les auteurs sont peu \
              nombreux, voir les intervalles dans le tableau.",
    facets: [("language", "langue"), ("length", "longueur en caractères"), ("topic", "sujet")],
    header: [
        "règle",
        "camp",
        "messages",
        "auteurs",
        "écartés",
        "taux, %",
        "écart, points",
        "intervalle à 95 %",
        "p (Holm)",
        "p hors marge",
        "verdict",
    ],
    level_header: [
        "niveau",
        "camp",
        "messages",
        "écartés",
        "taux, %",
        "écart, points",
        "intervalle à 95 %",
    ],
    samples: "Quelques messages écartés",
    samples_text: "Tirés au hasard pour chaque règle et chaque camp. Ces messages appartiennent à des \
                   personnes : les regarder, ne pas les diffuser.",
    method: "Méthode",
    method_text: "Chaque règle juge chaque message. Les auteurs sont tirés avec remise dans chaque camp, \
                  avec tous leurs messages ({resamples} tirages, graine {seed}) ; les intervalles sont \
                  BCa, élargis quand peu d'auteurs écrivent l'essentiel. Un camp dont une règle n'écarte \
                  rien ajoute la borne d'un modèle bêta-binomial. Les p d'absence d'écart sont corrigés \
                  selon Holm sur les règles et les camps. Une règle est dans la marge quand deux tests \
                  unilatéraux à 5 % le disent ; elle penche quand ce n'est pas le cas et que son p \
                  corrigé est inférieur à 5 % ; sinon elle est indéterminée. Les messages comparables le \
                  sont par écarts de Mantel-Haenszel sur les strates. Le verdict est le pire des deux \
                  comparaisons.",
    posts_as_units: "L'auteur de certains messages est inconnu : ce sont donc les messages qui sont tirés, \
                     et les intervalles sont trop étroits là où peu de personnes en ont écrit beaucoup.",
};

/// The page.
pub fn report(audit: &Audit, profile: &str, samples: &[Sample], language: Language) -> Report {
    let words = match language {
        Language::English => &ENGLISH,
        Language::French => &FRENCH,
    };
    let maker = Maker { words, audit, language };
    let mut sections = maker.differences();
    sections.push(maker.rates());
    for facet in 0..audit.all.by.len() {
        sections.push(maker.by_facet(facet));
    }
    if !samples.is_empty() {
        sections.push(maker.samples(samples));
    }
    let method = words
        .method_text
        .replace("{resamples}", &audit.resamples.to_string())
        .replace("{seed}", &audit.seed.to_string());
    sections.push(Section {
        title: words.method.into(),
        text: method,
        content: Content::Table(maker.table(|against| Some(&against.overall))),
    });
    let mut figures = vec![
        Figure::new(words.verdict, words.verdicts[rank(audit.verdict)], audit.verdict.name()),
        Figure::new(
            words.margin,
            format!("±{} {}", maker.decimal(100.0 * audit.margin, 1), words.points),
            "",
        ),
    ];
    figures.extend(audit.sides.iter().enumerate().map(|(at, side)| {
        let role = if at == 0 { format!("{}, ", words.reference) } else { String::new() };
        let authors = side.authors.map_or("?".to_owned(), |count| count.to_string());
        let note = format!("{role}{authors} {}", words.authors);
        Figure::new(&side.side, format!("{} {}", side.n, words.posts), note)
    }));
    let mut summary = words.summary[rank(audit.verdict)].to_owned();
    if audit.unit == Unit::Post {
        summary = format!("{summary} {}", words.posts_as_units);
    }
    let title = match profile.rsplit(['/', '\\']).next() {
        Some(name) => format!("{} · {name}", words.title),
        None => words.title.to_owned(),
    };
    Report { language, title, summary, figures, sections }
}

fn rank(verdict: Leaning) -> usize {
    match verdict {
        Leaning::WithinMargin => 0,
        Leaning::Undetermined => 1,
        Leaning::Leans => 2,
    }
}

fn mark(verdict: Leaning) -> Mark {
    Mark::ALL[rank(verdict)]
}

type Pick = fn(&Against) -> Option<&Estimate>;

struct Maker<'a> {
    words: &'a Words,
    audit: &'a Audit,
    language: Language,
}

impl Maker<'_> {
    /// A number with so many decimals, with the comma of French.
    fn decimal(&self, value: f64, decimals: usize) -> String {
        // No "-0".
        let text = format!("{:.decimals$}", value + 0.0);
        match self.language {
            Language::English => text,
            Language::French => text.replace('.', ","),
        }
    }

    fn points(&self, share: f64) -> String {
        let text = self.decimal(100.0 * share, 2);
        if share > 0.0 { format!("+{text}") } else { text }
    }

    fn interval(&self, ends: [f64; 2]) -> String {
        let between = if self.language == Language::French { " ; " } else { ", " };
        format!("[{}]", ends.map(|end| self.points(end)).join(between))
    }

    fn p(&self, value: f64) -> String {
        match value < 0.001 {
            true => format!("< {}", self.decimal(0.001, 3)),
            false => self.decimal(value, 3),
        }
    }

    fn rules(&self) -> impl Iterator<Item = &RuleAudit> {
        self.audit.rules.iter().chain([&self.audit.all])
    }

    fn name<'b>(&'b self, rule: &'b RuleAudit) -> &'b str {
        if rule.rule == self.audit.all.rule { self.words.all } else { &rule.rule }
    }

    /// Every rule and side with its figures, of one way of comparing.
    fn table(&self, pick: Pick) -> Table {
        let mut rows = Vec::new();
        for rule in self.rules() {
            for side in &rule.sides {
                let mut row = vec![
                    self.name(rule).to_owned(),
                    side.side.clone(),
                    side.n.to_string(),
                    side.authors.map_or("?".to_owned(), |count| count.to_string()),
                    side.dropped.to_string(),
                    self.decimal(100.0 * side.rate, 2),
                ];
                let estimate = side.against.as_ref().and_then(pick);
                match (estimate, &side.against) {
                    (Some(estimate), Some(against)) => row.extend([
                        self.points(estimate.difference),
                        self.interval(estimate.interval),
                        self.p(estimate.p_adjusted),
                        self.p(estimate.equivalence_p),
                        self.words.verdicts[rank(against.verdict)].to_owned(),
                    ]),
                    _ => row.extend(std::iter::repeat_n("–".to_owned(), 5)),
                }
                rows.push(row);
            }
        }
        Table { header: self.words.header.map(str::to_owned).to_vec(), rows }
    }

    /// Forest plots, one a side, of all posts and of like posts.
    fn differences(&self) -> Vec<Section> {
        let overall: Pick = |against| Some(&against.overall);
        let like: Pick = |against| against.like_for_like.as_ref().map(|like| &like.estimate);
        let words = self.words;
        let strata: Vec<&str> = self.audit.strata.iter().map(|name| self.facet(name)).collect();
        let alike = words.alike_text.replace("{}", &strata.join(", "));
        [
            (words.differences, words.differences_text.to_owned(), overall, false),
            (words.alike, alike, like, true),
        ]
        .into_iter()
        .filter_map(|(title, text, pick, of_like)| {
            let others = 1..self.audit.sides.len();
            let plots: Vec<Plot> =
                others.filter_map(|side| self.forest(title, side, pick, of_like)).collect();
            let content = Content::Plots(plots);
            let empty = matches!(&content, Content::Plots(plots) if plots.is_empty());
            (!empty).then(|| Section { title: title.into(), text, content })
        })
        .collect()
    }

    fn forest(&self, title: &str, side: usize, pick: Pick, of_like: bool) -> Option<Plot> {
        let words = self.words;
        let row = |rule: &RuleAudit| {
            let against = rule.sides[side].against.as_ref()?;
            let estimate = pick(against)?;
            let verdict = match (&against.like_for_like, of_like) {
                (Some(like), true) => like.verdict,
                _ => against.verdict,
            };
            Some(ForestRow {
                label: self.name(rule).to_owned(),
                estimate: 100.0 * estimate.difference,
                interval: estimate.interval.map(|end| 100.0 * end),
                mark: mark(verdict),
            })
        };
        let rows: Vec<ForestRow> = self.rules().filter_map(row).collect();
        let mut table = self.table(pick);
        let name = &self.audit.sides[side].side;
        table.rows.retain(|row| row[1] == *name || row[1] == self.audit.reference);
        (!rows.is_empty()).then(|| {
            let margin = 100.0 * self.audit.margin;
            Plot::Forest(ForestPlot {
                title: format!("{title} · {name} − {}", self.audit.reference),
                x_label: words.points.into(),
                margin,
                margin_label: format!("±{} {}", self.decimal(margin, 1), words.points),
                rows,
                legend: words.verdicts.map(str::to_owned),
                table,
            })
        })
    }

    fn sides(&self) -> Vec<String> {
        self.audit.sides.iter().map(|side| side.side.clone()).collect()
    }

    fn rates(&self) -> Section {
        let row = |rule: &RuleAudit| DotRow {
            label: self.name(rule).to_owned(),
            values: rule.sides.iter().map(|side| Some(100.0 * side.rate)).collect(),
        };
        let plot = DotPlot {
            title: self.words.rates.into(),
            x_label: self.words.percent.into(),
            groups: self.sides(),
            rows: self.rules().map(row).collect(),
            table: self.table(|against| Some(&against.overall)),
        };
        Section {
            title: self.words.rates.into(),
            text: String::new(),
            content: Content::Plots(vec![Plot::Dots(plot)]),
        }
    }

    fn facet<'b>(&'b self, name: &'b str) -> &'b str {
        let known = self.words.facets.iter().find(|(facet, _)| *facet == name);
        known.map_or(name, |(_, word)| word)
    }

    /// A plot of all rules together, and one of every rule that drops something.
    fn by_facet(&self, facet: usize) -> Section {
        let name = self.facet(&self.audit.all.by[facet].facet);
        let drops = |rule: &&RuleAudit| rule.sides.iter().any(|side| side.dropped > 0);
        let shown = [&self.audit.all].into_iter().chain(self.audit.rules.iter().filter(drops));
        let plots = shown.map(|rule| {
            let by = &rule.by[facet];
            Plot::Dots(DotPlot {
                title: self.name(rule).to_owned(),
                x_label: self.words.percent.into(),
                groups: self.sides(),
                rows: by
                    .levels
                    .iter()
                    .map(|level| DotRow {
                        label: level.level.clone(),
                        values: level.sides.iter().map(|s| s.rate.map(|r| 100.0 * r)).collect(),
                    })
                    .collect(),
                table: self.level_table(by),
            })
        });
        Section {
            title: self.words.by.replace("{}", name),
            text: self.words.by_text.into(),
            content: Content::Plots(plots.collect()),
        }
    }

    fn level_table(&self, by: &FacetAudit) -> Table {
        let dash = || "–".to_owned();
        let row = |level: &str, side: &LevelSide| {
            vec![
                level.to_owned(),
                side.side.clone(),
                side.n.to_string(),
                side.dropped.to_string(),
                side.rate.map_or_else(dash, |rate| self.decimal(100.0 * rate, 2)),
                side.difference.map_or_else(dash, |difference| self.points(difference)),
                side.interval.map_or_else(dash, |interval| self.interval(interval)),
            ]
        };
        let levels = by.levels.iter();
        let rows = levels.flat_map(|level| level.sides.iter().map(|side| row(&level.level, side)));
        Table { header: self.words.level_header.map(str::to_owned).to_vec(), rows: rows.collect() }
    }

    fn samples(&self, samples: &[Sample]) -> Section {
        let groups = samples.chunk_by(|a, b| a.rule == b.rule);
        let shown = groups.map(|group| stoa_report::Sample {
            title: group[0].rule.clone(),
            turns: group.iter().map(|s| (s.side.clone(), s.text.clone())).collect(),
        });
        Section {
            title: self.words.samples.into(),
            text: self.words.samples_text.into(),
            content: Content::Samples(shown.collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{AuditConfig, Facet, Observation, Tally, audit};

    use super::*;

    fn found() -> Audit {
        let facet = |name: &str, stratifies| Facet { name: name.into(), stratifies };
        let facets = vec![facet("language", true), facet("dialect", false)];
        let mut tally = Tally::new(vec!["web/caps".into(), "web/never".into()], facets);
        for author in 0..40_u32 {
            for (side, often) in [("left", 9), ("right", 3)] {
                for post in 0..20_u32 {
                    let (name, dropped) = (format!("{side}{author}"), [post % often == 0, false]);
                    let levels = [["en", "fr"][post as usize % 2], "north"];
                    let post = Observation {
                        side,
                        author: Some(&name),
                        levels: &levels,
                        dropped: &dropped,
                    };
                    tally.add(&post).unwrap();
                }
            }
        }
        audit(&tally, &AuditConfig { resamples: 300, ..AuditConfig::default() }, |_, _| ()).unwrap()
    }

    #[test]
    fn the_report_shows_every_plot_and_table_in_both_languages() {
        let found = found();
        let page = |samples: &[Sample], language| {
            report(&found, "some/rules.txt", samples, language).to_html()
        };
        let english = page(&[], Language::English);
        // Two forests, rates by side, and two plots by each facet: the idle rule has none.
        assert_eq!(english.matches("<svg").count(), 2 + 1 + 4);
        for part in ["rules.txt", "■ leans", "right − left", "Drop rates by dialect", "±2.0 points"]
        {
            assert!(english.contains(part), "{part}");
        }
        assert!(!english.contains("Some dropped posts"), "samples are not asked for");
        let samples =
            [Sample { rule: "web/caps".into(), side: "left".into(), text: "<LOUD>".into() }];
        let french = page(&samples, Language::French);
        for part in
            ["lang=\"fr\"", "penche", "Taux de rejet par langue", "&lt;LOUD&gt;", "messages"]
        {
            assert!(french.contains(part), "{part}");
        }
        let point = format!("{:.2}", 100.0 * found.all.sides[1].rate);
        assert!(english.contains(&point) && french.contains(&point.replace('.', ",")), "{point}");
    }
}
