//! Commands in one write transaction, one after the other: each reads its row,
//! is decided on, and writes what is to be written.

use super::{
    SqliteStore, StoreError,
    events::{self, Stale},
    table::Found,
    turn::Turn,
};
use crate::domain::{Acquire, Change, Command, Outcome, decide};

/// The most commands in one transaction: others get their turn in between, and
/// what is done stays done when the time for the rest is over.
pub(super) const TRANSACTION: usize = 500;

impl SqliteStore {
    pub(super) async fn apply_batch(
        &self,
        commands: &[Command],
    ) -> Result<Vec<Outcome>, StoreError> {
        let mut outcomes = Vec::with_capacity(commands.len());
        for commands in commands.chunks(TRANSACTION) {
            let commands = commands.to_vec();
            let apply = move |turn: &mut Turn<'_>| {
                commands
                    .iter()
                    .map(|command| turn.carry_out(command))
                    .collect::<Result<Vec<_>, _>>()
            };
            outcomes.extend(self.writer.write(&self.here, apply).await?);
        }
        Ok(outcomes)
    }
}

impl Turn<'_> {
    /// Carries out a command while nobody else can write.
    pub(super) fn carry_out(&mut self, command: &Command) -> rusqlite::Result<Outcome> {
        let resource = command.resource();
        let mut found = self.table.read(resource)?;
        if let Some(outcome) = self.by_the_line(command, &mut found)? {
            return Ok(outcome);
        }
        let standing = found.as_ref().map(|found| (found.at, found.row.token, found.row.waiters));
        let row = found.map(|found| found.row);
        let before = self.happened.is_some().then(|| row.clone());
        let stale = row.as_ref().filter(|row| row.is_stale(self.now)).map(Stale::of);
        let mut decision = decide(command, row, self.now, self.floor);
        match (&decision.outcome, stale) {
            (Outcome::Granted { lock, .. }, Some(stale)) => {
                events::note_taken_over(self.transaction, self.now, lock, &stale)?;
            }
            (Outcome::NotHeld { holder, .. }, _) => {
                let holder = holder.clone();
                let forced = events::forced(self.transaction, command)?.map(Box::new);
                decision.outcome = Outcome::NotHeld { holder, forced };
            }
            _ => {}
        }
        if let Some(before) = before {
            self.note_change(command, before.as_ref(), &decision.change)?;
        }
        match (decision.change, standing) {
            (Change::Put(row), None) => self.table.insert(resource, &row)?,
            (Change::Put(row), Some((at, token, _))) if row.token == token => {
                self.table.extend(at, &row)?;
            }
            (Change::Put(row), Some((at, ..))) => self.table.grant(at, &row)?,
            (Change::Free, Some((at, _, 0))) => self.table.free(at, self.now)?,
            (Change::Free, Some(_)) => {
                if let Some(found) = self.table.read(resource)? {
                    self.end_hold(resource, &found)?;
                }
            }
            (Change::Keep, _) | (Change::Free, None) => {}
        }
        Ok(decision.outcome)
    }

    /// What is to be done about who waits for the resource, before the command
    /// is decided on by its row; or instead of that.
    fn by_the_line(
        &mut self,
        command: &Command,
        found: &mut Option<Found>,
    ) -> rusqlite::Result<Option<Outcome>> {
        match command {
            Command::Acquire(acquire @ Acquire { wait: Some(wait), .. }) => {
                self.ask(acquire, *wait, found)
            }
            Command::Acquire(_) | Command::HandOn(_) => {
                self.pass_on_if_due(command.resource(), found)?;
                Ok(None)
            }
            Command::Leave(leave) => self.leave(leave, found.as_ref()),
            Command::Renew(_) | Command::Release(_) => Ok(None),
        }
    }
}
