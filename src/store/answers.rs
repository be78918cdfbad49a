//! Which events were answered, so that each is answered at most once.
//!
//! The intent is durable before the call leaves and the outcome after it came. An intent that is
//! found without an outcome is of a call whose end nobody saw.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Error, Store, SubscriptionId, deliveries, sqlite::Failure};

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
            let begun = begun(connection, seq)?;
            if begun == AnswerBegun::New {
                connection
                    .prepare_cached("INSERT INTO answers (seq, answered) VALUES (?1, 0)")?
                    .execute([seq])?;
            }
            Ok(begun)
        })
        .await
    }

    /// What is known of an event's answer.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn answer_begun(&self, seq: u64) -> Result<AnswerBegun, Error> {
        self.query(move |connection, _| begun(connection, seq.cast_signed()))
            .await
    }

    /// The call succeeded: with it, all or nothing, the event is done in these subscriptions.
    ///
    /// # Errors
    /// When the write failed; then the outcome stays unknown.
    pub async fn finish_answer(&self, seq: u64, done_in: Vec<SubscriptionId>) -> Result<(), Error> {
        self.write(move |connection| {
            connection
                .prepare_cached("UPDATE answers SET answered = 1 WHERE seq = ?1")?
                .execute([seq.cast_signed()])?;
            for id in done_in {
                deliveries::done(connection, id, seq)?;
            }
            Ok(())
        })
        .await
    }

    /// Nobody knows how the call ended: in these subscriptions the event is handed out no more.
    ///
    /// # Errors
    /// When the write failed. The intent stays in any case.
    pub async fn lose_answer(
        &self,
        seq: u64,
        lost_in: Vec<SubscriptionId>,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.write(move |connection| {
            for id in lost_in {
                deliveries::set_aside(connection, id, seq, deliveries::Aside::AnswerUnknown, now)?;
            }
            Ok(())
        })
        .await
    }

    /// The call surely did not run.
    ///
    /// # Errors
    /// When the write failed; then the outcome stays unknown.
    pub async fn release_answer(&self, seq: u64) -> Result<(), Error> {
        self.write(move |connection| {
            connection
                .prepare_cached("DELETE FROM answers WHERE seq = ?1")?
                .execute([seq.cast_signed()])?;
            Ok(())
        })
        .await
    }

    /// Sets aside what a process that ended was answering: nobody saw how that ended. To be called
    /// before the first answer of this process. Says how many.
    ///
    /// # Errors
    /// When the write failed; then nothing changed.
    pub async fn set_lost_answers_aside(&self, now: Timestamp) -> Result<usize, Error> {
        self.write(move |connection| {
            Ok(connection.execute(
                "UPDATE deliveries SET aside = ?1, aside_at = ?2
                 WHERE aside IS NULL AND seq IN (SELECT seq FROM answers WHERE answered = 0)
                     AND subscription IN (SELECT id FROM subscriptions WHERE for_commands)",
                params![
                    deliveries::Aside::AnswerUnknown.as_str(),
                    now.as_microsecond()
                ],
            )?)
        })
        .await
    }
}

fn begun(connection: &Connection, seq: i64) -> Result<AnswerBegun, Failure> {
    let found: Option<bool> = connection
        .prepare_cached("SELECT answered FROM answers WHERE seq = ?1")?
        .query_row([seq], |row| row.get(0))
        .optional()?;
    Ok(match found {
        None => AnswerBegun::New,
        Some(true) => AnswerBegun::Answered,
        Some(false) => AnswerBegun::Unknown,
    })
}
