//! Memory for the fields of a head.

use std::mem::MaybeUninit;

use httparse::Header;

use crate::http1::limits::FIELDS_MAX;

/// Room for the fields of one head, untouched until something is written to it.
pub(crate) struct Slots<'h> {
    /// INVARIANT: the first `count` are initialized.
    fields: [MaybeUninit<Header<'h>>; FIELDS_MAX],
    count: usize,
}

impl<'h> Slots<'h> {
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        Self { fields: [const { MaybeUninit::uninit() }; FIELDS_MAX], count: 0 }
    }

    /// Empties the slots, to fill them with up to `max` fields.
    #[inline(always)]
    pub(crate) fn fill(&mut self, max: usize) -> Filling<'_, 'h> {
        self.count = 0;
        let max = max.min(FIELDS_MAX);
        Filling { slots: &mut self.fields[..max], count: 0, counted: &mut self.count }
    }

    /// The fields that were added.
    #[inline(always)]
    pub(crate) fn fields(&self) -> &[Header<'h>] {
        // SAFETY: so many are initialized, see the field.
        unsafe { self.fields[..self.count].assume_init_ref() }
    }
}

/// Slots being filled, whose count stays in a register for so long.
pub(crate) struct Filling<'s, 'h> {
    slots: &'s mut [MaybeUninit<Header<'h>>],
    /// INVARIANT: the first `count` are initialized.
    count: usize,
    counted: &'s mut usize,
}

impl<'h> Filling<'_, 'h> {
    /// Adds a field behind the others, if there is room.
    #[inline(always)]
    pub(crate) fn push(&mut self, field: Header<'h>) -> Option<()> {
        self.slots.get_mut(self.count)?.write(field);
        self.count += 1;
        Some(())
    }

    /// Leaves the fields in the slots.
    #[inline(always)]
    pub(crate) fn finish(self) {
        *self.counted = self.count;
    }
}
