//! The addresses that were heard from lately, with their Python objects.

use std::hash::{DefaultHasher, Hash, Hasher};

use ferroloop_engine::Address;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

/// Places at most: more peers than that take turns.
const PLACES: usize = 256;

/// An address in the system's form and in Python's.
pub(super) struct Correspondent {
    pub(super) address: Address,
    pub(super) object: Py<PyAny>,
}

/// One place for each address, by its hash. To make the object of an address costs as much as all
/// else that is done for a datagram; a server hears from the same clients again and again.
#[derive(Default)]
pub(super) struct Contacts {
    places: Vec<Option<Correspondent>>,
    /// The place of whom was heard from last: programs answer.
    last: usize,
}

impl Contacts {
    fn place(&self, address: &Address) -> usize {
        let mut hasher = DefaultHasher::new();
        address.hash(&mut hasher);
        usize::try_from(hasher.finish() % PLACES as u64).unwrap_or(0) % self.places.len().max(1)
    }

    /// The object of an address, if it is known.
    pub(super) fn find(&mut self, address: &Address) -> Option<&Py<PyAny>> {
        let place = self.place(address);
        let known = self.places.get(place)?.as_ref().filter(|known| known.address == *address)?;
        self.last = place;
        Some(&known.object)
    }

    /// Enters an address. What is forgotten for it is handed back, to be dropped elsewhere: a place
    /// that is taken makes room for twice as many, as long as that is allowed.
    pub(super) fn enter(&mut self, new: Correspondent) -> Vec<Option<Correspondent>> {
        let mut forgotten = Vec::new();
        let taken = self.places.get(self.place(&new.address)).is_none_or(Option::is_some);
        if taken && self.places.len() < PLACES {
            let places = (self.places.len() * 2).max(1);
            forgotten = std::mem::take(&mut self.places);
            self.places.resize_with(places, || None);
        }
        self.last = self.place(&new.address);
        if let Some(place) = self.places.get_mut(self.last) {
            forgotten.push(place.replace(new));
        }
        forgotten
    }

    /// Whom was heard from last.
    #[inline]
    pub(super) fn last(&self) -> Option<&Correspondent> {
        self.places.get(self.last)?.as_ref()
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.places.iter().flatten().try_for_each(|known| visit.call(&known.object))
    }
}
