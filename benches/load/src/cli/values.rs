//! Values as they are typed: `20k`, `1.5s`, `1k..50k:5s`, `3=http://…`.

use std::time::Duration;

/// A rate or a number, perhaps with `k` or `M`, and with `/s` behind it.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    let digits = text.trim_end_matches("/s");
    let (digits, factor) = match digits.as_bytes().last() {
        Some(b'k' | b'K') => (&digits[..digits.len() - 1], 1e3),
        Some(b'm' | b'M') => (&digits[..digits.len() - 1], 1e6),
        _ => (digits, 1.0),
    };
    match digits.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number * factor),
        _ => Err("write a number above 0, such as 500, 20k or 1.5M".to_owned()),
    }
}

/// A count, in the same form as a rate.
pub(super) fn count(text: &str) -> Result<u64, String> {
    match rate(text)? {
        number if number.fract() == 0.0 && number < 9e15 => Ok(number as u64),
        _ => Err("write a whole number, such as 500 or 20k".to_owned()),
    }
}

/// A time: `30s`, `250ms`, `5m`, `1h`; seconds where there is no unit.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let seconds = match unit {
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err("units are ms, s, m and h".to_owned()),
    };
    let number: f64 = number.parse().map_err(|_| "write a number and a unit, such as 30s")?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}

/// A share: `0.001` or `0.1%`.
pub(super) fn share(text: &str) -> Result<f64, String> {
    let (digits, factor) = match text.strip_suffix('%') {
        Some(digits) => (digits.trim_end(), 0.01),
        None => (text, 1.0),
    };
    match digits.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number * factor),
        _ => Err("write a share such as 0.01 or 1%".to_owned()),
    }
}

/// Rates that rise step by step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ramp {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) step: Duration,
    pub(super) steps: usize,
}

/// Steps of a ramp unless said.
const STEPS: usize = 10;

/// `FROM..TO:TIME`, and perhaps `:STEPS`.
pub(super) fn ramp(text: &str) -> Result<Ramp, String> {
    let form = "write FROM..TO:TIME[:STEPS], such as 1k..50k:5s or 1k..50k:5s:20";
    let (rates, rest) = text.split_once(':').ok_or(form)?;
    let (from, to) = rates.split_once("..").ok_or(form)?;
    let (step, steps) = rest.split_once(':').unwrap_or((rest, ""));
    let steps = match steps {
        "" => STEPS,
        digits => digits.parse().map_err(|_| form)?,
    };
    let ramp = Ramp { from: rate(from)?, to: rate(to)?, step: time(step)?, steps };
    if !(2..=1_000).contains(&steps) || ramp.step.is_zero() {
        return Err("a ramp has 2 to 1,000 steps, each longer than no time".to_owned());
    }
    Ok(ramp)
}

/// A URL, perhaps behind its weight.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WeightedUrl {
    pub(super) weight: u32,
    pub(super) url: String,
}

/// `URL` or `WEIGHT=URL`.
pub(super) fn url(text: &str) -> Result<WeightedUrl, String> {
    let (weight, url) = match text.split_once('=') {
        Some((weight, url)) if !weight.is_empty() && weight.bytes().all(|b| b.is_ascii_digit()) => {
            (weight.parse().map_err(|_| "the weight is too large")?, url)
        }
        _ => (1, text),
    };
    if weight == 0 {
        return Err("a weight is at least 1".to_owned());
    }
    crate::Url::parse(url).map_err(|error| error.to_string())?;
    Ok(WeightedUrl { weight, url: url.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_they_are_typed() {
        let rates = [("500", 500.0), ("20k", 20_000.0), ("1.5M/s", 1_500_000.0), ("1k/s", 1_000.0)];
        rates.into_iter().for_each(|(text, value)| assert_eq!(rate(text), Ok(value), "{text}"));
        let times =
            [("30s", 30_000), ("250ms", 250), ("2", 2_000), ("1.5m", 90_000), ("1h", 3_600_000)];
        for (text, millis) in times {
            assert_eq!(time(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!([share("0.01"), share("1%"), share("0")], [Ok(0.01), Ok(0.01), Ok(0.0)]);
        let step = Duration::from_secs(5);
        let expected = Ramp { from: 1e3, to: 5e4, step, steps: STEPS };
        assert_eq!(ramp("1k..50k:5s"), Ok(expected));
        assert_eq!(ramp("1k..50k:5s:20"), Ok(Ramp { steps: 20, ..expected }));
        let plain = |weight, url: &str| WeightedUrl { weight, url: url.to_owned() };
        assert_eq!(url("3=http://a/b"), Ok(plain(3, "http://a/b")));
        assert_eq!(url("http://a/?3=b"), Ok(plain(1, "http://a/?3=b")));
    }

    #[test]
    fn what_is_no_value_is_refused_with_the_form() {
        for text in ["", "0", "-1", "k", "1x", "NaN", "inf", "1e400"] {
            assert!(rate(text).is_err(), "{text}");
        }
        for text in ["", "s", "-1s", "1d", "1.5.2s", "1e99h"] {
            assert!(time(text).is_err(), "{text}");
        }
        for text in ["1k", "1k..2k", "1k..2k:0s", "1k..2k:1s:1", "1k:5s", "1k..2k:5s:x"] {
            assert!(ramp(text).is_err(), "{text}");
        }
        assert!(count("1.5").is_err() && share("-1%").is_err());
        assert!(url("0=http://a").is_err() && url("https://a").is_err());
    }
}
