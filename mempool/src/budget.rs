//! One limit on memory, shared by everything that must stay below it.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Counts bytes against a limit, and refuses instead of growing past it.
///
/// A budget only counts: it allocates nothing. Budgets nest, so that each lane can have its own
/// figure within the limit of the process: a charge succeeds only if every level has room.
/// It is charged when memory is taken from the system, not each time a buffer is lent, so it is
/// not on the hot path: a charge costs a compare-and-swap per level.
///
/// ```
/// use corelane_mempool::Budget;
///
/// let process = Budget::new(1_000);
/// let lane = Budget::within(&process, 800);
/// assert!(lane.try_charge(600).is_ok());
/// assert!(process.try_charge(600).is_err(), "only 400 of 1,000 bytes are left");
/// lane.release(600);
/// assert_eq!((process.used(), process.peak()), (0, 600));
/// ```
#[derive(Debug)]
pub struct Budget {
    used: AtomicUsize,
    peak: AtomicUsize,
    limit: AtomicUsize,
    parent: Option<Arc<Budget>>,
}

impl Budget {
    /// A budget of `limit` bytes that stands alone.
    pub fn new(limit: usize) -> Arc<Budget> {
        Arc::new(Budget::build(limit, None))
    }

    /// A budget that counts and never refuses.
    pub fn unlimited() -> Arc<Budget> {
        Budget::new(usize::MAX)
    }

    /// A budget of `limit` bytes whose charges also count against `parent`.
    pub fn within(parent: &Arc<Budget>, limit: usize) -> Arc<Budget> {
        Arc::new(Budget::build(limit, Some(Arc::clone(parent))))
    }

    /// Takes `bytes` from what is left.
    ///
    /// # Errors
    /// [`OutOfBudget`] if that would pass the limit here or further up; nothing is charged then.
    pub fn try_charge(&self, bytes: usize) -> Result<(), OutOfBudget> {
        // Relaxed: the count guards no other memory. A compare-and-swap rather than add-and-undo,
        // because an add that is about to be undone makes others fail that had room.
        let mut used = self.used.load(Relaxed);
        loop {
            let limit = self.limit.load(Relaxed);
            let sum = used.checked_add(bytes).filter(|sum| *sum <= limit);
            let Some(sum) = sum else { return Err(OutOfBudget { wanted: bytes, used, limit }) };
            match self.used.compare_exchange_weak(used, sum, Relaxed, Relaxed) {
                Ok(_) => break self.raise_peak(sum),
                Err(current) => used = current,
            }
        }
        let Some(parent) = &self.parent else { return Ok(()) };
        parent.try_charge(bytes).inspect_err(|_| self.release_here(bytes))
    }

    /// Gives back `bytes` that were charged before.
    ///
    /// Giving back more than was charged is a bug of the caller: it panics with debug assertions
    /// and leaves the count at zero without.
    pub fn release(&self, bytes: usize) {
        self.release_here(bytes);
        if let Some(parent) = &self.parent {
            parent.release(bytes);
        }
    }

    /// Bytes charged now.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// The most bytes that were ever charged at once.
    pub fn peak(&self) -> usize {
        self.peak.load(Relaxed)
    }

    /// The most bytes that may be charged here; a parent may allow less.
    pub fn limit(&self) -> usize {
        self.limit.load(Relaxed)
    }

    /// Of this budget and those it is within, the one that is nearest to its limit in proportion:
    /// the one that will refuse first. Costs two loads per level.
    ///
    /// ```
    /// use corelane_mempool::Budget;
    ///
    /// let process = Budget::new(1_000);
    /// let lane = Budget::within(&process, 800);
    /// process.try_charge(500)?;
    /// lane.try_charge(100)?;
    /// let tightest = lane.tightest();
    /// assert_eq!((tightest.used(), tightest.limit()), (600, 1_000));
    /// # Ok::<(), corelane_mempool::OutOfBudget>(())
    /// ```
    pub fn tightest(&self) -> &Budget {
        let Some(parent) = &self.parent else { return self };
        let above = parent.tightest();
        // Crosswise, so that nothing is divided: used / limit here, against used / limit above.
        let here = self.used() as u128 * above.limit() as u128;
        if here > above.used() as u128 * self.limit() as u128 { self } else { above }
    }

    /// Changes the limit. Below what is used now it frees nothing: charges are refused until
    /// enough has been given back.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Relaxed);
    }

    fn build(limit: usize, parent: Option<Arc<Budget>>) -> Budget {
        let zero = || AtomicUsize::new(0);
        Budget { used: zero(), peak: zero(), limit: AtomicUsize::new(limit), parent }
    }

    fn raise_peak(&self, used: usize) {
        if used > self.peak.load(Relaxed) {
            self.peak.fetch_max(used, Relaxed);
        }
    }

    fn release_here(&self, bytes: usize) {
        let update = |used: usize| {
            debug_assert!(used >= bytes, "released {bytes} bytes, only {used} were charged");
            Some(used.saturating_sub(bytes))
        };
        // The closure never declines, so there is no error to handle.
        let _ = self.used.fetch_update(Relaxed, Relaxed, update);
    }
}

/// Memory was refused because a limit would have been passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfBudget {
    /// Bytes asked for.
    pub wanted: usize,
    /// Bytes in use when they were refused.
    pub used: usize,
    /// The limit that refused them, in bytes.
    pub limit: usize,
}

impl fmt::Display for OutOfBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OutOfBudget { wanted, used, limit } = self;
        write!(
            f,
            "memory budget used up: {wanted} bytes wanted, {used} of {limit} in use; \
             raise the limit, or admit fewer connections"
        )
    }
}

impl Error for OutOfBudget {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_at_the_limit_and_takes_again_after_release() {
        let budget = Budget::new(100);
        assert_eq!(budget.try_charge(100), Ok(()));
        let refused = OutOfBudget { wanted: 1, used: 100, limit: 100 };
        assert_eq!(budget.try_charge(1), Err(refused));
        assert_eq!(budget.try_charge(0), Ok(()));
        budget.release(60);
        assert_eq!(budget.try_charge(60), Ok(()));
        assert_eq!((budget.used(), budget.peak()), (100, 100));
    }

    #[test]
    fn a_sum_beyond_the_address_space_is_refused() {
        let budget = Budget::unlimited();
        assert_eq!(budget.try_charge(10), Ok(()));
        assert!(budget.try_charge(usize::MAX).is_err());
        assert_eq!(budget.used(), 10);
    }

    #[test]
    fn a_refusing_parent_leaves_no_trace_in_the_child() {
        let parent = Budget::new(10);
        let child = Budget::within(&parent, 100);
        let refused = OutOfBudget { wanted: 11, used: 0, limit: 10 };
        assert_eq!(child.try_charge(11), Err(refused));
        assert_eq!((child.used(), parent.used()), (0, 0));
    }

    #[test]
    fn the_tightest_is_the_one_nearest_to_its_limit_in_proportion() {
        let process = Budget::new(1_000);
        let lane = Budget::within(&process, 100);
        let pool = Budget::within(&lane, usize::MAX);
        let limit = |budget: &Budget| budget.tightest().limit();
        assert_eq!(pool.try_charge(50), Ok(()));
        assert_eq!((limit(&pool), limit(&lane), limit(&process)), (100, 100, 1_000));
        assert_eq!(process.try_charge(700), Ok(()));
        assert_eq!(limit(&pool), 1_000, "750 of 1,000 are more than 50 of 100");
        lane.set_limit(0);
        assert_eq!(limit(&pool), 0);
        assert_eq!(limit(&Budget::within(&Budget::unlimited(), usize::MAX)), usize::MAX);
    }

    #[test]
    fn a_lowered_limit_refuses_until_enough_came_back() {
        let budget = Budget::new(100);
        assert_eq!(budget.try_charge(80), Ok(()));
        budget.set_limit(50);
        assert!(budget.try_charge(1).is_err());
        budget.release(40);
        assert_eq!(budget.try_charge(10), Ok(()));
    }

    #[test]
    fn threads_together_never_pass_the_limit() {
        let budget = Budget::new(1_000);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        if budget.try_charge(300).is_ok() {
                            assert!(budget.used() <= 1_000);
                            budget.release(300);
                        }
                    }
                });
            }
        });
        assert_eq!(budget.used(), 0);
        assert!((300..=900).contains(&budget.peak()));
    }

    #[test]
    fn the_message_says_what_to_do() {
        let text = OutOfBudget { wanted: 4_096, used: 60, limit: 100 }.to_string();
        assert!(text.contains("4096 bytes wanted, 60 of 100 in use; raise the limit"), "{text}");
    }
}
