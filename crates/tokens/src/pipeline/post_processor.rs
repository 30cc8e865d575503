//! What is put around a text: the ids of a post-processor's special tokens.

use super::Part;
use crate::{TokenId, TokensError};

/// Ids before and after a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Around {
    pub(crate) prefix: Vec<TokenId>,
    pub(crate) suffix: Vec<TokenId>,
}

/// Kinds that can stand in a file.
const SUPPORTED: &str = "null, ByteLevel, TemplateProcessing, BertProcessing, RobertaProcessing, \
                         or a Sequence of these";

impl Around {
    /// What the post-processors of a part put around one text.
    pub(crate) fn read(part: &Part<'_>) -> Result<Self, TokensError> {
        let mut around = Self::default();
        for part in part.flattened("processors")? {
            // Each processor wraps what the one before it gave.
            let Self { mut prefix, suffix } = Self::read_one(&part)?;
            prefix.append(&mut around.prefix);
            around.prefix = prefix;
            around.suffix.extend(suffix);
        }
        Ok(around)
    }

    fn read_one(part: &Part<'_>) -> Result<Self, TokensError> {
        match part.kind()? {
            // It only moves offsets.
            "ByteLevel" => Ok(Self::default()),
            "TemplateProcessing" => Self::read_template(part),
            "BertProcessing" | "RobertaProcessing" => {
                let id = |name: &str| {
                    let pair = part.get(name);
                    let id = pair.value[1].as_u64().and_then(|id| u32::try_from(id).ok());
                    let id = id.ok_or_else(|| pair.unsupported("a token and its id"))?;
                    Ok::<_, TokensError>(vec![TokenId(id)])
                };
                Ok(Self { prefix: id("cls")?, suffix: id("sep")? })
            }
            _ => Err(part.unknown_kind(SUPPORTED)),
        }
    }

    /// The ids around the text in a template for one text.
    fn read_template(part: &Part<'_>) -> Result<Self, TokensError> {
        let single = part.get("single");
        let refuse = || single.unsupported("special tokens around one Sequence A");
        let mut sides = [Vec::new(), Vec::new()];
        let mut side = 0;
        for piece in part.items("single")? {
            if piece.value["Sequence"]["id"] == "A" && side == 0 {
                side = 1;
                continue;
            }
            let name = piece.value["SpecialToken"]["id"].as_str().ok_or_else(refuse)?;
            let ids = part.value["special_tokens"][name]["ids"].as_array().ok_or_else(refuse)?;
            for id in ids {
                let id = id.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(refuse)?;
                sides[side].push(TokenId(id));
            }
        }
        let [prefix, suffix] = sides;
        if side == 1 { Ok(Self { prefix, suffix }) } else { Err(refuse()) }
    }
}
