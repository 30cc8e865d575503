//! Which part of a work one of several processes does: `I/N`. The tasks of a work do not depend on it.

use crate::error::CorpusError;

/// A share of the tasks: `index` from 0, of `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which process, from 0.
    pub index: usize,
    /// How many processes.
    pub of: usize,
}

impl Share {
    /// All tasks: one process.
    pub const ALL: Share = Share { index: 0, of: 1 };

    /// Reads `I/N`, from 1.
    ///
    /// # Errors
    /// [`CorpusError::NoSuchShare`].
    pub fn parse(text: &str) -> Result<Share, CorpusError> {
        let number = |text: &str| text.trim().parse::<usize>().ok();
        let numbers = text.split_once('/').and_then(|(i, n)| Some((number(i)?, number(n)?)));
        match numbers {
            Some((index, of)) if (1..=of).contains(&index) => Ok(Share { index: index - 1, of }),
            _ => Err(CorpusError::NoSuchShare { text: text.to_owned() }),
        }
    }

    /// Whether a task is of this share.
    pub fn owns(self, task: usize) -> bool {
        task % self.of == self.index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_and_refused() {
        assert_eq!(Share::parse("2/8").unwrap(), Share { index: 1, of: 8 });
        assert_eq!(Share::parse(" 1 / 1 ").unwrap(), Share::ALL);
        for wrong in ["0/2", "3/2", "1", "a/b", "1/2/3", "", "1/0"] {
            assert!(Share::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_task_is_of_one_share() {
        for task in 0..20 {
            let owners = (0..3).filter(|&index| Share { index, of: 3 }.owns(task));
            assert_eq!(owners.count(), 1);
        }
    }
}
