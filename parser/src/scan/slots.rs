//! Memory for a head: its fields, and what else it says.

use std::mem::MaybeUninit;
use std::slice;

use httparse::Header;

use crate::http1::limits::FIELDS_MAX;

/// Room for the fields of one head and its other parts, untouched until something is written to it.
pub(crate) struct Slots<'h, P> {
    /// INVARIANT: initialized if there is a count.
    parts: MaybeUninit<P>,
    /// INVARIANT: the first are initialized, as many as are counted.
    fields: [MaybeUninit<Header<'h>>; FIELDS_MAX],
    count: usize,
}

/// The count of slots that are not filled.
const NONE: usize = usize::MAX;

impl<'h, P> Slots<'h, P> {
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        Self {
            parts: MaybeUninit::uninit(),
            fields: [const { MaybeUninit::uninit() }; FIELDS_MAX],
            count: NONE,
        }
    }

    /// Empties the slots, to fill them with up to `max` fields.
    #[inline(always)]
    pub(crate) fn fill(&mut self, max: usize) -> Filling<'_, 'h, P> {
        let max = max.min(FIELDS_MAX);
        self.count = NONE;
        Filling {
            max,
            free: self.fields[..max].iter_mut(),
            parts: &mut self.parts,
            count: &mut self.count,
        }
    }

    /// The slots, if they are filled.
    #[inline(always)]
    pub(crate) fn filled(&self) -> Option<Filled<'_, 'h, P>> {
        (self.count != NONE).then_some(Filled(self))
    }
}

/// Slots being filled.
pub(crate) struct Filling<'s, 'h, P> {
    max: usize,
    /// INVARIANT: the last of the first `max` slots; those before them are initialized.
    free: slice::IterMut<'s, MaybeUninit<Header<'h>>>,
    parts: &'s mut MaybeUninit<P>,
    count: &'s mut usize,
}

impl<'h, P> Filling<'_, 'h, P> {
    /// Adds a field behind the others, if there is room.
    #[inline(always)]
    pub(crate) fn push(&mut self, field: Header<'h>) -> Option<()> {
        self.free.next()?.write(field);
        Some(())
    }

    /// Leaves the fields in the slots, with the other parts.
    #[inline(always)]
    pub(crate) fn finish(self, parts: P) {
        self.parts.write(parts);
        *self.count = self.max - self.free.len();
    }
}

/// Filled slots.
pub(crate) struct Filled<'s, 'h, P>(
    /// INVARIANT: there is a count.
    &'s Slots<'h, P>,
);

impl<P> Clone for Filled<'_, '_, P> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Filled<'_, '_, P> {}

impl<'s, 'h, P> Filled<'s, 'h, P> {
    #[inline(always)]
    pub(crate) fn parts(self) -> &'s P {
        // SAFETY: with a count there are parts, which this has.
        unsafe { self.0.parts.assume_init_ref() }
    }

    #[inline(always)]
    pub(crate) fn fields(self) -> &'s [Header<'h>] {
        // SAFETY: as many are initialized as are counted, and there is a count.
        unsafe { self.0.fields[..self.0.count].assume_init_ref() }
    }
}
