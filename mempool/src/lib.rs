//! Memory without surprises: generation-checked slab, pooled buffers, bump arena, shared slices, one budget.
