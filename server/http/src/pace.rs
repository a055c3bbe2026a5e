//! The least rate at which a body must arrive.

use corelane_eventloop::Nanos;

use crate::config::HttpConfig;

/// How much longer a body may take, kept as the time when its credit is spent: waiting spends it,
/// bytes earn it. Two numbers, and a rule that holds over every span of time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    spent_at: Nanos,
    /// Bytes received when credit was last given.
    received: u64,
}

impl Pace {
    /// A body that begins now, on a connection that has received so many bytes.
    pub(crate) fn begin(now: Nanos, received: u64, config: &HttpConfig) -> Pace {
        Pace { spent_at: now + config.body_grace, received }
    }

    /// Gives credit for what was received since, and returns when it will be spent; `None` if there
    /// is no rule.
    pub(crate) fn earn(&mut self, now: Nanos, received: u64, config: &HttpConfig) -> Option<Nanos> {
        let bytes = received - std::mem::replace(&mut self.received, received);
        let earned = bytes.saturating_mul(1_000_000_000).checked_div(config.body_rate)?;
        let most = now + config.body_credit.max(config.body_grace);
        self.spent_at = Nanos(self.spent_at.0.saturating_add(earned)).min(most);
        Some(self.spent_at)
    }

    /// Forgives what was spent while the connection was not read: at least the grace is left.
    pub(crate) fn forgive(&mut self, now: Nanos, config: &HttpConfig) {
        self.spent_at = self.spent_at.max(now + config.body_grace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> HttpConfig {
        HttpConfig { body_rate: 100, ..HttpConfig::default() }
    }

    #[test]
    fn bytes_earn_time_up_to_the_credit() {
        let config = config();
        let mut pace = Pace::begin(Nanos::from_secs(1), 50, &config);
        assert_eq!(pace.earn(Nanos::from_secs(1), 50, &config), Some(Nanos::from_secs(6)));
        assert_eq!(pace.earn(Nanos::from_secs(3), 250, &config), Some(Nanos::from_secs(8)));
        assert_eq!(pace.earn(Nanos::from_secs(3), 250, &config), Some(Nanos::from_secs(8)));
        assert_eq!(pace.earn(Nanos::from_secs(4), 1 << 60, &config), Some(Nanos::from_secs(34)));
    }

    #[test]
    fn over_any_span_the_rate_holds() {
        // One byte a second earns a hundredth of what it costs.
        let config = config();
        let mut pace = Pace::begin(Nanos::ZERO, 0, &config);
        let mut second = 0;
        while pace.earn(Nanos::from_secs(second), second, &config) > Some(Nanos::from_secs(second))
        {
            second += 1;
        }
        assert_eq!(second, 6, "5 s of grace, and 5 bytes worth 10 ms each");
    }

    #[test]
    fn what_is_forgiven_is_the_grace_and_no_more() {
        let config = config();
        let mut pace = Pace::begin(Nanos::ZERO, 0, &config);
        pace.forgive(Nanos::from_secs(100), &config);
        assert_eq!(pace.earn(Nanos::from_secs(100), 100, &config), Some(Nanos::from_secs(106)));
        pace.earn(Nanos::from_secs(100), 10_000, &config);
        pace.forgive(Nanos::from_secs(101), &config);
        assert_eq!(pace.earn(Nanos::from_secs(101), 10_000, &config), Some(Nanos::from_secs(130)));
    }

    #[test]
    fn a_rate_of_nothing_is_no_rule() {
        let config = HttpConfig { body_rate: 0, ..HttpConfig::default() };
        let mut pace = Pace::begin(Nanos::ZERO, 0, &config);
        assert_eq!(pace.earn(Nanos::from_secs(1000), 1, &config), None);
    }
}
