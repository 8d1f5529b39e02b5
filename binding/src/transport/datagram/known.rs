//! The addresses that an endpoint heard from and wrote to lately, with their Python objects.

use std::hash::{DefaultHasher, Hash, Hasher};

use ferroloop_engine::Address;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

/// Places at most: more peers than that take turns.
const PLACES: usize = 256;

/// An address in the system's form and in Python's.
pub(super) struct KnownAddress {
    pub(super) address: Address,
    pub(super) object: Py<PyAny>,
}

/// One place for each address that was heard from, by its hash. To make the object of an address
/// costs as much as all else that is done for a datagram; a server hears from the same clients
/// again and again.
#[derive(Default)]
pub(super) struct KnownAddresses {
    places: Vec<Option<KnownAddress>>,
    /// The place of whom was heard from last: programs answer.
    last: usize,
    /// Programs write to the address they wrote to before.
    written_to: Option<KnownAddress>,
}

impl KnownAddresses {
    fn place(&self, address: &Address) -> usize {
        let mut hasher = DefaultHasher::new();
        address.hash(&mut hasher);
        usize::try_from(hasher.finish() % PLACES as u64).unwrap_or(0) % self.places.len().max(1)
    }

    /// The object of an address that was heard from, which now is the last.
    pub(super) fn hear_from(&mut self, address: &Address) -> Option<&Py<PyAny>> {
        let place = self.place(address);
        let known = self.places.get(place)?.as_ref().filter(|known| known.address == *address)?;
        self.last = place;
        Some(&known.object)
    }

    /// Enters an address that was heard from. What is forgotten for it is handed back, to be
    /// dropped elsewhere: a place that is taken makes room for twice as many, as long as that is
    /// allowed.
    pub(super) fn enter(&mut self, new: KnownAddress) -> Vec<Option<KnownAddress>> {
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

    /// Remembers whom was written to, and hands back whom it was before.
    pub(super) fn write_to(&mut self, new: KnownAddress) -> Option<KnownAddress> {
        self.written_to.replace(new)
    }

    /// The address behind this very object, which nothing can change.
    #[inline]
    pub(super) fn behind(&self, object: &Py<PyAny>) -> Option<Address> {
        let last = self.places.get(self.last).and_then(Option::as_ref);
        let mut known = last.into_iter().chain(&self.written_to);
        known.find(|known| known.object.is(object)).map(|known| known.address.clone())
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let mut known = self.places.iter().flatten().chain(&self.written_to);
        known.try_for_each(|known| visit.call(&known.object))
    }
}
