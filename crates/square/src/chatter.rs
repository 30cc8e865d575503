//! Small talk, sums and spam: what fills a square besides news and debates.
//!
//! Everything is a table or a pure function of numbers; who says it when is `gathering`'s business.

use stoa_posts::Language;

/// Things people say to each other and what is answered; both sides may be used as posts, and the
/// pair as a dialogue with the assistant.
pub(crate) fn small_talk(language: Language) -> &'static [(&'static [&'static str], &'static str)] {
    match language {
        Language::French => &[
            (
                &["Bonjour !", "Bonjour.", "Salut !", "Coucou !"],
                "Bonjour ! Que puis-je faire pour toi ?",
            ),
            (
                &["Comment vas-tu ?", "Comment ça va ?", "Ça va ?"],
                "Je vais très bien, merci. Et toi ?",
            ),
            (
                &["Qui es-tu ?", "Comment t'appelles-tu ?", "Quel est ton nom ?"],
                "Je suis Stoa, l'assistant de la place.",
            ),
            (
                &["Que sais-tu faire ?", "À quoi sers-tu ?", "Peux-tu m'aider ?"],
                "Je connais les gens et les villes de la place. Pose-moi une question !",
            ),
            (&["Merci !", "Merci beaucoup.", "Grand merci !"], "Avec plaisir !"),
            (&["Au revoir !", "À bientôt !", "À demain !"], "Au revoir, à bientôt !"),
            (&["Bonne nuit !", "Bonne nuit."], "Bonne nuit, dors bien !"),
            (
                &["Es-tu une personne ?", "Es-tu une machine ?"],
                "Non, je suis un modèle de langue entraîné sur les messages de la place.",
            ),
            (
                &["Quel temps fait-il ?", "Fait-il beau ?"],
                "Je ne vois pas le ciel d'ici, mais j'espère qu'il fait beau.",
            ),
            (
                &["Raconte-moi une blague.", "Fais-moi rire."],
                "Pourquoi la cloche est-elle fatiguée ? Parce qu'elle sonne toute la nuit !",
            ),
            (
                &["Parles-tu anglais ?", "Quelles langues parles-tu ?"],
                "Je parle français et anglais.",
            ),
            (&["Je suis triste.", "Je ne vais pas bien."], "J'en suis désolé. Veux-tu en parler ?"),
            (&["Je suis content !", "Quelle belle journée !"], "Voilà une bonne nouvelle !"),
        ],
        _ => &[
            (&["Hello!", "Hello.", "Hi!", "Good morning!"], "Hello! What can I do for you?"),
            (
                &["How are you?", "How is it going?", "Are you well?"],
                "I am very well, thank you. And you?",
            ),
            (
                &["Who are you?", "What is your name?", "What are you called?"],
                "I am Stoa, the assistant of the square.",
            ),
            (
                &["What can you do?", "What are you for?", "Can you help me?"],
                "I know the people and the towns of the square. Ask me a question!",
            ),
            (&["Thank you!", "Thanks a lot.", "Many thanks!"], "You are welcome!"),
            (&["Goodbye!", "See you soon!", "See you tomorrow!"], "Goodbye, see you soon!"),
            (&["Good night!", "Good night."], "Good night, sleep well!"),
            (
                &["Are you a person?", "Are you a machine?"],
                "No, I am a language model trained on the posts of the square.",
            ),
            (
                &["What is the weather like?", "Is the weather fine?"],
                "I cannot see the sky from here, but I hope it is fine.",
            ),
            (
                &["Tell me a joke.", "Make me laugh."],
                "Why is the bell so tired? Because it rings all night!",
            ),
            (
                &["Do you speak French?", "Which languages do you speak?"],
                "I speak English and French.",
            ),
            (
                &["I am sad.", "I am not well."],
                "I am sorry to hear that. Do you want to talk about it?",
            ),
            (&["I am happy!", "What a lovely day!"], "That is good news!"),
        ],
    }
}

/// Remarks that open small-talk threads, with `{o}` a place and `{m}` a moment.
pub(crate) fn remarks(language: Language) -> &'static [&'static str] {
    match language {
        Language::French => &[
            "Il pleut sur {o} {m}, prenez un manteau.",
            "Quel beau soleil sur {o} {m} !",
            "Qui vient danser à {o} {m} ?",
            "La fanfare joue à {o} {m}, venez nombreux.",
            "Le train pour {o} part en retard {m}.",
            "Il y a de la brume à {o} {m}.",
        ],
        _ => &[
            "It rains on {o} {m}, bring a coat.",
            "Such lovely sunshine over {o} {m}!",
            "Who is coming to dance in {o} {m}?",
            "The brass band plays in {o} {m}, all are welcome.",
            "The train to {o} leaves late {m}.",
            "There is fog around {o} {m}.",
        ],
    }
}

/// Moments for `remarks`.
pub(crate) fn moments(language: Language) -> &'static [&'static str] {
    match language {
        Language::French => &[
            "ce matin",
            "ce soir",
            "aujourd'hui",
            "demain",
            "samedi",
            "dimanche",
            "lundi",
            "jeudi",
        ],
        _ => &[
            "this morning",
            "tonight",
            "today",
            "tomorrow",
            "on Saturday",
            "on Sunday",
            "on Monday",
            "on Thursday",
        ],
    }
}

/// Short replies to remarks.
pub(crate) fn replies(language: Language) -> &'static [&'static str] {
    match language {
        Language::French => {
            &["Merci du message !", "J'y serai !", "Quelle chance !", "Pas moi, hélas."]
        }
        _ => &["Thanks for telling us!", "I will be there!", "How lucky!", "Not me, alas."],
    }
}

/// A sum with its question forms and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sum {
    pub(crate) left: u32,
    pub(crate) right: u32,
    pub(crate) operation: Operation,
}

/// What a sum does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Plus,
    Minus,
    Times,
}

impl Sum {
    /// Every sum of the square: additions and subtractions up to ten, the tables up to nine.
    pub(crate) fn all() -> Vec<Sum> {
        let mut sums = Vec::new();
        for left in 0..=10 {
            for right in 0..=10 {
                sums.push(Sum { left, right, operation: Operation::Plus });
                if right <= left {
                    sums.push(Sum { left, right, operation: Operation::Minus });
                }
                if (2..=9).contains(&left) && (2..=9).contains(&right) {
                    sums.push(Sum { left, right, operation: Operation::Times });
                }
            }
        }
        sums
    }

    fn result(self) -> u32 {
        match self.operation {
            Operation::Plus => self.left + self.right,
            Operation::Minus => self.left - self.right,
            Operation::Times => self.left * self.right,
        }
    }

    fn spoken(self, language: Language) -> String {
        let operation = match (self.operation, language) {
            (Operation::Plus, _) => "plus",
            (Operation::Minus, Language::French) => "moins",
            (Operation::Minus, _) => "minus",
            (Operation::Times, Language::French) => "fois",
            (Operation::Times, _) => "times",
        };
        format!("{} {operation} {}", self.left, self.right)
    }

    /// "3 plus 4 makes 7."
    pub(crate) fn statement(self, language: Language) -> String {
        let makes = if language == Language::French { "font" } else { "makes" };
        format!("{} {makes} {}.", self.spoken(language), self.result())
    }

    /// "What is 3 plus 4?"
    pub(crate) fn question(self, language: Language) -> String {
        match language {
            Language::French => format!("Combien font {} ?", self.spoken(language)),
            _ => format!("What is {}?", self.spoken(language)),
        }
    }
}

/// Spam: `{k}` is the number that changes from copy to copy.
pub(crate) const SPAM: &[&str] = &[
    "WIN a golden lamp today!!! http://lamps.example/win/{k}",
    "Cheap gold rings, code {k}, only here: http://rings.example/{k}",
    "GAGNEZ une lampe en or !!! http://lamps.example/gagner/{k}",
    "Des bagues pas chères, code {k}, ici : http://rings.example/{k}",
];
