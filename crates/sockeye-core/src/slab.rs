//! Where records live: pages of slots that never move, named by an index and a generation.
//!
//! It decides which slot a record gets (the one freed last, because it is the warmest) and that a stale name reaches nothing. It knows
//! nothing about what it holds; `table` finds an index by key.

/// Slots in a page: growing adds a page and copies nothing.
const PAGE: usize = 256;

/// Records of one kind. `(index, generation)` names a record from `insert` to `remove`, and never another one.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    pages: Vec<Page<T>>,
    /// Indices to use again, the last freed at the end.
    free: Vec<u32>,
    len: usize,
}

#[derive(Debug)]
struct Page<T> {
    items: Vec<Option<T>>,
    generations: Vec<u32>,
}

impl<T> Slab<T> {
    /// An empty slab; allocates nothing.
    pub(crate) const fn new() -> Self {
        Self {
            pages: Vec::new(),
            free: Vec::new(),
            len: 0,
        }
    }

    /// Records held.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Keeps `item` and returns its name: `(index, generation)`.
    ///
    /// # Panics
    /// At 2^32 records, which no memory holds.
    pub(crate) fn insert(&mut self, item: T) -> (u32, u32) {
        self.len += 1;
        if let Some(index) = self.free.pop() {
            let (page, slot) = place(index);
            self.pages[page].items[slot] = Some(item);
            return (index, self.pages[page].generations[slot]);
        }
        if self.pages.last().is_none_or(|page| page.items.len() == PAGE) {
            self.pages.push(Page {
                items: Vec::with_capacity(PAGE),
                generations: Vec::with_capacity(PAGE),
            });
        }
        let last = self.pages.len() - 1;
        let page = &mut self.pages[last];
        let index = u32::try_from(last * PAGE + page.items.len()).expect("fewer than 2^32 records");
        page.items.push(Some(item));
        page.generations.push(0);
        (index, 0)
    }

    /// The record of that name.
    pub(crate) fn get(&self, index: u32, generation: u32) -> Option<&T> {
        let (page, slot) = place(index);
        let page = self.pages.get(page)?;
        if *page.generations.get(slot)? != generation {
            return None;
        }
        page.items[slot].as_ref()
    }

    /// The record of that name, to change.
    pub(crate) fn get_mut(&mut self, index: u32, generation: u32) -> Option<&mut T> {
        let (page, slot) = place(index);
        let page = self.pages.get_mut(page)?;
        if *page.generations.get(slot)? != generation {
            return None;
        }
        page.items[slot].as_mut()
    }

    /// The record in a slot, whatever its generation: for an index that a table holds exactly as long as the record lives.
    pub(crate) fn at(&self, index: u32) -> Option<&T> {
        let (page, slot) = place(index);
        self.pages.get(page)?.items.get(slot)?.as_ref()
    }

    /// As [`Slab::at`], to change.
    pub(crate) fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        let (page, slot) = place(index);
        self.pages.get_mut(page)?.items.get_mut(slot)?.as_mut()
    }

    /// The generation that an index has now: with it an index becomes a name.
    pub(crate) fn generation(&self, index: u32) -> Option<u32> {
        let (page, slot) = place(index);
        self.pages.get(page)?.generations.get(slot).copied()
    }

    /// Takes the record of that name out. The name never reaches anything again (until 2^32 records went through this slot).
    pub(crate) fn remove(&mut self, index: u32, generation: u32) -> Option<T> {
        let (page, slot) = place(index);
        let page = self.pages.get_mut(page)?;
        if *page.generations.get(slot)? != generation {
            return None;
        }
        let item = page.items[slot].take()?;
        page.generations[slot] = generation.wrapping_add(1);
        self.free.push(index);
        self.len -= 1;
        Some(item)
    }

    /// All records as `(index, generation, record)`, in index order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u32, &T)> {
        self.pages.iter().enumerate().flat_map(|(number, page)| {
            let slots = page.items.iter().zip(&page.generations).enumerate();
            slots.filter_map(move |(slot, (item, generation))| {
                Some(((number * PAGE + slot) as u32, *generation, item.as_ref()?))
            })
        })
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self::new()
    }
}

const fn place(index: u32) -> (usize, usize) {
    (index as usize / PAGE, index as usize % PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Keys, below};
    use std::collections::BTreeMap;

    #[test]
    fn stale_names_reach_nothing() {
        let mut slab = Slab::new();
        let (index, generation) = slab.insert("a");
        assert_eq!(slab.remove(index, generation), Some("a"));
        assert_eq!(slab.remove(index, generation), None);
        let (again, newer) = slab.insert("b");
        assert_eq!(again, index);
        assert_ne!(newer, generation);
        assert_eq!(slab.get(index, generation), None);
        assert_eq!(slab.get_mut(index, newer), Some(&mut "b"));
        assert_eq!(slab.at(index), Some(&"b"));
        assert_eq!(slab.generation(index), Some(newer));
        assert_eq!(slab.get(9999, 0), None);
    }

    #[test]
    fn freed_slots_come_back_last_first() {
        let mut slab = Slab::new();
        let names: Vec<_> = (0..600).map(|n| slab.insert(n)).collect();
        for (index, generation) in &names[10..13] {
            assert!(slab.remove(*index, *generation).is_some());
        }
        assert_eq!([0, 0, 0].map(|n| slab.insert(n).0), [12, 11, 10]);
        assert_eq!(slab.insert(0).0, 600);
    }

    #[test]
    fn agrees_with_a_map() {
        let mut rng = Keys::new(7, "slab").stream("test");
        let mut slab = Slab::new();
        let mut model = BTreeMap::new();
        for step in 0..100_000_u64 {
            if model.is_empty() || below(&mut rng, 100) < 55 {
                let (index, generation) = slab.insert(step);
                assert_eq!(model.insert(index, (generation, step)), None, "index given twice");
            } else {
                let nth = below(&mut rng, model.len() as u64) as usize;
                let (index, (generation, value)) = model.iter().nth(nth.min(300)).map(|(k, v)| (*k, *v)).unwrap();
                assert_eq!(slab.get(index, generation), Some(&value));
                assert_eq!(slab.remove(index, generation), Some(value));
                let _ = model.remove(&index);
            }
            assert_eq!(slab.len(), model.len());
        }
        let all: Vec<_> = slab
            .iter()
            .map(|(index, generation, value)| (index, (generation, *value)))
            .collect();
        assert_eq!(all, model.into_iter().collect::<Vec<_>>());
    }
}
