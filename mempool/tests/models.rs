//! Random operations, compared after each with a naive model.

use std::collections::HashMap;
use std::sync::Arc;

use corelane_mempool::{Budget, Buf, Key, Pool, PoolConfig, Shared, Slab};
use proptest::prelude::*;
use proptest::sample::Index;

#[derive(Clone, Debug)]
enum SlabStep {
    Insert,
    /// Any key that was ever issued, mostly stale.
    Remove(Index),
    Change(Index),
    Clear,
}

fn slab_step() -> impl Strategy<Value = SlabStep> {
    prop_oneof![
        8 => Just(SlabStep::Insert),
        8 => any::<Index>().prop_map(SlabStep::Remove),
        4 => any::<Index>().prop_map(SlabStep::Change),
        1 => Just(SlabStep::Clear),
    ]
}

proptest! {
    #[test]
    fn slab_is_a_map_whose_keys_are_never_issued_twice(
        limit in 0_usize..20,
        steps in prop::collection::vec(slab_step(), 1..200),
    ) {
        let mut slab = Slab::with_limit(limit);
        let mut model: HashMap<Key, u32> = HashMap::new();
        let mut issued: Vec<Key> = Vec::new();
        for (n, step) in steps.into_iter().enumerate() {
            let value = n as u32;
            match step {
                SlabStep::Insert => match slab.insert(value) {
                    Ok(key) => {
                        prop_assert!(!issued.contains(&key) && key.index() < limit);
                        issued.push(key);
                        model.insert(key, value);
                    }
                    Err(refused) => prop_assert_eq!((refused.0, model.len()), (value, limit)),
                },
                SlabStep::Remove(any) if !issued.is_empty() => {
                    let key = any.get(&issued);
                    prop_assert_eq!(slab.remove(*key), model.remove(key));
                }
                SlabStep::Change(any) if !issued.is_empty() => {
                    let key = any.get(&issued);
                    if let Some(place) = slab.get_mut(*key) {
                        *place = value;
                    }
                    model.entry(*key).and_modify(|place| *place = value);
                }
                SlabStep::Clear => {
                    slab.clear();
                    model.clear();
                }
                SlabStep::Remove(_) | SlabStep::Change(_) => {}
            }
            for key in &issued {
                prop_assert_eq!(slab.get(*key), model.get(key));
                prop_assert_eq!(slab.key_at(key.index()) == Some(*key), model.contains_key(key));
            }
            prop_assert_eq!(slab.len(), model.len());
            prop_assert_eq!(slab.iter().count(), model.len());
        }
    }
}

#[derive(Clone, Debug)]
enum PoolStep {
    Allocate(usize),
    Deallocate(Index),
    Drop(Index),
    Resize(Index, usize),
    Write(Index, Vec<u8>),
    Consume(Index, Index),
    Preallocate(usize, usize),
    Trim,
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![0_usize..5_000, 0_usize..200_000]
}

fn pool_step() -> impl Strategy<Value = PoolStep> {
    let which = any::<Index>;
    prop_oneof![
        6 => size().prop_map(PoolStep::Allocate),
        3 => which().prop_map(PoolStep::Deallocate),
        1 => which().prop_map(PoolStep::Drop),
        2 => (which(), size()).prop_map(|(buf, size)| PoolStep::Resize(buf, size)),
        3 => (which(), prop::collection::vec(any::<u8>(), 0..3_000))
            .prop_map(|(buf, bytes)| PoolStep::Write(buf, bytes)),
        2 => (which(), which()).prop_map(|(buf, n)| PoolStep::Consume(buf, n)),
        1 => (1_usize..=64 << 10, 0_usize..4).prop_map(|(size, n)| PoolStep::Preallocate(size, n)),
        1 => Just(PoolStep::Trim),
    ]
}

/// Buffers that are out, each with the content it ought to have.
type Lent = Vec<(Buf, Vec<u8>)>;

fn apply(step: PoolStep, pool: &mut Pool, lent: &mut Lent) -> Result<(), TestCaseError> {
    match step {
        PoolStep::Allocate(size) => {
            if let Ok(buf) = pool.allocate(size) {
                prop_assert!(buf.is_empty() && buf.spare_len() >= size);
                lent.push((buf, Vec::new()));
            }
        }
        PoolStep::Preallocate(size, count) => {
            if pool.preallocate(size, count).is_ok() {
                prop_assert!(pool.stats().free_bytes >= size * count);
            }
        }
        PoolStep::Trim => pool.trim(),
        _ if lent.is_empty() => {}
        PoolStep::Deallocate(any) => {
            let (buf, _) = lent.swap_remove(any.index(lent.len()));
            pool.deallocate(buf);
        }
        PoolStep::Drop(any) => drop(lent.swap_remove(any.index(lent.len()))),
        PoolStep::Resize(any, size) => {
            let (buf, content) = lent.swap_remove(any.index(lent.len()));
            let buf = match pool.resize(buf, size) {
                Ok(buf) => {
                    prop_assert!(buf.capacity() >= size);
                    prop_assert_eq!(buf.spare_len(), buf.capacity() - buf.len());
                    buf
                }
                Err((buf, _)) => buf,
            };
            lent.push((buf, content));
        }
        PoolStep::Write(any, bytes) => {
            let at = any.index(lent.len());
            let (buf, content) = &mut lent[at];
            let fits = bytes.len().min(buf.spare_len());
            prop_assert_eq!(buf.extend(&bytes), fits);
            content.extend_from_slice(&bytes[..fits]);
        }
        PoolStep::Consume(any, n) => {
            let at = any.index(lent.len());
            let (buf, content) = &mut lent[at];
            let n = n.index(buf.len() + 1);
            buf.consume(n);
            content.drain(..n);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn pool_accounts_for_every_byte_and_mixes_up_no_content(
        limit in prop_oneof![Just(usize::MAX), 0_usize..1_000_000],
        free_bytes_max in 0_usize..100_000,
        steps in prop::collection::vec(pool_step(), 1..100),
    ) {
        let budget = Budget::new(limit);
        let config =
            PoolConfig { free_bytes_max, budget: Arc::clone(&budget), ..PoolConfig::default() };
        let mut pool = Pool::new(config);
        let mut lent = Lent::new();
        for step in steps {
            apply(step, &mut pool, &mut lent)?;
            let stats = pool.stats();
            let lent_bytes: usize = lent.iter().map(|(buf, _)| buf.capacity()).sum();
            prop_assert_eq!(stats.lent_bytes, lent_bytes);
            prop_assert_eq!(budget.used(), lent_bytes + stats.free_bytes);
            prop_assert!(budget.used() <= budget.peak() && budget.peak() <= limit);
            for (buf, content) in &lent {
                prop_assert_eq!(&buf[..], &content[..]);
            }
        }
        drop(pool);
        drop(lent);
        prop_assert_eq!(budget.used(), 0);
    }

    #[test]
    fn shared_slices_like_a_vector(
        bytes in prop::collection::vec(any::<u8>(), 0..100),
        cuts in prop::collection::vec((any::<Index>(), any::<Index>()), 0..6),
    ) {
        let mut model = bytes.clone();
        let mut shared = Shared::from(bytes);
        for (from, to) in cuts {
            let (from, to) = (from.index(model.len() + 1), to.index(model.len() + 1));
            let range = from.min(to)..from.max(to);
            shared = shared.slice(range.clone());
            model = model[range].to_vec();
            prop_assert_eq!(&shared[..], &model[..]);
            prop_assert_eq!(&shared, &Shared::from(model.clone()));
        }
    }
}
