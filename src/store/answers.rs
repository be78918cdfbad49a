//! Which events were answered, so that each is answered at most once.
//!
//! The intent is durable before the call leaves and the outcome after it came. An intent that is
//! found without an outcome is of a call whose end nobody saw.

use rusqlite::OptionalExtension as _;

use super::{Error, Store};

/// What is known of an event's answer before a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerBegun {
    /// There was none; the intent is written down.
    New,
    /// It was answered.
    Answered,
    /// A call was made, and nobody saw its end.
    Unknown,
}

impl Store {
    /// Writes down that an event is about to be answered, unless it was before. Callers see to it that
    /// nobody else does so for the same event at the same time.
    ///
    /// # Errors
    /// When the write failed; then nothing changed.
    pub async fn begin_answer(&self, seq: u64) -> Result<AnswerBegun, Error> {
        let seq = seq.cast_signed();
        self.write(move |connection| {
            let found: Option<bool> = connection
                .prepare_cached("SELECT answered FROM answers WHERE seq = ?1")?
                .query_row([seq], |row| row.get(0))
                .optional()?;
            if let Some(answered) = found {
                return Ok(if answered {
                    AnswerBegun::Answered
                } else {
                    AnswerBegun::Unknown
                });
            }
            connection
                .prepare_cached("INSERT INTO answers (seq, answered) VALUES (?1, 0)")?
                .execute([seq])?;
            Ok(AnswerBegun::New)
        })
        .await
    }

    /// The call succeeded.
    ///
    /// # Errors
    /// When the write failed; then the outcome stays unknown.
    pub async fn finish_answer(&self, seq: u64) -> Result<(), Error> {
        self.settle("UPDATE answers SET answered = 1 WHERE seq = ?1", seq)
            .await
    }

    /// The call surely did not run.
    ///
    /// # Errors
    /// When the write failed; then the outcome stays unknown.
    pub async fn release_answer(&self, seq: u64) -> Result<(), Error> {
        self.settle("DELETE FROM answers WHERE seq = ?1", seq).await
    }

    async fn settle(&self, statement: &'static str, seq: u64) -> Result<(), Error> {
        self.write(move |connection| {
            connection
                .prepare_cached(statement)?
                .execute([seq.cast_signed()])?;
            Ok(())
        })
        .await
    }
}
