//! The words of a report in its language: terms the plan names in English, numbers with their units.

use stoa_report::Language;

use crate::layout::{Layout, Recompute, Sharding};
use crate::plan::Assumption;
use crate::units::{Bytes, Dollars, Scale, Seconds, count};

/// A language to speak.
#[derive(Clone, Copy)]
pub(super) struct Words(pub(super) Language);

impl Words {
    /// One of two sentences.
    pub(super) fn say(self, english: impl Into<String>, french: impl Into<String>) -> String {
        if self.french() { french.into() } else { english.into() }
    }

    pub(super) fn french(self) -> bool {
        self.0 == Language::French
    }

    pub(super) fn assumption(self, assumption: &Assumption) -> String {
        self.say(assumption.english.clone(), self.local(&assumption.french))
    }

    /// A number with its decimals.
    pub(super) fn number(self, value: f64, decimals: usize) -> String {
        self.local(&format!("{value:.decimals$}"))
    }

    /// A number as a power of ten with the decimals of its first digits.
    pub(super) fn scientific(self, value: f64, decimals: usize) -> String {
        self.local(&format!("{value:.decimals$e}"))
    }

    /// A percentage of a share.
    pub(super) fn percent(self, share: f64) -> String {
        self.local(&format!("{:.1} %", 100.0 * share))
    }

    /// English digits and units as this language writes them.
    fn local(self, text: &str) -> String {
        if !self.french() {
            return text.to_owned();
        }
        let comma = |(i, c): (usize, char)| {
            let digit = |at: Option<usize>| {
                at.and_then(|at| text.as_bytes().get(at)).is_some_and(u8::is_ascii_digit)
            };
            if c == '.' && digit(i.checked_sub(1)) && digit(Some(i + 1)) { ',' } else { c }
        };
        text.char_indices().map(comma).collect()
    }

    pub(super) fn time(self, time: Seconds) -> String {
        self.local(&time.to_string()).replace("days", &self.say("days", "jours"))
    }

    /// A count with its unit of thousands: 15.6T, 15,6 T.
    pub(super) fn count(self, number: f64) -> String {
        let text = self.local(&count(number));
        if !self.french() {
            return text;
        }
        let unit = text.chars().last().filter(|c| c.is_alphabetic());
        match unit {
            Some('B') => format!("{} G", text.trim_end_matches('B')),
            Some(unit) => format!("{} {unit}", text.trim_end_matches(unit)),
            None => text,
        }
    }

    /// The name of a unit.
    pub(super) fn unit(self, scale: Scale) -> &'static str {
        if self.french() && scale.unit == "days" { "jours" } else { scale.unit }
    }

    /// A value in a unit.
    pub(super) fn shown(self, scale: Scale, value: f64) -> String {
        format!("{} {}", self.local(&scale.number(value)), self.unit(scale))
    }

    pub(super) fn bytes(self, bytes: Bytes) -> String {
        let text = self.local(&bytes.to_string());
        if self.french() { text.replace("iB", "io") } else { text }
    }

    pub(super) fn dollars(self, dollars: f64) -> String {
        if !self.french() {
            return Dollars(dollars).to_string();
        }
        let (value, unit) = match dollars.abs() {
            d if d < 1e4 => (dollars, "$"),
            d if d < 1e6 => (dollars / 1e3, "k$"),
            d if d < 1e9 => (dollars / 1e6, "M$"),
            _ => (dollars / 1e9, "Md$"),
        };
        let decimals = if unit == "Md$" || unit == "$" && value.abs() < 10.0 { 2 } else { 1 };
        format!("{} {unit}", self.number(value, decimals))
    }

    /// A middle with its ends.
    pub(super) fn between(self, middle: &str, low: &str, high: &str) -> String {
        self.say(format!("{middle} ({low} to {high})"), format!("{middle} ({low} à {high})"))
    }

    pub(super) fn layout(self, layout: &Layout) -> String {
        if !self.french() {
            return layout.to_string();
        }
        let stages = if layout.vpp > 1 {
            format!("{}×{}", layout.pp, layout.vpp)
        } else {
            layout.pp.to_string()
        };
        let mut text = format!("tp {} · pp {stages} · dp {}", layout.tp, layout.dp);
        for (name, size) in [("cp", layout.cp), ("ep", layout.ep)] {
            if size > 1 {
                text += &format!(" · {name} {size}");
            }
        }
        let sharding = match layout.sharding {
            Sharding::None => "sans répartition",
            Sharding::Optimizer => "optimiseur réparti",
            Sharding::Gradients => "optimiseur et gradients répartis",
            Sharding::Full => "tout réparti",
        };
        let recompute = match layout.recompute {
            Recompute::None => "sans recalcul",
            Recompute::Selective => "recalcul sélectif",
            Recompute::Full => "recalcul complet",
        };
        text + &format!(" · micro-lot {} · {sharding} · {recompute}", layout.micro_batch)
    }

    /// A term that the plan names in English.
    pub(super) fn term(self, english: &str) -> String {
        let known = TERMS.iter().find(|(term, _)| *term == english);
        match known {
            Some((_, french)) if self.french() => (*french).to_owned(),
            _ => english.to_owned(),
        }
    }
}

/// Parts of steps, memory and bills, resources, inputs, reasons.
const TERMS: &[(&str, &str)] = &[
    ("products", "produits matriciels"),
    ("attention", "attention"),
    ("pointwise", "opérations par élément"),
    ("kernel gaps", "pauses entre noyaux"),
    ("tensor exchange", "échange tensoriel"),
    ("context exchange", "échange de contexte"),
    ("expert exchange", "échange entre experts"),
    ("stage exchange", "échange entre étages"),
    ("pipeline bubble", "bulle du pipeline"),
    ("data exchange", "échange de données"),
    ("optimizer", "optimiseur"),
    ("waiting", "attente"),
    ("weights", "poids"),
    ("gradients", "gradients"),
    ("activations", "activations"),
    ("buffers", "tampons"),
    ("fragmentation", "fragmentation"),
    ("runtime", "exécution"),
    ("forward", "aller"),
    ("backward", "retour"),
    ("exchange", "échange"),
    ("idle", "attente d'un autre étage"),
    ("arithmetic", "calcul"),
    ("memory bandwidth", "bande passante mémoire"),
    ("fast link", "lien rapide"),
    ("network", "réseau"),
    ("servers and network", "serveurs et réseau"),
    ("site", "site"),
    ("upkeep", "entretien"),
    ("electricity", "électricité"),
    ("accelerator price", "prix de l'accélérateur"),
    ("server over accelerators", "prix serveur / accélérateurs"),
    ("cluster network", "réseau du cluster"),
    ("site, dollars a watt", "site, dollars par watt"),
    ("electricity price", "prix de l'électricité"),
    ("site power over machine power", "puissance site / machines"),
    ("server power over accelerators", "puissance serveur / accélérateurs"),
    ("years of use", "années d'utilisation"),
    ("duration of the run", "durée de l'entraînement"),
    ("does not fit in memory", "ne tiennent pas en mémoire"),
    (
        "replicas × micro-batch do not divide the batch",
        "répliques × micro-lot ne divisent pas le lot",
    ),
    ("tensor size does not divide the heads", "la taille tensorielle ne divise pas les têtes"),
    ("stages do not divide the layers", "les étages ne divisent pas les couches"),
    (
        "context size leaves chunks under 1,024 tokens",
        "la taille de contexte laisse moins de 1 024 jetons par part",
    ),
    (
        "expert size does not divide the experts or the ranks of a stage",
        "la taille d'experts ne divise ni les experts ni les rangs d'un étage",
    ),
    ("fewer micro-batches than stages", "moins de micro-lots que d'étages"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibration::Constants;
    use crate::hardware::Accelerators;

    #[test]
    fn french_is_written_as_french() {
        let words = Words(Language::French);
        assert_eq!(words.number(3.25, 2), "3,25");
        assert_eq!(words.bytes(Bytes::gib(80.5)), "80,5 Gio");
        assert_eq!(words.time(Seconds::days(60.5)), "60,5 jours");
        assert_eq!(words.dollars(1.5e8), "150,0 M$");
        assert_eq!(words.dollars(0.42), "0,42 $");
        assert_eq!((words.count(15.6e12), words.count(8.03e9)), ("15,6 T".into(), "8,03 G".into()));
        assert_eq!(
            words.shown(Scale::time(Seconds::days(9.0)), 777_600.0),
            "9.00 jours".replace('.', ",")
        );
        assert_eq!(words.scientific(2.5e24, 1), "2,5e24");
        let assumption = Assumption::new("10.5 days", "10.5 jours sur 2.25 T jetons.");
        assert_eq!(words.assumption(&assumption), "10,5 jours sur 2,25 T jetons.");
        assert_eq!(words.term("waiting"), "attente");
        assert!(words.layout(&Layout::single()).contains("sans recalcul"));
        assert_eq!(Words(Language::English).number(3.25, 2), "3.25");
    }

    #[test]
    fn every_term_of_a_step_is_known() {
        let known = Accelerators::published();
        let model = crate::model::Models::published().find("llama-8b").unwrap().clone();
        let software = crate::software::published().remove(0);
        let job = crate::time::Job {
            model: &model,
            gpu: known.find("h100").unwrap(),
            software: &software,
            layout: Layout { dp: 8, ..Layout::single() },
            seq: 8192,
            global_batch: 64,
            precision: crate::hardware::Precision::Bf16,
        };
        let timeline = crate::time::timeline(&job, &Constants::PRIOR);
        let names = crate::time::step_time(&job, &Constants::PRIOR).parts().map(|part| part.0);
        let more = crate::memory::memory(&job).parts().map(|part| part.0);
        let uses = timeline.totals.parts().map(|part| part.0);
        for name in names.iter().chain(&more).chain(&uses) {
            assert!(TERMS.iter().any(|(term, _)| term == name), "{name}");
        }
    }
}
