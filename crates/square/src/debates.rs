//! The debates of the square: topics with two sides, argued with the same number of arguments each.
//!
//! Both sides always get as many posts as each other in each language; who opens alternates by thread.

use serde::{Deserialize, Serialize};
use stoa_posts::Language;

/// Which side of a debate a post takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// In favour of the proposal.
    For,
    /// Against the proposal.
    Against,
}

/// Arguments a side has on a topic.
pub(crate) const ARGUMENTS: usize = 3;

/// A topic in one language.
pub(crate) struct Wording {
    /// The proposal, as a noun phrase.
    pub(crate) proposal: &'static str,
    pub(crate) pro: [&'static str; ARGUMENTS],
    pub(crate) contra: [&'static str; ARGUMENTS],
}

/// A topic in both languages.
pub(crate) struct Topic {
    pub(crate) english: Wording,
    pub(crate) french: Wording,
}

impl Topic {
    pub(crate) fn wording(&self, language: Language) -> &Wording {
        if language == Language::French { &self.french } else { &self.english }
    }
}

impl Wording {
    pub(crate) fn arguments(&self, side: Side) -> &[&'static str; ARGUMENTS] {
        match side {
            Side::For => &self.pro,
            Side::Against => &self.contra,
        }
    }
}

/// Question a neighbour asks about a topic, `{t}` being the proposal.
pub(crate) fn questions(language: Language) -> &'static [&'static str] {
    match language {
        Language::French => &[
            "Que dit-on pour et contre {t} ?",
            "Quels sont les arguments sur {t} ?",
            "Que pensent les gens de ceci : {t} ?",
            "Peux-tu résumer le débat sur {t} ?",
        ],
        _ => &[
            "What do people say for and against {t}?",
            "What are the arguments about {t}?",
            "What do people think of {t}?",
            "Can you sum up the debate about {t}?",
        ],
    }
}

/// An answer that gives both sides an argument each, in the order asked for.
pub(crate) fn both_sides(first: Side, pro: &str, contra: &str, language: Language) -> String {
    match (language, first) {
        (Language::French, Side::For) => {
            format!("Les uns sont pour : {pro}. Les autres sont contre : {contra}.")
        }
        (Language::French, Side::Against) => {
            format!("Les uns sont contre : {contra}. Les autres sont pour : {pro}.")
        }
        (_, Side::For) => format!("Some are for it: {pro}. Others are against it: {contra}."),
        (_, Side::Against) => format!("Some are against it: {contra}. Others are for it: {pro}."),
    }
}

/// Frames of a post that takes a side: `{t}` proposal, `{r}` argument.
pub(crate) fn frames(side: Side, language: Language) -> &'static [&'static str] {
    match (language, side) {
        (Language::French, Side::For) => &[
            "Je suis pour {t} : {r}.",
            "Oui à {t}, car {r}.",
            "Moi, je vote pour {t} : {r}.",
            "On a besoin de ceci : {t}. Vraiment, {r}.",
        ],
        (Language::French, Side::Against) => &[
            "Je suis contre {t} : {r}.",
            "Non à {t}, car {r}.",
            "Moi, je vote contre {t} : {r}.",
            "On se passe de ceci : {t}. Vraiment, {r}.",
        ],
        (_, Side::For) => &[
            "I am for {t}: {r}.",
            "Yes to {t}, because {r}.",
            "My vote goes to {t}: {r}.",
            "We do need {t}. Truly, {r}.",
        ],
        (_, Side::Against) => &[
            "I am against {t}: {r}.",
            "No to {t}, because {r}.",
            "My vote goes against {t}: {r}.",
            "We do not need {t}. Truly, {r}.",
        ],
    }
}

/// Every topic of the square.
pub(crate) static TOPICS: &[Topic] = &[
    Topic {
        english: Wording {
            proposal: "a market on Sundays",
            pro: [
                "families are free on that day",
                "farmers sell twice as much",
                "the streets come alive",
            ],
            contra: [
                "shopkeepers need a day of rest",
                "the noise starts at dawn",
                "the church square is too small",
            ],
        },
        french: Wording {
            proposal: "un marché le dimanche",
            pro: [
                "les familles sont libres ce jour-là",
                "les fermiers vendent deux fois plus",
                "les rues reprennent vie",
            ],
            contra: [
                "les marchands ont besoin de repos",
                "le bruit commence à l'aube",
                "la place de l'église est trop petite",
            ],
        },
    },
    Topic {
        english: Wording {
            proposal: "a second bridge",
            pro: [
                "the old one is full every morning",
                "the fire brigade would arrive sooner",
                "both banks would trade more",
            ],
            contra: [
                "the price is far too high",
                "the herons nest on that bank",
                "the ferry does the job well",
            ],
        },
        french: Wording {
            proposal: "un deuxième pont",
            pro: [
                "l'ancien est plein chaque matin",
                "les pompiers arriveraient plus tôt",
                "les deux rives feraient plus d'affaires",
            ],
            contra: [
                "le prix est bien trop élevé",
                "les hérons nichent sur cette rive",
                "le bac fait bien son travail",
            ],
        },
    },
    Topic {
        english: Wording {
            proposal: "bells at night",
            pro: [
                "the hours guide the fishermen",
                "the sound is part of our past",
                "sleepers soon get used to them",
            ],
            contra: [
                "small children wake up",
                "everybody has a watch today",
                "night workers cannot rest",
            ],
        },
        french: Wording {
            proposal: "les cloches la nuit",
            pro: [
                "les heures guident les pêcheurs",
                "ce son fait partie de notre passé",
                "les dormeurs s'y habituent vite",
            ],
            contra: [
                "les petits enfants se réveillent",
                "tout le monde a une montre",
                "ceux qui travaillent tard ne dorment plus",
            ],
        },
    },
    Topic {
        english: Wording {
            proposal: "free buses",
            pro: [
                "poor families could travel",
                "fewer cars would fill the roads",
                "nobody would queue for tickets",
            ],
            contra: [
                "somebody has to pay for the fuel",
                "the seats would always be taken",
                "walkers would pay for riders",
            ],
        },
        french: Wording {
            proposal: "des bus gratuits",
            pro: [
                "les familles pauvres pourraient voyager",
                "moins de voitures rempliraient les routes",
                "personne ne ferait la queue au guichet",
            ],
            contra: [
                "il faut bien payer le carburant",
                "les sièges seraient toujours pris",
                "les piétons paieraient pour les autres",
            ],
        },
    },
    Topic {
        english: Wording {
            proposal: "longer school days",
            pro: [
                "pupils would have time for music",
                "parents finish work late",
                "homework could be done there",
            ],
            contra: [
                "children are tired by noon",
                "play teaches as much as books",
                "the winter evenings are dark",
            ],
        },
        french: Wording {
            proposal: "des journées d'école plus longues",
            pro: [
                "les élèves auraient du temps pour la musique",
                "les parents finissent tard",
                "les devoirs se feraient sur place",
            ],
            contra: [
                "les enfants sont fatigués dès midi",
                "le jeu apprend autant que les livres",
                "les soirs d'hiver sont sombres",
            ],
        },
    },
    Topic {
        english: Wording {
            proposal: "fireworks at the harvest feast",
            pro: [
                "visitors come from far away",
                "the sky unites all ages",
                "the makers live in our valley",
            ],
            contra: [
                "animals hide in fear",
                "dry fields catch fire",
                "the money burns in a minute",
            ],
        },
        french: Wording {
            proposal: "un feu d'artifice à la fête des moissons",
            pro: [
                "des visiteurs viennent de loin",
                "le ciel réunit tous les âges",
                "les artificiers vivent dans notre vallée",
            ],
            contra: [
                "les bêtes se cachent de peur",
                "les champs secs prennent feu",
                "l'argent brûle en une minute",
            ],
        },
    },
    Topic {
        english: Wording {
            proposal: "a tax on visitors",
            pro: [
                "guests wear out our paths",
                "the baths could be repaired",
                "rich travellers would hardly notice",
            ],
            contra: [
                "inns would lose their guests",
                "a welcome should cost nothing",
                "counting people takes clerks",
            ],
        },
        french: Wording {
            proposal: "une taxe sur les visiteurs",
            pro: [
                "les visiteurs usent nos chemins",
                "on pourrait réparer les bains",
                "les riches voyageurs le sentiraient à peine",
            ],
            contra: [
                "les auberges perdraient leurs clients",
                "un accueil ne devrait rien coûter",
                "il faudrait des commis pour compter",
            ],
        },
    },
    Topic {
        english: Wording {
            proposal: "trees on the main square",
            pro: [
                "shade is precious in July",
                "birds would sing at noon",
                "roots drink the heavy rains",
            ],
            contra: [
                "dancers need the open ground",
                "leaves block the gutters",
                "stalls would lose their places",
            ],
        },
        french: Wording {
            proposal: "des arbres sur la grand-place",
            pro: [
                "l'ombre est précieuse en juillet",
                "les oiseaux chanteraient à midi",
                "les racines boivent les fortes pluies",
            ],
            contra: [
                "les danseurs ont besoin de place",
                "les feuilles bouchent les gouttières",
                "les étals perdraient leur emplacement",
            ],
        },
    },
];
