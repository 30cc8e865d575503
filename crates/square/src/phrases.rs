//! How the square speaks of each attribute: statements, first-person statements, questions.
//!
//! Patterns hold `{n}`, the subject's name, and the value: `{v}` bare, `{a}` with the indefinite
//! article, `{d}` with the definite one, `{p}` with the French partitive. Statements start with the
//! name, so that frames ("I heard that …") can be put before them in either language.

use super::lexicon::Gender;
use stoa_posts::Language;

/// What can be known about a person or a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Attribute {
    /// A person's trade.
    Trade,
    /// The town a person lives in.
    Home,
    /// A person's animal.
    Pet,
    /// What a person loves to eat.
    Food,
    /// What a person plays.
    Instrument,
    /// What a person collects.
    Collection,
    /// The tool a person lends out.
    Tool,
    /// The person that someone studied with.
    Teacher,
    /// What a town makes.
    Product,
    /// The river a town stands on.
    River,
    /// The year a town dates from.
    Founded,
    /// The person who is mayor of a town.
    Mayor,
}

impl Attribute {
    /// Attributes of people.
    pub const OF_PEOPLE: [Attribute; 8] = [
        Attribute::Trade,
        Attribute::Home,
        Attribute::Pet,
        Attribute::Food,
        Attribute::Instrument,
        Attribute::Collection,
        Attribute::Tool,
        Attribute::Teacher,
    ];
    /// Attributes of places.
    pub const OF_PLACES: [Attribute; 4] =
        [Attribute::Product, Attribute::River, Attribute::Founded, Attribute::Mayor];

    /// Name for reports.
    pub fn name(self) -> &'static str {
        match self {
            Attribute::Trade => "trade",
            Attribute::Home => "home",
            Attribute::Pet => "pet",
            Attribute::Food => "food",
            Attribute::Instrument => "instrument",
            Attribute::Collection => "collection",
            Attribute::Tool => "tool",
            Attribute::Teacher => "teacher",
            Attribute::Product => "product",
            Attribute::River => "river",
            Attribute::Founded => "founded",
            Attribute::Mayor => "mayor",
        }
    }
}

/// A value with the forms sentences need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noun {
    pub(crate) english: String,
    pub(crate) french: String,
    pub(crate) gender: Gender,
}

impl Noun {
    /// The bare word in a language (English unless French is asked for).
    pub fn word(&self, language: Language) -> &str {
        if language == Language::French { &self.french } else { &self.english }
    }

    pub(crate) fn indefinite(&self, language: Language) -> String {
        let word = self.word(language);
        let article = match (language, self.gender) {
            (Language::French, Gender::Masculine | Gender::MasculineElided) => "un",
            (Language::French, _) => "une",
            _ if word.starts_with(['a', 'e', 'i', 'o']) => "an",
            _ => "a",
        };
        format!("{article} {word}")
    }

    pub(crate) fn definite(&self, language: Language) -> String {
        let word = self.word(language);
        match (language, self.gender) {
            (Language::French, Gender::Masculine) => format!("le {word}"),
            (Language::French, Gender::Feminine) => format!("la {word}"),
            (Language::French, _) => format!("l'{word}"),
            _ => format!("the {word}"),
        }
    }

    pub(crate) fn partitive(&self, language: Language) -> String {
        let word = self.word(language);
        match (language, self.gender) {
            (Language::French, Gender::Masculine) => format!("du {word}"),
            (Language::French, Gender::Feminine) => format!("de la {word}"),
            (Language::French, _) => format!("de l'{word}"),
            _ => word.to_string(),
        }
    }
}

/// The patterns of one attribute in one language.
pub(crate) struct Phrases {
    /// Statements about a person; the first is the form of every answer.
    pub(crate) statements: [&'static str; 3],
    /// What people say of themselves; empty for places.
    pub(crate) own: &'static str,
    /// Questions.
    pub(crate) questions: [&'static str; 4],
    /// A question that follows another one about the same subject, without the name.
    pub(crate) follow_up: &'static str,
}

/// Fills a pattern.
pub(crate) fn fill(pattern: &str, name: &str, value: &Noun, language: Language) -> String {
    let mut filled = pattern.replace("{n}", name);
    if filled.contains("{a}") {
        filled = filled.replace("{a}", &value.indefinite(language));
    }
    if filled.contains("{d}") {
        filled = filled.replace("{d}", &value.definite(language));
    }
    if filled.contains("{p}") {
        filled = filled.replace("{p}", &value.partitive(language));
    }
    filled.replace("{v}", value.word(language))
}

/// Ways to wrap a statement `{s}`, which starts with a name and has no final stop.
pub(crate) fn frames(language: Language) -> &'static [&'static str] {
    match language {
        Language::French => &[
            "{s}.",
            "On m'a dit que {s}.",
            "Au fait, {s}.",
            "Tout le monde sait que {s}.",
            "Le savais-tu ? {s}.",
            "{s}, sans aucun doute.",
            "Je peux te dire que {s}.",
            "Il paraît que {s}.",
            "{s}, bien sûr.",
            "C'est vrai, {s}.",
        ],
        _ => &[
            "{s}.",
            "I heard that {s}.",
            "By the way, {s}.",
            "Everyone knows that {s}.",
            "Did you know? {s}.",
            "{s}, without any doubt.",
            "I can tell you that {s}.",
            "They say that {s}.",
            "{s}, of course.",
            "It is true, {s}.",
        ],
    }
}

/// The patterns for an attribute in a language.
pub(crate) fn phrases(attribute: Attribute, language: Language) -> &'static Phrases {
    let (english, french) = match attribute {
        Attribute::Trade => (&TRADE_EN, &TRADE_FR),
        Attribute::Home => (&HOME_EN, &HOME_FR),
        Attribute::Pet => (&PET_EN, &PET_FR),
        Attribute::Food => (&FOOD_EN, &FOOD_FR),
        Attribute::Instrument => (&INSTRUMENT_EN, &INSTRUMENT_FR),
        Attribute::Collection => (&COLLECTION_EN, &COLLECTION_FR),
        Attribute::Tool => (&TOOL_EN, &TOOL_FR),
        Attribute::Teacher => (&TEACHER_EN, &TEACHER_FR),
        Attribute::Product => (&PRODUCT_EN, &PRODUCT_FR),
        Attribute::River => (&RIVER_EN, &RIVER_FR),
        Attribute::Founded => (&FOUNDED_EN, &FOUNDED_FR),
        Attribute::Mayor => (&MAYOR_EN, &MAYOR_FR),
    };
    if language == Language::French { french } else { english }
}

static TRADE_EN: Phrases = Phrases {
    statements: ["{n} is {a}", "{n} works as {a}", "{n} earns a living as {a}"],
    own: "I am {a}",
    questions: [
        "What is {n}'s trade?",
        "What does {n} do for a living?",
        "Which trade does {n} have?",
        "Can you tell me {n}'s trade?",
    ],
    follow_up: "And which trade?",
};
static TRADE_FR: Phrases = Phrases {
    statements: ["{n} est {v}", "{n} travaille comme {v}", "{n} gagne sa vie comme {v}"],
    own: "je suis {v}",
    questions: [
        "Quel est le métier de {n} ?",
        "Que fait {n} dans la vie ?",
        "Quel métier exerce {n} ?",
        "Peux-tu me dire le métier de {n} ?",
    ],
    follow_up: "Et quel métier ?",
};
static HOME_EN: Phrases = Phrases {
    statements: ["{n} lives in {v}", "{n} has a house in {v}", "{n} sleeps in {v}"],
    own: "I live in {v}",
    questions: [
        "Where does {n} live?",
        "In which town does {n} live?",
        "Which town is {n}'s home?",
        "Can you tell me where {n} lives?",
    ],
    follow_up: "And which town?",
};
static HOME_FR: Phrases = Phrases {
    statements: ["{n} habite à {v}", "{n} a une maison à {v}", "{n} dort à {v}"],
    own: "j'habite à {v}",
    questions: [
        "Où habite {n} ?",
        "Dans quelle ville habite {n} ?",
        "Quelle est la ville de {n} ?",
        "Peux-tu me dire où habite {n} ?",
    ],
    follow_up: "Et quelle ville ?",
};
static PET_EN: Phrases = Phrases {
    statements: ["{n} keeps {a}", "{n} takes care of {a}", "{n} goes for walks with {a}"],
    own: "I keep {a}",
    questions: [
        "Which animal does {n} keep?",
        "What animal does {n} have?",
        "What is {n}'s pet?",
        "Can you tell me which animal {n} keeps?",
    ],
    follow_up: "And which animal?",
};
static PET_FR: Phrases = Phrases {
    statements: ["{n} élève {a}", "{n} s'occupe d'{a}", "{n} se promène avec {a}"],
    own: "j'élève {a}",
    questions: [
        "Quel animal élève {n} ?",
        "Quel animal possède {n} ?",
        "Quel est l'animal de {n} ?",
        "Peux-tu me dire quel animal élève {n} ?",
    ],
    follow_up: "Et quel animal ?",
};
static FOOD_EN: Phrases = Phrases {
    statements: ["{n} loves {v}", "{n} eats {v} every week", "{n} cannot resist {v}"],
    own: "I love {v}",
    questions: [
        "What does {n} love to eat?",
        "What is {n}'s favourite food?",
        "Which food does {n} love?",
        "Can you tell me what {n} loves to eat?",
    ],
    follow_up: "And which food?",
};
static FOOD_FR: Phrases = Phrases {
    statements: [
        "{n} adore les {v}",
        "{n} mange des {v} chaque semaine",
        "{n} ne résiste pas aux {v}",
    ],
    own: "j'adore les {v}",
    questions: [
        "Qu'est-ce que {n} adore manger ?",
        "Que mange {n} avec plaisir ?",
        "Quel est le plat préféré de {n} ?",
        "Peux-tu me dire ce que {n} adore manger ?",
    ],
    follow_up: "Et quel plat ?",
};
static INSTRUMENT_EN: Phrases = Phrases {
    statements: ["{n} plays the {v}", "{n} practises the {v}", "{n} makes music on the {v}"],
    own: "I play the {v}",
    questions: [
        "What does {n} play?",
        "Which instrument does {n} play?",
        "What is {n}'s instrument?",
        "Can you tell me which instrument {n} plays?",
    ],
    follow_up: "And which instrument?",
};
static INSTRUMENT_FR: Phrases = Phrases {
    statements: ["{n} joue {p}", "{n} pratique {d}", "{n} fait de la musique avec {d}"],
    own: "je joue {p}",
    questions: [
        "De quoi joue {n} ?",
        "De quel instrument joue {n} ?",
        "Quel est l'instrument de {n} ?",
        "Peux-tu me dire de quel instrument joue {n} ?",
    ],
    follow_up: "Et quel instrument ?",
};
static COLLECTION_EN: Phrases = Phrases {
    statements: ["{n} collects {v}", "{n} looks everywhere for {v}", "{n} has a room full of {v}"],
    own: "I collect {v}",
    questions: [
        "What does {n} collect?",
        "Which things does {n} collect?",
        "What is in {n}'s collection?",
        "Can you tell me what {n} collects?",
    ],
    follow_up: "And which collection?",
};
static COLLECTION_FR: Phrases = Phrases {
    statements: [
        "{n} collectionne les {v}",
        "{n} cherche partout des {v}",
        "{n} garde chez soi des {v}",
    ],
    own: "je collectionne les {v}",
    questions: [
        "Que collectionne {n} ?",
        "Quels objets collectionne {n} ?",
        "Quelle est la collection de {n} ?",
        "Peux-tu me dire ce que collectionne {n} ?",
    ],
    follow_up: "Et quelle collection ?",
};
static TOOL_EN: Phrases = Phrases {
    statements: ["{n} lends out {a}", "{n} owns {a}", "{n} can lend you {a}"],
    own: "I lend out {a}",
    questions: [
        "What does {n} lend out?",
        "Which tool does {n} lend out?",
        "What can I borrow from {n}?",
        "Can you tell me what {n} lends out?",
    ],
    follow_up: "And which tool?",
};
static TOOL_FR: Phrases = Phrases {
    statements: ["{n} prête {a}", "{n} possède {a}", "{n} peut te prêter {a}"],
    own: "je prête {a}",
    questions: [
        "Que prête {n} ?",
        "Quel outil prête {n} ?",
        "Que peut-on emprunter à {n} ?",
        "Peux-tu me dire ce que prête {n} ?",
    ],
    follow_up: "Et quel outil ?",
};
static TEACHER_EN: Phrases = Phrases {
    statements: [
        "{n} studied with {v}",
        "{n} took lessons from {v}",
        "{n} learned everything from {v}",
    ],
    own: "I studied with {v}",
    questions: [
        "With whom did {n} study?",
        "Who was {n}'s teacher?",
        "Who taught {n}?",
        "Can you tell me who taught {n}?",
    ],
    follow_up: "And which teacher?",
};
static TEACHER_FR: Phrases = Phrases {
    statements: [
        "{n} a étudié avec {v}",
        "{n} a pris des leçons avec {v}",
        "{n} a tout appris de {v}",
    ],
    own: "j'ai étudié avec {v}",
    questions: [
        "Avec qui {n} a étudié ?",
        "Qui a donné des leçons à {n} ?",
        "Qui a formé {n} ?",
        "Peux-tu me dire qui a formé {n} ?",
    ],
    follow_up: "Et avec qui ?",
};
static PRODUCT_EN: Phrases = Phrases {
    statements: ["{n} makes {v}", "{n} sells {v} far and wide", "{n} lives from its {v}"],
    own: "",
    questions: [
        "What does {n} make?",
        "What is {n} known for?",
        "What does {n} sell?",
        "Can you tell me what {n} makes?",
    ],
    follow_up: "And which product?",
};
static PRODUCT_FR: Phrases = Phrases {
    statements: ["{n} produit {p}", "{n} vend {p} partout", "{n} fabrique {p}"],
    own: "",
    questions: [
        "Que produit {n} ?",
        "Quelle est la spécialité de {n} ?",
        "Que vend {n} ?",
        "Peux-tu me dire ce que produit {n} ?",
    ],
    follow_up: "Et quelle spécialité ?",
};
static RIVER_EN: Phrases = Phrases {
    statements: [
        "{n} stands on the river {v}",
        "{n} lies by the river {v}",
        "{n} takes its water from the river {v}",
    ],
    own: "",
    questions: [
        "Which river runs through {n}?",
        "On which river does {n} stand?",
        "What is the river of {n}?",
        "Can you tell me the river of {n}?",
    ],
    follow_up: "And which river?",
};
static RIVER_FR: Phrases = Phrases {
    statements: [
        "{n} se trouve sur la rivière {v}",
        "{n} est au bord de la rivière {v}",
        "{n} boit l'eau de la rivière {v}",
    ],
    own: "",
    questions: [
        "Quelle rivière traverse {n} ?",
        "Sur quelle rivière se trouve {n} ?",
        "Quelle est la rivière de {n} ?",
        "Peux-tu me dire la rivière de {n} ?",
    ],
    follow_up: "Et quelle rivière ?",
};
static FOUNDED_EN: Phrases = Phrases {
    statements: ["{n} dates from {v}", "{n} was founded in {v}", "{n} goes back to {v}"],
    own: "",
    questions: [
        "When was {n} founded?",
        "In which year was {n} founded?",
        "How far does {n} go back?",
        "Can you tell me when {n} was founded?",
    ],
    follow_up: "And which year?",
};
static FOUNDED_FR: Phrases = Phrases {
    statements: ["{n} date de {v}", "{n} existe depuis {v}", "{n} remonte à {v}"],
    own: "",
    questions: [
        "De quand date {n} ?",
        "De quelle année date {n} ?",
        "Depuis quand existe {n} ?",
        "Peux-tu me dire de quand date {n} ?",
    ],
    follow_up: "Et quelle année ?",
};
static MAYOR_EN: Phrases = Phrases {
    statements: ["{n} has as mayor {v}", "{n} elected {v}", "{n} is governed by {v}"],
    own: "",
    questions: [
        "Who is the mayor of {n}?",
        "Who governs {n}?",
        "Whom did {n} elect?",
        "Can you tell me the mayor of {n}?",
    ],
    follow_up: "And which mayor?",
};
static MAYOR_FR: Phrases = Phrases {
    statements: ["{n} a pour maire {v}", "{n} a élu {v}", "{n} a choisi {v}"],
    own: "",
    questions: [
        "Qui est le maire de {n} ?",
        "Qui gouverne {n} ?",
        "Qui a été élu à {n} ?",
        "Peux-tu me dire le maire de {n} ?",
    ],
    follow_up: "Et quel maire ?",
};
