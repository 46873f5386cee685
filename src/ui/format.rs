//! Figures as short text: at most seven columns each, a dash where there is no figure.

pub use crate::telemetry::number::{setting, short};

/// A share in [0, 1] as per cent.
pub fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.1}%", share * 100.0) } else { "-".to_owned() }
}

/// A share in [0, 1] as per cent without decimals.
pub fn whole_percent(share: f64) -> String {
    // Without the sign of a zero.
    if share.is_finite() {
        format!("{:.0}%", (share * 100.0).round() + 0.0)
    } else {
        "-".to_owned()
    }
}

/// Seconds as `12s`, `3m05s`, `2h14m`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "-".to_owned();
    }
    // Saturates: a run of more than u64::MAX seconds is nobody's.
    let s = seconds.round() as u64;
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        _ => format!("{}h{:02}m", s / 3600, s / 60 % 60),
    }
}

/// Bytes as `512 MB`, `1.4 GB`.
pub fn bytes(count: u64) -> String {
    let mb = count as f64 / 1e6;
    if mb < 1000.0 { format!("{mb:.0} MB") } else { format!("{:.1} GB", mb / 1e3) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_missing_ones_are_dashes() {
        let told = [0.0, 0.1234, 12.34, 1234.5, 1e-5, -2.5e7, f64::NAN].map(short);
        assert_eq!(told, ["0", "0.123", "12.3", "1234", "1.0e-5", "-2.5e7", "-"]);
        assert_eq!([0.1, 5e-4, 64.0, 0.0].map(setting), ["0.1", "5e-4", "64", "0"]);
        assert_eq!([3.4, 65.0, 8040.0, f64::NAN].map(duration), ["3s", "1m05s", "2h14m", "-"]);
        assert_eq!([bytes(512_000_000), bytes(1_440_000_000)], ["512 MB", "1.4 GB"]);
    }
}
