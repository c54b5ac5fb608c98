//! Splits a batch so that no wave names a resource twice: one statement cannot
//! change a row twice, and two commands for one resource take effect one after
//! the other.

use std::{
    collections::{HashMap, HashSet},
    mem,
};

use crate::domain::{Command, FencingToken, OwnerId, Resource};

/// The commands' places in the batch, wave after wave. A command is in a later
/// wave than the one before it for the same resource; within a wave, ordered
/// by resource, so that all servers lock rows in one order and cannot deadlock.
///
/// Renewals of one resource under different owners and tokens share a wave: at
/// most one of them can be right, and the others change nothing. So do those who
/// ask for their places again, and those who leave them, of different owners:
/// each is decided on by itself, after the ones before it.
pub(super) fn waves(commands: &[Command]) -> Vec<Vec<usize>> {
    let mut places: Vec<usize> = (0..commands.len()).collect();
    places.sort_by_key(|place| commands[*place].resource());
    let same = |pair: &[usize]| commands[pair[0]].resource() == commands[pair[1]].resource();
    if !places.is_empty() && !places.windows(2).any(same) {
        return vec![places];
    }
    let mut seen: HashMap<&Resource, Seen<'_>> = HashMap::with_capacity(commands.len());
    let mut waves: Vec<Vec<usize>> = Vec::new();
    for (place, command) in commands.iter().enumerate() {
        let wave = match seen.get_mut(command.resource()) {
            Some(seen) => seen.next_wave(command),
            None => {
                let sharing = Sharing::of(command).into_iter().collect();
                seen.insert(command.resource(), Seen { wave: 0, sharing });
                0
            }
        };
        if wave == waves.len() {
            waves.push(Vec::new());
        }
        waves[wave].push(place);
    }
    for wave in &mut waves {
        wave.sort_by_key(|place| commands[*place].resource());
    }
    waves
}

/// What a resource's last wave holds of it so far.
struct Seen<'a> {
    wave: usize,
    /// Those in it that others may join; none when it is a command for itself.
    sharing: HashSet<Sharing<'a>>,
}

/// A command that may share a wave with others of its kind.
#[derive(PartialEq, Eq, Hash)]
enum Sharing<'a> {
    Renewal(&'a OwnerId, FencingToken),
    AskAgain(&'a OwnerId),
    Leave(&'a OwnerId),
}

impl<'a> Sharing<'a> {
    fn of(command: &'a Command) -> Option<Self> {
        match command {
            Command::Renew(renew) => Some(Self::Renewal(&renew.owner, renew.token)),
            Command::Acquire(acquire) if acquire.wait.is_some_and(|wait| wait.again) => {
                Some(Self::AskAgain(&acquire.owner))
            }
            Command::Leave(leave) => Some(Self::Leave(&leave.owner)),
            Command::Acquire(_) | Command::Release(_) | Command::HandOn(_) => None,
        }
    }
}

impl<'a> Seen<'a> {
    /// The wave of the next command for the same resource.
    fn next_wave(&mut self, command: &'a Command) -> usize {
        let joins = match (Sharing::of(command), self.sharing.iter().next()) {
            (Some(sharing), Some(other)) => {
                mem::discriminant(&sharing) == mem::discriminant(other)
                    && self.sharing.insert(sharing)
            }
            _ => false,
        };
        if !joins {
            self.wave += 1;
            self.sharing = Sharing::of(command).into_iter().collect();
        }
        self.wave
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Release, Renew, ResourceType};

    fn resource(id: &str) -> Resource {
        Resource::parse_id(ResourceType::parse("plan").unwrap(), id).unwrap()
    }

    fn release(id: &str) -> Command {
        Command::Release(Release {
            resource: resource(id),
            owner: OwnerId::parse("me").unwrap(),
            token: None,
        })
    }

    fn renew(token: u64) -> Command {
        Command::Renew(Renew {
            resource: resource("a"),
            owner: OwnerId::parse("me").unwrap(),
            token: FencingToken::new(token).unwrap(),
            ttl: None,
        })
    }

    #[test]
    fn renewals_under_different_tokens_share_a_wave() {
        let batch = [renew(1), renew(2), renew(1), renew(3), release("a"), renew(1), renew(2)];
        assert_eq!(waves(&batch), [vec![0, 1], vec![2, 3], vec![4], vec![5, 6]]);
    }

    #[test]
    fn keeps_the_order_for_one_resource_and_sorts_the_rest() {
        let batch: Vec<_> = ["b", "a", "b", "c", "b", "a"].map(release).into();
        assert_eq!(waves(&batch), [vec![1, 0, 3], vec![5, 2], vec![4]]);
        assert!(waves(&[]).is_empty());
    }
}
