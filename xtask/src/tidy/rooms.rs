//! Who may know whom. The table is the plan of ARCHITECTURE.md, "Who may know whom"; changing it
//! is a decision about the design, not a fix.

use super::Violation;

/// A dependency of one package of the workspace on another. An edge from a package to itself only
/// says that the package exists.
#[derive(Clone, Debug)]
pub struct Edge {
    /// Manifest that declares it, from the workspace root.
    pub manifest: String,
    /// Line of the declaration, from 1; 0 when unknown.
    pub line: usize,
    /// Package that knows.
    pub from: String,
    /// Package that is known.
    pub to: String,
    /// A dev-dependency.
    pub only_in_tests: bool,
}

/// A room and its acquaintances.
struct Room {
    package: &'static str,
    may_know: &'static [&'static str],
    /// Besides `may_know`, in tests only: an engine to run programs on.
    may_test_with: &'static [&'static str],
}

const ROOMS: &[Room] = &[
    Room { package: "stoa-posts", may_know: &["stoa-remote"], may_test_with: &[] },
    // Of dialogues the types only.
    Room {
        package: "stoa-corpus",
        may_know: &["stoa-posts", "stoa-dialogue", "stoa-remote"],
        may_test_with: &["stoa-square"],
    },
    Room {
        package: "stoa-square",
        may_know: &["stoa-posts", "stoa-dialogue"],
        may_test_with: &["stoa-corpus"],
    },
    Room {
        package: "stoa-audit",
        may_know: &["stoa-posts", "stoa-corpus", "stoa-report"],
        may_test_with: &[],
    },
    // Special tokens of a template are those of a tokenizer.
    Room { package: "stoa-dialogue", may_know: &["stoa-tokens"], may_test_with: &[] },
    Room { package: "stoa-durable", may_know: &[], may_test_with: &[] },
    Room { package: "stoa-maps", may_know: &[], may_test_with: &[] },
    Room { package: "stoa-random", may_know: &[], may_test_with: &[] },
    // Posts for their sides and durability; engines through the `Engine` trait of graph.
    Room {
        package: "stoa-runs",
        may_know: &[
            "stoa-assistant",
            "stoa-corpus",
            "stoa-dialogue",
            "stoa-gguf",
            "stoa-graph",
            "stoa-models",
            "stoa-posts",
            "stoa-shelf",
            "stoa-square",
            "stoa-tokens",
            "stoa-training",
        ],
        may_test_with: &["stoa-native"],
    },
    Room { package: "stoa-shelf", may_know: &["stoa-gguf", "stoa-remote"], may_test_with: &[] },
    Room { package: "stoa-tokens", may_know: &[], may_test_with: &[] },
    Room { package: "stoa-graph", may_know: &[], may_test_with: &[] },
    // Reads the costs of programs.
    Room { package: "stoa-planner", may_know: &["stoa-graph", "stoa-report"], may_test_with: &[] },
    Room { package: "stoa-remote", may_know: &[], may_test_with: &[] },
    Room { package: "stoa-report", may_know: &[], may_test_with: &[] },
    Room { package: "stoa-native", may_know: &["stoa-graph"], may_test_with: &[] },
    Room { package: "stoa-gguf", may_know: &["stoa-graph"], may_test_with: &[] },
    Room {
        package: "stoa-models",
        may_know: &["stoa-gguf", "stoa-graph"],
        may_test_with: &["stoa-native"],
    },
    // Engines come through the `Engine` trait of graph.
    Room {
        package: "stoa-training",
        may_know: &["stoa-models", "stoa-tokens", "stoa-dialogue", "stoa-graph", "stoa-report"],
        may_test_with: &["stoa-native"],
    },
    Room {
        package: "stoa-assistant",
        may_know: &["stoa-gguf", "stoa-models", "stoa-tokens", "stoa-dialogue", "stoa-graph"],
        may_test_with: &["stoa-native"],
    },
];

/// What every room may know: writing files, mapping them and drawing numbers, each in one place.
const FOUNDATIONS: &[&str] = &["stoa-durable", "stoa-maps", "stoa-random"];

/// Packages that may know every other: the binary wires the house, xtask inspects it.
const KNOW_EVERYONE: &[&str] = &["stoa", "xtask"];

/// Edges that the plan does not have, and packages without a place in it.
pub fn check(edges: &[Edge]) -> Vec<Violation> {
    edges.iter().filter_map(check_edge).collect()
}

fn check_edge(edge: &Edge) -> Option<Violation> {
    let violation = |message| Some(Violation::new(&edge.manifest, edge.line, message));
    if KNOW_EVERYONE.contains(&edge.to.as_str()) && edge.from != edge.to {
        return violation(format!(
            "{} may not know {}: move what it needs into a room below",
            edge.from, edge.to
        ));
    }
    if KNOW_EVERYONE.contains(&edge.from.as_str()) {
        return None;
    }
    let Some(room) = ROOMS.iter().find(|room| room.package == edge.from) else {
        if edge.from != edge.to {
            return None;
        }
        return violation(format!(
            "{} has no place in the plan: add it to ROOMS in xtask/src/tidy/rooms.rs and to \
             ARCHITECTURE.md",
            edge.from
        ));
    };
    let to = edge.to.as_str();
    let allowed = edge.from == edge.to
        || room.may_know.contains(&to)
        || FOUNDATIONS.contains(&to)
        || (edge.only_in_tests && room.may_test_with.contains(&to));
    if allowed {
        return None;
    }
    let known = match room.may_know {
        [] => "the foundations only".to_owned(),
        names => names.join(", "),
    };
    violation(format!(
        "{} may know {known}, not {to}: pass what it needs as an argument or through a trait",
        edge.from
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: &str, to: &str, only_in_tests: bool) -> Edge {
        Edge {
            manifest: "Cargo.toml".to_owned(),
            line: 3,
            from: from.to_owned(),
            to: to.to_owned(),
            only_in_tests,
        }
    }

    #[test]
    fn planned_edges_pass() {
        let planned = [
            edge("stoa-posts", "stoa-posts", false),
            edge("stoa-native", "stoa-graph", false),
            edge("stoa-training", "stoa-models", false),
            edge("stoa-training", "stoa-native", true),
            edge("stoa-tokens", "stoa-durable", false),
            edge("stoa", "stoa-native", false),
            edge("xtask", "stoa-tokens", false),
        ];
        assert_eq!(check(&planned), []);
    }

    #[test]
    fn other_edges_are_named() {
        let found = check(&[edge("stoa-training", "stoa-native", false)]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].path.as_str(), found[0].line), ("Cargo.toml", 3));
        assert!(found[0].message.contains("not stoa-native"), "{}", found[0].message);
        assert_eq!(check(&[edge("stoa-graph", "stoa-native", true)]).len(), 1);
        assert_eq!(check(&[edge("stoa-posts", "xtask", true)]).len(), 1);
    }

    #[test]
    fn a_new_room_needs_a_place() {
        let found = check(&[edge("stoa-attic", "stoa-attic", false)]);
        assert!(found[0].message.contains("no place"), "{}", found[0].message);
        assert_eq!(check(&[edge("stoa-attic", "stoa-graph", false)]), []);
    }
}
