//! What the lanes of a chat share: who is here, and what was said last.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use corelane_mempool::Shared;

/// Bytes of history at most, so that a newcomer who reads nothing holds no more.
const HISTORY_BYTES: usize = 32 << 10;

/// Shared by all lanes. Its lock is held for a look into a map or a queue, and never while anything is
/// sent.
pub(super) struct Room {
    inside: Mutex<Inside>,
    history_max: usize,
}

#[derive(Default)]
struct Inside {
    /// Names as they are written, by what they are compared by.
    names: BTreeMap<String, Arc<str>>,
    /// How many guests there have been.
    guests: u64,
    history: VecDeque<Shared>,
    history_bytes: usize,
}

/// A name that somebody else has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken;

/// A place in a room, with a name that nobody else has. Dropping it gives both up: so does a lane that
/// dies.
pub(super) struct Seat {
    room: Arc<Room>,
    name: Arc<str>,
}

impl Room {
    pub(super) fn new(history_max: usize) -> Room {
        Room { inside: Mutex::default(), history_max }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a line for newcomers.
    pub(super) fn remember(&self, line: &Shared) {
        if self.history_max == 0 || line.len() > HISTORY_BYTES {
            return;
        }
        let mut inside = self.inside();
        inside.history_bytes += line.len();
        inside.history.push_back(line.clone());
        while inside.history.len() > self.history_max || inside.history_bytes > HISTORY_BYTES {
            let Some(oldest) = inside.history.pop_front() else { break };
            inside.history_bytes -= oldest.len();
        }
    }

    /// The last lines, oldest first.
    pub(super) fn history(&self) -> Vec<Shared> {
        self.inside().history.iter().cloned().collect()
    }

    /// Some of the names in their order, and how many there are.
    pub(super) fn who(&self, most: usize) -> (Vec<Arc<str>>, usize) {
        let inside = self.inside();
        (inside.names.values().take(most).cloned().collect(), inside.names.len())
    }
}

impl Seat {
    /// Enters under the name of a guest. Says also how many are here now.
    pub(super) fn take(room: &Arc<Room>) -> (Seat, usize) {
        let mut inside = room.inside();
        let name: Arc<str> = loop {
            inside.guests += 1;
            let name = format!("guest-{}", inside.guests);
            // Somebody may have called themselves that.
            if !inside.names.contains_key(&name) {
                break name.into();
            }
        };
        inside.names.insert(fold(&name), name.clone());
        (Seat { room: room.clone(), name }, inside.names.len())
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Takes another name. Says which it was before, and how many are here.
    ///
    /// # Errors
    /// If somebody else has it.
    pub(super) fn rename(&mut self, name: &str) -> Result<(Arc<str>, usize), Taken> {
        let mut inside = self.room.inside();
        let folded = fold(name);
        if inside.names.get(&folded).is_some_and(|taken| *taken != self.name) {
            return Err(Taken);
        }
        inside.names.remove(&fold(&self.name));
        let name: Arc<str> = name.into();
        inside.names.insert(folded, name.clone());
        Ok((std::mem::replace(&mut self.name, name), inside.names.len()))
    }

    /// Gives the place up. Says how many had one, this one included.
    pub(super) fn leave(self) -> usize {
        self.room.inside().names.len()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.room.inside().names.remove(&fold(&self.name));
    }
}

/// Names that differ in capitals only are the same.
fn fold(name: &str) -> String {
    name.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_come_back() {
        let room = Arc::new(Room::new(0));
        let (mut ada, _) = Seat::take(&room);
        assert_eq!((&**ada.name(), room.who(9).1), ("guest-1", 1));
        ada.rename("Guest-2").unwrap();
        let (mut bob, people) = Seat::take(&room);
        assert_eq!((&**bob.name(), people), ("guest-3", 2));
        assert_eq!(bob.rename("GUEST-2"), Err(Taken));
        assert_eq!(&*ada.rename("guest-2").unwrap().0, "Guest-2", "one's own may change its case");
        assert_eq!(ada.leave(), 2);
        bob.rename("GUEST-2").unwrap();
        drop(bob);
        assert_eq!(room.who(9), (vec![], 0));
    }

    #[test]
    fn history_is_bounded_in_lines_and_bytes() {
        let room = Room::new(3);
        let remember = |line: &str| room.remember(&Shared::from(line.as_bytes().to_vec()));
        let history = || -> Vec<usize> { room.history().iter().map(|line| line.len()).collect() };
        for len in 1..=5 {
            remember(&"x".repeat(len));
        }
        assert_eq!(history(), [3, 4, 5]);
        remember(&"x".repeat(HISTORY_BYTES - 5));
        assert_eq!(history(), [5, HISTORY_BYTES - 5]);
        remember(&"x".repeat(HISTORY_BYTES + 1));
        assert_eq!(history(), [5, HISTORY_BYTES - 5], "what never fits replaces nothing");
        remember("1");
        assert_eq!(history(), [HISTORY_BYTES - 5, 1]);
    }
}
