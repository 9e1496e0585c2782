//! Time lines of keys: solid while an API server lists them, dashed until they retire, dotted
//! while they are held; a dot where a key became public, a rhombus where it was last listed, a cross
//! where it was revoked.

use std::time::Duration;

use maud::{Markup, html};

use crate::{
    admin::KeyStanding,
    oidc::{State, Time},
    when::span,
};

/// The stretch of time that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    from: Time,
    now: Time,
    to: Time,
}

impl Window {
    /// From when the first of `keys` appeared, unless that is long ago, to when the last retires.
    pub(super) fn of(keys: &[KeyStanding], now: Time) -> Self {
        let ages = keys.iter().map(|it| now.since(it.first_seen));
        let ends = keys.iter().filter_map(|it| it.retires_at);
        let ahead = ends.max().map_or(Duration::ZERO, |end| end.since(now));
        let age = ages.max().unwrap_or_default().min(LONGEST.max(ahead * 3));
        Self {
            from: now - age.max(ahead / 2).max(SHORTEST),
            now,
            to: now + ahead,
        }
    }

    pub(super) fn now(&self) -> Time {
        self.now
    }

    /// Where `time` stands, in percent of the width; negative before the stretch begins.
    fn at(&self, time: Time) -> f64 {
        let whole = self.to.since(self.from).as_secs_f64();
        let part = time.since(self.from).as_secs_f64() - self.from.since(time).as_secs_f64();
        100.0 * (part / whole).clamp(-1.0, 1.0)
    }

    fn x(&self, time: Time) -> String {
        format!("{:.2}%", self.at(time))
    }

    /// What stands above the time lines.
    pub(super) fn scale(&self) -> Markup {
        let ahead = self.to.since(self.now);
        html! {
            svg.scale aria-hidden="true" {
                text x="0" y="12" { (span(self.now.since(self.from))) " ago" }
                text x=(self.x(self.now)) y="12" text-anchor="end" { "now" }
                @if !ahead.is_zero() && self.at(self.now) < CROWDED_PERCENT {
                    text x="100%" y="12" text-anchor="end" { "in " (span(ahead)) }
                }
            }
        }
    }

    /// The time line of one key.
    pub(super) fn line(&self, key: &KeyStanding) -> Markup {
        let is_revoked = key.state == State::Revoked;
        let listed_until = match key.absent_since {
            Some(absent) => absent,
            None if is_revoked => key.since,
            None => self.now,
        };
        let gone_at = match key.state {
            State::Retired => Some(key.since),
            _ => key.retires_at,
        };
        html! {
            svg.line.(key.state) aria-hidden="true" {
                (stroke("now", [&self.x(self.now); 2]))
                (stroke("listed", [&self.x(key.first_seen), &self.x(listed_until)]))
                @if let Some(end) = gone_at {
                    (stroke("kept", [&self.x(listed_until), &self.x(end)]))
                    (self.mark(end, "M0-7V7"))
                }
                @if let Some(time) = key.public_since { (self.mark(time, "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z")) }
                @if let Some(time) = key.absent_since { (self.mark(time, "M0-6L6 0 0 6-6 0z")) }
                @if is_revoked { (self.mark(key.since, "M-6-6L6 6M6-6L-6 6")) }
            }
        }
    }

    /// A shape at `time`, if that is shown.
    fn mark(&self, time: Time, path: &str) -> Markup {
        html! {
            @if time >= self.from {
                svg.mark x=(self.x(time)) y="11" { path d=(path) {} }
            }
        }
    }
}

fn stroke(class: &str, [from, to]: [&str; 2]) -> Markup {
    let [top, bottom] = if from == to && class == "now" {
        ["0", "100%"]
    } else {
        ["50%"; 2]
    };
    html! {
        line class=(class) x1=(from) x2=(to) y1=(top) y2=(bottom) {}
    }
}

/// Where "now" leaves no room beside it, even on a phone.
const CROWDED_PERCENT: f64 = 80.0;
/// Older keys begin before what is shown.
const LONGEST: Duration = Duration::from_hours(7 * 24);
/// So that there is something to see when all has just begun.
const SHORTEST: Duration = Duration::from_secs(60);
